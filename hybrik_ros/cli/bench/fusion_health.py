"""Whether the health of the fusion names the camera that is wrong, and no other."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hybrik_ros.arrays import Array
from hybrik_ros.cli.bench.fused_runs import world_from_camera
from hybrik_ros.cli.bench.fusion_accuracy import name_set, subsets
from hybrik_ros.cli.bench.fusion_faults import disturb
from hybrik_ros.cli.bench.runs import Run
from hybrik_ros.fusion import Fusion, View
from hybrik_ros.fusion.health import CameraHealth, describe_faults

_EXTRINSICS = (0.5, 0.01)  # degrees and metres by which one camera is off
_DRAWS = 3  # of their directions, for each camera of each set
# Minimum shift in metres of a person in the image of a camera that is to be named: others are
# turned about their line of sight, or moved along it.
_MIN_SHIFT = 0.025
_CLOCKS = (3, 6)  # frames by which one camera is late
_PERIOD = 6  # frames between two looks at the health

_Figures = dict[str, dict[str, Any]]


def watch(
    runs: Sequence[Run], late: tuple[int, int] = (0, 0)
) -> list[tuple[float, dict[str, CameraHealth]]]:
    """Fuse runs; return time in seconds and health of the cameras, several times a second.

    Parameters
    ----------
    runs : sequence of Run
        The run of each camera.
    late : tuple of int
        Index of a camera, and frames by which it is late.
    """
    fusion, rate, found = Fusion(), runs[0].clip.rate, []
    numbers = sorted(runs[0].frames)
    for number in numbers:
        views = {}
        for index, run in enumerate(runs):
            shown = max(number - (late[1] if index == late[0] else 0), numbers[0])
            views[str(run.clip.number)] = View(
                number / rate, world_from_camera(run.clip), run.observations[shown]
            )
        fusion(views)
        if number % _PERIOD == 0:
            found.append((number / rate, fusion.health))
    return found


def measure_health(
    console: Console, runs: Sequence[Run], pair: Sequence[Run], man: Array
) -> dict[str, Any]:
    """Return what the health says of right and wrong cameras; print tables.

    Parameters
    ----------
    console : Console
        Console for tables and progress.
    runs, pair : sequence of Run
        Run of each camera over the clips of one man and of two people.
    man : ndarray
        The man's joints (frames, 12, 3) in metres in the world.
    """
    random = np.random.default_rng(0)
    steps: dict[str, Callable[[], Any]] = {
        'false alarms': lambda: find_alarms([*subsets(runs, 2), *subsets(pair, 2)]),
        'extrinsics': lambda: _name_extrinsics(subsets(runs, 2), man, random),
        'clocks': lambda: _find_clocks(subsets(runs, 2)),
    }
    figures = {}
    for name, find in track(steps.items(), 'Watching', console=console, transient=True):
        figures[name] = find()
    _print(console, figures)
    return figures


def find_alarms(sets: Sequence[Sequence[Run]]) -> dict[str, Any]:
    """Return what is said of cameras that are right, by clip and set."""
    found = {}
    for chosen in sets:
        said = {fault for _, health in watch(chosen) for fault in describe_faults(health)}
        if said:
            found[f'{chosen[0].clip.name}: {name_set(chosen)}'] = sorted(said)
    return {'sets': len(sets), 'said': found}


def _name_extrinsics(
    sets: Sequence[Sequence[Run]], man: Array, random: np.random.Generator
) -> _Figures:
    """Return how often, and when, a camera with wrong extrinsics is named, by number of cameras."""
    rows: dict[int, list[tuple[bool, bool, bool, float]]] = {}
    for chosen in sets:
        for run in chosen:
            for _ in range(_DRAWS):
                wrong = disturb(run, *_EXTRINSICS, random)
                if _shift(run, wrong, man) >= _MIN_SHIFT:
                    cameras = [wrong if each is run else each for each in chosen]
                    row = _judge(watch(cameras), str(run.clip.number))
                    rows.setdefault(len(chosen), []).append(row)
    return {
        f'{size} cameras': {
            'cases': len(found),
            'named': float(np.mean([named for named, _, _, _ in found])),
            'alone': float(np.mean([alone for _, alone, _, _ in found])),
            'only others': float(np.mean([others for _, _, others, _ in found])),
            'seconds': float(np.nanmax([seconds for _, _, _, seconds in found])),
        }
        for size, found in rows.items()
    }


def _judge(
    watched: Sequence[tuple[float, dict[str, CameraHealth]]], camera: str
) -> tuple[bool, bool, bool, float]:
    """Return whether a camera is named, alone, only others are named in the end; and when first."""
    named = [
        (seconds, {name for name, each in health.items() if each.has_wrong_pose})
        for seconds, health in watched
    ]
    last = named[-1][1]
    times = [seconds for seconds, names in named if camera in names]
    return (
        bool(times),
        last == {camera},
        bool(last - {camera}) and camera not in last,
        min(times, default=np.nan),
    )


def _shift(run: Run, wrong: Run, man: Array) -> float:
    """Return the length in metres by which wrong extrinsics shift the man in a camera's image."""
    assert run.clip.extrinsics is not None
    assert wrong.clip.extrinsics is not None
    middle = man[len(man) // 2].mean(axis=0)
    both = run.clip.extrinsics, wrong.clip.extrinsics
    right, moved = (rotation @ middle + translation for rotation, translation in both)
    return float(np.linalg.norm(right[:2] / right[2] - moved[:2] / moved[2]) * right[2])


def _find_clocks(sets: Sequence[Sequence[Run]]) -> _Figures:
    """Return the offsets in milliseconds that are found where one camera is late."""
    rows: dict[tuple[int, int], list[tuple[float, bool]]] = {}
    for chosen in sets:
        for index, run in enumerate(chosen):
            for frames in _CLOCKS:
                health = watch(chosen, (index, frames))[-1][1][str(run.clip.number)]
                rows.setdefault((frames, len(chosen)), []).append(
                    (1e3 * health.delay, health.has_wrong_clock)
                )
    rate = sets[0][0].clip.rate
    return {
        f'{1e3 * frames / rate:.0f} ms, {size} cameras': {
            'found': float(np.nanmean([delay for delay, _ in found])),
            'SD': float(np.nanstd([delay for delay, _ in found])),
            'named': float(np.mean([named for _, named in found])),
        }
        for (frames, size), found in sorted(rows.items())
    }


def _print(console: Console, figures: dict[str, Any]) -> None:
    alarms = figures['false alarms']
    said_of, count = alarms['said'], alarms['sets']
    console.print(f'False alarms in {len(said_of)} of {count} sets of right cameras')
    for name, said in said_of.items():
        console.print(name, *said)
    table = Table('', 'cases', 'named', 'alone', 'only others', 'seconds, at most')
    degrees, metres = _EXTRINSICS
    table.title = f'One camera off by {degrees}° {100 * metres:.0f} cm'
    table.caption = (
        f'Those that shift the man by {1e3 * _MIN_SHIFT:.0f} mm in the image or more. Two cameras '
        f'cannot tell which of them is off, and do not see shifts towards each other'
    )
    for name, row in figures['extrinsics'].items():
        shares = [f'{row[key]:.0%}' for key in ('named', 'alone', 'only others')]
        table.add_row(name, str(row['cases']), *shares, f'{row["seconds"]:.2f}')
    console.print(table)
    clocks = Table('one camera late by', 'found, ms', 'SD', 'named')
    for name, row in figures['clocks'].items():
        clocks.add_row(name, f'{row["found"]:.0f}', f'{row["SD"]:.0f}', f'{row["named"]:.0%}')
    console.print(clocks)
