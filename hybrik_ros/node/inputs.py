"""Inputs of the node while it is active: images, and the data that belongs to them."""

from collections import Counter, deque
from collections.abc import Callable
from copy import copy
from reprlib import repr as cut_repr
from typing import Any

from numpy.typing import NDArray
from rclpy.event_handler import QoSRequestedIncompatibleQoSInfo, SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSPolicyKind
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Imu
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from hybrik_ros.arrays import Array
from hybrik_ros.messages.fields import nanoseconds, strip_slash
from hybrik_ros.messages.images import MAX_DISTORTION, UnusableInputError
from hybrik_ros.messages.mixture import MixtureFinder
from hybrik_ros.messages.stamp_order import find_other_speed
from hybrik_ros.node import detections, parameters
from hybrik_ros.node.by_stamp import ByStamp
from hybrik_ros.node.complaints import Complaints
from hybrik_ros.node.depth_images import to_depth
from hybrik_ros.node.gravity_source import GravitySource
from hybrik_ros.node.topics import (
    NEWEST_ONLY,
    SEQUENCE_NUMBER,
    STATIC_TRANSFORMS,
    TRANSFORMS,
    MessageInfo,
    camera_topics,
    subscribe_to_latched,
    with_info,
)
from hybrik_ros.settings import COMPRESSED

# Policies of the subscriptions that parameters qos_overrides.* can set.
_OVERRIDABLE = (
    QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY,
)  # fmt: skip
_MAX_MISSED = 10  # images in a row without the depth image or detections of their stamp
_BUFFER_LENGTH = 8  # depth images, or detections, kept until their image is processed
_MAX_STAMP_DIFFERENCE = 0.02  # seconds between an image and the data that belongs to it
_MAX_TIMES = 200  # images whose stamps are compared with the clock
# Maximum number of calls of follow_publishers after an image, in a row without a camera_info.
_MAX_SILENT_CALLS = 3
# Maximum wait in seconds: depth and detections are computed from the image, and arrive later.
_MAX_WAIT_SECONDS = 0.1


class Inputs:
    """Subscriptions of a node, from the construction to close().

    Parameters
    ----------
    node : Node
        Node with the parameters that select the topics.
    take_image, take_camera_info : callable
        Called with every message, in the executor's thread.
    complaints : Complaints
        Reports faults that cost no frame.
    """

    def __init__(
        self,
        node: Node,
        take_image: Callable[[Image | CompressedImage], None],
        take_camera_info: Callable[[CameraInfo], None],
        complaints: Complaints,
    ) -> None:
        self._node = node
        self._complaints = complaints
        self._subscriptions: list[Subscription] = []
        self._depths: ByStamp[Image] | None = None
        self._boxes: ByStamp[list[detections.Box]] | None = None
        self._missed: Counter[str] = Counter()
        self._mixture = MixtureFinder()
        self._gravity = GravitySource(node, complaints)
        self._classes = detections.ClassCheck(complaints.warn)
        self._last_camera_info: tuple[float, ...] = ()
        # Stamp and time of receipt of the last images in nanoseconds.
        self._times: deque[tuple[int, int]] = deque(maxlen=_MAX_TIMES)
        self._has_new_image = False  # since the last call of follow_publishers
        self._silent_calls = 0  # of follow_publishers, with images but no camera_info
        self._take_image, self._take_camera_info = take_image, take_camera_info
        durability = _override(camera_topics(node)[1], 'durability')
        self._follows_latched = parameters.overrides(node).get(durability) != 'volatile'
        try:
            self._subscribe_all()
            parameters.warn_of_unused_qos(node)
        except Exception:
            self.close()
            raise

    @property
    def topics(self) -> list[str]:
        """Full names of the subscribed topics."""
        return [subscription.topic_name for subscription in self._subscriptions]

    def depth_of(self, header: Header) -> NDArray | None:
        """Return the depths (H, W) in metres that belong to an image; None where there are none.

        Raises
        ------
        UnusableInputError
            The depth image cannot be read, or has another frame_id.
        """
        if self._depths is None:
            return None
        message = self._depths.take(_seconds(header), _MAX_STAMP_DIFFERENCE, _MAX_WAIT_SECONDS)
        self._expect('depth', message)
        if message is None:
            return None
        frames = message.header.frame_id, header.frame_id
        if all(frames) and frames[0] != frames[1]:
            raise UnusableInputError(
                'depth frame',
                f'the depth image is in the frame {frames[0]!r}, the image in {frames[1]!r}: '
                f"register it to the image, for example with depth_image_proc's register node",
            )
        return to_depth(message)

    def boxes_of(self, header: Header) -> list[detections.Box] | None:
        """Return the boxes of the external detector; None where the internal detector runs."""
        if self._boxes is None:
            return None
        found = self._boxes.take(_seconds(header), _MAX_STAMP_DIFFERENCE, _MAX_WAIT_SECONDS)
        self._expect('detections', found)
        return found or []

    def up_of(self, header: Header) -> Array | None:
        """Return the direction up (3) in the frame of an image; None where it is not known."""
        return self._gravity.up_of(header)

    def follow_publishers(self) -> None:
        """Subscribe to a latched camera_info too once there is one; to be called at times."""
        _, topic = camera_topics(self._node)
        if self._has_new_image:
            self._has_new_image = False
            self._check_silence(topic)
            self._check_speed()
        if not self._follows_latched:
            return
        take = self._cleaned(self._take_info_once)
        if latched := subscribe_to_latched(self._node, CameraInfo, topic, take):
            self._subscriptions.append(latched)
            self._follows_latched = False

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def _check_silence(self, topic: str) -> None:
        """Warn of a publisher from which no camera_info has come, although images do."""
        is_silent = not self._last_camera_info and self._node.count_publishers(topic)
        self._silent_calls = self._silent_calls + 1 if is_silent else 0
        if self._silent_calls >= _MAX_SILENT_CALLS:
            self._complaints.warn(
                f'no camera_info was received from the publisher on {topic}: publish it with each '
                f'image; one that is published only once must be latched (reliable and transient '
                f'local)'
            )

    def _check_speed(self) -> None:
        """Warn of stamps that run at another speed than the clock."""
        stamps, times = zip(*self._times, strict=True)
        if fault := find_other_speed(stamps, times):
            self._complaints.warn(f'image {fault}')

    def _expect(self, topic: str, found: object | None) -> None:
        """Warn where no data with the stamps of the images arrives."""
        self._missed[topic] = 0 if found is not None else self._missed[topic] + 1
        if self._missed[topic] >= _MAX_MISSED:
            self._complaints.warn(
                f'no message with the stamps of the images on '
                f'{self._node.resolve_topic_name(topic)}: check that it is published, with the '
                f'header of the image that it belongs to, or remap it'
            )

    def _subscribe_all(self) -> None:
        image, camera_info = camera_topics(self._node)
        # The calibration first: when messages wait together, the executor takes it first.
        self._subscribe(CameraInfo, camera_info, self._take_info_once)
        if self._node.get_parameter('depth.enabled').value:
            self._depths = ByStamp(_BUFFER_LENGTH)
            self._subscribe(Image, 'depth', self._take_depth)
        if self._node.get_parameter('detector.external').value:
            self._boxes = ByStamp(_BUFFER_LENGTH)
            self._subscribe(detections.message_type(), 'detections', self._take_detections)
        if self._gravity.uses_imu:
            self._subscribe(Imu, 'imu', self._gravity.take_imu)
        if self._gravity.uses_transforms:
            take = self._gravity.take_transforms
            for topic, qos in (('/tf', TRANSFORMS), ('/tf_static', STATIC_TRANSFORMS)):
                self._subscriptions.append(
                    self._node.create_subscription(TFMessage, topic, take, copy(qos))
                )
        if self._node.get_parameter('image_transport').value == COMPRESSED:
            self._subscribe(CompressedImage, f'{image}/compressed', self._take_one_image)
        else:
            self._subscribe(Image, image, self._take_one_image)

    def _take_info_once(self, message: CameraInfo, _: MessageInfo) -> None:
        """Take a camera_info, which both subscriptions may receive."""
        # rclpy takes messages for equal whose arrays differ in some elements only.
        d = message.d[: MAX_DISTORTION + 1]  # Longer ones are refused.
        content = nanoseconds(message.header), message.height, *message.k, *d, *message.p
        if content == self._last_camera_info:
            return
        self._last_camera_info = content
        try:
            self._take_camera_info(message)
        except UnusableInputError as fault:
            self._complaints.warn(str(fault))
            return
        self._warn_of_mixture(self._mixture.find_in_calibration(message))

    def _take_one_image(self, message: Image | CompressedImage, info: MessageInfo) -> None:
        self._has_new_image = True
        now = self._node.get_clock().now().nanoseconds
        self._times.append((nanoseconds(message.header), now))
        self._warn_of_mixture(self._mixture.find(message, info.get(SEQUENCE_NUMBER)))
        self._take_image(message)

    def _warn_of_mixture(self, difference: str) -> None:
        if difference:
            self._complaints.warn(
                f'images of several cameras come on one topic, as {difference}. One tracker '
                f'follows people through all of them: give each camera its own topic and node'
            )

    def _take_depth(self, message: Image, _: MessageInfo) -> None:
        assert self._depths is not None
        self._depths.put(_seconds(message.header), message)

    def _take_detections(self, message: Any, _: MessageInfo) -> None:
        assert self._boxes is not None
        threshold = self._node.get_parameter('detector.threshold').value
        faults: list[str] = []
        boxes = detections.to_boxes(message, threshold, faults.append)
        for fault in faults:
            self._complaints.warn(fault)
        if not faults:  # The detections that are no boxes may be people.
            self._classes.check(message, boxes, threshold)
        self._boxes.put(_seconds(message.header), boxes)

    def _cleaned(
        self, take: Callable[[Any, MessageInfo], None]
    ) -> Callable[[Any, MessageInfo], None]:
        """Return a callback that removes slashes from frames before it hands a message on."""

        def receive(message: Any, info: MessageInfo) -> None:
            given = message.header.frame_id
            if strip_slash(message.header):
                self._complaints.warn(
                    f'the frame_id {cut_repr(given)} begins with a slash, which tf2 refuses: it is '
                    f'used without. Remove the slash in the driver'
                )
            take(message, info)

        return receive

    def _subscribe(self, kind: type, topic: str, take: Callable[[Any, MessageInfo], None]) -> None:
        name = self._node.resolve_topic_name(topic)

        def warn_of_qos(info: QoSRequestedIncompatibleQoSInfo) -> None:
            policy = QoSPolicyKind(info.last_policy_kind).name.lower()
            self._complaints.warn(
                f'incompatible QoS ({policy}) with a publisher on {name}: its messages will not be '
                f'received. Change it there, or set the parameter {_override(name, policy)} here',
                lasting=True,
            )

        self._subscriptions.append(
            self._node.create_subscription(
                kind,
                topic,
                with_info(self._cleaned(take)),
                copy(NEWEST_ONLY),  # The overrides are written into it.
                qos_overriding_options=QoSOverridingOptions(_OVERRIDABLE),
                event_callbacks=SubscriptionEventCallbacks(incompatible_qos=warn_of_qos),
            )
        )


def _override(topic: str, policy: str) -> str:
    """Return the parameter that overrides a policy of a subscription."""
    return f'qos_overrides.{topic}.subscription.{policy}'


def _seconds(header: Header) -> float:
    return nanoseconds(header) * 1e-9
