"""The node's reports on /diagnostics: a status while it is inactive, figures while it is active."""

from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from std_msgs.msg import Header

from hybrik_ros.node.complaints import Complaints
from hybrik_ros.node.diagnostics import Diagnostics, Limits

_MAX_STILL_REPORTS = 3  # with new images, at the same time of /clock
_LIMITS = ('min_rate', 'max_latency', 'max_drop_ratio')


class Reporter:
    """Publishes the reports of a node, in the executor's thread.

    Parameters
    ----------
    node : Node
        The node; its parameters diagnostics.* are the limits.
    hardware : str
        What the node listens to: hardware_id of the reports.

    Attributes
    ----------
    diagnostics : Diagnostics
        Counts of the present activation.
    complaints : Complaints
        Faults of the present activation.
    status : tuple or None
        Level and message that every report has; None while the node is active.
    """

    def __init__(self, node: Node, hardware: str) -> None:
        self.status: tuple[bytes, str] | None = (DiagnosticStatus.OK, 'unconfigured')
        self._node = node
        self._hardware = hardware
        # At the last report: the time of /clock in nanoseconds, and the number of received images.
        self._last_time, self._last_received = -1, 0
        self._still_reports = 0
        # The node reports while inactive too, so this is no lifecycle publisher.
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self.renew()

    def renew(self) -> None:
        """Start counting anew."""
        # Name and hardware tell the nodes of several cameras apart.
        name = self._node.get_fully_qualified_name().lstrip('/')
        self.diagnostics = Diagnostics(name, self._hardware)
        self.complaints = Complaints(self._node.get_logger(), self.diagnostics)

    def warn(self, message: str) -> None:
        """Report and log once what is wrong but costs no frame."""
        self.complaints.warn(message)

    def set_status(self, level: bytes, message: str) -> None:
        """Report a status now, and in every report until the node is active."""
        self.status = level, message
        self.publish_status(level, message)

    def publish_status(self, level: bytes, message: str) -> None:
        """Report a status now."""
        self._publisher.publish(self.diagnostics.status(level, message, self._header()))

    def publish_figures(
        self, replaced: int, camera: str, assumed: bool, facts: Mapping[str, object]
    ) -> None:
        """Report the figures of an active node.

        Parameters
        ----------
        replaced : int
            Number of images dropped for newer ones.
        camera : str
            Source of the intrinsics; empty where there is none.
        assumed : bool
            Whether the intrinsics are assumed.
        facts : mapping
            What else to show, by name.
        """
        self._check_clock()
        limits = {name: self._node.get_parameter(f'diagnostics.{name}').value for name in _LIMITS}
        smoothing = 'on' if self._node.get_parameter('smoothing.enabled').value else 'off'
        self._publisher.publish(
            self.diagnostics.report(
                header=self._header(),
                replaced=replaced,
                camera=camera,
                assumed=assumed,
                limits=Limits(**limits),
                facts={**facts, 'smoothing': smoothing},
            )
        )

    def _check_clock(self) -> None:
        """Warn of use_sim_time without /clock: time stands still at zero."""
        if not self._node.get_parameter('use_sim_time').value:
            return
        now = self._node.get_clock().now().nanoseconds
        received = self.diagnostics.num_received
        has_image = received != self._last_received
        self._still_reports = self._still_reports + has_image if now == self._last_time else 0
        self._last_time, self._last_received = now, received
        if not now:
            silent = 'receives no time from' if self._node.count_publishers('/clock') else 'has no'
            self.complaints.warn(
                f'use_sim_time is set, but the node {silent} /clock: play the bag with --clock, '
                f'start the simulation, or set use_sim_time to false'
            )
        elif has_image and self._still_reports >= _MAX_STILL_REPORTS:
            self.complaints.warn(
                f'use_sim_time is set, but the time of /clock stands still at {now * 1e-9:.3f} s '
                f'while images arrive, so TF does not match and latencies are unknown: continue '
                f'the simulation or the bag, or set use_sim_time to false'
            )

    def _header(self) -> Header:
        return Header(stamp=self._node.get_clock().now().to_msg())
