"""The newest view of each camera, and when it is time to fuse them."""

import time
from collections import deque

import numpy as np

from hybrik_ros.fusion import View
from hybrik_ros.fusion.times import MAX_AGE
from hybrik_ros.messages.fields import REORDERED_SECONDS

# Maximum seconds by which a view is overdue, for which the others wait.
_WAIT_SECONDS = 0.1
# Maximum time until a view is due for which the others wait, as a share of the shortest interval
# between two images of a camera: further away, it belongs to the next fusion.
_SOON = 0.5
_MAX_INTERVALS = 5  # of which the median is the usual one
_FORGET_SECONDS = 2.0  # since the arrival of a view


class ViewBuffer:
    """Collects the newest view of each camera.

    Views are fused once no other one is due soon; and when a camera has two of them, as then
    another one is late.
    """

    def __init__(self) -> None:
        self._views: dict[str, View] = {}
        self._stamps: dict[str, deque[float]] = {}  # of the last views, in seconds
        self._arrivals: dict[str, float] = {}  # of the last view, in seconds
        self._fused = float('-inf')  # stamp of the newest view in the last fusion

    @property
    def newest(self) -> float:
        """Stamp in seconds of the newest view; -infinity before the first."""
        return max((view.stamp for view in self._views.values()), default=float('-inf'))

    def put(self, camera: str, view: View) -> dict[str, View] | None:
        """Take the view of a camera; return the newest of each if it is time to fuse them.

        A view older than the last one of the camera is ignored, or begins anew if it is much older.
        """
        self._forget_silent()
        last = self._views.get(camera)
        if last is not None and view.stamp <= last.stamp:
            if last.stamp - view.stamp <= REORDERED_SECONDS:
                return None
            self.clear()
            last = None
        has_two = last is not None and last.stamp > self._fused
        self._views[camera] = view
        self._stamps.setdefault(camera, deque(maxlen=_MAX_INTERVALS + 1)).append(view.stamp)
        self._arrivals[camera] = time.monotonic()
        newest = self.newest
        if newest <= self._fused or (not has_two and self._is_any_due(newest)):
            return None
        self._fused = newest
        return {name: each for name, each in self._views.items() if newest - each.stamp <= MAX_AGE}

    def forget(self, camera: str) -> None:
        """Forget a camera, as its stamps are wrong or it is silent."""
        for known in (self._views, self._stamps, self._arrivals):
            known.pop(camera, None)
        if self._fused > self.newest:  # The time was that of this camera.
            self._fused = float('-inf')

    def clear(self) -> None:
        """Forget all views."""
        for camera in list(self._views):
            self.forget(camera)

    def _forget_silent(self) -> None:
        now = time.monotonic()
        for camera in [
            name for name, arrival in self._arrivals.items() if now - arrival > _FORGET_SECONDS
        ]:
            self.forget(camera)

    def _is_any_due(self, newest: float) -> bool:
        intervals = {
            name: float(np.median(np.diff(stamps))) if len(stamps) > 1 else 0.0
            for name, stamps in self._stamps.items()
        }
        soon = _SOON * min(filter(None, intervals.values()), default=0.0)
        return any(
            -_WAIT_SECONDS <= view.stamp + intervals[name] - newest < soon
            for name, view in self._views.items()
            if view.stamp < newest
        )
