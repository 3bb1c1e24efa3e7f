"""What is remembered of people as plain data, which can be stored and read again, to the bit.

Nothing in it can run code: only the classes below are made, and none of their functions called.
"""

from base64 import b64decode, b64encode
from typing import Any

import numpy as np

from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Region
from hybrik_ros.perception import hybrik, landmarks
from hybrik_ros.smoothing import PoseFilter, RotationFilter, VectorFilter
from hybrik_ros.tracking import Shape, Sighting, State, Track

_CLASSES = {
    f'{kind.__module__}.{kind.__name__}': kind
    for kind in (
        Track, Shape, Sighting, Region, PoseFilter, RotationFilter, VectorFilter,
        landmarks.Proportions, landmarks.Observation, hybrik.Observation,
    )
}  # fmt: skip
_NAMES = {kind: name for name, kind in _CLASSES.items()}
_PLAIN = (bool, int, float, str, type(None))


def to_plain(value: Any) -> Any:
    """Return a value as what json can store; bodies are left out.

    Raises
    ------
    TypeError: it holds anything else than people.
    """
    return _Packer().pack(value)


def from_plain(plain: Any, body: BodyModel) -> Any:
    """Return what to_plain was given, with this body in it.

    Raises
    ------
    ValueError: this does not come from to_plain.
    """
    try:
        return _Unpacker(body).unpack(plain)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ValueError(f'this is nothing that was stored here: {error!r}') from error


class _Packer:
    """Numbers the arrays, as some of them are the same one in several places."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}

    def pack(self, value: Any) -> Any:
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, _PLAIN):
            return value
        if isinstance(value, list):
            return [self.pack(item) for item in value]
        if isinstance(value, tuple):
            return {'tuple': [self.pack(item) for item in value]}
        if isinstance(value, np.ndarray):
            return self._pack_array(value)
        if isinstance(value, State):
            return {'state': value.value}
        if isinstance(value, BodyModel):
            return {'body': value.name}
        if isinstance(value, dict):
            return {'dict': {key: self.pack(item) for key, item in value.items()}}
        if type(value) in _NAMES:
            fields = {name: self.pack(item) for name, item in vars(value).items()}
            return {'class': _NAMES[type(value)], 'fields': fields}
        raise TypeError(f'{type(value).__name__} cannot be stored')

    def _pack_array(self, array: np.ndarray) -> Any:
        if id(array) in self._numbers:
            return {'same': self._numbers[id(array)]}
        self._numbers[id(array)] = len(self._numbers)
        content = b64encode(np.ascontiguousarray(array).tobytes()).decode()
        return {'array': [array.dtype.str, list(array.shape), content]}


class _Unpacker:
    def __init__(self, body: BodyModel) -> None:
        self._body = body
        self._arrays: list[np.ndarray] = []

    def unpack(self, plain: Any) -> Any:
        if isinstance(plain, list):
            return [self.unpack(item) for item in plain]
        if not isinstance(plain, dict):
            return plain
        if 'class' in plain:
            return self._unpack_object(plain)
        [(kind, content)] = plain.items()
        if kind == 'tuple':
            return tuple(self.unpack(item) for item in content)
        if kind == 'dict':
            return {key: self.unpack(item) for key, item in content.items()}
        if kind == 'array':
            dtype, shape, text = content
            array = np.frombuffer(b64decode(text), np.dtype(dtype)).reshape(shape).copy()
            self._arrays.append(array)
            return array
        if kind == 'same':
            return self._arrays[content]
        if kind == 'state':
            return State(content)
        if kind == 'body':
            return self._body
        raise ValueError(f'nothing of the kind {kind!r} is stored here')

    def _unpack_object(self, plain: dict[str, Any]) -> Any:
        kind = _CLASSES[plain['class']]
        value = kind.__new__(kind)
        vars(value).update({name: self.unpack(item) for name, item in plain['fields'].items()})
        return value
