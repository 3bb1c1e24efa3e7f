"""The end of a node on SIGINT and SIGTERM.

rclpy's handlers would invalidate the context at once, so that calls in progress fail, and Python's
would raise an exception anywhere, also during the clean-up.
"""

import signal
import threading

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def stop_on_signals() -> threading.Event:
    """Return an event that SIGINT and SIGTERM set from now on."""
    stopping = threading.Event()
    for number in _SIGNALS:
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def ignore_signals() -> None:
    """Ignore SIGINT and SIGTERM until the process ends.

    At its exit, Python restores the default action of handled signals, but not of ignored ones; a
    second Ctrl-C would then kill the process.
    """
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
