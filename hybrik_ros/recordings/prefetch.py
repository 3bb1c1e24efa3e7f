"""Read ahead: a thread prepares the next items while the current one is used."""

import threading
from collections.abc import Generator, Iterable
from queue import Empty, Queue
from typing import Any, TypeVar

Item = TypeVar('Item')

_MAX_ITEMS = 3  # maximum number of items read ahead; limits the memory
_POLL_SECONDS = 0.2  # maximum wait for the thread to end


def read_ahead(items: Iterable[Item]) -> Generator[Item, None, None]:
    """Yield the same items in the same order, prepared in a thread.

    Parameters
    ----------
    items : iterable
        The items. The thread iterates over them; an exception is raised here again.
    """
    queue: Queue[tuple[str, Any]] = Queue(_MAX_ITEMS)
    stopped = threading.Event()
    thread = threading.Thread(target=_fill, args=(items, queue, stopped), daemon=True)
    thread.start()
    try:
        while True:
            kind, value = queue.get()
            if kind == 'item':
                yield value
            elif kind == 'error':
                raise value
            else:
                return
    finally:
        stopped.set()
        while thread.is_alive():
            try:
                queue.get(timeout=_POLL_SECONDS)
            except Empty:
                continue


def _fill(items: Iterable[Any], queue: Queue, stopped: threading.Event) -> None:
    try:
        for item in items:
            queue.put(('item', item))
            if stopped.is_set():
                return
        queue.put(('end', None))
    except BaseException as error:  # Raised again in the thread that reads the queue.
        queue.put(('error', error))
