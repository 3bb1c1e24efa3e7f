"""When the views of cameras are fused."""

import time

import numpy as np
import pytest

from hybrik_ros.fusion import View
from hybrik_ros.node.view_buffer import ViewBuffer


def fused(buffer: ViewBuffer, *arrivals: tuple[str, float]) -> list[dict[str, float]]:
    """Return the stamps by camera of each fusion, while views arrive."""
    found = [buffer.put(name, View(stamp, np.eye(4))) for name, stamp in arrivals]
    return [{name: view.stamp for name, view in views.items()} for views in found if views]


def test_synchronous_cameras_are_fused_once_per_stamp_when_the_last_one_is_there() -> None:
    buffer = ViewBuffer()
    assert fused(buffer, ('a', 1.0)) == [{'a': 1.0}]
    assert fused(buffer, ('b', 1.0), ('b', 1.03)) == []
    assert fused(buffer, ('a', 1.03)) == [{'a': 1.03, 'b': 1.03}]
    assert fused(buffer, ('a', 1.06), ('b', 1.06)) == [{'a': 1.06, 'b': 1.06}]


@pytest.mark.parametrize('rate', [30, 15, 10, 5, 3])
@pytest.mark.parametrize('apart', [0.0, 0.001])
@pytest.mark.parametrize('order', ['abcd', 'dbca'])
def test_cameras_that_are_nearly_synchronous_are_fused_together(
    rate: float, apart: float, order: str
) -> None:
    rng = np.random.default_rng(0)
    late = {name: apart * number for number, name in enumerate('abcd')}
    jitter = 0.002 * (apart > 0)
    found = fused(ViewBuffer(), *(
        (name, n / rate + late[name] + jitter * rng.random()) for n in range(40) for name in order
    ))  # fmt: skip
    # Before a camera has sent two images, the time of the next one is not known.
    assert 38 <= len(found) <= 46
    assert all(len(views) == 4 and np.ptp(list(views.values())) < 0.01 for views in found[-38:])


def test_a_camera_whose_clock_is_ahead_stops_no_other() -> None:
    buffer = ViewBuffer()
    assert fused(buffer, ('c', 30.0), ('c', 30.1)) == [{'c': 30.0}, {'c': 30.1}]
    buffer.forget('c')
    arrivals = [(name, n / 30) for n in range(20) for name in 'ab']
    assert len(fused(buffer, *arrivals)) >= 18


def test_a_camera_that_fell_silent_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = ViewBuffer()
    begin = time.monotonic()
    fused(buffer, ('c', 30.0), ('c', 30.1))
    monkeypatch.setattr(time, 'monotonic', lambda: begin + 10)
    assert len(fused(buffer, *((name, n / 30) for n in range(20) for name in 'ab'))) >= 18


def test_cameras_out_of_phase_are_fused_at_their_rate() -> None:
    arrivals = [(name, n / 30 + late) for n in range(30) for name, late in (('a', 0), ('b', 0.015))]
    found = fused(ViewBuffer(), *arrivals)
    assert 28 <= len(found) <= 31
    assert all(len(views) == 2 for views in found[1:])
    newest = [max(views.values()) for views in found]
    assert min(np.diff(newest)) > 0


def test_a_camera_that_ends_is_waited_for_briefly() -> None:
    buffer = ViewBuffer()
    fused(buffer, ('a', 1.0), ('b', 1.0), ('a', 1.03), ('b', 1.03))
    found = fused(buffer, *[('a', 1.03 + 0.03 * n) for n in range(1, 25)])
    # One image is waited with; after half a second b is left out.
    assert found[0] == {'a': 1.09, 'b': 1.03}
    assert found[-1] == {'a': 1.03 + 0.03 * 24}
    assert len(found) >= 22


@pytest.mark.parametrize('late', [0.05, 0.15])
def test_views_that_are_late_by_part_of_an_image_are_fused_with_the_next(late: float) -> None:
    arrivals = [each for n in range(9) for each in (('a', 0.33 * n), ('b', 0.33 * n - late))]
    found = fused(ViewBuffer(), *arrivals)
    assert {views['b'] for views in found if 'b' in views} >= {0.33 * n - late for n in range(2, 8)}


def test_late_and_repeated_views_are_ignored() -> None:
    buffer = ViewBuffer()
    assert fused(buffer, ('a', 1.0), ('a', 1.0), ('a', 0.9), ('a', 1.1)) == [{'a': 1.0}, {'a': 1.1}]


def test_time_that_jumps_back_begins_anew() -> None:
    buffer = ViewBuffer()
    fused(buffer, ('a', 100.0), ('b', 100.0), ('a', 100.1), ('b', 100.1))
    assert fused(buffer, ('a', 2.0)) == [{'a': 2.0}]
    assert fused(buffer, ('a', 2.1), ('b', 2.1)) == [{'a': 2.1}, {'a': 2.1, 'b': 2.1}][:1]
