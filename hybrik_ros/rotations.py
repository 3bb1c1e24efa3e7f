"""Rotations in three dimensions: matrices, rotation vectors, quaternions, swing and twist.

Shapes: matrices (..., 3, 3), rotation vectors and axes (..., 3), quaternions (..., 4) as
(x, y, z, w); leading dimensions are batch dimensions and broadcast. Angles in radians.
"""

import numpy as np
from numpy.typing import ArrayLike

from hybrik_ros.arrays import Array
from hybrik_ros.compiling import floats, kernel

_TINY = 1e-12


def unit(vectors: ArrayLike) -> Array:
    """Return (..., n) vectors at length 1; one that is zero stays zero."""
    vectors = np.asarray(vectors, float)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), _TINY)


def scaled(vectors: ArrayLike) -> Array:
    """Return vectors (..., N) with a largest coordinate of 1, so that no square is lost."""
    vectors = np.asarray(vectors, float)
    largest = np.abs(vectors).max(axis=-1, keepdims=True)
    return vectors / np.where(largest > 0, largest, 1.0)


def skew(vector: ArrayLike) -> Array:
    """Return the (..., 3, 3) matrix K of a (..., 3) vector v, such that K @ u = v x u."""
    x, y, z = np.moveaxis(np.asarray(vector, float), -1, 0)
    zero = np.zeros_like(x)
    rows = [zero, -z, y, z, zero, -x, -y, x, zero]
    return np.stack(rows, axis=-1).reshape(*x.shape, 3, 3)


def from_axis(axis: ArrayLike, cos: ArrayLike, sin: ArrayLike) -> Array:
    """Return the rotation about a unit axis by the angle with this cosine and sine.

    Parameters
    ----------
    axis: (..., 3), unit length.
    cos, sin: (...), with cos² + sin² = 1.

    Returns
    -------
    (..., 3, 3), by Rodrigues' formula: I + sin [a] + (1 - cos) [a]².
    """
    cross = skew(axis)
    sine, versine = np.asarray(sin, float), 1 - np.asarray(cos, float)
    return np.eye(3) + sine[..., None, None] * cross + versine[..., None, None] * (cross @ cross)


def from_rotation_vector(vector: ArrayLike) -> Array:
    """Return the (..., 3, 3) matrix of a (..., 3) rotation vector (axis times angle)."""
    vectors = np.array(vector, float)
    matrices = np.empty((*vectors.shape, 3))
    _turns(vectors.reshape(-1, 3), matrices.reshape(-1, 3, 3))
    return matrices


@kernel(floats(2), floats(3))
def _turns(vectors: Array, matrices: Array) -> None:
    """Fill matrices (N, 3, 3) of rotation vectors (N, 3) by Rodrigues' formula."""
    for n in range(len(vectors)):
        x, y, z = vectors[n, 0], vectors[n, 1], vectors[n, 2]
        angle = np.hypot(np.hypot(x, y), z)
        cos, length = np.cos(angle), max(angle, _TINY)
        x, y, z = x / length, y / length, z / length
        sin_x, sin_y, sin_z = np.sin(angle) * x, np.sin(angle) * y, np.sin(angle) * z
        versine, m = 1 - cos, matrices[n]
        m[0, 0] = versine * x * x + cos
        m[0, 1] = versine * x * y - sin_z
        m[0, 2] = versine * x * z + sin_y
        m[1, 0] = versine * x * y + sin_z
        m[1, 1] = versine * y * y + cos
        m[1, 2] = versine * y * z - sin_x
        m[2, 0] = versine * x * z - sin_y
        m[2, 1] = versine * y * z + sin_x
        m[2, 2] = versine * z * z + cos


def to_rotation_vector(rotation: ArrayLike) -> Array:
    """Return the (..., 3) rotation vector, of an angle in [0, pi], of (..., 3, 3) matrices."""
    matrices = np.array(rotation, float)
    vectors = np.empty(matrices.shape[:-1])
    quaternions = np.empty((vectors.size // 3, 4))
    _quaternions(matrices.reshape(-1, 3, 3), quaternions)
    _vectors(quaternions, vectors.reshape(-1, 3))
    return vectors


@kernel(floats(2), floats(2))
def _vectors(quaternions: Array, vectors: Array) -> None:
    """Fill rotation vectors (N, 3) of unit quaternions (N, 4) of either sign."""
    for n in range(len(vectors)):
        x, y, z, w = quaternions[n, 0], quaternions[n, 1], quaternions[n, 2], quaternions[n, 3]
        half_sin = np.sqrt(x * x + y * y + z * z)
        scale = 2.0  # sin(a/2) / a tends to 1/2 at the identity.
        if half_sin > _TINY:
            scale = 2 * np.arctan2(half_sin, abs(w)) / half_sin
        if w < 0:
            scale = -scale
        vectors[n, 0], vectors[n, 1], vectors[n, 2] = scale * x, scale * y, scale * z


def to_quaternion(rotation: ArrayLike, previous: ArrayLike | None = None) -> Array:
    """Return the unit quaternions (x, y, z, w) of rotation matrices.

    Parameters
    ----------
    rotation: (..., 3, 3).
    previous: (..., 4); the sign, which a rotation leaves open, is the nearer one to these.
        Without them w is not negative.

    Returns
    -------
    (..., 4). Shepperd's method: the largest component is taken from the diagonal, the others
    divide by it, so that no angle loses digits.
    """
    matrices = np.array(rotation, float)
    quaternion = np.empty((*matrices.shape[:-2], 4))
    _quaternions(matrices.reshape(-1, 3, 3), quaternion.reshape(-1, 4))
    if previous is None:
        flip = quaternion[..., 3] < 0
    else:
        flip = np.sum(quaternion * np.asarray(previous, float), axis=-1) < 0
    return np.where(flip[..., None], -quaternion, quaternion)


@kernel(floats(3), floats(2))
def _quaternions(matrices: Array, quaternions: Array) -> None:
    """Fill quaternions (N, 4) of matrices (N, 3, 3), of either sign."""
    for n in range(len(matrices)):
        m, q = matrices[n], quaternions[n]
        trace = m[0, 0] + m[1, 1] + m[2, 2]
        k = 3
        for i in range(3):
            if m[i, i] > trace and (k == 3 or m[i, i] > m[k, k]):
                k = i
        # 4 q[k] q is built from sums of the matrix's numbers.
        if k == 3:
            q[0], q[1], q[2] = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]
            q[3] = 1 + trace
        else:
            i, j = (k + 1) % 3, (k + 2) % 3
            q[k] = 1 + m[k, k] - m[i, i] - m[j, j]
            q[i], q[j] = m[k, i] + m[i, k], m[k, j] + m[j, k]
            q[3] = m[j, i] - m[i, j]
        length = np.sqrt(q[0] ** 2 + q[1] ** 2 + q[2] ** 2 + q[3] ** 2)
        for k in range(4):
            q[k] /= length


def from_quaternion(quaternion: ArrayLike) -> Array:
    """Return the (..., 3, 3) matrices of (..., 4) quaternions (x, y, z, w) of any length > 0."""
    unit = scaled(quaternion)
    unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
    imaginary, real = unit[..., :3], unit[..., 3, None, None]
    cross = skew(imaginary)
    return np.eye(3) + 2 * real * cross + 2 * (cross @ cross)


def swing_between(source: ArrayLike, target: ArrayLike) -> Array:
    """Return the smallest rotation that turns each source direction to its target direction.

    Parameters
    ----------
    source, target: (..., 3), of any length. Where either is zero the result is the identity;
        for opposite directions it is a half turn about some axis across the source.

    Returns
    -------
    (..., 3, 3). HybrIK (CVPR 2021), equations 6 to 8.
    """
    source, target = np.broadcast_arrays(scaled(source), scaled(target))
    lengths = np.linalg.norm(source, axis=-1) * np.linalg.norm(target, axis=-1)
    defined = lengths > 0
    scale = np.where(defined, lengths, 1.0)
    normal = np.cross(source, target) / scale[..., None]
    sin = np.linalg.norm(normal, axis=-1)
    cos = np.where(defined, np.sum(source * target, axis=-1) / scale, 1.0)
    axis = np.where((sin > _TINY)[..., None], normal / np.maximum(sin, _TINY)[..., None],
                    _across(source))  # fmt: skip
    # Near half a turn rounding leaves a part of the source in it.
    along = np.sum(axis * source, axis=-1, keepdims=True)
    square = np.sum(source**2, axis=-1, keepdims=True)
    axis = unit(axis - source * (along / np.where(square > 0, square, 1.0)))
    angle = np.arctan2(sin, cos)
    return from_axis(axis, np.cos(angle), np.sin(angle))


def _across(vector: Array) -> Array:
    """Return a unit vector at right angles to each (..., 3) vector (any, where it is zero)."""
    least = np.eye(3)[np.argmin(np.abs(vector), axis=-1)]
    across = np.cross(vector, least)
    length = np.linalg.norm(across, axis=-1, keepdims=True)
    return np.where(length > 0, across / np.where(length > 0, length, 1.0), np.eye(3)[0])


def swing_twist(rotation: ArrayLike, axis: ArrayLike) -> tuple[Array, Array]:
    """Split rotations into swing @ twist, the twist about the given axis.

    Parameters
    ----------
    rotation: (..., 3, 3).
    axis: (..., 3), of any length but zero.

    Returns
    -------
    swing: (..., 3, 3), the smallest rotation that turns the axis as the whole rotation does.
    twist: (..., 2), cosine and sine of the angle about the axis that comes before the swing.
    """
    rotation = np.asarray(rotation, float)
    unit = scaled(axis)
    unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
    swing = swing_between(unit, (rotation @ unit[..., None])[..., 0])
    rest = np.swapaxes(swing, -1, -2) @ rotation
    cos = (np.trace(rest, axis1=-2, axis2=-1) - 1) / 2
    vee = np.stack([rest[..., 2, 1] - rest[..., 1, 2], rest[..., 0, 2] - rest[..., 2, 0],
                    rest[..., 1, 0] - rest[..., 0, 1]], axis=-1)  # fmt: skip
    twist = np.stack([cos, np.sum(unit * vee, axis=-1) / 2], axis=-1)
    return swing, twist / np.linalg.norm(twist, axis=-1, keepdims=True)


def angle_between(first: ArrayLike, second: ArrayLike) -> Array:
    """Return the geodesic distance (...), an angle in [0, pi], of (..., 3, 3) rotations."""
    relative = np.swapaxes(np.asarray(first, float), -1, -2) @ np.asarray(second, float)
    return np.linalg.norm(to_rotation_vector(relative), axis=-1)
