"""The shape of one person, from bone lengths averaged over all frames so far.

A length that is known well enough is measured no more. So the shape of a fully visible person is
frozen after about ninety frames, and stays the same to the bit from then on; that of a partly
visible person stays until the other parts come into view.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.body import BodyModel, fit_betas
from hybrik_ros.compiling import floats, kernel
from hybrik_ros.skeleton import JOINT_NAMES, MIRROR
from hybrik_ros.vectors import distance

# Distances between joints that tell the shape, and the standard deviation in metres of each in one
# frame. The trunk bends, so its length is a weak measure.
_MEASURED = {
    ('shoulder', 'elbow'): 0.03,
    ('elbow', 'wrist'): 0.03,
    ('hip', 'knee'): 0.04,
    ('knee', 'ankle'): 0.04,
    ('shoulder', 'hip'): 0.06,
}
SHAPE_PAIRS: tuple[tuple[int, int], ...] = (
    *(
        (JOINT_NAMES.index(f'{side}_{first}'), JOINT_NAMES.index(f'{side}_{second}'))
        for first, second in _MEASURED
        for side in ('left', 'right')
    ),
    (JOINT_NAMES.index('left_shoulder'), JOINT_NAMES.index('right_shoulder')),
)
_PAIRS = np.array(SHAPE_PAIRS)
SHAPE_SIGMAS: Array = np.append(np.repeat(list(_MEASURED.values()), 2), 0.06)

# Standard deviation in metres of the network's constant error of a length, which no number of
# frames averages away.
_LENGTH_BIAS = 0.015
# Maximum standard deviation in metres of the mean of a length that counts as known.
_KNOWN_SIGMA = 0.5 * _LENGTH_BIAS
_MIN_GROWTH = 1.05  # ratio of the total weight since the last fit that is worth another one
_MIN_BETAS_WEIGHT = 30  # total confidence, in frames, of a mean of betas that counts as known
_TRANSITION_SECONDS = 0.5  # in which the betas move to a new estimate


@dataclass(frozen=True, eq=False)
class ShapeEstimate:
    """What is known of a person's shape. Never changed: a measurement makes another one.

    Attributes
    ----------
    betas : ndarray
        Shape parameters (num_betas), moving smoothly to the most probable ones.
    target : ndarray
        The most probable shape parameters (num_betas) so far.
    remaining : float
        Seconds until betas reach the target; 0 or less once there.
    weights, sums : ndarray
        Total weight (N) of the measurements of each length, and their weighted sum (N) in metres.
    known : ndarray
        Whether each length (N) is known.
    fitted_weight : float
        Total weight at the last fit.
    betas_weight : float
        Total confidence of the betas that a network estimated.
    """

    betas: Array
    target: Array
    weights: Array
    sums: Array
    known: NDArray[np.bool_]
    remaining: float = 0.0
    fitted_weight: float = 0.0
    betas_weight: float = 0.0

    @property
    def is_frozen(self) -> bool:
        """Whether the betas will not change any more."""
        known = bool(self.known.all()) or self.betas_weight >= _MIN_BETAS_WEIGHT
        return known and self.remaining <= 0


class ShapeEstimator:
    """Estimates shapes. Keeps no state of a person.

    Parameters
    ----------
    body : BodyModel
        The body whose betas are estimated.
    pairs : sequence of tuple
        N pairs of joints whose distances are measured.
    sigmas : ndarray
        Standard deviation (N) in metres of a single, fully confident measurement.
    """

    def __init__(self, body: BodyModel, pairs: Sequence[tuple[int, int]], sigmas: Array) -> None:
        self._body = body
        self._pairs = pairs
        self._sigmas = sigmas
        self._mirror = _mirror_pairs(tuple(pairs))

    def start(self) -> ShapeEstimate:
        """Return the estimate before any measurement: the mean body."""
        betas, nothing = np.zeros(self._body.num_betas), np.zeros(len(self._pairs))
        return ShapeEstimate(betas, betas, nothing, nothing, np.zeros(len(self._pairs), bool))

    def measure(
        self, shape: ShapeEstimate, lengths: Array, confidence: Array, elapsed: float = np.inf
    ) -> ShapeEstimate:
        """Return the estimate after the lengths of a frame.

        Parameters
        ----------
        shape : ShapeEstimate
            The estimate before.
        lengths, confidence : ndarray
            Measured lengths (N) in metres, and the confidence (N) of each in [0, 1].
        elapsed : float
            Seconds since the last frame; infinite for the first.
        """
        new = np.where(shape.known, 0.0, confidence)
        if new.any():
            shape = self._add(shape, lengths, new)
        return _advance(shape, elapsed)

    def take_betas(
        self, shape: ShapeEstimate, betas: Array, confidence: float, elapsed: float = np.inf
    ) -> ShapeEstimate:
        """Return the estimate after betas (num_betas) that a network estimated.

        Parameters
        ----------
        shape : ShapeEstimate
            The estimate before.
        betas : ndarray
            Shape parameters (num_betas).
        confidence : float
            Confidence of the frame in [0, 1].
        elapsed : float
            Seconds since the last frame; infinite for the first.
        """
        if confidence > 0 and shape.betas_weight < _MIN_BETAS_WEIGHT:
            mean = shape.target if shape.betas_weight > 0 else betas
            betas_weight = shape.betas_weight + confidence
            target = mean + confidence / betas_weight * (betas - mean)
            shape = replace(
                shape, betas_weight=betas_weight, target=target, remaining=_TRANSITION_SECONDS
            )
        return _advance(shape, elapsed)

    def _add(self, shape: ShapeEstimate, lengths: Array, confidence: Array) -> ShapeEstimate:
        """Add measurements, and fit the betas anew where that is worth it."""
        weights, sums = shape.weights.copy(), shape.sums.copy()
        known = shape.known.copy()
        total, is_new = _accumulate(
            lengths, confidence, self._sigmas, self._mirror, weights, sums, known
        )
        grown = total >= _MIN_GROWTH * shape.fitted_weight
        shape = replace(shape, weights=weights, sums=sums, known=known)
        if not (grown or is_new):
            return shape
        target = self._fit(weights, sums)
        return replace(shape, target=target, fitted_weight=total, remaining=_TRANSITION_SECONDS)

    def _fit(self, weights: Array, sums: Array) -> Array:
        """Return the most probable betas."""
        seen = weights > 0
        safe = np.where(seen, weights, 1.0)
        sigmas = np.where(seen, np.hypot(self._sigmas / np.sqrt(safe), _LENGTH_BIAS), np.inf)
        return fit_betas(self._body, self._pairs, sums / safe, sigmas)


@kernel(*3 * (floats(1),), 'int64[::1]', *2 * (floats(1),), 'boolean[::1]')
def _accumulate(
    lengths: Array, confidence: Array, sigmas: Array, mirror: NDArray[np.int64], weights: Array,
    sums: Array, known: NDArray[np.bool_],
) -> tuple[float, bool]:  # fmt: skip
    """Add measurements (N) to weights, sums and known; return the total weight, and if one is new.

    mirror (N) is the same length on the other side of the body; -1 for none.
    """
    total, is_new = 0.0, False
    for n in range(len(weights)):
        weights[n] += confidence[n]
        sums[n] += confidence[n] * lengths[n]
        total += weights[n]
    for n in range(len(weights)):
        # Bodies are symmetric: the other side counts as well.
        both = weights[n] + (weights[mirror[n]] if mirror[n] >= 0 else 0.0)
        is_known = sigmas[n] <= _KNOWN_SIGMA * np.sqrt(both)
        is_new = is_new or (is_known and not known[n])
        known[n] = is_known
    return total, is_new


def measure_lengths(joints: Array, confidence: Array) -> tuple[Array, Array]:
    """Return the distances of SHAPE_PAIRS (N) in metres, and the confidence of each (N)."""
    lengths, sure = np.empty(len(SHAPE_PAIRS)), np.empty(len(SHAPE_PAIRS))
    _measure(joints, confidence, lengths, sure)
    return lengths, sure


@kernel(floats(2), floats(1), floats(1), floats(1))
def _measure(joints: Array, confidence: Array, lengths: Array, sure: Array) -> None:
    """Fill the results of measure_lengths."""
    for n in range(len(lengths)):
        first, second = _PAIRS[n, 0], _PAIRS[n, 1]
        lengths[n] = distance(joints[first], joints[second])
        sure[n] = min(confidence[first], confidence[second])


def _advance(shape: ShapeEstimate, elapsed: float) -> ShapeEstimate:
    """Move the betas towards the target."""
    if shape.remaining <= 0:
        return shape
    elapsed = max(elapsed, 0.0)
    if elapsed >= shape.remaining:
        betas = shape.target
    else:
        betas = shape.betas + elapsed / shape.remaining * (shape.target - shape.betas)
    return replace(shape, betas=betas, remaining=shape.remaining - elapsed)


@lru_cache(maxsize=8)
def _mirror_pairs(pairs: tuple[tuple[int, int], ...]) -> NDArray[np.int64]:
    """Return for each pair the index of the same one on the body's other side; -1 for none."""
    indices = {frozenset(pair): index for index, pair in enumerate(pairs)}
    others = [indices.get(frozenset(MIRROR[joint] for joint in pair), -1) for pair in pairs]
    return np.array([-1 if other == i else other for i, other in enumerate(others)])
