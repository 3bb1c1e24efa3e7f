"""Outputs of the nodes, each published only while it is enabled and has a subscriber."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from geometry_msgs.msg import Point
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image
from shape_msgs.msg import Mesh, MeshTriangle
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from hybrik_ros.body import BodyModel
from hybrik_ros.drawing import draw_humans
from hybrik_ros.human import Human, HumanObservation
from hybrik_ros.msg import HumanMesh, HumanMeshArray, HumanObservationArray
from hybrik_ros.node import rep155
from hybrik_ros.node.camera_image import CameraImage
from hybrik_ros.node.conversions import to_image
from hybrik_ros.node.markers import MarkerMaker
from hybrik_ros.node.message_maker import make, make_observations
from hybrik_ros.node.rep155 import Rep155
from hybrik_ros.skeleton import NUM_JOINTS

_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# Type, topic and queue depth or QoS by the parameter that enables the output.
_Topics = Mapping[str, tuple[type, str, Any]]
_TOPICS: _Topics = {
    'publish.human_pose': (HumanMesh, 'human_pose', 10),
    'publish.human_poses': (HumanMeshArray, 'human_poses', 10),
    'publish.tf': (TFMessage, '/tf', 100),
    'publish.markers': (MarkerArray, '~/markers', 1),
}
# Those of a node that processes images.
_IMAGE_TOPICS: _Topics = {
    'publish.observations': (HumanObservationArray, 'human_observations', qos_profile_sensor_data),
    'publish.overlay': (Image, '~/overlay', 1),
}


class Outputs:
    """Publishers of people, from configure to clean-up; they are silent while the node is inactive.

    Parameters
    ----------
    node : LifecycleNode
        Node with the parameters publish.*, which enable the outputs.
    body : BodyModel
        The body that is published.
    warn : callable
        Called with the text of a fault that costs no frame.
    """

    _has_images = False
    _topics: _Topics = _TOPICS

    def __init__(self, node: LifecycleNode, body: BodyModel, warn: Callable[[str], None]) -> None:
        self._node = node
        self._body = body
        self._warn = warn
        self._make_markers = MarkerMaker(body.faces)
        self._publishers: dict[str, LifecyclePublisher] = {
            switch: node.create_lifecycle_publisher(kind, topic, qos)
            for switch, (kind, topic, qos) in self._topics.items()
        }
        self._rep155 = Rep155(node, body, self._has_images) if rep155.available() else None
        self._topology = node.create_lifecycle_publisher(Mesh, '~/body', _LATCHED)

    @property
    def wants_vertices(self) -> bool:
        """Whether an output that needs vertices has a subscriber."""
        return self._with_vertices or bool(self._active_publisher('publish.markers'))

    def publish_body(self) -> None:
        """Publish the mesh of the body in the T-pose, latched."""
        at_rest = self._body.vertices(np.tile(np.eye(3), (NUM_JOINTS, 1, 1)), None, np.zeros(3))
        triangles = [MeshTriangle(vertex_indices=face) for face in self._body.faces.astype('u4')]
        vertices = [Point(x=x, y=y, z=z) for x, y, z in at_rest.tolist()]
        self._topology.publish(Mesh(triangles=triangles, vertices=vertices))

    def publish(
        self, humans: Sequence[Human], header: Header, picture: CameraImage | None = None
    ) -> None:
        """Publish people.

        Parameters
        ----------
        humans : sequence of Human
            With vertices where wants_vertices was true.
        header : Header
            Stamp, and frame of the people.
        picture : CameraImage, optional
            The image that shows them, in whose optical frame they are.
        """
        singles = self._active_publisher('publish.human_pose')
        arrays = self._active_publisher('publish.human_poses')
        if singles or arrays:
            with_vertices = self._with_vertices
            name = self._body.name
            messages = [make.human_mesh(human, header, name, with_vertices) for human in humans]
            if singles:
                for message in messages:
                    singles.publish(message)
            if arrays:
                arrays.publish(make.array(messages, header))
        if humans and not header.frame_id:
            self._warn(
                'the images have no frame_id, so TF and RViz cannot place the people: set the '
                'frame_id of the camera driver'
            )
        elif humans and (frames := self._active_publisher('publish.tf')):
            frames.publish(make.tf(humans, header))
        if markers := self._active_publisher('publish.markers'):
            markers.publish(self._make_markers(humans, header))
        if self._rep155 is not None:
            if self._node.get_parameter('publish.rep155').value:
                self._rep155.publish(humans, header, picture)
            else:
                self._rep155.forget_all()

    def clear_people(self) -> None:
        """Publish an empty list of tracked bodies."""
        if self._rep155 is not None:
            self._rep155.forget_all()

    def close(self) -> None:
        """Destroy the publishers."""
        if self._rep155 is not None:
            self._rep155.close()
        for publisher in (*self._publishers.values(), self._topology):
            self._node.destroy_lifecycle_publisher(publisher)

    @property
    def _with_vertices(self) -> bool:
        return bool(self._node.get_parameter('publish.vertices').value)

    def _active_publisher(self, switch: str) -> LifecyclePublisher | None:
        """Return the publisher of a parameter; None where it is disabled or has no subscriber."""
        publisher = self._publishers[switch]
        if not self._node.get_parameter(switch).value:
            return None
        # A node that places cameras by TF subscribes to /tf itself.
        topic = publisher.topic_name
        own = sum(subscription.topic_name == topic for subscription in self._node.subscriptions)
        return publisher if publisher.get_subscription_count() > own else None


class ImageOutputs(Outputs):
    """The same of a node that processes images, and what it publishes of each image besides."""

    _has_images = True
    _topics: _Topics = MappingProxyType({**_TOPICS, **_IMAGE_TOPICS})

    @property
    def wants_vertices(self) -> bool:
        """Whether an output that needs vertices has a subscriber."""
        return super().wants_vertices or bool(self._active_publisher('publish.overlay'))

    def publish_image(
        self,
        humans: list[Human],
        observations: list[HumanObservation],
        header: Header,
        picture: CameraImage,
    ) -> None:
        """Publish the people in an image, the observations of them, and the image with them."""
        self.publish(humans, header, picture)
        if seen := self._active_publisher('publish.observations'):
            seen.publish(make_observations.array(observations, header, self._body.name))
        if overlay := self._active_publisher('publish.overlay'):
            drawn = picture.rgb.copy()
            draw_humans(drawn, humans, self._body.faces, picture.camera)
            overlay.publish(to_image(drawn, header))
