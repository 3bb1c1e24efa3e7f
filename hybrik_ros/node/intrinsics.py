"""Which calibration an image has: the camera_info that belongs to it, or an assumed lens."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.time import Time
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from hybrik_ros.camera import Camera
from hybrik_ros.node.images import UnusableInputError, to_camera

NO_CAMERA_INFO = 'no camera_info'
_KEPT = 8  # messages: images that waited for the worker are a few frames old at most
# A camera that changes its resolution may send an image before the calibration of it.
_CHANGE_SECONDS = 0.1


@dataclass(frozen=True, eq=False)
class _Calibration:
    """What a camera_info says: a camera, or what is wrong with it."""

    stamp: int
    frame_id: str
    camera: Camera | None
    fault: UnusableInputError | None

    def fits(self, width: int, height: int) -> bool:
        camera = self.camera
        return camera is not None and (camera.width, camera.height) == (width, height)


class Intrinsics:
    """Keeps the newest calibrations, and finds that of an image: of its frame, size and time.

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
        self._calibrations: deque[_Calibration] = deque(maxlen=_KEPT)
        self._changed = threading.Condition()
        self._fitted = False

    def take(self, message: CameraInfo) -> None:
        """Take in a calibration."""
        stamp = Time.from_msg(message.header.stamp).nanoseconds
        try:
            calibration = _Calibration(stamp, message.header.frame_id, to_camera(message), None)
        except UnusableInputError as fault:
            calibration = _Calibration(stamp, message.header.frame_id, None, fault)
        with self._changed:
            self._calibrations.append(calibration)
            self._changed.notify_all()

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
            camera = self._find(header, width, height)
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

    def _find(self, header: Header, width: int, height: int) -> Camera:
        nearest = self._nearest(header)
        if nearest is None:
            raise UnusableInputError(
                NO_CAMERA_INFO,
                f'no camera_info on {self._topic} yet. Start the camera driver with its '
                f'calibration, remap camera_info, or set the parameter field_of_view',
            )
        if nearest.camera is not None and not nearest.fits(width, height) and self._fitted:
            with self._changed:
                self._changed.wait_for(
                    lambda: any(one.fits(width, height) for one in self._calibrations),
                    _CHANGE_SECONDS,
                )
            nearest = self._nearest(header, (width, height)) or nearest
        if header.frame_id and nearest.frame_id != header.frame_id:
            self._say(
                f'camera_info is for the frame {nearest.frame_id!r}, the images are from '
                f'{header.frame_id!r}: it is used all the same'
            )
        if nearest.camera is None:
            assert nearest.fault is not None
            # A new one: what is raised again and again gathers a traceback of every time.
            raise UnusableInputError(nearest.fault.kind, str(nearest.fault))
        if not nearest.fits(width, height):
            raise UnusableInputError(
                'camera_info size',
                f'camera_info is for {nearest.camera.width} x {nearest.camera.height} pixels, '
                f'the images have {width} x {height}',
            )
        return nearest.camera

    def _nearest(self, header: Header, size: tuple[int, int] | None = None) -> _Calibration | None:
        """Return the calibration, of an image of this size, that is nearest to a frame and time."""
        stamp = Time.from_msg(header.stamp).nanoseconds
        with self._changed:
            found = [one for one in self._calibrations if size is None or one.fits(*size)]
        return min(
            reversed(found),
            key=lambda one: (one.frame_id != header.frame_id, abs(one.stamp - stamp)),
            default=None,
        )
