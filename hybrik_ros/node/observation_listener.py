"""Listener to what several cameras observe, for `hybrik calibrate`."""

import threading
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial

from rclpy.qos import qos_profile_sensor_data
from tf2_msgs.msg import TFMessage

from hybrik_ros.arrays import Array
from hybrik_ros.human import HumanObservation
from hybrik_ros.messages.fields import nanoseconds, strip_slash
from hybrik_ros.messages.frame_tree import FrameTree
from hybrik_ros.messages.observations import observations_of
from hybrik_ros.messages.people import PersonError
from hybrik_ros.msg import HumanObservationArray
from hybrik_ros.node.background import BackgroundNode
from hybrik_ros.node.topics import STATIC_TRANSFORMS, TRANSFORMS
from hybrik_ros.printable import printable

_WARNING_SECONDS = 10.0  # between two warnings of invalid messages


@dataclass
class HeardCamera:
    """What was received from one camera.

    Attributes
    ----------
    topic : str
        Full name of the topic of its observations.
    frame_id : str
        Its optical frame; empty before the first message.
    stream : list of tuple
        Stamp in seconds and people of each image.
    """

    topic: str
    frame_id: str = ''
    stream: list[tuple[float, Sequence[HumanObservation]]] = field(default_factory=list)


class ObservationListener(BackgroundNode):
    """Context manager that receives observations and TF in its own thread.

    Parameters
    ----------
    cameras : sequence of str
        Namespaces of the cameras.
    arguments : list of str, optional
        Arguments for ROS; by default those of the process.

    """

    def __init__(self, cameras: Sequence[str], arguments: list[str] | None = None) -> None:
        super().__init__('hybrik_calibrate', arguments)
        self._namespaces = cameras
        self._cameras: dict[str, HeardCamera] = {}
        self._frames = FrameTree()
        self._lock = threading.Lock()

    def cameras(self) -> dict[str, HeardCamera]:
        """Return what was received so far, by the names of cameras: namespaces without slashes."""
        with self._lock:
            return {
                name: replace(camera, stream=list(camera.stream))
                for name, camera in self._cameras.items()
            }

    def known_poses(self) -> dict[str, Array]:
        """Return the poses of the cameras that TF connects, as `FrameTree.poses_of`."""
        with self._lock:
            return self._frames.poses_of(
                {name: one.frame_id for name, one in self._cameras.items() if one.frame_id}
            )

    def _connect(self) -> None:
        for namespace in self._namespaces:
            subscription = self._node.create_subscription(
                HumanObservationArray, f'{namespace.rstrip("/")}/human_observations',
                partial(self._take, namespace.strip('/')),
                copy(qos_profile_sensor_data),
            )  # fmt: skip
            self._cameras[namespace.strip('/')] = HeardCamera(subscription.topic_name)
        for topic, take, qos in (
            ('/tf', self._take_transforms, TRANSFORMS),
            ('/tf_static', self._take_static, STATIC_TRANSFORMS),
        ):
            self._node.create_subscription(TFMessage, topic, take, copy(qos))

    def _take_transforms(self, message: TFMessage) -> None:
        with self._lock:
            self._frames.update(message.transforms)

    def _take_static(self, message: TFMessage) -> None:
        with self._lock:
            self._frames.update(message.transforms, is_static=True)

    def _take(self, name: str, message: HumanObservationArray) -> None:
        camera = self._cameras[name]
        strip_slash(message.header)
        try:
            _, people, faults = observations_of(message)
        except PersonError as error:
            self._warn(camera.topic, str(error))
            return
        for fault in faults:
            self._warn(camera.topic, fault)
        with self._lock:
            camera.frame_id = message.header.frame_id
            camera.stream.append((nanoseconds(message.header) * 1e-9, people))

    def _warn(self, topic: str, fault: str) -> None:
        self._node.get_logger().warning(
            printable(f'{topic}: {fault}'), throttle_duration_sec=_WARNING_SECONDS
        )
