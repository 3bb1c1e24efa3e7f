"""The proportions of one body: its rest joints, and rigid parts that surface points show.

An image shows points such as ears, heels or knuckles, from which the joints of head, hands, feet
and trunk follow with the body's own proportions.
"""

from dataclasses import dataclass

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.body.model import BodyModel
from hybrik_ros.compiling import floats, kernel
from hybrik_ros.skeleton import JOINT_NAMES, LEAF_NAMES
from hybrik_ros.vectors import cross, dot

SIDES = ('left', 'right')
JOINT = {name: index for index, name in enumerate(JOINT_NAMES + LEAF_NAMES)}

# The points of the body's surface, or its joints, that tell how the rigid parts lie.
_POINT_NAMES = (
    'nose', *(
        f'{side}_{name}'
        for side in SIDES
        for name in ('ear', 'shoulder', 'wrist', 'pinky', 'index', 'hip', 'ankle', 'heel', 'toe')
    ),
)  # fmt: skip
SURFACE_POINT = {name: index for index, name in enumerate(_POINT_NAMES)}

# The rigid parts. Each follows an anchor, a first direction exactly, and a second one as nearly as
# the first allows.
PARTS = ('hips', 'chest', 'head', 'left_hand', 'right_hand', 'left_foot', 'right_foot')

_MIN_LENGTH = 1e-12  # metres, of a vector that has a direction
# In the rest frame: z to the front.
_FRONT = np.array([0, 0, 1.0])


def _part_points() -> np.ndarray:
    """Return the points (5, 7, 2) of the parts.

    For each part five points, each the middle of two: the anchor, then end and start of each
    direction.
    """
    nose = SURFACE_POINT['nose']
    ears, shoulders, hips = (
        tuple(SURFACE_POINT[f'{side}_{name}'] for side in SIDES)
        for name in ('ear', 'shoulder', 'hip')
    )
    found = {
        'hips': (hips, 2 * hips[:1], 2 * hips[1:], shoulders, hips),
        'chest': (shoulders, 2 * shoulders[:1], 2 * shoulders[1:], shoulders, hips),
        'head': (ears, 2 * ears[:1], 2 * ears[1:], (nose, nose), ears),
    }
    for side in SIDES:
        wrist, pinky, index, ankle, heel, toe = (
            2 * (SURFACE_POINT[f'{side}_{name}'],)
            for name in ('wrist', 'pinky', 'index', 'ankle', 'heel', 'toe')
        )
        found[f'{side}_hand'] = (wrist, (index[0], pinky[0]), wrist, index, pinky)
        found[f'{side}_foot'] = (ankle, toe, heel, ankle, heel)
    return np.array([found[part] for part in PARTS]).transpose(1, 0, 2)


_PART_POINTS = _part_points()


@dataclass(frozen=True, eq=False)
class Proportions:
    """What an estimator needs to know of a body with given betas, in the T-pose.

    Attributes
    ----------
    rest : ndarray
        Joints and leaves (29, 3) in metres.
    anchors : ndarray
        Anchors (7, 3) of the rigid PARTS in metres.
    frames : ndarray
        Frames (7, 3, 3) of the rigid PARTS.
    face : ndarray
        Vector (3) from between the ears to the nose in metres.
    """

    rest: Array
    anchors: Array
    frames: Array
    face: Array

    @classmethod
    def of(cls, body: BodyModel, betas: Array) -> 'Proportions':
        """Return the proportions of a body with these betas."""
        points = _rest_points(body, betas)
        anchors, frames = part_frames(points)
        return cls(body.rest_joints(betas), anchors, frames, face_direction(points))

    def bone(self, start: str, end: str) -> Array:
        """Return the unit vector (3) from one joint to another, by name."""
        bone = self.rest[JOINT[end]] - self.rest[JOINT[start]]
        return np.asarray(bone / np.linalg.norm(bone))

    def foot(self, side: str) -> Array:
        """Return the unit vector (3) from heel to toe of the left or right foot."""
        return np.asarray(self.frames[PARTS.index(f'{side}_foot'), :, 0])


def part_frames(points: Array, parts: slice = slice(None)) -> tuple[Array, Array]:
    """Return anchors (P, 3) and frames (P, 3, 3) of P of PARTS.

    Parameters
    ----------
    points : ndarray
        Surface points (19, 3) in the order of SURFACE_POINT.
    parts : slice
        The parts.

    Returns
    -------
    anchors, frames : ndarray
        x of a frame is the part's first direction, and its second lies in the x-y plane.
    """
    anchors, to, start, second_to, second_start = points[_PART_POINTS[:, parts]].mean(axis=2)
    return anchors, _frames(to - start, second_to - second_start)


def face_direction(points: Array) -> Array:
    """Return the vector (3) from between the ears to the nose, of surface points (19, 3)."""
    ears = [SURFACE_POINT[f'{side}_ear'] for side in SIDES]
    return points[SURFACE_POINT['nose']] - points[ears].mean(axis=0)


def _rest_points(body: BodyModel, betas: Array) -> Array:
    """Return the surface points (19, 3) of the T-posed body in metres.

    Index and little finger stand for the width of a flat hand, palm down.
    """
    rest = body.rest_joints(betas)
    points = np.empty((len(SURFACE_POINT), 3))
    points[SURFACE_POINT['nose']] = body.landmark('nose', betas)
    for side in SIDES:
        tip = rest[JOINT[f'{side}_middle_tip']]
        found = {
            'index': tip + _FRONT,
            'pinky': tip - _FRONT,
            'ear': body.landmark(f'{side}_ear', betas),
            'heel': body.landmark(f'{side}_heel', betas),
            'toe': body.landmark(f'{side}_big_toe', betas),
            **{
                name: rest[JOINT[f'{side}_{name}']]
                for name in ('hip', 'shoulder', 'wrist', 'ankle')
            },
        }
        for name, point in found.items():
            points[SURFACE_POINT[f'{side}_{name}']] = point
    return points


@kernel(floats(2), floats(2))
def _frames(first: Array, second: Array) -> Array:
    """Return rotations (N, 3, 3): x the first direction, the second in the x-y plane."""
    frames = np.zeros((len(first), 3, 3))
    x, y, z = np.empty(3), np.empty(3), np.empty(3)
    for n in range(len(first)):
        length = max(np.sqrt(dot(first[n], first[n])), _MIN_LENGTH)
        for k in range(3):
            x[k] = first[n, k] / length
        cross(x, second[n], z)
        length = max(np.sqrt(dot(z, z)), _MIN_LENGTH)
        for k in range(3):
            z[k] /= length
        cross(z, x, y)
        for k in range(3):
            frames[n, k, 0], frames[n, k, 1], frames[n, k, 2] = x[k], y[k], z[k]
    return frames
