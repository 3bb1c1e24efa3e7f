"""HybrIK's analytic solution, for kernels: each bone is aimed at its target, then twisted.

References
----------
Li et al.: HybrIK (CVPR 2021), algorithm 1.
"""

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.compiling import compiled
from hybrik_ros.kinematics.matrices import (
    copy,
    multiply,
    multiply_back,
    rotate,
    rotate_back,
)
from hybrik_ros.kinematics.procrustes import fit_rotation
from hybrik_ros.kinematics.swing_twist import (
    add_twist,
    find_swing,
    find_twist,
    swing_with_previous_twist,
)
from hybrik_ros.kinematics.tree import (
    CHILDREN,
    PARENT,
    ROOT_JOINTS,
    TARGET,
    find_bone,
    find_means,
    pose,
)
from hybrik_ros.skeleton import NUM_JOINTS, NUM_POINTS

# Weight in square metres of the previous rotation in a Procrustes fit. It determines what collinear
# joints leave open, and is too small to affect the fit of a bone of a millimetre.
_FIT_PRIOR = 1e-12

# np.bool_(TRUE) is an argument that is no literal; numba would compile a kernel again for True.
TRUE = 1


@compiled
def aim(
    target: Array, rest: Array, twist: Array, confidence: Array, previous: Array,
    adaptive: bool | np.bool_, rotations: Array, rebuilt: Array, global_rotations: Array,
) -> None:  # fmt: skip
    """Solve one skeleton from the root outwards: fill rotations, joints and global rotations."""
    scratch = np.empty((3, 3, 3))
    aim_root(target, rest, confidence, previous, rotations, rebuilt, global_rotations)
    for i in range(1, NUM_JOINTS):
        aim_joint(i, target, rest, twist[i - 1, 0], twist[i - 1, 1], confidence, previous,
                  adaptive, rotations, rebuilt, global_rotations, scratch)  # fmt: skip


@compiled
def aim_root(
    target: Array, rest: Array, confidence: Array, previous: Array, rotations: Array,
    rebuilt: Array, global_rotations: Array,
) -> None:  # fmt: skip
    """Solve the root: the rotation and the position that fit pelvis, hips and spine1 best.

    Two seen joints determine one direction, and the twist about it is that of the previous
    rotation; with fewer, all of the rotation is the previous one.
    """
    bone = np.empty(3)
    direction = np.empty(3)
    mean = np.empty(3)
    rest_mean = np.empty(3)
    seen = find_means(target, rest, confidence, len(ROOT_JOINTS), mean, rest_mean)
    if seen == 0:
        copy(previous[0], rotations[0])
        copy(previous[0], global_rotations[0])
        _place_root_by_limbs(target, rest, confidence, previous, rebuilt)
        return
    if seen == 1:
        copy(previous[0], rotations[0])
    elif seen == 2:
        for j in ROOT_JOINTS:
            if confidence[j] > 0:
                find_bone(rest, j, rest_mean, bone)
                find_bone(target, j, mean, direction)
        swing_with_previous_twist(bone, direction, previous[0], rotations[0])
    else:
        _fit_bones(ROOT_JOINTS, mean, rest_mean, previous[0], target, rest, confidence,
                   rotations[0])  # fmt: skip
    copy(rotations[0], global_rotations[0])
    for k in range(3):
        bone[k] = rest[0, k] - rest_mean[k]
    rotate(rotations[0], bone, rebuilt[0])
    for k in range(3):
        rebuilt[0, k] += mean[k]


@compiled
def _place_root_by_limbs(
    target: Array, rest: Array, confidence: Array, previous: Array, rebuilt: Array
) -> None:
    """Fill the position of the pelvis where no joint of the root is seen.

    There, the previous rotations bring the first seen joint of each limb nearest to its target.
    Joints beyond it, such as those of a waving arm, say nothing about the pelvis.
    """
    posed = np.empty((NUM_POINTS, 3))
    turned = np.empty((NUM_JOINTS, 3, 3))
    nearest = np.empty(NUM_POINTS)
    mean = np.empty(3)
    posed_mean = np.empty(3)
    pose(previous, rest, posed, turned)
    for j in range(NUM_POINTS):
        nearest[j] = confidence[j]
        i = PARENT[j]
        while i >= 0:
            if confidence[i] > 0:
                nearest[j] = 0.0
            i = PARENT[i]
    find_means(target, posed, nearest, len(nearest), mean, posed_mean)
    for k in range(3):
        rebuilt[0, k] = posed[0, k] + mean[k] - posed_mean[k]


@compiled
def aim_joint(
    i: int, target: Array, rest: Array, cos: float, sin: float, confidence: Array, previous: Array,
    adaptive: bool | np.bool_, rotations: Array, rebuilt: Array, global_rotations: Array,
    scratch: Array,
) -> None:  # fmt: skip
    """Solve joint i, after its parent, with a twist (cos, sin); scratch is (3, 3, 3).

    Its bone starts at the target of the joint (naive), or at the rebuilt joint (adaptive). A joint
    with three children, of which at least two are seen, gets the rotation that fits these best; all
    others swing to their child, then twist. The swing of a bone to an unseen joint, and an unknown
    twist, are those of the previous rotations.
    """
    bone, direction, direction_in_parent = scratch[0, 0], scratch[0, 1], scratch[0, 2]
    swing, previous_twist = scratch[1], scratch[2]
    parent = PARENT[i]
    global_parent = global_rotations[parent]
    find_bone(rest, i, rest[parent], bone)
    rotate(global_parent, bone, rebuilt[i])
    for k in range(3):
        rebuilt[i, k] += rebuilt[parent, k]
    start = rebuilt[i] if adaptive or not confidence[i] > 0 else target[i]
    child = TARGET[i]
    if CHILDREN[i, 0] >= 0:
        seen, child = _count_seen_children(i, confidence)
        if seen > 1:
            multiply(global_parent, previous[i], swing)
            _fit_bones(CHILDREN[i], start, rest[i], swing, target, rest, confidence,
                       global_rotations[i])  # fmt: skip
            multiply_back(global_parent, global_rotations[i], rotations[i])
            return
    find_bone(rest, child, rest[i], bone)
    if confidence[child] > 0:
        find_bone(target, child, start, direction)
        rotate_back(global_parent, direction, direction_in_parent)
    else:
        rotate(previous[i], bone, direction_in_parent)
    find_swing(bone, direction_in_parent, swing)
    # A given twist is about the bone to the joint's own target.
    if child != TARGET[i] or not add_twist(swing, bone, cos, sin, rotations[i]):
        find_twist(bone, previous[i], previous_twist)
        multiply(swing, previous_twist, rotations[i])
    multiply(global_parent, rotations[i], global_rotations[i])


@compiled
def _count_seen_children(i: int, confidence: Array) -> tuple[int, int]:
    """Return the number of seen children of joint i, and the last one, by default its target."""
    seen = 0
    child = TARGET[i]
    for one in CHILDREN[i]:
        if confidence[one] > 0:
            seen += 1
            child = one
    return seen, child


@compiled
def _fit_bones(
    joints: NDArray[np.int64], start: Array, rest_start: Array, prior: Array, target: Array,
    rest: Array, confidence: Array, out: Array,
) -> None:  # fmt: skip
    """Write the rotation to out that best fits the bones from a start to seen joints."""
    bone = np.empty(3)
    direction = np.empty(3)
    covariance = np.zeros((3, 3))
    total = 0.0
    for j in joints:
        if confidence[j] > 0:
            find_bone(rest, j, rest_start, bone)
            find_bone(target, j, start, direction)
            for r in range(3):
                for c in range(3):
                    covariance[r, c] += confidence[j] * direction[r] * bone[c]
            total += confidence[j]
    for r in range(3):
        for c in range(3):
            covariance[r, c] += _FIT_PRIOR * total * prior[r, c]
    fit_rotation(covariance, out)
