"""REP-155's bodies: angles and urdf by a naive forward kinematics, messages, topics over DDS."""

import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator

import motions
import numpy as np
import pytest
import rclpy
from hri_msgs.msg import IdsList, NormalizedRegionOfInterest2D, Skeleton2D
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from poses import random_rotations
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from scipy.spatial.transform import Rotation, Slerp
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header, String

from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Camera
from hybrik_ros.cli.bench.footage import DownloadError
from hybrik_ros.kinematics import forward
from hybrik_ros.node import rep155_messages as messages
from hybrik_ros.node.frames import to_transforms
from hybrik_ros.node.rep155 import Rep155, available
from hybrik_ros.node.rep155_angles import HINGES, joint_angles
from hybrik_ros.node.rep155_urdf import to_urdf
from hybrik_ros.pipeline import Human
from hybrik_ros.skeleton import JOINT_NAMES

BODY = BodyModel.load()
REST = BODY.rest_joints()
JOINT = {name: index for index, name in enumerate(JOINT_NAMES)}
# Upside down, as a body stands before a camera: it faces it.
FACING = Rotation.from_euler('x', 180, degrees=True).as_matrix()
TOLERANCE = 2.0  # degrees

LIMBS = {
    f'{letter}_{end}': (f'{side}_{start}', f'{side}_{end}')
    for letter, side in (('l', 'left'), ('r', 'right'))
    for start, end in (
        ('shoulder', 'elbow'),
        ('elbow', 'wrist'),
        ('hip', 'knee'),
        ('knee', 'ankle'),
    )
}


def person(
    rotations: np.ndarray, id: str = 'p1', translation: tuple = (0.0, 0.0, 3.0), **changes: object
) -> Human:
    """A person of the mean shape, all of whom is seen."""
    fields = {
        'id': id,
        'confidence': 0.75,
        'box': np.array([20.0, 10.0, 60.0, 70.0]),
        'joints': forward(rotations, REST)[0][:24] + translation,
        'joint_confidence': np.linspace(0.5, 0.96, 24),
        'rotations': rotations,
        'betas': np.zeros(BODY.num_betas),
        'translation': np.array(translation),
        'translation_confidence': 0.5,
        'velocity': np.array([0.1, -0.2, 0.3]),
    }
    return Human(**{**fields, **changes})


def pose(**turns: Rotation) -> np.ndarray:
    """The T-pose but for the parent-relative rotations of the joints named, facing the camera."""
    rotations = np.tile(np.eye(3), (24, 1, 1))
    rotations[0] = FACING
    for name, turn in turns.items():
        rotations[JOINT[name]] = turn.as_matrix()
    return rotations


# The oracle: a naive forward kinematics of what is published


def model_frames(urdf: str, angles: dict[str, float]) -> dict[str, np.ndarray]:
    """The (4, 4) frames of a model's links in its root, by the letter of URDF's specification."""
    robot = ET.fromstring(urdf)
    children = {joint.find('child').get('link') for joint in robot.findall('joint')}
    (root,) = {link.get('name') for link in robot.findall('link')} - children
    frames = {root: np.eye(4)}
    waiting = robot.findall('joint')
    while waiting:
        joint = next(j for j in waiting if j.find('parent').get('link') in frames)
        waiting.remove(joint)
        origin = joint.find('origin')
        local = np.eye(4)
        local[:3, 3] = np.fromstring(origin.get('xyz'), sep=' ')
        roll_pitch_yaw = np.fromstring(origin.get('rpy'), sep=' ')
        turn = Rotation.from_euler('xyz', roll_pitch_yaw)
        if joint.get('type') == 'revolute':
            axis = np.fromstring(joint.find('axis').get('xyz'), sep=' ')
            turn = turn * Rotation.from_rotvec(angles.pop(joint.get('name')) * axis)
        local[:3, :3] = turn.as_matrix()
        frames[joint.find('child').get('link')] = frames[joint.find('parent').get('link')] @ local
    assert not angles, 'angles of joints that the model does not have'
    return frames


def smpl_frames(human: Human) -> dict[str, np.ndarray]:
    """The (4, 4) frames of SMPL's joints in body_<id>, as TF tells them."""
    frames = {}
    for transform in to_transforms(human, Header(frame_id='camera')):
        t, q = transform.transform.translation, transform.transform.rotation
        local = np.eye(4)
        local[:3, :3] = Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix()
        local[:3, 3] = t.x, t.y, t.z
        parent = frames.get(transform.header.frame_id)
        frames[transform.child_frame_id] = np.eye(4) if parent is None else parent @ local
    return frames


def misses(human: Human, angles: np.ndarray) -> dict[str, float]:
    """By how many degrees the model's limbs and head miss those of SMPL's frames."""
    names = [f'{hinge.name}_{human.id}' for hinge in HINGES]
    rest = BODY.rest_joints(human.betas)
    model = model_frames(to_urdf(human.id, rest), dict(zip(names, angles, strict=True)))
    smpl = smpl_frames(human)
    found = {}
    for end, (first, second) in LIMBS.items():
        start = {'elbow': 'shoulder', 'wrist': 'elbow', 'knee': 'hip', 'ankle': 'knee'}[end[2:]]
        ours = model[f'{end}_{human.id}'] - model[f'{end[0]}_{start}_{human.id}']
        truth = smpl[f'smpl_{second}_{human.id}'] - smpl[f'smpl_{first}_{human.id}']
        found[end] = angle(ours[:3, 3], truth[:3, 3])
    # SMPL's axes of the head, at rest x left, y up, z front, as REP-155's: x front, y left, z up.
    head = smpl[f'smpl_head_{human.id}'][:3, [2, 0, 1]]
    turn = model[f'head_{human.id}'][:3, :3].T @ head
    found['head'] = np.degrees(Rotation.from_matrix(turn).magnitude())
    return found


def angle(first: np.ndarray, second: np.ndarray) -> float:
    """The angle between two directions, degrees."""
    first, second = (v / np.linalg.norm(v) for v in (first, second))
    return float(np.degrees(2 * np.arcsin(min(np.linalg.norm(first - second) / 2, 1.0))))


def named(angles: np.ndarray) -> dict[str, float]:
    """Angles by name, in degrees."""
    return dict(zip([hinge.name for hinge in HINGES], np.degrees(angles), strict=True))


# Angles


@pytest.mark.parametrize('spread', [0.3, 1.0, 2.0])
def test_limbs_of_random_poses_point_where_smpls_do(spread: float) -> None:
    rng = np.random.default_rng(50)
    previous = None
    for rotations in random_rotations(rng, 100, spread):
        betas = rng.normal(size=BODY.num_betas)
        rest = BODY.rest_joints(betas)
        joints = forward(rotations, rest)[0][:24]
        human = person(rotations, joints=joints, betas=betas)
        for angles in (joint_angles(rotations, rest), joint_angles(rotations, rest, previous)):
            assert max(misses(human, angles).values()) < TOLERANCE
            previous = angles


@given(
    vectors=arrays(float, (24, 3), elements=st.floats(-4, 4)),
    previous=arrays(float, 20, elements=st.floats(-7, 7)),
)
def test_whatever_the_angles_were_limbs_point_where_smpls_do(
    vectors: np.ndarray, previous: np.ndarray
) -> None:
    rotations = Rotation.from_rotvec(vectors).as_matrix()
    angles = joint_angles(rotations, REST, previous)
    assert max(misses(person(rotations), angles).values()) < TOLERANCE
    assert np.abs(angles - previous).max() <= np.pi + 1e-9


def test_at_zero_limbs_hang_and_the_head_is_upright() -> None:
    angles = {f'{hinge.name}_p1': 0.0 for hinge in HINGES}
    frames = model_frames(to_urdf('p1', REST), angles)
    for letter in 'lr':
        for limb in (('shoulder', 'elbow', 'wrist'), ('hip', 'knee', 'ankle')):
            at = [frames[f'{letter}_{part}_p1'][:3, 3] for part in limb]
            for bone in np.diff(at, axis=0):
                np.testing.assert_allclose(bone[:2], 0, atol=1e-9)
                assert bone[2] < 0
    assert frames['l_shoulder_p1'][1, 3] > 0 > frames['r_shoulder_p1'][1, 3]
    np.testing.assert_allclose(frames['head_p1'][:3, :3], np.eye(3), atol=1e-9)


def test_lengths_are_the_persons() -> None:
    betas = np.linspace(-1, 1, BODY.num_betas)
    rest = BODY.rest_joints(betas)
    frames = model_frames(to_urdf('x', rest), {f'{hinge.name}_x': 0.3 for hinge in HINGES})
    for end, (first, second) in LIMBS.items():
        start = {'elbow': 'shoulder', 'wrist': 'elbow', 'knee': 'hip', 'ankle': 'knee'}[end[2:]]
        bone = frames[f'{end}_x'] - frames[f'{end[0]}_{start}_x']
        length = np.linalg.norm(rest[JOINT[second]] - rest[JOINT[first]])
        assert np.linalg.norm(bone[:3, 3]) == pytest.approx(length, abs=1e-4)
    width = np.linalg.norm(rest[JOINT['left_hip']] - rest[JOINT['right_hip']])
    hips = frames['l_hip_x'][:3, 3] - frames['r_hip_x'][:3, 3]
    assert np.linalg.norm(hips) == pytest.approx(width, abs=1e-4)


def lowered(side: str, degrees: float = 90.0) -> Rotation:
    return Rotation.from_euler('z', -degrees if side == 'left' else degrees, degrees=True)


# SMPL's arms are bent and its legs are spread a little in the T-pose, by some degrees.
@pytest.mark.parametrize(
    ('turns', 'expected'),
    [
        ({}, {'waist': 0, 'l_p_shoulder': 90, 'r_p_shoulder': 90, 'r_head': 0, 'y_head': 0}),
        ({'left_elbow': ('y', -90)}, {'l_elbow': 90, 'l_p_shoulder': 90, 'r_p_shoulder': 90}),
        ({'right_elbow': ('y', 90)}, {'r_elbow': 90, 'r_p_shoulder': 90}),
        ({'left_knee': ('x', 90)}, {'l_knee': -90, 'l_y_hip': 0}),
        ({'right_knee': ('x', 90)}, {'r_knee': -90, 'r_y_hip': 0}),
        (
            {'left_hip': ('x', -60), 'left_knee': ('x', 90)},
            {'l_r_hip': 60, 'l_knee': -90, 'l_y_hip': 0, 'l_p_hip': 0},
        ),
        ({'head': ('y', 30)}, {'y_head': 30, 'r_head': 0, 'p_head': 0}),
        ({'head': ('x', -30)}, {'p_head': 30, 'r_head': 0, 'y_head': 0}),
        ({'head': ('z', 30)}, {'r_head': 30, 'p_head': 0, 'y_head': 0}),
        ({'spine1': ('x', 40)}, {'waist': 36, 'l_p_shoulder': 90}),
        # Forwards and level: turned aside by 90 degrees, then raised as far.
        ({'left_shoulder': ('y', -90)}, {'l_y_shoulder': 90, 'l_p_shoulder': 90}),
        ({'right_shoulder': ('y', 90)}, {'r_y_shoulder': 90, 'r_p_shoulder': 90}),
    ],
)
def test_angles_of_plain_poses(turns: dict, expected: dict[str, float]) -> None:
    turned = {name: Rotation.from_euler(*turn, degrees=True) for name, turn in turns.items()}
    rotations = pose(**turned)
    angles = named(joint_angles(rotations, REST))
    assert {name: angles[name] for name in expected} == pytest.approx(expected, abs=11)


def swing(step: float, aside: float, side: str, bent: float) -> list[np.ndarray]:
    """Poses of an arm that swings from the front to the back.

    step: degrees from pose to pose.
    aside: degrees by which it misses the axis about which it would hang.
    bent: degrees, of the elbow.
    """
    shoulder = JOINT[f'{side}_shoulder']
    bone = REST[JOINT[f'{side}_elbow']] - REST[shoulder]
    outwards = 1 if side == 'left' else -1
    down = Rotation.align_vectors([[0, -1, 0], [0, 0, 1]], [bone, [0, 0, 1]], [1e6, 1])[0]
    aside = Rotation.from_euler('z', outwards * aside, degrees=True)
    rotations = []
    for degrees in np.arange(-30, 30 + step / 2, step):
        turn = Rotation.from_euler('x', degrees, degrees=True) * aside * down
        elbow = Rotation.from_euler('y', -outwards * bent, degrees=True)
        rotations.append(pose(**{f'{side}_shoulder': turn, f'{side}_elbow': elbow}))
    return rotations


def followed(poses: list[np.ndarray]) -> np.ndarray:
    """The angles (N, 20) of poses that follow each other."""
    angles: list[np.ndarray] = []
    for rotations in poses:
        angles.append(joint_angles(rotations, REST, angles[-1] if angles else None))
    return np.array(angles)


@pytest.mark.parametrize('side', ['left', 'right'])
@pytest.mark.parametrize('bent', [0.0, 20.0, 90.0])
def test_an_arm_that_swings_past_hanging_only_swings(side: str, bent: float) -> None:
    poses = swing(0.5, 0.0, side, bent)
    angles = followed(poses)
    assert np.degrees(np.abs(np.diff(angles, axis=0)).max()) < 0.6
    pitch = [named(row)[f'{side[0]}_p_shoulder'] for row in angles]
    assert pitch[0] == pytest.approx(30, abs=1)
    assert pitch[-1] == pytest.approx(-30, abs=1)
    for rotations, row in zip(poses, angles, strict=True):
        assert max(misses(person(rotations), row).values()) < TOLERANCE


@pytest.mark.parametrize('side', ['left', 'right'])
@pytest.mark.parametrize('aside', [-3.0, -0.3, 0.3, 1.0, 3.0, 10.0])
def test_an_arm_that_swings_beside_hanging_turns_steadily(side: str, aside: float) -> None:
    coarse, fine = (followed(swing(step, aside, side, 20.0)) for step in (0.4, 0.05))
    # As far from the axis as it passes, no more than the swing turns it.
    assert np.degrees(np.abs(np.diff(fine, axis=0)).max()) < 1.1 * 0.05 / np.radians(abs(aside))
    for rotations, row in zip(swing(0.4, aside, side, 20.0), coarse, strict=True):
        assert max(misses(person(rotations), row).values()) < TOLERANCE


def test_an_arm_that_trembles_as_it_hangs_hardly_turns() -> None:
    rng = np.random.default_rng(51)
    hanging = swing(1.0, 0.0, 'left', 45.0)[30]
    poses = []
    for tremor in rng.normal(0, 0.2, (200, 3)):
        rotations = hanging.copy()
        shoulder = Rotation.from_matrix(rotations[JOINT['left_shoulder']])
        turn = Rotation.from_euler('xyz', tremor, degrees=True) * shoulder
        rotations[JOINT['left_shoulder']] = turn.as_matrix()
        poses.append(rotations)
    arms = [
        forward(rotations, REST)[0][JOINT['left_elbow']]
        - forward(rotations, REST)[0][JOINT['left_shoulder']]
        for rotations in poses
    ]
    towards = np.unwrap([np.arctan2(-arm[2], arm[0]) for arm in arms])  # seen from above
    assert np.degrees(np.abs(np.diff(towards)).max()) > 150
    assert np.degrees(np.abs(np.diff(followed(poses), axis=0)).max()) < 45


@pytest.fixture(scope='module')
def clips(request: pytest.FixtureRequest) -> dict:
    """Rotations of each clip of real motion by name, from a folder that stays."""
    try:
        return motions.read_all(request.config.cache.mkdir('motions'))
    except DownloadError as error:
        pytest.skip(str(error))


def between(rotations: np.ndarray, times: int) -> np.ndarray:
    """So many times as many poses, with those that lie between."""
    count = len(rotations)
    moments = np.linspace(0, count - 1, (count - 1) * times + 1)
    joints = [
        Slerp(np.arange(count), Rotation.from_matrix(rotations[:, joint]))(moments).as_matrix()
        for joint in range(24)
    ]
    return np.stack(joints, axis=1)


@pytest.mark.parametrize('name', ['backflip', 'cartwheel', 'dance_b', 'spinkick', 'walk'])
def test_limbs_of_real_motion_point_where_smpls_do(clips: dict, name: str) -> None:
    rotations = clips[name][0]
    for pose_of_frame, row in zip(rotations, followed(list(rotations)), strict=True):
        assert max(misses(person(pose_of_frame), row).values()) < TOLERANCE


@pytest.mark.parametrize('name', ['cartwheel', 'dance_b', 'punch', 'run', 'walk'])
def test_real_motion_is_followed_without_jumps(clips: dict, name: str) -> None:
    """What is no jump becomes smaller the more often one looks."""
    steps = [
        np.abs(np.diff(followed(list(between(clips[name][0], times))), axis=0)).max()
        for times in (4, 16)
    ]
    assert steps[1] < 0.3 * steps[0]
