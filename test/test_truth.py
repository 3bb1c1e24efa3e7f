"""Errors of people against true joints, and trajectories of people, from made humans."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hybrik_ros.camera import Camera
from hybrik_ros.cli.bench.footage import Clip
from hybrik_ros.cli.bench.runs import Run
from hybrik_ros.cli.bench.truth import Truth
from hybrik_ros.confidence import MAIN_JOINTS
from hybrik_ros.human import Human
from hybrik_ros.skeleton import JOINT_NAMES

pytestmark = pytest.mark.filterwarnings('error')

# A standing person in front of the camera: shoulders, elbows, wrists, hips, knees and ankles.
JOINTS = np.array([[x, y, 4.0] for y in (-0.5, -0.2, 0.0, 0.1, 0.5, 0.9) for x in (-0.2, 0.2)])


def make_human(joints: NDArray = JOINTS, identity: str = 'p1', left: float = 0.0) -> Human:
    points = np.zeros((24, 3))
    points[MAIN_JOINTS] = joints
    turned = np.tile(np.eye(3), (24, 1, 1))
    return Human(
        id=identity, confidence=0.9, box=np.array([left, 0.0, left + 20, 60]), joints=points,
        joint_confidence=np.ones(24), rotations=turned, global_rotations=turned,
        betas=np.zeros(10), translation=np.zeros(3), translation_confidence=1.0,
        velocity=np.zeros(3),
    )  # fmt: skip


def test_joints_of_the_body_are_in_the_order_of_the_truth() -> None:
    names = [JOINT_NAMES[index] for index in MAIN_JOINTS]
    assert names[:2] == ['left_shoulder', 'right_shoulder']
    assert names[6:8] == ['left_hip', 'right_hip']
    assert names[10:] == ['left_ankle', 'right_ankle']


def test_distance_across_the_line_of_sight_does_not_depend_on_depth() -> None:
    truth = Truth(JOINTS[None])
    assert truth.distances(0, make_human(JOINTS * 1.7)) == pytest.approx(0)
    assert truth.hip_offset(0, make_human(JOINTS * 1.7)) == pytest.approx((0, 1.7))
    aside = JOINTS + [0.3, 0, 0]
    assert truth.distances(0, make_human(aside)) == pytest.approx(0.3)
    # At the true distance, as of a person twice as far away.
    assert truth.distances(0, make_human(aside * 2)) == pytest.approx(0.3)
    assert truth.hip_offset(0, make_human(aside * 2)) == pytest.approx((0.3, 2))


def test_person_is_known_only_if_all_joints_are() -> None:
    joints = np.stack([JOINTS, JOINTS])
    joints[1, 4, 0] = np.nan
    truth = Truth(joints)
    assert truth.is_known(0)
    assert not truth.is_known(1)


def test_trajectories_are_those_of_the_man_and_of_the_person_beside_him() -> None:
    clip = Clip('pair', Path(), Camera(np.eye(3)), people=2)
    frames = {
        number: [make_human(JOINTS + [1, 0, 0], 'w', 50), make_human(JOINTS, 'm')][
            : 2 - number // 3
        ]
        for number in range(4)
    }
    followed = Run(clip, frames, {}).follow(Truth(np.tile(JOINTS, (4, 1, 1))))
    first, second = ({n: human.id for n, human in each.items()} for each in followed)
    assert first == dict.fromkeys(range(3), 'm')
    assert second == dict.fromkeys(range(4), 'w')
