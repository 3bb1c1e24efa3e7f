"""What each camera sees at a common time: cameras are not synchronised.

Rays are interpolated between two images, or extrapolated for a moment. The newest image of each
camera would show a moving person at several times at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.fusion.gaussians import ACROSS
from hybrik_ros.fusion.view import Sight

# Maximum seconds between two images that are interpolated or extrapolated.
MAX_GAP = 0.5
# Maximum seconds for which motion continues after the last image. Slower cameras are not silent
# before this many of their intervals, at most this many seconds, have passed. Until then, a person
# may move away from there at this speed in metres per second.
_MAX_AHEAD, _MAX_INTERVALS, MAX_AGE, _DRIFT = 0.1, 1.5, 0.5, 1.0
_SAME_SECONDS = 1e-6  # Stamps of one time may differ by rounding.
# Maximum mean distance of the rays of one person in two images, as a share of the distance, where
# the camera gives no ids.
_MAX_RAY_STEP = 0.15


@dataclass
class History:
    """The last images of one camera. `add` forgets those that no time needs any more.

    Attributes
    ----------
    images : list of tuple
        Stamp in seconds and people (list of Sight) of each image, oldest first.
    """

    images: list[tuple[float, list[Sight]]] = field(default_factory=list)

    @property
    def newest(self) -> float:
        """Stamp in seconds of the newest image; -infinity before the first."""
        return self.images[-1][0] if self.images else -np.inf

    def add(self, stamp: float, people: list[Sight]) -> None:
        """Add an image; one of the same time replaces the last, an earlier one begins anew."""
        if stamp < self.newest:
            self.images = []
        elif stamp == self.newest:
            self.images.pop()
        self.images.append((stamp, people))
        self.images = [image for image in self.images if image[0] >= stamp - MAX_GAP]

    def at(self, stamp: float) -> list[Sight]:
        """Return the people at a time in seconds; none if the camera is silent then."""
        before = [image for image in self.images if image[0] <= stamp + _SAME_SECONDS]
        after = self.images[len(before) :]
        if not before:
            return []
        if abs(before[-1][0] - stamp) <= _SAME_SECONDS:
            return before[-1][1]
        pair = [before[-1], after[0]] if after else before[-2:]
        age = stamp - pair[-1][0]  # negative between two images
        if len(pair) < 2 or pair[1][0] - pair[0][0] > MAX_GAP:
            return []
        (start, first), (end, second) = pair
        if age > min(max(_MAX_AHEAD, _MAX_INTERVALS * (end - start)), MAX_AGE):
            return []
        share = (min(stamp, end + _MAX_AHEAD) - start) / (end - start)
        certainty = _certainty(max(age - _MAX_AHEAD, 0.0))
        return [_blend(*both, share, certainty) for both in _match(first, second)]


def _certainty(age: float) -> float:
    """Return how much a camera tells of a person that may have moved for some seconds."""
    return ACROSS**2 / (ACROSS**2 + (_DRIFT * age) ** 2)


def _match(first: Sequence[Sight], second: Sequence[Sight]) -> list[tuple[Sight, Sight]]:
    """Return the people that two images of one camera show both."""
    pairs = []
    for one in first:
        same = [other for other in second if _is_same(one, other)]
        if same:
            pairs.append((one, min(same, key=lambda other: _ray_step(one, other))))
    return pairs


def _is_same(one: Sight, other: Sight) -> bool:
    if one.landmarks != other.landmarks:
        return False
    if one.id or other.id:
        return one.id == other.id
    return _ray_step(one, other) < _MAX_RAY_STEP


def _ray_step(one: Sight, other: Sight) -> float:
    return float(np.linalg.norm(one.rays - other.rays, axis=1).mean())


def _blend(one: Sight, other: Sight, share: float, certainty: float) -> Sight:
    """Return what a camera sees at a share of the way from one image to another, or beyond."""

    def mix(first: Array, second: Array) -> Array:
        return np.asarray((1 - share) * first + share * second)

    centre = mix(one.centre, other.centre)
    reach, other_reach = (
        np.linalg.norm(each.points - each.centre, axis=1, keepdims=True) for each in (one, other)
    )
    rays = mix(one.rays, other.rays)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    return replace(
        other,
        centre=centre,
        points=centre + rays * mix(reach, other_reach),
        rays=rays,
        landmark_confidence=np.minimum(one.landmark_confidence, other.landmark_confidence),
        belief=certainty * np.minimum(one.belief, other.belief),
    )
