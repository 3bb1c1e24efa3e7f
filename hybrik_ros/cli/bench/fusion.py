"""`hybrik bench fusion`: accuracy and speed of the fusion of several cameras on real footage."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hybrik_ros.cli.bench import footage, fusion_faults
from hybrik_ros.cli.bench.covering import Excerpt, excerpts
from hybrik_ros.cli.bench.footage import Clip
from hybrik_ros.cli.bench.fused_runs import fuse
from hybrik_ros.cli.bench.fusion_accuracy import measure_man, subsets
from hybrik_ros.cli.bench.fusion_health import measure_health
from hybrik_ros.cli.bench.fusion_pair import find_woman, measure_pair
from hybrik_ros.cli.bench.fusion_pictures import write_fused_people
from hybrik_ros.cli.bench.packages import DownloadError
from hybrik_ros.cli.bench.runs import Run, run_pipeline
from hybrik_ros.cli.bench.truth import load_man, load_world, refine
from hybrik_ros.pipeline import Pipeline

_HALF = 'cut at the hips'  # what is seen of the man in pictures of half a body
_CUT = (1, 3)  # cameras with such pictures


def measure(console: Console, folder: Path, pictures: Path | None) -> dict[str, Any]:
    """Run the pipeline on the clips of the four cameras, and fuse what it finds; print tables.

    Parameters
    ----------
    console : Console
        Console for the tables.
    folder : Path
        Folder of the footage, to which missing files are downloaded.
    pictures : Path, optional
        Folder for pictures of the fused people in all cameras and from above.

    Returns
    -------
    dict
        Figures by table.

    Raises
    ------
    DownloadError
        The footage is not in the folder and cannot be downloaded, or there is no ground truth.
    """
    with console.status(f'Downloading the footage into {folder} ...'):
        clips = refine(footage.clips(folder))
    man = load_world()
    if man is None or not clips:
        raise DownloadError('the ground truth is in a source tree only: run this command in one')
    with Pipeline.create() as pipeline:
        runs = [
            run_pipeline(pipeline, clip)
            for clip in track(clips, 'Processing clips', console=console, transient=True)
        ]
        cut = [clip for clip in clips if clip.people == 1 and clip.number in _CUT]
        halves = {
            clip.number: run_pipeline(pipeline, clip, _half_body(clip))
            for clip in track(cut, 'Processing half bodies', console=console, transient=True)
        }
        body = pipeline.body
    alone, pair = ([run for run in runs if run.clip.people == people] for people in (1, 2))
    woman = find_woman(pair)
    if pictures is not None:
        for name, shown in (('man', alone), ('pair', pair)):
            shown_clips = [run.clip for run in shown]
            write_fused_people(shown_clips, fuse(shown), body, pictures, name)
    return {
        'man': measure_man(console, alone, man),
        'pair': measure_pair(console, pair, man, woman),
        'faults': fusion_faults.measure(console, alone, halves, pair, man, woman),
        'health': measure_health(console, alone, pair, man),
        'milliseconds': _measure_speed(console, alone),
    }


def _half_body(clip: Clip) -> Excerpt:
    """Return the part of a clip's pictures that shows half of the man."""
    truth = load_man(clip)
    assert truth is not None
    pixels = clip.camera.project(truth.joints.mean(axis=0))
    found = excerpts(pixels, clip.camera.width, clip.camera.height)
    return next(each for each in found if each.name == _HALF)


def _measure_speed(console: Console, runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    """Return the time of the fusion of one person by number of views; print a table."""
    lone = [run.only(run.follow(load_man(run.clip))[0]) for run in runs]
    seconds: dict[int, list[tuple[float, float]]] = {}
    for chosen in track(subsets(lone), 'Timing', console=console, transient=True):
        fused = fuse(chosen)
        seconds.setdefault(len(chosen), []).extend(
            fused.seconds[number] for number, humans in fused.frames.items() if humans
        )
    table = Table('views', 'whole', 'without the solver')
    table.title = 'Time of the fusion of one person on one thread: ms, median'
    figures = {}
    for views, rows in seconds.items():
        whole, rest = (1e3 * float(each) for each in np.median(rows, axis=0))
        figures[f'{views} views'] = {'whole': whole, 'without the solver': rest}
        table.add_row(str(views), f'{whole:.2f}', f'{rest:.2f}')
    console.print(table)
    return figures
