"""Which camera disagrees with the others, and why: wrong extrinsics, a wrong clock, wrong people.

What a camera sees is compared with the landmarks by all other cameras. If its calibration is right
it misses them by 17 to 24 mm, in all directions. Off in one direction for long, its extrinsics are
wrong; off in the direction of motion, its clock is.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.fusion.view import Sight

_T = TypeVar('_T', bound=tuple[Any, ...])

SECONDS = 2.0  # over which a camera is judged
_MIN_SECONDS = 1.0  # of comparisons before a camera is judged
# Maximum length in metres of the mean offset of a camera whose extrinsics are right, and seconds of
# a clock's error that is reported.
MAX_OFFSET, MAX_DELAY = 0.025, 0.03
# Minimum share of a camera's people that are those of other cameras.
_MIN_MATCHED = 0.3
_MIN_CONFIDENCE = 0.5  # of a landmark that is compared
# Minimum speed in metres per second of landmarks that tell a clock.
_MIN_SPEED = 0.3


class Comparison(NamedTuple):
    """What one camera sees of a person, against all others.

    Attributes
    ----------
    offset : ndarray
        Median offset (2) of its landmarks in metres, along x and y of its optical frame.
    distance : float
        Median distance in metres.
    along, square : float
        Sum of offsets times velocities, and of squared velocities, parallel to the image.
    """

    offset: Array
    distance: float
    along: float
    square: float


class CameraHealth(NamedTuple):
    """How well a camera agrees with the others.

    Attributes
    ----------
    distance : float
        Median distance in metres of its landmarks from the others'; NaN if unknown.
    offset : ndarray
        Mean offset (2) in metres along x and y of its optical frame; NaN if unknown.
    delay : float
        Seconds by which its images are older than their stamps say; NaN if unknown.
    matched : float
        Share of its people that other cameras see too; NaN if unknown.
    """

    distance: float
    offset: Array
    delay: float
    matched: float

    @property
    def has_wrong_pose(self) -> bool:
        """Whether it is off in one direction."""
        return bool(np.linalg.norm(self.offset) > MAX_OFFSET)

    @property
    def has_wrong_clock(self) -> bool:
        """Whether it is off in the direction of motion, and in no other."""
        return not self.has_wrong_pose and abs(self.delay) > MAX_DELAY

    @property
    def has_other_people(self) -> bool:
        """Whether other cameras do not see its people."""
        return self.matched < _MIN_MATCHED


@dataclass
class HealthMonitor:
    """Collects what cameras see over the last two seconds. Bounded in time and people."""

    _comparisons: dict[str, deque[tuple[float, str, Comparison]]] = field(default_factory=dict)
    _people: dict[str, deque[tuple[float, int, int]]] = field(default_factory=dict)

    def add(self, camera: str, person: str, stamp: float, comparison: Comparison) -> None:
        """Add a comparison of what a camera sees of a person."""
        _append(self._comparisons.setdefault(camera, deque()), (stamp, person, comparison))

    def count(self, camera: str, stamp: float, people: int, matched: int) -> None:
        """Add how many people a camera sees, and how many of them others see too."""
        _append(self._people.setdefault(camera, deque()), (stamp, people, matched))

    def report(self) -> dict[str, CameraHealth]:
        """Return the health of each camera."""
        return {name: self._judge(name) for name in sorted({*self._comparisons, *self._people})}

    def _judge(self, camera: str) -> CameraHealth:
        counts = self._people.get(camera, deque())
        seen = sum(people for _, people, _ in counts)
        matched = sum(both for _, _, both in counts) / seen if seen else np.nan
        by_person: dict[str, list[tuple[float, Comparison]]] = {}
        for stamp, person, comparison in self._comparisons.get(camera, ()):
            by_person.setdefault(person, []).append((stamp, comparison))
        judged = [
            _summarise([comparison for _, comparison in known], matched)
            for known in by_person.values()
            if known[-1][0] - known[0][0] >= _MIN_SECONDS
        ]
        # Wrong extrinsics or clocks show in all people; the network may err with one of them.
        unknown = CameraHealth(np.nan, np.full(2, np.nan), np.nan, matched)
        return min(judged, key=lambda health: health.distance, default=unknown)


def _summarise(found: Sequence[Comparison], matched: float) -> CameraHealth:
    square = sum(each.square for each in found)
    return CameraHealth(
        distance=float(np.median([each.distance for each in found])),
        offset=np.mean([each.offset for each in found], axis=0),
        delay=sum(each.along for each in found) / square if square > 0 else np.nan,
        matched=matched,
    )


def compare(sight: Sight, points: Array, motion: Array, limbs: Sequence[int]) -> Comparison | None:
    """Return what a camera sees of a person against all others; None if it sees too little.

    Parameters
    ----------
    sight : Sight
        What the camera sees.
    points : ndarray
        Landmarks (N, 3) in metres by all other cameras, fixed frame.
    motion : ndarray
        Velocities (N, 3) of the landmarks in metres per second.
    limbs : sequence of int
        The landmarks to compare.
    """
    seen = [n for n in limbs if sight.landmark_confidence[n] > _MIN_CONFIDENCE]
    if len(seen) < 4:
        return None
    inside = (points[seen] - sight.centre) @ sight.rotation.T
    rays = sight.rays[seen] @ sight.rotation.T
    offsets = rays[:, :2] / rays[:, 2:] * inside[:, 2:] - inside[:, :2]
    speeds = (motion[seen] @ sight.rotation.T)[:, :2]
    fast = np.linalg.norm(speeds, axis=1) > _MIN_SPEED
    return Comparison(
        offset=np.median(offsets, axis=0),
        distance=float(np.median(np.linalg.norm(offsets, axis=1))),
        # A camera that is late shows people where they were.
        along=-float(np.sum(offsets[fast] * speeds[fast])),
        square=float(np.sum(speeds[fast] ** 2)),
    )


def _append(known: deque[_T], item: _T) -> None:
    """Append an item that begins with its stamp; forget those that are too old."""
    stamp = item[0]
    if known and stamp < known[-1][0]:
        known.clear()
    known.append(item)
    while stamp - known[0][0] > SECONDS:
        known.popleft()
