"""Calibrations: YAML files of ROS's calibration tools, or an assumed ideal lens."""

import math
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as cut_repr
from typing import Any

from hybrik_ros.camera import Camera
from hybrik_ros.limits import MAX_YAML_BYTES
from hybrik_ros.messages.images import (
    Intrinsics,
    UnusableInputError,
    other_size,
    to_intrinsics,
)
from hybrik_ros.untrusted import parse_yaml, read_regular

_MAX_SIDE = 2**16  # maximum width and height in pixels


class CalibrationError(ValueError):
    """A calibration file cannot be used; the message names the file and the fault."""


@dataclass(frozen=True)
class Calibration:
    """Intrinsic calibration: the fields of sensor_msgs/CameraInfo that a calibration file has.

    Attributes
    ----------
    width, height : int
        Size of the images in pixels.
    distortion_model : str
        ROS's name of the distortion model, such as 'plumb_bob'.
    d : list of float
        Coefficients of the distortion model.
    k : list of float
        Camera matrix (3, 3), row by row.
    r : list of float
        Rectification matrix (3, 3), row by row.
    p : list of float
        Projection matrix (3, 4), row by row.
    """

    width: int
    height: int
    distortion_model: str
    d: list[float]
    k: list[float]
    r: list[float]
    p: list[float]

    def camera(self, size: tuple[int, int] | None = None) -> Camera:
        """Return the camera of raw images; see `intrinsics`."""
        return self.intrinsics(size).camera

    def intrinsics(
        self, size: tuple[int, int] | None = None, rectified: bool = False
    ) -> Intrinsics:
        """Return the intrinsics of images.

        Parameters
        ----------
        size : tuple of int, optional
            Width and height of the images in pixels, to be checked.
        rectified : bool
            Whether the images are rectified, so that P counts.

        Raises
        ------
        UnusableInputError
            The calibration is invalid, or is for images of another size.
        """
        own = (self.width, self.height)
        if size is not None and size != own:
            raise other_size('the calibration is for', own, size)
        return to_intrinsics(self, own, rectified)


def read_calibration(path: Path) -> Calibration:
    """Read a calibration as camera_calibration and camera_calibration_parsers write it.

    Parameters
    ----------
    path : Path
        YAML file.

    Raises
    ------
    CalibrationError
        The file cannot be read, is not such a calibration, or is not that of a camera.
    """
    try:
        content = _read_yaml(path)
        if not isinstance(content, dict):
            raise CalibrationError('the file must be a YAML mapping')
        calibration = Calibration(
            width=_read_side(content, 'image_width'),
            height=_read_side(content, 'image_height'),
            distortion_model=_read_entry(content, 'distortion_model', str),
            d=_read_matrix(content, 'distortion_coefficients'),
            k=_read_matrix(content, 'camera_matrix', (3, 3)),
            r=_read_matrix(content, 'rectification_matrix', (3, 3)),
            p=_read_matrix(content, 'projection_matrix', (3, 4)),
        )
        calibration.camera()
    except (CalibrationError, UnusableInputError) as error:
        raise CalibrationError(f'the calibration {path} is unusable: {error}') from error
    return calibration


def describe_assumption(field_of_view: float) -> str:
    """Return what to tell where a horizontal field of view in degrees stands for a calibration."""
    return (
        f'no calibration: a horizontal field of view of {field_of_view:g} degrees is assumed, and '
        f'distances are only as accurate as this value; set --camera-info'
    )


def guess_calibration(field_of_view: float, width: int, height: int) -> Calibration:
    """Return the calibration of an ideal lens without distortion.

    Parameters
    ----------
    field_of_view : float
        Horizontal field of view in degrees.
    width, height : int
        Size of the images in pixels.
    """
    (fx, skew, cx), (_, fy, cy), _ = Camera.from_field_of_view(field_of_view, width, height).matrix
    return Calibration(
        width=width,
        height=height,
        distortion_model='plumb_bob',
        d=[0.0] * 5,
        k=[fx, skew, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[fx, skew, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def _read_yaml(path: Path) -> Any:
    """Return the content of a YAML file; raise a CalibrationError if it cannot be read."""
    try:
        return parse_yaml(read_regular(path, MAX_YAML_BYTES))
    except (OSError, ValueError) as error:
        raise CalibrationError(f'it cannot be read: {error}') from error


def _read_entry(content: dict[str, Any], name: str, kind: type) -> Any:
    """Return an entry of a YAML mapping, checked for its type."""
    value = content.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        words = {int: 'an integer', str: 'a string', dict: 'a matrix', list: 'a list'}
        given = 'is missing' if name not in content else f'is {cut_repr(value)}'
        raise CalibrationError(f'{name} must be {words[kind]}, but {given}')
    return value


def _read_side(content: dict[str, Any], name: str) -> int:
    """Return the width or height of the images in pixels."""
    side: int = _read_entry(content, name, int)
    if not 0 < side <= _MAX_SIDE:
        raise CalibrationError(
            f'{name} must be that of the images, 1 to {_MAX_SIDE} pixels, but is {cut_repr(side)}'
        )
    return side


def _read_matrix(
    content: dict[str, Any], name: str, shape: tuple[int, int] | None = None
) -> list[float]:
    """Return the numbers of a matrix, row by row."""
    matrix = _read_entry(content, name, dict)
    data = _read_entry(matrix, 'data', list)
    numbers = [_to_number(entry) for entry in data]
    if not all(map(math.isfinite, numbers)):
        raise CalibrationError(f'{name} must hold finite numbers only, not {cut_repr(data)}')
    if shape is not None and len(data) != math.prod(shape):
        raise CalibrationError(
            f'{name} must hold {shape[0]} x {shape[1]} numbers, but holds {len(data)}'
        )
    return numbers


def _to_number(entry: Any) -> float:
    """Return the number of a YAML entry; NaN for what is none.

    YAML 1.1 takes 1e-05 for text, where other tools write and read a number.
    """
    try:
        return float(entry) if isinstance(entry, int | float | str) else math.nan
    except (ValueError, OverflowError):
        return math.nan
