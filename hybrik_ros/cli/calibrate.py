"""`hybrik calibrate`: find where cameras are, from a person walking in front of them."""

import argparse
from pathlib import Path

from hybrik_ros.cli.bag import rate
from hybrik_ros.cli.calibration import EXTRINSICS, LAUNCH, TOP_VIEW, Goal, conclude
from hybrik_ros.cli.calibration_live import listen
from hybrik_ros.cli.calibration_recordings import RecordedCameras
from hybrik_ros.cli.options import add_param, given_name
from hybrik_ros.cli.output import fail
from hybrik_ros.cli.terminal import Terminal
from hybrik_ros.cli.video import degrees
from hybrik_ros.fusion.extrinsics.files import read_extrinsics
from hybrik_ros.recordings.recording import RecordingError
from hybrik_ros.settings import AUTO, INTRINSICS, parse_settings

_MIN_STATURE, _MAX_STATURE = 0.5, 2.5  # metres
_MAX_SECONDS = 3600


def add_parser(subparsers: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Add the calibrate command."""
    parser = subparsers.add_parser(
        'calibrate',
        help='find where cameras are, from a person walking through their views',
        description='Finds position, direction and clock offset of two cameras or more from the '
        'people that they see, without a board. One person walks for 15 s or longer where the '
        'cameras share their views, visible from head to feet. Writes '
        f'{EXTRINSICS}, {LAUNCH} with static transforms, and {TOP_VIEW}. Without -o, it checks the '
        'extrinsics of a file or of TF; the exit status is 1 if they are wrong.',
    )
    parser.add_argument(
        'input',
        nargs='+',
        type=given_name,
        metavar='INPUT',
        help='a bag with the images of all cameras, or NAME=PATH for each camera: a video, a '
        'folder of images or a bag; with --live, the namespaces of the hybrik_nodes of all cameras',
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument('-o', '--output', type=Path, metavar='FOLDER', help='folder to write')
    group.add_argument(
        '--check',
        type=Path,
        metavar='FILE',
        help=f'check the extrinsics of an earlier {EXTRINSICS}, not those of TF',
    )
    parser.add_argument(
        '--live',
        action='store_true',
        help='listen to human_observations of running nodes, until all cameras have shared a walk '
        'of 15 s, or Ctrl-C',
    )
    parser.add_argument(
        '--seconds',
        type=seconds,
        default=300.0,
        metavar='S',
        help='maximum seconds to listen for (default: 300)',
    )
    parser.add_argument(
        '--stature',
        type=stature,
        metavar='METRES',
        help='stature of the person, which gives the scale; of several people that are seen '
        'often, that of the tallest (default: that of a mean body, with an uncertainty of 6 %%)',
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


def seconds(text: str) -> float:
    """Parse a positive number of seconds, at most an hour.

    Raises
    ------
    ValueError, argparse.ArgumentTypeError
        The text is no number, or out of this range.
    """
    number = float(text)
    if not 0 < number <= _MAX_SECONDS:
        raise argparse.ArgumentTypeError(f'must be from 0 to {_MAX_SECONDS} s, not {text}')
    return number


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Returns
    -------
    int
        Exit status: 0; 1 with the reason on stderr, or if a check finds wrong extrinsics.
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
    known = {} if args.check is None else read_extrinsics(args.check)
    goal = Goal(args.output, args.stature, known)
    if args.live:
        return listen(args, goal, console)
    cameras = RecordedCameras(args)  # Otherwise errors would come after minutes.
    goal = goal.or_known(cameras.known)
    views, body = cameras.observe(settings, console)
    return conclude(views, goal, body, console)
