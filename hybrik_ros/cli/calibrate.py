"""`hybrik calibrate`: find where cameras are, from a person walking in front of them."""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rich.progress import Progress, TextColumn
from rich.table import Table

from hybrik_ros.bags import BagReader
from hybrik_ros.body import BodyModel
from hybrik_ros.cli.bag import rate
from hybrik_ros.cli.fused_bag import named_recordings
from hybrik_ros.cli.options import add_param, given_name
from hybrik_ros.cli.output import fail
from hybrik_ros.cli.pictures import write_picture
from hybrik_ros.cli.progress import UNKNOWN, Bar, Count, TimeRemaining
from hybrik_ros.cli.terminal import Terminal
from hybrik_ros.cli.top_view import draw_top_view
from hybrik_ros.cli.video import degrees
from hybrik_ros.fusion.extrinsics import (
    MAX_OFFSET,
    Extrinsics,
    check_extrinsics,
    estimate_extrinsics,
    shared_seconds,
)
from hybrik_ros.fusion.extrinsics.files import read_extrinsics, to_launch, to_yaml
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.recordings.cameras import find_optical_frames, name_camera
from hybrik_ros.recordings.observing import Observed, observe_people
from hybrik_ros.recordings.recording import Recording, RecordingError, is_bag
from hybrik_ros.recordings.sources import colour_topics
from hybrik_ros.settings import AUTO, INTRINSICS, parse_settings
from hybrik_ros.writing import write_file, writing

EXTRINSICS, LAUNCH, TOP_VIEW = 'extrinsics.yaml', 'extrinsics.launch.py', 'top_view.png'
_FIXED_FRAME = 'map'
# Maximum clock offset of files in seconds: cameras that are started one after the other.
_MAX_FILE_OFFSET = 10.0
_MIN_STATURE, _MAX_STATURE = 0.5, 2.5  # metres


def add_parser(subparsers: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Add the calibrate command."""
    parser = subparsers.add_parser(
        'calibrate',
        help='find where cameras are, from a person walking through their views',
        description='Finds position, direction and clock offset of two cameras or more from the '
        'people that they see, without a board. Record a person walking for 15 s or longer '
        'where the cameras share their views, visible from head to feet. Writes '
        f'{EXTRINSICS}, {LAUNCH} with static transforms, and {TOP_VIEW}.',
    )
    parser.add_argument(
        'input',
        nargs='+',
        type=given_name,
        metavar='RECORDING',
        help='a bag with the images of all cameras, or NAME=PATH for each camera: a video, a '
        'folder of images or a bag',
    )
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument('-o', '--output', type=Path, metavar='FOLDER', help='folder to write')
    group.add_argument(
        '--check',
        type=Path,
        metavar='FILE',
        help=f'check the extrinsics of an earlier {EXTRINSICS} instead',
    )
    parser.add_argument(
        '--stature',
        type=stature,
        metavar='METRES',
        help='stature of the person, which gives the scale (default: that of a mean body, with '
        'an uncertainty of 6 %%)',
    )
    _add_recording_options(parser)
    add_param(parser)
    parser.set_defaults(run=run)


def _add_recording_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to read recordings."""
    parser.add_argument(
        '--field-of-view',
        type=degrees,
        default=0.0,
        metavar='DEGREES',
        help='horizontal field of view, assumed if there is no calibration: camera_info in a bag, '
        'or the file of the same name with suffix .yaml (default for videos and folders: 60)',
    )
    parser.add_argument(
        '--intrinsics',
        choices=INTRINSICS,
        default=AUTO,
        help='intrinsics of the calibration that the images have, as of hybrik bag (default: auto)',
    )
    parser.add_argument(
        '--rate',
        type=rate,
        default=0.0,
        help='images per second of folders with the frames of a video (default: 30)',
    )


def stature(text: str) -> float:
    """Parse a stature in metres.

    Raises
    ------
    ValueError, argparse.ArgumentTypeError
        The text is no number, or no person has this stature.
    """
    metres = float(text)
    if not _MIN_STATURE <= metres <= _MAX_STATURE:
        raise argparse.ArgumentTypeError(
            f'must be from {_MIN_STATURE} to {_MAX_STATURE} m, not {text}'
        )
    return metres


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Returns
    -------
    int
        Exit status: 0, or 1 with the reason on stderr, or if a check finds wrong extrinsics.
    """
    console = Terminal(stderr=True)
    try:
        return _run(args, console)
    except (OSError, RuntimeError, ValueError) as error:
        return fail('hybrik calibrate', error)


def _run(args: argparse.Namespace, console: Terminal) -> int:
    settings = parse_settings(args.param)
    if args.output is not None and args.output.exists():
        raise RecordingError(f'{args.output} exists: choose another output')
    known = None if args.check is None else read_extrinsics(args.check)
    recordings = _recordings(args)
    is_one_bag = len(args.input) == 1
    frame_ids = find_optical_frames(recordings)  # Otherwise errors would come after minutes.
    max_offset = MAX_OFFSET if is_one_bag else _MAX_FILE_OFFSET
    observed, body = _observe(recordings, settings, max_offset, console)
    streams = {name: one.stream for name, one in observed.items()}
    if known is not None:
        agreements = check_extrinsics(streams, known)
        for name, agreement in agreements.items():
            state = 'good' if agreement.is_good else 'wrong: calibrate again'
            console.print(
                f'{name}: {1e3 * agreement.distance:.0f} mm from the others, '
                f'{1e3 * agreement.direction:.0f} mm in one direction: {state}'
            )
        return 0 if all(agreement.is_good for agreement in agreements.values()) else 1
    with console.status('Adjusting cameras and people ...'):
        found = estimate_extrinsics(streams, stature=args.stature, body=body, max_offset=max_offset)
    _tell(found, console)
    write_extrinsics(args.output, found, frame_ids)
    console.print(f'Written to {args.output}.', soft_wrap=True)
    return 0


def _recordings(args: argparse.Namespace) -> dict[str, Recording]:
    """Return the recording of each camera, by its name."""
    options = {
        'field_of_view': args.field_of_view,
        'intrinsics': args.intrinsics,
    }
    if len(args.input) == 1:
        path = Path(args.input[0])
        if not is_bag(path):
            raise RecordingError(
                f'{path} is no bag: give NAME=PATH for the video or folder of each camera'
            )
        with BagReader(path) as reader:
            topics = list(colour_topics(reader.topics))
        if len(topics) < 2:
            raise RecordingError(
                f'{path} has fewer than two topics of colour images ({", ".join(topics) or "none"})'
            )
        return {name_camera(topic): Recording(path, topic, **options) for topic in topics}
    return named_recordings(args.input, args.rate, **options)


def _observe(
    recordings: Mapping[str, Recording],
    settings: dict[str, object],
    max_offset: float,
    console: Terminal,
) -> tuple[dict[str, Observed], BodyModel]:
    """Return what each camera observes; tell how long it shares people with those before."""
    observed: dict[str, Observed] = {}
    with console.status('Loading networks and solver ...'):
        pipeline = Pipeline.create(**settings)  # type: ignore[arg-type]
    with pipeline, _progress(console) as progress:
        for name, recording in recordings.items():
            task = progress.add_task(name, total=UNKNOWN)

            def show(done: int, length: int, task=task) -> None:  # type: ignore[no-untyped-def]
                progress.update(task, completed=done, total=length)

            observed[name] = observe_people(recording, pipeline, show)
            for note in observed[name].notes:
                console.print(f'{name}: {note}', soft_wrap=True)
            for other, seen in list(observed.items())[:-1]:
                seconds = shared_seconds(seen.stream, observed[name].stream, max_offset)
                console.print(f'cameras {other} and {name} have shared {seconds:.1f} s')
        return observed, pipeline.body


def _progress(console: Terminal) -> Progress:
    return Progress(
        TextColumn('{task.description}', markup=False),
        Bar(),
        Count(),
        TimeRemaining(),
        console=console,
    )


def _tell(found: Extrinsics, console: Terminal) -> None:
    """Print cameras, repeatability, health and scale."""
    report, first = found.report, next(iter(found.cameras))
    table = Table('camera', 'x, y, z in m', 'clock offset', 'halves differ by', 'rays miss by')
    for name, pose in found.cameras.items():
        half = report.repeatability.get(name)
        halves = 'unknown'
        if half is not None:
            halves = f'{np.degrees(half.turn):.1f}°, {100 * half.shift:.0f} cm'
        if name == first:
            halves = 'reference'
        table.add_row(
            name,
            ' '.join(f'{value + 0.0:.2f}' for value in pose.frame_from_camera[:3, 3].round(2)),
            f'{1e3 * pose.clock_offset:.0f} ms',
            halves,
            f'{1e3 * report.errors[name]:.0f} mm',
        )
    console.print(table)
    source = 'given' if report.is_stature_given else 'of a mean body of these proportions'
    console.print(
        f'scale: by a stature of {report.scale.stature:.2f} m ({source}), '
        f'uncertain by {100 * report.scale.sigma:.1f} %'
    )
    for note in report.notes:
        console.print(note, soft_wrap=True)


def write_extrinsics(folder: Path, found: Extrinsics, frame_ids: Mapping[str, str]) -> None:
    """Write all files into a new folder; frame_ids has the optical frame of each camera."""
    with writing(folder):
        folder.mkdir(parents=True)
    poses = {name: pose.frame_from_camera for name, pose in found.cameras.items()}
    arguments = found.cameras, frame_ids, _FIXED_FRAME
    write_file(folder / EXTRINSICS, to_yaml(*arguments).encode())
    write_file(folder / LAUNCH, to_launch(*arguments).encode())
    write_picture(folder / TOP_VIEW, draw_top_view(poses, found.report.paths))
