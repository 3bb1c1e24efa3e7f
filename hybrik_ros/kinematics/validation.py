"""Checks of the arguments, and batch dimensions flattened for the kernels and put back."""

import math

import numpy as np
from numpy.typing import ArrayLike

from hybrik_ros.arrays import Array

_FLOAT64 = np.dtype(np.float64)


def flattened(
    arguments: dict[str, tuple[ArrayLike, tuple[int, ...]]],
) -> tuple[tuple[int, ...], list[Array]]:
    """Broadcast the batch dimensions of some arguments together and flatten them to one.

    Parameters
    ----------
    arguments: by name, the value (..., *core) and its core shape.

    Returns
    -------
    The common batch shape, and the values as float64 arrays (B, *core), in the order given:
    contiguous and writable, for which alone the kernels are compiled.

    Raises
    ------
    ValueError: naming the arguments, where a shape does not end in core, or the batch dimensions
        do not broadcast.
    """
    arrays, shapes = [], []
    for name, (value, core) in arguments.items():
        array = real_array(name, value)
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
        raise ValueError(f'batch dimensions do not fit together: {listed}') from None
    size = math.prod(batch)
    flat = []
    for array, shape, (_, core) in zip(arrays, shapes, arguments.values(), strict=True):
        if shape != batch and math.prod(shape) != size:
            array = np.broadcast_to(array, batch + core)
        if not array.flags.carray:
            array = array.copy()
        flat.append(array.reshape(size, *core))
    return batch, flat


def real_array(name: str, value: ArrayLike) -> Array:
    """Return a value as a float64 array.

    Raises
    ------
    ValueError: naming the argument, where it is anything else than real numbers, evenly nested.
    """
    if type(value) is np.ndarray and value.dtype is _FLOAT64:
        return value  # What most are, at once.
    try:
        array = np.asarray(value)
        if array.dtype.kind not in 'biufO':
            raise TypeError(f'{array.dtype}')
        return np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise ValueError(f'{name} must be an array of real numbers') from None
