"""Many jobs on many workers: processes here, or actors on a Ray cluster."""

import logging
import os
import signal
import socket
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import get_context, parent_process
from typing import Any

import cv2

from hybrik_ros.bags import BagError
from hybrik_ros.messages.calibration import CalibrationError
from hybrik_ros.recordings.process import Job, Outcome, Processor
from hybrik_ros.recordings.recording import RecordingError
from hybrik_ros.share import MALLOC

_ATTEMPTS = 3  # of a job, each by a worker of its own
# What another worker would find as well.
_FINAL = (RecordingError, BagError, CalibrationError)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_POLL_SECONDS = 0.2
_ANSWER_SECONDS = 5.0


class Worker(ABC):
    """Does one job after the other, in a process of its own; networks are loaded once."""

    @abstractmethod
    def submit(self, job: Job) -> 'Future[Outcome]':
        """Begin a job. The future raises whatever goes wrong, the worker's death included."""

    @abstractmethod
    def progress(self) -> tuple[int, int]:
        """Return how many images of the job are done, of how many; 0 of 0 if that is unknown."""

    @abstractmethod
    def interrupt(self) -> None:
        """Let the job end early."""

    @abstractmethod
    def close(self) -> None:
        """End the worker."""


def run_jobs(
    jobs: Iterable[Job],
    hire: Callable[[], Worker],
    workers: int,
    done: Callable[[Job, Outcome], Iterable[Job]],
    failed: Callable[[Job, str], None],
    stopped: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda images, expected: None,
) -> None:
    """Do all jobs, each once.

    A job that fails, as its worker died, say, is given to a new worker, and the one that failed
    at it is dismissed. Who finds that a recording cannot be read has done their work. Nothing of a
    failed attempt is left, as bags are written aside.

    Parameters
    ----------
    jobs: to be done, in this order as workers become free.
    hire: makes a worker.
    workers: how many there are at the same time.
    done: told of each job that was done; returns what is to be done in consequence.
    failed: told of each job that failed for good, and why.
    stopped: once true, nothing is begun any more, and what is being done ends early.
    progress: told now and then how many images are done, and about how many there are.
    """
    waiting = deque((job, 1) for job in jobs)
    idle: list[Worker] = []
    busy: dict[Future[Outcome], tuple[Worker, Job, int]] = {}
    lengths: list[int] = []  # of what is done, in images that were processed this time
    interrupted = False
    try:
        while busy or (waiting and not interrupted):
            while waiting and len(busy) < workers and not interrupted:
                job, attempt = waiting.popleft()
                worker = idle.pop() if idle else hire()
                busy[_submitted(worker, job)] = worker, job, attempt
            for future in wait(busy, _POLL_SECONDS, FIRST_COMPLETED).done:
                worker, job, attempt = busy.pop(future)
                error = future.exception()
                if error is None:
                    idle.append(worker)
                    outcome = future.result()
                    lengths.append(outcome.frames)
                    waiting.extend((more, 1) for more in done(job, outcome))
                    continue
                cause = getattr(error, 'cause', None) or error  # of what a cluster reports
                if isinstance(cause, _FINAL):
                    idle.append(worker)
                else:
                    worker.close()
                    if interrupted:
                        continue
                    if attempt < _ATTEMPTS:
                        waiting.append((job, attempt + 1))
                        continue
                failed(job, str(cause) or repr(cause))
            progress(*_images(lengths, [worker for worker, *_ in busy.values()], len(waiting)))
            if stopped() and not interrupted:
                interrupted = True
                for worker, *_ in busy.values():
                    worker.interrupt()
    finally:
        for worker, *_ in busy.values():
            worker.interrupt()
            worker.close()
        for worker in idle:
            worker.close()


def _images(lengths: list[int], busy: list[Worker], waiting: int) -> tuple[int, int]:
    """Return how many images are done, and about how many there are; 0 where nothing is known."""
    states = [worker.progress() for worker in busy]
    known = [*lengths, *(length for _, length in states if length)]
    unknown = waiting + len(lengths) + len(states) - len(known)
    expected = sum(known) + unknown * (sum(known) // max(1, len(known)))
    return sum(lengths) + sum(done for done, _ in states), expected


def _submitted(worker: Worker, job: Job) -> 'Future[Outcome]':
    """Begin a job; who has died while idle fails at it."""
    try:
        return worker.submit(job)
    except Exception as error:
        failure: Future[Outcome] = Future()
        failure.set_exception(error)
        return failure


# Processes of this machine.

_stopping = threading.Event()
_processor: Processor | None = None
_state: Any = None  # images that are done, of how many; shared with who asked for it


class LocalWorker(Worker):
    """A process of this machine.

    Parameters
    ----------
    settings: fields of the pipeline's Settings, by name.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        os.environ.update(MALLOC)  # which the process takes over
        spawn = get_context('spawn')
        self._state = spawn.RawArray('Q', 2)  # without a lock, which who is killed would keep
        # A pool of one: who dies takes nobody along.
        self._pool = ProcessPoolExecutor(1, spawn, _begin, (self._state,))
        with _signals_wait():
            self._pid = self._pool.submit(os.getpid)
        self._settings = settings

    def submit(self, job: Job) -> 'Future[Outcome]':
        """Begin a job."""
        self._state[:] = [0, 0]
        return self._pool.submit(partial(_do, self._settings), job)

    def progress(self) -> tuple[int, int]:
        """Return how many images of the job are done, of how many."""
        done, length = self._state[:]
        return done, length

    def interrupt(self) -> None:
        """Let the job end early; what is done of it stays, to be gone on with."""
        with suppress(Exception):  # It may be dead by now.
            os.kill(self._pid.result(), signal.SIGINT)

    def close(self) -> None:
        """End the process."""
        self._pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Have processes that are begun here leave signals alone until they know what to do."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _begin(state: Any) -> None:
    global _state
    _state = state
    for number in _SIGNALS:
        signal.signal(number, lambda *_: _stopping.set())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    cv2.setNumThreads(1)


def _end_with_the_parent() -> None:
    """End this process when that which began it does, be it killed: nobody waits any more."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _do(settings: dict[str, Any], job: Job) -> Outcome:
    global _processor
    if _processor is None:
        _processor = Processor(settings)
    return _processor.process(job, _stopping.is_set, _tell)


def _tell(done: int, length: int) -> None:
    _state[:] = [done, max(done, length)]


# A Ray cluster.


class Cluster:
    """A connection to a Ray cluster; a context manager.

    Its machines need this package, and see recordings and outputs by the same paths.

    Parameters
    ----------
    address: HOST:PORT, or what else ray.init takes.

    Attributes
    ----------
    cpus: how many there are.

    Raises
    ------
    ModuleNotFoundError: ray is missing.
    OSError: there is no cluster.
    """

    def __init__(self, address: str) -> None:
        import ray

        _require_answer(address)
        self._ray: Any = ray
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        self.cpus = int(ray.cluster_resources().get('CPU', 1))

    def __enter__(self) -> 'Cluster':
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()

    def hire(self, settings: dict[str, Any]) -> Worker:
        """Return a worker on one CPU of the cluster."""
        # It tells how far it is while it works.
        actor = self._ray.remote(num_cpus=1, max_concurrency=2)(_Remote).remote(settings)
        return _RayWorker(actor, partial(self._ray.kill, actor))


def _require_answer(address: str) -> None:
    """Raise an OSError at once where nobody answers; Ray would try for a minute."""
    host, separator, port = address.rpartition(':')
    if not (separator and port.isdecimal()) or '//' in address:
        return
    try:
        socket.create_connection((host, int(port)), _ANSWER_SECONDS).close()
    except OSError as error:
        raise OSError(f'no Ray cluster answers at {address} ({error}): ray start --head') from error


class _Remote:
    """What runs on the cluster."""

    def __init__(self, settings: dict[str, Any]) -> None:
        cv2.setNumThreads(1)
        self._processor = Processor(settings)
        self._state = 0, 0

    def process(self, job: Job) -> Outcome:
        self._state = 0, 0
        return self._processor.process(job, progress=self._tell)

    def progress(self) -> tuple[int, int]:
        return self._state

    def _tell(self, done: int, length: int) -> None:
        self._state = done, max(done, length)


class _RayWorker(Worker):
    def __init__(self, actor: Any, kill: Callable[[], None]) -> None:
        self._actor = actor
        self._kill = kill
        self._state = 0, 0
        self._asked: Future[tuple[int, int]] | None = None

    def submit(self, job: Job) -> 'Future[Outcome]':
        """Begin a job."""
        self._state, self._asked = (0, 0), None
        future: Future[Outcome] = self._actor.process.remote(job).future()
        return future

    def progress(self) -> tuple[int, int]:
        """Return how many images of the job were done when the worker last said so."""
        if self._asked is not None and self._asked.done():
            with suppress(Exception):  # It may be dead by now.
                self._state = self._asked.result()
            self._asked = None
        if self._asked is None:
            self._asked = self._actor.progress.remote().future()
        return self._state

    def interrupt(self) -> None:
        """End the worker: what it was doing begins anew the next time."""
        self._kill()

    def close(self) -> None:
        """End the worker."""
        self._kill()
