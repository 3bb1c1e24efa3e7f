"""Starts the node. Signals are handled from the start, while libraries are still imported."""

import sys

from hybrik_ros.stopping import stop_on_signals


def main() -> int:
    """Run the node until SIGINT or SIGTERM; return the exit status."""
    stopping = stop_on_signals()

    from hybrik_ros.advice import RosEnvironmentError, check_ros_environment, explain
    from hybrik_ros.deadline import ends_after_signal
    from hybrik_ros.node.command_line import check_arguments
    from hybrik_ros.printable import printable
    from hybrik_ros.share import set_transport_profile

    check_arguments(sys.argv[1:])
    profile = set_transport_profile()
    with ends_after_signal('hybrik_node'):
        try:
            check_ros_environment(sys.argv[1:])
            from hybrik_ros.node.run import run
        except (ImportError, RosEnvironmentError) as error:
            reason = explain(error)
            if reason is None:
                raise
            print(f'hybrik_node: {printable(reason)}', file=sys.stderr)
            return 1
        return run(stopping, profile)


if __name__ == '__main__':
    sys.exit(main())
