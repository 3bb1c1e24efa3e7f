"""From BlazePose's 33 landmarks to the solver's joints, in the proportions of a body.

The network sees shoulders, elbows, wrists, hips, knees, ankles, feet, hands and the face. What
SMPL has besides follows from these with the body's own rest joints: the pelvis is carried by
the line of the hips, the chest by the line of the shoulders, the spine by both, the head by
ears and nose, hands and feet by their landmarks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Camera, locate, on_rays
from hybrik_ros.compiling import compiled, floats, kernel
from hybrik_ros.kinematics import Pointer, twist_from_pointers
from hybrik_ros.perception import blazepose as bp
from hybrik_ros.perception.blazepose import Landmarks
from hybrik_ros.skeleton import JOINT_NAMES, LEAF_NAMES

Array = NDArray[np.float64]

_POINT = {name: index for index, name in enumerate(JOINT_NAMES + LEAF_NAMES)}

_HIPS = [bp.LEFT_HIP, bp.RIGHT_HIP]
_SHOULDERS = [bp.LEFT_SHOULDER, bp.RIGHT_SHOULDER]
_KNEES = [bp.LEFT_KNEE, bp.RIGHT_KNEE]
_EARS = (bp.LEFT_EAR, bp.RIGHT_EAR)


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
    ear: int

    def point(self, name: str) -> int:
        """Return the index of this side's joint or leaf."""
        return _POINT[f'{self.name}_{name}']


_SIDES = (
    _Side('left', bp.LEFT_SHOULDER, bp.LEFT_ELBOW, bp.LEFT_WRIST, bp.LEFT_PINKY, bp.LEFT_INDEX,
          bp.LEFT_HIP, bp.LEFT_KNEE, bp.LEFT_ANKLE, bp.LEFT_HEEL, bp.LEFT_TOE, bp.LEFT_EAR),
    _Side('right', bp.RIGHT_SHOULDER, bp.RIGHT_ELBOW, bp.RIGHT_WRIST, bp.RIGHT_PINKY,
          bp.RIGHT_INDEX, bp.RIGHT_HIP, bp.RIGHT_KNEE, bp.RIGHT_ANKLE, bp.RIGHT_HEEL,
          bp.RIGHT_TOE, bp.RIGHT_EAR),
)  # fmt: skip


def _sources() -> NDArray[np.int64]:
    """Return, for each joint and leaf, the landmarks (29, 4) that it is taken from."""
    sources: dict[int, list[int]] = {
        _POINT['pelvis']: _HIPS,
        **{_POINT[name]: _HIPS + _SHOULDERS for name in ('spine1', 'spine2')},
        **{_POINT[name]: _SHOULDERS for name in ('spine3', 'neck')},
        **{_POINT[name]: [bp.NOSE, *_EARS] for name in ('head', 'head_top')},
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
_PAIRS = np.array(SHAPE_PAIRS).T
SHAPE_SIGMAS: Array = np.append(np.repeat(list(_MEASURED.values()), 2), 0.06)

# The same landmark on the other side, and those of limbs and trunk.
_OTHER_SIDES = [0, 4, 5, 6, 1, 2, 3]
_OTHER_SIDES += [i + 1 if i % 2 else i - 1 for i in range(7, bp.NUM_LANDMARKS)]
_LIMBS = [
    getattr(side, name)
    for side in _SIDES
    for name in ('shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')
]

# The rigid parts that carry the joints which no landmark shows. Each follows an anchor, a first
# direction exactly, and a second as nearly as the first allows.
_PARTS = ('hips', 'chest', 'head', 'left_hand', 'right_hand', 'left_foot', 'right_foot')
# Each of these points is the middle of two landmarks: the anchor, then end and start of each
# direction.
_SHOULDER_LINE, _HIP_LINE = tuple(_SHOULDERS), tuple(_HIPS)
_POINTS_OF_PARTS = {
    'hips': (_HIP_LINE, 2 * _HIP_LINE[:1], 2 * _HIP_LINE[1:], _SHOULDER_LINE, _HIP_LINE),
    'chest': (_SHOULDER_LINE, 2 * _SHOULDER_LINE[:1], 2 * _SHOULDER_LINE[1:],
              _SHOULDER_LINE, _HIP_LINE),
    'head': (_EARS, 2 * _EARS[:1], 2 * _EARS[1:], 2 * (bp.NOSE,), _EARS),
    **{
        f'{side.name}_hand': (2 * (side.wrist,), (side.index, side.pinky), 2 * (side.wrist,),
                              2 * (side.index,), 2 * (side.pinky,))
        for side in _SIDES
    },
    **{
        f'{side.name}_foot': (2 * (side.ankle,), 2 * (side.toe,), 2 * (side.heel,),
                              2 * (side.ankle,), 2 * (side.heel,))
        for side in _SIDES
    },
}  # fmt: skip
_DIRECTIONS = np.array([_POINTS_OF_PARTS[part] for part in _PARTS]).transpose(1, 0, 2)
_CARRIED = {
    'hips': ('pelvis', 'left_hip', 'right_hip'),
    'chest': ('spine3', 'neck', 'left_collar', 'right_collar'),
    'head': ('head', 'head_top'),
    **{f'{side.name}_hand': (f'{side.name}_hand', f'{side.name}_middle_tip') for side in _SIDES},
    **{f'{side.name}_foot': (f'{side.name}_foot', f'{side.name}_big_toe') for side in _SIDES},
}
_CARRIERS, _PASSENGERS = np.array(
    [(_PARTS.index(part), _POINT[name]) for part, names in _CARRIED.items() for name in names]
).T
# The two halves of the trunk: their parts, landmarks, and the joints that these show.
_TRUNK_PARTS = (_PARTS.index('hips'), _PARTS.index('chest'))
_TRUNK_PAIRS = np.array([_HIPS, _SHOULDERS])
_TRUNK_OUTWARD = (_HIPS, [*_SHOULDERS, bp.NOSE, *_EARS])  # A head goes by its shoulders.
_TRUNK_JOINTS = np.array(
    [[_POINT[f'{side.name}_{name}'] for side in _SIDES] for name in ('hip', 'shoulder')]
)
_WRUNG = np.cos(np.radians(60))  # how far hips and shoulders turn against each other, at most
# Out of the image the network squeezes people into what it sees, and is sure of it. So much of its
# true length a trunk has at least, and so much of their true width hips and shoulders; half of it
# is a lie.
_SHORT_TRUNK, _NARROW = 0.8, 0.6
_SPINE_SHARES = {'spine1': 1 / 3, 'spine2': 2 / 3}  # of the way from the hips to the chest

# Joints that a landmark shows, and the landmark of each.
_SHOWN, _SHOWN_BY = np.array(
    [
        (side.point(name), getattr(side, name))
        for side in _SIDES
        for name in ('shoulder', 'elbow', 'wrist', 'knee', 'ankle')
    ]
).T

# Joints whose place is that of a direction, and the bones of arms and legs.
_ENDS = [side.point(end) for side in _SIDES for end in ('hand', 'middle_tip', 'foot', 'big_toe')]
_BONES = np.array(
    [
        (side.point(first), side.point(second))
        for side in _SIDES
        for first, second in _MEASURED
        if (first, second) != ('shoulder', 'hip')
    ]
).T
_HANDS = np.array([(side.wrist, side.index, side.pinky) for side in _SIDES])
_HAND_JOINTS = np.array(
    [[side.point(name) for name in ('wrist', 'hand', 'middle_tip')] for side in _SIDES]
)
_AT_THE_EDGE = 0.7  # of a thigh's length
_TRUNK_LENGTH = 1.2  # from hips to shoulders, of a thigh's
_NEAREST = 0.1  # of the hips' depth, for what is mirrored at them
_SHORT = 0.7  # of its length, is much shorter than a bone is

# The T-posed hand, palm down, is nearly as far turned inwards as it goes; outwards it turns by
# nearly half a turn.
_HALF_SUPINE = np.radians(80)

SEEN = 0.5  # Below this confidence a joint counts as inferred, not seen.
_TINY = 1e-12  # metres

# In the rest frame: x to the left, y up, z to the front.
_LEFT, _FRONT, _BACK = np.array([1.0, 0, 0]), np.array([0, 0, 1.0]), np.array([0, 0, -1.0])
_NOWHERE = np.zeros(3)


@dataclass(frozen=True, eq=False)
class Observation:
    """The landmarks of one person, metric and in the camera's frame.

    Attributes
    ----------
    points: (33, 3), metres, optical frame, each on the ray of its pixel.
    confidence: (33) in [0, 1]; 0 for landmarks that are not in the image.
    rays: (33, 2), x / z and y / z.
    distance: metres, of the middle of the body, about which the network gives depths.
    """

    points: Array
    confidence: Array
    rays: Array
    distance: float
    betas: None = None  # No landmark tells them.

    @property
    def depths(self) -> Array:
        """Return the depths of the landmarks (33) about the middle of the body, metres."""
        return self.points[:, 2] - self.distance

    @property
    def hips(self) -> Array:
        """Return the point between the hips, (3) metres, optical frame."""
        return np.asarray(self.points[_HIPS].mean(axis=0))

    @property
    def shows_trunk(self) -> bool:
        """Tell whether two of shoulders and hips are seen. A face alone may be a poster's."""
        return bool(np.sum(self.confidence[_HIPS + _SHOULDERS] >= SEEN) >= 2)

    def with_depths(self, depths: Array) -> 'Observation':
        """Return the same landmarks at other depths (33), metres, on the same rays.

        Raises
        ------
        ValueError: one of them lies behind the camera.
        """
        return _on_rays(self.rays, depths, self.distance, self.confidence)

    def exchanged(self) -> 'Observation':
        """Return the same person facing the other way: left and right, front and back exchanged."""
        depths = 2 * self.hips[2] - self.points[_OTHER_SIDES, 2]
        # Of who is seen from above, close by, the feet would come to lie behind the camera.
        depths = np.maximum(depths, _NEAREST * self.hips[2]) - self.distance
        return _on_rays(
            self.rays[_OTHER_SIDES], depths, self.distance, self.confidence[_OTHER_SIDES]
        )

    def away_from(self, other: 'Observation') -> float:
        """Return how far limbs and trunk are from where another one has them in the image, metres.

        The mean over what both see of shoulders, elbows, wrists, hips, knees and ankles.
        """
        sure = np.minimum(self.confidence, other.confidence)[_LIMBS]
        away = np.linalg.norm(self.rays[_LIMBS] - other.rays[_LIMBS], axis=1)
        return float(self.distance * np.sum(sure * away) / max(np.sum(sure), _TINY))

    def joints(self, body: 'Proportions') -> tuple[Array, Array]:
        """Return joints (29, 3) and confidence (29), as place_joints does."""
        return place_joints(self, body)

    def guesses(self, joints: Array, confidence: Array, body: 'Proportions') -> NDArray[np.bool_]:
        """Tell which joints (29) are no better than a guess, as guessed does."""
        return guessed(joints, confidence, body)

    def head_turn(self, body: 'Proportions') -> Array | None:
        """Return the global rotation (3, 3) of the head by the face; None where that is not seen.

        The neck is too short for its direction to be seen, and with it how the head is turned.
        """
        if self.confidence[[bp.NOSE, *_EARS]].min() < SEEN:
            return None
        head = _PARTS.index('head')
        _, [frame] = _parts(self.points, slice(head, head + 1))
        return np.asarray(frame @ body.frames[head].T)

    def twist(
        self, joints: Array, body: 'Proportions', weights: Array, previous: Array | None
    ) -> Array:
        """Return the twist (23, 2) by hinges, hands, feet and face, as solve takes it."""
        return twist_from_pointers(joints, body.rest, pointers(self, body), weights, previous)[0]


@dataclass(frozen=True, eq=False)
class Proportions:
    """What the landmarks need to know of a body of certain betas.

    Attributes
    ----------
    rest: (29, 3), metres, the joints of the T-pose.
    anchors: (7, 3) and frames: (7, 3, 3), of its rigid parts in the T-pose.
    face: (3), from between the ears to the nose, metres, in the T-pose.
    """

    rest: Array
    anchors: Array
    frames: Array
    face: Array

    def bone(self, side: _Side, first: str, second: str) -> Array:
        """Return the direction (3) from a joint to the next, of length 1, in the T-pose."""
        bone = self.rest[side.point(second)] - self.rest[side.point(first)]
        return np.asarray(bone / np.linalg.norm(bone))

    def foot(self, side: _Side) -> Array:
        """Return the direction (3) from heel to toe in the T-pose."""
        return np.asarray(self.frames[_PARTS.index(f'{side.name}_foot'), :, 0])

    @classmethod
    def of(cls, body: BodyModel, betas: Array) -> 'Proportions':
        """Find the proportions of a body with these betas."""
        landmarks = _rest_landmarks(body, betas)
        anchors, frames = _parts(landmarks)
        return cls(body.rest_joints(betas), anchors, frames, _face(landmarks))


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
    world = landmarks.world
    if _shows_legs_only(landmarks.pixels):
        confidence[: bp.LEFT_HIP] = 0.0
        world = _with_straight_trunk(world)
        rays = _with_straight_trunk(rays)
    distance = float(locate(world, rays, confidence)[2])
    return _on_rays(rays, world[:, 2], distance, confidence)


def _shows_legs_only(pixels: Array) -> bool:
    """Tell whether hips are at the upper edge under a trunk, (33, 2) pixels, that cannot be.

    Then the trunk is above the image, and the network squeezes one in or makes one up on the legs.
    Who bends over there looks alike, but legs are what low cameras see.
    """
    hips, knees, shoulders = (pixels[pair].mean(axis=0) for pair in (_HIPS, _KNEES, _SHOULDERS))
    thigh, trunk = np.linalg.norm(knees - hips), np.linalg.norm(shoulders - hips)
    short = trunk < _SHORT_TRUNK * _TRUNK_LENGTH * thigh
    upside_down = 0 <= hips[1] < shoulders[1]
    return bool(hips[1] < min(_AT_THE_EDGE * thigh, knees[1]) and (short or upside_down))


def _with_straight_trunk(points: Array) -> Array:
    """Return landmarks, (33, 2) or (33, 3), whose trunk goes on as the thighs lead to it."""
    hips, knees, shoulders = (points[pair].mean(axis=0) for pair in (_HIPS, _KNEES, _SHOULDERS))
    points = points.copy()
    points[_SHOULDERS] += hips + _TRUNK_LENGTH * (hips - knees) - shoulders
    return points


def _on_rays(rays: Array, depths: Array, distance: float, confidence: Array) -> Observation:
    return Observation(on_rays(rays, depths + distance), confidence, rays, distance)


def place_joints(observation: Observation, body: Proportions) -> tuple[Array, Array]:
    """Find the solver's joints, those that no landmark shows by the body's proportions.

    Parameters
    ----------
    observation: of one person.
    body: whose proportions fill in.

    Returns
    -------
    joints: (29, 3), metres, optical frame.
    confidence: (29) in [0, 1], the least of the landmarks that a joint is taken from; less for
        a hand that seems shorter than it is.
    """
    seen = observation.confidence
    points = observation.points
    carried = _carried(points, body)
    less, doubt = _doubt(points, seen, body.rest)
    if doubt > 0:  # As in the T-pose from the others; only the trunk's direction is taken from it.
        seen = seen.copy()
        seen[_TRUNK_OUTWARD[less]] *= 1 - doubt
        straight = carried[_TRUNK_PARTS[1 - less], _TRUNK_JOINTS[less]]
        points = points.copy()
        points[_TRUNK_PAIRS[less]] += doubt * (straight - points[_TRUNK_PAIRS[less]])
        carried = _carried(points, body)

    joints = np.empty_like(body.rest)
    joints[_SHOWN] = points[_SHOWN_BY]
    joints[_PASSENGERS] = carried[_CARRIERS, _PASSENGERS]
    with_hips, with_chest = carried[_PARTS.index('hips')], carried[_PARTS.index('chest')]
    for name, share in _SPINE_SHARES.items():
        spine = _POINT[name]
        joints[spine] = (1 - share) * with_hips[spine] + share * with_chest[spine]
    confidence = seen[_SOURCES].min(axis=1)
    for hand, told in zip(_HAND_JOINTS, _told(observation.points, body.rest), strict=True):
        confidence[hand[1:]] *= told
    return joints, confidence


def _carried(points: Array, body: Proportions) -> Array:
    """Return where each of _PARTS would carry all joints, (7, 29, 3), by landmarks (33, 3)."""
    anchors, frames = _parts(points)
    turns = frames @ body.frames.transpose(0, 2, 1)
    carried = (body.rest - body.anchors[:, None]) @ turns.transpose(0, 2, 1)
    return np.asarray(anchors[:, None] + carried)


@kernel(floats(2), floats(1), floats(2))
def _doubt(points: Array, confidence: Array, rest: Array) -> tuple[int, float]:
    """Return the less sure of hips (0) and shoulders (1), and how far not to believe it, in [0, 1].

    The network gives some place to each, out of the image or not, and left and right may be
    swapped there, which would wring the spine. Hips that are as sure but turned against the
    shoulders as no spine can be, or much too near to them or each other, are not believed either.

    Parameters
    ----------
    points, confidence: (33, 3) metres, (33), as seen.
    rest: (29, 3), metres, the joints of the T-pose.
    """
    lines, middles, at_rest = np.empty((2, 3)), np.empty((2, 3)), np.empty((2, 3))
    axis = np.empty(3)
    sure = np.empty(2)
    for n in range(2):
        left, right = _TRUNK_PAIRS[n, 0], _TRUNK_PAIRS[n, 1]
        first, second = _TRUNK_JOINTS[n, 0], _TRUNK_JOINTS[n, 1]
        for k in range(3):
            lines[n, k] = points[left, k] - points[right, k]
            middles[n, k] = (points[left, k] + points[right, k]) / 2
            at_rest[n, k] = (rest[first, k] + rest[second, k]) / 2
        width = _distance(rest[first], rest[second])
        wide = _believed(_distance(points[left], points[right]), _NARROW * width)
        sure[n] = wide * max(confidence[left], confidence[right])
    less = 0 if sure[0] <= sure[1] else 1
    length = _distance(middles[0], middles[1])
    long = _believed(length, _SHORT_TRUNK * _distance(at_rest[0], at_rest[1]))
    for k in range(3):
        axis[k] = (middles[1, k] - middles[0, k]) / max(length, _TINY)
    for n in range(2):
        along = _dot(lines[n], axis)
        for k in range(3):
            lines[n, k] -= along * axis[k]
    lengths = np.sqrt(_dot(lines[0], lines[0]) * _dot(lines[1], lines[1]))
    alike = _dot(lines[0], lines[1]) / max(lengths, _TINY)
    return less, 1 - min(1.0, sure[less] / SEEN) * min(1.0, max(0.0, alike / _WRUNG)) * long


@compiled
def _dot(first: Array, second: Array) -> float:
    return first[0] * second[0] + first[1] * second[1] + first[2] * second[2]


@compiled
def _distance(first: Array, second: Array) -> float:
    square = 0.0
    for k in range(3):
        square += (first[k] - second[k]) ** 2
    return np.sqrt(square)


@compiled
def _believed(length: float, least: float) -> float:
    """How far to believe a length, in [0, 1]: wholly from the least on, not at all below half."""
    return min(1.0, max(0.0, 2 * length / max(least, _TINY) - 1))


@kernel(floats(2), floats(2))
def _told(points: Array, rest: Array) -> Array:
    """Return in [0, 1] how much each hand (2) tells of its direction.

    Seen badly, it shrinks to a point. The hand's joint lies a little beyond the knuckles.

    Parameters
    ----------
    points: (33, 3), metres, as seen.
    rest: (29, 3), metres, the joints of the T-pose.
    """
    told = np.empty(2)
    for i in range(2):
        wrist, index, pinky = _HANDS[i, 0], _HANDS[i, 1], _HANDS[i, 2]
        seen = true = 0.0
        for k in range(3):
            seen += ((points[index, k] + points[pinky, k]) / 2 - points[wrist, k]) ** 2
            true += (rest[_HAND_JOINTS[i, 1], k] - rest[_HAND_JOINTS[i, 0], k]) ** 2
        told[i] = min(1.0, seen / max(true, _TINY))
    return told


def guessed(joints: Array, confidence: Array, body: Proportions) -> NDArray[np.bool_]:
    """Tell which joints (29) are no better than a guess.

    Hidden hands and feet are, whose direction flips; of arms and legs, the ends of hidden bones
    that seem much shorter than they are.

    Parameters
    ----------
    joints, confidence: of place_joints.
    body: the same.
    """
    short = np.zeros(len(joints), bool)
    short[_ENDS] = True
    first, second = _BONES
    length, true = (np.linalg.norm(x[first] - x[second], axis=1) for x in (joints, body.rest))
    short[second] = length < _SHORT * true
    return short & (confidence < SEEN)


def measured_lengths(joints: Array, confidence: Array) -> tuple[Array, Array]:
    """Return the distances of SHAPE_PAIRS (N) in metres, and the confidence of each (N)."""
    first, second = _PAIRS
    lengths = np.linalg.norm(joints[first] - joints[second], axis=1)
    return lengths, np.minimum(confidence[first], confidence[second])


def pointers(observation: Observation, body: Proportions) -> list[Pointer]:
    """Return what tells the twist: hinges, hands, feet, the face, the line of the shoulders.

    Each is as sure as the least sure landmark that it is taken from, and as what these tell.
    """

    def pointer(
        joint: int, rest: Array, seen: Array, sources: Sequence[int], share: float = 1.0,
        centre: float = 0.0, told: float = 1.0, stretched: Array = _NOWHERE,
    ) -> Pointer:  # fmt: skip
        sure = told * min(confidence[source] for source in sources)
        return Pointer(joint, rest, seen, share, centre, sure, stretched)

    points, confidence = observation.points, observation.confidence.tolist()
    across = points[bp.LEFT_SHOULDER] - points[bp.RIGHT_SHOULDER]
    face = _face(points)
    found = [
        pointer(_POINT['spine1'], _LEFT, across, _SHOULDERS, share=1 / 3),
        pointer(_POINT['spine2'], _LEFT, across, _SHOULDERS, share=1 / 2),
        pointer(_POINT['neck'], body.face, face, (bp.NOSE, *_EARS), share=1 / 2),
        pointer(_POINT['head'], body.face, face, (bp.NOSE, *_EARS)),
    ]
    hands = _told(points, body.rest).tolist()
    for side, supine, told in zip(_SIDES, (-_HALF_SUPINE, _HALF_SUPINE), hands, strict=True):
        forearm = points[side.wrist] - points[side.elbow]
        shank = points[side.ankle] - points[side.knee]
        thumb, foot = points[side.index] - points[side.pinky], points[side.toe] - points[side.heel]
        hand = (side.wrist, side.index, side.pinky)
        found += [
            pointer(side.point('shoulder'), _FRONT, forearm, (side.elbow, side.wrist),
                    stretched=body.bone(side, 'elbow', 'wrist')),
            pointer(side.point('elbow'), _FRONT, thumb, hand, 1 / 2, supine, told),
            pointer(side.point('wrist'), _FRONT, thumb, hand, told=told),
            pointer(side.point('hip'), _BACK, shank, (side.knee, side.ankle),
                    stretched=body.bone(side, 'knee', 'ankle')),
            pointer(side.point('knee'), body.foot(side), foot, (side.toe, side.heel), share=1 / 2),
        ]  # fmt: skip
    return found


def _rest_landmarks(body: BodyModel, betas: Array) -> Array:
    """Return where the landmarks that carry parts lie on the T-posed body, (33, 3) metres.

    The others are NaN. Index and little finger stand for the width of a flat hand, palm down.
    """
    rest = body.rest_joints(betas)
    landmarks = np.full((bp.NUM_LANDMARKS, 3), np.nan)
    landmarks[bp.NOSE] = body.landmark('nose', betas)
    for side in _SIDES:
        tip = rest[side.point('middle_tip')]
        landmarks[side.index], landmarks[side.pinky] = tip + _FRONT, tip - _FRONT
        landmarks[side.ear] = body.landmark(f'{side.name}_ear', betas)
        landmarks[side.heel] = body.landmark(f'{side.name}_heel', betas)
        landmarks[side.toe] = body.landmark(f'{side.name}_big_toe', betas)
        for name in ('hip', 'shoulder', 'wrist', 'ankle'):
            landmarks[getattr(side, name)] = rest[side.point(name)]
    return landmarks


def _parts(landmarks: Array, parts: slice = slice(None)) -> tuple[Array, Array]:
    """Return anchors (N, 3) and frames (N, 3, 3) of N of _PARTS, from landmarks (33, 3)."""
    points = landmarks[_DIRECTIONS[:, parts]].mean(axis=2)
    anchors, to, start, second_to, second_start = points
    return anchors, _frames(to - start, second_to - second_start)


def _face(landmarks: Array) -> Array:
    """Return the direction from between the ears to the nose."""
    return landmarks[bp.NOSE] - landmarks[[side.ear for side in _SIDES]].mean(axis=0)


@kernel(floats(2), floats(2))
def _frames(first: Array, second: Array) -> Array:
    """Return rotations (N, 3, 3): x the first direction, the second in the x-y plane."""
    frames = np.zeros((len(first), 3, 3))
    x, y, z = np.empty(3), np.empty(3), np.empty(3)
    for n in range(len(first)):
        length = max(np.sqrt(_dot(first[n], first[n])), _TINY)
        for k in range(3):
            x[k] = first[n, k] / length
        _cross(x, second[n], z)
        length = max(np.sqrt(_dot(z, z)), _TINY)
        for k in range(3):
            z[k] /= length
        _cross(z, x, y)
        for k in range(3):
            frames[n, k, 0], frames[n, k, 1], frames[n, k, 2] = x[k], y[k], z[k]
    return frames


@compiled
def _cross(a: Array, b: Array, out: Array) -> None:
    """Write a x b to out, which is neither a nor b."""
    out[0] = a[1] * b[2] - a[2] * b[1]
    out[1] = a[2] * b[0] - a[0] * b[2]
    out[2] = a[0] * b[1] - a[1] * b[0]
