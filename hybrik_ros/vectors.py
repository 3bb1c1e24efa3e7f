"""Vectors of three numbers, for kernels."""

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.compiling import compiled


@compiled
def dot(first: Array, second: Array) -> float:
    """Return the inner product of two vectors."""
    return first[0] * second[0] + first[1] * second[1] + first[2] * second[2]


@compiled
def cross(a: Array, b: Array, out: Array) -> None:
    """Write a x b to out, which is neither a nor b."""
    out[0] = a[1] * b[2] - a[2] * b[1]
    out[1] = a[2] * b[0] - a[0] * b[2]
    out[2] = a[0] * b[1] - a[1] * b[0]


@compiled
def norm(v: Array) -> float:
    """Return the length of a vector."""
    return np.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])


@compiled
def distance(first: Array, second: Array) -> float:
    """Return the distance between two points."""
    square = 0.0
    for k in range(3):
        square += (first[k] - second[k]) ** 2
    return np.sqrt(square)
