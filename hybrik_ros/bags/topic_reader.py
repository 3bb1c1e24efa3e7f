"""Read all messages of one topic of a bag; what cannot be used is left out and counted."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rosbags.typesys.store import Typestore

from hybrik_ros.bags.reader import BagError, BagReader, Message, Topic
from hybrik_ros.bags.types import deserialise
from hybrik_ros.limits import MAX_BAG_PEOPLE, MAX_PEOPLE_BYTES
from hybrik_ros.messages.people import stamp_of
from hybrik_ros.printable import printable

_SECOND = 10**9  # nanoseconds
_DAY = 86_400  # seconds
# Maximum difference in seconds of a stamp from those of the other messages, which may be the times
# of another clock: more than clocks are corrected by, less than a damaged stamp is off.
_MAX_STAMP_ERROR = _DAY
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


class Reading(NamedTuple):
    """A message: its name in errors, its time of receipt and stamp in nanoseconds, its content."""

    name: str
    received: int
    stamp: int
    content: Any


@dataclass(frozen=True, eq=False)
class Readings:
    """The messages of a topic.

    Attributes
    ----------
    messages : list of Reading
        The messages that are used, in order.
    left_out : LeftOut
        The others, and what is left out of messages.
    num_messages : int
        Number of messages that were read.
    is_whole : bool
        Whether these are all messages.
    """

    messages: list[Reading]
    left_out: LeftOut
    num_messages: int
    is_whole: bool


# Returns what is used of a message, its number of people, and the reasons why others are left out.
Take = Callable[[Any], tuple[Any, int, Sequence[str]]]


def read_topic(
    path: Path, topic: str, types: Sequence[str], take: Take, limit: int | None = None
) -> Readings:
    """Read the messages of a topic.

    Parameters
    ----------
    path : Path
        Path of the bag.
    topic : str
        The topic. If empty, the only one of the first of the types that the bag has.
    types : sequence of str
        The types that the topic may have.
    take : callable
        Returns what is used of a message, the number of its people, and the reasons for those that
        are left out; it raises a ValueError with the reason if nothing can be used.
    limit : int, optional
        Number of messages, or of people in them, after which reading ends.

    Raises
    ------
    BagError
        The bag cannot be read, or has no such topic or several of them, or too many people.
    """
    left_out = LeftOut()
    with BagReader(path) as reader:
        source = _find_topic(path, reader, topic, types)
        store = source.types()
        messages, readings = reader.messages({source.name}), []
        number = found = 0
        for number, message in enumerate(messages, 1):
            name = f'message {number} of {source.name}'
            reading, people, faults = _read(message, name, source.type_name, store, take)
            readings += reading
            found += people
            for fault in faults:
                left_out.add(f'{name}: {fault}')
            if limit is not None and max(number, found) >= limit:
                break
            if max(number, found) > MAX_BAG_PEOPLE:
                raise BagError(
                    f'{path} has more than the maximum of {MAX_BAG_PEOPLE} messages or people in '
                    f'them on {source.name}: split it'
                )
        is_whole = next(messages, None) is None
        damage = [f'{times} x {kind}' for kind, times in reader.faults.items()]
        for text in reader.notes + damage:
            left_out.add(text)
    return Readings(_keep_likely_stamps(readings, left_out), left_out, number, is_whole)


def _read(
    message: Message, name: str, type_name: str, store: Typestore, take: Take
) -> tuple[list[Reading], int, Sequence[str]]:
    """Return what is used of a message, the number of its people, and why others are left out."""
    try:
        if len(message.data) > MAX_PEOPLE_BYTES:
            raise ValueError(f'it has more than the maximum of {MAX_PEOPLE_BYTES} bytes')
        content = deserialise(message.data, type_name, store)
        used, people, faults = take(content)
        return [Reading(name, message.time, stamp_of(content.header), used)], people, faults
    except ValueError as error:
        return [], 0, [str(error)]
    except (AttributeError, TypeError) as error:
        return [], 0, [f'the bag defines its type in another way: {error}']


def _keep_likely_stamps(readings: list[Reading], left_out: LeftOut) -> list[Reading]:
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


def _find_topic(path: Path, reader: BagReader, topic: str, types: Sequence[str]) -> Topic:
    name = reader.full_name(topic) if topic else _only_topic(path, reader, types)
    if name not in reader.topics:
        raise BagError(f'{path} has no topic {name}; it has {", ".join(reader.topics)}')
    found = reader.topics[name]
    if found.type_name not in types:
        raise BagError(f'{name} of {path} is of type {found.type_name}, not {types[0]}')
    return found


def _only_topic(path: Path, reader: BagReader, types: Sequence[str]) -> str:
    for kind in types:
        names = [name for name, topic in reader.topics.items() if topic.type_name == kind]
        if len(names) == 1:
            return names[0]
        if names:
            raise BagError(
                f'{path} has several topics of type {kind}, choose one of them: {", ".join(names)}'
            )
    raise BagError(f'{path} has no topic of type {" or ".join(types)}')
