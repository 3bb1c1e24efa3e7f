"""What one camera sees of people, and the same in the fixed frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.body import BodyModel
from hybrik_ros.compiling import floats, kernel
from hybrik_ros.human import Human, HumanObservation
from hybrik_ros.kinematics import forward, twist_of
from hybrik_ros.perception.appearance import NOT_SEEN
from hybrik_ros.perception.description import DEPTH_SIGMA, DISTANCE_ERROR, describe
from hybrik_ros.perception.estimator import Observation
from hybrik_ros.perception.hybrik import JointPoints
from hybrik_ros.perception.landmarks import LandmarkPoints
from hybrik_ros.skeleton import NUM_JOINTS, PARENTS, PELVIS
from hybrik_ros.vectors import norm

LEAF_PARENTS = PARENTS[NUM_JOINTS:]
# The landmarks of the limbs, by the name of the set.
LIMBS_AT = {kind.landmarks: np.array(kind.limbs_at) for kind in (LandmarkPoints, JointPoints)}
# Seconds by which the filters of a node delay the limbs of a whole body; fitted to walking people.
_BODY_DELAY = 0.03
_MAX_ROTATION_ERROR = 1e-3  # of the product of a rotation with its transpose


@dataclass(frozen=True, eq=False)
class View:
    """The people in one camera's image.

    Attributes
    ----------
    stamp : float
        Time of the image in seconds.
    frame_from_camera : ndarray
        Transform (4, 4) from the camera's optical frame to the fixed frame, in metres.
    people : sequence of Observation, HumanObservation or Human
        The people, in the optical frame: the observations of a pipeline, what a HumanObservation
        message carries, or whole bodies where there are no observations.

    Raises
    ------
    ValueError
        The stamp is no finite number, or the transform is no rotation and translation.
    """

    stamp: float
    frame_from_camera: Array
    people: Sequence[Observation | HumanObservation | Human] = ()

    def __post_init__(self) -> None:
        transform = np.ascontiguousarray(self.frame_from_camera, float)
        object.__setattr__(self, 'frame_from_camera', _check_transform(transform))
        if np.ndim(self.stamp) or not np.isfinite(self.stamp):
            raise ValueError(f'the stamp of a view must be a finite number, not {self.stamp!r}')

    @property
    def centre(self) -> Array:
        """Centre (3) of the camera in metres, fixed frame."""
        return self.frame_from_camera[:3, 3].copy()

    @property
    def rotation(self) -> Array:
        """Rotation (3, 3) from the fixed frame to the optical frame."""
        return self.frame_from_camera[:3, :3].T.copy()


class Limbs(NamedTuple):
    """Rays (12, 3) to shoulders, elbows, wrists, hips, knees and ankles; their confidence (12)."""

    rays: Array
    confidence: Array


@dataclass(frozen=True, eq=False)
class Sight:
    """One person as one camera sees it, in the fixed frame.

    Attributes
    ----------
    camera, id : str
        Name of the camera, and its id of the person; '' if unknown.
    confidence : float
        Confidence of the person in [0, 1].
    centre : ndarray
        Centre (3) of the camera in metres.
    rotation : ndarray
        Rotation (3, 3) from the fixed frame to the optical frame.
    landmarks : str
        Name of the set of landmarks.
    points : ndarray
        Landmarks (N, 3) in metres.
    rays : ndarray
        Unit vectors (N, 3) from the camera to the landmarks.
    landmark_confidence : ndarray
        Confidence (N) in [0, 1].
    belief : ndarray
        How far each joint (24) can be believed, in [0, 1].
    depth_sigmas : ndarray
        Standard deviation (N) in metres of each depth relative to the distance.
    distance, distance_sigma : float
        Distance of the person in metres, and its standard deviation.
    twist, betas : ndarray or None
        As of HumanObservation.
    delay : float
        Seconds by which the landmarks are late: those of whole bodies, which are smoothed.
    """

    camera: str
    id: str
    confidence: float
    centre: Array
    rotation: Array
    landmarks: str
    points: Array
    rays: Array
    landmark_confidence: Array
    belief: Array
    depth_sigmas: Array
    distance: float
    distance_sigma: float
    twist: Array | None = None
    betas: Array | None = None
    delay: float = 0.0

    @cached_property
    def limbs(self) -> Limbs:
        """The limbs, in the same order for every set of landmarks."""
        at = LIMBS_AT[self.landmarks]
        return Limbs(self.rays[at], self.landmark_confidence[at])


def see(camera: str, view: View, body: BodyModel) -> list[Sight]:
    """Return the people in a view, in the fixed frame; none with a landmark behind the camera.

    Parameters
    ----------
    camera : str
        Name of the camera.
    view : View
        What it sees.
    body : BodyModel
        The body of whole people in the view.

    Raises
    ------
    ValueError
        A person has another body.
    """
    found = []
    for person in view.people:
        delay = _BODY_DELAY if isinstance(person, Human) else 0.0
        sight = _place(camera, view, _observe(person, body), delay)
        if sight is not None:
            found.append(sight)
    return found


def _observe(person: Observation | HumanObservation | Human, body: BodyModel) -> HumanObservation:
    if isinstance(person, HumanObservation):
        return person
    if isinstance(person, Human):
        return _observe_body(person, body)
    return describe(person)


def _observe_body(human: Human, body: BodyModel) -> HumanObservation:
    """Return a whole body as an observation of its joints and leaves."""
    if len(human.betas) != body.num_betas:
        raise ValueError(
            f'a person has {len(human.betas)} betas, and the body {body.name} has '
            f'{body.num_betas}: all cameras and the fusion need the same body'
        )
    rest = body.rest_joints(human.betas)
    points = forward(human.rotations, rest)[0]
    points += human.joints[PELVIS] - points[PELVIS]
    confidence = human.joint_confidence
    distance = float(human.joints[PELVIS, 2])
    return HumanObservation(
        id=human.id,
        confidence=human.confidence,
        landmarks=JointPoints.landmarks,
        rays=points[:, :2] / points[:, 2:],
        landmark_confidence=np.append(confidence, confidence[list(LEAF_PARENTS)]),
        belief=np.ones(NUM_JOINTS),
        depths=points[:, 2] - distance,
        depth_sigmas=np.full(len(points), DEPTH_SIGMA),
        distance=distance,
        distance_sigma=DISTANCE_ERROR * distance,
        clothes=NOT_SEEN,
        twist=twist_of(human.rotations, rest),
    )


def _place(camera: str, view: View, seen: HumanObservation, delay: float) -> Sight | None:
    """Return an observation in the fixed frame; None with a landmark behind the camera."""
    local, depths = (np.ascontiguousarray(each, float) for each in (seen.rays, seen.depths))
    points, rays = np.empty((2, len(depths), 3))
    if not _place_points(local, depths, seen.distance, view.frame_from_camera, points, rays):
        return None
    return Sight(
        camera=camera,
        id=seen.id,
        confidence=seen.confidence,
        centre=view.centre,
        rotation=view.rotation,
        landmarks=seen.landmarks,
        points=points,
        rays=rays,
        landmark_confidence=seen.landmark_confidence,
        belief=seen.belief,
        depth_sigmas=seen.depth_sigmas,
        distance=seen.distance,
        distance_sigma=seen.distance_sigma,
        twist=seen.twist,
        betas=seen.betas,
        delay=delay,
    )


@kernel(floats(2), floats(1), 'float64', floats(2), floats(2), floats(2))
def _place_points(
    local: Array, depths: Array, distance: float, transform: Array, points: Array, rays: Array
) -> bool:
    """Fill points (N, 3) and unit rays (N, 3) in the fixed frame; return whether all are in front.

    local are the rays (N, 2) in the optical frame; depths (N) are relative to the distance.
    """
    for n in range(len(depths)):
        depth = depths[n] + distance
        if not depth > 0:
            return False
        x, y = depth * local[n, 0], depth * local[n, 1]
        for k in range(3):
            rays[n, k] = transform[k, 0] * x + transform[k, 1] * y + transform[k, 2] * depth
            points[n, k] = transform[k, 3] + rays[n, k]
        length = norm(rays[n])
        for k in range(3):
            rays[n, k] /= length
    return True


def _check_transform(transform: Array) -> Array:
    rotation = transform[:3, :3] if transform.shape == (4, 4) else np.zeros((3, 3))
    is_rotation = np.abs(rotation @ rotation.T - np.eye(3)).max() < _MAX_ROTATION_ERROR
    is_rigid = is_rotation and np.linalg.det(rotation) > 0
    if not (is_rigid and np.isfinite(transform).all() and (transform[3] == [0, 0, 0, 1]).all()):
        raise ValueError(
            'frame_from_camera must be a transform (4, 4) of a rotation and a translation'
        )
    return transform
