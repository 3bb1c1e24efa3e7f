"""Decoded frames of videos and cameras."""

import cv2
import numpy as np
from numpy.typing import NDArray

from hybrik_ros.limits import MAX_VIDEO_PIXELS


def retrieve(capture: cv2.VideoCapture) -> NDArray[np.uint8] | None:
    """Return the frame grabbed last, BGR (H, W, 3); None if it is broken or too large."""
    # The size may change from frame to frame.
    size = capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
    if size > MAX_VIDEO_PIXELS:
        return None
    usable, frame = capture.retrieve()
    return np.asarray(frame, np.uint8) if usable else None
