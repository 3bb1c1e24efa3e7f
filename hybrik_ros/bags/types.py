"""The types of messages, ROS 2's and our own, as rosbags knows them."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from hybrik_ros.messages.people import MessageMaker
from hybrik_ros.share import share_path

_MESSAGES = ('HumanMesh', 'HumanMeshArray')


@cache
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


def deserialise(data: bytes | memoryview, type_name: str) -> Any:
    """Return the message of a type that serialised data (CDR) holds.

    Raises
    ------
    ValueError: the data is damaged.
    """
    try:
        return typestore().deserialize_cdr(data, type_name)
    except Exception as error:  # By where the damage is, rosbags raises all sorts of things.
        raise ValueError(f'a message of type {type_name} is damaged: {error!r}') from error


def serialise(message: Any) -> memoryview:
    """Return a message as serialised data (CDR)."""
    return typestore().serialize_cdr(message, message.__msgtype__)


def make() -> MessageMaker:
    """Return what makes the messages of people."""
    return MessageMaker(typestore().types, _floats)


def _floats(numbers: NDArray) -> NDArray[np.float32]:
    return np.asarray(numbers, np.float32).ravel()
