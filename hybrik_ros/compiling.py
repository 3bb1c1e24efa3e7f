"""How the package compiles its inner loops: numba, one thread, without the GIL."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import event, sigutils

_LOGGER = logging.getLogger(__name__)

# The kernels that Python calls, by module and name, with the types of their arguments.
KERNELS: dict[str, tuple[Any, tuple[str, ...]]] = {}


def compiled(function: Callable[..., Any], *, fused: bool = False) -> Callable[..., Any]:
    """Compile a function at its first call, and keep the code on disk for later processes.

    numba keeps it beside the source or, where that cannot be written, in the user's cache folder;
    NUMBA_CACHE_DIR names another. Where none can be written, every process compiles anew. What
    takes so long, and how long it took, goes to this module's logger as warnings: those show
    where logging is not set up.

    Parameters
    ----------
    function : callable
        Called by other compiled functions only; for those that Python calls, see `kernel`.
    fused : bool
        Let a product and a sum become one instruction, where the machine has one: faster, and
        the last digit may differ from machine to machine.

    Returns
    -------
    callable
        numba's dispatcher, called as the function is.
    """
    # As in NumPy, a division by zero gives infinity or NaN: a step of the solver that meets one is
    # refused, and the frame goes on.
    options: dict[str, Any] = {
        'nogil': True,
        'fastmath': {'contract'} if fused else False,
        'error_model': 'numpy',
    }
    _announcer.functions.add(function)
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        _announcer.kept = False
        return numba.njit(**options)(function)


def kernel(*types: str, fused: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that compiles a function which Python calls, and lists it in KERNELS.

    Parameters
    ----------
    types : str
        numba's name for the type of each argument, such as 'float64[:,::1]'. The kernel is
        compiled for other types too, but only when it is called with them.
    fused : bool
        As for `compiled`.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        dispatcher = compiled(function, fused=fused)
        KERNELS[f'{function.__module__}.{function.__name__}'] = dispatcher, types
        return dispatcher

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
    dispatcher, types = KERNELS[name]
    # numba looks on disk for the very signature that it is given, which a call gives as types.
    arguments, _ = sigutils.normalize_signature(f'({", ".join(types)},)')
    dispatcher.compile(arguments)
    return not dispatcher.stats.cache_hits


def load_kernels() -> None:
    """Compile or load the kernels of all modules that are imported, unless numba must not."""
    if is_enabled():
        for name in list(KERNELS):  # Another thread may import more meanwhile.
            compile_kernel(name)


def is_enabled() -> bool:
    """Tell whether numba compiles; the variable NUMBA_DISABLE_JIT keeps it from that."""
    return os.environ.get('NUMBA_DISABLE_JIT', '0') in ('', '0')


def is_on_disk(name: str) -> bool:
    """Tell whether code of a kernel of KERNELS is on disk, without loading it."""
    folder = cache_folder(name)
    module, _, function = name.rpartition('.')
    pattern = f'{module.rpartition(".")[2]}.{function}-*.nbi'
    return folder is not None and any(Path(folder).glob(pattern))


def cache_folder(name: str) -> str | None:
    """Return the folder in which the code of a kernel of KERNELS is kept; None for nowhere."""
    dispatcher, _ = KERNELS[name]
    folder = dispatcher.stats.cache_path
    return None if folder is None else str(folder)


class _Announcer(event.Listener):
    """Says what is being compiled; numba holds a lock that long, so one thread at a time."""

    def __init__(self) -> None:
        self.functions: set[Callable[..., Any]] = set()
        self.kept = True
        self._running = 0  # A kernel compiles those that it calls.
        self._start = 0.0
        self._announced = False

    def on_start(self, event: event.Event) -> None:
        if event.data['dispatcher'].py_func not in self.functions:
            return
        if not self._announced:
            _LOGGER.warning(
                'hybrik_ros compiles its inner loops for this machine, which takes half a minute '
                'on a PC. %s',
                'Later starts load them. `hybrik compile` does it beforehand, on all cores.'
                if self.kept
                else 'Every start will: no folder to keep them in can be written. '
                'Set NUMBA_CACHE_DIR to one that can.',
            )
            self._announced = True
        if self._running == 0:
            self._start = time.perf_counter()
        self._running += 1

    def on_end(self, event: event.Event) -> None:
        if event.data['dispatcher'].py_func not in self.functions:
            return
        self._running -= 1
        if self._running == 0:
            name = event.data['dispatcher'].py_func.__name__.lstrip('_')
            _LOGGER.warning('compiled %s in %.1f s', name, time.perf_counter() - self._start)


_announcer = _Announcer()
event.register('numba:compile', _announcer)
