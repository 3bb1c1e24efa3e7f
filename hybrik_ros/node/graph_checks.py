"""Checks of `hybrik doctor` in ROS: settings, cameras, and running nodes."""

import os
import time
from collections.abc import Callable, Generator, Iterator
from importlib import import_module, metadata
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import GetState
from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future
from rclpy.topic_endpoint_info import TopicEndpointInfo

from hybrik_ros.advice import explain, one_line, package_advice
from hybrik_ros.findings import OK, PROBLEM, WARNING, Finding
from hybrik_ros.node.camera_checks import (
    COMPRESSED_IMAGE,
    IMAGES,
    CameraListener,
    full_name,
)
from hybrik_ros.node.detection_checks import DETECTIONS, DetectionListener, check_detections
from hybrik_ros.node.fusion_checks import check_fusion, observed_cameras
from hybrik_ros.node.stamp_checks import check_clock
from hybrik_ros.tracking import MAX_INTERVAL

# Optional packages and what they are used for.
_OPTIONAL = {
    'hri_msgs': "REP-155's topics, /humans/bodies/...",
    'vision_msgs': 'detections of another detector, the parameter detector.external',
}
# Maximum domain on Linux; for larger ones, other programs may use the ports.
_MAX_SAFE_DOMAIN = 101
_MAX_CAMERAS = 8  # from which images are received at a time
_MAX_DISCOVERY_SECONDS = 7.0
# Minimum time without a new camera after which discovery is complete. Fast DDS announces processes
# every 3 s, and the first announcement may be lost.
_SETTLE_SECONDS = 3.5
_UNKNOWN_NAME = '_NODE_NAME_UNKNOWN_'  # of a node of which only its publishers are discovered yet
_MAX_ANSWER_SECONDS = 3.0  # of a service
_SPIN_SECONDS = 0.1
_LEVELS = {DiagnosticStatus.OK: OK, DiagnosticStatus.WARN: WARNING}
# Keys of the node's diagnostics that are reported.
_REPORTED_KEYS = ('processed per second', 'dropped for newer frames', 'total ms, median / p95')
_START_CAMERA = (
    'start a camera, for example: hybrik video 0, or where ROS has launch: '
    'ros2 launch hybrik_ros camera.launch.py source:=/dev/video0'
)


def check_settings() -> Iterator[Finding]:
    """Check the installation and the settings of ROS, without starting a node."""
    yield _check_distribution()
    yield _check_messages()
    yield _check_prefix()
    yield _check_domain()
    yield _check_discovery()
    for package, purpose in _OPTIONAL.items():
        yield _check_optional(package, purpose)


def check_graph(image: str | None, seconds: float, ros_arguments: list[str]) -> Iterator[Finding]:
    """Check cameras and running nodes of this package in the ROS graph.

    Parameters
    ----------
    image : str or None
        Topic of the images; None for all topics with images.
    seconds : float
        Duration in seconds for which images are received.
    ros_arguments : list of str
        Arguments from --ros-args on, such as remapping rules.
    """
    context = rclpy.Context()
    try:
        rclpy.init(args=ros_arguments, context=context)
        node = Node('hybrik_doctor', context=context, enable_rosout=False)
    except Exception as error:  # Wrong arguments and settings can raise any exception.
        context.try_shutdown()
        reason = explain(error) or one_line(error)
        advice = 'correct the arguments or the environment variables of ROS'
        yield Finding(PROBLEM, 'ROS', f'does not start: {reason}', advice)
        return
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        yield from _GraphChecker(node, executor).check(image, seconds)
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()


def _check_distribution() -> Finding:
    distribution = os.environ.get('ROS_DISTRO', 'no ROS_DISTRO (ROS from PyPI?)')
    try:
        version = f' {metadata.version("rclpy")}'
    except metadata.PackageNotFoundError:
        version = ''
    middleware = rclpy.get_rmw_implementation_identifier()
    return Finding(OK, 'ROS', f'{distribution}, rclpy{version}, {middleware}')


def _check_messages() -> Finding:
    try:
        from hybrik_ros.msg import HumanMeshArray

        # Load the libraries, too.
        HumanMeshArray.__class__.__import_type_support__()
    except (ImportError, AttributeError) as error:
        return Finding(
            PROBLEM,
            'messages',
            f'messages of hybrik_ros cannot be imported: {error}',
            'build and source the workspace: colcon build --packages-select hybrik_ros && '
            'source install/setup.bash',
        )
    return Finding(OK, 'messages', 'HumanMesh and HumanMeshArray are built')


def _check_prefix() -> Finding:
    for prefix in filter(None, os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)):
        if Path(prefix, 'share/ament_index/resource_index/packages/hybrik_ros').is_file():
            return Finding(OK, 'package', f'hybrik_ros is installed in {prefix}')
    return Finding(
        WARNING,
        'package',
        'hybrik_ros is not in AMENT_PREFIX_PATH: ros2 run and ros2 launch do not find it',
        'source install/setup.bash of the workspace, or scripts/environment of this package',
    )


def _check_domain() -> Finding:
    text = os.environ.get('ROS_DOMAIN_ID') or '0'
    if text.isdecimal() and int(text) <= _MAX_SAFE_DOMAIN:
        return Finding(OK, 'ROS_DOMAIN_ID', f'{text}: only nodes with the same domain are found')
    return Finding(
        WARNING,
        'ROS_DOMAIN_ID',
        f'{text} is not in the range from 0 to {_MAX_SAFE_DOMAIN}, which is safe on Linux',
        'export ROS_DOMAIN_ID=0, or another number in this range, for all nodes',
    )


def _check_discovery() -> Finding:
    subject = 'discovery'
    if os.environ.get('ROS_LOCALHOST_ONLY') == '1':
        return Finding(OK, subject, 'ROS_LOCALHOST_ONLY is 1: only nodes on this machine are found')
    reach = os.environ.get('ROS_AUTOMATIC_DISCOVERY_RANGE', '').upper() or 'SUBNET'
    peers = os.environ.get('ROS_STATIC_PEERS', '')
    also = f', and nodes on {peers}' if peers else ''
    if reach == 'OFF':
        return Finding(
            WARNING,
            subject,
            'ROS_AUTOMATIC_DISCOVERY_RANGE is OFF: no other node is found',
            'export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST, or SUBNET for other machines',
        )
    where = {'LOCALHOST': 'nodes on this machine', 'SUBNET': 'nodes on this network'}.get(reach)
    return Finding(OK, subject, f'{reach}: {where or "range of the middleware"}{also}')


def _check_optional(package: str, purpose: str) -> Finding:
    try:
        import_module(package)
    except ImportError:
        advice = package_advice(package)
        return Finding(OK, package, f'not installed; used only for {purpose} ({advice})')
    return Finding(OK, package, f'installed; used only for {purpose}')


class _GraphChecker:
    """Checks the ROS graph with a node and its executor."""

    def __init__(self, node: Node, executor: SingleThreadedExecutor) -> None:
        self._node = node
        self._executor = executor
        self._reports: dict[str, DiagnosticStatus] = {}
        node.create_subscription(DiagnosticArray, '/diagnostics', self._store_reports, 10)

    def check(self, image: str | None, seconds: float) -> Iterator[Finding]:
        """Check the cameras of one topic, or of all for None, and running nodes."""
        try:
            wanted = self._node.resolve_topic_name(image or 'image')
        except (RuntimeError, ValueError) as error:
            advice = 'use the name of a topic that ros2 topic list shows'
            yield Finding(PROBLEM, 'camera', explain(error) or one_line(error), advice)
            return
        is_named = image is not None or wanted != self._expand_name('image')
        self._spin(_MAX_DISCOVERY_SECONDS, self._found(wanted) if is_named else self._settled())
        if is_named:
            kind = self._kind(wanted)
            topics = {wanted: kind} if kind else {}
            if not topics:
                yield self._explain_topic(wanted)
        else:
            topics = self._camera_topics()
            if not topics:
                yield Finding(PROBLEM, 'camera', 'no images are published', _START_CAMERA)
        yield from check_clock(self._node)
        yield from self._check_cameras(topics, seconds, is_named)
        yield from self._check_nodes(seconds)

    def _check_cameras(
        self, topics: dict[str, str], seconds: float, is_named: bool
    ) -> Iterator[Finding]:
        """Receive images for some seconds, and check the cameras of topics with their types.

        Slow cameras are waited for, as long as two images may be apart.
        """
        cameras = []
        for number, (topic, kind) in enumerate(list(topics.items())[:_MAX_CAMERAS]):
            cameras.append(CameraListener(self._node, f'hybrik_doctor_{number}', topic, kind))
            self._executor.add_node(cameras[-1].node)
        detectors = yield from self._listen_to_detectors()
        if cameras or self._nodes():  # A node publishes diagnostics once per second.
            self._spin(seconds)
        self._spin(MAX_INTERVAL, lambda: all(camera.has_rate for camera in cameras))
        for camera in cameras:
            yield from camera.check(self._nodes(), is_named)
            self._executor.remove_node(camera.node)
            camera.node.destroy_node()
        # Of several cameras it is not known which one a detector looks at.
        images = cameras[0].images if len(cameras) == 1 else None
        for detector in detectors:
            yield from check_detections(detector.topic, detector.messages, images)
        if left_out := list(topics)[_MAX_CAMERAS:]:
            yield Finding(
                WARNING, 'camera', f'not checked: {", ".join(left_out)}',
                'check one of them with --image TOPIC',
            )  # fmt: skip

    def _listen_to_detectors(self) -> Generator[Finding, None, list[DetectionListener]]:
        """Subscribe to the detections that are published; yield why that fails."""
        topics = [
            topic
            for topic, kinds in self._node.get_topic_names_and_types()
            if DETECTIONS in kinds and self._publishers(topic)
        ]
        try:
            return [DetectionListener(self._node, topic) for topic in topics]
        except RuntimeError as error:
            yield Finding.of(WARNING, ', '.join(topics), f'not checked, as {error}')
            return []

    def _expand_name(self, name: str) -> str:
        """Return the full name of a topic, without remapping."""
        return f'{self._node.get_namespace().rstrip("/")}/{name}'

    def _explain_topic(self, topic: str) -> Finding:
        """Return why no images can be received from a topic."""
        kinds = sorted({each.topic_type for each in self._publishers(topic)})
        found = 'no publisher'
        if kinds:
            found = f'is {", ".join(kinds)}, not {" or ".join(sorted(IMAGES))}'
        others = self._camera_topics()
        advice = f'images are on {", ".join(others)}' if others else _START_CAMERA
        return Finding(PROBLEM, topic, found, advice)

    def _publishers(self, topic: str) -> list[TopicEndpointInfo]:
        return list(self._node.get_publishers_info_by_topic(topic))

    def _kind(self, topic: str) -> str | None:
        """Return the type of the images published on a topic; None if there are none."""
        kinds = IMAGES.intersection(each.topic_type for each in self._publishers(topic))
        return min(kinds, default=None)

    def _found(self, topic: str) -> Callable[[], bool]:
        """Return a function that tells whether a topic has a publisher."""
        return lambda: bool(self._publishers(topic))

    def _settled(self) -> Callable[[], bool]:
        """Return a function that tells whether cameras were found, and no new one for a while."""
        known: list[str] = []
        since = time.monotonic()

        def settled() -> bool:
            nonlocal known, since
            topics = list(self._camera_topics())
            if topics != known:
                known, since = topics, time.monotonic()
            return bool(known) and time.monotonic() > since + _SETTLE_SECONDS

        return settled

    def _camera_topics(self) -> dict[str, str]:
        """Return the types of all topics with images, those published by hybrik_nodes excluded.

        Topics that image_transport derives from another topic are left out: they have the same
        images.
        """
        ours = self._nodes()
        found = {}
        for topic, kinds in sorted(self._node.get_topic_names_and_types()):
            if IMAGES.isdisjoint(kinds):
                continue
            kind = self._kind(topic)
            if kind and any(full_name(each) not in ours for each in self._publishers(topic)):
                found[topic] = kind
        return {
            topic: kind for topic, kind in found.items() if topic.rpartition('/')[0] not in found
        }

    def _nodes(self) -> set[str]:
        """Return the full names of the running hybrik_nodes."""
        named = {
            f'{namespace.rstrip("/")}/{name}'
            for name, namespace in self._node.get_node_names_and_namespaces()
            if name == 'hybrik_node'
        }
        renamed = {
            full_name(publisher)
            for topic, kinds in self._node.get_topic_names_and_types()
            if 'hybrik_ros/msg/HumanMeshArray' in kinds
            for publisher in self._publishers(topic)
            if publisher.node_name != _UNKNOWN_NAME
        }
        return named | renamed

    def _check_nodes(self, seconds: float) -> Iterator[Finding]:
        """Check state, inputs and diagnostics of the running hybrik_nodes."""
        nodes = sorted(self._nodes())
        if not nodes:
            yield Finding(OK, 'hybrik_node', 'is not running')
        for name in nodes:
            state = self._state(name)
            if state == 'active':
                if topics := observed_cameras(self._node, name):
                    yield from check_fusion(
                        self._node, self._executor, name, topics, seconds, self._spin
                    )
                else:
                    yield self._check_inputs(name)
                yield self._check_diagnostics(name)
            elif state is None and name.rpartition('/')[2] in self._reports:  # It is loading.
                yield self._check_diagnostics(name)
            elif state is None:
                yield Finding(
                    PROBLEM,
                    name,
                    f'does not report its state within {_MAX_ANSWER_SECONDS:g} s',
                    'it is busy or hangs: look at its log, or restart it',
                )
            else:
                report = self._reports.get(name.rpartition('/')[2])
                reason = f': {report.message}' if report is not None and report.message else ''
                step = 'configure' if state == 'unconfigured' else 'activate'
                yield Finding(
                    WARNING, name, f'is {state}{reason}',
                    f'ros2 lifecycle set {name} {step}; if that fails, the log shows the reason',
                )  # fmt: skip

    def _state(self, name: str) -> str | None:
        """Return the lifecycle state of a node; None where it does not answer."""
        client: Client = self._node.create_client(GetState, f'{name}/get_state')
        try:
            if not client.wait_for_service(_MAX_ANSWER_SECONDS):
                return None
            answer: Future = client.call_async(GetState.Request())
            self._executor.spin_until_future_complete(answer, _MAX_ANSWER_SECONDS)
            response = answer.result() if answer.done() else None
            return None if response is None else response.current_state.label
        finally:
            self._node.destroy_client(client)

    def _check_inputs(self, name: str) -> Finding:
        """Check that the images that a node subscribes to are published."""
        namespace, _, short = name.rpartition('/')
        subscribed = self._node.get_subscriber_names_and_types_by_node(short, namespace or '/')
        topics = [topic for topic, kinds in subscribed if not IMAGES.isdisjoint(kinds)]
        silent = [
            topic
            for topic, kinds in subscribed
            if not IMAGES.isdisjoint(kinds)
            and not any(each.topic_type in kinds for each in self._publishers(topic))
        ]
        if silent:
            found = f'subscribes to {", ".join(silent)}, which has no publisher of its type'
            return Finding(PROBLEM, name, found, self._advise_topic())
        return Finding(OK, name, f'active, subscribes to {", ".join(topics) or "no images"}')

    def _advise_topic(self) -> str:
        """Return how to start a node with images that are published."""
        found = self._camera_topics()
        if not found:
            return _START_CAMERA
        topic, kind = next(iter(found.items()))
        if kind == COMPRESSED_IMAGE:
            topic = topic.removesuffix('/compressed')
            return f'start it with image_topic:={topic} image_transport:=compressed'
        return f'start it with image_topic:={topic} image_transport:=raw'

    def _check_diagnostics(self, name: str) -> Finding:
        """Return the last diagnostics of a node."""
        report = self._reports.get(name.rpartition('/')[2])
        if report is None:
            return Finding(
                WARNING, name, 'no message from it on /diagnostics', 'wait longer: --seconds 5'
            )
        values = {value.key: value.value for value in report.values}
        shown = [f'{key} {values[key]}' for key in _REPORTED_KEYS if key in values]
        level = _LEVELS.get(report.level, PROBLEM)
        return Finding(
            level,
            name,
            '; '.join([f'reports: {report.message}', *shown]),
            '' if level == OK else 'for details: ros2 topic echo /diagnostics, and its log',
        )

    def _store_reports(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self._reports[status.name] = status

    def _spin(self, seconds: float, enough: Callable[[], bool] = lambda: False) -> None:
        """Run callbacks for some seconds, or until enough returns true."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not enough():
            self._executor.spin_once(timeout_sec=min(left, _SPIN_SECONDS))
