"""Motion: the poses of one body at a constant rate."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from hybrik_ros.arrays import Array
from hybrik_ros.body import BodyModel
from hybrik_ros.human import Human
from hybrik_ros.kinematics import forward
from hybrik_ros.limits import MAX_MOTION_FRAMES
from hybrik_ros.skeleton import NUM_JOINTS, PELVIS

Gaps = Literal['interpolate', 'split']

_SECOND = 1e9  # nanoseconds
_DEFAULT_RATE = 30.0  # frames per second of a motion of a single frame
_MAX_RATE = 1000.0  # Hz; bounds the frames of a gap
# Rates that NTSC divides by 1.001.
_NTSC_RATES, _NTSC = (12, 15, 24, 30, 48, 60, 120, 240), 1.001
# Limits of the uncertainty of a rate, relative. The lower one separates 30 Hz from 29.97 Hz.
_MIN_UNCERTAINTY, _MAX_UNCERTAINTY = 0.0005, 0.005
# Of times that have no common step: the percentile of their steps that becomes the step of the
# motion, and the maximum number of these in the median of the steps.
_SHORT_STEPS, _MAX_REFINEMENT = 10, 4
_MAX_SHIFT = 1.0  # frames between a time and its frame, beyond which the times have no common step
_MAX_PAUSE = 3.0  # of the median of such steps, beyond which frames are missing
_MAX_GAP = 60.0  # maximum duration in seconds of a gap that is interpolated

# Rotations (3, 3) from the optical frame (x right, y down, z forward) of a camera that is level.
# Y_UP: to x right, y up, z backward, so that a person facing the camera faces along z. Z_UP: to x
# right, y forward, z up.
Y_UP = np.diag([1.0, -1.0, -1.0])
Z_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


class MotionError(ValueError):
    """A motion cannot be made or written. The message gives the reason."""


@dataclass(frozen=True, eq=False)
class Motion:
    """The motion of one person.

    Attributes
    ----------
    name : str
        Id of the person, with a number if gaps split the motion.
    body : BodyModel
        The body.
    betas : ndarray
        Shape parameters (num_betas) of all frames: the last ones of the person, which are based on
        most frames.
    rate : float
        Frames per second.
    rotations : ndarray
        Parent-relative rotations (N, 24, 3, 3); [:, 0] maps the rest frame of the body to the frame
        of the positions, which is the optical frame unless rotated.
    pelvis : ndarray
        Positions (N, 3) of joint 0 in metres; the camera is at the origin.
    deviations : ndarray
        Maximum distance in metres between a joint of this motion and of the message, for each
        message; greater than 0 in frames before the shape was final.
    """

    name: str
    body: BodyModel
    betas: Array
    rate: float
    rotations: Array
    pelvis: Array
    deviations: Array

    @property
    def rest(self) -> Array:
        """Joints and leaves (29, 3) of the T-pose in metres, in the rest frame of the body."""
        return self.body.rest_joints(self.betas)

    @property
    def translation(self) -> Array:
        """Translations (N, 3) of the SMPL layer in metres."""
        return self.pelvis - self.rest[PELVIS]

    @property
    def joints(self) -> Array:
        """Joints (N, 24, 3) in metres, by forward kinematics."""
        posed, _ = forward(self.rotations, self.rest[:NUM_JOINTS])
        return posed + self.translation[:, None]

    def rotated(self, rotation: Array) -> 'Motion':
        """Return the same motion in another frame.

        Parameters
        ----------
        rotation : ndarray
            Rotation (3, 3) from the present frame to the other one.
        """
        rotations = self.rotations.copy()
        rotations[:, PELVIS] = rotation @ rotations[:, PELVIS]
        return replace(self, rotations=rotations, pelvis=self.pelvis @ rotation.T)


def motions_of(
    stamps: Sequence[int], frames: Sequence[Sequence[Human]], body: BodyModel, gaps: Gaps
) -> list[Motion]:
    """Return the motions of all people.

    Parameters
    ----------
    stamps : sequence of int
        Stamps of the frames in nanoseconds, in ascending order.
    frames : sequence of sequence of Human
        The people in each frame.
    body : BodyModel
        The body that their betas are for.
    gaps : 'interpolate' or 'split'
        How to treat frames in which a person is missing, because the person was not seen or the
        camera lost the frame: interpolate rotations along geodesics and positions linearly, or
        split the motion there.

    Returns
    -------
    list of Motion
        In the optical frame; one for each person, or several if gaps split it.

    Raises
    ------
    MotionError
        There is no person, the stamps do not increase, or a gap is too long to interpolate.
    """
    grid = _create_grid(np.asarray(stamps, np.int64))
    rate = grid.rate
    people: dict[str, list[tuple[int, Human]]] = {}
    for index, humans in zip(grid.indices.tolist(), frames, strict=True):
        for human in humans:
            people.setdefault(human.id, []).append((index, human))
    if not people:
        raise MotionError('no frame has a person, so there is no motion')
    motions = []
    for id, sightings in people.items():
        seen = np.array([index for index, _ in sightings])
        humans = [human for _, human in sightings]
        betas = humans[-1].betas
        if gaps == 'interpolate':
            longest = np.diff(seen).max(initial=0) / rate
            if longest > _MAX_GAP:
                raise MotionError(
                    f'{id} is missing for {longest:.0f} s, too long to interpolate (maximum '
                    f'{_MAX_GAP:.0f} s): split the motion with --gaps split'
                )
            motions.append(_create_motion(id, body, betas, rate, seen, humans))
            continue
        starts = [0, *(np.flatnonzero(np.diff(seen) > grid.max_step) + 1).tolist(), len(seen)]
        parts = [slice(*ends) for ends in pairwise(starts)]
        for number, part in enumerate(parts, 1):
            name = id if len(parts) == 1 else f'{id}_{number}'
            motions.append(_create_motion(name, body, betas, rate, seen[part], humans[part]))
    _check_names(motions)
    return motions


def joint_error(human: Human, body: BodyModel) -> float:
    """Return how far the joints of a person are from those of its rotations and betas, in metres.

    Parameters
    ----------
    human : Human
        The person, of which joint 0 is taken as it is.
    body : BodyModel
        The body.
    """
    posed = forward(human.rotations, body.rest_joints(human.betas)[:NUM_JOINTS])[0]
    errors = posed - posed[PELVIS] - (human.joints - human.joints[PELVIS])
    return float(np.linalg.norm(errors, axis=1).max())


def _check_names(motions: Sequence[Motion]) -> None:
    """Raise a MotionError if two motions have one name, so that one file would replace another."""
    counts = Counter(motion.name for motion in motions)
    if names := [name for name, count in counts.items() if count > 1]:
        raise MotionError(
            f'a part of a motion would have the name of another person, {names[0]!r}: keep the '
            f'motion whole with --gaps interpolate'
        )


class _Grid(NamedTuple):
    """The frames of a motion, at a constant rate.

    Attributes
    ----------
    indices : ndarray
        Index (N) of the frame of each message.
    rate : float
        Frames per second.
    max_step : int
        Maximum difference of two indices between which nothing is missing.
    """

    indices: NDArray[np.int64]
    rate: float
    max_step: int = 1


def _create_grid(stamps: NDArray[np.int64]) -> _Grid:
    """Return the frames in which messages with these stamps in nanoseconds are."""
    steps = np.diff(stamps)
    if (steps <= 0).any():
        raise MotionError('the stamps do not increase from frame to frame')
    if not len(steps):
        return _Grid(np.zeros(len(stamps), np.int64), _DEFAULT_RATE)
    if np.median(steps) < _SECOND / _MAX_RATE:
        raise MotionError(
            f'frames follow each other within {np.median(steps) / _SECOND:g} s, faster than any '
            f'camera (at most {_MAX_RATE:.0f} Hz): their stamps are wrong'
        )
    times = (stamps - stamps[0]) / _SECOND
    # Counted from frame to frame, so that errors of the rate do not accumulate.
    counts = np.maximum(1, np.rint(steps / np.median(steps)).astype(np.int64))
    indices = np.append(0, counts.cumsum())
    shifts = times * (indices[-1] / times[-1]) - indices
    if np.abs(shifts).max() > _MAX_SHIFT:
        return _create_irregular_grid(times)
    return _Grid(indices, _estimate_rate(times, indices))


def _create_irregular_grid(times: Array) -> _Grid:
    """Return the frames of messages whose times (N) in seconds have no common step."""
    steps = np.diff(times)
    usual = float(np.median(steps))
    step = max(float(np.percentile(steps, _SHORT_STEPS)), usual / _MAX_REFINEMENT)
    rate = _to_nominal(1 / step, _MAX_UNCERTAINTY)
    numbers = np.arange(len(times))
    indices = np.maximum.accumulate(np.rint(times * rate).astype(np.int64) - numbers) + numbers
    return _Grid(indices, rate, int(_MAX_PAUSE * usual * rate))


def _estimate_rate(times: Array, indices: NDArray[np.int64]) -> float:
    """Return the rate in Hz: the nominal one of the camera, if the times agree with it.

    Programs that read motion files take every int(rate // 30)-th frame, for example, which must
    not fail because stamps are rounded or jitter.

    Parameters
    ----------
    times : ndarray
        Times (N) of the frames in seconds, the first one 0.
    indices : ndarray
        Indices (N) of the frames, the first one 0.
    """
    rate = float(indices[-1] / times[-1])
    jitter = np.std(times - indices / rate)
    return _to_nominal(
        rate, float(np.clip(2 * jitter / times[-1], _MIN_UNCERTAINTY, _MAX_UNCERTAINTY))
    )


def _to_nominal(rate: float, uncertainty: float) -> float:
    """Return the nominal rate of cameras within the relative uncertainty of a rate, or the rate."""
    whole = max(1.0, round(rate))
    nominal = [whole, whole / _NTSC] if whole in _NTSC_RATES else [whole]
    return next((n for n in nominal if abs(rate / n - 1) <= uncertainty), rate)


def _create_motion(
    name: str,
    body: BodyModel,
    betas: Array,
    rate: float,
    seen: NDArray,
    humans: Sequence[Human],
) -> Motion:
    """Return a motion from the person in the frames of these indices, interpolated between."""
    seen = seen - seen[0]
    if seen[-1] >= MAX_MOTION_FRAMES:
        raise MotionError(
            f'{name} would have {seen[-1] + 1} frames at {rate:g} Hz, more than the maximum of '
            f'{MAX_MOTION_FRAMES}: split the motion with --gaps split'
        )
    every = np.arange(seen[-1] + 1)
    missing = np.setdiff1d(every, seen)
    rotations = np.empty((len(every), NUM_JOINTS, 3, 3))
    rotations[seen] = [human.rotations for human in humans]
    pelvis = np.empty((len(every), 3))
    pelvis[seen] = [human.joints[PELVIS] for human in humans]
    if len(missing):
        for joint in range(NUM_JOINTS):
            known = Rotation.from_matrix(rotations[seen, joint])
            rotations[missing, joint] = Slerp(seen, known)(missing).as_matrix()
        for axis in range(3):
            pelvis[missing, axis] = np.interp(missing, seen, pelvis[seen, axis])
    motion = Motion(name, body, betas, rate, rotations, pelvis, np.zeros(0))
    joints = np.array([human.joints for human in humans])
    distances = np.linalg.norm(motion.joints[seen] - joints, axis=-1)
    return replace(motion, deviations=distances.max(axis=1))
