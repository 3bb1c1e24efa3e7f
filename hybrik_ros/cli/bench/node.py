"""`hybrik bench node`: latency of the node between a camera and a subscriber, over DDS."""

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
_FRAMES = slice(50, 70)  # frames of the sample clip
_COLUMNS = slice(300, 1092)  # columns of these frames that show the person
_RATE = 30.0  # frames per second of a camera
_LOW_RATE = 10.0  # frames per second at which frames do not queue
_SECONDS = 20.0  # duration of a measurement
_SETTLE_SECONDS = 5.0  # time between a change of the rate and the next measurement
_OVERLOAD_SECONDS = 60.0  # duration of the measurement at twice the maximum rate
# Stages of a frame in the node outside the pipeline.
_NODE_STAGES = ('wait', 'decode', 'publish')


def measure(console: Console) -> dict[str, Any]:
    """Measure the node at a camera's rate for two sizes, and at twice its maximum rate.

    Parameters
    ----------
    console : Console
        Console for the tables.

    Returns
    -------
    dict
        Figures by table and row.

    Raises
    ------
    ProcessError
        The node does not become active.
    """
    isolate()
    figures: dict[str, Any] = {}
    for name, size in _SIZES.items():
        with loaded_node(size) as (load, node, _log):
            figures[name] = _measure_camera(load, console, name)
            if name == '640x480':
                figures['overload'] = _measure_overload(load, node.pid, console)
    _print(figures, console)
    return figures


@contextmanager
def loaded_node(
    size: tuple[int, int],
) -> Iterator[tuple['LoadGenerator', subprocess.Popen[bytes], Path]]:
    """Run a node and a load generator that sends it the sample clip.

    Parameters
    ----------
    size : tuple of int
        Width and height of the images in pixels.

    Yields
    ------
    LoadGenerator
        The load generator.
    Popen
        The process of the node, which is active.
    Path
        The log of the node.

    Raises
    ------
    ProcessError
        The node does not become active.
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
    """Return frames of the sample clip, cropped around the person.

    Parameters
    ----------
    size : tuple of int
        Width and height of the images in pixels.

    Returns
    -------
    list of ndarray
        RGB images (H, W, 3), uint8.
    """
    frames = [picture for _, picture in read_pictures(SAMPLE)][_FRAMES]
    return [_letterbox(frame[:, _COLUMNS], size) for frame in frames]


def _letterbox(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a picture scaled and padded with black to a size."""
    scale = min(size[0] / picture.shape[1], size[1] / picture.shape[0])
    resized = cv2.resize(picture, None, fx=scale, fy=scale)
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    canvas[: resized.shape[0], : resized.shape[1]] = resized[: size[1], : size[0]]
    return canvas


def _measure_camera(load: 'LoadGenerator', console: Console, name: str) -> dict[str, float]:
    """Return latencies at the rate of a camera."""
    load.play(_LOW_RATE)
    _wait(_SECONDS, f'{name} at {_LOW_RATE:g} images/s', console)
    overhead = sum(_median(load.report, stage) for stage in _NODE_STAGES)
    load.play(_RATE)
    _wait(_SECONDS, f'{name} at {_RATE:g} images/s', console)
    load.play(0)
    time.sleep(2.5)  # for a diagnostics message after the last image
    return {
        'share of images received': int(load.report['received']) / load.sent,
        'node without pipeline, ms': overhead,
        'mesh from publisher to subscriber, ms': 1e3 * float(np.median(load.meshes)),
    }


def _measure_overload(load: 'LoadGenerator', pid: int, console: Console) -> dict[str, float]:
    """Return latencies at twice the maximum rate of the node, over a minute."""
    load.play(2 * _RATE)
    time.sleep(_SETTLE_SECONDS)
    load.answers = []
    _wait(_SETTLE_SECONDS, 'maximum rate', console)
    capacity = len(load.answers) / _SETTLE_SECONDS
    load.play(2 * capacity)
    time.sleep(_SETTLE_SECONDS)
    load.answers = []
    memory = resident_megabytes(pid)
    _wait(_OVERLOAD_SECONDS, f'overload: {2 * capacity:.0f} images/s', console)
    load.play(0)
    latencies = np.array([latency for _, latency in load.answers])
    thirds = np.array_split(latencies, 3)
    return {
        'frame time, ms': 1e3 / capacity,
        'latency p95, frame times': float(np.percentile(latencies, 95)) * capacity,
        'latency p95, ratio of last to first third': float(
            np.percentile(thirds[-1], 95) / np.percentile(thirds[0], 95)
        ),
        'memory growth, MB': resident_megabytes(pid) - memory,
    }


def resident_megabytes(pid: int) -> float:
    """Return the resident memory of a process in megabytes."""
    pages = int(Path(f'/proc/{pid}/statm').read_text().split()[1])
    return pages * os.sysconf('SC_PAGE_SIZE') / 1e6


def _median(report: dict[str, str], stage: str) -> float:
    """Return the median of a stage in milliseconds, from the values of a diagnostics message."""
    return float(report[f'{stage} ms, median / p95'].split(' / ')[0])


def _wait(seconds: float, title: str, console: Console) -> None:
    """Wait with a progress bar."""
    for _ in track(range(round(seconds)), title, console=console, transient=True):
        time.sleep(1.0)


def _print(figures: dict[str, Any], console: Console) -> None:
    """Print a table per measurement."""
    for title, rows in figures.items():
        table = Table('', '', title=f'hybrik_node: {title}', show_header=False)
        for name, value in rows.items():
            table.add_row(name, f'{value:.2f}')
        console.print(table)
