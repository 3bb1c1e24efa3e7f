"""REP-155's topics of bodies: /humans/bodies/tracked, and /humans/bodies/<id>/ of each person.

| Topic | Message |
|---|---|
| tracked | hri_msgs/IdsList: who is in the image now; empty where nobody is |
| <id>/roi | hri_msgs/NormalizedRegionOfInterest2D: the person's box |
| <id>/cropped | sensor_msgs/Image: what is in it |
| <id>/skeleton2d | hri_msgs/Skeleton2D: joints and face in the image |
| <id>/joint_states | sensor_msgs/JointState: the angles of the urdf's joints |
| <id>/urdf | std_msgs/String, latched: REP-155's model with the person's lengths |
| <id>/position | geometry_msgs/PointStamped: midway between the hips |
| <id>/velocity | geometry_msgs/TwistStamped |

All are reliable. TF has the frame body_<id>, which is the root of the urdf; see frames.
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
from hybrik_ros.camera import Camera
from hybrik_ros.human import Human
from hybrik_ros.node.rep155_angles import joint_angles
from hybrik_ros.node.rep155_urdf import to_urdf

_BODIES = '/humans/bodies'
_DEPTH = 10
_LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
# Who is hidden for a moment comes back under the same id, and finds the same topics.
_KEEP_SECONDS = 2.0
# Metres by which a joint of the T-pose has to move before the urdf is published anew.
_NEW_SHAPE = 0.005


def available() -> bool:
    """Tell whether hri_msgs is installed, without which there is no Rep155."""
    try:
        import hri_msgs.msg  # noqa: F401
    except ImportError:
        return False
    return True


class Rep155:
    """Publishes people as REP-155's bodies; each topic is built only while somebody subscribes.

    One thread may publish while another one spins the node. Publishes whenever it is told to: a
    lifecycle node does so only while it is active.

    Parameters
    ----------
    node: on which the topics are.
    body: of which the people's betas are.

    Raises
    ------
    ImportError: hri_msgs is not installed.
    """

    def __init__(self, node: Node, body: BodyModel) -> None:
        from hybrik_ros.node import rep155_messages

        self._to_ids = rep155_messages.to_ids
        self._node = node
        self._body = body
        self._tracked = _publisher(node, rep155_messages.IdsList, 'tracked', _DEPTH)
        self._people: dict[str, _Person] = {}
        # Of several cameras' nodes one alone tells who is tracked: the others have to keep silent.
        self._has_spoken = False

    def publish(
        self, humans: Sequence[Human], rgb: NDArray[np.uint8], camera: Camera, header: Header
    ) -> None:
        """Publish the people in a frame.

        Parameters
        ----------
        humans: whom a Pipeline found in it; none is a message as well.
        rgb: (H, W, 3), the image.
        camera: of the image.
        header: of the image.
        """
        now = time.monotonic()
        for human in humans:
            if human.id not in self._people:
                self._people[human.id] = _Person(self._node, human.id, self._body)
            self._people[human.id].publish(human, rgb, camera, header, now)
        for id, person in list(self._people.items()):
            if now - person.last_seen > _KEEP_SECONDS:
                person.close()
                del self._people[id]
        self._publish_ids(humans, header)
        self._has_spoken = True

    def forget_all(self) -> None:
        """Say, once, that nobody is there any more, and take everybody's topics down."""
        if not self._has_spoken:
            return
        self._has_spoken = False
        self._publish_ids([], Header(stamp=self._node.get_clock().now().to_msg()))
        for person in self._people.values():
            person.close()
        self._people.clear()

    def close(self) -> None:
        """Forget all, and take the list of ids down as well."""
        self.forget_all()
        self._node.destroy_publisher(self._tracked)

    def _publish_ids(self, humans: Sequence[Human], header: Header) -> None:
        if self._tracked.get_subscription_count():
            self._tracked.publish(self._to_ids(humans, header))


class _Person:
    """The topics of one person.

    Attributes
    ----------
    last_seen: seconds, of a monotonic clock.
    """

    def __init__(self, node: Node, id: str, body: BodyModel) -> None:
        from hybrik_ros.node import rep155_messages

        self._messages = rep155_messages
        self._node = node
        self._body = body
        self._publishers = {
            name: _publisher(node, kind, f'{id}/{name}', qos)
            for name, kind, qos in (
                ('roi', rep155_messages.NormalizedRegionOfInterest2D, _DEPTH),
                ('cropped', Image, 1),
                ('skeleton2d', rep155_messages.Skeleton2D, _DEPTH),
                ('joint_states', JointState, _DEPTH),
                ('urdf', String, _LATCHED),
                ('position', PointStamped, _DEPTH),
                ('velocity', TwistStamped, _DEPTH),
            )
        }
        self._angles: NDArray | None = None
        self._modelled: NDArray | None = None  # the joints of the T-pose of the last urdf
        self.last_seen = 0.0

    def publish(
        self,
        human: Human,
        rgb: NDArray[np.uint8],
        camera: Camera,
        header: Header,
        now: float,
    ) -> None:
        """Publish the person as seen in an image, at a time of the monotonic clock."""
        self.last_seen = now
        messages = self._messages
        rest = self._body.rest_joints(human.betas)
        self._publish_urdf(human.id, rest)
        self._angles = (
            joint_angles(human.rotations, rest, self._angles)
            if self._wanted('joint_states')
            else None
        )
        builders: dict[str, Callable[[], Any]] = {
            'roi': lambda: messages.to_region(human, camera, header),
            'cropped': lambda: messages.to_cropped(human, rgb, header),
            'skeleton2d': lambda: messages.to_skeleton(human, self._body, camera, header),
            'joint_states': lambda: messages.to_joint_state(human, self._angles, header),
            'position': lambda: messages.to_position(human, header),
            'velocity': lambda: messages.to_velocity(human, header),
        }
        for name, build in builders.items():
            if self._wanted(name):
                self._publishers[name].publish(build())

    def close(self) -> None:
        """Take the topics down."""
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)

    def _wanted(self, name: str) -> bool:
        return bool(self._publishers[name].get_subscription_count())

    def _publish_urdf(self, id: str, rest: NDArray) -> None:
        """Publish the urdf for those, too, who subscribe later, when the body has changed."""
        if self._modelled is None or np.abs(rest - self._modelled).max() > _NEW_SHAPE:
            self._modelled = rest
            self._publishers['urdf'].publish(String(data=to_urdf(id, rest)))


def _publisher(node: Node, kind: type, topic: str, qos: QoSProfile | int) -> Publisher:
    # Without event callbacks: the executor would wait for them as well, in its own thread, and fall
    # over those of a publisher that is destroyed meanwhile.
    silent = PublisherEventCallbacks(use_default_callbacks=False)
    return node.create_publisher(kind, f'{_BODIES}/{topic}', qos, event_callbacks=silent)
