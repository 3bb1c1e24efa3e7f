"""From people to REP-155's messages of bodies. Needs hri_msgs.

Every message has the header of the image. Points of an image are parts of its width and height,
from its left and upper edge, in [0, 1].
"""

import array
from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import PointStamped, TwistStamped
from hri_msgs.msg import (
    IdsList,
    NormalizedPointOfInterest2D,
    NormalizedRegionOfInterest2D,
    Skeleton2D,
)
from numpy.typing import NDArray
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header

from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Camera
from hybrik_ros.human import Human
from hybrik_ros.node.conversions import make, to_image
from hybrik_ros.node.rep155_angles import HINGES, HIPS
from hybrik_ros.skeleton import JOINT_NAMES, SHOULDERS

_POINTS = 18
_HEAD = JOINT_NAMES.index('head')
# The points of a Skeleton2D that are joints of ours, and those that are landmarks of the body.
_JOINTS = {
    getattr(Skeleton2D, f'{side}_{part}'.upper()): JOINT_NAMES.index(f'{side}_{part}')
    for side in ('left', 'right')
    for part in ('shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')
}
_LANDMARKS = ('left_ear', 'right_ear', 'left_eye', 'right_eye', 'nose')
_FACE = [getattr(Skeleton2D, name.upper()) for name in _LANDMARKS]
# A point of the head is hidden by it where it lies behind its middle, by this part of how far it
# is from it.
_BEHIND = 0.5
_NEAREST = 1e-3  # metres; what is less in front of the camera has no place in the image


def to_ids(humans: Sequence[Human], header: Header) -> IdsList:
    """Return the ids of all people in a frame."""
    return IdsList(header=header, ids=[human.id for human in humans])


def to_region(human: Human, camera: Camera, header: Header) -> NormalizedRegionOfInterest2D:
    """Return the box of a person."""
    size = [camera.width, camera.height] * 2
    x_min, y_min, x_max, y_max = np.clip(human.box / size, 0, 1).tolist()
    return NormalizedRegionOfInterest2D(
        header=header, xmin=x_min, ymin=y_min, xmax=x_max, ymax=y_max, c=float(human.confidence)
    )


def to_cropped(human: Human, rgb: NDArray[np.uint8], header: Header) -> Image:
    """Return what is in the box of a person, at least a pixel, of an image (H, W, 3)."""
    height, width = rgb.shape[:2]
    left, top = np.clip(np.floor(human.box[:2]).astype(int), 0, [width - 1, height - 1])
    right, bottom = np.maximum(np.ceil(human.box[2:]).astype(int), [left + 1, top + 1])
    return to_image(rgb[top:bottom, left:right], header)


def to_skeleton(human: Human, body: BodyModel, camera: Camera, header: Header) -> Skeleton2D:
    """Return a person's joints and face in the image; with a confidence of 0 what is not seen."""
    points, confidence = np.empty((_POINTS, 3)), np.empty(_POINTS)
    joints, seen = human.joints, human.joint_confidence
    points[list(_JOINTS)] = joints[list(_JOINTS.values())]
    confidence[list(_JOINTS)] = seen[list(_JOINTS.values())]
    points[Skeleton2D.NECK] = joints[list(SHOULDERS)].mean(axis=0)
    confidence[Skeleton2D.NECK] = seen[list(SHOULDERS)].min()
    face = _face(human, body)
    points[_FACE] = face
    confidence[_FACE] = np.where(_hidden(face), 0.0, seen[_HEAD])

    before = points[:, 2] > _NEAREST
    points[~before] = 0.0, 0.0, 1.0
    # The middle of the first pixel is at (0, 0), the corner of the image half a pixel before it.
    parts = (camera.project(points) + 0.5) / [camera.width, camera.height]
    inside = before & ((parts >= 0) & (parts <= 1)).all(axis=1)
    confidence = np.where(inside, confidence, 0.0)
    return Skeleton2D(
        header=header,
        skeleton=[
            NormalizedPointOfInterest2D(x=x, y=y, c=c)
            for (x, y), c in zip(np.clip(parts, 0, 1).tolist(), confidence.tolist(), strict=True)
        ],
    )


def to_joint_state(human: Human, angles: NDArray, header: Header) -> JointState:
    """Return the angles (20) of HINGES of a person, each within half a turn of zero.

    angles: as joint_angles has them, which go on from turn to turn.
    """
    names = [f'{hinge.name}_{human.id}' for hinge in HINGES]
    within = (angles + np.pi) % (2 * np.pi) - np.pi
    return JointState(header=header, name=names, position=array.array('d', within.tolist()))


def to_position(human: Human, header: Header) -> PointStamped:
    """Return where a person is: the origin of the person's body frame, midway between the hips."""
    return PointStamped(header=header, point=make.point(human.joints[list(HIPS)].mean(axis=0)))


def to_velocity(human: Human, header: Header) -> TwistStamped:
    """Return how fast a person moves; how fast it turns is left at zero."""
    message = TwistStamped(header=header)
    message.twist.linear = make.vector(human.velocity)
    return message


def _face(human: Human, body: BodyModel) -> NDArray[np.float64]:
    """Return _LANDMARKS (5, 3), metres, in the optical frame: they turn with the head."""
    rest = np.stack([body.landmark(name, human.betas) for name in _LANDMARKS])
    turn = human.global_rotations[_HEAD]
    offsets = rest - body.rest_joints(human.betas)[_HEAD]
    return np.asarray(human.joints[_HEAD] + offsets @ turn.T)


def _hidden(face: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which of _LANDMARKS (5, 3) the head hides from the camera."""
    middle = face[:2].mean(axis=0)  # between the ears
    farther = (face - middle) @ middle / np.linalg.norm(middle)
    return np.asarray(farther > _BEHIND * np.linalg.norm(face - middle, axis=1))
