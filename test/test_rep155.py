"""REP-155's bodies: angles and urdf by a naive forward kinematics, messages, topics over DDS."""

import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import pytest
from geometry_msgs.msg import PointStamped, TwistStamped
from hri_msgs.msg import IdsList, NormalizedRegionOfInterest2D, Skeleton2D
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from poses import random_rotations
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message, serialize_message
from scipy.spatial.transform import Rotation, Slerp
from sensor_msgs.msg import Image, JointState
from spinning import SpinningNode, wait_for
from std_msgs.msg import Header, String

from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Camera
from hybrik_ros.cli.bench.packages import DownloadError
from hybrik_ros.human import Human
from hybrik_ros.kinematics import forward, global_rotations
from hybrik_ros.node import rep155_messages as messages
from hybrik_ros.node.camera_image import CameraImage
from hybrik_ros.node.message_maker import make
from hybrik_ros.node.rep155 import Rep155, available
from hybrik_ros.node.rep155_angles import HINGES, joint_angles
from hybrik_ros.node.rep155_urdf import to_urdf
from hybrik_ros.skeleton import JOINT_NAMES
from tools.depths import motions

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
    """A person of the mean shape, wholly visible."""
    fields = {
        'id': id,
        'confidence': 0.75,
        'box': np.array([20.0, 10.0, 60.0, 70.0]),
        'joints': forward(rotations, REST)[0][:24] + translation,
        'joint_confidence': np.linspace(0.5, 0.96, 24),
        'rotations': rotations,
        'global_rotations': global_rotations(rotations),
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
    for transform in make.tf([human], Header(frame_id='camera')).transforms:
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


def test_axes_are_those_of_rep155() -> None:
    reflected = {
        'y_shoulder': ((0, 0, -1), True), 'p_shoulder': ((1, 0, 0), True),
        'r_shoulder': ((0, 0, 1), True), 'elbow': ((0, -1, 0), False),
        'y_hip': ((0, 0, -1), False), 'p_hip': ((1, 0, 0), True), 'r_hip': ((0, -1, 0), False),
        'knee': ((0, -1, 0), False),
    }  # fmt: skip
    expected = {
        'waist': (0, 1, 0), 'r_head': (1, 0, 0), 'y_head': (0, 0, 1), 'p_head': (0, -1, 0),
    }  # fmt: skip
    for name, (axis, mirrored) in reflected.items():
        expected[f'l_{name}'] = axis
        expected[f'r_{name}'] = tuple(-np.array(axis)) if mirrored else axis
    robot = ET.fromstring(to_urdf('p1', REST))
    axes = {
        joint.get('name').removesuffix('_p1'): tuple(
            np.fromstring(joint.find('axis').get('xyz'), sep=' ')
        )
        for joint in robot.findall('joint')
        if joint.get('type') == 'revolute'
    }
    assert axes == expected


def test_links_hang_together_as_in_rep155() -> None:
    robot = ET.fromstring(to_urdf('p1', REST))
    parents = {
        joint.find('child').get('link').removesuffix('_p1'): (
            joint.find('parent').get('link').removesuffix('_p1')
        )
        for joint in robot.findall('joint')
    }
    chains = [
        ['head', 'p_head', 'y_head', 'r_head', 'torso', 'waist', 'body'],
        *(
            [f'{s}_{part}' for part in ('wrist', 'elbow', 'shoulder', 'p_shoulder', 'y_shoulder')]
            + ['torso']
            for s in 'lr'
        ),
        *(
            [f'{s}_{part}' for part in ('ankle', 'knee', 'hip', 'p_hip', 'y_hip')] + ['body']
            for s in 'lr'
        ),
    ]
    assert parents == {child: parent for chain in chains for child, parent in pairwise(chain)}


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
    """Steps between samples of a continuous motion shrink as the sampling rate grows."""
    steps = [
        np.abs(np.diff(followed(list(between(clips[name][0], times))), axis=0)).max()
        for times in (4, 16)
    ]
    assert steps[1] < 0.3 * steps[0]


# Messages

# Of a unit focal length in pixels: at a distance of 1 m, a metre is 100 pixels.
CAMERA = Camera(np.array([[100.0, 0, 49.5], [0, 100, 39.5], [0, 0, 1]]), np.zeros(0), 100, 80)
RGB = np.random.default_rng(52).integers(0, 256, (80, 100, 3), np.uint8)
PICTURE = CameraImage(RGB, CAMERA)
HEADER = Header(frame_id='camera_optical_frame')
HEADER.stamp.sec = 12
FACE = ('nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear')


def test_hri_msgs_is_there() -> None:
    assert available()


def test_without_hri_msgs_the_module_says_so() -> None:
    code = (
        'import sys; sys.modules["hri_msgs"] = None;'  # as if it were not installed
        'from hybrik_ros.node.rep155 import available; print(available())'
    )
    command = [sys.executable, '-c', code]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    assert result.stdout.strip() == 'False'


def test_region_is_the_box_in_parts_of_the_image() -> None:
    region = messages.to_region(person(pose()), CAMERA, HEADER)
    assert region.header == HEADER
    corners = region.xmin, region.ymin, region.xmax, region.ymax
    assert corners == pytest.approx((0.2, 0.125, 0.6, 0.875))
    assert region.c == 0.75


@pytest.mark.parametrize(
    ('box', 'rows', 'columns'),
    [
        ((20, 10, 60, 70), slice(10, 70), slice(20, 60)),
        ((20.4, 10.6, 59.1, 69.9), slice(10, 70), slice(20, 60)),
        ((0, 0, 100, 80), slice(0, 80), slice(0, 100)),
        ((100, 80, 100, 80), slice(79, 80), slice(99, 100)),  # of a person that just left
        ((30, 0, 30, 20), slice(0, 20), slice(30, 31)),
    ],
)
def test_cropped_is_what_is_in_the_box(box: tuple, rows: slice, columns: slice) -> None:
    cropped = messages.to_cropped(person(pose(), box=np.array(box, float)), RGB, HEADER)
    expected = RGB[rows, columns]
    assert (cropped.height, cropped.width, cropped.encoding) == (*expected.shape[:2], 'rgb8')
    assert cropped.header == HEADER
    pixels = np.frombuffer(cropped.data, np.uint8).reshape(-1, cropped.step)
    np.testing.assert_array_equal(pixels.reshape(expected.shape), expected)


def placed(**places: tuple) -> tuple[Human, Skeleton2D]:
    """A person, some of whose joints are at given places (3), and the message of it."""
    human = person(pose())
    for name, place in places.items():
        human.joints[JOINT[name]] = place
    return human, messages.to_skeleton(human, BODY, CAMERA, HEADER)


def test_skeleton_has_every_joint_at_its_place_in_the_image() -> None:
    # COCO's order, as OpenPose has it, but with the left eye and ear before the right ones.
    order = [
        'nose', 'neck', 'right_shoulder', 'right_elbow', 'right_wrist', 'left_shoulder',
        'left_elbow', 'left_wrist', 'right_hip', 'right_knee', 'right_ankle', 'left_hip',
        'left_knee', 'left_ankle', 'left_eye', 'right_eye', 'left_ear', 'right_ear',
    ]  # fmt: skip
    places = {
        name: (0.01 * index, -0.02 * index, 1.0 + 0.1 * index)
        for index, name in enumerate(order)
        if name in JOINT and name != 'neck'
    }
    human, skeleton = placed(**places)
    assert skeleton.header == HEADER
    assert len(skeleton.skeleton) == 18
    for index, name in enumerate(order):
        if name in places:
            x, y, z = places[name]
            found = skeleton.skeleton[index]
            # The middle of the image's 100 x 80 pixels is where x and y are 0.
            assert found.x == pytest.approx(0.5 + x / z, abs=1e-6)
            assert found.y == pytest.approx(0.5 + y / z * 100 / 80, abs=1e-6)
            assert found.c == pytest.approx(human.joint_confidence[JOINT[name]])


def test_the_neck_is_between_the_shoulders_and_as_sure_as_the_less_sure() -> None:
    human, skeleton = placed(left_shoulder=(0.2, 0.1, 1.0), right_shoulder=(0.0, -0.1, 1.0))
    neck = skeleton.skeleton[Skeleton2D.NECK]
    assert (neck.x, neck.y) == pytest.approx((0.6, 0.5))
    assert neck.c == pytest.approx(human.joint_confidence[JOINT['left_shoulder']])


@pytest.mark.parametrize(
    'place', [(0.51, 0, 1), (-0.51, 0, 1), (0, 0.41, 1), (0, -0.41, 1), (0, 0, 0), (0, 0, -1)]
)
def test_a_joint_outside_of_the_image_is_not_seen(place: tuple) -> None:
    wrist = placed(left_wrist=place)[1].skeleton[Skeleton2D.LEFT_WRIST]
    assert wrist.c == 0
    assert 0 <= wrist.x <= 1
    assert 0 <= wrist.y <= 1


def test_a_joint_that_is_inferred_is_not_seen() -> None:
    confidence = np.full(24, 0.9)
    confidence[JOINT['left_knee']] = 0
    human = person(pose(), joint_confidence=confidence)
    skeleton = messages.to_skeleton(human, BODY, CAMERA, HEADER).skeleton
    assert skeleton[Skeleton2D.LEFT_KNEE].c == 0
    assert skeleton[Skeleton2D.RIGHT_KNEE].c == pytest.approx(0.9)


def seen_of_face(turn: float, **changes: object) -> dict[str, bool]:
    """The visible landmarks of the face of a person turned about the vertical."""
    rotations = pose()
    rotations[0] = Rotation.from_euler('y', turn, degrees=True).as_matrix() @ FACING
    human = person(rotations, **changes)
    skeleton = messages.to_skeleton(human, BODY, CAMERA, HEADER).skeleton
    return {name: skeleton[getattr(Skeleton2D, name.upper())].c > 0 for name in FACE}


def test_a_face_is_seen_from_the_front_and_not_from_behind() -> None:
    assert all(seen_of_face(0).values())
    behind = seen_of_face(180)
    assert not any(behind[name] for name in ('nose', 'left_eye', 'right_eye'))


def test_from_the_side_one_ear_is_seen() -> None:
    # Turned to its left, which is to the right of the image, a person shows the right ear.
    left, right = seen_of_face(-90), seen_of_face(90)
    assert (left['left_ear'], left['right_ear']) == (False, True)
    assert (right['left_ear'], right['right_ear']) == (True, False)


def test_a_head_that_is_not_seen_has_no_face() -> None:
    assert not any(seen_of_face(0, joint_confidence=np.zeros(24)).values())


def test_the_face_is_where_the_mesh_has_it() -> None:
    rng = np.random.default_rng(53)
    for rotations in random_rotations(rng, 5):
        betas = rng.normal(size=BODY.num_betas)
        translation = np.array([0.1, 0.2, 3.0])
        joints = forward(rotations, BODY.rest_joints(betas))[0][:24] + translation
        human = person(rotations, joints=joints, betas=betas)
        skeleton = messages.to_skeleton(human, BODY, CAMERA, HEADER).skeleton
        vertices = BODY.vertices(rotations, betas, translation)
        nose = skeleton[Skeleton2D.NOSE]
        x, y, z = vertices[332]  # its tip
        np.testing.assert_allclose(
            [nose.x, nose.y], [0.5 + x / z, 0.5 + y / z * 100 / 80], atol=0.002
        )


def test_position_is_between_the_hips_and_velocity_is_the_persons() -> None:
    human = person(pose())
    human.joints[JOINT['left_hip']] = 0.1, 0.2, 2.0
    human.joints[JOINT['right_hip']] = -0.3, 0.4, 3.0
    position = messages.to_position(human, HEADER)
    where = position.point
    assert (where.x, where.y, where.z) == pytest.approx((-0.1, 0.3, 2.5))
    velocity = messages.to_velocity(human, HEADER)
    linear, angular = velocity.twist.linear, velocity.twist.angular
    assert (linear.x, linear.y, linear.z) == (0.1, -0.2, 0.3)
    assert (angular.x, angular.y, angular.z) == (0, 0, 0)
    assert position.header == velocity.header == HEADER


# Topics

TIMEOUT = 30.0
TOPICS = {
    'roi': NormalizedRegionOfInterest2D,
    'cropped': Image,
    'skeleton2d': Skeleton2D,
    'joint_states': JointState,
    'position': PointStamped,
    'velocity': TwistStamped,
}
LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


class Side(SpinningNode):
    """A node that hears the topics of people."""

    def subscribe(self, kind: type, topic: str, qos: QoSProfile | int = 10) -> list:
        """Return what is heard on a topic of /humans/bodies from now on."""
        heard: list = []
        self.node.create_subscription(kind, f'/humans/bodies/{topic}', heard.append, qos)
        return heard


@pytest.fixture
def ours(ros_environment: dict[str, str]) -> Iterator[Side]:
    side = Side('ours')
    yield side
    side.close()


@pytest.fixture
def theirs(ros_environment: dict[str, str]) -> Iterator[Side]:
    side = Side('theirs')
    yield side
    side.close()


@pytest.fixture
def rep155(ours: Side) -> Iterator[Rep155]:
    found = Rep155(ours.node, BODY)
    yield found
    found.close()


class Stream:
    """Frames of an image with people in it, numbered by their stamps."""

    def __init__(self, rep155: Rep155) -> None:
        self.rep155 = rep155
        self.number = 0

    def show(self, *people: str) -> Header:
        self.number += 1
        header = Header(frame_id='camera_optical_frame')
        header.stamp.sec = self.number
        humans = [person(pose(), id=id) for id in people]
        self.rep155.publish(humans, header, PICTURE)
        return header

    def show_until(self, condition: Callable[[], object], *people: str) -> object:
        return wait_for(lambda: self.show(*people) and condition())


@pytest.fixture
def stream(rep155: Rep155) -> Stream:
    return Stream(rep155)


def topics_of(side: Side) -> set[str]:
    """The published topics of /humans/bodies, as one side sees them."""
    names = {name for name, _ in side.node.get_topic_names_and_types()}
    return {
        name.removeprefix('/humans/bodies/')
        for name in names
        if name.startswith('/humans/bodies/') and side.node.count_publishers(name)
    }


def test_tracked_lists_ids_and_is_empty_without_people(stream: Stream, theirs: Side) -> None:
    tracked = theirs.subscribe(IdsList, 'tracked')
    assert stream.show_until(lambda: tracked, 'p1')
    assert list(tracked[-1].ids) == ['p1']
    header = stream.show('p1', 'p7')
    assert wait_for(lambda: tracked[-1].header == header)
    assert list(tracked[-1].ids) == ['p1', 'p7']
    header = stream.show()
    assert wait_for(lambda: tracked[-1].header == header)
    assert list(tracked[-1].ids) == []


def test_every_topic_has_the_frame_of_the_image(stream: Stream, theirs: Side) -> None:
    heard = {name: theirs.subscribe(kind, f'p1/{name}') for name, kind in TOPICS.items()}
    assert stream.show_until(lambda: all(heard.values()), 'p1')
    header = stream.show('p1')
    assert wait_for(lambda: all(list_[-1].header == header for list_ in heard.values()))
    human = person(pose())
    expected = {
        'roi': messages.to_region(human, CAMERA, header),
        'cropped': messages.to_cropped(human, RGB, header),
        'skeleton2d': messages.to_skeleton(human, BODY, CAMERA, header),
        'position': messages.to_position(human, header),
        'velocity': messages.to_velocity(human, header),
    }
    for name, message in expected.items():
        # Numbers are rounded on the way.
        assert heard[name][-1] == deserialize_message(serialize_message(message), TOPICS[name])


def test_joint_states_move_the_joints_of_the_urdf(stream: Stream, theirs: Side) -> None:
    states = theirs.subscribe(JointState, 'p1/joint_states')
    models = theirs.subscribe(String, 'p1/urdf', LATCHED)
    assert stream.show_until(lambda: states and models, 'p1')
    angles = dict(zip(states[-1].name, states[-1].position, strict=True))
    robot = ET.fromstring(models[-1].data)
    moving = {j.get('name') for j in robot.findall('joint') if j.get('type') != 'fixed'}
    assert set(angles) == moving
    frames = model_frames(models[-1].data, angles)
    bone = (frames['l_elbow_p1'] - frames['l_shoulder_p1'])[:3, 3]
    np.testing.assert_allclose(bone / np.linalg.norm(bone), [0, 1, 0], atol=0.1)


def test_late_subscriber_receives_the_urdf(stream: Stream, theirs: Side) -> None:
    stream.show('p1')
    late = theirs.subscribe(String, 'p1/urdf', LATCHED)
    assert wait_for(lambda: late)  # with no frame meanwhile
    assert late[0].data == to_urdf('p1', REST)
    for _ in range(5):
        stream.show('p1')
    time.sleep(0.2)
    assert len(late) == 1


def test_a_new_shape_has_a_new_urdf(rep155: Rep155, theirs: Side) -> None:
    models = theirs.subscribe(String, 'p1/urdf', LATCHED)
    rep155.publish([person(pose())], HEADER, PICTURE)
    assert wait_for(lambda: models)
    betas = np.full(BODY.num_betas, 1.0)
    rep155.publish([person(pose(), betas=betas)], HEADER, PICTURE)
    assert wait_for(lambda: len(models) == 2)
    assert models[1].data == to_urdf('p1', BODY.rest_joints(betas))


def test_topics_of_lost_tracks_go_and_of_hidden_ones_stay(
    stream: Stream, ours: Side, theirs: Side
) -> None:
    before = len(list(ours.node.publishers))
    stream.show('p1', 'p2')
    assert wait_for(lambda: topics_of(theirs) >= {'p1/urdf', 'p2/roi', 'tracked'})
    publishers = set(ours.node.publishers)
    assert len(publishers) == before + 14
    stream.show('p1')
    stream.show('p1', 'p2')
    assert set(ours.node.publishers) == publishers
    assert stream.show_until(lambda: len(list(ours.node.publishers)) == before + 7, 'p1')
    assert stream.show_until(lambda: len(list(ours.node.publishers)) == before)
    assert wait_for(lambda: topics_of(theirs) == {'tracked'})


def test_forgetting_all_says_so_and_takes_all_topics_down_at_once(
    stream: Stream, ours: Side, theirs: Side
) -> None:
    before = len(list(ours.node.publishers))
    tracked = theirs.subscribe(IdsList, 'tracked')
    assert stream.show_until(lambda: tracked, 'p1')
    stream.rep155.forget_all()
    assert len(list(ours.node.publishers)) == before
    assert wait_for(lambda: list(tracked[-1].ids) == [])
    stream.show('p1')
    assert wait_for(lambda: list(tracked[-1].ids) == ['p1'])


def test_silent_node_revokes_no_people_of_others(stream: Stream, ours: Side, theirs: Side) -> None:
    """Else of several cameras' nodes those that do not tell of bodies would empty the list."""
    tracked = theirs.subscribe(IdsList, 'tracked')
    assert stream.show_until(lambda: tracked, 'p1')
    header = stream.show('p1')
    assert wait_for(lambda: tracked[-1].header == header)
    count = len(tracked)
    silent = Rep155(ours.node, BODY)
    for _ in range(3):
        silent.forget_all()
    silent.close()
    for _ in range(3):
        stream.rep155.forget_all()
    assert wait_for(lambda: len(tracked) > count)
    time.sleep(0.3)
    assert [list(message.ids) for message in tracked[count:]] == [[]]


def test_closed_it_has_no_topics(ours: Side, theirs: Side) -> None:
    before = len(list(ours.node.publishers))
    rep155 = Rep155(ours.node, BODY)
    rep155.publish([person(pose())], HEADER, PICTURE)
    assert wait_for(lambda: topics_of(theirs) >= {'tracked', 'p1/roi'})
    rep155.close()
    assert len(list(ours.node.publishers)) == before
    assert wait_for(lambda: topics_of(theirs) == set())


def test_nothing_is_built_without_subscribers(rep155: Rep155, ours: Side) -> None:
    """Of images and cameras that are not there, nothing could be."""
    for _ in range(3):
        rep155.publish([person(pose())], HEADER, CameraImage(None, None))
    assert ours.node.count_publishers('/humans/bodies/p1/cropped') == 1


def test_people_may_come_and_go_while_the_node_spins(stream: Stream, ours: Side) -> None:
    """The executor looks at the node in its thread while another one changes its publishers."""
    usual = sys.getswitchinterval()
    ticks = []
    ours.node.create_timer(0.001, lambda: ticks.append(None))
    before = len(list(ours.node.publishers))
    try:
        sys.setswitchinterval(1e-6)  # so that threads meet in all places
        for number in range(100):
            stream.show(f'p{number}', f'p{number + 1}')
            stream.rep155.forget_all()
            assert len(list(ours.node.publishers)) == before
    finally:
        sys.setswitchinterval(usual)
    assert ours.is_spinning
    count = len(ticks)
    assert wait_for(lambda: len(ticks) > count)
