"""The newest view of each camera, and when it is time to fuse them."""

from hybrik_ros.fusion import View
from hybrik_ros.messages.fields import REORDERED_SECONDS

_SILENT_SECONDS = 0.1  # after which the others do not wait for a camera


class ViewBuffer:
    """Collects the newest view of each camera.

    Views are fused when each camera that is not silent has a view newer than the last fusion; and
    when one camera has two of them, as then another one is late.
    """

    def __init__(self) -> None:
        self._views: dict[str, View] = {}
        self._fused = float('-inf')  # stamp of the newest view in the last fusion

    def put(self, camera: str, view: View) -> dict[str, View] | None:
        """Take the view of a camera; return those of all cameras if it is time to fuse them.

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
        heard = {
            name: each
            for name, each in self._views.items()
            if newest - each.stamp <= _SILENT_SECONDS
        }
        if not (has_new or all(each.stamp > self._fused for each in heard.values())):
            return None
        self._fused = newest
        return heard

    def clear(self) -> None:
        """Forget all views."""
        self._views.clear()
        self._fused = float('-inf')
