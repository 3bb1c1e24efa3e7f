"""The compiled placing of joints and pointers against plain NumPy."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hybrik_ros.body import BodyModel
from hybrik_ros.body.proportions import JOINT, PARTS, SURFACE_POINT, Proportions, part_frames
from hybrik_ros.perception import blazepose as bp
from hybrik_ros.perception.landmark_joints import (
    find_guesses,
    find_pointers,
    head_rotation,
    place_joints,
)

SURFACE = [bp.INDEX[name] for name in SURFACE_POINT]
UP = np.array([0.0, -1.0, 0.0])
DIRECTIONS = {  # by joint: start, end, and direction in the T-pose where it is fixed
    'spine1': ('right_shoulder', 'left_shoulder', [1, 0, 0]),
    'neck': (('left_ear', 'right_ear'), 'nose', None),
    'left_shoulder': ('left_elbow', 'left_wrist', [0, 0, 1]),
    'right_elbow': ('right_pinky', 'right_index', [0, 0, 1]),
    'left_hip': ('left_knee', 'left_ankle', [0, 0, -1]),
    'right_knee': ('right_heel', 'right_toe', None),
}


@pytest.fixture(scope='module')
def proportions() -> Proportions:
    body = BodyModel.load()
    return Proportions.of(body, np.random.default_rng(4).normal(size=body.num_betas))


def standing(seed: int) -> NDArray:
    """Return landmarks (33, 3) of nearly a T-pose, turned at random."""
    rng = np.random.default_rng(seed)
    body = BodyModel.load()
    rest = body.rest_joints()
    points = rng.normal(0, 0.1, (bp.NUM_LANDMARKS, 3)) + rest[JOINT['head']]
    for name, index in bp.INDEX.items():
        if name in JOINT:
            points[index] = rest[JOINT[name]] + rng.normal(0, 0.02, 3)
    return points @ Rotation.random(random_state=seed).as_matrix().T


def carried(points: NDArray, body: Proportions) -> NDArray:
    """Return where each part would carry all joints (7, 29, 3)."""
    anchors, frames = part_frames(points[SURFACE])
    turns = frames @ body.frames.transpose(0, 2, 1)
    return anchors[:, None] + (body.rest - body.anchors[:, None]) @ turns.transpose(0, 2, 1)


def frame(first: NDArray, second: NDArray) -> NDArray:
    x = first / np.linalg.norm(first)
    z = np.cross(x, second)
    z /= np.linalg.norm(z)
    return np.stack([x, np.cross(z, x), z], axis=1)


def test_frames_of_parts_follow_their_two_directions() -> None:
    points = standing(0)[SURFACE]
    point = {name: points[row] for name, row in SURFACE_POINT.items()}
    hips, shoulders, ears = (
        (point[f'left_{name}'], point[f'right_{name}']) for name in ('hip', 'shoulder', 'ear')
    )
    trunk = np.mean(shoulders, axis=0) - np.mean(hips, axis=0)
    expected = {
        'hips': (np.mean(hips, axis=0), hips[0] - hips[1], trunk),
        'chest': (np.mean(shoulders, axis=0), shoulders[0] - shoulders[1], trunk),
        'head': (np.mean(ears, axis=0), ears[0] - ears[1], point['nose'] - np.mean(ears, axis=0)),
    }
    for side in ('left', 'right'):
        wrist, pinky, index, ankle, heel, toe = (
            point[f'{side}_{name}'] for name in ('wrist', 'pinky', 'index', 'ankle', 'heel', 'toe')
        )
        expected[f'{side}_hand'] = wrist, (index + pinky) / 2 - wrist, index - pinky
        expected[f'{side}_foot'] = ankle, toe - heel, ankle - heel
    anchors, frames = part_frames(points)
    for part, (anchor, first, second) in expected.items():
        assert anchors[PARTS.index(part)] == pytest.approx(anchor, abs=1e-12)
        assert frames[PARTS.index(part)] == pytest.approx(frame(first, second), abs=1e-12)


@pytest.mark.parametrize('seed', range(5))
def test_parts_of_a_whole_body_carry_its_joints(proportions: Proportions, seed: int) -> None:
    points, confidence = standing(seed), np.ones(bp.NUM_LANDMARKS)
    joints, sure = place_joints(points, confidence, proportions, UP)
    by_part = carried(points, proportions)
    carriers = {
        'pelvis': 'hips', 'left_hip': 'hips', 'neck': 'chest', 'right_collar': 'chest',
        'head_top': 'head', 'left_hand': 'left_hand', 'right_big_toe': 'right_foot',
    }  # fmt: skip
    for name, part in carriers.items():
        expected = by_part[PARTS.index(part), JOINT[name]]
        assert joints[JOINT[name]] == pytest.approx(expected, abs=1e-12)
    for name, share in (('spine1', 1 / 3), ('spine2', 2 / 3)):
        low, high = by_part[[PARTS.index('hips'), PARTS.index('chest')], JOINT[name]]
        assert joints[JOINT[name]] == pytest.approx((1 - share) * low + share * high, abs=1e-12)
    for name in ('left_elbow', 'right_knee'):
        assert (joints[JOINT[name]] == points[bp.INDEX[name]]).all()
    assert (sure[[JOINT['pelvis'], JOINT['left_knee']]] == 1).all()
    head = part_frames(points[SURFACE])[1][PARTS.index('head')]
    turn = head @ proportions.frames[PARTS.index('head')].T
    assert head_rotation(points, confidence, proportions) == pytest.approx(turn, abs=1e-12)


@pytest.mark.parametrize('hips', [0.0, 0.2])
def test_doubted_hips_follow_the_shoulders(proportions: Proportions, hips: float) -> None:
    points, confidence = standing(1), np.ones(bp.NUM_LANDMARKS)
    pair, shoulders = [bp.LEFT_HIP, bp.RIGHT_HIP], [bp.LEFT_SHOULDER, bp.RIGHT_SHOULDER]
    confidence[pair] = hips
    up = np.mean(points[pair], axis=0) - np.mean(points[shoulders], axis=0)  # upside down
    joints, sure = place_joints(points, confidence, proportions, up / np.linalg.norm(up))
    doubt = 1 - hips / 0.5
    straight = carried(points, proportions)[PARTS.index('chest')]
    moved = points.copy()
    for landmark, name in zip(pair, ('left_hip', 'right_hip'), strict=True):
        moved[landmark] += doubt * (straight[JOINT[name]] - moved[landmark])
    expected = carried(moved, proportions)[PARTS.index('hips'), JOINT['pelvis']]
    assert joints[JOINT['pelvis']] == pytest.approx(expected, abs=1e-12)
    assert sure[JOINT['pelvis']] == pytest.approx(hips * (1 - doubt))


def test_pointers_are_the_directions_between_landmarks(proportions: Proportions) -> None:
    points = standing(2)
    confidence = np.random.default_rng(2).uniform(0.2, 1, bp.NUM_LANDMARKS)
    found = find_pointers(points, confidence, proportions)
    for name, (start, end, at_rest) in DIRECTIONS.items():
        joint, starts = JOINT[name], (start,) if isinstance(start, str) else start
        origins = [bp.INDEX[each] for each in starts]
        seen = points[bp.INDEX[end]] - points[origins].mean(axis=0)
        assert found.seen[joint] == pytest.approx(seen, abs=1e-12)
        if at_rest is not None:
            assert (found.rest[joint] == at_rest).all()
    assert (found.rest[JOINT['neck']] == proportions.face).all()
    foot = proportions.frames[PARTS.index('right_foot'), :, 0]
    assert (found.rest[JOINT['right_knee']] == foot).all()
    bone = proportions.rest[JOINT['left_wrist']] - proportions.rest[JOINT['left_elbow']]
    bone /= np.linalg.norm(bone)
    assert found.stretched[JOINT['left_shoulder']] == pytest.approx(bone, abs=1e-12)
    sources = [bp.INDEX['left_elbow'], bp.INDEX['left_wrist']]
    assert found.confidence[JOINT['left_shoulder']] == confidence[sources].min()
    assert np.isnan(found.seen[[JOINT['pelvis'], JOINT['spine3']]]).all()


def test_guesses_are_ends_that_are_hidden_or_short(proportions: Proportions) -> None:
    joints, confidence = proportions.rest.copy(), np.ones(len(JOINT))
    joints[JOINT['left_elbow']] = joints[JOINT['left_shoulder']]  # seen, however short
    joints[JOINT['right_ankle']] = joints[JOINT['right_knee']]
    for name in ('left_hand', 'right_ankle', 'left_knee'):
        confidence[JOINT[name]] = 0.3
    guesses = find_guesses(joints, confidence, proportions)
    assert set(np.array(list(JOINT))[guesses]) == {'left_hand', 'right_ankle'}
