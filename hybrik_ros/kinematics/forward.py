"""Forward kinematics: from parent-relative rotations and rest joints to joints."""

import numpy as np
from numpy.typing import ArrayLike

from hybrik_ros.arrays import Array
from hybrik_ros.kinematics import kernels
from hybrik_ros.kinematics.validation import flattened, real_array
from hybrik_ros.skeleton import NUM_JOINTS, NUM_POINTS, PARENTS, PELVIS


def _tree_levels() -> list[tuple[list[int], list[int]]]:
    """Return the joints of each depth of the tree below the root, with their parents."""
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
    rotations: (..., 24, 3, 3), parent-relative; [0] maps the body's rest frame to the frame
        in which the joints are wanted.
    rest_joints: (..., 29, 3) with the leaves, or (..., 24, 3), metres, in the body's rest frame.

    Returns
    -------
    joints: of the shape of rest_joints, metres. The pelvis stays where it is at rest, as in a
        SMPL layer without translation.
    global_rotations: (..., 24, 3, 3), of each joint from the rest frame.

    Raises
    ------
    ValueError: a shape is wrong, or there is anything but real numbers.
    """
    rest_joints = real_array('rest_joints', rest_joints)
    if rest_joints.shape[-2:] not in ((NUM_POINTS, 3), (NUM_JOINTS, 3)):
        raise ValueError(
            f'rest_joints must have shape (..., {NUM_POINTS}, 3) or (..., {NUM_JOINTS}, 3), '
            f'not {rest_joints.shape}'
        )
    points = rest_joints.shape[-2]
    batch, (flat_rotations, flat_rest) = flattened(
        {
            'rotations': (rotations, (NUM_JOINTS, 3, 3)),
            'rest_joints': (rest_joints, (points, 3)),
        }
    )
    joints = np.empty_like(flat_rest)
    global_rotations = np.empty_like(flat_rotations)
    kernels.forward_batch(flat_rotations, flat_rest, joints, global_rotations)
    return joints.reshape(*batch, points, 3), global_rotations.reshape(*batch, NUM_JOINTS, 3, 3)


def global_rotations(rotations: ArrayLike) -> Array:
    """Return the global rotations of every joint, as `forward` does, with NumPy alone.

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
