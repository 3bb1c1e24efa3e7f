"""What a node holds on to: memory, threads and descriptors over many minutes."""

import os
import time
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hybrik_ros.cli.bench.node import loaded_node, resident_megabytes
from hybrik_ros.cli.processes import isolate, require_running

_SIZE = (640, 480)
_RATE = 30.0
_WARM_SECONDS = 90  # in which caches fill, and the camera is gone twice
_SAMPLE_SECONDS = 1.0
# Once a minute the camera is gone for so long that everybody is forgotten.
_MINUTE, _AWAY_SECONDS = 60, 5
_MOST_SAMPLES = 30  # at each end, over which the mean is taken


def measure(console: Console, minutes: float) -> dict[str, Any]:
    """Run a node for some minutes after one to warm up; return what it holds more at the end."""
    isolate()
    with loaded_node(_SIZE) as (load, node, log):
        samples = []
        seconds = range(-_WARM_SECONDS, round(60 * minutes))
        for second in track(seconds, 'Soaking', console=console, transient=True):
            require_running(node, log)
            load.play(0 if second % _MINUTE >= _MINUTE - _AWAY_SECONDS else _RATE)
            time.sleep(_SAMPLE_SECONDS)
            if second >= 0:
                samples.append(_held(node.pid))
        answered = len(load.answers)
    return _summary(np.array(samples), minutes, answered, console)


def _held(pid: int) -> tuple[float, int, int]:
    """Return megabytes of memory, threads and open descriptors of a process."""
    descriptors, threads = (len(os.listdir(f'/proc/{pid}/{kind}')) for kind in ('fd', 'task'))
    return resident_megabytes(pid), threads, descriptors


def _summary(
    samples: np.ndarray, minutes: float, answered: int, console: Console
) -> dict[str, float]:
    count = min(_MOST_SAMPLES, max(1, len(samples) // 4))
    first, last = samples[:count].mean(axis=0), samples[-count:].mean(axis=0)
    figures = {'minutes': minutes, 'frames': float(answered)}
    table = Table('', 'at first', 'at last', 'more', title=f'{minutes:g} minutes of the node')
    for name, before, after in zip(
        ('memory, MB', 'threads', 'descriptors'), first, last, strict=True
    ):
        table.add_row(name, f'{before:.1f}', f'{after:.1f}', f'{after - before:+.1f}')
        figures[f'{name}, more'] = float(after - before)
    console.print(table)
    return figures
