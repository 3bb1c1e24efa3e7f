"""The lifecycle node: images in, people out."""

import ctypes
import gc
import threading
from contextlib import suppress
from itertools import count

from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import SetBool, Trigger

from hybrik_ros.advice import explain
from hybrik_ros.messages.camera_info import CameraInfoBuffer, are_rectified
from hybrik_ros.node import detections, parameters
from hybrik_ros.node.frame_processor import FrameProcessor
from hybrik_ros.node.inputs import Inputs
from hybrik_ros.node.loader import Loader
from hybrik_ros.node.outputs import ImageOutputs
from hybrik_ros.node.reporter import Reporter
from hybrik_ros.node.topics import camera_topics
from hybrik_ros.node.worker import FrameWorker
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.printable import printable

_DIAGNOSTICS_SECONDS = 1.0
STOP_SECONDS = 1.0  # maximum wait for a thread when the process is to end

_Success, _Failure, _Error = (
    TransitionCallbackReturn.SUCCESS,
    TransitionCallbackReturn.FAILURE,
    TransitionCallbackReturn.ERROR,
)


class HybrikNode(LifecycleNode):
    """Publishes the people in a camera's images.

    Subscribes to image, and to camera_info beside it. While active it publishes human_pose,
    human_poses, human_observations, /tf, ~/markers, ~/overlay and ~/body, each built only while
    there is a subscriber, and /diagnostics always. The services ~/enable and ~/reset pause and
    resume it, and reset all tracks; ~/cancel cancels the loading of a node that is being
    configured.

    Configuring loads the body and the networks, cleaning up frees them. All callbacks run in the
    executor's thread, frames in that of a FrameWorker, loading in that of a Loader.

    Parameters
    ----------
    stopping : threading.Event
        Set when the process is to end, which also ends what takes long.

    Attributes
    ----------
    is_finalized : bool
        Whether the node is shut down for good.
    """

    def __init__(self, stopping: threading.Event) -> None:
        super().__init__('hybrik_node')
        parameters.declare(self)
        self.add_on_set_parameters_callback(self._validate)
        self.is_finalized = False
        self._stopping = stopping
        self._loader = Loader(self.get_logger(), stopping)
        self._pipeline: Pipeline | None = None
        self._outputs: ImageOutputs | None = None
        self._inputs: Inputs | None = None
        self._worker: FrameWorker | None = None
        self._ids = count(1)  # An id never comes back, not even after a clean-up.
        self._reporter = Reporter(self)
        self._is_enabled = True
        self._fault = ''  # Why the node goes to the error state.
        self._failure = self.create_guard_condition(self._give_up)
        # By a clock of its own: with use_sim_time, the node's may stand still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_DIAGNOSTICS_SECONDS, self._report, clock=steady)
        self.create_service(SetBool, '~/enable', self._enable)
        self.create_service(Trigger, '~/reset', self._reset)
        self._cancel = self.create_service(Trigger, '~/cancel', _refuse_to_cancel)

    @property
    def is_busy(self) -> bool:
        """Whether a thread of the node still loads, or processes a frame for long."""
        return self._loader.is_busy or (self._worker is not None and self._worker.is_alive)

    # Lifecycle.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load body and networks; where that fails, say why and stay unconfigured."""
        self.get_logger().info('loading body, networks and solver')
        try:
            if self.get_parameter('detector.external').value:
                detections.message_type()
            self._pipeline = self._loader.load(
                self._is_cancelled,
                lambda progress: self._reporter.publish_status(DiagnosticStatus.WARN, progress),
                ids=self._ids,
                **parameters.settings(self),
            )
        except Exception as error:  # Whatever is wrong with a file is reported.
            return self._refuse('configure', str(explain(error) or error))
        self._outputs = ImageOutputs(self, self._pipeline.body, self._reporter.warn)
        self._reporter.set_status(DiagnosticStatus.OK, 'inactive')
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start the worker."""
        assert self._pipeline is not None
        assert self._outputs is not None
        self._pipeline.reset()
        reporter = self._reporter
        reporter.renew()
        image, camera_info = camera_topics(self)
        rectified = are_rectified(self.get_parameter('intrinsics').value, image)
        self._camera_infos = CameraInfoBuffer(camera_info, reporter.warn, rectified)
        self._frames = FrameProcessor(
            self, self._pipeline, self._outputs, self._camera_infos, reporter
        )
        self._worker = FrameWorker(self._frames, reporter, self._failure.trigger)
        self._is_enabled = True
        try:
            self._subscribe()
        except Exception as error:  # Parameters that override a QoS raise various exceptions.
            self._worker = None
            return self._refuse('activate', str(error))
        result = super().on_activate(state)
        self._outputs.publish_body()
        self._worker.start()
        reporter.status = None
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and stop the worker; the counts are reported for the last time."""
        worker = self._worker
        self._stop()
        if worker is not None and worker.failure:
            self._fault = worker.failure
            return _Error
        self._reporter.set_status(DiagnosticStatus.OK, 'inactive')
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free body and networks."""
        self._free()
        self._reporter.set_status(DiagnosticStatus.OK, 'unconfigured')
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free, from whatever state."""
        self._stop()
        self._free()
        self._reporter.set_status(DiagnosticStatus.OK, 'finalized')
        self.is_finalized = True
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free, so that the node can be configured anew."""
        self._stop()
        self._free()
        super().on_error(state)
        self._reporter.set_status(DiagnosticStatus.ERROR, self._fault or 'a transition failed')
        self._fault = ''
        return _Success

    def _subscribe(self) -> None:
        self._inputs = Inputs(
            self, self._take_image, self._camera_infos.take, self._reporter.complaints
        )
        self._frames.inputs = self._inputs
        self.get_logger().info(f'active: listens to {", ".join(self._inputs.topics)}')

    def _unsubscribe(self) -> None:
        if self._inputs is not None:
            self._frames.inputs = None
            self._inputs.close()
            self._inputs = None

    def _stop(self) -> None:
        self._unsubscribe()
        if self._worker is not None:
            # A process that is to end does not wait for a frame that takes long.
            self._worker.stop(STOP_SECONDS if self._stopping.is_set() else None)
            if self._worker.is_alive:
                return
            if self._outputs is not None:
                self._outputs.clear_people()
            if self._reporter.status is None:
                self._report()
            self._worker = None

    def _free(self) -> None:
        if self._worker is not None:  # It still uses what would be freed.
            return
        if self._pipeline is not None:
            self._pipeline.close()
            self._pipeline = None
        if self._outputs is not None:
            self._outputs.close()
            self._outputs = None
        _release_memory()

    def _validate(self, changes: list[Parameter]) -> SetParametersResult:
        return parameters.validate(changes, configured=self._pipeline is not None)

    def _is_cancelled(self) -> bool:
        """Return whether ~/cancel was called: in a transition the executor serves no requests."""
        with self._cancel.handle:
            _, caller = self._cancel.handle.service_take_request(Trigger.Request)
        if caller is not None:
            self._cancel.send_response(Trigger.Response(success=True), caller)
        return caller is not None

    # Services, images and reports, in the executor's thread.

    def _enable(self, request: SetBool.Request, answer: SetBool.Response) -> SetBool.Response:
        """Unsubscribe from the camera, or subscribe again."""
        if not self._is_active(answer):
            return answer
        assert self._worker is not None
        if request.data and self._inputs is None:
            self._subscribe()
        elif not request.data:
            self._unsubscribe()
            self._worker.put(None)
        self._is_enabled = request.data
        answer.success = True
        return answer

    def _reset(self, _: Trigger.Request, answer: Trigger.Response) -> Trigger.Response:
        """Reset all tracks before the next frame."""
        if self._is_active(answer):
            self._frames.is_reset_requested = answer.success = True
        return answer

    def _is_active(self, answer: SetBool.Response | Trigger.Response) -> bool:
        """Return whether a service can be served; if not, the answer says so."""
        if self._reporter.status is not None:
            answer.message = (
                f'the node is not active: ros2 lifecycle set {self.get_fully_qualified_name()} '
                f'activate'
            )
        return self._reporter.status is None

    def _take_image(self, message: Image | CompressedImage) -> None:
        assert self._worker is not None
        self._reporter.diagnostics.count_received()
        self._frames.add_age(message.header, 'transport')
        self._worker.put(message)

    def _give_up(self) -> None:
        """Go to the error state, from which the node can be configured anew."""
        assert self._worker is not None
        self.get_logger().fatal(
            f'{printable(self._worker.failure)}. The node is unconfigured now: ros2 lifecycle set '
            f'{self.get_fully_qualified_name()} configure'
        )
        self.trigger_deactivate()

    def _refuse(self, transition: str, reason: str) -> TransitionCallbackReturn:
        """Report why a transition fails."""
        text = printable(f'cannot {transition}: {reason}')
        self.get_logger().error(text)
        self._reporter.set_status(DiagnosticStatus.ERROR, text)
        return _Failure

    def _report(self) -> None:
        reporter = self._reporter
        if reporter.status is not None:
            reporter.publish_status(*reporter.status)
            return
        assert self._pipeline is not None
        assert self._worker is not None
        if self._inputs is not None:
            self._inputs.follow_publishers()
        if reporter.diagnostics.is_silent:
            self._worker.put(None)
        if self._is_enabled:
            reporter.publish_figures(
                self._worker.replaced, self._camera_infos, self._pipeline.facts
            )
        else:
            reporter.publish_status(DiagnosticStatus.OK, 'disabled by ~/enable')


def _refuse_to_cancel(_: Trigger.Request, answer: Trigger.Response) -> Trigger.Response:
    """Reply that no load is in progress; while one is, `HybrikNode._is_cancelled` replies."""
    answer.message = 'nothing is being loaded'
    return answer


def _release_memory() -> None:
    """Return freed memory to the system; the settings of malloc would keep it for images."""
    gc.collect()
    with suppress(OSError, AttributeError):  # Only glibc has it.
        ctypes.CDLL(None).malloc_trim(0)
