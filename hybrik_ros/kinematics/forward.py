"""Forward kinematics: joints from parent-relative rotations and rest joints."""

import numpy as np
from numpy.typing import ArrayLike

from hybrik_ros.arrays import Array
from hybrik_ros.kinematics.tree import forward_batch
from hybrik_ros.kinematics.validation import flatten_batches, to_real_array
from hybrik_ros.skeleton import NUM_JOINTS, NUM_POINTS, PARENTS, PELVIS


def _tree_levels() -> list[tuple[list[int], list[int]]]:
    """Return for each level of the tree below the root its joints and their parents."""
    levels, parents = [], [PELVIS]
    while joints := [joint for joint in range(NUM_JOINTS) if PARENTS[joint] in parents]:
        levels.append((joints, [PARENTS[joint] for joint in joints]))
        parents = joints
    return levels


_LEVELS = _tree_levels()


def forward(rotations: ArrayLike, rest_joints: ArrayLike) -> tuple[Array, Array]:
    """Pose a skeleton.

    Parameters
    ----------
    rotations : array_like
        Parent-relative rotations (..., 24, 3, 3); [0] maps the body's rest frame to the frame of
        the returned joints.
    rest_joints : array_like
        Joints (..., 24, 3), or (..., 29, 3) with leaves, in metres in the body's rest frame.

    Returns
    -------
    joints : ndarray
        Posed joints in metres, of the shape of rest_joints. The pelvis stays at its rest position,
        as in an SMPL layer without translation.
    global_rotations : ndarray
        Rotation (..., 24, 3, 3) of each joint from the rest frame.

    Raises
    ------
    ValueError
        A shape is wrong, or a value is not a real number.
    """
    rest_joints = to_real_array('rest_joints', rest_joints)
    if rest_joints.shape[-2:] not in ((NUM_POINTS, 3), (NUM_JOINTS, 3)):
        raise ValueError(
            f'rest_joints must have shape (..., {NUM_POINTS}, 3) or (..., {NUM_JOINTS}, 3), '
            f'not {rest_joints.shape}'
        )
    points = rest_joints.shape[-2]
    batch, (flat_rotations, flat_rest) = flatten_batches(
        {
            'rotations': (rotations, (NUM_JOINTS, 3, 3)),
            'rest_joints': (rest_joints, (points, 3)),
        }
    )
    joints = np.empty_like(flat_rest)
    global_rotations = np.empty_like(flat_rotations)
    forward_batch(flat_rotations, flat_rest, joints, global_rotations)
    return joints.reshape(*batch, points, 3), global_rotations.reshape(*batch, NUM_JOINTS, 3, 3)


def global_rotations(rotations: ArrayLike) -> Array:
    """Return the global rotations of all joints, as `forward` does, without compiled code.

    Parameters
    ----------
    rotations : array_like
        Parent-relative rotations (..., 24, 3, 3).

    Returns
    -------
    ndarray
        Rotations (..., 24, 3, 3) that map the rest frame of each joint to the frame of the root.
    """
    turned = np.array(rotations, float)
    for joints, parents in _LEVELS:
        turned[..., joints, :, :] = turned[..., parents, :, :] @ turned[..., joints, :, :]
    return turned
