"""Swing and twist of bones, for kernels.

A rotation of a bone is swing @ twist: the twist turns the bone about itself, and the swing is the
smallest rotation from its direction at rest to its direction.

References
----------
Li et al.: HybrIK (CVPR 2021), equations 5 to 8.
"""

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.compiling import compiled
from hybrik_ros.kinematics.matrices import (
    TINY,
    multiply,
    multiply_back,
    rotate,
    set_axis_rotation,
    set_identity,
)
from hybrik_ros.vectors import norm


@compiled
def find_swing(t: Array, p: Array, out: Array) -> None:
    """Write the smallest rotation from direction t to p to out; identity where either is zero.

    For opposite directions, where the axis is not determined, it is a half turn about the axis
    perpendicular to t that is nearest to a coordinate axis.
    """
    length_t, length_p = norm(t), norm(p)
    if length_t < TINY or length_p < TINY:
        set_identity(out)
        return
    ax, ay, az = t[0] / length_t, t[1] / length_t, t[2] / length_t
    bx, by, bz = p[0] / length_p, p[1] / length_p, p[2] / length_p
    x, y, z = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    sin = np.sqrt(x * x + y * y + z * z)
    cos = ax * bx + ay * by + az * bz
    if sin < TINY:
        if abs(ax) <= abs(ay) and abs(ax) <= abs(az):
            x, y, z = 0.0, az, -ay
        elif abs(ay) <= abs(az):
            x, y, z = -az, 0.0, ax
        else:
            x, y, z = ay, -ax, 0.0
    length = np.sqrt(x * x + y * y + z * z)
    radius = np.hypot(sin, cos)
    set_axis_rotation(x / length, y / length, z / length, cos / radius, sin / radius, out)


@compiled
def add_twist(swing: Array, t: Array, cos: float, sin: float, out: Array) -> bool:
    """Write swing @ twist about t to out; return False for an unknown twist, such as (0, 0)."""
    radius = np.hypot(cos, sin)
    length = norm(t)
    if not 0 < radius < np.inf or length < TINY:
        return False
    twist = np.empty((3, 3))
    set_axis_rotation(
        t[0] / length, t[1] / length, t[2] / length, cos / radius, sin / radius, twist
    )
    multiply(swing, twist, out)
    return True


@compiled
def find_twist(bone: Array, rotation: Array, out: Array) -> None:
    """Write the twist of a rotation about a bone to out."""
    turned = np.empty(3)
    swing = np.empty((3, 3))
    rotate(rotation, bone, turned)
    find_swing(bone, turned, swing)
    multiply_back(swing, rotation, out)


@compiled
def twist_angle(axis: Array, rotation: Array) -> tuple[float, float]:
    """Return cosine and sine of the angle of the twist of a rotation about a unit axis."""
    twist = np.empty((3, 3))
    find_twist(axis, rotation, twist)
    cos = (twist[0, 0] + twist[1, 1] + twist[2, 2] - 1) / 2
    sin = (
        axis[0] * (twist[2, 1] - twist[1, 2])
        + axis[1] * (twist[0, 2] - twist[2, 0])
        + axis[2] * (twist[1, 0] - twist[0, 1])
    ) / 2
    return cos, sin


@compiled
def swing_with_previous_twist(bone: Array, aim: Array, previous: Array, out: Array) -> None:
    """Write the rotation to out that swings a bone to any direction and twists it as previous does.

    The swing to the direction opposite to the rest direction is undefined. Therefore the twist is
    measured from the direction (1, 1, 1) of the frame: spine and hips rarely point to its opposite.
    A swing from the previous direction would not need this choice, but noise would slowly turn the
    bone about itself.
    """
    corner = np.empty(3)
    to_corner = np.empty((3, 3))
    before = np.empty((3, 3))
    swing = np.empty((3, 3))
    twist = np.empty((3, 3))
    turned = np.empty((3, 3))
    for k in range(3):
        corner[k] = 1.0
    find_swing(bone, corner, to_corner)
    for r in range(3):
        rotate(to_corner, previous[r], before[r])  # previous @ to_corner.T
    find_twist(corner, before, twist)
    find_swing(corner, aim, swing)
    multiply(swing, twist, turned)
    multiply(turned, to_corner, out)
