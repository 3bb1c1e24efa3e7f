"""What a new user types first works, or is answered in one line that says what to do.

Missing modules are simulated in a process of their own, in which they cannot be imported.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Spawn

import hybrik_ros
from hybrik_ros import advice
from hybrik_ros.advice import pip_install
from hybrik_ros.node.graph_checks import check_settings

ROOT = Path(hybrik_ros.__file__).parents[1]
VERSION = f'hybrik_ros {hybrik_ros.__version__}\n'
HYBRIK, NODE = 'hybrik_ros.cli', 'hybrik_ros.node'
TIMEOUT = 60.0

# Python runs a module of this name when it starts.
SITE = """
import os
import sys

sys.modules.update(dict.fromkeys(os.environ['MISSING_MODULES'].split()))
"""


def run(
    *arguments: str, environment: dict[str, str] | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-m', *arguments]
    return subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT
    )


def without(modules: str, folder: Path, environment: dict[str, str]) -> dict[str, str]:
    """Return an environment in which these modules cannot be imported."""
    (folder / 'sitecustomize.py').write_text(SITE)
    return {**environment, 'PYTHONPATH': str(folder), 'MISSING_MODULES': modules}


def own_lines(errors: str) -> list[str]:
    """Return what we said, without the lines that ROS 2 logs itself."""
    return [line for line in errors.splitlines() if '[rcl]' not in line]


def only_line(run: subprocess.CompletedProcess[str], program: str, status: int = 1) -> str:
    """Return the one line that a run ended with, which begins with the program's name."""
    assert run.returncode == status, run.stdout + run.stderr
    assert run.stdout == ''
    [line] = own_lines(run.stderr)
    assert line.startswith(f'{program}: ')
    return line


# Version and help


@pytest.mark.parametrize('module', [HYBRIK, NODE])
def test_version_is_printed(module: str) -> None:
    ran = run(module, '--version')
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, VERSION, '')


@pytest.mark.parametrize(
    'arguments', [[HYBRIK, '--version'], [NODE, '--version'], [NODE, '--help']]
)
def test_version_and_help_of_the_node_need_no_library(arguments: list[str], tmp_path: Path) -> None:
    environment = without('numpy cv2 numba rich rclpy', tmp_path, dict(os.environ))
    ran = run(*arguments, environment=environment)
    assert (ran.returncode, ran.stderr) == (0, '')


def test_a_command_imports_no_other_command() -> None:
    code = (
        'import sys\nfrom hybrik_ros.cli import main\n'
        'try:\n    main(["video", "--help"])\n'
        'except SystemExit:\n    print([name for name in sys.modules if "bench" in name])'
    )
    ran = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert ran.stdout.endswith('\n[]\n')


@pytest.mark.parametrize('option', ['-h', '--help'])
def test_help_of_the_node_tells_how_to_set_parameters(option: str) -> None:
    ran = run(NODE, option)
    assert (ran.returncode, ran.stderr) == (0, '')
    for words in (
        'usage: hybrik_node',
        '--ros-args -p detector.size:=640',
        '--ros-args --params-file',
        'ros2 param describe /hybrik_node detector.size',
        'README',
    ):
        assert words in ran.stdout


@pytest.mark.parametrize(
    ('arguments', 'unknown'),
    [
        (['foo', 'bar'], 'foo bar'),
        (['-p', 'detector.size:=640'], '-p detector.size:=640'),
        (['--ros-args', '-p', 'threads:=2', '--', 'foo'], 'foo'),
        (['--versions'], '--versions'),
    ],
)
def test_unknown_arguments_of_the_node_are_refused(arguments: list[str], unknown: str) -> None:
    line = only_line(run(NODE, *arguments), 'hybrik_node', status=2)
    assert f'unknown arguments {unknown};' in line
    assert '--ros-args -p NAME:=VALUE' in line


# Missing modules


@pytest.mark.parametrize(
    ('arguments', 'program'),
    [
        ([HYBRIK, 'video'], 'hybrik video'),
        ([HYBRIK, 'demo', '--output', 'out'], 'hybrik demo'),
        ([NODE], 'hybrik_node'),
    ],
)
def test_without_rclpy_the_way_to_ros_is_told(
    arguments: list[str], program: str, tmp_path: Path
) -> None:
    environment = without('rclpy', tmp_path, dict(os.environ))
    line = only_line(run(*arguments, environment=environment, folder=tmp_path), program)
    assert 'ROS 2 (rclpy) is not installed' in line
    assert sys.executable in line
    for words in ('setup.bash', './scripts/setup', 'pip install ".[ros]"'):
        assert words in line


def test_bench_node_without_rclpy_tells_the_way_to_ros(tmp_path: Path) -> None:
    environment = without('rclpy', tmp_path, dict(os.environ))
    ran = run(HYBRIK, 'bench', 'node', environment=environment, folder=tmp_path)
    assert 'ROS 2 (rclpy) is not installed' in only_line(ran, 'hybrik bench')
    assert not (tmp_path / 'bench_node.json').exists()


@pytest.mark.parametrize(
    ('arguments', 'program'),
    [([HYBRIK, 'demo', '--output', 'out'], 'hybrik demo'), ([NODE], 'hybrik_node')],
)
@pytest.mark.parametrize(
    'missing', ['hybrik_ros.msg', 'hybrik_ros.hybrik_ros_s__rosidl_typesupport_c']
)
def test_messages_that_are_not_built_for_this_python_are_told_of(
    arguments: list[str],
    program: str,
    missing: str,
    ros_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    environment = without(missing, tmp_path, ros_environment)
    line = only_line(run(*arguments, environment=environment, folder=tmp_path), program)
    assert 'the messages of hybrik_ros are not built' in line
    assert './scripts/setup' in line
    assert 'colcon build' in line


def test_a_package_of_messages_that_is_missing_is_named(tmp_path: Path) -> None:
    environment = without('tf2_msgs', tmp_path, dict(os.environ))
    line = only_line(run(NODE, environment=environment), 'hybrik_node')
    assert 'the ROS 2 package tf2_msgs is not installed' in line
    assert 'rosdep install' in line


@pytest.mark.parametrize(
    ('module', 'arguments', 'program'),
    [
        ('cv2', [HYBRIK, 'video'], 'hybrik video'),
        ('numba', [HYBRIK, 'bag', 'x.mp4', '-o', 'out'], 'hybrik bag'),
        ('scipy', [HYBRIK, 'motion', 'x', '-o', 'x.bvh'], 'hybrik motion'),
        ('rosbags', [HYBRIK, 'compare', 'a', 'b'], 'hybrik compare'),
        ('rich', [HYBRIK, 'doctor'], 'hybrik doctor'),
        ('onnxruntime', [HYBRIK, 'bag', 'SAMPLE', '-o', 'out'], 'hybrik bag'),
        ('cv2', [HYBRIK, '--help'], 'hybrik'),
        ('cv2', [NODE], 'hybrik_node'),
        ('numba', [NODE], 'hybrik_node'),
        ('scipy', [NODE], 'hybrik_node'),
    ],
)
def test_a_library_that_is_missing_is_named(
    module: str, arguments: list[str], program: str, tmp_path: Path
) -> None:
    environment = without(module, tmp_path, dict(os.environ))
    sample = str(ROOT / 'hybrik_ros' / 'data' / 'sample.mp4')
    given = [sample if word == 'SAMPLE' else word for word in arguments]
    line = only_line(run(*given, environment=environment, folder=tmp_path), program)
    assert f'the Python module {module} is not installed for {sys.executable}' in line
    assert './scripts/setup' in line


def test_the_node_names_a_library_that_is_missed_while_it_loads(
    ros_environment: dict[str, str], tmp_path: Path
) -> None:
    ran = run(NODE, environment=without('onnxruntime', tmp_path, ros_environment))
    assert ran.returncode == 1
    [line] = [line for line in ran.stderr.splitlines() if 'cannot configure' in line]
    assert f'the Python module onnxruntime is not installed for {sys.executable}' in line
    assert './scripts/setup' in line
    assert 'Traceback' not in ran.stderr


def test_a_library_that_is_there_but_broken_is_not_called_missing(tmp_path: Path) -> None:
    (tmp_path / 'cv2.py').write_text("raise ImportError('libGL.so.1: not found', name='cv2')")
    environment = {**os.environ, 'PYTHONPATH': str(tmp_path)}
    line = only_line(run(HYBRIK, 'video', environment=environment), 'hybrik video')
    assert 'cv2 cannot be imported' in line
    assert 'libGL.so.1: not found' in line


def test_faults_of_our_own_tell_how_to_report_them(tmp_path: Path) -> None:
    environment = without('hybrik_ros.messages.fields', tmp_path, dict(os.environ))
    line = only_line(run(HYBRIK, 'video', environment=environment), 'hybrik video')
    assert 'unexpected ModuleNotFoundError in images.py' in line
    assert 'PYTHONDEVMODE=1' in line
    ran = run(HYBRIK, 'video', environment={**environment, 'PYTHONDEVMODE': '1'})
    assert ran.returncode == 1
    assert 'Traceback' in ran.stderr


@pytest.mark.parametrize('module', ['cv2', 'numba', 'onnxruntime', 'numpy', 'yaml'])
def test_doctor_lists_a_library_that_is_missing(module: str, tmp_path: Path) -> None:
    environment = without(f'{module} rclpy', tmp_path, dict(os.environ))
    ran = run(HYBRIK, 'doctor', environment=environment)
    assert ran.returncode == 1
    assert 'Traceback' not in ran.stderr
    problems = [line for line in ran.stdout.splitlines() if line.startswith('problem')]
    assert f'{module} is not installed' in problems[0]
    assert 'rclpy cannot be imported' in problems[-1]
    assert 'net.core.rmem_max' in ran.stdout  # It goes on.


def test_pip_is_advised_in_environments_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pip_install('ray') == f'{sys.executable} -m pip install ray'
    monkeypatch.setattr(sys, 'prefix', sys.base_prefix)  # the system's Python
    said = pip_install('ray')
    assert './scripts/setup --colcon' in said
    assert '.venv-$ROS_DISTRO/bin/python -m pip install ray' in said
    assert sys.executable not in said


def test_the_distribution_for_this_python_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advice, 'DISTRIBUTIONS', tmp_path)
    version = f'{sys.version_info.major}.{sys.version_info.minor}'
    (tmp_path / 'other/lib/python3.9').mkdir(parents=True)
    assert f'source {tmp_path}/<distribution>/setup.bash' in advice.ros_advice()
    (tmp_path / f'fitting/lib/python{version}').mkdir(parents=True)
    assert f'source {tmp_path}/fitting/setup.bash' in advice.ros_advice()


# ROS arguments


@pytest.mark.parametrize(
    ('argument', 'what', 'advice'),
    [
        (['-r', 'image:=/a//b'], "'-r image:=/a//b'", 'use -r FROM:=TO'),
        (['-r', '__ns:=bad'], "'-r __ns:=bad'", 'a namespace begins with /'),
        (['-p', 'foo'], "'-p foo'", 'use -p NAME:=VALUE'),
        (['--params-file', '/nowhere.yaml'], '/nowhere.yaml', 'config/camera.yaml'),
        (['--foo'], '--foo', 'after --ros-args; use -p NAME:=VALUE'),
        (['-r', '__ns:=/\x1b]0;x\x07'], r'\x1b]0;x\x07', 'has control characters'),
    ],
)
@pytest.mark.parametrize(
    ('command', 'program'),
    [([HYBRIK, 'video'], 'hybrik video'), ([NODE], 'hybrik_node')],
)
def test_wrong_ros_arguments_are_said_in_one_line(
    command: list[str],
    program: str,
    argument: list[str],
    what: str,
    advice: str,
    ros_environment: dict[str, str],
) -> None:
    ran = run(*command, '--ros-args', *argument, environment=ros_environment)
    line = only_line(ran, program)
    assert what in line
    assert advice in line
    assert '.c:' not in line  # where in the sources of ROS 2


def test_a_parameter_of_wrong_type_is_named_once(ros_environment: dict[str, str]) -> None:
    ran = run(NODE, '--ros-args', '-p', 'field_of_view:=abc', environment=ros_environment)
    line = only_line(ran, 'hybrik_node')
    assert "the parameter field_of_view must be of type double, not 'abc' of type string" in line
    assert 'use -p field_of_view:=VALUE' in line


def test_a_domain_that_is_no_number_is_refused_with_advice(
    ros_environment: dict[str, str],
) -> None:
    ran = run(NODE, environment={**ros_environment, 'ROS_DOMAIN_ID': 'x'})
    line = only_line(ran, 'hybrik_node')
    assert 'ROS_DOMAIN_ID' in line
    assert 'export ROS_DOMAIN_ID=0' in line


def test_a_folder_of_logs_that_cannot_be_made_is_named_with_advice(
    ros_environment: dict[str, str],
) -> None:
    ran = run(NODE, environment={**ros_environment, 'ROS_LOG_DIR': '/dev/null/log'})
    line = only_line(ran, 'hybrik_node')
    assert "Failed to create log directory '/dev/null/log'" in line
    assert 'set ROS_LOG_DIR to a folder that you can write to' in line


@pytest.mark.parametrize(
    ('command', 'program'),
    [
        ([NODE], 'hybrik_node'),
        ([HYBRIK, 'video', 'x.mp4'], 'hybrik video'),
        ([HYBRIK, 'demo'], 'hybrik demo'),
        ([HYBRIK, 'bench', 'node'], 'hybrik bench'),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_a_missing_middleware_is_named_with_those_that_are_there(
    command: list[str], program: str, ros_environment: dict[str, str]
) -> None:
    environment = {**ros_environment, 'RMW_IMPLEMENTATION': 'rmw_zenoh_cpp'}
    environment['ROS_DISTRO'] = 'kilted'
    line = only_line(run(*command, environment=environment), program)
    assert 'RMW_IMPLEMENTATION is rmw_zenoh_cpp, which is not installed' in line
    assert 'installed: rmw_fastrtps_cpp' in line
    assert 'sudo apt install ros-kilted-rmw-zenoh-cpp' in line


@pytest.mark.parametrize(
    ('distribution', 'middleware', 'found'),
    [
        ('jazzy', 'rmw_zenoh_cpp', ', or sudo apt install ros-jazzy-rmw-zenoh-cpp'),
        ('iron', 'rmw_zenoh_cpp', ''),
        ('jazzy', 'rmw_fastdds', ''),
        ('', 'rmw_zenoh_cpp', ''),
    ],
)
def test_no_middleware_is_advised_that_apt_does_not_have(
    monkeypatch: pytest.MonkeyPatch, distribution: str, middleware: str, found: str
) -> None:
    monkeypatch.setenv('ROS_DISTRO', distribution)
    assert advice.middleware_advice(middleware) == f'unset RMW_IMPLEMENTATION{found}'


@pytest.mark.parametrize(
    ('distribution', 'words'),
    [
        ('jazzy', 'sudo apt install ros-jazzy-hri-msgs'),
        ('kilted', 'apt has none for kilted: build hri_msgs from source'),
        ('', 'source a ROS distribution that has hri_msgs'),
    ],
)
def test_the_doctor_advises_packages_that_can_be_installed(
    monkeypatch: pytest.MonkeyPatch, distribution: str, words: str
) -> None:
    monkeypatch.setenv('ROS_DISTRO', distribution)
    monkeypatch.setitem(sys.modules, 'hri_msgs', None)  # not installed
    [finding] = [each for each in check_settings() if each.subject == 'hri_msgs']
    assert words in finding.found


def test_a_domain_without_ports_is_refused_with_advice(ros_environment: dict[str, str]) -> None:
    environment = {**ros_environment, 'ROS_DOMAIN_ID': '9999'}
    line = only_line(run(NODE, environment=environment), 'hybrik_node')
    assert 'ROS_DOMAIN_ID is 9999, greater than 232' in line
    assert 'export ROS_DOMAIN_ID=0' in line
    doctor = run(HYBRIK, 'doctor', environment=environment)
    assert 'ROS_DOMAIN_ID is 9999' in doctor.stdout
    assert 'body body.npz' in doctor.stdout  # It goes on.


def test_demo_says_wrong_ros_arguments_in_one_line(
    ros_environment: dict[str, str], tmp_path: Path
) -> None:
    arguments = ['--output', str(tmp_path), '--ros-args', '-p', 'foo']
    line = only_line(run(HYBRIK, 'demo', *arguments, environment=ros_environment), 'hybrik demo')
    assert "'-p foo'" in line


def test_doctor_finds_wrong_ros_arguments(ros_environment: dict[str, str]) -> None:
    ran = run(HYBRIK, 'doctor', '--ros-args', '-p', 'foo', environment=ros_environment)
    [line] = [line for line in ran.stdout.splitlines() if "'-p foo'" in line]
    assert line.startswith('problem')
    assert '.c:' not in line


def test_the_node_warns_of_unknown_parameters_and_goes_on(spawn: Spawn) -> None:
    given = ['-p', 'detector.sise:=640', '-p', 'field_of_view:=60', '-p', 'autostart:=false']
    node = spawn(NODE, '--ros-args', *given)
    assert node.stderr is not None
    line = node.stderr.readline()
    assert '[WARN]' in line
    assert 'detector.sise (did you mean detector.size?)' in line
    node.send_signal(signal.SIGINT)
    _, errors = node.communicate(timeout=TIMEOUT)
    assert (node.returncode, errors) == (0, '')


def test_a_wrong_type_of_a_parameter_of_ros_is_said_in_one_line(
    ros_environment: dict[str, str],
) -> None:
    arguments = ['video', '--ros-args', '-p', 'use_sim_time:=7']
    ran = run(HYBRIK, *arguments, environment=ros_environment)
    assert 'use_sim_time' in only_line(ran, 'hybrik video')


# The Python type information


def test_a_user_can_check_types_of_the_package(tmp_path: Path) -> None:
    (tmp_path / 'right.py').write_text(
        'from hybrik_ros.camera import Camera\n'
        'width: int = Camera.from_field_of_view(60.0, 640, 480).width\n'
    )
    (tmp_path / 'wrong.py').write_text(
        'from hybrik_ros.camera import Camera\n'
        'width: str = Camera.from_field_of_view(60.0, 640, 480).width\n'
    )

    def check(name: str) -> subprocess.CompletedProcess[str]:
        options = ['--config-file=', '--follow-imports=silent', '--cache-dir', str(tmp_path / 'c')]
        # mypy takes what is on sys.path as installed: types count where the package has py.typed.
        environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
        return run('mypy', *options, name, environment=environment, folder=tmp_path)

    assert check('right.py').returncode == 0, check('right.py').stdout
    assert 'Incompatible types in assignment' in check('wrong.py').stdout
