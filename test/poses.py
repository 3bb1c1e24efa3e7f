"""Random poses, for tests: rotations and the twist that is in them."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hybrik_ros.skeleton import BONE_TARGETS, NUM_JOINTS, NUM_POINTS, PARENTS


def random_rotations(rng: np.random.Generator, count: int, std: float = 0.5) -> NDArray:
    """Rotations (count, 24, 3, 3) whose rotation vectors are normally distributed."""
    vectors = rng.normal(0, std, (count * NUM_JOINTS, 3))
    return Rotation.from_rotvec(vectors).as_matrix().reshape(count, NUM_JOINTS, 3, 3)


def twist_of(rotations: NDArray, rest_joints: NDArray) -> NDArray:
    """Twist (count, 23, 2) about the rest bones (29, 3) that is in rotations (count, 24, 3, 3)."""
    twist = np.empty((len(rotations), NUM_JOINTS - 1, 2))
    for pose, rotation in enumerate(rotations):
        for joint in range(1, NUM_JOINTS):
            bone = rest_joints[BONE_TARGETS[joint]] - rest_joints[joint]
            # The part of the quaternion along the bone is the twist's half.
            x, y, z, w = Rotation.from_matrix(rotation[joint]).as_quat()
            half = np.arctan2(np.dot([x, y, z], bone / np.linalg.norm(bone)), w)
            twist[pose, joint - 1] = np.cos(2 * half), np.sin(2 * half)
    return twist


def limbs_from(*joints: int) -> list[int]:
    """These joints and all joints and leaves that hang from them."""
    limbs = list(joints)
    for point in range(min(joints) + 1, NUM_POINTS):
        if PARENTS[point] in limbs:
            limbs.append(point)
    return limbs


def noise(rng: np.random.Generator, shape: tuple[int, ...], rms: float) -> NDArray:
    """Displacements of this root mean square length, metres."""
    return rng.normal(0, rms / np.sqrt(3), shape)


def angles_between(first: NDArray, second: NDArray) -> NDArray:
    """Angles, in degrees, between rotation matrices; accurate near zero."""
    chord = np.linalg.norm(np.asarray(first, float) - np.asarray(second, float), axis=(-2, -1))
    return np.degrees(2 * np.arcsin(np.minimum(chord / np.sqrt(8), 1)))


def mean_error(joints: NDArray, truth: NDArray) -> float:
    """Mean distance, in millimetres, of the 24 joints with the pelvises on each other (MPJPE)."""
    joints, truth = (x[..., :NUM_JOINTS, :] - x[..., :1, :] for x in (joints, truth))
    return float(np.linalg.norm(joints - truth, axis=-1).mean() * 1000)
