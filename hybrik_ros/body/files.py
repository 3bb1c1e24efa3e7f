"""Safe reading of body files: SMPL's .pkl and .npz, with nothing in them able to run code.

The official SMPL files are Python 2 pickles that hold chumpy arrays and scipy sparse matrices.
A pickle may name any function to be called on loading; here only the few that rebuild arrays
are allowed, and chumpy's classes are read by a stub, so chumpy need not be installed.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Modules were renamed over the years (numpy.core -> numpy._core, scipy.sparse.csc -> _csc);
# files name the old ones. Everything here only allocates or fills arrays.
_ALLOWED = {
    ('builtins', 'set'), ('__builtin__', 'set'), ('builtins', 'bytearray'),
    ('_codecs', 'encode'),
    ('copy_reg', '_reconstructor'), ('copyreg', '_reconstructor'),
    ('__builtin__', 'object'), ('builtins', 'object'),
}  # fmt: skip
_NUMPY_MODULES = {
    'numpy', 'numpy.core.multiarray', 'numpy._core.multiarray', 'numpy.core.numeric',
    'numpy._core.numeric',
}  # fmt: skip
_NUMPY_NAMES = {'ndarray', 'dtype', '_reconstruct', 'scalar', '_frombuffer'}
_SPARSE_NAMES = {'csc_matrix', 'csr_matrix', 'coo_matrix', 'csc_array', 'csr_array', 'coo_array'}


class UnsafeFileError(ValueError):
    """A body file names something that is no array: it may be meant to run code."""


class _ChumpyArray:
    """Stands in for any chumpy object: keeps its state, computes nothing."""

    def __init__(self, *_: Any) -> None:
        self._state: dict[str, Any] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._state = state

    def array(self) -> NDArray[Any]:
        """Return the array that the chumpy object holds."""
        for key in ('x', 'a'):
            if key in self._state:
                return _as_array(self._state[key])
        raise ValueError(f'a chumpy object holds no array: it has {sorted(self._state)}')


class _ArrayUnpickler(pickle.Unpickler):
    """Finds numpy arrays, scipy sparse matrices and chumpy stubs, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if module.split('.')[0] == 'chumpy':
            return _ChumpyArray
        if module in _NUMPY_MODULES and name in _NUMPY_NAMES:
            return super().find_class(module, name)
        if module.startswith('scipy.sparse') and name in _SPARSE_NAMES:
            return super().find_class('scipy.sparse', name)
        if (module, name) in _ALLOWED:
            return super().find_class(module, name)
        raise UnsafeFileError(
            f'the file wants to load {module}.{name}, which is no array. It was not loaded: '
            f'a pickle can run code. Use an original SMPL file, or one saved as .npz.'
        )


def _as_array(value: Any) -> NDArray[Any]:
    if isinstance(value, _ChumpyArray):
        return value.array()
    if hasattr(value, 'toarray'):
        return value.toarray()
    return np.asarray(value)


def read_body_file(path: Path) -> Mapping[str, NDArray[Any]]:
    """Read the named arrays of an SMPL-format body.

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
    if path.suffix == '.npz':
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    if path.suffix == '.pkl':
        with path.open('rb') as stream:
            try:
                content = _ArrayUnpickler(stream, encoding='latin1').load()
            except (pickle.UnpicklingError, EOFError) as error:
                raise ValueError(f'{path} is no readable pickle: {error}') from error
        if not isinstance(content, dict):
            raise ValueError(f'{path} holds no dictionary of arrays')
        return {
            str(name): _as_array(value)
            for name, value in content.items()
            if not isinstance(value, str)
        }
    raise ValueError(f'{path}: a body file is .npz or .pkl, not {path.suffix or "without suffix"}')
