"""Conversion of people to messages, and back: what comes from outside is checked here."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.human import MAX_BETA, Human
from hybrik_ros.kinematics import global_rotations
from hybrik_ros.messages.field_checks import (
    check_id,
    check_length,
    check_name,
    read_confidences,
    read_numbers,
)
from hybrik_ros.messages.fields import Header, find_stamp_fault, nanoseconds
from hybrik_ros.messages.frames import Frame, frames_of
from hybrik_ros.printable import printable
from hybrik_ros.rotations import from_quaternion, to_quaternion
from hybrik_ros.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS, PELVIS

HUMAN_MESH = 'hybrik_ros/msg/HumanMesh'
HUMAN_MESH_ARRAY = 'hybrik_ros/msg/HumanMeshArray'
TF = 'tf2_msgs/msg/TFMessage'

_SHOWN_CHARACTERS = 40  # maximum of an id in an error
# Maximum difference of the squared length of a unit quaternion from 1, that of tf2 (buffer_core).
_MAX_NORM_ERROR = 0.01
# Maximum absolute values: beyond what any camera shows, and below what overflows in squares.
_MAX_POSITION = 1e4  # metres
_MAX_SPEED = 1e3  # metres per second
# Maximum numbers of values; SMPL has 300 shapes and 6890 vertices.
_MAX_BETAS, _MAX_VERTICES = 300, 100_000
# Maximum distances in metres of a joint from its parent and of any part of a body from its pelvis;
# those of the tallest people are 0.8 m and, with raised arms, 1.9 m.
_MAX_BONE, _MAX_REACH = 1.0, 2.5
# Minimum extent of a body along an axis in metres; a newborn that is curled up has about 0.3 m.
_MIN_EXTENT = 0.2
_MAX_COMPONENT = 2.0  # of a quaternion; its length is checked more strictly
_MAX_PIXEL = 1e6
_NONE = np.zeros(0)  # what an optional array has in a message


class PersonError(ValueError):
    """A message of people cannot be used. The text names the stamp, the person and the reason."""


class PeopleInMessage(NamedTuple):
    """The people of a message.

    Attributes
    ----------
    people : list of tuple
        Each valid person (Human), and the name of the body model.
    faults : list of str
        The reason for each person that is left out, with the stamp and the id.
    """

    people: list[tuple[Human, str]]
    faults: list[str]


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
            joint_sigma=self._to_floats(_NONE if human.joint_sigma is None else human.joint_sigma),
            velocity=self.vector(human.velocity),
            body_model=body_model,
            betas=self._to_floats(human.betas),
            translation=self.point(human.translation),
            translation_confidence=human.translation_confidence,
            vertices=self._to_floats(_NONE if vertices is None else vertices),
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


def stamp_of(header: Header) -> int:
    """Return the stamp of a header in nanoseconds.

    Raises
    ------
    PersonError
        The stamp is before 1970, or its nanoseconds are a second or more.
    """
    if fault := find_stamp_fault(header):
        raise PersonError(fault)
    return nanoseconds(header)


def people_of(message: Any) -> PeopleInMessage:
    """Return the valid people of a message, and what is wrong with the others.

    Parameters
    ----------
    message : hybrik_ros.msg.HumanMeshArray or hybrik_ros.msg.HumanMesh
        The message; any object with its fields.

    Raises
    ------
    PersonError
        The stamp of an array is invalid, or the person of a HumanMesh is refused.
    """
    if not hasattr(message, 'humans'):
        return PeopleInMessage([(from_human_mesh(message), str(message.body_model))], [])
    stamp_of(message.header)
    people: dict[str, tuple[Human, str]] = {}
    faults = []
    for mesh in message.humans:
        try:
            human = from_human_mesh(mesh)
            if human.id in people:
                raise PersonError(_describe(mesh, 'another person of the message has the same id'))
            people[human.id] = human, str(mesh.body_model)
        except PersonError as error:
            faults.append(str(error))
    return PeopleInMessage(list(people.values()), faults)


def from_human_mesh(message: Any) -> Human:
    """Return the person of a HumanMesh, in the units and frames of Human.

    Parameters
    ----------
    message : hybrik_ros.msg.HumanMesh
        The message; any object with its fields.

    Raises
    ------
    PersonError
        The stamp is invalid, the id is not a name, an array has a wrong length, a quaternion is no
        unit quaternion, a number is not finite or beyond what a person can have, the box has no
        corners in order, the body has the size of no person, or lies behind the camera.
    """
    try:
        if hasattr(message, 'header'):  # Objects other than messages may have none.
            stamp_of(message.header)
        return _parse(message)
    except (ValueError, TypeError) as error:
        raise PersonError(_describe(message, str(error))) from error


def _describe(message: Any, reason: str) -> str:
    return describe(getattr(message, 'header', None), message.id, reason)


def describe(header: Header | None, id: str, reason: str) -> str:
    """Return the text of a PersonError: stamp, person and reason."""
    stamp = f'stamp {header.stamp.sec}.{header.stamp.nanosec:09d} s, ' if header else ''
    return f"{stamp}person '{printable(id, _SHOWN_CHARACTERS)}': {reason}"


def _parse(message: Any) -> Human:
    check_id(message.id)
    check_name('body_model', getattr(message, 'body_model', ''))
    if hasattr(message, 'header'):
        check_name('frame_id', message.header.frame_id)
    rotations = from_quaternion(_unit_quaternions(message.rotations))
    check_length('vertices', message.vertices, 3 * _MAX_VERTICES)
    check_length('betas', message.betas, _MAX_BETAS)
    vertices = read_numbers('vertices', message.vertices, None, -_MAX_POSITION, _MAX_POSITION)
    if len(vertices) % 3:
        raise ValueError(f'vertices has {len(vertices)} numbers, not a multiple of 3')
    vertices = vertices.reshape(-1, 3)
    box = _parse_box(message.box)
    joints = _points('joints', message.joints, NUM_JOINTS, _MAX_POSITION)
    translation = _points('translation', [message.translation], 1, _MAX_POSITION)
    _check_joints(joints)
    if box.any():  # There is no box in a fixed frame, where depth has no meaning.
        _check_depth(joints)
    _check_reach('translation', translation, joints[PELVIS])
    _check_reach('vertices', vertices, joints[PELVIS])
    _check_extent('joints', joints)
    if len(vertices):
        _check_extent('vertices', vertices)
    return Human(
        id=message.id,
        confidence=float(read_confidences('confidence', [message.confidence], 1)[0]),
        box=box,
        joints=joints,
        joint_confidence=read_confidences('joint_confidence', message.joint_confidence, NUM_JOINTS),
        rotations=rotations,
        global_rotations=global_rotations(rotations),
        betas=read_numbers('betas', message.betas, None, -MAX_BETA, MAX_BETA),
        translation=translation[0],
        translation_confidence=float(
            read_confidences('translation_confidence', [message.translation_confidence], 1)[0]
        ),
        velocity=_points('velocity', [message.velocity], 1, _MAX_SPEED)[0],
        vertices=vertices.astype(np.float32) if len(vertices) else None,
        joint_sigma=_parse_sigma(message),
    )


def _parse_sigma(message: Any) -> Array | None:
    values = getattr(message, 'joint_sigma', ())  # Messages of earlier versions have none.
    if not len(values):
        return None
    return read_numbers('joint_sigma', values, NUM_JOINTS, 0.0, _MAX_POSITION)


def _parse_box(values: ArrayLike) -> Array:
    box = read_numbers('box', values, 4, -_MAX_PIXEL, _MAX_PIXEL)
    if (box[2:] < box[:2]).any():
        raise ValueError(f'box ends before it begins: {box.tolist()} is x_min, y_min, x_max, y_max')
    return box


def _check_depth(joints: Array) -> None:
    """Refuse joints (24, 3) that are behind the camera."""
    depth = joints[PELVIS, 2]
    if depth <= 0:
        raise ValueError(f'the pelvis is at a depth of {depth:g} m, not in front of the camera')


def _check_joints(joints: Array) -> None:
    """Refuse joints (24, 3) that are farther apart than any person's."""
    _check_reach('joints', joints, joints[PELVIS])
    bones = np.linalg.norm(joints[1:] - joints[list(PARENTS[1:NUM_JOINTS])], axis=1)
    if bones.max() > _MAX_BONE:
        joint = int(bones.argmax()) + 1
        raise ValueError(
            f'joints[{joint}] ({JOINT_NAMES[joint]}) is {bones.max():.3g} m from the '
            f'{JOINT_NAMES[PARENTS[joint]]}, more than the maximum of {_MAX_BONE:g} m'
        )


def _check_reach(name: str, points: Array, pelvis: Array) -> None:
    """Refuse points (N, 3) that are farther from the pelvis (3) than any part of a person."""
    distances = np.linalg.norm(points - pelvis, axis=1)
    if distances.max(initial=0.0) > _MAX_REACH:
        raise ValueError(
            f'{name} reaches {distances.max():.3g} m from the pelvis, more than the maximum of '
            f'{_MAX_REACH:g} m'
        )


def _check_extent(name: str, points: Array) -> None:
    """Refuse points (N, 3) that are closer together than those of the smallest person."""
    extent = np.ptp(points, axis=0).max()
    if extent < _MIN_EXTENT:
        raise ValueError(
            f'{name} extends over {extent:.3g} m, less than the minimum of {_MIN_EXTENT:g} m'
        )


def _unit_quaternions(rotations: Sequence[Any]) -> Array:
    """Return the quaternions (24, 4) of the rotations."""
    rows = [[q.x, q.y, q.z, q.w] for q in rotations]
    quaternions = read_numbers('rotations', rows, NUM_JOINTS, -_MAX_COMPONENT, _MAX_COMPONENT)
    squares = np.sum(quaternions**2, axis=1)
    wrong = np.flatnonzero(np.abs(squares - 1) > _MAX_NORM_ERROR)
    if len(wrong):
        joint = wrong[0]
        raise ValueError(
            f'rotations[{joint}] ({JOINT_NAMES[joint]}) is no unit quaternion: its length is '
            f'{np.sqrt(squares[joint]):.3g}'
        )
    return quaternions


def _points(name: str, points: Sequence[Any], count: int, limit: float) -> Array:
    return read_numbers(name, [[p.x, p.y, p.z] for p in points], count, -limit, limit)
