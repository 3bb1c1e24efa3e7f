"""Angles of hinges: wrapping, and the choice between two solutions."""

import numpy as np
from numpy.typing import ArrayLike

from hybrik_ros.arrays import Array


def wrap(angles: ArrayLike) -> Array:
    """Return angles (...) in radians, shifted by whole turns into [-pi, pi)."""
    return np.asarray((np.asarray(angles, float) + np.pi) % (2 * np.pi) - np.pi)


def select_first_angle(
    solutions: ArrayLike,
    last: ArrayLike,
    distance: float | Array,
    singular: float,
    penalty: ArrayLike = 0.0,
) -> Array:
    """Return the first of the two angles by which a shoulder or hip points a limb.

    Two hinges with perpendicular axes have two solutions for one direction; their first angles
    differ by half a turn. The solution nearer to the last angles is selected, so that an arm that
    is raised aside continues over the head. The closer the limb is to the first axis, the less its
    direction determines the first angle, and the less the angle moves from its last value.

    Parameters
    ----------
    solutions : array_like
        Both solutions (2, ..., 2): first and second angle in radians.
    last : array_like
        First and second angle (..., 2) of the previous frame, in radians.
    distance : float or ndarray
        Distance (...) of the end of the limb's unit vector from the first axis, in [0, 1].
    singular : float
        Distance, above 0, at which the first angle moves half of the way.
    penalty : array_like
        Costs (2, ..., 2) in radians, added to the changes of the angles.

    Returns
    -------
    ndarray
        First angle (...) in radians, at most half a turn from its last value.
    """
    solutions, last = np.asarray(solutions, float), np.asarray(last, float)
    cost = (np.abs(wrap(solutions - last)) + penalty).sum(axis=-1)
    nearest = np.where(cost[0] <= cost[1], *solutions[..., 0])
    trust = distance**2 / (distance**2 + singular**2)
    return np.asarray(last[..., 0] + trust * wrap(nearest - last[..., 0]))
