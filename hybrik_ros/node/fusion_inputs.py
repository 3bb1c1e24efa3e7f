"""Subscriptions of the fusion node: what each camera sees, and TF."""

import time
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, NamedTuple

from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.subscription import Subscription
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from hybrik_ros.fusion import View
from hybrik_ros.fusion.times import MAX_AGE
from hybrik_ros.human import Human, HumanObservation
from hybrik_ros.messages.fields import nanoseconds, strip_slash
from hybrik_ros.messages.frame_tree import FrameTree, TransformError
from hybrik_ros.messages.images import UnusableInputError
from hybrik_ros.messages.observations import observations_of
from hybrik_ros.messages.people import PersonError, people_of
from hybrik_ros.msg import HumanMeshArray, HumanObservationArray
from hybrik_ros.node.rate_meter import RateMeter
from hybrik_ros.node.reporter import Reporter
from hybrik_ros.node.stamp_ages import StampAges
from hybrik_ros.node.topics import STATIC_TRANSFORMS, TRANSFORMS
from hybrik_ros.node.view_buffer import ViewBuffer

_NO_MESSAGE = 'no message'  # state of a camera before its first one
_START_SECONDS = 10.0  # for which its node may load networks before it is named as silent
_FALLBACK_SECONDS = 2.0  # without observations, after which human_poses is subscribed to
# Minimum seconds by which stamps are ahead of the clock and of other cameras to be impossible.
_MAX_AHEAD = 0.5

_People = Sequence[HumanObservation | Human]


class CameraViews(NamedTuple):
    """What the cameras see: their views by name, and the newest stamp in nanoseconds."""

    views: dict[str, View]
    stamp: int


class FusionInputs:
    """Subscribes to the cameras and to TF, and hands on what is to be fused.

    Parameters
    ----------
    node : Node
        The node that subscribes.
    cameras : sequence of str
        Namespaces of the cameras.
    fixed_frame : str
        Frame in which people are fused.
    body_model : str
        Name of the body model, which all cameras must have.
    reporter : Reporter
        Takes counts and complaints.
    give : callable
        Called with each CameraViews.
    """

    def __init__(
        self,
        node: Node,
        cameras: Sequence[str],
        fixed_frame: str,
        body_model: str,
        reporter: Reporter,
        give: Callable[[CameraViews], None],
    ) -> None:
        self._node = node
        self._fixed_frame = fixed_frame
        self._body_model = body_model
        self._reporter = reporter
        self._give = give
        self._ages = StampAges(node, reporter)
        self._frames = FrameTree()
        self._views = ViewBuffer()
        self._stamps: dict[str, int] = {}
        self._ahead: dict[str, float] = {}  # of the clock of this node, in seconds
        self._owners: dict[str, str] = {}  # the camera of each optical frame
        self._transforms = [
            node.create_subscription(TFMessage, topic, take, copy(qos))
            for topic, take, qos in (
                ('/tf', self._take_transforms, TRANSFORMS),
                ('/tf_static', self._take_static, STATIC_TRANSFORMS),
            )
        ]
        self._cameras = [_Camera(node, name, self._take) for name in cameras]

    def follow(self) -> None:
        """Take human_poses of cameras without observations; name silent cameras."""
        for camera in self._cameras:
            camera.follow()
            if silence := camera.silence:
                self._reporter.warn(
                    f'camera {camera.name} is left out: no message for {silence:.0f} s on '
                    f'{camera.topic}; check that its hybrik_node is active'
                )

    def facts(self) -> dict[str, str]:
        """Return the rate and the state of each camera."""
        return {f'camera {camera.name}': f'{camera.rate} Hz, {camera.state}'
                for camera in self._cameras}  # fmt: skip

    def close(self) -> None:
        """Unsubscribe."""
        for camera in self._cameras:
            camera.close()
        for subscription in self._transforms:
            self._node.destroy_subscription(subscription)
        self._transforms = []

    def _take_transforms(self, message: TFMessage) -> None:
        self._frames.update(message.transforms)

    def _take_static(self, message: TFMessage) -> None:
        self._frames.update(message.transforms, is_static=True)

    def _take(self, camera: '_Camera', message: Any) -> None:
        """Take a message of a camera; what is wrong with it is reported."""
        self._reporter.diagnostics.count_received()
        strip_slash(message.header)
        try:
            people, faults = camera.read(message, self._body_model)
            self._check_header(camera.name, message.header)
            stamp = nanoseconds(message.header)
            frame_id = message.header.frame_id
            pose = self._frames.transform_between(self._fixed_frame, frame_id, stamp)
        except (PersonError, TransformError, UnusableInputError) as error:
            self._views.forget(camera.name)
            self._leave_out(camera, str(error))
            return
        for fault in faults:
            self._reporter.warn(f'camera {camera.name}: {fault}')
        camera.state = f'{len(people)} people by {camera.kind}'
        self._ages.add(message.header, 'transport')
        self._stamps[camera.name] = stamp
        if views := self._views.put(camera.name, View(stamp * 1e-9, pose, people)):
            self._give(CameraViews(views, max(self._stamps[name] for name in views)))
        late = self._views.newest - stamp * 1e-9
        if late > MAX_AGE:
            self._leave_out(
                camera,
                f'its stamps are {late:.1f} s behind those of other cameras: synchronise the '
                f'clocks, or reduce the delay of its node',
            )

    def reset(self) -> None:
        """Forget what the cameras saw."""
        self._views.clear()

    def _leave_out(self, camera: '_Camera', reason: str) -> None:
        camera.state = f'left out: {reason}'
        self._reporter.warn(f'camera {camera.name} is left out: {reason}')

    def _check_header(self, camera: str, header: Header) -> None:
        """Refuse a message of another camera's frame, or of a time that is yet to come."""
        if not header.frame_id:
            raise UnusableInputError('frame', 'its images have no frame_id: set it in its driver')
        owner = self._owners.setdefault(header.frame_id, camera)
        if owner != camera:
            raise UnusableInputError(
                'frame',
                f'its frame_id {header.frame_id!r} is that of camera {owner}: give each camera a '
                f'frame of its own',
            )
        now = self._node.get_clock().now().nanoseconds
        ahead = self._ahead[camera] = (nanoseconds(header) - now) * 1e-9
        others = [each for name, each in self._ahead.items() if name != camera]
        if now and others and ahead > max(_MAX_AHEAD, min(others) + _MAX_AHEAD):
            raise UnusableInputError(
                'future',
                f'its stamps are {ahead:.1f} s ahead of the clock: synchronise the clocks',
            )


class _Camera:
    """The subscriptions to one camera.

    Attributes
    ----------
    name : str
        Its namespace.
    rate : RateMeter
        Rate of its messages.
    kind : str
        What is received from it: 'human_observations' or 'human_poses'.
    state : str
        How many people it sees, or why it is left out.
    """

    def __init__(self, node: Node, name: str, take: Callable[['_Camera', Any], None]) -> None:
        self.name = name
        self.rate = RateMeter()
        self.kind, self.state = 'human_observations', _NO_MESSAGE
        self._node = node
        self._take = take
        self._last = self._observed = time.monotonic()
        self._observations = node.create_subscription(
            HumanObservationArray, f'{name}/human_observations', self._take_observations,
            copy(qos_profile_sensor_data),
        )  # fmt: skip
        self._poses: Subscription | None = None

    @property
    def topic(self) -> str:
        """Full name of the topic of its observations."""
        return str(self._observations.topic_name)

    @property
    def silence(self) -> float:
        """Seconds without a message, where that is unusual; otherwise 0."""
        seconds = time.monotonic() - self._last
        patience = _START_SECONDS if self.state == _NO_MESSAGE else self.rate.max_pause
        return seconds if seconds > patience else 0.0

    def follow(self) -> None:
        """Subscribe to human_poses while there are no observations."""
        has_observations = time.monotonic() - self._observed < _FALLBACK_SECONDS
        if self._poses is None and not has_observations:
            self._poses = self._node.create_subscription(
                HumanMeshArray, f'{self.name}/human_poses', self._take_poses,
                copy(qos_profile_sensor_data),
            )  # fmt: skip
        elif self._poses is not None and has_observations:
            self._node.destroy_subscription(self._poses)
            self._poses = None

    def read(self, message: Any, body_model: str) -> tuple[_People, list[str]]:
        """Return the people in a message, and what is wrong with others.

        Raises
        ------
        PersonError
            The message is invalid.
        UnusableInputError
            Its people have another body model.
        """
        people: _People
        if self.kind == 'human_observations':
            name, people, faults = observations_of(message)
            bodies = {name}
        else:
            found, faults = people_of(message)
            people, bodies = [human for human, _ in found], {body for _, body in found}
        for other in bodies - {body_model}:
            raise UnusableInputError(
                'body',
                f'its people have the body {other[:40]!r}, those of the fusion {body_model!r}: '
                f'set body_model of all nodes to the same file',
            )
        return people, faults

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in filter(None, (self._observations, self._poses)):
            self._node.destroy_subscription(subscription)

    def _take_observations(self, message: HumanObservationArray) -> None:
        self._observed = time.monotonic()
        self.kind = 'human_observations'
        self._count(message)

    def _take_poses(self, message: HumanMeshArray) -> None:
        if time.monotonic() - self._observed >= _FALLBACK_SECONDS:
            self.kind = 'human_poses'
            self._count(message)

    def _count(self, message: Any) -> None:
        self._last = time.monotonic()
        self.rate.count()
        self._take(self, message)
