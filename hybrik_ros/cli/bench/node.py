"""How the node does between a camera and a listener, each a process of its own, over DDS."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hybrik_ros.cli.pictures import read_pictures
from hybrik_ros.cli.processes import NODE, isolate, process, wait_for
from hybrik_ros.share import SAMPLE

if TYPE_CHECKING:
    from hybrik_ros.node.load_generator import LoadGenerator

_SIZES = {'640x480': (640, 480), '1080p': (1920, 1080)}
_WALKER = slice(300, 1092)  # columns of the sample clip in which she walks in these frames
_FRAMES = slice(50, 70)
_RATE = 30.0  # of a camera
_EASY_RATE = 10.0  # at which no frame waits for the one before
_SECONDS = 20.0
_SETTLE_SECONDS = 5.0
_OVERLOAD_SECONDS = 60.0
# What the node does itself with a frame, beside the pipeline.
_AROUND = ('wait', 'decode', 'publish')


def measure(console: Console) -> dict[str, Any]:
    """Time the node at a camera's rate in two sizes, and at twice what it can do."""
    isolate()
    figures: dict[str, Any] = {}
    for name, size in _SIZES.items():
        with loaded_node(size) as (load, node, _log):
            figures[name] = _at_a_camera(load, console, name)
            if name == '640x480':
                figures['overload'] = _overloaded(load, node.pid, console)
    _print(figures, console)
    return figures


@contextmanager
def loaded_node(
    size: tuple[int, int],
) -> Iterator[tuple['LoadGenerator', subprocess.Popen[bytes], Path]]:
    """Run an active node, and what sends it the walker in a size; yield both, and the node's log.

    Raises
    ------
    ProcessError: the node does not become active.
    """
    from hybrik_ros.node.load_generator import LoadGenerator

    with (
        TemporaryDirectory() as folder,
        LoadGenerator(pictures(size)) as load,
        process(
            [*NODE, '--ros-args', '-p', 'publish.vertices:=true'], log := Path(folder, 'log')
        ) as node,
    ):
        wait_for(load.node_listens, node, log)
        yield load, node, log


def pictures(size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """Return a second of the sample clip's walker, close up, in a size (width, height)."""
    frames = [picture for _, picture in read_pictures(SAMPLE)][_FRAMES]
    return [_letterboxed(frame[:, _WALKER], size) for frame in frames]


def _letterboxed(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    scale = min(size[0] / picture.shape[1], size[1] / picture.shape[0])
    resized = cv2.resize(picture, None, fx=scale, fy=scale)
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    canvas[: resized.shape[0], : resized.shape[1]] = resized[: size[1], : size[0]]
    return canvas


def _at_a_camera(load: 'LoadGenerator', console: Console, name: str) -> dict[str, float]:
    load.play(_EASY_RATE)
    _wait(_SECONDS, f'{name} at {_EASY_RATE:g} images a second', console)
    around = sum(_median(load.report, stage) for stage in _AROUND)
    load.play(_RATE)
    _wait(_SECONDS, f'{name} at {_RATE:g} images a second', console)
    load.play(0)
    time.sleep(2.5)  # for a report after the last image
    return {
        'images received': int(load.report['received']) / load.sent,
        'around the pipeline, ms': around,
        'mesh from publisher to listener, ms': 1e3 * float(np.median(load.meshes)),
    }


def _overloaded(load: 'LoadGenerator', pid: int, console: Console) -> dict[str, float]:
    """Return latencies at twice the rate at which the node answers, over a minute."""
    load.play(2 * _RATE)
    time.sleep(_SETTLE_SECONDS)
    load.answers = []
    _wait(_SETTLE_SECONDS, 'what the node can do', console)
    capacity = len(load.answers) / _SETTLE_SECONDS
    load.play(2 * capacity)
    time.sleep(_SETTLE_SECONDS)
    load.answers = []
    memory = resident_megabytes(pid)
    _wait(_OVERLOAD_SECONDS, f'overload: {2 * capacity:.0f} images a second', console)
    load.play(0)
    latencies = np.array([latency for _, latency in load.answers])
    thirds = np.array_split(latencies, 3)
    return {
        'frame time, ms': 1e3 / capacity,
        'latency p95, frame times': float(np.percentile(latencies, 95)) * capacity,
        'latency p95, last third by first': float(
            np.percentile(thirds[-1], 95) / np.percentile(thirds[0], 95)
        ),
        'memory, MB more': resident_megabytes(pid) - memory,
    }


def resident_megabytes(pid: int) -> float:
    """Return how much memory a process has in use."""
    pages = int(Path(f'/proc/{pid}/statm').read_text().split()[1])
    return pages * os.sysconf('SC_PAGE_SIZE') / 1e6


def _median(report: dict[str, str], stage: str) -> float:
    return float(report[f'{stage} ms, median / p95'].split(' / ')[0])


def _wait(seconds: float, what: str, console: Console) -> None:
    for _ in track(range(round(seconds)), what, console=console, transient=True):
        time.sleep(1.0)


def _print(figures: dict[str, Any], console: Console) -> None:
    for title, rows in figures.items():
        table = Table('', '', title=f'The node: {title}', show_header=False)
        for name, value in rows.items():
            table.add_row(name, f'{value:.2f}')
        console.print(table)
