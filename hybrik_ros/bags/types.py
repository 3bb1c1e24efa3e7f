"""Message types of ROS 2 and of this package, as rosbags defines them."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from hybrik_ros.messages.observations import ObservationMaker
from hybrik_ros.messages.people import MessageMaker
from hybrik_ros.share import share_path

_MESSAGES = ('HumanMesh', 'HumanMeshArray', 'HumanObservation', 'HumanObservationArray')


@cache
def typestore() -> Typestore:
    """Return the message types of ROS 2 and of this package.

    Raises
    ------
    FileNotFoundError
        The message definitions of this package are not installed.
    """
    store = get_typestore(Stores.LATEST)
    types = {}
    for name in _MESSAGES:
        text = share_path(f'msg/{name}.msg').read_text()
        types.update(get_types_from_msg(text, f'hybrik_ros/msg/{name}'))
    store.register(types)
    return store


def deserialise(data: bytes | memoryview, type_name: str, store: Typestore | None = None) -> Any:
    """Return the message in serialised data.

    Parameters
    ----------
    data : bytes or memoryview
        The serialised message (CDR).
    type_name : str
        Type of the message, such as sensor_msgs/msg/Image.
    store : Typestore, optional
        Where the type is defined; `typestore` by default.

    Returns
    -------
    Any
        The message; a class that rosbags generates for the type.

    Raises
    ------
    ValueError
        The data is damaged.
    """
    try:
        return (store or typestore()).deserialize_cdr(data, type_name)
    except Exception as error:  # The exception of rosbags depends on where the damage is.
        raise ValueError(f'a message of type {type_name} is damaged: {error!r}') from error


def serialise(message: Any) -> memoryview:
    """Return the serialised data (CDR) of a message."""
    return typestore().serialize_cdr(message, message.__msgtype__)


def create_message_maker() -> MessageMaker:
    """Return a MessageMaker that makes messages of the types of `typestore`."""
    return MessageMaker(typestore().types, _to_floats)


def create_observation_maker() -> ObservationMaker:
    """Return an ObservationMaker that makes messages of the types of `typestore`."""
    return ObservationMaker(typestore().types, _to_floats)


def _to_floats(numbers: NDArray) -> NDArray[np.float32]:
    return np.asarray(numbers, np.float32).ravel()
