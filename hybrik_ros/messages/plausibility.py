"""Plausibility of intrinsics: what no camera can have, and what few cameras have.

The one check of all calibrations: of camera_info, of calibration files, and of `hybrik doctor`. The
limits leave room for telephoto lenses, fisheyes beyond 180 degrees and careless calibrations: they
were set beside 17 published calibrations of 6 to 195 degrees.
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.camera import Camera

# Fields of view in degrees, by the focal length alone, without the fisheye model. The widest
# rectilinear lenses have 127, and fisheyes of 200 degrees 120. Rectified images may have more.
_MIN_FIELD_OF_VIEW, _MAX_FIELD_OF_VIEW = 1.0, 170.0
_MIN_USUAL_FIELD_OF_VIEW, _MAX_USUAL_FIELD_OF_VIEW = 5.0, 128.0
_MAX_USUAL_RECTIFIED_FIELD_OF_VIEW = 150.0
# Maximum of a fisheye in degrees, along the shorter side: the longer one may exceed its circle.
_MAX_FISHEYE_FIELD_OF_VIEW = 300.0
_MAX_PIXEL_RATIO, _MAX_USUAL_PIXEL_RATIO = 3.0, 1.3  # of the focal lengths in x and y
_MAX_SKEW = 0.1  # as a share of the focal length
# Distances of the centre from the middle of the image as shares of its sides. Images cropped at one
# side are off along one; the K of a resolution that is s times the image's is off by (s - 1) / 2
# along both.
_MAX_OFFSET, _MAX_USUAL_OFFSET = 1.0, 0.45
_MAX_OFFSET_ALONG_BOTH, _MAX_USUAL_OFFSET_ALONG_BOTH = 0.16, 0.095
_MAX_OFFSET_OF_TURNED = 0.2
# Cropping at one side, too, moves the centre along one. It seems to be the K of another resolution
# only where the images and twice the centre have one of these shapes, to this share. Calibrations
# differ from that middle by some per cent, which are allowed where few lenses are so far off; there
# it may be off along the other side as well, as from 1920 x 1080 to 1280 x 960 pixels.
_SHAPES = (1.0, 6 / 5, 5 / 4, 4 / 3, 3 / 2, 16 / 10, 16 / 9)
_MIN_OFFSET_ALONG_ONE, _SHAPE_TOLERANCE = 0.05, 0.01
_MIN_RARE_OFFSET, _RARE_SHAPE_TOLERANCE = 0.1, 0.025
# Numbers are exchanged if the centre is farther off than the first along a side, and with the
# numbers put right nearer than the second along both, and pixels are square to this ratio.
_MIN_EXCHANGED_OFFSET, _MAX_CORRECTED_OFFSET, _MAX_CORRECTED_RATIO = 0.1, 0.05, 1.1

_GRID = 9  # rows and columns of the pixels at which the distortion is tried
_MAX_ERROR = 0.01  # of a pixel to its ray and back, as a share of the width
# Share of the image with rays that lead back. Polynomials often fail in the corners.
_MIN_SHARE, _MIN_USUAL_SHARE = 0.35, 0.75
_MAX_FISHEYE_ANGLE = math.radians(80)  # of rays from the axis; x / z tells nothing beyond it
# Limits of the distance from the axis with distortion to that without: as x / z, and as the angle
# of a fisheye.
_DISTORTION_LIMITS, _FISHEYE_LIMITS = (0.6, 8.0), (0.4, 2.0)
# Those published have 0.97 to 4.9, and as fisheyes 0.91 to 1.05.
_USUAL_DISTORTION_LIMITS, _USUAL_FISHEYE_LIMITS = (0.8, 8.0), (0.8, 1.2)
# Maximum of |p1| + |p2| times the distance from the axis; those published have up to 0.013. The D
# of a fisheye has other numbers in their place.
_MAX_USUAL_TANGENTIAL = 0.03


class Doubt(NamedTuple):
    """What is wrong with intrinsics.

    Attributes
    ----------
    text : str
        The fault, and what to do.
    is_impossible : bool
        Whether no camera can have these intrinsics; otherwise few have.
    """

    text: str
    is_impossible: bool = True


def find_doubts(camera: Camera, rectified: bool = False) -> Iterator[Doubt]:
    """Yield what is impossible or improbable about the intrinsics of a whole sensor.

    Parameters
    ----------
    camera : Camera
        The camera, without region of interest and binning: a region has its centre anywhere.
    rectified : bool
        Whether the intrinsics are those of rectified images, not of a lens.
    """
    finders = (
        _find_exchanged, _find_in_matrix, partial(_find_in_field_of_view, rectified=rectified),
        _find_in_centre, _find_in_distortion,
    )  # fmt: skip
    for find in finders:
        with np.errstate(all='ignore'):  # Wrong numbers overflow, and become infinite or NaN.
            doubts = list(find(camera))
        yield from doubts
        if any(doubt.is_impossible for doubt in doubts):
            return


def field_of_view(camera: Camera) -> float:
    """Return the horizontal field of view in degrees."""
    row = (camera.height - 1) / 2
    edges = np.array([[-0.5, row], [camera.width - 0.5, row]])
    if not camera.fisheye or not camera.distorted:
        left, right = np.arctan(camera.rays(edges)[:, 0])
        return math.degrees(right - left)
    # Beyond 90 degrees there is no x / z, so the polynomial of the angle is inverted instead.
    angles = np.linspace(0, math.pi, 2000)
    powers = angles[:, None] ** (2 * np.arange(1, 5))
    distances = np.maximum.accumulate(angles * (1 + powers @ camera.distortion))
    across = np.linalg.norm(_without_distortion(camera, edges), axis=1)
    return math.degrees(np.interp(across, distances, angles).sum())


def _without_distortion(camera: Camera, pixels: Array) -> Array:
    """Return x / z and y / z of pixels (N, 2) by the camera matrix alone."""
    return Camera(camera.matrix).rays(pixels)


def _find_exchanged(camera: Camera) -> Iterator[Doubt]:
    """Find focal lengths and centre that were exchanged."""
    (fx, _, cx), (_, fy, cy), _ = camera.matrix
    if _offset(camera, cx, cy) < _MIN_EXCHANGED_OFFSET:
        return
    if _would_fit(camera, (cx, cy), (fx, fy)):
        yield Doubt(
            f'its focal lengths, {fx:g} and {fy:g}, and its centre, ({cx:g}, {cy:g}), seem to be '
            'exchanged: its numbers must be fx 0 cx, 0 fy cy, 0 0 1, row by row'
        )
    elif _would_fit(camera, (fx, fy), (cy, cx)):
        yield Doubt(
            f'its centre, ({cx:g}, {cy:g}), would be the middle of images turned by 90 degrees, '
            f'not of {camera.width} x {camera.height} pixels: exchange x and y, or calibrate the '
            'camera with the images as they are',
            is_impossible=False,
        )


def _would_fit(camera: Camera, focal: tuple[float, float], centre: tuple[float, float]) -> bool:
    """Return whether a camera with square pixels has these focal lengths and this centre."""
    is_square = min(focal) > 0 and max(focal) < _MAX_CORRECTED_RATIO * min(focal)
    return is_square and _offset(camera, *centre) < _MAX_CORRECTED_OFFSET


def _offset(camera: Camera, x: float, y: float) -> float:
    """Return the distance from the middle of the image as a share of its side, along either."""
    across, down = (x + 0.5) / camera.width - 0.5, (y + 0.5) / camera.height - 0.5
    return max(abs(across), abs(down))


def _find_in_matrix(camera: Camera) -> Iterator[Doubt]:
    (fx, skew, _), (_, fy, _), _ = camera.matrix
    if abs(skew) > _MAX_SKEW * fx:
        yield Doubt(
            f'it has a skew of {skew:g} beside a focal length of {fx:g}: its numbers must be '
            'fx 0 cx, 0 fy cy, 0 0 1, row by row'
        )
    ratio = max(fx / fy, fy / fx)
    if ratio > _MAX_USUAL_PIXEL_RATIO:
        yield Doubt(
            f'its focal lengths, {fx:g} and {fy:g} pixels, differ by a factor of {ratio:.3g}: '
            'calibrate the camera in the resolution of its images',
            ratio > _MAX_PIXEL_RATIO,
        )


def _find_in_field_of_view(camera: Camera, rectified: bool) -> Iterator[Doubt]:
    fx, fy = float(camera.matrix[0, 0]), float(camera.matrix[1, 1])
    if camera.fisheye:
        degrees = math.degrees(min(camera.width / fx, camera.height / fy))
        highest = highest_usual = _MAX_FISHEYE_FIELD_OF_VIEW
    else:
        degrees = 2 * math.degrees(math.atan(camera.width / 2 / fx))
        usual = _MAX_USUAL_RECTIFIED_FIELD_OF_VIEW if rectified else _MAX_USUAL_FIELD_OF_VIEW
        highest, highest_usual = _MAX_FIELD_OF_VIEW, usual
    if _MIN_USUAL_FIELD_OF_VIEW <= degrees <= highest_usual:
        return
    advice = 'calibrate the camera in the resolution of its images'
    if degrees > highest_usual:
        advice = 'it must be in pixels of images of this size, not in metres or millimetres'
    yield Doubt(
        f'its focal length of {fx:g} for {camera.width} x {camera.height} pixels is a field of '
        f'view of {degrees:.4g} degrees: {advice}',
        not _MIN_FIELD_OF_VIEW <= degrees <= highest,
    )


def _find_in_centre(camera: Camera) -> Iterator[Doubt]:
    """Find a principal point far from the middle of the image."""
    centre = camera.matrix[:2, 2]
    x, y = (centre + 0.5) / (camera.width, camera.height) - 0.5
    farthest, both = max(abs(x), abs(y)), min(abs(x), abs(y))
    is_scaled = x * y > 0 and both > _MAX_USUAL_OFFSET_ALONG_BOTH
    is_impossible = (
        farthest > _MAX_OFFSET
        or (is_scaled and both > _MAX_OFFSET_ALONG_BOTH)
        or both > _MAX_OFFSET_OF_TURNED
    )
    is_turned = _would_fit(camera, (1.0, 1.0), (float(centre[1]), float(centre[0])))
    is_scaled |= not is_turned and _is_of_another_shape(camera, x, y)
    if not is_impossible and not is_scaled and farthest <= _MAX_USUAL_OFFSET:
        return
    like = ''
    if is_scaled and centre.min() > 0:
        width, height = 2 * centre + 1
        like = f' (it would be that of about {width:.0f} x {height:.0f} pixels)'
    if not centre.all():
        like = ' (is a number missing?)'
    yield Doubt(
        f'its centre, ({centre[0]:.6g}, {centre[1]:.6g}), is far from the middle of '
        f'{camera.width} x {camera.height} pixels{like}: calibrate the camera in the resolution '
        'of its images, or publish the region of interest of cropped ones',
        is_impossible,
    )


def _is_of_another_shape(camera: Camera, x: float, y: float) -> bool:
    """Return whether a centre with these offsets is the middle of images of a usual shape."""
    one, other = max(abs(x), abs(y)), min(abs(x), abs(y))
    is_rare = one > _MIN_RARE_OFFSET
    tolerance = _RARE_SHAPE_TOLERANCE if is_rare else _SHAPE_TOLERANCE
    width, height = (1 + 2 * x) * camera.width, (1 + 2 * y) * camera.height
    return (
        _MIN_OFFSET_ALONG_ONE < one < 0.5
        and (is_rare or other < tolerance)
        and _has_usual_shape(camera.width, camera.height, tolerance)
        and _has_usual_shape(width, height, tolerance)
    )


def _has_usual_shape(width: float, height: float, tolerance: float) -> bool:
    shape = max(width, height) / min(width, height)
    return any(abs(shape / usual - 1) < tolerance for usual in _SHAPES)


def _find_in_distortion(camera: Camera) -> Iterator[Doubt]:
    """Find distortion with which pixels have no ray, or rays that no lens bends so far."""
    if not camera.distorted:
        return
    pixels, straight = _tried_pixels(camera)
    if not len(pixels):  # All are beyond the angles that can be tried.
        return
    rays = camera.rays(pixels)
    there = np.concatenate([rays, np.ones((len(rays), 1))], axis=1)
    errors = np.linalg.norm(camera.project(there) - pixels, axis=1)
    lead_back = errors <= _MAX_ERROR * camera.width  # False for NaN
    fault, is_impossible = _fault_of_bending(camera, rays[lead_back], straight[lead_back])
    share = float(lead_back.mean())
    if share < _MIN_SHARE or (share < _MIN_USUAL_SHARE and not (fault and is_impossible)):
        fault = f'leaves {1 - share:.0%} of the pixels without a ray'
        is_impossible = share < _MIN_SHARE
    if fault:
        yield Doubt(
            f'its distortion {_shorten(camera.distortion)} {fault}: check the distortion '
            'model, or calibrate it again, with the board in the corners of the images too',
            is_impossible,
        )


def _fault_of_bending(camera: Camera, rays: Array, straight: Array) -> tuple[str, bool]:
    """Return what is wrong with how far rays (N, 2) are bent, and whether no lens does so."""
    bent = np.linalg.norm(rays, axis=1)
    limits, usual = _DISTORTION_LIMITS, _USUAL_DISTORTION_LIMITS
    if camera.fisheye:
        bent, limits, usual = np.arctan(bent), _FISHEYE_LIMITS, _USUAL_FISHEYE_LIMITS
    ratios = bent / straight
    if not _are_within(ratios, limits):
        return 'moves pixels farther than a lens can', True
    if not _are_within(ratios, usual):
        model = 'equidistant' if camera.fisheye else 'plumb_bob and rational_polynomial'
        return f'moves pixels as that of few lenses does, for {model}', False
    tangential = np.abs(camera.distortion[2:4]).sum() * straight.max(initial=0.0)
    if not camera.fisheye and tangential > _MAX_USUAL_TANGENTIAL:
        return 'has a large p1 or p2 (its third and fourth numbers), as for equidistant', False
    return '', False


def _are_within(ratios: Array, limits: tuple[float, float]) -> bool:
    low, high = limits
    return bool(((ratios > low) & (ratios < high)).all())


def _tried_pixels(camera: Camera) -> tuple[Array, Array]:
    """Return a grid of pixels (N, 2), and their distances (N) from the axis without distortion."""
    sides = (np.linspace(-0.5, side - 0.5, _GRID) for side in (camera.width, camera.height))
    pixels = np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2)
    straight = np.linalg.norm(_without_distortion(camera, pixels), axis=1)
    tried = straight > 1e-9  # of the centre there is no ratio
    if camera.fisheye:
        tried &= straight < _MAX_FISHEYE_ANGLE
    return pixels[tried], straight[tried]


def _shorten(numbers: Array) -> str:
    return f'[{", ".join(f"{number:.4g}" for number in numbers)}]'
