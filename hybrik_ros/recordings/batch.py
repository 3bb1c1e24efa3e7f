"""Process many recordings, or the parts of a long one, with many workers."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from hybrik_ros.deadline import extended
from hybrik_ros.recordings.process import Job, Outcome, locked
from hybrik_ros.recordings.recording import is_bag
from hybrik_ros.recordings.report import RecordingReport
from hybrik_ros.recordings.segments import Segments, is_split, remove_parts, split
from hybrik_ros.recordings.workers import Worker, run_jobs


@dataclass
class Results:
    """The results of many jobs.

    Attributes
    ----------
    reports : dict
        Reports by output; after an interrupt some are not complete.
    failures : dict
        Reasons of failed jobs by the path of their recording.
    frames : int
        Number of images that were processed this time.
    """

    reports: dict[Path, RecordingReport] = field(default_factory=dict)
    failures: dict[Path, str] = field(default_factory=dict)
    frames: int = 0


def run_batch(
    jobs: Sequence[Job],
    create_worker: Callable[[], Worker],
    workers: int,
    stopped: Callable[[], bool],
    progress: Callable[[int, int, int, int], None],
) -> Results:
    """Process recordings; if there are fewer of them than workers, split bags into parts.

    Complete outputs are left as they are, and interrupted ones are resumed.

    Parameters
    ----------
    jobs : sequence of Job
        The jobs, with different outputs.
    create_worker, workers, stopped : callable, int, callable
        As of `run_jobs`.
    progress : callable
        Called now and then with the number of jobs and parts that are done, their total, the
        number of images that are done, and the estimate of their total.

    Returns
    -------
    Results
        Reports and failures.
    """
    with ExitStack() as locks:
        batch = _Batch()
        batch.plan(jobs, workers, stopped, locks)
        run_jobs(
            batch.todo, create_worker, workers, batch.finish, batch.fail, stopped,
            lambda images, expected: progress(batch.finished, batch.total, images, expected),
        )  # fmt: skip
        for segments in batch.divided.values():
            if stopped() and not segments.complete:
                batch.join(segments)
        return batch.results


class _Batch:
    """The progress of a batch.

    Attributes
    ----------
    todo : list of Job
        The jobs, or the parts of jobs, that are to be run.
    divided : dict
        The Segments of jobs that are divided, by the folder of their parts.
    results : Results
        The results so far.
    finished, total : int
        Number of jobs and parts that are done, and of all.
    """

    def __init__(self) -> None:
        self.todo: list[Job] = []
        self.divided: dict[Path, Segments] = {}
        self.results = Results()
        self.finished = 0
        self.total = 0

    def plan(
        self, jobs: Sequence[Job], workers: int, stopped: Callable[[], bool], locks: ExitStack
    ) -> None:
        """Add the jobs or their parts to `todo`; lock the outputs of divided jobs."""
        max_parts = workers // max(1, len(jobs))
        for job in jobs:
            try:
                parts = _divide(job, max_parts, stopped, locks)
            except (OSError, ValueError) as error:
                self.fail(job, str(error))
                continue
            if len(parts) > 1:
                self.divided[parts[0].output.parent] = Segments(job, parts)
            self.todo.extend(parts)
        self.total = len(self.todo)

    def finish(self, job: Job, outcome: Outcome) -> Iterable[Job]:
        """Take in a result; return parts that must be processed again."""
        self.finished += outcome.report.complete
        self.results.frames += outcome.frames
        more: list[Job] = []
        segments = self.divided.get(job.output.parent)
        if segments is None:
            self.results.reports[job.output] = outcome.report
            if outcome.report.complete:
                remove_parts(job)
        elif outcome.report.complete:
            more = segments.add_report(job, outcome.report)
            if segments.complete:
                self.join(segments)
        self.total += len(more)
        return more

    def fail(self, job: Job, reason: str) -> None:
        """Take in a failure."""
        self.results.failures[job.recording.path] = reason

    def join(self, segments: Segments) -> None:
        """Join the parts of a job, and take in the result."""
        whole = segments.whole
        try:
            with extended():  # It copies whole bags.
                report = segments.join()
        except (OSError, ValueError) as error:
            self.fail(whole, str(error))
            return
        if report is not None:
            self.results.reports[whole.output] = report
            if report.complete:
                remove_parts(whole)


def _divide(job: Job, max_parts: int, stopped: Callable[[], bool], locks: ExitStack) -> list[Job]:
    """Return the parts of a job; lock its output if there are several."""
    report = RecordingReport.read(job.output)
    has_parts = is_split(job) and not (report is not None and report.complete)
    if not (has_parts or (report is None and max_parts > 1 and is_bag(job.recording.path))):
        return [job]
    lock = locks.enter_context(ExitStack())
    lock.enter_context(locked(job.output))
    parts = split(job, max_parts, stopped)
    if len(parts) == 1:  # The worker that processes it locks the output.
        lock.close()
    return parts
