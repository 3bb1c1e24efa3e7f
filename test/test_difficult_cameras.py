"""12-bit, rectified, black and wrongly calibrated images: in bags, in folders, and in the node."""

import array
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from recorded import STORE, header, types
from rosbags.rosbag2 import StoragePlugin, Writer
from sample import read_camera, read_frames
from sensor_msgs.msg import CameraInfo, Image
from spinning import SpinningNode
from std_msgs.msg import Header

from hybrik_ros.bags.people_reader import read_people
from hybrik_ros.human import Human
from hybrik_ros.messages.people import from_human_mesh
from hybrik_ros.msg import HumanMeshArray
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.recordings.process import Job, Processor
from hybrik_ros.recordings.recording import Recording, RecordingError
from hybrik_ros.recordings.report import RecordingReport
from hybrik_ros.skeleton import PELVIS

SIZE = (884, 298)  # half of the clip's
START = 1_700_000_000 * 10**9
STEP = 10**9 // 15  # nanoseconds
ENLARGED = 1.4  # of the focal length of K to that of P

HALF = np.diag([0.5, 0.5, 1]) @ read_camera().matrix
K = np.diag([ENLARGED, ENLARGED, 1]) @ HALF
K[:2, 2] = HALF[:2, 2]
D = [-0.2, 0.05, 0.0, 0.0, 0.0]
P = np.hstack([HALF, np.zeros((3, 1))])


@pytest.fixture(scope='module')
def frames() -> list[np.ndarray]:
    return [cv2.resize(picture, SIZE) for picture in read_frames(30, 24)[::2]]


@pytest.fixture(scope='module')
def words(frames: list[np.ndarray]) -> list[np.ndarray]:
    """The frames in grey, of 12 bits in 16."""
    return [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype('<u2') << 4 for frame in frames]


@pytest.fixture(scope='module')
def expected(frames: list[np.ndarray]) -> list[list[Human]]:
    """The people of the frames in 8 bits, by P."""
    camera = replace(read_camera(), matrix=HALF, width=SIZE[0], height=SIZE[1])
    with Pipeline.create() as pipeline:
        return [pipeline(frame, camera, number / 15) for number, frame in enumerate(frames)]


def distance(people: list[list[Human]]) -> float:
    """Median distance of the people in metres; also checks that most frames have one."""
    found = [human.joints[PELVIS, 2] for humans in people for human in humans]
    assert len(found) >= len(people) - 3
    return float(np.median(found))


# Bags and folders


def write(
    path: Path,
    words: list[np.ndarray],
    topic: str = '/camera/image_raw',
    k: np.ndarray = K,
) -> Path:
    """Write a bag with mono16 images and a camera_info with K, D and P."""
    whole = types('sensor_msgs/msg/RegionOfInterest')(0, 0, 0, 0, False)
    writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
    with writer:
        kinds = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CameraInfo'
        image, info = (
            writer.add_connection(name, kind, typestore=STORE)
            for name, kind in zip((topic, '/camera/camera_info'), kinds, strict=True)
        )
        for number, pixels in enumerate(words):
            stamp = START + number * STEP
            calibration = types(kinds[1])(
                header=header(stamp), height=SIZE[1], width=SIZE[0], distortion_model='plumb_bob',
                d=np.array(D), k=k.ravel(), r=np.eye(3).ravel(), p=P.ravel(), binning_x=0,
                binning_y=0, roi=whole,
            )  # fmt: skip
            picture = types(kinds[0])(
                header=header(stamp), height=SIZE[1], width=SIZE[0], encoding='mono16',
                is_bigendian=0, step=2 * SIZE[0], data=pixels.view(np.uint8).ravel(),
            )  # fmt: skip
            writer.write(info, stamp, STORE.serialize_cdr(calibration, kinds[1]))
            writer.write(image, stamp + 1, STORE.serialize_cdr(picture, kinds[0]))
    return path


@pytest.fixture(scope='module')
def process() -> Iterator[Callable[..., tuple[RecordingReport, list[list[Human]]]]]:
    """Return what processes a recording, and returns its report and people."""
    with Processor({}) as processor:

        def run(path: Path, **how: object) -> tuple[RecordingReport, list[list[Human]]]:
            output = path.with_name('output')
            report = processor.process(Job(Recording(path, **how), output, {})).report
            return report, list(read_people(output).frames.values())

        yield run


def test_rectified_12_bit_bag_gives_the_people_of_8_bits_by_p(
    process: Callable, words: list[np.ndarray], expected: list[list[Human]], tmp_path: Path
) -> None:
    report, people = process(write(tmp_path / 'bag', words, '/camera/image_rect'))
    assert distance(people) == pytest.approx(distance(expected), rel=0.05)
    assert report.notes == []


def test_an_option_says_which_intrinsics_the_images_have(
    process: Callable, words: list[np.ndarray], expected: list[list[Human]], tmp_path: Path
) -> None:
    path = write(tmp_path / 'bag', words, '/camera/image_rect')
    _, people = process(path, intrinsics='raw')
    assert distance(people) > 1.2 * distance(expected)


def test_black_images_are_noted(process: Callable, words: list[np.ndarray], tmp_path: Path) -> None:
    report, people = process(write(tmp_path / 'bag', [word // 999 for word in words]))
    assert not any(people)
    [note] = report.notes
    assert 'nearly black' in note


def test_folder_of_12_bit_images_gives_the_people_of_8_bits(
    process: Callable, words: list[np.ndarray], expected: list[list[Human]], tmp_path: Path
) -> None:
    folder = tmp_path / 'pictures'
    folder.mkdir()
    for number, pixels in enumerate(words):
        suffix = 'png' if number % 2 else 'tiff'
        assert cv2.imwrite(str(folder / f'{number}.{suffix}'), pixels)
    view = 2 * np.degrees(np.arctan(SIZE[0] / 2 / P[0, 0]))
    _, people = process(folder, rate=15.0, field_of_view=float(view))
    assert distance(people) == pytest.approx(distance(expected), rel=0.05)


def test_an_impossible_calibration_of_a_bag_is_named(
    process: Callable, words: list[np.ndarray], tmp_path: Path
) -> None:
    path = write(tmp_path / 'bag', words[:2], k=np.diag([1e-5, 1e-5, 1]) @ K)
    with pytest.raises(RecordingError, match='camera_info is implausible: its focal length of'):
        process(path)


# The node


class Peer(SpinningNode):
    """Publishes images with their calibration on topics of rectified images; hears the node."""

    def __init__(self) -> None:
        super().__init__('peer')
        self.images = self.node.create_publisher(Image, '/camera/image_rect', 5)
        self.infos = self.node.create_publisher(CameraInfo, '/camera/camera_info', 5)
        self.answers: list[HumanMeshArray] = []
        self.reports: list[str] = []
        self.node.create_subscription(HumanMeshArray, 'human_poses', self.answers.append, 50)
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self.take_report, 10)

    def take_report(self, message: DiagnosticArray) -> None:
        self.reports.append(message.status[0].message)

    def show(self, words: np.ndarray, p: np.ndarray = P) -> bool:
        """Publish an image, and return whether the node answers it."""
        stamp = self.node.get_clock().now().to_msg()
        info = CameraInfo(
            header=Header(stamp=stamp, frame_id='camera_optical_frame'), width=SIZE[0],
            height=SIZE[1], distortion_model='plumb_bob', d=D, k=K.ravel(), p=p.ravel(),
        )  # fmt: skip
        image = Image(
            header=info.header, width=SIZE[0], height=SIZE[1], encoding='mono16',
            step=2 * SIZE[0], data=array.array('B', words.tobytes()),
        )  # fmt: skip
        self.infos.publish(info)
        self.images.publish(image)
        return self.wait(lambda: any(a.header.stamp == stamp for a in self.answers), 2.0)

    def hears(self, words: str) -> bool:
        """Return whether a report with these words comes."""
        return self.wait(lambda: any(words in report for report in self.reports))


@pytest.fixture
def peer(ros_environment: dict[str, str]) -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.close()


@pytest.fixture
def node(ros_environment: dict[str, str], peer: Peer) -> Iterator['subprocess.Popen[bytes]']:
    command = [sys.executable, '-m', 'hybrik_ros.node', '--ros-args']
    command += ['-p', 'tracking.confirm_after:=0.0', '-r', 'image:=/camera/image_rect']
    process = subprocess.Popen(command, env=ros_environment)
    assert peer.wait(lambda: peer.node.count_subscribers('/camera/image_rect') > 0, 60)
    yield process
    process.send_signal(signal.SIGINT)
    process.wait(15)


def test_node_takes_rectified_12_bit_images_and_names_what_is_wrong(
    node: 'subprocess.Popen[bytes]',
    peer: Peer,
    words: list[np.ndarray],
    expected: list[list[Human]],
) -> None:
    assert peer.wait(lambda: peer.show(words[0]), 30)
    peer.answers.clear()
    assert sum(peer.show(word) for word in words) >= len(words) - 1
    people = [list(map(from_human_mesh, answer.humans)) for answer in peer.answers]
    assert distance(people) == pytest.approx(distance(expected), rel=0.05)
    for _ in range(11):
        peer.show(words[0] // 999)
    assert peer.hears('the images are nearly black')
    assert not peer.show(words[0], np.diag([3, 3, 1]) @ P)
    assert peer.hears('frames are lost: impossible camera_info')
    assert peer.show(words[0])
