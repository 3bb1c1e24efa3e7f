"""Measures of people in a clip: accuracy, steadiness, identity."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.comparison import jitters

_HIPS = [6, 7]  # of TRUE_JOINTS

# The joints that ground truth, SMPL and BlazePose share.
TRUE_JOINTS = ('LShoulder', 'RShoulder', 'LElbow', 'RElbow', 'LWrist', 'RWrist',
               'LHip', 'RHip', 'LKnee', 'RKnee', 'LAnkle', 'RAnkle')  # fmt: skip


def procrustes_aligned(points: Array, target: Array) -> Array:
    """Return points (N, J, 3) moved, turned and scaled to lie nearest to the target (N, J, 3).

    Source: Umeyama, Least-squares estimation of transformation parameters (1991).
    """
    mean, target_mean = (x.mean(axis=1, keepdims=True) for x in (points, target))
    centred = points - mean
    u, spread, vt = np.linalg.svd(np.swapaxes(target - target_mean, 1, 2) @ centred)
    handed = np.ones_like(spread)
    handed[:, 2] = np.linalg.det(u @ vt)
    scale = np.sum(spread * handed, axis=1) / np.sum(centred**2, axis=(1, 2))
    turned = centred @ np.swapaxes((u * handed[:, None]) @ vt, 1, 2)
    return np.asarray(scale[:, None, None] * turned + target_mean)


def mean_distance(points: Array, target: Array) -> float:
    """Return the mean distance of points (N, J, 3) from their target, in its unit; NaN of none."""
    return _mean(np.linalg.norm(points - target, axis=-1))


def pa_mpjpe(points: Array, target: Array) -> float:
    """Return the mean per-joint position error of (N, J, 3) after alignment, in their unit."""
    return mean_distance(procrustes_aligned(points, target), target)


def root_relative(points: Array) -> Array:
    """Return points (N, 12, 3) of TRUE_JOINTS about the middle of the hips."""
    return points - points[:, _HIPS].mean(axis=1, keepdims=True)


def jitter(points: Array, numbers: Sequence[int]) -> float:
    """Return the mean second difference of (N, J, 3) in the frames of these numbers (N).

    In their unit; over frames with both neighbours, NaN where there are none.
    """
    return _mean(jitters(points, numbers)[1])


def bone_deviation(points: Array, parents: Sequence[int], children: Sequence[int]) -> float:
    """Return the standard deviation over time of bone lengths, mean of all; NaN if N < 2."""
    if len(points) < 2:
        return float('nan')
    lengths = np.linalg.norm(points[:, children] - points[:, parents], axis=-1)
    return float(lengths.std(axis=0).mean())


def switches(ids: Sequence[str]) -> int:
    """Return how often the id of one person changes, over the frames in which he is seen."""
    return sum(before != after for before, after in pairwise(ids))


def _mean(values: Array) -> float:
    return float(values.mean()) if values.size else float('nan')
