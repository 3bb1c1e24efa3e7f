"""Made series of pictures: cuts to pictures without people, and people leaving the picture."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.cli.bench.footage import Clip, Image
from hybrik_ros.cli.bench.marks import clip_to_picture

_NUM_BEFORE = 4  # pictures of people before a cut
_SECONDS_AFTER = 1.0  # from the first picture after a cut to the last one
_SECONDS_LEAVING = 2.5  # in which the pictures move sideways ...
_DISTANCE = 1200  # by as many pixels, more than the pictures are wide
# Parts of first frames without people: x_min, y_min, x_max, y_max in pixels.
_EMPTY = {
    'walk and backflip': ((760, 0, 1440, 994), (0, 480, 760, 994)),
    'man, camera 2': ((0, 1420, 1080, 1900),),
    'man, camera 3': ((0, 0, 460, 1920),),
    'man, camera 4': ((690, 0, 1088, 1920),),
}
_GREY = 110


class Shot(NamedTuple):
    """A picture and the people in it.

    Attributes
    ----------
    picture : ndarray
        Picture (H, W, 3) RGB.
    people : ndarray
        Boxes (N, 4) of the people in it, in pixels.
    """

    picture: Image
    people: Array


Boxes = Callable[[int], Array]  # the boxes of the people in a frame of a clip


def empty_pictures(clips: Sequence[Clip]) -> list[Image]:
    """Return pictures without people: parts of clips, noise, blurred noise and grey."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (480, 640, 3), np.uint8)
    blurred = cv2.resize(noise[:12, :16], (640, 480), interpolation=cv2.INTER_CUBIC)
    pictures = [noise, np.asarray(blurred, np.uint8), np.full((480, 640, 3), _GREY, np.uint8)]
    for clip in clips:
        for left, top, right, bottom in _EMPTY.get(clip.name, ()):
            _, frame = next(replace(clip, first=0).frames())
            pictures.append(frame[top:bottom, left:right])
    return pictures


def cut(
    frames: Sequence[tuple[int, Image]], boxes: Boxes, clip: Clip, empty: Image, rate: float
) -> Iterator[Shot]:
    """Yield pictures of people, then ones without people, as after a cut of a film.

    Parameters
    ----------
    frames : sequence of (int, ndarray)
        Numbers and pictures of a clip's frames.
    boxes : callable
        Returns the boxes of the people in a frame by its number.
    clip : Clip
        The clip.
    empty : ndarray
        The picture without people, of any size.
    rate : float
        Pictures per second.
    """
    for index in range(_NUM_BEFORE):
        number, picture = frames[min(round(index * clip.rate / rate), len(frames) - 1)]
        yield Shot(picture, boxes(number))
    filled = _fill(empty, clip.camera.width, clip.camera.height)
    for _ in range(round(_SECONDS_AFTER * rate) + 1):
        yield Shot(filled, np.zeros((0, 4)))


def leave(
    frames: Sequence[tuple[int, Image]], boxes: Boxes, clip: Clip, direction: int, rate: float
) -> Iterator[Shot]:
    """Yield the pictures of a clip while they move sideways, until no person is in them.

    Parameters
    ----------
    frames : sequence of (int, ndarray)
        Numbers and pictures of the clip's frames.
    boxes : callable
        Returns the boxes of the people in a frame by its number.
    clip : Clip
        The clip.
    direction : int
        1 to the right, -1 to the left.
    rate : float
        Pictures per second.
    """
    width, height = clip.camera.width, clip.camera.height
    for index in range(round(_SECONDS_LEAVING * rate) + 1):
        number, picture = frames[min(round(index * clip.rate / rate), len(frames) - 1)]
        shift = direction * _DISTANCE * index / (_SECONDS_LEAVING * rate)
        motion = np.array([[1, 0, shift], [0, 1, 0]])
        moved = cv2.warpAffine(picture, motion, (width, height), borderMode=cv2.BORDER_REPLICATE)
        people = clip_to_picture(boxes(number) + [shift, 0, shift, 0], width, height)
        yield Shot(np.asarray(moved, np.uint8), people)


def _fill(picture: Image, width: int, height: int) -> Image:
    """Return the middle of a picture, scaled to fill a size."""
    scale = max(width / picture.shape[1], height / picture.shape[0])
    scaled = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    left, top = (scaled.shape[1] - width) // 2, (scaled.shape[0] - height) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width])
