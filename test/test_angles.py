"""Angles of hinges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from hybrik_ros.angles import select_first_angle, wrap

SINGULAR = 0.01


@given(angle=st.floats(-50, 50))
def test_wrapped_angles_are_the_same_rotation(angle: float) -> None:
    wrapped = float(wrap(angle))
    assert -np.pi <= wrapped < np.pi
    assert np.exp(1j * wrapped) == pytest.approx(np.exp(1j * angle), abs=1e-12)


def solutions_of(first: float, second: float) -> np.ndarray:
    """Both pairs of angles about x, then z, that point y in one direction."""
    pairs = np.array([[first, second], [first + np.pi, np.pi - second]])
    one, other = Rotation.from_euler('XZ', pairs).apply([0, 1, 0])
    np.testing.assert_allclose(one, other, atol=1e-12)
    return pairs


def test_nearer_solution_is_selected() -> None:
    pairs = solutions_of(0.3, 0.4)
    for first, second in pairs:
        last = [first + 0.2, second - 0.2]
        selected = select_first_angle(pairs, last, 1.0, SINGULAR)
        assert float(selected) == pytest.approx(first, abs=1e-4)


def test_penalty_changes_the_selection() -> None:
    pairs = solutions_of(0.3, 0.4)
    penalty = [[3.0, 3.0], [0.0, 0.0]]
    selected = select_first_angle(pairs, pairs[0], 1.0, SINGULAR, penalty)
    assert float(wrap(selected - pairs[1, 0])) == pytest.approx(0, abs=1e-3)


def test_first_angle_keeps_its_last_value_at_the_first_axis() -> None:
    pairs = solutions_of(0.3, 0.4)
    assert select_first_angle(pairs, [7.0, 0.4], 0.0, SINGULAR) == 7.0
    half = select_first_angle(pairs, [0.1, 0.4], SINGULAR, SINGULAR)
    assert float(half) == pytest.approx(0.2)


def test_batches_are_solved_one_by_one() -> None:
    rng = np.random.default_rng(1)
    pairs, last, distance = rng.uniform(-3, 3, (2, 5, 2)), rng.uniform(-9, 9, (5, 2)), rng.random(5)
    batch = select_first_angle(pairs, last, distance, SINGULAR)
    single = [select_first_angle(pairs[:, i], last[i], distance[i], SINGULAR) for i in range(5)]
    np.testing.assert_array_equal(batch, single)
