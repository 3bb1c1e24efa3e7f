"""The scale of a scene, which way is up, and where the floor is."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from hybrik_ros.arrays import Array
from hybrik_ros.body import BodyModel
from hybrik_ros.body.proportions import Proportions
from hybrik_ros.fusion.extrinsics.tracks import ANKLES_AT
from hybrik_ros.perception.landmark_joints import place_joints
from hybrik_ros.perception.landmarks import LandmarkPoints
from hybrik_ros.rotations import from_rotation_vector, swing_between, unit
from hybrik_ros.skeleton import NUM_JOINTS
from hybrik_ros.tracking.shape import SHAPE_PAIRS, measure_lengths

# Standard deviations in metres of the mean of a measured length, which is the network's constant
# error, and of a stature that is given.
_LENGTH_SIGMA, _STATURE_SIGMA = 0.015, 0.005
# Standard deviations of the vertical by the balance of bodies in radians, and of a foot's
# height above the floor in metres.
_LEAN_SIGMA, _FOOT_SIGMA = np.radians(4.0), 0.03
# Share of the body's mass at shoulder, elbow, wrist, hip, knee and ankle of a side, each segment's
# mass at its two ends (Winter: Biomechanics and Motor Control of Human Movement, 2009, table 4.1).
_MASSES = np.array([0.181, 0.019, 0.015, 0.181, 0.070, 0.035])
_STEP_HEIGHT = 0.05  # metres by which a foot is higher that carries a third of the weight
_UP_STEPS = 10
_UP = np.array([0.0, 0.0, 1.0])


class Scale(NamedTuple):
    """The scale of a scene.

    Attributes
    ----------
    factor : float
        Ratio of true lengths to those of the scene.
    sigma : float
        Its standard deviation as a share of it.
    stature : float
        Stature of the person in metres that belongs to it.
    """

    factor: float
    sigma: float
    stature: float

    @property
    def relative_stature(self) -> float:
        """Stature of the person in units of the scene."""
        return self.stature / self.factor


def measure_bones(
    landmarks: str, points: Array, confidence: Array, up: Array, body: BodyModel
) -> Array:
    """Return the mean distances of SHAPE_PAIRS in metres of one person.

    Parameters
    ----------
    landmarks : str
        Name of the set of landmarks.
    points, confidence : ndarray
        Landmarks (K, N, 3) in metres, and their confidence (K, N).
    up : ndarray
        Unit vector (3) that points up.
    body : BodyModel
        The body, whose mean proportions place joints between landmarks.
    """
    mean = Proportions.of(body, np.zeros(body.num_betas))
    found = []
    for seen, certain in zip(points, confidence, strict=True):
        if landmarks == LandmarkPoints.landmarks:
            seen, certain = place_joints(seen, certain, mean, up)
        found.append(measure_lengths(seen, certain))
    lengths, weights = (np.stack(values) for values in zip(*found, strict=True))
    weights = weights + 1e-6
    return np.asarray(np.sum(weights * lengths, axis=0) / weights.sum(axis=0))


def find_scale(lengths: Array, body: BodyModel, stature: float | None) -> Scale:
    """Return the most probable scale by a person's bones.

    Scale and shape of the body are fitted together: the lengths, times the scale, are those of the
    body, whose betas are normally distributed, and whose stature is the given one.

    Parameters
    ----------
    lengths : ndarray
        Distances of SHAPE_PAIRS in the scene.
    body : BodyModel
        The body of people.
    stature : float or None
        Stature in metres; None if it is not known.
    """
    first, second = np.array(SHAPE_PAIRS).T
    mean = stature_of(body, np.zeros(body.num_betas))
    growth = np.array([stature_of(body, axis) - mean for axis in np.eye(body.num_betas)])

    def misfit(values: Array) -> Array:
        scale, betas = values[0], values[1:]
        rest = body.rest_joints(betas)
        own = np.linalg.norm(rest[first] - rest[second], axis=1)
        errors = [betas, (scale * lengths - own) / _LENGTH_SIGMA]
        if stature is not None:
            errors.append(np.array([mean + growth @ betas - stature]) / _STATURE_SIGMA)
        return np.concatenate(errors)

    fit = least_squares(misfit, np.append(1.0, np.zeros(body.num_betas)))
    covariance = np.linalg.inv(fit.jac.T @ fit.jac)
    factor = float(fit.x[0])
    return Scale(
        factor, float(np.sqrt(covariance[0, 0])) / factor, float(mean + growth @ fit.x[1:])
    )


def stature_of(body: BodyModel, betas: Array) -> float:
    """Return the stature in metres of a body with these betas, without shoes."""
    return float(np.ptp(_standing(body, betas)[:, 1]))


def _standing(body: BodyModel, betas: Array) -> Array:
    """Return the vertices (V, 3) of the T-pose."""
    rotations = np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
    return body.vertices(rotations, betas, np.zeros(3)).astype(float)


def foot_height(landmarks: str, body: BodyModel) -> float:
    """Return how high in metres the landmarks of feet are above the floor on which they stand."""
    betas = np.zeros(body.num_betas)
    if landmarks == LandmarkPoints.landmarks:
        foot = body.landmark('left_heel', betas)
    else:
        foot = body.rest_joints(betas)[-2]
    return float(foot[1] - _standing(body, betas)[:, 1].min())


def find_up(limbs: Array) -> Array:
    """Return the unit vector (3) that points up: people in balance have their mass above a foot.

    Parameters
    ----------
    limbs : ndarray
        Limbs (K, 12, 3) in metres, of standing or walking people.
    """
    masses = np.tile(_MASSES, 2)
    centres = np.einsum('l,kla->ka', masses / masses.sum(), limbs)
    ankles = limbs[:, ANKLES_AT]
    up = _mean_direction(centres - ankles.mean(axis=1))
    for _ in range(_UP_STEPS):
        heights = ankles @ up
        shares = np.exp((heights.min(axis=1, keepdims=True) - heights) / _STEP_HEIGHT)
        shares /= shares.sum(axis=1, keepdims=True)
        up = _mean_direction(centres - np.einsum('kf,kfa->ka', shares, ankles))
    return up


def _mean_direction(vectors: Array) -> Array:
    return np.asarray(unit(unit(vectors).mean(axis=0)))


def find_floor(feet: Array, up: Array) -> tuple[Array, float]:
    """Return the unit vector up (3) and the height of the lower feet along it, in metres.

    The lower foot of each instant is on the floor, save some; and bodies lean in all directions.

    Parameters
    ----------
    feet : ndarray
        Left and right foot (K, 2, 3) in metres.
    up : ndarray
        Unit vector (3) that points up as the bodies do.
    """
    turn = swing_between(_UP, up)
    middle = feet.reshape(-1, 3).mean(axis=0)
    local = (feet - middle) @ turn
    lower = local[np.arange(len(local)), np.argmin(local[..., 2], axis=1)]

    def tilt(values: Array) -> Array:
        return np.asarray(from_rotation_vector([values[0], values[1], 0.0])[:, 2])

    def misfit(values: Array) -> Array:
        heights = (lower @ tilt(values) - values[2]) / _FOOT_SIGMA
        # As a soft L1 loss, which must not hold for the leaning.
        robust = np.sign(heights) * np.sqrt(2 * (np.sqrt(1 + heights**2) - 1))
        return np.concatenate([robust / np.sqrt(len(lower) / _independent(lower)),
                               values[:2] / _LEAN_SIGMA])  # fmt: skip

    fit = least_squares(misfit, np.array([0.0, 0.0, np.median(lower[:, 2])]))
    found = turn @ tilt(fit.x)
    return found, float(fit.x[2] + middle @ found)


def _independent(feet: Array) -> float:
    """Return how many independent heights there are in feet (K, 3): one for each step of 0.5 m."""
    path = np.linalg.norm(np.diff(feet[:, :2], axis=0), axis=1)
    return max(1.0, min(len(feet), np.sum(path) / 0.5))


def stand_up(frame_from_camera: Sequence[Array], up: Array, floor: float) -> list[Array]:
    """Return transforms (4, 4) to a frame with z up and the floor at 0, below the first camera.

    Its x axis is the horizontal direction of the first camera's view; that of the upper edge of its
    image if it looks down.

    Parameters
    ----------
    frame_from_camera : sequence of ndarray
        Transforms (4, 4) in metres.
    up : ndarray
        Unit vector (3) that points up.
    floor : float
        Height of the floor along it in metres.
    """
    first = frame_from_camera[0]
    ahead = first[:3, 2] - first[:3, 1]
    across = unit(np.cross(up, ahead))
    turn = np.stack([np.cross(across, up), across, up])
    origin = first[:3, 3] - (first[:3, 3] @ up - floor) * up
    move = np.eye(4)
    move[:3, :3], move[:3, 3] = turn, -turn @ origin
    return [move @ transform for transform in frame_from_camera]
