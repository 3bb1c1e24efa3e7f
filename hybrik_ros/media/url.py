"""Names of videos and cameras: URLs, and paths that OpenCV can open."""

import re

import cv2

from hybrik_ros.credentials import hide_credentials
from hybrik_ros.media import MediaError

_URL = re.compile('[a-z][a-z0-9+.-]*://', re.IGNORECASE)
# OpenCV waits for 30 s by default, in which no signal is handled.
_OPEN_SECONDS, _READ_SECONDS = 10, 5


def is_url(name: str) -> bool:
    """Return whether a name is a URL, such as rtsp://192.168.1.2/stream."""
    return _URL.match(name) is not None


def check_name(name: str) -> None:
    """Refuse a path or URL that is not UTF-8: OpenCV would end the process when it opens it.

    Raises
    ------
    MediaError
        The name has bytes that are not UTF-8, which Python represents as surrogates.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        raise MediaError(
            f'{hide_credentials(name)!a} cannot be opened: its name is not UTF-8, rename it'
        ) from None


def open_url(capture: cv2.VideoCapture, url: str) -> bool:
    """Open a URL with FFmpeg; return whether that succeeded within the time limit."""
    limits = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_SECONDS * 1000,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC, _READ_SECONDS * 1000,
    ]  # fmt: skip
    return bool(capture.open(url, cv2.CAP_FFMPEG, limits))
