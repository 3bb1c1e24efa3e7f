"""Statistics of what a topic brings, for `hybrik doctor`."""

import time
from collections import deque
from typing import Any

import numpy as np
from rclpy.clock import Clock

from hybrik_ros.messages.fields import nanoseconds
from hybrik_ros.node.topics import SEQUENCE_NUMBER, MessageInfo

_MAX_RECENT = 10  # messages that are kept: what another program finds in an image comes later


class TopicStream:
    """Statistics of the messages received from a topic.

    Parameters
    ----------
    clock : Clock
        Clock of the stamps.

    Attributes
    ----------
    recent : deque
        The last messages, at most _MAX_RECENT.
    stamps : list of int
        Stamps of all messages in nanoseconds.
    times : list of int
        When each message was received, by the clock, in nanoseconds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.recent: deque[Any] = deque(maxlen=_MAX_RECENT)
        self.stamps: list[int] = []
        self.times: list[int] = []
        self._arrivals: list[float] = []
        self._numbers: list[int | None] = []
        self._bytes = 0

    def take(self, message: Any, info: MessageInfo) -> None:
        """Add a message to the statistics."""
        self.recent.append(message)
        self.stamps.append(nanoseconds(message.header))
        self.times.append(self._clock.now().nanoseconds)
        self._arrivals.append(time.monotonic())
        self._numbers.append(info.get(SEQUENCE_NUMBER))
        self._bytes += len(getattr(message, 'data', ()))

    @property
    def last(self) -> Any:
        """The last message; None before the first."""
        return self.recent[-1] if self.recent else None

    @property
    def hertz(self) -> float:
        """Rate of messages in Hz; 0 for fewer than two."""
        if len(self._arrivals) < 2:
            return 0.0
        return (len(self._arrivals) - 1) / max(self._arrivals[-1] - self._arrivals[0], 1e-9)

    @property
    def bytes_per_second(self) -> float:
        """Data rate of the images, without their headers."""
        return self.hertz * self._bytes / max(len(self._arrivals), 1)

    @property
    def lost(self) -> float | None:
        """Share of lost messages; None where the middleware does not number them."""
        numbers = [number for number in self._numbers if number is not None]
        # Two publishers number their messages independently.
        if len(numbers) < 2 or any(np.diff(numbers) <= 0):
            return None
        return 1 - len(numbers) / (numbers[-1] - numbers[0] + 1)
