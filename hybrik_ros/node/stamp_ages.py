"""How long ago the stamps of images were, by the clock of a node."""

from rclpy.node import Node
from std_msgs.msg import Header

from hybrik_ros.messages.fields import nanoseconds
from hybrik_ros.node.reporter import Reporter

_OTHER_CLOCK_SECONDS = 60.0  # minimum age of a stamp that belongs to another clock


class StampAges:
    """Notes the ages of stamps as latencies, and reports stamps of another clock.

    Parameters
    ----------
    node : Node
        Its clock is used.
    reporter : Reporter
        Takes the ages and complaints.
    """

    def __init__(self, node: Node, reporter: Reporter) -> None:
        self._node = node
        self._diagnostics = reporter.diagnostics
        self._complaints = reporter.complaints

    def add(self, header: Header, stage: str) -> None:
        """Note how long ago a stamp was, if it is one of this clock."""
        stamp = nanoseconds(header)
        if not stamp:  # It was never set; StampCheck tells of it.
            return
        elapsed = (self._node.get_clock().now().nanoseconds - stamp) * 1e-9
        if abs(elapsed) < _OTHER_CLOCK_SECONDS:
            self._diagnostics.add_time(stage, elapsed)
        elif not self._node.get_parameter('use_sim_time').value:
            self._complaints.warn(
                f'the image timestamps are {elapsed:.0f} s from the clock of this machine, so TF '
                f'does not match and latencies are unknown: play bags with --clock and set '
                f'use_sim_time; otherwise synchronise the clocks'
            )
        elif self._node.get_clock().now().nanoseconds:  # The reporter tells of a missing /clock.
            self._complaints.warn(
                f'the image timestamps are {elapsed:.0f} s from /clock, so TF does not match and '
                f'latencies are unknown: set use_sim_time of the camera driver too, or set it to '
                f'false here'
            )
