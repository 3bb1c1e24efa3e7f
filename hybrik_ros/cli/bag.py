"""`hybrik bag`: recordings in, bags with people out."""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from hybrik_ros.bags import BagError
from hybrik_ros.cli.video import degrees
from hybrik_ros.messages.calibration import CalibrationError
from hybrik_ros.parameters import settings_of
from hybrik_ros.recordings.interrupt import interrupts
from hybrik_ros.recordings.process import Job, Outcome, Processor
from hybrik_ros.recordings.recording import Recording, RecordingError

INTERRUPTED = 130


def add_parser(subparsers: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Add the bag command."""
    parser = subparsers.add_parser(
        'bag',
        help='find the people in recordings, without ROS',
        description='Reads a bag of rosbag2 (mcap or sqlite3, compressed or not, whole or cut '
        'off), a video or a folder of images, every image of it, and writes a bag with '
        '/human_pose, /human_poses and /tf, of the same stamps.',
    )
    parser.add_argument('input', type=Path, nargs='+', help='a recording, or many')
    parser.add_argument('-o', '--output', type=Path, required=True, help='the folder of the bag')
    parser.add_argument(
        '--resume', action='store_true', help='go on where an interrupted run stopped'
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
        '--rate', type=float, default=30.0, help='images a second of a folder (default: 30)'
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


def run(args: argparse.Namespace) -> int:
    """Process what is asked for; return the exit status, with the reason on stderr if not 0."""
    console = Console(stderr=True)
    try:
        return _run(args, console)
    except (RecordingError, BagError, CalibrationError, OSError, RuntimeError, ValueError) as error:
        print(f'hybrik bag: {error}', file=sys.stderr)
        return 1


def _run(args: argparse.Namespace, console: Console) -> int:
    settings = settings_of(args.param)
    recording = Recording(
        args.input[0],
        args.image_topic,
        args.camera_info_topic,
        args.camera_info,
        args.field_of_view,
        args.rate,
        args.all_topics,
    )
    job = Job(recording, args.output, settings)
    if args.output.exists() and not args.resume:
        raise RecordingError(f'{args.output} exists: choose another output, or add --resume')
    with interrupts() as stopped, console.status('Loading networks and solver ...'):
        processor = Processor(settings)
    with processor, interrupts() as stopped, _progress(console) as progress:
        task = progress.add_task(recording.path.name, total=None)

        def show(done: int, length: int) -> None:
            progress.update(task, completed=done, total=max(done, length))

        outcome = processor.process(job, stopped.is_set, show)
    _tell(job, outcome, console)
    return 0 if outcome.report.complete else INTERRUPTED


def _tell(job: Job, outcome: Outcome, console: Console) -> None:
    """Print what came of a job."""
    report = outcome.report
    for note in outcome.notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)
    for kind, times in {**report.damage, **report.faults}.items():
        reason = f' ({report.reasons[kind]})' if kind in report.reasons else ''
        console.print(f'left out: {times} x {kind}{reason}', markup=False, soft_wrap=True)
    rate = f', {outcome.frames / outcome.seconds:.1f} a second' if outcome.seconds else ''
    state = '' if report.complete else 'interrupted, to be gone on with by --resume: '
    console.print(
        f'{state}{job.output}: {report.frames} images{rate}, {report.people} people in them',
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Return the images a second."""
        return Text(f'{task.speed:.1f} images/s' if task.speed else '')


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), _Rate(),
        TimeRemainingColumn(), console=console,
    )  # fmt: skip
