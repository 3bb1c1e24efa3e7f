"""Loads what a node works with in a thread, so that it reports progress and can cancel it."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Generic, TypeVar

from rclpy.impl.rcutils_logger import RcutilsLogger

from hybrik_ros.node.logs import RosLog

_POLL_SECONDS = 0.1
_PROGRESS_SECONDS = 1.0


Loaded = TypeVar('Loaded')


class Loader(Generic[Loaded]):
    """Loads one thing after the other.

    Parameters
    ----------
    create : callable
        Returns what is loaded.
    free : callable
        Frees it, if it is loaded only after the cancellation.
    logger : RcutilsLogger
        Takes what the package logs meanwhile.
    stopping : threading.Event
        Set when the process is to end.
    """

    def __init__(
        self,
        create: Callable[..., Loaded],
        free: Callable[[Loaded], None],
        logger: RcutilsLogger,
        stopping: threading.Event,
    ) -> None:
        self._create = create
        self._free = free
        self._logger = logger
        self._stopping = stopping
        self._thread: threading.Thread | None = None

    @property
    def is_busy(self) -> bool:
        """Whether the thread still loads, even after a cancellation."""
        return self._thread is not None and self._thread.is_alive()

    def load(
        self,
        is_cancelled: Callable[[], bool],
        report: Callable[[str], None],
        **arguments: Any,
    ) -> Loaded:
        """Return what is loaded.

        Parameters
        ----------
        is_cancelled : callable
            Asked again and again whether to give up.
        report : callable
            Called every second with the last log message.
        **arguments
            Passed on to create.

        Raises
        ------
        OSError, RuntimeError, ValueError
            It cannot be loaded, loading was cancelled, or the process is to end.
        """
        loading: Future[Loaded] = Future()
        with RosLog(self._logger) as log:
            # A daemon: a thread that compiles or builds cannot be stopped, only left alone.
            create = partial(self._create, **arguments)
            self._thread = threading.Thread(
                target=_load,
                args=(loading, self._thread, create),
                name='hybrik loader',
                daemon=True,
            )
            self._thread.start()
            reported = time.monotonic()
            while not loading.done():
                if self._stopping.wait(_POLL_SECONDS):
                    raise RuntimeError('interrupted while loading')
                if is_cancelled():
                    loading.cancel()
                    loading.add_done_callback(self._free_late)
                    raise RuntimeError('cancelled')
                if time.monotonic() - reported > _PROGRESS_SECONDS:
                    reported = time.monotonic()
                    report(f'loading: {log.last}')
            return loading.result()

    def _free_late(self, loaded: 'Future[Loaded]') -> None:
        if not loaded.cancelled() and loaded.exception() is None:
            self._free(loaded.result())


def _load(
    loading: 'Future[Loaded]', before: threading.Thread | None, create: Callable[[], Loaded]
) -> None:
    if before is not None:  # It may have been left alone while it was loading.
        before.join()
    if not loading.set_running_or_notify_cancel():
        return
    try:
        loading.set_result(create())
    except BaseException as error:  # The thread that waits raises it.
        loading.set_exception(error)
