"""How the limbs of one person in several cameras fit together, and whose error explains the rest.

A camera with wrong extrinsics misses the limbs by the others in one direction of its image; one
with a wrong clock misses them in the direction of their motion. Both are unknowns of a linear
problem, from which the limbs are eliminated. Its normal equations are summed over time.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.fusion.person import Person
from hybrik_ros.fusion.view import LIMBS_AT, Sight

UNKNOWNS = 3  # of a camera: offset along x and y of its optical frame in metres, delay in seconds
_MIN_CONFIDENCE = 0.5  # of limbs that are compared
_MIN_SHOWN = 0.2  # confidence of limbs that bound a person in the image
# Maximum share of the smaller box that two people in an image have in common: networks confuse the
# limbs of people behind others.
_MAX_OVERLAP = 0.2
# Information of where a limb was fused, as a share of that of a limb across a ray: it decides in
# the direction of two cameras that face each other.
_FUSED_INFORMATION = 4e-4
_TINY = 1e-9


class Comparison(NamedTuple):
    """The limbs of one person as V cameras see them, against each other.

    Attributes
    ----------
    cameras : tuple of str
        Names of the cameras.
    information, moment : ndarray
        Matrix (3 V, 3 V) and right side (3 V) of the normal equations of offsets and delays.
    weights, distances : ndarray
        Sum (V) of the confidence of the limbs, and their median distance (V) in metres from those
        by all other cameras; NaN without limbs.
    """

    cameras: tuple[str, ...]
    information: Array
    moment: Array
    weights: Array
    distances: Array


def find_clear(sights: Sequence[Sight]) -> list[Sight]:
    """Return the people in one camera's image that do not cover each other."""
    if len(sights) < 2:
        return list(sights)
    low, high = (np.array(each) for each in zip(*map(_bound, sights), strict=True))
    sizes = np.prod(high - low, axis=1)
    common = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
    areas = np.prod(np.maximum(common, 0), axis=2)
    np.fill_diagonal(areas, 0)
    shares = areas / np.maximum(np.minimum(sizes[:, None], sizes), _TINY)
    return [sight for sight, share in zip(sights, shares.max(axis=1), strict=True)
            if share < _MAX_OVERLAP]  # fmt: skip


def _bound(sight: Sight) -> tuple[Array, Array]:
    """Return the corners (2) of the limbs, as shares of the focal length."""
    inside = sight.limbs.rays @ sight.rotation.T
    shown = sight.limbs.confidence > _MIN_SHOWN
    if not shown.any():
        return np.zeros(2), np.zeros(2)
    pixels = inside[shown, :2] / inside[shown, 2:]
    return pixels.min(axis=0), pixels.max(axis=0)


def compare(sights: Sequence[Sight], person: Person) -> Comparison | None:
    """Return how a person's limbs in each camera fit together; None by less than two cameras.

    Parameters
    ----------
    sights : sequence of Sight
        What each camera sees of the person.
    person : Person
        The person, fused.
    """
    kind, motion = person.memory.kind, person.memory.motion
    if len(sights) < 2 or motion is None or any(sight.landmarks != kind for sight in sights):
        return None
    at = LIMBS_AT[kind]
    points = np.stack([sight.points[at] for sight in sights])
    rays = np.stack([sight.limbs.rays for sight in sights])
    confidence = np.stack([sight.confidence * sight.limbs.confidence for sight in sights])
    weights = np.where(confidence > _MIN_CONFIDENCE, confidence, 0.0)
    weights *= np.count_nonzero(weights, axis=0) > 1
    planes = weights[..., None, None] * (np.eye(3) - rays[..., :, None] * rays[..., None, :])
    # The limbs by all cameras, and by all but each one.
    own = planes @ points[..., None]
    information = planes.sum(axis=0) + _FUSED_INFORMATION * np.eye(3)
    moment = own.sum(axis=0) + _FUSED_INFORMATION * person.limbs[..., None]
    inverse = np.linalg.inv(information)
    fused = (inverse @ moment)[..., 0]
    others = np.linalg.solve(information - planes, moment - own)[..., 0]
    moves = np.empty((*points.shape, UNKNOWNS))  # of the limbs, by the unknowns of each camera
    moves[..., :2] = np.stack([sight.rotation[:2].T for sight in sights])[:, None]
    moves[..., 2] = -motion[at]  # A camera that is late shows people where they were.
    return Comparison(
        tuple(sight.camera for sight in sights),
        *_add_limbs(planes, points - fused, inverse, moves),
        weights.sum(axis=1),
        _distances(others - points, rays, weights),
    )


def _add_limbs(planes: Array, gaps: Array, inverse: Array, moves: Array) -> tuple[Array, Array]:
    """Return the normal equations of the unknowns, summed over the limbs, which are eliminated."""
    views, limbs = gaps.shape[:2]
    across = planes @ moves
    shared = across.transpose(1, 2, 0, 3).reshape(limbs, 3, UNKNOWNS * views)
    information = -np.einsum('nik,nil->kl', shared, inverse @ shared)
    for v, own in enumerate(np.einsum('vnik,vnil->vkl', moves, across)):
        part = slice(UNKNOWNS * v, UNKNOWNS * (v + 1))
        information[part, part] += own
    return information, np.einsum('vnik,vni->vk', across, gaps).ravel()


def _distances(gaps: Array, rays: Array, weights: Array) -> Array:
    """Return the median length (V) in metres of gaps (V, N, 3) across rays, of those that count."""
    gaps = gaps - np.einsum('vni,vni->vn', gaps, rays)[..., None] * rays
    away = np.sqrt(np.einsum('vni,vni->vn', gaps, gaps))
    used = weights > 0
    counts = np.count_nonzero(used, axis=1)
    middle = np.maximum(counts - 1, 0) // 2
    ordered = np.sort(np.where(used, away, np.inf), axis=1)
    return np.where(counts > 0, ordered[np.arange(len(counts)), middle], np.nan)
