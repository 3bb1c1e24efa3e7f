"""Waiting for a node: for as long as it makes progress, and no longer."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hybrik_ros.cli.processes import ProcessError, process, wait_for

STUCK = 1.0
BUSY = """
import time
end = time.monotonic() + 4
while time.monotonic() < end:
    pass
print('[INFO] [1.0] [hybrik_node]: done', flush=True)
time.sleep(60)
"""
TALKATIVE = """
import time
for number in range(8):
    print(f'compiled kernel {number}', flush=True)
    time.sleep(0.5)
print('done', flush=True)
time.sleep(60)
"""
IDLE = 'import time; print("loading", flush=True); time.sleep(60)'


@contextmanager
def running(code: str, log: Path) -> Iterator['subprocess.Popen[bytes]']:
    with process([sys.executable, '-c', code], log) as child:
        yield child


@pytest.mark.parametrize('code', [BUSY, TALKATIVE], ids=['computes', 'logs'])
def test_wait_goes_on_while_the_node_makes_progress(code: str, tmp_path: Path) -> None:
    log = tmp_path / 'log'
    told: list[str] = []
    with running(code, log) as node:
        start = time.monotonic()
        wait_for(lambda: 'done' in log.read_text(), node, log, told.append, STUCK)
        assert time.monotonic() - start > 2 * STUCK
    if code is TALKATIVE:
        assert 'compiled kernel 5' in told


def test_wait_ends_where_the_node_is_stuck(tmp_path: Path) -> None:
    log = tmp_path / 'log'
    with (
        running(IDLE, log) as node,
        pytest.raises(ProcessError, match=r'(?s)no progress for 1 s.*loading'),
    ):
        wait_for(lambda: False, node, log, stuck_seconds=STUCK)


def test_wait_ends_where_the_node_ends(tmp_path: Path) -> None:
    log = tmp_path / 'log'
    with (
        running('raise SystemExit("no such model")', log) as node,
        pytest.raises(ProcessError, match=r'(?s)ended with status 1.*no such model'),
    ):
        wait_for(lambda: False, node, log)
