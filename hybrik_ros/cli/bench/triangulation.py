"""Triangulation of joints from the rays of several calibrated cameras."""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from hybrik_ros.arrays import Array

MIN_CONFIDENCE = 0.5  # minimum confidence of a ray
# Maximum distance in metres of a joint from each ray that agrees; the mean is 0.05 in the footage,
# whose calibration is no better.
MAX_RESIDUAL = 0.08


class PersonView(NamedTuple):
    """One person's joints in the image of one camera.

    Attributes
    ----------
    rotation, translation : ndarray
        Extrinsics: rotation (3, 3), and translation (3) in metres, from the world to the camera.
    rays : ndarray
        Rays (J, 2): x / z and y / z in the camera's optical frame.
    confidence : ndarray
        Confidence (J) of the rays in [0, 1].
    """

    rotation: Array
    translation: Array
    rays: Array
    confidence: Array


def triangulate(views: Sequence[PersonView], num_joints: int) -> Array:
    """Return the joints that at least two cameras agree on.

    Parameters
    ----------
    views : sequence of PersonView
        The same person at the same time in different cameras.
    num_joints : int
        Number of joints J.

    Returns
    -------
    ndarray
        Joints (J, 3) in metres in the world; NaN where no two cameras agree.
    """
    return np.array([_triangulate_joint(views, joint) for joint in range(num_joints)])


def _triangulate_joint(views: Sequence[PersonView], joint: int) -> Array:
    """Return a joint (3) from as many cameras as agree, without those that disagree."""
    confident = [view for view in views if view.confidence[joint] > MIN_CONFIDENCE]
    for count in range(len(confident), 1, -1):
        solutions = [_intersect(chosen, joint) for chosen in combinations(confident, count)]
        point, residual = min(solutions, key=lambda solution: solution[1])
        if residual <= MAX_RESIDUAL:
            return point
    return np.full(3, np.nan)


def _intersect(views: Sequence[PersonView], joint: int) -> tuple[Array, float]:
    """Return the point (3) nearest to the rays, and its largest distance from one of them.

    It solves x / z = u and y / z = v in all cameras by linear least squares.
    """
    rotations = np.array([view.rotation for view in views])
    translations = np.array([view.translation for view in views])
    rays = np.array([view.rays[joint] for view in views])
    matrix = rotations[:, :2] - rays[:, :, None] * rotations[:, 2:]
    right = rays * translations[:, 2:] - translations[:, :2]
    point = np.linalg.lstsq(matrix.reshape(-1, 3), right.ravel(), rcond=None)[0]
    seen = rotations @ point + translations
    away = np.linalg.norm(seen[:, :2] - rays * seen[:, 2:], axis=1)
    is_visible = bool((seen[:, 2] > 0).all())
    return np.asarray(point), float(away.max()) if is_visible else np.inf
