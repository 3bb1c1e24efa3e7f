"""Fitting of the joint regressor, which computes the joints of any shape from its vertices."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from hybrik_ros.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS

_TEMPLATE, _SHAPES, _SUM, _SPREAD = 4.0, 2.0, 20.0, 0.03  # weights of the equations
_TRUNK = ('pelvis', 'hip', 'spine', 'neck', 'collar', 'head')
_MIN_ENTRY = 2e-4  # smaller entries of the matrix are set to zero


def fit_regressor(
    template: np.ndarray,
    shape_directions: np.ndarray,
    weights: np.ndarray,
    joints: np.ndarray,
    joint_directions: np.ndarray,
) -> np.ndarray:
    """Fit J_regressor.

    Non-negative least squares over the vertices near each joint, with equations for the template's
    joints, for their displacement along every shape axis, and for an even distribution of weights.

    Parameters
    ----------
    template : ndarray
        Vertices (V, 3).
    shape_directions : ndarray
        Displacement (V, 3, S) of the vertices per unit of each shape axis.
    weights : ndarray
        Skinning weights (V, 24).
    joints : ndarray
        Target joints (24, 3).
    joint_directions : ndarray
        Displacement (24, 3, S) of the joints per unit of each shape axis.

    Returns
    -------
    ndarray
        Matrix (24, V): sparse and non-negative; rows sum to 1.
    """
    regressor = np.zeros((NUM_JOINTS, len(template)))
    for joint, name in enumerate(JOINT_NAMES):
        near = _candidates(template, weights, joints, joint, name)
        count = len(near)
        equations = [_TEMPLATE * template[near].T]
        values = [_TEMPLATE * joints[joint]]
        for axis in range(shape_directions.shape[2]):
            equations.append(_SHAPES * shape_directions[near, :, axis].T)
            values.append(_SHAPES * joint_directions[joint, :, axis])
        equations += [np.full((1, count), _SUM), _SPREAD * np.eye(count)]
        values += [np.array([_SUM]), np.full(count, _SPREAD / count)]
        row, _ = nnls(np.concatenate(equations), np.concatenate(values), maxiter=20000)
        row /= row.sum()
        regressor[joint, near] = np.where(row < _MIN_ENTRY, 0, row)
    return regressor / regressor.sum(1, keepdims=True)


def _candidates(
    template: np.ndarray, weights: np.ndarray, joints: np.ndarray, joint: int, name: str
) -> np.ndarray:
    """Return the vertices nearest to a joint; for limbs, only those that its chain moves."""
    if name.endswith(_TRUNK) or name.startswith(_TRUNK):
        near, count = np.arange(len(template)), 400
    else:
        chain = [joint, PARENTS[joint], *np.flatnonzero(np.equal(PARENTS[:NUM_JOINTS], joint))]
        near, count = np.flatnonzero(weights[:, chain].sum(1) > 0.3), 240
    distance = np.linalg.norm(template[near] - joints[joint], axis=1)
    return near[np.argsort(distance, kind='stable')[:count]]
