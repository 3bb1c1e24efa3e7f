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


class _OneEuro(ABC):
    """The filter on any space in which things differ by vectors.

    Parameters
    ----------
    cutoff: hertz, of what does not move.
    slope: hertz that the cutoff rises by for each unit of speed, per second.
    speed_cutoff: hertz, of the low-pass filter that the speed itself goes through.
    lead: whether the filter moves on by that speed from frame to frame, so that steady motion
        is not delayed at all. Motion that often turns back is better off without.
    """

    def __init__(
        self, cutoff: float, slope: float, speed_cutoff: float = 1.0, *, lead: bool = False
    ) -> None:
        self._cutoff = cutoff
        self._slope = slope
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
        speed = np.linalg.norm(self._velocity, axis=-1, keepdims=True)
        if self._lead:
            self._smooth = self._moved(self._smooth, self._velocity * elapsed)
        step = self._difference(self._smooth, measured)
        share = _share(self._cutoff + self._slope * speed, elapsed)
        self._smooth = self._moved(self._smooth, share * step)
        return self._smooth.copy()

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


def _share(cutoff: ArrayLike, elapsed: float) -> Array:
    """Return the share of a step that a low-pass filter of this cutoff takes in so many seconds."""
    return -np.expm1(-2 * np.pi * np.asarray(cutoff, float) * elapsed)
