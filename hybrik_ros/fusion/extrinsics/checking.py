"""How well known extrinsics agree with the people that the cameras see."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.fusion.extrinsics.adjustment import fuse_points
from hybrik_ros.fusion.extrinsics.estimation import (
    CameraPose,
    ExtrinsicsError,
    find_all_tracks,
    link_cameras,
)
from hybrik_ros.fusion.extrinsics.pairing import Transform, join_people
from hybrik_ros.fusion.extrinsics.tracks import Instants, Stream, find_instants

_MAX_INSTANTS = 150
_MAX_AWAY = 0.3  # metres that a landmark counts at most
# Minimum of the direction in metres that shows wrong extrinsics: half a degree and a centimetre
# give 30 mm, and right extrinsics at most 12 mm, in the clips of `hybrik bench fusion`.
MAX_DIRECTION = 0.025


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
    """

    distance: float
    direction: float

    @property
    def is_good(self) -> bool:
        """Whether the extrinsics of the camera are right."""
        return self.direction <= MAX_DIRECTION


def check_extrinsics(
    streams: Mapping[str, Stream], cameras: Mapping[str, CameraPose]
) -> dict[str, CameraAgreement]:
    """Return how well each camera agrees with the others.

    Parameters
    ----------
    streams : mapping
        Stamps in seconds and people of the images of each camera, by its name.
    cameras : mapping
        The known pose and clock offset of each of them.

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
    into = [
        Transform(pose[:3, :3], pose[:3, 3]).inverse()
        for pose in (cameras[name].frame_from_camera for name in names)
    ]
    rotations = np.stack([motion.rotation for motion in into])
    translations = np.stack([motion.translation for motion in into])
    found = {}
    for at, name in enumerate(names):
        seen = instants.take(instants.seen_by()[:, at])
        if not len(seen):
            raise ExtrinsicsError(f'camera {name} shares no person with another camera')
        found[name] = _compare(seen, at, rotations, translations)
    return found


def _compare(
    instants: Instants, camera: int, rotations: Array, translations: Array
) -> CameraAgreement:
    """Return how a camera, which sees all instants, agrees with the others."""
    limbs = instants.layout.limbs
    others = instants.weights.copy()
    others[:, camera] = 0.0
    rest = replace(instants, weights=others)
    with_two = rest.seen_by().sum(axis=1) > 1
    if with_two.any():
        instants, rest = instants.take(with_two), rest.take(with_two)
    else:
        rest = instants
    points, confidence = fuse_points(rest, rotations, translations, limbs)
    local = points @ rotations[camera].T + translations[camera]
    errors = local[..., :2] - instants.rays[:, camera, limbs] * local[..., 2:]
    weights = confidence * instants.weights[:, camera, limbs]
    away = np.linalg.norm(errors, axis=2)
    errors = errors * np.minimum(1, _MAX_AWAY / np.maximum(away, _MAX_AWAY))[..., None]
    mean = np.einsum('kl,kla->a', weights, errors) / weights.sum()
    distance = np.sum(weights * np.minimum(away, _MAX_AWAY)) / weights.sum()
    return CameraAgreement(float(distance), float(np.linalg.norm(mean)))
