"""From BlazePose's 33 landmarks to the solver's joints, in the proportions of a body.

The network sees shoulders, elbows, wrists, hips, knees, ankles, feet, hands and the face. What
SMPL has besides follows from these with the body's own rest joints: the pelvis is carried by
the line of the hips, the chest by the line of the shoulders, the spine by both, the head by
ears and nose, hands and feet by their landmarks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Camera, locate
from hybrik_ros.kinematics import Pointer
from hybrik_ros.perception import blazepose as bp
from hybrik_ros.perception.blazepose import Landmarks
from hybrik_ros.skeleton import JOINT_NAMES, LEAF_NAMES

Array = NDArray[np.float64]

_POINT = {name: index for index, name in enumerate(JOINT_NAMES + LEAF_NAMES)}

_HIPS = [bp.LEFT_HIP, bp.RIGHT_HIP]
_SHOULDERS = [bp.LEFT_SHOULDER, bp.RIGHT_SHOULDER]
_EARS = [bp.LEFT_EAR, bp.RIGHT_EAR]


@dataclass(frozen=True)
class _Side:
    """The landmarks of one side of the body."""

    name: str
    shoulder: int
    elbow: int
    wrist: int
    pinky: int
    index: int
    hip: int
    knee: int
    ankle: int
    heel: int
    toe: int

    def point(self, name: str) -> int:
        """Return the index of this side's joint or leaf."""
        return _POINT[f'{self.name}_{name}']


_SIDES = (
    _Side('left', bp.LEFT_SHOULDER, bp.LEFT_ELBOW, bp.LEFT_WRIST, bp.LEFT_PINKY, bp.LEFT_INDEX,
          bp.LEFT_HIP, bp.LEFT_KNEE, bp.LEFT_ANKLE, bp.LEFT_HEEL, bp.LEFT_TOE),
    _Side('right', bp.RIGHT_SHOULDER, bp.RIGHT_ELBOW, bp.RIGHT_WRIST, bp.RIGHT_PINKY,
          bp.RIGHT_INDEX, bp.RIGHT_HIP, bp.RIGHT_KNEE, bp.RIGHT_ANKLE, bp.RIGHT_HEEL, bp.RIGHT_TOE),
)  # fmt: skip


def _sources() -> NDArray[np.int64]:
    """Return, for each joint and leaf, the landmarks (29, 4) that it is taken from."""
    sources: dict[int, list[int]] = {
        _POINT['pelvis']: _HIPS,
        **{_POINT[name]: _HIPS + _SHOULDERS for name in ('spine1', 'spine2')},
        **{_POINT[name]: _SHOULDERS for name in ('spine3', 'neck')},
        **{_POINT[name]: [bp.NOSE] for name in ('head', 'head_top')},
    }
    for side in _SIDES:
        by_name = {
            'collar': _SHOULDERS, 'shoulder': [side.shoulder], 'elbow': [side.elbow],
            'wrist': [side.wrist], 'hand': [side.wrist, side.index],
            'middle_tip': [side.wrist, side.index],
            'hip': _HIPS, 'knee': [side.knee], 'ankle': [side.ankle],
            'foot': [side.ankle, side.toe], 'big_toe': [side.toe],
        }  # fmt: skip
        sources.update({side.point(name): landmarks for name, landmarks in by_name.items()})
    return np.array([np.resize(sources[point], 4) for point in range(len(_POINT))])


_SOURCES = _sources()

# Distances between joints that tell the shape, and how well one frame measures each, in metres.
# The trunk bends, so that its length is a weak measure.
_MEASURED = {
    ('shoulder', 'elbow'): 0.03,
    ('elbow', 'wrist'): 0.03,
    ('hip', 'knee'): 0.04,
    ('knee', 'ankle'): 0.04,
    ('shoulder', 'hip'): 0.06,
}
SHAPE_PAIRS: tuple[tuple[int, int], ...] = (
    *((side.point(first), side.point(second)) for first, second in _MEASURED for side in _SIDES),
    (_POINT['left_shoulder'], _POINT['right_shoulder']),
)
SHAPE_SIGMAS: Array = np.append(np.repeat(list(_MEASURED.values()), 2), 0.06)

_SPINE_SHARES = {'spine1': 1 / 3, 'spine2': 2 / 3}  # of the way from the hips to the shoulders

# In the rest frame: x to the left, y up, z to the front.
_LEFT, _FRONT, _BACK = np.array([1.0, 0, 0]), np.array([0, 0, 1.0]), np.array([0, 0, -1.0])


@dataclass(frozen=True, eq=False)
class Observation:
    """The landmarks of one person, metric and in the camera's frame.

    Attributes
    ----------
    points: (33, 3), metres, optical frame, each on the ray of its pixel.
    confidence: (33) in [0, 1]; 0 for landmarks that are not in the image.
    rays: (33, 2), x / z and y / z.
    """

    points: Array
    confidence: Array
    rays: Array


def observe(landmarks: Landmarks, camera: Camera) -> Observation:
    """Put every landmark on the ray of its pixel, at the depth that the network gives it.

    The network's metric landmarks are centred on the hips; the translation that brings them
    nearest to their rays gives the depth of the whole person.

    Raises
    ------
    ValueError: the landmarks lie behind the camera, or fewer than two are in the image.
    """
    rays = camera.rays(landmarks.pixels)
    inside = ((landmarks.pixels >= 0) & (landmarks.pixels < [camera.width, camera.height])).all(1)
    confidence = np.where(inside, landmarks.visibility * landmarks.presence, 0.0)
    depth = landmarks.world[:, 2] + locate(landmarks.world, rays, confidence)[2]
    if depth.min() <= 0:
        raise ValueError('the landmarks lie behind the camera')
    points = np.concatenate([rays, np.ones((len(rays), 1))], axis=1) * depth[:, None]
    return Observation(points, confidence, rays)


def place_joints(observation: Observation, body: BodyModel, betas: Array) -> tuple[Array, Array]:
    """Find the solver's joints, those that no landmark shows by the body's proportions.

    Parameters
    ----------
    observation: of one person.
    body, betas: whose proportions fill in.

    Returns
    -------
    joints: (29, 3), metres, optical frame.
    confidence: (29) in [0, 1], the least of the landmarks that a joint is taken from.
    """
    points, rest = observation.points, body.rest_joints(betas)
    joints = np.empty_like(rest)

    def place(carried: Array, *names: str) -> None:
        for name in names:
            joints[_POINT[name]] = carried[_POINT[name]]

    rest_hips = rest[[side.point('hip') for side in _SIDES]]
    rest_shoulders = rest[[side.point('shoulder') for side in _SIDES]]
    hips, shoulders = points[_HIPS], points[_SHOULDERS]
    up, rest_up = shoulders.mean(0) - hips.mean(0), rest_shoulders.mean(0) - rest_hips.mean(0)
    with_hips = _carried(
        rest, rest_hips.mean(0), (rest_hips[0] - rest_hips[1], rest_up),
        hips.mean(0), (hips[0] - hips[1], up),
    )  # fmt: skip
    with_shoulders = _carried(
        rest, rest_shoulders.mean(0), (rest_shoulders[0] - rest_shoulders[1], rest_up),
        shoulders.mean(0), (shoulders[0] - shoulders[1], up),
    )  # fmt: skip
    place(with_hips, 'pelvis', 'left_hip', 'right_hip')
    for name, share in _SPINE_SHARES.items():
        place((1 - share) * with_hips + share * with_shoulders, name)
    place(with_shoulders, 'spine3', 'neck', 'left_collar', 'right_collar')

    rest_ears = np.array([body.landmark(f'{side.name}_ear', betas) for side in _SIDES])
    rest_nose, ears = body.landmark('nose', betas), points[_EARS]
    with_head = _carried(
        rest, rest_ears.mean(0), (rest_ears[0] - rest_ears[1], rest_nose - rest_ears.mean(0)),
        ears.mean(0), (ears[0] - ears[1], points[bp.NOSE] - ears.mean(0)),
    )  # fmt: skip
    place(with_head, 'head', 'head_top')

    for side in _SIDES:
        for name in ('shoulder', 'elbow', 'wrist', 'knee', 'ankle'):
            joints[side.point(name)] = points[getattr(side, name)]
        wrist, tip = rest[side.point('wrist')], rest[side.point('middle_tip')]
        knuckles = (points[side.index] + points[side.pinky]) / 2
        with_hand = _carried(
            rest, wrist, (tip - wrist, _FRONT),
            points[side.wrist], (knuckles - points[side.wrist], _thumbwards(points, side)),
        )  # fmt: skip
        place(with_hand, f'{side.name}_hand', f'{side.name}_middle_tip')
        heel, toe = (body.landmark(f'{side.name}_{part}', betas) for part in ('heel', 'big_toe'))
        ankle = rest[side.point('ankle')]
        with_foot = _carried(
            rest, ankle, (toe - heel, ankle - heel),
            points[side.ankle],
            (points[side.toe] - points[side.heel], points[side.ankle] - points[side.heel]),
        )  # fmt: skip
        place(with_foot, f'{side.name}_foot', f'{side.name}_big_toe')

    return joints, observation.confidence[_SOURCES].min(axis=1)


def measured_lengths(joints: Array, confidence: Array) -> tuple[Array, Array]:
    """Return the distances of SHAPE_PAIRS (N) in metres, and the confidence of each (N)."""
    first, second = np.array(SHAPE_PAIRS).T
    lengths = np.linalg.norm(joints[first] - joints[second], axis=1)
    return lengths, np.minimum(confidence[first], confidence[second])


def pointers(observation: Observation, body: BodyModel, betas: Array) -> list[Pointer]:
    """Return what tells the twist: hinges, hands, feet, the face, the line of the shoulders."""
    points = observation.points
    across = points[bp.LEFT_SHOULDER] - points[bp.RIGHT_SHOULDER]
    face = points[bp.NOSE] - points[_EARS].mean(0)
    rest_ears = [body.landmark(f'{side.name}_ear', betas) for side in _SIDES]
    rest_face = body.landmark('nose', betas) - np.mean(rest_ears, axis=0)
    found = [
        Pointer(_POINT['spine1'], _LEFT, across, share=1 / 3),
        Pointer(_POINT['spine2'], _LEFT, across, share=1 / 2),
        Pointer(_POINT['neck'], rest_face, face, share=1 / 2),
        Pointer(_POINT['head'], rest_face, face),
    ]
    for side in _SIDES:
        forearm = points[side.wrist] - points[side.elbow]
        shank = points[side.ankle] - points[side.knee]
        thumb, foot = _thumbwards(points, side), points[side.toe] - points[side.heel]
        found += [
            Pointer(side.point('shoulder'), _FRONT, forearm),
            Pointer(side.point('elbow'), _FRONT, thumb, share=1 / 2),
            Pointer(side.point('wrist'), _FRONT, thumb),
            Pointer(side.point('hip'), _BACK, shank),
            Pointer(side.point('knee'), _FRONT, foot, share=1 / 2),
        ]
    return found


def _thumbwards(points: Array, side: _Side) -> Array:
    """The direction across the hand from the little finger, which is to the front at rest."""
    return points[side.index] - points[side.pinky]


def _carried(
    rest: Array,
    rest_anchor: Array,
    rest_directions: tuple[Array, Array],
    anchor: Array,
    directions: tuple[Array, Array],
) -> Array:
    """Move rest points (N, 3) rigidly: the anchor onto its place, two directions onto theirs.

    The first direction is met exactly, the second as nearly as the first allows.
    """
    turn = _frame(*directions) @ _frame(*rest_directions).T
    return anchor + (rest - rest_anchor) @ turn.T


def _frame(first: Array, second: Array) -> Array:
    """Return the rotation whose x is the first direction, with the second in its x-y plane."""
    x = first / max(float(np.linalg.norm(first)), 1e-9)
    z = np.cross(x, second)
    z /= max(float(np.linalg.norm(z)), 1e-9)
    return np.stack([x, np.cross(z, x), z], axis=1)
