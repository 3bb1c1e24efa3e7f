"""Conversion of people to messages, and back."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.human import Human
from hybrik_ros.kinematics import global_rotations
from hybrik_ros.messages.fields import Header
from hybrik_ros.messages.frames import Frame, frames_of
from hybrik_ros.rotations import from_quaternion, to_quaternion

HUMAN_MESH = 'hybrik_ros/msg/HumanMesh'
HUMAN_MESH_ARRAY = 'hybrik_ros/msg/HumanMeshArray'
TF = 'tf2_msgs/msg/TFMessage'


class MessageMaker:
    """Builds messages of people from given message classes.

    Parameters
    ----------
    types : mapping
        Message classes by names such as geometry_msgs/msg/Point; called with all fields by keyword.
    to_floats : callable
        Converts an array of any shape to the value of a float32[] field.
    """

    def __init__(
        self, types: Mapping[str, Callable[..., Any]], to_floats: Callable[[NDArray], Any]
    ) -> None:
        self._to_floats = to_floats
        self._human_mesh, self._array = types[HUMAN_MESH], types[HUMAN_MESH_ARRAY]
        self._tf, self._header = types[TF], types['std_msgs/msg/Header']
        self._point, self._quaternion, self._transform, self._stamped, self._vector = (
            types[f'geometry_msgs/msg/{name}']
            for name in ('Point', 'Quaternion', 'Transform', 'TransformStamped', 'Vector3')
        )

    def point(self, position: NDArray) -> Any:
        """Return a Point of coordinates (3)."""
        x, y, z = position.tolist()
        return self._point(x=x, y=y, z=z)

    def vector(self, components: NDArray) -> Any:
        """Return a Vector3 of components (3)."""
        x, y, z = components.tolist()
        return self._vector(x=x, y=y, z=z)

    def quaternion(self, components: NDArray) -> Any:
        """Return a Quaternion of components (4) in the order x, y, z, w."""
        x, y, z, w = components.tolist()
        return self._quaternion(x=x, y=y, z=z, w=w)

    def human_mesh(self, human: Human, header: Header, body_model: str, with_vertices: bool) -> Any:
        """Return the HumanMesh of one person, in the units and frames of Human.

        Parameters
        ----------
        human : Human
            The person.
        header : Header
            Header of the image.
        body_model : str
            Name of the body model.
        with_vertices : bool
            Whether to fill in the vertices.
        """
        vertices = human.vertices if with_vertices else None
        return self._human_mesh(
            header=header,
            id=human.id,
            confidence=float(human.confidence),
            box=human.box.astype(np.float32),
            rotations=[self.quaternion(row) for row in to_quaternion(human.rotations)],
            joints=[self.point(joint) for joint in human.joints],
            joint_confidence=human.joint_confidence.astype(np.float32),
            velocity=self.vector(human.velocity),
            body_model=body_model,
            betas=self._to_floats(human.betas),
            translation=self.point(human.translation),
            translation_confidence=human.translation_confidence,
            vertices=self._to_floats(np.zeros(0) if vertices is None else vertices),
        )

    def array(self, messages: Sequence[Any], header: Header) -> Any:
        """Return the HumanMeshArray of all people in a frame."""
        return self._array(header=header, humans=list(messages))

    def tf(self, humans: Sequence[Human], header: Header) -> Any:
        """Return the TFMessage of all people in a frame: 25 transforms per person."""
        frames = [frame for human in humans for frame in frames_of(human, header.frame_id)]
        return self._tf(transforms=[self._transform_stamped(frame, header) for frame in frames])

    def _transform_stamped(self, frame: Frame, header: Header) -> Any:
        return self._stamped(
            header=self._header(stamp=header.stamp, frame_id=frame.parent),
            child_frame_id=frame.child,
            transform=self._transform(
                translation=self.vector(frame.position), rotation=self.quaternion(frame.rotation)
            ),
        )


def from_human_mesh(message: Any) -> Human:
    """Return the person of a HumanMesh, in the units and frames of Human.

    Parameters
    ----------
    message : hybrik_ros.msg.HumanMesh
        The message; any object with its fields.
    """
    vertices = np.asarray(message.vertices, np.float32).reshape(-1, 3)
    rotations = from_quaternion([[q.x, q.y, q.z, q.w] for q in message.rotations])
    return Human(
        id=message.id,
        confidence=message.confidence,
        box=np.asarray(message.box, np.float64),
        joints=np.array([[joint.x, joint.y, joint.z] for joint in message.joints]),
        joint_confidence=np.asarray(message.joint_confidence, np.float64),
        rotations=rotations,
        global_rotations=global_rotations(rotations),
        betas=np.asarray(message.betas, np.float64),
        translation=_components(message.translation),
        translation_confidence=message.translation_confidence,
        velocity=_components(message.velocity),
        vertices=vertices if len(vertices) else None,
    )


def _components(message: Any) -> NDArray:
    return np.array([message.x, message.y, message.z])
