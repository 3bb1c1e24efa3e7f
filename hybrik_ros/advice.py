"""One-line messages, with advice, for errors that the user can fix, such as a missing library."""

import os
import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

DISTRIBUTIONS = Path('/opt/ros')
# Advice for a missing library.
SETUP = (
    'run ./scripts/setup in the source tree of hybrik_ros (for a colcon build: ./scripts/setup '
    '--colcon), which installs it into a private environment'
)
_WORKSPACE = 'in the workspace, rosdep install --from-paths src --ignore-src'
_BUILD = (
    'run ./scripts/setup in the source tree of hybrik_ros, or in the workspace colcon build and '
    'source install/setup.bash'
)

# Python packages of ROS 2 besides rclpy.
_ROS_PACKAGE = re.compile(r'(rpyutils|ament_\w+|rosidl_\w+|\w+_(msgs|srvs|interfaces))$')
# Libraries that only single commands need.
_OPTIONAL = ('matplotlib', 'onnx', 'ray', 'torch')
# Advice for errors of ROS 2 by words of their messages.
_ROS_ADVICE = {
    'remap rule': 'use -r FROM:=TO with names such as /camera/image; a namespace begins with /',
    'parameter override': 'use -p NAME:=VALUE',
    'params file': 'name a file of ROS 2 parameters, as config/camera.yaml of hybrik_ros is',
    'unknown arguments': 'use -p NAME:=VALUE, --params-file FILE, -r FROM:=TO or --log-level LEVEL',
    'initialize logging': 'set HOME, or set ROS_LOG_DIR to a folder that you can write to',
    'ROS_DOMAIN_ID': 'export ROS_DOMAIN_ID=0, or the number from 0 to 101 that the other nodes use',
}
# Middlewares that the distributions have.
_MIDDLEWARES = (
    'rmw_connextdds', 'rmw_cyclonedds_cpp', 'rmw_fastrtps_cpp', 'rmw_fastrtps_dynamic_cpp',
    'rmw_zenoh_cpp',
)  # fmt: skip
# Distributions for which apt does not have a package (ros/rosdistro).
_NOT_RELEASED = {'hri_msgs': ('iron', 'kilted'), 'rmw_zenoh_cpp': ('iron',)}
_MAX_DOMAIN = 232  # of DDS: greater ids have port numbers above 65535
_WRONG_TYPE = re.compile(
    r"Trying to set parameter '(.+?)' to '(.*)' of type '(\w+)', expecting type '(\w+)'"
)
# Parts of messages for developers of ROS 2: the line in its sources, and what its parser expected.
_INTERNAL = re.compile(r', at \S+:\d+|\. Error: (error not set|Expected lexeme type.*)$')


class RosEnvironmentError(RuntimeError):
    """ROS 2 cannot use an environment variable or an argument; the message says why."""


def check_ros_environment(arguments: Sequence[str] = ()) -> None:
    """Check what ROS 2 answers by ending the process; to be called before rclpy is imported.

    Parameters
    ----------
    arguments : sequence of str
        Arguments for ROS. It prints wrong ones as they are.

    Raises
    ------
    RosEnvironmentError
        ROS_DOMAIN_ID has no ports, the middleware of RMW_IMPLEMENTATION is not installed, or an
        argument has control characters.
    """
    for argument in arguments:
        if not argument.isprintable():
            raise RosEnvironmentError(f'the argument {argument!r} has control characters')
    domain = os.environ.get('ROS_DOMAIN_ID', '')
    if domain.isdecimal() and int(domain) > _MAX_DOMAIN:
        raise RosEnvironmentError(
            f'ROS_DOMAIN_ID is {domain}, greater than {_MAX_DOMAIN}, the last one with ports: '
            f'{_ROS_ADVICE["ROS_DOMAIN_ID"]}'
        )
    middleware = os.environ.get('RMW_IMPLEMENTATION', '')
    installed = _find_middlewares()
    if middleware and installed and middleware not in installed:
        raise RosEnvironmentError(
            f'RMW_IMPLEMENTATION is {middleware}, which is not installed (installed: '
            f'{", ".join(sorted(installed))}): {middleware_advice(middleware)}'
        )


def _find_middlewares() -> set[str]:
    """Return the names of the middlewares in ament's index."""
    prefixes = [*os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep), sys.prefix]
    index = 'share/ament_index/resource_index/rmw_typesupport'
    found = {path.name for prefix in prefixes if prefix for path in Path(prefix, index).glob('*')}
    return found - {'rmw_implementation'}  # which loads one of the others


def explain(error: Exception) -> str | None:
    """Return a one-line message, with advice, for an error of the installation or of ROS 2.

    Returns
    -------
    str or None
        None for all other errors, such as those of this package itself.
    """
    if isinstance(error, ImportError):
        return _explain_import(error)
    if isinstance(error, RosEnvironmentError):
        return str(error)
    if type(error).__name__ == 'UnsupportedTypeSupport':  # A library of messages does not load.
        return _explain_messages(getattr(error, 'pkg_name', 'hybrik_ros'))
    if 'rclpy' in type(error).__module__:
        return _explain_ros(error)
    return None


def explain_unexpected(error: Exception) -> str | None:
    """Return a one-line message for an error that no command expects.

    Returns
    -------
    str or None
        None in Python's development mode, in which the traceback is wanted.
    """
    if isinstance(error, MemoryError):
        return f'not enough memory: {error}' if str(error) else 'not enough memory'
    if isinstance(error, OSError):
        return one_line(error)
    if sys.flags.dev_mode:
        return None
    *_, last = traceback.extract_tb(error.__traceback__)
    return (
        f'unexpected {type(error).__name__} in {Path(last.filename).name}, line {last.lineno}: '
        f'{one_line(error)}; please report it, with the output of the same command with '
        f'PYTHONDEVMODE=1'
    )


def one_line(error: BaseException) -> str:
    """Return the message of an error without line breaks; names keep their spaces."""
    return ' '.join(filter(None, map(str.strip, str(error).splitlines()))) or repr(error)


def pip_install(*packages: str) -> str:
    """Return the command that installs packages from PyPI into the environment of this Python.

    The system's Python is never named: pip would replace its numpy, or refuse (PEP 668).
    """
    install = f'-m pip install {" ".join(packages)}'
    if sys.prefix == sys.base_prefix:
        return (
            f'run ./scripts/setup --colcon in the source tree of hybrik_ros, then there '
            f'.venv-$ROS_DISTRO/bin/python {install}'
        )
    return f'{sys.executable} {install}'


def package_advice(package: str) -> str:
    """Return how to install a package of ROS 2 for the sourced distribution."""
    if command := _apt_install(package):
        return command
    if distribution := os.environ.get('ROS_DISTRO'):
        return f'apt has none for {distribution}: build {package} from source in the workspace'
    return f'ROS from PyPI has none: source a ROS distribution that has {package}'


def middleware_advice(middleware: str) -> str:
    """Return what to do where the middleware of RMW_IMPLEMENTATION is missing."""
    command = _apt_install(middleware) if middleware in _MIDDLEWARES else ''
    return 'unset RMW_IMPLEMENTATION' + (f', or {command}' if command else '')


def _apt_install(package: str) -> str:
    """Return the command that installs a package of ROS 2; empty if apt does not have it."""
    distribution = os.environ.get('ROS_DISTRO')
    if not distribution or distribution in _NOT_RELEASED.get(package, ()):
        return ''
    return f'sudo apt install ros-{distribution}-{package.replace("_", "-")}'


def ros_advice() -> str:
    """Return the advice for a missing rclpy."""
    version = f'{sys.version_info.major}.{sys.version_info.minor}'
    matching = sorted(DISTRIBUTIONS.glob(f'*/lib/python{version}'))
    prefix = matching[-1].parents[1] if matching else DISTRIBUTIONS / '<distribution>'
    return (
        f'source {prefix}/setup.bash of a ROS 2 distribution for Python {version}, or, in the '
        f'source tree of hybrik_ros, run ./scripts/setup or pip install ".[ros]"'
    )


def _explain_import(error: ImportError) -> str | None:
    """Return the message for an import error; None for a module of this package."""
    name = error.name or ''
    top = name.partition('.')[0]
    if isinstance(error, ModuleNotFoundError):
        found = f'is not installed for {sys.executable}'
    else:
        found = f'cannot be imported by {sys.executable} ({one_line(error)})'
    if name.startswith('hybrik_ros.msg'):
        return _explain_messages('hybrik_ros')
    if top == 'hybrik_ros':
        return None
    if top == 'rclpy':
        return f'ROS 2 (rclpy) {found}: {ros_advice()}'
    if _ROS_PACKAGE.match(top):
        return f'the ROS 2 package {top} {found}: {_WORKSPACE}, or {SETUP}'
    advice = pip_install(top) if top in _OPTIONAL else SETUP
    subject = f'the Python module {top}' if top else 'a Python module'
    return f'{subject} {found}: {advice}'


def _explain_messages(package: str) -> str:
    return f'the messages of {package} are not built for {sys.executable}: {_BUILD}'


def _explain_ros(error: Exception) -> str:
    """Return the message for an exception of rclpy."""
    reason = _INTERNAL.sub('', one_line(error)).removeprefix('failed to initialize rcl: ')
    if wrong_type := _WRONG_TYPE.match(reason):
        name, value, given, expected = wrong_type.groups()
        return (
            f'the parameter {name} must be of type {expected.lower()}, not {value!r} of type '
            f'{given.lower()}; use -p {name}:=VALUE, or correct the params file'
        )
    if type(error).__name__ == 'UnknownROSArgsError':
        reason = f'unknown arguments {reason} after --ros-args'
    advice = [advice for word, advice in _ROS_ADVICE.items() if word in reason]
    return '; '.join([reason, *advice])
