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
from hybrik_ros.kinematics.eigen import diagonalise
from hybrik_ros.kinematics.matrices import TINY, set_axis_rotation, set_identity


@compiled
def fit_rotation(covariance: Array, out: Array) -> None:
    """Write the rotation R to out that maximises trace(R.T @ covariance)."""
    m = np.empty((4, 4))
    vectors = np.zeros((4, 4))
    _fill_quaternion_matrix(covariance, m)
    diagonalise(m, vectors)
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
