"""Shape from bone lengths: the betas that a skeleton's proportions ask for."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from hybrik_ros.arrays import Array
from hybrik_ros.body.model import BodyModel

# Betas are standard-normal by construction; beyond these, bodies stop being human.
BETA_LIMITS = (-2.0, 3.0)
_STEPS = 3


def fit_betas(
    body: BodyModel,
    pairs: Sequence[tuple[int, int]],
    lengths: ArrayLike,
    sigmas: ArrayLike,
) -> Array:
    """Find the most probable betas of a body with these distances between its joints.

    Joints are linear in the betas; their distances nearly are, so three Gauss-Newton steps
    suffice. The prior is the standard normal distribution, without which the fit follows the
    noise (fewer than ten distances, most of them seen badly).

    Parameters
    ----------
    body: whose betas are wanted.
    pairs: N pairs of joints or leaves (indices below 29).
    lengths: (N), metres, the distance measured for each pair.
    sigmas: (N), metres, the standard deviation of each; infinite for a pair not seen.

    Returns
    -------
    (num_betas), within BETA_LIMITS.

    Raises
    ------
    ValueError: the three do not have the same length.
    """
    lengths, sigmas = np.asarray(lengths, float), np.asarray(sigmas, float)
    if not len(pairs) == len(lengths) == len(sigmas):
        raise ValueError('pairs, lengths and sigmas must have the same length')
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
