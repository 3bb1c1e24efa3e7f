"""Checks of what a pipeline is given for a frame."""

import math
from numbers import Real
from reprlib import repr as cut_repr
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hybrik_ros.arrays import Array, Image
from hybrik_ros.camera import Camera


class Boxes(NamedTuple):
    """The people that another detector found in a frame.

    Attributes
    ----------
    inside : ndarray
        Boxes (N, 4) in pixels, clipped to the image; those outside are left out.
    given : int
        Number of boxes, with those outside.
    """

    inside: Array
    given: int


def check_image(rgb: Image, camera: Camera) -> None:
    """Raise a ValueError unless an image is (H, W, 3) uint8, and of the size of its camera."""
    if not isinstance(camera, Camera):
        raise ValueError(f'camera must be a Camera, not {cut_repr(camera)}')
    if rgb is None:
        raise ValueError(
            'rgb must be (H, W, 3) uint8, not None: cv2.imread returns None for a file that is '
            'missing or no image'
        )
    if not isinstance(rgb, np.ndarray):
        raise ValueError(f'rgb must be an array (H, W, 3) of uint8, not a {type(rgb).__name__}')
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise ValueError(f'rgb must be (H, W, 3) uint8, not {rgb.shape} {rgb.dtype}')
    if rgb.shape[:2] != (camera.height, camera.width):
        raise ValueError(
            f'the image has {rgb.shape[1]} x {rgb.shape[0]} pixels, '
            f'its camera {camera.width} x {camera.height}'
        )


def check_stamp(stamp: float) -> None:
    """Raise a ValueError unless a stamp is a finite number."""
    try:
        is_finite = isinstance(stamp, Real) and math.isfinite(stamp)
    except OverflowError:  # an integer beyond all floats
        is_finite = False
    if not is_finite:
        raise ValueError(f'stamp must be finite, a number of seconds, not {cut_repr(stamp)}')


def check_up(up: ArrayLike) -> Array:
    """Return the unit vector (3) along a vector that points up, optical frame.

    Raises
    ------
    ValueError
        It is no (3,) of finite numbers, or zero.
    """
    try:
        checked = np.asarray(up, float)
    except (TypeError, ValueError, OverflowError):
        checked = np.zeros(3)  # refused below
    if checked.shape != (3,) or not np.isfinite(checked).all() or not checked.any():
        raise ValueError(f'up must be a vector of 3 finite numbers, not zero, not {cut_repr(up)}')
    checked = checked / np.abs(checked).max()  # The squares of large numbers overflow.
    return np.asarray(checked / np.linalg.norm(checked))


def clip_boxes(boxes: ArrayLike, camera: Camera) -> Boxes:
    """Return boxes (N, 4) in pixels, clipped to the image.

    Raises
    ------
    ValueError
        They are no (N, 4) finite numbers.
    """
    try:
        checked = np.asarray(boxes, float)
    except (TypeError, ValueError, OverflowError):
        checked = np.full((1, 4), np.nan)  # refused below
    if not checked.size:
        return Boxes(np.zeros((0, 4)), 0)
    if checked.ndim != 2 or checked.shape[1] != 4 or not np.isfinite(checked).all():
        raise ValueError(f'boxes must be (N, 4) finite numbers, pixels, not {cut_repr(boxes)}')
    cut = np.clip(checked, 0, np.tile([camera.width, camera.height], 2))
    return Boxes(cut[(cut[:, :2] < cut[:, 2:]).all(axis=1)], len(checked))
