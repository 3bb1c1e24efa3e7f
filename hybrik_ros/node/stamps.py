"""Checks of the stamps of images."""

from collections import deque

from rclpy.impl.rcutils_logger import RcutilsLogger
from std_msgs.msg import Header

from hybrik_ros.messages.fields import REORDERED_SECONDS, nanoseconds
from hybrik_ros.messages.images import UnusableInputError, check_image_stamp
from hybrik_ros.node.complaints import Complaints
from hybrik_ros.tracking import MAX_INTERVAL

_JUMP_WINDOW, _MAX_JUMPS = 50, 3  # jumps back in time among the last images
_MAX_REPEATS = 10  # images in a row with the stamp of the one before them


class StampCheck:
    """Checks that time advances from image to image.

    Parameters
    ----------
    logger : RcutilsLogger
        Logs each jump back in time.
    complaints : Complaints
        Reports stamps that do not advance.

    Attributes
    ----------
    long_gaps : int
        Number of gaps in a row so long that a track ends at each.
    """

    def __init__(self, logger: RcutilsLogger, complaints: Complaints) -> None:
        self._logger = logger
        self._complaints = complaints
        self._last: float | None = None
        self._repeats = 0
        self._jumps: deque[bool] = deque(maxlen=_JUMP_WINDOW)  # whether time jumped back
        self.long_gaps = 0

    def note_repetition(self, header: Header) -> bool:
        """Return whether an image has the stamp of the last processed one; if so, warn.

        TF refuses a second transform with the same stamp, and no time passes in which a person can
        be confirmed.

        Raises
        ------
        UnusableInputError
            The stamp is invalid.
        """
        check_image_stamp(header)
        if nanoseconds(header) * 1e-9 != self._last:
            self._repeats = 0
            return False
        self._repeats += 1
        if self._repeats < _MAX_REPEATS:
            self._complaints.warn(
                'images with the stamp of the image before them are ignored: make the camera '
                'driver publish each image once, with the time of its exposure'
            )
        else:
            self._complaints.warn(
                'image timestamps do not advance, so only the first image is processed: make the '
                'camera driver stamp each image with the time of its exposure'
            )
        return True

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
                'order',
                f'an image is ignored, as it is {back:.3f} s older than the one before it: make '
                f'the camera driver publish images once and in order, with the time of exposure',
            )
        self._jumps.append(back > 0)
        if back > 0:
            self._tell_jump(back)
        is_long = self._last is not None and stamp - self._last >= MAX_INTERVAL
        self.long_gaps = self.long_gaps + 1 if is_long else 0
        self._last = stamp
        return stamp

    def _tell_jump(self, seconds: float) -> None:
        if sum(self._jumps) < _MAX_JUMPS:
            self._logger.warning(
                f'time jumped back by {seconds:.1f} s (looping bag?); resetting all tracks'
            )
        else:
            self._complaints.warn(
                'the image timestamps jump back again and again, and all tracks are reset each '
                'time: give two cameras a topic each, and make the driver stamp images with the '
                'time of their exposure'
            )
