"""From ROS images and calibrations to arrays and cameras, and back to images."""

import array
import sys
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from hybrik_ros.camera import Camera

_FISHEYE = 'equidistant'
_DISTORTION_MODELS = ('', 'plumb_bob', 'rational_polynomial', 'thin_prism', _FISHEYE)


class UnusableInputError(ValueError):
    """A message that no frame can be made of.

    Attributes
    ----------
    kind: short and the same for every message with the same fault; counted in diagnostics.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def _convert(code: int) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    return lambda pixels: np.asarray(cv2.cvtColor(pixels, code), np.uint8)


# Encoding to number of bytes a pixel and the way to RGB.
_ENCODINGS: dict[str, tuple[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]]] = {
    'rgb8': (3, np.ascontiguousarray),
    '8UC3': (3, _convert(cv2.COLOR_BGR2RGB)),
    'bgr8': (3, _convert(cv2.COLOR_BGR2RGB)),
    'rgba8': (4, _convert(cv2.COLOR_RGBA2RGB)),
    'bgra8': (4, _convert(cv2.COLOR_BGRA2RGB)),
    '8UC4': (4, _convert(cv2.COLOR_BGRA2RGB)),
    'mono8': (1, _convert(cv2.COLOR_GRAY2RGB)),
    '8UC1': (1, _convert(cv2.COLOR_GRAY2RGB)),
    'yuv422': (2, _convert(cv2.COLOR_YUV2RGB_UYVY)),
    'uyvy': (2, _convert(cv2.COLOR_YUV2RGB_UYVY)),
    'yuv422_yuy2': (2, _convert(cv2.COLOR_YUV2RGB_YUYV)),
    'yuyv': (2, _convert(cv2.COLOR_YUV2RGB_YUYV)),
}
ENCODINGS = tuple(_ENCODINGS)


def to_rgb(message: Image) -> NDArray[np.uint8]:
    """Return the pixels (H, W, 3) uint8 of an image, its row padding taken off.

    Raises
    ------
    UnusableInputError: the encoding is not one of ENCODINGS, a side is zero, or the length of the
        data does not match step and height.
    """
    if message.encoding not in _ENCODINGS:
        raise UnusableInputError(
            'encoding',
            f'images with encoding {message.encoding!r} cannot be read; '
            f'set the camera driver to one of {", ".join(ENCODINGS)}',
        )
    channels, convert = _ENCODINGS[message.encoding]
    width, height, step = message.width, message.height, message.step
    if width == 0 or height == 0:
        raise UnusableInputError('size', f'the image is empty: {width} x {height} pixels')
    if step < width * channels or len(message.data) != step * height:
        raise UnusableInputError(
            'length',
            f'the image says {width} x {height} {message.encoding} with a step of {step} bytes, '
            f'which makes {step * height} bytes, but holds {len(message.data)}',
        )
    if channels == 2 and width % 2:
        raise UnusableInputError(
            'size', f'{message.encoding} needs an even width: two pixels share a colour, of {width}'
        )
    rows = np.frombuffer(message.data, np.uint8).reshape(height, step)
    return convert(rows[:, : width * channels].reshape(height, width, channels))


def to_camera(message: CameraInfo) -> Camera:
    """Return the camera of a calibration.

    Raises
    ------
    UnusableInputError: K is all zero (an uncalibrated camera), or anything in it is unusable.
    """
    if not any(message.k):
        raise UnusableInputError(
            'zero K',
            'camera_info has an all-zero K: the camera is not calibrated. Calibrate it, or set '
            'the parameter field_of_view to the horizontal field of view of its lens',
        )
    if message.distortion_model not in _DISTORTION_MODELS:
        raise UnusableInputError(
            'distortion model',
            f'camera_info has the distortion model {message.distortion_model!r}; known are '
            f'{", ".join(filter(None, _DISTORTION_MODELS))}',
        )
    try:
        return Camera(
            np.array(message.k).reshape(3, 3),
            np.array(message.d),
            message.width,
            message.height,
            fisheye=message.distortion_model == _FISHEYE,
        )
    except ValueError as error:
        raise UnusableInputError('camera_info', f'camera_info is unusable: {error}') from error


def to_image(rgb: NDArray[np.uint8], header: Header, encoding: str = 'rgb8') -> Image:
    """Return an image message of pixels (H, W, 3)."""
    message = Image()
    message.header = header
    message.height, message.width = rgb.shape[:2]
    message.encoding = encoding
    message.is_bigendian = sys.byteorder == 'big'
    message.step = 3 * message.width
    data = array.array('B')
    data.frombytes(np.ascontiguousarray(rgb).data)
    message.data = data
    return message
