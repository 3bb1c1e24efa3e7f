"""The sample clip for tests: a woman walks to the left of the image, her left side towards us."""

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from hybrik_ros.body import DEFAULT_BODY
from hybrik_ros.camera import Camera

CLIP = DEFAULT_BODY.with_name('sample.mp4')
RATE = 30.0


def read_frames(first: int, count: int) -> list[NDArray[np.uint8]]:
    """Frames of the clip, RGB."""
    capture = cv2.VideoCapture(str(CLIP))
    frames = []
    for index in range(first + count):
        found, frame = capture.read()
        assert found
        if index >= first:
            frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    return frames


def read_camera() -> Camera:
    """The camera of the clip."""
    stored = yaml.safe_load(CLIP.with_suffix('.yaml').read_text())
    matrix = np.array(stored['camera_matrix']['data']).reshape(3, 3)
    distortion = np.array(stored['distortion_coefficients']['data'])
    return Camera(matrix, distortion, stored['image_width'], stored['image_height'])


def find_figure(frame: NDArray, room: NDArray) -> NDArray:
    """Which pixels (H, W) show the walker: the largest difference from the empty room."""
    moving = (np.abs(frame.astype(int) - room).sum(axis=2) > 60).astype(np.uint8)
    _, parts, sizes, _ = cv2.connectedComponentsWithStats(
        cv2.morphologyEx(moving, cv2.MORPH_CLOSE, np.ones((9, 9)))
    )
    return parts == 1 + np.argmax(sizes[1:, cv2.CC_STAT_AREA])
