"""Run jobs on many workers: processes of this machine, or actors on a Ray cluster."""

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

_MAX_ATTEMPTS = 3  # maximum number of attempts at a job, each by another worker
# Errors that are not retried: they are those of the recording, not of the worker.
_FINAL_ERRORS = (RecordingError, BagError, CalibrationError)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_POLL_SECONDS = 0.2  # maximum interval between two updates of the progress
_MAX_CONNECT_SECONDS = 5.0  # maximum time for a Ray cluster to accept a connection


class Worker(ABC):
    """Runs one job after the other in a process of its own, which loads the networks once."""

    @abstractmethod
    def submit(self, job: Job) -> 'Future[Outcome]':
        """Start a job.

        Parameters
        ----------
        job : Job
            The job.

        Returns
        -------
        Future
            Its outcome, or the exception of the job or of the death of the worker.
        """

    @abstractmethod
    def progress(self) -> tuple[int, int]:
        """Return the numbers of images of the job that are done, and of all; 0 if unknown."""

    @abstractmethod
    def interrupt(self) -> None:
        """End the job early."""

    @abstractmethod
    def close(self) -> None:
        """End the worker."""


def run_jobs(
    jobs: Iterable[Job],
    create_worker: Callable[[], Worker],
    workers: int,
    on_done: Callable[[Job, Outcome], Iterable[Job]],
    on_failed: Callable[[Job, str], None],
    stopped: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda images, expected: None,
) -> None:
    """Run each job once.

    A failed job is retried on a new worker; the failed worker is closed. If the recording of a job
    cannot be read, the job is not retried. A failed attempt leaves no output, because bags are
    written beside it.

    Parameters
    ----------
    jobs : iterable of Job
        The jobs. They are started in this order when workers become free.
    create_worker : callable
        Returns a new worker.
    workers : int
        Maximum number of workers at the same time.
    on_done : callable
        Called with each job that is done and its outcome; returns further jobs to run.
    on_failed : callable
        Called with each job that finally failed, and the reason.
    stopped : callable
        When it returns True, no job is started any more, and running jobs are interrupted.
    progress : callable
        Called now and then with the number of images that are done, and an estimate of their total.
    """
    scheduler = _Scheduler(jobs, create_worker, on_done, on_failed)
    try:
        while scheduler.has_work:
            scheduler.start_jobs(workers)
            scheduler.collect_results()
            progress(*scheduler.count_images())
            if stopped():
                scheduler.interrupt()
    finally:
        scheduler.close()


class _Scheduler:
    """The jobs that are waiting and running, and the workers."""

    def __init__(
        self,
        jobs: Iterable[Job],
        create_worker: Callable[[], Worker],
        on_done: Callable[[Job, Outcome], Iterable[Job]],
        on_failed: Callable[[Job, str], None],
    ) -> None:
        self._create_worker = create_worker
        self._on_done, self._on_failed = on_done, on_failed
        self._waiting = deque((job, 1) for job in jobs)  # with the number of the attempt
        self._idle: list[Worker] = []
        self._running: dict[Future[Outcome], tuple[Worker, Job, int]] = {}
        self._lengths: list[int] = []  # of finished jobs: number of images processed this time
        self._is_interrupted = False

    @property
    def has_work(self) -> bool:
        """Whether a job is running, or still to be started."""
        return bool(self._running or (self._waiting and not self._is_interrupted))

    def start_jobs(self, workers: int) -> None:
        """Start waiting jobs while fewer than this number are running."""
        while self._waiting and len(self._running) < workers and not self._is_interrupted:
            job, attempt = self._waiting.popleft()
            worker = self._idle.pop() if self._idle else self._create_worker()
            self._running[_submit(worker, job)] = worker, job, attempt

    def collect_results(self) -> None:
        """Wait shortly for jobs to end, and take in those that ended."""
        for future in wait(self._running, _POLL_SECONDS, FIRST_COMPLETED).done:
            worker, job, attempt = self._running.pop(future)
            error = future.exception()
            if error is not None:
                self._handle_failure(worker, job, attempt, error)
                continue
            self._idle.append(worker)
            outcome = future.result()
            self._lengths.append(outcome.frames)
            self._waiting.extend((more, 1) for more in self._on_done(job, outcome))

    def _handle_failure(self, worker: Worker, job: Job, attempt: int, error: BaseException) -> None:
        cause = getattr(error, 'cause', None) or error  # Ray wraps the exception of the job.
        if isinstance(cause, _FINAL_ERRORS):
            self._idle.append(worker)
        else:
            worker.close()
            if self._is_interrupted:
                return
            if attempt < _MAX_ATTEMPTS:
                self._waiting.append((job, attempt + 1))
                return
        self._on_failed(job, str(cause) or repr(cause))

    def count_images(self) -> tuple[int, int]:
        """Return the number of images that are done, and an estimate of all; 0 if unknown."""
        lengths = self._lengths
        states = [worker.progress() for worker, *_ in self._running.values()]
        known = [*lengths, *(length for _, length in states if length)]
        unknown = len(self._waiting) + len(lengths) + len(states) - len(known)
        expected = sum(known) + unknown * (sum(known) // max(1, len(known)))
        return sum(lengths) + sum(done for done, _ in states), expected

    def interrupt(self) -> None:
        """Start no further job and interrupt those that are running, once."""
        if self._is_interrupted:
            return
        self._is_interrupted = True
        for worker, *_ in self._running.values():
            worker.interrupt()

    def close(self) -> None:
        """End all workers."""
        for worker, *_ in self._running.values():
            worker.interrupt()
            worker.close()
        for worker in self._idle:
            worker.close()


def _submit(worker: Worker, job: Job) -> 'Future[Outcome]':
    """Start a job; on a worker that died while idle, the job fails."""
    try:
        return worker.submit(job)
    except Exception as error:
        failure: Future[Outcome] = Future()
        failure.set_exception(error)
        return failure


# Processes of this machine.

_stopping = threading.Event()
_processor: Processor | None = None
_state: Any = None  # shared with the parent process: numbers of images done, and of all


class LocalWorker(Worker):
    """A process of this machine.

    Parameters
    ----------
    settings : dict
        Fields of the pipeline's Settings by name.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        os.environ.update(MALLOC)  # inherited by the process
        spawn = get_context('spawn')
        # Without a lock: a process that is killed would not release it.
        self._state = spawn.RawArray('Q', 2)
        # A pool of one process, because the death of a process breaks the whole pool.
        self._pool = ProcessPoolExecutor(1, spawn, _initialise, (self._state,))
        with _blocked_signals():
            self._pid = self._pool.submit(os.getpid)
        self._settings = settings

    def submit(self, job: Job) -> 'Future[Outcome]':
        """Start a job."""
        self._state[:] = [0, 0]
        return self._pool.submit(partial(_run_job, self._settings), job)

    def progress(self) -> tuple[int, int]:
        """Return the numbers of images of the job that are done, and of all; 0 if unknown."""
        done, length = self._state[:]
        return done, length

    def interrupt(self) -> None:
        """End the job early; it can be resumed."""
        with suppress(Exception):  # The process may be dead.
            os.kill(self._pid.result(), signal.SIGINT)

    def close(self) -> None:
        """End the process."""
        self._pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _blocked_signals() -> Iterator[None]:
    """Block signals in processes started here, until they have installed their handlers."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _initialise(state: Any) -> None:
    """Prepare this worker process."""
    global _state
    _state = state
    for number in _SIGNALS:
        signal.signal(number, lambda *_: _stopping.set())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    cv2.setNumThreads(1)


def _exit_with_parent() -> None:
    """Exit this process when its parent ends, even if the parent is killed."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _run_job(settings: dict[str, Any], job: Job) -> Outcome:
    global _processor
    if _processor is None:
        _processor = Processor(settings)
    return _processor.process(job, _stopping.is_set, _report_progress)


def _report_progress(done: int, length: int) -> None:
    _state[:] = [done, max(done, length)]


# A Ray cluster.


class Cluster:
    """A connection to a Ray cluster. A context manager.

    The machines of the cluster need this package, and must see recordings and outputs at the same
    paths.

    Parameters
    ----------
    address : str
        HOST:PORT, or another address that ray.init accepts.

    Attributes
    ----------
    cpus : int
        Number of CPUs of the cluster.

    Raises
    ------
    ModuleNotFoundError
        ray is not installed.
    OSError
        No cluster accepts a connection at the address.
    """

    def __init__(self, address: str) -> None:
        import ray

        _check_connection(address)
        self._ray: Any = ray
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        self.cpus = int(ray.cluster_resources().get('CPU', 1))

    def __enter__(self) -> 'Cluster':
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()

    def create_worker(self, settings: dict[str, Any]) -> Worker:
        """Return a new worker on one CPU of the cluster.

        Parameters
        ----------
        settings : dict
            Fields of the pipeline's Settings by name.
        """
        # The second thread answers requests for the progress.
        actor = self._ray.remote(num_cpus=1, max_concurrency=2)(_Remote).remote(settings)
        return _RayWorker(actor, partial(self._ray.kill, actor))


def _check_connection(address: str) -> None:
    """Raise an OSError at once if no cluster answers; Ray would try for a minute."""
    host, separator, port = address.rpartition(':')
    if not (separator and port.isdecimal()) or '//' in address:
        return
    try:
        socket.create_connection((host, int(port)), _MAX_CONNECT_SECONDS).close()
    except OSError as error:
        raise OSError(
            f'no Ray cluster answers at {address} ({error}): start one with `ray start --head`'
        ) from error


class _Remote:
    """The actor that runs on the cluster."""

    def __init__(self, settings: dict[str, Any]) -> None:
        cv2.setNumThreads(1)
        self._processor = Processor(settings)
        self._state = 0, 0

    def process(self, job: Job) -> Outcome:
        self._state = 0, 0
        return self._processor.process(job, progress=self._report_progress)

    def progress(self) -> tuple[int, int]:
        return self._state

    def _report_progress(self, done: int, length: int) -> None:
        self._state = done, max(done, length)


class _RayWorker(Worker):
    """The worker of an actor."""

    def __init__(self, actor: Any, kill: Callable[[], None]) -> None:
        self._actor = actor
        self._kill = kill
        self._state = 0, 0
        self._request: Future[tuple[int, int]] | None = None

    def submit(self, job: Job) -> 'Future[Outcome]':
        """Start a job."""
        self._state, self._request = (0, 0), None
        future: Future[Outcome] = self._actor.process.remote(job).future()
        return future

    def progress(self) -> tuple[int, int]:
        """Return the last answer of the actor, and request another one."""
        if self._request is not None and self._request.done():
            with suppress(Exception):  # The actor may be dead.
                self._state = self._request.result()
            self._request = None
        if self._request is None:
            self._request = self._actor.progress.remote().future()
        return self._state

    def interrupt(self) -> None:
        """End the worker; its job starts again in the next run."""
        self._kill()

    def close(self) -> None:
        """End the worker."""
        self._kill()
