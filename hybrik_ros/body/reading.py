"""Safe reading of SMPL body files (.pkl and .npz), without running any code in them.

The official SMPL files are Python 2 pickles of chumpy arrays and scipy sparse matrices. A pickle
can name any function to be called on loading. Here, each name that an SMPL file needs is resolved
to a stub that only stores its arguments, and all other names are refused. numpy, scipy and chumpy
do not unpickle anything themselves, because they do not validate types, sizes and indices; they
get plain numbers of checked type and count.
"""

import io
import pickle
import pickletools
import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.limits import MAX_BODY_BYTES, MAX_PICKLE_MEMO, MAX_SPARSE_ELEMENTS
from hybrik_ros.untrusted import open_regular, read_regular

# The arrays that a BodyModel needs. Files contain more, some of it not plain arrays.
_NAMES = (
    'v_template', 'shapedirs', 'posedirs', 'J_regressor', 'weights', 'kintree_table', 'f',
    'shape_axis_names',
)  # fmt: skip

# numpy's names of booleans, integers, floats and text: types without references to objects.
_PLAIN_TYPE = re.compile(r'[biufSU]\d+')
# Opcodes of pickle that number an object, the number of which may be any.
_MEMO_CODES = ('PUT', 'BINPUT', 'LONG_BINPUT')


class UnsafeFileError(ValueError):
    """A body file contains something other than arrays, which could run code."""


class _Stub:
    """Replacement of an object in a pickle: stores its state and computes nothing."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def array(self) -> NDArray[Any]:
        """Return the array that the object represents."""
        raise ValueError('an object in the file is not an array')


class _Dtype(_Stub):
    """numpy.dtype('f8', False, True); only the byte order of its state is used."""

    def dtype(self) -> np.dtype:
        name = self.arguments[0]
        if not (isinstance(name, str) and _PLAIN_TYPE.fullmatch(name)):
            shown = reprlib.repr(name)
            raise ValueError(f'an array in the file is of type {shown}, not numbers or text')
        order: Any = self.state[1] if self.state else '='
        return np.dtype(name).newbyteorder(order)


class _Array(_Stub):
    """numpy.ndarray; its state is (version, shape, dtype, is_fortran, bytes)."""

    def array(self) -> NDArray[Any]:
        _, shape, dtype, fortran, content = self.state
        if isinstance(content, str):  # bytes of Python 2
            content = content.encode('latin1')
        flat = np.frombuffer(content, dtype.dtype())
        return flat.reshape(shape, order='F' if fortran else 'C')


class _SparseMatrix(_Stub):
    """scipy.sparse.coo_matrix; its state is a dictionary of arrays."""

    def indices(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the row and the column of each element."""
        if 'coords' in self.state:  # from scipy 1.13 on
            row, column = self.state['coords']
            return row.array(), column.array()
        return self.state['row'].array(), self.state['col'].array()

    def shape(self) -> tuple[int, int]:
        """Return the checked number of rows and columns."""
        rows, columns = (int(size) for size in self.state['_shape'])
        if min(rows, columns) < 1 or rows * columns > MAX_SPARSE_ELEMENTS:
            raise ValueError(
                f'a sparse matrix of {rows} x {columns} elements is larger than a body needs '
                f'(at most {MAX_SPARSE_ELEMENTS} elements)'
            )
        return rows, columns

    def array(self) -> NDArray[Any]:
        data = self.state['data'].array()
        dense = np.zeros(self.shape(), data.dtype)
        np.add.at(dense, self.indices(), data)
        return dense


class _ColumnMatrix(_SparseMatrix):
    """scipy.sparse.csc_matrix: elements column by column."""

    def indices(self) -> tuple[NDArray[Any], NDArray[Any]]:
        return self.state['indices'].array(), self._expand_starts(self.shape()[1])

    def _expand_starts(self, count: int) -> NDArray[np.int64]:
        """Return the column of each element, or the row, of a number of columns or rows."""
        starts = self.state['indptr'].array().astype(np.int64)
        lengths = np.diff(starts)
        last = len(self.state['data'].array())
        if len(lengths) != count or starts[0] != 0 or starts[-1] != last:
            raise ValueError('the arrays of a sparse matrix do not fit together')
        return np.repeat(np.arange(count), lengths)


class _RowMatrix(_ColumnMatrix):
    """scipy.sparse.csr_matrix: elements row by row."""

    def indices(self) -> tuple[NDArray[Any], NDArray[Any]]:
        return self._expand_starts(self.shape()[0]), self.state['indices'].array()


class _Ch(_Stub):
    """chumpy.ch.Ch: an array."""

    def array(self) -> NDArray[Any]:
        return self.state['x'].array()


class _Select(_Stub):
    """chumpy.reordering.Select: selected elements of an array, reshaped."""

    def array(self) -> NDArray[Any]:
        selected = self.state['a'].array().ravel()[self.state['idxs'].array()]
        shape = self.state.get('preferred_shape', selected.shape)
        return selected.reshape(shape.array() if isinstance(shape, _Stub) else shape)


def _encode(text: str, encoding: str) -> bytes:
    """Replace _codecs.encode, by which pickle protocol 2 stores the bytes of Python 3."""
    if encoding != 'latin1':
        raise UnsafeFileError(
            f'the file encodes text as {reprlib.repr(encoding)}; arrays only need latin1'
        )
    return text.encode('latin1')


def _reconstruct_array(kind: type, shape: Any, typecode: Any) -> _Array:
    """Replace numpy's _reconstruct: return an empty array; its state is set afterwards."""
    return _Array()


def _array_from_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    """Replace numpy's _frombuffer of pickle protocol 5."""
    array = _Array()
    array.state = (1, shape, dtype, order == 'F', content)
    return array


def _reconstruct_object(kind: Any, base: Any, state: Any) -> _Stub:
    """Replace copyreg._reconstructor of pickle protocols 0 and 1: return an empty object."""
    if not (isinstance(kind, type) and issubclass(kind, _Stub)):
        raise UnsafeFileError('the file creates an object that is not an array; it was not loaded')
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
# By the module names of Python 2 and 3.
_PYTHON = {
    **{(module, 'object'): _Stub for module in ('__builtin__', 'builtins')},
    **{(module, 'set'): set for module in ('__builtin__', 'builtins')},
    **{(module, '_reconstructor'): _reconstruct_object for module in ('copy_reg', 'copyreg')},
    ('_codecs', 'encode'): _encode,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Resolves names to stubs of arrays, sparse matrices and chumpy objects; refuses others."""

    def find_class(self, module: str, name: str) -> Any:
        # Only the package counts: submodules of numpy and scipy.sparse were renamed over the years.
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
            f'the file refers to {module}.{name}, which is not an array. It was not loaded, '
            f'because a pickle can run code. Use an original SMPL file, or one saved as .npz.'
        )


def read_body_file(path: Path) -> Mapping[str, NDArray[Any]]:
    """Read the arrays of an SMPL-format body file that a BodyModel needs.

    Parameters
    ----------
    path : Path
        A .npz file, or a .pkl file as the SMPL project distributes it.

    Returns
    -------
    mapping of ndarray
        Arrays by name; arrays that the file does not contain are left out.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    UnsafeFileError
        A pickle contains something other than arrays; no code of it has run.
    ValueError
        The file is not a body file.
    """
    if not path.exists():
        raise FileNotFoundError(f'no body file at {path}: check the path')
    readers = {'.npz': _read_npz, '.pkl': _read_pickle}
    if path.suffix not in readers:
        suffix = path.suffix or 'without suffix'
        raise ValueError(f'{path}: a body file must be .npz or .pkl, not {suffix}')
    try:
        return readers[path.suffix](path)
    except UnsafeFileError:
        raise
    except Exception as error:  # Damaged files can raise nearly any exception.
        raise ValueError(f'{path} cannot be read as a body file: {error}') from error


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    with open_regular(path) as file, np.load(file, allow_pickle=False) as stored:
        if sum(member.file_size for member in stored.zip.infolist()) > MAX_BODY_BYTES:
            raise ValueError(f'it unpacks to more than the maximum of {MAX_BODY_BYTES} bytes')
        return {name: stored[name] for name in _NAMES if name in stored.files}


def _read_pickle(path: Path) -> dict[str, NDArray[Any]]:
    stored = read_regular(path, MAX_BODY_BYTES)
    _check_sizes(stored)
    content = _ArrayUnpickler(io.BytesIO(stored), encoding='latin1').load()
    if not isinstance(content, dict):
        raise ValueError('it does not contain a dictionary of arrays')
    found = {name: content[name] for name in _NAMES if name in content}
    plain = [name for name, value in found.items() if not isinstance(value, _Stub)]
    if plain:
        raise ValueError(f'{", ".join(plain)} must be an array')
    return {name: value.array() for name, value in found.items()}


def _check_sizes(stored: bytes) -> None:
    """Refuse a pickle that makes the unpickler allocate more than the file has.

    The unpickler makes a table as long as the largest number of an object, and a bytearray as long
    as the file says, before it reads its content.
    """
    for code, argument, _ in pickletools.genops(stored):
        if code.name in _MEMO_CODES and argument is not None and argument > MAX_PICKLE_MEMO:
            raise ValueError(f'it numbers an object {argument}, more than {MAX_PICKLE_MEMO}')
