"""Record a camera into a video file."""

import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hybrik_ros.media import MediaError
from hybrik_ros.media.live_camera import LiveCamera
from hybrik_ros.media.url import check_name

_MAX_SILENCE = 3.0  # seconds without a frame after which a stream has ended
_POLL_SECONDS = 0.02
_QUALITY = 95  # of JPEG


def record_camera(
    camera: LiveCamera, path: Path, seconds: float, progress: Callable[[float], None]
) -> None:
    """Record a camera at its mean rate, or until its stream ends.

    Cameras do not keep the rate that they name, so it is measured, and the frames are kept as JPEG
    until then.

    Parameters
    ----------
    camera : LiveCamera
        The open camera.
    path : Path
        The .avi file to write.
    seconds : float
        Duration.
    progress : callable
        Called after each frame with the seconds since the first one.

    Raises
    ------
    MediaError
        The camera sends fewer than two frames, or the path is not UTF-8.
    """
    check_name(str(path))
    frames: list[NDArray[np.uint8]] = []
    times: list[float] = []
    last = time.monotonic()
    while time.monotonic() < last + _MAX_SILENCE and (not times or last < times[0] + seconds):
        frame = camera.retrieve() if camera.grab() else None
        if frame is None:
            time.sleep(_POLL_SECONDS)
            continue
        last = time.monotonic()
        times.append(last)
        _, jpeg = cv2.imencode('.jpg', frame, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        frames.append(np.asarray(jpeg, np.uint8))
        progress(last - times[0])
    if len(frames) < 2:
        raise MediaError(f'the camera {camera.name} sends no frames: try it with another program')
    _write(path, frames, (len(times) - 1) / max(times[-1] - times[0], 1e-3))


def _write(path: Path, frames: list[NDArray[np.uint8]], rate: float) -> None:
    height, width = _decode(frames[0]).shape[:2]
    code = cv2.VideoWriter.fourcc(*'MJPG')
    writer = cv2.VideoWriter(str(path), code, rate, (width, height))
    try:
        for frame in frames:
            writer.write(_decode(frame))
    finally:
        writer.release()


def _decode(jpeg: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)
