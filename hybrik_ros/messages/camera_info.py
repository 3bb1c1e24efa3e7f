"""Intrinsics of each image: the matching camera_info, or an assumed field of view."""

import re
import threading
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from hybrik_ros.camera import Camera
from hybrik_ros.messages.fields import Header, nanoseconds, strip_slash
from hybrik_ros.messages.images import (
    OTHER_SIZE,
    Intrinsics,
    UnusableInputError,
    check_lengths,
    to_intrinsics,
)
from hybrik_ros.settings import AUTO, RECTIFIED

NO_CAMERA_INFO = 'no camera_info'
# Maximum number of buffered messages: an image is processed at most a few frames after its arrival.
BUFFER_LENGTH = 8
# Maximum wait in seconds after a change of the resolution: the image may arrive before its
# camera_info.
_MAX_WAIT_SECONDS = 0.1
# A word that names rectified images, as in image_rect_color or image_rectcolor, and words before it
# that deny it. Corrected is not such a word: it is said of exposure and colours too.
_RECTIFIED_WORD = re.compile(
    '{other}(rect|rectified|rectify|undist|undistort|undistorted|dewarp|dewarped){other}'.format(
        other='(image|img|colou?r|rgb|bgr|mono|gr[ae]y|raw|left|right)*'
    )
)
_NEGATIONS = {'un', 'no', 'non', 'not'}
_WORDS = re.compile('[A-Z]?[a-z]+|[A-Z]+')


def are_rectified(intrinsics: str, image_topic: str) -> bool:
    """Return whether images are rectified, so that their intrinsics are P of camera_info.

    Parameters
    ----------
    intrinsics : str
        The parameter of this name: AUTO, RAW or RECTIFIED.
    image_topic : str
        Topic of the images, which counts for AUTO.
    """
    if intrinsics == AUTO:
        words = ['', *map(str.lower, _WORDS.findall(image_topic))]
        return any(
            _RECTIFIED_WORD.fullmatch(word) and before not in _NEGATIONS
            for before, word in pairwise(words)
        )
    return intrinsics == RECTIFIED


class CameraInfoBuffer:
    """Buffers the newest camera_info messages and returns the intrinsics of an image.

    The executor's thread calls `take`, the worker's thread `camera_of`.

    Parameters
    ----------
    topic : str
        Topic of camera_info, for error messages.
    warn : callable
        Called with the text of a fault that costs no frame.
    rectified : bool
        Whether the images are rectified.

    Attributes
    ----------
    state : str
        Source of the intrinsics, or why there are none.
    assumed : bool
        Whether the intrinsics are assumed.
    """

    def __init__(self, topic: str, warn: Callable[[str], None], rectified: bool = False) -> None:
        self.state = 'none'
        self.assumed = False
        self._topic = topic
        self._warn = warn
        self._rectified = rectified
        self._messages: deque[Any] = deque(maxlen=BUFFER_LENGTH)
        self._arrived = threading.Condition()
        self._had_camera = False
        self._refused: UnusableInputError | None = None

    def take(self, message: Any) -> None:
        """Add a sensor_msgs/CameraInfo.

        Raises
        ------
        UnusableInputError
            It is larger than that of any camera, and is not kept.
        """
        try:
            check_lengths(message)
        except UnusableInputError as fault:
            self._refused = fault
            raise
        strip_slash(message.header)
        with self._arrived:
            self._messages.append(message)
            self._arrived.notify_all()

    def camera_of(self, header: Header, width: int, height: int, field_of_view: float) -> Camera:
        """Return the intrinsics of an image.

        Parameters
        ----------
        header : Header
            Header of the image.
        width, height : int
            Size of the image in pixels.
        field_of_view : float
            Horizontal field of view in degrees, assumed without a usable camera_info; 0 disables.

        Raises
        ------
        UnusableInputError
            There is no usable camera_info, and no field of view is assumed.
        """
        try:
            camera, doubts = self._find(header, (width, height))
        except UnusableInputError as fault:
            self._had_camera = False
            self.state, self.assumed = str(fault), field_of_view > 0
            if not self.assumed:
                raise
            why = ''
            if fault.kind != NO_CAMERA_INFO:
                why = f' ({fault})'
                self._warn(f'camera_info cannot be used, so distances are inaccurate: {fault}')
            self.state = (
                f'an assumed field of view of {field_of_view:g} degrees{why}: distances are '
                f'inaccurate'
            )
            return Camera.from_field_of_view(field_of_view, width, height)
        for doubt in doubts:
            self._warn(doubt)
        self._had_camera, self.assumed = True, False
        self.state = 'P of camera_info, for rectified images' if self._rectified else 'camera_info'
        return camera

    def _find(self, header: Header, size: tuple[int, int]) -> Intrinsics:
        """Return the intrinsics of an image; wait once for those of a changed resolution."""
        try:
            return to_intrinsics(self._nearest(header), size, self._rectified)
        except UnusableInputError as fault:
            if fault.kind != OTHER_SIZE or not self._had_camera:
                raise
        with self._arrived:
            self._arrived.wait(_MAX_WAIT_SECONDS)
        return to_intrinsics(self._nearest(header), size, self._rectified)

    def _nearest(self, header: Header) -> Any:
        """Return the camera_info nearest in time, preferably of the same frame_id."""
        stamp = nanoseconds(header)
        with self._arrived:
            found = list(self._messages)
        if not found and self._refused is not None:
            raise self._refused
        if not found:
            raise UnusableInputError(
                NO_CAMERA_INFO,
                f'no camera_info on {self._topic} yet. Start the camera driver with its '
                f'calibration, remap camera_info, or set the parameter field_of_view',
            )

        def distance(message: Any) -> tuple[bool, int]:
            elapsed = nanoseconds(message.header) - stamp
            return message.header.frame_id != header.frame_id, abs(elapsed)

        nearest = min(reversed(found), key=distance)
        if header.frame_id and nearest.header.frame_id != header.frame_id:
            self._warn(
                f'camera_info has the frame_id {nearest.header.frame_id!r}, the images have '
                f'{header.frame_id!r}: it is used, but check that it belongs to this camera'
            )
        return nearest
