"""An image and the camera that took it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.camera import Camera


class CameraImage(NamedTuple):
    """An image and the camera that took it.

    Attributes
    ----------
    rgb : ndarray
        Image (H, W, 3), uint8.
    camera : Camera
        Its camera.
    """

    rgb: NDArray[np.uint8]
    camera: Camera
