"""The direction up from an IMU."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from hybrik_ros.messages.fields import stamp_fields
from hybrik_ros.messages.gravity import MAX_AGE_SECONDS, GravityFilter
from hybrik_ros.messages.images import UnusableInputError

SECOND = 10**9
RATE = 200  # Hz, as of many IMUs
UP = np.array([0.0, 0.0, 1.0])  # in the world
REST = 9.81 * UP

seeds = st.integers(0, 10**6)


def message(
    stamp: float,
    acceleration: np.ndarray | None = REST,
    orientation: Rotation | list[float] | None = None,
    frame: str = 'imu',
) -> SimpleNamespace:
    """Return a sensor_msgs/Imu with what is given; all else is not measured."""
    quaternion = orientation.as_quat() if isinstance(orientation, Rotation) else orientation
    fields = SimpleNamespace(**stamp_fields(round(stamp * SECOND)))
    return SimpleNamespace(
        header=SimpleNamespace(frame_id=frame, stamp=fields),
        linear_acceleration=SimpleNamespace(
            **dict(zip('xyz', np.zeros(3) if acceleration is None else acceleration, strict=True))
        ),
        linear_acceleration_covariance=[-1.0 if acceleration is None else 0.0] + 8 * [0.0],
        orientation=SimpleNamespace(
            **dict(zip('xyzw', [0, 0, 0, 1] if quaternion is None else quaternion, strict=True))
        ),
        orientation_covariance=[-1.0 if quaternion is None else 0.0] + 8 * [0.0],
    )


def up_after(*messages: SimpleNamespace) -> np.ndarray:
    """Return the direction up at the time of the last message."""
    gravity = GravityFilter()
    for one in messages:
        gravity.update(one)
    last = messages[-1].header.stamp
    found = gravity.up_at(last.sec * SECOND + last.nanosec)
    assert found is not None
    assert found[0] == 'imu'
    return found[1]


def angle(first: np.ndarray, second: np.ndarray) -> float:
    """Return the angle between unit vectors in degrees."""
    return math.degrees(math.acos(np.clip(first @ second, -1, 1)))


@given(seed=seeds)
def test_up_is_right_for_any_rotation_of_the_camera(seed: int) -> None:
    world_from_imu = Rotation.random(rng=seed)
    up = world_from_imu.inv().apply(UP)
    assert up_after(message(1.0, 9.81 * up)) == pytest.approx(up)
    assert up_after(message(1.0, None, world_from_imu)) == pytest.approx(up)


def test_acceleration_goes_before_orientation() -> None:
    sideways = Rotation.from_euler('x', 90, degrees=True)
    assert up_after(message(1.0, REST, sideways)) == pytest.approx(UP)


@given(seed=seeds)
def test_noise_is_averaged_over_a_second(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 0.5, (5 * RATE, 3))
    stream = [message(i / RATE, REST + noise[i]) for i in range(len(noise))]
    # A mean over one second has a standard deviation of 0.5 / sqrt(200) m/s², 0.2 degrees.
    assert angle(up_after(*stream), UP) < 1.2


def test_samples_of_a_moved_camera_are_ignored() -> None:
    jolt = np.array([7.0, 0.0, 9.81])
    stream = [message(i / RATE, REST if i < RATE else jolt) for i in range(int(1.5 * RATE))]
    assert up_after(*stream) == pytest.approx(UP)


def test_impossible_samples_are_ignored() -> None:
    values = [[np.nan, 0, 9.81], [np.inf, 0, 0], [1e300, 1e300, 0], [0, 0, 0]]
    bad = [message(1.1, np.array(value)) for value in values]
    turns = [[0.0, 0, 0, 0], [np.nan, 0, 0, 1], [np.inf, 0, 0, 1]]
    bad += [message(1.1, None, turn) for turn in turns]
    assert up_after(message(1.0), *bad) == pytest.approx(UP)
    gravity = GravityFilter()
    for one in bad:
        gravity.update(one)
    assert gravity.up_at(SECOND) is None


def test_direction_follows_a_turn_within_about_a_second() -> None:
    side = np.array([1.0, 0.0, 0.0])
    stream = [message(i / RATE) for i in range(RATE)]
    stream += [message(1 + i / RATE, 9.81 * side) for i in range(2 * RATE)]
    assert angle(up_after(*stream[: RATE + 20]), UP) < 20  # 0.1 s later
    assert angle(up_after(*stream[: 2 * RATE]), side) < 15
    assert angle(up_after(*stream), side) < 3


def test_filter_does_not_depend_on_the_rate() -> None:
    def tilted_for_half_a_second(rate: int) -> np.ndarray:
        turned = [message(1 + i / rate, np.array([9.81, 0, 0])) for i in range(1, rate // 2 + 1)]
        return up_after(message(1.0), *turned)

    assert tilted_for_half_a_second(20) == pytest.approx(tilted_for_half_a_second(400))


def test_filter_starts_again_when_time_jumps_back() -> None:
    down = message(10.0, -REST)
    assert up_after(message(100.0), down) == pytest.approx(-UP)


def test_late_sample_is_ignored() -> None:
    late = message(9.9, np.array([9.81, 0.0, 0.0]))
    assert up_after(message(10.0), late) == pytest.approx(UP)


def test_filter_starts_again_for_another_imu() -> None:
    gravity = GravityFilter()
    gravity.update(message(1.0, frame='other'))
    gravity.update(message(1.001, -REST))
    assert gravity.up_at(SECOND) == ('imu', pytest.approx(-UP))


def test_direction_is_known_only_near_its_stamp() -> None:
    gravity = GravityFilter()
    gravity.update(message(10.0))
    for offset, is_known in ((0.9, True), (-0.9, True), (1.1, False), (-1.1, False)):
        stamp = round((10 + offset * MAX_AGE_SECONDS) * SECOND)
        assert (gravity.up_at(stamp) is not None) == is_known


def test_imu_without_acceleration_and_orientation_is_refused() -> None:
    with pytest.raises(UnusableInputError, match='neither acceleration nor orientation'):
        GravityFilter().update(message(1.0, None))
