"""What is known of people as plain data, which can be stored and read again, to the bit.

Nothing in it can run code: only the dataclasses below are made, of the fields that they declare.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass, fields
from types import UnionType
from typing import Any, TypeAlias, get_args, get_origin, get_type_hints

import numpy as np

from hybrik_ros.body.proportions import Proportions
from hybrik_ros.camera import Region
from hybrik_ros.perception.agreement import Agreement
from hybrik_ros.perception.estimator import Observation
from hybrik_ros.perception.observer import ObserverState
from hybrik_ros.smoothing import FilterState
from hybrik_ros.tracking import Memory, ShapeEstimate, Sighting, State, Track
from hybrik_ros.tracking.track import FilterStates

VERSION = 6  # To be raised when a class below changes its fields.

# What json can store.
Plain: TypeAlias = bool | int | float | str | list['Plain'] | dict[str, 'Plain'] | None


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What a pipeline knows between two frames.

    Attributes
    ----------
    tracks : list of Track
        All tracks.
    observer : ObserverState
        What the observer knows.
    last_left_out : float
        Time in seconds of the last frame that showed more people than max_people.
    stamp : float
        Time of the last frame in seconds.
    """

    tracks: list[Track]
    observer: ObserverState
    last_left_out: float
    stamp: float


_CLASSES: tuple[type, ...] = (
    Snapshot, ObserverState, Track, Memory, ShapeEstimate, Sighting, Agreement, Region,
    FilterStates, FilterState, Proportions,
)  # fmt: skip
_PLAIN = (bool, int, float, str, type(None))


def to_plain(value: object, observation_type: type[Observation]) -> Plain:
    """Return a snapshot, or a part of one, as what json can store.

    Parameters
    ----------
    value : object
        The snapshot or the part.
    observation_type : type
        Class of the observations in it, a frozen dataclass.

    Raises
    ------
    TypeError
        It holds something other than people.
    """
    return {'version': VERSION, 'content': _Packer(observation_type).pack(value)}


def from_plain(plain: Plain, observation_type: type[Observation]) -> Snapshot:
    """Return the snapshot that to_plain was given.

    Parameters
    ----------
    plain : object
        What to_plain returned, perhaps stored as json meanwhile.
    observation_type : type
        Class of the observations in it.

    Raises
    ------
    ValueError
        This is no snapshot, or one of another version.
    """
    try:
        if not isinstance(plain, dict) or plain['version'] != VERSION:
            raise ValueError(f'its version is not {VERSION}')
        found = _Unpacker(observation_type).unpack(plain['content'])
        if not (
            isinstance(found, Snapshot)
            and all(isinstance(track, Track) for track in found.tracks)
            and isinstance(found.observer, ObserverState)
            and isinstance(found.last_left_out, float)
            and isinstance(found.stamp, float)
        ):
            raise ValueError('its content is of other types')
    except Exception as error:  # numpy raises nearly any type for wrong types of arrays.
        raise ValueError(f'not a snapshot of this version: {error}') from error
    return found


class _Packer:
    """Numbers the arrays, as some of them are the same one in several places."""

    def __init__(self, observation_type: type) -> None:
        self._classes = (*_CLASSES, observation_type)
        self._numbers: dict[int, int] = {}

    def pack(self, value: Any) -> Any:
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, _PLAIN):
            return value
        if isinstance(value, list):
            return [self.pack(item) for item in value]
        if isinstance(value, np.ndarray):
            return self._pack_array(value)
        if isinstance(value, State):
            return {'state': value.value}
        name = type(value).__name__
        if type(value) in self._classes:
            packed = {each.name: self.pack(getattr(value, each.name)) for each in fields(value)}
            return {'class': name, 'fields': packed}
        raise TypeError(f'{name} cannot be stored')

    def _pack_array(self, array: np.ndarray) -> Any:
        if id(array) in self._numbers:
            return {'same': self._numbers[id(array)]}
        self._numbers[id(array)] = len(self._numbers)
        content = b64encode(np.ascontiguousarray(array).tobytes()).decode()
        return {'array': [array.dtype.str, list(array.shape), content]}


class _Unpacker:
    def __init__(self, observation_type: type) -> None:
        self._observation_type = observation_type
        self._classes = {kind.__name__: kind for kind in (*_CLASSES, observation_type)}
        self._arrays: list[np.ndarray] = []

    def unpack(self, plain: Any) -> Any:
        if isinstance(plain, list):
            return [self.unpack(item) for item in plain]
        if not isinstance(plain, dict):
            return plain
        if 'class' in plain:
            return self._create(self._classes[plain['class']], plain['fields'])
        [(kind, content)] = plain.items()
        if kind == 'array':
            dtype, shape, text = content
            array = np.frombuffer(b64decode(text), np.dtype(dtype)).reshape(shape).copy()
            self._arrays.append(array)
            return array
        if kind == 'same':
            return self._arrays[content]
        if kind == 'state':
            return State(content)
        raise ValueError(f'unknown kind of value {kind!r}')

    def _create(self, kind: type, packed: dict[str, Any]) -> Any:
        values = {name: self.unpack(item) for name, item in packed.items()}
        hints = get_type_hints(kind)  # Also those of base classes that are no fields.
        for each in fields(kind):
            if not self._fits(values[each.name], hints[each.name]):
                raise ValueError(f'{kind.__name__}.{each.name} is of another type')
        return kind(**values)

    def _fits(self, value: object, hint: Any) -> bool:
        """Return whether a value is of an annotated type."""
        if get_origin(hint) is UnionType:
            return any(self._fits(value, one) for one in get_args(hint))
        if hint is Observation:
            return isinstance(value, self._observation_type)
        return isinstance(value, (int, float) if hint is float else get_origin(hint) or hint)
