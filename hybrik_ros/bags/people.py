"""The people in a bag, of whoever recorded it."""

from dataclasses import dataclass
from pathlib import Path

from hybrik_ros.bags.reader import BagError, BagReader, Message
from hybrik_ros.bags.types import deserialise
from hybrik_ros.human import Human
from hybrik_ros.messages.fields import nanoseconds
from hybrik_ros.messages.people import HUMAN_MESH, HUMAN_MESH_ARRAY, from_human_mesh


@dataclass(frozen=True, eq=False)
class People:
    """Who was in each frame of a bag.

    Attributes
    ----------
    frames: the people by the stamp of their image, nanoseconds, which rises.
    body_model: the name of their body; empty where there is nobody.
    damaged: how many messages could not be read.
    """

    frames: dict[int, list[Human]]
    body_model: str
    damaged: int


def read_people(path: Path, topic: str = '') -> People:
    """Read the people of a bag.

    Parameters
    ----------
    path: of the bag.
    topic: of HumanMeshArray or of HumanMesh; if empty, the only one of HumanMeshArray, or, as
        that tells of frames without anybody too only where there is none, of HumanMesh.

    Raises
    ------
    BagError: the bag cannot be read, or has no such topic.
    """
    frames: dict[int, list[Human]] = {}
    bodies: set[str] = set()
    damaged = 0
    with BagReader(path) as reader:
        name = topic or _only_topic(path, reader)
        if name not in reader.topics:
            raise BagError(f'{path} has no topic {name}; it has {", ".join(reader.topics)}')
        type_name = reader.topics[name].type_name
        if type_name not in (HUMAN_MESH, HUMAN_MESH_ARRAY):
            raise BagError(f'{name} of {path} is of type {type_name}, not {HUMAN_MESH_ARRAY}')
        for message in reader.messages({name}):
            try:
                stamp, people = _people_in(message, type_name)
            except ValueError:
                damaged += 1
                continue
            frames.setdefault(stamp, []).extend(human for human, _ in people)
            bodies |= {body for _, body in people}
        damaged += sum(reader.faults.values())
    if len(bodies) > 1:
        raise BagError(f'{path} has people of several bodies: {", ".join(sorted(bodies))}')
    return People(dict(sorted(frames.items())), ''.join(bodies), damaged)


def _people_in(message: Message, type_name: str) -> tuple[int, list[tuple[Human, str]]]:
    content = deserialise(message.data, type_name)
    meshes = content.humans if type_name == HUMAN_MESH_ARRAY else [content]
    return nanoseconds(content.header), [(from_human_mesh(m), m.body_model) for m in meshes]


def _only_topic(path: Path, reader: BagReader) -> str:
    for kind in (HUMAN_MESH_ARRAY, HUMAN_MESH):
        names = [name for name, topic in reader.topics.items() if topic.type_name == kind]
        if len(names) == 1:
            return names[0]
        if names:
            raise BagError(f'{path} has several topics of people, name one: {", ".join(names)}')
    raise BagError(f'{path} has no people: neither {HUMAN_MESH_ARRAY} nor {HUMAN_MESH}')
