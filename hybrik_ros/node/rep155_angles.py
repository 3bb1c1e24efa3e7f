"""Conversion of SMPL rotations to the joint angles of REP-155's body model.

REP-155's model is simpler than SMPL: a waist that bends forwards, a head on a rigid torso, three
hinges at each shoulder and hip, and one at each elbow and knee. The angles are chosen so that upper
and lower limbs point in the same directions as SMPL's, and the head has the same orientation.

Axes of REP-155: x out of the chest, y to the left, z to the head. With all angles zero, arms and
legs hang along -z.

References
----------
REP-155 (ROS4HRI) and its package human_description.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hybrik_ros.angles import select_first_angle, wrap
from hybrik_ros.arrays import Array
from hybrik_ros.kinematics import forward
from hybrik_ros.messages.frames import REP_FROM_SMPL
from hybrik_ros.rotations import from_axis, unit
from hybrik_ros.skeleton import JOINT_NAMES, PELVIS

_X, _Y, _Z = np.eye(3)
HIPS = [JOINT_NAMES.index('left_hip'), JOINT_NAMES.index('right_hip')]
_NECK, _HEAD = JOINT_NAMES.index('neck'), JOINT_NAMES.index('head')

# Distance (sine of the angle in radians) from a singular direction at which an angle follows its
# last value and the observation by half. Directions deviate by up to 2.3 times this value: 1.2
# times for the first of three angles, once for an elbow or a knee.
_SINGULAR_DISTANCE = 0.014
# Cost of an angle out of its range, relative to the same amount of motion. The total stays below
# half a turn, so that the range alone never causes a change to the other solution.
_RANGE_WEIGHT = 0.5


def _dot(first: Array, second: Array) -> Array:
    """Return the dot products (N) of vectors (N, 3)."""
    return np.asarray((first * second).sum(axis=-1))


class Hinge(NamedTuple):
    """A joint of REP-155's body model.

    Attributes
    ----------
    name : str
        Name without the id of the person.
    axis : ndarray
        Unit vector (3) along REP-155's axes.
    lower, upper : float
        Range in radians in REP-155's model. Real people exceed it.
    """

    name: str
    axis: Array
    lower: float
    upper: float


class Limb(NamedTuple):
    """An arm or a leg.

    Attributes
    ----------
    hinges : tuple of Hinge
        Three hinges of the shoulder or hip, then the elbow or knee.
    joints : tuple of int
        SMPL joints at the ends of upper and lower limb, such as shoulder, elbow and wrist.
    axis : ndarray
        Axis (3) of the elbow or knee in SMPL's T-pose and SMPL's axes, towards y of REP-155's limb.
    bend : int
        1 if the lower limb bends backwards, by negative angles; -1 if it bends forwards.
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

# All joints of the model, in the order of joint_angles.
HINGES: tuple[Hinge, ...] = (WAIST, *HEAD, *(hinge for limb in _LIMBS for hinge in limb.hinges))

_ENDS = np.array([limb.joints for limb in _LIMBS])
_BEND_AXES = np.stack([limb.axis for limb in _LIMBS])
_BENDS = np.array([[limb.bend] for limb in _LIMBS])

# Axes of the three hinges of the head, the shoulders and the hips, and ranges of the first two.
_CHAINS = (HEAD, *(limb.hinges[:3] for limb in _LIMBS))
_FIRST, _SECOND, _THIRD = np.array([[hinge.axis for hinge in chain] for chain in _CHAINS]).swapaxes(
    0, 1
)
_LOWER = np.array([[hinge.lower for hinge in chain[:2]] for chain in _CHAINS])
_UPPER = np.array([[hinge.upper for hinge in chain[:2]] for chain in _CHAINS])
# The second hinge turns the third axis towards _ASIDE. Of these two directions, _NEUTRAL is
# perpendicular to the first axis and shows the first angle; _ALONG is parallel to it.
_ASIDE = np.cross(_SECOND, _THIRD)
_THIRD_IS_ALONG = np.abs(_dot(_FIRST, _THIRD)) > 0.5
_ALONG = np.where(_THIRD_IS_ALONG[:, None], _THIRD, _ASIDE)
_NEUTRAL = np.where(_THIRD_IS_ALONG[:, None], _ASIDE, _THIRD)
_QUARTER = np.cross(_FIRST, _NEUTRAL)


def joint_angles(
    rotations: ArrayLike, rest_joints: ArrayLike, previous: ArrayLike | None = None
) -> Array:
    """Return the joint angles of a person in REP-155's model.

    At a singular pose, such as a hanging arm or a straight knee, infinitely many angles describe
    the same pose; there the angles continue from the previous ones. Angles are continuous from
    frame to frame and may therefore leave [-pi, pi]: for an arm that circles around its hanging
    direction, the first angle of the shoulder increases while the third one decreases. Angles are
    not clipped to the ranges of HINGES.

    Parameters
    ----------
    rotations : array_like
        Parent-relative rotations (24, 3, 3).
    rest_joints : array_like
        Joints (24, 3) or (29, 3) of the person's T-pose in metres.
    previous : array_like, optional
        Angles (20) of the previous frame; by default all zero.

    Returns
    -------
    ndarray
        Angles (20) of HINGES in radians. Limbs point within 2 degrees of those of SMPL, and mostly
        much closer.
    """
    rest_joints = np.asarray(rest_joints, float)
    joints, turns = forward(rotations, rest_joints)
    to_body = REP_FROM_SMPL @ turns[PELVIS].T
    joints, turns, rest = joints @ to_body.T, to_body @ turns, rest_joints @ REP_FROM_SMPL.T
    last = np.zeros(len(HINGES)) if previous is None else np.asarray(previous, float)

    waist = _lean_angle(joints) - _lean_angle(rest)
    to_torso = from_axis(_Y, np.cos(waist), -np.sin(waist))
    head = to_torso @ turns[_HEAD] @ REP_FROM_SMPL.T
    to_trunk = np.stack([to_torso, to_torso, np.eye(3), np.eye(3)])
    ends = joints[_ENDS] @ to_trunk.swapaxes(1, 2)
    axes = _rotate(to_trunk @ turns[_ENDS[:, 0]], _BEND_AXES)
    limbs, bends = _orient_limbs(ends, axes)
    last_limbs = last[4:].reshape(4, 4)
    found = _decompose(
        np.concatenate([head[None], limbs]), np.concatenate([last[None, 1:4], last_limbs[:, :3]])
    )
    angles = np.concatenate(
        [[waist], found[0], np.concatenate([found[1:], bends[:, None]], axis=1).ravel()]
    )
    return np.asarray(last + wrap(angles - last))


def _lean_angle(joints: Array) -> float:
    """Return the angle in radians about y from the z axis to the line from hips to neck."""
    x, _, z = joints[_NECK] - joints[HIPS].mean(axis=0)
    return float(np.arctan2(x, z))


def _orient_limbs(ends: Array, axes: Array) -> tuple[Array, Array]:
    """Return the rotations (4, 3, 3) of shoulders and hips, and the angles (4) of elbows and knees.

    Elbows and knees of SMPL can also bend sideways, those of REP-155 cannot: each limb is rotated
    about itself so that its hinge bends in the plane of upper and lower limb. A nearly straight
    limb has no such plane; its rotation then follows from the axis of SMPL's elbow or knee.

    Parameters
    ----------
    ends : ndarray
        Joints (4, 3, 3) of each limb in metres, along the axes of the trunk.
    axes : ndarray
        Axes (4, 3) of SMPL's elbows and knees, along the axes of the trunk.
    """
    upper, lower = unit(np.diff(ends, axis=1)).swapaxes(0, 1)
    bend = _BENDS * np.cross(upper, lower)
    y = unit(bend + _SINGULAR_DISTANCE * unit(axes - _dot(axes, upper)[:, None] * upper))
    x = np.cross(upper, y)  # -z points along the upper limb.
    return np.stack([x, y, -upper], axis=2), np.arctan2(_dot(lower, x), _dot(lower, upper))


def _decompose(rotations: Array, last: Array) -> Array:
    """Return the angles (5, 3) of _CHAINS that compose rotations (5, 3, 3).

    Parameters
    ----------
    rotations : ndarray
        Rotations (5, 3, 3) of head, shoulders and hips.
    last : ndarray
        Angles (5, 3) of the previous frame in radians. Of two solutions the nearer one is taken;
        an angle out of its range counts as additional motion.
    """
    pointing = _rotate(rotations, _THIRD)
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
    wrapped = wrap(both)
    excess = np.maximum(np.maximum(_LOWER - wrapped, wrapped - _UPPER), 0)
    first = select_first_angle(
        both, last[:, :2], distance, _SINGULAR_DISTANCE, _RANGE_WEIGHT * excess
    )
    second = second_angle(first)
    back = from_axis(_SECOND, np.cos(second), -np.sin(second)) @ from_axis(
        _FIRST, np.cos(first), -np.sin(first)
    )
    rest = back @ rotations
    # Rotation about the third axis that is nearest to the remaining rotation.
    curl = rest[:, [2, 0, 1], [1, 2, 0]] - rest[:, [1, 2, 0], [2, 0, 1]]
    cosine = np.trace(rest, axis1=1, axis2=2) - _dot(_THIRD, _rotate(rest, _THIRD))
    return np.stack([first, second, np.arctan2(_dot(curl, _THIRD), cosine)], axis=1)


def _rotate(rotations: Array, vectors: Array) -> Array:
    """Return vectors (N, 3) rotated by rotations (N, 3, 3), one by one."""
    return np.asarray(np.einsum('nij,nj->ni', rotations, vectors))
