"""What a depth image says of how far away somebody is.

A camera alone cannot tell a small person nearby from a big one farther off: a posed body that
covers the right pixels may be too near or too far by what it is too small or too big. A depth
image tells, and it shows the skin, while joints lie within. So the skin of the posed body is
compared with what is measured at the same pixels. Scaled about the camera, a body stays at its
pixels and its skin's depths keep their proportions: how far off it is, is one factor.

Depth images are registered to the camera's image (the same pixel shows the same ray) and hold
distances along the optical axis, in metres, as REP-118 has them; NaN, infinity and what is not
positive are holes.

This changes how far away people are placed, not how big they are nor how they pose.
"""

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Camera
from hybrik_ros.skeleton import JOINT_NAMES

_TORSO = [
    JOINT_NAMES.index(name)
    for name in ('pelvis', 'spine1', 'spine2', 'spine3', 'left_collar', 'right_collar')
]
_PATCHES = 1000  # of the torso, on all sides
_FACING = 0.5  # cosine of the steepest angle to the ray at which a patch is measured
_NEAR = 0.05  # metres: nothing closer to the camera is compared
_AGREEMENT = 0.2  # metres, within which bodies differ from their model: clothes, bellies, bending
_LEAST = 20.0  # patches, fully seen, that must agree,
_MOST = 0.5  # and which part of all that are measured
# What stands before somebody agrees too, but then the rest of them shows behind it.
_BEHIND = 0.25
_PLAUSIBLE = (0.5, 2.0)  # times as far: from a small child to a giant


class DepthError(ValueError):
    """A depth image cannot belong to its camera."""


def check_depth(depth: NDArray[np.float32], camera: Camera) -> None:
    """Raise a DepthError where a depth image cannot be one of this camera.

    It has the size of the camera's image, or a whole multiple or fraction of it.
    """
    if depth.ndim != 2 or depth.dtype != np.float32 or 0 in depth.shape:
        raise DepthError(f'depth must be (H, W) float32, metres, not {depth.shape} {depth.dtype}')
    height, width = depth.shape
    small, large = sorted([(width, height), (camera.width, camera.height)])
    if large[0] % small[0] or large[0] * small[1] != large[1] * small[0]:
        raise DepthError(
            f'the depth image has {width} x {height} pixels, the camera {camera.width} x '
            f'{camera.height}: give depth that is registered to the image, of its size or a '
            'whole fraction or multiple of it'
        )


class TorsoDistanceEstimator:
    """The skin of a body's torso and hips, of which depth images tell how far away it is.

    Parameters
    ----------
    body: whose mesh it is.
    """

    def __init__(self, body: BodyModel) -> None:
        faces = body.faces[np.isin(body.vertex_joints[body.faces], _TORSO).all(axis=1)]
        self._faces = faces[:: max(1, len(faces) // _PATCHES)]
        self._joints = body.vertex_joints[self._faces[:, 0]]

    def estimate_ratio(
        self,
        depth: NDArray[np.float32],
        camera: Camera,
        vertices: NDArray[np.float32],
        confidence: Array,
    ) -> float | None:
        """Return how many times as far away a body is as it was put.

        Holes count for nothing. What stands in front of the body, its own arms and what shows
        beside it are left out, as most of what is seen of the torso must agree.

        Parameters
        ----------
        depth: (H, W), metres, such that check_depth has nothing against it.
        camera: that sees the body.
        vertices: (V, 3), metres, optical frame, of the whole body, where it was put.
        confidence: (24) in [0, 1], that a joint is seen; skin counts as much as its joint.

        Returns
        -------
        The ratio, or None where too little of the torso is seen or the depths are at odds.
        """
        corners = vertices[self._faces].astype(np.float64)
        middles = corners.mean(axis=1)
        shown = _faces_camera(corners, middles)
        middles, weights = middles[shown], confidence[self._joints[shown]]
        measured = _sample(depth, camera, middles)
        valid = np.isfinite(measured) & (measured > 0) & (weights > 0)
        if not valid.any():
            return None
        ratios = measured[valid] / middles[valid, 2]
        ratio = _agreed(ratios, weights[valid], _AGREEMENT / float(np.median(middles[valid, 2])))
        return ratio if ratio is not None and _PLAUSIBLE[0] < ratio < _PLAUSIBLE[1] else None


def _faces_camera(corners: Array, middles: Array) -> NDArray[np.bool_]:
    """Tell which triangles (N, 3, 3), with these middles (N, 3), turn their outside to it."""
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    towards = -np.einsum('ni,ni->n', normals, middles)
    lengths = np.linalg.norm(normals, axis=1) * np.linalg.norm(middles, axis=1)
    return np.asarray((middles[:, 2] > _NEAR) & (towards > _FACING * lengths))


def _sample(depth: NDArray[np.float32], camera: Camera, points: Array) -> Array:
    """Return what is measured (N) at the pixels of points (N, 3); NaN outside of the image."""
    height, width = depth.shape
    # Pixels are counted by their centres, and scale about the corner of the image.
    scale = width / camera.width
    pixels = np.rint((camera.project(points) + 0.5) * scale - 0.5)
    inside = ((pixels >= 0) & (pixels < (width, height))).all(axis=1)
    measured = np.full(len(points), np.nan)
    columns, rows = pixels[inside].astype(np.int64).T
    measured[inside] = depth[rows, columns]
    return measured


def _agreed(ratios: Array, weights: Array, width: float) -> float | None:
    """Return the median, by weights (N), of those ratios (N) within a width that weigh most.

    None where they weigh too little, or too much lies behind them.
    """
    order = np.argsort(ratios)
    ratios, weights = ratios[order], weights[order]
    until = np.concatenate([[0.0], np.cumsum(weights)])
    ends = np.searchsorted(ratios, ratios + width, side='right')
    agreeing = until[ends] - until[:-1]
    first = int(agreeing.argmax())
    total, behind = until[-1], until[-1] - until[ends[first]]
    if agreeing[first] < max(_LEAST, _MOST * total) or behind > _BEHIND * total:
        return None
    middle = until[first] + agreeing[first] / 2
    return float(ratios[np.searchsorted(until[1:], middle)])
