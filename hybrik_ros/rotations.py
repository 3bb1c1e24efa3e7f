"""Rotations in three dimensions: matrices, rotation vectors, quaternions, swing and twist.

Shapes: matrices (..., 3, 3), rotation vectors and axes (..., 3), quaternions (..., 4) as
(x, y, z, w); leading dimensions are batch dimensions and broadcast. Angles in radians.
"""

import numpy as np
from numpy.typing import ArrayLike

from hybrik_ros.arrays import Array
from hybrik_ros.compiling import compiled, floats, kernel

_TINY = 1e-12  # minimum length of a vector, or sine of an angle, that has a direction


def unit(vectors: ArrayLike) -> Array:
    """Return vectors (..., n) normalised to length 1; zero vectors stay zero."""
    vectors = np.asarray(vectors, float)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), _TINY)


def scaled(vectors: ArrayLike) -> Array:
    """Return vectors (..., n) scaled to a largest coordinate of 1, so that no square underflows."""
    vectors = np.asarray(vectors, float)
    largest = np.abs(vectors).max(axis=-1, keepdims=True)
    return vectors / np.where(largest > 0, largest, 1.0)


def skew(vector: ArrayLike) -> Array:
    """Return the matrices K (..., 3, 3) of vectors v (..., 3), such that K @ u = v x u."""
    x, y, z = np.moveaxis(np.asarray(vector, float), -1, 0)
    zero = np.zeros_like(x)
    rows = [zero, -z, y, z, zero, -x, -y, x, zero]
    return np.stack(rows, axis=-1).reshape(*x.shape, 3, 3)


def from_axis(axis: ArrayLike, cos: ArrayLike, sin: ArrayLike) -> Array:
    """Return the rotations about unit axes by angles with given cosine and sine.

    Parameters
    ----------
    axis : array_like
        Axes (..., 3) of unit length.
    cos, sin : array_like
        Cosine and sine (...) of the angles, with cos² + sin² = 1.

    Returns
    -------
    ndarray
        Rotations (..., 3, 3) by Rodrigues' formula: I + sin [a] + (1 - cos) [a]².
    """
    cross = skew(axis)
    sine, versine = np.asarray(sin, float), 1 - np.asarray(cos, float)
    return np.eye(3) + sine[..., None, None] * cross + versine[..., None, None] * (cross @ cross)


def from_rotation_vector(vector: ArrayLike) -> Array:
    """Return the matrices (..., 3, 3) of rotation vectors (..., 3), axis times angle."""
    vectors = np.array(vector, float)
    matrices = np.empty((*vectors.shape, 3))
    _fill_matrices(vectors.reshape(-1, 3), matrices.reshape(-1, 3, 3))
    return matrices


@kernel(floats(2), floats(3))
def _fill_matrices(vectors: Array, matrices: Array) -> None:
    """Fill matrices (N, 3, 3) of rotation vectors (N, 3) by Rodrigues' formula."""
    for n in range(len(vectors)):
        set_vector_rotation(vectors[n], matrices[n])


@compiled
def set_vector_rotation(vector: Array, m: Array) -> None:
    """Write the matrix of a rotation vector to m by Rodrigues' formula."""
    x, y, z = vector[0], vector[1], vector[2]
    angle = np.hypot(np.hypot(x, y), z)
    cos, length = np.cos(angle), max(angle, _TINY)
    x, y, z = x / length, y / length, z / length
    sin_x, sin_y, sin_z = np.sin(angle) * x, np.sin(angle) * y, np.sin(angle) * z
    versine = 1 - cos
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
    """Return the rotation vectors (..., 3), of angles in [0, pi], of matrices (..., 3, 3)."""
    matrices = np.array(rotation, float)
    vectors = np.empty(matrices.shape[:-1])
    _fill_vectors(matrices.reshape(-1, 3, 3), vectors.reshape(-1, 3))
    return vectors


@kernel(floats(3), floats(2))
def _fill_vectors(matrices: Array, vectors: Array) -> None:
    """Fill rotation vectors (N, 3) of matrices (N, 3, 3)."""
    quaternion = np.empty(4)
    for n in range(len(matrices)):
        find_rotation_vector(matrices[n], quaternion, vectors[n])


@compiled
def find_rotation_vector(m: Array, q: Array, vector: Array) -> None:
    """Write the rotation vector of a matrix to vector; q (4) is scratch."""
    _find_quaternion(m, q)
    half_sin = np.sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2])
    scale = 2.0  # sin(a/2) / a tends to 1/2 at the identity.
    if half_sin > _TINY:
        scale = 2 * np.arctan2(half_sin, abs(q[3])) / half_sin
    if q[3] < 0:
        scale = -scale
    vector[0], vector[1], vector[2] = scale * q[0], scale * q[1], scale * q[2]


def to_quaternion(rotation: ArrayLike) -> Array:
    """Return the unit quaternions (x, y, z, w) of rotation matrices.

    Shepperd's method: the largest component is computed from the diagonal and the others are
    divided by it, so that precision is the same for all angles.

    Parameters
    ----------
    rotation : array_like
        Rotations (..., 3, 3).

    Returns
    -------
    ndarray
        Quaternions (..., 4) with w not negative.

    References
    ----------
    Shepperd: Quaternion from Rotation Matrix (1978).
    """
    matrices = np.array(rotation, float)
    quaternion = np.empty((*matrices.shape[:-2], 4))
    _fill_quaternions(matrices.reshape(-1, 3, 3), quaternion.reshape(-1, 4))
    flip = quaternion[..., 3] < 0
    return np.where(flip[..., None], -quaternion, quaternion)


@kernel(floats(3), floats(2))
def _fill_quaternions(matrices: Array, quaternions: Array) -> None:
    """Fill quaternions (N, 4) of matrices (N, 3, 3), of either sign."""
    for n in range(len(matrices)):
        _find_quaternion(matrices[n], quaternions[n])


@compiled
def _find_quaternion(m: Array, q: Array) -> None:
    """Write the quaternion (4) of a matrix, of either sign, to q."""
    trace = m[0, 0] + m[1, 1] + m[2, 2]
    k = 3
    for i in range(3):
        if m[i, i] > trace and (k == 3 or m[i, i] > m[k, k]):
            k = i
    # These sums of matrix elements are 4 q[k] q.
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
    """Return the matrices (..., 3, 3) of quaternions (..., 4), (x, y, z, w), of any length > 0."""
    unit = scaled(quaternion)
    unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
    imaginary, real = unit[..., :3], unit[..., 3, None, None]
    cross = skew(imaginary)
    return np.eye(3) + 2 * real * cross + 2 * (cross @ cross)


def swing_between(source: ArrayLike, target: ArrayLike) -> Array:
    """Return the smallest rotation that turns each source direction to its target direction.

    Parameters
    ----------
    source, target : array_like
        Directions (..., 3) of any length.

    Returns
    -------
    ndarray
        Rotations (..., 3, 3); the identity where either direction is zero, and a half turn about
        an axis perpendicular to the source for opposite directions.

    References
    ----------
    Li et al.: HybrIK (CVPR 2021), equations 6 to 8.
    """
    source, target = np.broadcast_arrays(scaled(source), scaled(target))
    lengths = np.linalg.norm(source, axis=-1) * np.linalg.norm(target, axis=-1)
    defined = lengths > 0
    scale = np.where(defined, lengths, 1.0)
    normal = np.cross(source, target) / scale[..., None]
    sin = np.linalg.norm(normal, axis=-1)
    cos = np.where(defined, np.sum(source * target, axis=-1) / scale, 1.0)
    axis = np.where((sin > _TINY)[..., None], normal / np.maximum(sin, _TINY)[..., None],
                    _perpendicular(source))  # fmt: skip
    # Near half a turn, rounding leaves a component along the source in the axis.
    along = np.sum(axis * source, axis=-1, keepdims=True)
    square = np.sum(source**2, axis=-1, keepdims=True)
    axis = unit(axis - source * (along / np.where(square > 0, square, 1.0)))
    angle = np.arctan2(sin, cos)
    return from_axis(axis, np.cos(angle), np.sin(angle))


def _perpendicular(vector: Array) -> Array:
    """Return a unit vector perpendicular to each vector (..., 3); any where the vector is zero."""
    least = np.eye(3)[np.argmin(np.abs(vector), axis=-1)]
    across = np.cross(vector, least)
    length = np.linalg.norm(across, axis=-1, keepdims=True)
    return np.where(length > 0, across / np.where(length > 0, length, 1.0), np.eye(3)[0])


def swing_twist(rotation: ArrayLike, axis: ArrayLike) -> tuple[Array, Array]:
    """Split rotations into swing @ twist, with the twist about a given axis.

    Parameters
    ----------
    rotation : array_like
        Rotations (..., 3, 3).
    axis : array_like
        Axes (..., 3) of any length above 0.

    Returns
    -------
    swing : ndarray
        Smallest rotations (..., 3, 3) that turn the axes as the whole rotations do.
    twist : ndarray
        Cosine and sine (..., 2) of the angle of the rotation about the axis before the swing.
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
    """Return the geodesic distance (...) of rotations (..., 3, 3): an angle in [0, pi]."""
    relative = np.swapaxes(np.asarray(first, float), -1, -2) @ np.asarray(second, float)
    return np.linalg.norm(to_rotation_vector(relative), axis=-1)
