"""A time limit for the end of a process after a signal.

Handlers of signals in Python run between two instructions of the main thread. While a library
waits there, for a network file system or an endless query, no handler runs, and a program that
only sets a flag in its handler never looks at it while it waits. A supervisor sends one signal.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Maximum time in seconds from a signal to the end of the process. `docker stop` kills after 10 s.
SECONDS = 8.0
_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_END = b'\0'  # no signal has the number 0

_extended = threading.Event()


@contextmanager
def ends_after_signal(name: str, seconds: float = SECONDS) -> Iterator[None]:
    """End the process if it still runs some time after SIGHUP, SIGINT or SIGTERM.

    Signals with the default action end the process at once, as always, and ignored ones never.
    To be used in the main thread.

    Parameters
    ----------
    name : str
        Name of the program for the message.
    seconds : float
        Maximum time from the signal to the end of the context, in seconds.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    # Python's own handler in C writes the number of each signal there, whatever the threads do.
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    finished = threading.Event()
    thread = threading.Thread(
        target=_watch, args=(reading, finished, name, seconds), name='hybrik deadline', daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        finished.set()
        os.write(writing, _END)
        thread.join()
        os.close(writing)
        os.close(reading)


@contextmanager
def extended() -> Iterator[None]:
    """Suspend the limit while results are written that would be lost otherwise."""
    _extended.set()
    try:
        yield
    finally:
        _extended.clear()


def _watch(reading: int, finished: threading.Event, name: str, seconds: float) -> None:
    while (byte := os.read(reading, 1)) != _END:
        if byte[0] not in _SIGNALS:
            continue
        while not finished.wait(seconds):
            if not _extended.is_set():
                text = f'{name}: still busy {seconds:.0f} s after a signal: ended\n'
                os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, text.encode())
                os._exit(128 + byte[0])
        return
