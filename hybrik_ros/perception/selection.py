"""Which of the people seen in a frame are different ones, and which of them to keep."""

from collections.abc import Sequence

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.camera import ImpossiblePoseError, Region
from hybrik_ros.perception.detector import SAME_KEYPOINTS, same_person
from hybrik_ros.perception.estimator import Observation

# Hysteresis: a new person replaces a tracked one only where its distance is below this fraction of
# the tracked person's.
_NEARER = 0.75

# Minimum share of coinciding keypoints at which two tracks show one person. It is larger than for
# new people: a person half hidden by another one is still there.
SAME_TRACKED = 2 / 3


def distinct(people: Sequence[Observation], min_share: float = SAME_KEYPOINTS) -> list[Observation]:
    """Leave out people seen twice, whose regions ended up on one of them; the first one is kept.

    Parameters
    ----------
    people : sequence of Observation
        The people.
    min_share : float
        As of same_person.
    """
    found: list[Observation] = []
    for person in people:
        if not is_among(person.keypoints, found, min_share):
            found.append(person)
    return found


def join(
    people: list[Observation], new: Sequence[Observation], max_people: int
) -> list[Observation]:
    """Return tracked and new people, each once: the max_people nearest of them."""
    others = [person for person in distinct(new) if not is_among(person.keypoints, people)]
    return _select_nearest(people + others, people, max_people)


def is_among(
    keypoints: Array, people: Sequence[Observation], min_share: float = SAME_KEYPOINTS
) -> bool:
    """Return whether keypoints (17, 3) are of one of these people; min_share as of same_person."""
    return any(same_person(keypoints, person.keypoints, min_share) for person in people)


def select_largest(
    regions: Sequence[Region], people: Sequence[Observation], max_people: int
) -> list[int]:
    """Return the indices of the regions that may show one of the nearest people.

    Distances are not known before; the nearer a person, the larger the region.

    Parameters
    ----------
    regions : sequence of Region
        Regions of different people.
    people : sequence of Observation
        The tracked people.
    max_people : int
        Maximum number of people.
    """
    free = max_people - len(people)
    if len(regions) <= free:
        return list(range(len(regions)))
    largest = sorted(range(len(regions)), key=lambda i: -regions[i].size)[:max_people]
    known = sorted(person.next_region.size for person in people)
    # Beyond the free places, each has to be larger than the next smallest of the tracked people.
    rivals = zip(largest[free:], known, strict=False)
    return largest[:free] + [i for i, size in rivals if size < _NEARER * regions[i].size]


def _select_nearest(
    found: list[Observation], tracked: Sequence[Observation], max_people: int
) -> list[Observation]:
    """Return the max_people nearest people, in their order; tracked ones stay in case of doubt."""
    if len(found) <= max_people:
        return found

    def distance(person: Observation) -> float:
        try:
            return float(person.hips[2]) * (_NEARER if _contains(tracked, person) else 1.0)
        except ImpossiblePoseError:
            return np.inf

    nearest = sorted(found, key=distance)[:max_people]
    return [person for person in found if _contains(nearest, person)]


def _contains(people: Sequence[Observation], person: Observation) -> bool:
    """Return whether an observation is one of these; equality of arrays is of no use here."""
    return any(person is other for other in people)
