"""Tracks: what is known of one person over time."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.body import BodyModel, fit_betas
from hybrik_ros.camera import Region

Array = NDArray[np.float64]

# What no number of frames averages away: the network misjudges a limb the same way each time.
_LENGTH_BIAS = 0.015  # metres
_VELOCITY_SECONDS = 0.25  # time constant of the velocity
_MEMORY_SECONDS = 0.5  # after which a pose says nothing of the present one


class Shape:
    """The shape of one body, from bone lengths averaged over all frames so far.

    Parameters
    ----------
    body: whose betas are wanted.
    pairs: N pairs of joints whose distances are measured.
    sigmas: (N), metres, the standard deviation of a single, fully seen measurement.

    Attributes
    ----------
    betas: (num_betas), the most probable ones; zero before the first measurement.
    """

    def __init__(self, body: BodyModel, pairs: Sequence[tuple[int, int]], sigmas: Array) -> None:
        self.betas = np.zeros(body.num_betas)
        self._body = body
        self._pairs = pairs
        self._sigmas = sigmas
        self._weight = np.zeros(len(pairs))
        self._sum = np.zeros(len(pairs))

    def measure(self, lengths: Array, confidence: Array) -> None:
        """Take in the lengths (N), metres, and confidence (N), in [0, 1], of a frame."""
        self._weight += confidence
        self._sum += confidence * lengths
        seen = self._weight > 0
        weight = np.where(seen, self._weight, 1.0)
        sigmas = np.where(seen, np.hypot(self._sigmas / np.sqrt(weight), _LENGTH_BIAS), np.inf)
        self.betas = fit_betas(self._body, self._pairs, self._sum / weight, sigmas)


class Track:
    """One person, from the frame in which they were found.

    Parameters
    ----------
    id: short, starts with a letter, never used again.
    region: where to look for the person in the next frame.
    shape: of the person.

    Attributes
    ----------
    rotations: (24, 3, 3), the last that were found; None before.
    """

    def __init__(self, id: str, region: Region, shape: Shape) -> None:
        self.id = id
        self.region = region
        self.shape = shape
        self.rotations: Array | None = None
        self._stamp: float | None = None
        self._position = np.zeros(3)
        self._velocity = np.zeros(3)

    def previous(self, stamp: float) -> Array | None:
        """Return the last rotations (24, 3, 3); None where they are too old at this time."""
        recent = self._stamp is not None and stamp - self._stamp < _MEMORY_SECONDS
        return self.rotations if recent else None

    def velocity(self, position: Array, stamp: float) -> Array:
        """Take in a position (3), metres, at a time in seconds; return metres per second (3).

        The velocity is smoothed over a quarter of a second; it is zero in the first frame.
        """
        if self._stamp is not None and stamp > self._stamp:
            elapsed = stamp - self._stamp
            share = 1 - np.exp(-elapsed / _VELOCITY_SECONDS)
            self._velocity += share * ((position - self._position) / elapsed - self._velocity)
        self._stamp, self._position = stamp, position.copy()
        return self._velocity.copy()
