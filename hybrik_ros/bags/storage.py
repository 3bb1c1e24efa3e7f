"""What all files of a bag have in common, whatever their format."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple, Protocol

from rosbags.interfaces import (
    Connection,
    ConnectionExtRosbag2,
    MessageDefinition,
    MessageDefinitionFormat,
)
from rosbags.rosbag2.metadata import parse_qos

from hybrik_ros.untrusted import parse_yaml

# Kinds of damage.
CUT_OFF, DAMAGED_PART, DAMAGED_MESSAGE = 'file cut off', 'damaged part', 'damaged message'
TOO_LARGE = 'part or message that unpacks to too many bytes'

CDR = 'cdr'  # encoding of the messages of ROS 2
UNKNOWN_TYPE = 'unknown'  # type of messages whose type the file does not tell

_FORMATS = {
    'ros2msg': MessageDefinitionFormat.MSG,
    'ros2idl': MessageDefinitionFormat.IDL,
    'omgidl': MessageDefinitionFormat.IDL,
}


class StorageError(ValueError):
    """A file of a bag, or a part of it, cannot be read. The message gives the reason."""


class Row(NamedTuple):
    """A message as it is stored.

    Attributes
    ----------
    connection : Connection
        Its topic.
    time : int
        Time of receipt in nanoseconds.
    data : bytes
        The message in the encoding of the connection.
    """

    connection: Connection
    time: int
    data: bytes


class Storage(Protocol):
    """An open file of a bag.

    Attributes
    ----------
    connections : list of Connection
        The topics, of any encoding.
    is_whole : bool
        Whether the file has its end.
    span : tuple of int or None
        Times of receipt of the first and the last message in nanoseconds; None without messages.
    """

    connections: list[Connection]
    is_whole: bool
    span: tuple[int, int] | None

    def close(self) -> None:
        """Close the file."""

    def messages(
        self, connections: Collection[Connection], start: int | None, stop: int | None
    ) -> Iterator[Row]:
        """Yield the messages of some connections, in order of time, damaged ones left out.

        Parameters
        ----------
        connections : collection of Connection
            The connections to read.
        start, stop : int or None
            Times of receipt in nanoseconds: from start on, before stop.

        Yields
        ------
        Row
            A message.
        """


@contextmanager
def closing_on_error(close: Callable[[], object]) -> Iterator[None]:
    """Close what has been opened if the context, which finishes opening it, fails.

    Parameters
    ----------
    close : callable
        Closes it.
    """
    try:
        yield
    except BaseException:
        close()
        raise


def connect(
    id: int,
    topic: str,
    type_name: str,
    definition: MessageDefinition,
    count: int,
    encoding: str,
    qos: str,
    owner: object,
) -> Connection:
    """Return the description of a topic.

    Parameters
    ----------
    id : int
        Number of the topic in the file.
    topic, type_name : str
        Names of the topic and of the type of its messages.
    definition : MessageDefinition
        Definition of the type.
    count : int
        Number of messages.
    encoding : str
        Encoding of the messages.
    qos : str
        YAML of the QoS profiles that the publishers offered; ignored if it is damaged.
    owner : object
        The storage.
    """
    profiles = []
    with suppress(Exception):  # The exception of rosbags depends on what is wrong.
        profiles = parse_qos(parse_yaml(qos) or [])
    extra = ConnectionExtRosbag2(encoding, profiles)
    return Connection(id, topic, type_name, definition, '', count, extra, owner)


def define(encoding: str, text: str) -> MessageDefinition:
    """Return the definition of a message type; an empty one for the languages of other systems."""
    if encoding in _FORMATS and text:
        return MessageDefinition(_FORMATS[encoding], text)
    return MessageDefinition(MessageDefinitionFormat.NONE, '')
