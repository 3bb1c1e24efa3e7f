"""Metrics of people in a clip: accuracy, jitter, and identity switches."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.comparison import jitters

HIPS = [6, 7]  # indices in TRUE_JOINTS

# The joints common to the ground truth, SMPL and BlazePose.
TRUE_JOINTS = ('LShoulder', 'RShoulder', 'LElbow', 'RElbow', 'LWrist', 'RWrist',
               'LHip', 'RHip', 'LKnee', 'RKnee', 'LAnkle', 'RAnkle')  # fmt: skip
# Upper arms, forearms, thighs and shanks: indices of their ends in TRUE_JOINTS.
BONES = ([0, 1, 2, 3, 6, 7, 8, 9], [2, 3, 4, 5, 8, 9, 10, 11])

# Range in frames in which a delay is searched.
_MIN_DELAY, _MAX_DELAY = -4, 8


def procrustes_aligned(points: Array, target: Array) -> Array:
    """Return points after Procrustes alignment (rotation, translation, scale) to a target.

    Parameters
    ----------
    points, target : ndarray
        Points (N, J, 3); each of the N sets is aligned by itself.

    Returns
    -------
    ndarray
        The aligned points (N, J, 3).

    References
    ----------
    Umeyama: Least-Squares Estimation of Transformation Parameters Between Two Point Patterns (TPAMI
    1991), equations 40 to 43.
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
    """Return the mean distance of points (N, J, 3) from a target, in its unit; NaN if N is 0."""
    return _mean(np.linalg.norm(points - target, axis=-1))


def pa_mpjpe(points: Array, target: Array) -> float:
    """Return the PA-MPJPE of points (N, J, 3), in their unit: MPJPE after Procrustes alignment."""
    return mean_distance(procrustes_aligned(points, target), target)


def root_relative(points: Array) -> Array:
    """Return points (N, 12, 3) of TRUE_JOINTS relative to the midpoint of the hips."""
    return points - points[:, HIPS].mean(axis=1, keepdims=True)


def jitter(points: Array, numbers: Sequence[int]) -> float:
    """Return the mean norm of the second differences of points.

    Parameters
    ----------
    points : ndarray
        Points (N, J, 3).
    numbers : sequence of int
        Frame numbers (N).

    Returns
    -------
    float
        Mean over the frames that have both neighbours, in the unit of the points per frame squared;
        NaN if there are none.
    """
    return _mean(jitters(points, numbers)[1])


def bone_deviation(points: Array, parents: Sequence[int], children: Sequence[int]) -> float:
    """Return the standard deviation of bone lengths over time, averaged over the bones.

    Parameters
    ----------
    points : ndarray
        Joints (N, J, 3).
    parents, children : sequence of int
        Indices of the two joints of each bone.

    Returns
    -------
    float
        Mean standard deviation, in the unit of the points; NaN if N < 2.
    """
    if len(points) < 2:
        return float('nan')
    lengths = np.linalg.norm(points[:, children] - points[:, parents], axis=-1)
    return float(lengths.std(axis=0).mean())


def delay(points: Array, numbers: Sequence[int], truth: Array) -> float:
    """Return the delay of points: the shift in time at which they are nearest to the truth.

    Parameters
    ----------
    points : ndarray
        Points (N, 12, 3) of TRUE_JOINTS.
    numbers : sequence of int
        Frame numbers (N).
    truth : ndarray
        True joints (frames, 12, 3).

    Returns
    -------
    float
        Frames by which the points are late, by the least mean distance relative to the hips, with
        the minimum of a parabola through it and its neighbours; NaN if there are no points.
    """
    relative, true = root_relative(points), root_relative(truth)
    frames = np.array(numbers, int)
    shifts = np.arange(_MIN_DELAY, _MAX_DELAY + 1)
    known = [(frames >= shift) & (frames - shift < len(true)) for shift in shifts]
    errors = [
        mean_distance(relative[each], true[frames[each] - shift])
        for shift, each in zip(shifts, known, strict=True)
    ]
    if not np.isfinite(errors).all():
        return float('nan')
    best = int(np.clip(np.argmin(errors), 1, len(shifts) - 2))
    before, least, after = errors[best - 1 : best + 2]
    return float(shifts[best] + (before - after) / 2 / (before - 2 * least + after))


def switches(ids: Sequence[str]) -> int:
    """Return the number of id switches of one person over the frames with that person."""
    return sum(before != after for before, after in pairwise(ids))


def _mean(values: Array) -> float:
    """Return the mean; NaN if there are no values."""
    return float(values.mean()) if values.size else float('nan')
