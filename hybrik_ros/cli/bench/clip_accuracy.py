"""Accuracy of the people found in clips, and of raw landmarks for comparison."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from hybrik_ros.arrays import Array
from hybrik_ros.cli.bench.footage import Clip
from hybrik_ros.cli.bench.measures import (
    BONES,
    bone_deviation,
    jitter,
    mean_distance,
    pa_mpjpe,
    root_relative,
    switches,
)
from hybrik_ros.cli.bench.runs import Run, Trajectory
from hybrik_ros.cli.bench.truth import BLAZEPOSE, Truth
from hybrik_ros.confidence import MAIN_JOINTS
from hybrik_ros.human import Human
from hybrik_ros.inference import open_runner
from hybrik_ros.perception import blazepose, detector
from hybrik_ros.perception.blazepose import BlazePose, Landmarks
from hybrik_ros.perception.detector import PersonDetector
from hybrik_ros.settings import Settings
from hybrik_ros.skeleton import NUM_JOINTS, PARENTS

_MILLIMETRES = 1e3


def pipeline_figures(
    run: Run, trajectories: Sequence[Trajectory], man: Truth | None
) -> dict[str, Any]:
    """Return the metrics of all people, and the accuracy of the first one.

    Parameters
    ----------
    run : Run
        Run of the pipeline.
    trajectories : sequence of Trajectory
        The clip's people.
    man : Truth or None
        Ground truth of the first one.
    """
    subject = trajectories[0]
    tracked = [all(number in each for each in trajectories) for number in run.frames]
    joints = _stack([human.joints[MAIN_JOINTS] for human in subject.values()])
    ids = [[human.id for human in trajectory.values()] for trajectory in trajectories]
    return {
        'frames tracked': float(np.mean(tracked)),
        'id switches': sum(switches(each) for each in ids),
        'ids': len({human.id for people in run.frames.values() for human in people}),
        'jitter in space': _MILLIMETRES * jitter(joints, list(subject)),
        **_accuracy(joints, list(subject), man),
        'bone SD': _MILLIMETRES * _frozen_bone_deviation(list(subject.values())),
    }


def person_figures(trajectory: Trajectory, truth: Truth) -> dict[str, float]:
    """Return the accuracy of one more person."""
    joints = _stack([human.joints[MAIN_JOINTS] for human in trajectory.values()])
    return _accuracy(joints, list(trajectory), truth)


def raw_figures(clip: Clip, truth: Truth | None, num_frames: int) -> dict[str, Any]:
    """Return the metrics of raw landmarks in a clip of one person."""
    raw = _run_raw(clip)
    joints = _stack([landmarks.world[BLAZEPOSE] for landmarks in raw.values()])
    return {
        'frames tracked': len(raw) / num_frames,
        **_accuracy(joints, list(raw), truth),
        'bone SD': _MILLIMETRES * bone_deviation(joints, *BONES),
    }


def _run_raw(clip: Clip) -> dict[int, Landmarks]:
    """Track one person as MediaPipe does: each region follows from the previous landmarks."""
    settings = Settings()
    found: dict[int, Landmarks] = {}
    with open_runner(detector.MODEL) as finder, open_runner(blazepose.MODEL) as network:
        detect = PersonDetector(finder, settings.detector_size, settings.detector_threshold)
        estimate = BlazePose(network)
        region = None
        for number, picture in clip.frames():
            if region is None:
                people = detect(picture)
                region = people[0].region() if people else None
            for landmarks in estimate(picture, [region] if region else []):
                sure = landmarks.score >= settings.presence_threshold
                region = landmarks.next_region if sure else None
                if sure:
                    found[number] = landmarks
    return found


def _frozen_bone_deviation(humans: Sequence[Human]) -> float:
    """Return the deviation of bone lengths after the last change of the shape."""
    changes = [
        number
        for number, (before, after) in enumerate(pairwise(humans), start=1)
        if np.any(before.betas != after.betas)
    ]
    joints = _stack([human.joints for human in humans[max(changes, default=0) :]])
    return bone_deviation(joints, PARENTS[1:NUM_JOINTS], range(1, NUM_JOINTS))


def _stack(points: Sequence[Array]) -> Array:
    """Return the points of all frames as an array (N, J, 3), which may be empty."""
    return np.stack(points) if points else np.zeros((0, NUM_JOINTS, 3))


def _accuracy(joints: Array, numbers: list[int], truth: Truth | None) -> dict[str, float]:
    """Return jitter and, with ground truth, PA-MPJPE and root-relative MPJPE in millimetres."""
    relative = root_relative(joints)
    figures = {'jitter': _MILLIMETRES * jitter(relative, numbers)}
    if truth is not None:
        known = [i for i, number in enumerate(numbers) if truth.is_known(number)]
        true = truth.joints[[numbers[i] for i in known]]
        figures['PA-MPJPE'] = _MILLIMETRES * pa_mpjpe(joints[known], true)
        figures['MPJPE'] = _MILLIMETRES * mean_distance(relative[known], root_relative(true))
    return figures


# Header and format of each column of the table.
_COLUMNS = {
    'frames tracked': ('tracked', '{:.1%}'), 'id switches': ('switches', '{}'),
    'ids': ('ids', '{}'), 'PA-MPJPE': ('PA-MPJPE', '{:.1f}'), 'MPJPE': ('MPJPE', '{:.1f}'),
    'jitter': ('jitter', '{:.1f}'), 'bone SD': ('bones', '{:.1f}'),
}  # fmt: skip


def print_accuracy(console: Console, figures: Mapping[str, Any]) -> None:
    """Print the table of metrics by clip and source."""
    table = Table('clip', '', *(head for head, _ in _COLUMNS.values()))
    table.title = 'People in real footage'
    table.caption = (
        'tracked: frames in which all people are tracked; PA-MPJPE, MPJPE (root-relative): mm; '
        'jitter: mean second difference, mm/frame²; bones: standard deviation of lengths, mm. '
        "The woman's true joints are triangulated from the pipeline's own keypoints in four "
        'cameras: her errors are those of depth and consistency, not of the keypoints'
    )
    for clip, by_source in figures.items():
        for source, values in by_source.items():
            cells = [form.format(values[name]) if name in values else ''
                     for name, (_, form) in _COLUMNS.items()]  # fmt: skip
            table.add_row(clip if source == 'hybrik_ros' else '', source, *cells)
    console.print(table)
