"""What is known of one person over time: shape and velocity."""

import numpy as np
import pytest

from hybrik_ros.body import BodyModel
from hybrik_ros.body.shape import BETA_LIMITS
from hybrik_ros.camera import Region
from hybrik_ros.tracking import Shape, Track

PAIRS = [(1, 4), (4, 7), (16, 18), (18, 20), (16, 17), (1, 16)]
SIGMAS = np.full(len(PAIRS), 0.03)


@pytest.fixture(scope='module')
def body():
    return BodyModel.load()


@pytest.fixture
def shape(body):
    return Shape(body, PAIRS, SIGMAS)


def lengths(body, betas):
    joints = body.rest_joints(betas)
    return np.array([np.linalg.norm(joints[a] - joints[b]) for a, b in PAIRS])


def misfit(body, shape, wanted):
    return np.abs(lengths(body, shape.betas) - wanted).mean()


def test_nothing_measured_is_the_mean_body(body, shape):
    assert np.array_equal(shape.betas, np.zeros(body.num_betas))
    shape.measure(np.full(len(PAIRS), 17.0), np.zeros(len(PAIRS)))
    assert np.array_equal(shape.betas, np.zeros(body.num_betas))


def test_many_noisy_frames_tell_more_than_one(body):
    rng = np.random.default_rng(0)
    first, last = [], []
    for _ in range(20):
        wanted = lengths(body, rng.normal(0, 0.7, body.num_betas))
        shape = Shape(body, PAIRS, SIGMAS)
        for frame in range(100):
            shape.measure(wanted + rng.normal(0, SIGMAS), np.ones(len(PAIRS)))
            if frame == 0:
                first.append(misfit(body, shape, wanted))
        last.append(misfit(body, shape, wanted))
    assert np.mean(last) < 0.6 * np.mean(first)
    assert np.mean(last) < 0.01


def test_frames_count_as_much_as_they_are_sure(body, shape):
    # Half as sure counts half as much: two such frames are one that is fully sure.
    wanted, other = lengths(body, np.full(10, 0.5)), lengths(body, np.full(10, -0.5))
    twice = Shape(body, PAIRS, SIGMAS)
    for _ in range(2):
        twice.measure(wanted, np.full(len(PAIRS), 0.5))
    shape.measure(wanted, np.ones(len(PAIRS)))
    assert shape.betas == pytest.approx(twice.betas)
    shape.measure(other, np.full(len(PAIRS), 1e-6))
    assert shape.betas == pytest.approx(twice.betas, abs=1e-3)


def test_a_constant_error_never_makes_an_extreme_body(body, shape):
    # The network misjudges a limb the same way in each frame.
    wrong = lengths(body, None) * [1.1, 1, 1, 1, 1, 1]
    for _ in range(2000):
        shape.measure(wrong, np.ones(len(PAIRS)))
    assert np.abs(shape.betas).max() < 1


def test_betas_stay_human(body, shape):
    for factor in (0.1, 10.0):
        shape.measure(factor * lengths(body, None), np.ones(len(PAIRS)))
        assert (shape.betas >= BETA_LIMITS[0]).all()
        assert (shape.betas <= BETA_LIMITS[1]).all()


@pytest.fixture
def track(shape):
    return Track('p1', Region(np.zeros(2), 100.0), shape)


def test_the_first_frame_has_no_velocity(track):
    assert np.array_equal(track.velocity(np.array([1.0, 2, 3]), 100.0), np.zeros(3))


def test_a_steady_walk_has_its_velocity(track):
    speed = np.array([-1.2, 0.1, 0.4])
    for stamp in np.arange(0, 2, 1 / 30):
        velocity = track.velocity(speed * stamp, stamp)
    assert velocity == pytest.approx(speed, rel=0.01)


def test_the_velocity_depends_on_time_not_on_frames(body):
    speed = np.array([1.0, 0, 0])
    reached = []
    for rate in (10, 30, 100):
        track = Track('p1', Region(np.zeros(2), 100.0), Shape(body, PAIRS, SIGMAS))
        for stamp in np.arange(0, 0.25 + 1e-9, 1 / rate):
            velocity = track.velocity(speed * stamp, stamp)
        # A quarter of a second, as far as whole frames go.
        reached.append((velocity[0], 1 - np.exp(-stamp / 0.25)))
    for velocity, expected in reached:
        assert velocity == pytest.approx(expected, abs=1e-6)


def test_jitter_is_smoothed(track):
    rng = np.random.default_rng(1)
    velocities = [
        track.velocity(rng.normal(0, 0.01, 3), stamp) for stamp in np.arange(0, 10, 1 / 30)
    ]
    # From frame to frame, a centimetre is 0.4 m/s.
    assert np.std(velocities) < 0.1


@pytest.mark.parametrize('stamp', [5.0, 4.0])
def test_time_that_stands_still_or_runs_back_keeps_the_velocity(track, stamp):
    for before in np.arange(0, 5.001, 0.1):
        velocity = track.velocity(np.array([before, 0, 0]), before)
    assert track.velocity(np.array([99.0, 0, 0]), stamp) == pytest.approx(velocity)


def test_what_is_handed_out_and_taken_in_is_the_callers(track):
    position = np.zeros(3)
    track.velocity(position, 0.0)
    position[:] = 50.0
    first = track.velocity(np.array([0.1, 0, 0]), 0.1)
    assert first[0] == pytest.approx(1 - np.exp(-0.4))
    first[:] = 50.0
    assert track.velocity(np.array([0.2, 0, 0]), 0.2)[0] < 1


def test_rotations_are_remembered_for_half_a_second(track):
    assert track.previous(0.0) is None
    track.rotations = np.tile(np.eye(3), (24, 1, 1))
    track.velocity(np.zeros(3), 10.0)
    assert track.previous(10.4) is track.rotations
    assert track.previous(10.6) is None
