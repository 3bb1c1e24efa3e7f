"""A lifecycle node that publishes people: what all such nodes have in common."""

import ctypes
import gc
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import Any, Generic

from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger

from hybrik_ros import settings
from hybrik_ros.advice import explain
from hybrik_ros.node import parameters
from hybrik_ros.node.loader import Loaded, Loader
from hybrik_ros.node.outputs import Outputs
from hybrik_ros.node.reporter import Reporter
from hybrik_ros.node.worker import FrameWorker
from hybrik_ros.printable import printable

_DIAGNOSTICS_SECONDS = 1.0
STOP_SECONDS = 1.0  # maximum wait for a thread when the process is to end

_Success, _Failure, _Error = (
    TransitionCallbackReturn.SUCCESS,
    TransitionCallbackReturn.FAILURE,
    TransitionCallbackReturn.ERROR,
)


class Hooks(ABC, Generic[Loaded]):
    """What a node has of its own. `Loaded` is what it works with."""

    @abstractmethod
    def _source(self) -> str:
        """Return what the node listens to, for its reports."""

    @abstractmethod
    def _create(self, **arguments: Any) -> Loaded:
        """Load, in the thread of the Loader."""

    def _close(self, loaded: Loaded) -> None:
        """Free what is loaded, apart from memory."""

    @abstractmethod
    def _arguments(self) -> dict[str, Any]:
        """Return the arguments of `_create`; an exception refuses to configure."""

    @abstractmethod
    def _create_outputs(self, loaded: Loaded) -> Outputs:
        """Create the publishers."""

    @abstractmethod
    def _create_worker(self, loaded: Loaded) -> FrameWorker[Any]:
        """Begin anew, and return the thread that will process, not started."""

    @abstractmethod
    def _subscribe(self) -> None:
        """Subscribe to what is processed."""

    @abstractmethod
    def _unsubscribe(self) -> None:
        """Unsubscribe, if it is subscribed."""

    @property
    @abstractmethod
    def _is_subscribed(self) -> bool:
        """Whether it is subscribed."""

    @abstractmethod
    def _request_reset(self) -> None:
        """Reset all tracks before the next frame."""

    @abstractmethod
    def _follow(self) -> None:
        """Look for changes of other nodes, once a second while subscribed."""

    @abstractmethod
    def _publish_figures(self, loaded: Loaded, replaced: int) -> None:
        """Report the figures of an active node, of which inputs were replaced by newer ones."""


class PeopleNode(LifecycleNode, Hooks[Loaded]):
    """A lifecycle node that loads something, such as networks, and publishes people with it.

    The services ~/enable and ~/reset pause and resume it, and reset all tracks; ~/cancel cancels
    the loading of a node that is being configured. /diagnostics is published in every state.

    Configuring loads, cleaning up frees. All callbacks run in the executor's thread, the processing
    in that of a FrameWorker, loading in that of a Loader.

    Parameters
    ----------
    name : str
        Name of the node.
    declared : sequence of Parameter
        Its parameters.
    stopping : threading.Event
        Set when the process is to end, which also ends what takes long.

    Attributes
    ----------
    is_finalized : bool
        Whether the node is shut down for good.
    """

    def __init__(
        self, name: str, declared: Sequence[settings.Parameter], stopping: threading.Event
    ) -> None:
        super().__init__(name)
        self._declared = declared
        parameters.declare(self, declared)
        self.add_on_set_parameters_callback(self._validate)
        self.is_finalized = False
        self._stopping = stopping
        self._loader: Loader[Loaded] = Loader(
            self._create, self._close, self.get_logger(), stopping
        )
        self._loaded: Loaded | None = None
        self._outputs: Outputs | None = None
        self._worker: FrameWorker[Any] | None = None
        self._ids = count(1)  # An id never comes back, not even after a clean-up.
        self._reporter = Reporter(self, self._source())
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
        """Load; where that fails, say why and stay unconfigured."""
        try:
            self._loaded = self._loader.load(
                self._is_cancelled,
                lambda progress: self._reporter.publish_status(DiagnosticStatus.WARN, progress),
                **self._arguments(),
            )
        except Exception as error:  # Whatever is wrong with a file is reported.
            return self._refuse('configure', str(explain(error) or error))
        self._outputs = self._create_outputs(self._loaded)
        self._reporter.set_status(DiagnosticStatus.OK, 'inactive')
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start the worker."""
        assert self._loaded is not None
        assert self._outputs is not None
        self._reporter.renew()
        self._worker = self._create_worker(self._loaded)
        self._is_enabled = True
        try:
            self._subscribe()
        except Exception as error:  # Parameters that override a QoS raise various exceptions.
            self._worker = None
            return self._refuse('activate', str(error))
        result = super().on_activate(state)
        self._outputs.publish_body()
        self._worker.start()
        self._reporter.status = None
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
        """Free what is loaded."""
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
        if self._loaded is not None:
            self._close(self._loaded)
            self._loaded = None
        if self._outputs is not None:
            self._outputs.close()
            self._outputs = None
        _release_memory()

    def _validate(self, changes: list[Parameter]) -> SetParametersResult:
        return parameters.validate(changes, self._loaded is not None, self._declared)

    def _is_cancelled(self) -> bool:
        """Return whether ~/cancel was called: in a transition the executor serves no requests."""
        with self._cancel.handle:
            _, caller = self._cancel.handle.service_take_request(Trigger.Request)
        if caller is not None:
            self._cancel.send_response(Trigger.Response(success=True), caller)
        return caller is not None

    # Services and reports, in the executor's thread.

    def _enable(self, request: SetBool.Request, answer: SetBool.Response) -> SetBool.Response:
        """Unsubscribe, or subscribe again."""
        if not self._is_active(answer):
            return answer
        assert self._worker is not None
        if request.data and not self._is_subscribed:
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
            self._request_reset()
            answer.success = True
        return answer

    def _is_active(self, answer: SetBool.Response | Trigger.Response) -> bool:
        """Return whether a service can be served; if not, the answer says so."""
        if self._reporter.status is not None:
            answer.message = (
                f'the node is not active: ros2 lifecycle set {self.get_fully_qualified_name()} '
                f'activate'
            )
        return self._reporter.status is None

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
        assert self._loaded is not None
        assert self._worker is not None
        if self._is_subscribed:
            self._follow()
        if reporter.diagnostics.is_silent:
            self._worker.put(None)
        if self._is_enabled:
            self._publish_figures(self._loaded, self._worker.replaced)
        else:
            reporter.publish_status(DiagnosticStatus.OK, 'disabled by ~/enable')


def _refuse_to_cancel(_: Trigger.Request, answer: Trigger.Response) -> Trigger.Response:
    """Reply that no load is in progress; while one is, `PeopleNode._is_cancelled` replies."""
    answer.message = 'nothing is being loaded'
    return answer


def _release_memory() -> None:
    """Return freed memory to the system; the settings of malloc would keep it for images."""
    gc.collect()
    with suppress(OSError, AttributeError):  # Only glibc has it.
        ctypes.CDLL(None).malloc_trim(0)
