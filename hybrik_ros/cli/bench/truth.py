"""True joints of the people in the calibrated clips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.cli.bench.footage import Clip
from hybrik_ros.cli.bench.measures import HIPS, TRUE_JOINTS
from hybrik_ros.confidence import MAIN_JOINTS
from hybrik_ros.human import Human
from hybrik_ros.perception import blazepose
from hybrik_ros.share import share_path
from hybrik_ros.skeleton import JOINT_NAMES

# Indices of TRUE_JOINTS, which are the main joints, in the landmarks of BlazePose.
BLAZEPOSE = [blazepose.INDEX[JOINT_NAMES[joint]] for joint in MAIN_JOINTS]

# Maximum mean distance of a person from the true joints in the image, relative to the height of the
# skeleton.
_MAX_MISS = 0.25

# The man's joints, with two of the cameras, and all four cameras.
_JOINTS = 'test/data/pose2sim_ground_truth.npz'
_EXTRINSICS = 'test/data/pose2sim_extrinsics.npz'


@dataclass(frozen=True, eq=False)
class Truth:
    """Ground truth of one person.

    Attributes
    ----------
    joints : ndarray
        Joints (frames, 12, 3) in metres in the camera's optical frame; NaN where unknown.
    """

    joints: Array

    def is_known(self, number: int) -> bool:
        """Return whether all joints of a frame are known."""
        return bool(np.isfinite(self.joints[number]).all())

    def nearest(self, number: int, people: Sequence[Human]) -> Human | None:
        """Return the human nearest to this person in a frame; None if none is near enough."""
        rays = self.joints[number, :, :2] / self.joints[number, :, 2:]

        def miss(human: Human) -> float:
            joints = human.joints[MAIN_JOINTS]
            away = np.linalg.norm(joints[:, :2] - rays * joints[:, 2:], axis=1).mean()
            return float(away / np.ptp(joints[:, 1]))

        found = min(people, key=miss, default=None)
        return found if found is not None and miss(found) < _MAX_MISS else None

    def distances(self, number: int, human: Human) -> Array:
        """Return the distances (12) of a human's joints across the line of sight, in metres.

        They are measured at the true distance from the camera, so errors of depth do not count.
        """
        joints, true = human.joints[MAIN_JOINTS], self.joints[number]
        moved = joints[:, :2] / joints[:, 2:] * true[:, 2:]
        return np.asarray(np.linalg.norm(moved - true[:, :2], axis=1))

    def hip_offset(self, number: int, human: Human) -> tuple[float, float]:
        """Return how far a human's hips are from the true ones.

        Parameters
        ----------
        number : int
            Number of the frame.
        human : Human
            The human.

        Returns
        -------
        tuple of float
            Mean distance across the line of sight in metres, and ratio of the depths.
        """
        depth, true = human.joints[MAIN_JOINTS][HIPS, 2], self.joints[number, HIPS, 2]
        return float(self.distances(number, human)[HIPS].mean()), float(depth.mean() / true.mean())


def load_man(clip: Clip) -> Truth | None:
    """Return the ground truth of the man; None outside a source tree, or if there is none."""
    path = _find(_JOINTS)
    if clip.extrinsics is None or path is None:
        return None
    with np.load(path) as stored:
        joints = _read_joints(stored)
        rotation, translation = clip.extrinsics
        if clip.number <= len(stored['camera_translations']):
            # The extrinsics with which the joints were triangulated.
            rotation = cv2.Rodrigues(stored['camera_rotation_vectors'][clip.number - 1])[0]
            translation = stored['camera_translations'][clip.number - 1]
    return Truth(joints @ rotation.T + translation)


def load_world() -> Array | None:
    """Return the man's joints (frames, 12, 3) in metres in the world; None outside a source tree.

    The z axis of the world points up.
    """
    path = _find(_JOINTS)
    if path is None:
        return None
    with np.load(path) as stored:
        return _read_joints(stored)


def refine(clips: Sequence[Clip]) -> list[Clip]:
    """Return the clips of the four cameras with the extrinsics of the man's joints.

    They were triangulated with refined extrinsics, which differ from the clips' by 0.5 to 1.2
    degrees and 26 to 75 mm. The list is empty outside a source tree.
    """
    path = _find(_EXTRINSICS)
    if path is None:
        return []
    with np.load(path) as stored:
        rotations = [cv2.Rodrigues(vector)[0] for vector in stored['camera_rotation_vectors']]
        extrinsics = list(zip(rotations, stored['camera_translations'], strict=True))
    return [replace(clip, extrinsics=extrinsics[clip.number - 1]) for clip in clips if clip.number]


def _find(name: str) -> Path | None:
    """Return the path of a file; None outside a source tree."""
    try:
        return share_path(name)
    except FileNotFoundError:
        return None


def _read_joints(stored: Mapping[str, Array]) -> Array:
    """Return the man's joints (frames, 12, 3) in metres in the world."""
    names = list(stored['joint_names'])
    return stored['joints_world'][:, [names.index(name) for name in TRUE_JOINTS]]
