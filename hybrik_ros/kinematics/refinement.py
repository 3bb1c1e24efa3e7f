"""Levenberg-Marquardt refinement of a solved skeleton, for kernels."""

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.compiling import compiled
from hybrik_ros.kinematics.matrices import (
    TINY,
    copy,
    copy_all,
    multiply,
    multiply_back,
    rotate,
    set_axis_rotation,
)
from hybrik_ros.kinematics.normal_equations import find_step
from hybrik_ros.kinematics.tree import PARENT, find_means, pose_at
from hybrik_ros.skeleton import NUM_JOINTS, NUM_POINTS
from hybrik_ros.vectors import norm

# Initial damping in square metres: a turn of one radian costs as much as an error of 2 cm.
_DAMPING = 4e-4
_DAMPING_INCREASE = 10.0  # factor after a step that increased the cost
# Steps end after one that leaves more than this share of the cost. With a smaller share, the result
# would depend on the start, and a body could jump while its joints hardly move.
_MAX_REMAINING_COST = 0.999


@compiled
def refine(
    part: int, moves: bool | np.bool_, parts: NDArray[np.int64], target: Array, rest: Array,
    confidence: Array, previous: Array, previous_weight: float, sights: Array, steps: int,
    rotations: Array, root: Array,
) -> None:  # fmt: skip
    """Change rotations and root by steps of the joints of a part, as long as the cost falls."""
    joints, new_joints = np.empty((NUM_POINTS, 3)), np.empty((NUM_POINTS, 3))
    global_rotations, new_global = np.empty((NUM_JOINTS, 3, 3)), np.empty((NUM_JOINTS, 3, 3))
    new_rotations = np.empty((NUM_JOINTS, 3, 3))
    returns, turns = np.zeros((NUM_JOINTS, 3)), np.empty((NUM_JOINTS, 3))
    shift, new_root = np.empty(3), np.empty(3)
    weights = np.zeros(NUM_POINTS)
    pose_at(rotations, rest, root, joints, global_rotations)
    weight = _select_part(confidence, parts, part, weights)
    damping = _DAMPING * weight  # Confidence is relative: a common factor changes nothing.
    if moves:
        _move_to_target(target, weights, joints, root)
    cost = _find_cost(joints, rotations, target, weights, parts, part, sights, previous,
                      previous_weight)  # fmt: skip
    for _ in range(steps):
        if cost < TINY * weight:
            break
        if previous_weight > 0:
            _find_returns(rotations, previous, global_rotations, returns)
        find_step(joints, target, weights, parts, part, moves, sights, damping, returns,
                  previous_weight, turns, shift)  # fmt: skip
        _move(turns, shift, rotations, root, global_rotations, new_rotations, new_root)
        pose_at(new_rotations, rest, new_root, new_joints, new_global)
        new_cost = _find_cost(new_joints, new_rotations, target, weights, parts, part,
                              sights, previous, previous_weight)  # fmt: skip
        if not new_cost < cost:
            damping *= _DAMPING_INCREASE
            continue
        copy_all(new_rotations, rotations)
        for k in range(3):
            root[k] = new_root[k]
        if new_cost > _MAX_REMAINING_COST * cost:
            break
        cost = new_cost
        copy(new_joints, joints)
        copy_all(new_global, global_rotations)


@compiled
def _select_part(confidence: Array, parts: NDArray[np.int64], part: int, weights: Array) -> float:
    """Fill the weights (29) of the joints of a part, which start as 0; return their mean."""
    total = 0.0
    seen = 0
    for j in range(NUM_POINTS):
        if parts[max(PARENT[j], 0)] == part:
            weights[j] = confidence[j]
            total += weights[j]
            if weights[j] > 0:
                seen += 1
    return total / seen


@compiled
def _move_to_target(target: Array, weights: Array, joints: Array, root: Array) -> None:
    """Move joints (29, 3) and root (3), in place, so that their mean is that of the target."""
    mean = np.empty(3)
    target_mean = np.empty(3)
    find_means(target, joints, weights, len(weights), target_mean, mean)
    for k in range(3):
        shift = target_mean[k] - mean[k]
        root[k] += shift
        for j in range(NUM_POINTS):
            joints[j, k] += shift


@compiled
def _find_cost(
    rebuilt: Array, rotations: Array, target: Array, confidence: Array, parts: NDArray[np.int64],
    part: int, sights: Array, previous: Array, previous_weight: float,
) -> float:  # fmt: skip
    """Return the weighted squares of errors of a part's joints and of turns from previous ones.

    confidence is 0 for the joints of all other parts.
    """
    total = 0.0
    for j in range(NUM_POINTS):
        if confidence[j] > 0:
            square = along = 0.0
            for k in range(3):
                residual = target[j, k] - rebuilt[j, k]
                square += residual * residual
                along += residual * sights[j, k]
            total += confidence[j] * (square - along * along)
    if previous_weight > 0:
        for i in range(NUM_JOINTS):
            if parts[i] == part:
                trace = 0.0
                for r in range(3):
                    for c in range(3):
                        trace += rotations[i, r, c] * previous[i, r, c]
                total += previous_weight * (3 - trace)  # 2 - 2 cos, about the square of the angle
    return total


@compiled
def _find_returns(
    rotations: Array, previous: Array, global_rotations: Array, returns: Array
) -> None:
    """Fill returns (24, 3): axis times sine of the turn to each previous rotation, global frame.

    The sine equals the angle where that is small, and releases joints that have turned far.
    """
    turn = np.empty((3, 3))
    axis = np.empty(3)
    for i in range(NUM_JOINTS):
        for r in range(3):
            for c in range(3):
                turn[r, c] = (
                    previous[i, r, 0] * rotations[i, c, 0]
                    + previous[i, r, 1] * rotations[i, c, 1]
                    + previous[i, r, 2] * rotations[i, c, 2]
                )
        axis[0] = (turn[2, 1] - turn[1, 2]) / 2
        axis[1] = (turn[0, 2] - turn[2, 0]) / 2
        axis[2] = (turn[1, 0] - turn[0, 1]) / 2
        if i == 0:
            for k in range(3):
                returns[i, k] = axis[k]
        else:
            rotate(global_rotations[PARENT[i]], axis, returns[i])


@compiled
def _move(
    turns: Array, shift: Array, rotations: Array, root: Array, global_rotations: Array,
    new_rotations: Array, new_root: Array,
) -> None:  # fmt: skip
    """Fill parent-relative rotations (24, 3, 3) and root (3) after a step.

    turns (24, 3) are rotation vectors in the global frame.
    """
    for k in range(3):
        new_root[k] = root[k] + shift[k]
    turn = np.empty((3, 3))
    turned = np.empty((3, 3))
    for i in range(NUM_JOINTS):
        angle = norm(turns[i])
        if angle < TINY:
            copy(rotations[i], new_rotations[i])
            continue
        x, y, z = turns[i, 0] / angle, turns[i, 1] / angle, turns[i, 2] / angle
        set_axis_rotation(x, y, z, np.cos(angle), np.sin(angle), turn)
        multiply(turn, global_rotations[i], turned)
        if i == 0:
            copy(turned, new_rotations[i])
        else:
            multiply_back(global_rotations[PARENT[i]], turned, new_rotations[i])
