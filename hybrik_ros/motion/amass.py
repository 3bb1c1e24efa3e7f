"""Motion in the layouts of AMASS, .npz: that of SMPL+H, and that of SMPL-X beside it.

Both have the 22 body joints of SMPL. The bodies of the first have 15 finger joints in each hand.

References
----------
Mahmood et al.: AMASS: Archive of Motion Capture as Surface Shapes (ICCV 2019).
"""

import io

import numpy as np

from hybrik_ros.motion.motion import Z_UP, Motion
from hybrik_ros.rotations import to_rotation_vector
from hybrik_ros.skeleton import PELVIS

_BODY_JOINTS = 22  # the joints of SMPL without the hands
_HAND_JOINTS = 30  # the finger joints of both hands
_MIN_BETAS = 16  # minimum length of betas; padded with zeros


def to_npz(motion: Motion) -> bytes:
    """Return the content of a .npz file of a motion. In it, z is up.

    Arrays of both layouts: betas (16), padded with zeros, and all zero if the betas of the body are
    not SMPL's; trans (N, 3), the translation in metres of a layer with these betas; gender, always
    neutral.
    Of SMPL+H: poses (N, 156), rotation vectors in radians, zero for the fingers; mocap_framerate in
    Hz. Of SMPL-X: root_orient (N, 3), pose_body (N, 63) and pose_hand (N, 90), the parts of poses;
    num_betas; mocap_frame_rate in Hz. Of this package: body_model, the name of the body, and
    body_betas, its shape.

    Parameters
    ----------
    motion : Motion
        The motion in the optical frame.
    """
    upright = motion.rotated(Z_UP)
    count = len(upright.rotations)
    vectors = to_rotation_vector(upright.rotations[:, :_BODY_JOINTS]).reshape(count, -1)
    hands = np.zeros((count, 3 * _HAND_JOINTS))
    shape = motion.betas if motion.body.has_smpl_betas else np.zeros(len(motion.betas))
    rest = motion.body.rest_joints(shape)
    betas = np.append(shape, np.zeros(max(0, _MIN_BETAS - len(shape))))
    file = io.BytesIO()
    np.savez(
        file,
        poses=np.concatenate([vectors, hands], axis=1),
        root_orient=vectors[:, :3],
        pose_body=vectors[:, 3:],
        pose_hand=hands,
        trans=upright.pelvis - rest[PELVIS],
        betas=betas,
        num_betas=np.array(len(betas)),
        mocap_framerate=np.array(motion.rate),
        mocap_frame_rate=np.array(motion.rate),
        gender=np.array('neutral'),
        body_model=np.array(motion.body.name),
        body_betas=motion.betas,
    )
    return file.getvalue()
