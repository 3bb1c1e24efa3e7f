"""Many recordings, or a long one, by many workers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from hybrik_ros.recordings.process import Job, Outcome, locked
from hybrik_ros.recordings.recording import is_bag
from hybrik_ros.recordings.report import RecordingReport
from hybrik_ros.recordings.segments import Segments, is_split, remove_parts, split
from hybrik_ros.recordings.workers import Worker, run_jobs


@dataclass
class Results:
    """What came of many jobs.

    Attributes
    ----------
    reports: of what was done, by output; some may not be complete, after an interrupt.
    failures: why others were not, by the recording's path.
    frames: images that were processed this time.
    """

    reports: dict[Path, RecordingReport] = field(default_factory=dict)
    failures: dict[Path, str] = field(default_factory=dict)
    frames: int = 0


def run_batch(
    jobs: Sequence[Job],
    hire: Callable[[], Worker],
    workers: int,
    stopped: Callable[[], bool],
    progress: Callable[[int, int, int, int], None],
) -> Results:
    """Do jobs on recordings; where there are fewer than workers, in parts.

    What is done already is left alone, and what was interrupted gone on with.

    Parameters
    ----------
    jobs: whose outputs differ.
    hire, workers, stopped: as run_jobs takes them.
    progress: told how many jobs and parts of jobs are done, of how many, and how many images, of
        how many as far as is known.
    """
    with ExitStack() as locks:
        results = Results()
        todo, wholes = _divided(jobs, workers, results, stopped, locks)
        _run(todo, wholes, results, hire, workers, stopped, progress)
        return results


def _run(
    todo: Sequence[Job],
    wholes: Mapping[Path, Segments],
    results: Results,
    hire: Callable[[], Worker],
    workers: int,
    stopped: Callable[[], bool],
    progress: Callable[[int, int, int, int], None],
) -> None:
    """Do jobs, and put together what is done in parts."""
    total = len(todo)
    finished = 0

    def done(job: Job, outcome: Outcome) -> Iterable[Job]:
        nonlocal total, finished
        finished += outcome.report.complete
        results.frames += outcome.frames
        more: list[Job] = []
        segments = wholes.get(job.output.parent)
        if segments is None:
            results.reports[job.output] = outcome.report
            if outcome.report.complete:
                remove_parts(job)
        elif outcome.report.complete:
            more = segments.take(job, outcome.report)
            if segments.complete:
                join(segments)
        total += len(more)
        return more

    def join(segments: Segments) -> None:
        whole = segments.whole
        try:
            report = segments.join()
        except (OSError, ValueError) as error:
            results.failures[whole.recording.path] = str(error)
            return
        if report is not None:
            results.reports[whole.output] = report
            if report.complete:
                remove_parts(whole)

    def failed(job: Job, reason: str) -> None:
        results.failures[job.recording.path] = reason

    run_jobs(
        todo, hire, workers, done, failed, stopped,
        lambda images, expected: progress(finished, total, images, expected),
    )  # fmt: skip
    for segments in wholes.values():
        if stopped() and not segments.complete:
            join(segments)


def _divided(
    jobs: Sequence[Job],
    workers: int,
    results: Results,
    stopped: Callable[[], bool],
    locks: ExitStack,
) -> tuple[list[Job], dict[Path, Segments]]:
    """Return what is to be done, and, by the folder of their parts, what of it is in parts."""
    todo: list[Job] = []
    wholes: dict[Path, Segments] = {}
    each = workers // max(1, len(jobs))
    for job in jobs:
        parts = [job]
        try:
            report = RecordingReport.read(job.output)
            begun = is_split(job) and not (report is not None and report.complete)
            if begun or (report is None and each > 1 and is_bag(job.recording.path)):
                lock = locks.enter_context(ExitStack())
                lock.enter_context(locked(job.output))
                parts = split(job, each, stopped)
                if len(parts) == 1:  # Whoever does it locks it.
                    lock.close()
        except (OSError, ValueError) as error:
            results.failures[job.recording.path] = str(error)
            continue
        if len(parts) > 1:
            wholes[parts[0].output.parent] = Segments(job, parts)
        todo.extend(parts)
    return todo, wholes
