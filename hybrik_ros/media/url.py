"""URLs of videos and network cameras."""

import re

import cv2

_URL = re.compile('[a-z][a-z0-9+.-]*://', re.IGNORECASE)
_PASSWORD = re.compile('(://[^/@:]*):[^/@]*@')
# OpenCV waits for 30 s by default, in which no signal is handled.
_OPEN_SECONDS, _READ_SECONDS = 10, 5


def is_url(name: str) -> bool:
    """Return whether a name is a URL, such as rtsp://192.168.1.2/stream."""
    return _URL.match(name) is not None


def hide_password(name: str) -> str:
    """Return a URL with asterisks in the place of its password; other names as they are."""
    return _PASSWORD.sub(r'\1:***@', name) if is_url(name) else name


def open_url(capture: cv2.VideoCapture, url: str) -> bool:
    """Open a URL with FFmpeg; return whether that succeeded within the time limit."""
    limits = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_SECONDS * 1000,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC, _READ_SECONDS * 1000,
    ]  # fmt: skip
    return bool(capture.open(url, cv2.CAP_FFMPEG, limits))
