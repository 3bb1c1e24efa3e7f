"""COCO's 17 keypoints. Left and right are the person's own.

References
----------
Lin et al.: Microsoft COCO: Common Objects in Context (2014).
"""

from hybrik_ros.skeleton import mirror_indices

KEYPOINT_NAMES: tuple[str, ...] = (
    'nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear', 'left_shoulder', 'right_shoulder',
    'left_elbow', 'right_elbow', 'left_wrist', 'right_wrist', 'left_hip', 'right_hip', 'left_knee',
    'right_knee', 'left_ankle', 'right_ankle',
)  # fmt: skip
NUM_KEYPOINTS = len(KEYPOINT_NAMES)
# MIRROR[i] is the keypoint on the other side of the body.
MIRROR: tuple[int, ...] = mirror_indices(KEYPOINT_NAMES)

FACE = slice(0, 5)
SHOULDERS, HIPS, KNEES = [5, 6], [11, 12], [13, 14]
HEAD_AND_SHOULDERS, LOWER_LEGS = slice(0, 7), slice(13, 17)
