"""The One-Euro filter on vectors and rotations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from poses import angles_between, random_rotations
from scipy.spatial.transform import Rotation

from hybrik_ros.smoothing import RotationFilter, VectorFilter

RATE = 60.0


def smoothed(filter_, values, rate=RATE, state=None):
    found = []
    for value in values:
        state = filter_.step(state, value, 1 / rate)
        found.append(state.value)
    return np.array(found)


def plain_one_euro(values, rate, cutoff, slope, speed_cutoff):
    """Casiez et al., as plainly as the paper's appendix, for one number."""

    def share(hertz):
        return 1 - np.exp(-2 * np.pi * hertz / rate)

    found, last, speed = [values[0]], values[0], 0.0
    for value in values[1:]:
        speed += share(speed_cutoff) * ((value - last) * rate - speed)
        last = value
        weight = share(cutoff + slope * abs(speed))
        found.append(weight * value + (1 - weight) * found[-1])
    return np.array(found)


def about(axis, angles):
    return Rotation.from_rotvec(np.outer(angles, axis)).as_matrix()


def test_it_is_the_filter_of_the_paper():
    values = np.cumsum(np.random.default_rng(0).normal(0, 0.01, 200))
    expected = plain_one_euro(values, RATE, 1.2, 0.7, 0.9)
    assert smoothed(VectorFilter(1.2, 0.7, 0.9), values[:, None])[:, 0] == pytest.approx(expected)
    # About one axis, rotations are numbers.
    axis = np.array([2.0, -1.0, 2.0]) / 3
    turned = smoothed(RotationFilter(1.2, 0.7, 0.9), about(axis, values))
    assert angles_between(turned, about(axis, expected)).max() < 1e-6


def test_what_does_not_move_stays():
    place, turn = np.array([1.0, 2.0, 3.0]), random_rotations(np.random.default_rng(1), 1)[0]
    for filter_, value in (
        (VectorFilter(1, 1), place), (VectorFilter(1, 1, predict=True), place),
        (RotationFilter(1, 1), turn),
    ):  # fmt: skip
        assert smoothed(filter_, [value] * 50)[-1] == pytest.approx(value, abs=1e-12)


def jitter(values):
    return np.linalg.norm(np.diff(values, 2, axis=0), axis=-1).mean()


def test_jitter_goes_and_the_value_stays():
    rng = np.random.default_rng(2)
    noisy = [1.0, -2.0, 0.5] + rng.normal(0, 0.01, (600, 3))
    for lead in (False, True):
        found = smoothed(VectorFilter(1.0, 0.1, 0.5, predict=lead), noisy)
        assert jitter(found) < 0.15 * jitter(noisy)
        assert found[300:].mean(axis=0) == pytest.approx([1.0, -2.0, 0.5], abs=0.003)
    turn = random_rotations(rng, 1)[0]
    shaken = turn @ random_rotations(rng, 600, 0.05)
    found = smoothed(RotationFilter(1.0, 0.1), shaken)
    steps = angles_between(found[1:], found[:-1]).mean()
    assert steps < 0.15 * angles_between(shaken[1:], shaken[:-1]).mean()
    assert angles_between(found[300:], turn).mean() < angles_between(shaken, turn).mean() / 2


@pytest.mark.parametrize('rate', [10.0, 30.0, 120.0])
def test_steady_motion_is_late_by_the_cutoff_or_with_lead_not_at_all(rate):
    speed, seconds = 1.2, 6.0
    places = np.arange(0, seconds, 1 / rate)[:, None] * [speed, 0, 0]
    late = smoothed(VectorFilter(1.0, 0.0), places, rate)
    assert (places - late)[-1, 0] / speed == pytest.approx(1 / (2 * np.pi), abs=1 / rate)
    led = smoothed(VectorFilter(1.0, 0.0, predict=True), places, rate)
    assert (places - led)[-1, 0] == pytest.approx(0, abs=1e-3)


def test_the_faster_the_less_late():
    def lag(speed):
        places = np.arange(300)[:, None] * [speed / RATE]
        return (places - smoothed(VectorFilter(0.5, 2.0), places))[-1, 0] / speed

    lags = [lag(speed) for speed in (0.1, 0.5, 1.0, 3.0)]
    assert lags == sorted(lags, reverse=True)
    assert lags[-1] < lags[0] / 4


def test_frames_may_come_at_any_interval():
    # The same motion, seen at other times, is the same at the end.
    rng = np.random.default_rng(3)
    ends = []
    for _ in range(5):
        stamps = np.sort(rng.uniform(0, 4, 300))
        stamps = np.concatenate([[0], stamps, [4]])
        filter_, state = VectorFilter(1.0, 0.5), None
        for before, stamp in zip(stamps[:1].tolist() + stamps[:-1].tolist(), stamps, strict=True):
            state = filter_.step(state, np.array([np.sin(stamp)]), stamp - before)
        ends.append(state.value[0])
    assert np.ptp(ends) < 0.01


def test_each_of_many_is_filtered_alone():
    rng = np.random.default_rng(4)
    rotations = np.stack([random_rotations(rng, 1, 0.3)[0] for _ in range(20)])
    together = smoothed(RotationFilter(1.0, 0.5), rotations)
    for joint in (0, 7, 23):
        alone = smoothed(RotationFilter(1.0, 0.5), rotations[:, joint])
        assert together[:, joint] == pytest.approx(alone, abs=1e-12)


@pytest.mark.parametrize('elapsed', [0.0, -1.0])
def test_no_time_no_change(elapsed):
    filter_ = VectorFilter(1.0, 1.0, predict=True)
    state = filter_.step(filter_.step(None, np.zeros(3), 0.1), np.ones(3), 0.1)
    assert filter_.step(state, np.full(3, 9.0), elapsed) is state


def test_the_first_value_is_taken_as_it_is():
    first = random_rotations(np.random.default_rng(5), 1)[0]
    assert np.array_equal(RotationFilter(0.1, 0.0).step(None, first, 0.01).value, first)


def test_a_step_leaves_the_state_and_the_measurement_unchanged():
    filter_ = VectorFilter(1.0, 1.0, predict=True)
    measured = np.ones(3)
    state = filter_.step(filter_.step(None, np.zeros(3), 0.1), measured, 0.1)
    before = [array.copy() for array in (state.measured, state.value, state.velocity)]
    measured[:] = 7
    filter_.step(state, np.full(3, 9.0), 0.1)
    after = state.measured, state.value, state.velocity
    assert all(np.array_equal(*pair) for pair in zip(before, after, strict=True))


def test_a_shift_is_as_if_all_measurements_had_been_elsewhere():
    values = np.random.default_rng(6).normal(0, 1, (20, 2))
    filter_ = VectorFilter(1.0, 1.0, predict=True)
    assert filter_.shift(None, np.ones(2)) is None  # Nothing is known yet.
    here = there = None
    for value in values[:10]:
        here, there = filter_.step(here, value, 0.1), filter_.step(there, value + 5, 0.1)
        assert there.value == pytest.approx(here.value + 5)
    moved = filter_.shift(here, np.full(2, 5.0))
    found, expected = (smoothed(filter_, values[10:] + 5, 10.0, state) for state in (moved, there))
    assert found == pytest.approx(expected)


@given(
    st.lists(st.floats(0, 10), min_size=2, max_size=30),
    st.floats(0.01, 30),
    st.floats(0, 10),
    st.integers(0, 1000),
)
def test_rotations_stay_rotations_and_between(intervals, cutoff, slope, seed):
    rotations = random_rotations(np.random.default_rng(seed), len(intervals), 1.5)
    filter_, state = RotationFilter(cutoff, slope), None
    before = None
    for rotation, elapsed in zip(rotations, intervals, strict=True):
        state = filter_.step(state, rotation, elapsed)
        found = state.value
        unit = np.swapaxes(found, -1, -2) @ found
        assert unit == pytest.approx(np.broadcast_to(np.eye(3), unit.shape), abs=1e-9)
        if before is not None:
            whole = angles_between(before, rotation)
            assert (angles_between(before, found) <= whole + 1e-5).all()
            assert (angles_between(found, rotation) <= whole + 1e-5).all()
        before = found
