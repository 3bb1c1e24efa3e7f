"""Publishers of REP-155's bodies: /humans/bodies/tracked, and /humans/bodies/<id>/ per person.

| Topic | Message |
|---|---|
| tracked | hri_msgs/IdsList: ids of all people in the image, may be empty |
| <id>/roi | hri_msgs/NormalizedRegionOfInterest2D: bounding box of the person |
| <id>/cropped | sensor_msgs/Image: image inside the bounding box |
| <id>/skeleton2d | hri_msgs/Skeleton2D: joints and face landmarks in the image |
| <id>/joint_states | sensor_msgs/JointState: angles of the joints of urdf |
| <id>/urdf | std_msgs/String, latched: REP-155's model with the person's bone lengths |
| <id>/position | geometry_msgs/PointStamped: midpoint between the hips |
| <id>/velocity | geometry_msgs/TwistStamped: velocity of the pelvis |

All are reliable. A fusion of cameras has no image: roi, cropped and skeleton2d are missing there.
The root of the urdf is the TF frame body_<id>; see messages/frames.py.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import PointStamped, TwistStamped
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher, PublisherEventCallbacks
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header, String

from hybrik_ros.body import BodyModel
from hybrik_ros.human import Human
from hybrik_ros.node.camera_image import CameraImage
from hybrik_ros.node.rep155_angles import joint_angles
from hybrik_ros.node.rep155_urdf import to_urdf

_BODIES = '/humans/bodies'
_QUEUE_DEPTH = 10
_LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
# Time in seconds for which the topics of a lost person are kept: an occluded person returns
# with the same id.
_KEEP_SECONDS = 2.0
# Maximum displacement in metres of a joint of the T-pose; beyond it the urdf is published again.
_MAX_SHAPE_CHANGE = 0.005
_OF_IMAGES = ('roi', 'cropped', 'skeleton2d')  # topics that there are of images only


def available() -> bool:
    """Return whether hri_msgs is installed, which Rep155 needs."""
    try:
        import hri_msgs.msg  # noqa: F401
    except ImportError:
        return False
    return True


class Rep155:
    """Publishes people as REP-155's bodies; messages without a subscriber are not built.

    One thread may publish while another one spins the node. The publishers are not lifecycle
    publishers: a lifecycle node must call `publish` only while it is active.

    Parameters
    ----------
    node : Node
        Node that owns the publishers.
    body : BodyModel
        Body model of the people's betas.
    has_images : bool
        Whether there are images of the people.

    Raises
    ------
    ImportError
        hri_msgs is not installed.
    """

    def __init__(self, node: Node, body: BodyModel, has_images: bool = True) -> None:
        from hybrik_ros.node import rep155_messages

        self._to_ids = rep155_messages.to_ids
        self._node = node
        self._body = body
        self._has_images = has_images
        self._tracked = _create_publisher(node, rep155_messages.IdsList, 'tracked', _QUEUE_DEPTH)
        self._people: dict[str, _Person] = {}
        # Only one of several nodes publishes the list of tracked bodies: an empty list from another
        # one would hide its people.
        self._has_published = False

    def publish(
        self, humans: Sequence[Human], header: Header, picture: CameraImage | None = None
    ) -> None:
        """Publish the people in a frame.

        Parameters
        ----------
        humans : sequence of Human
            The people; without any, an empty list of ids is published.
        header : Header
            Stamp, and frame of the people.
        picture : CameraImage, optional
            The image that shows them; needed where has_images is true.
        """
        now = time.monotonic()
        for human in humans:
            if human.id not in self._people:
                self._people[human.id] = _Person(self._node, human.id, self._body, self._has_images)
            self._people[human.id].publish(human, header, picture, now)
        for id, person in list(self._people.items()):
            if now - person.last_seen > _KEEP_SECONDS:
                person.close()
                del self._people[id]
        self._publish_ids(humans, header)
        self._has_published = True

    def forget_all(self) -> None:
        """Publish, once, an empty list of ids, and destroy the publishers of all people."""
        if not self._has_published:
            return
        self._has_published = False
        self._publish_ids([], Header(stamp=self._node.get_clock().now().to_msg()))
        for person in self._people.values():
            person.close()
        self._people.clear()

    def close(self) -> None:
        """Forget all people, and destroy the publisher of the list of ids too."""
        self.forget_all()
        self._node.destroy_publisher(self._tracked)

    def _publish_ids(self, humans: Sequence[Human], header: Header) -> None:
        if self._tracked.get_subscription_count():
            self._tracked.publish(self._to_ids(humans, header))


class _Person:
    """Publishers of one person.

    Attributes
    ----------
    last_seen : float
        Time of the last frame with the person: seconds of the monotonic clock.
    """

    def __init__(self, node: Node, id: str, body: BodyModel, has_images: bool) -> None:
        from hybrik_ros.node import rep155_messages

        self._messages = rep155_messages
        self._node = node
        self._body = body
        self._publishers = {
            name: _create_publisher(node, kind, f'{id}/{name}', qos)
            for name, kind, qos in (
                ('roi', rep155_messages.NormalizedRegionOfInterest2D, _QUEUE_DEPTH),
                ('cropped', Image, 1),
                ('skeleton2d', rep155_messages.Skeleton2D, _QUEUE_DEPTH),
                ('joint_states', JointState, _QUEUE_DEPTH),
                ('urdf', String, _LATCHED),
                ('position', PointStamped, _QUEUE_DEPTH),
                ('velocity', TwistStamped, _QUEUE_DEPTH),
            )
            if has_images or name not in _OF_IMAGES
        }
        self._angles: NDArray | None = None
        self._urdf_joints: NDArray | None = None  # joints of the T-pose in the last urdf, metres
        self.last_seen = 0.0

    def publish(
        self, human: Human, header: Header, picture: CameraImage | None, now: float
    ) -> None:
        """Publish the person in a frame that was processed at a time of the monotonic clock."""
        self.last_seen = now
        messages = self._messages
        rest = self._body.rest_joints(human.betas)
        self._publish_urdf(human.id, rest)
        self._angles = (
            joint_angles(human.rotations, rest, self._angles)
            if self._has_subscriber('joint_states')
            else None
        )
        builders: dict[str, Callable[[], Any]] = {
            'joint_states': lambda: messages.to_joint_state(human, self._angles, header),
            'position': lambda: messages.to_position(human, header),
            'velocity': lambda: messages.to_velocity(human, header),
        }
        if picture is not None:
            rgb, camera = picture
            builders |= {
                'roi': lambda: messages.to_region(human, camera, header),
                'cropped': lambda: messages.to_cropped(human, rgb, header),
                'skeleton2d': lambda: messages.to_skeleton(human, self._body, camera, header),
            }
        for name, build in builders.items():
            if self._has_subscriber(name):
                self._publishers[name].publish(build())

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)

    def _has_subscriber(self, name: str) -> bool:
        return bool(self._publishers[name].get_subscription_count())

    def _publish_urdf(self, id: str, rest: NDArray) -> None:
        """Publish the urdf if the body has changed; it is latched for later subscribers."""
        last = self._urdf_joints
        if last is None or np.abs(rest - last).max() > _MAX_SHAPE_CHANGE:
            self._urdf_joints = rest
            self._publishers['urdf'].publish(String(data=to_urdf(id, rest)))


def _create_publisher(node: Node, kind: type, topic: str, qos: QoSProfile | int) -> Publisher:
    # Without event callbacks: the executor waits for them in its own thread, and fails if their
    # publisher is destroyed meanwhile.
    silent = PublisherEventCallbacks(use_default_callbacks=False)
    return node.create_publisher(kind, f'{_BODIES}/{topic}', qos, event_callbacks=silent)
