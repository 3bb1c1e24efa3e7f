"""The direction up in frames of TF: rotations from the messages on /tf and /tf_static."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.rotations import from_quaternion

MAX_FRAMES = 10_000  # more are ignored, so that memory is bounded whatever comes in
_MAX_DEPTH = 100  # of the tree; a longer way to the root is a loop
_PEOPLE = 'smpl_'  # begins names of frames of people's joints, which are no way to any camera


class FrameTree:
    """The newest rotation of each frame relative to its parent."""

    def __init__(self) -> None:
        self._parents: dict[str, tuple[str, Array]] = {}

    def update(self, transforms: Iterable[Any]) -> None:
        """Take transforms (geometry_msgs/TransformStamped); impossible ones are ignored."""
        for stamped in transforms:
            child = stamped.child_frame_id.lstrip('/')
            q = stamped.transform.rotation
            quaternion = (q.x, q.y, q.z, q.w)
            is_known = child in self._parents or len(self._parents) < MAX_FRAMES
            is_rotation = all(map(math.isfinite, quaternion)) and any(quaternion)
            if is_known and is_rotation and not child.startswith(_PEOPLE):
                parent = stamped.header.frame_id.lstrip('/')
                self._parents[child] = parent, from_quaternion(quaternion)

    def up_in(self, frame: str, upright: str) -> Array | None:
        """Return the direction up in a frame.

        Parameters
        ----------
        frame : str
            Name of the frame.
        upright : str
            Name of a frame whose z points up.

        Returns
        -------
        ndarray or None
            Unit vector (3); None where no transforms connect the frames.
        """
        found, other = self._find_root(frame), self._find_root(upright)
        if found is None or other is None or found[0] != other[0]:
            return None
        return np.asarray(found[1].T @ other[1][:, 2])

    def _find_root(self, frame: str) -> tuple[str, Array] | None:
        """Return the root above a frame, and the rotation (3, 3) from the frame to the root."""
        rotation = np.eye(3)
        for _ in range(_MAX_DEPTH):
            if frame not in self._parents:
                return frame, rotation
            frame, turn = self._parents[frame]
            rotation = turn @ rotation
        return None
