"""Conversion of images and calibrations to ROS message classes; needs sensor_msgs only."""

import array
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from hybrik_ros.messages import calibration


def to_image(rgb: NDArray[np.uint8], header: Header, encoding: str = 'rgb8') -> Image:
    """Return an image message.

    Parameters
    ----------
    rgb : ndarray
        Pixels (H, W, 3), uint8.
    header : Header
        Header of the message.
    encoding : str
        Encoding of the pixels, with 3 channels of 8 bits.
    """
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


def read_calibration(path: Path) -> CameraInfo:
    """Read a calibration as camera_calibration and camera_calibration_parsers write it.

    Returns
    -------
    CameraInfo
        With an empty header.

    Raises
    ------
    CalibrationError
        The file cannot be read, is not such a calibration, or has an all-zero K.
    """
    return CameraInfo(**vars(calibration.read_calibration(path)))


def guess_calibration(field_of_view: float, width: int, height: int) -> CameraInfo:
    """Return the camera_info of an ideal lens, with an empty header.

    Parameters
    ----------
    field_of_view : float
        Horizontal field of view in degrees.
    width, height : int
        Size of the images in pixels.
    """
    return CameraInfo(**vars(calibration.guess_calibration(field_of_view, width, height)))
