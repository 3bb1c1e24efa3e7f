"""`hybrik bench soak`: growth of memory, threads and file descriptors of the node."""

import os
import time
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hybrik_ros.cli.bench.node import loaded_node, resident_megabytes
from hybrik_ros.cli.processes import isolate, require_running

_SIZE = (640, 480)  # width and height in pixels
_RATE = 30.0  # frames per second
_WARM_UP_SECONDS = 90  # caches fill, and the camera is interrupted twice
_SAMPLE_SECONDS = 1.0  # interval between two samples
# Period and duration of the interruptions of the camera; the duration is above
# tracking.forget_after.
_PERIOD_SECONDS, _PAUSE_SECONDS = 60, 5
_MAX_SAMPLES = 30  # maximum number of samples averaged at the start and at the end


def measure(console: Console, minutes: float) -> dict[str, Any]:
    """Run a node, and measure the growth of its memory, threads and file descriptors.

    Parameters
    ----------
    console : Console
        Console for the table.
    minutes : float
        Duration of the measurement after the warm-up.

    Returns
    -------
    dict
        Growth by quantity.

    Raises
    ------
    ProcessError
        The node ended.
    """
    isolate()
    with loaded_node(_SIZE) as (load, node, log):
        samples = []
        seconds = range(-_WARM_UP_SECONDS, round(60 * minutes))
        for second in track(seconds, 'Soak test', console=console, transient=True):
            require_running(node, log)
            paused = second % _PERIOD_SECONDS >= _PERIOD_SECONDS - _PAUSE_SECONDS
            load.play(0 if paused else _RATE)
            time.sleep(_SAMPLE_SECONDS)
            if second >= 0:
                samples.append(_sample(node.pid))
        answered = len(load.answers)
    return _summarise(np.array(samples), minutes, answered, console)


def _sample(pid: int) -> tuple[float, int, int]:
    """Return memory in megabytes, threads and open file descriptors of a process."""
    descriptors, threads = (len(os.listdir(f'/proc/{pid}/{kind}')) for kind in ('fd', 'task'))
    return resident_megabytes(pid), threads, descriptors


def _summarise(
    samples: np.ndarray, minutes: float, answered: int, console: Console
) -> dict[str, float]:
    """Print the mean at the start and at the end; return the growth."""
    count = min(_MAX_SAMPLES, max(1, len(samples) // 4))
    first, last = samples[:count].mean(axis=0), samples[-count:].mean(axis=0)
    figures = {'minutes': minutes, 'frames': float(answered)}
    table = Table('', 'start', 'end', 'growth', title=f'hybrik_node during {minutes:g} minutes')
    for name, before, after in zip(
        ('memory, MB', 'threads', 'descriptors'), first, last, strict=True
    ):
        table.add_row(name, f'{before:.1f}', f'{after:.1f}', f'{after - before:+.1f}')
        figures[f'{name}, growth'] = float(after - before)
    console.print(table)
    return figures
