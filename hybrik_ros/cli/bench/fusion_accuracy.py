"""Accuracy of one person in several cameras, by the fusion and by other methods."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hybrik_ros.arrays import Array
from hybrik_ros.cli.bench.fused_runs import fuse, identify, world_from_camera
from hybrik_ros.cli.bench.measures import (
    BONES,
    bone_deviation,
    delay,
    jitter,
    mean_distance,
    pa_mpjpe,
    root_relative,
)
from hybrik_ros.cli.bench.runs import Run, Trajectory, triangulate_person
from hybrik_ros.cli.bench.truth import load_man
from hybrik_ros.confidence import MAIN_JOINTS

_MILLIMETRES = 1e3
# Minimum weight of a camera's joint in the mean: a joint that no camera sees has a place too.
_MIN_WEIGHT = 0.05
_UNKNOWN = np.full((len(MAIN_JOINTS), 3), np.nan)
_FORMATS = {
    'frames': '{:.0%}', 'abs': '{:.1f}', 'root': '{:.1f}', 'PA': '{:.1f}', 'jitter': '{:.1f}',
    'bone SD': '{:.1f}', 'delay': '{:.0f}',
}  # fmt: skip

Joints = Mapping[int, Array]  # the man's joints (12, 3) in metres in the world, by frame


def subsets(runs: Sequence[Run], least: int = 1) -> list[tuple[Run, ...]]:
    """Return all sets of at least so many cameras, small ones first."""
    return [each for size in range(least, len(runs) + 1) for each in combinations(runs, size)]


def name_set(runs: Sequence[Run]) -> str:
    """Return the numbers of a set's cameras: '1+3'."""
    return '+'.join(str(run.clip.number) for run in runs)


def accuracy(joints: Joints, truth: Array, rate: float) -> dict[str, float]:
    """Return the metrics of a person's joints in the world.

    Parameters
    ----------
    joints : mapping
        Joints (12, 3) in metres by number of the frame; NaN if unknown. Errors are those of the
        frames in which all are known.
    truth : ndarray
        True joints (frames, 12, 3) in metres.
    rate : float
        Frames per second.

    Returns
    -------
    dict
        Share of frames with all joints, errors and jitter in millimetres, delay in milliseconds.
    """
    numbers = [number for number, points in joints.items() if np.isfinite(points).all()]
    points = np.array([joints[number] for number in numbers]).reshape(-1, *truth.shape[1:])
    true = truth[numbers]
    return {
        'frames': len(numbers) / len(joints),
        'abs': _MILLIMETRES * mean_distance(points, true),
        'root': _MILLIMETRES * mean_distance(root_relative(points), root_relative(true)),
        'PA': _MILLIMETRES * pa_mpjpe(points, true),
        'jitter': _MILLIMETRES * jitter(points, numbers),
        'bone SD': _MILLIMETRES * bone_deviation(points, *BONES),
        'delay': 1e3 / rate * delay(points, numbers, truth),
    }


def mean_of(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each figure over the rows that have it; NaN if none has."""
    return {name: _mean([row[name] for row in rows]) for name in rows[0]}


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else float('nan')


def joints_of(trajectory: Trajectory, numbers: Iterable[int]) -> dict[int, Array]:
    """Return the main joints (12, 3) of a person in each frame; NaN in frames without."""
    return {
        number: trajectory[number].joints[MAIN_JOINTS] if number in trajectory else _UNKNOWN
        for number in numbers
    }


def fused_joints(runs: Sequence[Run], truth: Array, *, bodies: bool = False) -> dict[int, Array]:
    """Return the joints (12, 3) of the man by the fusion, in each frame."""
    frames = fuse(runs, bodies=bodies).frames
    return joints_of(identify(frames, [truth])[0], frames)


def average(sources: Sequence[tuple[Run, Trajectory]]) -> dict[int, Array]:
    """Return the mean of the cameras' joints (12, 3) in the world, by confidence; NaN if unknown.

    This is what a merger of the skeletons of several nodes does.
    """
    found = dict.fromkeys(sources[0][0].frames, _UNKNOWN)
    for number in found:
        seen = [(run, people[number]) for run, people in sources if number in people]
        if seen:
            points = [_to_world(human.joints[MAIN_JOINTS], run) for run, human in seen]
            confidence = [human.joint_confidence[MAIN_JOINTS] for _, human in seen]
            weights = np.maximum(confidence, _MIN_WEIGHT)[..., None]
            found[number] = np.sum(weights * points, axis=0) / weights.sum(axis=0)
    return found


def _to_world(points: Array, run: Run) -> Array:
    """Return points (N, 3) in a camera's optical frame in the world."""
    transform = world_from_camera(run.clip)
    return np.asarray(points @ transform[:3, :3].T + transform[:3, 3])


def triangulated(sources: Sequence[tuple[Run, Trajectory]]) -> dict[int, Array]:
    """Return the joints (12, 3) where rays meet, without those that disagree; NaN if unknown."""
    return dict(enumerate(triangulate_person(sources)))


def measure_man(console: Console, runs: Sequence[Run], truth: Array) -> dict[str, Any]:
    """Return the metrics of one man by set of cameras and method, and their means; print these.

    Parameters
    ----------
    console : Console
        Console for table and progress.
    runs : sequence of Run
        Run of each camera over the man's clip.
    truth : ndarray
        His joints (frames, 12, 3) in metres in the world.
    """
    men = {run.clip.name: run.follow(load_man(run.clip))[0] for run in runs}

    def sources(chosen: Sequence[Run]) -> list[tuple[Run, Trajectory]]:
        return [(run, men[run.clip.name]) for run in chosen]

    methods: dict[str, Callable[[Sequence[Run]], Joints]] = {
        'fusion': lambda chosen: fused_joints(chosen, truth),
        'HumanMesh': lambda chosen: fused_joints(chosen, truth, bodies=True),
        'averaging': lambda chosen: average(sources(chosen)),
        'triangulation': lambda chosen: triangulated(sources(chosen)),
    }
    sets = {
        name_set(chosen): {
            name: accuracy(method(chosen), truth, chosen[0].clip.rate)
            for name, method in methods.items()
            if len(chosen) > 1 or name != 'triangulation'
        }
        for chosen in track(subsets(runs), 'Fusing the man', console=console, transient=True)
    }
    means = {
        f'{size} cameras': {
            method: mean_of([row[method] for name, row in sets.items() if _size(name) == size])
            for method in sets[name_set(runs[:size])]
        }
        for size in range(1, len(runs) + 1)
    }
    figures = {'means': means, 'sets': sets}
    _print(console, figures)
    return figures


def _size(name: str) -> int:
    """Return the number of cameras in the name of a set."""
    return 1 + name.count('+')


def _print(console: Console, figures: Mapping[str, Any]) -> None:
    """Print the tables of means and of sets."""
    columns = list(_FORMATS)
    table = Table('', '', *columns, title='One man, by number of cameras')
    table.caption = (
        'Mean over all sets of as many cameras: fusion of observations, fusion of HumanMesh alone, '
        "mean of the nodes' joints, triangulation with rejection. frames: with all joints; abs: "
        'mean distance of 12 joints in the world, root: relative to the hips, PA: after '
        'Procrustes alignment, mm; jitter: mean second difference, mm/frame²; bone SD: standard '
        'deviation of lengths, mm; delay: shift in time with the least error, ms'
    )
    for name, by_method in figures['means'].items():
        for index, (method, row) in enumerate(by_method.items()):
            table.add_row('' if index else name.split()[0], method, *_cells(row))
    console.print(table)
    each = Table('cameras', *columns, title='One man, every set of cameras, by the fusion')
    for name, by_method in figures['sets'].items():
        each.add_row(name, *_cells(by_method['fusion']))
    console.print(each)


def _cells(row: Mapping[str, float]) -> list[str]:
    """Return the figures of a row as text."""
    return [form.format(row[name]) for name, form in _FORMATS.items()]
