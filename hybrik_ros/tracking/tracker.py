"""The life of tracks: tentative, tracked, lost, forgotten.

A detected person becomes a track: tentative until seen for long enough to be no mistake, then
tracked. Not seen any more, the track is lost, and found again where the person is expected by then;
after a while it is forgotten.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from hybrik_ros.camera import Region
from hybrik_ros.tracking.association import MAX_LOOK_SECONDS, assign, find_occluded
from hybrik_ros.tracking.track import GLANCE_SECONDS, Memory, Sighting, State, Track

# Maximum seconds between two frames, beyond which all tracks are forgotten and none is confirmed.
MAX_INTERVAL = 6.0


@dataclass(frozen=True, eq=False)
class Seen:
    """A person in a frame whose pose is known.

    Attributes
    ----------
    track : Track or None
        The track that `Tracker.assign` found; None for a new person.
    sighting : Sighting
        Where the person is.
    region : Region
        Where the person is expected in the next frame.
    memory : Memory
        The memory of the pose after this frame.
    """

    track: Track | None
    sighting: Sighting
    region: Region
    memory: Memory


class Tracker:
    """Keeps the tracks. Only `update` and `reset` change them, once per frame.

    Parameters
    ----------
    confirm_after, forget_after : float
        As the attributes.
    ids : iterator of str, optional
        Ids of new tracks, each of which comes once; p1, p2, ... by default.

    Attributes
    ----------
    confirm_after : float
        Minimum time in seconds that a person must be seen to count.
    forget_after : float
        Maximum time in seconds that a track is kept while the person is not seen.
    tracks : list of Track
        All tracks that are not forgotten.
    """

    def __init__(
        self, confirm_after: float, forget_after: float, ids: Iterator[str] | None = None
    ) -> None:
        self.tracks: list[Track] = []
        self.confirm_after = confirm_after
        self.forget_after = forget_after
        self._ids = (f'p{number}' for number in count(1)) if ids is None else ids

    @property
    def followed(self) -> list[Track]:
        """The tracks of the people seen in the last frame."""
        return [track for track in self.tracks if track.state is not State.LOST]

    @property
    def is_searching(self) -> bool:
        """Whether a track is lost or in doubt, or there is none."""
        return not self.tracks or any(
            track.state is State.LOST or not track.is_supported for track in self.tracks
        )

    def expected(self, stamp: float) -> list[Track]:
        """Return the tracks to look for in their regions: seen a moment ago."""
        lost = [track for track in self.tracks if track.state is State.LOST]
        return [
            track
            for tracks, seconds in ((self.followed, MAX_LOOK_SECONDS), (lost, GLANCE_SECONDS))
            for track in tracks
            if track.elapsed(stamp) < seconds
        ]

    def assign(self, sightings: Sequence[Sighting], stamp: float) -> list[Track | None]:
        """Return the track of each sighting; None for a new person. Changes nothing."""
        return assign(sightings, self._remembered(self.tracks, stamp), stamp)

    def update(
        self, people: Sequence[Seen], stamp: float, refused: Sequence[Track] = ()
    ) -> list[Track]:
        """Update the tracks with the people of a frame.

        Parameters
        ----------
        people : sequence of Seen
            The people.
        stamp : float
            Time in seconds.
        refused : sequence of Track
            Tracks of people that were seen in a pose that cannot be: left as they are.

        Returns
        -------
        list of Track
            The track of each person, old or new, in their order. All other tracks that are not
            refused are lost.
        """
        present = [person.track for person in people] + list(refused)
        kept = [
            track
            for track in self._remembered(self.tracks, stamp)
            if track in present or self._outlasts(track, stamp)
        ]
        lost = [track for track in kept if track not in present or track.state is State.LOST]
        occluded = find_occluded([person.sighting for person in people], lost, stamp)
        self.tracks = kept
        for track in kept:
            if track not in present:
                track.state = State.LOST
        tracks = [
            self._take(person, is_occluded, stamp)
            for person, is_occluded in zip(people, occluded, strict=True)
        ]
        for track in tracks:
            is_confirmed = stamp - track.first >= self.confirm_after
            track.state = State.TRACKED if is_confirmed else State.TENTATIVE
        return tracks

    def reset(self) -> None:
        """Forget all tracks. No id comes back."""
        self.tracks = []

    def _remembered(self, tracks: Sequence[Track], stamp: float) -> list[Track]:
        """Return the tracks that are still known at this time, even if frames come seldom."""
        return [
            track
            for track in tracks
            if (track.state is not State.LOST and track.elapsed(stamp) < MAX_INTERVAL)
            or track.elapsed(stamp) <= self.forget_after
        ]

    def _outlasts(self, track: Track, stamp: float) -> bool:
        """Return whether a track is kept while its person is not seen."""
        was_confirmed = track.last - track.first >= self.confirm_after  # Others were no people.
        return was_confirmed and track.elapsed(stamp) <= self.forget_after

    def _take(self, person: Seen, is_occluded: bool, stamp: float) -> Track:
        if person.track is not None:
            person.track.remember(person.sighting, person.region, person.memory, is_occluded, stamp)
            return person.track
        track = Track.start(
            next(self._ids), person.sighting, person.region, person.memory, is_occluded, stamp
        )
        self.tracks.append(track)
        return track
