"""Runs of the fusion over what the pipeline found in several cameras of the same time."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from hybrik_ros.arrays import Array
from hybrik_ros.cli.bench.footage import Clip
from hybrik_ros.cli.bench.runs import Run
from hybrik_ros.confidence import MAIN_JOINTS
from hybrik_ros.fusion import Fusion, View, person
from hybrik_ros.human import Human

# Maximum mean distance in metres of a person's joints from the true ones.
_MAX_MISS = 0.5
_FAR = 1e6  # cost in metres of a person whose joints are unknown


@dataclass(frozen=True, eq=False)
class FusedRun:
    """What the fusion found, by number of the frame.

    Attributes
    ----------
    frames : dict
        The people in each frame, in the world.
    cameras : dict
        Names of the clips that show each of them.
    seconds : dict
        Duration of each frame, and of the part of it that is not the solver.
    """

    frames: dict[int, list[Human]] = field(default_factory=dict)
    cameras: dict[int, list[set[str]]] = field(default_factory=dict)
    seconds: dict[int, tuple[float, float]] = field(default_factory=dict)


def world_from_camera(clip: Clip) -> Array:
    """Return the transform (4, 4) from a clip's optical frame to the world."""
    assert clip.extrinsics is not None
    rotation, translation = clip.extrinsics
    transform = np.eye(4)
    transform[:3, :3], transform[:3, 3] = rotation.T, -rotation.T @ translation
    return transform


def fuse(runs: Sequence[Run], *, bodies: bool = False, lag: int = 0) -> FusedRun:
    """Fuse runs of the pipeline over clips of the same time.

    Parameters
    ----------
    runs : sequence of Run
        The run of each camera; cameras without a frame of a number are silent then.
    bodies : bool
        Whether to use the posed bodies, as HumanMesh has them, in place of the observations.
    lag : int
        Number of frames before that of the newest image that is fused.
    """
    fusion, found, rate = Fusion(), FusedRun(), runs[0].clip.rate
    for number in sorted({number for run in runs for number in run.frames}):
        views = {
            run.clip.name: View(
                number / rate,
                world_from_camera(run.clip),
                run.frames[number] if bodies else run.observations[number],
            )
            for run in runs
            if number in run.frames
        }
        with _solver_seconds() as solving:
            start = time.perf_counter()
            humans = fusion(views, (number - lag) / rate)
            whole = time.perf_counter() - start
        found.frames[number - lag] = humans
        seen_by = {person.id: {sight.camera for sight in person.sights} for person in fusion.people}
        found.cameras[number - lag] = [seen_by[human.id] for human in humans]
        found.seconds[number - lag] = (whole, whole - sum(solving))
    return found


@contextmanager
def _solver_seconds() -> Iterator[list[float]]:
    """Collect the duration of each call of the solver by the fusion."""
    solve, seconds = person.solve_body, []

    def timed(*args: object) -> object:
        start = time.perf_counter()
        try:
            return solve(*args)  # type: ignore[arg-type]
        finally:
            seconds.append(time.perf_counter() - start)

    person.solve_body = timed  # type: ignore[assignment]
    try:
        yield seconds
    finally:
        person.solve_body = solve


def identify(
    frames: Mapping[int, Sequence[Human]], truths: Sequence[Array]
) -> list[dict[int, Human]]:
    """Return which of the found people each real one is, by number of the frame.

    Parameters
    ----------
    frames : mapping
        The people found in each frame.
    truths : sequence of ndarray
        True joints (frames, 12, 3) of each real person, in the same frame of reference.
    """
    found: list[dict[int, Human]] = [{} for _ in truths]
    for number, humans in frames.items():
        if not humans:
            continue
        joints = np.stack([human.joints[MAIN_JOINTS] for human in humans])
        costs = np.array([_distances(joints, truth[number]) for truth in truths])
        for row, column in zip(*linear_sum_assignment(costs), strict=True):
            if costs[row, column] < _MAX_MISS:
                found[row][number] = humans[column]
    return found


def _distances(joints: Array, truth: Array) -> Array:
    """Return the mean distance (N) of people's joints (N, 12, 3) from the true ones (12, 3)."""
    away = np.linalg.norm(joints - truth, axis=2).mean(axis=1)
    return np.asarray(np.where(np.isfinite(away), away, _FAR))
