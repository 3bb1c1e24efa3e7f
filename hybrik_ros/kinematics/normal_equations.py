"""Normal equations of a Levenberg-Marquardt step on the tree of joints, for kernels.

Unknowns are turns[i], a small rotation vector in the global frame of everything below joint i about
that joint, and shift, a translation of the whole body. Joint j moves by the shift and the sum over
its ancestors i of turns[i] x (q(j) - q(i)), where q are the rebuilt joints. The weight of a joint
is confidence (I - s s.T), where s is its row of sights: the line of sight, of a length up to 1.

The normal matrix couples joints with their ancestors only, so that it is eliminated from the leaves
to the root without fill-in.
"""

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.compiling import compiled
from hybrik_ros.kinematics.matrices import (
    TINY,
    invert,
    multiply,
    multiply_back,
    rotate,
    rotate_back,
)
from hybrik_ros.kinematics.tree import ANCESTORS, DEPTH, PARENT
from hybrik_ros.skeleton import NUM_JOINTS, NUM_POINTS
from hybrik_ros.vectors import cross, dot

_NUM_BLOCKS = NUM_JOINTS + 1  # block 0 is the shift, block i + 1 the turn of joint i


@compiled
def find_step(
    rebuilt: Array, target: Array, confidence: Array, parts: NDArray[np.int64], part: int,
    moves: bool | np.bool_, sights: Array, damping: float, returns: Array,
    return_weight: float, turns: Array, shift: Array,
) -> None:  # fmt: skip
    """Fill turns (24, 3) and shift (3) of one Levenberg-Marquardt step of the joints of a part.

    confidence (29) is 0 for joints of other parts; moves tells whether the part moves the whole
    body; returns (24, 3) are the turns that lead back to the previous rotations.
    """
    normal = np.zeros((_NUM_BLOCKS, _NUM_BLOCKS, 3, 3))  # lower blocks only: [below, above]
    gradient = np.zeros((_NUM_BLOCKS, 3))
    levers = np.zeros((_NUM_BLOCKS, 3))
    chain = np.zeros(_NUM_BLOCKS, np.int64)
    residual = np.empty(3)
    # lever x sight: how a turn moves the joint along its line of sight.
    moments = np.zeros((_NUM_BLOCKS, 3))
    _start_equations(normal, gradient, parts, part, damping, returns, return_weight)
    for j in range(NUM_POINTS):
        weight = confidence[j]
        if not weight > 0:
            continue
        sight = sights[j]
        _find_residual(target[j], rebuilt[j], sight, residual)
        length = _find_levers(j, rebuilt, parts, part, chain, levers)
        for a in range(length):
            cross(levers[a], sight, moments[a])
        _add_turns(normal, gradient, chain, length, levers, moments, weight, residual)
        if moves:
            _add_shift(normal, gradient, chain, length, levers, moments, weight, residual, sight)
    _solve_tree(normal, gradient)
    for k in range(3):
        shift[k] = gradient[0, k]
    for i in range(NUM_JOINTS):
        for k in range(3):
            turns[i, k] = gradient[i + 1, k]


@compiled
def _start_equations(
    normal: Array, gradient: Array, parts: NDArray[np.int64], part: int, damping: float,
    returns: Array, return_weight: float,
) -> None:  # fmt: skip
    """Fill the diagonal with damping and with the weight of the previous rotations."""
    for k in range(3):
        normal[0, 0, k, k] = TINY
    for i in range(NUM_JOINTS):
        held = return_weight if parts[i] == part else 0.0
        for k in range(3):
            normal[i + 1, i + 1, k, k] = damping + held
            gradient[i + 1, k] = held * returns[i, k]


@compiled
def _find_residual(target: Array, rebuilt: Array, sight: Array, residual: Array) -> None:
    """Fill the residual (3) of a joint, less of it along the line of sight."""
    for k in range(3):
        residual[k] = target[k] - rebuilt[k]
    along = dot(sight, residual)
    for k in range(3):
        residual[k] -= along * sight[k]


@compiled
def _find_levers(
    j: int, rebuilt: Array, parts: NDArray[np.int64], part: int, chain: NDArray[np.int64],
    levers: Array,
) -> int:  # fmt: skip
    """Fill the ancestors of joint j in a part, and its levers from them; return their number."""
    length = 0
    i = PARENT[j]
    while i >= 0 and parts[i] == part:
        chain[length] = i
        for k in range(3):
            levers[length, k] = rebuilt[j, k] - rebuilt[i, k]
        length += 1
        i = PARENT[i]
    return length


@compiled
def _add_turns(
    normal: Array, gradient: Array, chain: NDArray[np.int64], length: int, levers: Array,
    moments: Array, weight: float, residual: Array,
) -> None:  # fmt: skip
    """Add a joint to the equations of the turns of its ancestors.

    The derivative of the joint by a turn is -[lever], and its transpose times the residual is the
    moment of the residual. The block of turns a and b is [a].T [b] = (a . b) I - b a.T.
    """
    for a in range(length):
        x, y, z = levers[a, 0], levers[a, 1], levers[a, 2]
        row = chain[a] + 1
        gradient[row, 0] += weight * (y * residual[2] - z * residual[1])
        gradient[row, 1] += weight * (z * residual[0] - x * residual[2])
        gradient[row, 2] += weight * (x * residual[1] - y * residual[0])
        for b in range(a, length):
            column = chain[b] + 1
            product = x * levers[b, 0] + y * levers[b, 1] + z * levers[b, 2]
            for r in range(3):
                lever = weight * levers[b, r]
                moment = weight * moments[a, r]
                for c in range(3):
                    change = normal[row, column, r, c] - lever * levers[a, c]
                    normal[row, column, r, c] = change - moment * moments[b, c]
                normal[row, column, r, r] += weight * product


@compiled
def _add_shift(
    normal: Array, gradient: Array, chain: NDArray[np.int64], length: int, levers: Array,
    moments: Array, weight: float, residual: Array, sight: Array,
) -> None:  # fmt: skip
    """Add a joint to the equations of the shift."""
    for r in range(3):
        normal[0, 0, r, r] += weight
        gradient[0, r] += weight * residual[r]
        for c in range(3):
            normal[0, 0, r, c] -= weight * sight[r] * sight[c]
    for a in range(length):
        x, y, z = levers[a, 0], levers[a, 1], levers[a, 2]
        row = chain[a] + 1
        normal[row, 0, 0, 1] -= weight * z
        normal[row, 0, 0, 2] += weight * y
        normal[row, 0, 1, 0] += weight * z
        normal[row, 0, 1, 2] -= weight * x
        normal[row, 0, 2, 0] -= weight * y
        normal[row, 0, 2, 1] += weight * x
        for r in range(3):
            for c in range(3):
                normal[row, 0, r, c] -= weight * moments[a, r] * sight[c]


@compiled
def _solve_tree(normal: Array, gradient: Array) -> None:
    """Solve the tree-shaped normal equations; the solution replaces the gradient."""
    n = normal.shape[0]
    scaled = np.empty((n, 3, 3))
    inverses = np.empty((n, 3, 3))
    product = np.empty((3, 3))
    part = np.empty(3)
    for row in range(n - 1, -1, -1):
        invert(normal[row, row], inverses[row])
        above = DEPTH[row - 1] + 1 if row > 0 else 0
        for a in range(above):
            upper = _block_above(row, a)
            multiply(inverses[row], normal[row, upper], scaled[a])
            rotate_back(scaled[a], gradient[row], part)
            for k in range(3):
                gradient[upper, k] -= part[k]
        for a in range(above):
            lower = _block_above(row, a)
            for b in range(a, above):
                upper = _block_above(row, b)
                multiply_back(normal[row, lower], scaled[b], product)
                for r in range(3):
                    for c in range(3):
                        normal[lower, upper, r, c] -= product[r, c]
    for row in range(n):
        for a in range(DEPTH[row - 1] + 1 if row > 0 else 0):
            upper = _block_above(row, a)
            rotate(normal[row, upper], gradient[upper], part)
            for k in range(3):
                gradient[row, k] -= part[k]
        rotate(inverses[row], gradient[row], part)
        for k in range(3):
            gradient[row, k] = part[k]


@compiled
def _block_above(row: int, order: int) -> int:
    """Return the order-th block above another: those of its joint's ancestors, then the shift."""
    joint = row - 1
    return ANCESTORS[joint, order] + 1 if order < DEPTH[joint] else 0
