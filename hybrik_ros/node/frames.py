"""From people to TF: body_<id>, and below it a frame for every joint.

<optical frame> -> body_<id> -> smpl_pelvis_<id> -> smpl_left_hip_<id> -> ... along SMPL's tree.
body_<id> is REP-155's: its origin midway between the hips, x out of the chest, y to the left,
z to the head. A smpl_ frame has its origin at the joint and turns with it; at rest all have
SMPL's axes: x to the left, y up, z to the front.
"""

import numpy as np
from geometry_msgs.msg import Transform, TransformStamped
from numpy.typing import NDArray
from std_msgs.msg import Header

from hybrik_ros.kinematics import global_rotations
from hybrik_ros.node.messages import quaternion, vector
from hybrik_ros.node.rep155_angles import REP_FROM_SMPL
from hybrik_ros.pipeline import Human
from hybrik_ros.rotations import to_quaternion
from hybrik_ros.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS, PELVIS

_HIPS = [1, 2]


def body_frame(id: str) -> str:
    """Return the name of a person's body frame."""
    return f'body_{id}'


def joint_frame(joint: int, id: str) -> str:
    """Return the name of the frame of a person's joint."""
    return f'smpl_{JOINT_NAMES[joint]}_{id}'


def to_transforms(human: Human, header: Header) -> list[TransformStamped]:
    """Return the 25 frames of a person, parents before children."""
    turns = global_rotations(human.rotations)
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

    transforms = [
        _transform(header, header.frame_id, body_frame(human.id), hips, to_quaternion(body))
    ]
    for joint in range(NUM_JOINTS):
        parent = PARENTS[joint]
        above = body_frame(human.id) if joint == PELVIS else joint_frame(parent, human.id)
        transforms.append(
            _transform(
                header, above, joint_frame(joint, human.id), positions[joint], quaternions[joint]
            )
        )
    return transforms


def _transform(
    header: Header, parent: str, child: str, position: NDArray, rotation: NDArray
) -> TransformStamped:
    return TransformStamped(
        header=Header(stamp=header.stamp, frame_id=parent),
        child_frame_id=child,
        transform=Transform(translation=vector(position), rotation=quaternion(rotation)),
    )
