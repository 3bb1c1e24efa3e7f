"""`hybrik bench`: measure speed and accuracy of the package on this machine."""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from math import inf
from pathlib import Path
from typing import Any

from hybrik_ros.cli.bench import (
    bag,
    detection,
    footage,
    fusion,
    kinematics,
    network,
    node,
    perception,
    soak,
)
from hybrik_ros.cli.bench.packages import DownloadError
from hybrik_ros.cli.terminal import Terminal
from hybrik_ros.untrusted import check_regular
from hybrik_ros.writing import write_file

# Environment variables for the number of threads, which libraries read when they are loaded.
THREADS = ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS')


def add_parser(subparsers: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Add the bench command."""
    parser = subparsers.add_parser(
        'bench',
        help='measure speed and accuracy on this machine',
        description='Measures on one thread, prints tables and writes JSON.',
    )
    kinds = parser.add_subparsers(required=True, metavar='WHAT')
    _add_kind(
        kinds,
        'kinematics',
        'solver and body',
        'Times the solver and the body model, and for comparison smplx and a plain numpy '
        'transcription, and measures the accuracy of the solver on the golden poses and on random '
        'ones. smplx is included if it is installed, the transcription and the golden poses in a '
        'source tree.',
    ).set_defaults(measure=lambda args, console: kinematics.measure(console))
    _add_kind(
        kinds,
        'network',
        "inference time of HybrIK's networks and BlazePose",
        "Times HybrIK's networks, with random weights, in torch and in ONNX Runtime, FP32 and "
        'INT8, BlazePose, and the stages of a frame. Takes some minutes; needs torch and onnx.',
    ).set_defaults(measure=lambda args, console: network.measure(console))
    _add_kind(
        kinds,
        'node',
        'latency of the node between a camera and a subscriber',
        'Runs the node and sends it the sample clip over DDS, at the rate of a camera and at twice '
        'the maximum rate of the node. Takes three minutes.',
    ).set_defaults(measure=lambda args, console: node.measure(console))
    soaking = _add_kind(
        kinds,
        'soak',
        'growth of memory, threads and descriptors of the node',
        'Runs the node on the sample clip for some minutes, with interruptions of the camera, and '
        'measures the growth of its memory, threads and file descriptors.',
    )
    soaking.add_argument(
        '--minutes',
        type=minutes,
        default=10.0,
        help='duration after a warm-up of 1.5 minutes (default: 10)',
    )
    soaking.set_defaults(measure=lambda args, console: soak.measure(console, args.minutes))
    recordings = _add_kind(
        kinds,
        'bag',
        'speed and memory of `hybrik bag`',
        'Times `hybrik bag` on the sample clip as 720p JPEG, the pipeline alone, and two workers, '
        'and measures the memory during a long bag, which takes 9 MB of disk per second of its '
        'duration.',
    )
    recordings.add_argument(
        '--minutes',
        type=optional_minutes,
        default=10.0,
        help='duration of the long bag; 0 leaves it out (default: 10)',
    )
    recordings.set_defaults(measure=lambda args, console: bag.measure(console, args.minutes))
    whole = _add_kind(
        kinds,
        'perception',
        'accuracy and speed of the pipeline on real footage',
        'Runs the pipeline and, for comparison, raw BlazePose landmarks on footage of real people, '
        'which it downloads with pip (60 MB) and keeps: accuracy, reliability of the confidence, '
        'ghosts, delay to the first detection, and speed. Takes about ten minutes. Accuracy and '
        'reliability are measured in a source tree, which contains the ground truth. With '
        '--stills, it counts the people found in pictures instead, which it downloads with pip, '
        'npm and apt-get (350 MB, of which it keeps 17 MB).',
    )
    _add_footage(whole)
    whole.add_argument(
        '--pictures',
        type=Path,
        metavar='FOLDER',
        help='folder for a contact sheet of every clip and the reliability diagram, or for the '
        'stills with the people drawn in',
    )
    whole.add_argument(
        '--stills', action='store_true', help='count the people found in pictures instead'
    )
    whole.set_defaults(
        measure=lambda args, console: (detection if args.stills else perception).measure(
            console, args.footage, args.pictures
        )
    )
    several = _add_kind(
        kinds,
        'fusion',
        'accuracy and speed of the fusion of several cameras on real footage',
        'Runs the pipeline on footage of one and two people in four cameras, which it downloads '
        'with pip (60 MB) and keeps, and fuses every set of cameras: accuracy, beside other '
        'methods, people found, what faults of the cameras cost, and speed. Takes about five '
        'minutes, in a source tree, which contains the ground truth.',
    )
    _add_footage(several)
    several.add_argument(
        '--pictures',
        type=Path,
        metavar='FOLDER',
        help='folder for the fused people, drawn into all cameras and from above',
    )
    several.set_defaults(
        measure=lambda args, console: fusion.measure(console, args.footage, args.pictures)
    )


def minutes(text: str) -> float:
    """Parse a positive number of minutes."""
    minutes = float(text)
    if not 0 < minutes < inf:
        raise argparse.ArgumentTypeError(f'must be more than 0, not {text}')
    return minutes


def optional_minutes(text: str) -> float:
    """Parse a number of minutes, which may be 0."""
    return 0.0 if text == '0' else minutes(text)


def _add_kind(kinds: Any, name: str, help: str, description: str) -> argparse.ArgumentParser:
    """Add a subcommand with the options of all kinds."""
    parser: argparse.ArgumentParser = kinds.add_parser(name, help=help, description=description)
    output = f'bench_{name}.json'
    parser.add_argument(
        '--output',
        type=Path,
        default=Path(output),
        help=f'JSON file for the figures (default: {output})',
    )
    parser.set_defaults(run=run, what=name, pictures=None)
    return parser


def _add_footage(parser: argparse.ArgumentParser) -> None:
    """Add the option for the folder of the footage."""
    parser.add_argument(
        '--footage',
        type=Path,
        metavar='FOLDER',
        default=footage.default_folder(),
        help='folder for the footage (default: %(default)s)',
    )


def run(args: argparse.Namespace) -> int:
    """Measure, print tables and write the figures; return the exit status."""
    if any(os.environ.get(name) != '1' for name in THREADS):
        # The libraries are loaded already: repeat the command in a new process.
        environment = {**os.environ, **dict.fromkeys(THREADS, '1')}
        return subprocess.call(
            [sys.executable, '-m', 'hybrik_ros.cli', *args.arguments], env=environment
        )
    console = Terminal()
    try:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        if args.output.exists():
            check_regular(args.output)  # Afterwards, it is removed if nothing was measured.
        args.output.open('a').close()
        if args.pictures is not None:
            args.pictures.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=args.pictures).close()
    except OSError as error:
        console.print(f'The output cannot be written: {error}', style='red', markup=False)
        return 1
    try:
        figures = args.measure(args, console)
    except DownloadError as error:
        console.print(str(error), style='red', markup=False, highlight=False)
        return 1
    finally:
        if not args.output.stat().st_size:
            args.output.unlink()
    text = json.dumps(_without_nan(figures), indent=2, allow_nan=False)
    write_file(args.output, f'{text}\n'.encode())
    console.print(f'Written to {args.output}.', markup=False, highlight=False)
    return 0


def _without_nan(figures: Any) -> Any:
    """Return figures with None in place of NaN and infinity, which JSON does not have."""
    if isinstance(figures, dict):
        return {name: _without_nan(value) for name, value in figures.items()}
    return None if isinstance(figures, float) and not math.isfinite(figures) else figures
