"""What BlazePose would show of a posed body if it made no errors."""

import numpy as np
from scipy.spatial.transform import Rotation

from hybrik_ros.camera import Region
from hybrik_ros.kinematics import forward
from hybrik_ros.perception import blazepose as bp
from hybrik_ros.perception.blazepose import Landmarks
from hybrik_ros.perception.landmarks import DEPTH_GAINS
from hybrik_ros.skeleton import JOINT_NAMES, LANDMARK_VERTICES, LEAF_NAMES

SIDES = ('left', 'right')
POINT = {name: index for index, name in enumerate(JOINT_NAMES + LEAF_NAMES)}

# The tips of index and little finger, in the order of SMPL's vertices.
FINGER_TIPS = {'left': (2319, 2673), 'right': (5782, 6133)}


def landmark_points(body, betas, rotations, translation):
    """The 33 points of BlazePose on a posed body."""
    joints = forward(rotations, body.rest_joints(betas))[0] + translation
    vertices = body.vertices(rotations, betas, translation).astype(float)
    points = np.tile(vertices[LANDMARK_VERTICES['nose']], (bp.NUM_LANDMARKS, 1))
    for offset, side in enumerate(SIDES):
        points[bp.LEFT_EAR + offset] = vertices[LANDMARK_VERTICES[f'{side}_ear']]
        points[bp.LEFT_HEEL + offset] = vertices[LANDMARK_VERTICES[f'{side}_heel']]
        points[bp.LEFT_TOE + offset] = vertices[LANDMARK_VERTICES[f'{side}_big_toe']]
        for part in ('shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle'):
            landmark = getattr(bp, f'LEFT_{part.upper()}') + offset
            points[landmark] = joints[POINT[f'{side}_{part}']]
        # Knuckles are half-way from the wrist to the finger tips.
        index, pinky = vertices[list(FINGER_TIPS[side])]
        wrist = joints[POINT[f'{side}_wrist']]
        points[bp.LEFT_INDEX + offset] = (wrist + index) / 2
        points[bp.LEFT_PINKY + offset] = (wrist + pinky) / 2
    return joints, points


def landmarks_of(points, camera):
    # The network's axes are those of a camera that looks at the hips; its depths are distances from
    # the horizontal axis of that camera.
    hips = [bp.LEFT_HIP, bp.RIGHT_HIP]
    x, y, z = (points[hips] / points[hips, 2:]).sum(axis=0)
    angles = [np.arctan2(x, z), -np.arctan2(y, np.hypot(x, z))]
    towards = Rotation.from_euler('YX', angles)
    x, y, z = towards.inv().apply(points).T
    seen = np.column_stack([x, y, np.hypot(y, z)])
    world = seen - seen[hips].mean(axis=0)
    world[:, 2] /= DEPTH_GAINS
    visibility, presence = np.ones((2, len(points)))
    nowhere = Region(np.zeros(2), 1.0)
    return Landmarks(1.0, camera.project(points), world, visibility, presence, nowhere)
