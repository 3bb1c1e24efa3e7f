"""Orthogonal Procrustes fit of a rotation, for kernels.

The quaternion of the rotation is the eigenvector of the largest eigenvalue of a symmetric matrix,
which is found by Jacobi's method. This takes about half the time of a singular value decomposition
by LAPACK, and the result is never a reflection.

References
----------
Horn: Closed-form solution of absolute orientation using unit quaternions (1987).
"""

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.compiling import compiled
from hybrik_ros.kinematics.matrices import TINY, set_axis_rotation, set_identity

_MAX_SWEEPS = 20  # of Jacobi's method, which usually takes four or five
# Maximum ratio of the squares of off-diagonal and diagonal elements after the last sweep.
_MAX_OFF_DIAGONAL = 1e-32


@compiled
def fit_rotation(covariance: Array, out: Array) -> None:
    """Write the rotation R to out that maximises trace(R.T @ covariance)."""
    m = np.empty((4, 4))
    vectors = np.zeros((4, 4))
    _fill_quaternion_matrix(covariance, m)
    _diagonalise(m, vectors)
    best = 0
    for p in range(1, 4):
        if m[p, p] > m[best, best]:
            best = p
    w, x, y, z = vectors[0, best], vectors[1, best], vectors[2, best], vectors[3, best]
    sin = np.sqrt(x * x + y * y + z * z)
    if sin < TINY:
        set_identity(out)
    else:
        set_axis_rotation(x / sin, y / sin, z / sin, w * w - sin * sin, 2 * w * sin, out)


@compiled
def _fill_quaternion_matrix(covariance: Array, m: Array) -> None:
    """Fill Horn's symmetric matrix (4, 4) of a covariance (3, 3)."""
    scaled = np.empty((3, 3))
    largest = 0.0
    for r in range(3):
        for c in range(3):
            largest = max(largest, abs(covariance[r, c]))
    unit = largest if largest > 0 else 1.0  # Squares of tiny numbers would underflow.
    for r in range(3):
        for c in range(3):
            scaled[r, c] = covariance[r, c] / unit
    m[0, 0] = scaled[0, 0] + scaled[1, 1] + scaled[2, 2]
    for a in range(3):
        b, c = (a + 1) % 3, (a + 2) % 3
        m[0, a + 1] = m[a + 1, 0] = scaled[c, b] - scaled[b, c]
        m[a + 1, a + 1] = 2 * scaled[a, a] - m[0, 0]
        m[a + 1, b + 1] = m[b + 1, a + 1] = scaled[a, b] + scaled[b, a]


@compiled
def _diagonalise(m: Array, vectors: Array) -> None:
    """Diagonalise a symmetric matrix (4, 4) in place; fill its eigenvectors, which start as 0."""
    for p in range(4):
        vectors[p, p] = 1.0
    for _ in range(_MAX_SWEEPS):
        rest = size = 0.0
        for p in range(4):
            size += m[p, p] * m[p, p]
            for q in range(p):
                rest += m[p, q] * m[p, q]
        if rest <= _MAX_OFF_DIAGONAL * size:
            break
        for p in range(3):
            for q in range(p + 1, 4):
                _rotate_away(m, vectors, p, q)


@compiled
def _rotate_away(m: Array, vectors: Array, p: int, q: int) -> None:
    """Apply one rotation of Jacobi's method, which makes m[p, q] of a symmetric matrix zero."""
    if m[p, q] == 0:
        return
    theta = (m[q, q] - m[p, p]) / (2 * m[p, q])
    tangent = 1 / (abs(theta) + np.sqrt(theta * theta + 1))
    if theta < 0:
        tangent = -tangent
    cos = 1 / np.sqrt(tangent * tangent + 1)
    sin = tangent * cos
    for k in range(4):
        m[k, p], m[k, q] = cos * m[k, p] - sin * m[k, q], sin * m[k, p] + cos * m[k, q]
    for k in range(4):
        m[p, k], m[q, k] = cos * m[p, k] - sin * m[q, k], sin * m[p, k] + cos * m[q, k]
        vectors[k, p], vectors[k, q] = (
            cos * vectors[k, p] - sin * vectors[k, q],
            sin * vectors[k, p] + cos * vectors[k, q],
        )
