"""Motion in the layout of AMASS, .npz.

Bodies of AMASS are those of SMPL+H: 22 joints of SMPL, then 15 finger joints of each hand.

References
----------
Mahmood et al.: AMASS: Archive of Motion Capture as Surface Shapes (ICCV 2019).
"""

import io

import numpy as np

from hybrik_ros.motion.motion import Z_UP, Motion
from hybrik_ros.rotations import to_rotation_vector

_BODY_JOINTS = 22  # the joints of SMPL without the hands
_JOINTS = 52  # the joints of SMPL+H
_MIN_BETAS = 16  # minimum length of betas; padded with zeros


def to_npz(motion: Motion) -> bytes:
    """Return the content of a .npz file of a motion. In it, z is up.

    The arrays are poses (N, 156), rotation vectors in radians, zero for the fingers; trans (N, 3),
    the translation of the SMPL layer in metres; betas (16), padded with zeros; mocap_framerate in
    Hz; gender, always neutral; body_model, the name of the body that the betas are for.

    Parameters
    ----------
    motion : Motion
        The motion in the optical frame.
    """
    upright = motion.rotated(Z_UP)
    poses = np.zeros((len(upright.rotations), _JOINTS, 3))
    poses[:, :_BODY_JOINTS] = to_rotation_vector(upright.rotations[:, :_BODY_JOINTS])
    betas = np.zeros(max(_MIN_BETAS, len(motion.betas)))
    betas[: len(motion.betas)] = motion.betas
    file = io.BytesIO()
    np.savez(
        file,
        poses=poses.reshape(len(poses), -1),
        trans=upright.translation,
        betas=betas,
        mocap_framerate=np.array(motion.rate),
        gender=np.array('neutral'),
        body_model=np.array(motion.body.name),
    )
    return file.getvalue()
