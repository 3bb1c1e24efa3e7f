"""Fusion of cameras: people over time, in a fixed frame."""

from collections.abc import Iterator, Mapping
from itertools import count

import numpy as np

from hybrik_ros.body import BodyModel
from hybrik_ros.camera import ImpossiblePoseError
from hybrik_ros.fusion.grouping import assign, do_meet, gate, group, join, may_be_one
from hybrik_ros.fusion.health import CameraHealth, ClockCorrection, HealthMonitor
from hybrik_ros.fusion.person import Person, PersonMemory, pose_person
from hybrik_ros.fusion.times import History
from hybrik_ros.fusion.view import Sight, View, see
from hybrik_ros.human import Human
from hybrik_ros.posing import start_memory
from hybrik_ros.settings import Settings, Value

_UP = np.array([0.0, 0.0, 1.0])  # of the fixed frame (REP-103)
# Time in seconds for which a person must be seen that only one of several cameras sees.
_ALONE_SECONDS = 0.25
_FORGET_SECONDS = 1.5
_BACK_SECONDS = 0.5  # by which stamps of a camera may be older than the last one
# Maximum mean distance in metres of the limbs of two persons that are one.
_SAME_DISTANCE = 0.15


class Fusion:
    """Follows the people that several cameras see.

    Parameters
    ----------
    body : BodyModel, optional
        The body of all people; the embedded one by default.
    ids : iterator of str, optional
        Ids of people: f1, f2, ... by default.
    correct_clocks : bool
        Whether to correct the clocks of cameras that people show to be late or early.
    **settings
        Fields of Settings.

    Attributes
    ----------
    body : BodyModel
        The body of all people.
    """

    def __init__(
        self,
        body: BodyModel | None = None,
        *,
        ids: Iterator[str] | None = None,
        correct_clocks: bool = False,
        **settings: Value,
    ) -> None:
        self.body = BodyModel.load() if body is None else body
        self._options = Settings().changed(**settings)
        self._ids = (f'f{number}' for number in count(1)) if ids is None else ids
        self.people: list[Person] = []
        self._alone: dict[tuple[str, str], float] = {}
        self._histories: dict[str, History] = {}
        self._monitor = HealthMonitor()
        self._corrects_clocks = correct_clocks
        self._clocks = ClockCorrection()
        self._stamp = -np.inf

    def __call__(self, views: Mapping[str, View], stamp: float | None = None) -> list[Human]:
        """Return the people at a time, in the fixed frame.

        Parameters
        ----------
        views : mapping
            What each camera sees, by its name; cameras without a new image are left out.
        stamp : float, optional
            The time in seconds, which resets everything if it is earlier than the last one. What a
            camera sees then is interpolated between its images, or extrapolated by at most 0.1 s;
            it counts less and less until it is half a second old. By default
            the time of the newest image so far.
        """
        has_jumped = any(self._is_back(name, view) for name, view in views.items())
        self.add(views)
        if has_jumped:
            self._histories = {name: self._histories[name] for name in views}
        newest = max((each.newest for each in self._histories.values()), default=-np.inf)
        # A corrected clock may fall behind.
        now = stamp if stamp is not None else newest if has_jumped else max(newest, self._stamp)
        if now < self._stamp:
            self.people, self._alone = [], {}
        self._stamp = now
        seen = {name: history.at(now) for name, history in self._histories.items()}
        self.people = [person for person in self.people if now - person.last <= _FORGET_SECONDS]
        taken, new, elsewhere = self._assign(seen, now)
        found = [
            self._update(person, sights, now, index in elsewhere)
            for index, (person, sights) in enumerate(zip(self.people, taken, strict=True))
            if sights
        ]
        for sights in self._start(new, taken, now):
            person = Person(next(self._ids), PersonMemory(start_memory(self.body)))
            human = self._update(person, sights, now)
            if human is not None:
                self.people.append(person)
                found.append(human)
        self._merge()
        self._monitor.add(seen, [person for person in self.people if person.last == now], now)
        if self._corrects_clocks:
            self._clocks.advance(self._monitor, now)
        known = {person.id for person in self.people}
        return [human for human in found if human is not None and human.id in known]

    def add(self, views: Mapping[str, View]) -> None:
        """Take what cameras see for a later call, which then needs no views of them.

        Parameters
        ----------
        views : mapping
            What each camera sees, by its name; of each camera in the order of time.
        """
        placed = {name: see(name, view, self.body) for name, view in views.items()}
        for name, people in placed.items():
            taken_at = views[name].stamp - self._clocks.delays.get(name, 0.0)
            self._histories.setdefault(name, History()).add(taken_at, people)
            self._monitor.count_image(name, views[name].stamp)

    def _is_back(self, name: str, view: View) -> bool:
        """Return whether the time of a camera has jumped back."""
        known = self._histories.get(name)
        return known is not None and view.stamp < known.newest - _BACK_SECONDS

    @property
    def health(self) -> dict[str, CameraHealth]:
        """How well each camera agrees with the others over the last two seconds, by its name."""
        applied = self._clocks.delays
        return {
            name: each._replace(delay=each.delay + applied.get(name, 0.0))
            for name, each in self._monitor.report().items()
        }

    def adjust(self, **settings: Value) -> None:
        """Change settings between two times; all people stay.

        Raises
        ------
        ValueError
            A value is refused.
        """
        self._options = self._options.changed(**settings)

    def reset(self) -> None:
        """Forget all people, and what the cameras have seen."""
        self.people, self._alone, self._histories = [], {}, {}
        self._monitor, self._clocks = HealthMonitor(), ClockCorrection()
        self._stamp = -np.inf

    def _assign(
        self, seen: Mapping[str, list[Sight]], stamp: float
    ) -> tuple[list[list[Sight]], list[Sight], set[int]]:
        """Return the sights of each known person, those of new people, and which are elsewhere.

        These are known people that are not where they were expected.
        """
        taken: list[list[Sight]] = [[] for _ in self.people]
        new: list[Sight] = []
        expected = [person.predict(stamp) for person in self.people]
        gates = np.array([gate(stamp - person.last) for person in self.people])
        for camera, sights in seen.items():
            ids = [person.id_in(camera) for person in self.people]
            matches = assign(expected, ids, sights, gates)
            for index, sight in enumerate(sights):
                if index in matches:
                    taken[matches[index]].append(sight)
                else:
                    new.append(sight)
        joined = join(taken, new)
        for number, index in joined.items():
            taken[index].append(new[number])
        left = [sight for number, sight in enumerate(new) if number not in joined]
        return taken, left, set(joined.values())

    def _start(self, new: list[Sight], taken: list[list[Sight]], stamp: float) -> list[list[Sight]]:
        """Return the sights of people that are new from now on."""
        started = []
        present = {(sight.camera, sight.id) for sight in new}
        self._alone = {key: since for key, since in self._alone.items() if key in present}
        wait = _ALONE_SECONDS if len(self._histories) > 1 else 0.0
        known = [sights or person.sights for person, sights in zip(self.people, taken, strict=True)]
        for sights in group(new):
            if len(sights) > 1:
                started.append(sights)
                continue
            if any(may_be_one(sights[0], others) for others in known + started):
                continue
            key = (sights[0].camera, sights[0].id)
            if stamp - self._alone.setdefault(key, stamp) >= wait:
                started.append(sights)
                del self._alone[key]
        return started

    def _update(
        self, person: Person, sights: list[Sight], stamp: float, is_elsewhere: bool = False
    ) -> Human | None:
        elapsed = stamp - person.last
        memory = person.memory
        if is_elsewhere or (len(sights) > 1 and not person.is_placed):
            memory = PersonMemory(start_memory(self.body))
        try:
            human, memory = pose_person(
                person.id, sights, memory, self.body, self._options, elapsed, _UP
            )
        except ImpossiblePoseError:  # As if nothing had been seen.
            return None
        person.remember(memory, sights, stamp)
        return human

    def _merge(self) -> None:
        """Forget people that are an older one."""
        kept: list[Person] = []
        for person in self.people:
            if not any(_are_one(person, other) for other in kept):
                kept.append(person)
        self.people = kept


def _are_one(person: Person, other: Person) -> bool:
    """Return whether two people are one: at one place, or in two cameras whose rays meet."""
    if person.last != other.last:
        return False
    if np.linalg.norm(person.limbs - other.limbs, axis=1).mean() < _SAME_DISTANCE:
        return True
    sights = [*person.sights, *other.sights]
    return len(person.sights) == len(other.sights) == 1 and do_meet(*sights)
