"""Twist from what the joints do not say: the direction in which a hinge, a face or a hand points.

A bone's swing follows from its joints, its twist does not. But where a direction across the
bone is known both at rest and as seen (an elbow bends forwards, a nose points to the front),
the angle about the bone that brings one to the other is the twist.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrik_ros.kinematics.forward import global_rotations
from hybrik_ros.kinematics.inverse import solve
from hybrik_ros.rotations import swing_twist, unit
from hybrik_ros.skeleton import BONE_TARGETS, NUM_JOINTS, PARENTS

Array = NDArray[np.float64]

_TARGETS = np.array(BONE_TARGETS)

# How far across its bone a seen direction must point to outweigh the others that have a say, as
# the sine of the angle between them. A nearly straight elbow tells little about the upper arm:
# it goes on as it was, and comes to rest without twist.
_NO_TWIST = 0.15
_PREVIOUS = 0.5


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
    centre: radians, the middle of the range that the whole angle has in a body. An angle that is
        shared is counted from half a turn below it to half a turn above.
    """

    joint: int
    rest: Array
    seen: Array
    share: float = 1.0
    centre: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.joint < NUM_JOINTS:
            raise ValueError(f'joint must be from 1 to {NUM_JOINTS - 1}, not {self.joint}')


def twist_from_pointers(
    joints: ArrayLike,
    rest_joints: ArrayLike,
    pointers: Sequence[Pointer],
    confidence: ArrayLike | None = None,
    previous: ArrayLike | None = None,
) -> tuple[Array, Array]:
    """Find the twist of each joint with a pointer.

    The more a pointer lies along its bone, the less it tells: the twist fades to that of
    previous, and in time to none. It is the mean direction of the three on the circle, so that
    it neither jumps nor flips.

    Parameters
    ----------
    joints, rest_joints, confidence, previous: (29, 3), (29, 3), (29), (24, 3, 3), as solve takes
        them.
    pointers: in any order, at most one per joint.

    Returns
    -------
    twist: (23, 2), cosine and sine as solve takes them; NaN, not known, where nothing points.
    twist_confidence: (23) in [0, 1), how much of each is seen; 0 where nothing points.
    """
    rest_joints = np.asarray(rest_joints, float)
    twist = np.full((NUM_JOINTS - 1, 2), np.nan)
    twist_confidence = np.zeros(NUM_JOINTS - 1)
    by_depth: dict[int, list[Pointer]] = {}
    for pointer in pointers:
        by_depth.setdefault(_depth(pointer.joint), []).append(pointer)
    # A joint's frame depends on the twist of all above it, so the tree is solved by generation.
    for depth in sorted(by_depth):
        turned = np.array([pointer.joint for pointer in by_depth[depth]])
        untwisted = twist.copy()
        untwisted[turned - 1] = 1.0, 0.0
        rotations = solve(
            joints, rest_joints, untwisted, method='adaptive', confidence=confidence,
            previous=previous,
        )  # fmt: skip
        frames = global_rotations(rotations)[turned]
        bones = rest_joints[_TARGETS[turned]] - rest_joints[turned]
        before = None if previous is None else np.asarray(previous, float)[turned]
        twist[turned - 1], twist_confidence[turned - 1] = _weigh(
            by_depth[depth], bones, frames, before
        )
    return twist, twist_confidence


def _depth(joint: int) -> int:
    return 0 if joint == 0 else 1 + _depth(PARENTS[joint])


def _weigh(
    pointers: Sequence[Pointer], bones: Array, untwisted: Array, previous: Array | None
) -> tuple[Array, Array]:
    """Return twist (N, 2) and its confidence (N) about the bones (N, 3) of the pointers' joints.

    untwisted: (N, 3, 3), the joints' global rotations with no twist of their own.
    previous: (N, 3, 3), their parent-relative rotations in the frame before.
    """
    axes = unit(bones)
    rest = _across(np.array([pointer.rest for pointer in pointers]), axes)
    seen = unit(np.array([pointer.seen for pointer in pointers]))
    seen = _across(np.einsum('nji,nj->ni', untwisted, seen), axes)
    angles = np.arctan2(np.sum(axes * np.cross(rest, seen), axis=1), np.sum(rest * seen, axis=1))
    centres = np.array([pointer.centre for pointer in pointers])
    angles = centres + np.remainder(angles - centres + np.pi, 2 * np.pi) - np.pi
    angles *= [pointer.share for pointer in pointers]
    weights = np.sum(seen**2, axis=1)
    known = (weights > 0) & np.any(rest, axis=1) & np.any(axes, axis=1)

    total = weights[:, None] * _on_circle(angles) + _NO_TWIST**2 * np.array([1.0, 0.0])
    all_weights = weights + _NO_TWIST**2
    if previous is not None:
        total += _PREVIOUS**2 * swing_twist(previous, np.where(known[:, None], axes, 1.0))[1]
        all_weights += _PREVIOUS**2
    return np.where(known[:, None], unit(total), np.nan), np.where(known, weights / all_weights, 0)


def _on_circle(angles: Array) -> Array:
    """Return cosine and sine (N, 2) of angles (N)."""
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _across(directions: Array, axes: Array) -> Array:
    """Return the part (N, 3) of each direction at right angles to its unit axis."""
    return directions - axes * np.sum(axes * directions, axis=1, keepdims=True)
