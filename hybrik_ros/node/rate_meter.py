"""Rate of the images of a camera, fast or slow."""

import time
from collections import deque

import numpy as np

_MAX_EVENTS = 600  # that are kept
_MIN_SECONDS = 5.0  # minimum window of the rate
# Last intervals between events that are looked at; the longest counts, as images may come in pairs.
_NUM_INTERVALS = 5
_MAX_PAUSE_INTERVALS = 3  # maximum pause in intervals, within these limits in seconds
_MAX_PAUSE_LIMITS = 2.0, 60.0


class RateMeter:
    """Rate of an event over the last seconds; of a slow one over its last intervals."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=_MAX_EVENTS)

    def count(self) -> None:
        """Count an event."""
        self._times.append(time.monotonic())

    @property
    def hertz(self) -> float:
        """The rate in Hz; 0 for fewer than two events."""
        now, interval = time.monotonic(), self._longest_interval
        start = now - max(_MIN_SECONDS, (_NUM_INTERVALS + 1) * interval)
        times = [time for time in self._times if time > start]
        if len(times) < 2:
            return 0.0
        # Until the next event is due, the time since the last one tells nothing.
        end = max(times[-1], now - interval)
        return (len(times) - 1) / max(end - times[0], 1e-9)

    @property
    def max_pause(self) -> float:
        """Time in seconds without an event that is unusual: several intervals between events."""
        return float(np.clip(_MAX_PAUSE_INTERVALS * self._longest_interval, *_MAX_PAUSE_LIMITS))

    @property
    def _longest_interval(self) -> float:
        """The longest of the last intervals between events in seconds; 0 before the second."""
        last = list(self._times)[-_NUM_INTERVALS - 1 :]
        return float(np.diff(last).max(initial=0.0))

    def __str__(self) -> str:
        return f'{self.hertz:.1f}'
