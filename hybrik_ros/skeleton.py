"""SMPL's kinematic tree: 24 joints, and 5 leaves at the ends of the last bones.

Joints are in SMPL's order. The leaves, HybrIK's targets of the last bones, follow as joints 24 to
28, so that arrays of joints are (..., 24, 3), or (..., 29, 3) with leaves. Left and right are the
subject's own.

References
----------
Loper et al.: SMPL: A Skinned Multi-Person Linear Model (2015).
Li et al.: HybrIK (CVPR 2021), section 3.
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

# PARENTS[i] is the parent of joint or leaf i, -1 for the root; parents precede their children.
PARENTS: tuple[int, ...] = (
    -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21,
    15, 22, 23, 10, 11,
)  # fmt: skip

# BONE_TARGETS[i] is the child at the end of the bone of joint i: where a joint has several
# children, the next one of the limb or the spine. -1 for leaves, which have no bone.
BONE_TARGETS: tuple[int, ...] = (
    3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 27, 28, 15, 16, 17, 24, 18, 19, 20, 21, 22, 23, 25, 26,
    -1, -1, -1, -1, -1,
)  # fmt: skip

# The joints with three children, which determine their whole rotation (Procrustes fit).
PELVIS = 0
SPINE3 = 9
THREE_CHILDREN: dict[int, tuple[int, int, int]] = {PELVIS: (1, 2, 3), SPINE3: (12, 13, 14)}

# Pelvis, hips, spine, neck, collars and shoulders: the orientation of the body.
TRUNK: tuple[int, ...] = (0, 1, 2, 3, 6, 9, 12, 13, 14, 16, 17)
SHOULDERS: tuple[int, int] = (16, 17)

# The mesh vertices of the leaves, the same in all bodies with SMPL's mesh.
LEAF_VERTICES: tuple[int, ...] = (411, 2445, 5905, 3216, 6617)

# The mesh vertices of anatomical landmarks, also the same in all bodies with SMPL's mesh.
LANDMARK_VERTICES: dict[str, int] = {
    'nose': 332,
    'left_eye': 2800, 'right_eye': 6260,
    'left_ear': 583, 'right_ear': 4071,
    'left_heel': 3387, 'right_heel': 6787,
    'left_big_toe': 3216, 'right_big_toe': 6617,
}  # fmt: skip


def mirror_indices(names: Sequence[str]) -> tuple[int, ...]:
    """Return for each name the index of the name on the other side: left_x for right_x.

    A name without a side gives its own index.
    """
    other = {'left': 'right', 'right': 'left'}

    def mirrored(name: str) -> str:
        side, separator, rest = name.partition('_')
        return f'{other[side]}_{rest}' if separator and side in other else name

    return tuple(names.index(mirrored(name)) for name in names)


# MIRROR[i] is the joint or leaf on the other side of the body; i itself on the midline.
MIRROR: tuple[int, ...] = mirror_indices(JOINT_NAMES + LEAF_NAMES)
