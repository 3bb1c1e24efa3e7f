"""The processes of a command: apart from every other ROS 2 here, and none outlives it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hybrik_ros.share import node_environment, set_transport_profile

NODE = (sys.executable, '-m', 'hybrik_ros.node')
# A node that neither logs anything nor computes for this long is stuck. It may compute for minutes
# between two lines of its log: the first start compiles the kernels.
STUCK_SECONDS = 120.0
_LEAST_LOAD = 0.1  # of one core; a node that waits takes less
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
    set_transport_profile()
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
    condition: Callable[[], object],
    node: subprocess.Popen[bytes],
    log: Path,
    tell: Callable[[str], None] = lambda line: None,
    stuck_seconds: float = STUCK_SECONDS,
) -> None:
    """Wait until a condition holds, for as long as a node makes progress: logs or computes.

    Parameters
    ----------
    condition : callable
        Returns whether the wait is over.
    node, log : subprocess.Popen, Path
        The process, and the file that its output goes to.
    tell : callable
        Gets the last line of the log whenever there is a new one.
    stuck_seconds : float
        Seconds without progress after which the wait is given up.

    Raises
    ------
    ProcessError
        The node ended, or is stuck.
    """
    logged, busy, since = -1, 0.0, time.monotonic()
    while not condition():
        require_running(node, log)
        size, seconds = log.stat().st_size, _cpu_seconds(node.pid)
        if size > logged or seconds > busy + _LEAST_LOAD * stuck_seconds:
            if size > logged > -1:
                tell(tail(log, lines=1))
            logged, busy, since = size, seconds, time.monotonic()
        elif time.monotonic() > since + stuck_seconds:
            raise ProcessError(
                f'the node has made no progress for {stuck_seconds:.0f} s:\n{tail(log)}'
            )
        time.sleep(_POLL_SECONDS)


def _cpu_seconds(pid: int) -> float:
    """Return the seconds of processor time that a process has used; 0 where it has ended."""
    try:
        stat = Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return 0.0
    user, system = stat.rpartition(')')[2].split()[11:13]  # proc(5): fields 14 and 15
    return (int(user) + int(system)) / os.sysconf('SC_CLK_TCK')


def require_running(process: subprocess.Popen[bytes], log: Path) -> None:
    """Raise ProcessError where a process has ended."""
    if process.poll() is not None:
        raise ProcessError(f'the node ended with status {process.returncode}:\n{tail(log)}')


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log."""
    return '\n'.join(log.read_text(errors='replace').splitlines()[-lines:])
