"""Shape estimation: betas from bone lengths."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from hybrik_ros.arrays import Array
from hybrik_ros.body.model import BodyModel
from hybrik_ros.compiling import compiled, floats, kernel
from hybrik_ros.vectors import norm

# Minimum and maximum of a fitted beta. Betas are standard-normal by construction; meshes outside of
# these limits do not look human.
BETA_LIMITS = (-2.0, 3.0)
_STEPS = 3  # of Gauss-Newton


def fit_betas(
    body: BodyModel,
    pairs: Sequence[tuple[int, int]],
    lengths: ArrayLike,
    sigmas: ArrayLike,
) -> Array:
    """Return the most probable betas of a body with measured distances between its joints.

    Joints are linear in the betas; their distances nearly are, so that three Gauss-Newton steps
    suffice. The prior is the standard normal distribution; without it the fit follows the noise,
    as there are few distances and most of them are measured inaccurately.

    Parameters
    ----------
    body : BodyModel
        Body model to fit.
    pairs : sequence of tuple
        N pairs of joints or leaves (indices below 29).
    lengths : array_like
        Measured distance (N) of each pair in metres.
    sigmas : array_like
        Standard deviation (N) of each distance in metres; infinite for a pair that was not seen.

    Returns
    -------
    ndarray
        Betas (num_betas), within BETA_LIMITS.

    Raises
    ------
    ValueError
        pairs, lengths and sigmas do not have the same length.
    """
    lengths, sigmas = np.asarray(lengths, float), np.asarray(sigmas, float)
    if not len(pairs) == len(lengths) == len(sigmas):
        raise ValueError(
            f'pairs, lengths and sigmas must have the same length, not {len(pairs)}, '
            f'{len(lengths)} and {len(sigmas)}'
        )
    first, second = np.array(pairs).T
    directions = body.joint_directions[second] - body.joint_directions[first]
    mean = body.rest_joints()
    seen = np.isfinite(sigmas) & np.isfinite(lengths)
    weights = np.where(seen, 1 / np.where(seen, sigmas, 1.0), 0.0)
    betas = np.zeros(body.num_betas)
    _fit(mean[second] - mean[first], directions, np.where(seen, lengths, 0.0), weights, betas)
    return np.clip(betas, *BETA_LIMITS)


@kernel(floats(2), floats(3), floats(1), floats(1), floats(1))
def _fit(bones: Array, directions: Array, lengths: Array, weights: Array, betas: Array) -> None:
    """Change betas (B) to the most probable ones.

    Bones (N, 3) are those of the mean body, and directions (N, 3, B) their derivatives.
    """
    size = len(betas)
    normal, right, row = np.empty((size, size)), np.empty(size), np.empty(size)
    bone = np.empty(3)
    for _ in range(_STEPS):
        normal[:] = 0.0
        right[:] = 0.0
        for a in range(size):
            normal[a, a] = 1.0
        for n in range(len(bones)):
            for k in range(3):
                bone[k] = bones[n, k]
                for a in range(size):
                    bone[k] += directions[n, k, a] * betas[a]
            current = norm(bone)
            target = (lengths[n] - current) * weights[n]
            for a in range(size):
                row[a] = weights[n] / current * _slope(bone, directions[n], a)
                target += row[a] * betas[a]
            for a in range(size):
                right[a] += row[a] * target
                for b in range(size):
                    normal[a, b] += row[a] * row[b]
        _solve_positive(normal, right)
        betas[:] = right


@compiled
def _slope(bone: Array, directions: Array, a: int) -> float:
    """Return the inner product of a bone (3) and its derivative (3, B) by one beta."""
    total = 0.0
    for k in range(3):
        total += bone[k] * directions[k, a]
    return total


@compiled
def _solve_positive(matrix: Array, right: Array) -> None:
    """Solve a symmetric positive definite system by Cholesky's method, in place."""
    size = len(right)
    for r in range(size):
        for c in range(r + 1):
            for k in range(c):
                matrix[r, c] -= matrix[r, k] * matrix[c, k]
            matrix[r, c] = np.sqrt(matrix[r, r]) if r == c else matrix[r, c] / matrix[c, c]
    for r in range(size):
        for k in range(r):
            right[r] -= matrix[r, k] * right[k]
        right[r] /= matrix[r, r]
    for r in range(size - 1, -1, -1):
        for k in range(r + 1, size):
            right[r] -= matrix[k, r] * right[k]
        right[r] /= matrix[r, r]
