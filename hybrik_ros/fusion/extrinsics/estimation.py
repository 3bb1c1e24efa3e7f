"""Extrinsics and clock offsets of cameras, from the people that they see."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.body import BodyModel
from hybrik_ros.fusion.extrinsics.adjustment import (
    Scene,
    adjust,
    fuse_points,
    ray_errors,
    start,
)
from hybrik_ros.fusion.extrinsics.pairing import (
    MIN_SHARED_SECONDS,
    Link,
    TrackMatch,
    Transform,
    join_people,
    match_by_rays,
    pair,
)
from hybrik_ros.fusion.extrinsics.tracks import (
    HIPS_AT,
    LAYOUTS,
    CameraTrack,
    Instants,
    Stream,
    find_instants,
    find_tracks,
)
from hybrik_ros.fusion.extrinsics.world import (
    Scale,
    find_floor,
    find_scale,
    find_up,
    foot_height,
    measure_bones,
    stand_up,
)
from hybrik_ros.rotations import angle_between, unit

MAX_OFFSET = 1.0  # default of the maximum clock offset in seconds
_MAX_INSTANTS = 150
_ROUNDS = 2  # of the adjustment, each with the clock offsets of the last
# Maximum angle in radians between a link and the chain of other links.
_MAX_INCONSISTENCY = np.radians(30)
# Minimum RMS motion in metres of a walking person's limbs, and minimum length
# in metres of a walk: a person on one spot gives three times the error.
_MIN_MOTION, _MIN_WALK = 0.06, 1.5
# Minimum time for which a person is seen whose stature may be the given one: share of the time of
# the person that is seen most.
_MIN_SEEN_PART = 0.5
# Minimum angle in radians between the two cameras that are farthest apart, as the person sees them.
_MIN_ANGLE = np.radians(3)
# Maximum difference of two halves of a recording in radians and metres.
_MAX_TURN, _MAX_SHIFT = np.radians(3.0), 0.3
_MIN_HALF_INSTANTS = 8  # in which a camera sees a person, in each half
# Maximum mean distance in metres of landmarks from a camera's rays that needs no note.
_MAX_ERROR = 0.05


class ExtrinsicsError(ValueError):
    """The people do not tell where the cameras are. The message says why, and what to do."""


class CameraPose(NamedTuple):
    """Where a camera is, and how late its clock is.

    Attributes
    ----------
    frame_from_camera : ndarray
        Transform (4, 4) from the optical frame to the fixed frame, in metres.
    clock_offset : float
        Seconds to add to its stamps to get those of the first camera.
    """

    frame_from_camera: Array
    clock_offset: float


class Difference(NamedTuple):
    """How two poses of a camera differ.

    Attributes
    ----------
    turn : float
        Angle in radians.
    shift : float
        Distance in metres.
    """

    turn: float
    shift: float


@dataclass(frozen=True, eq=False)
class Report:
    """How good extrinsics are.

    Attributes
    ----------
    shared : dict
        Seconds in which two cameras see the same person, by the names of both.
    errors : dict
        Mean distance in metres of the landmarks from the rays of each camera.
    repeatability : dict
        Difference of each camera in both halves of the recording, relative to the first camera;
        without cameras that see a person in one half only.
    scale : Scale
        The scale, by the stature.
    is_stature_given : bool
        Whether the stature is given, not that of a mean body.
    paths : list of ndarray
        Positions (K, 3) of each person's hips in metres, fixed frame.
    notes : list of str
        What makes the extrinsics less accurate.
    """

    shared: dict[tuple[str, str], float]
    errors: dict[str, float]
    repeatability: dict[str, Difference]
    scale: Scale
    is_stature_given: bool
    paths: list[Array]
    notes: list[str]


@dataclass(frozen=True, eq=False)
class Extrinsics:
    """The cameras in a frame with z up and the floor at 0, below the first camera.

    Attributes
    ----------
    cameras : dict
        Pose of each camera, by its name.
    report : Report
        How good they are.
    """

    cameras: dict[str, CameraPose]
    report: Report


def estimate_extrinsics(
    streams: Mapping[str, Stream],
    *,
    stature: float | None = None,
    body: BodyModel | None = None,
    max_offset: float = MAX_OFFSET,
) -> Extrinsics:
    """Return where cameras are and how their clocks differ, from the people that they see.

    Parameters
    ----------
    streams : mapping
        Stamps in seconds and people of the images of each camera, by its name.
    stature : float, optional
        Stature in metres of the tallest person, of those that are seen at least half as much as the
        person that is seen most: a person that only passes by does not count. Without it, the scale
        is that of a mean body for the person that is seen most. The floor is the same person's.
    body : BodyModel, optional
        The body of people; the embedded one by default.
    max_offset : float
        Maximum clock offset between two cameras in seconds.

    Raises
    ------
    ExtrinsicsError
        The people do not determine it, or two halves of the recording disagree.
    """
    body = BodyModel.load() if body is None else body
    tracks = find_all_tracks(streams)
    cameras = list(tracks)
    links = link_cameras(tracks, max_offset)
    shared = {
        names: links[names].seconds if names in links else 0.0
        for names in itertools.combinations(cameras, 2)
    }
    transforms, offsets = _chain(cameras, links, shared, max_offset)
    people = join_people(_consistent(cameras, transforms, links))
    scene, instants = _adjust(people, cameras, transforms, offsets, 1)
    transforms, offsets = _motions(scene), scene.offsets
    people = join_people(_match_by_rays(tracks, transforms, offsets)) or people
    scene, instants = _adjust(people, cameras, transforms, offsets, _ROUNDS)
    _check_motion(scene, instants)
    _check_angles(scene, cameras)
    repeatability = _repeat(scene, instants, cameras)
    world = _place(scene, instants, people[0][0].landmarks, stature, body)
    factor = world.scale.factor
    away = factor * ray_errors(instants, scene)
    errors = {name: float(np.nanmean(away[:, at])) for at, name in enumerate(cameras)}
    differences = {
        name: Difference(one.turn, factor * one.shift) for name, one in repeatability.items()
    }
    is_given = stature is not None
    notes = [*_note_people(people, world, is_given), *_note_cameras(errors, differences)]
    report = Report(shared, errors, differences, world.scale, is_given, world.paths, notes)
    poses = zip(cameras, world.poses, scene.offsets, strict=True)
    return Extrinsics({name: CameraPose(pose, float(late)) for name, pose, late in poses}, report)


def find_all_tracks(streams: Mapping[str, Stream]) -> dict[str, list[CameraTrack]]:
    """Return the tracks of each camera.

    Raises
    ------
    ExtrinsicsError
        There are fewer than two cameras, one sees no person, or they have different landmarks.
    """
    if len(streams) < 2:
        raise ExtrinsicsError('calibration needs two cameras or more')
    tracks = {camera: find_tracks(camera, stream) for camera, stream in streams.items()}
    for camera, found in tracks.items():
        if not found:
            raise ExtrinsicsError(
                f'camera {camera} sees no person for half a second: walk through its view'
            )
    kinds = {track.landmarks for found in tracks.values() for track in found}
    if len(kinds) > 1:
        raise ExtrinsicsError(
            f'the cameras have different landmarks ({", ".join(sorted(kinds))}): use the same '
            f'estimator for all'
        )
    return tracks


def link_cameras(
    tracks: Mapping[str, Sequence[CameraTrack]], max_offset: float
) -> dict[tuple[str, str], Link]:
    """Return the links of cameras that see the same people, by the names of both."""
    found = {
        (one, other): pair(tracks[one], tracks[other], max_offset)
        for one, other in itertools.combinations(tracks, 2)
    }
    return {names: link for names, link in found.items() if link is not None}


def shared_seconds(first: Stream, second: Stream, max_offset: float = MAX_OFFSET) -> float:
    """Return the time in seconds in which two cameras see the same person."""
    link = pair(find_tracks('first', first), find_tracks('second', second), max_offset)
    return 0.0 if link is None else link.seconds


def _chain(
    cameras: Sequence[str],
    links: Mapping[tuple[str, str], Link],
    shared: Mapping[tuple[str, str], float],
    max_offset: float,
) -> tuple[list[Transform], Array]:
    """Return transforms from the first camera to each, and clock offsets, by the best links."""
    usable = {names: link for names, link in links.items() if link.seconds >= MIN_SHARED_SECONDS}
    found = {cameras[0]: (Transform(np.eye(3), np.zeros(3)), 0.0)}
    while len(found) < len(cameras):
        next_to = [names for names in usable if (names[0] in found) != (names[1] in found)]
        if not next_to:
            missing = [name for name in cameras if name not in found]
            raise _not_linked(missing, list(found), shared, max_offset)
        best = max(next_to, key=lambda names: usable[names].seconds / usable[names].residual ** 2)
        link = usable[best]
        if best[0] in found:
            known, new, step, late = *best, link.transform, link.offset
        else:
            new, known, step, late = *best, link.transform.inverse(), -link.offset
        transform, offset = found[known]
        found[new] = step.after(transform), offset + late
    return [found[name][0] for name in cameras], np.array([found[name][1] for name in cameras])


def _not_linked(
    missing: Sequence[str],
    linked: Sequence[str],
    shared: Mapping[tuple[str, str], float],
    max_offset: float,
) -> ExtrinsicsError:
    seconds, names = max(
        (seconds, names)
        for names, seconds in shared.items()
        if (names[0] in missing) != (names[1] in missing)
    )
    which = f'camera {missing[0]}' if len(missing) == 1 else f'cameras {", ".join(missing)}'
    return ExtrinsicsError(
        f'{which} and {", ".join(linked)} have not seen the same person for at least '
        f'{MIN_SHARED_SECONDS:g} s (at most {seconds:.1f} s, cameras {names[0]} and {names[1]}): '
        f'walk where both see the whole body; if one did, the clocks differ by more than '
        f'{max_offset:g} s: synchronise them'
    )


def _consistent(
    cameras: Sequence[str],
    transforms: Sequence[Transform],
    links: Mapping[tuple[str, str], Link],
) -> list[TrackMatch]:
    """Return the matches that agree with the transforms from the first camera to each."""
    rotations = dict(zip(cameras, (transform.rotation for transform in transforms), strict=True))
    return [
        match
        for (one, other), link in links.items()
        for match in link.matches
        if angle_between(link.transform.rotation, rotations[other] @ rotations[one].T)
        < _MAX_INCONSISTENCY
    ]


def _match_by_rays(
    tracks: Mapping[str, Sequence[CameraTrack]], transforms: Sequence[Transform], offsets: Array
) -> list[TrackMatch]:
    """Return the tracks that are one person by approximate transforms from the first camera."""
    known = dict(zip(tracks, zip(transforms, offsets, strict=True), strict=True))
    found = []
    for one, other in itertools.combinations(tracks, 2):
        (first, early), (second, late) = known[one], known[other]
        across = second.after(first.inverse())
        found += match_by_rays(tracks[one], tracks[other], across, late - early)
    return found


def _motions(scene: Scene) -> list[Transform]:
    return [Transform(*motion) for motion in zip(scene.rotations, scene.translations, strict=True)]


def _adjust(
    people: Sequence[Sequence[CameraTrack]],
    cameras: Sequence[str],
    transforms: Sequence[Transform],
    offsets: Array,
    rounds: int,
) -> tuple[Scene, Instants]:
    """Return the adjusted scene, and the instants at its offsets."""
    for _ in range(rounds):
        instants = find_instants(people, cameras, offsets, _MAX_INSTANTS)
        scene = adjust(instants, start(instants, transforms, offsets))
        transforms, offsets = _motions(scene), scene.offsets
    return scene, instants


def _check_motion(scene: Scene, instants: Instants) -> None:
    limbs = scene.points[:, : len(instants.layout.limbs)]
    motion = max(
        float(np.sqrt(np.mean(np.sum(np.var(limbs[instants.people == person], axis=0), axis=1))))
        for person in np.unique(instants.people)
    )
    if motion < _MIN_MOTION:
        raise ExtrinsicsError(
            f'the person stands still (limbs move by {100 * motion:.0f} cm): walk through the '
            f'views of all cameras'
        )


def _check_angles(scene: Scene, cameras: Sequence[str]) -> None:
    """Refuse cameras that all look from the same place: distances are unknown then."""
    centres = -np.einsum('cji,cj->ci', scene.rotations, scene.translations)
    sights = unit(scene.points.mean(axis=(0, 1)) - centres)
    angle = np.arccos(np.clip((sights @ sights.T).min(), -1.0, 1.0))
    if angle < _MIN_ANGLE:
        raise ExtrinsicsError(
            f'cameras {", ".join(cameras)} see the person from nearly the same direction '
            f'({np.degrees(angle):.1f} degrees apart): move them apart'
        )


def _repeat(scene: Scene, instants: Instants, cameras: Sequence[str]) -> dict[str, Difference]:
    """Return how cameras differ between both halves; refuse those that disagree."""
    middle = np.median(instants.times)
    halves = [instants.times < middle, instants.times >= middle]
    parts = [instants.take(half) for half in halves]
    scenes = [adjust(part, _part(scene, half)) for part, half in zip(parts, halves, strict=True)]
    seen = np.min([part.seen_by().sum(axis=0) for part in parts], axis=0)
    found = {}
    for at, name in enumerate(cameras):
        if min(seen[0], seen[at]) < _MIN_HALF_INSTANTS:
            continue
        centres = [-one.rotations[at].T @ one.translations[at] for one in scenes]
        found[name] = Difference(
            float(angle_between(*(one.rotations[at] for one in scenes))),
            float(np.linalg.norm(centres[0] - centres[1])),
        )
    for name, difference in found.items():
        if difference.turn > _MAX_TURN or difference.shift > _MAX_SHIFT:
            raise ExtrinsicsError(
                f'both halves of the recording disagree about camera {name} by '
                f'{np.degrees(difference.turn):.1f} degrees and {100 * difference.shift:.0f} cm: '
                f'walk longer, in all parts of the views that cameras share; if that does not '
                f'help, it moves, or its clock or intrinsics are wrong'
            )
    return found


def _part(scene: Scene, half: NDArray[np.bool_]) -> Scene:
    return Scene(
        scene.rotations, scene.translations, scene.offsets, scene.points[half], scene.lengths
    )


class _World(NamedTuple):
    """The cameras and people of a scene in the fixed frame.

    Attributes
    ----------
    scale : Scale
        The scale.
    poses : list of ndarray
        Transform (4, 4) from each optical frame to the fixed frame.
    paths : list of ndarray
        As of Report.
    main : int
        Number of the person whose stature and feet are used.
    statures : dict
        Statures in metres of the people that are seen often, by their number.
    """

    scale: Scale
    poses: list[Array]
    paths: list[Array]
    main: int
    statures: dict[int, float]


class _MeasuredPerson(NamedTuple):
    """A person that is seen often: up (3), lengths of bones and stature, those of the scene."""

    number: int
    up: Array
    lengths: Array
    stature: float


def _place(
    scene: Scene, instants: Instants, landmarks: str, stature: float | None, body: BodyModel
) -> _World:
    """Return an adjusted scene in metres, upright and on the floor."""
    layout = LAYOUTS[landmarks]
    count = instants.rays.shape[2]
    points, confidence = fuse_points(instants, scene.rotations, scene.translations, range(count))
    points[:, layout.used] = scene.points
    people = []
    for number in _often_seen(instants):
        own = instants.people == number
        up = find_up(points[own][:, layout.limbs])
        lengths = measure_bones(landmarks, points[own], confidence[own], up, body)
        people.append(
            _MeasuredPerson(number, up, lengths, find_scale(lengths, body, None).relative_stature)
        )
    main = people[0] if stature is None else max(people, key=lambda one: one.stature)
    scale = find_scale(main.lengths, body, stature)
    own = instants.people == main.number
    up, floor = find_floor(scale.factor * points[own][:, layout.feet], main.up)
    inverses = [
        Transform(rotation, scale.factor * translation).inverse()
        for rotation, translation in zip(scene.rotations, scene.translations, strict=True)
    ]
    poses = stand_up(
        [_matrix(transform) for transform in inverses], up, floor - foot_height(landmarks, body)
    )
    hips = scale.factor * points[:, layout.limbs][:, HIPS_AT].mean(axis=1)
    hips = hips @ poses[0][:3, :3].T + poses[0][:3, 3]
    paths = [hips[instants.people == person] for person in np.unique(instants.people)]
    statures = {one.number: scale.factor * one.stature for one in people}
    return _World(scale, poses, paths, main.number, statures)


def _often_seen(instants: Instants) -> list[int]:
    """Return the people that are seen at least half as much as the one that is seen most, first."""
    views = np.bincount(instants.people, instants.seen_by().sum(axis=1) - 1)
    order = np.argsort(-views, kind='stable')
    return [int(number) for number in order if views[number] >= _MIN_SEEN_PART * views.max()]


def _matrix(transform: Transform) -> Array:
    found = np.eye(4)
    found[:3, :3], found[:3, 3] = transform
    return found


def _note_people(
    people: Sequence[Sequence[CameraTrack]], world: _World, is_stature_given: bool
) -> list[str]:
    """Return what of the people makes extrinsics less accurate than they can be."""
    notes = []
    walk = max(float(np.linalg.norm(np.ptp(path[:, :2], axis=0))) for path in world.paths)
    if walk < _MIN_WALK:
        notes.append(
            f'the people stay within {walk:.1f} m: after a walk through all views, errors are '
            f'three times smaller'
        )
    if len(world.statures) > 1:
        ids = ', '.join(f'{track.id} of {track.camera}' for track in people[world.main])
        which = 'the tallest' if is_stature_given else 'the one seen most'
        others = ', '.join(
            f'{metres:.2f} m' for number, metres in world.statures.items() if number != world.main
        )
        notes.append(
            f'{len(world.statures)} people are seen often; stature and floor are those of {which} '
            f'({ids}), with which the stature of the others is {others}'
        )
    return notes


def _note_cameras(
    errors: Mapping[str, float], repeatability: Mapping[str, Difference]
) -> list[str]:
    """Return the cameras that are less certain."""
    notes = []
    for name, error in errors.items():
        if name not in repeatability:
            notes.append(
                f'camera {name} shares people with others in one half of the recording only, so '
                f'its repeatability is unknown'
            )
        if error > _MAX_ERROR:
            notes.append(
                f'people are {1e3 * error:.0f} mm from the rays of camera {name}: check its '
                f'intrinsics and its clock'
            )
    return notes
