"""Listens to the node and to its camera: what the demo shows and keeps."""

import threading
import time

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo
from tf2_msgs.msg import TFMessage

from hybrik_ros.camera import Camera
from hybrik_ros.human import Human
from hybrik_ros.messages.fields import nanoseconds
from hybrik_ros.messages.images import to_camera
from hybrik_ros.messages.people import from_human_mesh
from hybrik_ros.msg import HumanMesh, HumanMeshArray

# The topics of which the serialised messages are kept, with their types.
_KEPT_TYPES = {'/human_pose': HumanMesh, '/tf': TFMessage}
KEPT = {'/human_pose': 'hybrik_ros/msg/HumanMesh', '/tf': 'tf2_msgs/msg/TFMessage'}
_DEPTH = 1000  # Nothing may be lost while others use the processor.


class Recorder:
    """Subscribes in a thread of its own for as long as it is entered.

    Parameters
    ----------
    node: name of the node whose diagnostics count.

    Attributes
    ----------
    stamps: of the frames that the camera published, in order, nanoseconds.
    camera: its intrinsics, once heard.
    people: by stamp, who was in a frame that the node processed.
    seconds: from the first to the last of these answers.
    messages: topic, time of receipt in nanoseconds and serialised message, in order.
    report: the keys and values of the node's latest diagnostics while it was active.
    """

    def __init__(self, node: str) -> None:
        self._of = node
        self.stamps: list[int] = []
        self.camera: Camera | None = None
        self.people: dict[int, list[Human]] = {}
        self.seconds = 0.0
        self._first_answer: float | None = None
        self.messages: list[tuple[str, int, bytes]] = []
        self.report: dict[str, str] = {}

    def __enter__(self) -> 'Recorder':
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self._node = Node('hybrik_recorder', context=self._context)
        self._node.create_subscription(CameraInfo, 'camera_info', self._take_camera_info, _DEPTH)
        self._node.create_subscription(HumanMeshArray, 'human_poses', self._take_people, _DEPTH)
        self._node.create_subscription(DiagnosticArray, '/diagnostics', self._take_report, 10)
        for topic, kind in _KEPT_TYPES.items():
            self._node.create_subscription(
                kind, topic, lambda message, topic=topic: self._keep(topic, message), _DEPTH,
                raw=True,
            )  # fmt: skip
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name='recorder', daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self._thread.join()
        self._node.destroy_node()
        self._context.try_shutdown()

    def node_listens(self) -> bool:
        """Return whether somebody is subscribed to the images: the node is active."""
        return self._node.count_subscribers('image') > 0

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def _take_camera_info(self, message: CameraInfo) -> None:
        self.stamps.append(nanoseconds(message.header))
        if self.camera is None:
            self.camera = to_camera(message)

    def _take_people(self, message: HumanMeshArray) -> None:
        people = [from_human_mesh(human) for human in message.humans]
        self.people[nanoseconds(message.header)] = people
        now = time.monotonic()
        self._first_answer = self._first_answer or now
        self.seconds = now - self._first_answer

    def _take_report(self, message: DiagnosticArray) -> None:
        for status in message.status:
            # While it is not active, and at its end, it has no counts to tell.
            if status.name == self._of and status.values:
                self.report = {pair.key: pair.value for pair in status.values}

    def _keep(self, topic: str, message: bytes) -> None:
        self.messages.append((topic, self._node.get_clock().now().nanoseconds, message))
