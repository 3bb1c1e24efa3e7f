"""Shape estimation: betas from bone lengths."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from hybrik_ros.arrays import Array
from hybrik_ros.body.model import BodyModel

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
    seen = np.isfinite(sigmas) & np.isfinite(lengths)
    weight = np.where(seen, 1 / np.where(seen, sigmas, 1.0), 0.0)
    lengths = np.where(seen, lengths, 0.0)

    betas = np.zeros(body.num_betas)
    for _ in range(_STEPS):
        rest = body.rest_joints(betas)
        bones = rest[second] - rest[first]
        current = np.linalg.norm(bones, axis=1)
        jacobian = np.einsum('nk,nkb->nb', bones / current[:, None], directions) * weight[:, None]
        target = (lengths - current) * weight + jacobian @ betas
        betas = np.linalg.solve(jacobian.T @ jacobian + np.eye(body.num_betas), jacobian.T @ target)
    return np.clip(betas, *BETA_LIMITS)
