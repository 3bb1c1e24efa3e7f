"""`hybrik export`: HybrIK's own networks become ONNX files."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hybrik_ros.advice import pip_install
from hybrik_ros.cli.pictures import spread_pictures
from hybrik_ros.inference import open_runner
from hybrik_ros.perception import detector, hybrik
from hybrik_ros.perception.detector import PersonDetector
from hybrik_ros.settings import Settings

if TYPE_CHECKING:
    from hybrik_ros.network.export import ExportReport

# More say no more of how large values get.
_MOST_PICTURES = 100

_SOURCES = """\
Checkpoints are not part of this package. HybrIK's authors publish them at
https://github.com/Jeff-sjtu/HybrIK (links in the README), with code under the MIT licence. They
were trained on data for non-commercial research, such as Human3.6M and 3DPW, and hold parts of
the SMPL body (https://smpl.is.tue.mpg.de, non-commercial research), which the ONNX file leaves
out. Who uses them accepts these licences."""


def add_parser(subparsers: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Add the export command."""
    parser = subparsers.add_parser(
        'export',
        help="write one of HybrIK's own networks as ONNX",
        description='Writes a published checkpoint of HybrIK, ResNet-34 or HRNet-W48, as an ONNX '
        'file, once ONNX Runtime is shown to compute with it what torch does. Needs torch and '
        'onnx, which nothing else here needs.',
        epilog=_SOURCES,
    )
    parser.add_argument(
        'checkpoint', nargs='?', type=Path, metavar='CHECKPOINT', help='.pth file, as published'
    )
    parser.add_argument(
        '-o',
        '--output',
        type=Path,
        default=Path('hybrik.onnx'),
        metavar='FILE',
        help='(default: hybrik.onnx)',
    )
    parser.add_argument(
        '--batch', type=int, default=1, metavar='N', help='images at once (default: 1)'
    )
    parser.add_argument(
        '--precision',
        choices=('fp32', 'fp16'),
        default='fp32',
        help='fp16 ends at the heatmaps, all that follows being fp32 (default: fp32)',
    )
    parser.add_argument(
        '--int8',
        action='store_true',
        help='round to 8 bits up to the heatmaps, for ONNX Runtime on a CPU: half the time, some '
        'millimetres; needs --calibration',
    )
    parser.add_argument(
        '--calibration',
        type=Path,
        metavar='VIDEO|FOLDER',
        help='a video, or a folder of pictures, of people such as the camera will show; some are '
        'held out to measure what --int8 costs',
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export; return 0, or 1 with the reason on stderr."""
    if args.checkpoint is None:
        return _fail(f'name a checkpoint.\n\n{_SOURCES}')
    if not args.checkpoint.is_file():
        return _fail(f'there is no file {args.checkpoint}.\n\n{_SOURCES}')
    if args.int8 != (args.calibration is not None):
        return _fail('--int8 and --calibration go together')
    if args.int8 and args.precision != 'fp32':
        return _fail(f'choose one of --int8 and --precision {args.precision}')
    try:
        from hybrik_ros.network.export import export
    except ModuleNotFoundError as error:
        if error.name not in ('torch', 'onnx'):
            raise
        return _fail(f'{error.name} is not installed: {pip_install("torch", "onnx")}')
    console = Console()
    try:
        precision = 'int8' if args.int8 else args.precision
        pictures = find_people(args.calibration, console) if args.int8 else []
        with console.status('Exporting and comparing, up to a minute; INT8 takes another ...'):
            report = export(args.checkpoint, args.output, args.batch, precision, pictures)
    except (OSError, RuntimeError, ValueError) as error:
        return _fail(f'nothing was written: {error}')
    _summarise(report, console)
    console.print(
        f'Written to {args.output}. The node takes it where its parameter hybrik.model names it; '
        f'name a SMPL file in body_model as well.',
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    return 0


def find_people(source: Path, console: Console) -> list[list[NDArray[np.float32]]]:
    """Return the people in each picture of a video or a folder as HybrIK's network sees them.

    Pictures of nobody are left out.

    Raises
    ------
    FileNotFoundError: there is no such file or folder.
    ValueError: it shows nobody.
    """
    settings = Settings()
    found = []
    with open_runner(detector.MODEL) as runner:
        detect = PersonDetector(runner, settings.detector_size, settings.detector_threshold)
        pictures = spread_pictures(source, _MOST_PICTURES)
        for picture in track(pictures, 'Looking for people', console=console, transient=True):
            found.append(
                [hybrik.crop(picture, hybrik.region_around(one.box)) for one in detect(picture)]
            )
    found = [people for people in found if people]
    if not found:
        raise ValueError(f'{source} shows nobody')
    return found


def _fail(reason: str) -> int:
    print(f'hybrik export: {reason}', file=sys.stderr)
    return 1


def _summarise(report: 'ExportReport', console: Console) -> None:
    """Print what was exported, and how far it may be and is from torch."""
    operators = ', '.join(report.operators)
    is_int8 = report.title.endswith('int8')
    if is_int8:
        console.print(f'{report.title}: valid ONNX, for ONNX Runtime on a CPU.')
    else:
        console.print(f'{report.title}: valid ONNX. TensorRT 8.5 to 10 have all of {operators}.')
    table = Table('given', 'joints, mm', 'limit', 'other outputs', 'limit')
    table.title = 'How far ONNX Runtime is from torch' + (
        '' if report.moved_mm is None else ', rounding apart'
    )
    for name, difference in report.differences.items():
        table.add_row(
            name,
            f'{difference.joint_mm:.4f}',
            f'{difference.max_joint_mm:.4f}',
            f'{difference.other:.1e}',
            f'{difference.max_other:.1e}',
        )
    console.print(table)
    if report.moved_mm is not None:
        mean, worst = report.moved_mm
        where = 'of people in pictures held out' if is_int8 else 'in images of noise'
        console.print(
            f'The rounding moves the joints {where} by {mean:.2g} mm on the mean, by '
            f'{worst:.2g} mm or less in 95 of 100.'
        )
