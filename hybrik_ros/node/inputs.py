"""What the node subscribes to while it is active: images, and what belongs to them."""

from collections.abc import Callable

from rclpy.event_handler import QoSRequestedIncompatibleQoSInfo, SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSPolicyKind, QoSProfile, QoSReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from hybrik_ros.node.parameters import COMPRESSED
from hybrik_ros.node.topics import camera_topics

_NEWEST = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)


class Inputs:
    """Subscriptions of a node, from the first moment to close().

    Parameters
    ----------
    node: whose parameters say what is subscribed to.
    take_image, take_camera_info: called with every message, in the executor's thread.
    say: tells the user of a fault that costs no frame.
    """

    def __init__(
        self,
        node: Node,
        take_image: Callable[[Image | CompressedImage], None],
        take_camera_info: Callable[[CameraInfo], None],
        say: Callable[[str], None],
    ) -> None:
        self._node = node
        self._say = say
        self._subscriptions: list[Subscription] = []
        self.image, self.camera_info = camera_topics(node)
        kind = Image
        if node.get_parameter('image_transport').value == COMPRESSED:
            kind = CompressedImage
            self.image += '/compressed'
        # The calibration first: of messages that wait together it is then the first to be read.
        self._subscribe(CameraInfo, self.camera_info, take_camera_info)
        self._subscribe(kind, self.image, take_image)

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def _subscribe(self, kind: type, topic: str, take: Callable) -> None:
        def complain(info: QoSRequestedIncompatibleQoSInfo) -> None:
            policy = QoSPolicyKind(info.last_policy_kind).name.lower()
            self._say(
                f'a publisher of {topic} offers another {policy} than the node asks for, so that '
                f'nothing comes from it: change it there, or the parameter '
                f'qos_overrides.{topic}.subscription.{policy} here'
            )

        self._subscriptions.append(
            self._node.create_subscription(
                kind,
                topic,
                take,
                _NEWEST,
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
                event_callbacks=SubscriptionEventCallbacks(incompatible_qos=complain),
            )
        )
