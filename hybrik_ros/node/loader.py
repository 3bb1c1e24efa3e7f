"""Loads a pipeline in a thread, so that the node reports progress and can cancel it."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from rclpy.impl.rcutils_logger import RcutilsLogger

from hybrik_ros.node.logs import RosLog
from hybrik_ros.pipeline import Pipeline

_POLL_SECONDS = 0.1
_PROGRESS_SECONDS = 1.0


class Loader:
    """Loads one pipeline after the other.

    Parameters
    ----------
    logger : RcutilsLogger
        Takes what the package logs meanwhile.
    stopping : threading.Event
        Set when the process is to end.
    """

    def __init__(self, logger: RcutilsLogger, stopping: threading.Event) -> None:
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
    ) -> Pipeline:
        """Return a new pipeline.

        Parameters
        ----------
        is_cancelled : callable
            Asked again and again whether to give up.
        report : callable
            Called every second with the last log message.
        **arguments
            As of Pipeline.create.

        Raises
        ------
        OSError, RuntimeError, ValueError
            The pipeline cannot be loaded, loading was cancelled, or the process is to end.
        """
        loading: Future[Pipeline] = Future()
        with RosLog(self._logger) as log:
            # A daemon: a thread that compiles or builds cannot be stopped, only left alone.
            self._thread = threading.Thread(
                target=_load, args=(loading, self._thread, arguments), name='hybrik loader',
                daemon=True,
            )  # fmt: skip
            self._thread.start()
            reported = time.monotonic()
            while not loading.done():
                if self._stopping.wait(_POLL_SECONDS):
                    raise RuntimeError('interrupted while loading')
                if is_cancelled():
                    loading.cancel()
                    loading.add_done_callback(_close)
                    raise RuntimeError('cancelled')
                if time.monotonic() - reported > _PROGRESS_SECONDS:
                    reported = time.monotonic()
                    report(f'loading: {log.last}')
            return loading.result()


def _load(
    loading: 'Future[Pipeline]', before: threading.Thread | None, arguments: dict[str, Any]
) -> None:
    if before is not None:  # It may have been left alone while it was loading.
        before.join()
    if not loading.set_running_or_notify_cancel():
        return
    try:
        loading.set_result(Pipeline.create(**arguments))
    except BaseException as error:  # The thread that waits raises it.
        loading.set_exception(error)


def _close(loaded: 'Future[Pipeline]') -> None:
    """Free a pipeline that is loaded after the cancellation."""
    if not loaded.cancelled() and loaded.exception() is None:
        loaded.result().close()
