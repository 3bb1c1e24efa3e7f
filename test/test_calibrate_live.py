"""`hybrik calibrate --live`: simulated cameras publish what they observe of a walking person."""

import itertools
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from launching import nodes_of, static_transform
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rclpy.time import Time
from spinning import SpinningNode
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from transforms import stamped
from walkers import Walker, corners, observe, on_spot

from hybrik_ros.body import BodyModel
from hybrik_ros.cli.calibration import EXTRINSICS, LAUNCH
from hybrik_ros.cli.calibration_live import linked_seconds
from hybrik_ros.fusion.extrinsics.files import read_extrinsics
from hybrik_ros.fusion.extrinsics.world import stature_of
from hybrik_ros.msg import HumanObservationArray
from hybrik_ros.node.message_maker import make_observations
from hybrik_ros.rotations import from_rotation_vector

CAMERAS = dict(zip(('left', 'right', 'back'), corners(3), strict=True))
HERTZ = 15.0  # of the images by their stamps
SPEED = 6.0  # at which time runs
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Room(SpinningNode):
    """The hybrik_nodes of the cameras in a room in which a person walks, and static TF."""

    def __init__(self, body: BodyModel) -> None:
        super().__init__('room')
        self.walker = self.usual = Walker(body)
        self.standing = Walker(body, path=on_spot, lift=0.0)
        self.names: Sequence[str] = ()
        self.topics = {
            name: self.node.create_publisher(
                HumanObservationArray, f'{name}/human_observations', qos_profile_sensor_data
            )
            for name in CAMERAS
        }
        self.tf = self.node.create_publisher(TFMessage, '/tf_static', LATCHED)
        self.numbers = itertools.count()
        self.rng = np.random.default_rng(0)
        self.timer = self.node.create_timer(1 / (HERTZ * SPEED), self.show)

    def show(self) -> None:
        """Publish an image of each camera."""
        seconds = next(self.numbers) / HERTZ
        points = self.walker.points(seconds)
        stamp = Time(seconds=10**9, nanoseconds=round(1e9 * seconds)).to_msg()
        for name in self.names:
            seen = observe(points, CAMERAS[name], self.rng, across=0.01, deep=0.1)
            header = Header(stamp=stamp, frame_id=f'{name}_optical')
            self.topics[name].publish(make_observations.array([seen], header, 'default'))

    def place(self, poses: dict[str, np.ndarray], fixed: str = 'map') -> None:
        """Publish TF, by the names of optical frames."""
        transforms = [stamped(fixed, frame, pose, Header()) for frame, pose in poses.items()]
        self.tf.publish(TFMessage(transforms=transforms))


@pytest.fixture(scope='module')
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope='module')
def peer(ros_environment: dict[str, str], body: BodyModel) -> Iterator[Room]:
    room = Room(body)
    yield room
    room.close()


@pytest.fixture
def room(peer: Room) -> Room:
    """Return the room with all cameras, the usual walker and no TF."""
    peer.names, peer.walker = tuple(CAMERAS), peer.usual
    peer.place({})
    return peer


@pytest.fixture
def calibrate(spawn: Callable) -> Callable:
    """Return what starts the command."""

    def start(*words: object) -> object:
        return spawn('hybrik_ros.cli', 'calibrate', '--live', *map(str, words))

    return start


def end(process) -> tuple[int, str]:
    """Return the exit status of a process, and what it told."""
    _, told = process.communicate(timeout=120)
    assert 'Traceback' not in told
    return process.returncode, told


def turned(pose: np.ndarray, radians: float) -> np.ndarray:
    found = pose.copy()
    found[:3, :3] = pose[:3, :3] @ from_rotation_vector(np.array([0.0, radians, 0.0]))
    return found


def errors(path: Path) -> list[tuple[float, float]]:
    """Return the errors of written cameras in degrees and metres, relative to the first."""
    poses = [pose.frame_from_camera for pose in read_extrinsics(path).values()]
    own, true = (
        [np.linalg.inv(each[0]) @ pose for pose in each] for each in (poses, list(CAMERAS.values()))
    )
    return [
        (
            float(np.degrees(np.arccos(np.clip((np.sum(a[:3, :3] * b[:3, :3]) - 1) / 2, -1, 1)))),
            float(np.linalg.norm(a[:3, 3] - b[:3, 3])),
        )
        for a, b in zip(own, true, strict=True)
    ]


def test_cameras_are_calibrated_once_they_share_enough(
    room: Room, calibrate: Callable, body: BodyModel, tmp_path: Path
) -> None:
    stature = stature_of(body, room.walker.betas)
    status, told = end(calibrate('left', '/right', 'back/', '--stature', stature, '-o', 'out'))
    assert status == 0, told
    shared = re.findall(r'cameras (\w+) and (\w+) have shared ([\d.]+) s', told)
    assert {pair[:2] for pair in shared} == set(itertools.combinations(CAMERAS, 2))
    assert max(float(seconds) for *_, seconds in shared) >= 15
    path = tmp_path / 'out' / EXTRINSICS
    assert all(turn < 0.5 and shift < 0.08 for turn, shift in errors(path))
    cameras = yaml.safe_load(path.read_text())['cameras']
    assert {n: camera['frame_id'] for n, camera in cameras.items()} == {
        name: f'{name}_optical' for name in CAMERAS
    }


def test_ctrl_c_ends_listening_and_writes(room: Room, calibrate: Callable, tmp_path: Path) -> None:
    room.names = ('left', 'right')  # What the third does not see is not needed.
    process = calibrate('left', 'right', '-o', 'out')
    assert room.wait(lambda: room.node.count_subscribers('left/human_observations'), 60)
    begin = next(room.numbers)
    assert room.wait(lambda: next(room.numbers) > begin + 6 * HERTZ)
    process.send_signal(signal.SIGINT)
    status, told = end(process)
    assert status == 0, told
    assert (tmp_path / 'out' / EXTRINSICS).exists()


@pytest.mark.parametrize(('radians', 'expected'), [(0.0, 0), (0.04, 1)])
def test_known_tf_is_checked(
    room: Room, calibrate: Callable, tmp_path: Path, radians: float, expected: int
) -> None:
    poses = CAMERAS | {'back': turned(CAMERAS['back'], radians)}
    room.place({f'{name}_optical': pose for name, pose in poses.items()})
    status, told = end(calibrate(*CAMERAS))
    assert status == expected, told
    verdicts = dict(re.findall(r'(\w+) +│ .* │ (good|wrong)', told))
    assert verdicts['back'] == ('wrong' if expected else 'good')
    assert ('the extrinsics of back are wrong' in told) == bool(expected)
    assert list(tmp_path.iterdir()) == []


def test_written_launch_file_publishes_tf_that_a_check_finds_good(
    room: Room, calibrate: Callable, tmp_path: Path
) -> None:
    status, told = end(calibrate(*CAMERAS, '-o', 'out'))
    assert status == 0, told
    nodes = nodes_of(tmp_path / 'out' / LAUNCH)
    for node in nodes:
        assert (node.package, node.executable) == ('tf2_ros', 'static_transform_publisher')
    transforms = [static_transform(node.arguments) for node in nodes]
    assert {parent for parent, *_ in transforms} == {'map'}
    poses = read_extrinsics(tmp_path / 'out' / EXTRINSICS)
    for name, (_, child, pose) in zip(CAMERAS, transforms, strict=True):
        assert child == f'{name}_optical'
        np.testing.assert_allclose(pose, poses[name].frame_from_camera, atol=2e-6)
    room.place({child: pose for _, child, pose in transforms})
    status, told = end(calibrate(*CAMERAS))
    assert status == 0, told
    assert told.count('good') == len(CAMERAS)


def test_without_tf_there_is_nothing_to_check(room: Room, calibrate: Callable) -> None:
    status, told = end(calibrate('left', 'right'))
    assert status == 1
    assert 'TF connects no two of the cameras' in told


def test_a_person_that_stands_still_is_waited_for_and_then_refused(
    room: Room, calibrate: Callable
) -> None:
    room.walker = room.standing
    status, told = end(calibrate('left', 'right', '-o', 'out', '--seconds', 8))
    assert status == 1
    assert 'not enough yet: the person stands still' in told
    assert 'hybrik calibrate: the person stands still' in told


def test_a_silent_camera_is_named(room: Room, calibrate: Callable) -> None:
    room.names = ('left', 'right')
    status, told = end(calibrate(*CAMERAS, '-o', 'out', '--seconds', 10))
    assert status == 1
    assert 'no message on /back/human_observations: check' in told


@pytest.mark.parametrize('names', [['left'], ['left', '/left'], ['left', '/']])
def test_namespaces_that_are_no_two_cameras_are_refused(
    calibrate: Callable, names: list[str]
) -> None:
    status, told = end(calibrate(*names, '-o', 'out'))
    assert status == 1
    assert 'give the namespaces of two cameras or more' in told


def test_cameras_are_linked_by_the_longest_shared_times() -> None:
    shared = {('a', 'b'): 9.0, ('a', 'c'): 1.0, ('b', 'c'): 7.0}
    assert linked_seconds('abc', shared) == 7.0
    assert linked_seconds('ab', {('a', 'b'): 3.0}) == 3.0
