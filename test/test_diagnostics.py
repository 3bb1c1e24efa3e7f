"""Reports of the node."""

import time

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from std_msgs.msg import Header

from hybrik_ros.node.diagnostics import Diagnostics


def report(
    diagnostics: Diagnostics, assumed: bool = False
) -> tuple[DiagnosticStatus, dict[str, str]]:
    [status] = diagnostics.report(replaced=3, assumed=assumed, header=Header()).status
    return status, {pair.key: pair.value for pair in status.values}


def test_counts_and_latencies() -> None:
    diagnostics = Diagnostics('node')
    for milliseconds in range(1, 101):
        diagnostics.count_received()
        diagnostics.add_time('solve', milliseconds / 1000)
        diagnostics.count_processed(milliseconds % 2)
    status, values = report(diagnostics)
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
