"""Which tracks of two cameras are one person, and how the cameras lie to each other.

Each camera guesses the whole body of a person in its own frame. Two cameras see the same person
where one motion (Kabsch, 1976) lays the bodies of one on those of the other at all times; the
offset of their clocks is the one with the smallest residual.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.fusion.extrinsics.tracks import LAYOUTS, CameraTrack, is_seen
from hybrik_ros.rotations import unit

MIN_SHARED_SECONDS = 1.0  # minimum time in which two cameras must see the same person
_MIN_PAIR_SECONDS = 0.4  # in which both of two tracks are seen
_MIN_SHARED_PART = 0.5  # of the longest shared time with any offset
_COARSE_SECONDS, _FINE_SECONDS = 0.1, 1 / 60  # steps of clock offsets
_MAX_TIMES = 60  # at which bodies are compared
_STEPS = 6
_FAR = 0.2  # residual in metres at which a landmark counts half
# Maximum mean residual in metres of one person, and its ratio to that of the best pair.
_MAX_RESIDUAL, _MAX_RESIDUAL_RATIO = 0.6, 1.6
# Maximum mean distance in metres of the rays of one person, by approximate extrinsics.
_MAX_GAP = 0.2


class Transform(NamedTuple):
    """A rigid motion: rotation (3, 3) and translation (3) in metres."""

    rotation: Array
    translation: Array

    def apply(self, points: Array) -> Array:
        """Return points (..., 3), moved."""
        return np.asarray(points @ self.rotation.T + self.translation)

    def inverse(self) -> 'Transform':
        """Return the inverse motion."""
        return Transform(self.rotation.T, -self.rotation.T @ self.translation)

    def after(self, other: 'Transform') -> 'Transform':
        """Return the motion that is the other one followed by this one."""
        return Transform(self.rotation @ other.rotation, self.apply(other.translation))


class TrackMatch(NamedTuple):
    """Two tracks that may be one person.

    Attributes
    ----------
    first, second : CameraTrack
        Tracks of two cameras.
    transform : Transform
        From the first camera to the second.
    offset : float
        Seconds to add to stamps of the second camera to get those of the first.
    residual : float
        Mean distance of their bodies in metres.
    seconds : float
        Time in which both are seen.
    """

    first: CameraTrack
    second: CameraTrack
    transform: Transform
    offset: float
    residual: float
    seconds: float


class Link(NamedTuple):
    """Two cameras that see the same people.

    Attributes
    ----------
    matches : list of TrackMatch
        The tracks that are one person.
    transform, offset, residual, seconds : Transform, float, float, float
        As of TrackMatch, of all matches.
    """

    matches: list[TrackMatch]
    transform: Transform
    offset: float
    residual: float
    seconds: float


def fit_motion(points: Array, others: Array, weights: Array) -> tuple[Transform, float]:
    """Return the motion from points (N, 3) to others (N, 3), and the mean distance left.

    Far ones count less (Geman and McClure, 1987).
    """
    believed = weights
    for _ in range(_STEPS):
        transform = _kabsch(points, others, believed)
        away = np.linalg.norm(transform.apply(points) - others, axis=1)
        believed = weights / (1 + (away / _FAR) ** 2)
    return transform, float(np.sum(weights * away) / weights.sum())


def _kabsch(points: Array, others: Array, weights: Array) -> Transform:
    share = weights / weights.sum()
    middle, other_middle = share @ points, share @ others
    left, _, right = np.linalg.svd((others - other_middle).T @ ((points - middle) * share[:, None]))
    mirror = np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    rotation = left @ mirror @ right
    return Transform(rotation, other_middle - rotation @ middle)


def pair(
    first: Sequence[CameraTrack], second: Sequence[CameraTrack], max_offset: float
) -> Link | None:
    """Return how two cameras are linked by the people that both see; None if by none.

    Parameters
    ----------
    first, second : sequence of CameraTrack
        The tracks of two cameras.
    max_offset : float
        Maximum offset of their clocks in seconds.
    """
    found = [
        match
        for one in first
        for other in second
        if (match := _search(one, other, max_offset)) is not None and match.residual < _MAX_RESIDUAL
    ]
    links = [_support(match, first, second) for match in found]
    return max(links, key=lambda link: (round(link.seconds, 1), -link.residual), default=None)


def _search(first: CameraTrack, second: CameraTrack, max_offset: float) -> TrackMatch | None:
    """Return the most probable offset of two tracks; None if they share too little time."""
    coarse = np.arange(-np.floor(max_offset / _COARSE_SECONDS), max_offset / _COARSE_SECONDS + 0.5)
    best = _best(first, second, coarse * _COARSE_SECONDS)
    if best is None:
        return None
    fine = np.arange(-_COARSE_SECONDS, _COARSE_SECONDS + _FINE_SECONDS / 2, _FINE_SECONDS)
    return _best(first, second, best.offset + fine)


def _best(first: CameraTrack, second: CameraTrack, offsets: Array) -> TrackMatch | None:
    matches = [_compare(first, second, offset) for offset in offsets]
    found = [match for match in matches if match is not None]
    longest = max((match.seconds for match in found), default=0.0)
    long = [match for match in found if match.seconds >= _MIN_SHARED_PART * longest]
    return min(long, key=lambda match: match.residual, default=None)


def _common(
    first: CameraTrack, second: CameraTrack, offset: float
) -> tuple[Array, Array, Array, float]:
    """Return limbs (M, 3) of both, their weights (M), and the seconds in which both are seen."""
    layout = LAYOUTS[first.landmarks]
    begin = np.searchsorted(first.stamps, second.stamps[0] + offset)
    end = np.searchsorted(first.stamps, second.stamps[-1] + offset, 'right')
    chosen = np.arange(begin, end)
    stride = max(1, len(chosen) // _MAX_TIMES)
    stamps = first.stamps[chosen[::stride]]
    one, other = first.look(stamps), second.look(stamps - offset)
    both = is_seen(one.weights, layout) & is_seen(other.weights, layout)
    weights = np.sqrt(one.weights * other.weights)[both][:, layout.limbs].ravel() + 1e-6
    limbs = [look.points[both][:, layout.limbs].reshape(-1, 3) for look in (one, other)]
    return limbs[0], limbs[1], weights, float(both.sum() * stride * first.period)


def _compare(first: CameraTrack, second: CameraTrack, offset: float) -> TrackMatch | None:
    points, others, weights, seconds = _common(first, second, offset)
    if seconds < _MIN_PAIR_SECONDS:
        return None
    transform, residual = fit_motion(points, others, weights)
    return TrackMatch(first, second, transform, float(offset), residual, seconds)


def _support(best: TrackMatch, first: Sequence[CameraTrack], second: Sequence[CameraTrack]) -> Link:
    """Return the link by a motion: all tracks that it lays on each other."""
    limit = min(_MAX_RESIDUAL, _MAX_RESIDUAL_RATIO * best.residual)
    candidates, parts = [], {}
    for one in first:
        for other in second:
            points, others, weights, seconds = _common(one, other, best.offset)
            if seconds < _MIN_PAIR_SECONDS:
                continue
            away = np.linalg.norm(best.transform.apply(points) - others, axis=1)
            residual = float(np.sum(weights * away) / weights.sum())
            if residual <= limit or (one is best.first and other is best.second):
                match = TrackMatch(one, other, best.transform, best.offset, residual, seconds)
                candidates.append(match)
                parts[one, other] = points, others, weights
    matches: list[TrackMatch] = []
    for match in sorted(candidates, key=lambda match: match.residual):
        if not any(_contradict(match, other) for other in matches):
            matches.append(match)
    joined = zip(*(parts[match.first, match.second] for match in matches), strict=True)
    points, others, weights = (np.concatenate(values) for values in joined)
    transform, residual = fit_motion(points, others, weights)
    return Link(matches, transform, best.offset, residual, sum(match.seconds for match in matches))


def _contradict(match: TrackMatch, other: TrackMatch) -> bool:
    """Return whether two matches take two people of one camera for one."""
    same_first, same_second = match.first is other.first, match.second is other.second
    if same_first == same_second:
        return False
    one, two = (match.second, other.second) if same_first else (match.first, other.first)
    return overlap(one, two)


def overlap(one: CameraTrack, other: CameraTrack) -> bool:
    """Return whether two tracks are seen at the same time."""
    return bool(one.stamps[0] <= other.stamps[-1] and other.stamps[0] <= one.stamps[-1])


def join_people(matches: Iterable[TrackMatch]) -> list[list[CameraTrack]]:
    """Return the tracks of each person, most certain matches first."""
    groups: dict[int, list[CameraTrack]] = {}
    for match in sorted(matches, key=lambda match: match.residual):
        one = groups.setdefault(id(match.first), [match.first])
        other = groups.setdefault(id(match.second), [match.second])
        if one is other or any(
            a.camera == b.camera and overlap(a, b) for a in one for b in other
        ):  # fmt: skip
            continue
        one += other
        for track in other:
            groups[id(track)] = one
    unique = {id(group): group for group in groups.values()}
    return [group for group in unique.values() if len({track.camera for track in group}) > 1]


def match_by_rays(
    first: Sequence[CameraTrack], second: Sequence[CameraTrack], transform: Transform, offset: float
) -> list[TrackMatch]:
    """Return the tracks of two cameras whose rays nearly meet, by known extrinsics.

    Parameters
    ----------
    first, second : sequence of CameraTrack
        The tracks of two cameras.
    transform : Transform
        From the first camera to the second.
    offset : float
        Seconds to add to stamps of the second camera to get those of the first.
    """
    found = []
    for one in first:
        for other in second:
            points, others, weights, seconds = _common(one, other, offset)
            if seconds < _MIN_PAIR_SECONDS:
                continue
            gap = _ray_gap(points @ transform.rotation.T, others, transform.translation, weights)
            if gap < _MAX_GAP:
                found.append(TrackMatch(one, other, transform, offset, gap, seconds))
    return found


def _ray_gap(rays: Array, others: Array, centre: Array, weights: Array) -> float:
    """Return the mean distance in metres of rays (M, 3) from a centre (3) to those from 0.

    It is infinite where they do not meet in front of the cameras.
    """
    rays, others = unit(rays), unit(others)
    normals = np.cross(rays, others)
    sine = np.maximum(np.linalg.norm(normals, axis=1), 1e-3)
    gaps = np.abs(normals @ centre) / sine
    # The depths at which the rays are nearest to each other.
    depths = np.sum(np.cross(others, centre) * normals, axis=1)
    other_depths = np.sum(np.cross(rays, centre) * normals, axis=1)
    if np.median(depths) < 0 or np.median(other_depths) < 0:
        return np.inf
    return float(np.sum(weights * np.minimum(gaps, 1.0)) / weights.sum())
