"""The video source: a file or a camera becomes the topics image and camera_info."""

import itertools
import os
import re
import signal
import threading
import time
from pathlib import Path
from types import FrameType

import cv2
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

from hybrik_ros.messages.calibration import CalibrationError
from hybrik_ros.messages.fields import nanoseconds
from hybrik_ros.msg import HumanMeshArray
from hybrik_ros.node.conversions import guess_calibration, read_calibration, to_image
from hybrik_ros.node.topics import camera_topics

_FIELD_OF_VIEW = 60.0
# Reliable, which subscribers of either kind can receive.
_QOS = QoSProfile(depth=5)
_SIGNAL_POLL_SECONDS = 0.1
# Some cameras take their time before the first frame.
_SILENCE_SECONDS = 3.0
_REOPEN_SECONDS = 1.0
_ANSWER_SECONDS = 10.0
# The publisher knows of a subscriber a little before the subscriber knows of the publisher.
_DISCOVERY_SECONDS = 0.5


class SourceError(RuntimeError):
    """A video cannot be read; the message says which and why."""


class VideoSource:
    """A video file or a camera, read by OpenCV.

    Parameters
    ----------
    name: path of a file, index of a camera, or its path below /dev.

    Attributes
    ----------
    live: whether it is a camera, whose frames come when they come.

    Raises
    ------
    SourceError: it cannot be opened, or a file does not tell its rate.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.live = name.isdecimal() or name.startswith('/dev/')
        self._capture = cv2.VideoCapture()
        if self.live:
            if not self.open():
                raise SourceError(
                    f'the camera {name} cannot be opened: is it plugged in, not in use, and are '
                    f'you in its group (ls -lL {self._path()})?'
                )
        elif not Path(name).is_file():
            raise SourceError(f'there is no file {name}')
        elif not self.open():
            raise SourceError(f'{name} is no video that OpenCV can read')
        elif not self.rate > 0:
            raise SourceError(f'{name} does not say how many frames it has in a second')

    @property
    def rate(self) -> float:
        """Frames a second; 0 where it is not known."""
        return float(self._capture.get(cv2.CAP_PROP_FPS))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        width = self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)
        return int(width), int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))

    def open(self) -> bool:
        """Open it, a file at its beginning, and tell whether that worked."""
        # Names such as those in /dev/v4l/by-id are links to /dev/videoN, which may be another
        # after the camera was unplugged.
        device = re.fullmatch(r'/dev/video(\d+)', str(self._path().resolve()))
        try:
            if self.live and device:
                return bool(self._capture.open(int(device[1])))
            return bool(self._capture.open(self.name))
        except cv2.error:  # The index is too large for OpenCV.
            return False

    def grab(self) -> bool:
        """Go on to the next frame; False where there is none."""
        return bool(self._capture.grab())

    def retrieve(self) -> NDArray[np.uint8] | None:
        """Return the frame grabbed last (H, W, 3), blue first; None where it is broken."""
        usable, frame = self._capture.retrieve()
        return np.asarray(frame, np.uint8) if usable else None

    def _path(self) -> Path:
        return Path(f'/dev/video{self.name}' if self.name.isdecimal() else self.name)


class Pace:
    """When each frame of a file is due.

    Every frame is shown: where decoding falls behind by more than a frame, this and all later
    frames are put off, as a slower camera would send them.

    Parameters
    ----------
    rate: frames a second.
    start: when frame 0 is due, in seconds of any clock; so are all times here.
    """

    def __init__(self, rate: float, start: float) -> None:
        self._period = 1 / rate
        self._start = start

    def due(self, index: int) -> float:
        """Return when a frame is due."""
        return self._start + index * self._period

    def put_off(self, index: int, now: float) -> None:
        """Put this and all later frames off if this one is overdue by more than a frame."""
        late = now - self.due(index)
        if late > self._period:
            self._start += late


class VideoNode(Node):
    """Publishes image and camera_info, with equal stamps.

    The frames of a file are stamped with the moment at which they are due, those of a camera
    with the moment at which they were captured.

    Parameters
    ----------
    source: already open.
    camera_info: its calibration.
    frame_id: the optical frame of the camera.
    stopping: set from elsewhere to make play() return.
    loop: begin a file again when it ends.
    subscribers: hold the first frame back until so many subscribe to camera_info, and any to
        the images.
    lockstep: publish the next frame when human_poses has come for the last one; implies one
        subscriber.
    """

    def __init__(
        self,
        source: VideoSource,
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
        self._camera_info = camera_info
        self._frame_id = frame_id
        self._stopping = stopping
        self._loop = loop
        self._subscribers = max(subscribers, int(lockstep))
        self._lockstep = lockstep
        self._published = self._broken = 0
        self._answered = -1  # The latest stamp of human_poses, nanoseconds.
        image_topic, camera_info_topic = camera_topics(self)
        self._images = self.create_publisher(Image, image_topic, _QOS)
        self._camera_infos = self.create_publisher(CameraInfo, camera_info_topic, _QOS)
        if lockstep:
            self.create_subscription(HumanMeshArray, 'human_poses', self._take_answer, 10)
        self._events = SingleThreadedExecutor()
        self._events.add_node(self)

    def play(self) -> None:
        """Publish until the source ends or is to stop, and sum up in the log."""
        width, height = self._source.size
        self.get_logger().info(
            f'{self._source.name}: {width} x {height} pixels, {self._source.rate:g} frames/s, '
            f'on {self._images.topic_name} and {self._camera_infos.topic_name}'
        )
        if self._subscribers:
            self._await_subscribers()
        start = time.monotonic()
        if self._source.live:
            self._play_camera()
        else:
            self._play_file(start)
        seconds = time.monotonic() - start
        self.get_logger().info(
            f'published {self._published} frames in {seconds:.1f} s, '
            f'{self._published / seconds:.1f} frames/s; left out {self._broken} that are broken'
        )

    def _play_file(self, start: float) -> None:
        pace = Pace(self._source.rate, start)
        started = self.get_clock().now()
        for index in itertools.count():
            more = self._advance()
            if not self._lockstep:
                pace.put_off(index, time.monotonic())
                # After the end too: the last frame lasts as long as the others.
                self._wait_until(pace.due(index))
            if self._stopping.is_set() or not more:
                return
            seconds = pace.due(index) - start
            self._publish(started + Duration(nanoseconds=round(seconds * 1e9)))

    def _advance(self) -> bool:
        """Go on to the next frame of a file, in a loop to the first after the last."""
        return self._source.grab() or (self._loop and self._source.open() and self._source.grab())

    def _play_camera(self) -> None:
        heard = time.monotonic()
        while not self._stopping.is_set():
            if self._source.grab():
                heard = time.monotonic()
                self._publish(self.get_clock().now())
                self._spin(0)
            elif time.monotonic() < heard + _SILENCE_SECONDS:
                self._wait_until(time.monotonic() + _SIGNAL_POLL_SECONDS)
            else:
                self._reopen()
                heard = time.monotonic()

    def _reopen(self) -> None:
        """Try until the camera is back."""
        name = self._source.name
        self.get_logger().error(f'the camera {name} sends nothing more; trying to open it again')
        while not self._stopping.is_set():
            self._wait_until(time.monotonic() + _REOPEN_SECONDS)
            if self._source.open():
                check_size(self._camera_info, self._source)
                self.get_logger().info(f'the camera {name} is back')
                return

    def _publish(self, stamp: Time) -> None:
        """Publish the frame grabbed last and, in lockstep, wait for the answer."""
        frame = self._source.retrieve()
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
        deadline = time.monotonic() + _ANSWER_SECONDS
        while self._answered < stamp and not self._stopping.is_set():
            if time.monotonic() > deadline:
                self.get_logger().warning(
                    f'no human_poses for frame {self._published - 1} in {_ANSWER_SECONDS:g} s: '
                    f'{self._why_no_answer()}; going on'
                )
                return
            self._spin(_SIGNAL_POLL_SECONDS)

    def _why_no_answer(self) -> str:
        answers = self.resolve_topic_name('human_poses')
        if not self._images.get_subscription_count():
            return f'nobody subscribes to {self._images.topic_name} any more'
        if not self.count_publishers(answers):
            return f'nobody publishes {answers}'
        return 'the log of hybrik_node may say why'

    def _await_subscribers(self) -> None:
        if not self._subscribed():
            topic = self._images.topic_name
            self.get_logger().info(f'waiting until somebody subscribes to {topic}')
        while not self._subscribed() and not self._stopping.is_set():
            self._spin(_SIGNAL_POLL_SECONDS)
        self._wait_until(time.monotonic() + _DISCOVERY_SECONDS)

    def _subscribed(self) -> bool:
        return (
            self._images.get_subscription_count() > 0
            and self._camera_infos.get_subscription_count() >= self._subscribers
        )

    def _wait_until(self, moment: float) -> None:
        """Spin until a moment of the monotonic clock."""
        while not self._stopping.is_set() and (seconds := moment - time.monotonic()) > 0:
            self._spin(min(seconds, _SIGNAL_POLL_SECONDS))

    def _spin(self, seconds: float) -> None:
        self._events.spin_once(timeout_sec=seconds)


def check_size(camera_info: CameraInfo, source: VideoSource) -> None:
    """Raise a CalibrationError where a calibration is for images of another size."""
    size = (camera_info.width, camera_info.height)
    if size != source.size:
        raise CalibrationError(
            f'the calibration is for {size[0]} x {size[1]} pixels, '
            f'{source.name} has {source.size[0]} x {source.size[1]}'
        )


def play(
    name: str,
    ros_arguments: list[str],
    *,
    calibration: Path | None,
    field_of_view: float | None,
    frame_id: str,
    loop: bool,
    subscribers: int,
    lockstep: bool,
    profile: str = '',
) -> None:
    """Publish a video file or a camera until it ends, or SIGINT or SIGTERM comes.

    Parameters
    ----------
    name: as for VideoSource.
    ros_arguments: those after --ros-args, remapping rules and such.
    calibration: YAML file; None for that beside a video file, if any.
    field_of_view: horizontal, degrees, used instead of a calibration; None for 60 degrees where
        there is no calibration.
    frame_id, loop, subscribers, lockstep: as for VideoNode.
    profile: what set_transport_profile did, for the log.

    Raises
    ------
    SourceError: the source cannot be opened.
    CalibrationError: the calibration cannot be read or is for another size.
    """
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    # Our own handlers: rclpy's invalidate the context at once, and a second signal would raise
    # in the middle of the clean-up.
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    # Reading from a camera that has gone silent would hold signals up for OpenCV's 10 s.
    os.environ.setdefault('OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT', '1')
    source = VideoSource(name)
    beside = Path(name).with_suffix('.yaml')
    if calibration is None and field_of_view is None and not source.live and beside.is_file():
        calibration = beside
    if calibration is None:
        camera_info = guess_calibration(field_of_view or _FIELD_OF_VIEW, *source.size)
    else:
        camera_info = read_calibration(calibration)
        check_size(camera_info, source)

    rclpy.init(args=ros_arguments, signal_handler_options=SignalHandlerOptions.NO)
    node = VideoNode(
        source,
        camera_info,
        frame_id,
        stopping,
        loop=loop,
        subscribers=subscribers,
        lockstep=lockstep,
    )
    try:
        if profile:
            node.get_logger().info(profile)
        if calibration is None:
            node.get_logger().warning(
                f'no calibration: a horizontal field of view of '
                f'{field_of_view or _FIELD_OF_VIEW:g} degrees is assumed, and distances are only '
                f'as good as that'
            )
        node.play()
    finally:
        node.destroy_node()
        rclpy.shutdown()
        # Python's own clean-up restores the default of our handlers, but not of ignored signals:
        # an impatient second Ctrl-C would then still kill us.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
