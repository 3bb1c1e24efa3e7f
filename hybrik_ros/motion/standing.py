"""Motions in a fixed frame: the floor on which people stand, and what moves it to height 0."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.body import BodyModel
from hybrik_ros.human import Human
from hybrik_ros.motion.motion import Z_UP, Motion
from hybrik_ros.skeleton import JOINT_NAMES, NUM_JOINTS

_SOLES = [
    JOINT_NAMES.index(f'{side}_{part}') for side in ('left', 'right') for part in ('ankle', 'foot')
]
# Share of the lowest soles that lie below the floor: people stand and walk on it for more than a
# fifth of the time, and errors of single frames lie below it.
_BELOW = 0.2
_UNKNOWN_SIGMA = 0.2  # metres; of joints of one camera


def find_floor(people: Sequence[Human], body: BodyModel) -> float:
    """Return the height of the floor in metres, on which people in a fixed frame stand.

    The lowest soles of all people count by the accuracy of their joints: those of people that one
    camera sees behind furniture can be far below the floor.

    Parameters
    ----------
    people : sequence of Human
        The people of all frames, at least one.
    body : BodyModel
        Their body.
    """
    shapes = {human.id: human.betas for human in people}
    soles = {id: _find_soles(body, betas) for id, betas in shapes.items()}
    lowest, weights = np.array([_lowest_sole(human, soles[human.id]) for human in people]).T
    order = np.argsort(lowest)
    below = np.cumsum(weights[order])
    return float(lowest[order][np.searchsorted(below, _BELOW * below[-1])])


def place_on_floor(motion: Motion, floor: float) -> Motion:
    """Return a motion of a fixed frame in the optical frame of a level camera on the floor.

    Parameters
    ----------
    motion : Motion
        The motion in a fixed frame, z up.
    floor : float
        Height of the floor in metres.

    Returns
    -------
    Motion
        In files with z up, it has the x and y of the fixed frame.
    """
    lowered = replace(motion, pelvis=motion.pelvis - [0.0, 0.0, floor])
    return lowered.rotated(Z_UP.T)


def _lowest_sole(human: Human, soles: Array) -> tuple[float, float]:
    """Return the height in metres of the lowest sole (4, 3), and how much it counts."""
    offsets = np.einsum('ji,ji->j', human.global_rotations[_SOLES, 2], soles)
    heights = human.joints[_SOLES, 2] + offsets
    at = int(heights.argmin())
    sigma = _UNKNOWN_SIGMA if human.joint_sigma is None else human.joint_sigma[_SOLES[at]]
    return float(heights[at]), 1 / max(float(sigma), 0.001) ** 2


def _find_soles(body: BodyModel, betas: Array) -> Array:
    """Return the lowest vertex (4, 3) that moves with each joint of _SOLES, relative to it."""
    vertices = body.vertices(np.tile(np.eye(3), (NUM_JOINTS, 1, 1)), betas, np.zeros(3))
    joints, weights = body.skinning
    main = np.take_along_axis(joints, weights.argmax(axis=1)[:, None], axis=1)[:, 0]
    rest = body.rest_joints(betas)
    found = []
    for joint in _SOLES:
        own = vertices[main == joint]
        found.append(own[own[:, 1].argmin()] - rest[joint])
    return np.array(found, float)
