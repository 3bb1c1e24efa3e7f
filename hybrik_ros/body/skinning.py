"""Linear blend skinning, compiled: every vertex follows its few strongest joints."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.compiling import floats, kernel
from hybrik_ros.skeleton import NUM_JOINTS

Floats = NDArray[np.float32]

# SMPL's own weights have four per vertex.
INFLUENCES = 4


def strongest_weights(weights: NDArray[Any]) -> tuple[NDArray[np.uint8], Floats]:
    """Return the joints (V, 4) and the weights (V, 4), of sum 1, of dense weights (V, 24).

    The strongest comes first; a vertex that follows fewer joints has zeros at the end. Unsigned
    indices cannot count from the end, so the loop need not look whether they do.
    """
    joints = np.argsort(-weights, axis=1, kind='stable')[:, :INFLUENCES]
    strongest = np.take_along_axis(weights, joints, axis=1).astype(np.float64)
    strongest /= strongest.sum(axis=1, keepdims=True)
    return joints.astype(np.uint8), strongest.astype(np.float32)


@kernel(
    *('float32[:,::1]', 'uint8[:,::1]', 'float32[:,::1]'),
    *(floats(3), floats(2), floats(2), 'float32[:,::1]'),
    fused=True,
)
def skin(
    shaped: Floats,
    joints: NDArray[np.uint8],
    weights: Floats,
    global_rotations: Array,
    rest_joints: Array,
    posed_joints: Array,
    vertices: Floats,
) -> None:
    """Fill vertices (V, 3): the shaped template (V, 3) carried along by its joints.

    Joints are those of the rest pose and of the pose, (24, 3); their rotations (24, 3, 3).
    """
    # [R | t] of each joint in single precision: the whole table stays in the fastest cache.
    moves = np.empty((NUM_JOINTS, 3, 4), np.float32)
    for j in range(NUM_JOINTS):
        for r in range(3):
            offset = posed_joints[j, r]
            for c in range(3):
                moves[j, r, c] = global_rotations[j, r, c]
                offset -= global_rotations[j, r, c] * rest_joints[j, c]
            moves[j, r, 3] = offset
    for v in range(shaped.shape[0]):
        x, y, z = shaped[v, 0], shaped[v, 1], shaped[v, 2]
        new_x = new_y = new_z = np.float32(0)
        for k in range(INFLUENCES):
            weight = weights[v, k]
            if weight == 0:
                break
            m = moves[joints[v, k]]
            new_x += weight * (m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3])
            new_y += weight * (m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3])
            new_z += weight * (m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3])
        vertices[v, 0], vertices[v, 1], vertices[v, 2] = new_x, new_y, new_z
