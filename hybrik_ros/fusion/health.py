"""The health of each camera: its rate, its clock, and whether it agrees with the others.

Several times a second the people in all cameras are compared; each person is a witness of what is
wrong with a camera. Wrong extrinsics and clocks show in all people, errors of a network in one.
"""

from collections import deque
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.fusion.comparing import Comparison, compare, find_clear
from hybrik_ros.fusion.person import Person
from hybrik_ros.fusion.verdicts import judge
from hybrik_ros.fusion.view import Sight

SECONDS = 2.0  # over which a camera is judged
_PERIOD = 0.2  # minimum seconds between two comparisons
_MAX_PEOPLE = 2  # that are compared, so that crowds cost little: those that were longest
_MIN_MATCHED = 0.3  # share of a camera's people that others see too
_MIN_MATCHED_SECONDS = 1.0  # after which that share is known
_MIN_CONFIDENCE = 0.5  # of people that are counted
# Maximum seconds of a correction: what a camera saw earlier is extrapolated by at most 0.1 s.
_MAX_CORRECTION = 0.08


class CameraHealth(NamedTuple):
    """How well a camera agrees with the others over the last two seconds.

    Attributes
    ----------
    rate : float
        Images per second that were fused.
    matched : float
        Share of its people that other cameras see too, while they see people; NaN if unknown.
    distance : float
        Median distance in metres of its limbs from those by the others; NaN if unknown.
    offset : ndarray
        Mean offset (2) of its limbs in metres along x and y of its optical frame; NaN if unknown.
    delay : float
        Seconds by which its images are older than their stamps say; NaN if unknown.
    has_wrong_pose, has_wrong_clock : bool
        Whether wrong extrinsics, or a wrong clock, may explain the distance.
    """

    rate: float
    matched: float
    distance: float = np.nan
    offset: Array = np.full(2, np.nan)
    delay: float = np.nan
    has_wrong_pose: bool = False
    has_wrong_clock: bool = False

    @property
    def has_other_people(self) -> bool:
        """Whether other cameras do not see its people."""
        return self.matched < _MIN_MATCHED


@dataclass
class HealthMonitor:
    """Collects what cameras see over the last two seconds. Bounded in time and people."""

    _images: dict[str, deque[float]] = field(default_factory=dict)
    _counts: dict[str, deque[tuple[float, int, int]]] = field(default_factory=dict)
    _comparisons: dict[str, deque[tuple[float, Comparison]]] = field(default_factory=dict)
    _last: float = -np.inf

    def count_image(self, camera: str, stamp: float) -> None:
        """Count an image of a camera, by its stamp in seconds."""
        known = self._images.setdefault(camera, deque())
        if known and stamp < known[-1]:
            known.clear()
        if not known or stamp > known[-1]:
            known.append(stamp)
        while stamp - known[0] > SECONDS:
            known.popleft()

    def add(
        self, seen: Mapping[str, Sequence[Sight]], people: Sequence[Person], stamp: float
    ) -> None:
        """Compare the cameras, if it is time to.

        Parameters
        ----------
        seen : mapping
            What each camera sees, by its name.
        people : sequence of Person
            The people that were updated with it.
        stamp : float
            The time in seconds.
        """
        if stamp < self._last:
            self.clear()
        if stamp < self._last + _PERIOD:
            return
        self._last = stamp
        self._count_people(seen, people, stamp)
        clear = {id(sight) for sights in seen.values() for sight in find_clear(sights)}
        known = sorted(people, key=lambda person: -len(self._comparisons.get(person.id, ())))
        for person in known[:_MAX_PEOPLE]:
            found = compare([sight for sight in person.sights if id(sight) in clear], person)
            if found is not None:
                self._comparisons.setdefault(person.id, deque()).append((stamp, found))
        _forget(self._comparisons, stamp)
        _forget(self._counts, stamp)

    def clear(self) -> None:
        """Forget all comparisons."""
        self._counts, self._comparisons, self._last = {}, {}, -np.inf

    def report(self) -> dict[str, CameraHealth]:
        """Return the health of each camera, by its name."""
        verdicts = judge(self._comparisons.values())
        return {
            name: CameraHealth(
                self._rate(name), self._matched(name),
                *verdicts.get(name, ()),
            )
            for name in sorted(self._images)
        }  # fmt: skip

    def _count_people(
        self, seen: Mapping[str, Sequence[Sight]], people: Sequence[Person], stamp: float
    ) -> None:
        """Count each camera's people while others see people too, and those of them they see."""
        numbers = {name: _count(sights) for name, sights in seen.items()}
        shared = [sight for person in people if len(person.sights) > 1 for sight in person.sights]
        for name, number in numbers.items():
            if number and sum(numbers.values()) > number:
                matched = _count(sight for sight in shared if sight.camera == name)
                self._counts.setdefault(name, deque()).append((stamp, number, matched))

    def _rate(self, camera: str) -> float:
        stamps = self._images[camera]
        newest = max(known[-1] for known in self._images.values())
        if len(stamps) < 2 or newest - stamps[-1] > SECONDS:
            return 0.0
        return (len(stamps) - 1) / (stamps[-1] - stamps[0])

    def _matched(self, camera: str) -> float:
        counts = self._counts.get(camera)
        if not counts or counts[-1][0] - counts[0][0] < _MIN_MATCHED_SECONDS:
            return np.nan
        return sum(both for _, _, both in counts) / sum(number for _, number, _ in counts)


def _count(sights: Iterable[Sight]) -> int:
    return sum(sight.confidence > _MIN_CONFIDENCE for sight in sights)


def _forget(known: MutableMapping[str, deque[Any]], stamp: float) -> None:
    """Forget items, which begin with their stamps, that are too old."""
    for name, items in list(known.items()):
        while items and stamp - items[0][0] > SECONDS:
            items.popleft()
        if not items:
            del known[name]


def describe_faults(health: Mapping[str, CameraHealth]) -> list[str]:
    """Return what is wrong with the cameras and what to do, one line each.

    Where several cameras are named, any of them may be the wrong one: two cameras cannot tell.

    Parameters
    ----------
    health : mapping
        Health of each camera, by its name.
    """
    faults = []
    if off := [name for name, each in health.items() if each.has_wrong_pose]:
        length = 1e3 * max(float(np.linalg.norm(health[name].offset)) for name in off)
        faults.append(
            f'camera {" or ".join(off)}: {length:.0f} mm off in one direction for {SECONDS:g} s: '
            f'recalibrate it with hybrik calibrate'
        )
    late = {name: each.delay for name, each in health.items() if each.has_wrong_clock}
    if late:
        name = max(late, key=lambda name: late[name])
        others = [other for other in late if other != name]
        either = f', or that of {" or ".join(others)} is early' if others else ''
        faults.append(
            f'camera {name}: clock {"late" if late[name] > 0 else "early"} by '
            f'{1e3 * abs(late[name]):.0f} ms{either}: synchronise the clocks, or set '
            f'correct_clocks'
        )
    faults += [
        f'camera {name}: its people match no other camera: wrong TF? Check where it is in the '
        f'fixed frame, and whether the others see the same place'
        for name, each in health.items()
        if each.has_other_people
    ]
    return faults


@dataclass
class ClockCorrection:
    """Corrects the clocks of cameras by what people show of them.

    Attributes
    ----------
    delays : dict
        Seconds by which the images of cameras are older than their stamps say, by name.
    """

    delays: dict[str, float] = field(default_factory=dict)
    _last: float = -np.inf

    def advance(self, monitor: HealthMonitor, stamp: float) -> float:
        """Correct the clock that is wrong, if it can be; return by how many seconds.

        Parameters
        ----------
        monitor : HealthMonitor
            Knows the cameras; it begins anew after a correction.
        stamp : float
            The time in seconds. Cameras are judged every two seconds.
        """
        if 0 <= stamp - self._last < SECONDS:
            return 0.0
        self._last = stamp
        late = {name: each.delay for name, each in monitor.report().items()
                if each.has_wrong_clock}  # fmt: skip
        if not late:
            return 0.0
        name = max(late, key=lambda name: late[name])  # Either of two: the one that is late.
        delay = self.delays.get(name, 0.0) + late[name]
        if abs(delay) > _MAX_CORRECTION:
            return 0.0
        self.delays[name] = delay
        monitor.clear()
        return late[name]
