"""BlazePose as an estimator: observations of 33 landmarks, metric and in the camera's frame."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array, Image
from hybrik_ros.body.proportions import Proportions
from hybrik_ros.camera import (
    IMAGE_UP,
    Camera,
    ImpossiblePoseError,
    Region,
    bounding_box,
    locate,
    on_rays,
    share_inside,
)
from hybrik_ros.inference import Runner
from hybrik_ros.kinematics import twist_from_pointers
from hybrik_ros.perception import blazepose as bp
from hybrik_ros.perception import coco
from hybrik_ros.perception.blazepose import BlazePose, Landmarks
from hybrik_ros.perception.detector import Detection, region_around_box
from hybrik_ros.perception.estimator import SEEN, Observation
from hybrik_ros.perception.landmark_joints import (
    SHOWN_JOINTS,
    SOURCES,
    find_guesses,
    find_pointers,
    head_rotation,
    place_joints,
)
from hybrik_ros.rotations import unit

_HIPS = [bp.LEFT_HIP, bp.RIGHT_HIP]
_SHOULDERS = [bp.LEFT_SHOULDER, bp.RIGHT_SHOULDER]
_KNEES = [bp.LEFT_KNEE, bp.RIGHT_KNEE]
_LIMBS = [
    getattr(bp, f'{side}_{name}')
    for side in ('LEFT', 'RIGHT')
    for name in ('SHOULDER', 'ELBOW', 'WRIST', 'HIP', 'KNEE', 'ANKLE')
]
_FACE = slice(bp.NOSE, bp.LEFT_SHOULDER)
# Each arm from the elbow on, with the wrist second.
_ARMS = [list(range(bp.LEFT_ELBOW + side, bp.LEFT_HIP, 2)) for side in range(2)]
_WRIST = 1
_OTHER_SIDES = list(bp.MIRROR)

# Maximum distance of the hips from the upper edge of an image that shows legs only, and the true
# distance from hips to shoulders: both as shares of a thigh's length.
_MAX_EDGE_DISTANCE = 0.7
_TRUNK_LENGTH = 1.2
_MIN_TRUNK_LENGTH = 0.8  # share of the true length of a trunk that is believed
_MIN_DISTANCE = 0.1  # share of the hips' distance, for landmarks that are mirrored at the hips
_TINY = 1e-12

# The network squeezes people cut off at the chest into the image, sure of their hips, and enlarges
# their faces in metres. RMS distances of the landmarks of a face from their mean, in metres: the
# largest that is fully believed, and the smallest that is not believed at all. It is at most 0.069
# in 1000 images of the clips of `hybrik bench perception`, whole and cut off, and 0.075 to 0.12 for
# squeezed people in its stills.
_MAX_FACE_SIZE, _SQUEEZED_FACE_SIZE = 0.07, 0.08
_MIN_SHOULDER_WIDTH = 0.3  # metres between the shoulders of a small adult

# Ratio of true to estimated depth relative to the hips: the slopes that `python -m tools.depths`
# prints without these gains. Shoulders and face are too shallow, ankles and feet too deep.
DEPTH_GAINS = np.ones(bp.NUM_LANDMARKS)
DEPTH_GAINS[: bp.LEFT_ELBOW] = 1.07
DEPTH_GAINS[bp.LEFT_ANKLE :] = 0.95


class LandmarkBody:
    """What BlazePose's landmarks show of a body, in any frame; see BodyPoints.

    Attributes
    ----------
    points : ndarray
        Landmarks (33, 3) in metres.
    confidence : ndarray
        Confidence (33) of the landmarks in [0, 1].
    """

    landmarks = 'blazepose'
    sources, shown_joints = SOURCES, SHOWN_JOINTS
    hips_at, limbs_at = _HIPS, _LIMBS
    betas = seen_twist = None  # BlazePose does not estimate them.

    points: Array
    confidence: Array

    def joints(self, body: Proportions, up: Array = IMAGE_UP) -> tuple[Array, Array]:
        """Return joints (29, 3) and confidence (29), as place_joints does."""
        return place_joints(self.points, self.confidence, body, up)

    def guesses(self, joints: Array, confidence: Array, body: Proportions) -> NDArray[np.bool_]:
        """Return which joints (29) are no better than a guess, as find_guesses does."""
        return find_guesses(joints, confidence, body)

    def head_rotation(self, body: Proportions) -> Array | None:
        """Return the global rotation (3, 3) of the head; None where the face is not seen."""
        return head_rotation(self.points, self.confidence, body)

    def twist(
        self, joints: Array, body: Proportions, weights: Array, previous: Array | None
    ) -> Array:
        """Return the twist (23, 2) by hinges, hands, feet and face, as solve takes it."""
        pointers = find_pointers(self.points, self.confidence, body)
        return twist_from_pointers(joints, body.rest, pointers, weights, previous)


@dataclass(frozen=True, eq=False)
class LandmarkPoints(LandmarkBody):
    """BlazePose's landmarks of one person that several images show; see BodyPoints."""

    points: Array
    confidence: Array


@dataclass(frozen=True, eq=False)
class LandmarkObservation(LandmarkBody):
    """BlazePose's landmarks of one person; see Observation.

    Attributes
    ----------
    score, box, keypoints, next_region : float, ndarray, ndarray, Region
        As of Observation.
    rays, confidence, distance : ndarray, ndarray, float
        As of Observation.
    points : ndarray
        Landmarks (33, 3) in metres, optical frame, each on the ray of its pixel.
    """

    score: float
    box: Array
    keypoints: Array
    next_region: Region
    points: Array
    confidence: Array
    rays: Array
    distance: float

    @property
    def depths(self) -> Array:
        """Depths (33) of the landmarks in metres, relative to the middle of the body."""
        return self.points[:, 2] - self.distance

    @property
    def hips(self) -> Array:
        """The point (3) between the hips in metres, optical frame."""
        return np.asarray(self.points[_HIPS].mean(axis=0))

    @property
    def shows_trunk(self) -> bool:
        """Whether at least two of shoulders and hips are seen: a face alone may be a poster's."""
        return bool(np.sum(self.confidence[_HIPS + _SHOULDERS] >= SEEN) >= 2)

    def with_depths(self, depths: Array) -> 'LandmarkObservation':
        """Return the same landmarks at other depths (33) in metres, on the same rays.

        Raises
        ------
        ImpossiblePoseError
            A landmark lies behind the camera.
        """
        return replace(self, points=on_rays(self.rays, depths + self.distance))

    def exchanged(self) -> 'LandmarkObservation':
        """Return the same person facing the other way: left and right, front and back exchanged."""
        _, reach = _look(self.rays)
        distances = self.points[:, 2] * reach
        hips = distances[_HIPS].mean()
        # For a person seen from above at close range, the feet would come to lie behind the camera.
        mirrored = np.maximum(2 * hips - distances, _MIN_DISTANCE * hips)
        rays = self.rays[_OTHER_SIDES]
        points = on_rays(rays, (mirrored / reach)[_OTHER_SIDES])
        return replace(self, points=points, rays=rays, confidence=self.confidence[_OTHER_SIDES])

    def distance_in_image(self, other: Observation) -> float:
        """Return the mean distance of limbs and trunk from those of another one, in metres.

        The mean is over shoulders, elbows, wrists, hips, knees and ankles, weighted by confidence,
        and measured at the person's distance.
        """
        weights = np.minimum(self.confidence, other.confidence)[_LIMBS]
        away = np.linalg.norm(self.rays[_LIMBS] - other.rays[_LIMBS], axis=1)
        return float(self.distance * np.sum(weights * away) / max(np.sum(weights), _TINY))


class BlazePoseEstimator:
    """The embedded estimator; see Estimator.

    Parameters
    ----------
    runner : Runner
        Runner of the landmark model; the estimator closes it.
    flip_test : bool
        As of BlazePose.
    """

    def __init__(self, runner: Runner, flip_test: bool = False) -> None:
        self._runner = runner
        self._network = BlazePose(runner, flip_test)

    @property
    def model(self) -> Path:
        """File of the network."""
        return bp.MODEL

    @property
    def backend(self) -> str:
        """Inference library that runs the network."""
        return self._runner.backend

    @property
    def observation_type(self) -> type[LandmarkObservation]:
        """Class of the observations."""
        return LandmarkObservation

    def region_of(self, detection: Detection) -> Region:
        """Return the region to observe for a detection."""
        return detection.region()

    def region_around(self, box: Array, camera: Camera) -> Region:
        """Return the region to observe for the box (4) of another detector, in pixels."""
        return region_around_box(box, camera)

    def observe(
        self, rgb: Image, regions: Sequence[Region], camera: Camera, min_score: float
    ) -> list[LandmarkObservation | None]:
        """Observe the person in each region of an image; see Estimator."""
        return [
            _observe_or_none(landmarks, camera) if landmarks.score >= min_score else None
            for landmarks in self._network(rgb, regions)
        ]

    def close(self) -> None:
        """Free the network."""
        self._runner.close()


def observe(landmarks: Landmarks, camera: Camera) -> LandmarkObservation:
    """Put every landmark on the ray of its pixel, at the distance that the network estimates.

    The network's metric landmarks are centred on the hips; the translation that brings them
    nearest to their rays gives the distance of the person.

    Raises
    ------
    ImpossiblePoseError
        Landmarks lie behind the camera, or fewer than two are in the image.
    """
    rays = camera.rays(landmarks.pixels)
    inside = share_inside(landmarks.pixels, camera)
    confidence = landmarks.visibility * landmarks.presence * inside
    legs_only = _shows_legs_only(landmarks.pixels)
    if legs_only:
        confidence[: bp.LEFT_HIP] = 0.0
    points = _place(landmarks.world, rays, confidence)
    if legs_only:
        points = _with_straight_trunk(points)
        rays = points[:, :2] / points[:, 2:]
    else:
        squeeze, ratio = _measure_squeeze(points, confidence)
        points = points * ratio
        confidence = _doubt_squeezed(confidence, squeeze)
    return LandmarkObservation(
        score=landmarks.score,
        box=bounding_box(landmarks.pixels, camera),
        keypoints=np.column_stack([landmarks.keypoints, confidence[bp.COCO]]),
        next_region=landmarks.next_region,
        points=points,
        confidence=confidence,
        rays=rays,
        distance=float(points[_HIPS, 2].mean()),
    )


def _place(world: Array, rays: Array, confidence: Array) -> Array:
    """Return points (33, 3) on their rays, optical frame, by the network's landmarks (33, 3)."""
    across, reach = _look(rays)
    world = np.column_stack([world[:, :2], DEPTH_GAINS * world[:, 2]])
    distances = world[:, 2] + locate(world, across, confidence)[2]
    return on_rays(rays, distances / reach)


def _look(rays: Array) -> tuple[Array, Array]:
    """Return how the network looks along rays (33, 2) of landmarks.

    The crop does not show where in the image it lies, so the network's axes are those of a camera
    that looks at the hips. From close by, feet are seen from farther above than shoulders, and
    what perspective adds to the foreshortening of trunk and legs looks like leaning: on average,
    the network sees each along its own line of sight. Across the image it does not, as left and
    right show how a person faces. So its depths are distances from the horizontal axis through
    that camera. `python -m tools.depths` measures it.

    Returns
    -------
    across : ndarray
        The points (33, 2) of the rays at unit distance from that axis: x and y of that camera.
    reach : ndarray
        Ratio (33) of the distance of points from that axis to their depth.
    """
    sight = np.column_stack([rays, np.ones(len(rays))])
    ahead = sight[_HIPS].sum(axis=0)
    right = np.array([ahead[2], 0.0, -ahead[0]])
    seen = sight @ unit([right, np.cross(ahead, right), ahead]).T
    reach = np.hypot(seen[:, 1], seen[:, 2])
    return seen[:, :2] / reach[:, None], reach


def _observe_or_none(landmarks: Landmarks, camera: Camera) -> LandmarkObservation | None:
    try:
        return observe(landmarks, camera)
    except ImpossiblePoseError:
        return None


def random_observation(next_region: Region) -> LandmarkObservation:
    """Return an observation of random landmarks, three metres away, to warm up the solver."""
    points = np.random.default_rng(0).normal(0, 0.3, (bp.NUM_LANDMARKS, 3)) + [0, 0, 3]
    rays = points[:, :2] / points[:, 2:]
    return LandmarkObservation(
        score=1.0,
        box=np.zeros(4),
        keypoints=np.zeros((coco.NUM_KEYPOINTS, 3)),
        next_region=next_region,
        points=points,
        confidence=np.ones(len(points)),
        rays=rays,
        distance=3.0,
    )


def _shows_legs_only(pixels: Array) -> bool:
    """Return whether pixels (33, 2) have the hips at the upper edge and an impossible trunk.

    Then the trunk is above the image, and the network compresses it or invents one on the legs. A
    person bending over looks alike, but low cameras see legs far more often.
    """
    hips, knees, shoulders = (pixels[pair].mean(axis=0) for pair in (_HIPS, _KNEES, _SHOULDERS))
    thigh, trunk = np.linalg.norm(knees - hips), np.linalg.norm(shoulders - hips)
    short = trunk < _MIN_TRUNK_LENGTH * _TRUNK_LENGTH * thigh
    upside_down = 0 <= hips[1] < shoulders[1]
    at_edge = hips[1] < min(_MAX_EDGE_DISTANCE * thigh, knees[1])
    return bool(at_edge and (short or upside_down))


def _measure_squeeze(points: Array, confidence: Array) -> tuple[float, float]:
    """Return how sure it is that a person without legs is squeezed into the image.

    Parameters
    ----------
    points, confidence : ndarray
        Landmarks (33, 3) in metres, and their confidence (33).

    Returns
    -------
    squeeze, ratio : float
        The certainty, in [0, 1], and the ratio of the true distance of the person to the estimated
        one: that at which the face is not too large, if the shoulders are not too narrow then.
    """
    face = points[_FACE]
    size = float(np.sqrt(np.sum((face - face.mean(axis=0)) ** 2) / len(face) + _TINY**2))
    excess = (size - _MAX_FACE_SIZE) / (_SQUEEZED_FACE_SIZE - _MAX_FACE_SIZE)
    squeeze = (1 - _believe(confidence[_KNEES].max())) * min(1.0, max(0.0, excess))
    width = float(np.linalg.norm(points[bp.LEFT_SHOULDER] - points[bp.RIGHT_SHOULDER]))
    ratio = max(_MAX_FACE_SIZE / size, _MIN_SHOULDER_WIDTH / max(width, _TINY))
    return squeeze, 1 - squeeze * max(0.0, 1 - ratio)


def _doubt_squeezed(confidence: Array, squeeze: float) -> Array:
    """Return the confidence (33) in the landmarks of a person, squeezed or not.

    Hips and legs are doubted, and so are arms without a hand. A hand that is seen is where it is.
    """
    doubted = confidence.copy()
    doubted[bp.LEFT_HIP :] *= 1 - squeeze
    for arm in _ARMS:
        doubted[arm] *= 1 - squeeze * (1 - _believe(confidence[arm[_WRIST]]))
    return doubted


def _believe(confidence: float) -> float:
    """Return the belief, in [0, 1], that a landmark is seen: 1 from SEEN on, 0 below half of it."""
    return min(1.0, max(0.0, 2 * float(confidence) / SEEN - 1))


def _with_straight_trunk(points: Array) -> Array:
    """Return landmarks (33, 3) with the trunk in the direction of the thighs."""
    hips, knees, shoulders = (points[pair].mean(axis=0) for pair in (_HIPS, _KNEES, _SHOULDERS))
    points = points.copy()
    points[_SHOULDERS] += hips + _TRUNK_LENGTH * (hips - knees) - shoulders
    if not points[_SHOULDERS, 2].min() > 0:
        raise ImpossiblePoseError('the shoulders lie behind the camera')
    return points
