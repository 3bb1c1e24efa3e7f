"""A simulated camera and a subscriber in one, for measuring a node under load."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from hybrik_ros.messages.fields import nanoseconds
from hybrik_ros.msg import HumanMesh, HumanMeshArray
from hybrik_ros.node.background import BackgroundNode
from hybrik_ros.node.conversions import guess_calibration, to_image

_FRAME_ID = 'camera_optical_frame'
_FIELD_OF_VIEW = 60.0  # degrees
_CAMERA = QoSProfile(depth=5, reliability=QoSReliabilityPolicy.BEST_EFFORT)
_SERVICE_SECONDS = 60.0  # maximum time for a service to appear, and to respond
_DEPTH = 100  # queue depth of the subscriptions, which must not lose messages


class LoadGenerator(BackgroundNode):
    """Publisher of images at a rate, and subscriber to the results; a context manager.

    Parameters
    ----------
    pictures : sequence of ndarray
        RGB pictures (H, W, 3) of one size, uint8, which are repeated.
    node : str
        Name of the node. Its diagnostics are recorded.

    Attributes
    ----------
    sent : int
        Number of published images.
    answers : list of tuple of float
        For each HumanMeshArray, the time of receipt (monotonic clock) and its age since the image's
        stamp, in seconds.
    meshes : list of float
        For each HumanMesh, the seconds from its publication to its receipt.
    message : str
        Message of the node's last diagnostics.
    report : dict
        Values of the node's last diagnostics by key.
    """

    def __init__(self, pictures: Sequence[NDArray[np.uint8]], node: str = 'hybrik_node') -> None:
        super().__init__('hybrik_load')
        self._diagnosed_node = node
        self._images = [to_image(picture, Header()) for picture in pictures]
        height, width = pictures[0].shape[:2]
        self._calibration = guess_calibration(_FIELD_OF_VIEW, width, height)
        self._pace = threading.Event()
        self._stopped = threading.Event()
        self._rate = 0.0
        self.clear()

    def __enter__(self) -> 'LoadGenerator':
        super().__enter__()
        self._player = threading.Thread(target=self._play, daemon=True)
        self._player.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._pace.set()
        self._player.join()
        super().__exit__()

    def _connect(self) -> None:
        self._image = self._node.create_publisher(Image, 'image', _CAMERA)
        self._camera_info = self._node.create_publisher(CameraInfo, 'camera_info', _CAMERA)
        self._node.create_subscription(HumanMeshArray, 'human_poses', self._take_answer, _DEPTH)
        self._node.create_subscription(HumanMesh, 'human_pose', self._take_mesh, _DEPTH)
        self._node.create_subscription(DiagnosticArray, '/diagnostics', self._take_report, 10)

    def listeners(self, topic: str) -> int:
        """Return the number of subscribers of a topic."""
        return int(self._node.count_subscribers(topic))

    def call(self, kind: type, name: str, request: object) -> Any:
        """Call a service and wait for its response.

        Parameters
        ----------
        kind : type
            Type of the service.
        name : str
            Name of the service.
        request : object
            Its request.

        Returns
        -------
        object
            Its response.

        Raises
        ------
        TimeoutError
            The service does not exist or does not respond within 60 s.
        """
        client: Any = self._node.create_client(kind, name)
        try:
            responded = threading.Event()
            if not client.wait_for_service(_SERVICE_SECONDS):
                raise TimeoutError(f'there is no service {name} after {_SERVICE_SECONDS:g} s')
            future = client.call_async(request)
            future.add_done_callback(lambda _: responded.set())
            if not responded.wait(_SERVICE_SECONDS):
                raise TimeoutError(f'{name} does not respond within {_SERVICE_SECONDS:g} s')
            return future.result()
        finally:
            self._node.destroy_client(client)

    def play(self, rate: float) -> None:
        """Set the rate of publication in images per second; 0 pauses it."""
        self._rate = rate
        if rate > 0:
            self._pace.set()
        else:
            self._pace.clear()

    def clear(self) -> None:
        """Reset all counts and records."""
        self.sent = 0
        self.answers: list[tuple[float, float]] = []
        self.meshes: list[float] = []
        self.message = ''
        self.report: dict[str, str] = {}

    def _play(self) -> None:
        """Publish images at the current rate until the context ends."""
        number, due = 0, time.monotonic()
        while self._pace.wait() and not self._stopped.is_set():
            due = max(due + 1 / self._rate, time.monotonic() - 1 / self._rate)
            if self._stopped.wait(max(0.0, due - time.monotonic())):
                return
            header = Header(stamp=self._node.get_clock().now().to_msg(), frame_id=_FRAME_ID)
            self._calibration.header = header
            self._camera_info.publish(self._calibration)
            image = self._images[number % len(self._images)]
            image.header = header
            self._image.publish(image)
            number += 1
            self.sent += 1

    def _take_answer(self, message: HumanMeshArray) -> None:
        stamp = nanoseconds(message.header)
        age = self._node.get_clock().now().nanoseconds - stamp
        self.answers.append((time.monotonic(), age * 1e-9))

    def _take_mesh(self, _message: HumanMesh, info: Any) -> None:
        self.meshes.append((time.time_ns() - info['source_timestamp']) * 1e-9)

    def _take_report(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == self._diagnosed_node:
                self.message = status.message
                self.report = {pair.key: pair.value for pair in status.values}
