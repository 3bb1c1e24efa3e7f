"""AMASS's layout of motion, as .npz.

Source: Mahmood et al., AMASS: Archive of Motion Capture as Surface Shapes (ICCV 2019). Its bodies
are SMPL+H's: 22 joints of SMPL, then 15 for the fingers of each hand.
"""

import io

import numpy as np

from hybrik_ros.motion.motion import Z_UP, Motion
from hybrik_ros.rotations import to_rotation_vector

_BODY_JOINTS = 22  # SMPL's but for the hands, from which no joint hangs
_JOINTS = 52
_BETAS = 16


def to_npz(motion: Motion) -> bytes:
    """Return a .npz file of a motion in the optical frame; z is up in it, metres, radians.

    poses: (N, 156), rotation vectors, the fingers' zero; trans: (N, 3), of a SMPL layer; betas:
    (16), of body_model, zeros at the end; mocap_framerate; gender: neutral; body_model: name of
    the body that the betas are of.
    """
    upright = motion.turned(Z_UP)
    poses = np.zeros((len(upright.rotations), _JOINTS, 3))
    poses[:, :_BODY_JOINTS] = to_rotation_vector(upright.rotations[:, :_BODY_JOINTS])
    betas = np.zeros(max(_BETAS, len(motion.betas)))
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
