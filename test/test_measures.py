"""What the bench measures of people, against other ways to the same number."""

import math
import statistics
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation

from hybrik_ros.cli.bench.measures import (
    TRUE_JOINTS,
    bone_deviation,
    jitter,
    mean_distance,
    pa_mpjpe,
    procrustes_aligned,
    root_relative,
    switches,
)

Array = NDArray[np.float64]

JOINTS = len(TRUE_JOINTS)
MIRROR = np.array([-1.0, 1.0, 1.0])

pytestmark = pytest.mark.filterwarnings('error')


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def people(rng: np.random.Generator, frames: int = 20) -> Array:
    return rng.normal(size=(frames, JOINTS, 3)) * [0.3, 0.8, 0.2] + [1.0, -2.0, 5.0]


def moved(points: Array, rng: np.random.Generator) -> Array:
    """The points, of each frame, after a similarity transform of its own."""
    turned = points @ Rotation.random(len(points), random_state=rng).as_matrix()
    scale = rng.uniform(0.2, 5.0, (len(points), 1, 1))
    return scale * turned + rng.normal(size=(len(points), 1, 3))


# Alignment


def test_alignment_is_that_of_scipy(rng: np.random.Generator) -> None:
    target = people(rng)
    points = moved(target + rng.normal(0, 0.1, target.shape), rng)
    for aligned, one, goal in zip(procrustes_aligned(points, target), points, target, strict=True):
        # scipy moves and scales both to a norm of one; so near a likeness needs no reflection.
        standard, fitted, _ = procrustes(goal, one)
        middle = goal.mean(axis=0)
        assert standard == pytest.approx((goal - middle) / np.linalg.norm(goal - middle))
        assert aligned == pytest.approx(fitted * np.linalg.norm(goal - middle) + middle)


@pytest.mark.parametrize('likeness', ['mirrored', 'none'])
def test_alignment_never_mirrors(likeness: str, rng: np.random.Generator) -> None:
    target = people(rng)
    points = moved(target * MIRROR if likeness == 'mirrored' else people(rng), rng)
    for aligned, one, goal in zip(procrustes_aligned(points, target), points, target, strict=True):
        middle = goal.mean(axis=0)
        centred = one - one.mean(axis=0)
        rotation, _ = Rotation.align_vectors(goal - middle, centred)
        turned = rotation.apply(centred)
        scale = np.sum(turned * (goal - middle)) / np.sum(turned**2)  # least squares
        assert aligned == pytest.approx(scale * turned + middle, abs=1e-6)
    assert pa_mpjpe(points, target) > 0.05


def test_aligned_error_does_not_see_similarity_transforms(rng: np.random.Generator) -> None:
    target = people(rng)
    points = target + rng.normal(0, 0.1, target.shape)
    assert pa_mpjpe(moved(target, rng), target) == pytest.approx(0, abs=1e-9)
    assert pa_mpjpe(moved(points, rng), target) == pytest.approx(pa_mpjpe(points, target))
    assert pa_mpjpe(points, target) < mean_distance(points, target)


def test_flat_people_are_aligned_as_well(rng: np.random.Generator) -> None:
    target = people(rng) * [1, 1, 0]
    assert pa_mpjpe(moved(target, rng), target) == pytest.approx(0, abs=1e-9)
    assert pa_mpjpe(moved(target * MIRROR, rng), target) == pytest.approx(0, abs=1e-9)


# Distances


def test_distance_is_the_mean_over_all_joints_of_all_frames(rng: np.random.Generator) -> None:
    points, target = people(rng), people(rng)
    each = [
        math.dist(points[frame, joint], target[frame, joint])
        for frame, joint in product(range(len(points)), range(JOINTS))
    ]
    assert mean_distance(points, target) == pytest.approx(statistics.fmean(each))


def test_root_is_the_middle_of_the_hips(rng: np.random.Generator) -> None:
    points = people(rng)
    left, right = (TRUE_JOINTS.index(f'{side}Hip') for side in 'LR')
    relative = root_relative(points)
    assert relative[:, left] == pytest.approx(-relative[:, right])
    # One shift for all joints of a frame.
    assert points - relative == pytest.approx((points - relative)[:, :1].repeat(JOINTS, axis=1))
    shifted = points + rng.normal(size=(len(points), 1, 3))
    assert root_relative(shifted) == pytest.approx(relative)


# Steadiness


@pytest.mark.parametrize(
    ('motion', 'expected'),
    [
        (lambda t: 0 * t, 0.0),
        (lambda t: 3 * t + 1, 0.0),
        (lambda t: t**2, 2.0),
        (lambda t: (-1.0) ** t, 4.0),
        (lambda t: np.maximum(t - 10, 0), 1 / 18),  # one kink among 18 second differences
    ],
    ids=['still', 'even', 'accelerated', 'shaking', 'once pushed'],
)
def test_jitter_of_known_motion(motion, expected: float) -> None:
    along = np.array([2.0, -1.0, 2.0]) / 3  # of length 1
    points = np.tile(motion(np.arange(20.0))[:, None, None] * along, (1, JOINTS, 1))
    assert jitter(points, range(len(points))) == pytest.approx(expected, abs=1e-12)


def test_jitter_of_a_joint_on_a_circle() -> None:
    angle = 0.1 * np.arange(100)
    circle = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)
    points = np.stack([5 * circle, 0 * circle], axis=1)  # and of one that rests
    # Of a radius of 1, the middle of two chords' ends is cos 0.1 from the centre.
    assert jitter(points, range(len(points))) == pytest.approx(5 * (2 - 2 * math.cos(0.1)) / 2)


def test_jitter_does_not_look_across_gaps() -> None:
    numbers = [0, 1, 2, 10, 11, 12, 20]
    points = np.array([0.0, 1.0, 2.0, 0.0, 2.0, 3.0, 90.0])[:, None, None] * np.ones((1, 2, 1))
    points = np.concatenate([points, 0 * points, 0 * points], axis=2)
    assert jitter(points, numbers) == pytest.approx((0 + 1) / 2)


def test_bone_deviation_is_that_of_lengths_alone(rng: np.random.Generator) -> None:
    lengths = {2: rng.uniform(0.2, 0.5, 30), 3: np.full(30, 0.4), 1: rng.uniform(0.2, 0.3, 30)}
    parents = {1: 0, 2: 1, 3: 1}
    points = rng.normal(size=(30, 4, 3))
    for child, parent in parents.items():
        aim = rng.normal(size=(30, 3))
        aim /= np.linalg.norm(aim, axis=1, keepdims=True)
        points[:, child] = points[:, parent] + lengths[child][:, None] * aim
    found = bone_deviation(points, list(parents.values()), list(parents))
    assert found == pytest.approx(statistics.fmean(map(statistics.pstdev, lengths.values())))


# Identity


@pytest.mark.parametrize(
    ('ids', 'expected'),
    [
        ('', 0),
        ('a', 0),
        ('aaaa', 0),
        ('aabb', 1),
        ('aaba', 2),  # taken for another, and back
        ('abab', 3),
        ('abc', 2),
    ],
)
def test_every_change_of_id_counts(ids: str, expected: int) -> None:
    assert switches(list(ids)) == expected


# Little to measure


def test_measures_without_people_are_nan() -> None:
    no_people = np.zeros((0, JOINTS, 3))
    assert (
        root_relative(no_people).shape
        == procrustes_aligned(no_people, no_people).shape
        == no_people.shape
    )
    assert math.isnan(pa_mpjpe(no_people, no_people))
    assert math.isnan(mean_distance(no_people, no_people))
    assert math.isnan(jitter(no_people, []))
    assert math.isnan(bone_deviation(no_people, [0], [1]))


def test_steadiness_needs_some_frames(rng: np.random.Generator) -> None:
    points = people(rng, 3)
    assert [math.isnan(jitter(points[:n], range(n))) for n in (1, 2, 3)] == [True, True, False]
    assert [math.isnan(bone_deviation(points[:n], [0], [1])) for n in (1, 2)] == [True, False]
    assert pa_mpjpe(points[:1], points[1:2]) > 0


def test_a_number_that_is_none_is_never_averaged_away(rng: np.random.Generator) -> None:
    target = people(rng)
    points = target.copy()
    points[3, 5, 1] = np.nan
    assert math.isnan(mean_distance(points, target))
    assert math.isnan(jitter(points, range(len(points))))
    assert math.isnan(bone_deviation(points, [5], [4]))
    with pytest.raises(np.linalg.LinAlgError):
        pa_mpjpe(points, target)
