"""From people to HumanMesh messages."""

import array
from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import Point, Quaternion, Vector3
from numpy.typing import NDArray
from std_msgs.msg import Header

from hybrik_ros.msg import HumanMesh, HumanMeshArray
from hybrik_ros.pipeline import Human
from hybrik_ros.rotations import from_quaternion, to_quaternion


def point(position: NDArray) -> Point:
    """Return a Point of (3)."""
    x, y, z = position.tolist()
    return Point(x=x, y=y, z=z)


def vector(components: NDArray) -> Vector3:
    """Return a Vector3 of (3)."""
    x, y, z = components.tolist()
    return Vector3(x=x, y=y, z=z)


def quaternion(components: NDArray) -> Quaternion:
    """Return a Quaternion of (4), in the order x, y, z, w."""
    x, y, z, w = components.tolist()
    return Quaternion(x=x, y=y, z=z, w=w)


def float_array(numbers: NDArray) -> array.array:
    """Return numbers as the flat float32 array that a sequence field takes without a copy."""
    flat = array.array('f')
    flat.frombytes(np.ascontiguousarray(numbers, np.float32).data.cast('B'))
    return flat


def to_human_mesh(human: Human, header: Header, body_model: str, with_vertices: bool) -> HumanMesh:
    """Return the message of one person; the units and frames are those of Human."""
    message = HumanMesh()
    message.header = header
    message.id = human.id
    message.confidence = float(human.confidence)
    message.box = human.box.astype(np.float32)
    message.rotations = [quaternion(row) for row in to_quaternion(human.rotations)]
    message.joints = [point(joint) for joint in human.joints]
    message.joint_confidence = human.joint_confidence.astype(np.float32)
    message.velocity = vector(human.velocity)
    message.body_model = body_model
    message.betas = float_array(human.betas)
    message.translation = point(human.translation)
    message.translation_confidence = human.translation_confidence
    if with_vertices and human.vertices is not None:
        message.vertices = float_array(human.vertices)
    return message


def from_human_mesh(message: HumanMesh) -> Human:
    """Return the person of a message, in the units and frames of Human."""
    vertices = np.asarray(message.vertices, np.float32).reshape(-1, 3)
    return Human(
        id=message.id,
        confidence=message.confidence,
        box=np.asarray(message.box, np.float64),
        joints=np.array([[joint.x, joint.y, joint.z] for joint in message.joints]),
        joint_confidence=np.asarray(message.joint_confidence, np.float64),
        rotations=from_quaternion([[q.x, q.y, q.z, q.w] for q in message.rotations]),
        betas=np.asarray(message.betas, np.float64),
        translation=_components(message.translation),
        translation_confidence=message.translation_confidence,
        velocity=_components(message.velocity),
        vertices=vertices if len(vertices) else None,
    )


def _components(message: Point | Vector3) -> NDArray:
    return np.array([message.x, message.y, message.z])


def to_array(messages: Sequence[HumanMesh], header: Header) -> HumanMeshArray:
    """Return the message of all people in a frame."""
    return HumanMeshArray(header=header, humans=list(messages))
