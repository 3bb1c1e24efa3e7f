"""Checks of `hybrik doctor` of a fusion_node: publishers, TF, clocks, and what cameras share."""

from collections.abc import Callable, Iterator
from copy import copy
from typing import Any

import numpy as np
from rcl_interfaces.srv import GetParameters
from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from tf2_msgs.msg import TFMessage

from hybrik_ros.findings import OK, PROBLEM, WARNING, Finding
from hybrik_ros.fusion import Fusion, View
from hybrik_ros.fusion.health import CameraHealth, describe_faults
from hybrik_ros.messages.fields import nanoseconds
from hybrik_ros.messages.frame_tree import FrameTree, TransformError
from hybrik_ros.messages.observations import observations_of
from hybrik_ros.messages.people import PersonError
from hybrik_ros.msg import HumanObservationArray
from hybrik_ros.node.stamp_checks import check_stamps
from hybrik_ros.node.topic_stream import TopicStream
from hybrik_ros.node.topics import STATIC_TRANSFORMS, TRANSFORMS, MessageInfo, with_info
from hybrik_ros.node.view_buffer import ViewBuffer

_OBSERVATIONS = 'hybrik_ros/msg/HumanObservationArray'
_QOS = QoSProfile(depth=20, reliability=QoSReliabilityPolicy.BEST_EFFORT)
_MAX_ANSWER_SECONDS = 3.0  # of a service
_MAX_DISCOVERY_SECONDS = 7.0
_MIN_SECONDS = 3.0  # in which it is known whether cameras agree
_MAX_MESSAGES = 2000  # of all cameras that are kept


def observed_cameras(node: Node, name: str) -> list[str]:
    """Return the topics of the observations that a node fuses; none if it is no fusion_node."""
    namespace, _, short = name.rpartition('/')
    subscribed = node.get_subscriber_names_and_types_by_node(short, namespace or '/')
    return sorted(topic for topic, kinds in subscribed if _OBSERVATIONS in kinds)


class FusionListener:
    """Receives what a fusion_node receives: the observations of its cameras, and TF.

    Parameters
    ----------
    node : Node
        The node that subscribes; it must be spun.
    topics : list of str
        Topics of the observations.
    """

    def __init__(self, node: Node, topics: list[str]) -> None:
        self._node = node
        self._frames = FrameTree()
        self._streams = {topic: TopicStream(node.get_clock()) for topic in topics}
        self._messages: list[tuple[str, Any]] = []
        self._subscriptions = [
            node.create_subscription(
                HumanObservationArray, topic, with_info(self._taker(topic)), _QOS
            )
            for topic in topics
        ]
        self._subscriptions += [
            node.create_subscription(TFMessage, topic, self._frame_taker(is_static), copy(qos))
            for topic, is_static, qos in (
                ('/tf', False, TRANSFORMS),
                ('/tf_static', True, STATIC_TRANSFORMS),
            )
        ]

    @property
    def hears_all(self) -> bool:
        """Whether a message was received from each camera that has a publisher."""
        return all(
            stream.last is not None or not self._node.count_publishers(topic)
            for topic, stream in self._streams.items()
        )

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def check(self, fixed_frame: str) -> Iterator[Finding]:
        """Check each camera, and whether they agree.

        Parameters
        ----------
        fixed_frame : str
            Frame in which people are fused.
        """
        placed = []
        for topic, stream in self._streams.items():
            if stream.last is None:
                yield self._explain_silence(topic)
                continue
            yield check_stamps(topic, stream, self._node)
            finding = self._check_transform(topic, stream.last, fixed_frame)
            yield finding
            if finding.level == OK:
                placed.append(topic)
        if len(placed) > 1:
            yield from self._check_health(placed, fixed_frame)

    def _taker(self, topic: str) -> Callable[[Any, MessageInfo], None]:
        def take(message: Any, info: MessageInfo) -> None:
            self._streams[topic].take(message, info)
            if len(self._messages) < _MAX_MESSAGES:
                self._messages.append((topic, message))

        return take

    def _frame_taker(self, is_static: bool) -> Callable[[TFMessage], None]:
        return lambda message: self._frames.update(message.transforms, is_static)

    def _explain_silence(self, topic: str) -> Finding:
        """Return why nothing is received from a camera."""
        namespace = topic.rpartition('/')[0] or '/'
        if self._node.count_publishers(topic):
            return Finding(
                PROBLEM, topic, 'no message received',
                f'check that the hybrik_node in {namespace} is active and receives images',
            )  # fmt: skip
        if self._node.count_publishers(f'{namespace.rstrip("/")}/human_poses'):
            return Finding(
                WARNING, topic, 'no publisher; human_poses are fused, which is less accurate',
                'use a hybrik_node that publishes human_observations',
            )  # fmt: skip
        return Finding(
            PROBLEM, topic, 'no publisher',
            f'start a hybrik_node in the namespace {namespace}, or correct the parameter cameras '
            f'of the fusion_node',
        )  # fmt: skip

    def _check_transform(self, topic: str, message: Any, fixed_frame: str) -> Finding:
        frame = message.header.frame_id
        try:
            transform = self._frames.transform_between(
                fixed_frame, frame, nanoseconds(message.header)
            )
        except TransformError as error:
            return Finding.of(
                PROBLEM, topic, str(error),
                f'publish where the camera is, from {fixed_frame} to {frame}: hybrik calibrate '
                f'writes it',
            )  # fmt: skip
        x, y, z = transform[:3, 3]
        return Finding(OK, topic, f'{frame} is at {x:.2f}, {y:.2f}, {z:.2f} m in {fixed_frame}')

    def _check_health(self, topics: list[str], fixed_frame: str) -> Iterator[Finding]:
        """Fuse what was received, and say whether the cameras agree."""
        names = {topic: topic.rpartition('/')[0].lstrip('/') or topic for topic in topics}
        health = self._fuse(names, fixed_frame)
        faults = describe_faults(health)
        for fault in faults:
            yield Finding.of(WARNING, 'fusion', fault)
        shares = [each.matched for each in health.values()]
        if not health or np.isnan(shares).all():
            yield Finding(
                WARNING, 'fusion', 'cameras did not see people at the same time, so that it is '
                'not known whether they agree',
                'walk where several cameras see you, and check again with --seconds 10',
            )  # fmt: skip
            return
        for name, each in health.items():
            if not each.has_other_people:
                yield _describe(name, each)

    def _fuse(self, names: dict[str, str], fixed_frame: str) -> dict[str, CameraHealth]:
        """Return the health of the cameras by what was received."""
        fusion, buffer = Fusion(), ViewBuffer()
        # Messages of one camera may come in bursts.
        for topic, message in sorted(self._messages, key=lambda each: nanoseconds(each[1].header)):
            if topic not in names:
                continue
            stamp = nanoseconds(message.header)
            try:
                _, people, _ = observations_of(message)
                pose = self._frames.transform_between(fixed_frame, message.header.frame_id, stamp)
            except (PersonError, TransformError):  # of some images only
                continue
            if views := buffer.put(names[topic], View(stamp * 1e-9, pose, people)):
                fusion(views)
        return fusion.health


def _describe(name: str, health: CameraHealth) -> Finding:
    """Return what is known of a camera that shares people with others."""
    found = f'camera {name}: {health.matched:.0%} of its people are seen by others'
    if np.isfinite(health.distance):
        x, y = 1e3 * health.offset
        found += f', {1e3 * health.distance:.0f} mm off, {x:.0f} / {y:.0f} in one direction'
    if np.isfinite(health.delay):
        found += f', clock late by {1e3 * health.delay:.0f} ms'
    return Finding(OK, 'fusion', found)


def check_fusion(
    node: Node,
    executor: SingleThreadedExecutor,
    name: str,
    topics: list[str],
    seconds: float,
    spin: Callable[[float, Callable[[], bool]], None],
) -> Iterator[Finding]:
    """Check a fusion_node that is active.

    Parameters
    ----------
    node : Node
        The node of the doctor.
    executor : SingleThreadedExecutor
        Runs its callbacks.
    name : str
        Full name of the fusion_node.
    topics : list of str
        Topics of the observations that it subscribes to.
    seconds : float
        Minimum duration for which to listen.
    spin : callable
        Runs callbacks for some seconds, or until a condition holds.
    """
    fixed_frame = _fixed_frame(node, executor, name)
    if fixed_frame is None:
        yield Finding(
            PROBLEM, name, 'does not tell its parameter fixed_frame',
            'it is busy or hangs: look at its log, or restart it',
        )  # fmt: skip
        return
    cameras = ', '.join(topic.rpartition('/')[0] or '/' for topic in topics)
    yield Finding(OK, name, f'active, fuses {cameras} in {fixed_frame}')
    listener = FusionListener(node, topics)
    try:
        spin(_MAX_DISCOVERY_SECONDS, lambda: listener.hears_all)
        spin(max(seconds, _MIN_SECONDS), lambda: False)
        yield from listener.check(fixed_frame)
    finally:
        listener.close()


def _fixed_frame(node: Node, executor: SingleThreadedExecutor, name: str) -> str | None:
    client: Client = node.create_client(GetParameters, f'{name}/get_parameters')
    try:
        if not client.wait_for_service(_MAX_ANSWER_SECONDS):
            return None
        answer = client.call_async(GetParameters.Request(names=['fixed_frame']))
        executor.spin_until_future_complete(answer, _MAX_ANSWER_SECONDS)
        response = answer.result() if answer.done() else None
        return response.values[0].string_value if response and response.values else None
    finally:
        node.destroy_client(client)
