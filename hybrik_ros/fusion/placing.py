"""Where a posed body is, and how well, by the lines of sight of several cameras."""

from typing import NamedTuple

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.camera import ImpossiblePoseError

_MIN_WEIGHT = 1e-3
_MIN_DEPTH = 1e-6  # metres, of a joint in front of a camera
_MIN_DETERMINANT = 1e-12


class Cameras(NamedTuple):
    """Where the cameras are that see a person.

    Attributes
    ----------
    centres : ndarray
        Centres (V, 3) in metres, fixed frame.
    rotations : ndarray
        Rotations (V, 3, 3) from the fixed frame to the optical frames.
    """

    centres: Array
    rotations: Array


def information(
    joints: Array, cameras: Cameras, weights: Array, depth_weights: Array | float
) -> Array:
    """Return the inverse covariance (J, 3, 3) of joints, in units of that across a ray.

    Parameters
    ----------
    joints : ndarray
        Joints (J, 3) in metres.
    cameras : Cameras
        The cameras.
    weights : ndarray
        Weight (V, J) of each view in [0, 1].
    depth_weights : ndarray or float
        Weights (V, J) of errors along the rays, relative to those across them.
    """
    sight = joints - cameras.centres[:, None]
    sight /= np.linalg.norm(sight, axis=2, keepdims=True)
    believed = np.maximum(weights, _MIN_WEIGHT)
    less = (1 - depth_weights) * believed
    found = -np.einsum('vj,vja,vjb->jab', less, sight, sight)
    found[:, [0, 1, 2], [0, 1, 2]] += believed.sum(axis=0)[:, None]
    return np.asarray(found)


def project(joints: Array, cameras: Cameras) -> tuple[Array, Array]:
    """Return joints (J, 3) in each camera's frame (V, J, 3), and their rays (V, J, 2)."""
    inside = (joints - cameras.centres[:, None]) @ cameras.rotations.transpose(0, 2, 1)
    return inside, inside[..., :2] / np.maximum(inside[..., 2:], _MIN_DEPTH)


def locate(posed: Array, joints: Array, cameras: Cameras, weights: Array) -> Array:
    """Return the translation (3) that brings a body's joints nearest to the rays of seen ones.

    As camera.locate, with the rays of all cameras.

    Parameters
    ----------
    posed : ndarray
        Joints (J, 3) of the body in metres, fixed frame, about any origin.
    joints : ndarray
        The seen joints (J, 3) in metres, fixed frame.
    cameras : Cameras
        The cameras.
    weights : ndarray
        Weight (V, J) of each ray in [0, 1].

    Raises
    ------
    ImpossiblePoseError
        The rays do not determine it.
    """
    inside, rays = project(joints, cameras)
    weights = np.where(inside[..., 2] > _MIN_DEPTH, weights, 0.0)
    # An error in the plane parallel to the image is P R (offset - t), with P = [1 0 -u; 0 1 -v].
    planes = cameras.rotations[:, None, :2] - rays[..., None] * cameras.rotations[:, None, 2:]
    offsets = joints - posed
    normal = np.einsum('vj,vjka,vjkb->ab', weights, planes, planes)
    right = np.einsum('vj,vjka,vjkb,jb->a', weights, planes, planes, offsets)
    scale = np.trace(normal)
    if not np.linalg.det(normal) > _MIN_DETERMINANT * scale**3:
        raise ImpossiblePoseError('the rays do not determine where the body is')
    return np.asarray(np.linalg.solve(normal, right))


def missed(posed: Array, joints: Array, cameras: Cameras, weights: Array) -> Array:
    """Return the distance (J) in metres of a body's joints from the rays of seen ones.

    It is measured parallel to each image, and the mean over the cameras by weight.
    """
    _, rays = project(joints, cameras)
    inside, _ = project(posed, cameras)
    away = np.linalg.norm(inside[..., :2] - rays * inside[..., 2:], axis=2)
    shares = weights + _MIN_WEIGHT**2
    return np.asarray(np.sum(shares * away, axis=0) / shares.sum(axis=0))
