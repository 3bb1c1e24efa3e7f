"""Read ahead: a thread prepares the next items while the current one is used."""

import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from queue import Empty, Queue
from typing import Any, TypeVar

Item = TypeVar('Item')

_MAX_ITEMS = 3  # maximum number of items read ahead; limits the memory
_POLL_SECONDS = 0.2  # maximum time between two looks at whether to stop
_MAX_END_SECONDS = 2.0  # maximum wait for the thread to end


class InterruptedReadingError(Exception):
    """Reading was stopped before its end."""


def read_ahead(
    items: Iterable[Item], stopped: Callable[[], bool] = lambda: False
) -> Generator[Item, None, None]:
    """Yield the same items in the same order, prepared in a thread.

    A thread that waits for a file, and that nothing can wake, is left alone.

    Parameters
    ----------
    items : iterable
        The items. The thread iterates over them; an exception is raised here again.
    stopped : callable
        Called between items and while there is none. When it returns True, no more are yielded.

    Raises
    ------
    InterruptedReadingError
        `stopped` returned True.
    """
    queue: Queue[tuple[str, Any]] = Queue(_MAX_ITEMS)
    ending = threading.Event()
    thread = threading.Thread(target=_fill, args=(items, queue, ending), daemon=True)
    thread.start()
    try:
        while True:
            try:
                kind, value = queue.get(timeout=_POLL_SECONDS)
            except Empty:
                kind, value = 'nothing', None
            if kind == 'end':
                return
            if kind == 'error':
                raise value
            if stopped():
                raise InterruptedReadingError
            if kind == 'item':
                yield value
    finally:
        ending.set()
        until = time.monotonic() + _MAX_END_SECONDS
        while thread.is_alive() and time.monotonic() < until:
            with suppress(Empty):
                queue.get(timeout=_POLL_SECONDS)


def _fill(items: Iterable[Any], queue: Queue, ending: threading.Event) -> None:
    try:
        for item in items:
            queue.put(('item', item))
            if ending.is_set():
                return
        queue.put(('end', None))
    except BaseException as error:  # Raised again in the thread that reads the queue.
        queue.put(('error', error))
