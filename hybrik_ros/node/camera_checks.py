"""What `hybrik doctor` finds of a camera: its images and its calibration, by listening to them."""

import math
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from rclpy.clock import Clock
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, QoSReliabilityPolicy, qos_check_compatible
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from hybrik_ros.camera import Camera
from hybrik_ros.findings import OK, PROBLEM, WARNING, Finding
from hybrik_ros.messages.fields import nanoseconds
from hybrik_ros.messages.images import OTHER_SIZE, UnusableInputError, decompress, to_camera, to_rgb
from hybrik_ros.node.depth_images import DEPTH_ENCODINGS
from hybrik_ros.node.topics import camera_topics

_TYPES = {'sensor_msgs/msg/Image': Image, 'sensor_msgs/msg/CompressedImage': CompressedImage}
IMAGES = frozenset(_TYPES)

# As the node subscribes, but for the queue: here, all that arrives counts.
_NODE_QOS = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)
_QOS = QoSProfile(depth=20, reliability=QoSReliabilityPolicy.BEST_EFFORT)

_SLOW_HERTZ = 10.0  # People are followed from image to image.
_GREATEST_LOSS = 0.02  # share of the images
_OLD_SECONDS = 0.5
_AHEAD_SECONDS = 0.05
_SAME_STAMPS = 0.5  # share of the images that have a camera_info of their stamp

_CALIBRATE = (
    'calibrate it: ros2 run camera_calibration cameracalibrator, which needs a printed chessboard; '
    "or set the node's parameter field_of_view, and distances are guesses"
)
_ADVICE = {
    'zero K': _CALIBRATE,
    OTHER_SIZE: 'calibrate the camera in the resolution that it sends, or set that resolution in '
    'its driver',
    'distortion model': 'calibrate it with one of these',
    'encoding': 'look for the format of pixels among the parameters of the camera driver',
}
_LOST = (
    'large images get lost between processes where the middleware is not set up for them (see '
    'above), or where the processor is busy: listen again with less running'
)
_SILENT = (
    'if ros2 topic hz hears as little, look at the camera and the log of its driver; otherwise at '
    'the network between: firewall, multicast, and the middleware (see above)'
)


class CameraListener:
    """Listens to the images of a camera and to its camera_info, which the node finds the same way.

    Parameters
    ----------
    parent: a node of the same context.
    name: of the node that listens.
    topic: of the images.
    kind: the type of these, one of IMAGES.

    Attributes
    ----------
    node: which listens while it is spun.
    """

    def __init__(self, parent: Node, name: str, topic: str, kind: str) -> None:
        # Names of the node's own topics are those of raw images.
        compressed = _TYPES[kind] is CompressedImage
        image = topic.removesuffix('/compressed') if compressed else topic
        self.node = Node(
            name,
            context=parent.context,
            cli_args=[
                '--ros-args',
                '-r',
                f'image:={image}',
                '-r',
                f'__ns:={parent.get_namespace()}',
            ],
            start_parameter_services=False,
            enable_rosout=False,
        )
        self._topic = topic
        self._calibration = camera_topics(self.node)[1]
        self._images = TopicStream(self.node.get_clock())
        self._camera_infos = TopicStream(self.node.get_clock())
        self._subscribe(_TYPES[kind], topic, self._images)
        self._subscribe(CameraInfo, self._calibration, self._camera_infos)

    def findings(self, nodes: set[str], named: bool) -> Iterator[Finding]:
        """Yield what is found of images and camera_info that came meanwhile.

        Parameters
        ----------
        nodes: full names of the hybrik_nodes that run.
        named: whether the user named this topic; if not, it may be one of depth images.
        """
        yield from self._publishers(nodes)
        last = self._images.last
        if last is None:
            yield Finding(PROBLEM, self._topic, 'no image came', _SILENT)
            size = None
        elif not named and getattr(last, 'encoding', '') in DEPTH_ENCODINGS:
            depth = f'{self._images.hertz:.1f} Hz of depth images ({last.encoding})'
            yield Finding(OK, self._topic, f"{depth}; the node's topic depth takes such")
            return
        else:
            try:
                size, what = _describe(last)
            except UnusableInputError as fault:
                size = None
                advice = _ADVICE.get(fault.kind, 'look at the parameters of the camera driver')
                yield Finding(PROBLEM, self._topic, str(fault), advice)
            else:
                yield self._rate(what)
            yield self._stamps()
            yield self._frame(last.header.frame_id)
        yield from self._calibrations(size)

    def _subscribe(self, kind: type, topic: str, stream: 'TopicStream') -> None:
        take: Any = stream.take
        if not hasattr(Subscription, 'CallbackType'):  # Up to Humble, no numbers come along.
            take = partial(stream.take, info={})
        self.node.create_subscription(kind, topic, take, _QOS)

    def _publishers(self, nodes: set[str]) -> Iterator[Finding]:
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
                WARNING, self._topic, f'{len(publishers)} publish it: {names}',
                'their images mix: end one of them, or remap it',
            )  # fmt: skip
        for publisher in publishers:
            offered = publisher.qos_profile
            what = f'{_policies(offered)} from {full_name(publisher)}'
            for asked in wanted:
                compatibility, reason = qos_check_compatible(offered, asked)
                if compatibility == QoSCompatibility.ERROR:
                    yield Finding(
                        PROBLEM,
                        self._topic,
                        f'{what}; none of it reaches the node, which asks for {_policies(asked)} '
                        f'({_in_short(reason)})',
                        f"change it there, or the node's parameters qos_overrides.{self._topic}"
                        '.subscription.reliability and .durability',
                    )
                    break
            else:
                yield Finding(
                    OK, self._topic, f'{what}; the node, {_policies(wanted[0])}, receives it'
                )

    def _rate(self, what: str) -> Finding:
        images = self._images
        found = f'{images.hertz:.1f} Hz of {what}, {images.bytes_per_second / 1e6:.1f} MB/s'
        lost = images.lost
        if lost is not None:
            found += f', {lost:.0%} lost' if lost else ', none lost'
        if lost is not None and lost > _GREATEST_LOSS:
            return Finding(WARNING, self._topic, found, _LOST)
        if images.hertz < _SLOW_HERTZ:
            return Finding(
                WARNING,
                self._topic,
                found,
                f'people are followed from image to image, better at {_SLOW_HERTZ:g} Hz and more: '
                'is it dark, or the bus slow? Take a smaller resolution or compressed images',
            )
        return Finding(OK, self._topic, found)

    def _stamps(self) -> Finding:
        stamps = np.array(self._images.stamps)
        age = float(np.median(self._images.ages))
        how_old = f'{age:.3f} s old' if age >= 0 else f'{-age:.3f} s in the future'
        if not stamps.any():
            return Finding(
                PROBLEM, self._topic, 'stamps are all zero',
                'let the camera driver stamp images with the time of their exposure',
            )  # fmt: skip
        steps = np.diff(stamps)
        if len(steps) and not steps.any():
            return Finding(
                PROBLEM, self._topic, f'stamps stand still, {how_old}',
                'let the camera driver stamp every image',
            )  # fmt: skip
        if (steps < 0).any():
            return Finding(
                WARNING, self._topic, 'stamps went back: a bag that loops, or two cameras',
                'the node forgets everybody where time jumps: one camera a topic',
            )  # fmt: skip
        if age > _OLD_SECONDS or age < -_AHEAD_SECONDS:
            return Finding(WARNING, self._topic, f'stamps are {how_old}', self._set_clocks())
        return Finding(OK, self._topic, f'stamps advance, {how_old} on arrival')

    def _set_clocks(self) -> str:
        if self.node.count_publishers('/clock'):
            return (
                'there is a /clock: set use_sim_time of the node, and look again with '
                '--ros-args -p use_sim_time:=true'
            )
        return (
            'of another machine: set its clock by chrony; of a bag: play it with --clock and set '
            'use_sim_time of the node; else it is the delay of the driver'
        )

    def _frame(self, frame_id: str) -> Finding:
        if not frame_id:
            return Finding(
                PROBLEM, self._topic, 'frame_id is empty, and TF needs one',
                'set it among the parameters of the camera driver, to ..._optical_frame',
            )  # fmt: skip
        if 'optical' not in frame_id:
            return Finding(
                WARNING,
                self._topic,
                f'frame_id is {frame_id!r}, which by its name is no optical frame',
                'bodies lie on their side in TF unless its z looks forward and its y down: name '
                'the ..._optical_frame of the camera in its driver (REP-103)',
            )
        return Finding(OK, self._topic, f'frame_id is {frame_id!r}')

    def _calibrations(self, size: tuple[int, int] | None) -> Iterator[Finding]:
        topic = self._calibration
        message = self._camera_infos.last
        if message is None:
            yield self._no_calibration()
            return
        try:
            camera = to_camera(message, size)
        except UnusableInputError as fault:
            advice = _ADVICE.get(fault.kind, _CALIBRATE)
            yield Finding(PROBLEM, topic, str(fault), advice)
        else:
            yield Finding(
                OK,
                topic,
                f'{self._camera_infos.hertz:.1f} Hz of {camera.width} x {camera.height}, '
                f'{message.distortion_model or "no distortion model"}, a field of view of '
                f'{_field_of_view(camera):.0f} degrees',
            )
        image = self._images.last
        if image is None:
            return
        if message.header.frame_id != image.header.frame_id:
            yield Finding(
                WARNING,
                topic,
                f'frame_id is {message.header.frame_id!r}, that of the images '
                f'{image.header.frame_id!r}: is it the calibration of another camera?',
                "remap camera_info to this camera's, or set the same frame_id for both",
            )
        same = np.isin(self._images.stamps, self._camera_infos.stamps).mean()
        if same < _SAME_STAMPS:
            yield Finding(
                WARNING,
                topic,
                f'{same:.0%} of the images have a camera_info of their stamp',
                'the node takes the nearest one, which is right as long as calibration and '
                'resolution stay; better let the driver send one with each image, of its stamp',
            )

    def _no_calibration(self) -> Finding:
        topic = self._calibration
        if self.node.count_publishers(topic):
            return Finding(
                PROBLEM, topic, 'somebody publishes it, but none came',
                'if it is sent but once, the node misses it too: send it with every image',
            )  # fmt: skip
        others = [
            name
            for name, kinds in self.node.get_topic_names_and_types()
            if 'sensor_msgs/msg/CameraInfo' in kinds and self.node.count_publishers(name)
        ]
        advice = f'start the camera driver with its calibration; {_CALIBRATE}'
        if others:
            advice = (
                f'there is {", ".join(others)}; if that is the one, name it: '
                f'camera_info_topic:={others[0]} to launch, -r camera_info:={others[0]} to the node'
            )
        return Finding(
            PROBLEM, topic, 'nobody publishes it, and without it the node says nothing', advice
        )


class TopicStream:
    """What came on a topic.

    Parameters
    ----------
    clock: by which messages are stamped.

    Attributes
    ----------
    last: the last message; None where none came.
    stamps: of all, nanoseconds.
    ages: of all on arrival, by the clock, seconds.
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
        """Take in a message."""
        stamp = nanoseconds(message.header)
        self.last = message
        self.stamps.append(stamp)
        self.ages.append((self._clock.now().nanoseconds - stamp) * 1e-9)
        self._arrivals.append(time.monotonic())
        self._numbers.append(info.get('publication_sequence_number'))
        self._bytes += len(getattr(message, 'data', ()))

    @property
    def hertz(self) -> float:
        """Messages a second; 0 where fewer than two came."""
        if len(self._arrivals) < 2:
            return 0.0
        return (len(self._arrivals) - 1) / max(self._arrivals[-1] - self._arrivals[0], 1e-9)

    @property
    def bytes_per_second(self) -> float:
        """Of the pixels."""
        return self.hertz * self._bytes / max(len(self._arrivals), 1)

    @property
    def lost(self) -> float | None:
        """Share of the messages that did not come, None where the middleware does not count."""
        numbers = [number for number in self._numbers if number is not None]
        # Two publishers count each for themselves.
        if len(numbers) < 2 or any(np.diff(numbers) <= 0):
            return None
        return 1 - len(numbers) / (numbers[-1] - numbers[0] + 1)


def full_name(endpoint: TopicEndpointInfo) -> str:
    """Return the full name of the node that publishes or subscribes."""
    return f'{endpoint.node_namespace.rstrip("/")}/{endpoint.node_name}'


def _in_short(reason: str) -> str:
    """Return why policies do not fit, without rclpy's marks."""
    return reason.replace('ERROR: ', '').rstrip(';').replace(';', '; ')


def _policies(qos: QoSProfile) -> str:
    reliability, durability = (
        policy.name.lower().replace('_', ' ') for policy in (qos.reliability, qos.durability)
    )
    return f'{reliability}, {durability}'


def _describe(message: Image | CompressedImage) -> tuple[tuple[int, int], str]:
    """Return width and height, pixels, and what an image is in words.

    Raises
    ------
    UnusableInputError: the node cannot read it.
    """
    compressed = isinstance(message, CompressedImage)
    rgb = decompress(message) if compressed else to_rgb(message)
    height, width = rgb.shape[:2]
    kind = message.format if compressed else message.encoding
    return (width, height), f'{width} x {height} {kind}'


def _field_of_view(camera: Camera) -> float:
    """Return the horizontal angle, degrees, between the edges of the image."""
    row = (camera.height - 1) / 2
    left, right = camera.rays([[-0.5, row], [camera.width - 0.5, row]])[:, 0]
    return math.degrees(math.atan(right) - math.atan(left))
