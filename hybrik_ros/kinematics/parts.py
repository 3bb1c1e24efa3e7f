"""Division of the body into parts at unseen joints, for kernels.

Limbs beyond an unseen joint are solved from where that joint ends up, and do not affect the joints
before it. Each part is named by its first joint.
"""

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.compiling import compiled
from hybrik_ros.kinematics.tree import CHILDREN, PARENT, ROOT_JOINTS, TARGET
from hybrik_ros.skeleton import NUM_JOINTS, NUM_POINTS


@compiled
def divide(confidence: Array, parts: NDArray[np.int64]) -> None:
    """Fill parts (24): the part in which each joint turns, or -1.

    A joint turns in no part if no bone of it is seen, or if it is the root and fewer than two of
    its joints are seen.
    """
    seen = 0
    for j in ROOT_JOINTS:
        if confidence[j] > 0:
            seen += 1
    parts[0] = 0 if seen > 1 else -1
    for i in range(1, NUM_JOINTS):
        is_bone_seen = confidence[TARGET[i]] > 0
        if CHILDREN[i, 0] >= 0:
            for child in CHILDREN[i]:
                is_bone_seen |= confidence[child] > 0
        if not is_bone_seen:
            parts[i] = -1
        elif confidence[i] > 0 and parts[PARENT[i]] >= 0:
            parts[i] = parts[PARENT[i]]
        else:
            parts[i] = i


@compiled
def find_moving_part(confidence: Array, parts: NDArray[np.int64]) -> int:
    """Return the part that moves the whole body.

    It is that of the root or, if no joint of the root is seen, the part with most seen joints,
    which would otherwise turn to compensate for a fixed pelvis.
    """
    for j in ROOT_JOINTS:
        if confidence[j] > 0:
            return 0
    counts = np.zeros(NUM_JOINTS, np.int64)
    for j in range(1, NUM_POINTS):
        if confidence[j] > 0 and parts[PARENT[j]] >= 0:
            counts[parts[PARENT[j]]] += 1
    most = 0
    for part in range(NUM_JOINTS):
        if counts[part] > counts[most]:
            most = part
    return most
