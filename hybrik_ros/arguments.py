"""The command line that all executables share."""


def split_ros_arguments(argv: list[str]) -> tuple[list[str], list[str]]:
    """Return our own arguments and those for ROS, which `ros2 run` and launch files append.

    Parameters
    ----------
    argv : list of str
        Arguments without the program's name. What stands between --ros-args and the next -- goes
        to ROS.
    """
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
