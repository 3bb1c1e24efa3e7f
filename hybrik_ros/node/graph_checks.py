"""What `hybrik doctor` finds in ROS: its settings, cameras, and a node that runs."""

import os
import time
from collections.abc import Callable, Iterator
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

from hybrik_ros.advice import explain, one_line
from hybrik_ros.findings import OK, PROBLEM, WARNING, Finding
from hybrik_ros.node.camera_checks import IMAGES, CameraListener, full_name

# Packages that the node does without, and what it uses them for.
_OPTIONAL = {
    'hri_msgs': "REP-155's topics, /humans/bodies/...",
    'vision_msgs': "another detector's people, the parameter detector.external",
    'cv_bridge': "this package's tests: the node converts images itself",
}
_GREATEST_SAFE_DOMAIN = 101  # On Linux, ports of those above may be taken by other programs.
_MOST_CAMERAS = 8  # that are listened to at a time
_DISCOVERY_SECONDS = 7.0  # for which cameras are looked for at most
# Fast DDS announces processes every 3 s; where the first word is lost, the next one comes so late.
_SETTLE_SECONDS = 3.5  # without anything new in the graph
_ANSWER_SECONDS = 3.0
_SPIN_SECONDS = 0.1
_LEVELS = {DiagnosticStatus.OK: OK, DiagnosticStatus.WARN: WARNING}
# Of the node's diagnostics, what is shown.
_SHOWN = ('processed per second', 'dropped for newer frames', 'total ms, median / p95')
_START_CAMERA = (
    'start one, for example: ros2 launch hybrik_ros camera.launch.py source:=/dev/video0'
)


def settings() -> Iterator[Finding]:
    """Examine ROS as it is installed and set up, without starting anything."""
    yield _distribution()
    yield _messages()
    yield _prefix()
    yield _domain()
    yield _discovery()
    for package, purpose in _OPTIONAL.items():
        yield _optional(package, purpose)


def graph(image: str | None, seconds: float, ros_arguments: list[str]) -> Iterator[Finding]:
    """Examine the cameras and the node that there are in the ROS graph.

    Parameters
    ----------
    image: topic of the images; None for all that there are.
    seconds: for which cameras are listened to.
    ros_arguments: those after --ros-args, remapping rules and such.
    """
    context = rclpy.Context()
    try:
        rclpy.init(args=ros_arguments, context=context)
        node = Node('hybrik_doctor', context=context, enable_rosout=False)
    except Exception as error:  # Wrong arguments and settings raise all sorts of things.
        context.try_shutdown()
        reason = explain(error) or one_line(error)
        yield Finding(PROBLEM, 'ROS', f'does not start: {reason}', 'correct what it complains of')
        return
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        yield from _Examination(node, executor).findings(image, seconds)
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()


def _distribution() -> Finding:
    distribution = os.environ.get('ROS_DISTRO', 'no ROS_DISTRO (ROS from PyPI?)')
    try:
        version = f' {metadata.version("rclpy")}'
    except metadata.PackageNotFoundError:
        version = ''
    middleware = rclpy.get_rmw_implementation_identifier()
    return Finding(OK, 'ROS', f'{distribution}, rclpy{version}, {middleware}')


def _messages() -> Finding:
    try:
        from hybrik_ros.msg import HumanMeshArray

        # Loads the libraries, too.
        HumanMeshArray.__class__.__import_type_support__()
    except (ImportError, AttributeError) as error:
        return Finding(
            PROBLEM,
            'messages',
            f'those of hybrik_ros cannot be imported: {error}',
            'build and source the workspace: colcon build --packages-select hybrik_ros && '
            'source install/setup.bash',
        )
    return Finding(OK, 'messages', 'HumanMesh and HumanMeshArray are built')


def _prefix() -> Finding:
    for prefix in filter(None, os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)):
        if Path(prefix, 'share/ament_index/resource_index/packages/hybrik_ros').is_file():
            return Finding(OK, 'package', f'hybrik_ros is installed in {prefix}')
    return Finding(
        WARNING,
        'package',
        'hybrik_ros is in no folder of AMENT_PREFIX_PATH: ros2 run and ros2 launch do not find it',
        'source install/setup.bash of the workspace, or scripts/environment of this package',
    )


def _domain() -> Finding:
    text = os.environ.get('ROS_DOMAIN_ID') or '0'
    if text.isdecimal() and int(text) <= _GREATEST_SAFE_DOMAIN:
        return Finding(OK, 'ROS_DOMAIN_ID', f'{text}: only nodes with the same are found')
    return Finding(
        WARNING,
        'ROS_DOMAIN_ID',
        f'{text} is not one of 0 to {_GREATEST_SAFE_DOMAIN}, which are safe on Linux',
        'export ROS_DOMAIN_ID=0, or another of these, for all nodes alike',
    )


def _discovery() -> Finding:
    subject = 'discovery'
    if os.environ.get('ROS_LOCALHOST_ONLY') == '1':
        return Finding(OK, subject, 'ROS_LOCALHOST_ONLY is 1: only nodes on this machine are found')
    reach = os.environ.get('ROS_AUTOMATIC_DISCOVERY_RANGE', '').upper() or 'SUBNET'
    peers = os.environ.get('ROS_STATIC_PEERS', '')
    also = f', and those on {peers}' if peers else ''
    if reach == 'OFF':
        return Finding(
            WARNING,
            subject,
            'ROS_AUTOMATIC_DISCOVERY_RANGE is OFF: no other node is found',
            'export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST, or SUBNET for other machines',
        )
    where = {'LOCALHOST': 'nodes on this machine', 'SUBNET': 'nodes on this network'}.get(reach)
    return Finding(OK, subject, f'{reach}: {where or "as the middleware says"}{also}')


def _optional(package: str, purpose: str) -> Finding:
    try:
        import_module(package)
    except ImportError:
        name = package.replace('_', '-')
        return Finding(
            OK,
            package,
            f'not installed; used only for {purpose} '
            f'(sudo apt install ros-{os.environ.get("ROS_DISTRO", "<distribution>")}-{name})',
        )
    return Finding(OK, package, f'installed; used only for {purpose}')


class _Examination:
    """Looks at the ROS graph by a node and its executor."""

    def __init__(self, node: Node, executor: SingleThreadedExecutor) -> None:
        self._node = node
        self._executor = executor
        self._reports: dict[str, DiagnosticStatus] = {}
        node.create_subscription(DiagnosticArray, '/diagnostics', self._take_report, 10)

    def findings(self, image: str | None, seconds: float) -> Iterator[Finding]:
        try:
            wanted = self._node.resolve_topic_name(image or 'image')
        except (RuntimeError, ValueError) as error:
            reason = ' '.join(str(error).split())
            yield Finding(PROBLEM, 'camera', reason, 'name a topic as ros2 topic list shows it')
            return
        named = image is not None or wanted != self._expanded('image')
        self._spin(_DISCOVERY_SECONDS, self._found(wanted) if named else self._settled())
        if named:
            kind = self._kind(wanted)
            topics = {wanted: kind} if kind else {}
            if not topics:
                yield self._misnamed(wanted)
        else:
            topics = self._camera_topics()
            if not topics:
                yield Finding(PROBLEM, 'camera', 'nobody publishes images', _START_CAMERA)
        cameras = []
        for number, (topic, kind) in enumerate(list(topics.items())[:_MOST_CAMERAS]):
            cameras.append(CameraListener(self._node, f'hybrik_doctor_{number}', topic, kind))
            self._executor.add_node(cameras[-1].node)
        if cameras or self._nodes():  # Which reports once a second.
            self._spin(seconds)
        for camera in cameras:
            yield from camera.findings(self._nodes(), named)
            self._executor.remove_node(camera.node)
            camera.node.destroy_node()
        if left_out := list(topics)[_MOST_CAMERAS:]:
            yield Finding(
                WARNING, 'camera', f'not listened to: {", ".join(left_out)}',
                'name one of them by --image',
            )  # fmt: skip
        yield from self._running()

    def _expanded(self, name: str) -> str:
        """Return the full name that a topic has unless it is remapped."""
        return f'{self._node.get_namespace().rstrip("/")}/{name}'

    def _misnamed(self, topic: str) -> Finding:
        """Say why a topic that was named cannot be listened to."""
        kinds = sorted({each.topic_type for each in self._publishers(topic)})
        found = 'nobody publishes it'
        if kinds:
            found = f'is {", ".join(kinds)}, not {" or ".join(sorted(IMAGES))}'
        others = self._camera_topics()
        advice = f'images are on {", ".join(others)}' if others else _START_CAMERA
        return Finding(PROBLEM, topic, found, advice)

    def _publishers(self, topic: str) -> list[TopicEndpointInfo]:
        return list(self._node.get_publishers_info_by_topic(topic))

    def _kind(self, topic: str) -> str | None:
        """Return the type of the images that are published on a topic, None if there are none."""
        kinds = IMAGES.intersection(each.topic_type for each in self._publishers(topic))
        return min(kinds, default=None)

    def _found(self, topic: str) -> Callable[[], bool]:
        return lambda: bool(self._publishers(topic))

    def _settled(self) -> Callable[[], bool]:
        """Return what tells whether there are cameras, and nothing new came for a while."""
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
        """Return the topics of images that somebody else than the node publishes, and their types.

        Those that image_transport makes of another are left out: they are the same images.
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
        """Return the full names of the hybrik_nodes that run."""
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
        }
        return named | renamed

    def _running(self) -> Iterator[Finding]:
        nodes = sorted(self._nodes())
        if not nodes:
            yield Finding(OK, 'hybrik_node', 'does not run')
        for name in nodes:
            state = self._state(name)
            if state == 'active':
                yield self._inputs(name)
                yield self._report(name)
            elif state is None and name.rpartition('/')[2] in self._reports:  # It is loading.
                yield self._report(name)
            elif state is None:
                yield Finding(
                    PROBLEM,
                    name,
                    f'does not tell its state in {_ANSWER_SECONDS:g} s',
                    'it is busy, or hangs: look at its log, or start it anew',
                )
            else:
                report = self._reports.get(name.rpartition('/')[2])
                why = f': {report.message}' if report is not None and report.message else ''
                step = 'configure' if state == 'unconfigured' else 'activate'
                yield Finding(
                    WARNING, name, f'is {state}{why}',
                    f'ros2 lifecycle set {name} {step}; if that fails, the log says why',
                )  # fmt: skip

    def _state(self, name: str) -> str | None:
        client: Client = self._node.create_client(GetState, f'{name}/get_state')
        try:
            if not client.wait_for_service(_ANSWER_SECONDS):
                return None
            answer: Future = client.call_async(GetState.Request())
            self._executor.spin_until_future_complete(answer, _ANSWER_SECONDS)
            response = answer.result() if answer.done() else None
            return None if response is None else response.current_state.label
        finally:
            self._node.destroy_client(client)

    def _inputs(self, name: str) -> Finding:
        """Tell whether somebody publishes the images that a node subscribes to."""
        namespace, _, short = name.rpartition('/')
        subscribed = self._node.get_subscriber_names_and_types_by_node(short, namespace or '/')
        topics = [topic for topic, kinds in subscribed if not IMAGES.isdisjoint(kinds)]
        silent = [topic for topic in topics if not self._publishers(topic)]
        if silent:
            elsewhere = list(self._camera_topics())
            advice = f'start it with image_topic:={elsewhere[0]}' if elsewhere else _START_CAMERA
            listens = f'listens to {", ".join(silent)}, which nobody publishes'
            return Finding(PROBLEM, name, listens, advice)
        return Finding(OK, name, f'active, listens to {", ".join(topics) or "no images"}')

    def _report(self, name: str) -> Finding:
        report = self._reports.get(name.rpartition('/')[2])
        if report is None:
            return Finding(
                WARNING, name, 'nothing of it came on /diagnostics', 'look longer: --seconds 5'
            )
        values = {value.key: value.value for value in report.values}
        shown = [f'{key} {values[key]}' for key in _SHOWN if key in values]
        level = _LEVELS.get(report.level, PROBLEM)
        return Finding(
            level,
            name,
            '; '.join([f'says: {report.message}', *shown]),
            '' if level == OK else 'ros2 topic echo /diagnostics and its log say more',
        )

    def _take_report(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self._reports[status.name] = status

    def _spin(self, seconds: float, enough: Callable[[], bool] = lambda: False) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not enough():
            self._executor.spin_once(timeout_sec=min(left, _SPIN_SECONDS))
