"""scripts/setup and scripts/environment where not all is as on our machines."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from workspace import copy_source

SHOW = '. "$0"; printf "%s\n" "$PATH" "$AMENT_PREFIX_PATH" "$FASTDDS_DEFAULT_PROFILES_FILE"'
ROS = ('ROS_DISTRO', 'AMENT_PREFIX_PATH', 'PYTHONPATH', 'FASTDDS_DEFAULT_PROFILES_FILE')


def unsourced() -> dict[str, str]:
    """The environment of a shell in which neither ROS 2 nor our own is sourced."""
    return {name: value for name, value in os.environ.items() if name not in ROS}


def run(
    *command: str | Path, cwd: Path | None = None, **environment: str
) -> 'subprocess.CompletedProcess[str]':
    return subprocess.run(
        command, cwd=cwd, env={**unsourced(), **environment}, capture_output=True, text=True
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the source in a folder with an odd name, whose environment was made."""
    folder = tmp_path / 'my robots' / 'hybrik ü'
    copy_source(folder)
    (folder / '.venv').mkdir()
    (folder / '.venv/identity').touch()
    return folder


@pytest.mark.parametrize('shell', ['bash', 'zsh'])
def test_environment_is_that_of_the_folder_it_lies_in(shell: str, checkout: Path) -> None:
    result = run(shell, '-c', SHOW, checkout / 'scripts/environment', cwd=checkout.parent)
    assert result.returncode == 0, result.stderr
    path, prefix, profile = result.stdout.splitlines()
    assert path.split(':')[0] == f'{checkout}/.venv/bin'
    assert prefix == f'{checkout}/.venv'
    assert profile == f'{checkout}/config/fastdds.xml'


def test_environment_takes_no_notice_of_cdpath(checkout: Path) -> None:
    shown = 'cd "$0"; CDPATH=.:/tmp; . scripts/environment; echo "$PATH"'
    result = run('bash', '-c', shown, checkout)
    assert result.stdout.split(':')[0] == f'{checkout}/.venv/bin', result.stderr
    assert 'usage:' in run(checkout / 'scripts/setup', '--help', CDPATH='.:/tmp').stderr


def test_environment_leaves_the_users_profile(checkout: Path) -> None:
    mine = {'FASTRTPS_DEFAULT_PROFILES_FILE': 'mine.xml'}
    result = run('bash', '-c', SHOW, checkout / 'scripts/environment', **mine)
    assert result.stdout.splitlines()[2:] == ['']


@pytest.mark.parametrize('shell', ['bash', 'zsh'])
def test_environment_of_a_sourced_ros_is_its_own(shell: str, checkout: Path) -> None:
    sourced = {'ROS_DISTRO': 'jazzy', 'AMENT_PREFIX_PATH': '/opt/ros/jazzy'}
    missing = run(shell, '-c', SHOW, checkout / 'scripts/environment', **sourced)
    assert f'{checkout}/.venv-jazzy does not exist: run {checkout}/scripts/setup' in missing.stderr
    (checkout / '.venv-jazzy').mkdir()
    (checkout / '.venv-jazzy/identity').touch()
    result = run(shell, '-c', SHOW, checkout / 'scripts/environment', **sourced)
    assert result.stdout.splitlines()[1] == f'{checkout}/.venv-jazzy:/opt/ros/jazzy'


def test_environment_is_refused_where_it_is_not_sourced(checkout: Path) -> None:
    result = run('bash', checkout / 'scripts/environment')
    assert result.returncode == 1
    assert result.stderr == 'scripts/environment: run it as: source scripts/environment\n'


def test_environment_says_which_shells_can_read_it(checkout: Path) -> None:
    result = run('sh', '-c', SHOW, checkout / 'scripts/environment')
    assert result.stderr.splitlines() == [
        'scripts/environment: this shell is neither bash nor zsh: start bash or zsh first'
    ]


def test_setup_names_a_wrong_argument(checkout: Path) -> None:
    result = run(checkout / 'scripts/setup', '--colkon')
    assert result.returncode == 2
    assert result.stderr.startswith('usage:')


def test_setup_for_colcon_wants_a_sourced_ros(checkout: Path) -> None:
    shutil.rmtree(checkout / '.venv')
    result = run(checkout / 'scripts/setup', '--colcon')
    assert result.returncode == 1
    assert result.stderr.count('\n') == 1
    assert 'source /opt/ros/<distribution>/setup.bash' in result.stderr


def test_setup_names_a_ros_that_this_python_cannot_import(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / 'rclpy.py').write_text('raise ImportError("built for another Python")')
    python = {'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}'}
    sourced = {'ROS_DISTRO': 'jazzy', 'AMENT_PREFIX_PATH': '/opt/ros/jazzy'}
    result = run(checkout / 'scripts/setup', **python, **sourced, PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    assert result.stderr.count('\n') == 1
    assert 'cannot import its rclpy (ImportError: built for another Python)' in result.stderr


def break_environment(venv: Path) -> None:
    """Make an environment whose Python answers what the environment is, and imports nothing."""
    python = venv / 'bin/python'
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text('#!/bin/sh\n[ "${2#import sys}" != "$2" ] && echo 3.12.3\n')
    python.chmod(0o755)
    (venv / 'identity').write_text(f'3.12.3\n{venv.parent}\n')


def test_setup_makes_an_environment_anew_whose_libraries_were_replaced(checkout: Path) -> None:
    # The colon ends the set-up before it loads anything.
    odd = checkout.rename(checkout.with_name('hybrik:ros'))
    break_environment(odd / '.venv')
    result = run(odd / 'scripts/setup')
    first = 'The libraries of .venv cannot be imported: installing them again\n'
    assert result.stdout == first, result.stdout + result.stderr
    assert not (odd / '.venv/identity').exists()


def test_setup_for_colcon_does_so_too(checkout: Path) -> None:
    break_environment(checkout / '.venv-jazzy')
    sourced = {
        'ROS_DISTRO': 'jazzy',
        'AMENT_PREFIX_PATH': '/opt/ros/jazzy',
        'PATH': '/usr/bin:/bin',
    }
    result = run(checkout / 'scripts/setup', '--colcon', **sourced)
    first = 'The libraries of .venv-jazzy cannot be imported: installing them again\n'
    assert result.stdout.startswith(first), result.stdout + result.stderr
    assert not (checkout / '.venv-jazzy/identity').exists()
    assert 'ROS 2 jazzy is sourced, but' in result.stderr  # There is none here.


def test_setup_refuses_a_folder_that_no_path_can_hold(checkout: Path) -> None:
    odd = checkout.rename(checkout.with_name('hybrik:ros'))
    shutil.rmtree(odd / '.venv')
    result = run(odd / 'scripts/setup')
    assert result.returncode == 1
    assert result.stderr.count('\n') == 1
    assert 'contains a colon' in result.stderr


def test_setup_says_that_there_is_no_network_and_ignores_constraints(tmp_path: Path) -> None:
    source = tmp_path / 'hybrik_ros'
    copy_source(source)
    started = time.monotonic()
    result = run(
        source / 'scripts/setup',
        PIP_CONFIG_FILE='/dev/null',
        PIP_INDEX_URL='http://127.0.0.1:9/simple',
        PIP_NO_CACHE_DIR='1',
        PIP_CONSTRAINT='/mine/constraints.txt',  # There is none, for which pip would end at once.
    )
    assert result.returncode == 1
    assert 'PIP_CONSTRAINT=/mine/constraints.txt is ignored: the env' in result.stdout
    reason, log = result.stderr.splitlines()
    assert 'no connection to the package registry' in reason
    assert 'https_proxy' in reason
    assert log == f'The whole log: {source}/.venv/setup.log'
    assert time.monotonic() - started < 300  # pip alone would try for longer
