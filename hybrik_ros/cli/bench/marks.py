"""Where people are in the pictures of the clips: coarse boxes, by hand or from true joints."""

from collections.abc import Iterable, Mapping

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.cli.bench.footage import Clip
from hybrik_ros.cli.bench.truth import Truth

_Boxes = Mapping[int, tuple[int, int, int, int]]  # x_min, y_min, x_max, y_max in pixels, by frame

# Boxes drawn by hand in 'walk and backflip', in the frames that show a part of the person.
_JUMPER: _Boxes = {
    0: (590, 75, 715, 460), 10: (490, 75, 830, 460), 20: (520, 10, 740, 460),
    30: (470, 35, 840, 460), 40: (575, 70, 710, 460), 50: (465, 20, 825, 445),
    60: (545, 40, 735, 465), 70: (460, 50, 805, 455), 80: (575, 95, 705, 460),
    90: (570, 60, 700, 460), 100: (590, 85, 705, 460), 110: (610, 80, 770, 465),
    120: (625, 80, 780, 465), 130: (705, 80, 805, 465), 140: (735, 75, 880, 465),
    150: (730, 70, 875, 465), 160: (720, 160, 930, 470), 170: (740, 150, 950, 380),
    180: (870, 230, 1110, 450), 190: (995, 505, 1140, 905), 200: (1055, 725, 1270, 905),
    210: (1095, 615, 1405, 900), 220: (1330, 545, 1545, 905), 229: (1500, 545, 1640, 905),
}  # fmt: skip
_WALKER: _Boxes = {
    34: (1530, 545, 1640, 955), 40: (1460, 550, 1600, 955), 50: (1445, 540, 1560, 950),
    60: (1305, 535, 1515, 950), 70: (1260, 520, 1390, 930), 80: (1100, 525, 1345, 925),
    90: (1065, 510, 1185, 920), 100: (910, 520, 1145, 925), 110: (845, 505, 995, 920),
    120: (720, 510, 952, 930), 130: (640, 500, 810, 930), 140: (498, 503, 735, 935),
    150: (410, 498, 615, 940), 160: (340, 505, 530, 950), 170: (170, 512, 410, 945),
    180: (122, 508, 280, 950), 190: (0, 515, 215, 950), 200: (0, 515, 60, 935),
    206: (0, 580, 95, 790), 212: (0, 640, 30, 790),
}  # fmt: skip
_MARKED = {'walk': (_JUMPER, _WALKER), 'walk and backflip': (_JUMPER, _WALKER)}

WALKER_CLIP = 'walk and backflip'
# A hand of the walker is seen from frame 34 on, head, arm and leg from 37, half of her from 40.
WALKER_FIRST = 40

_MARGIN = 0.15  # by which the coarse boxes grow on each side, relative to their size

# Boxes of another man in the background of two of the calibrated cameras, by camera.
_BACKGROUND = {1: (0, 265, 135, 765), 2: (710, 460, 865, 895)}


def walker(number: int) -> Array:
    """Return the box (1, 4) of the woman in a frame of 'walk and backflip'; (0, 4) if unseen."""
    return _interpolate(_WALKER, number)


def is_marked(clip: Clip, people: Iterable[Truth]) -> bool:
    """Return whether the boxes of all people in a clip are known."""
    return clip.name in _MARKED or (clip.number > 0 and len(list(people)) == clip.people)


def has_background(clip: Clip) -> bool:
    """Return whether another man stands behind the people of a clip."""
    return clip.number in _BACKGROUND


def people_in(clip: Clip, people: Iterable[Truth], number: int) -> Array:
    """Return the boxes of all people in a frame.

    Parameters
    ----------
    clip : Clip
        The clip.
    people : iterable of Truth
        Ground truth of its people.
    number : int
        Number of the frame.

    Returns
    -------
    ndarray
        Boxes (N, 4): x_min, y_min, x_max, y_max in pixels.
    """
    boxes = [_interpolate(marked, number) for marked in _MARKED.get(clip.name, ())]
    if has_background(clip):
        boxes.append(np.array([_BACKGROUND[clip.number]]))
    for truth in people:
        joints = truth.joints[number]
        known = joints[np.isfinite(joints).all(axis=1)]
        if len(known):
            pixels = clip.camera.project(known)
            boxes.append(np.concatenate([pixels.min(axis=0), pixels.max(axis=0)])[None])
    found = np.concatenate(boxes) if boxes else np.zeros((0, 4))
    shifted = found - [0, clip.top, 0, clip.top]
    return clip_to_picture(shifted, clip.camera.width, clip.camera.height)


def shows_person(box: Array, people: Array) -> bool:
    """Return whether the middle of a body's box is in the box of a person, as these are coarse.

    Parameters
    ----------
    box : ndarray
        Box (4) of the body: x_min, y_min, x_max, y_max in pixels.
    people : ndarray
        Boxes (N, 4) of the people in the picture.
    """
    margin = _MARGIN * (people[:, 2:] - people[:, :2])
    middle = (box[:2] + box[2:]) / 2
    inside = (middle >= people[:, :2] - margin) & (middle <= people[:, 2:] + margin)
    return bool(inside.all(axis=1).any())


def clip_to_picture(boxes: Array, width: int, height: int) -> Array:
    """Return the parts of boxes (N, 4) inside a picture; boxes outside of it are left out."""
    inside = np.clip(boxes, 0, [width, height, width, height])
    return np.asarray(inside[(inside[:, 2:] > inside[:, :2]).all(axis=1)])


def _interpolate(boxes: _Boxes, number: int) -> Array:
    """Return the box (1, 4) in a frame; (0, 4) before the first one and after the last."""
    numbers = list(boxes)
    if not numbers[0] <= number <= numbers[-1]:
        return np.zeros((0, 4))
    corners = np.array(list(boxes.values()), float)
    return np.array([[np.interp(number, numbers, column) for column in corners.T]])
