"""Camera model: pinhole intrinsics with lens distortion, and regions of the image.

Optical frame (REP-103): x right, y down, z forward, metres. Pixels: (u, v), u to the right, v
down, (0, 0) at the centre of the first pixel, as in OpenCV and sensor_msgs/CameraInfo.
"""

import math
from dataclasses import dataclass, field
from numbers import Real
from reprlib import repr as cut_repr

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.compiling import floats, kernel

# End of OpenCV's iterative undistortion. With a larger tolerance its error exceeds a millimetre.
_UNDISTORTION_CRITERIA = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 40, 1e-8)

_MATRIX_TOLERANCE = 1e-6  # maximum error of the last row of a camera matrix, 0 0 1

_MIN_RAY_SPREAD = 1e-14  # radians squared; rays with a smaller variance count as one ray


ASSUMED_FIELD_OF_VIEW = 60.0  # horizontal, in degrees, of files without a calibration
IMAGE_UP = np.array([0.0, -1.0, 0.0])  # up in the optical frame of a level camera


class ImpossiblePoseError(ValueError):
    """Landmarks or joints that no person in front of the camera can have."""


@dataclass(frozen=True, eq=False)
class Camera:
    """Intrinsics of a camera.

    Parameters
    ----------
    matrix : array_like
        Camera matrix (3, 3) in pixels: K of sensor_msgs/CameraInfo.
    distortion : array_like
        Distortion coefficients (n), D of CameraInfo: n = 0, 4, 5, 8, 12 or 14 in OpenCV's order
        (plumb_bob, rational_polynomial), or 4 with fisheye.
    width, height : int
        Size of the image in pixels.
    fisheye : bool
        Whether the distortion is OpenCV's fisheye model, called equidistant in ROS.
    assumed : bool
        Whether the intrinsics were assumed, not calibrated; distances are guesses then.

    Raises
    ------
    ValueError
        A shape is wrong, a number is not finite, a focal length is not positive, the matrix is not
        fx skew cx, 0 fy cy, 0 0 1, or width or height is not a whole number.
    """

    matrix: Array
    distortion: Array = field(default_factory=lambda: np.zeros(0))
    width: int = 0
    height: int = 0
    fisheye: bool = False
    assumed: bool = False

    def __post_init__(self) -> None:
        matrix = _to_numbers(self.matrix, 'matrix')
        distortion = _to_numbers(self.distortion, 'distortion').ravel()
        _check_matrix(matrix)
        allowed = distortion_counts(self.fisheye)
        if len(distortion) not in allowed or not np.isfinite(distortion).all():
            counts = ', '.join(map(str, allowed))
            raise ValueError(
                f'distortion must have one of {counts} finite numbers, not '
                f'{cut_repr(distortion.tolist())}'
            )
        object.__setattr__(self, 'matrix', matrix)
        object.__setattr__(self, 'distortion', distortion)
        _check_size(self.width, self.height, smallest=0)

    @classmethod
    def from_field_of_view(cls, degrees: float, width: int, height: int) -> 'Camera':
        """Return a camera without distortion, with assumed intrinsics.

        Parameters
        ----------
        degrees : float
            Horizontal field of view in degrees, between 0 and 180.
        width, height : int
            Size of the image in pixels.

        Raises
        ------
        ValueError
            The field of view is not between 0 and 180 degrees, or width or height is not a positive
            whole number.
        """
        if not isinstance(degrees, Real) or not 0 < degrees < 180:
            raise ValueError(
                f'field of view must be between 0 and 180 degrees, not {cut_repr(degrees)}'
            )
        _check_size(width, height, smallest=1)
        focal = width / 2 / math.tan(math.radians(degrees) / 2)
        centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
        matrix = np.array([[focal, 0, centre_x], [0, focal, centre_y], [0, 0, 1]])
        return cls(matrix, np.zeros(0), width, height, assumed=True)

    @property
    def distorted(self) -> bool:
        """Whether any distortion coefficient is not zero."""
        return bool(self.distortion.any())

    def rays(self, pixels: ArrayLike) -> Array:
        """Return the undistorted ray of each pixel: its intersection with the plane z = 1.

        Parameters
        ----------
        pixels : array_like
            Pixels (..., 2).

        Returns
        -------
        ndarray
            Rays (..., 2): x / z and y / z in the optical frame.
        """
        pixels = np.asarray(pixels, dtype=np.float64)
        if self.distorted:
            pixels = self._undistort(pixels)
        matrix = self.matrix
        y = (pixels[..., 1] - matrix[1, 2]) / matrix[1, 1]
        x = (pixels[..., 0] - matrix[0, 2] - matrix[0, 1] * y) / matrix[0, 0]
        return np.stack([x, y], axis=-1)

    def _undistort(self, pixels: Array) -> Array:
        """Return the pixels (..., 2) without distortion, for the same camera matrix."""
        flat = pixels.reshape(-1, 1, 2)
        if self.fisheye:
            ideal = cv2.fisheye.undistortPoints(flat, self.matrix, self.distortion, P=self.matrix)
        else:
            ideal = _undistort_points(flat, self.matrix, self.distortion)
        return np.asarray(ideal, np.float64).reshape(pixels.shape)

    def project(self, points: ArrayLike) -> Array:
        """Return the pixels (..., 2) of points (..., 3) in metres, optical frame, with z > 0."""
        points = np.asarray(points, dtype=np.float64)
        if not self.distorted:
            homogeneous = points @ self.matrix.T
            return homogeneous[..., :2] / homogeneous[..., 2:]
        flat = points.reshape(-1, 1, 3)
        zero = np.zeros(3)
        if self.fisheye:
            pixels, _ = cv2.fisheye.projectPoints(flat, zero, zero, self.matrix, self.distortion)
        else:
            pixels, _ = cv2.projectPoints(flat, zero, zero, self.matrix, self.distortion)
        return np.asarray(pixels, np.float64).reshape(*points.shape[:-1], 2)


def distortion_counts(fisheye: bool) -> tuple[int, ...]:
    """Return the allowed numbers of distortion coefficients, in ascending order."""
    return (0, 4) if fisheye else (0, 4, 5, 8, 12, 14)


def _to_numbers(values: ArrayLike, name: str) -> Array:
    try:
        if values is not None:  # NumPy makes it NaN.
            return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f'{name} must hold numbers, not {cut_repr(values)}')


def _check_matrix(matrix: Array) -> None:
    """Refuse what is not a camera matrix (3, 3)."""
    if matrix.shape != (3, 3):
        raise ValueError(f'matrix must have shape (3, 3), not {matrix.shape}')
    if not matrix.any():
        raise ValueError('matrix is all zero: the camera is not calibrated, calibrate it')
    if not np.isfinite(matrix).all():
        raise ValueError(f'matrix must hold finite numbers, not {matrix.tolist()}')
    if not np.allclose(matrix[2], (0, 0, 1), rtol=0, atol=_MATRIX_TOLERANCE) or matrix[1, 0]:
        is_turned = not matrix[:2, 2].any() and matrix[2, :2].any()
        raise ValueError(
            f'matrix must be fx skew cx, 0 fy cy, 0 0 1, not {matrix.tolist()}'
            + (': its numbers are stored column by column, transpose it' if is_turned else '')
        )
    if matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        raise ValueError(f'matrix must have positive focal lengths, not {matrix.tolist()}')


def _check_size(width: int, height: int, smallest: int) -> None:
    """Refuse a width or height in pixels that is not a whole number, or too small."""
    for name, side in (('width', width), ('height', height)):
        if not isinstance(side, Real) or side < smallest or side % 1:
            raise ValueError(
                f'{name} must be a whole number of pixels, {smallest} or more, not {cut_repr(side)}'
            )


def _undistort_points(pixels: Array, matrix: Array, distortion: Array) -> Array:
    """Return pixels (N, 1, 2) without the distortion of the polynomial models.

    OpenCV 4.5.4 lacks undistortImagePoints and OpenCV 5 lacks undistortPointsIter. Where both
    exist, their results are equal to the bit.
    """
    criteria = _UNDISTORTION_CRITERIA
    if hasattr(cv2, 'undistortPointsIter'):
        ideal = cv2.undistortPointsIter(pixels, matrix, distortion, None, matrix, criteria)
    else:
        ideal = cv2.undistortImagePoints(pixels, matrix, distortion, None, criteria)
    return np.asarray(ideal, np.float64)


def on_rays(rays: Array, depths: Array) -> Array:
    """Return points (N, 3) in metres on rays (N, 2) at depths (N) in metres along z.

    Raises
    ------
    ImpossiblePoseError
        A point is not in front of the camera.
    """
    if not depths.min() > 0:
        raise ImpossiblePoseError(f'a point lies behind the camera, at a depth of {depths.min()} m')
    return np.concatenate([rays, np.ones((len(rays), 1))], axis=1) * depths[:, None]


def locate(points: ArrayLike, rays: ArrayLike, weights: ArrayLike) -> Array:
    """Return the translation that brings points of known relative positions onto their rays.

    It minimises the weighted sum of the squared distances of the translated points from their
    rays, each measured in the plane of the point parallel to the image.

    Parameters
    ----------
    points : array_like
        Points (N, 3) in metres about any origin, along the axes of the optical frame.
    rays : array_like
        Rays (N, 2), x / z and y / z, of the pixels of the points.
    weights : array_like
        Weights (N), not negative; 0 excludes a point.

    Returns
    -------
    ndarray
        Translation (3) in metres.

    Raises
    ------
    ImpossiblePoseError
        Fewer than two points have a positive weight, or all of these are on one ray.
    """
    points, rays = np.asarray(points, float), np.asarray(rays, float)
    weights = np.asarray(weights, float)
    translation = np.empty(3)
    if not _regress(points, rays, weights, translation):
        raise ImpossiblePoseError(
            'at least two points on different rays must have a weight above 0'
        )
    return translation


@kernel(floats(2), floats(2), floats(1), floats(1))
def _regress(points: Array, rays: Array, weights: Array, translation: Array) -> bool:
    """Fill the translation (3) of `locate`; return whether it exists.

    x + tx = (z + tz) u and y + ty = (z + tz) v: a linear regression of the offsets on the rays,
    with slope tz and intercept (tx, ty).
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
    if not spread > _MIN_RAY_SPREAD * (1 + mean_ray[0] ** 2 + mean_ray[1] ** 2):
        return False
    translation[2] = -slope / spread
    for k in range(2):
        translation[k] = mean_offset[k] + mean_ray[k] * translation[2]
    return True


_BLUR = 0.24  # side of the square over which covered pixels are averaged, as a share of the crop's


@dataclass(frozen=True, eq=False)
class Region:
    """A rotated square region of interest (ROI) of an image: the input of a pose network.

    Parameters
    ----------
    centre : ndarray
        Centre (2) in pixels.
    size : float
        Side of the square in pixels.
    angle : float
        Rotation in radians, clockwise in the image, of the region's up direction from the image's.
    covered : ndarray
        Discs (N, 3) that a crop does not show: u, v and radius in pixels of the image.
    """

    centre: Array
    size: float
    angle: float = 0.0
    covered: Array = field(default_factory=lambda: np.zeros((0, 3)))

    @classmethod
    def around(cls, box: Array, margin: float) -> 'Region':
        """Return the upright square around a box (4) in pixels, margin times its longer side."""
        return cls((box[:2] + box[2:]) / 2, margin * float(np.max(box[2:] - box[:2])))

    def to_image(self, side: int) -> Array:
        """Return the affine map (2, 3) to the image's pixels from those of a crop of this side."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        linear = np.array([[cos, -sin], [sin, cos]]) * (self.size / side)
        corner = np.asarray(self.centre, float) - linear @ np.full(2, side / 2)
        return np.concatenate([linear, corner[:, None]], axis=1)

    def crop(self, image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
        """Return the crop (side, side, 3) of an image (H, W, 3), bilinear, black outside of it.

        Covered discs are blurred beyond recognition.
        """
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        to_image = self.to_image(side)
        cropped = np.asarray(cv2.warpAffine(image, to_image, (side, side), flags=flags), np.uint8)
        if len(self.covered):
            self._cover(cropped, to_image)
        return cropped

    def _cover(self, crop: NDArray[np.uint8], to_image: Array) -> None:
        """Blur the covered discs in a crop (side, side, 3), given its map (2, 3) to the image."""
        side = len(crop)
        centres = cv2.transform(self.covered[None, :, :2], cv2.invertAffineTransform(to_image))[0]
        mask = np.zeros((side, side), np.uint8)
        for (u, v), radius in zip(centres, self.covered[:, 2] * side / self.size, strict=True):
            cv2.circle(mask, (round(u), round(v)), max(1, round(radius)), 1, cv2.FILLED)
        if mask.any():
            blurred = cv2.blur(crop, (round(_BLUR * side),) * 2)
            cv2.copyTo(blurred, mask, crop)


# Width of the border at which landmarks are doubted, as a share of the person's size: networks
# place what lies beyond the border just within it.
_BORDER = 0.03


def share_inside(points: Array, camera: Camera) -> Array:
    """Return how far each landmark of a person can be inside the image.

    Parameters
    ----------
    points : ndarray
        The person's landmarks (N, 2) in pixels.
    camera : Camera
        Camera of the image.

    Returns
    -------
    ndarray
        Shares (N) in [0, 1]: 0 outside of the image, rising to 1 at 3 % of the person's size from
        its border.
    """
    to_border = np.minimum(points, [camera.width - 1, camera.height - 1] - points).min(axis=1)
    size = float(np.ptp(points, axis=0).max())
    return np.asarray(np.clip(to_border / max(_BORDER * size, 1.0), 0.0, 1.0))


def bounding_box(points: Array, camera: Camera) -> Array:
    """Return the box (4), x_min, y_min, x_max, y_max, of pixels (N, 2), clipped to the image."""
    limit = np.array([camera.width, camera.height], float)
    corners = points.min(axis=0), points.max(axis=0)
    return np.concatenate([np.clip(corner, 0, limit) for corner in corners])


def overlaps(first: Array, second: Array) -> Array:
    """Return the intersection over union (N, M), in [0, 1], of boxes (N, 4) and (M, 4).

    A box is x_min, y_min, x_max, y_max.
    """
    first, second = first[:, None], second[None]
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(
        first[..., :2], second[..., :2]
    )
    shared = np.prod(np.maximum(sides, 0), axis=-1)
    areas = sum(np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1) for boxes in (first, second))
    return np.asarray(shared / np.maximum(areas - shared, 1e-9))
