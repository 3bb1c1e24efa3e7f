"""Inverse kinematics: from joints to parent-relative rotations, by HybrIK."""

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from hybrik_ros.arrays import Array
from hybrik_ros.kinematics import kernels
from hybrik_ros.kinematics.validation import flattened, real_array
from hybrik_ros.skeleton import NUM_JOINTS, NUM_POINTS

Method = Literal['naive', 'adaptive', 'refined']
METHODS: tuple[Method, ...] = get_args(Method)

# Two take all the gain there is, but with wrong bones or joints far off, where some lead uphill.
_MOST_STEPS = 8
# What stands for arguments that are not given.
_UNKNOWN_TWIST = np.zeros((NUM_JOINTS - 1, 2))
_SURE = np.ones(NUM_POINTS)
_REST = np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
_FAULTS = {
    kernels.BAD_REST: 'rest_joints holds NaN or infinite numbers',
    kernels.BAD_PREVIOUS: 'previous holds matrices that are no rotations',
    kernels.BAD_CONFIDENCE: 'confidence must lie in [0, 1]',
    kernels.BAD_JOINTS: 'joints holds NaN or infinite numbers where confidence is above 0',
}
# Metres. Larger coordinates, which mean nothing anyway, could exhaust the digits of a number.
_FARTHEST = 1e9


def solve(
    joints: ArrayLike,
    rest_joints: ArrayLike,
    twist: ArrayLike | None = None,
    *,
    method: Method = 'refined',
    confidence: ArrayLike | None = None,
    previous: ArrayLike | None = None,
    previous_weight: float = 0.0,
    depth_weight: float = 1.0,
) -> Array:
    """Find the rotations that pose a skeleton of fixed bones like the given joints.

    'naive' and 'adaptive' are HybrIK's two methods: the swing of every bone is analytic, its
    twist is given. Naive takes both ends of a bone from the joints; adaptive aims each bone
    from where its rebuilt parent really ended up, so that errors do not add up along a limb.
    'refined' starts from adaptive, takes Levenberg-Marquardt steps on all joint positions while
    they lead downhill and pay, so that every joint is heard, and aims once more, at where they
    lead: the steps turn bones about themselves too, which no joint tells.

    The published implementation differs in five ways. It falls back to the naive direction
    wherever the two differ by more than 15 mm, which undoes adaptivity on noisy joints; its naive
    method has a root of its own; it places the body by the pelvis alone, whose error all bones
    then inherit; it treats spine3 as a single bone to the neck, though three bones hang from it
    and fix its rotation; and the swing of opposite directions is undefined there. Here, in all
    methods, rotation and place of the root are the orthogonal Procrustes fit of pelvis, hips and
    spine1, and spine3 is that of its three bones. The twist of spine3 counts only where neither
    collar is seen.

    All of that goes for bones of the right lengths. Where these are only guessed, 'naive' errs
    least in rotations, as it alone takes every direction from the joints as it is: the other two
    bend the body to bring joints nearer (`hybrik bench kinematics`, row betas = 0). Where they are
    too short by more than a few per cent there may be two ways to do that which are nearly as good,
    and 'refined' jumps from one to the other as the joints move, less often with a previous_weight.

    Parameters
    ----------
    joints: (..., 29, 3), metres, in any frame: 24 joints and 5 leaves of hybrik_ros.skeleton.
        Where they are does not matter, only how they lie to each other, unless depth_weight
        says that it does.
    rest_joints: (..., 29, 3), metres, the same body's T-pose.
    twist: (..., 23, 2), cosine and sine of the angle of joint i about its rest bone in row
        i - 1; of any length. (0, 0), NaN, infinite, or None for a row or for all, is not known:
        the twist of previous, or none.
    method: 'naive', 'adaptive' or 'refined'.
    confidence: (..., 29), in [0, 1], how much each joint counts. A joint of confidence 0 may be
        anything, NaN included: the bone that aims at it keeps the direction in its parent that
        it has in previous, or at rest. What lies beyond it in the limb is solved from where the
        bone ends, and changes nothing else. What the seen ones of pelvis, hips and spine1, or of
        the bones of spine3, leave open of a rotation stays as in previous.
    previous: (..., 24, 3, 3), the rotations of the frame before. What is not known stays exactly
        as it was there, however many frames that lasts.
    previous_weight: square metres; how much the steps of 'refined' hold on to previous, where it
        is given: a turn of one radian away from it costs as much as one joint that is off by the
        square root. Twist that is given is not held back, and a joint that has turned by more
        than 120 degrees since is let go.
    depth_weight: in (0, 1]; how much the steps of 'refined' make of an error along the line of
        sight, against one across it: a camera sees well where in the image a joint is, and badly
        how far away. Below 1, joints must be in a camera's frame, with the camera at (0, 0, 0).

    Returns
    -------
    (..., 24, 3, 3), parent-relative rotations; [0] maps the rest frame to the joints' frame.

    Raises
    ------
    ValueError: naming the argument, on a wrong shape, an unknown method, non-finite rest
        joints, a previous that is no rotation, non-finite joints of confidence above 0,
        confidence outside [0, 1], a negative previous_weight, or a depth_weight outside (0, 1].

    Source: Li et al., HybrIK (CVPR 2021), section 3.2 and algorithm 1.
    """
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f'method must be one of {", ".join(METHODS)}, not {method!r}')
    weight, in_depth = (
        _number('previous_weight', previous_weight),
        _number('depth_weight', depth_weight),
    )
    if not 0 <= weight < np.inf:
        raise ValueError(f'previous_weight must be a number not below 0, not {previous_weight!r}')
    if not 0 < in_depth <= 1:
        raise ValueError(f'depth_weight must be a number in (0, 1], not {depth_weight!r}')
    if previous is None:
        weight = 0.0
    batch, (joints, rest_joints, twist, confidence, previous) = sound_arguments(
        joints, rest_joints, twist, confidence, previous
    )
    rotations = np.empty((len(joints), NUM_JOINTS, 3, 3))
    steps = _MOST_STEPS if method == 'refined' else 0
    adaptive = method != 'naive'
    kernels.solve_batch(
        joints, rest_joints, twist, confidence, previous, weight, in_depth, adaptive, steps,
        rotations,
    )  # fmt: skip
    return rotations.reshape(*batch, NUM_JOINTS, 3, 3)


def _number(name: str, value: float) -> float:
    array = real_array(name, value)
    if array.shape:
        raise ValueError(f'{name} must be a number, not {value!r}')
    return float(array)


def _without_none(twist: Any) -> Any:
    """Return twist with NaN in place of None, of rows or of numbers, in lists however nested."""
    if isinstance(twist, np.ndarray) and twist.dtype == object:
        twist = twist.tolist()
    if not isinstance(twist, list | tuple):
        return twist
    if len(twist) == 2 and not any(isinstance(number, list | tuple) for number in twist):
        return [np.nan if number is None else number for number in twist]
    return [(np.nan, np.nan) if rows is None else _without_none(rows) for rows in twist]


def sound_arguments(
    joints: ArrayLike,
    rest_joints: ArrayLike,
    twist: ArrayLike | None,
    confidence: ArrayLike | None,
    previous: ArrayLike | None,
) -> tuple[tuple[int, ...], list[Array]]:
    """Return the batch shape of solve's arguments, and all of them as (B, ...) for the kernels.

    What is not given is filled in. Raises the ValueErrors of solve.
    """
    twist = _UNKNOWN_TWIST if twist is None else _without_none(twist)
    confidence = _SURE if confidence is None else confidence
    previous = _REST if previous is None else previous
    batch, arrays = flattened(
        {
            'joints': (joints, (NUM_POINTS, 3)),
            'rest_joints': (rest_joints, (NUM_POINTS, 3)),
            'twist': (twist, (NUM_JOINTS - 1, 2)),
            'confidence': (confidence, (NUM_POINTS,)),
            'previous': (previous, (NUM_JOINTS, 3, 3)),
        }
    )
    target, rest, _, weights, held = arrays
    fault, farthest = kernels.inspect(target, rest, weights, held)
    if fault != kernels.SOUND:
        raise ValueError(_FAULTS[fault])
    if farthest > _FARTHEST:
        arrays[:2] = (np.clip(x, -_FARTHEST, _FARTHEST) for x in (target, rest))
    return batch, arrays
