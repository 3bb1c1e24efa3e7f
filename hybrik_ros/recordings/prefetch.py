"""Reading ahead: the next items are made in a thread while one is used."""

import threading
from collections.abc import Generator, Iterable
from queue import Empty, Queue
from typing import Any, TypeVar

Item = TypeVar('Item')

_DEPTH = 3  # items; what is read ahead is memory
_POLL_SECONDS = 0.2


def read_ahead(items: Iterable[Item]) -> Generator[Item, None, None]:
    """Yield the same items in the same order; what making them raises, is raised here."""
    queue: Queue[tuple[str, Any]] = Queue(_DEPTH)
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
    except BaseException as error:  # Whatever it is belongs to who waits for it.
        queue.put(('error', error))
