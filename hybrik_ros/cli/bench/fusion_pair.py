"""Two people that several cameras see: whether both are found, under one id each, and no others."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hybrik_ros.arrays import Array
from hybrik_ros.camera import bounding_box
from hybrik_ros.cli.bench.footage import Clip
from hybrik_ros.cli.bench.fused_runs import FusedRun, fuse, identify
from hybrik_ros.cli.bench.fusion_accuracy import accuracy, joints_of, name_set, subsets
from hybrik_ros.cli.bench.marks import people_in, shows_person
from hybrik_ros.cli.bench.measures import switches
from hybrik_ros.cli.bench.runs import Run, triangulate_person
from hybrik_ros.cli.bench.truth import load_man
from hybrik_ros.human import Human

_COLUMNS = {
    'both': '{:.0%}', 'switches': '{}', 'ids': '{}', 'ghosts': '{}', 'abs': '{:.1f}',
    'root': '{:.1f}', 'PA': '{:.1f}', 'jitter': '{:.1f}',
}  # fmt: skip


def find_woman(runs: Sequence[Run]) -> Array:
    """Return the woman's joints (frames, 12, 3) in metres in the world, by all cameras.

    They identify her, and are triangulated from the pipeline's own keypoints. Joints that no two
    cameras agree on are interpolated between the frames before and after.
    """
    joints = triangulate_person([(run, run.follow(load_man(run.clip))[1]) for run in runs])
    filled = joints.reshape(len(joints), -1).copy()
    numbers = np.arange(len(filled))
    for column in filled.T:
        known = np.isfinite(column)
        if known.any():
            column[:] = np.interp(numbers, numbers[known], column[known])
    return filled.reshape(joints.shape)


def measure_pair(
    console: Console, runs: Sequence[Run], man: Array, woman: Array
) -> dict[str, dict[str, Any]]:
    """Return the figures of two people by set of at least two cameras; print a table.

    Parameters
    ----------
    console : Console
        Console for table and progress.
    runs : sequence of Run
        Run of each camera over the clip of two people.
    man, woman : ndarray
        Their joints (frames, 12, 3) in metres in the world.
    """
    figures = {
        name_set(chosen): pair_figures(chosen, man, woman)
        for chosen in track(subsets(runs, 2), 'Fusing the pair', console=console, transient=True)
    }
    table = Table('cameras', *_COLUMNS, title='Two people in several cameras')
    table.caption = (
        'both: frames with both people; switches: changes of an id; ids: given in all; ghosts: '
        'bodies, summed over the frames, that are neither of them nor the man in the background of '
        'cameras 1 and 2; abs to jitter: of the man, mm. Camera 3 shows him behind the woman'
    )
    for name, row in figures.items():
        table.add_row(name, *(form.format(row[key]) for key, form in _COLUMNS.items()))
    console.print(table)
    return figures


def pair_figures(runs: Sequence[Run], man: Array, woman: Array) -> dict[str, Any]:
    """Return the figures of two people by the fusion of some cameras."""
    fused = fuse(runs)
    people = identify(fused.frames, [man, woman])
    both = [all(number in person for person in people) for number in fused.frames]
    ids = [[human.id for human in person.values()] for person in people]
    return {
        'both': float(np.mean(both)),
        'switches': sum(switches(each) for each in ids),
        'ids': len({human.id for humans in fused.frames.values() for human in humans}),
        'ghosts': count_ghosts(fused, people, [run.clip for run in runs]),
        **accuracy(joints_of(people[0], fused.frames), man, runs[0].clip.rate),
    }


def count_ghosts(fused: FusedRun, people: Sequence[dict[int, Human]], clips: Sequence[Clip]) -> int:
    """Return the number of bodies, over all frames, that are no real person.

    Parameters
    ----------
    fused : FusedRun
        What the fusion found.
    people : sequence of dict
        The known people among it, by frame.
    clips : sequence of Clip
        The clips of the cameras. Another man stands in the background of some: a body is his if all
        cameras that see it show it there.
    """
    by_name = {clip.name: clip for clip in clips}
    return sum(
        all(human is not person.get(number) for person in people)
        and not all(_is_behind(human, number, by_name[name]) for name in names)
        for number, humans in fused.frames.items()
        for human, names in zip(humans, fused.cameras[number], strict=True)
    )


def _is_behind(human: Human, number: int, clip: Clip) -> bool:
    """Return whether a body in the world is in a camera's background, where another man stands."""
    assert clip.extrinsics is not None
    rotation, translation = clip.extrinsics
    joints = human.joints @ rotation.T + translation
    box = bounding_box(clip.camera.project(joints), clip.camera)
    return bool(joints[:, 2].min() > 0) and shows_person(box, people_in(clip, (), number))
