"""3x3 matrices, above all rotations, for kernels.

Kernels are loops over numbers, not NumPy expressions: numba takes ten times as long to compile an
assignment of a slice, or an expression of arrays, as the loop that it replaces. For the same reason
each kernel is called with arguments of one type: contiguous float64 arrays, and no literals.
"""

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.compiling import compiled

TINY = 1e-12  # minimum length of a vector that has a direction
# Maximum error of the products of columns of a rotation. The errors of single precision, or of a
# file with few digits, are far smaller.
_MAX_ROTATION_ERROR = 1e-2


@compiled
def copy(source: Array, out: Array) -> None:
    """Copy an array (N, 3), such as points or a rotation."""
    for n in range(out.shape[0]):
        for k in range(3):
            out[n, k] = source[n, k]


@compiled
def copy_all(source: Array, out: Array) -> None:
    """Copy rotations (N, 3, 3)."""
    for n in range(out.shape[0]):
        copy(source[n], out[n])


@compiled
def rotate(rotation: Array, vector: Array, out: Array) -> None:
    """Write rotation @ vector to out."""
    for r in range(3):
        out[r] = (
            rotation[r, 0] * vector[0] + rotation[r, 1] * vector[1] + rotation[r, 2] * vector[2]
        )


@compiled
def rotate_back(rotation: Array, vector: Array, out: Array) -> None:
    """Write rotation.T @ vector to out."""
    for c in range(3):
        out[c] = (
            rotation[0, c] * vector[0] + rotation[1, c] * vector[1] + rotation[2, c] * vector[2]
        )


@compiled
def multiply(a: Array, b: Array, out: Array) -> None:
    """Write a @ b to out, which is neither a nor b."""
    for r in range(3):
        for c in range(3):
            out[r, c] = a[r, 0] * b[0, c] + a[r, 1] * b[1, c] + a[r, 2] * b[2, c]


@compiled
def multiply_back(a: Array, b: Array, out: Array) -> None:
    """Write a.T @ b to out, which is neither a nor b."""
    for r in range(3):
        for c in range(3):
            out[r, c] = a[0, r] * b[0, c] + a[1, r] * b[1, c] + a[2, r] * b[2, c]


@compiled
def multiply_transposed(a: Array, b: Array, out: Array) -> None:
    """Write a @ b.T to out, which is neither a nor b."""
    for r in range(3):
        for c in range(3):
            out[r, c] = a[r, 0] * b[c, 0] + a[r, 1] * b[c, 1] + a[r, 2] * b[c, 2]


@compiled
def set_identity(out: Array) -> None:
    """Write the identity to out."""
    for r in range(3):
        for c in range(3):
            out[r, c] = 1.0 if r == c else 0.0


@compiled
def set_axis_rotation(x: float, y: float, z: float, cos: float, sin: float, out: Array) -> None:
    """Write the rotation about a unit axis (x, y, z) to out by Rodrigues' formula."""
    k = 1.0 - cos
    out[0, 0] = cos + k * x * x
    out[0, 1] = k * x * y - sin * z
    out[0, 2] = k * x * z + sin * y
    out[1, 0] = k * x * y + sin * z
    out[1, 1] = cos + k * y * y
    out[1, 2] = k * y * z - sin * x
    out[2, 0] = k * x * z - sin * y
    out[2, 1] = k * y * z + sin * x
    out[2, 2] = cos + k * z * z


@compiled
def orthonormalise(m: Array) -> None:
    """Remove rounding errors of a rotation, in place (Gram-Schmidt)."""
    length = np.sqrt(m[0, 0] * m[0, 0] + m[1, 0] * m[1, 0] + m[2, 0] * m[2, 0])
    for r in range(3):
        m[r, 0] /= length
    dot = m[0, 0] * m[0, 1] + m[1, 0] * m[1, 1] + m[2, 0] * m[2, 1]
    for r in range(3):
        m[r, 1] -= dot * m[r, 0]
    length = np.sqrt(m[0, 1] * m[0, 1] + m[1, 1] * m[1, 1] + m[2, 1] * m[2, 1])
    for r in range(3):
        m[r, 1] /= length
    m[0, 2] = m[1, 0] * m[2, 1] - m[2, 0] * m[1, 1]
    m[1, 2] = m[2, 0] * m[0, 1] - m[0, 0] * m[2, 1]
    m[2, 2] = m[0, 0] * m[1, 1] - m[1, 0] * m[0, 1]


@compiled
def is_rotation(m: Array) -> bool:
    """Return whether a matrix is a rotation, up to rounding errors."""
    for a in range(3):
        for b in range(3):
            dot = m[0, a] * m[0, b] + m[1, a] * m[1, b] + m[2, a] * m[2, b]
            if not abs(dot - (1.0 if a == b else 0.0)) < _MAX_ROTATION_ERROR:
                return False
    return determinant(m) > 0


@compiled
def determinant(m: Array) -> float:
    """Return the determinant of a matrix."""
    return (
        m[0, 0] * (m[1, 1] * m[2, 2] - m[1, 2] * m[2, 1])
        + m[0, 1] * (m[1, 2] * m[2, 0] - m[1, 0] * m[2, 2])
        + m[0, 2] * (m[1, 0] * m[2, 1] - m[1, 1] * m[2, 0])
    )


@compiled
def invert(m: Array, out: Array) -> None:
    """Write the inverse of a matrix, by its adjugate, to out, which is not m."""
    for r in range(3):
        for c in range(3):
            r1, r2, c1, c2 = (c + 1) % 3, (c + 2) % 3, (r + 1) % 3, (r + 2) % 3
            out[r, c] = m[r1, c1] * m[r2, c2] - m[r1, c2] * m[r2, c1]
    determinant = m[0, 0] * out[0, 0] + m[0, 1] * out[1, 0] + m[0, 2] * out[2, 0]
    for r in range(3):
        for c in range(3):
            out[r, c] /= determinant
