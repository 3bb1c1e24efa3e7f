"""Read the people in a bag that `hybrik bag` or ros2 bag wrote."""

from dataclasses import dataclass
from pathlib import Path

from hybrik_ros.bags.reader import BagError, BagReader, Message
from hybrik_ros.bags.types import deserialise
from hybrik_ros.human import Human
from hybrik_ros.messages.fields import nanoseconds
from hybrik_ros.messages.people import HUMAN_MESH, HUMAN_MESH_ARRAY, from_human_mesh


@dataclass(frozen=True, eq=False)
class People:
    """The people in each frame of a bag.

    Attributes
    ----------
    frames : dict
        The people (list of Human) by the stamp of their image in nanoseconds, in ascending order.
    body_model : str
        Name of the body that all people have; empty if the bag has no person.
    damaged : int
        Number of messages that could not be read.
    """

    frames: dict[int, list[Human]]
    body_model: str
    damaged: int


def read_people(path: Path, topic: str = '') -> People:
    """Read the people of a bag.

    Parameters
    ----------
    path : Path
        Path of the bag.
    topic : str
        Topic of HumanMeshArray or HumanMesh. If empty, the only topic of HumanMeshArray, or of
        HumanMesh if there is none: HumanMeshArray is preferred because it also has frames without
        people.

    Returns
    -------
    People
        The people by frame.

    Raises
    ------
    BagError
        The bag cannot be read, has no such topic or several of them, or has people with different
        bodies.
    """
    frames: dict[int, list[Human]] = {}
    bodies: set[str] = set()
    damaged = 0
    with BagReader(path) as reader:
        name = topic or _find_topic(path, reader)
        if name not in reader.topics:
            raise BagError(f'{path} has no topic {name}; it has {", ".join(reader.topics)}')
        type_name = reader.topics[name].type_name
        if type_name not in (HUMAN_MESH, HUMAN_MESH_ARRAY):
            raise BagError(f'{name} of {path} is of type {type_name}, not {HUMAN_MESH_ARRAY}')
        for message in reader.messages({name}):
            try:
                stamp, people = _parse(message, type_name)
            except ValueError:
                damaged += 1
                continue
            frames.setdefault(stamp, []).extend(human for human, _ in people)
            bodies |= {body for _, body in people}
        damaged += sum(reader.faults.values())
    if len(bodies) > 1:
        raise BagError(
            f'{path} has people with different bodies ({", ".join(sorted(bodies))}), which cannot '
            f'be read together'
        )
    return People(dict(sorted(frames.items())), ''.join(bodies), damaged)


def _parse(message: Message, type_name: str) -> tuple[int, list[tuple[Human, str]]]:
    """Return the stamp in nanoseconds, and each person with the name of the body."""
    content = deserialise(message.data, type_name)
    meshes = content.humans if type_name == HUMAN_MESH_ARRAY else [content]
    return nanoseconds(content.header), [(from_human_mesh(m), m.body_model) for m in meshes]


def _find_topic(path: Path, reader: BagReader) -> str:
    for kind in (HUMAN_MESH_ARRAY, HUMAN_MESH):
        names = [name for name, topic in reader.topics.items() if topic.type_name == kind]
        if len(names) == 1:
            return names[0]
        if names:
            raise BagError(
                f'{path} has several topics of type {kind}, choose one of them: {", ".join(names)}'
            )
    raise BagError(f'{path} has no topic of type {HUMAN_MESH_ARRAY} or {HUMAN_MESH}')
