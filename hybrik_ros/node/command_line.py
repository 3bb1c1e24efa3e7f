"""Command line of the node: help, version, and arguments for ROS."""

import argparse

from hybrik_ros import __version__
from hybrik_ros.arguments import split_ros_arguments
from hybrik_ros.printable import printable

_DESCRIPTION = """\
Find the people in the images of a camera and publish their bodies: 3D joints, SMPL rotations
and a TF frame for every joint. Subscribes to image and to camera_info beside it."""

_EPILOG = """\
set parameters and remap topics:
  hybrik_node --ros-args -p detector.size:=640 -p field_of_view:=60.0
  hybrik_node --ros-args --params-file camera.yaml
  hybrik_node --ros-args -r image:=/camera/image_raw

README.md and config/camera.yaml list all parameters. A running node describes them:
  ros2 param list /hybrik_node
  ros2 param describe /hybrik_node detector.size"""


def check_arguments(argv: list[str]) -> None:
    """Refuse arguments that are not for ROS; print --help and --version.

    Parameters
    ----------
    argv : list of str
        Arguments without the program's name.

    Raises
    ------
    SystemExit
        An argument is refused, or help or version is printed.
    """
    parser = _parser()
    own, _ = split_ros_arguments(argv)
    _, unknown = parser.parse_known_args(own)
    if unknown:
        parser.exit(
            2,
            f'hybrik_node: unknown arguments {printable(" ".join(unknown))}; set parameters by '
            f'--ros-args -p NAME:=VALUE, see hybrik_node --help\n',
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='hybrik_node',
        usage='%(prog)s [-h] [--version]\n'
        '                   [--ros-args [-p NAME:=VALUE] [--params-file FILE] [-r FROM:=TO] ...]',
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument('--version', action='version', version=f'hybrik_ros {__version__}')
    return parser
