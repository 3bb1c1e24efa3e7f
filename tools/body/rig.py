"""Conversion of MakeHuman's 163 bones to SMPL's 24 joints: positions and skinning weights."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from hybrik_ros.skeleton import JOINT_NAMES, MIRROR, NUM_JOINTS

from .tpose import Points

_STATURE = 1.7  # metres; the stature for which the offsets below are given
_MAX_JOINTS_PER_VERTEX = 4
_MIN_WEIGHT = 0.004  # smaller skinning weights are set to zero

# For each joint, weights of the starting points of bones, and an offset in metres for a stature of
# 1.7 m. Right joints mirror the left ones.
_JOINTS: dict[str, tuple[dict[str, float], tuple[float, float, float]]] = {
    'pelvis': ({'spine05': 0.63, 'spine03': 0.37}, (0, 0, 0.012)),
    'left_hip': (
        {'upperleg01.L': 0.48, 'upperleg02.L': 0.40, 'upperleg01.R': 0.12},
        (0, 0, -0.006),
    ),
    'spine1': ({'spine03': 0.9, 'spine02': 0.1}, (0, 0.004, -0.004)),
    'left_knee': ({'lowerleg01.L': 1}, (-0.006, 0, -0.004)),
    'spine2': ({'spine02': 0.62, 'spine01': 0.38}, (0, 0.010, 0.011)),
    'left_ankle': ({'foot.L': 1}, (0, 0, 0)),
    'spine3': ({'spine02': 0.24, 'spine01': 0.76}, (0, 0.010, 0.038)),
    'left_foot': ({'toe2-1.L': 0.88, 'foot.L': 0.12}, (0, -0.006, 0)),
    'neck': ({'neck01': 1}, (0, 0.004, -0.018)),
    'left_collar': ({'clavicle.L': 0.25, 'shoulder01.L': 0.75}, (-0.002, -0.038, -0.026)),
    'head': ({'neck03': 1}, (0, -0.002, 0.010)),
    'left_shoulder': ({'upperarm01.L': 1}, (0, -0.004, -0.026)),
    'left_elbow': ({'lowerarm01.L': 1}, (0, 0, -0.012)),
    'left_wrist': ({'wrist.L': 1}, (0, 0, -0.008)),
    'left_hand': ({'finger3-1.L': 0.85, 'wrist.L': 0.15}, (0, -0.004, -0.016)),
}

# Joint that moves a bone, by the prefix of the bone's name; '*' is the side. All other bones belong
# to the head.
_BONES = {
    'root': 'pelvis', 'pelvis': 'pelvis', 'spine05': 'pelvis', 'spine04': 'pelvis',
    'spine03': 'spine1', 'neck01': 'neck', 'neck02': 'neck',
    'upperleg': '*_hip', 'lowerleg': '*_knee', 'foot': '*_ankle', 'toe': '*_foot',
    'clavicle': '*_collar', 'shoulder01': '*_collar', 'upperarm': '*_shoulder',
    'lowerarm': '*_elbow', 'wrist': '*_wrist', 'metacarpal': '*_wrist', 'finger1': '*_wrist',
    'finger': '*_hand',
}  # fmt: skip

# Bones that cross a joint of the spine: the joints below and above, and the heights in metres above
# spine2 between which the weight passes from the lower joint to the upper one.
_CROSSING = {
    'spine02': ('spine1', 'spine2', -0.06, 0.06),
    'spine01': ('spine2', 'spine3', -0.02, 0.12),
    'breast': ('spine2', 'spine3', -0.02, 0.12),
}


def joints_from_bones(bones: Points, stature: float) -> np.ndarray:
    """Return SMPL's joints of a body in the T-pose.

    Parameters
    ----------
    bones : dict
        Start (3) of each bone in metres.
    stature : float
        Height of the body in metres.

    Returns
    -------
    ndarray
        Joints (24, 3) in metres.
    """
    joints = np.zeros((NUM_JOINTS, 3))
    for name, (shares, offset) in _JOINTS.items():
        start = sum(share * bones[bone] for bone, share in shares.items())
        place = start + np.multiply(offset, stature / _STATURE)
        joint = JOINT_NAMES.index(name)
        joints[MIRROR[joint]] = place * (-1, 1, 1)
        joints[joint] = place * (MIRROR[joint] != joint, 1, 1)  # no side: on the midline
    return joints


def joint_weights(
    bone_weights: dict[str, np.ndarray], height: np.ndarray, adjacency: sparse.csr_array
) -> np.ndarray:
    """Return the skinning weights of SMPL's joints.

    Parameters
    ----------
    bone_weights : dict
        Skinning weights (V) of each bone.
    height : ndarray
        Height (V) of the vertices above spine2 in the T-pose, in metres.
    adjacency : csr_array
        Adjacency matrix (V, V) of the vertices, for the smoothing of the weights.

    Returns
    -------
    ndarray
        Weights (V, 24): rows sum to 1 and have at most 4 non-zero entries.
    """
    weights = np.zeros((len(height), NUM_JOINTS))
    for bone, weight in bone_weights.items():
        if name := _starting(bone, _CROSSING):
            below, above, begin, end = _CROSSING[name]
            share = np.clip((height - begin) / (end - begin), 0, 1)
            share = share**2 * (3 - 2 * share)
            weights[:, JOINT_NAMES.index(below)] += weight * (1 - share)
            weights[:, JOINT_NAMES.index(above)] += weight * share
        else:
            joint = _BONES[name] if (name := _starting(bone, _BONES)) else 'head'
            joint = joint.replace('*', 'left' if bone.endswith('.L') else 'right')
            weights[:, JOINT_NAMES.index(joint)] += weight
    degree = np.maximum(adjacency.sum(1), 1)[:, None]
    for _ in range(2):
        weights = (weights + adjacency @ weights / degree) / 2
    smallest = np.argsort(-weights, axis=1, kind='stable')[:, _MAX_JOINTS_PER_VERTEX:]
    np.put_along_axis(weights, smallest, 0, axis=1)
    weights[weights < _MIN_WEIGHT] = 0
    return weights / weights.sum(1, keepdims=True)


def _starting(bone: str, names: dict) -> str | None:
    """Return the longest of the names that is a prefix of a bone's name."""
    return max((name for name in names if bone.startswith(name)), key=len, default=None)
