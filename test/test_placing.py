"""Compiled lines of sight against plain NumPy, and the cost of a fusion against the solver's."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from views import around, observe, standing

from hybrik_ros.body import BodyModel
from hybrik_ros.camera import ImpossiblePoseError
from hybrik_ros.fusion import Fusion, View
from hybrik_ros.fusion.gaussians import ACROSS
from hybrik_ros.fusion.placing import LinesOfSight
from hybrik_ros.kinematics import solve
from hybrik_ros.perception.hybrik import JointPoints
from hybrik_ros.perception.landmarks import LandmarkPoints
from hybrik_ros.posing import DEPTH_WEIGHT
from hybrik_ros.skeleton import NUM_JOINTS

SOURCES = LandmarkPoints.sources


@pytest.fixture(params=[1, 2, 4])
def seen(request: pytest.FixtureRequest) -> dict[str, np.ndarray]:
    """What cameras around see of 33 landmarks."""
    views, rng = request.param, np.random.default_rng(request.param)
    transforms = around(4)[:views]
    return {
        'centres': np.array([transform[:3, 3] for transform in transforms]),
        'rotations': np.array([transform[:3, :3].T for transform in transforms]),
        'seen': rng.uniform(0, 1, (views, 33)),
        'belief': rng.uniform(0, 1, (views, NUM_JOINTS)),
        'depth_sigmas': rng.uniform(0.1, 0.3, (views, 33)),
        'distance_sigmas': rng.uniform(0.2, 0.5, views),
    }


@pytest.fixture
def joints() -> np.ndarray:
    return standing(BodyModel.load())[0]


def test_weights_are_those_of_the_least_seen_landmark(seen: dict[str, np.ndarray]) -> None:
    lines = LinesOfSight.of(**seen, sources=SOURCES)
    least = seen['seen'][:, SOURCES].min(axis=2)
    weights = least * seen['belief'][:, JointPoints.shown_joints]
    assert lines.weights == pytest.approx(weights, abs=1e-12)
    assert lines.shares == pytest.approx(weights / weights.sum(axis=0), abs=1e-12)
    depths = (
        seen['depth_sigmas'][:, SOURCES].mean(axis=2) ** 2 + seen['distance_sigmas'][:, None] ** 2
    )
    assert lines.depth_weights == pytest.approx(ACROSS**2 / depths, abs=1e-12)
    believed = (1 - np.prod(1 - weights, axis=0)) / (1 - np.prod(1 - least, axis=0))
    assert lines.believed == pytest.approx(believed[:NUM_JOINTS], abs=1e-12)


def informations(
    lines: LinesOfSight, joints: np.ndarray, depth_weights: np.ndarray | float
) -> np.ndarray:
    """Return the inverse covariances (29, 3, 3) of joints."""
    away = joints - lines.centres[:, None]
    away /= np.linalg.norm(away, axis=2, keepdims=True)
    weights = np.maximum(lines.weights, 1e-3)
    along = np.einsum('vj,vja,vjb->jab', (1 - depth_weights) * weights, away, away)
    return weights.sum(axis=0)[:, None, None] * np.eye(3) - along


def test_sight_and_sigmas_are_eigenvalues_of_the_information(
    seen: dict[str, np.ndarray], joints: np.ndarray
) -> None:
    lines = LinesOfSight.of(**seen, sources=SOURCES)
    ratios, directions = map(np.asarray, lines.sight(joints))
    values, vectors = np.linalg.eigh(informations(lines, joints, DEPTH_WEIGHT))
    assert ratios == pytest.approx(values[:, 0] / values[:, 2], abs=1e-10)
    assert np.abs(np.sum(directions * vectors[:, :, 0], axis=1)) == pytest.approx(1, abs=1e-9)
    least = np.linalg.eigvalsh(informations(lines, joints, lines.depth_weights))[:, 0]
    assert lines.sigmas(joints) == pytest.approx((ACROSS / np.sqrt(least))[:NUM_JOINTS], abs=1e-10)


def test_a_body_is_placed_where_it_misses_the_lines_least(
    seen: dict[str, np.ndarray], joints: np.ndarray
) -> None:
    lines = LinesOfSight.of(**seen, sources=SOURCES)
    body, confidence = joints[:NUM_JOINTS], np.linspace(0.2, 1, NUM_JOINTS)
    moved = np.array([0.3, -0.2, 0.1])
    assert lines.locate(body - moved, body, confidence) == pytest.approx(moved, abs=1e-9)
    inside, posed = (
        np.einsum('vab,vjb->vja', lines.rotations, points - lines.centres[:, None])
        for points in (body, body + moved)
    )
    rays = inside[..., :2] / inside[..., 2:]
    away = np.linalg.norm(posed[..., :2] - rays * posed[..., 2:], axis=2)
    expected = np.sum(lines.shares[:, :NUM_JOINTS] * away, axis=0)
    assert lines.missed(body + moved, body) == pytest.approx(expected, abs=1e-12)
    with pytest.raises(ImpossiblePoseError):
        lines.locate(body, body, np.zeros(NUM_JOINTS))


def fastest(work: Callable[[], object]) -> float:
    """Return the shortest time of a thread in seconds for some work."""
    seconds = []
    for _ in range(200):
        start = time.thread_time()
        work()
        seconds.append(time.thread_time() - start)
    return min(seconds)


def test_a_fusion_of_four_views_costs_little_beside_the_solver() -> None:
    # It takes 7 to 8 times as long, and took 21 times before its inner loops were compiled.
    body = BodyModel.load()
    joints, points = standing(body)
    views = [
        (f'camera {n}', transform, [observe(points, transform, 'p1')])
        for n, transform in enumerate(around(4))
    ]
    fusion, stamps = Fusion(body), iter(range(1000))

    def fuse() -> list:
        stamp = next(stamps) / 30
        return fusion({name: View(stamp, pose, people) for name, pose, people in views})

    whole = fastest(fuse)
    [human] = fuse()
    rest = body.rest_joints()
    twist = np.tile([1.0, 0.0], (23, 1))
    alone = fastest(
        lambda: solve(joints, rest, twist, previous=human.rotations, previous_weight=0.01)
    )
    print(1e6 * whole, 1e6 * alone, whole / alone)
    assert whole < 14 * alone
