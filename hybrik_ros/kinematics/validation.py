"""Argument checks, and batch dimensions flattened to one for the kernels."""

import math
from typing import TypeGuard

import numpy as np
from numpy.typing import ArrayLike

from hybrik_ros.arrays import Array

_FLOAT64 = np.dtype(np.float64)


def flatten_batches(
    arguments: dict[str, tuple[ArrayLike, tuple[int, ...]]],
) -> tuple[tuple[int, ...], list[Array]]:
    """Broadcast the batch dimensions of arguments together and flatten them to one.

    Parameters
    ----------
    arguments : dict
        Value ``(..., *core)`` and core shape of each argument by name.

    Returns
    -------
    batch : tuple of int
        The common batch shape.
    arrays : list of ndarray
        The values as arrays ``(B, *core)`` in the order of the arguments: float64, contiguous
        and writable, as the kernels are compiled for.

    Raises
    ------
    ValueError
        A shape does not end in core, or the batch dimensions do not broadcast. The message names
        the argument.
    """
    ready = [value[None] for value, core in arguments.values() if _is_ready(value, core)]
    if len(ready) == len(arguments):
        return (), ready  # the usual case, at little cost
    arrays, shapes = [], []
    for name, (value, core) in arguments.items():
        array = to_real_array(name, value)
        split = array.ndim - len(core)
        if array.shape[split:] != core:
            wanted = ', '.join(str(size) for size in core)
            raise ValueError(f'{name} must have shape (..., {wanted}), not {array.shape}')
        arrays.append(array)
        shapes.append(array.shape[:split])
    distinct = set(shapes) - {()}
    try:
        batch = distinct.pop() if len(distinct) == 1 else np.broadcast_shapes(*distinct)
    except ValueError:
        listed = ', '.join(f'{n} {shape}' for n, shape in zip(arguments, shapes, strict=True))
        raise ValueError(f'batch dimensions do not broadcast: {listed}') from None
    size = math.prod(batch)
    flat = []
    for array, shape, (_, core) in zip(arrays, shapes, arguments.values(), strict=True):
        if shape != batch and math.prod(shape) != size:
            array = np.broadcast_to(array, batch + core)
        if not array.flags.carray:
            array = array.copy()
        flat.append(array.reshape(size, *core))
    return batch, flat


def _is_ready(value: ArrayLike, shape: tuple[int, ...]) -> TypeGuard[Array]:
    """Return whether a value is an array of this shape as the kernels need it."""
    return (
        type(value) is np.ndarray
        and value.dtype is _FLOAT64
        and value.shape == shape
        and value.flags.carray
    )


def to_real_array(name: str, value: ArrayLike) -> Array:
    """Return a value as a float64 array.

    Raises
    ------
    ValueError
        The value is not an array of real numbers. The message names the argument.
    """
    if type(value) is np.ndarray and value.dtype is _FLOAT64:
        return value  # the usual case, without any cost
    try:
        array = np.asarray(value)
        if array.dtype.kind not in 'biufO':
            raise TypeError(f'{array.dtype}')
        return np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise ValueError(f'{name} must be an array of real numbers') from None
