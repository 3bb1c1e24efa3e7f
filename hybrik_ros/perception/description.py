"""What the fusion of cameras needs of an observation, as a HumanObservation."""

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.human import HumanObservation
from hybrik_ros.perception.appearance import NOT_SEEN
from hybrik_ros.perception.estimator import Observation
from hybrik_ros.skeleton import NUM_JOINTS

# Standard deviation in metres of a network's depth relative to the person's distance, and that of
# the distance itself as a share of it.
DEPTH_SIGMA, DISTANCE_ERROR = 0.2, 0.12
_BELIEVED = np.ones(NUM_JOINTS)


def describe(
    observation: Observation,
    id: str = '',
    confidence: float = 1.0,
    belief: Array = _BELIEVED,
    clothes: Array = NOT_SEEN,
) -> HumanObservation:
    """Return what the fusion of cameras needs of an observation.

    Parameters
    ----------
    observation : Observation
        The observation.
    id : str
        Id of the track.
    confidence : float
        Confidence of the person in [0, 1].
    belief : ndarray
        How far each joint (24) can be believed, in [0, 1].
    clothes : ndarray
        Colours (2, 3) of the clothes.
    """
    return HumanObservation(
        id=id,
        confidence=confidence,
        landmarks=observation.landmarks,
        rays=observation.rays,
        landmark_confidence=observation.confidence,
        belief=belief,
        depths=observation.depths,
        depth_sigmas=np.full(len(observation.depths), DEPTH_SIGMA),
        distance=observation.distance,
        distance_sigma=DISTANCE_ERROR * observation.distance,
        clothes=clothes,
        twist=observation.seen_twist,
        betas=observation.betas,
    )
