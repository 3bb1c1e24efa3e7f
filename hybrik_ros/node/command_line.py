"""Command line of a node: help, version, and arguments for ROS."""

import argparse

from hybrik_ros import __version__
from hybrik_ros.arguments import split_ros_arguments
from hybrik_ros.printable import printable


def check_arguments(program: str, summary: str, argv: list[str]) -> None:
    """Refuse arguments that are not for ROS; print --help and --version.

    Parameters
    ----------
    program : str
        Name of the program.
    summary : str
        What it does, and how to set it.
    argv : list of str
        Arguments without the program's name.

    Raises
    ------
    SystemExit
        An argument is refused, or help or version is printed.
    """
    parser = _parser(program, summary)
    own, _ = split_ros_arguments(argv)
    _, unknown = parser.parse_known_args(own)
    if unknown:
        parser.exit(
            2,
            f'{program}: unknown arguments {printable(" ".join(unknown))}; set parameters by '
            f'--ros-args -p NAME:=VALUE, see {program} --help\n',
        )


def _parser(program: str, summary: str) -> argparse.ArgumentParser:
    margin = ' ' * (len('usage: ') + len(program) + 1)
    parser = argparse.ArgumentParser(
        prog=program,
        usage='%(prog)s [-h] [--version]\n'
        f'{margin}[--ros-args [-p NAME:=VALUE] [--params-file FILE] [-r FROM:=TO] ...]',
        description=summary,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument('--version', action='version', version=f'hybrik_ros {__version__}')
    return parser
