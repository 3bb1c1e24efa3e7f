"""Start of a node: signals are handled from the start, while libraries are still imported."""

import sys
from importlib import import_module

from hybrik_ros.stopping import stop_on_signals


def start(program: str, module: str, node: str, summary: str) -> int:
    """Run a node until SIGINT or SIGTERM.

    Parameters
    ----------
    program : str
        Name of the program.
    module, node : str
        Module and name of the class of the node.
    summary : str
        What the node does, for --help.

    Returns
    -------
    int
        The exit status.
    """
    stopping = stop_on_signals()

    from hybrik_ros.advice import RosEnvironmentError, check_ros_environment, explain
    from hybrik_ros.deadline import ends_after_signal
    from hybrik_ros.node.command_line import check_arguments
    from hybrik_ros.printable import printable
    from hybrik_ros.share import set_transport_profile

    check_arguments(program, summary, sys.argv[1:])
    profile = set_transport_profile()
    with ends_after_signal(program):
        try:
            check_ros_environment(sys.argv[1:])
            create = getattr(import_module(module), node)
            from hybrik_ros.node.run import run
        except (ImportError, RosEnvironmentError) as error:
            reason = explain(error)
            if reason is None:
                raise
            print(f'{program}: {printable(reason)}', file=sys.stderr)
            return 1
        return run(program, create, stopping, profile)
