"""Normal equations of a Levenberg-Marquardt step on the tree of joints, for kernels.

Unknowns are turns[i], a small rotation vector in the global frame of everything below joint i about
that joint, and shift, a translation of the whole body. Joint j moves by the shift and the sum over
its ancestors i of turns[i] x (q(j) - q(i)), where q are the rebuilt joints. The weight of a joint
is W = confidence (I - s s.T), where s is its row of sights: the line of sight, of a length up to 1.

A joint that moves by u, and everything from it on that turns by w about it, cost

    u W u / 2 + w B u + w A w / 2 - f u - m w

with sums, over all joints below it that lie at levers l, of their weights W, B = [l] W and
A = [l].T W [l] (inertia), of their weighted residuals f (forces) and m = l x f (moments); [l] is
the matrix of the cross product. From the leaves to the root, the turn of each joint is eliminated,
and what remains is added to the sums of the joint above. So the cost of a step grows with the
number of joints, as in the articulated body algorithm.

References
----------
Featherstone: Rigid Body Dynamics Algorithms (2008), chapter 7.
"""

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.compiling import compiled
from hybrik_ros.kinematics.matrices import TINY, invert, multiply, rotate
from hybrik_ros.kinematics.tree import PARENT, find_bone
from hybrik_ros.skeleton import NUM_JOINTS, NUM_POINTS
from hybrik_ros.vectors import cross


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
    weights, mixed = np.zeros((NUM_POINTS, 3, 3)), np.zeros((NUM_POINTS, 3, 3))
    inertia, free, moved = np.zeros((NUM_POINTS, 3, 3)), np.zeros((3, 3)), np.zeros(3)
    forces, moments = np.zeros((NUM_POINTS, 3)), np.zeros((NUM_POINTS, 3))
    lever, scratch = np.empty(3), np.empty((3, 3, 3))
    held = damping + return_weight
    for j in range(NUM_POINTS - 1, -1, -1):
        if confidence[j] > 0:
            _add_joint(target[j], rebuilt[j], sights[j], confidence[j], weights[j], forces[j])
        if j < NUM_JOINTS and parts[j] == part:
            _eliminate_turn(returns[j], return_weight, held, weights[j], mixed[j], inertia[j],
                            forces[j], moments[j], turns[j], scratch)  # fmt: skip
        above = PARENT[j]
        if above >= 0 and parts[above] == part:
            find_bone(rebuilt, j, rebuilt[above], lever)
            _carry_sums(lever, weights[j], mixed[j], inertia[j], weights[above], mixed[above],
                        inertia[above], scratch)  # fmt: skip
            _carry_forces(lever, forces[j], moments[j], forces[above], moments[above])
        elif moves:
            for r in range(3):
                moved[r] += forces[j, r]
                for c in range(3):
                    free[r, c] += weights[j, r, c]
    for k in range(3):
        free[k, k] += TINY
        shift[k] = 0.0
    if moves:
        invert(free, scratch[0])
        rotate(scratch[0], moved, shift)
    _find_turns(rebuilt, parts, part, held, mixed, inertia, shift, turns)


@compiled
def _add_joint(
    target: Array, rebuilt: Array, sight: Array, confidence: float, weight: Array, force: Array
) -> None:
    """Add a joint's weight (3, 3) and its weighted residual (3)."""
    for r in range(3):
        for c in range(3):
            same = 1.0 if r == c else 0.0
            share = confidence * (same - sight[r] * sight[c])
            weight[r, c] += share
            force[r] += share * (target[c] - rebuilt[c])


@compiled
def _eliminate_turn(
    back: Array, return_weight: float, held: float, weight: Array, mixed: Array, inertia: Array,
    force: Array, moment: Array, turn: Array, scratch: Array,
) -> None:  # fmt: skip
    """Reduce the sums about a joint to what they are with its best turn.

    A turn t costs held t t / 2 - return_weight back t besides. With K = A + held I and
    g = m + return_weight back, the best one is K^-1 (g - B u - A w), where u is the motion of the
    joint, and w what it is turned by from above. Fills its constant part K^-1 g.
    """
    matrix, inverse, pulled = scratch[0], scratch[1], scratch[2]
    for r in range(3):
        moment[r] += return_weight * back[r]
        for c in range(3):
            matrix[r, c] = inertia[r, c] + (held if r == c else 0.0)
    invert(matrix, inverse)
    rotate(inverse, moment, turn)
    multiply(inverse, mixed, pulled)
    for r in range(3):
        for k in range(3):
            force[r] -= mixed[k, r] * turn[k]
            for c in range(3):
                weight[r, c] -= mixed[k, r] * pulled[k, c]
    # As A K^-1 = I - held K^-1, nothing is lost by cancellation.
    for r in range(3):
        moment[r] = held * turn[r] - return_weight * back[r]
        for c in range(3):
            mixed[r, c] = held * pulled[r, c]
            same = 1.0 if r == c else 0.0
            inertia[r, c] = held * (same - held * inverse[r, c])


@compiled
def _carry_sums(
    d: Array, weight: Array, mixed: Array, inertia: Array, all_weights: Array, all_mixed: Array,
    all_inertia: Array, scratch: Array,
) -> None:  # fmt: skip
    """Add the sums about a joint to those about the one above, from which it lies at d.

    There, B is B + [d] W, and A is A - B [d] - (B [d]).T - [d] W [d].
    """
    turned, twice, side = scratch[0], scratch[1], scratch[2]
    for c in range(3):
        turned[0, c] = d[1] * weight[2, c] - d[2] * weight[1, c]
        turned[1, c] = d[2] * weight[0, c] - d[0] * weight[2, c]
        turned[2, c] = d[0] * weight[1, c] - d[1] * weight[0, c]
    for r in range(3):
        cross(turned[r], d, twice[r])
        cross(mixed[r], d, side[r])
    for r in range(3):
        for c in range(3):
            all_weights[r, c] += weight[r, c]
            all_mixed[r, c] += mixed[r, c] + turned[r, c]
            all_inertia[r, c] += inertia[r, c] - side[r, c] - side[c, r] - twice[r, c]


@compiled
def _carry_forces(
    d: Array, force: Array, moment: Array, all_forces: Array, all_moments: Array
) -> None:
    """Add force and moment about a joint to those about the one above: m is m + d x f there."""
    all_moments[0] += moment[0] + d[1] * force[2] - d[2] * force[1]
    all_moments[1] += moment[1] + d[2] * force[0] - d[0] * force[2]
    all_moments[2] += moment[2] + d[0] * force[1] - d[1] * force[0]
    for k in range(3):
        all_forces[k] += force[k]


@compiled
def _find_turns(
    rebuilt: Array, parts: NDArray[np.int64], part: int, held: float, mixed: Array, inertia: Array,
    shift: Array, turns: Array,
) -> None:  # fmt: skip
    """Complete the turns (24, 3) of a part, from the root outwards; others are zero.

    mixed and inertia are as _eliminate_turn leaves them: held K^-1 B and held K^-1 A.
    """
    motions, totals = np.empty((NUM_JOINTS, 3)), np.empty((NUM_JOINTS, 3))
    lever, swept = np.empty(3), np.empty(3)
    for i in range(NUM_JOINTS):
        above = PARENT[i]
        is_carried = above >= 0 and parts[above] == part
        if is_carried:
            find_bone(rebuilt, i, rebuilt[above], lever)
            cross(totals[above], lever, swept)
        for k in range(3):
            motions[i, k] = motions[above, k] + swept[k] if is_carried else shift[k]
            totals[i, k] = totals[above, k] if is_carried else 0.0
        if parts[i] != part:
            for k in range(3):
                turns[i, k] = 0.0
            continue
        for r in range(3):
            for c in range(3):
                change = mixed[i, r, c] * motions[i, c] + inertia[i, r, c] * totals[i, c]
                turns[i, r] -= change / held
        for k in range(3):
            totals[i, k] += turns[i, k]
