"""Recorder of the messages of the node and its camera, for `hybrik demo`."""

import time

from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import CameraInfo
from tf2_msgs.msg import TFMessage

from hybrik_ros.camera import Camera
from hybrik_ros.human import Human
from hybrik_ros.messages.fields import nanoseconds
from hybrik_ros.messages.images import to_camera
from hybrik_ros.messages.people import PersonError, people_of
from hybrik_ros.msg import HumanMesh, HumanMeshArray
from hybrik_ros.node.background import BackgroundNode
from hybrik_ros.printable import printable

# Topics with serialised messages to record, and their types.
_KEPT_TYPES = {'/human_pose': HumanMesh, '/tf': TFMessage}
KEPT = {'/human_pose': 'hybrik_ros/msg/HumanMesh', '/tf': 'tf2_msgs/msg/TFMessage'}
_DEPTH = 1000  # queue depth of the subscriptions, which must not lose messages on a busy CPU


class Recorder(BackgroundNode):
    """Context manager that subscribes in its own thread and records messages.

    Parameters
    ----------
    node : str
        Name of the node. Its diagnostics are recorded.
    arguments : list of str, optional
        Arguments for ROS; by default those of the process.

    Attributes
    ----------
    stamps : list of int
        Stamps of the frames that the camera published, in order, in nanoseconds.
    camera : Camera, optional
        Intrinsics of the camera; None before the first camera_info.
    people : dict
        The people in each processed frame, by stamp in nanoseconds.
    seconds : float
        Seconds from the first to the last HumanMeshArray.
    messages : list of tuple
        Topic, time of receipt in nanoseconds and serialised message, in order.
    report : dict
        Values of the node's last diagnostics while it was active, by key.
    """

    def __init__(self, node: str, arguments: list[str] | None = None) -> None:
        super().__init__('hybrik_recorder', arguments)
        self._diagnosed_node = node
        self.stamps: list[int] = []
        self.camera: Camera | None = None
        self.people: dict[int, list[Human]] = {}
        self.seconds = 0.0
        self._first_answer: float | None = None
        self.messages: list[tuple[str, int, bytes]] = []
        self.report: dict[str, str] = {}

    def _connect(self) -> None:
        self._node.create_subscription(CameraInfo, 'camera_info', self._take_camera_info, _DEPTH)
        self._node.create_subscription(HumanMeshArray, 'human_poses', self._take_people, _DEPTH)
        self._node.create_subscription(DiagnosticArray, '/diagnostics', self._take_report, 10)
        for topic, kind in _KEPT_TYPES.items():
            self._node.create_subscription(
                kind, topic, lambda message, topic=topic: self._keep(topic, message), _DEPTH,
                raw=True,
            )  # fmt: skip

    def _take_camera_info(self, message: CameraInfo) -> None:
        self.stamps.append(nanoseconds(message.header))
        if self.camera is None:
            self.camera = to_camera(message)

    def _take_people(self, message: HumanMeshArray) -> None:
        try:
            people, faults = people_of(message)
        except PersonError as error:
            self._node.get_logger().error(printable(f'human_poses: {error}'))
            return
        for fault in faults:
            self._node.get_logger().error(printable(f'human_poses: {fault}'))
        self.people[nanoseconds(message.header)] = [human for human, _ in people]
        now = time.monotonic()
        self._first_answer = self._first_answer or now
        self.seconds = now - self._first_answer

    def _take_report(self, message: DiagnosticArray) -> None:
        for status in message.status:
            # The node reports no values while it is not active.
            if status.name == self._diagnosed_node and status.values:
                self.report = {pair.key: pair.value for pair in status.values}

    def _keep(self, topic: str, message: bytes) -> None:
        self.messages.append((topic, self._node.get_clock().now().nanoseconds, message))
