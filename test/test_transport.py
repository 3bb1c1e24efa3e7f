"""Our processes let Fast DDS take the package's profile, and say so."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hybrik_ros.share import set_transport_profile, share_path

VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
SAID = f'Fast DDS uses the profile {share_path("config/fastdds.xml")}'
# Fast DDS complains of a profile that it cannot read, so it reads what is set in the process.
READ = """
import sys
from hybrik_ros import share
share.share_path = lambda name: sys.argv[1]
assert share.set_transport_profile()
assert 'rclpy' not in sys.modules
import rclpy
rclpy.init()
rclpy.create_node('transport_test')
"""


@pytest.fixture
def no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, 'RMW_IMPLEMENTATION', 'ROS_DISTRO'):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ('distribution', 'name'),
    [
        ('', VARIABLES[0]),
        ('kilted', VARIABLES[0]),
        ('jazzy', VARIABLES[1]),
        ('humble', VARIABLES[1]),
    ],
)
def test_profile_is_set_under_the_name_of_the_distribution(
    distribution: str, name: str, no_profile: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if distribution:
        monkeypatch.setenv('ROS_DISTRO', distribution)
    assert set_transport_profile().startswith(SAID)
    assert os.environ[name] == str(share_path('config/fastdds.xml'))
    assert set_transport_profile() == ''


@pytest.mark.parametrize(
    ('name', 'value'),
    [*((name, 'mine.xml') for name in VARIABLES), ('RMW_IMPLEMENTATION', 'rmw_zenoh_cpp')],
)
def test_choice_of_the_user_stays(
    name: str, value: str, no_profile: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    before = dict(os.environ)
    assert set_transport_profile() == ''
    assert dict(os.environ) == before


def unset(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in VARIABLES}


def test_fast_dds_reads_the_profile_that_is_set_in_the_process(
    ros_environment: dict[str, str], tmp_path: Path
) -> None:
    broken = tmp_path / 'broken.xml'
    broken.write_text('<dds><profiles>')
    command = [sys.executable, '-c', READ, str(broken)]
    result = subprocess.run(command, env=unset(ros_environment), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert 'XML' in result.stdout + result.stderr


@pytest.mark.parametrize(
    'arguments', [['hybrik_ros.node'], ['hybrik_ros.cli', 'video', '--subscribers', '1']]
)
def test_processes_say_that_they_use_the_profile(
    arguments: list[str], ros_environment: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / 'log'
    with log.open('wb') as stream:
        process = subprocess.Popen(
            [sys.executable, '-m', *arguments],
            env=unset(ros_environment),
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 60
        while SAID not in log.read_text() and time.monotonic() < deadline:
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        assert log.read_text().count(SAID) == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
