"""Compiled functions, wherever they come from."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import hybrik_ros
from hybrik_ros.cli.compile import MODULES, kernel_names
from hybrik_ros.compiling import Kernel, compiled
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
[misses] = kinematics.tree.forward_batch.dispatcher.stats.cache_misses.values() or [0]
print('compiled' if misses else 'loaded')
"""
ANNOUNCEMENT = 'hybrik_ros compiles its inner loops for this machine'


def test_what_can_be_kept_nowhere_is_compiled_all_the_same() -> None:
    # numba finds no place for the code of a function that has no file.
    names: dict = {}
    exec(compile(SOURCE, '<nowhere>', 'exec'), names)
    double = compiled(names['double'])
    assert double(21) == 42
    assert double.dispatcher.signatures


@pytest.fixture
def read_only_install(tmp_path: Path) -> Path:
    """A copy of the package beside whose sources no user, not even root, can write."""
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
    for suffix in ('nbi', 'nbc'):  # index and code
        for file in (home / 'cache').rglob(f'*forward_batch*.{suffix}'):
            file.write_bytes(file.read_bytes()[:100])
        done, said = pose(read_only_install, home)
        assert (done, 'is damaged, its code is compiled anew' in said) == ('compiled', True)
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


CONSTANTS = 'FACTOR = {factor}\nTABLE = np.array([{factor}.0])\n'
CALLEE = """
from hybrik_ros.compiling import compiled
from constants import TABLE
@compiled
def look_up(i):
    return TABLE[i]
"""
CALLER = """
from hybrik_ros.compiling import floats, kernel
from constants import FACTOR
from callee import look_up
@kernel(floats(1))
def scale(x):
    return FACTOR * look_up(0) * x[0]
"""
SCALE = """
import numpy as np
from caller import scale
print(scale(np.ones(1)), sum(scale.dispatcher.stats.cache_hits.values()))
"""


def test_changed_constants_of_other_files_are_compiled_anew(tmp_path: Path) -> None:
    (tmp_path / 'caller.py').write_text(CALLER)
    (tmp_path / 'callee.py').write_text(CALLEE)
    environment = {**os.environ, 'PYTHONPATH': f'{tmp_path}:{Path(hybrik_ros.__file__).parents[1]}'}

    def scale(factor: int) -> str:
        constants = 'import numpy as np\n' + CONSTANTS.format(factor=factor)
        (tmp_path / 'constants.py').write_text(constants)
        command = [sys.executable, '-c', SCALE]
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    assert scale(2) == '4.0 0'
    assert scale(2) == '4.0 1'
    assert scale(3) == '9.0 0'
    assert scale(2) == '4.0 1'


def test_a_changed_callee_of_another_file_is_compiled_anew(tmp_path: Path) -> None:
    (tmp_path / 'caller.py').write_text(CALLER)
    (tmp_path / 'constants.py').write_text('import numpy as np\n' + CONSTANTS.format(factor=2))
    environment = {**os.environ, 'PYTHONPATH': f'{tmp_path}:{Path(hybrik_ros.__file__).parents[1]}'}
    for more, expected in (('', '4.0 0'), (' + 1', '6.0 0')):
        (tmp_path / 'callee.py').write_text(CALLEE.replace('TABLE[i]', f'TABLE[i]{more}'))
        command = [sys.executable, '-c', SCALE]
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        assert result.stdout.strip() == expected


def fingerprint(source: str, **names: object) -> str:
    """Return the fingerprint of the kernel `first` of a source text."""
    exec(compile(source, '<nowhere>', 'exec'), names)
    return compiled(names['first']).fingerprint()


LARGE = np.arange(5000.0)
OTHER = np.where(LARGE == 2500, -1.0, LARGE)
CALLED_WITH = 'def first(x=%s):\n    return x'
NESTED = 'def first(x):\n    def second(y):\n        return y + %s\n    return second(x)'
CLOSURE = 'def make(factor):\n    def first(x):\n        return factor * x\n    return first\n'


@pytest.mark.parametrize(
    ('sources', 'values'),
    [
        ((CALLED_WITH % 1, CALLED_WITH % 2), (0, 0)),
        ((CALLED_WITH.replace('x=', '*, x=') % 1, CALLED_WITH.replace('x=', '*, x=') % 2), (0, 0)),
        ((NESTED % 1, NESTED % 2), (0, 0)),
        ((NESTED % 'VALUE',) * 2, (1, 2)),
        ((CLOSURE + 'first = make(1)', CLOSURE + 'first = make(2)'), (0, 0)),
        (('def first():\n    return VALUE',) * 2, (1, 1.0)),
        (('def first():\n    return VALUE[0]',) * 2, (LARGE, OTHER)),
        (('def first():\n    return VALUE[0][0]',) * 2, ((LARGE, 1), (OTHER, 1))),
        (('def first():\n    return VALUE',) * 2, (np.float32(1), np.float64(1))),
    ],
    ids=range(9),
)
def test_all_that_a_kernel_depends_on_is_in_its_fingerprint(
    sources: tuple[str, str], values: tuple[object, object]
) -> None:
    first, second = (
        fingerprint(source, VALUE=value) for source, value in zip(sources, values, strict=True)
    )
    assert first == fingerprint(sources[0], VALUE=values[0])
    assert first != second


def test_options_of_a_kernel_are_in_its_fingerprint() -> None:
    def scale(x: float) -> float:
        return 2 * x

    fingerprints = {Kernel(scale, ('float64',), fused).fingerprint() for fused in (False, True)}
    assert len(fingerprints) == 2


@pytest.mark.parametrize(
    ('value', 'kind'),
    [([1, 2], 'list'), (re, 'module'), (fingerprint, 'function'), (Path, 'type'),
     ((1, [2]), 'list')],
    ids=range(5),
)  # fmt: skip
def test_a_kernel_that_uses_what_could_change_unnoticed_is_refused(
    value: object, kind: str
) -> None:
    with pytest.raises(TypeError, match=f'first uses VALUE, a {kind}'):
        fingerprint('def first():\n    return VALUE', VALUE=value)


FRAMES = """
import numpy as np
from hybrik_ros.camera import Camera
from hybrik_ros.drawing import draw_human, vertex_normals
from hybrik_ros.fusion import Fusion, View
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.share import SAMPLE
import cv2
capture = cv2.VideoCapture(str(SAMPLE))
with Pipeline.create() as pipeline:
    pipeline.with_vertices = True
    for number in range(4):
        image = np.ascontiguousarray(capture.read()[1][..., ::-1])
        camera = Camera.from_field_of_view(60, image.shape[1], image.shape[0])
        humans = pipeline(image, camera, number / 30)
    [human] = humans
    observations = pipeline.human_observations
    fusion = Fusion(pipeline.body)
    for number in range(20):
        seen = observations if number % 2 else humans
        found = fusion({name: View(number / 30, np.eye(4), seen) for name in 'ab'})
    assert found
    draw_human(image, human, pipeline.body.faces, camera)
    vertex_normals(human.vertices, pipeline.body.faces)
"""


def run_python(code: str, environment: dict[str, str]) -> str:
    """Run code in a process of its own; return what it writes to stderr."""
    result = subprocess.run([sys.executable, '-c', code], env=environment, capture_output=True,
                            text=True)  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stderr


def compile_all(
    environment: dict[str, str], cwd: Path | None = None
) -> 'subprocess.CompletedProcess[str]':
    command = [sys.executable, '-m', 'hybrik_ros.cli', 'compile']
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True)


def test_no_frame_compiles_after_the_compile_command(tmp_path: Path) -> None:
    environment = {**os.environ, 'NUMBA_CACHE_DIR': str(tmp_path)}
    number = len(kernel_names())
    first = compile_all(environment)
    assert first.returncode == 0, first.stderr
    assert len(re.findall(r'^compiled \w+ in \d+\.\d s$', first.stdout, re.M)) == number
    assert f'compiled {number} of {number} kernels' in first.stdout
    assert first.stderr == ''
    assert 'compile' not in run_python(FRAMES, environment)
    assert f'all {number} kernels are compiled' in compile_all(environment).stdout
    # The check above can fail: other types are compiled when they come.
    strided = 'import numpy as np; from hybrik_ros import rotations as r; '
    strided += 'r._fill_matrices(np.zeros((2, 6))[:, ::2], np.zeros((2, 3, 3)))'
    assert 'compiled fill_matrices' in run_python(strided, environment)


def test_the_compile_command_knows_every_module_with_kernels() -> None:
    package = Path(hybrik_ros.__file__).parent
    uses = re.compile(r'^from hybrik_ros.compiling import .*\bkernel\b', re.M)
    found = {
        '.'.join(path.relative_to(package).with_suffix('').parts)
        for path in package.rglob('*.py')
        if uses.search(path.read_text())
    }
    assert found == set(MODULES)
    assert len(kernel_names()) >= len(MODULES)


def test_the_compile_command_says_where_nothing_can_be_kept(
    read_only_install: Path, tmp_path: Path
) -> None:
    (tmp_path / 'cache').touch()
    environment = {name: value for name, value in os.environ.items() if name[:6] != 'NUMBA_'}
    environment.update(PYTHONPATH=str(read_only_install), XDG_CACHE_HOME=str(tmp_path / 'cache'))
    environment.update(HOME=str(tmp_path))
    result = compile_all(environment, tmp_path)
    assert result.returncode == 1
    assert 'set NUMBA_CACHE_DIR to a writable folder' in result.stdout


def test_the_compile_command_says_that_numba_must_not_compile() -> None:
    result = compile_all({**os.environ, 'NUMBA_DISABLE_JIT': '1'})
    assert result.returncode == 1
    assert 'NUMBA_DISABLE_JIT is set' in result.stdout
    assert 'Traceback' not in result.stderr


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_compile_command_leaves_no_process_behind(
    number: signal.Signals, tmp_path: Path
) -> None:
    environment = {**os.environ, 'NUMBA_CACHE_DIR': str(tmp_path)}
    command = [sys.executable, '-m', 'hybrik_ros.cli', 'compile']
    process = subprocess.Popen(
        command,
        env=environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith('compiled')
        # Ctrl-C goes to the group, a supervisor's signal to the process alone.
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 128 + number
        assert 'Traceback' not in errors
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and group_runs(process.pid):
            time.sleep(0.1)
        assert not group_runs(process.pid)
    finally:
        if group_runs(process.pid):
            os.killpg(process.pid, signal.SIGKILL)


def group_runs(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


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
    # At both ends, Python converts arguments and results.
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
