"""Inverse kinematics by HybrIK: parent-relative rotations from joints."""

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from hybrik_ros.arrays import Array
from hybrik_ros.kinematics import solver
from hybrik_ros.kinematics.validation import flatten_batches, to_real_array
from hybrik_ros.skeleton import NUM_JOINTS, NUM_POINTS

Method = Literal['naive', 'adaptive', 'refined']
METHODS: tuple[Method, ...] = get_args(Method)

# Maximum number of Levenberg-Marquardt steps. Two steps reach nearly all of the gain, except for
# wrong bone lengths or large errors of joints, where some steps are rejected.
_MAX_STEPS = 8
# Defaults of optional arguments.
_UNKNOWN_TWIST = np.zeros((NUM_JOINTS - 1, 2))
_FULL_CONFIDENCE = np.ones(NUM_POINTS)
_REST_POSE = np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
_FAULTS = {
    solver.BAD_REST: 'rest_joints contains NaN or infinity',
    solver.BAD_PREVIOUS: 'previous contains matrices that are not rotations',
    solver.BAD_CONFIDENCE: 'confidence must be in [0, 1]',
    solver.BAD_JOINTS: 'joints contains NaN or infinity where confidence is above 0',
}
# Maximum coordinate in metres, to which larger ones are clipped; they would lose all precision.
_MAX_COORDINATE = 1e9


def solve(
    joints: ArrayLike,
    rest_joints: ArrayLike,
    twist: ArrayLike | None = None,
    *,
    method: Method = 'refined',
    confidence: ArrayLike | None = None,
    previous: ArrayLike | None = None,
    previous_weight: float = 0.0,
    depth_weight: ArrayLike = 1.0,
    sight: ArrayLike | None = None,
) -> Array:
    """Return the rotations that pose a skeleton of fixed bone lengths like the given joints.

    'naive' and 'adaptive' are HybrIK's two methods: the swing of each bone is analytic, its twist
    is an input. 'naive' takes both ends of a bone from the joints; 'adaptive' takes the start of a
    bone from its rebuilt parent, so that errors do not accumulate along a limb. 'refined' starts
    from 'adaptive', takes Levenberg-Marquardt steps that minimise the error of all joint positions,
    and applies 'adaptive' once more to the joints of the result: the steps also rotate bones about
    themselves, for which joint positions give no evidence.

    The published implementation differs in five ways. It falls back to the naive direction where
    the two differ by more than 15 mm, which disables 'adaptive' for noisy joints; its naive method
    computes the root differently; it places the body by the pelvis alone, so that all bones inherit
    its error; it treats spine3 as a single bone to the neck, although its three children determine
    its rotation; and the swing between opposite directions is undefined. Here, in all methods,
    rotation and position of the root are the orthogonal Procrustes fit of pelvis, hips and spine1,
    and the rotation of spine3 is that of its three bones. The twist of spine3 is used only where
    neither collar is seen.

    This holds for correct bone lengths. Where they are a guess, 'naive' has the smallest error of
    rotations, as it takes all directions directly from the joints; the other two bend the body to
    bring joints nearer (`hybrik bench kinematics`, row betas = 0). Where bones are too short by
    more than a few per cent, there may be two solutions of nearly the same cost, between which
    'refined' jumps as the joints move; previous_weight reduces this.

    Parameters
    ----------
    joints : array_like
        Joints and leaves (..., 29, 3) in metres, in the order of hybrik_ros.skeleton, in any frame.
        Their common offset does not matter, unless depth_weight is below 1 and sight is None.
    rest_joints : array_like
        Joints and leaves (..., 29, 3) of the same body's T-pose in metres.
    twist : array_like, optional
        Vectors (..., 23, 2) of any length along (cosine, sine) of the angle of joint i about its
        rest bone, in row i - 1. (0, 0), NaN, infinity, or None for a row or for all mean unknown:
        the twist of previous, or none.
    method : {'naive', 'adaptive', 'refined'}
        Method.
    confidence : array_like, optional
        Confidence (..., 29) in [0, 1]: the weight of each joint; 1 by default. A joint of
        confidence 0 may be NaN: the bone that ends in it keeps its direction, relative to its
        parent, of previous, or of the T-pose. The limb beyond it is solved from the end of that
        bone and affects nothing else. Where pelvis, hips and spine1, or the children of spine3, do
        not determine a rotation, the rest is that of previous.
    previous : array_like, optional
        Rotations (..., 24, 3, 3) of the previous frame. Whatever is unknown stays as it is there.
    previous_weight : float
        Regularisation of 'refined' towards previous, in square metres: a turn of one radian away
        from it costs as much as an error of one joint of the square root of this value. A known
        twist is not regularised, nor is a joint that has turned by more than 120 degrees since.
    depth_weight : array_like
        Weight in (0, 1], in 'refined', of an error along the line of sight relative to one across
        it, for all joints or for each (..., 29): a camera measures the position in the image well
        and the distance badly.
    sight : array_like, optional
        Directions (..., 29, 3) of the lines of sight, of any length. By default those from the
        origin to the joints: then, for values of depth_weight below 1, the joints must be in the
        camera's frame, with its origin at the camera.

    Returns
    -------
    ndarray
        Parent-relative rotations (..., 24, 3, 3); [0] maps the rest frame to the joints' frame.

    Raises
    ------
    ValueError
        An argument has the wrong shape, is not finite or is out of its range, previous is not a
        rotation, or the method is unknown. The message names the argument.

    References
    ----------
    Li et al.: HybrIK (CVPR 2021), section 3.2 and algorithm 1.
    """
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f'method must be one of {", ".join(METHODS)}, not {method!r}')
    weight = _to_number('previous_weight', previous_weight)
    if not 0 <= weight < np.inf:
        raise ValueError(f'previous_weight must be finite and not below 0, not {previous_weight!r}')
    if previous is None:
        weight = 0.0
    batch, (joints, rest_joints, twist, confidence, previous) = check_arguments(
        joints, rest_joints, twist, confidence, previous
    )
    sights = _scale_sights(joints, depth_weight, sight, batch)
    rotations = np.empty((len(joints), NUM_JOINTS, 3, 3))
    steps = _MAX_STEPS if method == 'refined' else 0
    adaptive = method != 'naive'
    solver.solve_batch(
        joints, rest_joints, twist, confidence, previous, weight, sights, adaptive, steps,
        rotations,
    )  # fmt: skip
    return rotations.reshape(*batch, NUM_JOINTS, 3, 3)


def _scale_sights(
    joints: Array, depth_weight: ArrayLike, sight: ArrayLike | None, batch: tuple[int, ...]
) -> Array:
    """Return the lines of sight (B, 29, 3) of joints (B, 29, 3), of length sqrt(1 - depth_weight).

    Raises
    ------
    ValueError
        As `solve`.
    """
    in_depth = _spread('depth_weight', depth_weight, batch, (NUM_POINTS,))
    along = joints if sight is None else _spread('sight', sight, batch, (NUM_POINTS, 3))
    sights = np.empty((len(joints), NUM_POINTS, 3))
    fault = solver.scale_sights(along, in_depth, sights)
    if fault == solver.BAD_DEPTH_WEIGHT:
        raise ValueError(f'depth_weight must be in (0, 1], not {depth_weight!r}')
    if fault == solver.BAD_SIGHT and sight is not None:
        raise ValueError('sight contains NaN or infinity')
    return sights


def _spread(name: str, value: ArrayLike, batch: tuple[int, ...], core: tuple[int, ...]) -> Array:
    """Return a value as an array (B, *core) for every element of a batch."""
    array = to_real_array(name, value)
    try:  # A copy, as what broadcast_to returns is not writable.
        if array.shape != batch + core or not array.flags.carray:
            array = np.array(np.broadcast_to(array, batch + core), order='C')
        return array.reshape(-1, *core)
    except ValueError:
        raise ValueError(
            f'{name} must be of a shape that broadcasts to {batch + core}, not {array.shape}'
        ) from None


def _to_number(name: str, value: float) -> float:
    array = to_real_array(name, value)
    if array.shape:
        raise ValueError(f'{name} must be a number, not {value!r}')
    return float(array)


def _replace_none(twist: Any) -> Any:
    """Return twist with NaN in place of None, for rows and numbers of lists nested to any depth."""
    if isinstance(twist, np.ndarray) and twist.dtype == object:
        twist = twist.tolist()
    if not isinstance(twist, list | tuple):
        return twist
    if len(twist) == 2 and not any(isinstance(number, list | tuple) for number in twist):
        return [np.nan if number is None else number for number in twist]
    return [(np.nan, np.nan) if rows is None else _replace_none(rows) for rows in twist]


def check_arguments(
    joints: ArrayLike,
    rest_joints: ArrayLike,
    twist: ArrayLike | None,
    confidence: ArrayLike | None,
    previous: ArrayLike | None,
) -> tuple[tuple[int, ...], list[Array]]:
    """Check the arguments of `solve`.

    Returns
    -------
    batch : tuple of int
        The common batch shape.
    arrays : list of ndarray
        The arguments in their order, as arrays (B, ...) for the kernels, with defaults filled in.

    Raises
    ------
    ValueError
        As `solve`.
    """
    twist = _UNKNOWN_TWIST if twist is None else _replace_none(twist)
    confidence = _FULL_CONFIDENCE if confidence is None else confidence
    previous = _REST_POSE if previous is None else previous
    batch, arrays = flatten_batches(
        {
            'joints': (joints, (NUM_POINTS, 3)),
            'rest_joints': (rest_joints, (NUM_POINTS, 3)),
            'twist': (twist, (NUM_JOINTS - 1, 2)),
            'confidence': (confidence, (NUM_POINTS,)),
            'previous': (previous, (NUM_JOINTS, 3, 3)),
        }
    )
    target, rest, _, weights, held = arrays
    fault, largest = solver.check_batch(target, rest, weights, held)
    if fault != solver.VALID:
        raise ValueError(_FAULTS[fault])
    if largest > _MAX_COORDINATE:
        arrays[:2] = (np.clip(x, -_MAX_COORDINATE, _MAX_COORDINATE) for x in (target, rest))
    return batch, arrays
