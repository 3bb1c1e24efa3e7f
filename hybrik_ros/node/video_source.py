"""Publisher of a video, a photo or a camera as the topics image and camera_info."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from hybrik_ros.camera import ASSUMED_FIELD_OF_VIEW
from hybrik_ros.media.live_camera import CameraOptions, LiveCamera
from hybrik_ros.media.open_media import open_media
from hybrik_ros.media.video_file import FrameSource, VideoFrame
from hybrik_ros.messages.calibration import CalibrationError
from hybrik_ros.messages.fields import nanoseconds
from hybrik_ros.msg import HumanMeshArray
from hybrik_ros.node.conversions import guess_calibration, read_calibration, to_image
from hybrik_ros.node.topics import camera_topics
from hybrik_ros.printable import printable
from hybrik_ros.stopping import ignore_signals, stop_on_signals

# Reliable, which is compatible with reliable and best-effort subscribers.
_QOS = QoSProfile(depth=5)
_SIGNAL_POLL_SECONDS = 0.1  # maximum delay of the reaction to a signal
# Maximum time without a frame before a camera is reopened; some are slow to send the first one.
_SILENCE_SECONDS = 3.0
_REOPEN_SECONDS = 1.0  # interval between two attempts to reopen a camera
_ANSWER_SECONDS = 10.0  # maximum time to wait for human_poses in lockstep
# Time for discovery: a publisher sees a subscriber before the subscriber sees the publisher.
_DISCOVERY_SECONDS = 0.5


class Pace:
    """Schedule of the frames of a file.

    No frame is skipped: when decoding falls behind by more than a frame period, this and all later
    frames are delayed, as from a slower camera.

    Parameters
    ----------
    start : float
        Time of the first frame in seconds; all times refer to the same arbitrary clock.
    """

    def __init__(self, start: float) -> None:
        self._start = start

    def due(self, seconds: float) -> float:
        """Return the scheduled time of a frame, given in seconds after the first one."""
        return self._start + seconds

    def delay(self, seconds: float, period: float, now: float) -> None:
        """Delay this and all later frames if this one is late by more than the frame period."""
        late = now - self.due(seconds)
        if late > period:
            self._start += late


class VideoNode(Node):
    """Node that publishes image and camera_info with equal stamps.

    The stamp of a frame is its scheduled time for a file, and its time of capture for a camera.

    Parameters
    ----------
    source : LiveCamera or FrameSource
        The open source.
    camera_info : CameraInfo
        Its calibration.
    frame_id : str
        Optical frame of the camera.
    stopping : threading.Event
        Set by the caller to make `play` return.
    loop : bool
        Whether to restart a file when it ends.
    subscribers : int
        Minimum number of subscribers of camera_info before the first frame; if it is positive, one
        subscriber of the images is required too.
    lockstep : bool
        Whether to publish the next frame only after human_poses is received for the last one;
        requires at least one subscriber.
    """

    def __init__(
        self,
        source: LiveCamera | FrameSource,
        camera_info: CameraInfo,
        frame_id: str,
        stopping: threading.Event,
        *,
        loop: bool,
        subscribers: int,
        lockstep: bool,
    ) -> None:
        super().__init__('hybrik_video')
        self._source = source
        self._name = printable(source.name)
        self._camera_info = camera_info
        self._frame_id = frame_id.lstrip('/')
        if self._frame_id != frame_id:
            self.get_logger().warning(
                f'the frame_id {frame_id!r} begins with a slash, which tf2 refuses: it is used '
                f'without'
            )
        self._stopping = stopping
        self._loop = loop
        self._subscribers = max(subscribers, int(lockstep))
        self._lockstep = lockstep
        self._published = self._broken = 0
        self._answered = -1  # last stamp of human_poses in nanoseconds
        image_topic, camera_info_topic = camera_topics(self)
        self._images = self.create_publisher(Image, image_topic, _QOS)
        self._camera_infos = self.create_publisher(CameraInfo, camera_info_topic, _QOS)
        if lockstep:
            self.create_subscription(HumanMeshArray, 'human_poses', self._take_answer, 10)
        self._events = SingleThreadedExecutor()
        self._events.add_node(self)

    def play(self) -> None:
        """Publish until the source ends or `stopping` is set, and log a summary."""
        width, height = self._source.size
        self.get_logger().info(
            f'{self._name}: {width} x {height} pixels, on {self._images.topic_name} and '
            f'{self._camera_infos.topic_name}'
        )
        if self._subscribers:
            self._await_subscribers()
        start = time.monotonic()
        if isinstance(self._source, LiveCamera):
            self._play_camera(self._source)
        else:
            self._play_file(self._source, start)
        seconds = time.monotonic() - start
        self.get_logger().info(
            f'published {self._published} frames in {seconds:.1f} s, '
            f'{self._published / seconds:.1f} frames/s; skipped {self._broken} broken frames'
        )

    def _play_file(self, source: FrameSource, start: float) -> None:
        """Publish the frames of a file on schedule, or in lockstep."""
        pace = Pace(start)
        started = self.get_clock().now()
        end = 0.0
        for seconds, period, frame in self._repeat(source):
            if not self._lockstep:
                pace.delay(seconds, period, time.monotonic())
                self._wait_until(pace.due(seconds))
            if self._stopping.is_set():
                return
            elapsed = pace.due(seconds) - start
            self._publish(frame, started + Duration(nanoseconds=round(elapsed * 1e9)))
            end = seconds + period
        if not self._lockstep:  # The last frame lasts one period like the others.
            self._wait_until(pace.due(end))

    def _repeat(self, source: FrameSource) -> Iterator[VideoFrame]:
        """Yield the frames of a file; if looping, again and again, with times that go on."""
        start = end = 0.0
        for frame in source.frames():
            end = frame.seconds + frame.period
            yield frame
        while self._loop:
            start += end
            for frame in source.frames():
                yield frame._replace(seconds=start + frame.seconds)

    def _play_camera(self, camera: LiveCamera) -> None:
        """Publish the frames of a camera, and reopen it when it sends nothing."""
        for text in camera.refused():
            self.get_logger().warning(f'the camera {self._name} does not obey {text}')
        last_frame = time.monotonic()
        while not self._stopping.is_set():
            if camera.grab():
                last_frame = time.monotonic()
                self._publish(camera.retrieve(), self.get_clock().now())
                self._spin(0)
            elif time.monotonic() < last_frame + _SILENCE_SECONDS:
                self._wait_until(time.monotonic() + _SIGNAL_POLL_SECONDS)
            else:
                self._reopen(camera)
                last_frame = time.monotonic()

    def _reopen(self, camera: LiveCamera) -> None:
        """Try to reopen the camera until it succeeds."""
        self.get_logger().error(
            f'the camera {self._name} has sent no frame for {_SILENCE_SECONDS:g} s: trying to '
            f'reopen it'
        )
        while not self._stopping.is_set():
            self._wait_until(time.monotonic() + _REOPEN_SECONDS)
            if camera.open():
                check_size(self._camera_info, camera)
                self.get_logger().info(f'the camera {self._name} is open again')
                return

    def _publish(self, frame: NDArray[np.uint8] | None, stamp: Time) -> None:
        """Publish a frame, BGR (H, W, 3), and, in lockstep, wait for human_poses."""
        if frame is None:
            self._broken += 1
            return
        header = Header(stamp=stamp.to_msg(), frame_id=self._frame_id)
        self._camera_info.header = header
        image = to_image(frame, header, 'bgr8')
        self._camera_infos.publish(self._camera_info)
        self._images.publish(image)
        self._published += 1
        if self._lockstep:
            self._await_answer(stamp.nanoseconds)

    def _take_answer(self, message: HumanMeshArray) -> None:
        self._answered = nanoseconds(message.header)

    def _await_answer(self, stamp: int) -> None:
        """Wait for human_poses of a stamp; warn and continue after a timeout."""
        deadline = time.monotonic() + _ANSWER_SECONDS
        while self._answered < stamp and not self._stopping.is_set():
            if time.monotonic() > deadline:
                self.get_logger().warning(
                    f'no human_poses for frame {self._published - 1} in {_ANSWER_SECONDS:g} s: '
                    f'{self._explain_no_answer()}; continuing with the next frame'
                )
                return
            self._spin(_SIGNAL_POLL_SECONDS)

    def _explain_no_answer(self) -> str:
        """Return the probable reason why no human_poses is received."""
        answers = self.resolve_topic_name('human_poses')
        if not self._images.get_subscription_count():
            return f'{self._images.topic_name} has no subscriber any more'
        if not self.count_publishers(answers):
            return f'{answers} has no publisher'
        return 'check the log of hybrik_node'

    def _await_subscribers(self) -> None:
        """Wait for the subscribers, and for the end of their discovery."""
        if not self._has_subscribers():
            topic = self._images.topic_name
            self.get_logger().info(f'waiting for subscribers of {topic}')
        while not self._has_subscribers() and not self._stopping.is_set():
            self._spin(_SIGNAL_POLL_SECONDS)
        self._wait_until(time.monotonic() + _DISCOVERY_SECONDS)

    def _has_subscribers(self) -> bool:
        """Return whether both topics have enough subscribers."""
        return (
            self._images.get_subscription_count() > 0
            and self._camera_infos.get_subscription_count() >= self._subscribers
        )

    def _wait_until(self, moment: float) -> None:
        """Spin until a time of the monotonic clock."""
        while not self._stopping.is_set() and (seconds := moment - time.monotonic()) > 0:
            self._spin(min(seconds, _SIGNAL_POLL_SECONDS))

    def _spin(self, seconds: float) -> None:
        self._events.spin_once(timeout_sec=seconds)


def check_size(camera_info: CameraInfo, source: LiveCamera | FrameSource) -> None:
    """Raise an error if a calibration is for images of another size.

    Parameters
    ----------
    camera_info : CameraInfo
        The calibration.
    source : LiveCamera or FrameSource
        The source of the images.

    Raises
    ------
    CalibrationError
        The sizes differ.
    """
    size = (camera_info.width, camera_info.height)
    if size != source.size:
        raise CalibrationError(
            f'the calibration is for {size[0]} x {size[1]} pixels, but {source.name} has '
            f'{source.size[0]} x {source.size[1]}: calibrate the camera at this size'
        )


def play(
    name: str,
    ros_arguments: list[str],
    *,
    options: CameraOptions,
    calibration: Path | None,
    field_of_view: float | None,
    frame_id: str,
    loop: bool,
    subscribers: int,
    lockstep: bool,
    profile: str = '',
) -> None:
    """Publish a video, a photo or a camera until it ends, or until SIGINT or SIGTERM.

    Parameters
    ----------
    name : str
        As for open_media.
    ros_arguments : list of str
        The arguments after --ros-args, such as remapping rules.
    options : CameraOptions
        What a camera is asked for.
    calibration : Path, optional
        YAML file of camera_calibration; by default the one beside a video file, if it exists.
    field_of_view : float, optional
        Horizontal field of view in degrees, used instead of a calibration; 60 by default.
    frame_id : str
        Optical frame of the camera.
    loop, subscribers, lockstep : bool, int, bool
        As for VideoNode.
    profile : str
        Message of set_transport_profile for the log.

    Raises
    ------
    MediaError
        The source cannot be opened.
    CalibrationError
        The calibration cannot be read, or is for another size.
    """
    stopping = stop_on_signals()
    # Without frames from a camera, reading blocks for this long and delays signals; OpenCV's
    # default is 10 s.
    os.environ.setdefault('OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT', '1')
    source = open_media(name, options)
    if calibration is None and field_of_view is None:
        calibration = _find_calibration(name)
    assumed = field_of_view or ASSUMED_FIELD_OF_VIEW
    camera_info = _load_camera_info(source, calibration, assumed)
    rclpy.init(args=ros_arguments, signal_handler_options=SignalHandlerOptions.NO)
    node = VideoNode(
        source, camera_info, frame_id, stopping,
        loop=loop, subscribers=subscribers, lockstep=lockstep,
    )  # fmt: skip
    try:
        if profile:
            node.get_logger().info(profile)
        if calibration is None:
            _warn_uncalibrated(node, assumed)
        node.play()
    finally:
        node.destroy_node()
        rclpy.shutdown()
        ignore_signals()


def _find_calibration(name: str) -> Path | None:
    """Return the calibration beside a file; None if there is none."""
    beside = Path(name).with_suffix('.yaml')
    return beside if Path(name).is_file() and beside.is_file() else None


def _load_camera_info(
    source: LiveCamera | FrameSource, calibration: Path | None, assumed: float
) -> CameraInfo:
    """Return a source's calibration, or one of an assumed field of view in degrees."""
    if calibration is None:
        return guess_calibration(assumed, *source.size)
    camera_info = read_calibration(calibration)
    check_size(camera_info, source)
    return camera_info


def _warn_uncalibrated(node: Node, assumed: float) -> None:
    """Warn that a field of view in degrees is assumed."""
    node.get_logger().warning(
        f'no calibration: a horizontal field of view of {assumed:g} degrees is assumed, and '
        f'distances are only as accurate as this value; calibrate the camera or set '
        f'--field-of-view'
    )
