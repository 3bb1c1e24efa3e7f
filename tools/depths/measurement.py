"""What the network makes of scenes, and how it compares to the true joints."""

from dataclasses import dataclass

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.camera import Region, locate, on_rays
from hybrik_ros.cli.bench.measures import pa_mpjpe
from hybrik_ros.perception import blazepose as bp
from hybrik_ros.perception.blazepose import BlazePose, Landmarks
from hybrik_ros.perception.landmarks import LandmarkObservation, observe
from hybrik_ros.skeleton import JOINT_NAMES

from .scenes import Scene

PARTS = ('shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')
_NAMES = [f'{side}_{part}' for part in PARTS for side in ('left', 'right')]
_JOINTS = [JOINT_NAMES.index(name) for name in _NAMES]
_LANDMARKS = [bp.INDEX[name] for name in _NAMES]
_HIPS = [_NAMES.index('left_hip'), _NAMES.index('right_hip')]

_MARGIN = 1.25  # ratio of the side of the first region to the size of the body
# Mean and maximum distance of landmarks from the joints that they show, relative to the size of the
# body: beyond, the network has not seen the person, and its depths mean nothing.
_MAX_MEAN_MISS, _MAX_MISS = 0.05, 0.12


@dataclass(frozen=True, eq=False)
class Sample:
    """Landmarks of one scene, and where they are.

    Attributes
    ----------
    clip : str
        Name of the motion.
    true : ndarray
        Joints (12, 3) in metres, optical frame.
    along_axis : ndarray
        Landmarks (12, 3), on their rays, if the network's axes were those of the camera.
    observed : ndarray
        Landmarks (12, 3) as `observe` places them.
    """

    clip: str
    true: Array
    along_axis: Array
    observed: Array


def measure(network: BlazePose, scene: Scene, clip: str = '') -> Sample | None:
    """Return what the network makes of a scene; None if its landmarks miss the body."""
    [first] = network(scene.image, [Region.around(scene.box, _MARGIN)])
    [landmarks] = network(scene.image, [first.next_region])
    true = scene.joints[_JOINTS]
    away = landmarks.pixels[_LANDMARKS] - scene.camera.project(true)
    miss = np.linalg.norm(away, axis=1) / (scene.box[2:] - scene.box[:2]).max()
    if miss.mean() > _MAX_MEAN_MISS or miss.max() > _MAX_MISS:
        return None
    observation = observe(landmarks, scene.camera)
    along_axis = _place_along_axis(landmarks, observation)
    return Sample(clip, true, along_axis[_LANDMARKS], observation.points[_LANDMARKS])


def _place_along_axis(landmarks: Landmarks, observation: LandmarkObservation) -> Array:
    world, rays = landmarks.world, observation.rays
    return on_rays(rays, world[:, 2] + locate(world, rays, observation.confidence)[2])


def error(samples: list[Sample], placement: str) -> float:
    """Return the PA-MPJPE in millimetres of landmarks, `along_axis` or `observed`."""
    points = np.stack([getattr(sample, placement) for sample in samples])
    return 1e3 * pa_mpjpe(points, np.stack([sample.true for sample in samples]))


def slope(samples: list[Sample], placement: str, part: str) -> float:
    """Return the slope of the true on the estimated depth of a part, relative to the hips."""
    columns = [_NAMES.index(f'{side}_{part}') for side in ('left', 'right')]
    estimated = np.stack([getattr(sample, placement)[:, 2] for sample in samples])
    true = np.stack([sample.true[:, 2] for sample in samples])
    x, y = (z[:, columns] - z[:, _HIPS].mean(axis=1, keepdims=True) for z in (estimated, true))
    return float(np.sum(x * y) / np.sum(x * x))


def deviation(samples: list[Sample], placement: str, part: str) -> float:
    """Return the standard error of the slope: the jackknife over the motions."""
    clips = {sample.clip for sample in samples}
    kept = [[sample for sample in samples if sample.clip != clip] for clip in sorted(clips)]
    slopes = np.array([slope(some, placement, part) for some in kept])
    return float(np.sqrt((len(clips) - 1) * slopes.var()))
