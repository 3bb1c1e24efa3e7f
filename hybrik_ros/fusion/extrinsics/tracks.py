"""What one camera sees of one person over time, and of all people at common times."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.human import HumanObservation
from hybrik_ros.perception import blazepose as bp
from hybrik_ros.perception.hybrik import JointPoints
from hybrik_ros.perception.landmarks import LandmarkPoints
from hybrik_ros.skeleton import JOINT_NAMES, NUM_JOINTS

Stream = Iterable[tuple[float, Sequence[HumanObservation]]]
"""Stamps in seconds and people of a camera's images."""

_MIN_TRACK_SECONDS = 0.5
# Maximum time in seconds between two images over which landmarks are interpolated.
_MAX_GAP = 0.25
_MAX_TIMES = 4000  # of a person, from which instants are chosen
# Minimum number of limbs that a camera sees of a person, and of their confidence.
_MIN_LIMBS, _MIN_CONFIDENCE = 6, 0.2


class Layout(NamedTuple):
    """Which of a set's landmarks calibration uses.

    Attributes
    ----------
    limbs : list of int
        Shoulder, elbow, wrist, hip, knee and ankle of the left side, then of the right one.
    feet : list of int
        The landmarks, left and right, that are nearest to the floor.
    used : list of int
        All that are used: well visible points of the body.
    """

    limbs: list[int]
    feet: list[int]
    used: list[int]


_BLAZEPOSE_FEET = [bp.LEFT_HEEL, bp.RIGHT_HEEL]
_SMPL_FEET = [NUM_JOINTS + 3, NUM_JOINTS + 4]  # the leaves of the big toes
LAYOUTS = {
    LandmarkPoints.landmarks: Layout(
        list(LandmarkPoints.limbs_at),
        _BLAZEPOSE_FEET,
        [*LandmarkPoints.limbs_at, *_BLAZEPOSE_FEET, bp.LEFT_TOE, bp.RIGHT_TOE,
         bp.NOSE, bp.LEFT_EAR, bp.RIGHT_EAR],
    ),
    JointPoints.landmarks: Layout(
        list(JointPoints.limbs_at),
        _SMPL_FEET,
        [*JointPoints.limbs_at, *_SMPL_FEET, JOINT_NAMES.index('neck'), JOINT_NAMES.index('head')],
    ),
}  # fmt: skip
# Positions of shoulders, hips and ankles in `Layout.limbs`.
SHOULDERS_AT, HIPS_AT, ANKLES_AT = [0, 6], [3, 9], [5, 11]
# Bones of constant length, by positions in `Layout.limbs`: of arms and legs, shoulders and hips.
BONES = np.array(
    [(0, 1), (1, 2), (3, 4), (4, 5), (6, 7), (7, 8), (9, 10), (10, 11), (0, 6), (3, 9)]
)


@dataclass(frozen=True, eq=False)
class CameraTrack:
    """One person in the images of one camera.

    Attributes
    ----------
    camera, id : str
        Name of the camera, and its id of the person.
    landmarks : str
        Name of the set of landmarks.
    stamps : ndarray
        Times (T) in seconds, in order.
    rays : ndarray
        Rays (T, N, 2): x / z and y / z.
    weights : ndarray
        Confidence (T, N) of the landmarks in [0, 1], as far as it is believed.
    depths : ndarray
        Depths (T, N) in metres that the camera estimates.
    """

    camera: str
    id: str
    landmarks: str
    stamps: Array
    rays: Array
    weights: Array
    depths: Array

    @property
    def period(self) -> float:
        """Median time between two images in seconds."""
        return float(np.median(np.diff(self.stamps)))

    def look(self, stamps: Array) -> 'Look':
        """Return what is seen at any times (K) in seconds of the camera's clock."""
        right = np.clip(np.searchsorted(self.stamps, stamps, 'right'), 1, len(self.stamps) - 1)
        left = right - 1
        start, stop = self.stamps[left], self.stamps[right]
        share = (stamps - start) / (stop - start)
        gap = np.where((share == 0) | (share == 1), 0.0, stop - start)
        seen = (share >= 0) & (share <= 1) & (gap <= _MAX_GAP)
        part = share[:, None]
        # From other images than the rays: otherwise their noise has the motion of a clock's offset.
        before, after = np.maximum(left - 1, 0), np.minimum(right + 1, len(self.stamps) - 1)
        seconds = (self.stamps[after] - self.stamps[before])[:, None, None]
        weights = (1 - part) * self.weights[left] + part * self.weights[right]
        return Look(
            rays=_blend(self.rays, left, right, part[..., None]),
            velocities=(self.rays[after] - self.rays[before]) / seconds,
            weights=np.where(seen[:, None], weights, 0.0),
            depths=_blend(self.depths, left, right, part),
        )


class Look(NamedTuple):
    """A person in one camera at K times.

    Attributes
    ----------
    rays, velocities : ndarray
        Rays (K, N, 2), and their change per second.
    weights : ndarray
        Weights (K, N) in [0, 1]; 0 when the person is not seen.
    depths : ndarray
        Depths (K, N) in metres.
    """

    rays: Array
    velocities: Array
    weights: Array
    depths: Array

    @property
    def points(self) -> Array:
        """Points (K, N, 3) in metres, optical frame."""
        ahead = np.ones((*self.rays.shape[:2], 1))
        return np.asarray(np.concatenate([self.rays, ahead], axis=2) * self.depths[..., None])


def _blend(values: Array, left: NDArray[np.intp], right: NDArray[np.intp], share: Array) -> Array:
    return np.asarray((1 - share) * values[left] + share * values[right])


def find_tracks(camera: str, stream: Stream) -> list[CameraTrack]:
    """Return the people of one camera that are seen for half a second or more."""
    seen: dict[str, dict[float, HumanObservation]] = {}
    for stamp, people in stream:
        for person in people:
            seen.setdefault(person.id, {})[stamp] = person
    tracks = (_track(camera, id, frames) for id, frames in seen.items() if len(frames) > 1)
    return [track for track in tracks if np.ptp(track.stamps) >= _MIN_TRACK_SECONDS]


def _track(camera: str, id: str, frames: Mapping[float, HumanObservation]) -> CameraTrack:
    stamps = sorted(frames)
    people = [frames[stamp] for stamp in stamps]
    kind = LandmarkPoints if people[0].landmarks == LandmarkPoints.landmarks else JointPoints
    return CameraTrack(
        camera=camera,
        id=id,
        landmarks=people[0].landmarks,
        stamps=np.array(stamps),
        rays=np.stack([person.rays for person in people]),
        weights=np.stack(
            [
                person.landmark_confidence * person.confidence * person.belief[kind.shown_joints]
                for person in people
            ]
        ),
        depths=np.stack([person.depths + person.distance for person in people]),
    )


def is_seen(weights: Array, layout: Layout) -> NDArray[np.bool_]:
    """Return whether enough limbs are seen, by the weights (..., N) of landmarks."""
    return np.asarray(np.sum(weights[..., layout.limbs] > _MIN_CONFIDENCE, axis=-1) >= _MIN_LIMBS)


@dataclass(frozen=True, eq=False)
class Instants:
    """People at K times at which two cameras or more see them.

    Attributes
    ----------
    layout : Layout
        Which landmarks are used.
    people : ndarray
        Number of the person (K), from 0.
    times : ndarray
        Times (K) in seconds.
    rays, velocities : ndarray
        Rays (K, C, N, 2) in C cameras, and their change per second.
    weights : ndarray
        Weights (K, C, N) in [0, 1]; 0 in cameras that do not see the person.
    depths : ndarray
        Depths (K, C, N) in metres.
    """

    layout: Layout
    people: NDArray[np.int64]
    times: Array
    rays: Array
    velocities: Array
    weights: Array
    depths: Array

    def __len__(self) -> int:
        return len(self.times)

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> 'Instants':
        """Return some of the instants."""
        return Instants(
            self.layout, self.people[chosen], self.times[chosen], self.rays[chosen],
            self.velocities[chosen], self.weights[chosen], self.depths[chosen],
        )  # fmt: skip

    def seen_by(self) -> NDArray[np.bool_]:
        """Return which cameras see the person (K, C)."""
        return is_seen(self.weights, self.layout)


def find_instants(
    people: Sequence[Sequence[CameraTrack]], cameras: Sequence[str], offsets: Array, count: int
) -> Instants:
    """Return at most count instants, evenly over the times at which two cameras see a person.

    Parameters
    ----------
    people : sequence of sequence of CameraTrack
        The tracks of each person.
    cameras : sequence of str
        Names of the C cameras.
    offsets : ndarray
        Seconds (C) to add to the stamps of each camera.
    count : int
        Maximum number.
    """
    parts = [_find(number, person, cameras, offsets) for number, person in enumerate(people)]
    fields = [np.concatenate(values) for values in zip(*parts, strict=True)]
    whole = Instants(LAYOUTS[people[0][0].landmarks], *fields)
    order = np.argsort(whole.times, kind='stable')
    chosen = np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
    return whole.take(order[chosen])


def _find(
    number: int, tracks: Sequence[CameraTrack], cameras: Sequence[str], offsets: Array
) -> tuple[NDArray[np.int64], Array, Array, Array, Array, Array]:
    """Return the fields of all instants of one person."""
    layout = LAYOUTS[tracks[0].landmarks]
    shifts = {name: offsets[at] for at, name in enumerate(cameras)}
    times = np.unique(np.concatenate([track.stamps + shifts[track.camera] for track in tracks]))
    times = times[:: -(-len(times) // _MAX_TIMES)]
    shape = (len(times), len(cameras), tracks[0].rays.shape[1])
    rays, velocities = np.zeros((*shape, 2)), np.zeros((*shape, 2))
    weights, depths = np.zeros(shape), np.ones(shape)
    for track in tracks:
        camera = cameras.index(track.camera)
        look = track.look(times - shifts[track.camera])
        seen = is_seen(look.weights, layout)
        rays[seen, camera], velocities[seen, camera] = look.rays[seen], look.velocities[seen]
        weights[seen, camera], depths[seen, camera] = look.weights[seen], look.depths[seen]
    shared = is_seen(weights, layout).sum(axis=1) > 1
    fields = (rays[shared], velocities[shared], weights[shared], depths[shared])
    return np.full(shared.sum(), number), times[shared], *fields
