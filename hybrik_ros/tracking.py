"""Who is who over time, and what is known of each: identity, shape, motion.

A person who is seen becomes a track: tentative until seen for long enough to be no mistake, then
tracked. Not seen any more, the track is lost, and found again if somebody turns up where it would
be by then; after a while it is forgotten.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hybrik_ros.body import BodyModel, fit_betas
from hybrik_ros.camera import Region, overlaps
from hybrik_ros.perception.appearance import NOT_SEEN, dissimilarity
from hybrik_ros.perception.landmarks import Proportions
from hybrik_ros.skeleton import MIRROR
from hybrik_ros.smoothing import PoseFilter, VectorFilter

Array = NDArray[np.float64]

# What no number of frames averages away: the network misjudges a limb the same way each time.
_LENGTH_BIAS = 0.015  # metres
# A length is known when what noise leaves in its mean is so much smaller than that.
_CERTAIN = 0.5 * _LENGTH_BIAS
_MORE = 1.05  # times what is known already is worth another fit
# Where a network tells the betas, their mean over so many frames is certain.
_ENOUGH = 30
_REGION_SECONDS = 0.1  # time constant with which a region follows in a crowd
_SHAPE_SECONDS = 0.5  # in which the betas get to what is known
_CLOTHES_SECONDS = 1.0  # time constant with which what somebody wears is learnt

_VELOCITY_CUTOFF, _VELOCITY_SLOPE = 0.6, 0.1  # hertz; hertz for each m/s²
_GLANCE_SECONDS = 0.25  # for which somebody who is lost may have been missed by chance
_MEMORY_SECONDS = 0.5  # after which a pose says nothing of the present one
_SLOWEST = 2.0  # seconds between two frames after which nobody is known any more
_INSISTENCE = 0.5  # seconds for which sides that seem exchanged are taken for a mistake
_SETTLED = 0.15  # seconds for which they must have been the same before
# By so much, metres, the joints of who turns round change place at least; by so much, metres per
# second, at most.
_TURNED, _TURNING = 0.1, 3.0
_FAR_NEARER = 0.5  # times that, where the sides are only exchanged

# How far from where they should be somebody may turn up: what depth may be wrong by, and what
# they may have walked meanwhile. Farther away it is somebody else.
_REACH = 0.7  # metres
_SPEED = 1.5  # metres per second
_SHARPNESS = np.array([1.0, 1.0, 0.5])  # Depth is seen worst.
# Boxes that share more than this are of people who stand in each other's way.
_CROWDED = 0.02
# The cost of what must not be assigned: no pair that may be is as bad. Were it more, a good pair
# would be torn apart to find somebody, no matter whom, for everybody.
_NEVER = 3.0
# How unlike the clothes of who was lost may be when they are found again, in [0, 1].
_STRANGE = 0.85


class Shape:
    """The shape of one body, from bone lengths averaged over all frames so far.

    A length that is known is measured no more. So the shape of who is seen whole is frozen after
    some ninety frames, from then on the same to the bit, and that of who is seen in half rests
    until the other half comes into view.

    Parameters
    ----------
    body: whose betas are wanted.
    pairs: N pairs of joints whose distances are measured.
    sigmas: (N), metres, the standard deviation of a single, fully seen measurement.

    Attributes
    ----------
    betas: (num_betas), which go smoothly to the most probable ones; zero before the first
        measurement.
    """

    def __init__(self, body: BodyModel, pairs: Sequence[tuple[int, int]], sigmas: Array) -> None:
        self.betas = np.zeros(body.num_betas)
        self._body = body
        self._pairs = pairs
        self._sigmas = sigmas
        self._weight = np.zeros(len(pairs))
        self._sum = np.zeros(len(pairs))
        self._mirror = _mirror_pairs(pairs)
        self._known = np.zeros(len(pairs), bool)
        self._fitted = self.betas
        self._fitted_weight = 0.0
        self._left = 0.0
        self._told = 0.0

    @property
    def frozen(self) -> bool:
        """Whether the betas will not change any more."""
        certain = bool(self._known.all()) or self._told >= _ENOUGH
        return certain and self.betas is self._fitted

    def measure(self, lengths: Array, confidence: Array, elapsed: float = np.inf) -> None:
        """Take in the lengths (N), metres, and confidence (N), in [0, 1], of a frame.

        elapsed: seconds since the last one; infinite for the first.
        """
        news = np.where(self._known, 0.0, confidence)
        if news.any():
            self._take_in(lengths, news)
        self._glide(elapsed)

    def believe(self, betas: Array, confidence: float, elapsed: float = np.inf) -> None:
        """Take in the betas (num_betas) themselves, where a network tells them.

        confidence, elapsed: of the frame, in [0, 1], and seconds since the last one.
        """
        if confidence > 0 and self._told < _ENOUGH:
            mean = self._fitted if self._told > 0 else betas
            self._told += confidence
            self._fitted = mean + confidence / self._told * (betas - mean)
            self._left = _SHAPE_SECONDS
        self._glide(elapsed)

    def _glide(self, elapsed: float) -> None:
        """Bring the betas nearer to the most probable ones."""
        if self.betas is self._fitted:
            return
        elapsed = max(elapsed, 0.0)
        if elapsed >= self._left:
            self.betas = self._fitted
        else:
            self.betas = self.betas + elapsed / self._left * (self._fitted - self.betas)
        self._left -= elapsed

    def _take_in(self, lengths: Array, confidence: Array) -> None:
        """Add to what is known, and fit the betas anew where that is worth it."""
        self._weight += confidence
        self._sum += confidence * lengths
        # Bodies are symmetric: the other side tells as well.
        both = self._weight + np.where(self._mirror >= 0, self._weight[self._mirror], 0.0)
        known = self._sigmas <= _CERTAIN * np.sqrt(both)
        more = self._weight.sum() >= _MORE * self._fitted_weight
        if more or (known & ~self._known).any():
            self._fitted_weight = self._weight.sum()
            self._fitted = self._fit()
            self._left = _SHAPE_SECONDS
        self._known = known

    def _fit(self) -> Array:
        """Return the most probable betas by what is known."""
        seen = self._weight > 0
        weight = np.where(seen, self._weight, 1.0)
        sigmas = np.where(seen, np.hypot(self._sigmas / np.sqrt(weight), _LENGTH_BIAS), np.inf)
        return fit_betas(self._body, self._pairs, self._sum / weight, sigmas)


def _mirror_pairs(pairs: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Return for each pair the index of the same one on the body's other side; -1 for none."""
    indices = {frozenset(pair): index for index, pair in enumerate(pairs)}
    others = [indices.get(frozenset(MIRROR[joint] for joint in pair), -1) for pair in pairs]
    return np.array([-1 if other == i else other for i, other in enumerate(others)])


@dataclass(frozen=True, eq=False)
class Sighting:
    """Somebody in a frame, whoever it is.

    Attributes
    ----------
    position: (3), metres, optical frame, between the hips.
    box: (4), x_min, y_min, x_max, y_max, pixels.
    pixels_per_metre: at that distance.
    clothes: (2, 3), their colours, as hybrik_ros.perception.appearance finds them.
    """

    position: Array
    box: Array
    pixels_per_metre: float
    clothes: Array = field(default_factory=NOT_SEEN.copy)


class State(Enum):
    """Where a track is in its life."""

    TENTATIVE = 'tentative'
    TRACKED = 'tracked'
    LOST = 'lost'


class Track:
    """One person, from the frame in which they were found.

    Parameters
    ----------
    id: short, starts with a letter, never used again.
    shape, proportions, pose_filter: of the person.

    Attributes
    ----------
    state: where in its life the track is.
    region: where to look for the person in the next frame.
    sighting: the last one.
    clothes: (2, 3), what the person wears.
    crowded: whether somebody else is, or must be, in the way.
    rotations: (24, 3, 3), the last that were solved; None before.
    distance_ratio: how many times as far away as they seem a depth image last showed the person.
    first, last: seconds, when they were seen first and last.
    """

    def __init__(
        self, id: str, shape: Shape, proportions: Proportions, pose_filter: PoseFilter
    ) -> None:
        self.id = id
        self.shape = shape
        self.proportions = proportions
        self.pose_filter = pose_filter
        self.state = State.TENTATIVE
        self.region = Region(np.zeros(2), 0.0)
        self.sighting = Sighting(np.zeros(3), np.zeros(4), 0.0)
        self.clothes = NOT_SEEN
        self.crowded = False
        self._observation: Any = None
        self._straight_for = self._exchanged_for = 0.0
        self.rotations: Array | None = None
        self.distance_ratio = 1.0
        self._distance_told = False
        self.first = self.last = -np.inf
        self._position: Array | None = None
        self._velocity = np.zeros(3)
        self._velocity_filter = VectorFilter(_VELOCITY_CUTOFF, _VELOCITY_SLOPE)

    def elapsed(self, stamp: float) -> float:
        """Return the seconds since the person was last seen; infinite before the first time."""
        return stamp - self.last

    def previous(self, stamp: float) -> Array | None:
        """Return the last rotations (24, 3, 3); None where they are too old at this time."""
        return self.rotations if self.elapsed(stamp) < _MEMORY_SECONDS else None

    def predicted(self, stamp: float) -> Array:
        """Return where the person should seem to be at this time, without depth: (3), metres."""
        assert self._position is not None
        return self._position / self.distance_ratio + self._walked(stamp)

    def predicted_box(self, stamp: float) -> Array:
        """Return the box that the person should fill at this time: (4), pixels."""
        shift = self.sighting.pixels_per_metre * self._walked(stamp)[:2]
        return self.sighting.box + np.tile(shift, 2)

    def _walked(self, stamp: float) -> Array:
        velocity = self._velocity / self.distance_ratio
        return velocity * min(self.elapsed(stamp), _MEMORY_SECONDS)

    def see(self, sighting: Sighting, stamp: float, crowded: bool) -> None:
        """Take in where the person is at this time, and what they wear if nobody is in the way."""
        self.sighting, self.crowded = sighting, crowded
        if not crowded:
            share = -np.expm1(-max(self.elapsed(stamp), 0.0) / _CLOTHES_SECONDS)
            worn = np.where(np.isfinite(self.clothes), self.clothes, sighting.clothes)
            seen = np.where(np.isfinite(sighting.clothes), sighting.clothes, worn)
            self.clothes = worn + share * (seen - worn)

    def untangled(self, seen: Any, elapsed: float) -> Any:
        """Return an observation with its sides exchanged if that is how the person was just now.

        Networks take a back for a front now and then, above all of half a body, and left for right.
        Nobody turns round within a frame; but if they insist, for as long as they said otherwise
        before or for half a second, they are right.

        seen: with methods exchanged and away_from, as of hybrik_ros.perception.landmarks.
        elapsed: seconds since the last one.
        """
        last = self._observation
        if last is None or elapsed >= _GLANCE_SECONDS:
            self._straight_for = self._exchanged_for = 0.0
        else:
            away = seen.away_from(last)
            moved = away > max(_TURNED, _TURNING * elapsed)
            exchanged = seen.exchanged() if moved else seen
            if not (moved and exchanged.away_from(last) < _FAR_NEARER * away):
                self._straight_for += elapsed
                self._exchanged_for = 0.0
            elif _SETTLED < self._straight_for > self._exchanged_for < _INSISTENCE:
                self._exchanged_for += elapsed
                seen = exchanged
            else:
                self._straight_for = self._exchanged_for = 0.0
        self._observation = seen
        return seen

    def expect(self, region: Region, elapsed: float) -> None:
        """Take in the region in which to look next, seconds after the last one.

        Where somebody else is in the way, landmarks jump to the other person now and then, and
        the region after them; it stays with its own person if it is steady.
        """
        if self.crowded and np.isfinite(elapsed):
            share = -np.expm1(-max(elapsed, 0.0) / _REGION_SECONDS)
            last = self.region
            region = replace(
                region,
                centre=last.centre + share * (region.centre - last.centre),
                size=last.size * (region.size / last.size) ** share,
            )
        self.region = region

    def tell_distance(self, ratio: float) -> None:
        """Take in how many times as far away as they seem a depth image shows the person.

        The first one tells that they have been so all along: they did not go there.
        """
        if not self._distance_told:
            self._distance_told = True
            self.pose_filter.rescale(ratio)
            if self._position is not None:
                self._position = ratio * self._position
        self.distance_ratio = ratio

    def move(self, position: Array, stamp: float) -> Array:
        """Take in a position (3), metres, at a time in seconds; return the velocity (3), m/s.

        It is smoothed by about a quarter of a second, and zero in the first frame.
        """
        elapsed = self.elapsed(stamp)
        if self._position is None or elapsed >= _SLOWEST:
            self._velocity_filter.reset()
            self._velocity = self._velocity_filter(np.zeros(3), 0.0)
        elif elapsed > 0:
            self._velocity = self._velocity_filter((position - self._position) / elapsed, elapsed)
        self._position, self.last = position.copy(), stamp
        return self._velocity.copy()


class Tracker:
    """Assigns those who are seen to those who are known.

    Parameters
    ----------
    create: makes a track of a new id.
    ids: of new tracks, each of which comes once; p1, p2, ... if not given.

    Parameters and attributes
    -------------------------
    confirm_after: seconds for which somebody must be seen to count.
    forget_after: seconds after which somebody who is not seen any more is forgotten.

    Attributes
    ----------
    tracks: all that are not forgotten.
    """

    def __init__(
        self,
        create: Callable[[str], Track],
        confirm_after: float,
        forget_after: float,
        ids: Iterator[str] | None = None,
    ) -> None:
        self.tracks: list[Track] = []
        self._create = create
        self.confirm_after = confirm_after
        self.forget_after = forget_after
        self._ids = (f'p{number}' for number in count(1)) if ids is None else ids

    @property
    def followed(self) -> list[Track]:
        """The tracks that were seen in the last frame."""
        return [track for track in self.tracks if track.state is not State.LOST]

    def expected(self, stamp: float) -> list[Track]:
        """Return the tracks to be looked for where they were: followed, or lost just now."""
        lost = [track for track in self.tracks if track.state is State.LOST]
        return self.followed + [t for t in lost if t.elapsed(stamp) < _GLANCE_SECONDS]

    @property
    def searching(self) -> bool:
        """Whether somebody is lost, or nobody known."""
        return len(self.followed) < len(self.tracks) or not self.tracks

    def reset(self) -> None:
        """Forget everybody. No id comes back."""
        self.tracks = []

    def update(self, sightings: Sequence[Sighting], stamp: float) -> list[Track]:
        """Return the track of each sighting, in their order, old or new; the others are lost."""
        self.tracks = [track for track in self.tracks if self._remembers(track, stamp)]
        found = self._assigned(sightings, stamp)
        for track in self.tracks:
            if track not in found:
                track.state = State.LOST
        # What was seen for a moment only was nobody.
        self.tracks = [
            track
            for track in self.tracks
            if track in found
            or (track.last - track.first >= self.confirm_after and self._remembers(track, stamp))
        ]
        tracks = [track or self._new(stamp) for track in found]
        for track, sighting, crowded in zip(
            tracks, sightings, self._crowded(sightings, stamp), strict=True
        ):
            track.see(sighting, stamp, crowded)
            confirmed = stamp - track.first >= self.confirm_after
            track.state = State.TRACKED if confirmed else State.TENTATIVE
        return tracks

    def _remembers(self, track: Track, stamp: float) -> bool:
        """Tell whether a track is known at this time, even if its frames come seldom."""
        if track.state is not State.LOST and track.elapsed(stamp) < _SLOWEST:
            return True
        return track.elapsed(stamp) <= self.forget_after

    def _assigned(self, sightings: Sequence[Sighting], stamp: float) -> list[Track | None]:
        """Return the known track of each sighting, None for a stranger."""
        found: list[Track | None] = [None] * len(sightings)
        if not sightings or not self.tracks:
            return found
        places = np.array([sighting.position for sighting in sightings])
        predicted = np.array([track.predicted(stamp) for track in self.tracks])
        reach = np.array([_REACH + _SPEED * track.elapsed(stamp) for track in self.tracks])
        distance = np.linalg.norm((predicted[:, None] - places) * _SHARPNESS, axis=2)
        shared = overlaps(
            np.array([track.predicted_box(stamp) for track in self.tracks]),
            np.array([sighting.box for sighting in sightings]),
        )
        unlikely = dissimilarity(
            np.array([track.clothes for track in self.tracks])[:, None],
            np.array([sighting.clothes for sighting in sightings]),
        )
        cost = np.minimum(distance / _REACH, 1) + 1 - shared + unlikely
        cost[distance > reach[:, None]] = _NEVER
        # Light may change while somebody is missed for a moment.
        lost = np.array(
            [
                track.state is State.LOST and track.elapsed(stamp) > _GLANCE_SECONDS
                for track in self.tracks
            ]
        )
        cost[lost[:, None] & (unlikely > _STRANGE)] = _NEVER
        for row, column in zip(*linear_sum_assignment(cost), strict=True):
            if cost[row, column] < _NEVER:
                found[column] = self.tracks[row]
        return found

    def _crowded(self, sightings: Sequence[Sighting], stamp: float) -> list[bool]:
        """Tell of each sighting whether others overlap it, be they seen or lost just there."""
        if not sightings:
            return []
        boxes = np.array([sighting.box for sighting in sightings])
        lost = [track for track in self.tracks if track.state is State.LOST]
        others = np.array([*boxes, *(track.predicted_box(stamp) for track in lost)])
        shared = overlaps(boxes, others)
        np.fill_diagonal(shared, 0.0)
        return [bool(most > _CROWDED) for most in shared.max(axis=1)]

    def _new(self, stamp: float) -> Track:
        track = self._create(next(self._ids))
        track.first = stamp
        self.tracks.append(track)
        return track
