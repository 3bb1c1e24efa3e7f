"""The lifecycle node: images in, people out."""

import re
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import count
from types import FrameType

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.signals import SignalHandlerOptions
from rclpy.subscription import Subscription
from rclpy.time import Time
from rclpy.timer import Timer
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from hybrik_ros.camera import Camera
from hybrik_ros.drawing import draw_humans
from hybrik_ros.msg import HumanMesh, HumanMeshArray
from hybrik_ros.node import parameters
from hybrik_ros.node.diagnostics import Diagnostics
from hybrik_ros.node.frames import to_transforms
from hybrik_ros.node.images import UnusableInputError, to_camera, to_image, to_rgb
from hybrik_ros.node.logs import RosLog
from hybrik_ros.node.mailbox import Mailbox
from hybrik_ros.node.markers import MarkerMaker
from hybrik_ros.node.messages import to_array, to_human_mesh
from hybrik_ros.node.topics import camera_topics
from hybrik_ros.pipeline import Human, Pipeline

_DIAGNOSTICS_SECONDS = 1.0
# Images may arrive a little before the calibration that belongs to them.
_CAMERA_INFO_GRACE_SECONDS = 2.0
_MOST_SAID = 50  # Whatever comes in, the log stays readable and the memory bounded.
_NO_CAMERA_INFO = 'no camera_info'
_NEWEST = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)
_SIGNAL_POLL_SECONDS = 0.1
_STOP_SECONDS = 1.0


class HybrikNode(LifecycleNode):
    """Publishes the people in a camera's images.

    Subscribes to image, and to camera_info beside it. Publishes human_pose, human_poses, /tf,
    ~/markers, ~/overlay and /diagnostics while active, each built only while somebody listens.

    One worker thread processes the newest image; images that come while it is busy replace each
    other. Configuring loads the body and the networks, cleaning up frees them.
    """

    def __init__(self) -> None:
        super().__init__('hybrik_node')
        parameters.declare(self)
        self.add_on_set_parameters_callback(self._validate)
        self._pipeline: Pipeline | None = None
        self._camera: Camera | None = None
        self._camera_fault: UnusableInputError | None = None
        self._ignored_fault: UnusableInputError | None = None
        self._ids = count(1)  # An id never comes back, not even after a clean-up.
        self._subscriptions_of_ours: list[Subscription] = []
        self._mailbox: Mailbox[tuple[Image, float]] = Mailbox()
        self._worker: threading.Thread | None = None
        self._timer: Timer | None = None
        self._activated = 0.0
        self._said: set[str] = set()
        self._diagnostics = Diagnostics(self.get_name())

    # Lifecycle.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load body and networks; where that fails, say why and stay unconfigured."""
        self.get_logger().info('loading body, networks and solver')
        try:
            self._pipeline = self._load()
        except (OSError, RuntimeError, ValueError) as error:
            self.get_logger().error(f'cannot configure: {error}')
            return TransitionCallbackReturn.FAILURE
        self._make_markers = MarkerMaker(self._pipeline.body.faces)
        self._human_pose = self.create_lifecycle_publisher(HumanMesh, 'human_pose', 10)
        self._human_poses = self.create_lifecycle_publisher(HumanMeshArray, 'human_poses', 10)
        self._tf = self.create_lifecycle_publisher(TFMessage, '/tf', 100)
        self._markers = self.create_lifecycle_publisher(MarkerArray, '~/markers', 1)
        self._overlay = self.create_lifecycle_publisher(Image, '~/overlay', 1)
        self._reports = self.create_lifecycle_publisher(DiagnosticArray, '/diagnostics', 10)
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start the worker."""
        assert self._pipeline is not None
        self._pipeline.reset()
        self._camera = self._camera_fault = self._ignored_fault = None
        self._diagnostics = Diagnostics(self.get_name())
        self._mailbox = Mailbox()
        self._activated = time.monotonic()
        self._said.clear()
        result = super().on_activate(state)
        self._worker = threading.Thread(target=self._work, name='hybrik worker', daemon=True)
        self._worker.start()
        image, camera_info = camera_topics(self)
        overriding = QoSOverridingOptions.with_default_policies()
        # The calibration first: of messages that wait together it is then the first to be read.
        self._subscriptions_of_ours = [
            self.create_subscription(
                kind, topic, callback, _NEWEST, qos_overriding_options=overriding
            )
            for kind, topic, callback in (
                (CameraInfo, camera_info, self._take_camera_info),
                (Image, image, self._take_image),
            )
        ]
        self._timer = self.create_timer(_DIAGNOSTICS_SECONDS, self._report)
        self.get_logger().info(f'active: images from {image}, calibration from {camera_info}')
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening and working; the last word is a report."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free body and networks."""
        self._free()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free, from whatever state."""
        self._stop()
        self._free()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free, so that the node can be configured anew."""
        self._stop()
        self._free()
        return super().on_error(state)

    def _load(self) -> Pipeline:
        """Load in a thread; meanwhile log and /diagnostics tell what takes so long."""
        reports = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        try:
            with RosLog(self.get_logger()) as log, ThreadPoolExecutor(1, 'hybrik loader') as loader:
                loading = loader.submit(Pipeline.create, ids=self._ids, **parameters.settings(self))
                while not wait([loading], _DIAGNOSTICS_SECONDS).done:
                    header = Header(stamp=self.get_clock().now().to_msg())
                    reports.publish(self._diagnostics.loading(log.last, header))
                return loading.result()
        finally:
            self.destroy_publisher(reports)

    def _stop(self) -> None:
        for subscription in self._subscriptions_of_ours:
            self.destroy_subscription(subscription)
        self._subscriptions_of_ours = []
        self._mailbox.close()
        if self._worker is not None:
            self._worker.join()
            self._worker = None
        if self._timer is not None:
            self._report()
            self.destroy_timer(self._timer)
            self._timer = None

    def _free(self) -> None:
        if self._pipeline is None:
            return
        self._pipeline.close()
        self._pipeline = None
        for publisher in (
            self._human_pose, self._human_poses, self._tf, self._markers, self._overlay,
            self._reports,
        ):  # fmt: skip
            self.destroy_lifecycle_publisher(publisher)

    def _validate(self, changes: list[Parameter]) -> SetParametersResult:
        return parameters.validate(changes, configured=self._pipeline is not None)

    # Input, in the executor's thread.

    def _take_camera_info(self, message: CameraInfo) -> None:
        try:
            self._camera, self._camera_fault = to_camera(message), None
        except UnusableInputError as fault:
            self._camera, self._camera_fault = None, fault

    def _take_image(self, message: Image) -> None:
        self._diagnostics.received()
        self._diagnostics.took('transport', self._seconds_since(message.header))
        self._mailbox.put((message, time.monotonic()))

    # Work, in the worker's thread.

    def _work(self) -> None:
        while (item := self._mailbox.take()) is not None:
            try:
                self._process(*item)
            except UnusableInputError as fault:
                self._lost(fault.kind, str(fault))
            except Exception as error:  # A fault in one frame never ends the node.
                self._lost(type(error).__name__, f'a frame failed: {error!r}')

    def _process(self, message: Image, received: float) -> None:
        assert self._pipeline is not None
        started = time.monotonic()
        self._diagnostics.took('wait', started - received)
        rgb = to_rgb(message)
        camera = self._camera_of(message)
        self._diagnostics.took('decode', time.monotonic() - started)

        with_vertices = self._wants('publish.vertices')
        looked_at = self._markers.get_subscription_count() + self._overlay.get_subscription_count()
        self._pipeline.with_vertices = with_vertices or looked_at > 0
        stamp = Time.from_msg(message.header.stamp).nanoseconds * 1e-9
        humans = self._pipeline(rgb, camera, stamp)
        for stage, seconds in self._pipeline.stage_seconds.items():
            self._diagnostics.took(stage, seconds)

        started = time.monotonic()
        self._publish(humans, rgb, camera, message.header, with_vertices)
        self._diagnostics.took('publish', time.monotonic() - started)
        self._diagnostics.took('total', self._seconds_since(message.header))
        self._diagnostics.processed(len(humans))

    def _camera_of(self, message: Image) -> Camera:
        """Return the intrinsics for an image.

        Raises
        ------
        UnusableInputError: there are none, and no field of view to go by.
        """
        camera, fault = self._camera, self._camera_fault  # The executor may change them meanwhile.
        if camera is not None:
            size = (camera.width, camera.height)
            if size == (message.width, message.height):
                self._ignored_fault = None
                return camera
            fault = UnusableInputError(
                'camera_info size',
                f'camera_info is for {size[0]} x {size[1]} pixels, '
                f'the images have {message.width} x {message.height}',
            )
        elif fault is None:
            fault = UnusableInputError(
                _NO_CAMERA_INFO,
                f'no camera_info on {camera_topics(self)[1]} yet. Start the camera driver with its '
                f'calibration, remap camera_info, or set the parameter field_of_view',
            )
        field_of_view = self.get_parameter('field_of_view').value
        if field_of_view == 0:
            # A new one: what is raised again and again gathers a traceback of every time.
            raise UnusableInputError(fault.kind, str(fault))
        self._ignored_fault = fault if fault.kind != _NO_CAMERA_INFO else None
        if self._ignored_fault is not None:
            self._say_once(f'distances are guesses, as camera_info cannot be used: {fault}')
        return Camera.from_field_of_view(field_of_view, message.width, message.height)

    def _publish(
        self,
        humans: list[Human],
        rgb: NDArray,
        camera: Camera,
        header: Header,
        with_vertices: bool,
    ) -> None:
        """Publish whatever somebody listens to."""
        assert self._pipeline is not None
        body = self._pipeline.body
        if self._human_pose.get_subscription_count() or self._human_poses.get_subscription_count():
            messages = [to_human_mesh(human, header, body.name, with_vertices) for human in humans]
            for message in messages:
                self._human_pose.publish(message)
            self._human_poses.publish(to_array(messages, header))
        if humans and not header.frame_id:
            self._diagnostics.fault('TF for want of a frame_id')
            self._say_once(
                'the images have no frame_id, so TF and RViz cannot place the people: set the '
                'frame_id of the camera driver'
            )
        elif humans and self._wants('publish.tf') and self._tf.get_subscription_count():
            transforms = [frame for human in humans for frame in to_transforms(human, header)]
            self._tf.publish(TFMessage(transforms=transforms))
        if self._markers.get_subscription_count():
            self._markers.publish(self._make_markers(humans, header))
        if self._overlay.get_subscription_count():
            picture = rgb.copy()
            draw_humans(picture, humans, body.faces, camera)
            self._overlay.publish(to_image(picture, header))

    def _lost(self, kind: str, message: str) -> None:
        """Count a frame that was lost, and say why the first time."""
        settling = time.monotonic() - self._activated < _CAMERA_INFO_GRACE_SECONDS
        if kind == _NO_CAMERA_INFO and settling:
            self._diagnostics.fault('waiting for camera_info')
        else:
            self._diagnostics.fault(kind)
            self._say_once(message)

    def _say_once(self, message: str) -> None:
        """Log an error, unless the same was said before, but for its numbers."""
        gist = re.sub(r'\b[0-9.]+\b', '#', message)
        if gist not in self._said and len(self._said) < _MOST_SAID:
            self._said.add(gist)
            self.get_logger().error(f'{message} (said once; counted in /diagnostics)')

    # Reports.

    def _report(self) -> None:
        header = Header(stamp=self.get_clock().now().to_msg())
        self._reports.publish(
            self._diagnostics.report(
                replaced=self._mailbox.replaced,
                camera=self._camera_state(),
                assumed=self._assumes(),
                header=header,
            )
        )

    def _assumes(self) -> bool:
        """Tell whether a field of view stands in for camera_info."""
        unusable = self._camera is None or self._ignored_fault is not None
        return unusable and self.get_parameter('field_of_view').value > 0

    def _camera_state(self) -> str:
        if self._assumes():
            field_of_view = self.get_parameter('field_of_view').value
            why = '' if self._ignored_fault is None else f' ({self._ignored_fault})'
            return (
                f'an assumed field of view of {field_of_view:g} degrees{why}: distances are guesses'
            )
        if self._camera is not None:
            return 'camera_info'
        return 'none' if self._camera_fault is None else str(self._camera_fault)

    def _wants(self, parameter: str) -> bool:
        return bool(self.get_parameter(parameter).value)

    def _seconds_since(self, header: Header) -> float:
        elapsed = self.get_clock().now().nanoseconds - Time.from_msg(header.stamp).nanoseconds
        return elapsed * 1e-9


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; return the exit status."""
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    # Our own handlers: rclpy's invalidate the context at once, and a second signal during the
    # clean-up would raise in the middle of it.
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        node = HybrikNode()
    except Exception as error:  # Wrong arguments and parameters raise all sorts of things.
        print(f'hybrik_node: {" ".join(str(error).split())}', file=sys.stderr)
        rclpy.try_shutdown()
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if node.get_parameter('autostart').value:
            for trigger in (node.trigger_configure, node.trigger_activate):
                if trigger() != TransitionCallbackReturn.SUCCESS:
                    return 1
        while not stopping.is_set():
            executor.spin_once(timeout_sec=_SIGNAL_POLL_SECONDS)
        return 0
    finally:
        node.trigger_shutdown()
        executor.shutdown(timeout_sec=_STOP_SECONDS)
        node.destroy_node()
        rclpy.shutdown()
        # Python's own clean-up restores the default of our handlers, but not of ignored signals:
        # an impatient second Ctrl-C would then still kill us.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


if __name__ == '__main__':
    sys.exit(main())
