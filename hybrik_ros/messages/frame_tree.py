"""Transforms between frames of TF over time, from the messages on /tf and /tf_static."""

import math
from bisect import bisect
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.messages.fields import nanoseconds, to_rotation
from hybrik_ros.rotations import from_rotation_vector, to_rotation_vector

MAX_FRAMES = 10_000  # more are ignored, so that memory is bounded whatever comes in
_MAX_DEPTH = 100  # of the tree; a longer way to the root is a loop
_PEOPLE = ('smpl_', 'body_')  # begin names of frames of people, which are no way to any camera
_MAX_SAMPLES = 250  # of a frame that moves
_HISTORY = 2 * 10**9  # nanoseconds for which they are kept
# Maximum time in nanoseconds from a stamp to the nearest transform of a frame that moves:
# transforms may come later than the images.
_MAX_AWAY = 10**8


class TransformError(ValueError):
    """Two frames are not connected at a time. The text says why."""


class _Sample(NamedTuple):
    """The rotation (3, 3) and position (3) of a frame in its parent; stamp in nanoseconds."""

    stamp: int
    rotation: Array
    position: Array


class _Link(NamedTuple):
    """The parent of a frame, and where the frame was in it, in the order of time."""

    parent: str
    is_static: bool
    samples: deque[_Sample]


class FrameTree:
    """The last transforms of each frame relative to its parent."""

    def __init__(self) -> None:
        self._links: dict[str, _Link] = {}

    def update(self, transforms: Iterable[Any], is_static: bool = False) -> None:
        """Take transforms (geometry_msgs/TransformStamped); impossible ones are ignored.

        Parameters
        ----------
        transforms : iterable of geometry_msgs/TransformStamped
            The transforms.
        is_static : bool
            Whether they hold at all times, as those on /tf_static.
        """
        for stamped in transforms:
            child = stamped.child_frame_id.lstrip('/')
            rotation = to_rotation(stamped.transform.rotation)
            moved = stamped.transform.translation
            position = moved.x, moved.y, moved.z
            is_known = child in self._links or len(self._links) < MAX_FRAMES
            is_usable = rotation is not None and all(map(math.isfinite, position))
            if rotation is None or not (is_known and is_usable) or child.startswith(_PEOPLE):
                continue
            parent = stamped.header.frame_id.lstrip('/')
            sample = _Sample(nanoseconds(stamped.header), rotation, np.array(position))
            self._add(child, parent, sample, is_static)

    def up_in(self, frame: str, upright: str) -> Array | None:
        """Return the direction up in a frame, by the newest transforms.

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
        """Return the newest rotation (3, 3) that maps vectors in a source frame to a target frame.

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
        try:
            return self._between(target, source, _newest)[:3, :3]
        except TransformError:
            return None

    def transform_between(self, target: str, source: str, stamp: int) -> Array:
        """Return the transform (4, 4) from a source frame to a target frame at a time.

        Parameters
        ----------
        target, source : str
            Names of the frames.
        stamp : int
            The time in nanoseconds. Between two transforms of a frame they are interpolated.

        Raises
        ------
        TransformError
            No transforms connect the frames, or those of a frame that moves are not of this time.
        """
        return self._between(target, source, lambda frame, link: _at(frame, link, stamp))

    def poses_of(self, frames: Mapping[str, str]) -> dict[str, Array]:
        """Return the newest poses of the frames that transforms connect, in one of them.

        Parameters
        ----------
        frames : mapping
            Names of frames by any name, such as that of a camera.

        Returns
        -------
        dict
            Transforms (4, 4) of the largest group by these names; empty if no two are connected.
        """
        groups = []
        for fixed in frames.values():
            group = {}
            for name, frame in frames.items():
                with suppress(TransformError):
                    group[name] = self._between(fixed, frame, _newest)
            groups.append(group)
        largest = max(groups, key=len, default={})
        return largest if len(largest) > 1 else {}

    def _add(self, child: str, parent: str, sample: _Sample, is_static: bool) -> None:
        link = self._links.get(child)
        if link is None or is_static or link.is_static or link.parent != parent:
            samples = deque([sample], maxlen=_MAX_SAMPLES)
            self._links[child] = _Link(parent, is_static, samples)
            return
        samples = link.samples
        if sample.stamp < samples[-1].stamp - _HISTORY:  # Time jumped back.
            samples.clear()
        if samples and sample.stamp == samples[-1].stamp:
            samples[-1] = sample
        elif not samples or sample.stamp > samples[-1].stamp:
            samples.append(sample)
        while samples[0].stamp < sample.stamp - _HISTORY:
            samples.popleft()

    def _between(self, target: str, source: str, choose: Callable[[str, _Link], _Sample]) -> Array:
        root, other = self._root_of(target), self._root_of(source)
        if root is None or root != other:
            raise TransformError(f'no transforms on /tf connect {source!r} with {target!r}')
        to_target, to_source = self._to_root(target, choose), self._to_root(source, choose)
        turned = to_target[:3, :3].T
        found = np.eye(4)
        found[:3, :3] = turned @ to_source[:3, :3]
        found[:3, 3] = turned @ (to_source[:3, 3] - to_target[:3, 3])
        return found

    def _root_of(self, frame: str) -> str | None:
        """Return the root above a frame; None in a loop."""
        for _ in range(_MAX_DEPTH):
            if frame not in self._links:
                return frame
            frame = self._links[frame].parent
        return None

    def _to_root(self, frame: str, choose: Callable[[str, _Link], _Sample]) -> Array:
        """Return the transform (4, 4) from a frame to the root above it."""
        rotation, position = np.eye(3), np.zeros(3)
        while frame in self._links:
            link = self._links[frame]
            _, turn, move = choose(frame, link)
            rotation, position = turn @ rotation, turn @ position + move
            frame = link.parent
        found = np.eye(4)
        found[:3, :3], found[:3, 3] = rotation, position
        return found


def _newest(_frame: str, link: _Link) -> _Sample:
    """Return where a frame is in its parent by its last transform."""
    return link.samples[-1]


def _at(frame: str, link: _Link, stamp: int) -> _Sample:
    """Return where a frame was in its parent at a time in nanoseconds.

    Raises
    ------
    TransformError
        The frame moves, and its transforms are not of this time.
    """
    samples = link.samples
    if link.is_static:
        return samples[0]
    after = bisect(samples, stamp, key=lambda sample: sample.stamp)
    if 0 < after < len(samples):
        return _interpolate(samples[after - 1], samples[after], stamp)
    nearest = samples[0 if after == 0 else -1]
    away = (stamp - nearest.stamp) * 1e-9
    if abs(away) > _MAX_AWAY * 1e-9:
        when = 'older' if away > 0 else 'newer'
        raise TransformError(
            f'the transforms of {frame!r} on /tf are {abs(away):.2f} s {when} than the image'
        )
    return nearest


def _interpolate(before: _Sample, after: _Sample, stamp: int) -> _Sample:
    share = (stamp - before.stamp) / (after.stamp - before.stamp)
    turn = to_rotation_vector(before.rotation.T @ after.rotation)
    return _Sample(
        stamp,
        before.rotation @ from_rotation_vector(share * turn),
        before.position + share * (after.position - before.position),
    )
