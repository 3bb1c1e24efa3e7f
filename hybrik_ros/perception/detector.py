"""MoveNet MultiPose: finds up to six people and their 17 COCO keypoints in an image.

Source: Google, MoveNet MultiPose Lightning (2021), Apache-2.0.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hybrik_ros.camera import Camera, Region, overlaps
from hybrik_ros.inference import Runner

Array = NDArray[np.float64]

MODEL = Path(__file__).parent.parent / 'data' / 'movenet_multipose.onnx'

_STRIDE = 32  # The network takes any size whose sides are multiples of this.
_KEYPOINTS = 17
_SHOULDERS, _HIPS = [5, 6], [11, 12]
_ABOVE, _LEGS = slice(0, 7), slice(13, 17)  # head and shoulders; knees and ankles
_SEEN = 0.2  # Keypoint scores of this network run low,
_HIPS_SEEN = 0.4  # and those of hips are high.
_OVERLAP = 0.5  # Two boxes that share more than this are one person,
_MOST = 2 / 3  # and two of whom so many joints
_SAME_JOINTS = 0.1  # lie nearer to each other than this part of a person.
MIRRORED = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]  # COCO's left and right

# Of the way from the hips to the shoulders, where the crown of the head is.
_CROWN = 1.9
_FACE = 5  # keypoints: nose, eyes, ears
_MUCH, _HARDLY = 0.15, 0.4  # in scores
_HIPS_BELOW = 4.5  # times the size of a face
# The landmark network was trained on regions that leave this much room around the person.
_MARGIN = 1.25
# Of somebody at the lower edge of the image, that much of it is seen: from the head to somewhere
# between chest and feet. The middle of the body is this far down the box, about; and so many times
# the box's height is a square around all of the body, about.
_EDGE = 0.02  # of the image's height
_DOWN, _REACH = 0.75, 2.0


@dataclass(frozen=True, eq=False)
class Detection:
    """A person found in an image.

    Attributes
    ----------
    score: in [0, 1].
    box: (4), x_min, y_min, x_max, y_max, pixels, within the image.
    keypoints: (17, 3) in COCO's order: u, v, pixels, and score.
    """

    score: float
    box: Array
    keypoints: Array

    def is_face_only(self, height: int) -> bool:
        """Tell whether a face is seen without a body, as on a poster of a head.

        height: pixels, of the image, below which a body may go on.
        """
        points, scores = self.keypoints[:_FACE, :2], self.keypoints[:, 2]
        face, body = np.sort(scores[:_FACE])[-3:].mean(), np.sort(scores[_FACE:])[-2:].mean()
        eyes, size = points[:, 1].mean(), np.ptp(points, axis=0).max()
        has_room = eyes + _HIPS_BELOW * size < height
        return bool(body < face - _MUCH and (body < _HARDLY or has_room))

    @property
    def is_less_than_legs(self) -> bool:
        """Tell whether neither head nor trunk of somebody is seen, as by a low camera.

        Into what is seen the landmark network would squeeze the whole body.
        """
        scores = self.keypoints[:, 2]
        above, hips, legs = (scores[part].max() for part in (_ABOVE, _HIPS, _LEGS))
        return bool(above < _SEEN and hips < _HIPS_SEEN and above < legs)

    def is_same(self, keypoints: Array, box: Array) -> bool:
        """Tell whether this is the person with these keypoints (17, 2) and this box, pixels."""
        return same_person(self.keypoints[:, :2], self.box, keypoints, box)

    def region(self) -> Region:
        """Return the square around the whole person, upright along the trunk."""
        points, scores = self.keypoints[:, :2], self.keypoints[:, 2]
        hips, shoulders = points[_HIPS].mean(axis=0), points[_SHOULDERS].mean(axis=0)
        trunk = shoulders - hips
        length = float(np.linalg.norm(trunk))
        if length < 1.0:  # Seen from above or along the trunk: take the box.
            return Region.around(self.box, _MARGIN)
        seen = points[scores > _SEEN]
        reach = np.linalg.norm(seen - hips, axis=1).max(initial=_CROWN * length)
        return Region(hips, 2 * _MARGIN * float(reach), float(np.arctan2(trunk[0], -trunk[1])))


class PersonDetector:
    """Finds people by MoveNet MultiPose.

    Parameters
    ----------
    runner: active, of the MoveNet model.

    Parameters and attributes
    -------------------------
    size: longer side of the image that the network sees, pixels. Where the runner leaves it open,
        each side is padded; otherwise the image is put in one of the runner's size.
    threshold: least score of a person.
    """

    def __init__(self, runner: Runner, size: int, threshold: float) -> None:
        self._runner = runner
        self.size = size
        self.threshold = threshold

    def __call__(self, rgb: NDArray[np.uint8]) -> list[Detection]:
        """Return the people in an image (H, W, 3), best first."""
        scale = self.size / max(rgb.shape[:2])
        fitted = [max(1, round(side * scale)) for side in rgb.shape[:2]]
        small = cv2.resize(rgb, fitted[::-1], interpolation=cv2.INTER_AREA)
        given = self._runner.inputs['input'].shape[1:3]
        height, width = (side or padded(need) for side, need in zip(given, fitted, strict=True))
        canvas = np.zeros((1, height, width, 3), np.int32)
        canvas[0, : small.shape[0], : small.shape[1]] = small
        people = self._runner.infer({'input': canvas})['output_0'][0]
        to_pixels = np.array([width, height]) / scale
        limits = np.tile(rgb.shape[1::-1], 2)

        found: list[Detection] = []
        for person in sorted(people, key=lambda row: -row[55]):
            if person[55] < self.threshold:
                break
            keypoints = person[: 3 * _KEYPOINTS].reshape(_KEYPOINTS, 3)[:, [1, 0, 2]].astype(float)
            keypoints[:, :2] *= to_pixels
            box = person[[52, 51, 54, 53]] * np.tile(to_pixels, 2)
            detection = Detection(float(person[55]), np.clip(box, 0, limits), keypoints)
            if detection.is_face_only(rgb.shape[0]) or detection.is_less_than_legs:
                continue
            if not any(detection.is_same(other.keypoints[:, :2], other.box) for other in found):
                found.append(detection)
        return found


def padded(side: int) -> int:
    """Return the least side, pixels, not below a given one, of an image that the network takes."""
    return -(-side // _STRIDE) * _STRIDE


def region_in(box: Array, camera: Camera) -> Region:
    """Return the square around the whole person of whom nothing but a box (4), pixels, is known."""
    left, top, right, bottom = box
    if bottom < (1 - _EDGE) * camera.height:
        return Region.around(box, _MARGIN)
    height = bottom - top
    size = max(_REACH * height, _MARGIN * (right - left))
    return Region(np.array([(left + right) / 2, top + _DOWN * height]), float(size))


def same_box(first: Array, second: Array) -> bool:
    """Tell whether two boxes (4) are of one person, as they share most of what they cover."""
    return bool(overlaps(first[None], second[None])[0, 0] > _OVERLAP)


def same_person(first: Array, first_box: Array, second: Array, second_box: Array) -> bool:
    """Tell whether two are one person: they share most of their boxes, or their joints.

    Parameters
    ----------
    first, second: (17, 2), keypoints in COCO's order, pixels. Left and right may be mixed up in
        one of them: the way round that fits better counts.
    first_box, second_box: (4), pixels.
    """
    if same_box(first_box, second_box):
        return True
    size = max(np.ptp(first, axis=0).max(), np.ptp(second, axis=0).max(), 1.0)
    either_way = np.stack([second, second[MIRRORED]])
    near = np.linalg.norm(first - either_way, axis=2) < _SAME_JOINTS * size
    return bool(near.mean(axis=1).max() > _MOST)
