"""Observes the people in an image: tracked ones where they are expected, new ones by detection."""

import math
from collections.abc import Sequence
from numbers import Real
from reprlib import repr as cut_repr
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hybrik_ros.arrays import Array, Image
from hybrik_ros.camera import Camera, ImpossiblePoseError, Region
from hybrik_ros.perception.detector import PersonDetector, same_box, same_person
from hybrik_ros.perception.estimator import Estimator, Observation
from hybrik_ros.perception.opening import MAX_PEOPLE
from hybrik_ros.settings import Settings
from hybrik_ros.timing import StageTimer

# Hysteresis: keep a tracked person while the score exceeds this fraction of presence_threshold.
_HYSTERESIS = 0.4
_SEARCH_INTERVAL = 5  # maximum frames between two runs of the detector while a track is lost
# Hysteresis: a new person replaces a tracked one only where its distance is below this fraction of
# the tracked person's.
_NEARER = 0.9


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


class Boxes(NamedTuple):
    """The people that another detector found in a frame.

    Attributes
    ----------
    inside : ndarray
        Boxes (N, 4) in pixels, clipped to the image; those outside are left out.
    given : int
        Number of boxes, with those outside.
    """

    inside: Array
    given: int


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
    empty_boxes : int
        Number of frames with boxes of another detector since one of them held a person.
    has_box_held : bool
        Whether a box of another detector ever held a tracked person.
    """

    def __init__(self, detector: PersonDetector, estimator: Estimator, timer: StageTimer) -> None:
        self.frames_since_detection = 0
        self.forget_boxes()
        self._detector = detector
        self._estimator = estimator
        self._timer = timer

    def forget_boxes(self) -> None:
        """Judge the boxes of another detector anew."""
        self.empty_boxes = 0
        self.has_box_held = False

    def observe(
        self,
        rgb: Image,
        camera: Camera,
        expected: Expectation,
        boxes: Boxes | None,
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
        boxes : Boxes or None
            Boxes of another detector; None to run the own one. Where boxes came and none has ever
            held a person, their coordinates are not those of the image: the own detector runs too.
        settings : Settings
            Thresholds and intervals.

        Returns
        -------
        list of Observation
            Different people, at most MAX_PEOPLE: the nearest ones.
        """
        threshold = settings.presence_threshold
        regions = expected.regions[:MAX_PEOPLE]
        people = self._look(rgb, camera, regions, _HYSTERESIS * threshold)
        if boxes is not None:
            regions = self._regions_in(boxes.inside, camera, people)
            new = self._look(rgb, camera, _select_largest(regions, people), threshold)
            self._judge_boxes(boxes, len(regions), people, new)
            people = _join(people, new)
            if self.has_box_held or self.empty_boxes < _SEARCH_INTERVAL:
                return people
        if not self._must_detect(len(people), expected, settings.detector_interval):
            return people
        regions = _select_largest(self._detect(rgb, people), people)
        return _join(people, self._look(rgb, camera, regions, threshold))

    def _look(
        self, rgb: Image, camera: Camera, regions: list[Region], min_score: float
    ) -> list[Observation]:
        """Observe the different people in some regions."""
        with self._timer.measure('landmarks'):
            found = self._estimator.observe(rgb, regions, camera, min_score)
            return _distinct([person for person in found if person.shows_trunk])

    def _judge_boxes(
        self, boxes: Boxes, unmatched: int, people: list[Observation], new: list[Observation]
    ) -> None:
        """Note whether boxes of another detector hold people.

        A box holds a person that is tracked already; of others it is not known before the next
        frame, as a few regions without a person score high.

        Parameters
        ----------
        boxes : Boxes
            The boxes.
        unmatched : int
            Number of them that are none of the tracked people.
        people, new : list of Observation
            The tracked people, and what the unmatched boxes hold.
        """
        is_held = unmatched < len(boxes.inside) or any(
            _is_same(person, other) for person in people for other in new
        )
        self.has_box_held |= is_held
        if is_held:
            self.empty_boxes = 0
        elif boxes.given and not new:
            self.empty_boxes += 1

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


def clip_boxes(boxes: ArrayLike, camera: Camera) -> Boxes:
    """Return boxes (N, 4) in pixels, clipped to the image.

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
        return Boxes(np.zeros((0, 4)), 0)
    if checked.ndim != 2 or checked.shape[1] != 4 or not np.isfinite(checked).all():
        raise ValueError(f'boxes must be (N, 4) finite numbers, pixels, not {cut_repr(boxes)}')
    cut = np.clip(checked, 0, np.tile([camera.width, camera.height], 2))
    return Boxes(cut[(cut[:, :2] < cut[:, 2:]).all(axis=1)], len(checked))


def _distinct(people: Sequence[Observation]) -> list[Observation]:
    """Leave out people seen twice: regions of two people may end up on one of them."""
    found: list[Observation] = []
    for person in sorted(people, key=lambda person: -person.score):
        if not any(_is_same(person, other) for other in found):
            found.append(person)
    return found


def _is_same(first: Observation, second: Observation) -> bool:
    return same_person(first.keypoints, first.box, second.keypoints, second.box)


def _join(people: list[Observation], new: list[Observation]) -> list[Observation]:
    """Return tracked and new people, each once: the MAX_PEOPLE nearest of them."""
    return _select_nearest(_distinct(people + new), people)


def _select_largest(regions: Sequence[Region], people: Sequence[Observation]) -> list[Region]:
    """Return the regions to look at for new people: those that may be among the MAX_PEOPLE nearest.

    Distances are not known before; the nearer a person, the larger the region.
    """
    free = MAX_PEOPLE - len(people)
    if len(regions) <= free:
        return list(regions)
    largest = sorted(regions, key=lambda region: -region.size)[:MAX_PEOPLE]
    known = sorted(person.next_region.size for person in people)
    # Beyond the free places, each has to be larger than the next smallest of the tracked people.
    rivals = zip(largest[free:], known, strict=False)
    return largest[:free] + [region for region, size in rivals if size < _NEARER * region.size]


def _select_nearest(found: list[Observation], tracked: Sequence[Observation]) -> list[Observation]:
    """Return the MAX_PEOPLE nearest people, in their order; tracked ones stay in case of doubt."""
    if len(found) <= MAX_PEOPLE:
        return found

    def distance(person: Observation) -> float:
        try:
            return float(person.hips[2]) * (_NEARER if _contains(tracked, person) else 1.0)
        except ImpossiblePoseError:
            return np.inf

    nearest = sorted(found, key=distance)[:MAX_PEOPLE]
    return [person for person in found if _contains(nearest, person)]


def _contains(people: Sequence[Observation], person: Observation) -> bool:
    """Return whether an observation is one of these; equality of arrays is of no use here."""
    return any(person is other for other in people)
