"""Linear blend skinning, compiled, with the four largest weights of each vertex."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.compiling import floats, kernel
from hybrik_ros.skeleton import NUM_JOINTS

Floats = NDArray[np.float32]

# Joints per vertex; SMPL's own weights have as many.
INFLUENCES = 4


def strongest_weights(weights: NDArray[Any]) -> tuple[NDArray[np.uint8], Floats]:
    """Return the four largest skinning weights of each vertex.

    Parameters
    ----------
    weights : ndarray
        Weights (V, 24) of all joints.

    Returns
    -------
    joints : ndarray
        Joints (V, 4), largest weight first. Unsigned: the compiled loop then needs no test for
        negative indices.
    weights : ndarray
        Their weights (V, 4), with a sum of 1; 0 at the end for a vertex with fewer joints.
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
    """Fill vertices by linear blend skinning.

    Parameters
    ----------
    shaped : ndarray
        Template (V, 3) of the person's shape in metres.
    joints, weights : ndarray
        Joints (V, 4) of each vertex and their weights (V, 4), as of `strongest_weights`.
    global_rotations : ndarray
        Global rotations (24, 3, 3) of the joints.
    rest_joints, posed_joints : ndarray
        Joints (24, 3) of T-pose and pose in metres.
    vertices : ndarray
        Vertices (V, 3) in metres; written.
    """
    # [R | t] of each joint in single precision, so that the table fits into the L1 cache.
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
