"""The kernels of `solve`: check of its arguments, and solution of a batch of skeletons."""

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.compiling import compiled, floats, kernel
from hybrik_ros.kinematics.aiming import TRUE, aim
from hybrik_ros.kinematics.matrices import copy_all, is_rotation, orthonormalise
from hybrik_ros.kinematics.parts import divide, find_moving_part
from hybrik_ros.kinematics.refinement import refine
from hybrik_ros.kinematics.tree import pose_at
from hybrik_ros.skeleton import NUM_JOINTS, NUM_POINTS
from hybrik_ros.vectors import norm

# Results of check_batch.
VALID, BAD_REST, BAD_PREVIOUS, BAD_CONFIDENCE, BAD_JOINTS = range(5)

# Faults that scale_sights returns.
BAD_DEPTH_WEIGHT, BAD_SIGHT = 1, 2
_MIN_SIGHT = 1e-12  # metres; shorter lines of sight have no direction

# Maximum of previous_weight in square metres; larger values have the same effect.
_MAX_PREVIOUS_WEIGHT = 1e9


@kernel(floats(3), floats(3), floats(2), floats(4))
def check_batch(
    target: Array, rest: Array, confidence: Array, previous: Array
) -> tuple[int, float]:
    """Return the first fault of the arguments of a solve, and their largest used coordinate."""
    largest = 0.0
    for b in range(rest.shape[0]):
        for j in range(NUM_POINTS):
            for k in range(3):
                if not np.isfinite(rest[b, j, k]):
                    return BAD_REST, largest
                largest = max(largest, abs(rest[b, j, k]))
    for b in range(previous.shape[0]):
        for i in range(NUM_JOINTS):
            if not is_rotation(previous[b, i]):
                return BAD_PREVIOUS, largest
    for b in range(target.shape[0]):
        for j in range(NUM_POINTS):
            if not 0 <= confidence[b, j] <= 1:
                return BAD_CONFIDENCE, largest
            if confidence[b, j] > 0:
                for k in range(3):
                    if not np.isfinite(target[b, j, k]):
                        return BAD_JOINTS, largest
                    largest = max(largest, abs(target[b, j, k]))
    return VALID, largest


@kernel(floats(3), floats(2), floats(3))
def scale_sights(along: Array, depth_weights: Array, sights: Array) -> int:
    """Fill lines of sight (B, 29, 3) of length sqrt(1 - depth_weight); return the first fault.

    A joint without confidence may be NaN or huge, and one at the origin has no line of sight: they
    are zero there.
    """
    fault = VALID
    for b in range(along.shape[0]):
        for j in range(NUM_POINTS):
            if not 0 < depth_weights[b, j] <= 1:
                return BAD_DEPTH_WEIGHT
            length, scale = norm(along[b, j]), np.sqrt(1 - depth_weights[b, j])
            for k in range(3):
                if not np.isfinite(along[b, j, k]):
                    fault = BAD_SIGHT
                scaled = scale * (along[b, j, k] / max(length, _MIN_SIGHT))
                usable = length > _MIN_SIGHT and np.isfinite(scaled)
                sights[b, j, k] = scaled if usable else 0.0
    return fault


@kernel(
    *(floats(3), floats(3), floats(3), floats(2), floats(4)),
    *('float64', floats(3), 'boolean', 'int64', floats(4)),
)
def solve_batch(
    target: Array, rest: Array, twist: Array, confidence: Array, previous: Array,
    previous_weight: float, sights: Array, adaptive: bool, steps: int, rotations: Array,
) -> None:  # fmt: skip
    """Fill rotations (B, 24, 3, 3): aim all bones, then refine by a maximum number of steps."""
    held = np.empty((NUM_JOINTS, 3, 3))
    rebuilt = np.empty((NUM_POINTS, 3))
    refined = np.empty((NUM_POINTS, 3))
    global_rotations = np.empty((NUM_JOINTS, 3, 3))
    root = np.empty(3)
    weights = np.empty(NUM_POINTS)
    adaptive_again = np.bool_(TRUE)
    for b in range(target.shape[0]):
        largest = _scale_confidence(confidence[b], weights)
        held_weight = min(previous_weight / largest, _MAX_PREVIOUS_WEIGHT)
        # Rounding errors would grow from frame to frame, as each is the previous one of the next.
        copy_all(previous[b], held)
        for i in range(NUM_JOINTS):
            orthonormalise(held[i])
        aim(target[b], rest[b], twist[b], weights, held, adaptive, rotations[b],
            rebuilt, global_rotations)  # fmt: skip
        if steps > 0:
            for k in range(3):
                root[k] = rebuilt[0, k]
            _refine_parts(target[b], rest[b], weights, held, held_weight, sights[b], steps,
                          rotations[b], root)  # fmt: skip
            # The steps also turn bones about themselves, for which joints give no evidence. This
            # would accumulate from frame to frame; so aim at the joints of the result.
            pose_at(rotations[b], rest[b], root, refined, global_rotations)
            aim(refined, rest[b], twist[b], weights, held, adaptive_again, rotations[b],
                rebuilt, global_rotations)  # fmt: skip
        for i in range(NUM_JOINTS):
            orthonormalise(rotations[b, i])


@compiled
def _scale_confidence(confidence: Array, weights: Array) -> float:
    """Fill the weights (29) of joints, relative to their maximum, which is returned.

    Only ratios of weights matter, and products of tiny ones would underflow.
    """
    largest = 0.0
    for j in range(NUM_POINTS):
        largest = max(largest, confidence[j])
    largest = largest if largest > 0 else 1.0
    for j in range(NUM_POINTS):
        weights[j] = confidence[j] / largest
    return largest


@compiled
def _refine_parts(
    target: Array, rest: Array, weights: Array, previous: Array, previous_weight: float,
    sights: Array, steps: int, rotations: Array, root: Array,
) -> None:  # fmt: skip
    """Refine the rotations (24, 3, 3) and the root (3) of all parts of the body, in place."""
    parts = np.empty(NUM_JOINTS, np.int64)
    divide(weights, parts)
    moving = find_moving_part(weights, parts)
    for part in range(NUM_JOINTS):
        if parts[part] == part:
            refine(part, part == moving, parts, target, rest, weights, previous, previous_weight,
                   sights, steps, rotations, root)  # fmt: skip
