"""Checks of the stamps of images."""

from rclpy.impl.rcutils_logger import RcutilsLogger
from std_msgs.msg import Header

from hybrik_ros.messages.fields import REORDERED_SECONDS, nanoseconds
from hybrik_ros.messages.images import UnusableInputError
from hybrik_ros.node.complaints import Complaints

_MAX_STALLED = 10  # images in a row of one stamp


class StampCheck:
    """Checks that time advances from image to image.

    Parameters
    ----------
    logger : RcutilsLogger
        Logs each jump back in time.
    complaints : Complaints
        Reports stamps that do not advance.
    """

    def __init__(self, logger: RcutilsLogger, complaints: Complaints) -> None:
        self._logger = logger
        self._complaints = complaints
        self._last: float | None = None
        self._stalled = 0

    def advance(self, header: Header) -> float:
        """Return the stamp of an image in seconds.

        Raises
        ------
        UnusableInputError
            A newer image was processed already.
        """
        stamp = nanoseconds(header) * 1e-9
        back = 0.0 if self._last is None else self._last - stamp
        if 0 < back <= REORDERED_SECONDS:
            raise UnusableInputError(
                'order', f'an image is {back:.3f} s older than the one before it'
            )
        if back > 0:
            self._logger.warning(
                f'time jumped back by {back:.1f} s (looping bag?); resetting all tracks'
            )
        self._stalled = self._stalled + 1 if stamp == self._last else 0
        if self._stalled >= _MAX_STALLED:
            self._complaints.warn(
                'image timestamps do not advance, so tracks are never confirmed: check the stamps '
                'of the camera driver'
            )
        self._last = stamp
        return stamp
