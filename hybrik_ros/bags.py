"""Bags: recordings in rosbag2's format, read and written without ROS."""

from pathlib import Path
from typing import Literal

from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from hybrik_ros.share import share_path

_BAG_VERSION: Literal[9] = 9
_MESSAGES = ('HumanMesh', 'HumanMeshArray')


def typestore() -> Typestore:
    """Return ROS 2's message types together with our own.

    Raises
    ------
    FileNotFoundError: the definitions of our messages are not installed.
    """
    store = get_typestore(Stores.LATEST)
    types = {}
    for name in _MESSAGES:
        text = share_path(f'msg/{name}.msg').read_text()
        types.update(get_types_from_msg(text, f'hybrik_ros/msg/{name}'))
    store.register(types)
    return store


class BagWriter:
    """Writes serialised messages to an mcap bag; a context manager.

    Parameters
    ----------
    path: of the bag's folder, which must not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._writer = Writer(path, version=_BAG_VERSION, storage_plugin=StoragePlugin.MCAP)
        self._types = typestore()
        self._connections: dict[str, Connection] = {}

    def __enter__(self) -> 'BagWriter':
        self._writer.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def add_topic(self, topic: str, type_name: str) -> None:
        """Add a topic, with a type such as tf2_msgs/msg/TFMessage."""
        self._connections[topic] = self._writer.add_connection(
            topic, type_name, typestore=self._types
        )

    def write(self, topic: str, nanoseconds: int, serialised: bytes) -> None:
        """Write a message (CDR) of a topic that was added, with the time of its receipt."""
        self._writer.write(self._connections[topic], nanoseconds, serialised)
