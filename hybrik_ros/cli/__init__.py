"""The `hybrik` command: one module for each of its commands."""

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def main(argv: list[str] | None = None) -> int:
    """Run a command; return the exit status.

    Parameters
    ----------
    argv: arguments without the program's name; None for those of this process. What stands
        between --ros-args and the next -- goes to ROS.
    """
    with _interrupts_end_it():
        from hybrik_ros.cli import bag, bench, compare, demo, doctor, engine, export, motion, video

    own, ros = split_ros_arguments(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog='hybrik', description='Human bodies for ROS 2.')
    subparsers = parser.add_subparsers(required=True, metavar='COMMAND')
    for command in (demo, video, bag, motion, compare, doctor, export, engine, bench):
        command.add_parser(subparsers)
    args = parser.parse_args(own, argparse.Namespace(arguments=own, ros_arguments=ros))
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        return 130


@contextmanager
def _interrupts_end_it() -> Iterator[None]:
    """Let Ctrl-C end the process at once: while modules are imported, nothing is to be put away."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, signal.default_int_handler)


def split_ros_arguments(argv: list[str]) -> tuple[list[str], list[str]]:
    """Return our own arguments and those for ROS, which `ros2 run` and launch files append."""
    own: list[str] = []
    ros: list[str] = []
    target = own
    for argument in argv:
        if argument == '--ros-args':
            target = ros
        target.append(argument)
        if argument == '--' and target is ros:
            target = own
    return own, ros
