"""Posing of a MakeHuman body from its A-pose to SMPL's T-pose.

Arms level, palms down, thumbs to the front; thighs 5 degrees out, feet 12 degrees out; spine
slightly straightened. All rotations are global, not parent-relative. The rotations of the right
limbs are those of the left limbs of the mirrored body.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from .makehuman import MakeHuman

Points = dict[str, np.ndarray]

_DOWN, _FRONT = np.array([0.0, -1, 0]), np.array([0.0, 0, 1])
_MIRROR = np.diag([-1.0, 1, 1])

# Backward rotation of the bones of the spine in degrees.
_LEAN = {
    'spine05': 1, 'spine04': 2, 'spine03': 3.5, 'spine02': 5, 'spine01': 6, 'neck01': 4, 'neck02': 2
}  # fmt: skip


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


# Directions of the bones of the left limbs in the T-pose.
_UPPER_ARM = _unit(np.array([1, -0.035, -0.09]))
_FOREARM = _unit(np.array([1, 0.02, -0.02]))
_HAND = _unit(np.array([1, -0.05, -0.03]))
_THIGH = _unit(np.array([0.085, -1, 0]))
_SHANK = _unit(np.array([-0.03, -1, -0.09]))
_FOOT_OUT = np.radians(12)


def to_tpose(mesh: MakeHuman, vertices: np.ndarray) -> tuple[np.ndarray, Points]:
    """Pose a body in the T-pose.

    Parameters
    ----------
    mesh : MakeHuman
        The base mesh and its rig.
    vertices : ndarray
        Vertices (19158, 3) of the body in the A-pose.

    Returns
    -------
    vertices : ndarray
        Vertices (19158, 3) in the T-pose.
    bones : dict
        Start (3) of each bone in the T-pose.
    """
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
    """Return the global rotation of each bone."""
    rotations = {bone: np.eye(3) for bone in heads}
    rotations |= {bone: _turn([-np.radians(angle), 0, 0]) for bone, angle in _LEAN.items()}
    rotations['breast.L'] = rotations['breast.R'] = chest = rotations['spine01']
    for side, flip in (('L', np.eye(3)), ('R', _MIRROR)):
        limb = {bone[:-2]: flip @ at for bone, at in heads.items() if bone.endswith('.' + side)}
        for bone, rotation in {**_arm(limb, chest), **_leg(limb)}.items():
            rotations[f'{bone}.{side}'] = flip @ rotation @ flip
    return rotations


def _arm(at: Points, chest: np.ndarray) -> dict[str, np.ndarray]:
    """Return the rotations of the bones of a left arm."""
    upper = chest @ (at['lowerarm01'] - at['upperarm01'])
    lower = chest @ (at['wrist'] - at['lowerarm01'])
    hinge = np.cross(upper, lower)  # flexion axis of the slightly bent elbow
    elbow = _align(upper, hinge, _UPPER_ARM, _DOWN)
    forearm = _align(lower, hinge, _FOREARM, _DOWN)

    # Pronation: the direction of the knuckles from little finger to index turns to the front.
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
    """Return the rotations of the bones of a left leg."""
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
    """Return the angle about a unit axis between the projections of two directions."""
    start, end = (vector - axis * (vector @ axis) for vector in (start, end))
    return np.arctan2(np.cross(start, end) @ axis, start @ end)


def _shortest(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the smallest rotation of one direction to another."""
    normal = np.cross(_unit(start), _unit(end))
    angle = np.arctan2(np.linalg.norm(normal), _unit(start) @ _unit(end))
    return _turn(angle * _unit(normal)) if angle > 1e-9 else np.eye(3)


def _align(start: np.ndarray, axis: np.ndarray, end: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Return the rotation of one direction to another that aligns two axes as well as possible."""
    return _frame(end, to) @ _frame(start, axis).T


def _frame(direction: np.ndarray, across: np.ndarray) -> np.ndarray:
    x = _unit(direction)
    y = _unit(across - x * (across @ x))
    return np.stack([x, y, np.cross(x, y)], 1)
