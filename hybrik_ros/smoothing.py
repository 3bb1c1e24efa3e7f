"""Steadiness over time: the One-Euro filter, for vectors and for rotations.

A low-pass filter whose cutoff rises with speed. What hardly moves is smoothed hard, since there
jitter shows; what moves fast is smoothed little, since there lag shows.

Source: Casiez, Roussel and Vogel, 1€ Filter (CHI 2012).
"""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrik_ros.rotations import from_rotation_vector, to_rotation_vector

Array = NDArray[np.float64]

_SHORTEST = 1e-9  # seconds; stamps resolve no less

# Landmarks: hertz, and hertz for each metre per second.
_DEPTH_CUTOFF, _DEPTH_SLOPE = 1.0, 16.0
# The logarithm of the distance: hertz, and hertz for each unit per second.
_DISTANCE_CUTOFF, _DISTANCE_SLOPE = 0.3, 1.5
# Whole bodies do not turn back as often as limbs.
_BODY_SPEED_CUTOFF = 0.5  # hertz


class _OneEuro(ABC):
    """The filter on any space in which things differ by vectors.

    Parameters and attributes
    -------------------------
    cutoff: hertz, of what does not move.
    slope: hertz that the cutoff rises by for each unit of speed, per second.

    Parameters
    ----------
    speed_cutoff: hertz, of the low-pass filter that the speed itself goes through.
    lead: whether the filter moves on by that speed from frame to frame, so that steady motion
        is not delayed at all. Motion that often turns back is better off without.
    """

    def __init__(
        self, cutoff: float, slope: float, speed_cutoff: float = 1.0, *, lead: bool = False
    ) -> None:
        self.cutoff = cutoff
        self.slope = slope
        self._speed_cutoff = speed_cutoff
        self._lead = lead
        self.reset()

    def reset(self) -> None:
        """Forget all; the next value is taken as it is."""
        self._measured: Array | None = None
        self._smooth = np.zeros(0)
        self._velocity: Array | float = 0.0

    def __call__(self, measured: ArrayLike, elapsed: float) -> Array:
        """Take in a value; return the smoothed one, of the same shape.

        Parameters
        ----------
        measured: as the class says; each of the leading dimensions is a filter of its own.
        elapsed: seconds since the last call, any that frames are apart; none, or less, changes
            nothing but in the first call.
        """
        measured = np.asarray(measured, float)
        if self._measured is None:
            self._measured, self._smooth = measured, measured.copy()
            return measured.copy()
        if elapsed < _SHORTEST:
            return self._smooth.copy()
        velocity = self._difference(self._measured, measured) / elapsed
        self._measured = measured
        self._velocity += _share(self._speed_cutoff, elapsed) * (velocity - self._velocity)
        speed = np.sqrt(np.sum(np.square(self._velocity), axis=-1, keepdims=True))
        if self._lead:
            self._smooth = self._moved(self._smooth, self._velocity * elapsed)
        step = self._difference(self._smooth, measured)
        share = _share(self.cutoff + self.slope * speed, elapsed)
        self._smooth = self._moved(self._smooth, share * step)
        return self._smooth.copy()

    def shift(self, step: Array) -> None:
        """Take all values so far to have been apart by this vector, which was no motion."""
        if self._measured is not None:
            self._measured = self._moved(self._measured, step)
            self._smooth = self._moved(self._smooth, step)

    @staticmethod
    @abstractmethod
    def _difference(start: Array, end: Array) -> Array:
        """Return the vector that leads from start to end."""

    @staticmethod
    @abstractmethod
    def _moved(start: Array, step: Array) -> Array:
        """Return where a vector leads from start."""


class VectorFilter(_OneEuro):
    """The filter for vectors (..., n)."""

    @staticmethod
    def _difference(start: Array, end: Array) -> Array:
        return end - start

    @staticmethod
    def _moved(start: Array, step: Array) -> Array:
        return start + step


class RotationFilter(_OneEuro):
    """The filter for rotations (..., 3, 3): along geodesics, speed in radians per second."""

    @staticmethod
    def _difference(start: Array, end: Array) -> Array:
        return to_rotation_vector(np.swapaxes(start, -1, -2) @ end)

    @staticmethod
    def _moved(start: Array, step: Array) -> Array:
        return start @ from_rotation_vector(step)


class PoseFilter:
    """All that is smoothed of one person.

    What a camera sees well is smoothed little: rotations, and the direction in which somebody is.
    How far away they are, and each landmark, it sees badly: these are smoothed harder.

    Parameters
    ----------
    rotation_min_cutoff, rotation_beta: of the parent-relative rotations; hertz, and hertz for each
        radian per second.
    bearing_min_cutoff, bearing_beta: of the direction, as x / z and y / z; hertz, and hertz for
        each unit per second.
    enabled: if not, everything passes through as it is.
    """

    def __init__(
        self,
        rotation_min_cutoff: float,
        rotation_beta: float,
        bearing_min_cutoff: float,
        bearing_beta: float,
        enabled: bool = True,
    ) -> None:
        self._rotations = RotationFilter(rotation_min_cutoff, rotation_beta)
        self._depths = VectorFilter(_DEPTH_CUTOFF, _DEPTH_SLOPE)
        self._bearing = VectorFilter(
            bearing_min_cutoff, bearing_beta, _BODY_SPEED_CUTOFF, lead=True
        )
        self._distance = VectorFilter(
            _DISTANCE_CUTOFF, _DISTANCE_SLOPE, _BODY_SPEED_CUTOFF, lead=True
        )
        self.adjust(rotation_min_cutoff, rotation_beta, bearing_min_cutoff, bearing_beta, enabled)

    def adjust(
        self,
        rotation_min_cutoff: float,
        rotation_beta: float,
        bearing_min_cutoff: float,
        bearing_beta: float,
        enabled: bool = True,
    ) -> None:
        """Change the parameters of the filter, and keep what it has taken in."""
        for one, cutoff, slope in (
            (self._rotations, rotation_min_cutoff, rotation_beta),
            (self._depths, _DEPTH_CUTOFF, _DEPTH_SLOPE),
            (self._bearing, bearing_min_cutoff, bearing_beta),
            (self._distance, _DISTANCE_CUTOFF, _DISTANCE_SLOPE),
        ):
            one.cutoff, one.slope = cutoff if enabled else np.inf, slope

    def reset(self) -> None:
        """Forget all, as after a gap in time."""
        for one in (self._rotations, self._depths, self._bearing, self._distance):
            one.reset()

    def rescale(self, ratio: float) -> None:
        """Take the person to have been so many times as far away all along."""
        self._distance.shift(np.log([ratio]))

    def depths(self, depths: Array, elapsed: float) -> Array:
        """Return the smoothed depths (N), metres, of a person's landmarks about their middle."""
        return self._depths(depths[:, None], elapsed)[:, 0]

    def rotations(self, rotations: Array, elapsed: float) -> Array:
        """Return the smoothed parent-relative rotations (24, 3, 3)."""
        return self._rotations(rotations, elapsed)

    def position(self, position: Array, elapsed: float) -> Array:
        """Return the smoothed position (3), metres, in the optical frame; z is above 0."""
        bearing = self._bearing(position[:2] / position[2], elapsed)
        # In proportion: the farther, the worse.
        [distance] = np.exp(self._distance(np.log(position[2:]), elapsed))
        return np.append(bearing, 1.0) * distance


def _share(cutoff: ArrayLike, elapsed: float) -> Array:
    """Return the share of a step that a low-pass filter of this cutoff takes in so many seconds."""
    return -np.expm1(-2 * np.pi * np.asarray(cutoff, float) * elapsed)
