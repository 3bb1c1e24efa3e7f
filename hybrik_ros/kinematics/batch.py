"""Checks of the arguments, and batch dimensions flattened for the kernels and put back."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def checked(name: str, value: ArrayLike, core: tuple[int, ...]) -> Array:
    """Return value as a float64 array of shape (..., *core).

    Raises
    ------
    ValueError: naming the argument, where its last dimensions are not core.
    """
    array = np.asarray(value, dtype=np.float64)
    if array.shape[array.ndim - len(core) :] != core:
        wanted = ', '.join(str(size) for size in core)
        raise ValueError(f'{name} must have shape (..., {wanted}), not {array.shape}')
    return array


def flattened(
    arrays: dict[str, tuple[Array, tuple[int, ...]]],
) -> tuple[tuple[int, ...], list[Array]]:
    """Broadcast the batch dimensions of some arrays together and flatten them to one.

    Parameters
    ----------
    arrays: by argument name, the array (..., *core) and its core shape.

    Returns
    -------
    The common batch shape, and the arrays as contiguous (B, *core), in the order given.

    Raises
    ------
    ValueError: naming the arguments, where the batch dimensions do not broadcast.
    """
    shapes = [array.shape[: array.ndim - len(core)] for array, core in arrays.values()]
    try:
        batch = np.broadcast_shapes(*set(shapes))
    except ValueError:
        listed = ', '.join(f'{n} {shape}' for n, shape in zip(arrays, shapes, strict=True))
        raise ValueError(f'batch dimensions do not fit together: {listed}') from None
    size = math.prod(batch)
    flat = []
    for (array, core), shape in zip(arrays.values(), shapes, strict=True):
        whole = array if shape == batch else np.broadcast_to(array, batch + core)
        flat.append(np.ascontiguousarray(whole).reshape(size, *core))
    return batch, flat
