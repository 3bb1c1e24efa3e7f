"""The documented first step on Ubuntu 22.04: rosdep's packages, scripts/setup, colcon, the node.

Ubuntu itself is not at hand. Its part is played by a Python 3.10 of its own into whose
site-packages go the versions that Ubuntu's archive has, and /opt/ros by ROS 2's wheels, found as in
a shell in which ROS 2 is sourced. What the wheels lack of a sourced ROS 2 is launch.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from interpreters import find_python
from workspace import ROOT, copy_source, install_colcon

DISTRIBUTION = 'kilted'  # of those that have wheels for Python 3.10
PINS = ROOT / 'test/distributions/ubuntu_22_04.txt'
# Of Ubuntu's archive, what ROS 2 itself needs.
ROS_TOOLS = ('catkin-pkg', 'empy==3.3.4', 'lark-parser==0.12.0', 'packaging', 'typing-extensions')
START_SECONDS = 120
PLAYED = """
import cv2, numpy, scipy, rclpy
from sensor_msgs.msg import Image
print(cv2.__version__, numpy.__version__, scipy.__version__)
"""
# Solver, images and pipeline, in the environment that users get.
TESTS = (
    'test_rotations.py', 'test_camera.py', 'test_images.py',
    'test_kinematics.py::test_clean_joints_give_themselves_and_the_true_rotations',
    'test_kinematics.py::test_degenerate_joints_give_rotations',
    'test_pipeline.py::test_one_person_keeps_one_id',
)  # fmt: skip


def run(*command: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    result = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope='module')
def system(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prefix of the Python that plays Ubuntu's."""
    python = find_python('3.10')
    origin = Path(run(python, '-c', 'import sys; print(sys.base_prefix)').strip())
    prefix = tmp_path_factory.mktemp('ubuntu') / 'usr'
    unneeded = shutil.ignore_patterns('site-packages', 'dist-packages', 'test', '__pycache__')
    shutil.copytree(
        origin / 'lib/python3.10', prefix / 'lib/python3.10', symlinks=True, ignore=unneeded
    )
    (prefix / 'bin').mkdir()
    shutil.copy(python.resolve(), prefix / 'bin/python3.10')
    (prefix / 'bin/python3').symlink_to('python3.10')
    shutil.copytree(origin / 'include/python3.10', prefix / 'include/python3.10')
    pip = [prefix / 'bin/python3', '-m', 'pip', 'install', '--quiet', '--prefer-binary']
    run(prefix / 'bin/python3', '-m', 'ensurepip')
    # rosdep installs no numba, and pip cannot see that Ubuntu's OpenCV is there.
    pins = [line.partition('#')[0].strip() for line in PINS.read_text().splitlines()]
    run(
        *pip, *(pin for pin in pins if pin and 'numba' not in pin and 'llvm' not in pin), *ROS_TOOLS
    )
    for metadata in prefix.glob('lib/python3.10/site-packages/opencv*-info'):
        shutil.rmtree(metadata)
    return prefix


@pytest.fixture(scope='module')
def sourced(system: Path, ros_environment: dict[str, str]) -> dict[str, str]:
    """The environment of a shell in which ROS 2 is sourced."""
    prefix = system.parent / 'opt/ros' / DISTRIBUTION
    lines = (ROOT / 'constraints.txt').read_text().splitlines()
    wheels = [line.replace(' ', '') for line in lines if line.startswith('ros-')]
    pip = [system / 'bin/python3', '-m', 'pip', 'install', '--quiet', '--no-deps']
    run(*pip, '--prefix', prefix, *wheels)
    packages = prefix / 'lib/python3.10/site-packages'
    libraries = [prefix / 'lib', *packages.glob('*.libs')]
    return {
        **{name: value for name, value in ros_environment.items() if name[:4] != '_ROS'},
        'ROS_DISTRO': DISTRIBUTION,
        'AMENT_PREFIX_PATH': str(prefix),
        'CMAKE_PREFIX_PATH': str(prefix),
        'PYTHONPATH': str(packages),
        'LD_LIBRARY_PATH': ':'.join(map(str, libraries)),
        'PATH': f'{system / "bin"}:{tools_of(ros_environment)}',
    }


def tools_of(environment: dict[str, str]) -> str:
    """Return the PATH without the environment that runs this test, but with its CMake."""
    folders = environment['PATH'].split(':')
    others = [folder for folder in folders if not folder.startswith(sys.prefix)]
    return ':'.join([*others, str(Path(sys.prefix, 'bin'))])


def fingerprint(system: Path) -> str:
    """Return a hash of all that is installed for the system's Python."""
    digest = hashlib.sha256()
    for path in sorted((system / 'lib/python3.10/site-packages').rglob('*')):
        if path.is_file() and path.suffix != '.pyc':
            digest.update(f'{path} {hashlib.sha256(path.read_bytes()).hexdigest()}\n'.encode())
    return digest.hexdigest()


@pytest.fixture(scope='module')
def source(system: Path, sourced: dict[str, str]) -> Path:
    """The source tree in a workspace, after scripts/setup --colcon; the system is as it was."""
    source = system.parent / 'ws/src/hybrik_ros'
    copy_source(source)
    before = fingerprint(system), run(system / 'bin/python3', '-c', PLAYED, env=sourced)
    said = run(source / 'scripts/setup', '--colcon', env=sourced)
    assert 'Installing the requirements ...' in said
    after = fingerprint(system), run(system / 'bin/python3', '-c', PLAYED, env=sourced)
    assert after == before
    assert before[1].split() == ['4.5.4', '1.21.5', '1.8.0']
    return source


def test_environment_adds_what_is_missing_and_keeps_numpy_near_the_systems(
    source: Path, sourced: dict[str, str]
) -> None:
    python = source / f'.venv-{DISTRIBUTION}/bin/python'
    code = 'import cv2, numba, numpy, onnxruntime, rosbags, scipy; '
    code += 'print(numpy.__version__, scipy.__file__, numba.__version__, cv2.__version__)'
    numpy, scipy, *others = run(python, '-c', code, env=sourced).split()
    print('numba, OpenCV:', *others)
    assert numpy.startswith('1.21.')
    assert '.venv' not in scipy  # the system's
    run(python, '-m', 'pip', 'check', env=sourced)


def test_solver_images_and_pipeline_work_in_the_environment(
    source: Path, sourced: dict[str, str]
) -> None:
    python = source / f'.venv-{DISTRIBUTION}/bin/python'
    run(python, '-m', 'pip', 'install', '--quiet', 'pytest', 'hypothesis', env=sourced)
    places = [source / 'test' / place for place in TESTS]
    command = [python, '-m', 'pytest', '-p', 'no:cacheprovider', '--hypothesis-profile', 'brief']
    said = run(*command, '-k', 'not plain_transcription', *places, env=sourced, cwd=source)
    # Those against cv_bridge, which PyPI lacks, are skipped.
    assert re.search(r'^=+ \d{3,} passed', said, re.M), said


def test_second_set_up_finds_the_work_done(source: Path, sourced: dict[str, str]) -> None:
    said = run(source / 'scripts/setup', '--colcon', env=sourced)
    assert said.startswith('Next, in the workspace')
    assert 'colcon build' in said
    assert said.count('\n') == 1


def test_what_is_installed_later_keeps_numpy_near_the_systems(
    source: Path, sourced: dict[str, str]
) -> None:
    python = source / f'.venv-{DISTRIBUTION}/bin/python'
    # As `hybrik compare --plot` and `hybrik engine build` advise. Both need numpy.
    pip = [python, '-m', 'pip', 'install', '--dry-run', '--quiet', '--only-binary', ':all:']
    report = json.loads(run(*pip, '--report', '-', 'matplotlib', 'onnx', env=sourced))
    versions = {one['metadata']['name']: one['metadata']['version'] for one in report['install']}
    assert {'matplotlib', 'onnx'} <= set(versions)
    assert 'numpy' not in versions


@pytest.fixture(scope='module')
def overlay(source: Path, sourced: dict[str, str]) -> Path:
    """The install folder of colcon build --symlink-install."""
    workspace = source.parents[1]
    colcon = install_colcon(workspace.parent / 'tools')
    python = f'-DPython3_EXECUTABLE={workspace.parent / "usr/bin/python3"}'
    run(
        *(colcon, 'build', '--symlink-install'),
        *('--base-paths', source, source / 'fallback/tf2_msgs'),
        *('--cmake-args', '-G', 'Ninja', '-DBUILD_TESTING=OFF', python),
        env=sourced,
        cwd=workspace,
    )
    return workspace / 'install'


def in_overlay(overlay: Path, *command: str | Path) -> list[str | Path]:
    return ['bash', '-c', 'source "$0" && exec "$@"', overlay / 'local_setup.bash', *command]


def test_symlinked_executables_run(overlay: Path, sourced: dict[str, str]) -> None:
    folder = overlay / 'hybrik_ros/lib/hybrik_ros'
    assert {path.name for path in folder.iterdir() if os.access(path, os.X_OK)} == {
        'fusion_node',
        'hybrik',
        'hybrik_node',
    }
    assert (folder / 'hybrik').is_symlink()
    said = run(*in_overlay(overlay, folder / 'hybrik', '--version'), env=sourced)
    assert said.startswith('hybrik_ros ')


@pytest.fixture
def node(overlay: Path, sourced: dict[str, str], tmp_path: Path) -> Iterator[Path]:
    """The log of the installed node, once it is active."""
    log = tmp_path / 'log'
    command = in_overlay(overlay, overlay / 'hybrik_ros/lib/hybrik_ros/hybrik_node')
    with log.open('wb') as stream:
        process = subprocess.Popen(command, env=sourced, stdout=stream, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + START_SECONDS
        while 'active: listens to' not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield log
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()


def test_first_start_of_the_installed_node_compiles_nothing(node: Path) -> None:
    assert 'compile' not in node.read_text()
