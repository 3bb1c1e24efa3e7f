"""Mailbox with one slot: a newer item replaces the one that was not taken yet."""

import threading
from typing import Generic, TypeVar

Item = TypeVar('Item')


class Mailbox(Generic[Item]):
    """Hands the newest item from one thread to another.

    Attributes
    ----------
    replaced : int
        Number of items that were replaced before they were taken.
    """

    def __init__(self) -> None:
        self.replaced = 0
        self._item: Item | None = None
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: Item) -> None:
        """Put an item; it replaces an item that was not taken yet."""
        with self._changed:
            if self._item is not None:
                self.replaced += 1
            self._item = item
            self._changed.notify()

    def take(self) -> Item | None:
        """Wait for an item, remove and return it; return None once the mailbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._item is not None)
            item, self._item = self._item, None
            return None if self._closed else item

    def close(self) -> None:
        """Close the mailbox and wake the thread that waits in `take`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
