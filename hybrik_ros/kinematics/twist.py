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
from hybrik_ros.skeleton import BONE_TARGETS, NUM_JOINTS, PARENTS

Array = NDArray[np.float64]

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
        for pointer in by_depth[depth]:
            bone = rest_joints[BONE_TARGETS[pointer.joint]] - rest_joints[pointer.joint]
            twist[pointer.joint - 1] = _twist(pointer, bone, global_rotations[pointer.joint])
    return twist


def _depth(joint: int) -> int:
    return 0 if joint == 0 else 1 + _depth(PARENTS[joint])


def _twist(pointer: Pointer, bone: Array, untwisted: Array) -> Array:
    """Return cosine and sine of the angle about the bone that fits one pointer."""
    length, seen_length = np.linalg.norm(bone), np.linalg.norm(pointer.seen)
    if not (length > 0 and seen_length > 0):
        return np.array([1.0, 0.0])
    axis = bone / length
    seen = untwisted.T @ (pointer.seen / seen_length)
    rest = pointer.rest - axis * (axis @ pointer.rest)
    rest /= np.linalg.norm(rest)
    across = seen - axis * (axis @ seen)
    sine_seen = float(np.linalg.norm(across))
    angle = np.arctan2(axis @ np.cross(rest, across), rest @ across)
    angle *= pointer.share * sine_seen**2 / (sine_seen**2 + _PRIOR**2)
    return np.array([np.cos(angle), np.sin(angle)])
