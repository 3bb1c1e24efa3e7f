"""How far joints are believed: by the detector, and as no other person's."""

import numpy as np
import pytest
from sample import read_camera, read_frames

from hybrik_ros.perception.agreement import compare, doubt_shared_limbs
from hybrik_ros.perception.detector import Detection
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.skeleton import JOINT_NAMES

JOINT = {name: index for index, name in enumerate(JOINT_NAMES)}
LEFT_ELBOW, LEFT_WRIST, RIGHT_ELBOW, RIGHT_WRIST, LEFT_ANKLE = 7, 9, 8, 10, 15


def person(score=0.7, aside=0.0):
    """Return keypoints (17, 3) of a person with a trunk of 100 pixels."""
    points = np.zeros((17, 3))
    points[:5, :2] = [[0, 0], [4, -4], [-4, -4], [12, 0], [-12, 0]]
    points[5:, :2] = [[20, 40], [-20, 40], [30, 90], [-30, 90], [35, 130], [-35, 130], [12, 140],
                      [-12, 140], [12, 220], [-12, 220], [12, 300], [-12, 300]]  # fmt: skip
    points[:, 0] += aside
    points[:, 2] = score
    return points


def detection(keypoints):
    return Detection(0.5, np.array([-40.0, -10, 40, 310]), keypoints)


def test_keypoints_that_coincide_are_believed():
    found = compare([[detection(person())]], person(0.95))
    assert found.support == 1.0
    assert np.array_equal(found.belief, np.ones(24))


def test_joint_that_the_detector_does_not_see_is_doubted():
    seen = person()
    seen[LEFT_WRIST, 2] = 0.05
    belief = compare([[detection(seen)]], person()).belief
    doubted = {name for name in JOINT if JOINT[name] < 24 and belief[JOINT[name]] < 0.9}
    assert doubted == {'left_wrist', 'left_hand'}
    assert 0.45 < belief[JOINT['left_wrist']] < 0.6


def test_belief_falls_with_the_distance_of_the_keypoints():
    beliefs = []
    for away in (0, 30, 60, 90):
        seen = person(0.3)
        seen[LEFT_ANKLE, 0] += away
        beliefs.append(compare([[detection(seen)]], person()).belief[JOINT['left_ankle']])
    assert beliefs[0] == 1
    assert np.all(np.diff(beliefs) <= 0)
    assert beliefs[-1] < 0.5


def test_best_of_several_looks_counts():
    weak, strong = person(0.1), person(0.6)
    both = compare([[detection(weak)], [detection(strong)]], person())
    assert np.array_equal(both.belief, compare([[detection(strong)]], person()).belief)


def test_person_that_the_detector_does_not_find_has_no_belief():
    found = compare([[detection(person(aside=300.0))], []], person())
    assert found.support == 0
    assert found.belief is None


@pytest.mark.parametrize(('score', 'support'), [(0.15, 0.5), (0.3, 1.0), (0.9, 1.0)])
def test_support_falls_with_the_score_of_the_detection(score, support):
    unsure = Detection(score, np.array([-40.0, -10, 40, 310]), person())
    assert compare([[unsure]], person()).support == pytest.approx(support)


@pytest.mark.parametrize('mirrored', [False, True])
def test_shared_forearm_belongs_to_the_person_with_more_support(mirrored):
    first, second = person(), person(aside=150.0)
    ends = [RIGHT_ELBOW, RIGHT_WRIST] if mirrored else [LEFT_ELBOW, LEFT_WRIST]
    second[ends, :2] = first[[LEFT_ELBOW, LEFT_WRIST], :2] + [5, 3]
    one, other = doubt_shared_limbs([first, second], [0.95, 0.6])
    assert np.array_equal(one, np.ones(24))
    side = 'right' if mirrored else 'left'
    doubted = {name for name in JOINT if JOINT[name] < 24 and other[JOINT[name]] < 0.5}
    assert doubted == {f'{side}_{part}' for part in ('elbow', 'wrist', 'hand')}


def test_both_are_doubted_where_the_detector_agrees_with_both():
    first, second = person(), person(aside=150.0)
    second[[LEFT_ELBOW, LEFT_WRIST], :2] = first[[LEFT_ELBOW, LEFT_WRIST], :2]
    for belief in doubt_shared_limbs([first, second], [0.9, 0.9]):
        assert belief[JOINT['left_wrist']] < 0.5


def test_shaking_hands_shares_no_limb():
    first, second = person(), person(aside=150.0)
    second[RIGHT_WRIST, :2] = first[LEFT_WRIST, :2]
    for belief in doubt_shared_limbs([first, second], [0.9, 0.9]):
        assert np.array_equal(belief, np.ones(24))
    assert doubt_shared_limbs([], []) == []


def test_joints_of_the_walker_are_believed_in_every_frame():
    count = 0
    with Pipeline.create(confirm_after=0.0) as pipeline:
        for index, frame in enumerate(read_frames(0, 145)[::6]):
            found = pipeline(frame, read_camera(), index / 5)
            [track] = pipeline._tracker.followed
            if found:
                legs = [JOINT[f'{side}_{part}'] for side in ('left', 'right')
                        for part in ('knee', 'ankle')]  # fmt: skip
                assert track.belief[legs].min() > 0.6
                count += 1
    assert count > 20
