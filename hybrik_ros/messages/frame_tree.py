"""Rotations between frames of TF, and the direction up, from the messages on /tf and /tf_static."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.messages.fields import to_rotation

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
            rotation = to_rotation(stamped.transform.rotation)
            is_known = child in self._parents or len(self._parents) < MAX_FRAMES
            if is_known and rotation is not None and not child.startswith(_PEOPLE):
                self._parents[child] = stamped.header.frame_id.lstrip('/'), rotation

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
        rotation = self.rotation_between(frame, upright)
        return None if rotation is None else rotation[:, 2]

    def rotation_between(self, target: str, source: str) -> Array | None:
        """Return the rotation (3, 3) that maps vectors in a source frame to a target frame.

        Parameters
        ----------
        target, source : str
            Names of the frames.

        Returns
        -------
        ndarray or None
            The rotation; None where no transforms connect the frames. A frame is always connected
            with itself, unless it is part of a loop.
        """
        found, other = self._find_root(target), self._find_root(source)
        if found is None or other is None or found[0] != other[0]:
            return None
        return np.asarray(found[1].T @ other[1])

    def _find_root(self, frame: str) -> tuple[str, Array] | None:
        """Return the root above a frame, and the rotation (3, 3) from the frame to the root."""
        rotation = np.eye(3)
        for _ in range(_MAX_DEPTH):
            if frame not in self._parents:
                return frame, rotation
            frame, turn = self._parents[frame]
            rotation = turn @ rotation
        return None
