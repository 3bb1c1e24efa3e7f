"""Which of the people seen in a frame are different ones, and which of them to keep."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.camera import ImpossiblePoseError, Region
from hybrik_ros.perception.detector import SAME_KEYPOINTS, Detection, same_person
from hybrik_ros.perception.estimator import Observation

# Hysteresis: a new person replaces a tracked one only where its distance is below this fraction of
# the tracked person's.
_NEARER = 0.75

# Minimum share of coinciding keypoints at which two tracks show one person. It is larger than for
# new people: a person half hidden by another one is still there.
SAME_TRACKED = 2 / 3


class _HasKeypoints(Protocol):
    @property
    def keypoints(self) -> Array: ...


_P = TypeVar('_P', bound=_HasKeypoints)


class Trial(NamedTuple):
    """A detection, and the region in which the person is looked for."""

    detection: Detection
    region: Region


def distinct(people: Sequence[_P], min_share: float = SAME_KEYPOINTS) -> list[_P]:
    """Leave out people seen twice, whose regions ended up on one of them; the first one is kept.

    Parameters
    ----------
    people : sequence of Observation or Found
        The people.
    min_share : float
        As of same_person.
    """
    found: list[_P] = []
    for person in people:
        if not is_among(person.keypoints, found, min_share):
            found.append(person)
    return found


def is_among(
    keypoints: Array, people: Sequence[_HasKeypoints], min_share: float = SAME_KEYPOINTS
) -> bool:
    """Return whether keypoints (17, 3) are of one of these people; min_share as of same_person."""
    return any(same_person(keypoints, person.keypoints, min_share) for person in people)


def select_largest(
    regions: Sequence[Region],
    are_sure: Sequence[bool],
    people: Sequence[Observation],
    max_people: int,
) -> list[int]:
    """Return the indices of the regions that may show one of the nearest people.

    Distances are not known before; the nearer a person, the larger the region.

    Parameters
    ----------
    regions : sequence of Region
        Regions of different people.
    are_sure : sequence of bool
        Whether each certainly shows a person. Others only have the places that are left.
    people : sequence of Observation
        The tracked people.
    max_people : int
        Maximum number of people.
    """
    free = max_people - len(people)
    if len(regions) <= free:
        return list(range(len(regions)))
    best = sorted(range(len(regions)), key=lambda i: (not are_sure[i], -regions[i].size))
    known = sorted(person.next_region.size for person in people)
    # Beyond the free places, each has to be larger than the next smallest of the tracked people.
    rivals = zip(best[free:max_people], known, strict=False)
    return best[:free] + [
        i for i, size in rivals if are_sure[i] and size < _NEARER * regions[i].size
    ]


def select_nearest(
    people: Sequence[Observation], tracked: int, are_sure: Sequence[bool], max_people: int
) -> list[int]:
    """Return the indices, in order, of the people that are reported: the nearest of the sure ones.

    Others, which may be no people, only have the places that are left.

    Parameters
    ----------
    people : sequence of Observation
        Different people, tracked ones first; those stay in case of doubt.
    tracked : int
        Number of tracked people.
    are_sure : sequence of bool
        Whether each person is tracked already, or the detector is sure of it.
    max_people : int
        Maximum number of people.
    """

    def rank(index: int) -> tuple[bool, float]:
        try:
            distance = float(people[index].hips[2]) * (_NEARER if index < tracked else 1.0)
        except ImpossiblePoseError:
            distance = np.inf
        return not are_sure[index], distance

    return sorted(sorted(range(len(people)), key=rank)[:max_people])


def group_by_person(trials: Sequence[Trial], people: Sequence[_HasKeypoints]) -> list[list[Trial]]:
    """Return the detections of each person that is none of these people, best ones first."""
    groups: list[list[Trial]] = []
    for trial in sorted(trials, key=lambda each: -each.detection.score):
        keypoints = trial.detection.keypoints
        if is_among(keypoints, people):
            continue
        for group in groups:
            if same_person(keypoints, group[0].detection.keypoints):
                group.append(trial)
                break
        else:
            groups.append([trial])
    return groups
