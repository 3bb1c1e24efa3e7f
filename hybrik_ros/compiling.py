"""Compile inner loops with numba: on demand, for one thread, without the GIL, cached on disk.

numba is imported when the first kernel runs: a process that only reads messages never loads it.
"""

import dis
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import cached_property, update_wrapper
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np

_LOGGER = logging.getLogger(__name__)

P = ParamSpec('P')
R = TypeVar('R')

_LIBRARIES = ('numpy', 'math', 'builtins')  # whose functions kernels may use
_LOADS = ('LOAD_GLOBAL', 'LOAD_DEREF')  # instructions that take a value from outside
_creation = threading.RLock()  # numba must see one dispatcher per function.


class Kernel(Generic[P, R]):
    """A function that numba compiles when it is first called.

    The code is kept on disk for later processes: beside the source or, where that cannot be
    written, in the user's cache folder; NUMBA_CACHE_DIR names another. Where no folder can be
    written, every process compiles anew. Compiling is logged as warnings, which show where logging
    is not set up.

    numba itself finds code stale only by the file of its function. Here the key of the cached code
    also holds what the code was made from: the bytecode, the constants, the defaults and the
    options of the function and of all kernels that it calls, whichever files these come from.

    Parameters
    ----------
    function : callable
        Uses numbers, arrays, NumPy and other kernels.
    types : tuple of str
        numba's name for the type of each argument, such as 'float64[:,::1]'.
    fused : bool
        Let a product and a sum become one instruction, where the machine has one: faster, and
        the last digit may differ from machine to machine.
    """

    def __init__(self, function: Callable[P, R], types: tuple[str, ...], fused: bool) -> None:
        update_wrapper(self, function)
        self.function = function
        self.types = types
        self.fused = fused

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the compiled function."""
        result: R = self.dispatcher(*args, **kwargs)
        return result

    @cached_property
    def dispatcher(self) -> Any:
        """Return numba's dispatcher, or the function itself where numba must not compile."""
        with _creation:
            if 'dispatcher' not in vars(self):
                vars(self)['dispatcher'] = _create_dispatcher(self)
            return vars(self)['dispatcher']

    @property
    def _numba_type_(self) -> Any:
        """The type by which numba knows the function where other kernels call it."""
        return self.dispatcher._numba_type_

    def fingerprint(self) -> str:
        """Return a hash of all that the code of the function and of its callees depends on.

        Raises
        ------
        TypeError
            The function uses something other than numbers, strings, arrays, other kernels and the
            functions of NumPy, math and Python: a change of it would not be noticed.
        """
        digest = sha256()
        for part in _ingredients(self.function, self.fused, set()):
            digest.update(part)
        return digest.hexdigest()


# The kernels that Python calls, by module and name.
KERNELS: dict[str, Kernel[..., Any]] = {}


def compiled(function: Callable[P, R]) -> Kernel[P, R]:
    """Compile a function that only other kernels call."""
    return Kernel(function, (), False)


def kernel(*types: str, fused: bool = False) -> Callable[[Callable[P, R]], Kernel[P, R]]:
    """Return a decorator that compiles a function which Python calls, and lists it in KERNELS.

    Parameters
    ----------
    types : str
        numba's name for the type of each argument. The kernel is compiled for other types too,
        but only when it is called with them.
    fused : bool
        As for `Kernel`.
    """

    def decorate(function: Callable[P, R]) -> Kernel[P, R]:
        created = Kernel(function, types, fused)
        KERNELS[f'{function.__module__}.{function.__name__}'] = created
        return created

    return decorate


def floats(dimensions: int) -> str:
    """Return numba's name for the type of a contiguous float64 array."""
    return f'float64[{":," * (dimensions - 1)}::1]'


def compile_kernel(name: str) -> bool:
    """Compile a kernel of KERNELS, or load it where its code is on disk already.

    Returns
    -------
    bool
        Whether it was compiled.
    """
    dispatcher = KERNELS[name].dispatcher
    dispatcher.compile(_signature(KERNELS[name]))
    return not dispatcher.stats.cache_hits


def load_kernels() -> None:
    """Compile or load the kernels of all modules that are imported, unless numba must not."""
    if is_enabled():
        for name in list(KERNELS):  # Another thread may import more meanwhile.
            compile_kernel(name)


def start_loading() -> 'Future[None]':
    """Run `load_kernels` in a thread; the future raises what it raises."""
    loading: Future[None] = Future()

    def load() -> None:
        try:
            load_kernels()
            loading.set_result(None)
        except BaseException as error:  # The thread that waits raises it.
            loading.set_exception(error)

    threading.Thread(target=load, name='hybrik code', daemon=True).start()
    return loading


def require_numba() -> None:
    """Raise a ModuleNotFoundError where numba is not installed, without importing it."""
    if find_spec('numba') is None:
        raise ModuleNotFoundError("No module named 'numba'", name='numba')


def is_enabled() -> bool:
    """Return whether numba compiles; the variable NUMBA_DISABLE_JIT keeps it from that."""
    return os.environ.get('NUMBA_DISABLE_JIT', '0') in ('', '0')


def is_on_disk(name: str) -> bool:
    """Return whether the present code of a kernel of KERNELS is on disk, without loading it."""
    if cache_folder(name) is None:
        return False
    dispatcher = KERNELS[name].dispatcher
    cache = dispatcher._cache
    key = cache._index_key(_signature(KERNELS[name]), dispatcher.targetctx.codegen())
    try:
        return key in cache._cache_file._load_index()
    except Exception:  # It is damaged, see _discard_damaged.
        return False


def cache_folder(name: str) -> str | None:
    """Return the folder in which the code of a kernel of KERNELS is kept; None for nowhere."""
    folder = KERNELS[name].dispatcher.stats.cache_path
    return None if folder is None else str(folder)


def _signature(kernel: Kernel[..., Any]) -> Any:
    """Return the types of a kernel's arguments as a call gives them: numba's cache goes by that."""
    from numba.core import sigutils

    arguments, _ = sigutils.normalize_signature(f'({", ".join(kernel.types)},)')
    return arguments


def _options(is_fused: bool) -> dict[str, Any]:
    """Return numba's options for a kernel."""
    # As in NumPy, a division by zero gives infinity or NaN: a step of the solver that meets one is
    # refused, and the frame goes on.
    fastmath = {'contract'} if is_fused else False
    return {'nogil': True, 'fastmath': fastmath, 'error_model': 'numpy'}


def _create_dispatcher(kernel: Kernel[..., Any]) -> Any:
    import numba
    from numba.core.caching import FunctionCache

    dispatcher: Any = numba.njit(**_options(kernel.fused))(kernel.function)
    if dispatcher is kernel.function:
        return dispatcher
    announcer = _announcer()
    announcer.functions.add(kernel.function)
    try:
        cache: Any = FunctionCache(kernel.function)
    except RuntimeError:  # numba found no folder that can be written.
        announcer.is_kept = False
        return dispatcher
    index_key, fingerprint = cache._index_key, kernel.fingerprint()
    cache._index_key = lambda signature, codegen: (*index_key(signature, codegen), fingerprint)
    _discard_damaged(cache)
    dispatcher._cache = cache
    return dispatcher


def _discard_damaged(cache: Any) -> None:
    """Make numba compile anew what it cannot load, because a disk was full or a power failed."""
    load = cache.load_overload

    def load_whole(signature: Any, context: Any) -> Any:
        try:
            return load(signature, context)
        except Exception as error:  # pickle and LLVM raise nearly any type.
            index = Path(cache._cache_file._index_path)
            _LOGGER.warning('%s is damaged, its code is compiled anew: %s', index, error)
            index.unlink(missing_ok=True)
            return None

    cache.load_overload = load_whole


def _ingredients(
    function: Callable[..., Any], is_fused: bool, seen: set[Callable[..., Any]]
) -> Iterator[bytes]:
    """Yield all that the machine code of a function depends on."""
    seen.add(function)
    yield repr(_options(is_fused)).encode()
    yield _describe(function, (function.__defaults__, *(function.__kwdefaults__ or {}).items()))
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    known = function.__globals__ | dict(zip(function.__code__.co_freevars, cells, strict=True))
    for code in _codes(function.__code__):
        constants = [value for value in code.co_consts if not isinstance(value, CodeType)]
        yield code.co_code + repr(constants).encode()
        for name in _names(code):
            value = known.get(name)
            if not isinstance(value, Kernel):
                yield name.encode() + _describe(function, value, name)
            elif value.function not in seen:
                yield from _ingredients(value.function, value.fused, seen)


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of a function and of the functions in it."""
    yield code
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _codes(value)


def _names(code: CodeType) -> list[str]:
    """Return the names of the values from outside that code uses; attributes have none."""
    loads = (step for step in dis.get_instructions(code) if step.opname in _LOADS)
    return list(dict.fromkeys(step.argval for step in loads))


def _describe(function: Callable[..., Any], value: object, name: str = 'as a default') -> bytes:
    """Return what distinguishes a value that a function uses from others of its type."""
    if isinstance(value, np.ndarray):
        return f'{value.dtype} {value.shape}'.encode() + value.tobytes()
    if isinstance(value, tuple):
        return b'(' + b','.join(_describe(function, item, name) for item in value) + b')'
    if value is None or isinstance(value, (bool, int, float, complex, str, np.generic)):
        return f'{type(value).__name__} {value!r}'.encode()
    if isinstance(value, ModuleType) and value.__name__ in _LIBRARIES:
        return b''  # numba's key has the versions of what it supports.
    if callable(value) and (getattr(value, '__module__', None) or 'numpy') in _LIBRARIES:
        return b''  # ufuncs have no module in older versions of NumPy
    raise TypeError(f'the kernel {function.__name__} uses {name}, a {type(value).__name__}')


class _Announcer:
    """Logs what is being compiled; numba holds a lock meanwhile, so one thread at a time."""

    def __init__(self) -> None:
        self.functions: set[Callable[..., Any]] = set()
        self.is_kept = True
        self._running = 0  # A kernel compiles those that it calls.
        self._start = 0.0
        self._was_announced = False

    def notify(self, event: Any) -> None:
        """Log the start or the end of a compilation."""
        if event.data['dispatcher'].py_func in self.functions:
            (self._on_start if event.is_start else self._on_end)(event)

    def _on_start(self, event: Any) -> None:
        if not self._was_announced:
            _LOGGER.warning(
                'hybrik_ros compiles its inner loops for this machine, which takes half a minute '
                'on a PC. %s',
                'Later starts load them. `hybrik compile` does it beforehand, on all cores.'
                if self.is_kept
                else 'Every start compiles them, because no folder for their code is writable. Set '
                'NUMBA_CACHE_DIR to one that is.',
            )
            self._was_announced = True
        if self._running == 0:
            self._start = time.perf_counter()
        self._running += 1

    def _on_end(self, event: Any) -> None:
        self._running -= 1
        if self._running == 0:
            name = event.data['dispatcher'].py_func.__name__.lstrip('_')
            _LOGGER.warning('compiled %s in %.1f s', name, time.perf_counter() - self._start)


_registered: list[_Announcer] = []


def _announcer() -> _Announcer:
    """Return the one announcer, registered with numba."""
    if not _registered:
        from numba.core import event

        event.Listener.register(_Announcer)  # ABC's: a virtual subclass.
        _registered.append(_Announcer())
        event.register('numba:compile', _registered[0])
    return _registered[0]
