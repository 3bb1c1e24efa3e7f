"""`hybrik bench perception`: accuracy, reliability and speed of the pipeline on real footage."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from hybrik_ros.cli.bench import delay, footage, ghosts, reliability, stage_times
from hybrik_ros.cli.bench.clip_accuracy import (
    person_figures,
    pipeline_figures,
    print_accuracy,
    raw_figures,
)
from hybrik_ros.cli.bench.diagram import draw_reliability
from hybrik_ros.cli.bench.footage import Clip
from hybrik_ros.cli.bench.runs import Run, Trajectory, run_pipeline, triangulate_person
from hybrik_ros.cli.bench.truth import Truth, load_man
from hybrik_ros.cli.pictures import write_contact_sheet, write_picture
from hybrik_ros.pipeline import Pipeline

_PAIR = 2  # number of people in the clips that show the woman beside the man
_MIN_CAMERAS = 2  # minimum number of cameras to triangulate the woman's joints


def measure(console: Console, folder: Path, pictures: Path | None) -> dict[str, Any]:
    """Run the pipeline on all clips and on pictures made from them; print tables.

    Parameters
    ----------
    console : Console
        Console for the tables.
    folder : Path
        Folder of the footage, to which missing files are downloaded.
    pictures : Path, optional
        Folder for a contact sheet of each clip, and for the reliability diagram.

    Returns
    -------
    dict
        Figures by table.

    Raises
    ------
    DownloadError
        The footage is not in the folder and cannot be downloaded.
    """
    with console.status(f'Downloading the footage into {folder} ...'):
        clips = footage.clips(folder)
    with Pipeline.create() as pipeline:
        runs = []
        for clip in track(clips, 'Processing clips', console=console, transient=True):
            runs.append(run_pipeline(pipeline, clip))
            if pictures is not None:
                path = pictures / f'{clip.name.replace(", ", " ").replace(" ", "_")}.png'
                frames = runs[-1].frames
                write_contact_sheet(clip.frames(), frames, pipeline.body, clip.camera, path)
        people, accuracy = _measure_accuracy(console, runs)
        print_accuracy(console, accuracy)
        confidence = _measure_confidence(console, pipeline, clips, people, pictures)
        found = ghosts.measure_clips(runs, people)
        found |= ghosts.measure_situations(console, pipeline, clips, people)
        ghosts.print_ghosts(console, found)
        delays = delay.measure(console, pipeline, clips)
    return {
        'clips': accuracy,
        'confidence': confidence,
        'ghosts': found,
        'delay': delays,
        'milliseconds': stage_times.measure(console, clips[0]),
    }


def _measure_accuracy(
    console: Console, runs: Sequence[Run]
) -> tuple[dict[str, list[Truth]], dict[str, Any]]:
    """Return the ground truth of the people, and the metrics by source, by name of the clip."""
    men = {run.clip.name: load_man(run.clip) for run in runs}
    followed = [(run, run.follow(men[run.clip.name])) for run in runs]
    women = _triangulate_women([(run, found) for run, found in followed if men[run.clip.name]])
    figures: dict[str, Any] = {}
    people: dict[str, list[Truth]] = {}
    for run, trajectories in track(followed, 'Measuring', console=console, transient=True):
        name = run.clip.name
        man, woman = men[name], women.get(name)
        people[name] = [truth for truth in (man, woman) if truth is not None]
        figures[name] = {'hybrik_ros': pipeline_figures(run, trajectories, man)}
        if woman is not None:
            figures[name]['woman'] = person_figures(trajectories[1], woman)
        if run.clip.people == 1:
            figures[name]['raw'] = raw_figures(run.clip, man, len(run.frames))
    return people, figures


def _triangulate_women(followed: Sequence[tuple[Run, list[Trajectory]]]) -> dict[str, Truth]:
    """Return the woman's joints by name of the clip, if enough cameras see her."""
    sources = [(run, people[1]) for run, people in followed if run.clip.people == _PAIR]
    if len(sources) < _MIN_CAMERAS:
        return {}
    joints = triangulate_person(sources)
    truths = {}
    for run, _ in sources:
        assert run.clip.extrinsics is not None
        rotation, translation = run.clip.extrinsics
        truths[run.clip.name] = Truth(joints @ rotation.T + translation)
    return truths


def _measure_confidence(
    console: Console,
    pipeline: Pipeline,
    clips: Sequence[Clip],
    people: Mapping[str, list[Truth]],
    pictures: Path | None,
) -> dict[str, Any]:
    """Return the reliability of the confidence; empty without ground truth."""
    known = [clip for clip in clips if clip.number and len(people[clip.name]) == clip.people]
    if not known:
        return {}
    samples = reliability.collect(console, pipeline, known, people)
    total = reliability.summarise([sample for each in samples.values() for sample in each])
    by_excerpt = {name: reliability.summarise(each) for name, each in samples.items()}
    reliability.print_reliability(console, total, by_excerpt)
    if pictures is not None:
        write_picture(pictures / 'reliability.png', draw_reliability(total['bins']))
    return {'all': total, **by_excerpt}
