"""Writing a bag."""

from pathlib import Path
from typing import Literal

from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer

from hybrik_ros.bags.reader import Topic
from hybrik_ros.bags.types import typestore

# As Iron wrote them, and as every release from Humble on reads them: of 9, Humble does not.
_BAG_VERSION: Literal[8] = 8


class BagWriter:
    """Writes serialised messages to an mcap bag; a context manager.

    Parameters
    ----------
    path: of the bag's folder, which must not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._writer = Writer(path, version=_BAG_VERSION, storage_plugin=StoragePlugin.MCAP)
        self._connections: dict[str, Connection] = {}

    def __enter__(self) -> 'BagWriter':
        self._writer.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def add_topic(self, topic: str, type_name: str) -> None:
        """Add a topic, with a type such as tf2_msgs/msg/TFMessage."""
        self._connections[topic] = self._writer.add_connection(
            topic, type_name, typestore=typestore()
        )

    def add_copy(self, topic: Topic) -> None:
        """Add a topic of another bag: of the same type, offered with the same quality.

        Raises
        ------
        BagError: nobody knows the definition of its type.
        """
        text, digest = topic.definition()
        self._connections[topic.name] = self._writer.add_connection(
            topic.name,
            topic.type_name,
            msgdef=text,
            rihs01=digest,
            offered_qos_profiles=topic.qualities,
        )

    def write(self, topic: str, nanoseconds: int, serialised: bytes | memoryview) -> None:
        """Write a message (CDR) of a topic that was added, with the time of its receipt."""
        self._writer.write(self._connections[topic], nanoseconds, serialised)
