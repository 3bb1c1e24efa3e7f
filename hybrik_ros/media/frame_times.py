"""Times of the frames of a video from the positions that its container has."""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

# Maximum time between two frames in seconds. Screen recordings pause for hours; longer steps come
# from damage.
MAX_STEP = 86400.0
# Minimum time between two frames; shorter steps are rounding errors of equal times.
MIN_STEP = 1e-5

Item = TypeVar('Item')


class Timed(NamedTuple):
    """A time that a frame was given.

    Attributes
    ----------
    seconds : float
        Time since the first frame.
    is_measured : bool
        Whether the container has this time; otherwise it follows from its neighbours or the rate.
    """

    seconds: float
    is_measured: bool


def look_ahead(items: Iterable[Item]) -> Iterator[tuple[Item, Item | None]]:
    """Yield each item together with the next one; None after the last."""
    iterator = iter(items)
    for current in iterator:
        for following in iterator:
            yield current, following
            current = following
        yield current, None


class FrameClock:
    """Gives frames rising times, those of the container wherever these rise.

    A single time that does not fit its neighbours is replaced by the middle between them. Where
    times stop rising, the nominal rate takes over; where they start anew, as in files that were
    joined, they continue from there.

    Parameters
    ----------
    period : float
        Nominal time between two frames in seconds.
    """

    def __init__(self, period: float) -> None:
        self._period = period
        self._shift = 0.0
        self._last: float | None = None

    def advance(self, position: float, following: float | None) -> Timed:
        """Return the time of the next frame.

        Parameters
        ----------
        position : float
            Its position in the container in seconds.
        following : float or None
            The position of the frame after it; None for the last frame.
        """
        if self._last is None:
            self._shift = -position if math.isfinite(position) else 0.0
            self._last = 0.0
            return Timed(0.0, math.isfinite(position))
        seconds = position + self._shift
        after = math.nan if following is None else following + self._shift
        is_outlier = self._rises(after) and after < seconds
        is_measured = self._rises(seconds) and not is_outlier
        if not is_measured and self._rises(after):
            seconds = (self._last + after) / 2
        elif not is_measured:
            seconds = self._last + self._period
            self._shift = seconds - position if math.isfinite(position) else self._shift
        self._last = seconds
        return Timed(seconds, is_measured)

    def _rises(self, seconds: float) -> bool:
        """Return whether a time may follow the last one; False for NaN."""
        return self._last is not None and MIN_STEP <= seconds - self._last <= MAX_STEP
