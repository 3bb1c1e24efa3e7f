"""Decoded frames of videos and cameras."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from hybrik_ros.limits import MAX_VIDEO_PIXELS


def grab_frames(capture: cv2.VideoCapture, max_broken: int) -> Iterator[int]:
    """Advance a video to each frame that can be decoded, until its end.

    OpenCV reports the end like a frame that cannot be decoded: it grabs nothing. Only after such a
    frame may the next attempt succeed.

    Parameters
    ----------
    capture : cv2.VideoCapture
        The open video.
    max_broken : int
        Maximum number of frames in a row that cannot be decoded; after more, the video has ended.

    Yields
    ------
    int
        Number of frames just before this one that cannot be decoded.
    """
    broken = 0
    while broken <= max_broken:
        if capture.grab():
            yield broken
            broken = 0
        else:
            broken += 1


def retrieve(capture: cv2.VideoCapture) -> NDArray[np.uint8] | None:
    """Return the frame grabbed last, BGR (H, W, 3); None if it is broken or too large."""
    # The size may change from frame to frame.
    size = capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
    if size > MAX_VIDEO_PIXELS:
        return None
    usable, frame = capture.retrieve()
    return np.asarray(frame, np.uint8) if usable else None
