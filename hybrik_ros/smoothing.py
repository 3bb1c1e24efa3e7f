"""The One-Euro filter, for vectors and for rotations.

A low-pass filter whose cutoff frequency rises with speed: slow motion, where jitter shows, is
smoothed strongly; fast motion, where latency shows, is smoothed little.

References
----------
Casiez, Roussel and Vogel: 1€ Filter (CHI 2012).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from hybrik_ros.arrays import Array
from hybrik_ros.compiling import compiled, floats, kernel
from hybrik_ros.rotations import from_rotation_vector, to_rotation_vector

_MIN_ELAPSED = 1e-9  # seconds; stamps resolve no less


@dataclass(frozen=True, eq=False)
class FilterState:
    """What a filter remembers. Never changed: a step makes another one.

    Attributes
    ----------
    measured : ndarray
        The last measured value.
    value : ndarray
        The last smoothed value.
    velocity : ndarray
        The smoothed velocity per second; 0 at the first value.
    """

    measured: Array
    value: Array
    velocity: Array


@dataclass(frozen=True)
class OneEuroFilter(ABC):
    """The filter on a space whose elements differ by vectors. Pure: a step changes nothing.

    Attributes
    ----------
    min_cutoff : float
        Cutoff frequency at rest in Hz; infinite for no smoothing.
    beta : float
        Increase of the cutoff (Hz) per unit of speed (1/s).
    velocity_cutoff : float
        Cutoff frequency of the velocity's own low-pass filter in Hz.
    predict : bool
        Whether the value moves on by the velocity from frame to frame, so that steady motion is not
        delayed. Motion that often reverses is better off without.
    """

    min_cutoff: float
    beta: float
    velocity_cutoff: float = 1.0
    predict: bool = False

    def step(self, state: FilterState | None, measured: ArrayLike, elapsed: float) -> FilterState:
        """Return the state after a measurement; its `value` is the smoothed one.

        Parameters
        ----------
        state : FilterState or None
            The state before; None at the first measurement, which is taken as it is.
        measured : array_like
            The measurement; each of the leading dimensions is a filter of its own.
        elapsed : float
            Seconds since the last measurement. With 0 or less the state stays as it is.
        """
        measured = np.asarray(measured, float)
        if state is None:
            still = np.zeros_like(self._difference(measured, measured))
            return FilterState(measured.copy(), measured.copy(), still)
        if elapsed < _MIN_ELAPSED:
            return state
        change = np.ascontiguousarray(self._difference(state.measured, measured))
        velocity, gain = state.velocity.copy(), np.empty((*change.shape[:-1], 1))
        _follow(
            change.reshape(-1, change.shape[-1]), elapsed, self.min_cutoff, self.beta,
            self.velocity_cutoff, velocity.reshape(-1, change.shape[-1]), gain.reshape(-1),
        )  # fmt: skip
        value = state.value
        if self.predict:
            value = self._move(value, velocity * elapsed)
        value = self._move(value, gain * self._difference(value, measured))
        return FilterState(measured.copy(), value, velocity)

    def shift(self, state: FilterState | None, offset: Array) -> FilterState | None:
        """Return the state as if all measurements had been elsewhere by a vector."""
        if state is None:
            return None
        return replace(
            state,
            measured=self._move(state.measured, offset),
            value=self._move(state.value, offset),
        )

    @staticmethod
    @abstractmethod
    def _difference(start: Array, end: Array) -> Array:
        """Return the vector that leads from start to end."""

    @staticmethod
    @abstractmethod
    def _move(start: Array, offset: Array) -> Array:
        """Return where a vector leads from start."""


class VectorFilter(OneEuroFilter):
    """The filter for vectors (..., n)."""

    @staticmethod
    def _difference(start: Array, end: Array) -> Array:
        return end - start

    @staticmethod
    def _move(start: Array, offset: Array) -> Array:
        return start + offset


class RotationFilter(OneEuroFilter):
    """The filter for rotations (..., 3, 3): along geodesics, speed in rad/s."""

    @staticmethod
    def _difference(start: Array, end: Array) -> Array:
        return to_rotation_vector(np.swapaxes(start, -1, -2) @ end)

    @staticmethod
    def _move(start: Array, offset: Array) -> Array:
        return start @ from_rotation_vector(offset)


@kernel(floats(2), *4 * ('float64',), floats(2), floats(1))
def _follow(
    change: Array, elapsed: float, min_cutoff: float, beta: float, velocity_cutoff: float,
    velocity: Array, gain: Array,
) -> None:  # fmt: skip
    """Update velocities (M, n) after changes (M, n); fill the shares (M) of the steps to take."""
    share = _gain(velocity_cutoff, elapsed)
    for m in range(len(change)):
        square = 0.0
        for k in range(change.shape[1]):
            velocity[m, k] += share * (change[m, k] / elapsed - velocity[m, k])
            square += velocity[m, k] ** 2
        gain[m] = _gain(min_cutoff + beta * np.sqrt(square), elapsed)


@compiled
def _gain(cutoff: float, elapsed: float) -> float:
    """Return the share of a step that a low-pass filter takes in `elapsed` seconds."""
    return -np.expm1(-2 * np.pi * cutoff * elapsed)
