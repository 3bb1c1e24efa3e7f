"""Biovision's hierarchy, .bvh: a skeleton in its rest pose, then angles frame by frame.

Source: Meredith and Maddock, Motion Capture File Formats Explained (2001).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hybrik_ros.motion.motion import Y_UP, Motion
from hybrik_ros.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS, PELVIS

_ORDER = 'ZXY'  # Turned about the joint's own axes, in this order.
_ANGLES = ' '.join(f'{axis}rotation' for axis in _ORDER)
_POSITIONS = 'Xposition Yposition Zposition'


def to_bvh(motion: Motion) -> bytes:
    """Return a .bvh file of a motion in the optical frame; y is up in it, metres, degrees."""
    upright = motion.turned(Y_UP)
    order = list(_depth_first(PELVIS))
    values = np.concatenate(
        [upright.pelvis, _angles(upright.rotations[:, order]).reshape(len(upright.pelvis), -1)],
        axis=1,
    )
    lines = [
        'HIERARCHY',
        *_joint(PELVIS, upright.rest, 0),
        'MOTION',
        f'Frames: {len(values)}',
        f'Frame Time: {1 / motion.rate:.9f}',
        *(' '.join(f'{value:.6f}' for value in row) for row in values),
    ]
    return '\n'.join([*lines, '']).encode()


def _children(joint: int) -> list[int]:
    return [child for child in range(NUM_JOINTS) if PARENTS[child] == joint]


def _depth_first(joint: int) -> Iterator[int]:
    yield joint
    for child in _children(joint):
        yield from _depth_first(child)


def _angles(rotations: NDArray) -> NDArray:
    """Return the angles (N, J, 3), degrees, of rotations (N, J, 3, 3), without leaps of a turn."""
    flat = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_euler(_ORDER)
    return np.degrees(np.unwrap(flat.reshape(*rotations.shape[:2], 3), axis=0))


def _joint(joint: int, rest: NDArray, depth: int) -> Iterator[str]:
    """Yield the lines of a joint and of all that hangs from it."""
    is_root = joint == PELVIS
    offset = np.zeros(3) if is_root else rest[joint] - rest[PARENTS[joint]]
    tab = '\t' * depth
    yield f'{tab}{"ROOT" if is_root else "JOINT"} {JOINT_NAMES[joint]}'
    yield f'{tab}{{'
    yield f'{tab}\tOFFSET {_numbers(offset)}'
    yield f'{tab}\tCHANNELS ' + (f'6 {_POSITIONS} {_ANGLES}' if is_root else f'3 {_ANGLES}')
    children = _children(joint)
    for child in children:
        yield from _joint(child, rest, depth + 1)
    if not children:
        leaf = PARENTS.index(joint, NUM_JOINTS)
        yield f'{tab}\tEnd Site'
        yield f'{tab}\t{{'
        yield f'{tab}\t\tOFFSET {_numbers(rest[leaf] - rest[joint])}'
        yield f'{tab}\t}}'
    yield f'{tab}}}'


def _numbers(vector: NDArray) -> str:
    return ' '.join(f'{value:.6f}' for value in vector)
