"""The processes of a command: apart from every other ROS 2 here, and none outlives it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hybrik_ros.share import node_environment

NODE = (sys.executable, '-m', 'hybrik_ros.node')
START_SECONDS = 120.0  # The first start compiles the kernels.
_POLL_SECONDS = 0.1
_STOP_SECONDS = 5.0


class ProcessError(RuntimeError):
    """A process ended, or did not start in time; the message has the end of its log."""


def isolate() -> None:
    """Keep this process apart from every other ROS 2 here, and let no child outlive it.

    Another node would answer to our images, and our people would reach robots.
    """
    domains = [1 + (os.getpid() + step) % 101 for step in (0, 1)]
    own = os.environ.get('ROS_DOMAIN_ID')
    os.environ['ROS_DOMAIN_ID'] = next(str(domain) for domain in domains if str(domain) != own)
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    if os.environ.get('ROS_DISTRO') == 'humble':  # It does not know the variable above.
        os.environ['ROS_LOCALHOST_ONLY'] = '1'
    for number in (signal.SIGTERM, signal.SIGHUP):
        # As an exception, which ends the children on its way out.
        signal.signal(number, lambda number, frame: sys.exit(128 + number))


@contextmanager
def process(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command for as long as the context lasts, what it says going to a log."""
    environment = {**node_environment(), **os.environ}
    with log.open('wb') as stream, ExitStack() as starting:
        # A signal's exception in the middle of the start would leave the child behind.
        starting.enter_context(_signals_put_off())
        process = subprocess.Popen(
            command, stdout=stream, stderr=subprocess.STDOUT, env=environment
        )
        try:
            starting.close()
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _signals_put_off() -> Iterator[None]:
    """Deliver signals that would end this process only when the context ends."""
    pending: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, frame: pending.append(number))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for late in pending:
            signal.raise_signal(late)


def wait_for(
    condition: Callable[[], object], seconds: float, node: subprocess.Popen[bytes], log: Path
) -> None:
    """Wait until a node is as wanted. Raises ProcessError where it ends or takes longer."""
    deadline = time.monotonic() + seconds
    while not condition():
        require_running(node, log)
        if time.monotonic() > deadline:
            raise ProcessError(f'the node was not active within {seconds:.0f} s:\n{tail(log)}')
        time.sleep(_POLL_SECONDS)


def require_running(process: subprocess.Popen[bytes], log: Path) -> None:
    """Raise ProcessError where a process has ended."""
    if process.poll() is not None:
        raise ProcessError(f'the node ended with status {process.returncode}:\n{tail(log)}')


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log."""
    return '\n'.join(log.read_text(errors='replace').splitlines()[-lines:])
