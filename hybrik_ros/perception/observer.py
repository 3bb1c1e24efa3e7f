"""Observes the people in an image: tracked ones where they are expected, new ones by detection."""

import math
from collections.abc import Sequence
from numbers import Real
from reprlib import repr as cut_repr
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hybrik_ros.arrays import Array, Image
from hybrik_ros.camera import Camera, Region
from hybrik_ros.perception.detector import PersonDetector, same_box, same_person
from hybrik_ros.perception.estimator import Estimator, Observation
from hybrik_ros.perception.opening import MAX_PEOPLE
from hybrik_ros.settings import Settings
from hybrik_ros.timing import StageTimer

# Hysteresis: keep a tracked person while the score exceeds this fraction of presence_threshold.
_HYSTERESIS = 0.4
_SEARCH_INTERVAL = 5  # maximum frames between two runs of the detector while a track is lost


class Expectation(NamedTuple):
    """What the tracks say of a frame before it is looked at.

    Attributes
    ----------
    regions : list of Region
        Where tracked people are expected.
    followed : int
        Number of people seen in the last frame.
    is_searching : bool
        Whether a track is lost, or there is none.
    """

    regions: list[Region]
    followed: int
    is_searching: bool


class Observer:
    """Runs the pose estimator, and the detector every few frames.

    Parameters
    ----------
    detector : PersonDetector
        Finds new people.
    estimator : Estimator
        Observes people in regions.
    timer : StageTimer
        Takes the durations of the stages detect and landmarks.

    Attributes
    ----------
    frames_since_detection : int
        Frames since the detector ran.
    """

    def __init__(self, detector: PersonDetector, estimator: Estimator, timer: StageTimer) -> None:
        self.frames_since_detection = 0
        self._detector = detector
        self._estimator = estimator
        self._timer = timer

    def observe(
        self,
        rgb: Image,
        camera: Camera,
        expected: Expectation,
        boxes: Array | None,
        settings: Settings,
    ) -> list[Observation]:
        """Observe the people in an image.

        Parameters
        ----------
        rgb : ndarray
            Image (H, W, 3), uint8.
        camera : Camera
            Camera of the image.
        expected : Expectation
            What the tracks say.
        boxes : ndarray or None
            Boxes (N, 4) of another detector within the image, in pixels; None to run the own one.
        settings : Settings
            Thresholds and intervals.

        Returns
        -------
        list of Observation
            Different people, at most MAX_PEOPLE.
        """
        threshold = settings.presence_threshold
        regions = expected.regions[:MAX_PEOPLE]
        people = self._look(rgb, camera, regions, _HYSTERESIS * threshold)
        if boxes is not None:
            new = self._regions_in(boxes, camera, people)
        elif self._must_detect(len(people), expected, settings.detector_interval):
            new = self._detect(rgb, people)
        else:
            return people
        new = new[: MAX_PEOPLE - len(people)]
        return _distinct(people + self._look(rgb, camera, new, threshold))

    def _look(
        self, rgb: Image, camera: Camera, regions: list[Region], min_score: float
    ) -> list[Observation]:
        """Observe the different people in some regions."""
        with self._timer.measure('landmarks'):
            found = self._estimator.observe(rgb, regions, camera, min_score)
            return _distinct([person for person in found if person.shows_trunk])

    def _must_detect(self, seen: int, expected: Expectation, interval: int) -> bool:
        """Return, once per frame, whether to run the detector.

        Parameters
        ----------
        seen : int
            Number of people seen where they were expected.
        expected : Expectation
            What the tracks say.
        interval : int
            Maximum frames between two runs.
        """
        self.frames_since_detection += 1
        if expected.is_searching:
            interval = min(interval, _SEARCH_INTERVAL)
        are_all_seen = 0 < expected.followed <= seen
        if are_all_seen and self.frames_since_detection < interval:
            return False
        self.frames_since_detection = 0
        return True

    def _detect(self, rgb: Image, people: Sequence[Observation]) -> list[Region]:
        """Return the regions of detections that are none of these people."""
        with self._timer.measure('detect'):
            return [
                self._estimator.region_of(found)
                for found in self._detector(rgb)
                if not any(found.is_same(person.keypoints, person.box) for person in people)
            ]

    def _regions_in(
        self, boxes: Array, camera: Camera, people: Sequence[Observation]
    ) -> list[Region]:
        """Return the regions of another detector's boxes (N, 4) that are none of these people."""
        return [
            self._estimator.region_around(box, camera)
            for box in boxes
            if not any(same_box(box, person.box) for person in people)
        ]


def check_image(rgb: Image, camera: Camera) -> None:
    """Raise a ValueError unless an image is (H, W, 3) uint8, and of the size of its camera."""
    if not isinstance(camera, Camera):
        raise ValueError(f'camera must be a Camera, not {cut_repr(camera)}')
    if rgb is None:
        raise ValueError(
            'rgb must be (H, W, 3) uint8, not None: cv2.imread returns None for a file that is '
            'missing or no image'
        )
    if not isinstance(rgb, np.ndarray):
        raise ValueError(f'rgb must be an array (H, W, 3) of uint8, not a {type(rgb).__name__}')
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise ValueError(f'rgb must be (H, W, 3) uint8, not {rgb.shape} {rgb.dtype}')
    if rgb.shape[:2] != (camera.height, camera.width):
        raise ValueError(
            f'the image has {rgb.shape[1]} x {rgb.shape[0]} pixels, '
            f'its camera {camera.width} x {camera.height}'
        )


def check_stamp(stamp: float) -> None:
    """Raise a ValueError unless a stamp is a finite number."""
    try:
        is_finite = isinstance(stamp, Real) and math.isfinite(stamp)
    except OverflowError:  # an integer beyond all floats
        is_finite = False
    if not is_finite:
        raise ValueError(f'stamp must be finite, a number of seconds, not {cut_repr(stamp)}')


def clip_boxes(boxes: ArrayLike, camera: Camera) -> Array:
    """Return boxes (N, 4) in pixels, clipped to the image; those outside are left out.

    Raises
    ------
    ValueError
        They are no (N, 4) finite numbers.
    """
    try:
        checked = np.asarray(boxes, float)
    except (TypeError, ValueError, OverflowError):
        checked = np.full((1, 4), np.nan)  # refused below
    if not checked.size:
        return np.zeros((0, 4))
    if checked.ndim != 2 or checked.shape[1] != 4 or not np.isfinite(checked).all():
        raise ValueError(f'boxes must be (N, 4) finite numbers, pixels, not {cut_repr(boxes)}')
    cut = np.clip(checked, 0, np.tile([camera.width, camera.height], 2))
    return cut[(cut[:, :2] < cut[:, 2:]).all(axis=1)]


def _distinct(people: Sequence[Observation]) -> list[Observation]:
    """Leave out people seen twice: regions of two people may end up on one of them."""
    found: list[Observation] = []
    for person in sorted(people, key=lambda person: -person.score):
        if not any(
            same_person(person.keypoints, person.box, other.keypoints, other.box) for other in found
        ):
            found.append(person)
    return found
