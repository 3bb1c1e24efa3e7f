"""Linear blend skinning, compiled: every vertex follows its few strongest joints."""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from hybrik_ros.skeleton import NUM_JOINTS

Array = NDArray[np.float64]

# SMPL's own weights have four per vertex.
INFLUENCES = 4


def strongest_weights(weights: NDArray[Any]) -> tuple[NDArray[np.int64], Array]:
    """Return the joints (V, 4) and the weights (V, 4), of sum 1, of dense weights (V, 24)."""
    joints = np.argsort(-weights, axis=1, kind='stable')[:, :INFLUENCES]
    strongest = np.take_along_axis(weights, joints, axis=1).astype(np.float64)
    return joints, strongest / strongest.sum(axis=1, keepdims=True)


@numba.njit(cache=True, nogil=True)
def skin(
    shaped: Array,
    joints: NDArray[np.int64],
    weights: Array,
    global_rotations: Array,
    rest_joints: Array,
    posed_joints: Array,
    vertices: NDArray[np.float32],
) -> None:
    """Fill vertices (V, 3) float32: the shaped template (V, 3) carried along by its joints."""
    offsets = np.empty((NUM_JOINTS, 3))
    for j in range(NUM_JOINTS):
        for r in range(3):
            offsets[j, r] = posed_joints[j, r] - (
                global_rotations[j, r, 0] * rest_joints[j, 0]
                + global_rotations[j, r, 1] * rest_joints[j, 1]
                + global_rotations[j, r, 2] * rest_joints[j, 2]
            )
    for v in range(shaped.shape[0]):
        x, y, z = shaped[v]
        for r in range(3):
            total = 0.0
            for k in range(INFLUENCES):
                j = joints[v, k]
                total += weights[v, k] * (
                    global_rotations[j, r, 0] * x
                    + global_rotations[j, r, 1] * y
                    + global_rotations[j, r, 2] * z
                    + offsets[j, r]
                )
            vertices[v, r] = total
