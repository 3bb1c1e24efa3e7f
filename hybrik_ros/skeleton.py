"""SMPL's kinematic tree: 24 joints, and the 5 leaves at which HybrIK aims the last bones.

Joint order is SMPL's; leaves follow as joints 24 to 28, so that every array of joints is
(..., 24, 3), or (..., 29, 3) with leaves. Left and right are the subject's own.

Source: Loper et al., SMPL (2015); Li et al., HybrIK (CVPR 2021), section 3.
"""

from collections.abc import Sequence

JOINT_NAMES: tuple[str, ...] = (
    'pelvis', 'left_hip', 'right_hip', 'spine1', 'left_knee', 'right_knee', 'spine2',
    'left_ankle', 'right_ankle', 'spine3', 'left_foot', 'right_foot', 'neck', 'left_collar',
    'right_collar', 'head', 'left_shoulder', 'right_shoulder', 'left_elbow', 'right_elbow',
    'left_wrist', 'right_wrist', 'left_hand', 'right_hand',
)  # fmt: skip

LEAF_NAMES: tuple[str, ...] = (
    'head_top', 'left_middle_tip', 'right_middle_tip', 'left_big_toe', 'right_big_toe',
)  # fmt: skip

NUM_JOINTS = len(JOINT_NAMES)
NUM_LEAVES = len(LEAF_NAMES)
NUM_POINTS = NUM_JOINTS + NUM_LEAVES

# PARENTS[i] is the joint that joint or leaf i hangs from; parents come before their children.
PARENTS: tuple[int, ...] = (
    -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21,
    15, 22, 23, 10, 11,
)  # fmt: skip

# BONE_TARGETS[i] is the child at which the bone of joint i aims: where a joint has several
# children, the one that carries on the limb or the spine. Leaves have none.
BONE_TARGETS: tuple[int, ...] = (
    3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 27, 28, 15, 16, 17, 24, 18, 19, 20, 21, 22, 23, 25, 26,
    -1, -1, -1, -1, -1,
)  # fmt: skip

# The joints with three children. Their whole rotation follows from the joints (Procrustes).
PELVIS = 0
SPINE3 = 9
THREE_CHILDREN: dict[int, tuple[int, int, int]] = {PELVIS: (1, 2, 3), SPINE3: (12, 13, 14)}

# Pelvis, hips, spine, neck, collars and shoulders: what has an orientation of its own.
TRUNK: tuple[int, ...] = (0, 1, 2, 3, 6, 9, 12, 13, 14, 16, 17)
SHOULDERS: tuple[int, int] = (16, 17)

# The mesh vertices at which the leaves sit, the same in every SMPL-shaped body.
LEAF_VERTICES: tuple[int, ...] = (411, 2445, 5905, 3216, 6617)

# Vertices at anatomical points of the skin, also the same in every SMPL-shaped body.
LANDMARK_VERTICES: dict[str, int] = {
    'nose': 332,
    'left_eye': 2800, 'right_eye': 6260,
    'left_ear': 583, 'right_ear': 4071,
    'left_heel': 3387, 'right_heel': 6787,
    'left_big_toe': 3216, 'right_big_toe': 6617,
}  # fmt: skip


def mirror_indices(names: Sequence[str]) -> tuple[int, ...]:
    """Return for each name the index of that on the other side of the body: left_x of right_x.

    A name without a side is its own mirror.
    """
    other = {'left': 'right', 'right': 'left'}

    def mirrored(name: str) -> str:
        side, separator, rest = name.partition('_')
        return f'{other[side]}_{rest}' if separator and side in other else name

    return tuple(names.index(mirrored(name)) for name in names)


# MIRROR[i] is the joint or leaf on the other side of the body (i itself on the midline).
MIRROR: tuple[int, ...] = mirror_indices(JOINT_NAMES + LEAF_NAMES)
