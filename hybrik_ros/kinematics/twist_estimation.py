"""Estimation of twist from observed directions that turn with the joints, for kernels."""

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.compiling import compiled, floats, kernel
from hybrik_ros.kinematics.aiming import TRUE, aim_joint, aim_root
from hybrik_ros.kinematics.matrices import TINY, rotate_back
from hybrik_ros.kinematics.swing_twist import twist_angle
from hybrik_ros.kinematics.tree import TARGET
from hybrik_ros.skeleton import NUM_JOINTS, NUM_POINTS
from hybrik_ros.vectors import cross, dot, norm


@kernel(
    *(floats(2), floats(2), floats(1), floats(3)),
    *(floats(2), floats(2), floats(2), floats(1), floats(1), floats(1)),
    *('float64', 'float64', floats(2)),
)
def estimate_twist(
    target: Array, rest: Array, confidence: Array, previous: Array,
    rest_directions: Array, seen_directions: Array, stretched: Array,
    shares: Array, centres: Array, seen_confidence: Array,
    no_twist_weight: float, previous_weight: float, twist: Array,
) -> None:  # fmt: skip
    """Fill twist (23, 2) from directions that turn with the joints.

    Directions (24, 3) at rest and stretched are in the rest frame, seen ones in the frame of the
    targets; NaN where there is none. As the frame of a joint depends on the twist of its ancestors,
    the skeleton is solved at the same time, adaptively.
    """
    rotations = np.empty((NUM_JOINTS, 3, 3))
    global_rotations = np.empty((NUM_JOINTS, 3, 3))
    rebuilt = np.empty((NUM_POINTS, 3))
    scratch = np.empty((3, 3, 3))
    directions = np.empty((5, 3))
    adaptive = np.bool_(TRUE)
    aim_root(target, rest, confidence, previous, rotations, rebuilt, global_rotations)
    for i in range(1, NUM_JOINTS):
        twist[i - 1, 0] = twist[i - 1, 1] = np.nan
        _scale(seen_directions[i], directions[2])
        if _normalise(directions[2]):
            aim_joint(i, target, rest, 1.0, 0.0, confidence, previous, adaptive, rotations,
                      rebuilt, global_rotations, scratch)  # fmt: skip
            for k in range(3):
                directions[0, k] = rest[TARGET[i], k] - rest[i, k]
            _scale(rest_directions[i], directions[1])
            _estimate_joint_twist(
                directions, stretched[i], global_rotations[i], previous[i], shares[i], centres[i],
                seen_confidence[i], no_twist_weight, previous_weight, twist[i - 1],
            )  # fmt: skip
        aim_joint(i, target, rest, twist[i - 1, 0], twist[i - 1, 1], confidence, previous,
                  adaptive, rotations, rebuilt, global_rotations, scratch)  # fmt: skip


@compiled
def _estimate_joint_twist(
    directions: Array, stretched: Array, global_rotation: Array, previous: Array, share: float,
    centre: float, confidence: float, no_twist_weight: float, previous_weight: float, twist: Array,
) -> None:  # fmt: skip
    """Fill the twist (2) of a joint from a direction; leave it where it cannot be estimated.

    directions (5, 3) are bone, direction at rest and unit direction as seen, which are changed, and
    two scratch vectors.
    """
    axis, at_rest, seen_globally = directions[0], directions[1], directions[2]
    seen, scratch = directions[3], directions[4]
    if not _normalise(axis):
        return
    rotate_back(global_rotation, seen_globally, seen)
    _project(at_rest, seen, stretched, axis, scratch)
    weight = confidence * (seen[0] ** 2 + seen[1] ** 2 + seen[2] ** 2)
    if not (confidence > 0 and norm(at_rest) > TINY):
        return
    cross(at_rest, seen, scratch)
    angle = np.arctan2(dot(axis, scratch), dot(at_rest, seen))
    previous_cos, previous_sin = twist_angle(axis, previous)
    weight *= _range_weight(angle - centre)
    turns = np.floor((angle - centre + np.pi) / (2 * np.pi))
    angle = share * (angle - 2 * np.pi * turns)
    cos = weight * np.cos(angle) + no_twist_weight + previous_weight * previous_cos
    sin = weight * np.sin(angle) + previous_weight * previous_sin
    radius = np.hypot(cos, sin)
    if radius > TINY:
        twist[0] = cos / radius
        twist[1] = sin / radius


@compiled
def _project(at_rest: Array, seen: Array, stretched: Array, axis: Array, aside: Array) -> None:
    """Project the directions at rest and seen onto the plane across an axis, in place.

    The component of a stretched limb beside the plane of its hinge is anatomy, not twist, and is
    subtracted from the seen direction. aside is a scratch vector.
    """
    _remove_component(at_rest, axis)
    _remove_component(seen, axis)
    if _normalise(at_rest):
        for k in range(3):
            aside[k] = stretched[k]
        _remove_component(aside, axis)
        _remove_component(aside, at_rest)
        for k in range(3):
            seen[k] -= aside[k]


@compiled
def _remove_component(direction: Array, axis: Array) -> None:
    """Remove the component along a unit axis from a direction, in place."""
    along = dot(direction, axis)
    for k in range(3):
        direction[k] -= along * axis[k]


@compiled
def _scale(direction: Array, out: Array) -> None:
    """Write a direction scaled to a largest coordinate of 1, so that no square underflows."""
    largest = max(abs(direction[0]), abs(direction[1]), abs(direction[2]))
    for k in range(3):
        out[k] = direction[k] / largest if largest > 0 else direction[k]


@compiled
def _normalise(vector: Array) -> bool:
    """Scale a vector to length 1, in place; return False where it has no direction."""
    length = norm(vector)
    if not TINY < length < np.inf:
        return False
    for k in range(3):
        vector[k] /= length
    return True


@compiled
def _range_weight(turn: float) -> float:
    """Return the weight of an angle at a distance from the centre of a joint's range.

    It is 1 up to a quarter turn and falls to 0 at half a turn. Otherwise, an elbow that seems to
    bend slightly the wrong way would turn its upper arm by half a turn.
    """
    return min(1.0, 1.0 + np.cos(turn)) ** 2
