"""`hybrik bag`: recordings in, bags with people out."""

import argparse
import glob
import math
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from hybrik_ros.cli.progress import UNKNOWN, Bar, Count, TimeRemaining
from hybrik_ros.cli.video import degrees
from hybrik_ros.recordings.batch import Results, run_batch
from hybrik_ros.recordings.interrupt import interrupts
from hybrik_ros.recordings.process import Job, Outcome, Processor
from hybrik_ros.recordings.recording import Recording, RecordingError, is_recording
from hybrik_ros.recordings.segments import is_split, remove_parts
from hybrik_ros.recordings.workers import Cluster, LocalWorker, Worker
from hybrik_ros.settings import parse_settings

INTERRUPTED = 130
# Images per second. Stamps have 32 bits for seconds: at this rate, two million images.
_MIN_RATE = 0.001


def add_parser(subparsers: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Add the bag command."""
    parser = subparsers.add_parser(
        'bag',
        help='find the people in recordings, without ROS',
        description='Reads a bag of rosbag2 (mcap or sqlite3, compressed or not, whole or cut '
        'off), a video or a folder of images, every image of it, and writes a bag with '
        '/human_pose, /human_poses and /tf, of the same stamps.',
    )
    parser.add_argument(
        'input', nargs='+', help='a recording; or many, a folder or a pattern of them'
    )
    parser.add_argument(
        '-o',
        '--output',
        type=Path,
        required=True,
        help='the folder of the bag; of many recordings, the folder of their bags',
    )
    parser.add_argument(
        '--resume',
        action='store_true',
        help='go on where an interrupted run stopped (with many recordings it always does)',
    )
    parser.add_argument(
        '--workers',
        type=int,
        metavar='N',
        help='processes that work side by side, on a recording each, or on parts of a long bag, '
        'cut where nobody is in it (default: 1; with --ray, as many as the cluster has CPUs)',
    )
    parser.add_argument(
        '--ray',
        default='',
        metavar='ADDRESS',
        help='let a Ray cluster work, which sees all files by the same paths; needs ray',
    )
    parser.add_argument(
        '--all-topics', action='store_true', help='copy all messages of the bag as well'
    )
    parser.add_argument('--image-topic', default='', metavar='TOPIC', help='(default: found)')
    parser.add_argument(
        '--camera-info-topic',
        default='',
        metavar='TOPIC',
        help='(default: camera_info beside the image topic)',
    )
    parser.add_argument(
        '--camera-info',
        default='',
        metavar='FILE',
        help='calibration in the YAML format of camera_calibration, instead of that in the bag '
        '(default for a video: the file beside it that is named .yaml)',
    )
    parser.add_argument(
        '--field-of-view',
        type=degrees,
        default=0.0,
        metavar='DEGREES',
        help='horizontal, for want of a calibration (default for videos and images: 60)',
    )
    parser.add_argument(
        '--rate', type=rate, default=0.0, help='images a second of a folder (default: 30)'
    )
    parser.add_argument(
        '-p',
        '--param',
        action='append',
        default=[],
        metavar='NAME:=VALUE',
        help='a parameter of the node, such as detector.size:=640; may be given again',
    )
    parser.set_defaults(run=run)


def rate(text: str) -> float:
    """Return a number of images per second."""
    hertz = float(text)
    if not _MIN_RATE <= hertz < math.inf:
        raise argparse.ArgumentTypeError(f'{text} images a second are not {_MIN_RATE} or more')
    return hertz


def run(args: argparse.Namespace) -> int:
    """Process what is asked for; return the exit status, with the reason on stderr if not 0."""
    console = Console(stderr=True)
    try:
        return _run(args, console)
    except (OSError, RuntimeError, ValueError) as error:  # BagError and the like among them.
        print(f'hybrik bag: {error}', file=sys.stderr)
        return 1


def _run(args: argparse.Namespace, console: Console) -> int:
    settings = parse_settings(args.param)
    if args.workers is not None and args.workers < 1:
        raise RecordingError(f'--workers must be at least 1, not {args.workers}')
    recordings, many = recordings_in(args.input)
    jobs = [
        Job(
            Recording(
                recording.absolute(),
                args.image_topic,
                args.camera_info_topic,
                str(Path(args.camera_info).absolute()) if args.camera_info else '',
                args.field_of_view,
                args.rate,
                args.all_topics,
            ),
            output.absolute(),
            settings,
        )
        for recording, output in _outputs(recordings, args.output, many).items()
    ]
    if not many and args.output.exists() and not args.resume:
        raise RecordingError(f'{args.output} exists: choose another output, or add --resume')
    if many or args.ray or (args.workers or 1) > 1 or is_split(jobs[0]):
        return _run_batch(jobs, args, console)
    return _run_one(jobs[0], console)


def recordings_in(inputs: list[str]) -> tuple[list[Path], bool]:
    """Return the recordings that are meant, and whether there may be several.

    Parameters
    ----------
    inputs: recordings, folders that hold recordings, and patterns such as day?/*.mcap.

    Raises
    ------
    RecordingError: there is none at one of them.
    """
    found: list[Path] = []
    for text in inputs:
        path = Path(text)
        if (path.exists() and not path.is_dir()) or (path.is_dir() and is_recording(path)):
            found.append(path)
            continue
        inside = path.iterdir() if path.is_dir() else map(Path, glob.glob(text, recursive=True))
        recordings = sorted(each for each in inside if is_recording(each))
        if not recordings:
            raise RecordingError(f'there is no recording at {text}')
        found += recordings
    return found, len(found) > 1 or found != [Path(text) for text in inputs]


def _outputs(recordings: list[Path], output: Path, many: bool) -> dict[Path, Path]:
    """Return where the bag of each recording goes."""
    if not many:
        return {recordings[0]: output}
    outputs = {each: output / (each.name if each.is_dir() else each.stem) for each in recordings}
    if len(set(outputs.values())) < len(outputs):
        names = [path.name for path in outputs.values()]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise RecordingError(f'several recordings have the same name: {", ".join(twice)}')
    return outputs


def _run_one(job: Job, console: Console) -> int:
    """Process a recording in this process."""
    with interrupts() as stopped:
        with console.status('Loading networks and solver ...'):
            processor = Processor(job.settings)
        with processor, _progress(console) as progress:
            task = progress.add_task(job.recording.path.name, total=UNKNOWN)

            def show(done: int, length: int) -> None:
                progress.update(task, completed=done, total=max(done, length))

            outcome = processor.process(job, stopped.is_set, show)
    _tell(job, outcome, console)
    if not outcome.report.complete:
        return INTERRUPTED
    remove_parts(job)
    return 0


def _run_batch(jobs: list[Job], args: argparse.Namespace, console: Console) -> int:
    """Process recordings by workers, here or on a cluster."""
    settings = jobs[0].settings
    with ExitStack() as stack:
        stopped = stack.enter_context(interrupts())
        workers = args.workers or 1
        hire: Callable[[], Worker] = partial(LocalWorker, settings)
        if args.ray:
            cluster = stack.enter_context(Cluster(args.ray))
            workers = min(args.workers or cluster.cpus, cluster.cpus)
            hire = partial(cluster.hire, settings)
        progress = stack.enter_context(_progress(console))
        parted = workers > len(jobs)
        what = 'looks where nobody is, to cut there' if parted else f'{len(jobs)} recordings'
        task = progress.add_task(what, total=UNKNOWN)
        started = time.monotonic()

        def show(done: int, total: int, images: int, expected: int) -> None:
            text = f'{done} of {total} {"parts" if total > len(jobs) else "recordings"}'
            progress.update(task, completed=images, total=expected or UNKNOWN, description=text)

        results = run_batch(jobs, hire, workers, stopped.is_set, show)
    return _tell_all(jobs, results, time.monotonic() - started, stopped.is_set(), console)


def _tell_all(
    jobs: list[Job], results: Results, seconds: float, interrupted: bool, console: Console
) -> int:
    """Print what came of many jobs; return the exit status."""
    for job in jobs:
        report = results.reports.get(job.output)
        if report is not None:
            _tell(job, Outcome(report), console)
    for path, reason in results.failures.items():
        named = reason if str(path) in reason else f'{path}: {reason}'
        console.print(f'failed: {named}', style='red', markup=False, soft_wrap=True)
    if results.frames:
        hertz = results.frames / seconds
        console.print(f'{results.frames} images this time, {hertz:.1f} a second', highlight=False)
    done = sum(report.complete for report in results.reports.values())
    if interrupted and done < len(jobs):
        console.print(
            f'interrupted: {done} of {len(jobs)} recordings are done; --resume goes on',
            highlight=False,
        )
        return INTERRUPTED
    return 1 if results.failures else 0


def _tell(job: Job, outcome: Outcome, console: Console) -> None:
    """Print what came of a job."""
    report = outcome.report
    for note in report.notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)
    for kind, times in {**report.damage, **report.faults}.items():
        reason = f' ({report.reasons[kind]})' if kind in report.reasons else ''
        console.print(f'left out: {times} x {kind}{reason}', markup=False, soft_wrap=True)
    if not report.frames:
        console.print('interrupted before the first image: there is no bag yet', highlight=False)
        return
    hertz = f', {outcome.frames / outcome.seconds:.1f} a second' if outcome.seconds else ''
    state = '' if report.complete else 'interrupted, to be gone on with by --resume: '
    console.print(
        f'{state}{job.output}: {report.frames} images{hertz}, {report.people} people in them',
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Return the images a second."""
        return Text(f'{task.speed:.1f} images/s' if task.speed else '')


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn('{task.description}'),
        Bar(),
        Count(),
        _RateColumn(),
        TimeRemaining(),
        console=console,
    )
