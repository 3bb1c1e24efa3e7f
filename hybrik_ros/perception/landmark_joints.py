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

from hybrik_ros.arrays import Array
from hybrik_ros.body.proportions import (
    JOINT,
    PARTS,
    SURFACE_POINT,
    Proportions,
    face_direction,
    part_frames,
)
from hybrik_ros.compiling import compiled, floats, kernel
from hybrik_ros.kinematics import Pointer
from hybrik_ros.perception import blazepose as bp
from hybrik_ros.perception.estimator import SEEN
from hybrik_ros.vectors import distance, dot

_HIPS = [bp.LEFT_HIP, bp.RIGHT_HIP]
_SHOULDERS = [bp.LEFT_SHOULDER, bp.RIGHT_SHOULDER]
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
        return JOINT[f'{self.name}_{name}']


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
        JOINT['pelvis']: _HIPS,
        **{JOINT[name]: _HIPS + _SHOULDERS for name in ('spine1', 'spine2')},
        **{JOINT[name]: _SHOULDERS for name in ('spine3', 'neck')},
        **{JOINT[name]: [bp.NOSE, *_EARS] for name in ('head', 'head_top')},
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
    return np.array([np.resize(sources[point], 4) for point in range(len(JOINT))])


SOURCES = _sources()


def _shown() -> NDArray[np.int64]:
    """Return the joint (33) that tells how far each landmark can be believed."""
    shown = np.full(bp.NUM_LANDMARKS, JOINT['head'])
    for side in _SIDES:
        by_joint = {
            'shoulder': [side.shoulder], 'elbow': [side.elbow], 'hip': [side.hip],
            'wrist': range(side.wrist, side.hip, 2), 'knee': [side.knee],
            'ankle': [side.ankle, side.heel, side.toe],
        }  # fmt: skip
        for name, landmarks in by_joint.items():
            shown[list(landmarks)] = side.point(name)
    return shown


SHOWN_JOINTS = _shown()

# The landmarks of the surface points that tell how rigid parts lie.
_SURFACE = np.array([bp.INDEX[name] for name in SURFACE_POINT])
_CARRIED = {
    'hips': ('pelvis', 'left_hip', 'right_hip'),
    'chest': ('spine3', 'neck', 'left_collar', 'right_collar'),
    'head': ('head', 'head_top'),
    **{f'{side.name}_hand': (f'{side.name}_hand', f'{side.name}_middle_tip') for side in _SIDES},
    **{f'{side.name}_foot': (f'{side.name}_foot', f'{side.name}_big_toe') for side in _SIDES},
}
_CARRIERS, _PASSENGERS = np.array(
    [(PARTS.index(part), JOINT[name]) for part, names in _CARRIED.items() for name in names]
).T
# The lower and upper half of the trunk: their parts, landmarks, and the joints that these show.
_TRUNK_PARTS = (PARTS.index('hips'), PARTS.index('chest'))
_TRUNK_PAIRS = np.array([_HIPS, _SHOULDERS])
_TRUNK_OUTWARD = (_HIPS, [*_SHOULDERS, bp.NOSE, *_EARS])  # The head follows the shoulders.
_TRUNK_JOINTS = np.array(
    [[JOINT[f'{side.name}_{name}'] for side in _SIDES] for name in ('hip', 'shoulder')]
)
# Cosine of the maximum angle between hips and shoulders that is believed.
_MAX_TRUNK_TWIST_COS = np.cos(np.radians(60))
# For cropped people the network predicts compressed trunks with high confidence. Minimum share of
# the true length of the trunk, and of the true width of hips and shoulders, that is fully believed;
# half of that is not believed at all.
_MIN_TRUNK_LENGTH, _MIN_TRUNK_WIDTH = 0.8, 0.6
# Share by which a trunk whose hips are not seen is turned upright if it nearly is. In the clips of
# `hybrik bench perception` cut off at the chest, 0.5 to 0.7 bring trunks nearest to their true
# direction, although the man leans by 25 degrees.
_UPRIGHT_SHARE = 0.6
# Position of the joints of the spine on the way from the hips to the chest.
_SPINE_SHARES = {'spine1': 1 / 3, 'spine2': 2 / 3}

# Joints that a landmark shows, and the landmark of each.
_SHOWN, _SHOWN_BY = np.array(
    [
        (side.point(name), getattr(side, name))
        for side in _SIDES
        for name in ('shoulder', 'elbow', 'wrist', 'knee', 'ankle')
    ]
).T

# Ends of hands and feet, which are placed by a direction, and the bones of arms and legs.
_ENDS = [side.point(end) for side in _SIDES for end in ('hand', 'middle_tip', 'foot', 'big_toe')]
_LIMBS = (('shoulder', 'elbow'), ('elbow', 'wrist'), ('hip', 'knee'), ('knee', 'ankle'))
_BONES = np.array(
    [(side.point(first), side.point(second)) for side in _SIDES for first, second in _LIMBS]
).T
_HANDS = np.array([(side.wrist, side.index, side.pinky) for side in _SIDES])
_HAND_JOINTS = np.array(
    [[side.point(name) for name in ('wrist', 'hand', 'middle_tip')] for side in _SIDES]
)
_MIN_BONE_LENGTH = 0.7  # share of its true length that a seen bone has

# Radians, middle of the range of forearm rotation: the T-posed hand, palm down, is nearly at its
# inner limit, and turns outwards by nearly half a turn.
_FOREARM_MIDDLE = np.radians(80)

_TINY = 1e-12  # metres

# In the rest frame: x to the left, y up, z to the front.
_LEFT, _FRONT, _BACK = np.array([1.0, 0, 0]), np.array([0, 0, 1.0]), np.array([0, 0, -1.0])
_NOWHERE = np.zeros(3)


def place_joints(
    points: Array, confidence: Array, body: Proportions, up: Array
) -> tuple[Array, Array]:
    """Return the solver's joints; those without a landmark follow from the body's proportions.

    Parameters
    ----------
    points : ndarray
        Landmarks (33, 3) in metres, optical frame.
    confidence : ndarray
        Confidence (33) of the landmarks in [0, 1].
    body : Proportions
        Proportions of the person.
    up : ndarray
        Unit vector (3) that points up, optical frame: the likely direction of a trunk whose hips
        are not seen.

    Returns
    -------
    joints : ndarray
        Joints and leaves (29, 3) in metres, optical frame.
    joint_confidence : ndarray
        Confidence (29) in [0, 1]: the minimum of the landmarks that a joint is taken from; less for
        a hand that is seen too short.
    """
    seen, seen_points = confidence, points
    carried = _carry_joints(points, body)
    half, doubt = _doubt_trunk(points, seen, body.rest)
    if doubt > 0:  # As in the T-pose from the other half; only the trunk's direction is kept.
        seen = seen.copy()
        seen[_TRUNK_OUTWARD[half]] *= 1 - doubt
        points = points.copy() if half else _turn_upright(points, doubt, body.rest, up)
        straight = _carry_joints(points, body)[_TRUNK_PARTS[1 - half], _TRUNK_JOINTS[half]]
        points[_TRUNK_PAIRS[half]] += doubt * (straight - points[_TRUNK_PAIRS[half]])
        carried = _carry_joints(points, body)

    joints = np.empty_like(body.rest)
    joints[_SHOWN] = points[_SHOWN_BY]
    joints[_PASSENGERS] = carried[_CARRIERS, _PASSENGERS]
    with_hips, with_chest = carried[PARTS.index('hips')], carried[PARTS.index('chest')]
    for name, share in _SPINE_SHARES.items():
        spine = JOINT[name]
        joints[spine] = (1 - share) * with_hips[spine] + share * with_chest[spine]
    joint_confidence = seen[SOURCES].min(axis=1)
    for hand, belief in zip(_HAND_JOINTS, _believe_hands(seen_points, body.rest), strict=True):
        joint_confidence[hand[1:]] *= belief
    return joints, joint_confidence


def _carry_joints(points: Array, body: Proportions) -> Array:
    """Return where each of PARTS would carry all joints, (7, 29, 3), by landmarks (33, 3)."""
    anchors, frames = part_frames(points[_SURFACE])
    turns = frames @ body.frames.transpose(0, 2, 1)
    carried = (body.rest - body.anchors[:, None]) @ turns.transpose(0, 2, 1)
    return np.asarray(anchors[:, None] + carried)


def _turn_upright(points: Array, doubt: float, rest: Array, up: Array) -> Array:
    """Return landmarks (33, 3) with doubted hips nearer to where they are if the person stands.

    The hips of lying people, and of people upside down, stay.

    Parameters
    ----------
    points : ndarray
        Landmarks (33, 3) in metres, optical frame.
    doubt : float
        Doubt in the hips, in [0, 1].
    rest : ndarray
        Joints (29, 3) of the T-pose in metres.
    up : ndarray
        Unit vector (3) that points up, optical frame.
    """
    (hips, shoulders), (rest_hips, rest_shoulders) = (
        points[_TRUNK_PAIRS].mean(axis=1),
        rest[_TRUNK_JOINTS].mean(axis=1),
    )
    trunk, standing = shoulders - hips, rest_shoulders - rest_hips
    front = np.cross(points[bp.LEFT_SHOULDER] - points[bp.RIGHT_SHOULDER], up)
    front /= max(np.linalg.norm(front), _TINY)
    length = np.linalg.norm(trunk)
    upright = max(0.0, trunk @ up) / max(length, _TINY)
    target = length / np.linalg.norm(standing) * (standing[1] * up + standing[2] * front)
    turned = points.copy()
    turned[_TRUNK_PAIRS[0]] += _UPRIGHT_SHARE * doubt * upright * (trunk - target)
    return turned


@kernel(floats(2), floats(1), floats(2))
def _doubt_trunk(points: Array, confidence: Array, rest: Array) -> tuple[int, float]:
    """Return the less certain half of the trunk, hips (0) or shoulders (1), and the doubt in it.

    The doubt is in [0, 1].

    The network places both, inside the image or not, and may exchange left and right there, which
    would twist the spine. Hips that are as certain but turned against the shoulders as no spine
    can be, or much too near to them or each other, are doubted too.

    Parameters
    ----------
    points, confidence : ndarray
        Landmarks (33, 3) in metres, and their confidence (33).
    rest : ndarray
        Joints (29, 3) of the T-pose in metres.
    """
    lines, middles, at_rest = np.empty((2, 3)), np.empty((2, 3)), np.empty((2, 3))
    axis = np.empty(3)
    certainty = np.empty(2)
    for n in range(2):
        left, right = _TRUNK_PAIRS[n, 0], _TRUNK_PAIRS[n, 1]
        first, second = _TRUNK_JOINTS[n, 0], _TRUNK_JOINTS[n, 1]
        for k in range(3):
            lines[n, k] = points[left, k] - points[right, k]
            middles[n, k] = (points[left, k] + points[right, k]) / 2
            at_rest[n, k] = (rest[first, k] + rest[second, k]) / 2
        width = distance(rest[first], rest[second])
        wide = _believe_length(distance(points[left], points[right]), _MIN_TRUNK_WIDTH * width)
        certainty[n] = wide * max(confidence[left], confidence[right])
    half = 0 if certainty[0] <= certainty[1] else 1
    length = distance(middles[0], middles[1])
    long = _believe_length(length, _MIN_TRUNK_LENGTH * distance(at_rest[0], at_rest[1]))
    for k in range(3):
        axis[k] = (middles[1, k] - middles[0, k]) / max(length, _TINY)
    for n in range(2):
        along = dot(lines[n], axis)
        for k in range(3):
            lines[n, k] -= along * axis[k]
    lengths = np.sqrt(dot(lines[0], lines[0]) * dot(lines[1], lines[1]))
    alike = dot(lines[0], lines[1]) / max(lengths, _TINY)
    straight = min(1.0, max(0.0, alike / _MAX_TRUNK_TWIST_COS))
    return half, 1 - min(1.0, certainty[half] / SEEN) * straight * long


@compiled
def _believe_length(length: float, minimum: float) -> float:
    """Return the belief in a length, in [0, 1]: 1 from the minimum on, 0 below half of it."""
    return min(1.0, max(0.0, 2 * length / max(minimum, _TINY) - 1))


@kernel(floats(2), floats(2))
def _believe_hands(points: Array, rest: Array) -> Array:
    """Return the belief (2), in [0, 1], in the directions of the left and the right hand.

    A hand that is seen badly shrinks to a point. Its joint lies a little beyond the knuckles.

    Parameters
    ----------
    points : ndarray
        Landmarks (33, 3) in metres.
    rest : ndarray
        Joints (29, 3) of the T-pose in metres.
    """
    belief = np.empty(2)
    for i in range(2):
        wrist, index, pinky = _HANDS[i, 0], _HANDS[i, 1], _HANDS[i, 2]
        seen = true = 0.0
        for k in range(3):
            seen += ((points[index, k] + points[pinky, k]) / 2 - points[wrist, k]) ** 2
            true += (rest[_HAND_JOINTS[i, 1], k] - rest[_HAND_JOINTS[i, 0], k]) ** 2
        belief[i] = min(1.0, seen / max(true, _TINY))
    return belief


def find_guesses(joints: Array, confidence: Array, body: Proportions) -> NDArray[np.bool_]:
    """Return which joints (29) are no better than a guess.

    Guesses are hidden hands and feet, as their direction flips, and the ends of hidden bones of
    arms and legs that seem much shorter than they are.

    Parameters
    ----------
    joints, confidence : ndarray
        Result of place_joints for the same body.
    body : Proportions
        Proportions of the person.
    """
    short = np.zeros(len(joints), bool)
    short[_ENDS] = True
    first, second = _BONES
    length, true = (np.linalg.norm(x[first] - x[second], axis=1) for x in (joints, body.rest))
    short[second] = length < _MIN_BONE_LENGTH * true
    return short & (confidence < SEEN)


def head_rotation(points: Array, confidence: Array, body: Proportions) -> Array | None:
    """Return the global rotation (3, 3) of the head by the face; None where the face is not seen.

    The neck is too short for its direction to be seen, and with it how the head is turned.
    """
    if confidence[[bp.NOSE, *_EARS]].min() < SEEN:
        return None
    head = PARTS.index('head')
    _, [frame] = part_frames(points[_SURFACE], slice(head, head + 1))
    return np.asarray(frame @ body.frames[head].T)


def find_pointers(points: Array, confidence: Array, body: Proportions) -> list[Pointer]:
    """Return the directions that show twist: hinges, hands, feet, the face, the shoulder line.

    Each has the minimum confidence of its landmarks.

    Parameters
    ----------
    points, confidence : ndarray
        Landmarks (33, 3) in metres, optical frame, and their confidence (33).
    body : Proportions
        Proportions of the person.
    """

    def pointer(
        joint: int, rest: Array, seen: Array, sources: Sequence[int], share: float = 1.0,
        centre: float = 0.0, belief: float = 1.0, stretched: Array = _NOWHERE,
    ) -> Pointer:  # fmt: skip
        minimum = belief * min(sure[source] for source in sources)
        return Pointer(joint, rest, seen, share, centre, minimum, stretched)

    sure = confidence.tolist()
    across = points[bp.LEFT_SHOULDER] - points[bp.RIGHT_SHOULDER]
    face = face_direction(points[_SURFACE])
    found = [
        pointer(JOINT['spine1'], _LEFT, across, _SHOULDERS, share=1 / 3),
        pointer(JOINT['spine2'], _LEFT, across, _SHOULDERS, share=1 / 2),
        pointer(JOINT['neck'], body.face, face, (bp.NOSE, *_EARS), share=1 / 2),
        pointer(JOINT['head'], body.face, face, (bp.NOSE, *_EARS)),
    ]
    hands = _believe_hands(points, body.rest).tolist()
    middles = (-_FOREARM_MIDDLE, _FOREARM_MIDDLE)
    for side, middle, belief in zip(_SIDES, middles, hands, strict=True):
        forearm = points[side.wrist] - points[side.elbow]
        shank = points[side.ankle] - points[side.knee]
        thumb, foot = points[side.index] - points[side.pinky], points[side.toe] - points[side.heel]
        hand = (side.wrist, side.index, side.pinky)
        found += [
            pointer(side.point('shoulder'), _FRONT, forearm, (side.elbow, side.wrist),
                    stretched=body.bone(f'{side.name}_elbow', f'{side.name}_wrist')),
            pointer(side.point('elbow'), _FRONT, thumb, hand, 1 / 2, middle, belief),
            pointer(side.point('wrist'), _FRONT, thumb, hand, belief=belief),
            pointer(side.point('hip'), _BACK, shank, (side.knee, side.ankle),
                    stretched=body.bone(f'{side.name}_knee', f'{side.name}_ankle')),
            pointer(side.point('knee'), body.foot(side.name), foot, (side.toe, side.heel),
                    share=1 / 2),
        ]  # fmt: skip
    return found
