"""What belongs to an image by its stamp: depth, or another detector's people."""

import threading
import time
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar('Item')

_ALIVE_SECONDS = 1.0


class ByStamp(Generic[Item]):
    """Keeps the last items of one thread, until another asks for the one of a time.

    Parameters
    ----------
    length: how many items are kept; the oldest goes first.
    """

    def __init__(self, length: int) -> None:
        self._items: deque[tuple[float, Item]] = deque(maxlen=length)
        self._arrived = threading.Condition()
        self._last_put = -_ALIVE_SECONDS

    def put(self, stamp: float, item: Item) -> None:
        """Keep the item of a time, in seconds."""
        with self._arrived:
            self._items.append((stamp, item))
            self._last_put = time.monotonic()
            self._arrived.notify_all()

    def take(self, stamp: float, tolerance: float, patience: float = 0.0) -> Item | None:
        """Return the item nearest to a time, None if all are farther than tolerance, in seconds.

        It and what was put before it are dropped: images come in the order of time.

        patience: seconds for which it is waited for, should it not be there yet; of who has not
            put anything for a second nothing is expected.
        """
        with self._arrived:
            if patience > 0 and time.monotonic() - self._last_put < _ALIVE_SECONDS:
                self._arrived.wait_for(
                    lambda: self._items and self._items[-1][0] >= stamp - tolerance, patience
                )
            nearest = min(self._items, key=lambda kept: abs(kept[0] - stamp), default=None)
            if nearest is None or abs(nearest[0] - stamp) > tolerance:
                return None
            while self._items.popleft() is not nearest:
                pass
            return nearest[1]

    def clear(self) -> None:
        """Drop everything."""
        with self._arrived:
            self._items.clear()
