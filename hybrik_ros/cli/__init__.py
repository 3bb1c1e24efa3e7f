"""The `hybrik` command: one module for each of its commands."""

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

from hybrik_ros import __version__
from hybrik_ros.advice import explain, explain_unexpected
from hybrik_ros.arguments import split_ros_arguments
from hybrik_ros.cli.output import ArgumentParser, fail, flush_output, prepare_streams
from hybrik_ros.deadline import ends_after_signal
from hybrik_ros.limits import MAX_PHOTO_PIXELS

# The modules of the commands, in the order of the help; each has a function add_parser.
COMMANDS = (
    'demo', 'image', 'video', 'bag', 'motion', 'compare', 'calibrate', 'doctor', 'compile',
    'export', 'engine', 'bench',
)  # fmt: skip

# Environment variables that OpenCV reads when it is loaded: it refuses larger pictures of every
# format, prints no names of files as they are, and FFmpeg no lines about each broken frame.
_OPENCV = {
    'OPENCV_IO_MAX_IMAGE_PIXELS': str(MAX_PHOTO_PIXELS),
    'OPENCV_LOG_LEVEL': 'SILENT',
    'OPENCV_FFMPEG_LOGLEVEL': '-8',
}


def main(argv: list[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : list of str, optional
        Arguments without the program's name; by default those of this process.

    Returns
    -------
    int
        The exit status.
    """
    for name, value in _OPENCV.items():
        os.environ.setdefault(name, value)
    own, ros = split_ros_arguments(sys.argv[1:] if argv is None else argv)
    chosen = [name for name in own[:1] if name in COMMANDS]
    program = ' '.join(['hybrik', *chosen])
    prepare_streams()
    try:
        with ends_after_signal(program):
            status = _run(own, ros, chosen)
    except KeyboardInterrupt:
        status = 130
    except Exception as error:
        reason = explain(error) or explain_unexpected(error)
        if reason is None:
            raise
        status = fail(program, reason)
    return status if flush_output() else 1


def _run(own: list[str], ros: list[str], chosen: list[str]) -> int:
    """Run the chosen command with its own arguments and those for ROS."""
    parser = ArgumentParser(prog='hybrik', description='Human bodies for ROS 2.')
    parser.add_argument('--version', action='version', version=f'hybrik_ros {__version__}')
    subparsers = parser.add_subparsers(required=True, metavar='COMMAND')
    if own[:1] != ['--version']:
        for command in _import_commands(chosen or COMMANDS):
            command.add_parser(subparsers)
    args = parser.parse_args(own, argparse.Namespace(arguments=own, ros_arguments=ros))
    return int(args.run(args))


def _import_commands(names: Sequence[str]) -> list[ModuleType]:
    """Import the modules of commands, the libraries of which may be missing or load slowly."""
    with _default_interrupt():
        return [import_module(f'{__name__}.{name}') for name in names]


@contextmanager
def _default_interrupt() -> Iterator[None]:
    """Let Ctrl-C end the process at once: imports need no clean-up."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
