"""Conversion of ROS depth images to metres.

References
----------
REP-118 (Depth Images).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image

from hybrik_ros.messages.images import UnusableInputError

# Type and unit in metres of each encoding. The annotation is quoted for numpy 1.21, in which
# np.dtype[Any] does not exist.
_ENCODINGS: 'dict[str, tuple[np.dtype[Any], float]]' = {
    '16UC1': (np.dtype(np.uint16), 0.001),
    'mono16': (np.dtype(np.uint16), 0.001),
    '32FC1': (np.dtype(np.float32), 1.0),
}
DEPTH_ENCODINGS = tuple(_ENCODINGS)


def to_depth(message: Image) -> NDArray[np.float32]:
    """Return the depths of an image, without its row padding.

    16UC1, which some drivers call mono16, is in millimetres, and 0 is a hole; 32FC1 is in metres,
    and values that are not finite are holes.

    Returns
    -------
    ndarray
        Depths (H, W), float32, in metres, with holes unchanged.

    Raises
    ------
    UnusableInputError
        The encoding is not one of DEPTH_ENCODINGS, a side is zero, or the length of the data does
        not match step and height.
    """
    if message.encoding not in _ENCODINGS:
        raise UnusableInputError(
            'depth encoding',
            f'depth images with encoding {message.encoding!r} cannot be read; '
            f'set the camera driver to one of {", ".join(DEPTH_ENCODINGS)}',
        )
    kind, metres = _ENCODINGS[message.encoding]
    width, height, step = message.width, message.height, message.step
    if width == 0 or height == 0:
        raise UnusableInputError(
            'depth size', f'the depth image is empty: {width} x {height} pixels'
        )
    if step < width * kind.itemsize or len(message.data) != step * height:
        raise UnusableInputError(
            'depth length',
            f'a depth image of {width} x {height} {message.encoding} with a step of {step} bytes '
            f'must hold {step * height} bytes, but holds {len(message.data)}',
        )
    rows = np.frombuffer(message.data, np.uint8).reshape(height, step)
    stored = kind.newbyteorder('>' if message.is_bigendian else '<')
    values = np.ascontiguousarray(rows[:, : width * kind.itemsize]).view(stored)
    depth = np.asarray(values, np.float32)  # no copy where the message stores float32
    return depth if metres == 1.0 else depth * np.float32(metres)
