"""Buffer of messages, such as depth images, that belong to an image of the same stamp."""

import threading
import time
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar('Item')

_ALIVE_SECONDS = 1.0  # maximum age of the last item of a source that is still waited for


class ByStamp(Generic[Item]):
    """Buffers the newest items of one thread for another one, which takes them by stamp.

    Parameters
    ----------
    length : int
        Maximum number of items; the oldest ones are dropped.
    """

    def __init__(self, length: int) -> None:
        self._items: deque[tuple[float, Item]] = deque(maxlen=length)
        self._arrived = threading.Condition()
        self._last_put = -_ALIVE_SECONDS

    def put(self, stamp: float, item: Item) -> None:
        """Add an item with its stamp in seconds."""
        with self._arrived:
            self._items.append((stamp, item))
            self._last_put = time.monotonic()
            self._arrived.notify_all()

    def take(self, stamp: float, tolerance: float, timeout: float = 0.0) -> Item | None:
        """Return the item nearest to a stamp; remove it and all that were put before it.

        Parameters
        ----------
        stamp : float
            Stamp in seconds.
        tolerance : float
            Maximum difference of the stamps in seconds.
        timeout : float
            Maximum wait in seconds for an item that has not arrived yet. Without any item in the
            last second there is no wait.

        Returns
        -------
        object or None
            The item; None if no stamp is within the tolerance.
        """
        with self._arrived:
            if timeout > 0 and time.monotonic() - self._last_put < _ALIVE_SECONDS:
                self._arrived.wait_for(
                    lambda: self._items and self._items[-1][0] >= stamp - tolerance, timeout
                )
            nearest = min(self._items, key=lambda kept: abs(kept[0] - stamp), default=None)
            if nearest is None or abs(nearest[0] - stamp) > tolerance:
                return None
            while self._items.popleft() is not nearest:
                pass
            return nearest[1]

    def clear(self) -> None:
        """Drop all items."""
        with self._arrived:
            self._items.clear()
