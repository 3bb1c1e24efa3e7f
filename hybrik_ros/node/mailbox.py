"""A mailbox with one slot: the newest item wins, and what it replaces is counted."""

import threading
from typing import Generic, TypeVar

Item = TypeVar('Item')


class Mailbox(Generic[Item]):
    """Hands the newest item from one thread to another.

    Attributes
    ----------
    replaced: number of items that were never taken because a newer one came.
    """

    def __init__(self) -> None:
        self.replaced = 0
        self._item: Item | None = None
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: Item) -> None:
        """Leave an item; one that still lies there is dropped."""
        with self._changed:
            if self._item is not None:
                self.replaced += 1
            self._item = item
            self._changed.notify()

    def take(self) -> Item | None:
        """Wait for an item and take it; None once the mailbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._item is not None)
            item, self._item = self._item, None
            return None if self._closed else item

    def close(self) -> None:
        """Wake the taker for the last time."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
