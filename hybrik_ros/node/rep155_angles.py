"""From SMPL's rotations to the joint angles of REP-155's body.

That body is simpler than SMPL's: a waist that bends forwards, a head on a rigid torso, and limbs
whose shoulder or hip has three hinges, whose elbow or knee one. Its angles are chosen such that
upper and lower limbs point where they point in SMPL's body, and the head has its orientation.

Axes of REP-155: x out of the chest, y to the left, z to the head. With all angles zero, arms and
legs hang along -z.

Source: REP-155 (Human-Robot Interaction) and its human_description.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hybrik_ros.arrays import Array
from hybrik_ros.kinematics import forward
from hybrik_ros.messages.frames import REP_FROM_SMPL
from hybrik_ros.rotations import from_axis, unit
from hybrik_ros.skeleton import JOINT_NAMES, PELVIS

_X, _Y, _Z = np.eye(3)
HIPS = [JOINT_NAMES.index('left_hip'), JOINT_NAMES.index('right_hip')]
_NECK, _HEAD = JOINT_NAMES.index('neck'), JOINT_NAMES.index('head')

# Radians, how near to a singularity of its joints a limb is taken to be in it. Closer than that
# an angle follows its last value rather than what is seen; directions miss by 2.3 times this at
# most: by 1.2 times for the first of three angles, and by once for an elbow or a knee.
_SINGULAR = 0.014
# Of two solutions, an angle out of its range counts as half as much motion. The most that it can
# amount to is less than half a turn, so that nobody changes to the other solution for it alone.
_PREFERENCE = 0.5


def _dot(first: Array, second: Array) -> Array:
    """Return the products (N) of vectors (N, 3)."""
    return np.asarray((first * second).sum(axis=-1))


class Hinge(NamedTuple):
    """A joint of REP-155's body.

    Attributes
    ----------
    name: without the suffix of the person.
    axis: along REP-155's axes, of length 1.
    lower, upper: radians, the range that REP-155's model gives it. People go beyond it.
    """

    name: str
    axis: Array
    lower: float
    upper: float


class Limb(NamedTuple):
    """An arm or a leg.

    Attributes
    ----------
    hinges: three of the shoulder or hip, and the elbow or knee, from the trunk outwards.
    joints: SMPL's at the ends of upper and lower limb: shoulder, elbow, wrist, say.
    axis: of the elbow or knee of SMPL's T-pose, towards y of REP-155's limb, in SMPL's axes.
    bend: 1 if the lower limb bends by negative angles, to the back; -1 if to the front.
    """

    hinges: tuple[Hinge, Hinge, Hinge, Hinge]
    joints: tuple[int, int, int]
    axis: Array
    bend: int


def _arm(side: str) -> Limb:
    letter, reflect = side[0], 1 if side == 'left' else -1
    return Limb(
        (
            Hinge(f'{letter}_y_shoulder', -reflect * _Z, -1.1, 1.9),
            Hinge(f'{letter}_p_shoulder', reflect * _X, -0.4, 3.3),
            Hinge(f'{letter}_r_shoulder', reflect * _Z, -1.7, 1.5),
            Hinge(f'{letter}_elbow', -_Y, 0.0, 2.5),
        ),
        _joints(side, 'shoulder', 'elbow', 'wrist'),
        reflect * _Y,
        -1,
    )


def _leg(side: str) -> Limb:
    letter, reflect = side[0], 1 if side == 'left' else -1
    return Limb(
        (
            Hinge(f'{letter}_y_hip', -_Z, -0.1, 0.6),
            Hinge(f'{letter}_p_hip', reflect * _X, -0.4, 3.3),
            Hinge(f'{letter}_r_hip', -_Y, -0.4, 0.7),
            Hinge(f'{letter}_knee', -_Y, -2.5, 0.0),
        ),
        _joints(side, 'hip', 'knee', 'ankle'),
        _X,
        1,
    )


def _joints(side: str, *parts: str) -> tuple[int, int, int]:
    first, second, third = (JOINT_NAMES.index(f'{side}_{part}') for part in parts)
    return first, second, third


WAIST = Hinge('waist', _Y, -0.2, 1.0)
HEAD = (
    Hinge('r_head', _X, -1.0, 1.0),
    Hinge('y_head', _Z, -1.4, 1.4),
    Hinge('p_head', -_Y, -1.5, 1.5),
)
ARMS = {'l': _arm('left'), 'r': _arm('right')}
LEGS = {'l': _leg('left'), 'r': _leg('right')}

_LIMBS = (*ARMS.values(), *LEGS.values())

# The joints whose angles joint_angles gives, in its order.
HINGES: tuple[Hinge, ...] = (WAIST, *HEAD, *(hinge for limb in _LIMBS for hinge in limb.hinges))

_ENDS = np.array([limb.joints for limb in _LIMBS])
_BEND_AXES = np.stack([limb.axis for limb in _LIMBS])
_BENDS = np.array([[limb.bend] for limb in _LIMBS])

# The three hinges of the head, the shoulders and the hips, and their ranges.
_CHAINS = (HEAD, *(limb.hinges[:3] for limb in _LIMBS))
_FIRST, _SECOND, _THIRD = np.array([[hinge.axis for hinge in chain] for chain in _CHAINS]).swapaxes(
    0, 1
)
_LOWER = np.array([[hinge.lower for hinge in chain[:2]] for chain in _CHAINS])
_UPPER = np.array([[hinge.upper for hinge in chain[:2]] for chain in _CHAINS])
# The second hinge turns the third axis towards _ASIDE. One of the two stays across the first axis
# and tells how far the first hinge has turned; the other one is along it.
_ASIDE = np.cross(_SECOND, _THIRD)
_THIRD_IS_ALONG = np.abs(_dot(_FIRST, _THIRD)) > 0.5
_ALONG = np.where(_THIRD_IS_ALONG[:, None], _THIRD, _ASIDE)
_NEUTRAL = np.where(_THIRD_IS_ALONG[:, None], _ASIDE, _THIRD)
_QUARTER = np.cross(_FIRST, _NEUTRAL)


def joint_angles(
    rotations: ArrayLike, rest_joints: ArrayLike, previous: ArrayLike | None = None
) -> Array:
    """Return the angles (20) of HINGES, radians, of a person.

    Where joints are singular (an arm that hangs, a knee that is straight), infinitely many angles
    mean one pose; from frame to frame they go on from the previous ones. So that they never jump
    by a turn, they leave [-pi, pi]: an arm that circles about where it hangs, as a walker's does,
    winds the first angle of its shoulder up, and the third one back. They keep no limits.

    Parameters
    ----------
    rotations: (24, 3, 3), parent-relative.
    rest_joints: (29, 3) or (24, 3), metres, of the person's T-pose.
    previous: (20), of the frame before. Without them, the least angles are chosen.

    Returns
    -------
    (20). Limbs point within 2 degrees of where SMPL's do, and mostly much nearer.
    """
    rest_joints = np.asarray(rest_joints, float)
    joints, turns = forward(rotations, rest_joints)
    to_body = REP_FROM_SMPL @ turns[PELVIS].T
    joints, turns, rest = joints @ to_body.T, to_body @ turns, rest_joints @ REP_FROM_SMPL.T
    last = np.zeros(len(HINGES)) if previous is None else np.asarray(previous, float)

    waist = _lean(joints) - _lean(rest)
    to_torso = from_axis(_Y, np.cos(waist), -np.sin(waist))
    head = to_torso @ turns[_HEAD] @ REP_FROM_SMPL.T
    to_trunk = np.stack([to_torso, to_torso, np.eye(3), np.eye(3)])
    ends = joints[_ENDS] @ to_trunk.swapaxes(1, 2)
    axes = _turned(to_trunk @ turns[_ENDS[:, 0]], _BEND_AXES)
    limbs, bends = _limbs(ends, axes)
    last_limbs = last[4:].reshape(4, 4)
    found = _three_angles(
        np.concatenate([head[None], limbs]), np.concatenate([last[None, 1:4], last_limbs[:, :3]])
    )
    angles = np.concatenate(
        [[waist], found[0], np.concatenate([found[1:], bends[:, None]], axis=1).ravel()]
    )
    return np.asarray(last + _within_half_a_turn(angles - last))


def _lean(joints: Array) -> float:
    """Return by how much the neck is in front of the hips, as an angle about y."""
    x, _, z = joints[_NECK] - joints[HIPS].mean(axis=0)
    return float(np.arctan2(x, z))


def _limbs(ends: Array, axes: Array) -> tuple[Array, Array]:
    """Return how shoulders and hips are turned (4, 3, 3), and how elbows and knees are bent (4).

    Parameters
    ----------
    ends: (4, 3, 3), the joints of each limb along the axes of the trunk.
    axes: (4, 3), of SMPL's elbows and knees. Those can bend sideways as well, REP-155's cannot:
        a limb is turned such that the angle between upper and lower limb lies in its plane.
        While it is nearly straight, there is no such plane, and these axes count.
    """
    upper, lower = unit(np.diff(ends, axis=1)).swapaxes(0, 1)
    bend = _BENDS * np.cross(upper, lower)
    y = unit(bend + _SINGULAR * unit(axes - _dot(axes, upper)[:, None] * upper))
    x = np.cross(upper, y)  # -z points along the upper limb.
    return np.stack([x, y, -upper], axis=2), np.arctan2(_dot(lower, x), _dot(lower, upper))


def _three_angles(rotations: Array, last: Array) -> Array:
    """Return the angles (5, 3) of _CHAINS that compose rotations (5, 3, 3).

    There are two solutions, and infinitely many where first and third axis meet. The nearer to
    the last angles (5, 3) is taken, preferably one in the hinges' range, and close to where the
    axes meet the first angle moves the less the closer.
    """
    pointing = _turned(rotations, _THIRD)
    height = _dot(pointing, _ALONG)
    x, y = _dot(pointing, _NEUTRAL), _dot(pointing, _QUARTER)
    distance, azimuth = np.hypot(x, y), np.arctan2(y, x)

    def second_angle(first_angle: Array) -> Array:
        reach = distance * np.cos(azimuth - first_angle)
        return np.asarray(
            np.where(_THIRD_IS_ALONG, np.arctan2(reach, height), np.arctan2(height, reach))
        )

    solutions = np.stack([azimuth, azimuth + np.pi])
    both = np.stack([solutions, second_angle(solutions)], axis=2)
    moved = np.abs(_within_half_a_turn(both - last[:, :2]))
    both = _within_half_a_turn(both)
    excess = np.maximum(np.maximum(_LOWER - both, both - _UPPER), 0)
    cost = (moved + _PREFERENCE * excess).sum(axis=2)
    nearest = np.where(cost[0] <= cost[1], *solutions)

    trust = distance**2 / (distance**2 + _SINGULAR**2)
    first = last[:, 0] + trust * _within_half_a_turn(nearest - last[:, 0])
    second = second_angle(first)
    back = from_axis(_SECOND, np.cos(second), -np.sin(second)) @ from_axis(
        _FIRST, np.cos(first), -np.sin(first)
    )
    rest = back @ rotations
    # The rotation about the third axis that is nearest to what is left.
    curl = rest[:, [2, 0, 1], [1, 2, 0]] - rest[:, [1, 2, 0], [2, 0, 1]]
    cosine = np.trace(rest, axis1=1, axis2=2) - _dot(_THIRD, _turned(rest, _THIRD))
    return np.stack([first, second, np.arctan2(_dot(curl, _THIRD), cosine)], axis=1)


def _turned(rotations: Array, vectors: Array) -> Array:
    """Return vectors (N, 3), each turned by its own of rotations (N, 3, 3)."""
    return np.asarray(np.einsum('nij,nj->ni', rotations, vectors))


def _within_half_a_turn(angles: Array) -> Array:
    """Return angles, plus or minus whole turns, in [-pi, pi)."""
    return (angles + np.pi) % (2 * np.pi) - np.pi
