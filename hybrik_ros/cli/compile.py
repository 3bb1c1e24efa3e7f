"""`hybrik compile`: compiles the inner loops, so that the first start need not."""

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from importlib import import_module
from multiprocessing import active_children, get_context

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from hybrik_ros import compiling
from hybrik_ros.cli.progress import Count
from hybrik_ros.cli.terminal import Terminal

# The modules with kernels that Python calls, slowest to compile first.
MODULES = (
    'kinematics.solver', 'kinematics.twist_estimation', 'kinematics.tree',
    'perception.landmark_joints', 'perception.blazepose', 'rotations', 'camera',
    'body.proportions', 'body.skinning', 'drawing', 'fusion.gaussians',
    'fusion.grouping', 'fusion.placing', 'fusion.view', 'smoothing', 'posing',
    'body.betas', 'tracking.shape',
)  # fmt: skip
# Maximum number of processes. More are not faster: one kernel takes a third of the total time.
_MAX_WORKERS = 4
_NO_FOLDER = (
    'there is no writable folder for the code, so every start compiles it: set NUMBA_CACHE_DIR to '
    'a writable folder'
)


def add_parser(subparsers: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Add the compile command."""
    parser = subparsers.add_parser(
        'compile',
        help='compile the inner loops for this machine, so that the first start is fast',
        description='Compiles the inner loops (solver, landmarks, drawing) for this machine on '
        'several cores and stores the code on disk. Otherwise the first start does that. '
        './scripts/setup and colcon build run it; run it once after pip install.',
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compile all kernels; return 0, or 1 where the code cannot be stored."""
    console = Terminal(soft_wrap=True)
    start = time.monotonic()
    compiling.require_numba()
    names = kernel_names()
    if not compiling.is_enabled():
        console.print('hybrik compile: NUMBA_DISABLE_JIT is set, so numba cannot compile: unset it')
        return 1
    folders = {compiling.cache_folder(name) for name in names}
    if None in folders:
        console.print(f'hybrik compile: {_NO_FOLDER}')
        return 1
    try:
        compiled = _compile_all(names, console)
    except BrokenProcessPool as error:
        console.print(f'hybrik compile: {error}')
        return 1
    place = os.path.commonpath([folder for folder in folders if folder is not None])
    if compiled:
        seconds = time.monotonic() - start
        console.print(f'compiled {compiled} of {len(names)} kernels in {seconds:.0f} s: {place}')
    else:
        console.print(f'all {len(names)} kernels are compiled: {place}')
    return 0


def kernel_names() -> list[str]:
    """Return the names of all kernels, slowest to compile first."""
    for module in MODULES:
        import_module(f'hybrik_ros.{module}')
    # The last kernels of a module call the others, and take longest.
    names = reversed(compiling.KERNELS)
    return sorted(names, key=lambda name: [name.startswith(f'hybrik_ros.{m}') for m in MODULES],
                  reverse=True)  # fmt: skip


def compile_missing(console: Terminal) -> None:
    """Compile the kernels that are not on disk; where that fails, the first start compiles them."""
    names = kernel_names()
    if compiling.is_enabled() and not all(map(compiling.is_on_disk, names)):
        with suppress(BrokenProcessPool):
            _compile_all(names, console)


def _compile_all(names: list[str], console: Terminal) -> int:
    """Compile kernels in several processes; return the number of those that were not on disk.

    Raises
    ------
    BrokenProcessPool
        A process was killed, for example because memory ran out.
    """
    workers = min(_MAX_WORKERS, len(os.sched_getaffinity(0)))
    columns = TextColumn('Compiling'), BarColumn(), Count(), TimeElapsedColumn()
    compiled = 0
    with (
        Progress(*columns, console=console, transient=True) as progress,
        _terminating(ProcessPoolExecutor(workers, get_context('spawn'), _start_worker)) as pool,
    ):
        task = progress.add_task('', total=len(names))
        for future in as_completed([pool.submit(_compile, name) for name in names]):
            name, seconds = future.result()
            progress.advance(task)
            if seconds is not None:
                compiled += 1
                console.print(f'compiled {name} in {seconds:.1f} s')
    return compiled


@contextmanager
def _terminating(pool: ProcessPoolExecutor) -> Iterator[ProcessPoolExecutor]:
    """Terminate the processes of a pool at the end of the context, even if they are busy."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # which nohup sets
            # SystemExit ends the context.
            signal.signal(number, lambda number, frame: sys.exit(128 + number))
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in active_children():
            process.terminate()


def _start_worker() -> None:
    """Import all kernels; the parent process reports progress and terminates the worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    logging.getLogger(compiling.__name__).setLevel(logging.ERROR)
    kernel_names()


def _compile(name: str) -> tuple[str, float | None]:
    """Compile a kernel; return its short name and the duration, None where it was on disk."""
    start = time.monotonic()
    was_compiled = compiling.compile_kernel(name)
    seconds = time.monotonic() - start if was_compiled else None
    return name.rpartition('.')[2].lstrip('_'), seconds
