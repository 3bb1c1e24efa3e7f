"""Eigenvalues and eigenvectors of small symmetric matrices by Jacobi's method, for kernels."""

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.compiling import compiled

_MAX_SWEEPS = 20  # which usually takes four or five
# Maximum ratio of the squares of off-diagonal and diagonal elements after the last sweep.
_MAX_OFF_DIAGONAL = 1e-32


@compiled
def diagonalise(m: Array, vectors: Array) -> None:
    """Diagonalise a symmetric matrix (N, N) in place; fill its eigenvectors, in columns."""
    count = len(m)
    for p in range(count):
        for q in range(count):
            vectors[p, q] = 1.0 if p == q else 0.0
    for _ in range(_MAX_SWEEPS):
        rest = size = 0.0
        for p in range(count):
            size += m[p, p] * m[p, p]
            for q in range(p):
                rest += m[p, q] * m[p, q]
        if rest <= _MAX_OFF_DIAGONAL * size:
            break
        for p in range(count - 1):
            for q in range(p + 1, count):
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
    for k in range(len(m)):
        m[k, p], m[k, q] = cos * m[k, p] - sin * m[k, q], sin * m[k, p] + cos * m[k, q]
    for k in range(len(m)):
        m[p, k], m[q, k] = cos * m[p, k] - sin * m[q, k], sin * m[p, k] + cos * m[q, k]
        vectors[k, p], vectors[k, q] = (
            cos * vectors[k, p] - sin * vectors[k, q],
            sin * vectors[k, p] + cos * vectors[k, q],
        )
