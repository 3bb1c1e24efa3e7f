"""Checks of the fields of messages of people that come from outside."""

import re
from collections.abc import Sequence
from reprlib import repr as cut_repr

import numpy as np
from numpy.typing import ArrayLike

from hybrik_ros.arrays import Array
from hybrik_ros.limits import MAX_NAME_CHARACTERS

# Ids become parts of file names and of TF frames: word characters, inner dots and hyphens.
_ID = re.compile(r'\w[\w.-]*')
_MAX_ID_BYTES = 64
_MAX_CONFIDENCE = 1 + 1e-6  # 1, and rounding


def check_id(id: str) -> None:
    """Refuse an id that cannot be part of the name of a file or of a TF frame."""
    if len(id) > _MAX_ID_BYTES or not _ID.fullmatch(id) or len(id.encode()) > _MAX_ID_BYTES:
        raise ValueError(
            f'the id is not 1 to {_MAX_ID_BYTES} letters, digits, underscores and inner dots or '
            f'hyphens'
        )


def check_name(field: str, name: str) -> None:
    """Refuse a name in a field that is too long."""
    if len(name) > MAX_NAME_CHARACTERS:
        raise ValueError(
            f'{field} {cut_repr(name)} has {len(name)} characters, more than the maximum of '
            f'{MAX_NAME_CHARACTERS}'
        )


def check_length(name: str, values: Sequence[float], maximum: int) -> None:
    """Refuse more numbers than the maximum."""
    if len(values) > maximum:
        raise ValueError(f'{name} has {len(values)} numbers, more than the maximum of {maximum}')


def read_confidences(name: str, values: ArrayLike, count: int) -> Array:
    """Return confidences as an array of the given length, if all are in [0, 1]."""
    return read_numbers(name, values, count, 0.0, _MAX_CONFIDENCE)


def read_numbers(
    name: str, values: ArrayLike, count: int | None, minimum: float, maximum: float
) -> Array:
    """Return numbers as an array, if all are finite and within the limits.

    Parameters
    ----------
    name : str
        Name of the field for errors.
    values : array_like
        The numbers (N, ...).
    count : int or None
        N; None for any.
    minimum, maximum : float
        The limits.

    Raises
    ------
    ValueError
        The reason for which they are refused.
    """
    numbers = np.asarray(values, np.float64)
    if count is not None and len(numbers) != count:
        raise ValueError(f'{name} has {len(numbers)} entries instead of {count}')
    wrong = np.argwhere(~((numbers >= minimum) & (numbers <= maximum)))  # NaN too
    if len(wrong):
        place = tuple(wrong[0].tolist())
        raise ValueError(
            f'{name}{list(place)} is {numbers[place]:g}, not a number from {minimum:g} to '
            f'{maximum:g}'
        )
    return numbers
