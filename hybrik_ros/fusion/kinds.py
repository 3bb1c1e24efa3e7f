"""The sets of landmarks that cameras may send, and how they come together."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.body.proportions import Proportions
from hybrik_ros.fusion.view import Sight
from hybrik_ros.perception.hybrik import JointPoints
from hybrik_ros.perception.landmarks import LandmarkPoints

Kind = type[LandmarkPoints] | type[JointPoints]
KINDS: dict[str, Kind] = {kind.landmarks: kind for kind in (LandmarkPoints, JointPoints)}


def of_one_kind(
    sights: Sequence[Sight], proportions: Proportions, up: Array
) -> tuple[Sequence[Sight], Kind]:
    """Return sights of the same set of landmarks: joints, where cameras send different ones.

    Parameters
    ----------
    sights : sequence of Sight
        What each camera sees of a person.
    proportions : Proportions
        Proportions of the person.
    up : ndarray
        Unit vector (3) that points up, fixed frame.
    """
    names = {sight.landmarks for sight in sights}
    if len(names) > 1:
        sights = [
            _to_joints(sight, proportions, up) if sight.landmarks == 'blazepose' else sight
            for sight in sights
        ]
    return sights, KINDS[sights[0].landmarks]


def _to_joints(sight: Sight, proportions: Proportions, up: Array) -> Sight:
    """Return what landmarks show of SMPL's joints and leaves."""
    shown = LandmarkPoints(sight.points, sight.landmark_confidence)
    joints, confidence = shown.joints(proportions, up)
    offsets = joints - sight.centre
    twist = shown.twist(joints, proportions, confidence, None)
    return replace(
        sight,
        landmarks=JointPoints.landmarks,
        points=joints,
        rays=offsets / np.linalg.norm(offsets, axis=1, keepdims=True),
        landmark_confidence=confidence,
        depth_sigmas=sight.depth_sigmas[LandmarkPoints.sources].mean(axis=1),
        twist=np.nan_to_num(twist),
    )
