"""The lifecycle node: images in, people out."""

import ctypes
import gc
import os
import re
import signal
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from itertools import count

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from numpy.typing import NDArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger

from hybrik_ros.advice import explain, one_line
from hybrik_ros.camera import Camera
from hybrik_ros.messages.camera_info import NO_CAMERA_INFO, CameraInfoBuffer
from hybrik_ros.messages.fields import REORDERED_SECONDS, nanoseconds
from hybrik_ros.messages.images import UnusableInputError, decompress, to_rgb
from hybrik_ros.msg import HumanMeshArray
from hybrik_ros.node import detections, parameters
from hybrik_ros.node.detections import Box
from hybrik_ros.node.diagnostics import Diagnostics, Limits
from hybrik_ros.node.inputs import Inputs
from hybrik_ros.node.logs import RosLog
from hybrik_ros.node.mailbox import Mailbox
from hybrik_ros.node.outputs import Outputs
from hybrik_ros.node.topics import camera_topics
from hybrik_ros.perception.depth import check_depth
from hybrik_ros.pipeline import Pipeline

_DIAGNOSTICS_SECONDS = 1.0
# Images may arrive a little before the calibration that belongs to them.
_CAMERA_INFO_GRACE_SECONDS = 2.0
_MOST_SAID = 50  # Whatever comes in, the log stays readable and the memory bounded.
_MOST_FAILURES = 5  # frames in a row, after which something is wrong for good
_MOST_STALLED = 10  # images in a row of one stamp
_OTHER_CLOCK_SECONDS = 60.0
_SIGNAL_POLL_SECONDS = 0.1
_STOP_SECONDS = 1.0

_Success, _Failure, _Error = (
    TransitionCallbackReturn.SUCCESS,
    TransitionCallbackReturn.FAILURE,
    TransitionCallbackReturn.ERROR,
)


class HybrikNode(LifecycleNode):
    """Publishes the people in a camera's images.

    Subscribes to image, and to camera_info beside it. Publishes human_pose, human_poses, /tf,
    ~/markers, ~/overlay, ~/body and /diagnostics while active, each built only while somebody
    listens. The services ~/enable and ~/reset stop and resume it, and forget everybody; ~/cancel
    ends the loading of a node that is being configured.

    One worker thread processes the newest image; images that come while it is busy replace each
    other. Configuring loads the body and the networks, cleaning up frees them.

    Parameters
    ----------
    stopping: set where the process is to end, which also ends what takes long.

    Attributes
    ----------
    is_finalized: whether it is shut down for good.
    """

    def __init__(self, stopping: threading.Event) -> None:
        super().__init__('hybrik_node')
        parameters.declare(self)
        self.add_on_set_parameters_callback(self._validate)
        self.is_finalized = False
        self._stopping = stopping
        self._pipeline: Pipeline | None = None
        self._outputs: Outputs | None = None
        self._inputs: Inputs | None = None
        self._ids = count(1)  # An id never comes back, not even after a clean-up.
        # Images, with when they came; None where nobody is to be seen any more.
        self._mailbox: Mailbox[tuple[Image | CompressedImage | None, float]] = Mailbox()
        self._worker: threading.Thread | None = None
        self._loader: threading.Thread | None = None
        self._state: tuple[bytes, str] | None = (DiagnosticStatus.OK, 'unconfigured')
        self._activated = 0.0
        self._said: set[str] = set()
        self._diagnostics = Diagnostics(*self._whose)
        self._enabled = True
        self._forget = False
        self._last_stamp: float | None = None
        self._failures = self._stalled = 0
        self._broken = ''
        self._breakdown = self.create_guard_condition(self._give_up)
        # While inactive, too, the node says how it is. Not a lifecycle publisher for that reason.
        self._reports = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self.create_timer(_DIAGNOSTICS_SECONDS, self._report)
        self.create_service(SetBool, '~/enable', self._enable)
        self.create_service(Trigger, '~/reset', self._reset)
        self._cancel = self.create_service(Trigger, '~/cancel', self._nothing_to_cancel)

    # Lifecycle.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load body and networks; where that fails, say why and stay unconfigured."""
        self.get_logger().info('loading body, networks and solver')
        try:
            if self.get_parameter('detector.external').value:
                detections.message_type()
            self._pipeline = self._load()
        except Exception as error:  # Whatever is wrong with a file, the user hears of it.
            reason = explain(error) or error
            self.get_logger().error(f'cannot configure: {reason}')
            self._now(DiagnosticStatus.ERROR, f'cannot configure: {reason}')
            return _Failure
        self._outputs = Outputs(self, self._pipeline.body, self._say_once)
        self._now(DiagnosticStatus.OK, 'inactive')
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start the worker."""
        assert self._pipeline is not None
        assert self._outputs is not None
        self._pipeline.reset()
        self._camera_infos = CameraInfoBuffer(camera_topics(self)[1], self._warn)
        self._diagnostics = Diagnostics(*self._whose)
        self._mailbox = Mailbox()
        self._activated = time.monotonic()
        self._said.clear()
        self._enabled, self._forget, self._last_stamp = True, False, None
        self._failures = self._stalled = 0
        self._broken = ''
        try:
            self._listen()
        except Exception as error:  # Parameters that override a QoS raise all sorts of things.
            self.get_logger().error(f'cannot activate: {error}')
            self._now(DiagnosticStatus.ERROR, f'cannot activate: {error}')
            return _Failure
        result = super().on_activate(state)
        self._outputs.publish_body()
        self._worker = threading.Thread(target=self._work, name='hybrik worker', daemon=True)
        self._worker.start()
        self._state = None
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening and working; the counts are reported for the last time."""
        self._stop()
        if self._broken:
            return _Error
        self._now(DiagnosticStatus.OK, 'inactive')
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free body and networks."""
        self._free()
        self._now(DiagnosticStatus.OK, 'unconfigured')
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free, from whatever state."""
        self._stop()
        self._free()
        self._now(DiagnosticStatus.OK, 'finalized')
        self.is_finalized = True
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free, so that the node can be configured anew."""
        self._stop()
        self._free()
        super().on_error(state)
        self._now(DiagnosticStatus.ERROR, self._broken or 'a transition failed')
        return _Success

    @property
    def is_busy(self) -> bool:
        """Whether a thread of ours works on, be it in vain: loads, or is in a frame for long."""
        threads = self._loader, self._worker
        return any(thread is not None and thread.is_alive() for thread in threads)

    def _load(self) -> Pipeline:
        """Load in a thread; meanwhile log and /diagnostics tell what takes so long.

        Raises
        ------
        OSError, RuntimeError, ValueError: it cannot be loaded, it was cancelled, or the process
            is to end.
        """
        loading: Future[Pipeline] = Future()
        settings, before = parameters.settings(self), self._loader

        def load() -> None:
            if before is not None:  # It may have been left alone with what it was at.
                before.join()
            if not loading.set_running_or_notify_cancel():
                return
            try:
                loading.set_result(Pipeline.create(ids=self._ids, **settings))
            except BaseException as error:  # Whatever it is belongs to who waits for it.
                loading.set_exception(error)

        with RosLog(self.get_logger()) as log:
            # A daemon: what compiles or builds cannot be stopped, only left alone.
            self._loader = threading.Thread(target=load, name='hybrik loader', daemon=True)
            self._loader.start()
            told = time.monotonic()
            while not loading.done():
                if self._stopping.wait(_SIGNAL_POLL_SECONDS):
                    raise RuntimeError('interrupted while loading')
                if self._is_cancelled():
                    loading.cancel()
                    loading.add_done_callback(_close)
                    raise RuntimeError('cancelled')
                if time.monotonic() - told > _DIAGNOSTICS_SECONDS:
                    told = time.monotonic()
                    self._tell(DiagnosticStatus.WARN, f'loading: {log.last}')
            return loading.result()

    def _is_cancelled(self) -> bool:
        """Whether ~/cancel was called: the executor, which is in a transition, hears nothing."""
        with self._cancel.handle:
            _, caller = self._cancel.handle.service_take_request(Trigger.Request)
        if caller is not None:
            self._cancel.send_response(Trigger.Response(success=True), caller)
        return caller is not None

    def _listen(self) -> None:
        self._inputs = Inputs(self, self._take_image, self._camera_infos.take, self._warn)
        self.get_logger().info(f'active: listens to {", ".join(self._inputs.topics)}')

    def _stop_listening(self) -> None:
        if self._inputs is not None:
            self._inputs.close()
            self._inputs = None

    def _stop(self) -> None:
        self._stop_listening()
        self._mailbox.close()
        if self._worker is not None:
            # Who wants the process to end does not wait for a frame that takes long.
            self._worker.join(_STOP_SECONDS if self._stopping.is_set() else None)
            if self._worker.is_alive():
                return
            self._worker = None
            if self._outputs is not None:
                self._outputs.say_nobody()
        if self._state is None:
            self._report()

    def _free(self) -> None:
        if self._worker is not None:  # It goes on with what would be freed.
            return
        if self._pipeline is not None:
            self._pipeline.close()
            self._pipeline = None
        if self._outputs is not None:
            self._outputs.close()
            self._outputs = None
        _give_back_memory()

    def _validate(self, changes: list[Parameter]) -> SetParametersResult:
        return parameters.validate(changes, configured=self._pipeline is not None)

    # Services, in the executor's thread.

    def _enable(self, request: SetBool.Request, answer: SetBool.Response) -> SetBool.Response:
        """Stop listening to the camera, or resume it."""
        if not self._is_active(answer):
            return answer
        if request.data and self._inputs is None:
            self._listen()
        elif not request.data:
            self._stop_listening()
            self._mailbox.put((None, time.monotonic()))
        self._enabled = request.data
        answer.success = True
        return answer

    def _reset(self, _: Trigger.Request, answer: Trigger.Response) -> Trigger.Response:
        """Forget everybody before the next frame."""
        if self._is_active(answer):
            self._forget = answer.success = True
        return answer

    def _nothing_to_cancel(self, _: Trigger.Request, answer: Trigger.Response) -> Trigger.Response:
        """Answer who is too late to cancel the loading, or too early."""
        answer.message = 'nothing is being loaded'
        return answer

    def _is_active(self, answer: SetBool.Response | Trigger.Response) -> bool:
        """Tell whether a service can be served; if not, the answer says so."""
        if self._state is not None:
            answer.message = (
                f'the node is not active: ros2 lifecycle set {self.get_fully_qualified_name()} '
                f'activate'
            )
        return self._state is None

    # Input, in the executor's thread.

    def _take_image(self, message: Image | CompressedImage) -> None:
        self._diagnostics.received()
        self._took_since(message.header, 'transport')
        self._mailbox.put((message, time.monotonic()))

    # Work, in the worker's thread.

    def _work(self) -> None:
        while (item := self._mailbox.take()) is not None:
            message, received = item
            try:
                if message is None:
                    self._say_nobody()
                    continue
                self._process(message, received)
                self._failures = 0
            except UnusableInputError as fault:
                self._lost(fault.kind, str(fault))
            except Exception as error:  # A fault in one frame never ends the node.
                self._lost(type(error).__name__, f'a frame failed: {error!r}')
                self._failures += 1
                if self._failures >= _MOST_FAILURES:
                    self._broken = f'{self._failures} frames in a row failed: {error!r}'
                    self._breakdown.trigger()
                    return

    def _process(self, message: Image | CompressedImage, received: float) -> None:
        assert self._pipeline is not None
        assert self._outputs is not None
        started = time.monotonic()
        self._diagnostics.began()
        self._diagnostics.took('wait', started - received)
        rgb = decompress(message) if isinstance(message, CompressedImage) else to_rgb(message)
        field_of_view = self.get_parameter('field_of_view').value
        height, width = rgb.shape[:2]
        camera = self._camera_infos.camera_of(message.header, width, height, field_of_view)
        stamp = self._stamp_of(message.header)
        belonging = self._belonging_to(message.header, camera)
        self._diagnostics.took('decode', time.monotonic() - started)

        if self._forget:
            self._forget = False
            self._pipeline.reset()
        self._pipeline.adjust(**parameters.dynamic_settings(self))
        self._pipeline.with_vertices = self._outputs.wants_vertices
        humans = self._pipeline(rgb, camera, stamp, *belonging)
        for stage, seconds in self._pipeline.stage_seconds.items():
            self._diagnostics.took(stage, seconds)

        started = time.monotonic()
        self._outputs.publish(humans, rgb, camera, message.header)
        self._diagnostics.took('publish', time.monotonic() - started)
        self._took_since(message.header, 'total')
        self._diagnostics.processed(len(humans))

    def _say_nobody(self) -> None:
        assert self._outputs is not None
        self._outputs.say_nobody()
        self._diagnostics.nobody()

    def _belonging_to(
        self, header: Header, camera: Camera
    ) -> tuple[NDArray | None, list[Box] | None]:
        """Return depth and another detector's people of an image, None where there are none."""
        inputs = self._inputs  # The executor may close them meanwhile.
        if inputs is None:
            return None, None
        boxes = inputs.boxes_of(header)
        try:
            depth = inputs.depth_of(header)
            if depth is not None:
                check_depth(depth, camera)
        except ValueError as fault:  # Distances are as good as without.
            self._warn(str(fault))
            return None, boxes
        if depth is not None:
            self._diagnostics.used('depth')
        return depth, boxes

    def _stamp_of(self, header: Header) -> float:
        """Return the stamp of an image in seconds.

        Raises
        ------
        UnusableInputError: a newer image was processed already.
        """
        stamp = nanoseconds(header) * 1e-9
        back = 0.0 if self._last_stamp is None else self._last_stamp - stamp
        if 0 < back <= REORDERED_SECONDS:
            raise UnusableInputError(
                'order', f'an image is {back:.3f} s older than the one before it'
            )
        if back > 0:
            self.get_logger().warning(
                f'time jumped back by {back:.1f} s (a bag that loops?): everybody is forgotten'
            )
        self._stalled = self._stalled + 1 if stamp == self._last_stamp else 0
        if self._stalled >= _MOST_STALLED:
            self._warn(
                'the stamps of the images do not advance: nobody can be seen for long enough'
            )
        self._last_stamp = stamp
        return stamp

    def _lost(self, kind: str, message: str) -> None:
        """Count a frame that was lost, and say why the first time."""
        settling = time.monotonic() - self._activated < _CAMERA_INFO_GRACE_SECONDS
        if kind == NO_CAMERA_INFO and settling:
            self._diagnostics.fault('waiting for camera_info')
        else:
            self._diagnostics.fault(kind)
            self._say_once(message)

    def _warn(self, message: str, lasting: bool = False) -> None:
        """Say once, and in the reports, what is wrong but costs no frame.

        lasting: whether nobody tells when it is no longer so.
        """
        self._diagnostics.warn(_gist(message), message, lasting)
        self._say_once(message)

    def _say_once(self, message: str) -> None:
        """Log an error, unless the same was said before, but for its numbers."""
        gist = _gist(message)
        if gist not in self._said and len(self._said) < _MOST_SAID:
            self._said.add(gist)
            self.get_logger().error(f'{message} (said once; see /diagnostics)')

    # Reports, in the executor's thread.

    def _give_up(self) -> None:
        """Go to the error state, from which the node can be configured anew."""
        self.get_logger().fatal(
            f'{self._broken}. The node is unconfigured now: ros2 lifecycle set '
            f'{self.get_fully_qualified_name()} configure'
        )
        self.trigger_deactivate()

    def _report(self) -> None:
        if self._state is not None:
            self._tell(*self._state)
            return
        if self._diagnostics.is_silent:
            self._mailbox.put((None, time.monotonic()))
        if not self._enabled:
            self._tell(DiagnosticStatus.OK, 'disabled by ~/enable')
            return
        limit = {
            name: self.get_parameter(f'diagnostics.{name}').value
            for name in ('min_rate', 'max_latency', 'max_drop_ratio')
        }
        assert self._pipeline is not None
        self._reports.publish(
            self._diagnostics.report(
                header=self._header_now(),
                replaced=self._mailbox.replaced,
                camera=self._camera_infos.state,
                assumed=self._camera_infos.assumed,
                limits=Limits(**limit),
                facts={
                    **self._pipeline.facts,
                    'smoothing': 'on' if self.get_parameter('smoothing.enabled').value else 'off',
                },
            )
        )

    def _now(self, level: bytes, message: str) -> None:
        """Report, now and in every report until the node is active, how it is."""
        self._state = level, message
        self._tell(level, message)

    def _tell(self, level: bytes, message: str) -> None:
        self._reports.publish(self._diagnostics.status(level, message, self._header_now()))

    def _header_now(self) -> Header:
        return Header(stamp=self.get_clock().now().to_msg())

    @property
    def _whose(self) -> tuple[str, str]:
        """Name and hardware of the reports: they tell several cameras' nodes apart."""
        return self.get_fully_qualified_name().lstrip('/'), camera_topics(self)[0]

    def _took_since(self, header: Header, stage: str) -> None:
        """Note how long ago a stamp was, if it is one of this clock."""
        elapsed = (self.get_clock().now().nanoseconds - nanoseconds(header)) * 1e-9
        if abs(elapsed) < _OTHER_CLOCK_SECONDS:
            self._diagnostics.took(stage, elapsed)
        else:
            self._warn(
                f'the stamps of the images are {elapsed:.0f} s from this clock, so that TF does '
                f'not fit and no latency is known: of a bag, play it with --clock and set '
                f'use_sim_time; else set the clocks'
            )


def _close(loaded: 'Future[Pipeline]') -> None:
    """Free what was loaded in vain."""
    if not loaded.cancelled() and loaded.exception() is None:
        loaded.result().close()


def _give_back_memory() -> None:
    """Hand what was freed back to the system; our settings of malloc would keep it for images."""
    gc.collect()
    with suppress(OSError, AttributeError):  # It is glibc's alone.
        ctypes.CDLL(None).malloc_trim(0)


def _gist(message: str) -> str:
    """Return a message without its numbers."""
    return re.sub(r'\b[0-9.]+\b', '#', message)


def run(stopping: threading.Event, profile: str) -> int:
    """Run the node until it is told to stop.

    Parameters
    ----------
    stopping : threading.Event
        Set where the process is to end.
    profile : str
        What `set_transport_profile` did, for the log.

    Returns
    -------
    int
        The exit status.
    """
    if stopping.is_set():
        return 0
    try:
        HumanMeshArray.__class__.__import_type_support__()  # Fails if built for another Python.
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        node = HybrikNode(stopping)
    except Exception as error:  # Wrong arguments and parameters raise all sorts of things.
        print(f'hybrik_node: {explain(error) or one_line(error)}', file=sys.stderr)
        rclpy.try_shutdown()
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if profile:
            node.get_logger().info(profile)
        if node.get_parameter('autostart').value:
            for trigger in (node.trigger_configure, node.trigger_activate):
                if trigger() != _Success:
                    return 0 if stopping.is_set() else 1
        while not stopping.is_set():
            executor.spin_once(timeout_sec=_SIGNAL_POLL_SECONDS)
        return 0
    finally:
        if not node.is_finalized:
            node.trigger_shutdown()
        executor.shutdown(timeout_sec=_STOP_SECONDS)
        interrupted = node.is_busy
        node.destroy_node()
        rclpy.shutdown()
        # Python's own clean-up restores the default of our handlers, but not of ignored signals:
        # an impatient second Ctrl-C would then still kill us.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        if interrupted:  # What is left alone in its thread must not hold up the end.
            sys.stdout.flush()
            os._exit(0)
