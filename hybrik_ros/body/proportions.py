"""The proportions of one body: its rest joints, and rigid parts that surface points show.

An image shows points such as ears, heels or knuckles, from which the joints of head, hands, feet
and trunk follow with the body's own proportions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.body.model import BodyModel
from hybrik_ros.compiling import compiled, floats, kernel
from hybrik_ros.skeleton import JOINT_NAMES, LANDMARK_VERTICES, LEAF_NAMES, NUM_POINTS
from hybrik_ros.vectors import cross, norm

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

_NOSE = SURFACE_POINT['nose']
_EARS = [SURFACE_POINT[f'{side}_ear'] for side in SIDES]

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
    return np.ascontiguousarray(np.transpose([found[part] for part in PARTS], (1, 0, 2)))


_PART_POINTS = _part_points()


def _rest_sources() -> tuple[NDArray[np.int64], Array]:
    """Return where the surface points of a T-posed body are from.

    Returns
    -------
    sources : ndarray
        Index of each (19) in its joints and leaves followed by its landmarks.
    offsets : ndarray
        Offset (19, 3) of each from that in metres: index and little finger stand for the width of a
        flat hand, palm down.
    """
    names = (*JOINT, *LANDMARK_VERTICES)
    shown_by = {'index': 'middle_tip', 'pinky': 'middle_tip', 'toe': 'big_toe'}
    sources, offsets = [], np.zeros((len(SURFACE_POINT), 3))
    for point, row in SURFACE_POINT.items():
        side, _, name = point.rpartition('_')
        found = f'{side}_{shown_by.get(name, name)}' if side else name
        sources.append(names.index(found))
        offsets[row] = {'index': _FRONT, 'pinky': -_FRONT}.get(name, 0.0)
    return np.array(sources), offsets


_REST_SOURCES, _REST_OFFSETS = _rest_sources()


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
        points = body.rest_points(betas)
        surface = points[_REST_SOURCES] + _REST_OFFSETS
        anchors, frames = part_frames(surface)
        face = surface[_NOSE] - (surface[_EARS[0]] + surface[_EARS[1]]) / 2
        return cls(points[:NUM_POINTS], anchors, frames, face)


def part_frames(points: Array) -> tuple[Array, Array]:
    """Return anchors (7, 3) and frames (7, 3, 3) of PARTS.

    Parameters
    ----------
    points : ndarray
        Surface points (19, 3) in the order of SURFACE_POINT.

    Returns
    -------
    anchors, frames : ndarray
        x of a frame is the part's first direction, and its second lies in the x-y plane.
    """
    anchors, frames = np.empty((len(PARTS), 3)), np.empty((len(PARTS), 3, 3))
    _fill_parts(points, anchors, frames)
    return anchors, frames


@kernel(floats(2), floats(2), floats(3))
def _fill_parts(points: Array, anchors: Array, frames: Array) -> None:
    """Fill the results of part_frames."""
    scratch = np.empty((4, 3))
    for part in range(len(anchors)):
        find_part(points, part, anchors[part], frames[part], scratch)


@compiled
def find_part(points: Array, part: int, anchor: Array, frame: Array, scratch: Array) -> None:
    """Fill anchor (3) and frame (3, 3) of a part by surface points (19, 3); scratch is (4, 3)."""
    x, y, z, second = scratch[0], scratch[1], scratch[2], scratch[3]
    for k in range(3):
        anchor[k] = _middle(points, 0, part, k)
        x[k] = _middle(points, 1, part, k) - _middle(points, 2, part, k)
        second[k] = _middle(points, 3, part, k) - _middle(points, 4, part, k)
    length = max(norm(x), _MIN_LENGTH)
    for k in range(3):
        x[k] /= length
    cross(x, second, z)
    length = max(norm(z), _MIN_LENGTH)
    for k in range(3):
        z[k] /= length
    cross(z, x, y)
    for k in range(3):
        frame[k, 0], frame[k, 1], frame[k, 2] = x[k], y[k], z[k]


@compiled
def _middle(points: Array, row: int, part: int, k: int) -> float:
    """Return coordinate k of the middle of the two points in a row of a part's points."""
    first, second = _PART_POINTS[row, part, 0], _PART_POINTS[row, part, 1]
    return (points[first, k] + points[second, k]) / 2
