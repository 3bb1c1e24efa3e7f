"""Observes the people in an image: tracked ones where they are expected, new ones by detection."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import NamedTuple

from hybrik_ros.arrays import Array, Image
from hybrik_ros.camera import Camera, Region
from hybrik_ros.perception.agreement import SURE_SCORE, Agreement, compare
from hybrik_ros.perception.detector import (
    CROWD,
    Detection,
    PersonDetector,
    halves,
    same_box,
)
from hybrik_ros.perception.estimator import Estimator, Observation
from hybrik_ros.perception.frame import Boxes
from hybrik_ros.perception.heads import find_head, heads_of_others
from hybrik_ros.perception.looks import NEVER, Situation, choose_looks
from hybrik_ros.perception.selection import (
    SAME_TRACKED,
    Trial,
    distinct,
    group_by_person,
    is_among,
    select_largest,
    select_nearest,
)
from hybrik_ros.settings import Settings
from hybrik_ros.timing import StageTimer

# Hysteresis: keep a supported person while the score exceeds this fraction of presence_threshold.
_HYSTERESIS = 0.4
# Minimum support of a tracked person whose low score is enough.
MIN_SUPPORT = 0.5
# Minimum support of a person that the detector is sure of. Others take no place of tracked people.
SURE_SUPPORT = 0.7
# Minimum confidence of a face, and score of a detected one, that shows where a head is, and maximum
# age in seconds of the place.
_MIN_HEAD_CONFIDENCE, _MIN_HEAD_SCORE = 0.5, 0.25
_MAX_HEAD_SECONDS = 0.25
# Frames with boxes of another detector, none of which ever held a person, after which the own
# detector runs.
_MAX_EMPTY_BOXES = 5
# Maximum distance of a detection's keypoints from the landmarks found there, in lengths of the
# trunk, and the sizes of the regions that are tried, relative to that of the detection.
_MAX_DISAGREEMENT = 0.2
_REGION_SCALES = (1.0, 0.8)
_MAX_TRIALS = 3  # detections of one person whose regions are tried


class Expected(NamedTuple):
    """Where a tracked person is expected in a frame.

    Attributes
    ----------
    region : Region
        Region to observe.
    keypoints : ndarray
        The last keypoints (17, 3) in COCO's order: u and v in pixels, and confidence in [0, 1].
    support : float
        How well the detector has agreed lately, in [0, 1].
    """

    region: Region
    keypoints: Array
    support: float


class Expectation(NamedTuple):
    """What the tracks say of a frame before it is looked at.

    Attributes
    ----------
    people : list of Expected
        Where tracked people are expected.
    followed : int
        Number of people seen in the last frame.
    is_searching : bool
        Whether a track is lost, or a person is in doubt.
    stamp : float
        Time of the frame in seconds.
    elapsed : float
        Seconds since the last frame; infinite for the first.
    """

    people: list[Expected]
    followed: int
    is_searching: bool
    stamp: float
    elapsed: float


class Found(NamedTuple):
    """A person in a frame, and what the detector says of it.

    Attributes
    ----------
    observation : Observation
        The person.
    agreement : Agreement or None
        How well the detector agrees; None where it did not look.
    """

    observation: Observation
    agreement: Agreement | None = None

    @property
    def is_sure(self) -> bool:
        """Whether a new person may take the place of another one."""
        return self.agreement is None or self.agreement.support >= SURE_SUPPORT

    @property
    def keypoints(self) -> Array:
        """COCO's keypoints (17, 3): u and v in pixels, and confidence in [0, 1]."""
        return self.observation.keypoints


@dataclass
class ObserverState:
    """What an observer knows from earlier frames.

    Attributes
    ----------
    last_look : float
        Stamp in seconds of the last frame that the detector looked at.
    empty_boxes : int
        Number of frames with boxes of another detector since one of them held a person.
    has_box_held : bool
        Whether a box of another detector ever held a tracked person.
    """

    last_look: float = NEVER
    empty_boxes: int = 0
    has_box_held: bool = False


class Observer:
    """Runs the pose estimator on every frame, and the detector on some.

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
    state : ObserverState
        What is known from earlier frames.
    has_left_out : bool
        Whether the last frame showed more people than settings.max_people. Boxes of another
        detector count as people.
    """

    def __init__(self, detector: PersonDetector, estimator: Estimator, timer: StageTimer) -> None:
        self._detector = detector
        self._estimator = estimator
        self._timer = timer
        self.reset()

    def reset(self) -> None:
        """Begin anew: look at the next frame, and judge the boxes of another detector anew."""
        self.state = ObserverState()
        self.has_left_out = False

    def observe(
        self,
        rgb: Image,
        camera: Camera,
        expected: Expectation,
        boxes: Boxes | None,
        settings: Settings,
    ) -> list[Found]:
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
        list of Found
            Different people, at most settings.max_people: the nearest ones.
        """
        threshold = settings.presence_threshold
        self.has_left_out = False
        people = self._follow(rgb, camera, expected, settings)
        if boxes is not None:
            people = self._look_in_boxes(rgb, camera, people, boxes, settings)
            if self.state.has_box_held or self.state.empty_boxes < _MAX_EMPTY_BOXES:
                return people
        if any(person.observation.score < threshold for person in people):
            expected = expected._replace(is_searching=True)
        sizes = self._choose_looks(expected, len(people), settings.detector_interval)
        if not sizes:
            return people
        looks = self._detect(rgb, sizes, len(people) >= settings.max_people)
        new = self._find_new(rgb, camera, looks, people, settings)
        rated = [person._replace(agreement=compare(looks, person.keypoints)) for person in people]
        return self._select(rated, new, settings.max_people)

    def _follow(
        self, rgb: Image, camera: Camera, expected: Expectation, settings: Settings
    ) -> list[Found]:
        """Observe the tracked people where they are expected, best first."""
        threshold = settings.presence_threshold
        expectations = expected.people[: settings.max_people]
        regions = [expectation.region for expectation in expectations]
        if expected.elapsed < _MAX_HEAD_SECONDS:
            heads = [find_head(person.keypoints, _MIN_HEAD_CONFIDENCE) for person in expectations]
            support = [person.support for person in expectations]
            regions = _cover(regions, heads_of_others(heads, support))
        observed = self._observe(rgb, regions, camera, _HYSTERESIS * threshold)
        kept = [
            Found(person)
            for person, expectation in zip(observed, expectations, strict=True)
            if person and (expectation.support >= MIN_SUPPORT or person.score >= threshold)
        ]
        return distinct(sorted(kept, key=lambda person: -person.observation.score), SAME_TRACKED)

    def _look_in_boxes(
        self, rgb: Image, camera: Camera, people: list[Found], boxes: Boxes, settings: Settings
    ) -> list[Found]:
        """Return the tracked people, and those that another detector found."""
        regions = self._regions_in(boxes.inside, camera, people)
        chosen = self._choose(regions, [True] * len(regions), people, settings.max_people)
        observed = self._observe(
            rgb, [regions[i] for i in chosen], camera, settings.presence_threshold
        )
        new = sorted(filter(None, observed), key=lambda person: -person.score)
        self._judge_boxes(boxes, len(regions), people, new)
        return self._select(people, [Found(person) for person in new], settings.max_people)

    def _observe(
        self, rgb: Image, regions: Sequence[Region], camera: Camera, min_score: float
    ) -> list[Observation | None]:
        """Observe the person in each region; None where there is none with a visible trunk."""
        with self._timer.measure('landmarks'):
            found = self._estimator.observe(rgb, regions, camera, min_score)
        return [person if person and person.shows_trunk else None for person in found]

    def _judge_boxes(
        self, boxes: Boxes, unmatched: int, people: list[Found], new: list[Observation]
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
        people : list of Found
            The tracked people.
        new : list of Observation
            What the unmatched boxes hold.
        """
        is_held = unmatched < len(boxes.inside) or any(
            is_among(person.keypoints, new) for person in people
        )
        self.state.has_box_held |= is_held
        if is_held:
            self.state.empty_boxes = 0
        elif boxes.given and not new:
            self.state.empty_boxes += 1

    def _choose_looks(self, expected: Expectation, seen: int, interval: float) -> Sequence[int]:
        """Return the sizes at which the detector looks at this frame, and note a look."""
        now = Situation(
            expected.stamp, expected.elapsed, expected.followed, seen, expected.is_searching
        )
        sizes = choose_looks(now, self.state.last_look, interval, self._detector.sizes)
        if sizes:
            self.state.last_look = expected.stamp
        return sizes

    def _detect(self, rgb: Image, sizes: Sequence[int], is_full: bool) -> list[list[Detection]]:
        """Return the people that the detector finds at each size, and in parts of a crowd.

        The parts are left out where as many people are tracked as can be.
        """
        with self._timer.measure('detect'):
            looks = [self._detector(rgb, size) for size in sizes]
            if not is_full and max(map(len, looks)) >= CROWD:
                parts = halves(rgb.shape[1], rgb.shape[0])
                looks += [self._detector(rgb, size, part) for size in sizes for part in parts]
        return looks

    def _find_new(
        self,
        rgb: Image,
        camera: Camera,
        looks: Sequence[Sequence[Detection]],
        people: Sequence[Found],
        settings: Settings,
    ) -> list[Found]:
        """Observe the people that the detector found and that are none of the tracked ones.

        Where people overlap, the landmarks in a region may be another person's, or of two people at
        once. Then they disagree with the detection, and the region of another detection of the
        person, or a smaller one, may show the right person.

        Parameters
        ----------
        rgb, camera : ndarray, Camera
            The image and its camera.
        looks : sequence of sequence of Detection
            The people that the detector found at each size.
        people : sequence of Found
            The tracked people.
        settings : Settings
            Thresholds.
        """
        trials = [trial for look in looks for trial in self._regions_of(look)]
        groups = group_by_person(trials, people)
        regions = [group[0].region for group in groups]
        are_sure = [group[0].detection.score >= SURE_SCORE for group in groups]
        groups = [groups[i] for i in self._choose(regions, are_sure, people, settings.max_people)]
        found: list[Observation] = []
        for scale in _REGION_SCALES:
            trials = [trial for group in groups for trial in group[:_MAX_TRIALS]]
            regions = [replace(region, size=scale * region.size) for _, region in trials]
            observed = self._observe(rgb, regions, camera, settings.presence_threshold)
            agreeing = _agreeing([detection for detection, _ in trials], observed)
            found += [each for each in distinct(agreeing) if not is_among(each.keypoints, found)]
            groups = [g for g in groups if not is_among(g[0].detection.keypoints, found)]
        return [Found(person, compare(looks, person.keypoints)) for person in found]

    def _choose(
        self,
        regions: Sequence[Region],
        are_sure: Sequence[bool],
        people: Sequence[Found],
        max_people: int,
    ) -> list[int]:
        """Return which regions may show one of the nearest people; note whether others are left."""
        tracked = [person.observation for person in people]
        chosen = select_largest(regions, are_sure, tracked, max_people)
        self.has_left_out |= any(sure and i not in chosen for i, sure in enumerate(are_sure))
        return chosen

    def _select(self, people: list[Found], new: list[Found], max_people: int) -> list[Found]:
        """Return the nearest of tracked and new people; note whether others are left out."""
        others = [person for person in distinct(new) if not is_among(person.keypoints, people)]
        every = people + others
        observations = [person.observation for person in every]
        are_sure = [True] * len(people) + [person.is_sure for person in others]
        kept = select_nearest(observations, len(people), are_sure, max_people)
        self.has_left_out |= any(sure and i not in kept for i, sure in enumerate(are_sure))
        return [every[i] for i in kept]

    def _regions_of(self, look: Sequence[Detection]) -> list[Trial]:
        """Return the detections at one size with their regions, the heads of others covered."""
        heads = [find_head(detection.keypoints, _MIN_HEAD_SCORE) for detection in look]
        regions = [self._estimator.region_of(detection) for detection in look]
        covered = heads_of_others(heads, [0.0] * len(look))  # All are as likely to own a head.
        return [Trial(*pair) for pair in zip(look, _cover(regions, covered), strict=True)]

    def _regions_in(self, boxes: Array, camera: Camera, people: Sequence[Found]) -> list[Region]:
        """Return the regions of another detector's boxes (N, 4) that are none of these people."""
        return [
            self._estimator.region_around(box, camera)
            for box in boxes
            if not any(same_box(box, person.observation.box) for person in people)
        ]


def _agreeing(
    detections: Sequence[Detection], observed: Sequence[Observation | None]
) -> list[Observation]:
    """Return the people that agree with the detections they were looked for by, the best first."""
    pairs = zip(detections, observed, strict=True)
    rated = [(one.distance(person.keypoints), person) for one, person in pairs if person]
    good = [pair for pair in rated if pair[0] <= _MAX_DISAGREEMENT]
    return [person for _, person in sorted(good, key=itemgetter(0))]


def _cover(regions: Sequence[Region], covered: Sequence[Array]) -> list[Region]:
    """Return regions with discs (N, 3) covered in each."""
    pairs = zip(regions, covered, strict=True)
    return [replace(region, covered=discs) if len(discs) else region for region, discs in pairs]
