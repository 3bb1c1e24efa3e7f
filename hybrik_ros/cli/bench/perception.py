"""`hybrik bench perception`: accuracy and speed of the pipeline on real footage."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.optimize import linear_sum_assignment

from hybrik_ros.arrays import Array
from hybrik_ros.camera import Camera
from hybrik_ros.cli.bench import footage
from hybrik_ros.cli.bench.footage import Clip, Image
from hybrik_ros.cli.bench.measures import (
    TRUE_JOINTS,
    bone_deviation,
    jitter,
    mean_distance,
    pa_mpjpe,
    root_relative,
    switches,
)
from hybrik_ros.cli.pictures import write_contact_sheet
from hybrik_ros.human import Human
from hybrik_ros.inference import open_runner
from hybrik_ros.perception import blazepose, detector
from hybrik_ros.perception.blazepose import BlazePose, Landmarks
from hybrik_ros.perception.detector import PersonDetector
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.settings import Settings
from hybrik_ros.share import share_path
from hybrik_ros.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS

_Trajectory = dict[int, Human]  # estimates of one real person, by frame number

_PARTS = ('shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')
_SIDES = ('left', 'right')
_SMPL = [JOINT_NAMES.index(f'{side}_{part}') for part in _PARTS for side in _SIDES]
_BLAZEPOSE = [getattr(blazepose, f'{s}_{p}'.upper()) for p in _PARTS for s in _SIDES]
# Upper arms, forearms, thighs and shanks: indices of their ends in the joints above.
_BONES = ([0, 1, 2, 3, 6, 7, 8, 9], [2, 3, 4, 5, 8, 9, 10, 11])

# Maximum mean distance of a person from the true joints in the image, relative to the height of the
# skeleton.
_MAX_MISS = 0.25
_NEW_TRAJECTORY_COST = 1e6  # assignment cost of a trajectory without estimates in pixels
_MILLIMETRES = 1e3
_VGA = (480, 640)  # height and width in pixels
_MAX_PEOPLE = 2  # maximum number of people in the timed images
_MAN = np.s_[240:1320, 180:900]  # region of camera 1's images that always contains the man


@dataclass(frozen=True, eq=False)
class _Truth:
    """Ground truth of the man.

    Attributes
    ----------
    joints : ndarray
        Joints (frames, 12, 3) in metres in the camera's optical frame.
    """

    joints: Array

    def nearest(self, number: int, people: Sequence[Human]) -> Human | None:
        """Return the person nearest to the man in a frame; None if none is near enough."""
        rays = self.joints[number, :, :2] / self.joints[number, :, 2:]

        def miss(human: Human) -> float:
            joints = human.joints[_SMPL]
            away = np.linalg.norm(joints[:, :2] - rays * joints[:, 2:], axis=1).mean()
            return float(away / np.ptp(joints[:, 1]))

        found = min(people, key=miss, default=None)
        return found if found is not None and miss(found) < _MAX_MISS else None


def measure(console: Console, folder: Path, pictures: Path | None) -> dict[str, Any]:
    """Run the pipeline on all clips; print tables.

    Parameters
    ----------
    console : Console
        Console for the tables.
    folder : Path
        Folder of the footage, to which missing files are downloaded.
    pictures : Path, optional
        Folder for a contact sheet of each clip.

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
    figures: dict[str, Any] = {}
    with Pipeline.create() as pipeline:
        for clip in track(clips, 'Processing clips', console=console, transient=True):
            frames = _run_pipeline(pipeline, clip)
            truth = _load_truth(clip)
            figures[clip.name] = {'hybrik_ros': _pipeline_figures(clip, frames, truth)}
            if clip.people == 1:
                raw = _run_raw(clip)
                figures[clip.name]['raw'] = _raw_figures(raw, truth, len(frames))
            if pictures is not None:
                path = pictures / f'{clip.name.replace(", ", " ").replace(" ", "_")}.png'
                write_contact_sheet(clip.frames(), frames, pipeline.body, clip.camera, path)
    _print_accuracy(console, figures)
    with ExitStack() as stack, console.status('Timing ...'):
        pipelines = [stack.enter_context(Pipeline.create()) for _ in range(_MAX_PEOPLE)]
        milliseconds = _time(pipelines, clips[0], console)
    return {'clips': figures, 'milliseconds': milliseconds}


def _load_truth(clip: Clip) -> _Truth | None:
    """Return the ground truth of a clip; None outside a source tree, or if there is none."""
    if clip.extrinsics is None:
        return None
    try:
        path = share_path('test/data/pose2sim_ground_truth.npz')
    except FileNotFoundError:
        return None
    with np.load(path) as stored:
        names = list(stored['joint_names'])
        joints = stored['joints_world'][:, [names.index(name) for name in TRUE_JOINTS]]
        rotation, translation = clip.extrinsics
        if clip.number <= len(stored['camera_translations']):
            # The extrinsics with which the joints were triangulated.
            rotation = cv2.Rodrigues(stored['camera_rotation_vectors'][clip.number - 1])[0]
            translation = stored['camera_translations'][clip.number - 1]
    return _Truth(joints @ rotation.T + translation)


def _run_pipeline(pipeline: Pipeline, clip: Clip) -> dict[int, list[Human]]:
    """Return the people in each frame, by its number."""
    pipeline.reset()
    return {
        number: pipeline(picture, clip.camera, number / clip.rate)
        for number, picture in clip.frames()
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


def _pipeline_figures(
    clip: Clip, frames: dict[int, list[Human]], truth: _Truth | None
) -> dict[str, Any]:
    """Return the metrics of the pipeline's people."""
    trajectories: list[_Trajectory] = [{} for _ in range(clip.people)]
    for number, people in frames.items():
        man = truth.nearest(number, people) if truth else None
        if man is not None:
            trajectories[0][number] = man
        unknown = trajectories[1:] if truth else trajectories
        others = [human for human in people if human is not man]
        for trajectory, human in _assign(unknown, others):
            trajectory[number] = human
    subject = trajectories[0]
    tracked = [all(number in trajectory for trajectory in trajectories) for number in frames]
    joints = _stack([human.joints[_SMPL] for human in subject.values()])
    ids = [[human.id for human in trajectory.values()] for trajectory in trajectories]
    return {
        'frames tracked': float(np.mean(tracked)),
        'id switches': sum(switches(each) for each in ids),
        'ids': len({human.id for people in frames.values() for human in people}),
        'jitter in space': _MILLIMETRES * jitter(joints, list(subject)),
        **_accuracy(joints, list(subject), truth),
        'bone SD': _MILLIMETRES * _frozen_bone_deviation(list(subject.values())),
    }


def _assign(
    trajectories: Sequence[_Trajectory], people: Sequence[Human]
) -> Iterator[tuple[_Trajectory, Human]]:
    """Yield the assignment of people, largest first, to the trajectories nearest in the image."""

    def centre(human: Human) -> Array:
        return (human.box[:2] + human.box[2:]) / 2

    def distance(trajectory: _Trajectory, human: Human) -> float:
        last = next(reversed(trajectory.values()), None)
        return float(np.linalg.norm(centre(human) - centre(last))) if last else _NEW_TRAJECTORY_COST

    people = sorted(people, key=lambda human: -np.prod(human.box[2:] - human.box[:2]))
    if trajectories and people:
        cost = [[distance(trajectory, human) for human in people] for trajectory in trajectories]
        for row, column in zip(*linear_sum_assignment(cost), strict=True):
            yield trajectories[row], people[column]


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


def _raw_figures(
    raw: dict[int, Landmarks], truth: _Truth | None, num_frames: int
) -> dict[str, Any]:
    """Return the metrics of raw landmarks."""
    joints = _stack([landmarks.world[_BLAZEPOSE] for landmarks in raw.values()])
    return {
        'frames tracked': len(raw) / num_frames,
        **_accuracy(joints, list(raw), truth),
        'bone SD': _MILLIMETRES * bone_deviation(joints, *_BONES),
    }


def _accuracy(joints: Array, numbers: list[int], truth: _Truth | None) -> dict[str, float]:
    """Return jitter and, with ground truth, PA-MPJPE and root-relative MPJPE in millimetres."""
    relative = root_relative(joints)
    figures = {'jitter': _MILLIMETRES * jitter(relative, numbers)}
    if truth is not None:
        true = truth.joints[numbers]
        figures['PA-MPJPE'] = _MILLIMETRES * pa_mpjpe(joints, true)
        figures['MPJPE'] = _MILLIMETRES * mean_distance(relative, root_relative(true))
    return figures


# Header and format of each column of the table.
_COLUMNS = {
    'frames tracked': ('tracked', '{:.1%}'), 'id switches': ('switches', '{}'),
    'ids': ('ids', '{}'), 'PA-MPJPE': ('PA-MPJPE', '{:.1f}'), 'MPJPE': ('MPJPE', '{:.1f}'),
    'jitter': ('jitter', '{:.1f}'), 'bone SD': ('bones', '{:.1f}'),
}  # fmt: skip


def _print_accuracy(console: Console, figures: dict[str, Any]) -> None:
    """Print the table of metrics."""
    table = Table('clip', '', *(head for head, _ in _COLUMNS.values()))
    table.title = 'People in real footage'
    table.caption = (
        'tracked: frames in which all people are tracked; PA-MPJPE, MPJPE (root-relative): mm; '
        'jitter: mean second difference, mm/frame²; bones: standard deviation of lengths, mm'
    )
    for clip, by_source in figures.items():
        for source, values in by_source.items():
            cells = [form.format(values[name]) if name in values else ''
                     for name, (_, form) in _COLUMNS.items()]  # fmt: skip
            table.add_row(clip if source == 'hybrik_ros' else '', source, *cells)
    console.print(table)


def _time(pipelines: Sequence[Pipeline], clip: Clip, console: Console) -> dict[str, Any]:
    """Time the pipeline on 640x480 images with one person, two, ..., in alternation."""
    camera = Camera.from_field_of_view(60, _VGA[1], _VGA[0])
    times: list[list[dict[str, float]]] = [[] for _ in pipelines]
    for number, picture in clip.frames():
        for people, (pipeline, rows) in enumerate(zip(pipelines, times, strict=True), start=1):
            scene = _side_by_side(picture, people)
            start = time.perf_counter()
            found = pipeline(scene, camera, number / clip.rate)
            stages = {'whole frame': time.perf_counter() - start, **pipeline.stage_seconds}
            if len(found) == people:
                rows.append(stages)
    figures = {}
    for people, rows in enumerate(times, start=1):
        figures[f'{people} in the image'] = {
            stage: 1e3 * float(np.median([row[stage] for row in rows if stage in row]))
            for stage in dict.fromkeys(stage for row in rows for stage in row)
        }
    table = Table('', *dict.fromkeys(stage for row in figures.values() for stage in row))
    table.title = 'Time for 640x480 on one thread: ms, median of the frames with the stage'
    for name, row in figures.items():
        table.add_row(name, *(f'{value:.1f}' for value in row.values()))
    console.print(table)
    return figures


def _side_by_side(picture: Image, people: int) -> Image:
    """Return a 640x480 picture of several copies of the man, every other one mirrored."""
    height, width = _VGA
    size = (width // _MAX_PEOPLE, height)
    man = cv2.resize(picture[_MAN], size, interpolation=cv2.INTER_AREA)
    scene = np.zeros((height, width, 3), np.uint8)
    for place in range(people):
        scene[:, place * size[0] : (place + 1) * size[0]] = man[:, :: -1 if place % 2 else 1]
    return scene
