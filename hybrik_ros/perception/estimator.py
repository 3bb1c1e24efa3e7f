"""The interface of pose estimators: from an image and regions to observations of people."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array, Image
from hybrik_ros.body.proportions import Proportions
from hybrik_ros.camera import IMAGE_UP, Camera, Region
from hybrik_ros.perception.detector import Detection

SEEN = 0.5  # Minimum confidence of a joint or landmark that counts as seen; below it is inferred.


def only_seen(confidence: Array) -> Array:
    """Return confidences with 0 for joints that do not count as seen."""
    return np.where(confidence >= SEEN, confidence, 0.0)


class BodyPoints(Protocol):
    """N landmarks of one person in metres, in any frame.

    Which landmarks these are is the estimator's matter: `joints` turns them to the solver's joints.
    They are never changed.
    """

    @property
    def landmarks(self) -> str:
        """Name of the set of landmarks."""

    @property
    def sources(self) -> NDArray[np.int64]:
        """The landmarks (29, K) that each joint and leaf is taken from."""

    @property
    def shown_joints(self) -> NDArray[np.int64]:
        """The joint (N) that tells how far each landmark can be believed."""

    @property
    def hips_at(self) -> Sequence[int]:
        """The landmarks of the hips."""

    @property
    def limbs_at(self) -> Sequence[int]:
        """The landmarks of shoulders, elbows, wrists, hips, knees and ankles."""

    @property
    def confidence(self) -> Array:
        """Confidence (N) of the landmarks in [0, 1]; 0 where no image shows them."""

    @property
    def betas(self) -> Array | None:
        """Shape parameters (10) in SMPL's shape space; None where the network has none."""

    @property
    def seen_twist(self) -> Array | None:
        """Cosine and sine (23, 2) of the twist; None where the network does not estimate it."""

    def joints(self, body: Proportions, up: Array = IMAGE_UP) -> tuple[Array, Array]:
        """Return the solver's joints.

        Parameters
        ----------
        body : Proportions
            Proportions of the person, as estimated so far.
        up : ndarray
            Unit vector (3) that points up, for what is not seen of the trunk.

        Returns
        -------
        joints : ndarray
            Joints and leaves (29, 3) in metres, in the order of hybrik_ros.skeleton.
        confidence : ndarray
            Confidence (29) of the joints in [0, 1]; 0 where no image shows them.

        Raises
        ------
        ImpossiblePoseError
            No person in front of the camera has such joints.
        """

    def guesses(self, joints: Array, confidence: Array, body: Proportions) -> NDArray[np.bool_]:
        """Return which joints are no better than a guess; the solver ignores them.

        Parameters
        ----------
        joints, confidence : ndarray
            Result of `joints` for the same body: (29, 3) in metres, and (29).
        body : Proportions
            Proportions of the person.

        Returns
        -------
        ndarray
            Whether each joint (29) is a guess, bool.
        """

    def head_rotation(self, body: Proportions) -> Array | None:
        """Return the global rotation (3, 3) of the head; None where no image shows it."""

    def twist(
        self, joints: Array, body: Proportions, weights: Array, previous: Array | None
    ) -> Array:
        """Return the twist of each joint about its bone.

        Parameters
        ----------
        joints : ndarray
            Joints and leaves (29, 3) in metres, from `joints`.
        body : Proportions
            Proportions of the person.
        weights : ndarray
            Weights (29) of the joints in the solver, in [0, 1].
        previous : ndarray or None
            Parent-relative rotations (24, 3, 3) of the frame before, towards which the twist is
            smoothed; None for no smoothing.

        Returns
        -------
        ndarray
            Cosine and sine (23, 2) of the angle of joint i in row i - 1, as `kinematics.solve`
            takes them; NaN where the twist is unknown.
        """


class Observation(BodyPoints, Protocol):
    """One person's landmarks in one image, in the camera's optical frame."""

    @property
    def score(self) -> float:
        """Confidence in [0, 1] that the image shows a person there."""

    @property
    def box(self) -> Array:
        """Box (4) around the person within the image: x_min, y_min, x_max, y_max in pixels."""

    @property
    def keypoints(self) -> Array:
        """COCO's keypoints (17, 3): u and v in pixels, and confidence in [0, 1]."""

    @property
    def next_region(self) -> Region:
        """Where the person is expected in the next frame."""

    @property
    def rays(self) -> Array:
        """Rays (N, 2) of the landmarks: x / z and y / z."""

    @property
    def depths(self) -> Array:
        """Depths (N) of the landmarks in metres, relative to the middle of the body."""

    @property
    def distance(self) -> float:
        """Distance of the middle of the body along the optical axis in metres."""

    @property
    def hips(self) -> Array:
        """The point (3) between the hips in metres.

        Raises
        ------
        ImpossiblePoseError
            It lies behind the camera.
        """

    @property
    def shows_trunk(self) -> bool:
        """Whether at least two of shoulders and hips are seen: a face alone may be a poster's."""

    def with_depths(self, depths: Array) -> 'Observation':
        """Return the same landmarks at other depths (N) in metres.

        Raises
        ------
        ImpossiblePoseError
            A landmark lies behind the camera.
        """

    def exchanged(self) -> 'Observation':
        """Return the same person facing the other way, left and right exchanged."""

    def distance_in_image(self, other: 'Observation') -> float:
        """Return the mean distance of limbs and trunk from those of another observation.

        Parameters
        ----------
        other : Observation
            Another observation of the same class, of the same camera.

        Returns
        -------
        float
            Mean distance across the line of sight, in metres at the person's distance.
        """


class Estimator(Protocol):
    """A pose network with all that belongs to it."""

    @property
    def model(self) -> Path:
        """File of the network."""

    @property
    def backend(self) -> str:
        """Inference library that runs the network."""

    @property
    def observation_type(self) -> type[Observation]:
        """Class of the observations: a frozen dataclass of numbers, texts, arrays and Regions."""

    def region_of(self, detection: Detection) -> Region:
        """Return the region to observe for a detection."""

    def region_around(self, box: Array, camera: Camera) -> Region:
        """Return the region to observe for the box (4) of another detector, in pixels."""

    def observe(
        self, rgb: Image, regions: Sequence[Region], camera: Camera, min_score: float
    ) -> Sequence[Observation | None]:
        """Observe the person in each region of an image.

        Parameters
        ----------
        rgb : ndarray
            Image (H, W, 3), uint8.
        regions : sequence of Region
            Regions to look at.
        camera : Camera
            Camera of the image.
        min_score : float
            Minimum score of an observation.

        Returns
        -------
        sequence of Observation or None
            The person in each region; None where there is none.
        """

    def close(self) -> None:
        """Free the network."""
