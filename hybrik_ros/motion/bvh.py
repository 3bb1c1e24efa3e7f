"""Motion in the Biovision hierarchy format, .bvh: a skeleton at rest, then angles per frame.

References
----------
Meredith and Maddock: Motion Capture File Formats Explained (2001).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hybrik_ros.motion.motion import Y_UP, Motion
from hybrik_ros.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS, PELVIS

_ORDER = 'ZXY'  # order of the intrinsic rotations
_ANGLES = ' '.join(f'{axis}rotation' for axis in _ORDER)
_POSITIONS = 'Xposition Yposition Zposition'


def to_bvh(motion: Motion) -> bytes:
    """Return the content of a .bvh file of a motion. In it, y is up, in metres and degrees.

    Parameters
    ----------
    motion : Motion
        The motion in the optical frame.
    """
    upright = motion.rotated(Y_UP)
    order = list(_depth_first(PELVIS))
    values = np.concatenate(
        [
            upright.pelvis,
            _euler_angles(upright.rotations[:, order]).reshape(len(upright.pelvis), -1),
        ],
        axis=1,
    )
    lines = [
        'HIERARCHY',
        *_hierarchy(PELVIS, upright.rest, 0),
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


def _euler_angles(rotations: NDArray) -> NDArray:
    """Return continuous angles (N, J, 3) in degrees of rotations (N, J, 3, 3)."""
    flat = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_euler(_ORDER)
    return np.degrees(np.unwrap(flat.reshape(*rotations.shape[:2], 3), axis=0))


def _hierarchy(joint: int, rest: NDArray, depth: int) -> Iterator[str]:
    """Yield the lines of a joint and its descendants."""
    is_root = joint == PELVIS
    offset = np.zeros(3) if is_root else rest[joint] - rest[PARENTS[joint]]
    tab = '\t' * depth
    yield f'{tab}{"ROOT" if is_root else "JOINT"} {JOINT_NAMES[joint]}'
    yield f'{tab}{{'
    yield f'{tab}\tOFFSET {_format_vector(offset)}'
    yield f'{tab}\tCHANNELS ' + (f'6 {_POSITIONS} {_ANGLES}' if is_root else f'3 {_ANGLES}')
    children = _children(joint)
    for child in children:
        yield from _hierarchy(child, rest, depth + 1)
    if not children:
        leaf = PARENTS.index(joint, NUM_JOINTS)
        yield f'{tab}\tEnd Site'
        yield f'{tab}\t{{'
        yield f'{tab}\t\tOFFSET {_format_vector(rest[leaf] - rest[joint])}'
        yield f'{tab}\t}}'
    yield f'{tab}}}'


def _format_vector(vector: NDArray) -> str:
    return ' '.join(f'{value:.6f}' for value in vector)
