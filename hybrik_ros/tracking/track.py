"""One person over time: where the person was seen, and the memory of the pose."""

from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.body.proportions import Proportions
from hybrik_ros.camera import Region
from hybrik_ros.perception.agreement import Agreement
from hybrik_ros.perception.appearance import NOT_SEEN
from hybrik_ros.perception.estimator import Observation
from hybrik_ros.perception.observer import MIN_SUPPORT, SURE_SUPPORT, Expected
from hybrik_ros.skeleton import NUM_JOINTS
from hybrik_ros.smoothing import FilterState
from hybrik_ros.tracking.shape import ShapeEstimate

GLANCE_SECONDS = 0.25  # maximum duration for which a person may be missed by chance
MEMORY_SECONDS = 0.5  # maximum age of a pose that says something of the present one

_REGION_SECONDS = 0.1  # time constant of the region of an occluded person
# Share of its support, and of the belief in a joint, that a track keeps where the detector looks
# and does not see the person, or the joint: not every size shows all of them.
_KEPT_SUPPORT = 0.75
# Time in seconds in which a track loses half of its best support: the person may have left where
# something else looks like one.
_SURE_HALF_LIFE = 0.3
_CLOTHES_SECONDS = 1.0  # time constant of the mean colours of clothes


class State(Enum):
    """The state of a track."""

    TENTATIVE = 'tentative'
    TRACKED = 'tracked'
    LOST = 'lost'


@dataclass(frozen=True, eq=False)
class Sighting:
    """A person in a frame, before it is known which person it is.

    Attributes
    ----------
    position : ndarray
        Point (3) between the hips in metres, optical frame.
    box : ndarray
        Box (4): x_min, y_min, x_max, y_max in pixels.
    keypoints : ndarray
        Keypoints (17, 3) in COCO's order: u and v in pixels, and confidence in [0, 1].
    pixels_per_metre : float
        Scale of the image at that distance.
    clothes : ndarray
        Colours (2, 3) of shirt and trousers, as of perception.appearance.
    agreement : Agreement or None
        How well the detector agrees; None where it did not look.
    """

    position: Array
    box: Array
    keypoints: Array
    pixels_per_metre: float
    clothes: Array = field(default_factory=NOT_SEEN.copy)
    agreement: Agreement | None = None


@dataclass(frozen=True, eq=False)
class FilterStates:
    """The states of the filters of one person; None before the first frame.

    Attributes
    ----------
    rotations : FilterState or None
        Of the parent-relative rotations (24, 3, 3).
    depths : FilterState or None
        Of the landmarks' depths (N, 1) in metres.
    bearing : FilterState or None
        Of the pelvis' direction (2), x / z and y / z.
    distance : FilterState or None
        Of the logarithm (1) of the pelvis' distance in metres.
    velocity : FilterState or None
        Of the pelvis' velocity (3) in metres per second.
    """

    rotations: FilterState | None = None
    depths: FilterState | None = None
    bearing: FilterState | None = None
    distance: FilterState | None = None
    velocity: FilterState | None = None


@dataclass(frozen=True, eq=False)
class Memory:
    """What is remembered of a person's pose from frame to frame. Never changed.

    Attributes
    ----------
    shape : ShapeEstimate
        The person's shape.
    proportions : Proportions
        The proportions of that shape.
    filters : FilterStates
        The states of the filters.
    rotations : ndarray or None
        The last solved rotations (24, 3, 3), not smoothed.
    observation : Observation or None
        The last observation, with its sides as they were taken.
    same_seconds, exchanged_seconds : float
        How long the sides have been as before, and how long they have seemed exchanged.
    distance_ratio : float
        Measured over apparent distance, by the last depth image that showed the person.
    has_distance : bool
        Whether a depth image ever showed the person.
    position : ndarray or None
        The last position (3) of the pelvis in metres.
    """

    shape: ShapeEstimate
    proportions: Proportions
    filters: FilterStates = field(default_factory=FilterStates)
    rotations: Array | None = None
    observation: Observation | None = None
    same_seconds: float = 0.0
    exchanged_seconds: float = 0.0
    distance_ratio: float = 1.0
    has_distance: bool = False
    position: Array | None = None


@dataclass(eq=False)
class Track:
    """A tracked person, from the first frame on. Only `remember` changes what is known.

    Attributes
    ----------
    id : str
        Short, starts with a letter, never used again.
    first, last : float
        Stamps in seconds of the first and the last frame that showed the person.
    sighting : Sighting
        The last sighting.
    clothes : ndarray
        Mean colours (2, 3) of the clothes.
    is_occluded : bool
        Whether the last sighting overlaps another person.
    region : Region
        Where to look for the person in the next frame.
    memory : Memory
        The memory of the pose.
    state : State
        Where in its life the track is.
    support : float
        How well the detector has agreed lately, in [0, 1].
    best_support : float
        How well it agreed at best lately.
    belief : ndarray
        How far each joint (24) could be believed lately, by the detector, in [0, 1].
    """

    id: str
    first: float
    last: float
    sighting: Sighting
    clothes: Array
    is_occluded: bool
    region: Region
    memory: Memory
    state: State = State.TENTATIVE
    support: float = 1.0
    best_support: float = 1.0
    belief: Array = field(default_factory=lambda: np.ones(NUM_JOINTS))

    @classmethod
    def start(
        cls, id: str, sighting: Sighting, region: Region, memory: Memory, is_occluded: bool,
        stamp: float,
    ) -> 'Track':  # fmt: skip
        """Return the track of a person seen for the first time.

        Parameters
        ----------
        id : str
            Id of the track.
        sighting : Sighting
            Where the person is.
        region : Region
            Where the estimator expects the person in the next frame.
        memory : Memory
            The memory that `pose` returned.
        is_occluded : bool
            Whether another person overlaps this one. Then the clothes are not learnt.
        stamp : float
            Time of the frame in seconds.

        Returns
        -------
        Track
            The track, tentative.
        """
        clothes = NOT_SEEN if is_occluded else sighting.clothes
        track = cls(id, stamp, stamp, sighting, clothes, is_occluded, region, memory)
        if sighting.agreement is not None:
            track.support = track.best_support = sighting.agreement.support
            if sighting.agreement.belief is not None:
                track.belief = sighting.agreement.belief
        return track

    @property
    def is_supported(self) -> bool:
        """Whether the detector has seen the person lately."""
        return self.support >= MIN_SUPPORT

    @property
    def is_sure(self) -> bool:
        """Whether the detector was sure of the person lately."""
        return self.best_support >= SURE_SUPPORT

    @property
    def expected(self) -> Expected:
        """Where the person is expected in the next frame."""
        return Expected(self.region, self.sighting.keypoints, self.support)

    def elapsed(self, stamp: float) -> float:
        """Return the seconds since the person was last seen."""
        return stamp - self.last

    def predict_position(self, stamp: float) -> Array:
        """Return where the person should appear at this time, without depth: (3) in metres."""
        assert self.memory.position is not None
        return self.memory.position / self.memory.distance_ratio + self._predict_motion(stamp)

    def predict_box(self, stamp: float) -> Array:
        """Return the box (4) that the person should fill at this time, in pixels."""
        shift = self.sighting.pixels_per_metre * self._predict_motion(stamp)[:2]
        return self.sighting.box + np.tile(shift, 2)

    def remember(
        self, sighting: Sighting, region: Region, memory: Memory, is_occluded: bool, stamp: float
    ) -> None:
        """Update the track with all that a frame shows of the person.

        Parameters
        ----------
        sighting : Sighting
            Where the person is.
        region : Region
            Where the estimator expects the person in the next frame.
        memory : Memory
            The memory that `pose` returned.
        is_occluded : bool
            Whether another person overlaps this one. Then the clothes are not learnt, and the
            region follows slowly: landmarks may jump to the other person.
        stamp : float
            Time in seconds.
        """
        elapsed = self.elapsed(stamp)
        if not is_occluded:
            self.clothes = _mix_clothes(self.clothes, sighting.clothes, elapsed)
        self.region = _follow(self.region, region, elapsed) if is_occluded else region
        self.sighting, self.is_occluded, self.memory = sighting, is_occluded, memory
        if sighting.agreement is not None:
            self._remember_agreement(sighting.agreement, elapsed)
        self.last = stamp

    def _remember_agreement(self, agreement: Agreement, elapsed: float) -> None:
        self.support = max(agreement.support, _KEPT_SUPPORT * self.support)
        kept = 0.5 ** (max(elapsed, 0.0) / _SURE_HALF_LIFE)
        self.best_support = max(agreement.support, kept * self.best_support)
        if agreement.belief is not None:
            self.belief = np.maximum(agreement.belief, _KEPT_SUPPORT * self.belief)

    def _predict_motion(self, stamp: float) -> Array:
        state = self.memory.filters.velocity
        velocity = np.zeros(3) if state is None else state.value
        return velocity / self.memory.distance_ratio * min(self.elapsed(stamp), MEMORY_SECONDS)


def _mix_clothes(known: Array, seen: Array, elapsed: float) -> Array:
    """Return the mean colours (2, 3) of clothes after a sighting; NaN is unknown."""
    share = -np.expm1(-max(elapsed, 0.0) / _CLOTHES_SECONDS)
    before = np.where(np.isfinite(known), known, seen)
    after = np.where(np.isfinite(seen), seen, before)
    return before + share * (after - before)


def _follow(last: Region, region: Region, elapsed: float) -> Region:
    """Return a region on the way from the last one to another."""
    share = -np.expm1(-max(elapsed, 0.0) / _REGION_SECONDS)
    return replace(
        region,
        centre=last.centre + share * (region.centre - last.centre),
        size=last.size * (region.size / last.size) ** share,
    )
