"""`hybrik export`: HybrIK's own networks become ONNX files."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from hybrik_ros.network.export import Report

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
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export; return 0, or 1 with the reason on stderr."""
    if args.checkpoint is None:
        return _fail(f'name a checkpoint.\n\n{_SOURCES}')
    if not args.checkpoint.is_file():
        return _fail(f'there is no file {args.checkpoint}.\n\n{_SOURCES}')
    try:
        from hybrik_ros.network.export import export
    except ModuleNotFoundError as error:
        if error.name not in ('torch', 'onnx'):
            raise
        return _fail(f'{error.name} is missing: pip install torch onnx')
    console = Console()
    try:
        with console.status('Exporting and comparing, up to a minute ...'):
            report = export(args.checkpoint, args.output, args.batch, args.precision)
    except (OSError, RuntimeError, ValueError) as error:
        return _fail(f'nothing was written: {error}')
    _summarise(report, console)
    console.print(
        f'Written to {args.output}. The node takes it where its parameter hybrik.model names it; '
        f'name a SMPL file in body_model as well.',
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    return 0


def _fail(reason: str) -> int:
    print(f'hybrik export: {reason}', file=sys.stderr)
    return 1


def _summarise(report: 'Report', console: Console) -> None:
    """Print what was exported, and how far it may be and is from torch."""
    operators = ', '.join(report.operators)
    console.print(f'{report.title}: valid ONNX. TensorRT 8.5 to 10 have all of {operators}.')
    table = Table('given', 'joints, mm', 'limit', 'other outputs', 'limit')
    table.title = 'How far ONNX Runtime is from torch'
    for name, difference in report.differences.items():
        table.add_row(
            name,
            f'{difference.joint_mm:.4f}',
            f'{difference.max_joint_mm:.4f}',
            f'{difference.other:.1e}',
            f'{difference.max_other:.1e}',
        )
    console.print(table)
