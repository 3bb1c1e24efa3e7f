"""Bring a MakeHuman body from its A-pose into SMPL's T-pose.

Arms level, palms down, thumbs to the front; thighs 5 degrees out, feet 12 degrees out; spine a
little straightened. All rotations here are of bones against the world, not against their parent.
Left limbs are computed; right ones are left ones of the mirrored body.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from .makehuman import MakeHuman

Points = dict[str, np.ndarray]

_DOWN, _FRONT = np.array([0.0, -1, 0]), np.array([0.0, 0, 1])
_MIRROR = np.diag([-1.0, 1, 1])

# Degrees by which the bones of the spine lean back.
_LEAN = {
    'spine05': 1, 'spine04': 2, 'spine03': 3.5, 'spine02': 5, 'spine01': 6, 'neck01': 4, 'neck02': 2
}  # fmt: skip


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


# Where the bones of the left limbs point.
_UPPER_ARM = _unit(np.array([1, -0.035, -0.09]))
_FOREARM = _unit(np.array([1, 0.02, -0.02]))
_HAND = _unit(np.array([1, -0.05, -0.03]))
_THIGH = _unit(np.array([0.085, -1, 0]))
_SHANK = _unit(np.array([-0.03, -1, -0.09]))
_FOOT_OUT = np.radians(12)


def to_tpose(mesh: MakeHuman, vertices: np.ndarray) -> tuple[np.ndarray, Points]:
    """A body (19158, 3) in the T-pose, and where its bones begin there: name -> (3,)."""
    heads = mesh.heads(vertices)
    rotations = _rotations(heads)
    posed: Points = {}
    for bone, parent in mesh.bones.items():
        offset = heads[bone] - heads.get(parent, heads[bone])
        start = posed.get(parent, heads[bone])
        posed[bone] = start + rotations.get(parent, np.eye(3)) @ offset
    transforms = np.zeros((len(mesh.bones), 3, 4))
    for row, bone in enumerate(mesh.bones):
        transforms[row, :, :3] = rotations[bone]
        transforms[row, :, 3] = posed[bone] - rotations[bone] @ heads[bone]
    blended = (mesh.weights @ transforms.reshape(-1, 12)).reshape(-1, 3, 4)
    return np.einsum('vij,vj->vi', blended[..., :3], vertices) + blended[..., 3], posed


def _rotations(heads: Points) -> dict[str, np.ndarray]:
    rotations = {bone: np.eye(3) for bone in heads}
    rotations |= {bone: _turn([-np.radians(angle), 0, 0]) for bone, angle in _LEAN.items()}
    rotations['breast.L'] = rotations['breast.R'] = chest = rotations['spine01']
    for side, flip in (('L', np.eye(3)), ('R', _MIRROR)):
        limb = {bone[:-2]: flip @ at for bone, at in heads.items() if bone.endswith('.' + side)}
        for bone, rotation in {**_arm(limb, chest), **_leg(limb)}.items():
            rotations[f'{bone}.{side}'] = flip @ rotation @ flip
    return rotations


def _arm(at: Points, chest: np.ndarray) -> dict[str, np.ndarray]:
    upper = chest @ (at['lowerarm01'] - at['upperarm01'])
    lower = chest @ (at['wrist'] - at['lowerarm01'])
    hinge = np.cross(upper, lower)  # the axis about which the slightly bent elbow flexes
    elbow = _align(upper, hinge, _UPPER_ARM, _DOWN)
    forearm = _align(lower, hinge, _FOREARM, _DOWN)

    # Pronation: the knuckles, from the little finger to the index, come to point to the front.
    knuckles = forearm @ chest @ (at['finger2-1'] - at['finger5-1'])
    pronation = _angle_about(_FOREARM, knuckles, _FRONT)
    hand = _turn(pronation * _FOREARM) @ forearm @ chest
    hand = _shortest(hand @ (at['finger3-1'] - at['wrist']), _HAND) @ hand

    swing = _shortest(upper, _UPPER_ARM)
    twist = Rotation.from_matrix(elbow @ swing.T).as_rotvec() @ _UPPER_ARM
    rotations = {
        'clavicle': _fraction(swing, 0.22) @ chest,
        'shoulder01': _fraction(swing, 0.42) @ chest,
        'upperarm01': _turn(0.5 * twist * _UPPER_ARM) @ swing @ chest,
        'upperarm02': elbow @ chest,
        'lowerarm01': _turn(0.25 * pronation * _FOREARM) @ forearm @ chest,
        'lowerarm02': _turn(0.65 * pronation * _FOREARM) @ forearm @ chest,
    }
    return rotations | {bone: hand for bone in at if bone.startswith(('wrist', 'metac', 'finger'))}


def _leg(at: Points) -> dict[str, np.ndarray]:
    thigh = _shortest(at['lowerleg01'] - at['upperleg01'], _THIGH)
    shank = _shortest(at['foot'] - at['lowerleg01'], _SHANK)
    forward = np.array([np.sin(_FOOT_OUT), 0, np.cos(_FOOT_OUT)])
    foot = _turn(_angle_about(-_DOWN, at['toe2-1'] - at['foot'], forward) * -_DOWN)
    rotations = {
        'upperleg01': _fraction(thigh, 0.7),
        'upperleg02': thigh,
        'lowerleg01': shank,
        'lowerleg02': shank,
    }
    return rotations | {bone: foot for bone in at if bone.startswith(('foot', 'toe'))}


def _turn(rotation_vector: np.ndarray | list[float]) -> np.ndarray:
    return Rotation.from_rotvec(rotation_vector).as_matrix()


def _fraction(rotation: np.ndarray, part: float) -> np.ndarray:
    return _turn(part * Rotation.from_matrix(rotation).as_rotvec())


def _angle_about(axis: np.ndarray, start: np.ndarray, end: np.ndarray) -> float:
    """Angle about a unit axis that takes one direction to another, both seen along the axis."""
    start, end = (vector - axis * (vector @ axis) for vector in (start, end))
    return np.arctan2(np.cross(start, end) @ axis, start @ end)


def _shortest(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The smallest rotation that takes one direction to another."""
    normal = np.cross(_unit(start), _unit(end))
    angle = np.arctan2(np.linalg.norm(normal), _unit(start) @ _unit(end))
    return _turn(angle * _unit(normal)) if angle > 1e-9 else np.eye(3)


def _align(start: np.ndarray, axis: np.ndarray, end: np.ndarray, to: np.ndarray) -> np.ndarray:
    """The rotation that takes one direction to another, and an axis across it as near to another
    axis as it can.
    """
    return _frame(end, to) @ _frame(start, axis).T


def _frame(direction: np.ndarray, across: np.ndarray) -> np.ndarray:
    x = _unit(direction)
    y = _unit(across - x * (across @ x))
    return np.stack([x, y, np.cross(x, y)], 1)
