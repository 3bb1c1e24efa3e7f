"""The `hybrik` command: one module for each of its commands."""

import argparse
import sys

from hybrik_ros.cli import bag, bench, compare, demo, doctor, engine, export, motion, video

_COMMANDS = (demo, video, bag, motion, compare, doctor, export, engine, bench)


def main(argv: list[str] | None = None) -> int:
    """Run a command; return the exit status.

    Parameters
    ----------
    argv: arguments without the program's name; None for those of this process. What stands
        between --ros-args and the next -- goes to ROS.
    """
    own, ros = split_ros_arguments(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog='hybrik', description='Human bodies for ROS 2.')
    subparsers = parser.add_subparsers(required=True, metavar='COMMAND')
    for command in _COMMANDS:
        command.add_parser(subparsers)
    args = parser.parse_args(own, argparse.Namespace(arguments=own, ros_arguments=ros))
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        return 130


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
