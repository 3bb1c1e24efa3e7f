"""The node beside drivers that are odd: latched calibrations, repeated images, no /clock."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from sample import read_camera, read_frames
from sensor_msgs.msg import CameraInfo, Image
from spinning import SpinningNode
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from hybrik_ros.messages.fields import stamp_fields
from hybrik_ros.msg import HumanMeshArray
from hybrik_ros.node.conversions import to_image

FRAME = 'camera_optical_frame'
LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


class Driver(SpinningNode):
    """A camera that latches its calibration, and what the node makes of its images."""

    def __init__(self) -> None:
        super().__init__('driver')
        self.answers: list[HumanMeshArray] = []
        self.transforms: list[TFMessage] = []
        self.reports: list[DiagnosticArray] = []
        self.images = self.node.create_publisher(Image, 'image', 5)
        self.camera_infos = self.node.create_publisher(CameraInfo, 'camera_info', LATCHED)
        self.clocks = self.node.create_publisher(Clock, '/clock', 5)
        for kind, topic, taken in (
            (HumanMeshArray, 'human_poses', self.answers),
            (TFMessage, '/tf', self.transforms),
            (DiagnosticArray, '/diagnostics', self.reports),
        ):
            self.node.create_subscription(kind, topic, taken.append, 100)
        camera = read_camera()
        k = [float(value) for value in camera.matrix.ravel()]
        info = CameraInfo(width=camera.width, height=camera.height, k=k)
        info.header.frame_id = f'/{FRAME}'
        self.camera_infos.publish(info)

    def show(self, picture: np.ndarray, frame_id: str, times: int = 1) -> None:
        header = Header(stamp=self.node.get_clock().now().to_msg(), frame_id=frame_id)
        for _ in range(times):
            self.images.publish(to_image(picture, header))
            time.sleep(0.15)

    def message(self) -> str:
        return self.reports[-1].status[0].message if self.reports else ''

    def values(self) -> dict[str, str]:
        return {pair.key: pair.value for pair in self.reports[-1].status[0].values}


@pytest.fixture(scope='module')
def pictures() -> list[np.ndarray]:
    return read_frames(60, 12)


@pytest.fixture
def driver(ros_environment: dict[str, str]) -> Iterator[Driver]:
    driver = Driver()
    yield driver
    driver.close()


def start(
    driver: Driver, environment: dict[str, str], log: Path, *parameters: str
) -> 'subprocess.Popen[bytes]':
    command = [sys.executable, '-m', 'hybrik_ros.node', '--ros-args']
    for parameter in parameters:
        command += ['-p', parameter]
    with log.open('wb') as stream:
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream)
    assert driver.wait(lambda: driver.node.count_subscribers('image'), 60), log.read_text()
    return process


def test_odd_images_with_a_latched_calibration_are_processed_once_and_named(
    ros_environment: dict[str, str], driver: Driver, pictures: list[np.ndarray], tmp_path: Path
) -> None:
    log = tmp_path / 'log'
    unused = 'qos_overrides./human_poses.publisher.reliability:=best_effort'
    process = start(driver, ros_environment, log, unused)
    try:
        assert driver.wait(lambda: driver.node.count_subscribers('camera_info') == 2)
        assert f'QoS overrides are ignored: {unused.partition(":=")[0]}' in log.read_text()
        for picture in pictures[:6]:
            driver.show(picture, f'/{FRAME}', times=2)
        assert driver.wait(lambda: sum(bool(answer.humans) for answer in driver.answers) >= 3)
        assert {answer.header.frame_id for answer in driver.answers} == {FRAME}
        sent = Counter(
            (transform.child_frame_id, str(transform.header.stamp))
            for message in driver.transforms
            for transform in message.transforms
        )
        assert set(sent.values()) == {1}
        assert driver.wait(lambda: int(driver.values().get('repeated', 0)) > 1)
        assert log.read_text().count('begins with a slash') == 1
        assert log.read_text().count('publish each image once') == 1
        assert 'several cameras' not in log.read_text()
        for picture in pictures[6:]:
            driver.show(picture, 'front')
            driver.show(picture, 'rear')
        assert driver.wait(lambda: "'front', 'rear'" in driver.message())
        driver.camera_infos.publish(CameraInfo(d=[0.0] * 15))
        assert driver.wait(lambda: 'D has 15 numbers' in driver.message())
        driver.show(pictures[0], 1000 * 'x')
        assert driver.wait(lambda: 'has 1000 characters' in log.read_text())
    finally:
        process.kill()
        process.wait()


def test_stamps_that_count_images_are_named(
    ros_environment: dict[str, str], driver: Driver, pictures: list[np.ndarray], tmp_path: Path
) -> None:
    process = start(driver, ros_environment, tmp_path / 'log')
    began = driver.node.get_clock().now().nanoseconds
    try:
        for number in range(20):
            stamp = Time(**stamp_fields(began + number * 5_000_000))
            header = Header(stamp=stamp, frame_id=FRAME)
            driver.images.publish(to_image(pictures[0], header))
            time.sleep(0.1)
        assert driver.wait(lambda: 'stamps advance by 5 ms' in driver.message())
    finally:
        process.kill()
        process.wait()


def test_without_clock_it_reports_and_an_override_of_durability_is_honoured(
    ros_environment: dict[str, str], driver: Driver, pictures: list[np.ndarray], tmp_path: Path
) -> None:
    volatile = 'qos_overrides./camera_info.subscription.durability:=volatile'
    process = start(driver, ros_environment, tmp_path / 'log', 'use_sim_time:=true', volatile)
    try:
        assert driver.wait(lambda: 'use_sim_time is set' in driver.message())
        assert 'receives no time from /clock' in driver.message()

        def is_missed() -> bool:
            driver.show(pictures[0], FRAME)
            return int(driver.values().get('lost: no camera_info', 0)) > 0

        assert driver.wait(is_missed)
        assert driver.node.count_subscribers('camera_info') == 1

        def is_said(words: str) -> bool:
            driver.clocks.publish(Clock(clock=Time(sec=100)))
            driver.show(pictures[0], FRAME)
            return words in driver.message()

        assert driver.wait(lambda: is_said('one that is published only once must be latched'))
        assert driver.wait(lambda: is_said('the time of /clock stands still at 100.000 s'))
        assert 'from the clock of this machine' not in (tmp_path / 'log').read_text()
    finally:
        process.kill()
        process.wait()


def test_of_a_slow_camera_the_same_is_said(
    ros_environment: dict[str, str], driver: Driver, pictures: list[np.ndarray], tmp_path: Path
) -> None:
    volatile = 'qos_overrides./camera_info.subscription.durability:=volatile'
    process = start(driver, ros_environment, tmp_path / 'log', 'use_sim_time:=true', volatile)
    try:
        assert driver.wait(lambda: driver.reports)
        for _ in range(8):  # 0.5 Hz
            driver.clocks.publish(Clock(clock=Time(sec=100)))
            driver.show(pictures[0], FRAME)
            time.sleep(1.85)
        log = (tmp_path / 'log').read_text()
        assert 'one that is published only once must be latched' in log
        assert 'the time of /clock stands still at 100.000 s' in log
        later = [report.status[0].message for report in driver.reports[-8:]]
        assert not [message for message in later if 'no image for' in message]
        assert all('frames are lost: no camera_info' in message for message in later)
    finally:
        process.kill()
        process.wait()
