"""Command-line arguments of all executables: our own and those for ROS."""


def split_ros_arguments(argv: list[str]) -> tuple[list[str], list[str]]:
    """Split arguments into our own and those for ROS, which `ros2 run` and launch files append.

    Parameters
    ----------
    argv : list of str
        Arguments without the program's name.

    Returns
    -------
    own : list of str
        All other arguments.
    ros : list of str
        Arguments from each --ros-args to the next --, both included.
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
