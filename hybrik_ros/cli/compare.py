"""`hybrik compare`: compare the people in two bags made from the same images."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.table import Table

from hybrik_ros.bags import BagError
from hybrik_ros.bags.people_reader import People, read_people
from hybrik_ros.cli.output import fail
from hybrik_ros.cli.terminal import Terminal
from hybrik_ros.comparison import PoseDifference, compare, plot
from hybrik_ros.printable import printable
from hybrik_ros.writing import check_not_overwritten

_MILLIMETRES = 1e3  # in a metre
# The values of each row of the table.
_ROWS: dict[str, Callable[[PoseDifference], np.ndarray]] = {
    'MPJPE, mm': lambda found: _MILLIMETRES * found.joints,
    'root-relative MPJPE, mm': lambda found: _MILLIMETRES * found.pose,
    'rotations, degrees': lambda found: np.degrees(found.rotations),
    'translation, mm': lambda found: _MILLIMETRES * found.translation,
    'jitter of A, mm/frame²': lambda found: _MILLIMETRES * found.jitter[0],
    'jitter of B, mm/frame²': lambda found: _MILLIMETRES * found.jitter[1],
}


class ComparisonError(ValueError):
    """Two bags cannot be compared. The message gives the reason."""


def add_parser(subparsers: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Add the compare command."""
    parser = subparsers.add_parser(
        'compare',
        help='compare the people in two bags',
        description='Compares the people in two bags that were made from the same images, frame by '
        'frame: joints, rotations, translation and jitter of each person, in a table and a plot.',
    )
    parser.add_argument('bag_a', type=Path, metavar='BAG_A', help='bag with people')
    parser.add_argument('bag_b', type=Path, metavar='BAG_B', help='bag of the same images')
    parser.add_argument(
        '--plot',
        type=Path,
        metavar='FILE',
        help='plot the differences over time (PNG); needs matplotlib',
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Returns
    -------
    int
        Exit status: 0, or 1 with the reason on stderr.
    """
    console = Terminal()
    try:
        if args.plot is not None:
            check_not_overwritten(args.plot, args.bag_a, args.bag_b)
        bags = [read_people(path) for path in (args.bag_a, args.bag_b)]
        for name, bag in zip('AB', bags, strict=True):
            for line in bag.report():
                print(printable(f'left out in {name}: {line}'), file=sys.stderr)
        _check_frames(bags, args)
        differences = compare(bags[0].frames, bags[1].frames)
        _check(bags, differences, args)
        for difference in differences:
            console.print(_table(difference))
        _print_unmatched(bags, differences, console)
        if args.plot is not None:
            plot(differences, (args.bag_a.name, args.bag_b.name), args.plot)
            console.print(f'Written to {args.plot}.', soft_wrap=True)
        return 0
    except (BagError, ComparisonError, OSError) as error:
        return fail('hybrik compare', error)


def _check_frames(bags: list[People], args: argparse.Namespace) -> None:
    """Refuse to compare people in a fixed frame with people in the frame of a camera."""
    are_fixed = [bag.are_in_fixed_frame for bag in bags]
    if are_fixed[0] != are_fixed[1] and all(any(bag.frames.values()) for bag in bags):
        names = [args.bag_a, args.bag_b]
        raise ComparisonError(
            f'the people of {names[are_fixed.index(True)]} are in a fixed frame, those of '
            f'{names[are_fixed.index(False)]} in that of a camera: choose bags of one kind'
        )


def _check(bags: list[People], differences: list[PoseDifference], args: argparse.Namespace) -> None:
    if not bags[0].frames.keys() & bags[1].frames.keys():
        raise ComparisonError(
            f'{args.bag_a} and {args.bag_b} have no stamp in common, so they cannot be compared: '
            f'choose bags of the same images'
        )
    if not differences:
        raise ComparisonError(
            f'no person is in both {args.bag_a} and {args.bag_b}, so there is nothing to compare'
        )


def _table(difference: PoseDifference) -> Table:
    first, second = difference.ids
    frames = difference.frames
    table = Table(
        '', 'median', 'p95', 'max',
        title=f'{first} of A is {second} of B: {frames[0]} and {frames[1]} frames, '
        f'{len(difference.stamps)} in common',
    )  # fmt: skip
    for name, row in _ROWS.items():
        values = row(difference)
        values = values[np.isfinite(values)]
        if len(values):
            numbers = np.percentile(values, [50, 95, 100])
            table.add_row(name, *(f'{number:.3f}' for number in numbers))
    return table


def _print_unmatched(
    bags: list[People], differences: list[PoseDifference], console: Terminal
) -> None:
    """Print the people and the number of frames that are in one bag only."""
    shared = bags[0].frames.keys() & bags[1].frames.keys()
    for number, (name, bag) in enumerate(zip('AB', bags, strict=True)):
        matched = {difference.ids[number] for difference in differences}
        ids = {human.id for people in bag.frames.values() for human in people} - matched
        if ids:
            listed = ', '.join(sorted(ids))
            console.print(f'only in {name}: {listed}')
        if len(bag.frames) > len(shared):
            alone = len(bag.frames) - len(shared)
            console.print(f'only in {name}: {alone} frames')
