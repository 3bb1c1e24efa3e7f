"""Names of the camera's topics, and what subscriptions to them need."""

from collections.abc import Callable, Mapping
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from rclpy.subscription import Subscription

MessageInfo = Mapping[str, Any]  # what rclpy tells of a received message

NEWEST_ONLY = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)
# A message that was published once, before there was a subscription, reaches only these.
LATCHED = QoSProfile(
    depth=1,
    reliability=QoSReliabilityPolicy.RELIABLE,
    durability=QoSDurabilityPolicy.TRANSIENT_LOCAL,
)


def has_latched(node: Node, topic: str) -> bool:
    """Return whether a topic has a publisher that sends its last message to late subscriptions."""
    return any(
        publisher.qos_profile.durability == LATCHED.durability
        and publisher.qos_profile.reliability == LATCHED.reliability
        for publisher in node.get_publishers_info_by_topic(topic)
    )


def with_info(take: Callable[[Any, MessageInfo], None]) -> Callable:
    """Return a callback for messages and their info; up to Humble, rclpy gives no info."""
    return take if hasattr(Subscription, 'CallbackType') else lambda message: take(message, {})


def camera_topics(node: Node) -> tuple[str, str]:
    """Return the full names of the image and camera_info topics.

    By default camera_info is in the namespace of the image, where camera drivers publish it. If
    camera_info is remapped to another name, that name is returned.
    """
    image = node.resolve_topic_name('image')
    camera_info = node.resolve_topic_name('camera_info')
    if camera_info == f'{node.get_namespace().rstrip("/")}/camera_info':
        camera_info = f'{image.rpartition("/")[0]}/camera_info'
    return image, camera_info
