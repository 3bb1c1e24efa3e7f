"""Twist from what the joints do not say: the direction in which a hinge, a face or a hand points.

A bone's swing follows from its joints, its twist does not. But where a direction across the
bone is known both at rest and as seen (an elbow bends forwards, a nose points to the front),
the angle about the bone that brings one to the other is the twist.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from hybrik_ros.arrays import Array
from hybrik_ros.kinematics import kernels
from hybrik_ros.kinematics.inverse import sound_arguments
from hybrik_ros.kinematics.validation import real_array
from hybrik_ros.rotations import scaled
from hybrik_ros.skeleton import NUM_JOINTS

# How far across its bone a seen direction must point to outweigh the others that have a say, as
# the sine of the angle between them. A nearly straight elbow tells little about the upper arm:
# it goes on as it was, and comes to rest without twist.
_NO_TWIST = 0.15
_PREVIOUS = 0.5
# What single precision leaves of a length.
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Pointer:
    """A direction that turns with a joint.

    Attributes
    ----------
    joint: from 1 to 23; the root has no twist.
    rest: (3), the direction in the T-pose, in the body's rest frame, of any length.
    seen: (3), the same direction as seen, in the frame of the joints; its length does not
        matter, NaN or zero is not seen.
    share: in (0, 1], of the twist that this joint takes; the rest is left to joints further
        out, as the forearm and the wrist share the turning of the hand.
    centre: radians, the middle of the range that the whole angle has in a body. It is counted
        from half a turn below to half a turn above, where it is not believed.
    confidence: in [0, 1], how well it is seen: the less, the more counts what the twist was.
    stretched: (3), for what a hinge turns: of length 1, where `seen` points in the T-pose. A
        forearm that is stretched does not lie quite along its upper arm; what of this is beside
        the plane in which the elbow bends is no twist. Zero where it plays no part.
    """

    joint: int
    rest: Array
    seen: Array
    share: float = 1.0
    centre: float = 0.0
    confidence: float = 1.0
    stretched: Array = field(default_factory=lambda: np.zeros(3))

    def __post_init__(self) -> None:
        whole = isinstance(self.joint, int | np.integer) and not isinstance(self.joint, bool)
        if not (whole and 0 < self.joint < NUM_JOINTS):
            raise ValueError(
                f'joint must be an integer from 1 to {NUM_JOINTS - 1}, not {self.joint!r}'
            )
        for name in ('rest', 'seen', 'stretched'):
            direction = real_array(name, getattr(self, name))
            if direction.shape != (3,):
                raise ValueError(f'{name} must have shape (3,), not {direction.shape}')
            if name != 'seen' and not all(map(math.isfinite, direction.tolist())):
                raise ValueError(f'{name} must be finite, not {direction}')
        length = math.hypot(*self.stretched)
        if length > 0 and abs(length - 1) > _ROUNDING:
            raise ValueError(f'stretched must be of length 1, or zero, not of {length}')
        for name in ('share', 'centre', 'confidence'):
            if not isinstance(getattr(self, name), Real):
                raise ValueError(f'{name} must be a number, not {getattr(self, name)!r}')
        if not 0 < self.share <= 1:
            raise ValueError(f'share must be in (0, 1], not {self.share}')
        if not np.isfinite(self.centre):
            raise ValueError(f'centre must be finite, not {self.centre}')
        if not 0 <= self.confidence <= 1:
            raise ValueError(f'confidence must be in [0, 1], not {self.confidence}')


def twist_from_pointers(
    joints: ArrayLike,
    rest_joints: ArrayLike,
    pointers: Iterable[Pointer],
    confidence: ArrayLike | None = None,
    previous: ArrayLike | None = None,
) -> tuple[Array, Array]:
    """Find the twist of each joint with a pointer.

    The more a pointer lies along its bone, the less it tells: the twist fades to that of
    previous, and in time to none. It is the mean direction of the three on the circle, so that
    it does not jump. Nor does a limb flip that seems to bend a little the wrong way: what points
    more than a quarter turn off the middle of its joint's range is believed less and less.

    Parameters
    ----------
    joints, rest_joints, confidence, previous: (29, 3), (29, 3), (29), (24, 3, 3), as solve takes
        them.
    pointers: in any order, at most one per joint.

    Returns
    -------
    twist: (23, 2), cosine and sine as solve takes them; NaN, not known, where nothing points.
    twist_confidence: (23) in [0, 1), how much of each is seen; 0 where nothing points.

    Raises
    ------
    ValueError: as solve does, or the joints are those of a batch, or two pointers one joint's.
    """
    batch, arrays = sound_arguments(joints, rest_joints, None, confidence, previous)
    if batch:
        raise ValueError(f'joints must be those of one skeleton, not of a batch {batch}')
    target, rest, _, weights, held = (array[0] for array in arrays)
    pointers = tuple(pointers)
    if len({pointer.joint for pointer in pointers}) < len(pointers):
        raise ValueError('pointers must have at most one per joint')
    at_rest, seen = directions = np.full((2, NUM_JOINTS, 3), np.nan)
    stretched = np.zeros((NUM_JOINTS, 3))
    shares, centres, sureness = np.ones(NUM_JOINTS), np.zeros(NUM_JOINTS), np.zeros(NUM_JOINTS)
    for pointer in pointers:
        joint = pointer.joint
        at_rest[joint], seen[joint] = pointer.rest, pointer.seen
        stretched[joint] = pointer.stretched
        shares[joint], centres[joint] = pointer.share, pointer.centre
        sureness[joint] = pointer.confidence
    with np.errstate(invalid='ignore'):  # Infinite becomes NaN: it is not seen.
        at_rest, seen = scaled(directions)
    twist, twist_confidence = np.empty((NUM_JOINTS - 1, 2)), np.empty(NUM_JOINTS - 1)
    kernels.point(
        target, rest, weights, held, at_rest, stretched, seen, shares, centres, sureness,
        _NO_TWIST**2, 0.0 if previous is None else _PREVIOUS**2, twist, twist_confidence,
    )  # fmt: skip
    return twist, twist_confidence
