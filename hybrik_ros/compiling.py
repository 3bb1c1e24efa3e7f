"""How the package compiles its inner loops: numba, one thread, without the GIL."""

import logging
import time
from collections.abc import Callable
from typing import Any

import numba
from numba.core import event

_LOGGER = logging.getLogger(__name__)


def compiled(function: Callable[..., Any], *, fused: bool = False) -> Callable[..., Any]:
    """Compile a function at its first call, and keep the code on disk for later processes.

    numba keeps it beside the source or, where that cannot be written, in the user's cache folder;
    NUMBA_CACHE_DIR names another. Where none can be written, every process compiles anew. What
    takes so long, and how long it took, goes to this module's logger as warnings: those show
    where nobody has set up logging.

    fused lets a product and a sum become one instruction, where the machine has one: faster, and
    the last digit may differ from machine to machine.
    """
    options: dict[str, Any] = {'nogil': True, 'fastmath': {'contract'} if fused else False}
    _announcer.kernels.add(function)
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        _announcer.kept = False
        return numba.njit(**options)(function)


class _Announcer(event.Listener):
    """Says what is being compiled; numba holds a lock that long, so one thread at a time."""

    def __init__(self) -> None:
        self.kernels: set[Callable[..., Any]] = set()
        self.kept = True
        self._running = 0  # A kernel compiles those that it calls.
        self._start = 0.0
        self._announced = False

    def on_start(self, event: event.Event) -> None:
        if event.data['dispatcher'].py_func not in self.kernels:
            return
        if not self._announced:
            _LOGGER.warning(
                'hybrik_ros compiles its inner loops for this machine, which takes half a minute '
                'on a PC. %s',
                'Later starts load them.'
                if self.kept
                else 'Every start will: no folder to keep them in can be written. '
                'Set NUMBA_CACHE_DIR to one that can.',
            )
            self._announced = True
        if self._running == 0:
            self._start = time.perf_counter()
        self._running += 1

    def on_end(self, event: event.Event) -> None:
        if event.data['dispatcher'].py_func not in self.kernels:
            return
        self._running -= 1
        if self._running == 0:
            name = event.data['dispatcher'].py_func.__name__.lstrip('_')
            _LOGGER.warning('compiled %s in %.1f s', name, time.perf_counter() - self._start)


_announcer = _Announcer()
event.register('numba:compile', _announcer)
