"""Time of the pipeline's stages on small images with one person and more."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from hybrik_ros.camera import Camera
from hybrik_ros.cli.bench.footage import Clip, Image
from hybrik_ros.pipeline import Pipeline

_VGA = (480, 640)  # height and width in pixels
_MAX_PEOPLE = 2  # maximum number of people in the timed images
_MAN = np.s_[240:1320, 180:900]  # region of camera 1's images that always contains the man


def measure(console: Console, clip: Clip) -> dict[str, Any]:
    """Time the pipeline on 640x480 images with one person, two, ..., in alternation.

    Parameters
    ----------
    console : Console
        Console for the table.
    clip : Clip
        Clip of the man in camera 1.

    Returns
    -------
    dict
        Median milliseconds by number of people and stage.
    """
    camera = Camera.from_field_of_view(60, _VGA[1], _VGA[0])
    times: list[list[dict[str, float]]] = [[] for _ in range(_MAX_PEOPLE)]
    with ExitStack() as stack, console.status('Timing ...'):
        pipelines = [stack.enter_context(Pipeline.create()) for _ in times]
        for number, picture in clip.frames():
            for people, (pipeline, rows) in enumerate(zip(pipelines, times, strict=True), start=1):
                scene = _side_by_side(picture, people)
                start = time.perf_counter()
                found = pipeline(scene, camera, number / clip.rate)
                stages = {'whole frame': time.perf_counter() - start, **pipeline.stage_seconds}
                if len(found) == people:
                    rows.append(stages)
    figures = {
        f'{people} in the image': _medians(rows) for people, rows in enumerate(times, start=1)
    }
    table = Table('', *dict.fromkeys(stage for row in figures.values() for stage in row))
    table.title = 'Time for 640x480 on one thread: ms, median of the frames with the stage'
    for name, row in figures.items():
        table.add_row(name, *(f'{value:.1f}' for value in row.values()))
    console.print(table)
    return figures


def _medians(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the median milliseconds of each stage over the frames that have it."""
    return {
        stage: 1e3 * float(np.median([row[stage] for row in rows if stage in row]))
        for stage in dict.fromkeys(stage for row in rows for stage in row)
    }


def _side_by_side(picture: Image, people: int) -> Image:
    """Return a 640x480 picture of several copies of the man, every other one mirrored."""
    height, width = _VGA
    size = (width // _MAX_PEOPLE, height)
    man = cv2.resize(picture[_MAN], size, interpolation=cv2.INTER_AREA)
    scene = np.zeros((height, width, 3), np.uint8)
    for place in range(people):
        scene[:, place * size[0] : (place + 1) * size[0]] = man[:, :: -1 if place % 2 else 1]
    return scene
