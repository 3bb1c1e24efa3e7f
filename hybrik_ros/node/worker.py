"""The thread that processes the newest input."""

import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from hybrik_ros.messages.camera_info import NO_CAMERA_INFO
from hybrik_ros.messages.images import UnusableInputError
from hybrik_ros.node.mailbox import Mailbox
from hybrik_ros.node.reporter import Reporter

# Images may arrive a little before the calibration that belongs to them.
_CAMERA_INFO_GRACE_SECONDS = 2.0
_MAX_FAILURES = 5  # failed frames in a row, after which something is wrong for good


Input_contra = TypeVar('Input_contra', contravariant=True)
Input = TypeVar('Input')


class InputProcessor(Protocol[Input_contra]):
    """Processes one input after the other."""

    def process(self, message: Input_contra, received: float) -> None:
        """Process what was received at a time of the monotonic clock, in seconds."""

    def clear_people(self) -> None:
        """Publish an empty list of tracked people."""


class FrameWorker(Generic[Input]):
    """Processes inputs in a thread of its own; those that come meanwhile replace each other.

    Parameters
    ----------
    frames : InputProcessor
        Processes one input, such as an image.
    reporter : Reporter
        Takes counts and complaints.
    give_up : callable
        Called from the thread when it ends because too many frames in a row failed.

    Attributes
    ----------
    failure : str
        Why the thread gave up; empty where it did not.
    """

    def __init__(
        self,
        frames: InputProcessor[Input],
        reporter: Reporter,
        give_up: Callable[[], None],
    ) -> None:
        self.failure = ''
        self._frames = frames
        self._diagnostics = reporter.diagnostics
        self._complaints = reporter.complaints
        self._give_up = give_up
        self._failures = 0
        self._started = time.monotonic()
        # Inputs, with the time at which they were received; None to clear the people.
        self._mailbox: Mailbox[tuple[Input | None, float]] = Mailbox()
        self._thread = threading.Thread(target=self._work, name='hybrik worker', daemon=True)

    @property
    def replaced(self) -> int:
        """Number of inputs dropped for newer ones."""
        return self._mailbox.replaced

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, message: Input | None) -> None:
        """Give it the newest input; None to clear the people instead."""
        self._mailbox.put((message, time.monotonic()))

    def stop(self, timeout: float | None) -> None:
        """End the thread after its present frame.

        Parameters
        ----------
        timeout : float or None
            Maximum time in seconds to wait for that; None to wait until the end.
        """
        self._mailbox.close()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def _work(self) -> None:
        while (item := self._mailbox.take()) is not None:
            message, received = item
            try:
                if message is None:
                    self._frames.clear_people()
                    continue
                self._frames.process(message, received)
                self._failures = 0
            except UnusableInputError as fault:
                self._lose(fault.kind, str(fault))
            except Exception as error:  # A fault in one frame never ends the node.
                self._lose(type(error).__name__, f'a frame failed: {error!r}')
                self._failures += 1
                if self._failures >= _MAX_FAILURES:
                    self.failure = f'{self._failures} frames in a row failed: {error!r}'
                    self._give_up()
                    return

    def _lose(self, kind: str, message: str) -> None:
        """Count a lost frame, and log why the first time."""
        is_settling = time.monotonic() - self._started < _CAMERA_INFO_GRACE_SECONDS
        if kind == NO_CAMERA_INFO and is_settling:
            self._diagnostics.count_fault('waiting for camera_info')
        else:
            self._diagnostics.count_fault(kind)
            self._complaints.log_once(message)
