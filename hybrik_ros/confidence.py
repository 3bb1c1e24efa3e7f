"""How far a posed body can be trusted, from all that speaks for and against it."""

import math

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.rotations import to_rotation_vector
from hybrik_ros.skeleton import JOINT_NAMES

# The joints of arms and legs, which show where the body is.
MAIN_JOINTS = [
    JOINT_NAMES.index(f'{side}_{name}')
    for name in ('shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')
    for side in ('left', 'right')
]
# Joints that bend together, and the maximum sum of their angles in degrees that people reach
# without effort. Landmarks of two people, or of none, bend them farther.
_LIMITS = (
    (('left_collar',), 45.0),
    (('right_collar',), 45.0),
    (('spine1', 'spine2', 'spine3'), 60.0),
    (('neck', 'head'), 70.0),
)
_BENDS = [([JOINT_NAMES.index(name) for name in names], limit) for names, limit in _LIMITS]
_STRAIN_UNIT = 30.0  # degrees beyond the limits
_MAX_STRAIN = 2.0
_FULL_SUPPORT = 0.9  # of a body with which the detector agrees as well as it can

# Logistic regression of the share of main joints that lie within 15 cm of their true place, as
# `hybrik bench perception` measures it, on 2500 bodies that are whole, cut off by the image or half
# hidden, and on bodies that were followed into images without people.
_BIAS, _SEEN, _SUPPORT, _SCORE, _STRAIN = -8.9, 4.3, 4.6, 3.9, -0.8


def body_confidence(
    joint_confidence: Array, rotations: Array, support: float, score: float
) -> float:
    """Return the expected share of a body's main joints that lie near their true place.

    The main joints are shoulders, elbows, wrists, hips, knees and ankles; near is within 15 cm,
    across the line of sight. So a whole body has about 0.95, and one of which only head and
    shoulders are seen about 0.5.

    Parameters
    ----------
    joint_confidence : ndarray
        Confidence (24) of the joints in [0, 1], 0 for inferred ones. It is low where the solved
        body does not fit the landmarks.
    rotations : ndarray
        Parent-relative rotations (24, 3, 3).
    support : float
        How well the detector has agreed lately, in [0, 1].
    score : float
        Score of the pose network in [0, 1].

    Returns
    -------
    float
        Confidence in [0, 1].
    """
    evidence = (
        _BIAS
        + _SEEN * float(joint_confidence[MAIN_JOINTS].mean())
        + _SUPPORT * min(1.0, support / _FULL_SUPPORT)
        + _SCORE * score
        + _STRAIN * min(_strain(rotations), _MAX_STRAIN)
    )
    return 1 / (1 + math.exp(-evidence))


def _strain(rotations: Array) -> float:
    """Return how far joints bend beyond their limits, in units of 30 degrees."""
    angles = np.degrees(np.linalg.norm(to_rotation_vector(rotations), axis=1))
    return float(
        sum(max(0.0, angles[joints].sum() - limit) for joints, limit in _BENDS) / _STRAIN_UNIT
    )
