"""Checks of `hybrik doctor` of a camera: receives its images and its camera_info."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, QoSReliabilityPolicy, qos_check_compatible
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from hybrik_ros.findings import OK, PROBLEM, WARNING, Finding
from hybrik_ros.messages.camera_info import are_rectified
from hybrik_ros.messages.exposure import describe_exposure
from hybrik_ros.messages.images import (
    IMPOSSIBLE,
    UnusableInputError,
    decompress,
    to_intrinsics,
    to_rgb,
)
from hybrik_ros.messages.mixture import MixtureFinder
from hybrik_ros.messages.plausibility import field_of_view
from hybrik_ros.node.depth_images import DEPTH_ENCODINGS
from hybrik_ros.node.stamp_checks import check_stamps
from hybrik_ros.node.topic_stream import TopicStream
from hybrik_ros.node.topics import (
    LATCHED,
    NEWEST_ONLY,
    SEQUENCE_NUMBER,
    MessageInfo,
    camera_topics,
    subscribe_to_latched,
    with_info,
)
from hybrik_ros.settings import AUTO
from hybrik_ros.tracking import MAX_INTERVAL

COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'
_TYPES = {'sensor_msgs/msg/Image': Image, COMPRESSED_IMAGE: CompressedImage}
IMAGES = frozenset(_TYPES)
_CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
_STEADY = Clock(clock_type=ClockType.STEADY_TIME)

# As the node's subscription, but with a longer queue, so that no message is dropped.
_QOS = QoSProfile(depth=20, reliability=QoSReliabilityPolicy.BEST_EFFORT)

_MAX_NAME = 40  # characters of the name of a distortion model that are shown
_MIN_HERTZ = 10.0  # of images: people are tracked from image to image
_MAX_LOSS = 0.02  # share of lost images
_POLL_SECONDS = 0.2  # between two looks for a latched camera_info
_MIN_SAME_STAMPS = 0.5  # share of images with a camera_info of the same stamp

_CALIBRATE = (
    'calibrate it: ros2 run camera_calibration cameracalibrator, with a printed chessboard; '
    "or set the node's parameter field_of_view, for example to 60.0, with less accurate distances"
)
_UNTIL_THEN = 'until then the node needs its parameter field_of_view, for example 60.0'
_ADVICE = {
    'zero K': _CALIBRATE,
    IMPOSSIBLE: f'correct the calibration file or the camera driver; {_UNTIL_THEN}',
    'camera_info': _UNTIL_THEN,
    'distortion model': 'calibrate it with one of these',
    'encoding': 'set the pixel format among the parameters of the camera driver',
}
_LOST = (
    'large images are lost where the middleware is not set up for them (see above), or the '
    'processor is busy: try again with fewer processes running'
)
_SILENT = (
    'check the camera and the log of its driver, then the network: firewall, multicast, and the '
    f'middleware (see above); if images are more than {MAX_INTERVAL:g} s apart, listen longer with '
    '--seconds 20'
)
_SLOW = (
    f'tracking needs about {_MIN_HERTZ:g} Hz or more, and two images at most {MAX_INTERVAL:g} s '
    'apart to find a person at all: add light for a shorter exposure, or use a smaller resolution '
    'or compressed images'
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
    images : TopicStream
        The received images.
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
        self._began = time.monotonic()
        self._calibration = camera_topics(self.node)[1]
        self._rectified = are_rectified(AUTO, topic)
        self.images = TopicStream(self.node.get_clock())
        self._camera_infos = TopicStream(self.node.get_clock())
        self._mixture = MixtureFinder()
        self._difference = ''  # of images of several cameras
        self._subscribe(_TYPES[kind], topic, self._take_image)
        self._subscribe(CameraInfo, self._calibration, self._take_camera_info)
        self._timer = self.node.create_timer(_POLL_SECONDS, self._follow_publishers, clock=_STEADY)

    @property
    def has_rate(self) -> bool:
        """Whether two images were received, which have a rate."""
        return len(self.images.stamps) > 1

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
        last = self.images.last
        if last is None:
            yield Finding(PROBLEM, self._topic, f'no image received{self._how_long}', _SILENT)
            size = None
        elif not is_named and getattr(last, 'encoding', '') in DEPTH_ENCODINGS:
            depth = f'{self.images.hertz:.1f} Hz of depth images ({last.encoding})'
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

    @property
    def _how_long(self) -> str:
        return f' within {time.monotonic() - self._began:.0f} s'

    def _subscribe(self, kind: type, topic: str, take: Callable[[Any, MessageInfo], None]) -> None:
        self.node.create_subscription(kind, topic, with_info(take), _QOS)

    def _follow_publishers(self) -> None:
        """Subscribe to a latched camera_info too once there is one, as the node does."""
        take = self._take_latched
        if subscribe_to_latched(self.node, CameraInfo, self._calibration, take) is not None:
            self._timer.cancel()

    def _take_image(self, message: Image | CompressedImage, info: MessageInfo) -> None:
        self.images.take(message, info)
        self._difference = (
            self._mixture.find(message, info.get(SEQUENCE_NUMBER)) or self._difference
        )

    def _take_camera_info(self, message: CameraInfo, info: MessageInfo) -> None:
        self._camera_infos.take(message, info)
        self._difference = self._mixture.find_in_calibration(message) or self._difference

    def _take_latched(self, message: CameraInfo, info: MessageInfo) -> None:
        if self._camera_infos.last is None:  # The other subscription receives all later ones.
            self._camera_infos.take(message, info)

    def _check_publishers(self, nodes: set[str]) -> Iterator[Finding]:
        """Check the number of publishers, and whether a subscription of each node fits each."""
        publishers = self.node.get_publishers_info_by_topic(self._topic)
        if len(publishers) > 1:
            names = ', '.join(sorted(full_name(publisher) for publisher in publishers))
            yield Finding(
                WARNING, self._topic, f'{len(publishers)} publishers: {names}',
                'their images mix: stop one of them, or remap it',
            )  # fmt: skip
        if self._difference:
            yield Finding(
                WARNING, self._topic, f'images of several cameras, as {self._difference}',
                'one tracker follows people through all of them: give each camera its own topic '
                'and hybrik_node',
            )  # fmt: skip
        yield from check_qos(self.node, self._topic, nodes)
        for finding in check_qos(self.node, self._calibration, nodes):
            if finding.level != OK:
                yield finding

    def _check_rate(self, what: str) -> Finding:
        """Check rate and loss of images, described by what."""
        images = self.images
        if not self.has_rate:
            return Finding(WARNING, self._topic, f'only one image{self._how_long}, {what}', _SLOW)
        found = f'{images.hertz:.1f} Hz of {what}, {images.bytes_per_second / 1e6:.1f} MB/s'
        lost = images.lost
        if lost is not None:
            found += f', {lost:.0%} lost' if lost else ', none lost'
        if lost is not None and lost > _MAX_LOSS:
            return Finding(WARNING, self._topic, found, _LOST)
        if images.hertz < _MIN_HERTZ:
            return Finding(WARNING, self._topic, found, _SLOW)
        return Finding(OK, self._topic, found)

    def _check_stamps(self) -> Finding:
        return check_stamps(self._topic, self.images, self.node)

    def _check_calibration(self, size: tuple[int, int] | None) -> Iterator[Finding]:
        """Check camera_info, for images of a width and height in pixels if known."""
        message = self._camera_infos.last
        if message is None:
            yield self._explain_missing_calibration()
            return
        yield from self._check_intrinsics(message, size)
        if self.images.last is not None:
            yield from self._check_match(message, self.images.last)

    def _check_intrinsics(
        self, message: CameraInfo, size: tuple[int, int] | None
    ) -> Iterator[Finding]:
        """Check that a camera_info is usable and plausible."""
        try:
            camera, doubts = to_intrinsics(message, size, self._rectified)
        except UnusableInputError as fault:
            if advice := _ADVICE.get(fault.kind):
                yield Finding(PROBLEM, self._calibration, str(fault), advice)
            else:  # The message has its own.
                yield Finding.of(PROBLEM, self._calibration, str(fault), _CALIBRATE)
            return
        for doubt in doubts:
            found, _, advice = doubt.rpartition(': ')
            yield Finding(WARNING, self._calibration, found, advice)
        model = message.distortion_model[:_MAX_NAME] or 'no distortion model'
        lens = 'P, for rectified images' if self._rectified else model
        is_one = len(self._camera_infos.stamps) == 1
        rate = 'one message' if is_one else f'{self._camera_infos.hertz:.1f} Hz'
        yield Finding(
            OK,
            self._calibration,
            f'{rate} of {camera.width} x {camera.height}, {lens}, a field of view of '
            f'{field_of_view(camera):.0f} degrees',
        )

    def _check_match(
        self, message: CameraInfo, image: Image | CompressedImage
    ) -> Iterator[Finding]:
        """Check that frame and stamps of camera_info match those of the images."""
        topic = self._calibration
        frames = [each.header.frame_id.lstrip('/') for each in (message, image)]
        if frames[0] != frames[1]:
            yield Finding(
                WARNING,
                topic,
                f'frame_id is {frames[0]!r}, but {frames[1]!r} for the images: it may belong to '
                'another camera',
                "remap camera_info to this camera's, or set the same frame_id for both",
            )
        if len(self._camera_infos.stamps) == 1 and len(self.images.stamps) > 2:
            yield Finding(
                WARNING,
                topic,
                'published once, before or while this was listening',
                'the node keeps it, but learns of no change of calibration or resolution: make '
                'the driver publish one with each image, of its stamp',
            )
            return
        same = np.isin(self.images.stamps, self._camera_infos.stamps).mean()
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
        kinds = {each.topic_type for each in self.node.get_publishers_info_by_topic(topic)}
        if kinds and _CAMERA_INFO not in kinds:
            found = f'is {", ".join(sorted(kinds))}, not {_CAMERA_INFO}'
            return Finding(
                PROBLEM, topic, found, 'remap camera_info to the topic of the calibration'
            )
        if kinds:
            return Finding(
                PROBLEM, topic, 'no message received, although there is a publisher',
                'if it is published only once, a node that starts later misses it: publish it with '
                'every image, or latched (reliable and transient local)',
            )  # fmt: skip
        others = [
            name
            for name, types in self.node.get_topic_names_and_types()
            if _CAMERA_INFO in types and self.node.count_publishers(name)
        ]
        advice = f'start the camera driver with its calibration; {_CALIBRATE}'
        if others:
            advice = (
                f'if {" or ".join(others)} belongs to this camera: camera_info_topic:={others[0]} '
                f'for launch, -r camera_info:={others[0]} for the node; otherwise {_CALIBRATE}'
            )
        found = 'no publisher; the node cannot process images without it'
        return Finding(PROBLEM, topic, found, advice)


def full_name(endpoint: TopicEndpointInfo) -> str:
    """Return the full name of the node of a publisher or subscription."""
    return f'{endpoint.node_namespace.rstrip("/")}/{endpoint.node_name}'


def check_qos(node: Node, topic: str, nodes: set[str]) -> Iterator[Finding]:
    """Check that each publisher of a topic fits a subscription of each hybrik_node.

    Parameters
    ----------
    node : Node
        A node that knows the graph.
    topic : str
        The topic.
    nodes : set of str
        Full names of the running hybrik_nodes.
    """
    requested: dict[str, list[QoSProfile]] = {}
    for subscriber in node.get_subscriptions_info_by_topic(topic):
        if full_name(subscriber) in nodes:
            requested.setdefault(full_name(subscriber), []).append(subscriber.qos_profile)
    for publisher in node.get_publishers_info_by_topic(topic):
        yield _check_publisher(
            topic, publisher, list(requested.values()) or [[NEWEST_ONLY, LATCHED]]
        )


def _check_publisher(
    topic: str, publisher: TopicEndpointInfo, requested: Sequence[Sequence[QoSProfile]]
) -> Finding:
    """Check that a publisher's QoS fits one of the subscriptions of each node."""
    offered = publisher.qos_profile
    found = f'{_policies(offered)} from {full_name(publisher)}'
    for subscriptions in requested:
        checks = [qos_check_compatible(offered, wanted) for wanted in subscriptions]
        if all(compatibility == QoSCompatibility.ERROR for compatibility, _ in checks):
            return Finding(
                PROBLEM,
                topic,
                f'{found}; incompatible QoS: the node requests {_policies(subscriptions[0])} and '
                f'receives nothing ({_shorten(checks[0][1])})',
                f'change the QoS of the publisher, or set the parameters qos_overrides.'
                f'{topic}.subscription.reliability and .durability of the node',
            )
    return Finding(OK, topic, f'{found}; compatible with the node, {_policies(requested[0][0])}')


def _check_frame(topic: str, frame_id: str) -> Finding:
    """Check that the frame of images is named like an optical frame."""
    if not frame_id.strip('/'):
        return Finding(
            PROBLEM, topic, 'frame_id is empty, but TF needs it',
            'set it to ..._optical_frame among the parameters of the camera driver',
        )  # fmt: skip
    if frame_id.startswith('/'):
        return Finding(
            WARNING, topic, f'frame_id {frame_id!r} begins with a slash, which tf2 refuses',
            'the node removes it, other programs may not: set it without in the camera driver',
        )  # fmt: skip
    if frame_id.endswith('/'):
        return Finding(
            WARNING, topic, f'frame_id {frame_id!r} ends with a slash: TF takes it for another '
            f'frame than {frame_id.rstrip("/")!r}',
            'set it without the slash among the parameters of the camera driver',
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
