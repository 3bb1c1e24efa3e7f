"""The solver on numpy 1.26, which ROS 2 Humble and Jazzy have, as it is tested here on numpy 2."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NUMPY = '1.26.4'
# What the solver's tests import; pip finds versions that fit numpy.
NEEDED = ('numpy', 'scipy', 'numba', 'opencv-python-headless', 'PyYAML')
TESTS = (
    'rotations', 'skeleton', 'kinematics', 'previous', 'twist', 'camera', 'body_files', 'tracking',
)  # fmt: skip


def requirements() -> list[str]:
    """The lines of requirements.txt that name what is needed, and what runs tests."""
    lines = (ROOT / 'requirements.txt').read_text().splitlines()
    ranges = [line for line in lines if line.split(' ')[0] in NEEDED]
    assert len(ranges) == len(NEEDED)
    return [*ranges, f'numpy =={NUMPY}', 'pytest', 'hypothesis']


@pytest.fixture(scope='module')
def folder(request: pytest.FixtureRequest) -> Path:
    """A place that stays from run to run: installing and compiling take a minute."""
    return request.config.cache.mkdir('numpy1')


@pytest.fixture(scope='module')
def python(folder: Path) -> Path:
    """The Python of a virtual environment with numpy 1.26."""
    environment, done = folder / 'venv', folder / 'done'
    interpreter = environment / 'bin' / 'python'
    wanted = '\n'.join([sys.version, *requirements()])
    if not done.exists() or done.read_text() != wanted:
        done.unlink(missing_ok=True)
        venv.create(environment, clear=True, with_pip=True)
        subprocess.run(
            [interpreter, '-m', 'pip', 'install', '--only-binary', ':all:', *requirements()],
            check=True,
        )
        done.write_text(wanted)
    return interpreter


@pytest.mark.skipif(sys.version_info >= (3, 13), reason='numpy 1.26 ends at Python 3.12')
def test_the_solvers_tests_pass_on_numpy_1(python: Path, folder: Path, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        'PYTHONPATH': str(ROOT),
        'NUMBA_CACHE_DIR': str(folder / 'numba'),
    }

    def run(*arguments: str) -> 'subprocess.CompletedProcess[str]':
        return subprocess.run(
            [python, *arguments], env=environment, cwd=tmp_path, capture_output=True, text=True
        )

    code = 'import hybrik_ros, numpy; print(numpy.__version__, hybrik_ros.__file__)'
    assert run('-c', code).stdout.split() == [NUMPY, str(ROOT / 'hybrik_ros' / '__init__.py')]

    tests = [str(ROOT / 'test' / f'test_{name}.py') for name in TESTS]
    # What the plain transcription says hangs on no numpy, and takes long.
    chosen = ['-k', 'not plain_transcription', *tests]
    result = run('-m', 'pytest', '-p', 'no:cacheprovider', *chosen)
    assert result.returncode == 0, result.stdout + result.stderr
