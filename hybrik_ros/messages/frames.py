"""TF frames of a person: body_<id>, and below it a frame for each joint.

<optical frame> -> body_<id> -> smpl_pelvis_<id> -> smpl_left_hip_<id> -> ... along SMPL's tree.
body_<id> is that of REP-155: origin at the midpoint between the hips, x out of the chest, y to the
left, z to the head. A smpl_ frame has its origin at the joint and rotates with it; in the T-pose
all have SMPL's axes: x to the left, y up, z to the front.

References
----------
REP-155 (ROS4HRI).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.human import Human
from hybrik_ros.rotations import to_quaternion
from hybrik_ros.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS, PELVIS

# Rotation from SMPL's axes (x left, y up, z front) to REP-155's (x front, y left, z up).
REP_FROM_SMPL = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])

_HIPS = [1, 2]


class Frame(NamedTuple):
    """A frame of TF.

    Attributes
    ----------
    parent, child : str
        Names.
    position : ndarray
        Origin (3) of the child in the parent frame, in metres.
    rotation : ndarray
        Quaternion (4), (x, y, z, w), from the child to the parent frame.
    """

    parent: str
    child: str
    position: NDArray[np.float64]
    rotation: NDArray[np.float64]


def body_frame(id: str) -> str:
    """Return the name of a person's body frame."""
    return f'body_{id}'


def joint_frame(joint: int, id: str) -> str:
    """Return the name of the frame of a person's joint."""
    return f'smpl_{JOINT_NAMES[joint]}_{id}'


def frames_of(human: Human, optical_frame: str) -> list[Frame]:
    """Return the 25 frames of a person, parents before children.

    Parameters
    ----------
    human : Human
        The person.
    optical_frame : str
        Name of the camera's optical frame.
    """
    turns = human.global_rotations
    hips = human.joints[_HIPS].mean(axis=0)
    body = turns[PELVIS] @ REP_FROM_SMPL.T

    positions = np.empty((NUM_JOINTS, 3))
    rotations = human.rotations.copy()
    positions[PELVIS] = body.T @ (human.joints[PELVIS] - hips)
    rotations[PELVIS] = body.T @ turns[PELVIS]
    parents = list(PARENTS[1:NUM_JOINTS])
    bones = human.joints[1:] - human.joints[parents]
    positions[1:] = np.einsum('nji,nj->ni', turns[parents], bones)
    quaternions = to_quaternion(rotations)

    root = body_frame(human.id)
    frames = [Frame(optical_frame, root, hips, to_quaternion(body))]
    for joint in range(NUM_JOINTS):
        parent = root if joint == PELVIS else joint_frame(PARENTS[joint], human.id)
        child = joint_frame(joint, human.id)
        frames.append(Frame(parent, child, positions[joint], quaternions[joint]))
    return frames
