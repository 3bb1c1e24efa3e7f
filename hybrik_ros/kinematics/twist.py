"""Twist from what the joints do not say: the direction in which a hinge, a face or a hand points.

A bone's swing follows from its joints, its twist does not. But where a direction across the
bone is known both at rest and as seen (an elbow bends forwards, a nose points to the front),
the angle about the bone that brings one to the other is the twist.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrik_ros.kinematics.forward import forward
from hybrik_ros.kinematics.inverse import solve
from hybrik_ros.rotations import unit
from hybrik_ros.skeleton import BONE_TARGETS, NUM_JOINTS, PARENTS

Array = NDArray[np.float64]

_TARGETS = np.array(BONE_TARGETS)

# How far across its bone a seen direction must point to outweigh the prior of no twist: the
# sine of the angle between them. A nearly straight elbow tells little about the upper arm.
_PRIOR = 0.15


@dataclass(frozen=True, eq=False)
class Pointer:
    """A direction that turns with a joint.

    Attributes
    ----------
    joint: from 1 to 23; the root has no twist.
    rest: (3), the direction in the T-pose, in the body's rest frame.
    seen: (3), the same direction as seen, in the frame of the joints; its length does not
        matter, NaN or zero is not seen.
    share: in (0, 1], of the twist that this joint takes; the rest is left to joints further
        out, as the forearm and the wrist share the turning of the hand.
    """

    joint: int
    rest: Array
    seen: Array
    share: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.joint < NUM_JOINTS:
            raise ValueError(f'joint must be from 1 to {NUM_JOINTS - 1}, not {self.joint}')


def twist_from_pointers(
    joints: ArrayLike,
    rest_joints: ArrayLike,
    pointers: Sequence[Pointer],
    confidence: ArrayLike | None = None,
) -> Array:
    """Find the twist of each joint with a pointer.

    Parameters
    ----------
    joints, rest_joints, confidence: (29, 3), (29, 3), (29), as solve takes them.
    pointers: in any order, at most one per joint.

    Returns
    -------
    (23, 2), cosine and sine as solve takes them; (1, 0) where nothing points.
    """
    rest_joints = np.asarray(rest_joints, float)
    twist = np.tile([1.0, 0.0], (NUM_JOINTS - 1, 1))
    by_depth: dict[int, list[Pointer]] = {}
    for pointer in pointers:
        by_depth.setdefault(_depth(pointer.joint), []).append(pointer)
    # A joint's frame depends on the twist of all above it, so the tree is solved by generation.
    for depth in sorted(by_depth):
        rotations = solve(joints, rest_joints, twist, method='adaptive', confidence=confidence)
        _, global_rotations = forward(rotations, rest_joints)
        turned = np.array([pointer.joint for pointer in by_depth[depth]])
        bones = rest_joints[_TARGETS[turned]] - rest_joints[turned]
        angles = _angles(by_depth[depth], bones, global_rotations[turned])
        twist[turned - 1] = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return twist


def _depth(joint: int) -> int:
    return 0 if joint == 0 else 1 + _depth(PARENTS[joint])


def _angles(pointers: Sequence[Pointer], bones: Array, untwisted: Array) -> Array:
    """Return the angle (N) about the bone (N, 3) of each pointer's joint, zero where unseen.

    untwisted: (N, 3, 3), the joints' global rotations with no twist of their own.
    """
    axes = unit(bones)
    rest = _across(np.array([pointer.rest for pointer in pointers]), axes)
    seen = unit(np.array([pointer.seen for pointer in pointers]))
    seen = _across(np.einsum('nji,nj->ni', untwisted, seen), axes)
    angles = np.arctan2(np.sum(axes * np.cross(rest, seen), axis=1), np.sum(rest * seen, axis=1))
    squared_sine = np.sum(seen**2, axis=1)
    shares = np.array([pointer.share for pointer in pointers])
    angles *= shares * squared_sine / (squared_sine + _PRIOR**2)
    return np.where(np.isfinite(angles), angles, 0.0)


def _across(directions: Array, axes: Array) -> Array:
    """Return the part (N, 3) of each direction at right angles to its unit axis."""
    return directions - axes * np.sum(axes * directions, axis=1, keepdims=True)
