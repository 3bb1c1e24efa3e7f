"""Which camera's people are which person."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from hybrik_ros.arrays import Array
from hybrik_ros.compiling import floats, kernel
from hybrik_ros.fusion.times import MAX_AGE
from hybrik_ros.fusion.view import Sight
from hybrik_ros.vectors import cross, norm

# Maximum mean distance in metres of a known person's limbs from the rays of a camera's person, its
# growth in metres per second after these seconds, and what is taken off if the camera saw the
# person under this id.
_GATE, _GATE_GROWTH, _GATE_SECONDS, _SAME_ID = 0.25, 1.0, 0.1, 0.05
# Maximum mean distance in metres of two cameras' rays that may be of one person, if extrinsics are
# wrong by a few degrees.
_MAX_NEAR = 0.5
# Maximum mean distance in metres of the rays of two cameras' people that are one new person, and
# that of all pairs of cameras.
_NEW, _ALL_NEW = 0.12, 0.18
_MAX_DEPTH_RATIO = 2.0  # of where two rays meet to the distance that a camera estimates
_MIN_CONFIDENCE, _MIN_LIMBS = 0.2, 4  # of limbs that two cameras see both
_MAX_AWAY, _MAX_APART = 0.6, 0.5  # metres that a limb counts at most
_MIN_WEIGHT = 1e-3  # of a limb that a camera does not see
_TINY = 1e-6


@kernel(floats(2), floats(1), floats(2), floats(1))
def distance_from_rays(limbs: Array, centre: Array, rays: Array, confidence: Array) -> float:
    """Return the mean distance in metres of limbs (12, 3) from a camera's rays (12, 3)."""
    total = moment = 0.0
    offset, normal = np.empty(3), np.empty(3)
    for n in range(len(limbs)):
        for k in range(3):
            offset[k] = limbs[n, k] - centre[k]
        cross(offset, rays[n], normal)
        weight = confidence[n] + _MIN_WEIGHT
        total += weight
        moment += weight * min(norm(normal), _MAX_AWAY)
    return moment / total


def distance_of_rays(one: Sight, other: Sight) -> float:
    """Return the mean distance in metres of two cameras' rays, over limbs that both see.

    It is infinite where they see fewer than four limbs, or where the rays do not meet near the
    distances that the cameras estimate.
    """
    first, second = one.limbs.rays, other.limbs.rays
    weights = np.minimum(one.limbs.confidence, other.limbs.confidence)
    seen = weights > _MIN_CONFIDENCE
    if seen.sum() < _MIN_LIMBS:
        return np.inf
    base = other.centre - one.centre
    normal = np.cross(first, second)
    apart = np.abs(normal @ base) / np.maximum(np.linalg.norm(normal, axis=1), _TINY)
    cosine = np.sum(first * second, axis=1)
    sine_square = np.maximum(1 - cosine**2, _TINY)
    depth = (first @ base - cosine * (second @ base)) / sine_square
    other_depth = (cosine * (first @ base) - second @ base) / sine_square
    for along, sight in ((depth, one), (other_depth, other)):
        ratio = np.median(along[seen]) / sight.distance
        if not 1 / _MAX_DEPTH_RATIO < ratio < _MAX_DEPTH_RATIO:
            return np.inf
    weights = weights[seen]
    return float(np.sum(weights * np.minimum(apart[seen], _MAX_APART)) / weights.sum())


def do_meet(one: Sight, other: Sight) -> bool:
    """Return whether two people of different cameras can be one: their rays nearly meet."""
    return one.camera != other.camera and distance_of_rays(one, other) < _NEW


def join(taken: Sequence[Sequence[Sight]], new: Sequence[Sight]) -> dict[int, int]:
    """Return which known person (value) new sights (key) are, by indices.

    A person that one camera alone shows is known by its direction; the distance is a guess, so the
    rays of another camera may be far from there.

    Parameters
    ----------
    taken : sequence
        What cameras see of each known person.
    new : sequence of Sight
        What cameras see of none of them.
    """
    alone = {index: sights[0] for index, sights in enumerate(taken) if len(sights) == 1}
    pairs = sorted(
        (distance_of_rays(known, sight), index, number)
        for number, sight in enumerate(new)
        for index, known in alone.items()
        if do_meet(known, sight)
    )
    joined: dict[int, int] = {}
    for _, index, number in pairs:
        if number not in joined and index not in joined.values():
            joined[number] = index
    return joined


def may_be_one(sight: Sight, others: Sequence[Sight]) -> bool:
    """Return whether a camera sees the same person as others do, if extrinsics are wrong."""
    return all(sight.camera != other.camera for other in others) and any(
        distance_of_rays(sight, other) < _MAX_NEAR for other in others
    )


def gate(elapsed: float) -> float:
    """Return the maximum distance in metres of a person that was not seen for some seconds."""
    return _GATE + _GATE_GROWTH * min(max(elapsed - _GATE_SECONDS, 0.0), MAX_AGE)


def assign(
    expected: Sequence[Array], ids: Sequence[str], sights: Sequence[Sight], gates: Array
) -> dict[int, int]:
    """Return which known person (value) each person of one camera (key) is, by indices.

    Parameters
    ----------
    expected : sequence of ndarray
        Where the limbs (12, 3) of each known person should be, in metres, fixed frame.
    ids : sequence of str
        The id of each known person in this camera; '' if the camera did not see it last.
    sights : sequence of Sight
        The people that the camera sees.
    gates : ndarray
        Maximum distance in metres of each known person from what the camera sees.
    """
    if not expected or not sights:
        return {}
    costs = np.array(
        [
            [
                distance_from_rays(limbs, sight.centre, *sight.limbs)
                - _SAME_ID * (id == sight.id != '')
                for sight in sights
            ]
            for limbs, id in zip(expected, ids, strict=True)
        ]
    )
    pairs = zip(*linear_sum_assignment(np.minimum(costs, 2 * gates[:, None])), strict=True)
    return {int(column): int(row) for row, column in pairs if costs[row, column] < gates[row]}


def group(sights: Sequence[Sight]) -> list[list[Sight]]:
    """Return the people of all cameras, those of one person together.

    Two are of one person where their rays nearly meet, and so are those of all pairs in a group. A
    camera sees a person once.
    """
    pairs = sorted(
        (distance_of_rays(one, other), i, i + 1 + k)
        for i, one in enumerate(sights)
        for k, other in enumerate(sights[i + 1 :])
        if one.camera != other.camera
    )
    groups = {i: [i] for i in range(len(sights))}
    apart = {(i, j): gap for gap, i, j in pairs}
    for gap, i, j in pairs:
        if gap > _NEW:
            break
        if groups[i] is groups[j]:
            continue
        joined = groups[i] + groups[j]
        cameras = {sights[k].camera for k in joined}
        across = [apart[min(a, b), max(a, b)] for a in groups[i] for b in groups[j]
                  if (min(a, b), max(a, b)) in apart]  # fmt: skip
        if len(cameras) == len(joined) and max(across) <= _ALL_NEW:
            for k in joined:
                groups[k] = joined
    unique = {id(members): members for members in groups.values()}
    return [[sights[k] for k in members] for members in unique.values()]
