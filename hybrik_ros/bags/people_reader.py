"""Read the people in a bag that `hybrik bag` or ros2 bag wrote."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hybrik_ros.bags.topic_reader import LeftOut, Reading, read_topic
from hybrik_ros.human import Human
from hybrik_ros.messages.people import HUMAN_MESH, HUMAN_MESH_ARRAY, people_of

_MAX_NAME = 40  # characters of the name of a body in errors


@dataclass(frozen=True, eq=False)
class People:
    """The people in each frame of a bag.

    Attributes
    ----------
    frames : dict
        The people (list of Human) by the stamp of their image in nanoseconds, in ascending order.
    body_model : str
        Name of the body that all people have; empty if the bag has no person.
    left_out : LeftOut
        The messages and people that are left out.
    num_messages : int
        Number of messages that were read.
    is_whole : bool
        Whether these are all messages.
    """

    frames: dict[int, list[Human]]
    body_model: str
    left_out: LeftOut
    num_messages: int
    is_whole: bool

    @property
    def are_in_fixed_frame(self) -> bool:
        """Whether all people are in a fixed frame, z up; False without people."""
        humans = [human for frame in self.frames.values() for human in frame]
        return bool(humans) and all(human.is_in_fixed_frame for human in humans)

    def report(self) -> Iterator[str]:
        """Yield a line for each kind of what is left out."""
        return self.left_out.report()


def read_people(path: Path, topic: str = '', limit: int | None = None) -> People:
    """Read the people of a bag. Invalid messages and people are left out.

    Parameters
    ----------
    path : Path
        Path of the bag.
    topic : str
        Topic of HumanMeshArray or HumanMesh. If empty, the only topic of HumanMeshArray, or of
        HumanMesh if there is none: HumanMeshArray is preferred because it also has frames without
        people.
    limit : int, optional
        Number of messages, or of people in them, after which reading ends.

    Returns
    -------
    People
        The people by frame.

    Raises
    ------
    BagError
        The bag cannot be read, or has no such topic or several of them, or too many people.
    """
    readings = read_topic(path, topic, (HUMAN_MESH_ARRAY, HUMAN_MESH), _take, limit)
    return People(
        *_join(readings.messages, readings.left_out),
        readings.left_out,
        readings.num_messages,
        readings.is_whole,
    )


def _take(message: Any) -> tuple[list[tuple[Human, str]], int, list[str]]:
    """Return the people (Human and name of the body) in a message."""
    people, faults = people_of(message)
    # Poses and shapes have all that vertices say.
    return [(replace(human, vertices=None), body) for human, body in people], len(people), faults


def _join(readings: list[Reading], left_out: LeftOut) -> tuple[dict[int, list[Human]], str]:
    """Return the people of all messages, each once in a frame, and their body: the most common."""
    bodies = Counter(
        (body, len(human.betas)) for reading in readings for human, body in reading.content
    )
    usual = bodies.most_common(1)[0][0] if bodies else ('', 0)
    frames: dict[int, dict[str, Human]] = {}
    for reading in sorted(readings, key=lambda reading: reading.stamp):
        frame = frames.setdefault(reading.stamp, {})
        for human, body in reading.content:
            if (body, len(human.betas)) != usual:
                reason = f'{_describe(body, len(human.betas))}, unlike most: {_describe(*usual)}'
            elif human.id in frame:
                reason = 'a message before it has the same person and stamp'
            else:
                frame[human.id] = human
                continue
            left_out.add(f'{reading.name}: person {human.id!r}: {reason}')
    return {stamp: list(frame.values()) for stamp, frame in frames.items()}, usual[0]


def _describe(body: str, betas: int) -> str:
    return f'body {body[:_MAX_NAME]!r} with {betas} betas'
