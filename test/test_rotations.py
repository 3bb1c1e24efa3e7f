"""Rotations in three dimensions, with scipy's as an oracle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hybrik_ros import rotations as so3

# At a half turn, a digit of the matrix is the square root of a digit of the axis.
CLOSE = 1e-7

unit_interval = st.floats(-1, 1, allow_nan=False)
directions = (
    arrays(float, 3, elements=unit_interval)
    .filter(lambda v: np.linalg.norm(v) > 1e-2)
    .map(lambda v: v / np.linalg.norm(v))
)
# Everything from nothing to a half turn, with the two ends approached in small steps.
angles = st.one_of(
    st.floats(0, np.pi),
    st.floats(-15, -1).map(lambda digits: 10**digits),
    st.floats(-15, -1).map(lambda digits: np.pi - 10**digits),
    st.sampled_from([0.0, np.pi / 2, np.pi]),
)
vectors = st.builds(lambda axis, angle: axis * angle, directions, angles)
scales = st.floats(-3, 3).map(lambda digits: 10**digits)


def assert_rotations(matrices):
    matrices = np.asarray(matrices)
    assert np.abs(np.swapaxes(matrices, -1, -2) @ matrices - np.eye(3)).max() < 1e-12
    assert np.linalg.det(matrices) == pytest.approx(1)


@pytest.fixture(scope='module')
def batch():
    return Rotation.random(20, random_state=3)


def test_skew_is_the_cross_product():
    rng = np.random.default_rng(0)
    v, u = rng.normal(size=(2, 5, 4, 3))
    product = (so3.skew(v) @ u[..., None])[..., 0]
    assert product == pytest.approx(np.cross(v, u))


@given(directions, angles)
def test_from_axis_agrees_with_scipy(axis, angle):
    rotation = so3.from_axis(axis, np.cos(angle), np.sin(angle))
    assert rotation == pytest.approx(Rotation.from_rotvec(axis * angle).as_matrix(), abs=1e-12)


@given(vectors)
def test_from_rotation_vector_agrees_with_scipy(vector):
    rotation = so3.from_rotation_vector(vector)
    assert rotation == pytest.approx(Rotation.from_rotvec(vector).as_matrix(), abs=1e-12)
    assert_rotations(rotation)


@given(vectors)
def test_rotation_vectors_survive_the_way_to_matrices_and_back(vector):
    back = so3.to_rotation_vector(so3.from_rotation_vector(vector))
    # Of a half turn, both senses are right.
    ways = [vector, -vector] if np.linalg.norm(vector) > np.pi - CLOSE else [vector]
    assert min(np.abs(back - way).max() for way in ways) < CLOSE
    assert np.linalg.norm(back) <= np.pi + 1e-12


@given(st.floats(-12, -6).map(lambda digits: 10**digits), directions)
def test_small_rotation_vectors_keep_their_digits(angle, axis):
    back = so3.to_rotation_vector(so3.from_rotation_vector(axis * angle))
    assert back == pytest.approx(axis * angle, rel=1e-3, abs=1e-15)


@given(vectors)
def test_quaternions_agree_with_scipy(vector):
    rotation = Rotation.from_rotvec(vector)
    quaternion = so3.to_quaternion(rotation.as_matrix())
    expected = rotation.as_quat()
    assert min(np.abs(quaternion - expected).max(), np.abs(quaternion + expected).max()) < 1e-12
    assert quaternion[3] >= 0
    assert so3.from_quaternion(quaternion) == pytest.approx(rotation.as_matrix(), abs=1e-12)


@given(vectors, scales)
def test_quaternions_of_any_length_are_taken(vector, scale):
    rotation = Rotation.from_rotvec(vector)
    matrix = so3.from_quaternion(rotation.as_quat() * scale)
    assert matrix == pytest.approx(rotation.as_matrix(), abs=1e-12)


@given(directions, directions, scales, scales)
def test_a_swing_turns_source_to_target_by_the_least_angle(source, target, stretch, shrink):
    swing = so3.swing_between(source * stretch, target * shrink)
    assert_rotations(swing)
    assert swing @ source == pytest.approx(target, abs=1e-7)
    between = np.arctan2(np.linalg.norm(np.cross(source, target)), source @ target)
    assert Rotation.from_matrix(swing).magnitude() == pytest.approx(between, abs=1e-7)


@given(directions)
def test_opposite_directions_are_swung_by_a_half_turn(source):
    swing = so3.swing_between(source, -source)
    assert_rotations(swing)
    assert swing @ source == pytest.approx(-source, abs=1e-9)


@given(directions, st.floats(-16, -3), directions)
def test_nearly_opposite_directions_are_swung_by_a_rotation(source, digits, aside):
    target = -source + 10**digits * aside
    swing = so3.swing_between(source, target)
    assert_rotations(swing)
    assert swing @ source == pytest.approx(target / np.linalg.norm(target), abs=1e-3)


@pytest.mark.parametrize(
    ('source', 'target'), [([0, 0, 0], [1, 0, 0]), ([0, 2, 0], [0, 0, 0]), ([0] * 3, [0] * 3)]
)
def test_a_swing_from_or_to_nowhere_is_the_identity(source, target):
    assert so3.swing_between(source, target) == pytest.approx(np.eye(3))


@given(vectors, directions, scales)
def test_swing_and_twist_make_up_the_rotation(vector, axis, scale):
    rotation = so3.from_rotation_vector(vector)
    swing, (cos, sin) = so3.swing_twist(rotation, axis * scale)
    assert np.hypot(cos, sin) == pytest.approx(1)
    assert swing @ so3.from_axis(axis, cos, sin) == pytest.approx(rotation, abs=1e-9)
    assert swing @ axis == pytest.approx(rotation @ axis, abs=1e-9)


def random_directions(rng: np.random.Generator, count: int) -> NDArray:
    return so3.unit(rng.normal(size=(count, 3)))


near_a_half_turn = pytest.mark.parametrize('short', [0.0, 1e-15, 1e-12, 1e-9, 1e-6, 1e-3])


@near_a_half_turn
def test_swings_of_about_a_half_turn_are_scipys(short: float) -> None:
    rng = np.random.default_rng(5)
    sources, others = random_directions(rng, 500), random_directions(rng, 500)
    turns = Rotation.from_rotvec((np.pi - short) * so3.unit(np.cross(sources, others)))
    targets = turns.apply(sources)
    swings = so3.swing_between(sources, targets)
    assert_rotations(swings)
    assert (swings @ sources[..., None])[..., 0] == pytest.approx(targets, abs=1e-9)
    assert Rotation.from_matrix(swings).magnitude() == pytest.approx(np.pi - short, abs=1e-9)
    if short >= 1e-6:  # Nearer to the half turn, the digits of a target do not tell the axis.
        assert swings == pytest.approx(turns.as_matrix(), abs=1e-6)


@near_a_half_turn
@pytest.mark.parametrize('kind', ['swing', 'twist', 'any'])
def test_turns_of_about_a_half_split_into_swing_and_twist(short: float, kind: str) -> None:
    rng = np.random.default_rng(6)
    axes, others = random_directions(rng, 500), random_directions(rng, 500)
    about = {'swing': so3.unit(np.cross(axes, others)), 'twist': axes, 'any': others}[kind]
    turns = Rotation.from_rotvec((np.pi - short) * about)
    if kind == 'swing':
        turns *= Rotation.from_rotvec(rng.uniform(-np.pi, np.pi, (500, 1)) * axes)
    swings, twists = so3.swing_twist(turns.as_matrix(), axes)
    assert_rotations(swings)
    assert np.linalg.norm(twists, axis=1) == pytest.approx(1, abs=1e-9)
    angles = np.arctan2(twists[:, 1], twists[:, 0])
    together = Rotation.from_matrix(swings) * Rotation.from_rotvec(angles[:, None] * axes)
    assert together.as_matrix() == pytest.approx(turns.as_matrix(), abs=1e-9)
    least = np.arccos(np.clip(np.sum(turns.apply(axes) * axes, axis=1), -1, 1))
    assert Rotation.from_matrix(swings).magnitude() == pytest.approx(least, abs=1e-6)


@given(directions, st.floats(-np.pi, np.pi))
def test_a_pure_twist_has_no_swing(axis, angle):
    swing, twist = so3.swing_twist(so3.from_rotation_vector(axis * angle), axis)
    assert swing == pytest.approx(np.eye(3), abs=1e-7)
    assert twist == pytest.approx([np.cos(angle), np.sin(angle)], abs=1e-7)


@given(vectors, vectors)
def test_angle_between_is_scipys_magnitude(first, second):
    a, b = Rotation.from_rotvec(first), Rotation.from_rotvec(second)
    angle = so3.angle_between(a.as_matrix(), b.as_matrix())
    assert angle == pytest.approx((a.inv() * b).magnitude(), abs=CLOSE)


def test_batches_equal_singles(batch):
    matrices = batch.as_matrix().reshape(4, 5, 3, 3)
    vectors = batch.as_rotvec().reshape(4, 5, 3)
    axis = np.array([0.0, 0.6, 0.8])
    functions = {
        so3.skew: vectors,
        so3.from_rotation_vector: vectors,
        so3.to_rotation_vector: matrices,
        so3.to_quaternion: matrices,
        so3.from_quaternion: batch.as_quat().reshape(4, 5, 4),
        lambda m: so3.swing_between(axis, m[..., 0]): matrices,
        lambda m: so3.swing_twist(m, axis)[0]: matrices,
        lambda m: so3.swing_twist(m, axis)[1]: matrices,
        lambda m: so3.angle_between(m, np.eye(3)): matrices,
        lambda v: so3.from_axis(axis, np.cos(v[..., 0]), np.sin(v[..., 0])): vectors,
    }
    for function, values in functions.items():
        together = function(values)
        singles = [[function(value) for value in row] for row in values]
        assert together == pytest.approx(np.array(singles), abs=1e-15)


def test_batch_dimensions_broadcast(batch):
    matrices = batch.as_matrix()
    assert so3.angle_between(matrices[:4, None], matrices[:3]).shape == (4, 3)
    assert so3.swing_between(matrices[:4, None, 0], matrices[:3, 0]).shape == (4, 3, 3, 3)
    swing, twist = so3.swing_twist(matrices[:4, None], matrices[:3, 0])
    assert swing.shape == (4, 3, 3, 3)
    assert twist.shape == (4, 3, 2)


@pytest.mark.parametrize('length', [1e-300, 1e-30, 1e-13, 1e200])
def test_directions_and_quaternions_may_be_of_any_length(length: float) -> None:
    rng = np.random.default_rng(9)
    source, target = rng.normal(size=(2, 20, 3))
    expected = so3.swing_between(source, target)
    found = so3.swing_between(length * source, target / length)
    assert found == pytest.approx(expected, abs=1e-12)
    quaternions = Rotation.random(20, rng)
    found = so3.from_quaternion(length * quaternions.as_quat())
    assert found == pytest.approx(quaternions.as_matrix(), abs=1e-12)
    swing, twist = so3.swing_twist(quaternions.as_matrix(), source)
    for found, expected in zip(
        so3.swing_twist(quaternions.as_matrix(), length * source), (swing, twist), strict=True
    ):
        assert found == pytest.approx(expected, abs=1e-12)
    vectors = so3.unit(source) * length
    assert_rotations(so3.from_rotation_vector(vectors))
