"""`hybrik bag`: process recordings into bags with people."""

import argparse
import os
from pathlib import Path

from hybrik_ros.cli.bag_runs import (
    INTERRUPTED,
    create_progress,
    print_notes,
    print_outcome,
    print_results,
    run_jobs_of,
)
from hybrik_ros.cli.fused_bag import add_fusion_options, is_fusion, run_fusion
from hybrik_ros.cli.options import add_param, given_name
from hybrik_ros.cli.output import fail
from hybrik_ros.cli.progress import UNKNOWN
from hybrik_ros.cli.terminal import Terminal
from hybrik_ros.cli.video import degrees
from hybrik_ros.media.url import is_url
from hybrik_ros.recordings.interrupt import interrupts
from hybrik_ros.recordings.process import Job, Processor, check_job
from hybrik_ros.recordings.recording import (
    Recording,
    RecordingError,
    is_recording,
    recordings_of,
)
from hybrik_ros.recordings.segments import is_split, remove_parts
from hybrik_ros.settings import AUTO, INTRINSICS, parse_settings

# Minimum of --rate in images per second. Stamps have 32 bits for seconds, which at this rate are
# two million images.
_MIN_RATE = 0.001
_MAX_WORKERS = 1024  # more would fill the memory of any machine
_MAX_RATE = 10_000.0  # of high-speed cameras; stamps are whole nanoseconds


def add_parser(subparsers: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Add the bag command."""
    parser = subparsers.add_parser(
        'bag',
        help='write the people in recordings into bags, without ROS',
        description='Processes every image of a rosbag2 bag (mcap or sqlite3, compressed or not, '
        'whole or cut off), a video, a photo or a folder of images, and writes a bag with '
        '/human_pose, /human_poses, /human_observations and /tf, with the stamps of the images. '
        'Several cameras of one recording are fused into one body per person.',
    )
    parser.add_argument(
        'input',
        nargs='+',
        type=given_name,
        help='a recording, or several: paths, a folder with recordings, or patterns; or NAME=PATH '
        'for each camera that is fused',
    )
    parser.add_argument(
        '-o',
        '--output',
        type=Path,
        required=True,
        help='folder of the bag to write; with several recordings, the folder that gets their bags',
    )
    parser.add_argument(
        '--resume',
        action='store_true',
        help='resume an interrupted run (always on with several recordings)',
    )
    parser.add_argument(
        '--workers',
        type=int,
        metavar='N',
        help='number of parallel processes; each processes a recording, or part of a long bag, '
        'which is split where no person is detected (default: 1; with --ray, one per CPU of the '
        'cluster)',
    )
    parser.add_argument(
        '--ray',
        default='',
        metavar='ADDRESS',
        help='run the workers on a Ray cluster, which must see all files at the same paths; '
        'needs ray',
    )
    parser.add_argument(
        '--all-topics', action='store_true', help='copy all messages of the recording too'
    )
    parser.add_argument(
        '--image-topic',
        action='append',
        default=[],
        metavar='TOPIC',
        help='topic of the images (default: the only topic of colour images); repeat it to fuse '
        'several cameras',
    )
    parser.add_argument(
        '--camera-info-topic',
        default='',
        metavar='TOPIC',
        help='topic of the calibration (default: camera_info in the namespace of the image topic)',
    )
    parser.add_argument(
        '--camera-info',
        type=Path,
        metavar='FILE',
        help='calibration in the YAML format of camera_calibration, used instead of camera_info '
        '(default for a video: the file of the same name with suffix .yaml)',
    )
    parser.add_argument(
        '--field-of-view',
        type=degrees,
        default=0.0,
        metavar='DEGREES',
        help='horizontal field of view, assumed if there is no calibration (default for videos and '
        'folders: 60)',
    )
    parser.add_argument(
        '--intrinsics',
        choices=INTRINSICS,
        default=AUTO,
        help='intrinsics of the calibration that the images have: K and D (raw), or P (rectified); '
        'auto takes P if the name of the image topic says that they are rectified (default: auto)',
    )
    parser.add_argument(
        '--rate',
        type=rate,
        default=0.0,
        help='images per second of a folder with the frames of a video (default: 30, if its images '
        'follow each other; otherwise each is processed alone)',
    )
    add_fusion_options(parser)
    add_param(parser)
    parser.set_defaults(run=run)


def rate(text: str) -> float:
    """Parse a rate in images per second.

    Raises
    ------
    ValueError, argparse.ArgumentTypeError
        The text is no number, or the rate is below its minimum or above its maximum.
    """
    hertz = float(text)
    if not _MIN_RATE <= hertz <= _MAX_RATE:
        raise argparse.ArgumentTypeError(
            f'must be from {_MIN_RATE} to {_MAX_RATE:g} images/s, not {text}'
        )
    return hertz


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Returns
    -------
    int
        Exit status: 0, 1 with the reason on stderr, or INTERRUPTED.
    """
    console = Terminal(stderr=True)
    try:
        return _run(args, console)
    except (
        OSError,
        RuntimeError,
        ValueError,
    ) as error:  # Also RecordingError.
        return fail('hybrik bag', error)


def _run(args: argparse.Namespace, console: Terminal) -> int:
    settings = parse_settings(args.param)
    if args.workers is not None and not 1 <= args.workers <= _MAX_WORKERS:
        raise RecordingError(f'--workers must be from 1 to {_MAX_WORKERS}, not {args.workers}')
    if is_fusion(args):
        return run_fusion(args, settings, console)
    recordings, many = recordings_in(args.input)
    jobs = [
        Job(
            Recording(
                recording.absolute(),
                next(iter(args.image_topic), ''),
                args.camera_info_topic,
                str(args.camera_info.absolute()) if args.camera_info else '',
                args.field_of_view,
                args.rate,
                args.all_topics,
                intrinsics=args.intrinsics,
            ),
            output.absolute(),
            settings,
        )
        for recording, output in _outputs(recordings, args.output, many).items()
    ]
    if not many and args.output.exists() and not args.resume:
        raise RecordingError(f'{args.output} exists: choose another output, or add --resume')
    if many or args.ray or (args.workers or 1) > 1 or is_split(jobs[0]):
        results, seconds, interrupted = run_jobs_of(jobs, args, console, 'recordings')
        return print_results(jobs, results, seconds, interrupted, console)
    return _run_one(jobs[0], console)


def recordings_in(inputs: list[str]) -> tuple[list[Path], bool]:
    """Find the recordings.

    Parameters
    ----------
    inputs : list of str
        Recordings, folders with recordings, and patterns such as ``day?/*.mcap``.

    Returns
    -------
    tuple of list of Path and bool
        The recordings, and whether the inputs allow several.

    Raises
    ------
    RecordingError
        One of the inputs has no recording.
    """
    found: list[Path] = []
    for text in inputs:
        if is_url(text):
            raise RecordingError(
                f'{text} is a URL, and recordings are files: download the video, or '
                f'play it for the node with hybrik video'
            )
        path = Path(text)
        if path.is_dir():
            recordings = recordings_of(path)
        elif os.path.lexists(path):  # Opening it reports what is wrong, if anything is.
            recordings = [path]
        else:
            recordings = sorted(filter(is_recording, _paths_like(path)))
        if not recordings:
            hint = '; to fuse NAME=PATH, add --extrinsics FILE' if '=' in text else ''
            raise RecordingError(f'there is no bag, video or folder of images at {text}{hint}')
        found += recordings
    return found, len(found) > 1 or found != [Path(text) for text in inputs]


def _paths_like(pattern: Path) -> set[Path]:
    """Return the paths that match a pattern; * matches no hidden names.

    ** follows no links: in a folder with two links to itself there are more paths than time.
    """
    if pattern.name == '**':
        pattern /= '*'  # Files, too.
    root = Path(pattern.anchor)
    found = root.glob(str(pattern.relative_to(root)))
    return {path for path in found if not _hidden_parts(path) - _hidden_parts(pattern)}


def _hidden_parts(path: Path) -> set[str]:
    return {part for part in path.parts if part.startswith('.')}


def _outputs(recordings: list[Path], output: Path, many: bool) -> dict[Path, Path]:
    """Return the output of each recording."""
    if not many:
        return {recordings[0]: output}
    outputs = {each: output / (each.name if each.is_dir() else each.stem) for each in recordings}
    if len(set(outputs.values())) < len(outputs):
        names = [path.name for path in outputs.values()]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise RecordingError(
            f'several recordings would have the same output: {", ".join(twice)}; '
            f'run the command once for each of them'
        )
    return outputs


def _run_one(job: Job, console: Terminal) -> int:
    """Process one recording in this process."""
    check_job(job)
    with interrupts() as stopped:
        with console.status('Loading networks and solver ...'):
            processor = Processor(job.settings)
        with processor, create_progress(console) as progress:
            task = progress.add_task(job.recording.path.name, total=UNKNOWN)

            def show(done: int, length: int) -> None:
                progress.update(task, completed=done, total=max(done, length))

            outcome = processor.process(job, stopped.is_set, show)
    print_notes({job.output: outcome.report}, console)
    print_outcome(job.output, outcome, console)
    if not outcome.report.complete:
        return INTERRUPTED
    remove_parts(job)
    return 0
