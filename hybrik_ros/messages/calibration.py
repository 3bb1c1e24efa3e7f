"""Calibrations: the YAML files of ROS's calibration tools, or a guess."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hybrik_ros.camera import Camera
from hybrik_ros.messages.images import OTHER_SIZE, UnusableInputError, to_camera


class CalibrationError(ValueError):
    """A calibration cannot be used; the message names the file and what is wrong in it."""


@dataclass(frozen=True)
class Calibration:
    """The fields of sensor_msgs/CameraInfo that a calibration tells, as that message defines them.

    Attributes
    ----------
    width, height: pixels.
    distortion_model: by ROS's name.
    d, k, r, p: row by row.
    """

    width: int
    height: int
    distortion_model: str
    d: list[float]
    k: list[float]
    r: list[float]
    p: list[float]

    def camera(self, size: tuple[int, int] | None = None) -> Camera:
        """Return the camera.

        size: width and height of its images, pixels, where they are known.

        Raises
        ------
        UnusableInputError: it cannot be one, or is for images of another size.
        """
        own = (self.width, self.height)
        if size not in (None, own):
            raise UnusableInputError(
                OTHER_SIZE, f'the calibration is for {own} pixels, the images have {size}'
            )
        return to_camera(self, own)


def read_calibration(path: Path) -> Calibration:
    """Read a calibration as camera_calibration and camera_calibration_parsers write it.

    Raises
    ------
    CalibrationError: the file cannot be read, is no such calibration, or is all zero.
    """
    try:
        content = yaml.safe_load(path.read_text())
        if not isinstance(content, dict):
            raise CalibrationError('it must map names to values')
        calibration = Calibration(
            width=_entry(content, 'image_width', int),
            height=_entry(content, 'image_height', int),
            distortion_model=_entry(content, 'distortion_model', str),
            d=_matrix(content, 'distortion_coefficients'),
            k=_matrix(content, 'camera_matrix', (3, 3)),
            r=_matrix(content, 'rectification_matrix', (3, 3)),
            p=_matrix(content, 'projection_matrix', (3, 4)),
        )
        calibration.camera()
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise CalibrationError(f'cannot read the calibration {path}: {error}') from error
    except (CalibrationError, UnusableInputError) as error:
        raise CalibrationError(f'the calibration {path} is unusable: {error}') from error
    return calibration


def guess_calibration(field_of_view: float, width: int, height: int) -> Calibration:
    """Return the calibration of an ideal lens.

    Parameters
    ----------
    field_of_view: horizontal, degrees.
    width, height: pixels.
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


def _entry(content: dict[str, Any], name: str, kind: type) -> Any:
    value = content.get(name)
    if not isinstance(value, kind):
        words = {int: 'a whole number', str: 'a name', dict: 'a matrix', list: 'a list'}
        given = 'is missing' if name not in content else f'is {value!r}'
        raise CalibrationError(f'{name} must be {words[kind]}, but {given}')
    return value


def _matrix(
    content: dict[str, Any], name: str, shape: tuple[int, int] | None = None
) -> list[float]:
    """Return the numbers of a matrix, row by row."""
    matrix = _entry(content, name, dict)
    data = _entry(matrix, 'data', list)
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in data):
        raise CalibrationError(f'{name} must hold finite numbers only')
    if shape is not None and len(data) != math.prod(shape):
        raise CalibrationError(
            f'{name} must hold {shape[0]} x {shape[1]} numbers, but holds {len(data)}'
        )
    return [float(number) for number in data]
