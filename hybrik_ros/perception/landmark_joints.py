"""From BlazePose's 33 landmarks to the solver's joints, in the proportions of a body.

The network sees shoulders, elbows, wrists, hips, knees, ankles, feet, hands and the face. What
SMPL has besides follows from these with the body's own rest joints: the pelvis is carried by
the line of the hips, the chest by the line of the shoulders, the spine by both, the head by
ears and nose, hands and feet by their landmarks.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.body.proportions import (
    JOINT,
    PARTS,
    SURFACE_POINT,
    Proportions,
    find_part,
)
from hybrik_ros.compiling import compiled, floats, kernel
from hybrik_ros.kinematics import Pointers
from hybrik_ros.kinematics.matrices import copy, multiply_transposed
from hybrik_ros.perception import blazepose as bp
from hybrik_ros.perception.estimator import SEEN
from hybrik_ros.skeleton import NUM_JOINTS, NUM_POINTS
from hybrik_ros.vectors import cross, distance, dot, norm

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


def _columns(rows: list[tuple[int, int]]) -> NDArray[np.int64]:
    """Return the columns (2, N) of a table, contiguous as kernels need them."""
    return np.ascontiguousarray(np.transpose(rows))


# The landmarks of the surface points that tell how rigid parts lie.
_SURFACE = np.array([bp.INDEX[name] for name in SURFACE_POINT])
_HEAD = PARTS.index('head')
_CARRIED = {
    'hips': ('pelvis', 'left_hip', 'right_hip'),
    'chest': ('spine3', 'neck', 'left_collar', 'right_collar'),
    'head': ('head', 'head_top'),
    **{f'{side.name}_hand': (f'{side.name}_hand', f'{side.name}_middle_tip') for side in _SIDES},
    **{f'{side.name}_foot': (f'{side.name}_foot', f'{side.name}_big_toe') for side in _SIDES},
}
_CARRIERS, _PASSENGERS = _columns(
    [(PARTS.index(part), JOINT[name]) for part, names in _CARRIED.items() for name in names]
)
# The lower and upper half of the trunk: their parts, landmarks, and the joints that these show.
_TRUNK_PARTS = (PARTS.index('hips'), PARTS.index('chest'))
_TRUNK_PAIRS = np.array([_HIPS, _SHOULDERS])
# Which landmarks (2, 33) each half carries: the head follows the shoulders.
_IS_OUTWARD = np.zeros((2, bp.NUM_LANDMARKS), bool)
_IS_OUTWARD[0, _HIPS] = _IS_OUTWARD[1, [*_SHOULDERS, bp.NOSE, *_EARS]] = True
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
_SPINE = np.array([JOINT['spine1'], JOINT['spine2']])
_SPINE_SHARES = np.array([1 / 3, 2 / 3])

# Joints that a landmark shows, and the landmark of each.
_SHOWN, _SHOWN_BY = _columns(
    [
        (side.point(name), getattr(side, name))
        for side in _SIDES
        for name in ('shoulder', 'elbow', 'wrist', 'knee', 'ankle')
    ]
)

# Ends of hands and feet, which are placed by a direction, and the bones of arms and legs.
_ENDS = np.array(
    [side.point(end) for side in _SIDES for end in ('hand', 'middle_tip', 'foot', 'big_toe')]
)
_LIMBS = (('shoulder', 'elbow'), ('elbow', 'wrist'), ('hip', 'knee'), ('knee', 'ankle'))
_BONES = _columns(
    [(side.point(first), side.point(second)) for side in _SIDES for first, second in _LIMBS]
)
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
    joints, joint_confidence = np.empty((NUM_POINTS, 3)), np.empty(NUM_POINTS)
    _place_joints(
        points, confidence, body.rest, body.anchors, body.frames, up, joints, joint_confidence
    )
    return joints, joint_confidence


@kernel(
    *(floats(2), floats(1), floats(2), floats(2), floats(3), floats(1), floats(2), floats(1)),
)
def _place_joints(
    points: Array, confidence: Array, rest: Array, rest_anchors: Array, rest_frames: Array,
    up: Array, joints: Array, joint_confidence: Array,
) -> None:  # fmt: skip
    """Fill the results of place_joints, given rest, anchors and frames of the proportions."""
    seen, moved = confidence.copy(), points.copy()
    anchors, turns = np.empty((len(rest_anchors), 3)), np.empty(rest_frames.shape)
    other = np.empty(3)
    half, doubt = _doubt_trunk(points, confidence, rest)
    if doubt > 0:  # As in the T-pose from the other half; only the trunk's direction is kept.
        for n in range(len(seen)):
            if _IS_OUTWARD[half, n]:
                seen[n] *= 1 - doubt
        if half == 0:
            _turn_upright(moved, doubt, rest, up)
        _find_turns(moved, rest_frames, anchors, turns)
        for side in range(2):
            landmark = _TRUNK_PAIRS[half, side]
            _carry(_TRUNK_PARTS[1 - half], _TRUNK_JOINTS[half, side], rest, rest_anchors, anchors,
                   turns, other)  # fmt: skip
            for k in range(3):
                moved[landmark, k] += doubt * (other[k] - moved[landmark, k])
    _find_turns(moved, rest_frames, anchors, turns)
    for n in range(len(_SHOWN)):
        for k in range(3):
            joints[_SHOWN[n], k] = moved[_SHOWN_BY[n], k]
    for n in range(len(_CARRIERS)):
        _carry(_CARRIERS[n], _PASSENGERS[n], rest, rest_anchors, anchors, turns,
               joints[_PASSENGERS[n]])  # fmt: skip
    for n in range(len(_SPINE)):
        spine, share = _SPINE[n], _SPINE_SHARES[n]
        _carry(_TRUNK_PARTS[0], spine, rest, rest_anchors, anchors, turns, joints[spine])
        _carry(_TRUNK_PARTS[1], spine, rest, rest_anchors, anchors, turns, other)
        for k in range(3):
            joints[spine, k] = (1 - share) * joints[spine, k] + share * other[k]
    for j in range(NUM_POINTS):
        joint_confidence[j] = seen[SOURCES[j, 0]]
        for n in range(1, SOURCES.shape[1]):
            joint_confidence[j] = min(joint_confidence[j], seen[SOURCES[j, n]])
    for side in range(2):
        belief = _believe_hand(points, rest, side)
        for n in range(1, _HAND_JOINTS.shape[1]):
            joint_confidence[_HAND_JOINTS[side, n]] *= belief


@compiled
def _find_turns(points: Array, rest_frames: Array, anchors: Array, turns: Array) -> None:
    """Fill anchors (7, 3) of PARTS by landmarks (33, 3), and their rotations (7, 3, 3)."""
    surface, frame = np.empty((len(_SURFACE), 3)), np.empty((3, 3))
    scratch = np.empty((4, 3))
    for n in range(len(_SURFACE)):
        for k in range(3):
            surface[n, k] = points[_SURFACE[n], k]
    for part in range(len(turns)):
        find_part(surface, part, anchors[part], frame, scratch)
        multiply_transposed(frame, rest_frames[part], turns[part])


@compiled
def _carry(
    part: int, joint: int, rest: Array, rest_anchors: Array, anchors: Array, turns: Array,
    out: Array,
) -> None:  # fmt: skip
    """Write to out where one of PARTS carries a joint, which out may be."""
    x, y, z = (
        rest[joint, 0] - rest_anchors[part, 0],
        rest[joint, 1] - rest_anchors[part, 1],
        rest[joint, 2] - rest_anchors[part, 2],
    )
    for k in range(3):
        turned = turns[part, k, 0] * x + turns[part, k, 1] * y + turns[part, k, 2] * z
        out[k] = anchors[part, k] + turned


@compiled
def _turn_upright(points: Array, doubt: float, rest: Array, up: Array) -> None:
    """Move doubted hips of landmarks (33, 3) nearer to where they are if the person stands.

    The hips of lying people, and of people upside down, stay.

    Parameters
    ----------
    points : ndarray
        Landmarks (33, 3) in metres, optical frame; changed.
    doubt : float
        Doubt in the hips, in [0, 1].
    rest : ndarray
        Joints (29, 3) of the T-pose in metres.
    up : ndarray
        Unit vector (3) that points up, optical frame.
    """
    trunk, standing = np.empty(3), np.empty(3)
    across, front = np.empty(3), np.empty(3)
    left_hip, right_hip = _TRUNK_PAIRS[0, 0], _TRUNK_PAIRS[0, 1]
    left_shoulder, right_shoulder = _TRUNK_PAIRS[1, 0], _TRUNK_PAIRS[1, 1]
    left_leg, right_leg = _TRUNK_JOINTS[0, 0], _TRUNK_JOINTS[0, 1]
    left_arm, right_arm = _TRUNK_JOINTS[1, 0], _TRUNK_JOINTS[1, 1]
    for k in range(3):
        across[k] = points[left_shoulder, k] - points[right_shoulder, k]
        trunk[k] = (points[left_shoulder, k] + points[right_shoulder, k]) / 2
        trunk[k] -= (points[left_hip, k] + points[right_hip, k]) / 2
        standing[k] = (rest[left_arm, k] + rest[right_arm, k]) / 2
        standing[k] -= (rest[left_leg, k] + rest[right_leg, k]) / 2
    cross(across, up, front)
    width, length = max(norm(front), _TINY), norm(trunk)
    upright = max(0.0, dot(trunk, up)) / max(length, _TINY)
    for k in range(3):
        target = standing[1] * up[k] + standing[2] * front[k] / width
        target *= length / norm(standing)
        shift = _UPRIGHT_SHARE * doubt * upright * (trunk[k] - target)
        points[left_hip, k] += shift
        points[right_hip, k] += shift


@compiled
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


@compiled
def _believe_hand(points: Array, rest: Array, side: int) -> float:
    """Return the belief, in [0, 1], in the direction of the left (0) or the right hand (1).

    A hand that is seen badly shrinks to a point. Its joint lies a little beyond the knuckles.

    Parameters
    ----------
    points : ndarray
        Landmarks (33, 3) in metres.
    rest : ndarray
        Joints (29, 3) of the T-pose in metres.
    side : int
        Which hand.
    """
    wrist, index, pinky = _HANDS[side, 0], _HANDS[side, 1], _HANDS[side, 2]
    seen = true = 0.0
    for k in range(3):
        seen += ((points[index, k] + points[pinky, k]) / 2 - points[wrist, k]) ** 2
        true += (rest[_HAND_JOINTS[side, 1], k] - rest[_HAND_JOINTS[side, 0], k]) ** 2
    return min(1.0, seen / max(true, _TINY))


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
    guesses = np.zeros(NUM_POINTS, bool)
    _find_guesses(joints, confidence, body.rest, guesses)
    return guesses


@kernel(floats(2), floats(1), floats(2), 'boolean[::1]')
def _find_guesses(
    joints: Array, confidence: Array, rest: Array, guesses: NDArray[np.bool_]
) -> None:
    """Fill the result (29) of find_guesses, which starts as False."""
    for end in _ENDS:
        guesses[end] = confidence[end] < SEEN
    for n in range(_BONES.shape[1]):
        first, second = _BONES[0, n], _BONES[1, n]
        length, true = distance(joints[first], joints[second]), distance(rest[first], rest[second])
        if length < _MIN_BONE_LENGTH * true:
            guesses[second] = confidence[second] < SEEN


def head_rotation(points: Array, confidence: Array, body: Proportions) -> Array | None:
    """Return the global rotation (3, 3) of the head by the face; None where the face is not seen.

    The neck is too short for its direction to be seen, and with it how the head is turned.
    """
    if min(confidence[bp.NOSE], confidence[bp.LEFT_EAR], confidence[bp.RIGHT_EAR]) < SEEN:
        return None
    rotation = np.empty((3, 3))
    _rotate_head(points, body.frames, rotation)
    return rotation


@kernel(floats(2), floats(3), floats(2))
def _rotate_head(points: Array, rest_frames: Array, rotation: Array) -> None:
    """Fill the rotation (3, 3) of the head by landmarks (33, 3)."""
    anchors, turns = np.empty((len(rest_frames), 3)), np.empty(rest_frames.shape)
    _find_turns(points, rest_frames, anchors, turns)
    copy(turns[_HEAD], rotation)


class _Direction(NamedTuple):
    """Landmarks that show a direction which turns with a joint; see Pointer.

    Attributes
    ----------
    joint : int
        The joint.
    start, end : tuple of int
        The direction leads from the middle of two landmarks to another.
    sources : tuple of int
        The three landmarks whose minimum confidence it has.
    rest : ndarray
        Direction (3) in the T-pose, where that is the same for all bodies.
    part : int
        Otherwise the part of the body whose first axis it is, or the face for the head; or -1.
    limb : tuple of int
        The joints between which the limb beyond the hinge lies, or -1 twice.
    hand : int
        Which hand's belief counts, 0 or 1; -1 for none.
    share, centre : float
        As of Pointer.
    """

    joint: int
    start: tuple[int, int]
    end: int
    sources: tuple[int, int, int]
    rest: Array
    part: int = -1
    limb: tuple[int, int] = (-1, -1)
    hand: int = -1
    share: float = 1.0
    centre: float = 0.0


def _directions() -> list[_Direction]:
    """Return hinges, hands, feet, the face and the shoulder line."""
    left, right = _SHOULDERS
    line = 2 * (right,), left, (left, right, right), _LEFT
    face = _EARS, bp.NOSE, (bp.NOSE, *_EARS), _NOWHERE, _HEAD
    found = [
        _Direction(JOINT['spine1'], *line, share=1 / 3),
        _Direction(JOINT['spine2'], *line, share=1 / 2),
        _Direction(JOINT['neck'], *face, share=1 / 2),
        _Direction(JOINT['head'], *face),
    ]
    middles = (-_FOREARM_MIDDLE, _FOREARM_MIDDLE)
    for hand, (side, middle) in enumerate(zip(_SIDES, middles, strict=True)):
        elbow, wrist, knee, ankle = map(side.point, ('elbow', 'wrist', 'knee', 'ankle'))
        thumb = 2 * (side.pinky,), side.index, (side.wrist, side.index, side.pinky), _FRONT
        foot = PARTS.index(f'{side.name}_foot')
        found += [
            _Direction(side.point('shoulder'), 2 * (side.elbow,), side.wrist,
                       (side.elbow, side.wrist, side.wrist), _FRONT, limb=(elbow, wrist)),
            _Direction(elbow, *thumb, hand=hand, share=1 / 2, centre=middle),
            _Direction(wrist, *thumb, hand=hand),
            _Direction(side.point('hip'), 2 * (side.knee,), side.ankle,
                       (side.knee, side.ankle, side.ankle), _BACK, limb=(knee, ankle)),
            _Direction(knee, 2 * (side.heel,), side.toe, (side.toe, side.heel, side.heel),
                       _NOWHERE, foot, share=1 / 2),
        ]  # fmt: skip
    return found


_FROM, _TO, _SURE_BY, _AT_REST, _PART, _LIMB, _HAND = (
    np.array([getattr(each, name) for each in _directions()])
    for name in ('start', 'end', 'sources', 'rest', 'part', 'limb', 'hand')
)
_TURNED = np.array([each.joint for each in _directions()])
_SHARES, _CENTRES = np.ones(NUM_JOINTS), np.zeros(NUM_JOINTS)
_SHARES[_TURNED] = [each.share for each in _directions()]
_CENTRES[_TURNED] = [each.centre for each in _directions()]


def find_pointers(points: Array, confidence: Array, body: Proportions) -> Pointers:
    """Return the directions that show twist: hinges, hands, feet, the face, the shoulder line.

    Each has the minimum confidence of its landmarks.

    Parameters
    ----------
    points, confidence : ndarray
        Landmarks (33, 3) in metres, optical frame, and their confidence (33).
    body : Proportions
        Proportions of the person.
    """
    rest, seen, stretched = np.empty((3, NUM_JOINTS, 3))
    sure = np.zeros(NUM_JOINTS)
    _fill_pointers(
        points, confidence, body.rest, body.frames, body.face, rest, seen, stretched, sure
    )
    return Pointers(rest, seen, stretched, _SHARES, _CENTRES, sure)


@kernel(
    *(floats(2), floats(1), floats(2), floats(3), floats(1)),
    *(floats(2), floats(2), floats(2), floats(1)),
)
def _fill_pointers(
    points: Array, confidence: Array, rest_joints: Array, frames: Array, face: Array,
    rest: Array, seen: Array, stretched: Array, sure: Array,
) -> None:  # fmt: skip
    """Fill the arrays of Pointers; sure (24) starts as 0."""
    for j in range(NUM_JOINTS):
        for k in range(3):
            rest[j, k] = seen[j, k] = np.nan
            stretched[j, k] = 0.0
    for n in range(len(_TURNED)):
        j, part, first, second = _TURNED[n], _PART[n], _LIMB[n, 0], _LIMB[n, 1]
        belief = _believe_hand(points, rest_joints, _HAND[n]) if _HAND[n] >= 0 else 1.0
        sure[j] = min(confidence[_SURE_BY[n, 0]], confidence[_SURE_BY[n, 1]],
                      confidence[_SURE_BY[n, 2]]) * belief  # fmt: skip
        for k in range(3):
            start = (points[_FROM[n, 0], k] + points[_FROM[n, 1], k]) / 2
            seen[j, k] = points[_TO[n], k] - start
            rest[j, k] = _AT_REST[n, k]
            if part >= 0:
                rest[j, k] = face[k] if part == _HEAD else frames[part, k, 0]
        if first >= 0:
            length = distance(rest_joints[first], rest_joints[second])
            for k in range(3):
                stretched[j, k] = (rest_joints[second, k] - rest_joints[first, k]) / length
