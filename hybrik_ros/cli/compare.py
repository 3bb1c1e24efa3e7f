"""`hybrik compare`: in what two bags of the same images differ."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hybrik_ros.bags import BagError
from hybrik_ros.bags.people import People, read_people
from hybrik_ros.comparison import PoseDifference, compare, plot

_MILLIMETRES = 1e3
# Of each row, what it shows of a difference.
_ROWS: dict[str, Callable[[PoseDifference], np.ndarray]] = {
    'joints, mm': lambda found: _MILLIMETRES * found.joints,
    'joints about the pelvis, mm': lambda found: _MILLIMETRES * found.pose,
    'rotations, degrees': lambda found: np.degrees(found.rotations),
    'translation, mm': lambda found: _MILLIMETRES * found.translation,
    'jitter of A, mm a frame²': lambda found: _MILLIMETRES * found.jitter[0],
    'jitter of B, mm a frame²': lambda found: _MILLIMETRES * found.jitter[1],
}


class ComparisonError(ValueError):
    """Two bags cannot be compared; the message says why."""


def add_parser(subparsers: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Add the compare command."""
    parser = subparsers.add_parser(
        'compare',
        help='tell in what the people of two bags differ',
        description='Compares the people in two bags that were made of the same images, frame by '
        'frame: joints, rotations, translation and jitter of each person, in a table and a plot.',
    )
    parser.add_argument('bag_a', type=Path, metavar='BAG_A')
    parser.add_argument('bag_b', type=Path, metavar='BAG_B')
    parser.add_argument(
        '--plot',
        type=Path,
        metavar='FILE',
        help='draw them over time (PNG); needs matplotlib',
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the table and draw the plot; return 0, or 1 with the reason on stderr."""
    console = Console()
    try:
        accounts = [read_people(bag) for bag in (args.bag_a, args.bag_b)]
        differences = compare(accounts[0].frames, accounts[1].frames)
        _check(accounts, differences, args)
        for difference in differences:
            console.print(_table(difference))
        _print_rest(accounts, differences, console)
        if args.plot is not None:
            plot(differences, (args.bag_a.name, args.bag_b.name), args.plot)
            console.print(f'Written to {args.plot}.', markup=False, highlight=False)
        return 0
    except (BagError, ComparisonError, OSError) as error:
        print(f'hybrik compare: {error}', file=sys.stderr)
        return 1


def _check(
    accounts: list[People], differences: list[PoseDifference], args: argparse.Namespace
) -> None:
    if not accounts[0].frames.keys() & accounts[1].frames.keys():
        raise ComparisonError(
            f'{args.bag_a} and {args.bag_b} have no stamp in common: they are not of the same '
            f'images'
        )
    if not differences:
        raise ComparisonError(f'nobody is both in {args.bag_a} and in {args.bag_b}')


def _table(difference: PoseDifference) -> Table:
    first, second = (escape(id) for id in difference.ids)
    frames = difference.frames
    table = Table(
        '', 'median', 'p95', 'most',
        title=f'{first} of A is {second} of B: in {frames[0]} and {frames[1]} frames, '
        f'in {len(difference.stamps)} of both',
    )  # fmt: skip
    for name, row in _ROWS.items():
        values = row(difference)
        values = values[np.isfinite(values)]
        if len(values):
            numbers = np.percentile(values, [50, 95, 100])
            table.add_row(name, *(f'{number:.3f}' for number in numbers))
    return table


def _print_rest(
    accounts: list[People], differences: list[PoseDifference], console: Console
) -> None:
    """Tell who is in one bag alone, and how many frames are."""
    shared = accounts[0].frames.keys() & accounts[1].frames.keys()
    for number, (name, account) in enumerate(zip('AB', accounts, strict=True)):
        known = {difference.ids[number] for difference in differences}
        ids = {human.id for people in account.frames.values() for human in people} - known
        if ids:
            listed = ', '.join(sorted(ids))
            console.print(f'{name} alone has {listed}', markup=False, highlight=False)
        if len(account.frames) > len(shared):
            alone = len(account.frames) - len(shared)
            console.print(f'{name} alone has {alone} of the frames', highlight=False)
        if account.damaged:
            console.print(f'of {name}, {account.damaged} messages are damaged', highlight=False)
