"""Real human motion for tests and measurements: the humanoid3d clips of pybullet.

Motion capture in the format of DeepMimic (Peng et al., 2018), zlib licence. An optional download
of 100 MB, of which 1 MB is kept.
"""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hybrik_ros.cli.bench.packages import download
from hybrik_ros.skeleton import JOINT_NAMES

PACKAGE = 'pybullet==3.2.7'
MEMBER = 'pybullet_data/data/motions/humanoid3d_{}.txt'
CLIPS = (
    'backflip', 'cartwheel', 'crawl', 'dance_a', 'dance_b', 'getup_facedown', 'getup_faceup',
    'jump', 'kick', 'punch', 'roll', 'run', 'spin', 'spinkick', 'walk',
)  # fmt: skip

# A frame: duration, position of the root, then quaternions (w, x, y, z) or angles of hinge joints.
PARTS = {
    'pelvis': 4, 'spine2': 4, 'neck': 4,
    'right_hip': 4, 'right_knee': 1, 'right_ankle': 4, 'right_shoulder': 4, 'right_elbow': 1,
    'left_hip': 4, 'left_knee': 1, 'left_ankle': 4, 'left_shoulder': 4, 'left_elbow': 1,
}  # fmt: skip
POSITION, ROTATIONS = slice(1, 4), 4
HINGE = np.array([0.0, 0.0, 1.0])

# DeepMimic: x forward, y up, z right. SMPL: x left, y up, z forward.
TO_SMPL = np.array([[0, 0, -1], [0, 1, 0], [1, 0, 0]])
# The arms hang down in DeepMimic's rest pose; in SMPL's they are spread.
LOWERED = {
    'left': Rotation.from_rotvec([0, 0, -90], degrees=True),
    'right': Rotation.from_rotvec([0, 0, 90], degrees=True),
}


def read_all(folder: Path) -> dict[str, tuple[NDArray, NDArray]]:
    """Return rotations and positions, as of `read`, of each clip by name.

    Parameters
    ----------
    folder : Path
        Folder that keeps the downloaded clips.

    Raises
    ------
    DownloadError
        The clips cannot be downloaded.
    """
    members = {name: MEMBER.format(name) for name in CLIPS}
    download(PACKAGE, list(members.values()), folder)
    return {name: read(folder / member) for name, member in members.items()}


def read(path: Path) -> tuple[NDArray, NDArray]:
    """Return parent-relative rotations (N, 24, 3, 3), and root positions (N, 3), y up, metres."""
    frames = np.array(json.loads(path.read_text())['Frames'])
    rotations = np.tile(np.eye(3), (len(frames), len(JOINT_NAMES), 1, 1))
    column = ROTATIONS
    for name, width in PARTS.items():
        values = frames[:, column : column + width]
        column += width
        if width == 1:
            local = Rotation.from_rotvec(values * HINGE)
        else:
            local = Rotation.from_quat(values[:, [1, 2, 3, 0]])
        local = Rotation.from_matrix(TO_SMPL @ local.as_matrix() @ TO_SMPL.T)
        side, _, part = name.partition('_')
        if part == 'shoulder':
            local = local * LOWERED[side]
        elif part == 'elbow':
            local = LOWERED[side].inv() * local * LOWERED[side]
        rotations[:, JOINT_NAMES.index(name)] = local.as_matrix()
    assert column == frames.shape[1]
    return rotations, frames[:, POSITION] @ TO_SMPL.T
