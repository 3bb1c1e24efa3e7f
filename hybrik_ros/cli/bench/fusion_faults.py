"""What faults of cameras cost the fusion: wrong extrinsics and clocks, loss, half bodies, turns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Column, Table

from hybrik_ros.arrays import Array
from hybrik_ros.cli.bench.fused_runs import FusedRun, fuse, identify
from hybrik_ros.cli.bench.fusion_accuracy import (
    accuracy,
    fused_joints,
    joints_of,
    mean_of,
    name_set,
    subsets,
)
from hybrik_ros.cli.bench.fusion_calibration import calibrate
from hybrik_ros.cli.bench.fusion_pair import pair_figures
from hybrik_ros.cli.bench.fusion_turns import TIMINGS
from hybrik_ros.cli.bench.measures import mean_distance, switches
from hybrik_ros.cli.bench.runs import Run
from hybrik_ros.fusion.extrinsics import ExtrinsicsError
from hybrik_ros.rotations import from_rotation_vector

# Errors of the extrinsics of each camera, in degrees and metres, in any direction.
_EXTRINSICS = ((0.25, 0.005), (0.5, 0.01), (1.0, 0.02), (2.0, 0.04), (4.0, 0.08))
_DRAWS = 4  # of these directions for all cameras
_STATURE = 1.69  # metres of the man, by the given extrinsics
_CLOCKS = (1, 2, 4, 6, 12)  # frames by which every second camera is late
_LOSSES = ((1, 3), (2, 4), (1, 2, 3), (1, 2, 3, 4))  # cameras, of which the last one is lost
_LOSS_SECONDS = 0.2  # in which a body may leave its place after the loss
_PERIODS = (4, 8)  # frames between two images of one camera of those that take turns
_ERRORS = ('frames', 'abs', 'root', 'PA')
_SHARES = ('frames', 'two people: both')

Figures = dict[str, dict[str, Any]]


def disturb(run: Run, degrees: float, metres: float, random: np.random.Generator) -> Run:
    """Return a run of a camera whose extrinsics are wrong by an angle and a length."""
    assert run.clip.extrinsics is not None
    rotation, translation = run.clip.extrinsics
    axis, direction = random.normal(size=(2, 3))
    turned = from_rotation_vector(np.radians(degrees) * axis / np.linalg.norm(axis)) @ rotation
    centre = -rotation.T @ translation + metres * direction / np.linalg.norm(direction)
    return replace(run, clip=replace(run.clip, extrinsics=(turned, -turned @ centre)))


def measure(
    console: Console,
    runs: Sequence[Run],
    halves: Mapping[int, Run],
    pair: Sequence[Run],
    man: Array,
    woman: Array,
) -> dict[str, Figures]:
    """Return the figures of all faults; print tables.

    Parameters
    ----------
    console : Console
        Console for tables and progress.
    runs : sequence of Run
        Run of each camera over the man's clip.
    halves : mapping
        Runs over pictures that are cut at the hips, by number of the camera.
    pair : sequence of Run
        Run of each camera over the clip of two people.
    man, woman : ndarray
        Their joints (frames, 12, 3) in metres in the world.
    """
    tables: dict[str, tuple[str, Callable[[], Figures]]] = {
        'extrinsics': (
            'Every camera off by an angle and a length, in random directions',
            lambda: _disturb_all(runs, pair, man, woman),
        ),
        'calibration': (
            'Extrinsics from the man, by his stature',
            lambda: _calibrate_all(console, runs, man),
        ),
        'clocks': ('Every second camera late', lambda: _delay_all(runs, man)),
        'loss': (
            'The last camera is lost half way; step: the largest in 0.2 s after it',
            lambda: _lose_all(runs, man),
        ),
        'half a body': (
            'One camera shows the body above the hips only',
            lambda: _halve_all(runs, halves, man),
        ),
        'unsynchronised': ('Cameras that take turns', lambda: _time_all(runs, man)),
    }
    figures = {}
    for name, (_, find) in track(
        tables.items(), 'Measuring faults', console=console, transient=True
    ):
        figures[name] = find()
    for name, (title, _) in tables.items():
        _print(console, title, figures[name])
    return figures


def _pairs(runs: Sequence[Run]) -> list[tuple[Run, ...]]:
    return [chosen for chosen in subsets(runs) if len(chosen) == 2]


def _groups(runs: Sequence[Run]) -> dict[str, list[tuple[Run, ...]]]:
    """Return the pairs of cameras, and all cameras."""
    return {'pairs': _pairs(runs), 'all': [tuple(runs)]}


def _errors(joints: Mapping[int, Array], truth: Array, rate: float) -> dict[str, float]:
    """Return the errors of the man's joints."""
    figures = accuracy(joints, truth, rate)
    return {name: figures[name] for name in _ERRORS}


def _mean_errors(sets: Sequence[Sequence[Run]], truth: Array) -> dict[str, float]:
    """Return the mean errors of the man by some sets of cameras."""
    return mean_of([_errors(fused_joints(runs, truth), truth, runs[0].clip.rate) for runs in sets])


def _disturb_all(runs: Sequence[Run], pair: Sequence[Run], man: Array, woman: Array) -> Figures:
    figures: Figures = {}
    for degrees, metres in _EXTRINSICS:
        random = np.random.default_rng(0)
        sets = [*_pairs(runs), *[tuple(runs)] * _DRAWS, *[tuple(pair)] * _DRAWS]
        wrong = [[disturb(run, degrees, metres, random) for run in chosen] for chosen in sets]
        fault = f'{degrees}° {100 * metres:.1f} cm'
        figures[f'{fault}, pairs'] = _mean_errors(wrong[: -2 * _DRAWS], man)
        people = [pair_figures(chosen, man, woman) for chosen in wrong[-_DRAWS:]]
        ghosts = float(np.mean([row['ghosts'] for row in people]))
        figures[f'{fault}, all'] = {
            **_mean_errors(wrong[-2 * _DRAWS : -_DRAWS], man),
            'two people: both': float(np.mean([row['both'] for row in people])),
            'ghosts in a frame': ghosts / len(pair[0].frames),
        }
    return figures


def _calibrate_all(console: Console, runs: Sequence[Run], man: Array) -> Figures:
    figures = {'given, all': _mean_errors([tuple(runs)], man)}
    try:
        figures['from the man, all'] = _mean_errors([calibrate(runs, _STATURE)], man)
    except ExtrinsicsError as error:  # Of parts of the clips, say.
        console.print(f'no extrinsics from the man: {error}')
    return figures


def _delay_all(runs: Sequence[Run], man: Array) -> Figures:
    figures: Figures = {}
    numbers = range(max(_CLOCKS), 1 + max(runs[0].frames))

    def shift(run: Run, frames: int) -> Run:
        return run.renumber({number: number - frames for number in numbers})

    for frames in (0, *_CLOCKS):
        for name, sets in _groups(runs).items():
            shifted = [
                [shift(run, frames * (index % 2)) for index, run in enumerate(chosen)]
                for chosen in sets
            ]
            label = f'{1e3 * frames / runs[0].clip.rate:.0f} ms, {name}'
            figures[label] = _mean_errors(shifted, man)
    return figures


def _lose_all(runs: Sequence[Run], man: Array) -> Figures:
    figures: Figures = {}
    by_number = {run.clip.number: run for run in runs}
    for cameras in _LOSSES:
        *kept, lost = (by_number[camera] for camera in cameras)
        figures[f'{name_set([*kept, lost])}, {lost.clip.number} lost'] = _lose(kept, lost, man)
    return figures


def _lose(kept: Sequence[Run], lost: Run, man: Array) -> dict[str, Any]:
    """Return the errors before and after the loss of a camera, and the step at it."""
    half = len(lost.frames) // 2
    before = lost.renumber({number: number for number in range(half)})
    frames = fuse([*kept, before]).frames
    [trajectory] = identify(frames, [man])
    joints = joints_of(trajectory, frames)
    steps = [1e3 * mean_distance(after, before) for before, after in pairwise(joints.values())]
    parts = {
        'before': {number: points for number, points in joints.items() if number < half},
        'after': {number: points for number, points in joints.items() if number >= half},
    }
    errors = {part: _errors(each, man, lost.clip.rate) for part, each in parts.items()}
    return {
        **{f'abs {part}': row['abs'] for part, row in errors.items()},
        'step': max(steps[half - 1 : half + round(_LOSS_SECONDS * lost.clip.rate)]),
        'usual step': float(np.nanmedian(steps)),
        'switches': switches([human.id for human in trajectory.values()]),
    }


def _halve_all(runs: Sequence[Run], halves: Mapping[int, Run], man: Array) -> Figures:
    figures: Figures = {}
    for camera, half in halves.items():
        for chosen in [*subsets(runs)[: len(runs)], *_pairs(runs), tuple(runs)]:
            if camera in [run.clip.number for run in chosen]:
                cut = [half if run.clip.number == camera else run for run in chosen]
                whole = _mean_errors([chosen], man)
                figures[f'{name_set(chosen)}, {camera} cut'] = {
                    **{f'{name} whole': whole[name] for name in ('abs', 'PA')},
                    **_mean_errors([cut], man),
                }
    return figures


def _time_all(runs: Sequence[Run], man: Array) -> Figures:
    figures: Figures = {}
    for period in _PERIODS:
        for name, sets in _groups(runs).items():
            for method, fuse_turns in TIMINGS.items():
                rate = runs[0].clip.rate
                rows = [_errors(_late(fuse_turns(each, period), period, man), man, rate)
                        for each in sets]  # fmt: skip
                figures[f'{rate / period:.1f} Hz, {name}, {method}'] = mean_of(rows)
    return figures


def _late(fused: FusedRun, period: int, man: Array) -> dict[int, Array]:
    """Return the man's joints from when each camera has two images."""
    frames = {number: humans for number, humans in fused.frames.items() if number >= 2 * period}
    return joints_of(identify(frames, [man])[0], frames)


def _print(console: Console, title: str, figures: Figures) -> None:
    """Print a table of figures: shares in percent, errors and steps in millimetres."""
    names = list(dict.fromkeys(name for row in figures.values() for name in row))
    table = Table(Column(no_wrap=True), *names, title=title)
    for label, row in figures.items():
        cells = [_format(name, row[name]) if name in row else '' for name in names]
        table.add_row(label, *cells)
    console.print(table)


def _format(name: str, value: float) -> str:
    """Return a figure as text."""
    if name in _SHARES:
        return f'{value:.0%}'
    return str(value) if isinstance(value, int) else f'{value:.1f}'
