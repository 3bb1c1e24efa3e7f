"""The camera: pinhole intrinsics with lens distortion, in ROS's optical frame.

Optical frame (REP-103): x right, y down, z forward, metres. Pixels: (u, v), u to the right, v
down, (0, 0) at the centre of the first pixel, as in OpenCV and sensor_msgs/CameraInfo.
"""

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.compiling import floats, kernel

# Fewer digits than this and the iteration of OpenCV's undistortion shows in millimetres.
_UNDISTORTION = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 40, 1e-8)


# The squared angle, in radians, below which rays are one.
_ONE_RAY = 1e-14
_TOO_FEW = 'at least two points on different rays must count'


class ImpossiblePoseError(ValueError):
    """No person in front of the camera can have these landmarks or joints."""


@dataclass(frozen=True, eq=False)
class Camera:
    """Intrinsics of a camera.

    Parameters
    ----------
    matrix: (3, 3), K of sensor_msgs/CameraInfo, pixels.
    distortion: (n), D of CameraInfo: n = 0, 4, 5, 8, 12 or 14 as OpenCV orders them
        (plumb_bob, rational_polynomial), or 4 with fisheye.
    width, height: of the image, pixels.
    fisheye: the distortion is OpenCV's fisheye model, which ROS calls equidistant.
    assumed: nobody measured these intrinsics; distances are guesses.

    Raises
    ------
    ValueError: a shape is wrong, a focal length is not positive or a number is not finite.
    """

    matrix: Array
    distortion: Array = field(default_factory=lambda: np.zeros(0))
    width: int = 0
    height: int = 0
    fisheye: bool = False
    assumed: bool = False

    def __post_init__(self) -> None:
        matrix = np.asarray(self.matrix, dtype=np.float64)
        distortion = np.asarray(self.distortion, dtype=np.float64).ravel()
        if matrix.shape != (3, 3):
            raise ValueError(f'matrix must have shape (3, 3), not {matrix.shape}')
        if not np.isfinite(matrix).all() or matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
            raise ValueError('matrix must be finite with positive focal lengths: is K all zero?')
        allowed = (0, 4) if self.fisheye else (0, 4, 5, 8, 12, 14)
        if len(distortion) not in allowed or not np.isfinite(distortion).all():
            raise ValueError(f'distortion must be {allowed} finite numbers, not {distortion}')
        object.__setattr__(self, 'matrix', matrix)
        object.__setattr__(self, 'distortion', distortion)

    @classmethod
    def from_field_of_view(cls, degrees: float, width: int, height: int) -> 'Camera':
        """Return an undistorted camera of an assumed horizontal field of view in degrees.

        Raises
        ------
        ValueError: it is not between 0 and 180.
        """
        if not 0 < degrees < 180:
            raise ValueError(f'a field of view lies between 0 and 180 degrees, not at {degrees}')
        focal = width / 2 / math.tan(math.radians(degrees) / 2)
        centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
        matrix = np.array([[focal, 0, centre_x], [0, focal, centre_y], [0, 0, 1]])
        return cls(matrix, np.zeros(0), width, height, assumed=True)

    @property
    def distorted(self) -> bool:
        """Whether the lens bends rays at all."""
        return bool(self.distortion.any())

    def rays(self, pixels: ArrayLike) -> Array:
        """Return where the ray of each pixel meets the plane z = 1.

        Parameters
        ----------
        pixels: (..., 2).

        Returns
        -------
        (..., 2): x / z and y / z in the optical frame, with the distortion taken out.
        """
        pixels = np.asarray(pixels, dtype=np.float64)
        if self.distorted:
            pixels = self._undistorted(pixels)
        matrix = self.matrix
        y = (pixels[..., 1] - matrix[1, 2]) / matrix[1, 1]
        x = (pixels[..., 0] - matrix[0, 2] - matrix[0, 1] * y) / matrix[0, 0]
        return np.stack([x, y], axis=-1)

    def _undistorted(self, pixels: Array) -> Array:
        """Return where the pixels would lie without distortion, by the same matrix."""
        flat = pixels.reshape(-1, 1, 2)
        if self.fisheye:
            ideal = cv2.fisheye.undistortPoints(flat, self.matrix, self.distortion, P=self.matrix)
        else:
            ideal = _undistort_points(flat, self.matrix, self.distortion)
        return np.asarray(ideal, np.float64).reshape(pixels.shape)

    def project(self, points: ArrayLike) -> Array:
        """Return the pixels (..., 2) of points (..., 3) in the optical frame, metres, z > 0."""
        points = np.asarray(points, dtype=np.float64)
        if not self.distorted:
            homogeneous = points @ self.matrix.T
            return homogeneous[..., :2] / homogeneous[..., 2:]
        flat = points.reshape(-1, 1, 3)
        nowhere = np.zeros(3)
        if self.fisheye:
            pixels, _ = cv2.fisheye.projectPoints(
                flat, nowhere, nowhere, self.matrix, self.distortion
            )
        else:
            pixels, _ = cv2.projectPoints(flat, nowhere, nowhere, self.matrix, self.distortion)
        return np.asarray(pixels, np.float64).reshape(*points.shape[:-1], 2)


def _undistort_points(pixels: Array, matrix: Array, distortion: Array) -> Array:
    """Return pixels (N, 1, 2) without the distortion of the polynomial models.

    OpenCV 4.5.4 lacks undistortImagePoints and OpenCV 5 lacks undistortPointsIter. Where both
    exist, their points are equal to the bit.
    """
    if hasattr(cv2, 'undistortPointsIter'):
        ideal = cv2.undistortPointsIter(pixels, matrix, distortion, None, matrix, _UNDISTORTION)
    else:
        ideal = cv2.undistortImagePoints(pixels, matrix, distortion, None, _UNDISTORTION)
    return np.asarray(ideal, np.float64)


def on_rays(rays: Array, depths: Array) -> Array:
    """Return points (N, 3), metres, on their rays (N, 2), so far away along z (N).

    Raises
    ------
    ImpossiblePoseError: one of them does not lie in front of the camera.
    """
    if not depths.min() > 0:
        raise ImpossiblePoseError('points lie behind the camera')
    return np.concatenate([rays, np.ones((len(rays), 1))], axis=1) * depths[:, None]


def locate(points: ArrayLike, rays: ArrayLike, weights: ArrayLike) -> Array:
    """Find the translation that brings points of known shape onto their rays.

    Parameters
    ----------
    points: (N, 3), metres, about any origin, along the axes of the optical frame.
    rays: (N, 2), x / z and y / z of the pixel in which each is seen.
    weights: (N), not negative; 0 leaves a point out.

    Returns
    -------
    (3), metres: added to the points it minimises, in the plane of each, the weighted squares of
    their distances from the rays.

    Raises
    ------
    ImpossiblePoseError: fewer than two points count, or they lie on one ray.
    """
    points, rays = np.asarray(points, float), np.asarray(rays, float)
    weights = np.asarray(weights, float)
    translation = np.empty(3)
    if not _regress(points, rays, weights, translation):
        raise ImpossiblePoseError(_TOO_FEW)
    return translation


@kernel(floats(2), floats(2), floats(1), floats(1))
def _regress(points: Array, rays: Array, weights: Array, translation: Array) -> bool:
    """Fill in the translation (3) of locate; tell whether there is one.

    x + tx = (z + tz) u and y + ty = (z + tz) v: a regression of the offsets on the rays, whose
    slope is tz and whose intercept is (tx, ty).
    """
    total = 0.0
    for weight in weights:
        total += weight
    if not total > 0:
        return False
    mean_ray, mean_offset = np.zeros(2), np.zeros(2)
    for n in range(len(points)):
        for k in range(2):
            mean_ray[k] += weights[n] / total * rays[n, k]
            mean_offset[k] += weights[n] / total * (rays[n, k] * points[n, 2] - points[n, k])
    spread = slope = 0.0
    for n in range(len(points)):
        for k in range(2):
            ray = rays[n, k] - mean_ray[k]
            offset = rays[n, k] * points[n, 2] - points[n, k] - mean_offset[k]
            spread += weights[n] / total * ray * ray
            slope += weights[n] / total * ray * offset
    if not spread > _ONE_RAY * (1 + mean_ray[0] ** 2 + mean_ray[1] ** 2):
        return False
    translation[2] = -slope / spread
    for k in range(2):
        translation[k] = mean_offset[k] + mean_ray[k] * translation[2]
    return True


@dataclass(frozen=True, eq=False)
class Region:
    """A square of the image, turned in its plane: what a network gets to see of a person.

    Parameters
    ----------
    centre: (2), pixels.
    size: side of the square, pixels.
    angle: radians, clockwise as seen; the region's up direction is the image's, so turned.
    """

    centre: Array
    size: float
    angle: float = 0.0

    @classmethod
    def around(cls, box: Array, margin: float) -> 'Region':
        """Return the upright square about a box (4), pixels, margin times its longer side."""
        return cls((box[:2] + box[2:]) / 2, margin * float(np.max(box[2:] - box[:2])))

    def to_image(self, side: int) -> Array:
        """Return the affine map (2, 3) from the pixels of a crop of this side to the image's."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        linear = np.array([[cos, -sin], [sin, cos]]) * (self.size / side)
        corner = np.asarray(self.centre, float) - linear @ np.full(2, side / 2)
        return np.concatenate([linear, corner[:, None]], axis=1)

    def crop(self, image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
        """Cut the region out of an image (H, W, 3), bilinear, black outside: (side, side, 3)."""
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        cropped = cv2.warpAffine(image, self.to_image(side), (side, side), flags=flags)
        return np.asarray(cropped, np.uint8)


def bounding_box(points: Array, camera: Camera) -> Array:
    """Return the box (4) around points (N, 2) within the image: x_min, y_min, x_max, y_max."""
    limit = np.array([camera.width, camera.height], float)
    corners = points.min(axis=0), points.max(axis=0)
    return np.concatenate([np.clip(corner, 0, limit) for corner in corners])


def overlaps(first: Array, second: Array) -> Array:
    """Return the intersection over union (N, M), in [0, 1], of boxes (N, 4) and (M, 4).

    Boxes: x_min, y_min, x_max, y_max.
    """
    first, second = first[:, None], second[None]
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(
        first[..., :2], second[..., :2]
    )
    shared = np.prod(np.maximum(sides, 0), axis=-1)
    areas = sum(np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1) for boxes in (first, second))
    return np.asarray(shared / np.maximum(areas - shared, 1e-9))
