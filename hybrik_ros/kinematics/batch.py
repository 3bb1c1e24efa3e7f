"""Checks of the arguments, and batch dimensions flattened for the kernels and put back."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


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
    arrays = [_checked(name, value, core) for name, (value, core) in arguments.items()]
    shapes = [
        array.shape[: array.ndim - len(core)]
        for array, (_, core) in zip(arrays, arguments.values(), strict=True)
    ]
    distinct = set(shapes) - {()}
    try:
        batch = distinct.pop() if len(distinct) == 1 else np.broadcast_shapes(*distinct)
    except ValueError:
        listed = ', '.join(f'{n} {shape}' for n, shape in zip(arguments, shapes, strict=True))
        raise ValueError(f'batch dimensions do not fit together: {listed}') from None
    size = math.prod(batch)
    flat = []
    for array, shape, (_, core) in zip(arrays, shapes, arguments.values(), strict=True):
        whole = array if math.prod(shape) == size else np.broadcast_to(array, batch + core)
        if not (whole.flags.c_contiguous and whole.flags.writeable):
            whole = whole.copy()
        flat.append(whole.reshape(size, *core))
    return batch, flat


def real_array(name: str, value: ArrayLike) -> Array:
    """Return a value as a float64 array.

    Raises
    ------
    ValueError: naming the argument, where it is anything else than real numbers, evenly nested.
    """
    try:
        array = np.asarray(value)
        if array.dtype.kind not in 'biufO':
            raise TypeError(f'{array.dtype}')
        return np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f'{name} must be an array of real numbers') from None


def _checked(name: str, value: ArrayLike, core: tuple[int, ...]) -> Array:
    """Return value as a float64 array of shape (..., *core)."""
    array = real_array(name, value)
    if array.shape[array.ndim - len(core) :] != core:
        wanted = ', '.join(str(size) for size in core)
        raise ValueError(f'{name} must have shape (..., {wanted}), not {array.shape}')
    return array
