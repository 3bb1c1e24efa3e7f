"""Distance of a person from a depth image.

A single camera cannot distinguish a small person nearby from a tall one farther away: the distance
of a posed body is wrong by the same factor as its size. A depth image gives the distance of the
skin, while joints are inside the body. So the depths of the posed body's skin are compared with
those measured at the same pixels. Scaling a body about the camera keeps it at its pixels and scales
all its depths equally, so that one ratio corrects the distance.

Depth images are registered to the camera's image (the same pixel shows the same ray) and hold
distances along the optical axis in metres (REP-118). NaN, infinity and values that are not positive
are holes.

This changes the distance of people, but neither their size nor their pose.
"""

from reprlib import repr as cut_repr

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
_MAX_TRIANGLES = 1000  # approximate number of sampled triangles of the torso, on all sides
_MIN_FACING_COS = 0.5  # cosine of the maximum angle between ray and normal of a compared triangle
_MIN_DEPTH = 0.05  # metres, of a compared triangle
# Width in metres of the interval of depths that agree. Clothes, bellies and bending make a body
# differ from its model.
_AGREEMENT = 0.2
# Minimum weight of the triangles that agree (their number times their confidence), and minimum
# share of the weight of all measured triangles.
_MIN_WEIGHT = 20.0
_MIN_AGREEING_SHARE = 0.5
# Maximum share of the weight that lies behind those that agree. An object in front of a person
# agrees with itself, but the rest of the person is then measured behind it.
_MAX_SHARE_BEHIND = 0.25
# Minimum and maximum ratio of measured to estimated distance: from a small child to a giant.
_RATIO_LIMITS = (0.5, 2.0)


class DepthError(ValueError):
    """A depth image does not fit its camera."""


def check_depth(depth: NDArray[np.float32], camera: Camera) -> None:
    """Check that a depth image fits a camera.

    Parameters
    ----------
    depth : ndarray
        Depths (H, W), float32, in metres.
    camera : Camera
        Camera of the image to which the depths are registered.

    Raises
    ------
    DepthError
        The depth image has another shape or type, or its size is neither that of the camera's image
        nor a whole multiple or fraction of it.
    """
    if not isinstance(depth, np.ndarray):
        raise DepthError(f'depth must be (H, W) float32, metres, not {cut_repr(depth)}')
    if depth.ndim != 2 or depth.dtype != np.float32 or 0 in depth.shape:
        raise DepthError(f'depth must be (H, W) float32, metres, not {depth.shape} {depth.dtype}')
    height, width = depth.shape
    small, large = sorted([(width, height), (camera.width, camera.height)])
    if large[0] % small[0] or large[0] * small[1] != large[1] * small[0]:
        raise DepthError(
            f'the depth image has {width} x {height} pixels, the camera {camera.width} x '
            f'{camera.height}: use depth that is registered to the image, of its size or a '
            'whole fraction or multiple of it'
        )


class TorsoDistanceEstimator:
    """Estimates the distance of a posed body by the skin of its torso in a depth image.

    Parameters
    ----------
    body : BodyModel
        Body model with the mesh.
    """

    def __init__(self, body: BodyModel) -> None:
        faces = body.faces[np.isin(body.vertex_joints[body.faces], _TORSO).all(axis=1)]
        self._faces = faces[:: max(1, len(faces) // _MAX_TRIANGLES)]
        self._joints = body.vertex_joints[self._faces[:, 0]]

    def estimate_ratio(
        self,
        depth: NDArray[np.float32],
        camera: Camera,
        vertices: NDArray[np.float32],
        confidence: Array,
    ) -> float | None:
        """Return the ratio of the measured to the estimated distance of a body.

        Holes are ignored. Objects in front of the body, its own arms and the background are
        excluded, as most of the seen torso must agree.

        Parameters
        ----------
        depth : ndarray
            Depths (H, W) in metres, accepted by `check_depth`.
        camera : Camera
            Camera of the image.
        vertices : ndarray
            Vertices (V, 3) of the posed body in metres, optical frame, at the estimated distance.
        confidence : ndarray
            Confidence (24) of the joints in [0, 1]: the weights of their skin.

        Returns
        -------
        float or None
            The ratio; None where too little of the torso is seen or the depths disagree.
        """
        corners = vertices[self._faces].astype(np.float64)
        centres = corners.mean(axis=1)
        shown = _faces_camera(corners, centres)
        centres, weights = centres[shown], confidence[self._joints[shown]]
        measured = _sample(depth, camera, centres)
        valid = np.isfinite(measured) & (measured > 0) & (weights > 0)
        if not valid.any():
            return None
        ratios = measured[valid] / centres[valid, 2]
        width = _AGREEMENT / float(np.median(centres[valid, 2]))
        ratio = _agreed_ratio(ratios, weights[valid], width)
        low, high = _RATIO_LIMITS
        return ratio if ratio is not None and low < ratio < high else None


def _faces_camera(corners: Array, centres: Array) -> NDArray[np.bool_]:
    """Return which triangles (N, 3, 3) with given centres (N, 3) face the camera."""
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    towards = -np.einsum('ni,ni->n', normals, centres)
    lengths = np.linalg.norm(normals, axis=1) * np.linalg.norm(centres, axis=1)
    return np.asarray((centres[:, 2] > _MIN_DEPTH) & (towards > _MIN_FACING_COS * lengths))


def _sample(depth: NDArray[np.float32], camera: Camera, points: Array) -> Array:
    """Return the measured depths (N) at the pixels of points (N, 3); NaN outside of the image."""
    height, width = depth.shape
    # Pixel coordinates refer to the centres of pixels, but images scale about their corner.
    scale = width / camera.width
    pixels = np.rint((camera.project(points) + 0.5) * scale - 0.5)
    inside = ((pixels >= 0) & (pixels < (width, height))).all(axis=1)
    measured = np.full(len(points), np.nan)
    columns, rows = pixels[inside].astype(np.int64).T
    measured[inside] = depth[rows, columns]
    return measured


def _agreed_ratio(ratios: Array, weights: Array, width: float) -> float | None:
    """Return the weighted median of the ratios (N) in the interval of a width with most weight.

    Return None where that weight is too small, or too much lies behind the interval.
    """
    order = np.argsort(ratios)
    ratios, weights = ratios[order], weights[order]
    until = np.concatenate([[0.0], np.cumsum(weights)])
    ends = np.searchsorted(ratios, ratios + width, side='right')
    agreeing = until[ends] - until[:-1]
    first = int(agreeing.argmax())
    total, behind = until[-1], until[-1] - until[ends[first]]
    min_weight = max(_MIN_WEIGHT, _MIN_AGREEING_SHARE * total)
    if agreeing[first] < min_weight or behind > _MAX_SHARE_BEHIND * total:
        return None
    middle = until[first] + agreeing[first] / 2
    return float(ratios[np.searchsorted(until[1:], middle)])
