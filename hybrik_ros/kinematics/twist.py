"""Twist of joints from observed directions, such as those of a forearm, a face or a hand.

Joint positions determine the swing of a bone, but not its twist. Where a direction across the bone
is known both in the T-pose and as observed (an elbow bends forwards, a nose points to the front),
the twist is the angle about the bone between the two.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from numbers import Real
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hybrik_ros.arrays import Array
from hybrik_ros.kinematics.inverse import check_arguments
from hybrik_ros.kinematics.twist_estimation import estimate_twist
from hybrik_ros.kinematics.validation import to_real_array
from hybrik_ros.rotations import to_quaternion, unit
from hybrik_ros.skeleton import BONE_TARGETS, NUM_JOINTS

# The twist is the weighted mean of the observed, no and the previous twist. The weight of an
# observed direction is the square of the sine of its angle to the bone: a nearly straight elbow
# tells little about the upper arm. Sines at which no and the previous twist weigh as much.
_NO_TWIST_SINE = 0.15
_PREVIOUS_SINE = 0.5
_MAX_LENGTH_ERROR = 1e-6  # of a unit vector in single precision
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Pointer:
    """A direction that turns with a joint.

    Attributes
    ----------
    joint : int
        Joint from 1 to 23; the root has no twist.
    rest : ndarray
        Direction (3) in the T-pose, in the body's rest frame, of any length.
    seen : ndarray
        Observed direction (3) in the frame of the joints, of any length; NaN or zero where it was
        not observed.
    share : float
        Share, in (0, 1], of the twist that this joint takes. The rest is left to joints further
        out: forearm and wrist share the rotation of the hand.
    centre : float
        Centre in radians of the anatomical range of the whole angle, which is measured from half a
        turn below to half a turn above it.
    confidence : float
        Confidence in [0, 1]; the lower it is, the more the previous twist counts.
    stretched : ndarray
        For the direction of a limb beyond a hinge: its unit vector (3) in the T-pose. A stretched
        forearm is not quite parallel to its upper arm, and its component across the plane in which
        the elbow bends is not a twist. Zero for other directions.

    Raises
    ------
    ValueError
        A value has the wrong shape or type or is out of its range. The message names it.
    """

    joint: int
    rest: Array
    seen: Array
    share: float = 1.0
    centre: float = 0.0
    confidence: float = 1.0
    stretched: Array = field(default_factory=lambda: np.zeros(3))

    def __post_init__(self) -> None:
        is_integer = isinstance(self.joint, int | np.integer) and not isinstance(self.joint, bool)
        if not (is_integer and 0 < self.joint < NUM_JOINTS):
            raise ValueError(
                f'joint must be an integer from 1 to {NUM_JOINTS - 1}, not {self.joint!r}'
            )
        for name in ('rest', 'seen', 'stretched'):
            direction = to_real_array(name, getattr(self, name))
            if direction.shape != (3,):
                raise ValueError(f'{name} must have shape (3,), not {direction.shape}')
            if name != 'seen' and not all(map(math.isfinite, direction.tolist())):
                raise ValueError(f'{name} must be finite, not {direction}')
        length = math.hypot(*self.stretched)
        if length > 0 and abs(length - 1) > _MAX_LENGTH_ERROR:
            raise ValueError(f'stretched must be of length 1, or zero, not of length {length}')
        for name in ('share', 'centre', 'confidence'):
            if not isinstance(getattr(self, name), Real):
                raise ValueError(f'{name} must be a number, not {getattr(self, name)!r}')
        if not 0 < self.share <= 1:
            raise ValueError(f'share must be in (0, 1], not {self.share}')
        if not np.isfinite(self.centre):
            raise ValueError(f'centre must be finite, not {self.centre}')
        if not 0 <= self.confidence <= 1:
            raise ValueError(f'confidence must be in [0, 1], not {self.confidence}')


class Pointers(NamedTuple):
    """Pointers of all joints, as arrays; those of joints without one are NaN.

    Attributes
    ----------
    rest, seen, stretched : ndarray
        Directions (24, 3), as of Pointer.
    shares, centres, confidence : ndarray
        Numbers (24), as of Pointer.
    """

    rest: Array
    seen: Array
    stretched: Array
    shares: Array
    centres: Array
    confidence: Array

    @classmethod
    def none(cls) -> 'Pointers':
        """Return the pointers of joints of which none has one."""
        rest, seen = np.full((2, NUM_JOINTS, 3), np.nan)
        ones, zeros, nothing = np.ones(NUM_JOINTS), np.zeros(NUM_JOINTS), np.zeros(NUM_JOINTS)
        return cls(rest, seen, np.zeros((NUM_JOINTS, 3)), ones, zeros, nothing)

    @classmethod
    def of(cls, pointers: Iterable[Pointer]) -> 'Pointers':
        """Return pointers in any order as arrays.

        Raises
        ------
        ValueError
            Two are of one joint.
        """
        pointers, found = tuple(pointers), cls.none()
        if len({pointer.joint for pointer in pointers}) < len(pointers):
            listed = ', '.join(str(pointer.joint) for pointer in pointers)
            raise ValueError(f'pointers must have at most one per joint, not joints {listed}')
        for pointer in pointers:
            joint = pointer.joint
            found.rest[joint], found.seen[joint] = pointer.rest, pointer.seen
            found.stretched[joint] = pointer.stretched
            found.shares[joint], found.centres[joint] = pointer.share, pointer.centre
            found.confidence[joint] = pointer.confidence
        return found


def twist_from_pointers(
    joints: ArrayLike,
    rest_joints: ArrayLike,
    pointers: Pointers | Iterable[Pointer],
    confidence: ArrayLike | None = None,
    previous: ArrayLike | None = None,
) -> Array:
    """Return the twist of each joint with a pointer.

    The twist is the weighted circular mean of the observed, the previous and no twist, so that it
    is continuous. The weight of an observed direction is the lower, the more it is parallel to its
    bone, and falls from a quarter turn to half a turn from the centre of the joint's range, so that
    a limb does not flip when it seems to bend slightly the wrong way.

    Parameters
    ----------
    joints, rest_joints : array_like
        Joints and leaves (29, 3) in metres, as of `solve`.
    pointers : Pointers, or iterable of Pointer
        Observed directions, at most one per joint.
    confidence : array_like, optional
        Confidence (29) of the joints, as of `solve`.
    previous : array_like, optional
        Rotations (24, 3, 3) of the previous frame, as of `solve`.

    Returns
    -------
    ndarray
        Cosine and sine (23, 2) of the twist, as of `solve`; NaN for joints without a pointer.

    Raises
    ------
    ValueError
        As `solve`, or the joints are a batch, or two pointers are of one joint.
    """
    batch, arrays = check_arguments(joints, rest_joints, None, confidence, previous)
    if batch:
        raise ValueError(f'joints must be those of one skeleton, not of a batch {batch}')
    target, rest, _, weights, held = (array[0] for array in arrays)
    if not isinstance(pointers, Pointers):
        pointers = Pointers.of(pointers)
    twist = np.empty((NUM_JOINTS - 1, 2))
    estimate_twist(
        target, rest, weights, held, *pointers, _NO_TWIST_SINE**2,
        0.0 if previous is None else _PREVIOUS_SINE**2, twist,
    )  # fmt: skip
    return twist


def twist_of(rotations: Array, rest_joints: Array) -> Array:
    """Return the twist of each joint about its bone, as `solve` takes it.

    Parameters
    ----------
    rotations : ndarray
        Parent-relative rotations (24, 3, 3).
    rest_joints : ndarray
        Joints and leaves (29, 3) of the T-pose in metres.

    Returns
    -------
    ndarray
        Cosine and sine (23, 2) of the angle of joint i in row i - 1.
    """
    bones = rest_joints[list(BONE_TARGETS[1:NUM_JOINTS])] - rest_joints[1:NUM_JOINTS]
    quaternions = to_quaternion(rotations[1:])
    along = np.sum(unit(bones) * quaternions[:, :3], axis=1)
    across = quaternions[:, 3]
    length = np.maximum(along**2 + across**2, _TINY)  # 0 for a half turn about another axis
    return np.stack([across**2 - along**2, 2 * along * across], axis=1) / length[:, None]
