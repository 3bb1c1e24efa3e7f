"""Conversion of this package's types to ROS message classes."""

import array
import sys
from pathlib import Path

import geometry_msgs.msg
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from hybrik_ros.messages import calibration
from hybrik_ros.messages.people import HUMAN_MESH, HUMAN_MESH_ARRAY, TF, MessageMaker
from hybrik_ros.msg import HumanMesh, HumanMeshArray

_GEOMETRY = ('Point', 'Quaternion', 'Transform', 'TransformStamped', 'Vector3')


def float_array(numbers: NDArray) -> array.array:
    """Return numbers as a flat float32 array, which a message field takes without a copy."""
    flat = array.array('f')
    flat.frombytes(np.ascontiguousarray(numbers, np.float32).data.cast('B'))
    return flat


make = MessageMaker(
    {
        HUMAN_MESH: HumanMesh,
        HUMAN_MESH_ARRAY: HumanMeshArray,
        TF: TFMessage,
        'std_msgs/msg/Header': Header,
        **{f'geometry_msgs/msg/{name}': getattr(geometry_msgs.msg, name) for name in _GEOMETRY},
    },
    float_array,
)


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
