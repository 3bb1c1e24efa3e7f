"""How the package compiles its inner loops: numba, one thread, without the GIL."""

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function at its first call, and keep the code on disk for later processes.

    numba keeps it beside the source or, where that cannot be written, in the user's cache folder.
    Where neither can be, every process compiles anew.
    """
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:
        return numba.njit(nogil=True)(function)
