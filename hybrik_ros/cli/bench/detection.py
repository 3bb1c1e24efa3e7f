"""`hybrik bench perception --stills`: which people are found in pictures, how confidently."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hybrik_ros.arrays import Array
from hybrik_ros.camera import ASSUMED_FIELD_OF_VIEW, Camera
from hybrik_ros.cli.bench import stills
from hybrik_ros.cli.bench.matching import Body, Match, match
from hybrik_ros.cli.bench.packages import DownloadError
from hybrik_ros.cli.bench.stills import Box, Still
from hybrik_ros.cli.pictures import draw_people, write_picture
from hybrik_ros.drawing import MIDDLE, draw_box
from hybrik_ros.human import Human
from hybrik_ros.media.photo import PhotoError, read_photo
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.settings import PHOTO_SETTINGS
from hybrik_ros.skeleton import TRUNK

_WRONG = (Match.DUPLICATE, Match.BETWEEN, Match.FALSE)
_CONFIDENT = 0.5  # minimum confidence of a body that is counted apart in an empty picture

_Bodies = Mapping[Match, list[float]]  # confidences of the bodies in pictures, by what they are


def measure(console: Console, folder: Path, pictures: Path | None) -> dict[str, Any]:
    """Run the pipeline on all stills; print a table.

    Parameters
    ----------
    console : Console
        Console for the table.
    folder : Path
        Folder of the stills, to which missing ones are downloaded.
    pictures : Path, optional
        Folder for the stills with the people found and the boxes of the true ones drawn in.

    Returns
    -------
    dict
        Figures by still, of all with people together, and of those without.

    Raises
    ------
    DownloadError
        There is no still in the folder and none can be downloaded, or one is damaged.
    """
    with console.status(f'Downloading the stills into {folder} ...'):
        found, left_out = stills.fetch_all(folder)
    for reason in left_out:
        console.print(reason, style='yellow')
    results: dict[Path, tuple[Still, _Bodies]] = {}
    with Pipeline.create(**PHOTO_SETTINGS) as pipeline:
        for path, still in track(found.items(), 'Processing', console=console, transient=True):
            results[path] = still, _process(pipeline, path, still, pictures)
    peopled = [each for each in results.values() if each[0].people]
    empty = [bodies for still, bodies in results.values() if not still.people]
    figures = {
        'stills': {path.name: _figures([result]) for path, result in results.items()},
        'with people': _figures(peopled),
        'without people': _empty_figures(empty),
        'left out': left_out,
    }
    _print(console, figures)
    return figures


def _process(pipeline: Pipeline, path: Path, still: Still, pictures: Path | None) -> _Bodies:
    """Find the people in a still; draw them if there is a folder for pictures."""
    try:
        bgr = read_photo(path)
    except PhotoError as error:
        raise DownloadError(f'{error}, or remove it and try again') from error
    rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
    size = (rgb.shape[1], rgb.shape[0])
    camera = Camera.from_field_of_view(ASSUMED_FIELD_OF_VIEW, *size)
    pipeline.reset()
    people = pipeline(rgb, camera, 0.0)
    bodies = [_to_body(human, camera) for human in people]
    matches = match(bodies, _to_array(still.people), _to_array(still.ignored), size)
    if pictures is not None:
        for box in still.people:
            draw_box(rgb, np.array(box), 'person', MIDDLE)
        write_picture(pictures / path.name, draw_people(rgb, people, pipeline.body, camera))
    found: dict[Match, list[float]] = {kind: [] for kind in Match}
    for human, kind in zip(people, matches, strict=True):
        found[kind].append(human.confidence)
    return found


def _to_body(human: Human, camera: Camera) -> Body:
    """Return where a person is in the picture."""
    trunk = human.joints[list(TRUNK)]
    return Body(human.box, camera.project(trunk[trunk[:, 2] > 0]))


def _to_array(boxes: Sequence[Box]) -> Array:
    """Return boxes (N, 4)."""
    return np.array(boxes, float).reshape(-1, 4)


def _figures(results: Sequence[tuple[Still, _Bodies]]) -> dict[str, float]:
    """Return the numbers of people and of bodies of each kind, and median confidences."""
    bodies = {kind: [c for _, found in results for c in found[kind]] for kind in Match}
    wrong = [confidence for kind in _WRONG for confidence in bodies[kind]]
    return {
        'people': sum(len(still.people) for still, _ in results),
        **{kind.value: len(confidences) for kind, confidences in bodies.items()},
        'confidence': _median(bodies[Match.FOUND]),
        'confidence of wrong': _median(wrong),
    }


def _empty_figures(results: Sequence[_Bodies]) -> dict[str, int]:
    """Return the number of pictures without people, and of those in which bodies are found."""
    highest = [max(found[Match.FALSE], default=-1.0) for found in results]
    return {
        'pictures': len(results),
        'with bodies': sum(value >= 0 for value in highest),
        'with confident bodies': sum(value >= _CONFIDENT for value in highest),
    }


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else math.nan


def _print(console: Console, figures: dict[str, Any]) -> None:
    """Print the table of stills with people or bodies, and a summary."""
    table = Table('picture', *figures['with people'])
    table.title = 'People in stills'
    table.caption = (
        'bodies: found; duplicate, a second one of a person; between, on several people; ignored, '
        'on uncounted people; false, on no person; median confidence of those found, and of '
        'duplicate, between and false ones'
    )
    for name, row in {**figures['stills'], 'with people': figures['with people']}.items():
        if row['people'] or not math.isnan(row['confidence of wrong']):
            cells = (str(n) if isinstance(n, int) else f'{n:.2f}' for n in row.values())
            table.add_row(name, *(cell.replace('nan', '') for cell in cells))
    console.print(table)
    empty = figures['without people']
    console.print(
        f'{empty["pictures"]} pictures without people: bodies in {empty["with bodies"]}, with a '
        f'confidence of at least {_CONFIDENT} in {empty["with confident bodies"]}'
    )
