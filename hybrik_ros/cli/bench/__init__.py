"""`hybrik bench`: how fast and how exact the package is on this machine."""

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

from rich.console import Console

from hybrik_ros.cli.bench import bag, footage, kinematics, network, node, perception, soak

# Libraries read these when they are loaded.
THREADS = ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS')


def add_parser(subparsers: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Add the bench command."""
    parser = subparsers.add_parser(
        'bench',
        help='measure speed and accuracy on this machine',
        description='Measures on one thread; prints tables and writes JSON.',
    )
    kinds = parser.add_subparsers(required=True, metavar='WHAT')
    _add_kind(
        kinds,
        'kinematics',
        'solver and body',
        'Times our solver and body beside smplx and a plain numpy transcription, and measures the '
        'solver on the golden poses and on fresh ones. smplx takes part where it is installed, the '
        'transcription and the golden poses in a source tree.',
    ).set_defaults(measure=lambda args, console: kinematics.measure(console))
    _add_kind(
        kinds,
        'network',
        "the networks, HybrIK's own and BlazePose",
        "Times HybrIK's networks, with random weights, in torch and in ONNX Runtime, FP32 and "
        'INT8, BlazePose, and the stages of a whole frame. Takes some minutes; needs torch and '
        'onnx.',
    ).set_defaults(measure=lambda args, console: network.measure(console))
    _add_kind(
        kinds,
        'node',
        'the node between a camera and a listener',
        "Runs the node and sends it the sample clip over DDS: at a camera's rate, and at twice "
        'what it can do. Takes three minutes.',
    ).set_defaults(measure=lambda args, console: node.measure(console))
    soaking = _add_kind(
        kinds,
        'soak',
        'what the node holds on to',
        'Runs the node on the sample clip for minutes, its camera gone now and then, and tells '
        'by how much its memory, threads and descriptors grow.',
    )
    soaking.add_argument(
        '--minutes', type=_minutes, default=10.0, help='after one to warm up (default: 10)'
    )
    soaking.set_defaults(measure=lambda args, console: soak.measure(console, args.minutes))
    recordings = _add_kind(
        kinds,
        'bag',
        'recordings',
        'Times `hybrik bag` on the sample clip as 720p JPEG, beside the pipeline alone and by two '
        'workers, and watches its memory over a long bag, which takes 9 MB of disk for each '
        'second of it.',
    )
    recordings.add_argument(
        '--minutes',
        type=lambda text: 0.0 if text == '0' else _minutes(text),
        default=10.0,
        help='of the long bag; 0 for none (default: 10)',
    )
    recordings.set_defaults(measure=lambda args, console: bag.measure(console, args.minutes))
    whole = _add_kind(
        kinds,
        'perception',
        'the whole way from images to people',
        'Runs the pipeline on footage of real people, which it downloads with pip (60 MB) and '
        'keeps, beside raw BlazePose landmarks. Accuracy is measured in a source tree, which has '
        'the true joints.',
    )
    whole.add_argument(
        '--footage',
        type=Path,
        metavar='FOLDER',
        default=footage.default_folder(),
        help='where the footage is kept (default: %(default)s)',
    )
    whole.add_argument(
        '--pictures', type=Path, metavar='FOLDER', help='draw a contact sheet of every clip there'
    )
    whole.set_defaults(
        measure=lambda args, console: perception.measure(console, args.footage, args.pictures)
    )


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 0 < minutes < inf:
        raise argparse.ArgumentTypeError(f'must be more than 0, not {text}')
    return minutes


def _add_kind(kinds: Any, name: str, help: str, description: str) -> argparse.ArgumentParser:
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


def run(args: argparse.Namespace) -> int:
    """Measure, print tables, write the figures; return the exit status."""
    if any(os.environ.get(name) != '1' for name in THREADS):
        # Their libraries are loaded by now: start over, with the same arguments.
        environment = {**os.environ, **dict.fromkeys(THREADS, '1')}
        return subprocess.call(
            [sys.executable, '-m', 'hybrik_ros.cli', *args.arguments], env=environment
        )
    console = Console()
    try:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.open('a').close()
        if args.pictures is not None:
            args.pictures.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=args.pictures).close()
    except OSError as error:
        console.print(f'Cannot write there: {error}', style='red', markup=False)
        return 1
    try:
        figures = args.measure(args, console)
    except footage.DownloadError as error:
        console.print(str(error), style='red', markup=False, highlight=False)
        return 1
    finally:
        if not args.output.stat().st_size:
            args.output.unlink()
    args.output.write_text(json.dumps(_without_nan(figures), indent=2, allow_nan=False) + '\n')
    console.print(f'Written to {args.output}.', markup=False, highlight=False)
    return 0


def _without_nan(figures: Any) -> Any:
    """Return figures with None in place of NaN, which JSON does not know."""
    if isinstance(figures, dict):
        return {name: _without_nan(value) for name, value in figures.items()}
    return None if isinstance(figures, float) and math.isnan(figures) else figures
