"""Which people are kept where there are more than the maximum, on made people."""

from types import SimpleNamespace

import numpy as np
import pytest

from hybrik_ros.camera import ImpossiblePoseError, Region
from hybrik_ros.perception.detector import Detection
from hybrik_ros.perception.selection import Trial, group_by_person, select_largest, select_nearest


class Behind:
    """A person whose hips lie behind the camera."""

    next_region = Region(np.zeros(2), 500.0)

    @property
    def hips(self):
        raise ImpossiblePoseError('behind the camera')


def person_at(distance):
    return SimpleNamespace(
        hips=np.array([0.0, 0.0, distance]), next_region=Region(np.zeros(2), 400 / distance)
    )


def upright(left):
    """Keypoints (17, 3) of a person 40 pixels wide whose left edge is there."""
    points = np.full((17, 3), 0.9)
    points[:, :2] = np.linspace([left, 0], [left + 40, 200], 17)
    return points


def trial(left, score):
    box = np.array([left, 0, left + 40, 200.0])
    return Trial(Detection(score, box, upright(left)), Region(np.zeros(2), 250.0))


@pytest.mark.parametrize(
    ('distances', 'tracked', 'sure', 'maximum', 'kept'),
    [
        ([4, 2, 3], 0, [True] * 3, 3, [0, 1, 2]),
        ([4, 2, 3], 0, [True] * 3, 2, [1, 2]),
        ([4, 2, 3], 0, [True, False, True], 2, [0, 2]),
        ([4, 2, 3], 0, [True, False, True], 3, [0, 1, 2]),
        ([4, 3.1], 1, [True, True], 1, [0]),
        ([4, 2.9], 1, [True, True], 1, [1]),
        ([4, 2.9], 1, [True, False], 1, [0]),
    ],
    ids=[
        'as many as the maximum',
        'nearest ones',
        'doubtful ones last',
        'doubtful ones where there is a place',
        'tracked one unless another is much nearer',
        'much nearer one',
        'tracked one before a doubtful one',
    ],
)
def test_the_nearest_people_are_kept(distances, tracked, sure, maximum, kept):
    people = [person_at(distance) for distance in distances]
    assert select_nearest(people, tracked, sure, maximum) == kept


def test_a_person_behind_the_camera_is_kept_last():
    assert select_nearest([Behind(), person_at(9)], 0, [True, True], 1) == [1]


@pytest.mark.parametrize(
    ('sizes', 'sure', 'tracked', 'maximum', 'chosen'),
    [
        ([100, 300, 200], [True] * 3, [], 2, [1, 2]),
        ([100, 300, 200], [True, False, True], [], 2, [2, 0]),
        ([100, 300, 200], [True, False, True], [], 3, [0, 1, 2]),
        ([100, 300], [True, True], [2.0], 1, [1]),  # Tracked: 200 pixels.
        ([100, 260], [True, True], [2.0], 1, []),
        ([100, 300], [True, False], [2.0], 1, []),
        ([100, 300], [True, False], [2.0], 2, [0]),
    ],
)
def test_regions_that_may_show_the_nearest_people_are_looked_at(
    sizes, sure, tracked, maximum, chosen
):
    regions = [Region(np.zeros(2), float(size)) for size in sizes]
    people = [person_at(distance) for distance in tracked]
    assert select_largest(regions, sure, people, maximum) == chosen


def test_detections_of_each_new_person_are_together_best_first():
    known = SimpleNamespace(keypoints=upright(900))
    trials = [trial(0, 0.2), trial(300, 0.5), trial(3, 0.7), trial(301, 0.4), trial(901, 0.9)]
    groups = group_by_person(trials, [known])
    assert [[each.detection.score for each in group] for group in groups] == [
        [0.7, 0.2],
        [0.5, 0.4],
    ]
