"""How well known extrinsics agree with the people that the cameras see.

Two independent measures: how far the rays of a camera pass by the people that the others see, by
the known extrinsics; and how far these are from the extrinsics that the same people give.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.fusion.extrinsics.adjustment import fuse_points
from hybrik_ros.fusion.extrinsics.estimation import (
    CameraPose,
    Difference,
    Extrinsics,
    ExtrinsicsError,
    find_all_tracks,
    link_cameras,
)
from hybrik_ros.fusion.extrinsics.pairing import fit_motion, join_people
from hybrik_ros.fusion.extrinsics.tracks import Instants, Stream, find_instants
from hybrik_ros.rotations import angle_between

_MAX_INSTANTS = 150
_MAX_AWAY = 0.3  # metres that a landmark counts at most
# Minimum of the direction in metres that shows wrong extrinsics: half a degree and a centimetre
# give 30 mm, and right extrinsics at most 12 mm, in the clips of `hybrik bench fusion`.
MAX_DIRECTION = 0.025
# Maximum difference in radians and metres between a known pose of a camera and the one that people
# give, and its ratio to the difference of the two halves of the recording.
_MAX_TURN, _MAX_SHIFT = np.radians(1.5), 0.1
_MAX_HALVES = 2.0
# Steps of the robust alignment, and the difference in metres below which cameras count the same.
_STEPS, _SMALL = 10, 0.01
_DISTANCE = 3.0  # metres from a camera to people, at which its direction counts


class CameraAgreement(NamedTuple):
    """How a camera agrees with the others.

    Attributes
    ----------
    distance : float
        Mean distance in metres of its rays from the people that the others see; with two cameras,
        from those that both see.
    direction : float
        Length in metres of the mean error along the axes of its image: errors of a network point
        in all directions, those of wrong extrinsics in one.
    difference : Difference or None
        From its known pose to the one that the people give; None if they give none.
    limit : Difference
        Maximum of it.
    """

    distance: float
    direction: float
    difference: Difference | None = None
    limit: Difference = Difference(_MAX_TURN, _MAX_SHIFT)

    @property
    def is_good(self) -> bool:
        """Whether the extrinsics of the camera are right."""
        is_near = self.difference is None or (
            self.difference.turn <= self.limit.turn and self.difference.shift <= self.limit.shift
        )
        return is_near and self.direction <= MAX_DIRECTION


def compare_extrinsics(
    found: Extrinsics, cameras: Mapping[str, CameraPose]
) -> dict[str, Difference]:
    """Return how far known poses of cameras are from those that people give, once aligned.

    Parameters
    ----------
    found : Extrinsics
        What the people give.
    cameras : mapping
        The known poses of two of its cameras or more, by name.
    """
    differences = {}
    for name, pose in align_extrinsics(found, cameras).items():
        known = cameras[name].frame_from_camera
        differences[name] = Difference(
            float(angle_between(pose[:3, :3], known[:3, :3])),
            float(np.linalg.norm(pose[:3, 3] - known[:3, 3])),
        )
    return differences


def align_extrinsics(found: Extrinsics, cameras: Mapping[str, CameraPose]) -> dict[str, Array]:
    """Return poses (4, 4) that people give, moved onto known ones.

    Most cameras agree as well as they can: of three cameras or more, one that was moved stands out.
    The poses are scaled, too, if no stature was given.

    Parameters
    ----------
    found : Extrinsics
        What the people give.
    cameras : mapping
        The known poses of two of its cameras or more, by name.
    """
    names = [name for name in found.cameras if name in cameras]
    own, known = _markers(found.cameras, names), _markers(cameras, names)
    if not found.report.is_stature_given:
        own += (_spread(known) / _spread(own) - 1) * own[:, :1]
    weights = np.ones(len(own))
    for _ in range(_STEPS):  # The sum of distances is least, not of their squares.
        each = np.repeat(weights, own.shape[1])
        move, _ = fit_motion(own.reshape(-1, 3), known.reshape(-1, 3), each)
        away = np.linalg.norm(move.apply(own) - known, axis=2).mean(axis=1)
        weights = 1 / np.maximum(away, _SMALL)
    aligned = {}
    for name, centre in zip(names, own[:, 0], strict=True):
        pose = aligned[name] = np.eye(4)
        pose[:3, :3] = move.rotation @ found.cameras[name].frame_from_camera[:3, :3]
        pose[:3, 3] = move.apply(centre)
    return aligned


def known_scale(found: Extrinsics, cameras: Mapping[str, CameraPose]) -> float:
    """Return the ratio of known distances between cameras to those that people give."""
    names = [name for name in found.cameras if name in cameras]
    return _spread(_markers(cameras, names)) / _spread(_markers(found.cameras, names))


def _markers(cameras: Mapping[str, CameraPose], names: Iterable[str]) -> Array:
    """Return the centre of each camera and points on its axes (C, 4, 3), as far as people are."""
    poses = np.stack([cameras[name].frame_from_camera for name in names])
    axes = _DISTANCE * poses[:, :3, :3].transpose(0, 2, 1)
    return np.asarray(poses[:, None, :3, 3] + np.pad(axes, ((0, 0), (1, 0), (0, 0))))


def _spread(markers: Array) -> float:
    """Return the median distance between two cameras by the markers (C, 4, 3) of each."""
    one, other = np.triu_indices(len(markers), 1)
    return float(np.median(np.linalg.norm(markers[one, 0] - markers[other, 0], axis=1)))


def check_extrinsics(
    streams: Mapping[str, Stream],
    cameras: Mapping[str, CameraPose],
    observed: Extrinsics | None = None,
) -> dict[str, CameraAgreement]:
    """Return how well each camera agrees with the others.

    Parameters
    ----------
    streams : mapping
        Stamps in seconds and people of the images of each camera, by its name.
    cameras : mapping
        The known pose and clock offset of each of them.
    observed : Extrinsics, optional
        The extrinsics that the people give, to compare with.

    Raises
    ------
    ExtrinsicsError
        A camera has no known pose, or shares no person with another.
    """
    unknown = sorted(streams.keys() - cameras.keys())
    if unknown:
        raise ExtrinsicsError(
            f'no extrinsics are known of {", ".join(unknown)}, only of {", ".join(sorted(cameras))}'
        )
    tracks = find_all_tracks(streams)
    names = list(tracks)
    offsets = np.array([cameras[name].clock_offset for name in names])
    links = link_cameras(
        {
            name: [replace(track, stamps=track.stamps + offset) for track in tracks[name]]
            for name, offset in zip(names, offsets, strict=True)
        },
        0.0,
    )
    people = join_people(match for link in links.values() for match in link.matches)
    if not people:
        raise ExtrinsicsError(
            f'cameras {", ".join(names)} see no person together: walk where they see the whole body'
        )
    instants = find_instants(people, names, np.zeros(len(names)), _MAX_INSTANTS)
    into = np.asarray(
        np.linalg.inv([cameras[name].frame_from_camera for name in names]), np.float64
    )
    differences = {} if observed is None else compare_extrinsics(observed, cameras)
    limit = _limit(observed)
    found = {}
    for name, missed in zip(names, _miss_each_other(instants, into), strict=True):
        if missed is None:
            raise ExtrinsicsError(f'camera {name} shares no person with another camera')
        found[name] = CameraAgreement(*missed, differences.get(name), limit)
    return found


def _limit(observed: Extrinsics | None) -> Difference:
    """Return the maximum difference, which is greater for people that repeat worse."""
    halves = [] if observed is None else list(observed.report.repeatability.values())
    return Difference(
        max([_MAX_TURN, *(_MAX_HALVES * half.turn for half in halves)]),
        max([_MAX_SHIFT, *(_MAX_HALVES * half.shift for half in halves)]),
    )


def _miss_each_other(instants: Instants, into: Array) -> list[tuple[float, float] | None]:
    """Return distance and direction of each camera; None if it shares no person with another.

    A wrong camera makes others look wrong. So the worst one is left out, until the rest agree, and
    is compared with the rest.
    """
    cameras = chosen = list(range(len(into)))
    missed = [_miss(instants, camera, chosen, into) for camera in cameras]
    while len(chosen) > 2:
        direction, worst = max(
            (one[1], at) for at, one in enumerate(missed) if one and at in chosen
        )
        if direction <= MAX_DIRECTION:
            break
        rest = [camera for camera in chosen if camera != worst]
        without = [_miss(instants, camera, rest, into) for camera in cameras]
        if None in without:  # Only the worst one shares people with that camera.
            break
        chosen, missed = rest, without
    return missed


def _miss(
    instants: Instants, camera: int, chosen: Sequence[int], into: Array
) -> tuple[float, float] | None:
    """Return distance and direction, as of CameraAgreement, of a camera by the chosen others."""
    limbs = instants.layout.limbs
    both = instants.weights.copy()
    both[:, [other for other in range(len(into)) if other not in (camera, *chosen)]] = 0.0
    others = both.copy()
    others[:, camera] = 0.0
    instants, rest = replace(instants, weights=both), replace(instants, weights=others)
    is_seen = instants.seen_by()[:, camera]
    with_two = is_seen & (rest.seen_by().sum(axis=1) > 1)
    if with_two.any():
        instants, rest = instants.take(with_two), rest.take(with_two)
    else:  # By both: one camera alone does not know how far away people are.
        rest = instants = instants.take(is_seen & rest.seen_by().any(axis=1))
    if not len(instants):
        return None
    points, confidence = fuse_points(rest, into[:, :3, :3], into[:, :3, 3], limbs)
    local = points @ into[camera, :3, :3].T + into[camera, :3, 3]
    errors = local[..., :2] - instants.rays[:, camera, limbs] * local[..., 2:]
    weights = confidence * instants.weights[:, camera, limbs]
    away = np.linalg.norm(errors, axis=2)
    errors = errors * np.minimum(1, _MAX_AWAY / np.maximum(away, _MAX_AWAY))[..., None]
    mean = np.einsum('kl,kla->a', weights, errors) / weights.sum()
    distance = np.sum(weights * np.minimum(away, _MAX_AWAY)) / weights.sum()
    return float(distance), float(np.linalg.norm(mean))
