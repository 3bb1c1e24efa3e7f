"""The fields of ROS's messages that are read here."""

from typing import Any, Protocol

_SECOND = 10**9  # nanoseconds

# Images may come in another order than they were taken in; farther back, time itself jumped.
REORDERED_SECONDS = 0.5


class Stamp(Protocol):
    """builtin_interfaces/Time."""

    sec: int
    nanosec: int


class Header(Protocol):
    """std_msgs/Header."""

    stamp: Any  # Stamp; of which class, only the header knows.
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


def stamp_fields(nanoseconds: int) -> dict[str, int]:
    """Return the fields of the stamp of so many nanoseconds."""
    sec, nanosec = divmod(nanoseconds, _SECOND)
    return {'sec': sec, 'nanosec': nanosec}
