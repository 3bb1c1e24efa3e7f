"""The matrix that tells the joints of any shape from its vertices."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from hybrik_ros.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS

_TEMPLATE, _SHAPES, _SUM, _SPREAD = 4.0, 2.0, 20.0, 0.03  # weights of the equations
_TRUNK = ('pelvis', 'hip', 'spine', 'neck', 'collar', 'head')
_NEGLIGIBLE = 2e-4


def fit_regressor(
    template: np.ndarray,
    shape_directions: np.ndarray,
    weights: np.ndarray,
    joints: np.ndarray,
    joint_directions: np.ndarray,
) -> np.ndarray:
    """Fit J_regressor (24, V): sparse, non-negative, rows sum to 1.

    Non-negative least squares over the vertices near each joint: the template's joints, how they
    move along every shape axis, and a preference for spreading the weight evenly.

    Parameters
    ----------
    template, shape_directions
        Vertices (V, 3), and what a unit of each shape axis adds to them (V, 3, S).
    weights
        Skinning weights, (V, 24).
    joints, joint_directions
        The joints aimed at, (24, 3), and what a unit of each axis adds to them (24, 3, S).
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
        regressor[joint, near] = np.where(row < _NEGLIGIBLE, 0, row)
    return regressor / regressor.sum(1, keepdims=True)


def _candidates(
    template: np.ndarray, weights: np.ndarray, joints: np.ndarray, joint: int, name: str
) -> np.ndarray:
    """The vertices nearest to a joint; at limbs only those that it or its neighbours move."""
    if name.endswith(_TRUNK) or name.startswith(_TRUNK):
        near, count = np.arange(len(template)), 400
    else:
        chain = [joint, PARENTS[joint], *np.flatnonzero(np.equal(PARENTS[:NUM_JOINTS], joint))]
        near, count = np.flatnonzero(weights[:, chain].sum(1) > 0.3), 240
    distance = np.linalg.norm(template[near] - joints[joint], axis=1)
    return near[np.argsort(distance, kind='stable')[:count]]
