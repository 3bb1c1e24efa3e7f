"""From arrays to ROS images."""

import array
import sys

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header


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
