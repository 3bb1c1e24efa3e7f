"""One signal ends every command, whatever it waits for."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bombs import MIB, write_endless, write_long_names

from hybrik_ros.cli.bag import INTERRUPTED
from hybrik_ros.deadline import SECONDS
from hybrik_ros.recordings.prefetch import InterruptedReadingError, read_ahead

_PATIENCE = 60.0  # seconds on a busy machine
# A program that notes signals and looks at its note between two queries, the first of which is
# endless: no handler in Python runs meanwhile.
_PROGRAM = """
import signal, sqlite3, threading, time
from hybrik_ros.deadline import ends_after_signal, extended
noted = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: noted.set())
signal.signal(signal.SIGINT, lambda *_: noted.set())
query = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n'
with ends_after_signal('program', 0.3):
    print('started', flush=True)
    {body}
print('ended')
"""
_ENDLESS = 'sqlite3.connect(":memory:").execute(query).fetchone()'
_SHORT = 'noted.wait()'
_EXTENDED = 'noted.wait()\n    with extended():\n        time.sleep(1.5)'


def start(*words: str) -> 'subprocess.Popen[str]':
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.fixture
def program(request: pytest.FixtureRequest) -> Iterator['subprocess.Popen[str]']:
    process = start(sys.executable, '-c', _PROGRAM.format(body=request.param))
    assert process.stdout is not None
    assert process.stdout.readline() == 'started\n'
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize('program', [_ENDLESS], indirect=True)
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_a_program_that_waits_in_a_library(
    program: 'subprocess.Popen[str]', number: signal.Signals
) -> None:
    program.send_signal(number)
    output, errors = program.communicate(timeout=_PATIENCE)
    assert (program.returncode, output) == (128 + number, '')
    assert errors.startswith('program: still busy')


@pytest.mark.parametrize('program', [_SHORT, _EXTENDED], indirect=True)
def test_a_program_that_ends_by_itself_is_left_alone(program: 'subprocess.Popen[str]') -> None:
    program.send_signal(signal.SIGTERM)
    output, errors = program.communicate(timeout=_PATIENCE)
    assert (program.returncode, output, errors) == (0, 'ended\n', '')


def test_one_signal_ends_the_reading_of_an_endless_bag(tmp_path: Path) -> None:
    path = write_endless(tmp_path / 'endless.db3')
    assert path.stat().st_size < 20_000
    process = start(
        sys.executable, '-m', 'hybrik_ros.cli', 'motion', str(path), '-o', str(tmp_path / 'a.bvh')
    )
    bag = start(
        sys.executable, '-m', 'hybrik_ros.cli', 'bag', str(path), '-o', str(tmp_path / 'out')
    )
    try:
        until = time.monotonic() + _PATIENCE
        while not is_open(path, bag.pid) and time.monotonic() < until:
            time.sleep(0.1)
        bag.terminate()
        process.terminate()
        began = time.monotonic()
        bag.communicate(timeout=_PATIENCE)
        process.communicate(timeout=_PATIENCE)
        # Recordings are checked before anything is written, with the default action of signals.
        assert bag.returncode in (-signal.SIGTERM, 128 + signal.SIGTERM)
        assert process.returncode == -signal.SIGTERM
        assert time.monotonic() - began < 3 * SECONDS
        assert not (tmp_path / 'out').exists()
    finally:
        for each in (bag, process):
            each.kill()
            each.communicate()


def test_one_signal_ends_the_reading_of_enormous_strings(tmp_path: Path) -> None:
    path = write_long_names(tmp_path / 'names.db3', 64 * MIB, 2000)
    options = ['--field-of-view', '60', '-o', str(tmp_path / 'out')]
    bag = start(sys.executable, '-m', 'hybrik_ros.cli', 'bag', str(path), *options)
    try:
        until = time.monotonic() + _PATIENCE
        while not any(tmp_path.glob('.out.part/out/*')) and time.monotonic() < until:
            time.sleep(0.1)
        bag.terminate()
        began = time.monotonic()
        _, errors = bag.communicate(timeout=_PATIENCE)
        assert time.monotonic() - began < 3 * SECONDS
        assert bag.returncode == INTERRUPTED, errors
        assert 'interrupted before the first image' in errors
        assert [each.name for each in tmp_path.iterdir()] == ['names.db3']
    finally:
        bag.kill()
        bag.communicate()


def is_open(path: Path, pid: int) -> bool:
    """Return whether a process has a file open."""
    descriptors = Path(f'/proc/{pid}/fd').glob('*')
    return any(os.path.realpath(each) == str(path) for each in descriptors)


def test_reading_that_waits_for_ever_is_left_alone() -> None:
    never = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        never.wait()

    stopped = threading.Event()
    reading = read_ahead(items(), stopped.is_set)
    assert next(reading) == 1
    stopped.set()
    with pytest.raises(InterruptedReadingError):
        next(reading)
    never.set()
