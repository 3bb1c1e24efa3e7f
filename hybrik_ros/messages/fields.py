"""Fields of ROS messages that this package reads."""

import math
from typing import Any, Protocol

from hybrik_ros.arrays import Array
from hybrik_ros.rotations import from_quaternion

_SECOND = 10**9  # nanoseconds

# Maximum difference in seconds from the newest stamp to that of a reordered image; beyond it, time
# jumped back.
REORDERED_SECONDS = 0.5


class Stamp(Protocol):
    """builtin_interfaces/Time."""

    sec: int
    nanosec: int


class Header(Protocol):
    """std_msgs/Header."""

    stamp: Any  # a Stamp, of the class that the message has
    frame_id: str


class Image(Protocol):
    """sensor_msgs/Image; data is array.array, bytes or an array of uint8."""

    header: Any
    height: int
    width: int
    encoding: str
    is_bigendian: Any
    step: int
    data: Any


class CompressedImage(Protocol):
    """sensor_msgs/CompressedImage."""

    header: Any
    format: str
    data: Any


def nanoseconds(header: Header) -> int:
    """Return the stamp of a header in nanoseconds."""
    return int(header.stamp.sec) * _SECOND + int(header.stamp.nanosec)


def find_stamp_fault(header: Header) -> str:
    """Return why the stamp of a header is invalid; empty if it is valid."""
    sec, nanosec = int(header.stamp.sec), int(header.stamp.nanosec)
    if sec >= 0 and 0 <= nanosec < _SECOND:
        return ''
    return (
        f'the stamp (sec {sec}, nanosec {nanosec}) is invalid: sec must not be negative, and '
        f'nanosec must be less than {_SECOND}'
    )


def stamp_fields(nanoseconds: int) -> dict[str, int]:
    """Return the fields of a stamp given in nanoseconds."""
    sec, nanosec = divmod(nanoseconds, _SECOND)
    return {'sec': sec, 'nanosec': nanosec}


def strip_slash(header: Header) -> bool:
    """Remove leading slashes from the frame_id of a header; return whether there were any.

    They are names of tf's first version, which tf2 refuses.
    """
    given = header.frame_id
    header.frame_id = given.lstrip('/')
    return bool(given != header.frame_id)


def to_rotation(quaternion: Any) -> Array | None:
    """Return the rotation (3, 3) of a geometry_msgs/Quaternion of any length; None if invalid."""
    values = quaternion.x, quaternion.y, quaternion.z, quaternion.w
    if not (all(map(math.isfinite, values)) and any(values)):
        return None
    return from_quaternion(values)
