"""How far the detector, and the other people in a frame, confirm an observation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.perception import coco
from hybrik_ros.perception.detector import (
    Detection,
    same_person,
    trunk_length,
)
from hybrik_ros.skeleton import JOINT_NAMES

# Belief in a keypoint with which the detector disagrees entirely, and its rise with the detector's
# score, less the first share of the distance in lengths of the trunk. Fitted to 13000 joints of
# people that are whole, cut off or half hidden: a joint that the landmark network claims to see is
# left out where fewer than 85 % of such joints are visible.
_MIN_BELIEF, _BELIEF_PER_SCORE, _SCORE_PER_DISTANCE = 0.45, 2.4, 0.4
# Score of a detection that is certainly a person. Of the people in the stills of `hybrik bench
# perception`, three quarters have more; of what is taken for a person in the other stills, if they
# are mirrored, dark, grey or noisy, all but apes have less than 0.26, half less than 0.2.
SURE_SCORE = 0.3
# Distance of the keypoints of two people, in lengths of the shorter trunk, below which they are on
# one limb.
_SHARED_DISTANCE = 0.25
# Minimum lead in support of the person that a shared limb belongs to.
_MIN_LEAD = 0.05
_SHARED_BELIEF = 0.4  # in a limb that may be another person's; below what counts as seen

# The keypoint of each joint (24); -1 for the trunk and the head, which several keypoints show.
_SHOWN_BY = {'hand': 'wrist', 'foot': 'ankle'}


def _keypoint_of(joint: str) -> int:
    side, _, part = joint.rpartition('_')
    name = f'{side}_{_SHOWN_BY.get(part, part)}'
    return coco.KEYPOINT_NAMES.index(name) if name in coco.KEYPOINT_NAMES else -1


_KEYPOINTS = np.array([_keypoint_of(name) for name in JOINT_NAMES])
_LIMBS = np.array([(7, 9), (8, 10), (13, 15), (14, 16)])  # elbows and wrists, knees and ankles


@dataclass(frozen=True, eq=False)
class Agreement:
    """What the detector says of a person.

    Attributes
    ----------
    support : float
        How well it agrees, in [0, 1]: 1 where it is sure of a person whose keypoints all coincide,
        0 where it looked and did not find the person.
    belief : ndarray or None
        How far each joint (24) that the landmarks show can be believed, in [0, 1]; None where the
        detector did not find the person.
    """

    support: float
    belief: Array | None


def compare(looks: Sequence[Sequence[Detection]], keypoints: Array) -> Agreement:
    """Return how well the detections at each size agree with a person.

    Parameters
    ----------
    looks : sequence of sequence of Detection
        The detections at each size.
    keypoints : ndarray
        The person's keypoints (17, 3) in COCO's order: u and v in pixels, and their confidence.
    """
    found = [each for look in looks for each in look if same_person(each.keypoints, keypoints)]
    if not found:
        return Agreement(0.0, None)
    support = max(_rate(detection, keypoints) for detection in found)
    belief = np.max([_believe(detection, keypoints) for detection in found], axis=0)
    return Agreement(support, _to_joints(belief))


def doubt_shared_limbs(people: Sequence[Array], support: Sequence[float]) -> list[Array]:
    """Return how far each joint of each person can be believed as none of another person's.

    Two people have a limb in common where both ends of a forearm or shank coincide. It belongs to
    the person with which the detector agrees better; where that is neither, both are doubted.

    Parameters
    ----------
    people : sequence of ndarray
        Keypoints (17, 3) of each person in a frame.
    support : sequence of float
        How well the detector agrees with each person, in [0, 1].

    Returns
    -------
    list of ndarray
        Belief (24) in [0, 1] for each person.
    """
    beliefs = [np.ones(coco.NUM_KEYPOINTS) for _ in people]
    for i, one in enumerate(people):
        for j, other in enumerate(people):
            if i != j and support[i] < support[j] + _MIN_LEAD:
                shared = _shares(one, other)
                beliefs[i][_LIMBS[shared]] = _SHARED_BELIEF
    return [_to_joints(belief) for belief in beliefs]


def _rate(detection: Detection, keypoints: Array) -> float:
    """Return how well one detection agrees, in [0, 1]."""
    return min(1.0, detection.score / SURE_SCORE) * (1 - detection.distance(keypoints))


def _believe(detection: Detection, keypoints: Array) -> Array:
    """Return how far each keypoint (17) can be believed, by one detection."""
    score = detection.keypoints[:, 2] - _SCORE_PER_DISTANCE * detection.distances(keypoints)
    return np.asarray(np.clip(_MIN_BELIEF + _BELIEF_PER_SCORE * score, 0.0, 1.0))


def _shares(one: Array, other: Array) -> Array:
    """Return which limbs (4) of a person coincide with a limb of another one, of either side."""
    near = _SHARED_DISTANCE * min(trunk_length(one), trunk_length(other))
    both_ways = np.stack([other, other[list(coco.MIRROR)]])[..., :2]
    coincides = np.linalg.norm(one[:, :2] - both_ways, axis=2) < near
    return np.asarray(coincides[:, _LIMBS].all(axis=2).any(axis=0))


def _to_joints(belief: Array) -> Array:
    """Return the belief (24) in joints from that in keypoints (17)."""
    return np.where(_KEYPOINTS >= 0, belief[_KEYPOINTS], 1.0)
