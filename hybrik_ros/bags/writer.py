"""Write bags."""

from pathlib import Path
from typing import Literal

from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer

from hybrik_ros.bags.reader import Topic
from hybrik_ros.bags.types import typestore

# Version of the bag format: that of Iron, which all releases from Humble on read. Humble does not
# read version 9.
_BAG_VERSION: Literal[8] = 8


class BagWriter:
    """Writes serialised messages to an mcap bag. A context manager.

    Parameters
    ----------
    path : Path
        Folder of the bag, which must not exist yet.
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
        """Add a topic.

        Parameters
        ----------
        topic : str
            Name of the topic.
        type_name : str
            Type of its messages, such as tf2_msgs/msg/TFMessage.
        """
        self._connections[topic] = self._writer.add_connection(
            topic, type_name, typestore=typestore()
        )

    def add_copy(self, topic: Topic) -> None:
        """Add a topic of another bag, with the same type and the same offered QoS profiles.

        Parameters
        ----------
        topic : Topic
            The topic of the other bag.

        Raises
        ------
        BagError
            The definition of its type is not known.
        """
        text, digest = topic.definition()
        self._connections[topic.name] = self._writer.add_connection(
            topic.name,
            topic.type_name,
            msgdef=text,
            rihs01=digest,
            offered_qos_profiles=topic.qos_profiles,
        )

    def write(self, topic: str, nanoseconds: int, serialised: bytes | memoryview) -> None:
        """Write a message.

        Parameters
        ----------
        topic : str
            Name of a topic that was added.
        nanoseconds : int
            Time of receipt in nanoseconds.
        serialised : bytes or memoryview
            The serialised message (CDR).
        """
        self._writer.write(self._connections[topic], nanoseconds, serialised)
