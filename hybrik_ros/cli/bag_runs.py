"""Run what `hybrik bag` is to process, with progress, and tell the results."""

import argparse
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from rich.progress import Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from hybrik_ros.cli.progress import UNKNOWN, Bar, Count, TimeRemaining
from hybrik_ros.cli.terminal import Terminal
from hybrik_ros.recordings.batch import Results, run_batch
from hybrik_ros.recordings.interrupt import interrupts
from hybrik_ros.recordings.process import Job, Outcome
from hybrik_ros.recordings.report import RecordingReport
from hybrik_ros.recordings.workers import Cluster, LocalWorker, Worker
from hybrik_ros.writing import writing

INTERRUPTED = 130  # exit status after an interrupt: 128 + SIGINT
_MAX_NAMES = 5  # maximum number of recordings that are named in a note about them


def run_jobs_of(
    jobs: list[Job], args: argparse.Namespace, console: Terminal, noun: str
) -> tuple[Results, float, bool]:
    """Process recordings with workers, on this machine or on a cluster.

    Parameters
    ----------
    jobs : list of Job
        The jobs.
    args : argparse.Namespace
        Arguments with workers and ray.
    console : Terminal
        Where progress is shown.
    noun : str
        What the jobs are, in the plural.

    Returns
    -------
    tuple of Results, float and bool
        The results, the duration in seconds, and whether the user interrupted the run.
    """
    settings = jobs[0].settings
    for folder in {job.output.parent for job in jobs}:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stopped = stack.enter_context(interrupts())
        workers = args.workers or 1
        create_worker: Callable[[], Worker] = partial(LocalWorker, settings)
        if args.ray:
            cluster = stack.enter_context(Cluster(args.ray))
            workers = min(args.workers or cluster.cpus, cluster.cpus)
            create_worker = partial(cluster.create_worker, settings)
        progress = stack.enter_context(create_progress(console))
        may_split = workers > len(jobs)
        text = 'searching where to split bags' if may_split else f'{len(jobs)} {noun}'
        task = progress.add_task(text, total=UNKNOWN)
        started = time.monotonic()

        def show(done: int, total: int, images: int, expected: int) -> None:
            text = f'{done} of {total} {"parts" if total > len(jobs) else noun}'
            progress.update(task, completed=images, total=expected or UNKNOWN, description=text)

        results = run_batch(jobs, create_worker, workers, stopped.is_set, show)
    return results, time.monotonic() - started, stopped.is_set()


def print_results(
    jobs: list[Job], results: Results, seconds: float, interrupted: bool, console: Terminal
) -> int:
    """Print the results of many jobs; return the exit status."""
    print_notes(results.reports, console)
    for job in jobs:
        report = results.reports.get(job.output)
        if report is not None:
            print_outcome(job.output, Outcome(report), console)
    for path, reason in results.failures.items():
        text = reason if str(path) in reason else f'{path}: {reason}'
        console.print(f'failed: {text}', style='red', soft_wrap=True)
    if results.frames:
        hertz = results.frames / seconds
        console.print(f'processed {results.frames} images, {hertz:.1f} images/s')
    done = sum(report.complete for report in results.reports.values())
    if interrupted and done < len(jobs):
        console.print(
            f'interrupted: {done} of {len(jobs)} recordings are done; resume with --resume',
            highlight=False,
        )
        return INTERRUPTED
    return 1 if results.failures else 0


def print_outcome(output: Path, outcome: Outcome, console: Terminal) -> None:
    """Print what is in an output, and what is left out."""
    report = outcome.report
    for kind, times in {**report.damage, **report.faults}.items():
        reason = f' ({report.reasons[kind]})' if kind in report.reasons else ''
        console.print(f'left out: {times} x {kind}{reason}', soft_wrap=True)
    if not report.frames:
        console.print('interrupted before the first image: no bag was written')
        return
    hertz = f' ({outcome.frames / outcome.seconds:.1f} images/s)' if outcome.seconds else ''
    state = '' if report.complete else 'interrupted, resume with --resume: '
    images = 'image' if report.frames == 1 else 'images'
    console.print(
        f'{state}{output}: {report.frames} {images}{hertz}, '
        f'{count_people(report.people, report.person_frames)}',
        soft_wrap=True,
    )


def print_notes(reports: Mapping[Path, RecordingReport], console: Terminal) -> None:
    """Print each note once, with the recordings that it is about."""
    about: dict[str, list[str]] = {}
    for output, report in reports.items():
        for note in dict.fromkeys(report.notes):
            about.setdefault(note, []).append(output.name)
    for note, names in about.items():
        which = ''
        if len(reports) > 1:
            are_named = len(names) < len(reports) and len(names) <= _MAX_NAMES
            named = f' ({", ".join(names)})' if are_named else ''
            which = f'{len(names)} of {len(reports)} recordings{named}: '
        console.print(f'{which}{note}', soft_wrap=True)


def count_people(people: int, person_frames: int) -> str:
    """Return numbers of people and of person-frames in words."""
    return (
        f'{people} {"person" if people == 1 else "people"} in {person_frames} '
        f'person-frame{"" if person_frames == 1 else "s"}'
    )


class _RateColumn(ProgressColumn):
    """The rate of a task in images per second."""

    def render(self, task: Task) -> Text:
        """Return the rate of a task."""
        return Text(f'{task.speed:.1f} images/s' if task.speed else '')


def create_progress(console: Terminal) -> Progress:
    """Return a progress bar with the rate of images."""
    return Progress(
        TextColumn('{task.description}', markup=False),
        Bar(),
        Count(),
        _RateColumn(),
        TimeRemaining(),
        console=console,
    )
