"""Sources without an end: cameras of this machine and of the network."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hybrik_ros.credentials import hide_credentials
from hybrik_ros.media import MediaError
from hybrik_ros.media.retrieval import retrieve
from hybrik_ros.media.url import check_name, is_url, open_url

_DEVICE = re.compile(r'/dev/video(\d{1,9})')
_MJPG = cv2.VideoWriter.fourcc(*'MJPG')


@dataclass(frozen=True)
class CameraOptions:
    """What a camera is asked for; it may choose something else.

    Attributes
    ----------
    size : tuple of int or None
        Width and height in pixels.
    rate : float or None
        Frames per second.
    mjpg : bool
        Whether to transfer JPEG images, which USB 2 needs for large images at full rate.
    """

    size: tuple[int, int] | None = None
    rate: float | None = None
    mjpg: bool = False


NO_OPTIONS = CameraOptions()


class LiveCamera:
    """A camera of this machine or the network, read by OpenCV.

    Parameters
    ----------
    name : str
        Index or path (below /dev) of a camera, or URL of a stream.
    options : CameraOptions
        What a camera of this machine is asked for.

    Attributes
    ----------
    name : str
        As given, without a password.

    Raises
    ------
    MediaError
        The camera cannot be opened.
    """

    def __init__(self, name: str, options: CameraOptions = NO_OPTIONS) -> None:
        check_name(name)
        self.name = hide_credentials(name)
        self._location = name
        self._options = options
        self._capture = cv2.VideoCapture()
        if not self.open():
            kind = 'stream' if is_url(name) else 'camera'
            raise MediaError(f'the {kind} {self.name} cannot be opened: {self._advice()}')

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        width = self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)
        return int(width), int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))

    @property
    def rate(self) -> float:
        """Frames per second; 0 if unknown."""
        return float(self._capture.get(cv2.CAP_PROP_FPS))

    @property
    def has_end(self) -> bool:
        """Whether a URL gives a file, the number of frames of which is known."""
        return is_url(self._location) and self._capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0

    def open(self) -> bool:
        """Open the camera, also again; return whether that succeeded."""
        try:
            if is_url(self._location):
                return open_url(self._capture, self._location)
            # Names such as those in /dev/v4l/by-id are links to /dev/videoN; N may change when the
            # camera is plugged in again.
            device = _DEVICE.fullmatch(os.path.realpath(self._path()))
            opened = bool(self._capture.open(int(device[1]) if device else self._location))
        except cv2.error:  # raised for an index that is too large
            return False
        if opened:
            self._request()
        return opened

    def refused(self) -> Iterator[str]:
        """Yield what the camera was asked for and does not do."""
        size, rate = self._options.size, self._options.rate
        if size and size != self.size:
            yield f'--size {size[0]}x{size[1]}: it sends {self.size[0]} x {self.size[1]} pixels'
        if rate and abs(rate - self.rate) > 0.01 * rate:
            yield f'--rate {rate:g}: it says {self.rate:g} images/s'
        if self._options.mjpg and int(self._capture.get(cv2.CAP_PROP_FOURCC)) != _MJPG:
            yield '--mjpg: it sends another format'

    def grab(self) -> bool:
        """Advance to the next frame; return False if there is none."""
        return bool(self._capture.grab())

    def retrieve(self) -> NDArray[np.uint8] | None:
        """Return the frame grabbed last, BGR (H, W, 3); None if it is broken."""
        return retrieve(self._capture)

    def close(self) -> None:
        """Close the camera, so that other programs can open it."""
        self._capture.release()

    def _request(self) -> None:
        """Ask for the options. The format comes first, since the possible sizes depend on it."""
        if self._options.mjpg:
            self._capture.set(cv2.CAP_PROP_FOURCC, _MJPG)
        if self._options.size:
            self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._options.size[0])
            self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._options.size[1])
        if self._options.rate:
            self._capture.set(cv2.CAP_PROP_FPS, self._options.rate)

    def _path(self) -> Path:
        name = self._location
        return Path(f'/dev/video{name}' if name.isdecimal() else name)

    def _advice(self) -> str:
        if is_url(self._location):
            return (
                'check the address, the password, and that it answers, for example with ffplay; if '
                'it is a file, download it first'
            )
        path = self._path()
        found = ', '.join(map(str, sorted(Path('/dev').glob('video*')))) or 'none'
        if not os.path.exists(path):  # Path.exists raises for names that are too long.
            return f'there is no {path}; plug it in, or choose another one (found: {found})'
        if not _DEVICE.fullmatch(str(path.resolve())):
            return f'{path} is not a camera; choose another one (found: {found})'
        if not os.access(path, os.R_OK | os.W_OK):
            return f'no permission; add yourself to its group (ls -lL {path}), and log in again'
        return (
            f'another program uses it, or it sends no images; end that program (fuser -v {path}), '
            f'or choose another camera (found: {found})'
        )
