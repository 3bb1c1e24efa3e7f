"""`hybrik export`: write HybrIK's own networks as ONNX files."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from rich.table import Table

from hybrik_ros.advice import pip_install
from hybrik_ros.cli.options import given_path
from hybrik_ros.cli.output import fail
from hybrik_ros.cli.pictures import spread_pictures
from hybrik_ros.cli.terminal import Terminal
from hybrik_ros.inference import open_runner
from hybrik_ros.perception import detector, hybrik
from hybrik_ros.perception.detector import PersonDetector
from hybrik_ros.settings import Settings

if TYPE_CHECKING:
    from hybrik_ros.network.export import ExportReport

# Maximum number of calibration pictures; more do not change the ranges of values.
_MAX_PICTURES = 100

_SOURCES = """\
Checkpoints are not part of this package. HybrIK's authors publish them at
https://github.com/Jeff-sjtu/HybrIK (links in the README), with code under the MIT licence. They
were trained on data for non-commercial research, such as Human3.6M and 3DPW, and contain parts of
the SMPL body (https://smpl.is.tue.mpg.de, non-commercial research), which the ONNX file leaves
out. By using them you accept these licences."""


def add_parser(subparsers: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Add the export command."""
    parser = subparsers.add_parser(
        'export',
        help="write one of HybrIK's own networks as ONNX",
        description='Writes a published checkpoint of HybrIK, ResNet-34 or HRNet-W48, as an ONNX '
        'file, after verifying that ONNX Runtime computes the same as torch. Needs torch and onnx, '
        'which no other command except `hybrik bench network` needs.',
        epilog=_SOURCES,
    )
    parser.add_argument(
        'checkpoint',
        nargs='?',
        type=given_path,
        metavar='CHECKPOINT',
        help='.pth file, as published',
    )
    parser.add_argument(
        '-o',
        '--output',
        type=given_path,
        default=Path('hybrik.onnx'),
        metavar='FILE',
        help='.onnx file to write (default: hybrik.onnx)',
    )
    parser.add_argument('--batch', type=int, default=1, metavar='N', help='batch size (default: 1)')
    parser.add_argument(
        '--precision',
        choices=('fp32', 'fp16'),
        default='fp32',
        help='of the layers up to the heatmaps; later layers are fp32 (default: fp32)',
    )
    parser.add_argument(
        '--int8',
        action='store_true',
        help='quantise the layers up to the heatmaps to 8 bits, for ONNX Runtime on the CPU: half '
        'the inference time, joints change by some millimetres; needs --calibration',
    )
    parser.add_argument(
        '--calibration',
        type=given_path,
        metavar='VIDEO|FOLDER',
        help='a video or a folder of pictures of people, similar to those of the camera; a quarter '
        'is held out to measure the error of --int8',
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export a checkpoint; return 0, or 1 with the reason on stderr."""
    if args.checkpoint is None:
        return _refuse('no checkpoint is given')
    if not args.checkpoint.is_file():
        return _refuse(f'there is no file {args.checkpoint}')
    if args.int8 != (args.calibration is not None):
        return fail('hybrik export', '--int8 and --calibration require each other')
    if args.int8 and args.precision != 'fp32':
        return fail('hybrik export', f'--int8 and --precision {args.precision} exclude each other')
    try:
        from hybrik_ros.network.export import export
    except ModuleNotFoundError as error:
        if error.name not in ('torch', 'onnx'):
            raise
        return fail(
            'hybrik export', f'{error.name} is not installed: {pip_install("torch", "onnx")}'
        )
    console = Terminal()
    try:
        precision = 'int8' if args.int8 else args.precision
        pictures = find_people(args.calibration, console) if args.int8 else []
        with console.status('Exporting and verifying, up to a minute, or two for INT8 ...'):
            report = export(args.checkpoint, args.output, args.batch, precision, pictures)
    except (OSError, RuntimeError, ValueError) as error:
        return fail('hybrik export', f'nothing was written: {error}')
    _summarise(report, console)
    console.print(
        f'Written to {args.output}. To use it, set the parameter hybrik.model of the node to this '
        f'path, and body_model to an SMPL file.',
        soft_wrap=True,
    )  # fmt: skip
    return 0


def find_people(source: Path, console: Terminal) -> list[list[NDArray[np.float32]]]:
    """Return crops of the people in each picture of a video or a folder.

    Parameters
    ----------
    source : Path
        A video or a folder of pictures.
    console : Terminal
        Console for the progress.

    Returns
    -------
    list of list of ndarray
        Crops (3, 256, 256) for HybrIK's network, by picture; pictures without people are left out.

    Raises
    ------
    FileNotFoundError
        The file or folder does not exist.
    ValueError
        No people were found.
    """
    settings = Settings()
    found = []
    with open_runner(detector.MODEL) as runner:
        detect = PersonDetector(runner, settings.detector_size, settings.detector_threshold)
        pictures = spread_pictures(source, _MAX_PICTURES)
        for picture in track(pictures, 'Detecting people', console=console, transient=True):
            found.append(
                [hybrik.crop(picture, hybrik.region_around(one.box)) for one in detect(picture)]
            )
    found = [people for people in found if people]
    if not found:
        raise ValueError(
            f'no people were found in {source}: choose pictures that show people in full view'
        )
    return found


def _refuse(reason: str) -> int:
    """Print why there is no checkpoint, and where to find one; return the exit status 1."""
    status = fail('hybrik export', reason)
    print(f'\n{_SOURCES}', file=sys.stderr)
    return status


def _summarise(report: 'ExportReport', console: Terminal) -> None:
    """Print the differences from torch with their limits, and the effect of rounding."""
    operators = ', '.join(report.operators)
    is_int8 = report.title.endswith('int8')
    if is_int8:
        console.print(f'{report.title}: valid ONNX, for ONNX Runtime on the CPU.')
    else:
        console.print(f'{report.title}: valid ONNX. TensorRT 8.5 to 10 support all of {operators}.')
    table = Table('input', 'joints, mm', 'limit', 'other outputs', 'limit')
    table.title = 'Maximum difference between ONNX Runtime and torch' + (
        '' if report.moved_mm is None else ', without rounding'
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
        mean, percentile = report.moved_mm
        images = 'in held-out pictures' if is_int8 else 'in images of noise'
        console.print(
            f'Rounding moves the joints {images} by {mean:.2g} mm (mean) and {percentile:.2g} mm '
            f'(95th percentile).'
        )
