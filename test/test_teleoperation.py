"""The worked example of doc/teleoperation.md: angles by an independent kinematics, and a run."""

import importlib.util
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from geometry_msgs.msg import Quaternion
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from poses import random_rotations
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import JointState
from spinning import SpinningNode
from std_msgs.msg import Header

from hybrik_ros.body import BodyModel
from hybrik_ros.human import Human
from hybrik_ros.kinematics import forward, global_rotations
from hybrik_ros.msg import HumanMesh
from hybrik_ros.node.message_maker import make
from hybrik_ros.skeleton import JOINT_NAMES

EXAMPLE = Path(__file__).parents[1] / 'doc' / 'examples' / 'teleoperation.py'
REST = BodyModel.load().rest_joints()
JOINT = {name: index for index, name in enumerate(JOINT_NAMES)}
FACING = Rotation.from_euler('x', 180, degrees=True).as_matrix()  # the camera
DOWN = np.array([0.0, 0.0, -1.0])
SIGN = {'left': 1, 'right': -1}
ALL_SEEN = np.ones(24)
DEGREE = np.radians(1)


def load_example():
    spec = importlib.util.spec_from_file_location('teleoperation', EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


example = load_example()


def posed(**turns: Rotation) -> NDArray:
    """Rotations (24, 3, 3) of the T-pose but for the joints named, facing the camera."""
    rotations = np.tile(np.eye(3), (24, 1, 1))
    rotations[0] = FACING
    for name, turn in turns.items():
        rotations[JOINT[name]] = turn.as_matrix()
    return rotations


def hanging(side: str, *, elbow: float = 0.0) -> NDArray:
    """Whose arm hangs, the forearm bent to the front by so many radians.

    In SMPL's rest axes (x left, y up, z front) an arm goes down about z, and the forearm, which
    points aside there, to the front about y.
    """
    sign = SIGN[side]
    return posed(
        **{
            f'{side}_shoulder': Rotation.from_rotvec([0, 0, -sign * np.pi / 2]),
            f'{side}_elbow': Rotation.from_rotvec([0, -sign * elbow, 0]),
        }
    )


def turns_of(rotations: NDArray, side: str) -> tuple[Rotation, ...]:
    """Shoulder, elbow and wrist as the torso has them, by SMPL's tree written out."""
    turns = []
    turn = Rotation.identity()
    for part in ('collar', 'shoulder', 'elbow', 'wrist'):
        turn = turn * Rotation.from_matrix(rotations[JOINT[f'{side}_{part}']])
        turns.append(turn)
    return tuple(turns[1:])


def in_torso(vector: NDArray) -> NDArray:
    """Forward, left and up of left, up and front."""
    left, up, front = vector
    return np.array([front, left, up])


def robot(angles: NDArray) -> tuple[NDArray, NDArray, Rotation]:
    """Forward kinematics of the robot's arm: upper arm, forearm, hand, along the torso's axes."""
    shoulder = Rotation.from_euler('YXZ', angles[:3])
    elbow = shoulder * Rotation.from_euler('y', angles[3])
    hand = elbow * Rotation.from_euler('ZYX', angles[4:])
    return shoulder.apply(DOWN), elbow.apply(DOWN), hand


def angle(first: NDArray, second: NDArray) -> float:
    return float(np.arctan2(np.linalg.norm(np.cross(first, second)), first @ second))


def check(
    rotations: NDArray,
    side: str,
    last: NDArray,
    straight: float = example.STRAIGHT_BEND,
    tolerance: float = DEGREE,
) -> NDArray:
    """Rebuild directions and hand from the angles; return the angles."""
    angles = example.arm_angles(rotations, side, last, straight)
    upper, forearm, hand = robot(angles)
    aside = [SIGN[side], 0, 0]
    shoulder, elbow, wrist = turns_of(rotations, side)
    assert angle(upper, in_torso(shoulder.apply(aside))) < DEGREE
    assert angle(forearm, in_torso(elbow.apply(aside))) < tolerance
    # The robot has the hand of the T-pose when it holds its arm aside.
    raised = Rotation.from_euler('x', SIGN[side] * 90, degrees=True)
    swap = Rotation.from_matrix([[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    true_hand = swap * wrist * swap.inv() * raised
    assert (hand.inv() * true_hand).magnitude() < 1e-6
    return angles


@pytest.mark.parametrize('side', example.SIDES)
def test_limbs_of_any_pose_are_rebuilt(side: str) -> None:
    rng = np.random.default_rng(1)
    for rotations in random_rotations(rng, 500, 0.7):
        # Elbows that bend in any direction, unlike human ones.
        last = rng.uniform(-3, 3, 7)
        check(rotations, side, last, straight=0.01)
        check(rotations, side, last, tolerance=np.arcsin(example.STRAIGHT_BEND) + 1e-6)
        # Those that are hinges, straight or bent.
        bend = max(0.0, rng.uniform(-0.5, 2.5))
        hinge = Rotation.from_rotvec([0, -SIGN[side] * bend, 0])
        rotations[JOINT[f'{side}_elbow']] = hinge.as_matrix()
        check(rotations, side, last)


def test_bones_of_the_body_point_there_too() -> None:
    # Arms of a body at rest are not quite straight, nor quite aside.
    for rotations in random_rotations(np.random.default_rng(5), 50, 0.5):
        joints, turns = forward(rotations, REST)
        for side in example.SIDES:
            chain = [JOINT[f'{side}_{part}'] for part in ('shoulder', 'elbow', 'wrist')]
            bones = np.diff(joints[chain], axis=0) @ turns[JOINT['spine3']]
            directions = robot(example.arm_angles(rotations, side, np.zeros(7), straight=0.01))[:2]
            for bone, direction in zip(bones, directions, strict=True):
                assert angle(in_torso(bone / np.linalg.norm(bone)), direction) < np.radians(4)


@pytest.mark.parametrize('side', example.SIDES)
@given(tilt=st.floats(-0.05, 0.05), fore=st.floats(-0.05, 0.05), bend=st.floats(-0.05, 0.05))
def test_limbs_are_rebuilt_about_the_t_pose(
    side: str, tilt: float, fore: float, bend: float
) -> None:
    # There the shoulder's axes meet, and the elbow is straight.
    rotations = posed(
        **{
            f'{side}_shoulder': Rotation.from_rotvec([0, fore, tilt]),
            f'{side}_elbow': Rotation.from_rotvec([0, bend, 0]),
        }
    )
    for pitch in (-1.5, 0.0, 1.5):
        check(rotations, side, np.array([pitch, SIGN[side] * 1.5, 0, 0, 0, 0, 0]), straight=0.01)


@pytest.mark.parametrize('side', example.SIDES)
def test_a_hanging_arm_is_at_zero(side: str) -> None:
    angles = check(hanging(side), side, np.zeros(7))
    np.testing.assert_allclose(angles, 0, atol=1e-9)


@pytest.mark.parametrize('side', example.SIDES)
def test_elbow_bends_to_the_front(side: str) -> None:
    angles = check(hanging(side, elbow=np.pi / 2), side, np.zeros(7))
    _, forearm, _ = robot(angles)
    np.testing.assert_allclose(forearm, [1, 0, 0], atol=1e-9)
    np.testing.assert_allclose(angles[[0, 1, 2, 4, 5, 6]], 0, atol=1e-9)


@pytest.mark.parametrize('side', example.SIDES)
def test_arm_to_the_front_is_negative_pitch_and_aside_is_roll(side: str) -> None:
    sign = SIGN[side]
    front = posed(**{f'{side}_shoulder': Rotation.from_rotvec([0, -sign * np.pi / 2, 0])})
    assert check(front, side, np.zeros(7))[0] == pytest.approx(-np.pi / 2, abs=1e-3)
    aside = check(posed(), side, np.zeros(7))
    assert aside[1] == pytest.approx(sign * np.pi / 2)


@pytest.mark.parametrize('side', example.SIDES)
def test_roll_goes_on_when_an_arm_is_raised_aside(side: str) -> None:
    sign, last = SIGN[side], np.zeros(7)
    for raised in np.linspace(0, 2.8, 50):
        shoulder = Rotation.from_rotvec([0, 0, sign * (raised - np.pi / 2)])
        angles = check(posed(**{f'{side}_shoulder': shoulder}), side, last)
        assert abs(angles[1] - last[1]) < 0.2
        assert angles[0] == pytest.approx(0, abs=1e-9)
        last = angles
    assert sign * last[1] == pytest.approx(2.8)


@pytest.mark.parametrize('side', example.SIDES)
def test_commands_keep_limits_and_speeds(side: str) -> None:
    arm = example.Arm(side)
    low, high = example.limits(side).T
    assert (low <= 0).all()
    assert (high >= 0).all()
    assert (low < high).all()
    rng = np.random.default_rng(2)
    for rotations in random_rotations(rng, 100, 0.9):
        before = arm.angles
        arm.advance(rotations, ALL_SEEN, 0.033)
        assert (np.abs(arm.angles - before) <= example.MAX_SPEEDS * 0.033 + 1e-9).all()
        assert ((low - 1e-9 <= arm.angles) & (arm.angles <= high + 1e-9)).all()


def test_limits_of_the_right_arm_are_mirrored() -> None:
    (left_low, left_high), (right_low, right_high) = (
        example.limits(side).T for side in example.SIDES
    )
    roll, elbow = 1, 3
    assert (right_low[roll], right_high[roll]) == (-left_high[roll], -left_low[roll])
    assert (right_low[elbow], right_high[elbow]) == (left_low[elbow], left_high[elbow])


def test_the_page_has_the_limits() -> None:
    page = (EXAMPLE.parents[1] / 'teleoperation.md').read_text()
    rows = re.findall(r'^\| `(\w+)` \| ([xyz]) \| .* \| (\S+) to (\S+) \|$', page, re.M)
    names, axes, low, high = zip(*rows, strict=True)
    assert names == example.HINGES
    assert ''.join(axes) == 'yxzyzyx'
    np.testing.assert_array_equal(np.array([low, high], float).T, example.LIMITS)


def test_a_mirrored_pose_gives_mirrored_angles() -> None:
    flip = np.diag([-1.0, 1, 1])
    for left in random_rotations(np.random.default_rng(3), 50, 0.4):
        mirrored = flip @ left @ flip
        for name in ('collar', 'shoulder', 'elbow', 'wrist'):
            mirrored[JOINT[f'right_{name}']] = flip @ left[JOINT[f'left_{name}']] @ flip
        one = example.arm_angles(left, 'left', np.zeros(7))
        other = example.arm_angles(mirrored, 'right', np.zeros(7))
        np.testing.assert_allclose(other, one * example.MIRROR, atol=1e-9)


@pytest.mark.parametrize(
    ('part', 'held'),
    [('elbow', slice(0, 7)), ('wrist', slice(2, 7)), ('hand', slice(4, 7))],
)
def test_what_is_not_seen_holds(part: str, held: slice) -> None:
    arm = example.Arm('left')
    start = hanging('left', elbow=0.8)
    for _ in range(40):
        arm.advance(start, ALL_SEEN, 0.05)
    before = arm.angles
    confidence = ALL_SEEN.copy()
    confidence[JOINT[f'left_{part}']] = 0
    other = random_rotations(np.random.default_rng(4), 1, 0.5)[0]
    arm.advance(other, confidence, 0.05)
    np.testing.assert_array_equal(arm.angles[held], before[held])
    moving = np.ones(7, bool)
    moving[held] = False
    assert (arm.angles[moving] != before[moving]).all()


def test_nothing_moves_back_in_time_or_leaps_after_a_gap() -> None:
    arm = example.Arm('right')
    pose = hanging('right', elbow=1.5)
    arm.advance(pose, ALL_SEEN, -5.0)
    np.testing.assert_array_equal(arm.angles, 0)
    arm.advance(pose, ALL_SEEN, 60.0)
    assert (np.abs(arm.angles) <= example.MAX_SPEEDS * example.MAX_STEP_SECONDS + 1e-9).all()
    assert arm.angles[3] < 0


# A run


def message(rotations: NDArray, seconds: float, id: str = 'p1') -> HumanMesh:
    human = Human(
        id=id,
        confidence=0.9,
        box=np.array([0.0, 0, 10, 10]),
        joints=forward(rotations, REST)[0][:24] + [0, 0, 3],
        joint_confidence=ALL_SEEN,
        rotations=rotations,
        global_rotations=global_rotations(rotations),
        betas=np.zeros(10),
        translation=np.array([0.0, 0, 3]),
        translation_confidence=0.9,
        velocity=np.zeros(3),
    )
    header = Header(frame_id='camera_optical_frame')
    header.stamp.sec = 100 + int(seconds // 1)
    header.stamp.nanosec = round(seconds % 1 * 1e9)
    return make.human_mesh(human, header, 'default', with_vertices=False)


@pytest.fixture
def program(ros_environment: dict[str, str]) -> Iterator['subprocess.Popen[str]']:
    process = subprocess.Popen(
        [sys.executable, EXAMPLE], env=ros_environment, text=True, stderr=subprocess.PIPE
    )
    yield process
    process.kill()
    process.wait()


def test_wrong_arguments_are_said_in_one_line(ros_environment: dict[str, str]) -> None:
    for argument in ('image:=/a//b', '\x1b]0;x\x07'):
        command = [sys.executable, str(EXAMPLE), '--ros-args', '-r', argument]
        ran = subprocess.run(command, env=ros_environment, text=True, capture_output=True)
        said = [line for line in ran.stderr.splitlines() if line.startswith('teleoperation: ')]
        assert ran.returncode == 1
        assert len(said) == 1
        assert 'Traceback' not in ran.stderr
        assert '\x1b' not in ran.stderr


def test_it_turns_messages_to_commands(
    program: 'subprocess.Popen[str]', ros_environment: dict[str, str]
) -> None:
    peer = SpinningNode('person')
    node = peer.node
    heard: list[JointState] = []
    node.create_subscription(JointState, 'joint_commands', heard.append, 100)
    publisher = node.create_publisher(HumanMesh, 'human_pose', 10)

    def wait(condition: Callable[[], object]) -> None:
        assert peer.wait(condition)

    try:
        wait(lambda: publisher.get_subscription_count() and node.count_publishers('joint_commands'))
        pose = hanging('left', elbow=1.2)
        for frame in range(30):
            sent = message(pose, frame / 20)
            publisher.publish(sent)
            # A second person is published as well, and is not followed.
            publisher.publish(message(posed(), frame / 20, 'p2'))
            wait(lambda n=frame: len(heard) > n)
            assert heard[-1].header.stamp == sent.header.stamp
        command = dict(zip(heard[-1].name, heard[-1].position, strict=True))
        assert len(heard) == 30
        assert len(command) == 14
        wanted = check(pose, 'left', np.zeros(7))
        low, high = example.limits('left').T
        names = [f'left_{hinge}' for hinge in example.HINGES]
        reached = [command[name] for name in names]
        np.testing.assert_allclose(reached, np.clip(wanted, low, high), atol=1e-5)
        program.send_signal(signal.SIGINT)
        assert program.wait(10) == 0
    finally:
        peer.close()


def damage(sent: HumanMesh) -> Iterator[HumanMesh]:
    """Yield copies of a message, each with something that no person has."""
    for number in (float('nan'), float('inf'), 1e300):
        for path in ('rotations.16.w', 'joints.0.x', 'translation.z', 'velocity.y'):
            array, *index, axis = path.split('.')
            changed = deepcopy(sent)
            field = getattr(changed, array)
            setattr(field[int(index[0])] if index else field, axis, number)
            yield changed
    for sec in (-1, -(2**31)):
        changed = deepcopy(sent)
        changed.header.stamp.sec = sec
        yield changed
    for fields in ({'id': ''}, {'id': '../../evil'}, {'id': 'x' * 10000}, {'betas': [np.nan]}):
        changed = deepcopy(sent)
        for name, value in fields.items():
            setattr(changed, name, value)
        yield changed
    changed = deepcopy(sent)
    changed.rotations = [Quaternion(x=0.0, y=0.0, z=0.0, w=0.0)] * 24
    yield changed


def test_damaged_messages_never_reach_the_robot(
    program: 'subprocess.Popen[str]', ros_environment: dict[str, str]
) -> None:
    peer = SpinningNode('person')
    heard: list[JointState] = []
    peer.node.create_subscription(JointState, 'joint_commands', heard.append, 100)
    publisher = peer.node.create_publisher(HumanMesh, 'human_pose', 100)
    pose = hanging('left', elbow=1.2)
    sent = 0
    try:
        assert peer.wait(
            lambda: (
                publisher.get_subscription_count() and peer.node.count_publishers('joint_commands')
            )
        )
        for bad in (None, *damage(message(pose, 0.5))):
            if bad is not None:
                publisher.publish(bad)
            good = message(pose, sent / 20)
            publisher.publish(good)
            sent += 1
            assert peer.wait(lambda: len(heard) >= sent), bad  # noqa: B023
        assert len(heard) == sent
        # The other person of a distant time does not take over.
        publisher.publish(message(posed(), 1e6, 'p2'))
        publisher.publish(message(pose, sent / 20))
        assert peer.wait(lambda: len(heard) > sent)
        assert len(heard) == sent + 1
        positions = np.array([command.position for command in heard])
        assert np.isfinite(positions).all()
        elbow = heard[0].name.index('left_elbow')
        np.testing.assert_allclose(positions[-1, elbow], check(pose, 'left', np.zeros(7))[3])
        program.send_signal(signal.SIGINT)
        _, log = program.communicate(timeout=10)
        assert program.returncode == 0
        assert 'Traceback' not in log
        assert "person 'p1': rotations[16, 3] is nan" in log
    finally:
        peer.close()


# The example, which gets signals while it handles its first message.
SIGNALLED = """
import runpy, signal, sys, time
from hybrik_ros.messages import people
read = people.from_human_mesh

def read_and_signal(message):
    for number in map(int, sys.argv[1:]):
        signal.raise_signal(number)
    time.sleep(0.3)
    return read(message)

people.from_human_mesh = read_and_signal
sys.exit(runpy.run_path({path!r})['main']())
"""


@pytest.mark.parametrize(
    'signals',
    [[signal.SIGINT], [signal.SIGTERM], 2 * [signal.SIGINT], [signal.SIGTERM, signal.SIGINT]],
)
def test_signals_during_a_callback_end_it_without_a_traceback(
    signals: list[signal.Signals], ros_environment: dict[str, str]
) -> None:
    peer = SpinningNode('person')
    publisher = peer.node.create_publisher(HumanMesh, 'human_pose', 10)
    words = [str(int(number)) for number in signals]
    process = subprocess.Popen(
        [sys.executable, '-c', SIGNALLED.format(path=str(EXAMPLE)), *words],
        env=ros_environment, text=True, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert peer.wait(publisher.get_subscription_count)
        publisher.publish(message(hanging('left', elbow=1.2), 0.5))
        _, log = process.communicate(timeout=20)
        assert (process.returncode, 'Traceback' in log) == (0, False), log
    finally:
        process.kill()
        process.communicate()
        peer.close()


def test_arm_holds_when_angles_are_not_finite() -> None:
    arm = example.Arm('left')
    start = hanging('left', elbow=0.8)
    arm.advance(start, ALL_SEEN, 0.05)
    before = arm.angles
    arm.advance(np.full((24, 3, 3), np.nan), ALL_SEEN, 0.05)
    np.testing.assert_array_equal(arm.angles, before)
    arm.advance(start, ALL_SEEN, 0.05)
    assert np.isfinite(arm.angles).all()
    assert arm.angles[3] < before[3]
