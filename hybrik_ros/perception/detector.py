"""MoveNet MultiPose: finds up to six people and their 17 COCO keypoints in an image.

References
----------
Google: MoveNet MultiPose Lightning (2021), Apache-2.0.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.camera import Camera, Region, overlaps
from hybrik_ros.inference import Runner
from hybrik_ros.perception import coco

MODEL = Path(__file__).parent.parent / 'data' / 'movenet_multipose.onnx'

_STRIDE = 32  # pixels; each side of an input image must be a multiple of it
# Minimum score of a keypoint that counts as seen. This network's scores are low in general, and
# high for hips.
_MIN_SCORE = 0.2
_MIN_HIP_SCORE = 0.4
# Sizes of the image that the network sees, relative to the setting: it finds people best that are
# about half as high as the image, so each size finds people at other distances.
_SCALES = (1.0, 0.6, 1.6)
# Number of people at one size from which on the network may miss some: it finds six at most.
CROWD = 5
# Two boxes are of one person where their intersection over union exceeds this.
_MIN_OVERLAP = 0.5
# Two observations are of one person where this share of their keypoints are nearer than the
# distance, in lengths of the trunk.
SAME_KEYPOINTS = 0.5
_SAME_KEYPOINT_DISTANCE = 0.25

# Position of the crown of the head on the line from the hips to the shoulders.
_CROWN = 1.9
# A face is without a body where the score of the face exceeds that of the body by the first, and
# the body's is below the second or the hips, expected below the eyes by this many sizes of the
# face, would lie in the image.
_FACE_LEAD, _MAX_BODY_SCORE = 0.15, 0.35
_EYES_TO_HIPS = 4.5
# The landmark network was trained on regions of this many times the size of the person.
_MARGIN = 1.25
# Maximum distance, as a share of the image's height, of the lower edge of a box from that of the
# image, for people that may continue below the image.
_MAX_EDGE_DISTANCE = 0.02
# For such a person, as shares of the height of the box: depth of the middle of the whole body below
# the upper edge of the box, and side of the square around the whole body.
_MIDDLE, _WHOLE = 0.75, 2.0


Part = tuple[int, int, int, int]  # of an image: x_min, y_min, x_max, y_max in pixels


@dataclass(frozen=True, eq=False)
class Detection:
    """A person found in an image.

    Attributes
    ----------
    score : float
        Score in [0, 1].
    box : ndarray
        Box (4) within the image: x_min, y_min, x_max, y_max in pixels.
    keypoints : ndarray
        Keypoints (17, 3) in COCO's order: u and v in pixels, and score in [0, 1].
    """

    score: float
    box: Array
    keypoints: Array

    def is_face_only(self, height: int) -> bool:
        """Return whether a face is seen without a body, as on a poster of a head.

        Parameters
        ----------
        height : int
            Height of the image in pixels; a body may continue below it.
        """
        points, scores = self.keypoints[coco.FACE, :2], self.keypoints[:, 2]
        face = np.sort(scores[coco.FACE])[-3:].mean()
        body = np.sort(scores[coco.FACE.stop :])[-2:].mean()
        eyes, size = points[:, 1].mean(), np.ptp(points, axis=0).max()
        has_room = eyes + _EYES_TO_HIPS * size < height
        return bool(body < face - _FACE_LEAD and (body < _MAX_BODY_SCORE or has_room))

    @property
    def is_lower_legs_only(self) -> bool:
        """Whether neither head nor trunk is visible, for example to a floor-level camera.

        The landmark network would compress the whole body into the visible part.
        """
        scores = self.keypoints[:, 2]
        parts = (coco.HEAD_AND_SHOULDERS, coco.HIPS, coco.LOWER_LEGS)
        above, hips, legs = (scores[part].max() for part in parts)
        return bool(above < _MIN_SCORE and hips < _MIN_HIP_SCORE and above < legs)

    def distance(self, keypoints: Array) -> float:
        """Return the mean distance of this detection's keypoints from others.

        Parameters
        ----------
        keypoints : ndarray
            Keypoints (17, 3) in COCO's order: u and v in pixels, and their confidence.

        Returns
        -------
        float
            Mean over the keypoints that this detection shows, weighted by their scores, in lengths
            of the trunk; each counts as 1 at most. In [0, 1].
        """
        scores = self.keypoints[:, 2]
        weights = np.where(scores >= _MIN_SCORE, scores, 0.0)
        if not weights.any():
            return 1.0
        return float(np.average(self.distances(keypoints), weights=weights))

    def distances(self, keypoints: Array) -> Array:
        """Return the distance (17) of each keypoint from others (17, 3), in lengths of the trunk.

        Each is 1 at most, and to the nearer side of the body.
        """
        # For a bust, the landmarks' trunk is often much too short.
        trunk = max(trunk_length(self.keypoints), trunk_length(keypoints))
        return np.minimum(_distances(self.keypoints, keypoints) / trunk, 1.0)

    def region(self) -> Region:
        """Return the square region around the whole person, upright along the trunk."""
        points, scores = self.keypoints[:, :2], self.keypoints[:, 2]
        hips, shoulders = points[coco.HIPS].mean(axis=0), points[coco.SHOULDERS].mean(axis=0)
        trunk = shoulders - hips
        length = float(np.linalg.norm(trunk))
        if length < 1.0:  # pixels: seen along the trunk, which then has no direction
            return Region.around(self.box, _MARGIN)
        seen = points[scores > _MIN_SCORE]
        reach = np.linalg.norm(seen - hips, axis=1).max(initial=_CROWN * length)
        return Region(hips, 2 * _MARGIN * float(reach), float(np.arctan2(trunk[0], -trunk[1])))


class PersonDetector:
    """Finds people with MoveNet MultiPose.

    Parameters
    ----------
    runner : Runner
        Runner of the MoveNet model; the detector closes it.
    size : int
        Longer side in pixels of the image that the network sees. Where the runner takes any size,
        each side is padded; otherwise the image is placed in one of the runner's size.
    threshold : float
        Minimum score of a detection in [0, 1].

    Attributes
    ----------
    sizes : tuple of int
        Longer sides of the images for people at all distances: size first.
    threshold : float
        Minimum score; may change between two images.
    """

    def __init__(self, runner: Runner, size: int, threshold: float) -> None:
        self._runner = runner
        self.sizes = look_sizes(size)
        self.threshold = threshold

    @property
    def model(self) -> Path:
        """File of the network."""
        return MODEL

    @property
    def backend(self) -> str:
        """Inference library that runs the network."""
        return self._runner.backend

    def close(self) -> None:
        """Free the network."""
        self._runner.close()

    def __call__(
        self, rgb: NDArray[np.uint8], size: int | None = None, part: Part | None = None
    ) -> list[Detection]:
        """Return the people in an image, best first.

        Parameters
        ----------
        rgb : ndarray
            Image (H, W, 3), uint8.
        size : int, optional
            Longer side in pixels of the image that the network sees; the first of sizes by default.
        part : tuple of int, optional
            The part of the image to look at, at the same scale: x_min, y_min, x_max, y_max in
            pixels; all of it by default.
        """
        left, top, right, bottom = part or (0, 0, rgb.shape[1], rgb.shape[0])
        shown = rgb[top:bottom, left:right]
        scale = (size or self.sizes[0]) / max(rgb.shape[:2])
        fitted = [max(1, round(side * scale)) for side in shown.shape[:2]]
        small = cv2.resize(shown, fitted[::-1], interpolation=cv2.INTER_AREA)
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
            keypoints = person[: 3 * coco.NUM_KEYPOINTS].reshape(-1, 3)[:, [1, 0, 2]].astype(float)
            keypoints[:, :2] = keypoints[:, :2] * to_pixels + (left, top)
            box = person[[52, 51, 54, 53]] * np.tile(to_pixels, 2) + (left, top, left, top)
            detection = Detection(float(person[55]), np.clip(box, 0, limits), keypoints)
            if detection.is_face_only(rgb.shape[0]) or detection.is_lower_legs_only:
                continue
            if not any(same_person(detection.keypoints, other.keypoints) for other in found):
                found.append(detection)
        return found


def halves(width: int, height: int) -> list[Part]:
    """Return the halves of an image along its longer side, and two between them."""
    half = max(width, height) // 2
    starts = [index * half // 3 for index in range(4)]
    if width >= height:
        return [(start, 0, start + half, height) for start in starts]
    return [(0, start, width, start + half) for start in starts]


def look_sizes(size: int) -> tuple[int, ...]:
    """Return the longer sides in pixels of the images for people at all distances: size first."""
    return tuple(round(scale * size) for scale in _SCALES)


def padded(side: int) -> int:
    """Return the smallest side in pixels, not below a given one, that the network accepts."""
    return -(-side // _STRIDE) * _STRIDE


def region_around_box(box: Array, camera: Camera) -> Region:
    """Return the square region around a whole person, given only a box (4) in pixels."""
    left, top, right, bottom = box
    if bottom < (1 - _MAX_EDGE_DISTANCE) * camera.height:
        return Region.around(box, _MARGIN)
    height = bottom - top
    size = max(_WHOLE * height, _MARGIN * (right - left))
    return Region(np.array([(left + right) / 2, top + _MIDDLE * height]), float(size))


def same_box(first: Array, second: Array) -> bool:
    """Return whether two boxes (4) are of one person, by their intersection over union."""
    return bool(overlaps(first[None], second[None])[0, 0] > _MIN_OVERLAP)


def same_person(first: Array, second: Array, min_share: float = SAME_KEYPOINTS) -> bool:
    """Return whether two observations are of one person.

    Parameters
    ----------
    first, second : ndarray
        Keypoints (17, 3) in COCO's order: u and v in pixels, and their confidence. Left and right
        may be exchanged in one of them.
    min_share : float
        Minimum share of the keypoints, weighted by confidence, that coincide.
    """
    weights = np.minimum(first[:, 2], second[:, 2])
    if not weights.any():
        return False
    trunk = min(trunk_length(first), trunk_length(second))
    near = _distances(first, second) < _SAME_KEYPOINT_DISTANCE * trunk
    return bool(np.average(near, weights=weights) >= min_share)


def trunk_length(keypoints: Array) -> float:
    """Return the size of a trunk, in pixels, from keypoints (17, 3): its length or its width."""
    shoulders, hips = keypoints[coco.SHOULDERS, :2], keypoints[coco.HIPS, :2]
    length = float(np.linalg.norm(shoulders.mean(axis=0) - hips.mean(axis=0)))
    return max(length, float(np.linalg.norm(shoulders[0] - shoulders[1])), 1.0)


def _distances(first: Array, second: Array) -> Array:
    """Return the distances (17) of keypoints (17, 3) in pixels, to the nearer side of the body."""
    both_ways = np.stack([second, second[list(coco.MIRROR)]])[..., :2]
    return np.asarray(np.linalg.norm(first[:, :2] - both_ways, axis=2).min(axis=0))
