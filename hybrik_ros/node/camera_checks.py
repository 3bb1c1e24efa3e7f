"""Checks of `hybrik doctor` of a camera: receives its images and its camera_info."""

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from rclpy.clock import Clock
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, QoSReliabilityPolicy, qos_check_compatible
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from hybrik_ros.findings import OK, PROBLEM, WARNING, Finding
from hybrik_ros.messages.camera_info import are_rectified
from hybrik_ros.messages.exposure import describe_exposure
from hybrik_ros.messages.fields import nanoseconds
from hybrik_ros.messages.images import (
    IMPOSSIBLE,
    OTHER_SIZE,
    UnusableInputError,
    decompress,
    to_intrinsics,
    to_rgb,
)
from hybrik_ros.messages.plausibility import field_of_view
from hybrik_ros.node.depth_images import DEPTH_ENCODINGS
from hybrik_ros.node.topics import camera_topics
from hybrik_ros.settings import AUTO

_TYPES = {'sensor_msgs/msg/Image': Image, 'sensor_msgs/msg/CompressedImage': CompressedImage}
IMAGES = frozenset(_TYPES)

# QoS of the node's subscription, and the same with a longer queue, so that no message is dropped.
_NODE_QOS = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)
_QOS = QoSProfile(depth=20, reliability=QoSReliabilityPolicy.BEST_EFFORT)

_MAX_NAME = 40  # characters of the name of a distortion model that are shown
_MIN_HERTZ = 10.0  # of images: people are tracked from image to image
_MAX_LOSS = 0.02  # share of lost images
_MAX_AGE_SECONDS = 0.5  # of an image on arrival, by its stamp
_MAX_AHEAD_SECONDS = 0.05  # of a stamp, by which clocks may differ
_MIN_SAME_STAMPS = 0.5  # share of images with a camera_info of the same stamp

_CALIBRATE = (
    'calibrate it: ros2 run camera_calibration cameracalibrator, with a printed chessboard; '
    "or set the node's parameter field_of_view, with less accurate distances"
)
_ADVICE = {
    'zero K': _CALIBRATE,
    OTHER_SIZE: 'calibrate the camera in the resolution of its images, or set its driver to the '
    'resolution of the calibration',
    IMPOSSIBLE: 'correct the calibration file or the camera driver; until then the node needs its '
    'parameter field_of_view',
    'distortion model': 'calibrate it with one of these',
    'encoding': 'set the pixel format among the parameters of the camera driver',
}
_LOST = (
    'large images are lost where the middleware is not set up for them (see above), or the '
    'processor is busy: try again with fewer processes running'
)
_SILENT = (
    'if ros2 topic hz receives nothing either, check the camera and the log of its driver; '
    'otherwise the network: firewall, multicast, and the middleware (see above)'
)


class CameraListener:
    """Receives the images of a camera and its camera_info, from the same topics as the node.

    Parameters
    ----------
    parent : Node
        A node of the same context.
    name : str
        Name of the node that subscribes.
    topic : str
        Topic of the images.
    kind : str
        Type of the images, one of IMAGES.

    Attributes
    ----------
    node : Node
        The node that subscribes; it must be spun.
    """

    def __init__(self, parent: Node, name: str, topic: str, kind: str) -> None:
        # The node's topics are remapped by the names of raw images.
        compressed = _TYPES[kind] is CompressedImage
        image = topic.removesuffix('/compressed') if compressed else topic
        self.node = Node(
            name,
            context=parent.context,
            cli_args=[
                *('--ros-args', '-r', f'image:={image}'),
                *('-r', f'__ns:={parent.get_namespace()}'),
            ],
            start_parameter_services=False,
            enable_rosout=False,
        )
        self._topic = topic
        self._calibration = camera_topics(self.node)[1]
        self._rectified = are_rectified(AUTO, topic)
        self._images = TopicStream(self.node.get_clock())
        self._camera_infos = TopicStream(self.node.get_clock())
        self._subscribe(_TYPES[kind], topic, self._images)
        self._subscribe(CameraInfo, self._calibration, self._camera_infos)

    def check(self, nodes: set[str], is_named: bool) -> Iterator[Finding]:
        """Check the received images and camera_info.

        Parameters
        ----------
        nodes : set of str
            Full names of the running hybrik_nodes.
        is_named : bool
            Whether the user named this topic; if not, depth images are not a problem.
        """
        yield from self._check_publishers(nodes)
        last = self._images.last
        if last is None:
            yield Finding(PROBLEM, self._topic, 'no image received', _SILENT)
            size = None
        elif not is_named and getattr(last, 'encoding', '') in DEPTH_ENCODINGS:
            depth = f'{self._images.hertz:.1f} Hz of depth images ({last.encoding})'
            yield Finding(OK, self._topic, f"{depth}, for the node's topic depth")
            return
        else:
            try:
                size, what, exposure = _describe(last)
            except UnusableInputError as fault:
                size = None
                advice = _ADVICE.get(fault.kind, 'check the parameters of the camera driver')
                yield Finding(PROBLEM, self._topic, str(fault), advice)
            else:
                yield self._check_rate(what)
                if exposure:
                    found, _, advice = exposure.rpartition(': ')
                    yield Finding(WARNING, self._topic, found, advice)
            yield self._check_stamps()
            yield _check_frame(self._topic, last.header.frame_id)
        yield from self._check_calibration(size)

    def _subscribe(self, kind: type, topic: str, stream: 'TopicStream') -> None:
        take: Any = stream.take
        if not hasattr(Subscription, 'CallbackType'):  # Up to Humble, callbacks get no info.
            take = partial(stream.take, info={})
        self.node.create_subscription(kind, topic, take, _QOS)

    def _check_publishers(self, nodes: set[str]) -> Iterator[Finding]:
        """Check the number of publishers, and whether a subscription of the nodes fits each."""
        publishers = self.node.get_publishers_info_by_topic(self._topic)
        subscribers = [
            subscriber
            for subscriber in self.node.get_subscriptions_info_by_topic(self._topic)
            if full_name(subscriber) in nodes
        ]
        wanted = [subscriber.qos_profile for subscriber in subscribers] or [_NODE_QOS]
        if len(publishers) > 1:
            names = ', '.join(sorted(full_name(publisher) for publisher in publishers))
            yield Finding(
                WARNING, self._topic, f'{len(publishers)} publishers: {names}',
                'their images mix: stop one of them, or remap it',
            )  # fmt: skip
        for publisher in publishers:
            yield _check_qos(self._topic, publisher, wanted)

    def _check_rate(self, what: str) -> Finding:
        """Check rate and loss of images, described by what."""
        images = self._images
        found = f'{images.hertz:.1f} Hz of {what}, {images.bytes_per_second / 1e6:.1f} MB/s'
        lost = images.lost
        if lost is not None:
            found += f', {lost:.0%} lost' if lost else ', none lost'
        if lost is not None and lost > _MAX_LOSS:
            return Finding(WARNING, self._topic, found, _LOST)
        if images.hertz < _MIN_HERTZ:
            return Finding(
                WARNING,
                self._topic,
                found,
                f'tracking needs about {_MIN_HERTZ:g} Hz or more: add light for a shorter '
                'exposure, or use a smaller resolution or compressed images',
            )
        return Finding(OK, self._topic, found)

    def _check_stamps(self) -> Finding:
        """Check that the stamps of images advance and agree with the clock."""
        stamps = np.array(self._images.stamps)
        age = float(np.median(self._images.ages))
        relative = f'{age:.3f} s old' if age >= 0 else f'{-age:.3f} s in the future'
        if not stamps.any():
            return Finding(
                PROBLEM, self._topic, 'stamps are all zero',
                'make the camera driver stamp images with the time of their exposure',
            )  # fmt: skip
        steps = np.diff(stamps)
        if len(steps) and not steps.any():
            return Finding(
                PROBLEM, self._topic, f'stamps do not advance, {relative}',
                'make the camera driver stamp every image',
            )  # fmt: skip
        if (steps < 0).any():
            return Finding(
                WARNING, self._topic, 'stamps jumped back: a looping bag, or two cameras',
                'the node resets all tracks when time jumps back: use one topic per camera',
            )  # fmt: skip
        if age > _MAX_AGE_SECONDS or age < -_MAX_AHEAD_SECONDS:
            return Finding(WARNING, self._topic, f'stamps are {relative}', self._clock_advice())
        return Finding(OK, self._topic, f'stamps advance, {relative} on arrival')

    def _clock_advice(self) -> str:
        """Return what to do about stamps that do not agree with the clock."""
        if self.node.count_publishers('/clock'):
            return (
                '/clock is published: set use_sim_time of the node, and check again with '
                '--ros-args -p use_sim_time:=true'
            )
        return (
            'on another machine: synchronise its clock with chrony; from a bag: play it with '
            '--clock and set use_sim_time of the node; otherwise the camera driver is slow'
        )

    def _check_calibration(self, size: tuple[int, int] | None) -> Iterator[Finding]:
        """Check camera_info, for images of a width and height in pixels if known."""
        message = self._camera_infos.last
        if message is None:
            yield self._explain_missing_calibration()
            return
        yield from self._check_intrinsics(message, size)
        if self._images.last is not None:
            yield from self._check_match(message, self._images.last)

    def _check_intrinsics(
        self, message: CameraInfo, size: tuple[int, int] | None
    ) -> Iterator[Finding]:
        """Check that a camera_info is usable and plausible."""
        try:
            camera, doubts = to_intrinsics(message, size, self._rectified)
        except UnusableInputError as fault:
            advice = _ADVICE.get(fault.kind, _CALIBRATE)
            yield Finding(PROBLEM, self._calibration, str(fault), advice)
            return
        for doubt in doubts:
            found, _, advice = doubt.rpartition(': ')
            yield Finding(WARNING, self._calibration, found, advice)
        model = message.distortion_model[:_MAX_NAME] or 'no distortion model'
        lens = 'P, for rectified images' if self._rectified else model
        yield Finding(
            OK,
            self._calibration,
            f'{self._camera_infos.hertz:.1f} Hz of {camera.width} x {camera.height}, {lens}, a '
            f'field of view of {field_of_view(camera):.0f} degrees',
        )

    def _check_match(
        self, message: CameraInfo, image: Image | CompressedImage
    ) -> Iterator[Finding]:
        """Check that frame and stamps of camera_info match those of the images."""
        topic = self._calibration
        if message.header.frame_id != image.header.frame_id:
            yield Finding(
                WARNING,
                topic,
                f'frame_id is {message.header.frame_id!r}, but {image.header.frame_id!r} for the '
                'images: it may belong to another camera',
                "remap camera_info to this camera's, or set the same frame_id for both",
            )
        same = np.isin(self._images.stamps, self._camera_infos.stamps).mean()
        if same < _MIN_SAME_STAMPS:
            yield Finding(
                WARNING,
                topic,
                f'{same:.0%} of the images have a camera_info of their stamp',
                'the node uses the nearest one, which is wrong once calibration or resolution '
                'change: make the driver publish one with each image, of its stamp',
            )

    def _explain_missing_calibration(self) -> Finding:
        """Return why no camera_info was received."""
        topic = self._calibration
        if self.node.count_publishers(topic):
            return Finding(
                PROBLEM, topic, 'no message received, although there is a publisher',
                'if it is published only once, the node misses it too: publish it with every image',
            )  # fmt: skip
        others = [
            name
            for name, kinds in self.node.get_topic_names_and_types()
            if 'sensor_msgs/msg/CameraInfo' in kinds and self.node.count_publishers(name)
        ]
        advice = f'start the camera driver with its calibration; {_CALIBRATE}'
        if others:
            advice = (
                f'if {" or ".join(others)} belongs to this camera: camera_info_topic:={others[0]} '
                f'for launch, -r camera_info:={others[0]} for the node'
            )
        found = 'no publisher; the node cannot process images without it'
        return Finding(PROBLEM, topic, found, advice)


class TopicStream:
    """Statistics of the messages received from a topic.

    Parameters
    ----------
    clock : Clock
        Clock of the stamps.

    Attributes
    ----------
    last : message or None
        The last message; None before the first.
    stamps : list of int
        Stamps of all messages in nanoseconds.
    ages : list of float
        Ages of all messages on arrival in seconds, by the clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.last: Any = None
        self.stamps: list[int] = []
        self.ages: list[float] = []
        self._arrivals: list[float] = []
        self._numbers: list[int | None] = []
        self._bytes = 0

    def take(self, message: Any, info: Mapping[str, Any]) -> None:
        """Add a message to the statistics."""
        stamp = nanoseconds(message.header)
        self.last = message
        self.stamps.append(stamp)
        self.ages.append((self._clock.now().nanoseconds - stamp) * 1e-9)
        self._arrivals.append(time.monotonic())
        self._numbers.append(info.get('publication_sequence_number'))
        self._bytes += len(getattr(message, 'data', ()))

    @property
    def hertz(self) -> float:
        """Rate of messages in Hz; 0 for fewer than two."""
        if len(self._arrivals) < 2:
            return 0.0
        return (len(self._arrivals) - 1) / max(self._arrivals[-1] - self._arrivals[0], 1e-9)

    @property
    def bytes_per_second(self) -> float:
        """Data rate of the images, without their headers."""
        return self.hertz * self._bytes / max(len(self._arrivals), 1)

    @property
    def lost(self) -> float | None:
        """Share of lost messages; None where the middleware does not number them."""
        numbers = [number for number in self._numbers if number is not None]
        # Two publishers number their messages independently.
        if len(numbers) < 2 or any(np.diff(numbers) <= 0):
            return None
        return 1 - len(numbers) / (numbers[-1] - numbers[0] + 1)


def full_name(endpoint: TopicEndpointInfo) -> str:
    """Return the full name of the node of a publisher or subscription."""
    return f'{endpoint.node_namespace.rstrip("/")}/{endpoint.node_name}'


def _check_qos(topic: str, publisher: TopicEndpointInfo, wanted: Sequence[QoSProfile]) -> Finding:
    """Check that a publisher's QoS is compatible with the subscriptions of nodes."""
    offered = publisher.qos_profile
    found = f'{_policies(offered)} from {full_name(publisher)}'
    for requested in wanted:
        compatibility, reason = qos_check_compatible(offered, requested)
        if compatibility == QoSCompatibility.ERROR:
            return Finding(
                PROBLEM,
                topic,
                f'{found}; incompatible QoS: the node requests {_policies(requested)} and '
                f'receives nothing ({_shorten(reason)})',
                f'change the QoS of the publisher, or set the parameters qos_overrides.'
                f'{topic}.subscription.reliability and .durability of the node',
            )
    return Finding(OK, topic, f'{found}; compatible with the node, {_policies(wanted[0])}')


def _check_frame(topic: str, frame_id: str) -> Finding:
    """Check that the frame of images is named like an optical frame."""
    if not frame_id:
        return Finding(
            PROBLEM, topic, 'frame_id is empty, but TF needs it',
            'set it to ..._optical_frame among the parameters of the camera driver',
        )  # fmt: skip
    if 'optical' not in frame_id:
        return Finding(
            WARNING,
            topic,
            f'frame_id is {frame_id!r}, which does not look like an optical frame',
            'bodies are rotated in TF unless the z axis of the frame points forward and y down '
            "(REP-103): set the camera's ..._optical_frame in its driver",
        )
    return Finding(OK, topic, f'frame_id is {frame_id!r}')


def _shorten(reason: str) -> str:
    """Return rclpy's reason of a QoS incompatibility, without its markers."""
    return reason.replace('ERROR: ', '').rstrip(';').replace(';', '; ')


def _policies(qos: QoSProfile) -> str:
    """Return reliability and durability in words."""
    reliability, durability = (
        policy.name.lower().replace('_', ' ') for policy in (qos.reliability, qos.durability)
    )
    return f'{reliability}, {durability}'


def _describe(message: Image | CompressedImage) -> tuple[tuple[int, int], str, str]:
    """Return size in pixels and description of an image, and what is wrong with its exposure.

    Raises
    ------
    UnusableInputError
        The node cannot read the image.
    """
    is_compressed = isinstance(message, CompressedImage)
    rgb = decompress(message) if is_compressed else to_rgb(message)
    height, width = rgb.shape[:2]
    kind = message.format if is_compressed else message.encoding
    return (width, height), f'{width} x {height} {kind}', describe_exposure(rgb)
