"""Motion in binary glTF 2.0, .glb: a skinned mesh with skeleton and animation.

The frame of glTF: y up, z forward, metres.

References
----------
Khronos: glTF 2.0 Specification, the source of all constants.
"""

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrik_ros import __version__
from hybrik_ros.drawing import vertex_normals
from hybrik_ros.motion.motion import Y_UP, Motion
from hybrik_ros.rotations import to_quaternion
from hybrik_ros.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS, PELVIS

_MAGIC, _VERSION = 0x46546C67, 2
_JSON, _BINARY = 0x4E4F534A, 0x004E4942  # types of chunks
_COMPONENT_TYPES = {np.dtype('u1'): 5121, np.dtype('<u4'): 5125, np.dtype('<f4'): 5126}
_ARRAY_BUFFER, _ELEMENT_ARRAY_BUFFER = 34962, 34963  # targets of buffer views
_SKIN_COLOUR = [0.75, 0.6, 0.5, 1.0]  # linear red, green, blue, alpha


def to_glb(motion: Motion) -> bytes:
    """Return the content of a .glb file of a motion.

    The mesh is that of the T-pose with the betas of the motion, without pose-dependent shape, which
    the format does not support.

    Parameters
    ----------
    motion : Motion
        The motion in the optical frame.
    """
    upright = motion.rotated(Y_UP)
    rest = upright.rest[:NUM_JOINTS]
    buffer = _Buffer()
    mesh = _add_mesh(motion, buffer)
    inverse = np.tile(np.eye(4), (NUM_JOINTS, 1, 1))
    inverse[:, :3, 3] = -rest
    matrices = buffer.add(np.swapaxes(inverse, 1, 2).reshape(-1, 16), 'MAT4')
    document = {
        'asset': {'version': '2.0', 'generator': f'hybrik_ros {__version__}'},
        'scene': 0,
        'scenes': [{'nodes': [PELVIS, NUM_JOINTS]}],
        'nodes': [*_joint_nodes(rest), {'name': motion.name, 'mesh': 0, 'skin': 0}],
        'meshes': [mesh],
        'materials': [
            {'pbrMetallicRoughness': {'baseColorFactor': _SKIN_COLOUR, 'metallicFactor': 0.0}}
        ],
        'skins': [
            {
                'skeleton': PELVIS,
                'joints': list(range(NUM_JOINTS)),
                'inverseBindMatrices': matrices,
            }
        ],
        'animations': [_add_animation(upright, buffer)],
        **buffer.description(),
    }
    return _pack(document, bytes(buffer.content))


class _Buffer:
    """The binary chunk of the file, and the positions of the arrays in it."""

    def __init__(self) -> None:
        self.content = bytearray()
        self._views: list[dict[str, int]] = []
        self._accessors: list[dict[str, Any]] = []

    def add(self, array: NDArray, kind: str, target: int | None = None) -> int:
        """Add an array with one element per row; return the index of its accessor."""
        stored = np.ascontiguousarray(array, '<f4' if array.dtype.kind == 'f' else array.dtype)
        view = {'buffer': 0, 'byteOffset': len(self.content), 'byteLength': stored.nbytes}
        self._views.append(view if target is None else {**view, 'target': target})
        self.content += stored.tobytes() + bytes(-stored.nbytes % 4)
        rows = stored.reshape(len(stored), -1)
        self._accessors.append(
            {
                'bufferView': len(self._views) - 1,
                'componentType': _COMPONENT_TYPES[stored.dtype],
                'count': len(rows),
                'type': kind,
                'min': rows.min(axis=0).tolist(),
                'max': rows.max(axis=0).tolist(),
            }
        )
        return len(self._accessors) - 1

    def description(self) -> dict[str, Any]:
        """Return the entries of the document that describe the buffer."""
        return {
            'buffers': [{'byteLength': len(self.content)}],
            'bufferViews': self._views,
            'accessors': self._accessors,
        }


def _add_mesh(motion: Motion, buffer: _Buffer) -> dict[str, Any]:
    """Add the arrays of the mesh; return its description."""
    body = motion.body
    at_rest = np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
    vertices = body.vertices(at_rest, motion.betas, np.zeros(3))
    joints, weights = body.skinning
    joints = np.where(weights > 0, joints, 0).astype(joints.dtype)  # required by the format
    attributes = {
        'POSITION': buffer.add(vertices, 'VEC3', _ARRAY_BUFFER),
        'NORMAL': buffer.add(vertex_normals(vertices, body.faces), 'VEC3', _ARRAY_BUFFER),
        'JOINTS_0': buffer.add(joints, 'VEC4', _ARRAY_BUFFER),
        'WEIGHTS_0': buffer.add(weights, 'VEC4', _ARRAY_BUFFER),
    }
    indices = buffer.add(body.faces.astype('<u4').reshape(-1, 1), 'SCALAR', _ELEMENT_ARRAY_BUFFER)
    return {'primitives': [{'attributes': attributes, 'indices': indices, 'material': 0}]}


def _joint_nodes(rest: NDArray) -> list[dict[str, Any]]:
    nodes = []
    for joint, name in enumerate(JOINT_NAMES):
        parent = PARENTS[joint]
        offset = rest[joint] if joint == PELVIS else rest[joint] - rest[parent]
        children = [child for child in range(NUM_JOINTS) if PARENTS[child] == joint]
        node: dict[str, Any] = {'name': name, 'translation': offset.tolist()}
        nodes.append({**node, 'children': children} if children else node)
    return nodes


def _add_animation(motion: Motion, buffer: _Buffer) -> dict[str, Any]:
    """Add the arrays of the animation; return its description."""
    times = buffer.add(np.arange(len(motion.pelvis))[:, None] / motion.rate, 'SCALAR')
    values = [('translation', PELVIS, buffer.add(motion.pelvis, 'VEC3'))]
    quaternions = _continuous_quaternions(motion.rotations)
    for joint in range(NUM_JOINTS):
        values.append(('rotation', joint, buffer.add(quaternions[:, joint], 'VEC4')))
    return {
        'name': motion.name,
        'samplers': [
            {'input': times, 'interpolation': 'LINEAR', 'output': output} for *_, output in values
        ],
        'channels': [
            {'sampler': number, 'target': {'node': node, 'path': path}}
            for number, (path, node, _) in enumerate(values)
        ],
    }


def _continuous_quaternions(rotations: NDArray) -> NDArray:
    """Return quaternions (N, 24, 4), x, y, z, w, with signs that do not change between frames."""
    quaternions = to_quaternion(rotations)
    is_flipped = np.sum(quaternions[1:] * quaternions[:-1], axis=-1) < 0
    signs = np.where(np.cumsum(is_flipped, axis=0) % 2, -1.0, 1.0)
    quaternions[1:] *= signs[..., None]
    return quaternions


def _pack(document: dict[str, Any], binary: bytes) -> bytes:
    text = json.dumps(document, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 4)
    chunks = [
        struct.pack('<2I', len(content), kind) + content
        for kind, content in ((_JSON, text), (_BINARY, binary))
    ]
    length = 12 + sum(map(len, chunks))
    return struct.pack('<3I', _MAGIC, _VERSION, length) + b''.join(chunks)
