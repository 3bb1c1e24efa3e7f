"""The package as colcon installs it: what lies where, and the node running from there.

The build is that of a user with a ROS 2 install: a fresh copy of the source, colcon, and this
Python's environment as the ROS prefix.
"""

import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import rclpy
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rclpy.node import Node
from workspace import copy_source, install_colcon

import hybrik_ros

ROOT = Path(__file__).parents[1]

START_SECONDS = 120
STOP_SECONDS = 30


def prefix_environment() -> dict[str, str]:
    """Return the environment of a shell in which the ROS 2 that runs this test is sourced."""
    prefix = os.environ.get('AMENT_PREFIX_PATH', sys.prefix)
    environment = {
        **os.environ,
        'AMENT_PREFIX_PATH': prefix,
        'CMAKE_PREFIX_PATH': prefix,
        'PATH': os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']]),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
    }
    # Set by ROS 2's wheels in this process; another Python has to find its libraries anew.
    environment.pop('_ROS_WHEELS_BOOTSTRAP_COMPLETE', None)
    return environment


@pytest.fixture(scope='module')
def overlay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a copy of the source with colcon and return the install folder."""
    folder = tmp_path_factory.mktemp('colcon')
    source = folder / 'source'
    copy_source(source)
    subprocess.run(
        [
            *(install_colcon(folder / 'tools'), '--log-base', 'log', 'build'),
            *('--base-paths', source, source / 'fallback'),
            *('--cmake-args', '-G', 'Ninja', f'-DPython3_EXECUTABLE={sys.executable}'),
        ],
        cwd=folder,
        env=prefix_environment(),
        check=True,
    )
    return folder / 'install'


@pytest.fixture(scope='module')
def package(overlay: Path) -> Path:
    """Return where the Python package is installed."""
    (package,) = overlay.glob('hybrik_ros/**/site-packages/hybrik_ros')
    return package


def in_overlay(overlay: Path, *command: str | Path) -> list[str | Path]:
    """Return the command to be run in a shell with the overlay sourced."""
    return ['bash', '-c', 'source "$0" && exec "$@"', overlay / 'local_setup.bash', *command]


def files_below(folder: Path, pattern: str = '*') -> set[Path]:
    found = (path.relative_to(folder) for path in folder.rglob(pattern) if path.is_file())
    return {path for path in found if not {'__pycache__', '_generated'} & set(path.parts)}


def test_all_modules_are_installed(package: Path) -> None:
    generated = {path for path in files_below(package, '*.py') if path.parts[0] == 'msg'}
    assert Path('msg/_human_mesh.py') in generated
    own = files_below(ROOT / 'hybrik_ros', '*.py')
    assert files_below(package, '*.py') - generated == own
    assert (package / '__init__.py').read_text() == Path(hybrik_ros.__file__).read_text()


def test_data_is_installed(package: Path) -> None:
    data = files_below(ROOT / 'hybrik_ros/data')
    assert {path.suffix for path in data} >= {'.npz', '.onnx', '.mp4', '.yaml'}
    assert files_below(package / 'data') == data
    assert (package / 'py.typed').is_file()


@pytest.mark.parametrize('folder', ['config', 'launch', 'msg'])
def test_share_holds(overlay: Path, folder: str) -> None:
    installed = files_below(overlay / 'hybrik_ros/share/hybrik_ros' / folder)
    wanted = files_below(ROOT / folder)
    assert wanted
    assert installed >= wanted


@pytest.mark.parametrize('name', ['hybrik_ros', 'tf2_msgs', 'hri_msgs'])
def test_package_is_in_the_index(overlay: Path, name: str) -> None:
    share = overlay / name / 'share'
    assert (share / name / 'package.xml').is_file()
    for resource in ('packages', 'rosidl_interfaces'):
        assert (share / 'ament_index/resource_index' / resource / name).is_file()


@pytest.mark.parametrize('name', ['hybrik', 'hybrik_node'])
def test_executable_is_installed(overlay: Path, name: str) -> None:
    assert os.access(overlay / 'hybrik_ros/lib/hybrik_ros' / name, os.X_OK)


def test_executables_use_an_environment_that_is_made_after_the_build(overlay: Path) -> None:
    executable = overlay / 'hybrik_ros/lib/hybrik_ros/hybrik'
    [place] = re.findall(r'exec "(.+/bin/python)"', executable.read_text())
    assert not Path(place).exists()
    Path(place).parent.mkdir(parents=True)
    Path(place).write_text('#!/bin/sh\necho "$@"\n')
    Path(place).chmod(0o755)
    try:
        said = subprocess.check_output([executable, '--version'], text=True)
        assert said == f'{executable} --version\n'
    finally:
        shutil.rmtree(Path(place).parents[1])


def test_modules_come_from_the_overlay(overlay: Path, package: Path) -> None:
    code = (
        'import hybrik_ros.cli, hybrik_ros.msg, hybrik_ros.node.node, sys;'
        'print(*(m.__file__ for n, m in sys.modules.items() if n.startswith("hybrik_ros")))'
    )
    command = in_overlay(overlay, sys.executable, '-c', code)
    environment = prefix_environment()
    result = subprocess.run(
        command, cwd=overlay, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    files = result.stdout.split()
    assert files
    assert [file for file in files if not Path(file).is_relative_to(package)] == []


@pytest.fixture
def ros_node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """Yield a node that asks services."""
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    rclpy.init()
    node = rclpy.create_node('packaging_test')
    yield node
    node.destroy_node()
    rclpy.shutdown()


def lifecycle_state(node: Node) -> int | None:
    """Ask hybrik_node for its state; None while it does not answer."""
    client = node.create_client(GetState, '/hybrik_node/get_state')
    try:
        if not client.wait_for_service(timeout_sec=1.0):
            return None
        future = client.call_async(GetState.Request())
        rclpy.spin_until_future_complete(node, future, timeout_sec=1.0)
        return future.result().current_state.id if future.done() else None
    finally:
        node.destroy_client(client)


def test_installed_node_becomes_active_and_stops(overlay: Path, ros_node: Node) -> None:
    executable = overlay / 'hybrik_ros/lib/hybrik_ros/hybrik_node'
    command = in_overlay(overlay, executable)
    with subprocess.Popen(command, cwd=overlay, env=prefix_environment()) as process:
        try:
            deadline = time.monotonic() + START_SECONDS
            while lifecycle_state(ros_node) != State.PRIMARY_STATE_ACTIVE:
                assert process.poll() is None, 'the node ended'
                assert time.monotonic() < deadline, 'the node does not become active'
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=STOP_SECONDS) == 0
        finally:
            process.kill()


def test_pip_builds_in_a_folder_with_an_odd_name(tmp_path: Path) -> None:
    # rosidl copes with no such name of a build folder, which is why it is not named after this.
    source = tmp_path / 'my robots' / f'hybrik ü {"x" * 100}'
    copy_source(source)
    pip = [sys.executable, '-m', 'pip', 'wheel', '--no-build-isolation', '--no-deps']
    subprocess.run([*pip, '--wheel-dir', tmp_path, source], env=prefix_environment(), check=True)
    [wheel] = tmp_path.glob('*.whl')
    names = zipfile.ZipFile(wheel).namelist()
    assert 'hybrik_ros/msg/_human_mesh.py' in names
    assert any(name.startswith('hybrik_ros/hybrik_ros_s__rosidl_typesupport') for name in names)


def test_a_build_folder_that_rosidl_cannot_use_is_named(tmp_path: Path) -> None:
    command = ['cmake', '-G', 'Ninja', '-S', ROOT, '-B', tmp_path / 'mein Wörk' / 'build']
    command += [f'-DPython3_EXECUTABLE={sys.executable}']
    result = subprocess.run(command, env=prefix_environment(), capture_output=True, text=True)
    assert result.returncode != 0
    assert 'characters other than ASCII' in ' '.join(result.stderr.split())
    assert 'rosidl' not in result.stderr


def test_versions_agree() -> None:
    version = hybrik_ros.__version__
    assert ET.parse(ROOT / 'package.xml').findtext('version') == version
    assert importlib.metadata.version('hybrik_ros') == version
    latest = re.search(r'^(Forthcoming|\d+\.\d+\.\d+)', (ROOT / 'CHANGELOG.rst').read_text(), re.M)
    assert latest is not None
    assert latest[1] in (version, 'Forthcoming')


def test_manifest_names_what_exists() -> None:
    lines = (ROOT / 'MANIFEST.in').read_text().splitlines()
    paths = [path for line in lines for path in line.split()[1:]]
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
