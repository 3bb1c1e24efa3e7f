"""Read the people in a bag that `hybrik bag` or ros2 bag wrote."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hybrik_ros.bags.reader import BagError, BagReader, Message
from hybrik_ros.bags.types import deserialise
from hybrik_ros.human import Human
from hybrik_ros.limits import MAX_BAG_PEOPLE, MAX_PEOPLE_BYTES
from hybrik_ros.messages.people import HUMAN_MESH, HUMAN_MESH_ARRAY, people_of, stamp_of
from hybrik_ros.printable import printable

_SECOND = 10**9  # nanoseconds
_DAY = 86_400  # seconds
# Maximum difference in seconds of a stamp from those of the other messages, which may be the times
# of another clock: more than clocks are corrected by, less than a damaged stamp is off.
_MAX_STAMP_ERROR = _DAY
_MAX_NAME = 40  # characters of the name of a body in errors
_MAX_LINES, _MAX_KINDS = 10, 1000  # maximum numbers of shown lines, and of kinds of faults
_NUMBER = re.compile(r'\b[0-9.]+\b')  # numbers differ between faults of one kind


class LeftOut:
    """Counts faults by kind: millions of messages may be left out."""

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[str, int]] = {}

    def add(self, text: str) -> None:
        """Take the reason why something is left out, with topic, message and person."""
        text = printable(text)
        kind = _NUMBER.sub('#', text)
        if kind in self._kinds or len(self._kinds) < _MAX_KINDS:
            first, times = self._kinds.get(kind, (text, 0))
            self._kinds[kind] = first, times + 1

    def report(self) -> Iterator[str]:
        """Yield a line for each kind."""
        for first, times in list(self._kinds.values())[:_MAX_LINES]:
            yield f'{first} (and {times - 1} more like it)' if times > 1 else first
        if len(self._kinds) > _MAX_LINES:
            yield f'and {len(self._kinds) - _MAX_LINES} other kinds'


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

    def report(self) -> Iterator[str]:
        """Yield a line for each kind of what is left out."""
        return self.left_out.report()


class _Reading(NamedTuple):
    """The people (Human and name of the body) of a message, its name in errors, and its times."""

    name: str
    received: int
    stamp: int
    people: list[tuple[Human, str]]


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
    left_out = LeftOut()
    with BagReader(path) as reader:
        name = reader.full_name(topic) if topic else _find_topic(path, reader)
        if name not in reader.topics:
            raise BagError(f'{path} has no topic {name}; it has {", ".join(reader.topics)}')
        type_name = reader.topics[name].type_name
        if type_name not in (HUMAN_MESH, HUMAN_MESH_ARRAY):
            raise BagError(f'{name} of {path} is of type {type_name}, not {HUMAN_MESH_ARRAY}')
        messages, readings = reader.messages({name}), []
        number = found = 0
        for number, message in enumerate(messages, 1):
            try:
                readings.append(_read(message, type_name, number, left_out))
                found += len(readings[-1].people)
            except ValueError as error:
                left_out.add(f'message {number} of {name}: {error}')
            if limit is not None and max(number, found) >= limit:
                break
            if max(number, found) > MAX_BAG_PEOPLE:
                raise BagError(
                    f'{path} has more than the maximum of {MAX_BAG_PEOPLE} messages or people in '
                    f'them on {name}: split it'
                )
        is_whole = next(messages, None) is None
        damage = [f'{times} x {kind}' for kind, times in reader.faults.items()]
        for text in reader.notes + damage:
            left_out.add(text)
    readings = _keep_likely_stamps(readings, left_out)
    return People(*_join(readings, left_out), left_out, number, is_whole)


def _read(message: Message, type_name: str, number: int, left_out: LeftOut) -> _Reading:
    if len(message.data) > MAX_PEOPLE_BYTES:
        raise ValueError(f'it has more than the maximum of {MAX_PEOPLE_BYTES} bytes')
    content = deserialise(message.data, type_name)
    name = f'message {number} of {message.topic}'
    people, faults = people_of(content)
    for fault in faults:
        left_out.add(f'{name}: {fault}')
    # Poses and shapes have all that vertices say.
    people = [(replace(human, vertices=None), body) for human, body in people]
    return _Reading(name, message.time, stamp_of(content.header), people)


def _keep_likely_stamps(readings: list[_Reading], left_out: LeftOut) -> list[_Reading]:
    """Return the messages without those whose stamps are far from all others."""
    delays = [(reading.received - reading.stamp) / _SECOND for reading in readings]
    usual = np.median(delays) if delays else 0.0
    kept = []
    for reading, delay in zip(readings, delays, strict=True):
        if abs(delay - usual) <= _MAX_STAMP_ERROR:
            kept.append(reading)
            continue
        left_out.add(
            f'{reading.name}: its stamp, {reading.stamp / _SECOND:.3f} s, is '
            f'{abs(delay - usual) / _DAY:.0f} days away from those of the other messages'
        )
    return kept


def _join(readings: list[_Reading], left_out: LeftOut) -> tuple[dict[int, list[Human]], str]:
    """Return the people of all messages, each once in a frame, and their body: the most common."""
    bodies = Counter(
        (body, len(human.betas)) for reading in readings for human, body in reading.people
    )
    usual = bodies.most_common(1)[0][0] if bodies else ('', 0)
    frames: dict[int, dict[str, Human]] = {}
    for reading in sorted(readings, key=lambda reading: reading.stamp):
        frame = frames.setdefault(reading.stamp, {})
        for human, body in reading.people:
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
