"""Safe reading of body files: SMPL's .pkl and .npz, with nothing in them able to run code.

The official SMPL files are Python 2 pickles that hold chumpy arrays and scipy sparse matrices.
A pickle may name any function to be called on loading. Here every name that such a file needs
leads to a stub, which keeps what it is given; all others are refused. No code of numpy, scipy or
chumpy sees anything of a pickle but plain numbers of checked type and count: their own ways of
being unpickled trust what they are told of types, sizes and indices.
"""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# What a BodyModel is made of. Files hold more, some of it no plain array.
_NAMES = (
    'v_template', 'shapedirs', 'posedirs', 'J_regressor', 'weights', 'kintree_table', 'f',
    'shape_axis_names',
)  # fmt: skip

# Booleans, integers, floats and text, as numpy names the types: nothing that holds objects.
_PLAIN = re.compile(r'[biufSU]\d+')
_MAX_SPARSE_SIZE = 10**7  # numbers of a sparse matrix made dense; SMPL's regressor has 165,360
_MAX_NPZ_BYTES = 2**30  # unpacked; SMPL with all its 300 shape directions has 90 MB


class UnsafeFileError(ValueError):
    """A body file names something that is no array: it may be meant to run code."""


class _Stub:
    """Stands in for any object of a pickle: keeps its state, computes nothing."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def array(self) -> NDArray[Any]:
        """Return the array that the object stands for."""
        raise ValueError('an object of the file is no array')


class _Dtype(_Stub):
    """numpy.dtype('f8', False, True), with a state that matters for its byte order only."""

    def dtype(self) -> np.dtype:
        name = str(self.arguments[0])
        if not _PLAIN.fullmatch(name):
            raise ValueError(f'an array of the file holds {name}, not numbers or text')
        order: Any = self.state[1] if self.state else '='
        return np.dtype(name).newbyteorder(order)


class _Array(_Stub):
    """numpy.ndarray: its state is (version, shape, dtype, in Fortran's order, bytes)."""

    def array(self) -> NDArray[Any]:
        _, shape, dtype, fortran, content = self.state
        if isinstance(content, str):  # as Python 2's bytes are read
            content = content.encode('latin1')
        flat = np.frombuffer(content, dtype.dtype())
        return flat.reshape(shape, order='F' if fortran else 'C')


class _SparseMatrix(_Stub):
    """scipy.sparse.coo_matrix; its state is a dictionary of arrays."""

    def indices(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the row and the column of each number."""
        if 'coords' in self.state:  # from scipy 1.13 on
            row, column = self.state['coords']
            return row.array(), column.array()
        return self.state['row'].array(), self.state['col'].array()

    def shape(self) -> tuple[int, int]:
        """Return the checked number of rows and columns."""
        rows, columns = (int(size) for size in self.state['_shape'])
        if min(rows, columns) < 1 or rows * columns > _MAX_SPARSE_SIZE:
            raise ValueError(f'a sparse matrix of {rows} x {columns} numbers belongs to no body')
        return rows, columns

    def array(self) -> NDArray[Any]:
        data = self.state['data'].array()
        dense = np.zeros(self.shape(), data.dtype)
        np.add.at(dense, self.indices(), data)
        return dense


class _ColumnMatrix(_SparseMatrix):
    """scipy.sparse.csc_matrix: the numbers column by column."""

    def indices(self) -> tuple[NDArray[Any], NDArray[Any]]:
        return self.state['indices'].array(), self._run(self.shape()[1])

    def _run(self, count: int) -> NDArray[np.int64]:
        """Return to which of so many columns each number belongs."""
        starts = self.state['indptr'].array().astype(np.int64)
        lengths = np.diff(starts)
        if len(lengths) != count or starts[-1] != len(self.state['data'].array()):
            raise ValueError('a sparse matrix does not fit together')
        return np.repeat(np.arange(count), lengths)


class _RowMatrix(_ColumnMatrix):
    """scipy.sparse.csr_matrix: the numbers row by row."""

    def indices(self) -> tuple[NDArray[Any], NDArray[Any]]:
        return self._run(self.shape()[0]), self.state['indices'].array()


class _Ch(_Stub):
    """chumpy.ch.Ch: an array."""

    def array(self) -> NDArray[Any]:
        return self.state['x'].array()


class _Select(_Stub):
    """chumpy.reordering.Select: some numbers of an array, in another shape."""

    def array(self) -> NDArray[Any]:
        selected = self.state['a'].array().ravel()[self.state['idxs'].array()]
        shape = self.state.get('preferred_shape', selected.shape)
        return selected.reshape(shape.array() if isinstance(shape, _Stub) else shape)


def _encode(text: str, encoding: str) -> bytes:
    """By _codecs.encode, with which protocol 2 writes the bytes of Python 3."""
    if encoding != 'latin1':
        raise UnsafeFileError(f'the file encodes text as {encoding!r}, which no array needs')
    return text.encode('latin1')


def _reconstruct_array(kind: type, shape: Any, typecode: Any) -> _Array:
    """By numpy's _reconstruct: an empty array, whose state follows."""
    return _Array()


def _array_from_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    """By numpy's _frombuffer, of pickle protocol 5."""
    array = _Array()
    array.state = (1, shape, dtype, order == 'F', content)
    return array


def _reconstruct_object(kind: Any, base: Any, state: Any) -> _Stub:
    """By copyreg._reconstructor, of pickle protocols 0 and 1: an object whose state follows."""
    if not (isinstance(kind, type) and issubclass(kind, _Stub)):
        raise UnsafeFileError('the file builds an object that is no array')
    return kind()


_NUMPY = {
    'ndarray': _Array,
    'dtype': _Dtype,
    '_reconstruct': _reconstruct_array,
    '_frombuffer': _array_from_buffer,
    'scalar': _Stub,
}
_SPARSE = {
    f'{layout}_{kind}': stub
    for layout, stub in (('coo', _SparseMatrix), ('csc', _ColumnMatrix), ('csr', _RowMatrix))
    for kind in ('matrix', 'array')
}
_CHUMPY = {'Ch': _Ch, 'Select': _Select}
# The names of Python 2 and 3.
_PYTHON = {
    **{(module, 'object'): _Stub for module in ('__builtin__', 'builtins')},
    **{(module, 'set'): set for module in ('__builtin__', 'builtins')},
    **{(module, '_reconstructor'): _reconstruct_object for module in ('copy_reg', 'copyreg')},
    ('_codecs', 'encode'): _encode,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Finds stubs of arrays, sparse matrices and chumpy objects, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        # The modules below numpy and scipy.sparse were renamed over the years.
        package = module.split('.')[0]
        if package == 'chumpy':
            return _CHUMPY.get(name, _Stub)
        if package == 'numpy' and name in _NUMPY:
            return _NUMPY[name]
        if module.startswith('scipy.sparse') and name in _SPARSE:
            return _SPARSE[name]
        if (module, name) in _PYTHON:
            return _PYTHON[module, name]
        raise UnsafeFileError(
            f'the file wants to load {module}.{name}, which is no array. It was not loaded: '
            f'a pickle can run code. Use an original SMPL file, or one saved as .npz.'
        )


def read_body_file(path: Path) -> Mapping[str, NDArray[Any]]:
    """Read those arrays of an SMPL-format body that a BodyModel needs, as far as they are there.

    Parameters
    ----------
    path: a .npz, or a .pkl as the SMPL project distributes it.

    Raises
    ------
    FileNotFoundError: there is no such file.
    UnsafeFileError: a pickle wants anything but arrays; nothing of it has run.
    ValueError: the file is no body file.
    """
    if not path.is_file():
        raise FileNotFoundError(f'no body file at {path}')
    readers = {'.npz': _read_npz, '.pkl': _read_pickle}
    if path.suffix not in readers:
        suffix = path.suffix or 'without suffix'
        raise ValueError(f'{path}: a body file is .npz or .pkl, not {suffix}')
    try:
        return readers[path.suffix](path)
    except UnsafeFileError:
        raise
    except Exception as error:  # Damaged files make readers raise nearly anything.
        raise ValueError(f'{path} is no readable body file: {error}') from error


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as stored:
        if sum(member.file_size for member in stored.zip.infolist()) > _MAX_NPZ_BYTES:
            raise ValueError('it unpacks to more than any body needs')
        return {name: stored[name] for name in _NAMES if name in stored.files}


def _read_pickle(path: Path) -> dict[str, NDArray[Any]]:
    with path.open('rb') as stream:
        content = _ArrayUnpickler(stream, encoding='latin1').load()
    if not isinstance(content, dict):
        raise ValueError('it holds no dictionary of arrays')
    found = {name: content[name] for name in _NAMES if name in content}
    plain = [name for name, value in found.items() if not isinstance(value, _Stub)]
    if plain:
        raise ValueError(f'no array by the name of {", ".join(plain)}')
    return {name: value.array() for name, value in found.items()}
