"""SMPL's tree as arrays, and forward kinematics on it, for kernels.

In all kernels of this package, arrays are float64 and contiguous, and callers check arguments. rest
are joints and leaves (29, 3) of the T-pose, target those to reach, and rebuilt those of the solved
skeleton, in metres.
"""

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.compiling import compiled, floats, kernel
from hybrik_ros.kinematics.matrices import copy, multiply, rotate
from hybrik_ros.skeleton import BONE_TARGETS, NUM_JOINTS, PARENTS, PELVIS, THREE_CHILDREN

PARENT = np.array(PARENTS)
TARGET = np.array(BONE_TARGETS)
# Children (24, 3) of joints with three children; -1 for others.
CHILDREN = np.full((NUM_JOINTS, 3), -1)
for _joint, _three in THREE_CHILDREN.items():
    CHILDREN[_joint] = _three
# The joints that determine the root, which are the first ones: pelvis, hips and spine1.
ROOT_JOINTS = np.arange(CHILDREN[PELVIS, 2] + 1)


@compiled
def pose(rotations: Array, rest: Array, joints: Array, global_rotations: Array) -> None:
    """Pose one skeleton with the pelvis at its rest position."""
    bone = np.empty(3)
    for k in range(3):
        joints[0, k] = rest[0, k]
    copy(rotations[0], global_rotations[0])
    for j in range(1, rest.shape[0]):
        parent = PARENT[j]
        for k in range(3):
            bone[k] = rest[j, k] - rest[parent, k]
        rotate(global_rotations[parent], bone, joints[j])
        for k in range(3):
            joints[j, k] += joints[parent, k]
        if j < NUM_JOINTS:
            multiply(global_rotations[parent], rotations[j], global_rotations[j])


@compiled
def pose_at(
    rotations: Array, rest: Array, root: Array, joints: Array, global_rotations: Array
) -> None:
    """Pose one skeleton with the pelvis at a root position (3)."""
    pose(rotations, rest, joints, global_rotations)
    for j in range(joints.shape[0]):
        for k in range(3):
            joints[j, k] += root[k] - rest[0, k]


@kernel(floats(4), floats(3), floats(3), floats(4))
def forward_batch(rotations: Array, rest: Array, joints: Array, global_rotations: Array) -> None:
    """Fill joints (B, 29 or 24, 3) and global_rotations (B, 24, 3, 3)."""
    for b in range(rotations.shape[0]):
        pose(rotations[b], rest[b], joints[b], global_rotations[b])


@compiled
def find_bone(points: Array, j: int, start: Array, out: Array) -> None:
    """Write the vector from a start (3) to point j to out."""
    for k in range(3):
        out[k] = points[j, k] - start[k]


@compiled
def find_means(
    target: Array, posed: Array, confidence: Array, count: int, mean: Array, posed_mean: Array
) -> int:
    """Fill the weighted means (3) of the first joints; return the number of those seen.

    The weight of a joint is its confidence; joints of confidence 0 are not seen.
    """
    total = 0.0
    seen = 0
    for k in range(3):
        mean[k] = posed_mean[k] = 0.0
    for j in range(count):
        if confidence[j] > 0:
            seen += 1
            total += confidence[j]
            for k in range(3):
                mean[k] += confidence[j] * target[j, k]
                posed_mean[k] += confidence[j] * posed[j, k]
    if seen > 0:
        for k in range(3):
            mean[k] /= total
            posed_mean[k] /= total
    return seen
