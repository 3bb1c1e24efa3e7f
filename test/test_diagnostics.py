"""Reports of the node."""

import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from std_msgs.msg import Header

from hybrik_ros.node.diagnostics import Diagnostics


def report(
    diagnostics: Diagnostics, assumed: bool = False, replaced: int = 0
) -> tuple[DiagnosticStatus, dict[str, str]]:
    [status] = diagnostics.report(replaced=replaced, assumed=assumed, header=Header()).status
    return status, {pair.key: pair.value for pair in status.values}


def test_counts_and_latencies() -> None:
    diagnostics = Diagnostics('node')
    for milliseconds in range(1, 101):
        diagnostics.count_received()
        diagnostics.add_time('solve', milliseconds / 1000)
        diagnostics.count_processed(milliseconds % 2)
    status, values = report(diagnostics, replaced=3)
    assert status.level == DiagnosticStatus.OK
    assert values['received'] == values['processed'] == '100'
    assert values['with a person'] == '50'
    assert values['dropped for newer frames'] == '3'
    median, p95 = (float(n) for n in values['solve ms, median / p95'].split(' / '))
    assert median == pytest.approx(50.5, abs=0.1)
    assert p95 == pytest.approx(95, abs=0.5)


def test_a_fault_is_an_error_until_it_stops() -> None:
    diagnostics = Diagnostics('node')
    diagnostics.count_fault('encoding')
    diagnostics.count_fault('encoding')
    status, values = report(diagnostics)
    assert status.level == DiagnosticStatus.ERROR
    assert 'encoding' in status.message
    assert values['lost: encoding'] == '2'
    diagnostics.count_processed(0)
    status, values = report(diagnostics)
    assert status.level == DiagnosticStatus.OK
    assert values['lost: encoding'] == '2'


def test_silence_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    diagnostics = Diagnostics('node')
    diagnostics.count_received()
    later = time.monotonic() + 9
    monkeypatch.setattr('time.monotonic', lambda: later)
    status, _ = report(diagnostics)
    assert status.level == DiagnosticStatus.WARN
    assert '9 s' in status.message


class Clock:
    """The monotonic clock, which the test advances."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = time.monotonic()
        monkeypatch.setattr(time, 'monotonic', lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def run(diagnostics: Diagnostics, clock: Clock, arrivals: list[float]) -> list[str]:
    """Receive and process images at these seconds; return the message of each second's report."""
    start, messages = clock.now, []
    for step in range(round(10 * arrivals[-1]) + 1):
        clock.now = start + step / 10
        if any(abs(arrival - step / 10) < 0.05 for arrival in arrivals):
            diagnostics.count_received()
            diagnostics.count_processed(1)
        if step % 10 == 9:
            messages.append(report(diagnostics)[0].message)
    return messages


@pytest.mark.parametrize(
    ('intervals', 'silent_after'),
    [
        ([0.1] * 50, 2),
        ([2.0] * 10, 6),
        ([1.5, 2.5] * 5, 7.5),
        ([0.1, 3.9] * 5, 11.7),  # in pairs
        ([5.0] * 6, 15),
        ([50.0] * 3, 60),
    ],
)
def test_a_camera_is_silent_after_several_of_its_own_intervals(
    intervals: list[float], silent_after: float, clock: Clock
) -> None:
    diagnostics = Diagnostics('node')
    arrivals = [0.0, *np.cumsum(intervals)]
    said = run(diagnostics, clock, arrivals)
    known = int(arrivals[2]) + 1  # seconds after which the rate of the camera is
    assert set(said[known:]) == {'running'}
    clock.now += silent_after - 0.1
    assert not diagnostics.is_silent
    clock.now += 0.3
    assert diagnostics.is_silent
    assert report(diagnostics)[0].message.startswith('no image for')


def test_a_long_pause_is_no_interval_of_the_camera_for_long(clock: Clock) -> None:
    diagnostics = Diagnostics('node')
    run(diagnostics, clock, [0.0, 0.1, *np.arange(1000, 1001, 0.1)])
    clock.now += 2.1
    assert diagnostics.is_silent


def test_the_rate_of_a_slow_camera_is_steady(clock: Clock) -> None:
    diagnostics, rates = Diagnostics('node'), []
    for second in range(30):
        clock.now += 1
        if not second % 2:
            diagnostics.count_received()
        rates.append(report(diagnostics)[1]['received per second'])
    assert set(rates[3:]) == {'0.5'}
    clock.now += 20
    assert report(diagnostics)[1]['received per second'] == '0.0'


def test_a_fault_of_a_slow_camera_lasts_until_its_next_frame(clock: Clock) -> None:
    diagnostics = Diagnostics('node')
    for second in range(12):
        clock.now += 1
        if not second % 2:
            diagnostics.count_received()
            diagnostics.count_fault('encoding')
            diagnostics.warn('a', 'a doubt')
        assert report(diagnostics)[0].message == 'frames are lost: encoding; a doubt'
    diagnostics.count_received()
    diagnostics.count_processed(1)
    assert report(diagnostics)[0].message == 'a doubt'
    diagnostics.count_fault('encoding')
    clock.now += 9
    assert 'frames are lost' in report(diagnostics)[0].message
    assert report(diagnostics)[0].message == 'no image for 9 s'


def test_an_assumed_camera_is_a_warning() -> None:
    status, _ = report(Diagnostics('node'), assumed=True)
    assert status.level == DiagnosticStatus.WARN
    assert 'not calibrated' in status.message


def test_a_frame_that_never_ends_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    diagnostics = Diagnostics('node')
    diagnostics.count_received()
    diagnostics.start_frame()
    now = time.monotonic()
    monkeypatch.setattr(time, 'monotonic', lambda: now + 10)
    diagnostics.count_received()
    status = diagnostics.report(header=Header()).status[0]
    assert (status.level, status.message) == (
        DiagnosticStatus.ERROR,
        'a frame has taken 10 s so far',
    )
    diagnostics.count_processed(1)
    assert diagnostics.report(header=Header()).status[0].level == DiagnosticStatus.OK


def test_warnings_end_except_those_that_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    diagnostics = Diagnostics('node')
    diagnostics.warn('a', 'passing')
    diagnostics.warn('b', 'lasting', lasting=True)
    assert diagnostics.report(header=Header()).status[0].message == 'lasting; passing'
    now = time.monotonic()
    monkeypatch.setattr(time, 'monotonic', lambda: now + 6)
    diagnostics.count_received()
    assert diagnostics.report(header=Header()).status[0].message == 'lasting'
