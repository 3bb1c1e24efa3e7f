"""Calibrations as camera_info messages, their headers empty."""

from pathlib import Path

from sensor_msgs.msg import CameraInfo

from hybrik_ros.messages import calibration


def read_calibration(path: Path) -> CameraInfo:
    """Read a calibration as camera_calibration and camera_calibration_parsers write it.

    Raises
    ------
    CalibrationError: the file cannot be read, is no such calibration, or is all zero.
    """
    return CameraInfo(**vars(calibration.read_calibration(path)))


def guess_calibration(field_of_view: float, width: int, height: int) -> CameraInfo:
    """Return camera_info of an ideal lens.

    Parameters
    ----------
    field_of_view: horizontal, degrees.
    width, height: pixels.
    """
    return CameraInfo(**vars(calibration.guess_calibration(field_of_view, width, height)))
