"""Names of the camera's topics, and what subscriptions to them need."""

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from rclpy.subscription import Subscription

MessageInfo = Mapping[str, Any]  # what rclpy tells of a received message
SEQUENCE_NUMBER = 'publication_sequence_number'  # in MessageInfo, where the middleware has it

NEWEST_ONLY = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)
# A message that was published once, before there was a subscription, reaches only these.
LATCHED = QoSProfile(
    depth=1,
    reliability=QoSReliabilityPolicy.RELIABLE,
    durability=QoSDurabilityPolicy.TRANSIENT_LOCAL,
)
# As tf2 subscribes, but to publishers of any reliability.
TRANSFORMS = QoSProfile(depth=100, reliability=QoSReliabilityPolicy.BEST_EFFORT)
STATIC_TRANSFORMS = QoSProfile(
    depth=100,
    reliability=QoSReliabilityPolicy.RELIABLE,
    durability=QoSDurabilityPolicy.TRANSIENT_LOCAL,
)


def subscribe_to_latched(
    node: Node, kind: type, topic: str, take: Callable[[Any, MessageInfo], None]
) -> Subscription | None:
    """Subscribe to a message that a publisher keeps for late subscriptions; None if none does.

    To be called again while there is none. Volatile publishers warn of such a subscription, which
    cannot receive from them, so it is not made beforehand.
    """
    is_latched = any(
        publisher.qos_profile.durability == LATCHED.durability
        and publisher.qos_profile.reliability == LATCHED.reliability
        for publisher in node.get_publishers_info_by_topic(topic)
    )
    if not is_latched:
        return None
    silent = SubscriptionEventCallbacks(use_default_callbacks=False)
    return node.create_subscription(
        kind, topic, with_info(take), copy(LATCHED), event_callbacks=silent
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
