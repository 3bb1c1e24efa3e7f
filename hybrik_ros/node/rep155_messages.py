"""Conversion of people to the messages of REP-155's bodies. Needs hri_msgs.

Every message has the header of the image. Image coordinates are normalised: fractions in [0, 1] of
the width and height, from the left and upper edge.
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

from hybrik_ros.angles import wrap
from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Camera
from hybrik_ros.human import Human
from hybrik_ros.node.conversions import to_image
from hybrik_ros.node.message_maker import make
from hybrik_ros.node.rep155_angles import HINGES, HIPS
from hybrik_ros.skeleton import JOINT_NAMES, SHOULDERS

_NUM_POINTS = 18  # of a Skeleton2D
_HEAD = JOINT_NAMES.index('head')
# Points of a Skeleton2D that are SMPL joints, and those that are landmarks of the body model.
_JOINTS = {
    getattr(Skeleton2D, f'{side}_{part}'.upper()): JOINT_NAMES.index(f'{side}_{part}')
    for side in ('left', 'right')
    for part in ('shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')
}
_LANDMARKS = ('left_ear', 'right_ear', 'left_eye', 'right_eye', 'nose')
_FACE = [getattr(Skeleton2D, name.upper()) for name in _LANDMARKS]
# A landmark of the face is hidden when it is farther from the camera than the middle of the ears:
# maximum ratio of the difference in distance to its distance from that middle. A cosine.
_MAX_FACE_COSINE = 0.5
_MIN_DEPTH = 1e-3  # minimum depth in metres of a point that can be projected


def to_ids(humans: Sequence[Human], header: Header) -> IdsList:
    """Return the list of the ids of all people in a frame."""
    return IdsList(header=header, ids=[human.id for human in humans])


def to_region(human: Human, camera: Camera, header: Header) -> NormalizedRegionOfInterest2D:
    """Return the bounding box of a person, with its confidence."""
    size = [camera.width, camera.height] * 2
    x_min, y_min, x_max, y_max = np.clip(human.box / size, 0, 1).tolist()
    return NormalizedRegionOfInterest2D(
        header=header, xmin=x_min, ymin=y_min, xmax=x_max, ymax=y_max, c=float(human.confidence)
    )


def to_cropped(human: Human, rgb: NDArray[np.uint8], header: Header) -> Image:
    """Return the part of an image (H, W, 3) inside the box of a person, at least one pixel."""
    height, width = rgb.shape[:2]
    left, top = np.clip(np.floor(human.box[:2]).astype(int), 0, [width - 1, height - 1])
    right, bottom = np.maximum(np.ceil(human.box[2:]).astype(int), [left + 1, top + 1])
    return to_image(rgb[top:bottom, left:right], header)


def to_skeleton(human: Human, body: BodyModel, camera: Camera, header: Header) -> Skeleton2D:
    """Return the joints and face of a person in the image.

    The confidence `c` is 0 for points that were not seen, that the head hides or that are outside
    the image.
    """
    points, confidence = np.empty((_NUM_POINTS, 3)), np.empty(_NUM_POINTS)
    joints, seen = human.joints, human.joint_confidence
    points[list(_JOINTS)] = joints[list(_JOINTS.values())]
    confidence[list(_JOINTS)] = seen[list(_JOINTS.values())]
    points[Skeleton2D.NECK] = joints[list(SHOULDERS)].mean(axis=0)
    confidence[Skeleton2D.NECK] = seen[list(SHOULDERS)].min()
    face = _locate_face(human, body)
    points[_FACE] = face
    confidence[_FACE] = np.where(_is_hidden(face), 0.0, seen[_HEAD])

    in_front = points[:, 2] > _MIN_DEPTH
    points[~in_front] = 0.0, 0.0, 1.0
    # The centre of the first pixel is (0, 0): the edges of the image are half a pixel outside.
    normalised = (camera.project(points) + 0.5) / [camera.width, camera.height]
    inside = in_front & ((normalised >= 0) & (normalised <= 1)).all(axis=1)
    confidence = np.where(inside, confidence, 0.0)
    return Skeleton2D(
        header=header,
        skeleton=[
            NormalizedPointOfInterest2D(x=x, y=y, c=c)
            for (x, y), c in zip(
                np.clip(normalised, 0, 1).tolist(), confidence.tolist(), strict=True
            )
        ],
    )


def to_joint_state(human: Human, angles: NDArray, header: Header) -> JointState:
    """Return the joint angles of a person.

    Parameters
    ----------
    human : Human
        The person.
    angles : ndarray
        Angles (20) of HINGES in radians, as of `joint_angles`; the message has them in [-pi, pi).
    header : Header
        Header of the image.
    """
    names = [f'{hinge.name}_{human.id}' for hinge in HINGES]
    position = array.array('d', wrap(angles).tolist())
    return JointState(header=header, name=names, position=position)


def to_position(human: Human, header: Header) -> PointStamped:
    """Return the position of a person: the midpoint between the hips, origin of body_<id>."""
    return PointStamped(header=header, point=make.point(human.joints[list(HIPS)].mean(axis=0)))


def to_velocity(human: Human, header: Header) -> TwistStamped:
    """Return the linear velocity of a person's pelvis; the angular velocity is zero."""
    message = TwistStamped(header=header)
    message.twist.linear = make.vector(human.velocity)
    return message


def _locate_face(human: Human, body: BodyModel) -> NDArray[np.float64]:
    """Return _LANDMARKS (5, 3) in metres in the optical frame; they rotate with the head."""
    rest = np.stack([body.landmark(name, human.betas) for name in _LANDMARKS])
    turn = human.global_rotations[_HEAD]
    offsets = rest - body.rest_joints(human.betas)[_HEAD]
    return np.asarray(human.joints[_HEAD] + offsets @ turn.T)


def _is_hidden(face: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which of _LANDMARKS (5, 3) the head hides from the camera."""
    middle = face[:2].mean(axis=0)  # of the ears
    farther = (face - middle) @ middle / np.linalg.norm(middle)
    return np.asarray(farther > _MAX_FACE_COSINE * np.linalg.norm(face - middle, axis=1))
