"""Child processes of a command, isolated from other ROS 2 systems and ended with the command."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hybrik_ros.advice import check_ros_environment
from hybrik_ros.share import node_environment, set_transport_profile

NODE = (sys.executable, '-m', 'hybrik_ros.node')
# Maximum time in which a node may neither log nor compute before it counts as stuck. It may compute
# for minutes without logging: the first start compiles the kernels.
STUCK_SECONDS = 120.0
_MIN_LOAD = 0.1  # minimum CPU load, in cores, of a node that computes
_WARNING = re.compile(r'\[(?:WARN|ERROR|FATAL)\] \[[\d.]+\] \[[^]]*\]: (.*)')
_POLL_SECONDS = 0.1
_STOP_SECONDS = 5.0  # maximum time from SIGINT to the end of a process, before SIGKILL


class ProcessError(RuntimeError):
    """A process ended or did not start in time; the message contains the end of its log."""


def isolate() -> None:
    """Isolate this process and its children from other ROS 2 systems; end children with it.

    Without isolation, other nodes would process these images, and robots would receive these
    people.
    """
    domains = [1 + (os.getpid() + step) % 101 for step in (0, 1)]
    own = os.environ.get('ROS_DOMAIN_ID')
    os.environ['ROS_DOMAIN_ID'] = next(str(domain) for domain in domains if str(domain) != own)
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    check_ros_environment()
    set_transport_profile()
    if os.environ.get('ROS_DISTRO') == 'humble':  # It does not support the discovery range.
        os.environ['ROS_LOCALHOST_ONLY'] = '1'
    for number in (signal.SIGTERM, signal.SIGHUP):
        # The exception SystemExit leaves the contexts, which end the children.
        signal.signal(number, lambda number, frame: sys.exit(128 + number))


@contextmanager
def process(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command while the context lasts.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    log : Path
        File for the output of the process.

    Yields
    ------
    Popen
        The process, which is ended with the context.
    """
    environment = {**node_environment(), **os.environ}
    with log.open('wb') as stream, ExitStack() as starting:
        # The exception of a signal during the start would leave the child running.
        starting.enter_context(_defer_signals())
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
def _defer_signals() -> Iterator[None]:
    """Defer signals that would end this process until the context ends."""
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
        for deferred in pending:
            signal.raise_signal(deferred)


def wait_for(
    condition: Callable[[], object],
    node: subprocess.Popen[bytes],
    log: Path,
    on_line: Callable[[str], None] = lambda line: None,
    stuck_seconds: float = STUCK_SECONDS,
) -> None:
    """Wait until a condition holds, while a node logs or computes.

    Parameters
    ----------
    condition : callable
        Returns whether the wait is over.
    node : Popen
        The process of the node.
    log : Path
        File with the output of the node.
    on_line : callable
        Called with the last line of the log when it is new.
    stuck_seconds : float
        Maximum time in seconds without progress of the node.

    Raises
    ------
    ProcessError
        The node ended, or is stuck.
    """
    logged, busy, since = -1, 0.0, time.monotonic()
    while not condition():
        require_running(node, log)
        size, seconds = log.stat().st_size, _cpu_seconds(node.pid)
        if size > logged or seconds > busy + _MIN_LOAD * stuck_seconds:
            if size > logged > -1:
                on_line(tail(log, lines=1))
            logged, busy, since = size, seconds, time.monotonic()
        elif time.monotonic() > since + stuck_seconds:
            raise ProcessError(
                f'the node has made no progress for {stuck_seconds:.0f} s:\n{tail(log)}'
            )
        time.sleep(_POLL_SECONDS)


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process in seconds; 0 if it has ended."""
    try:
        stat = Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return 0.0
    user, system = stat.rpartition(')')[2].split()[11:13]  # proc(5): fields 14 and 15
    return (int(user) + int(system)) / os.sysconf('SC_CLK_TCK')


def require_running(process: subprocess.Popen[bytes], log: Path) -> None:
    """Raise ProcessError if a process has ended."""
    if process.poll() is not None:
        raise ProcessError(f'the node ended with status {process.returncode}:\n{tail(log)}')


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log."""
    return '\n'.join(log.read_text(errors='replace').splitlines()[-lines:])


def warnings_of(log: Path) -> list[str]:
    """Return the texts of the warnings and errors in the log of a node, each once."""
    found = (_WARNING.match(line) for line in log.read_text(errors='replace').splitlines())
    texts = [match[1].removesuffix(' (logged once; see /diagnostics)') for match in found if match]
    return list(dict.fromkeys(texts))
