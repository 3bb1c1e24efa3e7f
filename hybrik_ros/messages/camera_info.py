"""Which calibration an image has: the camera_info that belongs to it, or an assumed lens."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from hybrik_ros.camera import Camera
from hybrik_ros.messages.fields import Header, nanoseconds
from hybrik_ros.messages.images import OTHER_SIZE, UnusableInputError, to_camera

NO_CAMERA_INFO = 'no camera_info'
KEPT = 8  # messages: images that waited for the worker are a few frames old at most
# A camera that changes its resolution may send an image before the calibration of it.
_CHANGE_SECONDS = 0.1


class CameraInfoBuffer:
    """Keeps the newest calibrations, and finds that of an image: of its frame, time and size.

    take() is called by the executor's thread, camera_of() by the worker's.

    Parameters
    ----------
    topic: of camera_info, for messages to the user.
    say: tells the user of a fault that costs no frame.

    Attributes
    ----------
    state: where the intrinsics come from, or why there are none, in words.
    assumed: whether they are a guess.
    """

    def __init__(self, topic: str, say: Callable[[str], None]) -> None:
        self.state = 'none'
        self.assumed = False
        self._topic = topic
        self._say = say
        self._messages: deque[Any] = deque(maxlen=KEPT)
        self._arrived = threading.Condition()
        self._fitted = False

    def take(self, message: Any) -> None:
        """Take in a calibration."""
        with self._arrived:
            self._messages.append(message)
            self._arrived.notify_all()

    def camera_of(self, header: Header, width: int, height: int, field_of_view: float) -> Camera:
        """Return the intrinsics of an image.

        Parameters
        ----------
        header, width, height: of the image.
        field_of_view: horizontal, degrees, assumed where there are none; 0 for not.

        Raises
        ------
        UnusableInputError: there are none that can be used, and no field of view to go by.
        """
        try:
            camera = self._find(header, (width, height))
        except UnusableInputError as fault:
            self._fitted = False
            self.state, self.assumed = str(fault), field_of_view > 0
            if not self.assumed:
                raise
            why = ''
            if fault.kind != NO_CAMERA_INFO:
                why = f' ({fault})'
                self._say(f'distances are guesses, as camera_info cannot be used: {fault}')
            self.state = (
                f'an assumed field of view of {field_of_view:g} degrees{why}: distances are guesses'
            )
            return Camera.from_field_of_view(field_of_view, width, height)
        self._fitted, self.state, self.assumed = True, 'camera_info', False
        return camera

    def _find(self, header: Header, size: tuple[int, int]) -> Camera:
        try:
            return to_camera(self._nearest(header), size)
        except UnusableInputError as fault:
            if fault.kind != OTHER_SIZE or not self._fitted:
                raise
        with self._arrived:
            self._arrived.wait(_CHANGE_SECONDS)
        return to_camera(self._nearest(header), size)

    def _nearest(self, header: Header) -> Any:
        """Return the calibration of a frame that is nearest in time."""
        stamp = nanoseconds(header)
        with self._arrived:
            found = list(self._messages)
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
            self._say(
                f'camera_info is for the frame {nearest.header.frame_id!r}, the images are from '
                f'{header.frame_id!r}: it is used all the same'
            )
        return nearest
