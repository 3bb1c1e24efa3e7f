"""Delay between the first image of a person and the first report, by frame rate."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hybrik_ros.cli.bench.footage import Clip
from hybrik_ros.cli.bench.marks import WALKER_CLIP, WALKER_FIRST, shows_person, walker
from hybrik_ros.pipeline import Pipeline

_STEPS = (1, 3, 10, 30)  # every how many frames are used
_NUM_OFFSETS = 5  # numbers of the first frame that are tried, from 0
_LAST = 120  # frame after which the person counts as never reported


class Delay(NamedTuple):
    """Delay of the first report of a person.

    Attributes
    ----------
    images : float
        Number of images between the first that shows the person and the first in which the person
        is reported: 0 if it is the same one; infinite if the person is not reported.
    seconds : float
        Time between these two images.
    """

    images: float
    seconds: float


def delay(reported: Mapping[int, bool], first: int, rate: float) -> Delay:
    """Return the delay of the first report.

    Parameters
    ----------
    reported : mapping
        Whether the person is reported, by number of the frame, in order.
    first : int
        Number of the frame in which the person comes into view, which need not be among them.
    rate : float
        Frames per second.
    """
    shown = [number for number in reported if number >= first]
    for images, number in enumerate(shown):
        if any(reported[other] for other in reported if other <= number):
            return Delay(images, (number - shown[0]) / rate)
    return Delay(math.inf, math.inf)


def measure(console: Console, pipeline: Pipeline, clips: Sequence[Clip]) -> dict[str, Any]:
    """Return the delays of the woman in 'walk and backflip' by frame rate; print a table.

    Parameters
    ----------
    console : Console
        Console for table and progress.
    pipeline : Pipeline
        The pipeline.
    clips : sequence of Clip
        All clips; without that one, nothing is measured.
    """
    found = [clip for clip in clips if clip.name == WALKER_CLIP]
    if not found:
        return {}
    [clip] = found
    pictures = {number: picture for number, picture in clip.frames() if number <= _LAST}
    figures = {}
    for step in track(_STEPS, 'Measuring delays', console=console, transient=True):
        delays = [_measure(pipeline, clip, pictures, start, step) for start in _offsets(step)]
        figures[f'every {step}'] = {
            'images per second': clip.rate / step,
            'from frame 0, images': delays[0].images,
            'images': float(np.median([each.images for each in delays])),
            'most images': max(each.images for each in delays),
            'seconds': float(np.median([each.seconds for each in delays])),
            'most seconds': max(each.seconds for each in delays),
        }
    _print(console, figures)
    return {'first frame in view': WALKER_FIRST, **figures}


def _offsets(step: int) -> Iterator[int]:
    """Yield indices of the first frame; with small steps, the detector's rhythm differs."""
    spread = max(step, 2 * _NUM_OFFSETS)
    yield from range(0, spread, spread // _NUM_OFFSETS)


def _measure(
    pipeline: Pipeline, clip: Clip, pictures: Mapping[int, Any], start: int, step: int
) -> Delay:
    """Return the delay for every so many frames from one on."""
    pipeline.reset()
    reported: dict[int, bool] = {}
    for number in list(pictures)[start::step]:
        humans = pipeline(pictures[number], clip.camera, number / clip.rate)
        box = walker(number)
        reported[number] = any(shows_person(human.box, box) for human in humans)
        if reported[number] and number >= WALKER_FIRST:
            break
    return delay(reported, WALKER_FIRST, clip.rate)


def _print(console: Console, figures: Mapping[str, Mapping[str, float]]) -> None:
    """Print the table of delays."""
    table = Table('frames', 'images/s', 'from frame 0', 'images', 'most', 's', 'most')
    table.title = 'Delay to the first detection'
    table.caption = (
        f"Images and seconds from the first image that shows the woman of '{WALKER_CLIP}' (frame "
        f'{WALKER_FIRST} or the next one used) until she is reported: from frame 0 on, median '
        f'and maximum over {_NUM_OFFSETS} first frames'
    )
    for name, row in figures.items():
        *numbers, median, most = row.values()
        cells = (*(f'{number:.0f}' for number in numbers), f'{median:.2f}', f'{most:.2f}')
        table.add_row(name, *cells)
    console.print(table)
