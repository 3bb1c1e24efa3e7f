"""Ghosts: bodies of a confidence of at least 0.5 where the picture shows no person."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import track
from rich.table import Table

from hybrik_ros.arrays import Array
from hybrik_ros.camera import Camera
from hybrik_ros.cli.bench.footage import Clip
from hybrik_ros.cli.bench.marks import is_marked, people_in, shows_person
from hybrik_ros.cli.bench.runs import Run
from hybrik_ros.cli.bench.situations import Shot, cut, empty_pictures, leave
from hybrik_ros.cli.bench.truth import Truth
from hybrik_ros.human import Human
from hybrik_ros.pipeline import Pipeline

_CONFIDENT = 0.5  # minimum confidence of a ghost
_RATES = (3.0, 10.0, 30.0)  # of made situations, in pictures per second
# Clips that a cut ends, and clips that move until their people are out of the picture.
_CUT = ('man, camera 1', 'pair, camera 2', 'pair, camera 4', 'walk')
_LEAVING = ('man, camera 3', 'man, camera 4')


class JudgedBody(NamedTuple):
    """A body in a picture.

    Attributes
    ----------
    id : str
        Id of its track.
    confidence : float
        Its confidence.
    shows_person : bool
        Whether there is a person.
    """

    id: str
    confidence: float
    shows_person: bool

    @property
    def is_ghost(self) -> bool:
        """Whether it is confident and shows no person."""
        return self.confidence >= _CONFIDENT and not self.shows_person


class Series(NamedTuple):
    """The bodies in successive pictures.

    Attributes
    ----------
    rate : float
        Pictures per second.
    pictures : sequence of sequence of JudgedBody
        The bodies in each picture.
    """

    rate: float
    pictures: Sequence[Sequence[JudgedBody]]


def summarise(series: Sequence[Series]) -> dict[str, Any]:
    """Return the numbers of bodies and ghosts, the share of ghosts, and how long one lasts.

    Parameters
    ----------
    series : sequence of Series
        Series of pictures.

    Returns
    -------
    dict
        Figures; the seconds are the pictures that one ghost is in without a gap, times their
        period.
    """
    bodies = [body for each in series for picture in each.pictures for body in picture]
    ghosts = sum(body.is_ghost for body in bodies)
    return {
        'pictures': sum(len(each.pictures) for each in series),
        'bodies': len(bodies),
        'ghosts': ghosts,
        'share': ghosts / len(bodies) if bodies else 0.0,
        'longest, s': max((_longest(each.pictures) / each.rate for each in series), default=0.0),
    }


def _longest(pictures: Iterable[Sequence[JudgedBody]]) -> int:
    """Return the maximum number of successive pictures that one ghost is in."""
    lasting: dict[str, int] = {}
    longest = 0
    for picture in pictures:
        ghosts = [body.id for body in picture if body.is_ghost]
        lasting = {name: lasting.get(name, 0) + 1 for name in ghosts}
        longest = max([longest, *lasting.values()])
    return longest


def measure_clips(
    runs: Sequence[Run], people: Mapping[str, Sequence[Truth]]
) -> dict[str, dict[str, Any]]:
    """Return the figures of the clips in which the places of all people are known.

    Parameters
    ----------
    runs : sequence of Run
        Runs of the pipeline.
    people : mapping
        Ground truth of the people, by name of the clip.
    """
    figures = {}
    for run in runs:
        clip, truths = run.clip, people.get(run.clip.name, [])
        if is_marked(clip, truths):
            pictures = [
                _judge(humans, people_in(clip, truths, number))
                for number, humans in run.frames.items()
            ]
            figures[clip.name] = summarise([Series(clip.rate, pictures)])
    return figures


def measure_situations(
    console: Console,
    pipeline: Pipeline,
    clips: Sequence[Clip],
    people: Mapping[str, Sequence[Truth]],
) -> dict[str, dict[str, Any]]:
    """Return the figures of made situations by name and rate.

    Parameters
    ----------
    console : Console
        Console for the progress.
    pipeline : Pipeline
        The pipeline.
    clips : sequence of Clip
        All clips.
    people : mapping
        Ground truth of the people, by name of the clip.
    """
    series: dict[tuple[str, float], list[Series]] = {}
    empty = empty_pictures(clips)
    made = [clip for clip in clips if clip.name in (*_CUT, *_LEAVING)]
    for clip in track(made, 'Looking for ghosts', console=console, transient=True):
        truths = people.get(clip.name, [])
        if not is_marked(clip, truths):
            continue
        frames = list(clip.frames())
        boxes = partial(people_in, clip, truths)
        for rate in _RATES:
            if clip.name in _CUT:
                shots = [cut(frames, boxes, clip, picture, rate) for picture in empty]
                found = [_run(pipeline, clip.camera, each, rate) for each in shots]
                series.setdefault(('cut to pictures without people', rate), []).extend(found)
            if clip.name in _LEAVING:
                shots = [leave(frames, boxes, clip, direction, rate) for direction in (-1, 1)]
                found = [_run(pipeline, clip.camera, each, rate) for each in shots]
                series.setdefault(('leaving the picture', rate), []).extend(found)
    return {f'{name}, {rate:.0f}/s': summarise(each) for (name, rate), each in series.items()}


def _run(pipeline: Pipeline, camera: Camera, shots: Iterable[Shot], rate: float) -> Series:
    """Return the bodies that the pipeline finds in pictures."""
    pipeline.reset()
    pictures = []
    for index, shot in enumerate(shots):
        pictures.append(_judge(pipeline(shot.picture, camera, index / rate), shot.people))
    return Series(rate, pictures)


def _judge(humans: Sequence[Human], people: Array) -> list[JudgedBody]:
    """Return the bodies of a picture with people in boxes (N, 4)."""
    return [JudgedBody(h.id, h.confidence, shows_person(h.box, people)) for h in humans]


def print_ghosts(console: Console, figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the table of ghosts."""
    formats: dict[str, Callable[[Any], str]] = {
        'pictures': str,
        'bodies': str,
        'ghosts': str,
        'share': '{:.1%}'.format,
        'longest, s': '{:.2f}'.format,
    }
    table = Table('', *formats, title='Ghosts')
    table.caption = (
        f'ghosts: bodies of a confidence of at least {_CONFIDENT} where the picture shows no '
        'person; share: of all bodies; longest: maximum number of successive pictures with one '
        'ghost, times their period'
    )
    for name, row in figures.items():
        table.add_row(name, *(text(row[key]) for key, text in formats.items()))
    console.print(table)
