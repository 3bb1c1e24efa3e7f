"""The direction up from the messages of an IMU (sensor_msgs/Imu, REP-145)."""

import math
from dataclasses import dataclass
from typing import Any

from hybrik_ros.arrays import Array
from hybrik_ros.messages.fields import REORDERED_SECONDS, nanoseconds, to_rotation
from hybrik_ros.messages.images import UnusableInputError
from hybrik_ros.rotations import unit

GRAVITY = 9.81  # m/s², of an accelerometer at rest; it varies by 0.03 over the earth
MAX_DEVIATION = 2.0  # m/s² from GRAVITY; beyond it, the camera is being moved
MAX_AGE_SECONDS = 2.0  # between the newest direction and the image that it is used for
# Time constant of the low-pass filter in seconds. It reduces noise as a mean over twice that time.
_TIME_CONSTANT = 0.5
_NOT_MEASURED = -1.0  # first element of a covariance whose quantity the IMU does not measure


@dataclass(frozen=True)
class MeanUp:
    """The filtered direction up.

    Parameters
    ----------
    frame : str
        Frame of the IMU.
    stamp : int
        Stamp of the newest message in it, in nanoseconds.
    mean : ndarray
        Mean (3) of unit vectors that point up, in the frame of the IMU.
    """

    frame: str
    stamp: int
    mean: Array


class GravityFilter:
    """Low-pass filter of the direction up, updated by one thread and read by another."""

    def __init__(self) -> None:
        self._newest: MeanUp | None = None

    def update(self, message: Any) -> None:
        """Take a message (sensor_msgs/Imu); one that shows no direction is ignored.

        Raises
        ------
        UnusableInputError
            The IMU measures neither acceleration nor orientation.
        """
        up = measure_up(message)
        if up is not None:
            self._newest = _filter(self._newest, message.header, up)

    def up_at(self, stamp: int) -> tuple[str, Array] | None:
        """Return the direction up at the time of an image.

        Parameters
        ----------
        stamp : int
            Stamp of the image in nanoseconds.

        Returns
        -------
        tuple or None
            The frame of the IMU, and a unit vector (3) in it; None where no direction is known
            within `MAX_AGE_SECONDS` of the image.
        """
        newest = self._newest
        if newest is None or abs(stamp - newest.stamp) > MAX_AGE_SECONDS * 1e9:
            return None
        return newest.frame, unit(newest.mean)


def measure_up(message: Any) -> Array | None:
    """Return the direction up of one message.

    It is that of the acceleration, which an accelerometer at rest measures against gravity; without
    an accelerometer, it is the vertical of the world in which the orientation is given.

    Parameters
    ----------
    message : sensor_msgs/Imu
        Message of an IMU.

    Returns
    -------
    ndarray or None
        Unit vector (3) in the frame of the IMU; None if the camera is being moved, or the values
        are impossible.

    Raises
    ------
    UnusableInputError
        The IMU measures neither acceleration nor orientation.

    References
    ----------
    REP-145, Conventions for IMU Sensor Drivers.
    """
    if message.linear_acceleration_covariance[0] != _NOT_MEASURED:
        given = message.linear_acceleration
        acceleration = given.x, given.y, given.z
        is_resting = abs(math.hypot(*acceleration) - GRAVITY) <= MAX_DEVIATION
        return unit(acceleration) if is_resting else None
    if message.orientation_covariance[0] != _NOT_MEASURED:
        rotation = to_rotation(message.orientation)
        return None if rotation is None else rotation[2]
    raise UnusableInputError(
        'imu',
        'the IMU measures neither acceleration nor orientation, as both covariances begin with -1: '
        'remap imu to the topic of an IMU with an accelerometer',
    )


def _filter(newest: MeanUp | None, header: Any, up: Array) -> MeanUp | None:
    """Return the filtered direction after one more direction up."""
    stamp = nanoseconds(header)
    start = MeanUp(header.frame_id, stamp, up)
    if newest is None or newest.frame != header.frame_id:
        return start
    seconds = (stamp - newest.stamp) * 1e-9
    if seconds < 0:  # Time jumped back, or the message is late.
        return start if seconds < -REORDERED_SECONDS else newest
    weight = -math.expm1(-seconds / _TIME_CONSTANT)
    return MeanUp(header.frame_id, stamp, newest.mean + weight * (up - newest.mean))
