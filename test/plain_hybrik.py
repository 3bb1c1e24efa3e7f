"""HybrIK's methods once more, as plainly as the paper writes them: an oracle for the solver.

One pose at a time, with numpy and scipy only; slow. Li et al., HybrIK (CVPR 2021), section 3.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21,
           15, 22, 23, 10, 11]  # fmt: skip
TARGETS = [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 27, 28, 15, 16, 17, 24, 18, 19, 20, 21, 22, 23, 25, 26]
FITTED = {0: [1, 2, 3], 9: [12, 13, 14]}
ROOT = [0, 1, 2, 3]


def cross_matrix(v: NDArray) -> NDArray:
    return np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])


def rodrigues(axis: NDArray, cos: float, sin: float) -> NDArray:
    k = cross_matrix(axis)
    return np.eye(3) + sin * k + (1 - cos) * k @ k


def swing(t: NDArray, p: NDArray) -> NDArray:
    """Equations 6 to 8."""
    normal, lengths = np.cross(t, p), np.linalg.norm(t) * np.linalg.norm(p)
    return rodrigues(
        normal / np.linalg.norm(normal), t @ p / lengths, np.linalg.norm(normal) / lengths
    )


def procrustes(rest_bones: NDArray, bones: NDArray) -> NDArray:
    """The rotation of least squares from bones at rest (N, 3) to bones as seen (N, 3)."""
    u, _, vt = np.linalg.svd(bones.T @ rest_bones)
    return u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt


def place_pelvis(rotation: NDArray, joints: NDArray, rest: NDArray, weights: NDArray) -> NDArray:
    """The pelvis (3) that brings itself, hips and spine nearest to the joints."""
    away = joints[ROOT] - (rest[ROOT] - rest[0]) @ rotation.T
    return np.average(away, axis=0, weights=weights[ROOT])


def aim(joints: NDArray, rest: NDArray, twist: NDArray, *, adaptive: bool) -> NDArray:
    """Rotations (24, 3, 3) by the naive or the adaptive method (algorithm 1)."""
    rotations, turned = np.empty((24, 3, 3)), np.empty((24, 3, 3))
    rebuilt = np.empty((24, 3))
    rotations[0] = turned[0] = procrustes(
        rest[ROOT] - rest[ROOT].mean(axis=0), joints[ROOT] - joints[ROOT].mean(axis=0)
    )
    rebuilt[0] = place_pelvis(turned[0], joints, rest, np.ones(4))
    for i in range(1, 24):
        before = turned[PARENTS[i]]
        rebuilt[i] = rebuilt[PARENTS[i]] + before @ (rest[i] - rest[PARENTS[i]])
        start = rebuilt[i] if adaptive else joints[i]
        if i in FITTED:
            children = FITTED[i]
            turned[i] = procrustes(rest[children] - rest[i], joints[children] - start)
            rotations[i] = before.T @ turned[i]
        else:
            t = rest[TARGETS[i]] - rest[i]
            p = before.T @ (joints[TARGETS[i]] - start)
            rotations[i] = swing(t, p) @ rodrigues(t / np.linalg.norm(t), *twist[i - 1])
            turned[i] = before @ rotations[i]
    return rotations


def aim_as_published(joints: NDArray, rest: NDArray, twist: NDArray) -> NDArray:
    """Rotations (24, 3, 3) by the adaptive method as the published implementation has it.

    Only the root is a fit; spine3 aims at the neck alone. And a bone that starts from its rebuilt
    parent falls back to the naive direction where the two end more than 15 mm apart.
    """
    rotations, turned = np.empty((24, 3, 3)), np.empty((24, 3, 3))
    rotations[0] = turned[0] = procrustes(rest[FITTED[0]] - rest[0], joints[FITTED[0]] - joints[0])
    rebuilt = np.empty((24, 3))
    rebuilt[0] = joints[0]
    for i in range(1, 24):
        before = turned[PARENTS[i]]
        rebuilt[i] = rebuilt[PARENTS[i]] + before @ (rest[i] - rest[PARENTS[i]])
        t = rest[TARGETS[i]] - rest[i]
        p, naive = joints[TARGETS[i]] - rebuilt[i], joints[TARGETS[i]] - joints[i]
        if np.linalg.norm(p - np.linalg.norm(t) * naive / np.linalg.norm(naive)) > 0.015:
            p = naive
        rotations[i] = swing(t, before.T @ p) @ rodrigues(t / np.linalg.norm(t), *twist[i - 1])
        turned[i] = before @ rotations[i]
    return rotations


def pose(rotations: NDArray, rest: NDArray, pelvis: NDArray) -> NDArray:
    """Joints (29, 3) by forward kinematics, the pelvis in its place."""
    joints, turned = np.empty((29, 3)), np.empty((24, 3, 3))
    joints[0], turned[0] = pelvis, rotations[0]
    for i in range(1, 29):
        parent = PARENTS[i]
        joints[i] = joints[parent] + turned[parent] @ (rest[i] - rest[parent])
        if i < 24:
            turned[i] = turned[parent] @ rotations[i]
    return joints


def refine(
    rotations: NDArray,
    joints: NDArray,
    rest: NDArray,
    weights: NDArray,
    *,
    steps: int = 8,
    depth_weight: float = 1.0,
    previous: NDArray | None = None,
    previous_weight: float = 0.0,
) -> NDArray:
    """Rotations (24, 3, 3) after Levenberg-Marquardt steps on all 29 joints.

    The unknowns are 24 small rotations and a translation; only the rotations are damped, ten
    times more where a step would lead uphill. The last step gains less than a thousandth.
    The derivatives are taken numerically. Errors along the line of sight count by depth_weight, the
    squares of the angles to the previous rotations by previous_weight.
    """
    left = joints - pose(rotations, rest, joints[0])
    pelvis = joints[0] + np.average(left, axis=0, weights=weights)
    damping = np.diag([4e-4 * weights.mean()] * 72 + [0.0] * 3)
    matrix = np.diag([0.0] * 87 + [previous_weight] * (0 if previous is None else 72))
    for j, weight in enumerate(weights):
        sight = joints[j] / np.linalg.norm(joints[j])
        along = np.outer(sight, sight)
        block = np.eye(3) - along + depth_weight * along
        matrix[3 * j : 3 * j + 3, 3 * j : 3 * j + 3] = weight * block
    for _ in range(steps):

        def turn(step: NDArray, rotations: NDArray = rotations) -> NDArray:
            return rotations @ Rotation.from_rotvec(step[:72].reshape(24, 3)).as_matrix()

        def residual(step: NDArray, pelvis: NDArray = pelvis, turn=turn) -> NDArray:
            turned = turn(step)
            missed = joints - pose(turned, rest, pelvis + step[72:])
            if previous is None:
                return missed.ravel()
            away = Rotation.from_matrix(turned.transpose(0, 2, 1) @ previous).as_rotvec()
            return np.concatenate([missed.ravel(), away.ravel()])

        small = 1e-5
        jacobian = np.stack(
            [(residual(-s) - residual(s)) / (2 * small) for s in small * np.eye(75)], axis=1
        )
        weighted = matrix @ jacobian
        before = residual(np.zeros(75))
        step = np.linalg.solve(jacobian.T @ weighted + damping, weighted.T @ before)
        after = residual(step)
        gain = 1 - (after @ matrix @ after) / (before @ matrix @ before)
        if gain <= 0:
            damping *= 10
            continue
        rotations, pelvis = turn(step), pelvis + step[72:]
        if gain < 0.001:
            break
    return rotations
