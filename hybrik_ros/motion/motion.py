"""Motion: one body, posed at a steady rate."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from hybrik_ros.arrays import Array
from hybrik_ros.body import BodyModel
from hybrik_ros.human import Human
from hybrik_ros.kinematics import forward
from hybrik_ros.skeleton import NUM_JOINTS, PELVIS

Gaps = Literal['interpolate', 'split']

_SECOND = 1e9  # nanoseconds
_RATE = 30.0  # hertz, taken where a single frame tells none
_LONGEST_GAP = 60.0  # seconds; nobody knows what somebody did in longer ones

# From the optical frame (x right, y down, z forward) of a camera that is level. To y up, x right, z
# backwards: who faces the camera faces along z. To z up, x right, y forward.
Y_UP = np.diag([1.0, -1.0, -1.0])
Z_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


class MotionError(ValueError):
    """There is no such motion; the message says why."""


@dataclass(frozen=True, eq=False)
class Motion:
    """One person over time.

    Attributes
    ----------
    name: id of the person, and a number where gaps split the motion.
    body: whose shape is given by the betas.
    betas: (num_betas), one shape for all frames: the person's last, of which most was known.
    rate: frames a second.
    rotations: (N, 24, 3, 3), parent-relative; [0] maps the body's rest frame to that of the
        positions: the optical frame, until it is turned.
    pelvis: (N, 3), metres, where joint 0 is; the camera is at the origin.
    deviations: metres, of each message, by how much a joint of this body is off that of the
        message, at most. Not 0 where the shape was still being learnt.
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
        """The joints and leaves (29, 3) of the T-pose, metres, in the body's rest frame."""
        return self.body.rest_joints(self.betas)

    @property
    def translation(self) -> Array:
        """What a SMPL layer adds to its output: (N, 3), metres."""
        return self.pelvis - self.rest[PELVIS]

    @property
    def joints(self) -> Array:
        """The joints (N, 24, 3), metres, by forward kinematics."""
        posed, _ = forward(self.rotations, self.rest[:NUM_JOINTS])
        return posed + self.translation[:, None]

    def turned(self, turn: Array) -> 'Motion':
        """Return the same motion along other axes: turn (3, 3) maps the present ones to them."""
        rotations = self.rotations.copy()
        rotations[:, PELVIS] = turn @ rotations[:, PELVIS]
        return replace(self, rotations=rotations, pelvis=self.pelvis @ turn.T)


def motions_of(
    stamps: Sequence[int], frames: Sequence[Sequence[Human]], body: BodyModel, gaps: Gaps
) -> list[Motion]:
    """Return the motion of every person.

    Parameters
    ----------
    stamps: nanoseconds, of the frames, which rise.
    frames: the people in each, of this body.
    body: whose betas they have.
    gaps: what becomes of frames in which somebody is missing, be it that they were not seen or
        that the camera lost frames: rotations are interpolated along geodesics and positions
        along lines, or the motion is split there.

    Raises
    ------
    MotionError: nobody is in the frames, the stamps do not rise, or a gap is too long to be
        interpolated.
    """
    slots, rate = _slots(np.asarray(stamps, np.int64))
    seen: dict[str, list[tuple[int, Human]]] = {}
    for slot, people in zip(slots.tolist(), frames, strict=True):
        for human in people:
            seen.setdefault(human.id, []).append((slot, human))
    if not seen:
        raise MotionError('nobody is in it')
    motions = []
    for id, sightings in seen.items():
        places = np.array([slot for slot, _ in sightings])
        humans = [human for _, human in sightings]
        betas = humans[-1].betas
        if gaps == 'interpolate':
            longest = np.diff(places).max(initial=0) / rate
            if longest > _LONGEST_GAP:
                raise MotionError(
                    f'{id} is missing for {longest:.0f} s, too long to be interpolated: split '
                    f'the motion there (--gaps split)'
                )
            motions.append(_motion(id, body, betas, rate, places, humans))
            continue
        starts = [0, *(np.flatnonzero(np.diff(places) > 1) + 1).tolist(), len(places)]
        parts = [slice(*ends) for ends in pairwise(starts)]
        for number, part in enumerate(parts, 1):
            name = id if len(parts) == 1 else f'{id}_{number}'
            motions.append(_motion(name, body, betas, rate, places[part], humans[part]))
    return motions


def _slots(stamps: NDArray[np.int64]) -> tuple[NDArray[np.int64], float]:
    """Return the numbers of the frames, those that the camera lost counted, and their rate."""
    steps = np.diff(stamps)
    if (steps <= 0).any():
        raise MotionError('the stamps do not rise from frame to frame')
    if not len(steps):
        return np.zeros(len(stamps), np.int64), _RATE
    # From frame to frame, so that a rate which is a little off adds up to nothing.
    counts = np.maximum(1, np.rint(steps / np.median(steps)).astype(np.int64))
    return np.append(0, counts.cumsum()), float(counts.sum() / (steps.sum() / _SECOND))


def _motion(
    name: str,
    body: BodyModel,
    betas: Array,
    rate: float,
    slots: NDArray,
    humans: Sequence[Human],
) -> Motion:
    slots = slots - slots[0]
    every = np.arange(slots[-1] + 1)
    missing = np.setdiff1d(every, slots)
    rotations = np.empty((len(every), NUM_JOINTS, 3, 3))
    rotations[slots] = [human.rotations for human in humans]
    pelvis = np.empty((len(every), 3))
    pelvis[slots] = [human.joints[PELVIS] for human in humans]
    if len(missing):
        for joint in range(NUM_JOINTS):
            turns = Rotation.from_matrix(rotations[slots, joint])
            rotations[missing, joint] = Slerp(slots, turns)(missing).as_matrix()
        for axis in range(3):
            pelvis[missing, axis] = np.interp(missing, slots, pelvis[slots, axis])
    motion = Motion(name, body, betas, rate, rotations, pelvis, np.zeros(0))
    joints = np.array([human.joints for human in humans])
    off = np.linalg.norm(motion.joints[slots] - joints, axis=-1)
    return replace(motion, deviations=off.max(axis=1))
