"""The newest view of each camera, and when it is time to fuse them."""

from hybrik_ros.fusion import View
from hybrik_ros.fusion.times import MAX_AGE
from hybrik_ros.messages.fields import REORDERED_SECONDS

# Maximum seconds for which the others wait for a camera.
_WAIT_SECONDS = 0.1


class ViewBuffer:
    """Collects the newest view of each camera.

    Views are fused when each camera has a view newer than the last fusion, but for those that are a
    tenth of a second behind; and when one camera has two of them, as then another one is late.
    """

    def __init__(self) -> None:
        self._views: dict[str, View] = {}
        self._fused = float('-inf')  # stamp of the newest view in the last fusion

    def put(self, camera: str, view: View) -> dict[str, View] | None:
        """Take the view of a camera; return the newest of each if it is time to fuse them.

        A view older than the last one of the camera is ignored, or begins anew if it is much older.
        """
        last = self._views.get(camera)
        if last is not None and view.stamp <= last.stamp:
            if last.stamp - view.stamp <= REORDERED_SECONDS:
                return None
            self.clear()
            last = None
        has_new = last is not None and last.stamp > self._fused
        self._views[camera] = view
        newest = max(each.stamp for each in self._views.values())
        awaited = [
            each.stamp for each in self._views.values() if newest - each.stamp <= _WAIT_SECONDS
        ]
        if not (has_new or min(awaited) > self._fused):
            return None
        self._fused = newest
        return {name: each for name, each in self._views.items() if newest - each.stamp <= MAX_AGE}

    def clear(self) -> None:
        """Forget all views."""
        self._views.clear()
        self._fused = float('-inf')
