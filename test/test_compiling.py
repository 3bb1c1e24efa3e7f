"""Compiled functions, wherever they come from."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import hybrik_ros
from hybrik_ros.compiling import compiled
from hybrik_ros.kinematics import solve
from hybrik_ros.skeleton import NUM_POINTS

SOURCE = """
def double(x):
    return 2 * x
"""
LOOP = """
from math import sin
def loop(turns):
    x = 0.0
    for _ in range(turns):
        x = sin(x + 1)
    return x
"""
POSE = """
import numpy as np
from hybrik_ros import kinematics
joints, _ = kinematics.forward(np.tile(np.eye(3), (24, 1, 1)), np.zeros((29, 3)))
assert not joints.any()
[misses] = kinematics.kernels.forward_batch.stats.cache_misses.values() or [0]
print('compiled' if misses else 'loaded')
"""
ANNOUNCEMENT = 'hybrik_ros compiles its inner loops for this machine'


def test_what_can_be_kept_nowhere_is_compiled_all_the_same() -> None:
    # numba finds no place for the code of a function that has no file.
    names: dict = {}
    exec(compile(SOURCE, '<nowhere>', 'exec'), names)
    double = compiled(names['double'])
    assert double(21) == 42
    assert double.signatures


@pytest.fixture
def read_only_install(tmp_path: Path) -> Path:
    """A copy of the package beside whose sources nobody, not even root, can write."""
    install = tmp_path / 'install'
    package = install / 'hybrik_ros'
    source = Path(hybrik_ros.__file__).parent
    unneeded = shutil.ignore_patterns('__pycache__', 'data', '_generated')
    shutil.copytree(source, package, ignore=unneeded)
    for folder in [package, *(path for path in package.rglob('*') if path.is_dir())]:
        (folder / '__pycache__').touch()
    return install


def pose(install: Path, home: Path) -> tuple[str, str]:
    """Pose a skeleton in a process of its own; return what that says, and what it warns of."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith('NUMBA_')
    }
    environment.update(PYTHONPATH=str(install), XDG_CACHE_HOME=str(home / 'cache'), HOME=str(home))
    process = subprocess.run(
        [sys.executable, '-c', POSE], env=environment, cwd=home, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.strip(), process.stderr


def test_a_read_only_install_keeps_its_code_in_the_users_cache(
    read_only_install: Path, tmp_path: Path
) -> None:
    home = tmp_path / 'home'
    home.mkdir()
    done, said = pose(read_only_install, home)
    assert done == 'compiled'
    assert said.count(ANNOUNCEMENT) == 1
    assert 'Later starts load them.' in said
    assert re.search(r'compiled forward_batch in \d+\.\d s', said)
    assert list((home / 'cache').rglob('*forward_batch*.nbi'))
    assert pose(read_only_install, home) == ('loaded', '')


def test_where_nothing_can_be_written_the_user_is_told(
    read_only_install: Path, tmp_path: Path
) -> None:
    home = tmp_path / 'home'
    home.mkdir()
    (home / 'cache').touch()
    done, said = pose(read_only_install, home)
    assert done == 'compiled'
    assert 'Set NUMBA_CACHE_DIR' in said


def times_of_others_amid(work: Callable[[], object]) -> int:
    """How often another thread comes to its turn in the middle half of some work."""
    ticks: list[float] = []
    done = threading.Event()

    def tick() -> None:
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    other = threading.Thread(target=tick)
    other.start()
    start = time.perf_counter()
    work()
    took = time.perf_counter() - start
    done.set()
    other.join()
    # At both ends, Python prepares what a kernel needs and puts away what it gave.
    return sum(0.25 * took < moment - start < 0.75 * took for moment in ticks)


@pytest.mark.parametrize('kept', [True, False], ids=['kept', 'not kept'])
def test_other_threads_run_while_a_kernel_does(kept: bool, tmp_path: Path) -> None:
    source = tmp_path / 'loop.py'
    if kept:
        source.write_text(LOOP)
    names: dict = {}
    exec(compile(LOOP, str(source) if kept else '<nowhere>', 'exec'), names)
    loop = compiled(names['loop'])
    loop(1)  # compiles
    assert times_of_others_amid(lambda: loop(30_000_000)) > 5


def test_other_threads_run_while_many_poses_are_solved() -> None:
    joints = np.random.default_rng(0).normal(size=(NUM_POINTS, 3))
    solve(joints, joints)
    many = np.tile(joints, (10_000, 1, 1))
    assert times_of_others_amid(lambda: solve(many, joints)) > 5
