"""From SMPL's rotations to the joint angles of REP-155's body.

That body is simpler than SMPL's: a waist that bends forwards, a head on a rigid torso, and limbs
whose shoulder or hip has three hinges, whose elbow or knee one. Its angles are chosen such that
upper and lower limbs point where they point in SMPL's body, and the head has its orientation.

Axes of REP-155: x out of the chest, y to the left, z to the head. With all angles zero, arms and
legs hang along -z.

Source: REP-155 (Human-Robot Interaction) and its human_description.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrik_ros.kinematics import forward
from hybrik_ros.rotations import from_axis, unit
from hybrik_ros.skeleton import JOINT_NAMES, PELVIS

Array = NDArray[np.float64]

# REP-155's axes of a body from SMPL's: x front, y left, z up.
REP_FROM_SMPL = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])

_X, _Y, _Z = np.eye(3)
HIPS = [JOINT_NAMES.index('left_hip'), JOINT_NAMES.index('right_hip')]
_NECK, _HEAD = JOINT_NAMES.index('neck'), JOINT_NAMES.index('head')

# Radians, how near to a singularity of its joints a limb is taken to be in it. Closer than that
# an angle follows its last value rather than what is seen; directions miss by 2.3 times this.
_SINGULAR = 0.014
# Of two solutions, an angle out of its range counts as half as much motion. The most that it can
# amount to is less than half a turn, so that nobody changes to the other solution for it alone.
_PREFERENCE = 0.5


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

# The joints whose angles joint_angles gives, in its order.
HINGES: tuple[Hinge, ...] = (
    WAIST,
    *HEAD,
    *(hinge for limb in (*ARMS.values(), *LEGS.values()) for hinge in limb.hinges),
)


def joint_angles(
    rotations: ArrayLike, rest_joints: ArrayLike, previous: ArrayLike | None = None
) -> Array:
    """Return the angles (20) of HINGES, radians, of a person.

    Where joints are singular (an arm that hangs, a knee that is straight), infinitely many angles
    mean one pose; from frame to frame they go on from the previous ones. So that they never jump
    by a turn, they may leave (-pi, pi]. They keep no limits.

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
    to_torso = _about(_Y, -waist)
    head = _three_angles(HEAD, to_torso @ turns[_HEAD] @ REP_FROM_SMPL.T, last[1:4])
    angles = [np.array([waist]), head]
    start = 4
    for limbs, to_trunk in ((ARMS, to_torso), (LEGS, np.eye(3))):
        for limb in limbs.values():
            limb_joints = joints[list(limb.joints)] @ to_trunk.T
            axis = to_trunk @ turns[limb.joints[0]] @ limb.axis
            angles.append(_limb_angles(limb, limb_joints, axis, last[start : start + 3]))
            start += 4
    return last + _within_half_a_turn(np.concatenate(angles) - last)


def _lean(joints: Array) -> float:
    """Return by how much the neck is in front of the hips, as an angle about y."""
    x, _, z = joints[_NECK] - joints[HIPS].mean(axis=0)
    return float(np.arctan2(x, z))


def _limb_angles(limb: Limb, joints: Array, axis: Array, last: Array) -> Array:
    """Return the four angles of a limb.

    Parameters
    ----------
    joints: (3, 3), its joints along the axes of the trunk.
    axis: (3), of SMPL's elbow or knee. SMPL's can bend sideways as well, REP-155's cannot: then
        the limb is turned such that the angle between upper and lower limb lies in its plane.
    last: (3), the previous angles of the shoulder or hip.
    """
    upper, lower = unit(np.diff(joints, axis=0))
    bend = limb.bend * np.cross(upper, lower)
    y = unit(bend + _SINGULAR * unit(axis - (axis @ upper) * upper))
    x = np.cross(upper, y)  # -z points along the upper limb.
    turned = _three_angles(limb.hinges[:3], np.stack([x, y, -upper], axis=1), last)
    return np.append(turned, np.arctan2(lower @ x, lower @ upper))


def _three_angles(hinges: tuple[Hinge, ...], rotation: Array, last: Array) -> Array:
    """Return the angles (3) about the axes of three hinges that compose a rotation (3, 3).

    There are two solutions, and infinitely many where first and third axis meet. The nearer to
    the last angles (3) is taken, preferably one in the hinges' range, and close to where the axes
    meet the first angle moves the less the closer.
    """
    first, second, third = (hinge.axis for hinge in hinges)
    pointing = rotation @ third
    # The second hinge turns the third axis towards this. One of the two stays across the first
    # axis, and tells how far the first hinge has turned; the other one is along it.
    aside = np.cross(second, third)
    neutral, along = (aside, third) if abs(first @ third) > 0.5 else (third, aside)
    height = float(pointing @ along)
    x, y = float(pointing @ neutral), float(pointing @ np.cross(first, neutral))
    distance, azimuth = math.hypot(x, y), math.atan2(y, x)

    def second_angle(first_angle: float) -> float:
        reach = distance * math.cos(azimuth - first_angle)
        return math.atan2(reach, height) if neutral is aside else math.atan2(height, reach)

    def cost(first_angle: float) -> float:
        both = first_angle, second_angle(first_angle)
        return sum(
            abs(_within_half_a_turn(angle - before)) + _PREFERENCE * _excess(hinge, angle)
            for hinge, angle, before in zip(hinges, both, last, strict=False)
        )

    nearest = min((azimuth, azimuth + math.pi), key=cost)
    trust = distance**2 / (distance**2 + _SINGULAR**2)
    first_angle = last[0] + trust * _within_half_a_turn(nearest - last[0])
    angle = second_angle(first_angle)
    rest = _about(second, -angle) @ _about(first, -first_angle) @ rotation
    # The rotation about the third axis that is nearest to what is left.
    curl = np.array([rest[2, 1] - rest[1, 2], rest[0, 2] - rest[2, 0], rest[1, 0] - rest[0, 1]])
    third_angle = math.atan2(curl @ third, np.trace(rest) - third @ rest @ third)
    return np.array([first_angle, angle, third_angle])


def _about(axis: Array, angle: float) -> Array:
    return from_axis(axis, math.cos(angle), math.sin(angle))


def _excess(hinge: Hinge, angle: float) -> float:
    """Return by how much an angle is out of the range of its hinge."""
    angle = _within_half_a_turn(angle)
    return max(hinge.lower - angle, angle - hinge.upper, 0.0)


def _within_half_a_turn(angle: Any) -> Any:
    """Return an angle or angles, plus or minus whole turns, in [-pi, pi)."""
    return (angle + math.pi) % (2 * math.pi) - math.pi
