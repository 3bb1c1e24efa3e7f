"""The step of the solver against dense least squares, and Jacobi's method against LAPACK."""

import numpy as np
import pytest
from numpy.typing import NDArray

from hybrik_ros.body import BodyModel
from hybrik_ros.kinematics.eigen import diagonalise
from hybrik_ros.kinematics.normal_equations import find_step
from hybrik_ros.rotations import skew
from hybrik_ros.skeleton import NUM_JOINTS, NUM_POINTS, PARENTS

DAMPING, RETURN_WEIGHT = 3e-4, 0.02
LEFT_LEG = 4  # the knee, with which a part begins


def chain(j: int, parts: NDArray, part: int) -> list[int]:
    """Return the joints of a part that move a joint, the nearest first."""
    found = []
    while PARENTS[j] >= 0 and parts[PARENTS[j]] == part:
        j = PARENTS[j]
        found.append(j)
    return found


def solve_densely(
    joints: NDArray, target: NDArray, confidence: NDArray, parts: NDArray, part: int, moves: bool,
    sights: NDArray, returns: NDArray,
) -> tuple[NDArray, NDArray]:  # fmt: skip
    """Return turns (24, 3) and shift (3) by one linear system of all unknowns."""
    size = 3 * NUM_JOINTS + 3
    normal, right = 1e-12 * np.eye(size), np.zeros(size)
    for i in np.flatnonzero(parts == part):
        at = slice(3 * i, 3 * i + 3)
        normal[at, at] += (DAMPING + RETURN_WEIGHT) * np.eye(3)
        right[at] += RETURN_WEIGHT * returns[i]
    for j in range(NUM_POINTS):
        jacobian = np.zeros((3, size))
        jacobian[:, -3:] = np.eye(3) * moves
        for i in chain(j, parts, part):
            jacobian[:, 3 * i : 3 * i + 3] = -skew(joints[j] - joints[i])
        weight = confidence[j] * (np.eye(3) - np.outer(sights[j], sights[j]))
        normal += jacobian.T @ weight @ jacobian
        right += jacobian.T @ weight @ (target[j] - joints[j])
    found = np.linalg.solve(normal, right)
    return found[:-3].reshape(-1, 3), found[-3:]


@pytest.mark.parametrize('part', [0, LEFT_LEG])
@pytest.mark.parametrize('moves', [True, False])
@pytest.mark.parametrize('seed', range(3))
def test_a_step_solves_the_normal_equations(part: int, moves: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    joints = BodyModel.load().rest_joints() + rng.normal(0, 0.05, (NUM_POINTS, 3))
    target = joints + rng.normal(0, 0.05, joints.shape)
    parts = np.zeros(NUM_JOINTS, np.int64)
    for i in range(NUM_JOINTS):
        if LEFT_LEG in (i, *chain(i, np.zeros(NUM_JOINTS), 0)):
            parts[i] = LEFT_LEG
    in_part = np.array([parts[max(above, 0)] == part for above in PARENTS])
    confidence = in_part * rng.uniform(0, 1, NUM_POINTS) * (rng.uniform(size=NUM_POINTS) > 0.2)
    sights = rng.normal(size=joints.shape)
    sights *= rng.uniform(0, 1, (NUM_POINTS, 1)) / np.linalg.norm(sights, axis=1, keepdims=True)
    returns = rng.normal(0, 0.2, (NUM_JOINTS, 3)) * (parts == part)[:, None]
    turns, shift = np.empty((NUM_JOINTS, 3)), np.empty(3)
    find_step(
        joints, target, confidence, parts, part, np.bool_(moves), sights, DAMPING, returns,
        RETURN_WEIGHT, turns, shift,
    )  # fmt: skip
    expected = solve_densely(joints, target, confidence, parts, part, moves, sights, returns)
    assert turns == pytest.approx(expected[0], abs=1e-9)
    assert shift == pytest.approx(expected[1], abs=1e-9)


@pytest.mark.parametrize('size', [3, 4])
def test_eigenvectors_are_those_of_lapack(size: int) -> None:
    rng = np.random.default_rng(size)
    for _ in range(20):
        root = rng.normal(size=(size, size))
        matrix = root @ root.T
        values, vectors = matrix.copy(), np.empty((size, size))
        diagonalise(values, vectors)
        order = np.argsort(np.diag(values))
        expected, columns = np.linalg.eigh(matrix)
        assert np.diag(values)[order] == pytest.approx(expected, abs=1e-12)
        alike = np.abs(np.sum(vectors[:, order] * columns, axis=0))
        assert alike == pytest.approx(np.ones(size), abs=1e-9)
