"""Runs of the pipeline over clips, and which of the people it finds is which real person."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from hybrik_ros.arrays import Array
from hybrik_ros.cli.bench.covering import Excerpt
from hybrik_ros.cli.bench.footage import Clip
from hybrik_ros.cli.bench.measures import TRUE_JOINTS
from hybrik_ros.cli.bench.triangulation import PersonView, triangulate
from hybrik_ros.cli.bench.truth import BLAZEPOSE, Truth
from hybrik_ros.human import Human, HumanObservation
from hybrik_ros.pipeline import Pipeline

Trajectory = dict[int, Human]  # estimates of one real person, by frame number

_NEW_TRAJECTORY_COST = 1e6  # assignment cost of a trajectory without estimates in pixels


@dataclass(frozen=True, eq=False)
class Run:
    """What the pipeline found in a clip.

    Attributes
    ----------
    clip : Clip
        The clip.
    frames : dict
        The people in each frame, by its number.
    observations : dict
        What they were posed from.
    """

    clip: Clip
    frames: dict[int, list[Human]]
    observations: dict[int, list[HumanObservation]]

    def follow(self, man: Truth | None) -> list[Trajectory]:
        """Return the trajectories of the clip's people; with ground truth, the first is the man."""
        trajectories: list[Trajectory] = [{} for _ in range(self.clip.people)]
        unknown = trajectories[1:] if man else trajectories
        for number, people in self.frames.items():
            found = man.nearest(number, people) if man else None
            if found is not None:
                trajectories[0][number] = found
            others = [human for human in people if human is not found]
            for trajectory, human in _assign(unknown, others):
                trajectory[number] = human
        return trajectories

    def view(self, number: int, human: Human) -> PersonView:
        """Return where a human of a frame is in the image."""
        assert self.clip.extrinsics is not None
        observation = self._observation(number, human)
        return PersonView(
            *self.clip.extrinsics,
            observation.rays[BLAZEPOSE],
            observation.landmark_confidence[BLAZEPOSE],
        )

    def only(self, trajectory: Trajectory) -> 'Run':
        """Return the run with one person and the frames of that person alone."""
        return replace(
            self,
            frames={number: [human] for number, human in trajectory.items()},
            observations={
                number: [self._observation(number, human)] for number, human in trajectory.items()
            },
        )

    def renumber(self, numbers: Mapping[int, int]) -> 'Run':
        """Return a run that has, in each frame (key), what the camera saw in another (value)."""
        return replace(
            self,
            frames={number: self.frames[seen] for number, seen in numbers.items()},
            observations={number: self.observations[seen] for number, seen in numbers.items()},
        )

    def _observation(self, number: int, human: Human) -> HumanObservation:
        """Return what a human of a frame was posed from."""
        return self.observations[number][self.frames[number].index(human)]


def run_pipeline(pipeline: Pipeline, clip: Clip, excerpt: Excerpt | None = None) -> Run:
    """Run the pipeline over all frames of a clip, or over a part of its pictures."""
    pipeline.reset()
    run = Run(clip, {}, {})
    camera = clip.camera if excerpt is None else excerpt.camera(clip.camera)
    for number, picture in clip.frames():
        shown = picture if excerpt is None else excerpt.picture(picture)
        run.frames[number] = pipeline(shown, camera, number / clip.rate)
        run.observations[number] = pipeline.human_observations
    return run


def triangulate_person(sources: Sequence[tuple[Run, Trajectory]]) -> Array:
    """Return the joints of a person in the images of several cameras of the same time.

    Parameters
    ----------
    sources : sequence of (Run, Trajectory)
        The run of each camera and the person's trajectory in it.

    Returns
    -------
    ndarray
        Joints (frames, 12, 3) in metres in the world; NaN where unknown.
    """
    joints = []
    for number in range(1 + max(max(run.frames) for run, _ in sources)):
        views = [
            run.view(number, trajectory[number])
            for run, trajectory in sources
            if number in trajectory
        ]
        joints.append(triangulate(views, len(TRUE_JOINTS)))
    return np.array(joints)


def _assign(
    trajectories: Sequence[Trajectory], people: Sequence[Human]
) -> Iterator[tuple[Trajectory, Human]]:
    """Yield the assignment of people, largest first, to the trajectories nearest in the image."""

    def centre(human: Human) -> Array:
        return (human.box[:2] + human.box[2:]) / 2

    def distance(trajectory: Trajectory, human: Human) -> float:
        last = next(reversed(trajectory.values()), None)
        return float(np.linalg.norm(centre(human) - centre(last))) if last else _NEW_TRAJECTORY_COST

    people = sorted(people, key=lambda human: -np.prod(human.box[2:] - human.box[:2]))
    if trajectories and people:
        cost = [[distance(trajectory, human) for human in people] for trajectory in trajectories]
        for row, column in zip(*linear_sum_assignment(cost), strict=True):
            yield trajectories[row], people[column]
