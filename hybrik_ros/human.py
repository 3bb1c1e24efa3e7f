"""The result for one person in one frame. Needs numpy only: subscribers load nothing heavy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array

# Maximum absolute value of a beta. Fits of SMPL to unusual people reach 10; those of this package
# are within body.betas.BETA_LIMITS.
MAX_BETA = 20.0
# Number of landmarks of each set.
LANDMARK_SETS = {'blazepose': 33, 'smpl': 29}


@dataclass(frozen=True, eq=False)
class Human:
    """One person in one frame, in metres, seconds and the camera's optical frame.

    Attributes
    ----------
    id : str
        Id of the track, unique in the stream.
    confidence : float
        Expected share of the limbs' joints that lie near their true place, in [0, 1]; see
        `hybrik_ros.confidence`. Below 0.5 there may be no person.
    box : ndarray
        Bounding box (4): x_min, y_min, x_max, y_max in pixels; zeros in a fixed frame.
    joints : ndarray
        Joints (24, 3) of the solved body.
    joint_confidence : ndarray
        Confidence (24) of each joint in [0, 1]; 0 where a joint is inferred, not seen.
    rotations : ndarray
        Parent-relative rotations (24, 3, 3); [0] maps the body's rest frame to the optical frame.
    global_rotations : ndarray
        Rotations (24, 3, 3) that map the rest frame of each joint to the optical frame.
    betas : ndarray
        Shape parameters (num_betas) of the body model, in [-MAX_BETA, MAX_BETA].
    translation : ndarray
        Translation (3): an SMPL layer with these betas and rotations, moved by it, has the joints.
    translation_confidence : float
        Confidence in [0, 1]. At most 0.5 where the camera's intrinsics are assumed, even with a
        depth image: the lateral position follows from them too.
    velocity : ndarray
        Velocity (3) of the pelvis in metres per second.
    vertices : ndarray or None
        Vertices (V, 3) of the mesh, float32; None where they were not requested.
    joint_sigma : ndarray or None
        Standard deviation (24) in metres of each joint in its worst direction; None if unknown.
    """

    id: str
    confidence: float
    box: Array
    joints: Array
    joint_confidence: Array
    rotations: Array
    global_rotations: Array
    betas: Array
    translation: Array
    translation_confidence: float
    velocity: Array
    vertices: NDArray[np.float32] | None = None
    joint_sigma: Array | None = None

    @property
    def is_in_fixed_frame(self) -> bool:
        """Whether the person is in a fixed frame, z up, not in that of a camera."""
        return not self.box.any()


@dataclass(frozen=True, eq=False)
class HumanObservation:
    """What one image shows of one person, before a body is posed: for the fusion of cameras.

    Attributes
    ----------
    id : str
        Id of the track, unique in the stream.
    confidence : float
        As of Human.
    landmarks : str
        Set of the N landmarks, a key of LANDMARK_SETS; 'smpl' has the joints and leaves.
    rays : ndarray
        Rays (N, 2) of the landmarks in the optical frame: x / z and y / z, without distortion.
    landmark_confidence : ndarray
        Confidence (N) in [0, 1]; 0 outside of the image.
    belief : ndarray
        How far each joint (24) can be believed by the detector, and as none of another person's, in
        [0, 1].
    depths, depth_sigmas : ndarray
        Depths (N) in metres relative to the distance, and their standard deviations (N).
    distance, distance_sigma : float
        Distance of the middle of the body along the optical axis in metres, and its standard
        deviation.
    clothes : ndarray
        Colours (2, 3) of shirt and trousers; NaN where they are not seen.
    twist : ndarray or None
        Cosine and sine (23, 2) of the twist, where the network estimates it.
    betas : ndarray or None
        Shape parameters (10) in SMPL's shape space, where the network estimates them.
    """

    id: str
    confidence: float
    landmarks: str
    rays: Array
    landmark_confidence: Array
    belief: Array
    depths: Array
    depth_sigmas: Array
    distance: float
    distance_sigma: float
    clothes: Array
    twist: Array | None = None
    betas: Array | None = None
