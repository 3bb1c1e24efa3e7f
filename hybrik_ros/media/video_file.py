"""Videos with an end: files, and what URLs of files give."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from hybrik_ros.credentials import hide_credentials
from hybrik_ros.limits import MAX_VIDEO_PIXELS
from hybrik_ros.media import MediaError
from hybrik_ros.media.frame_times import FrameClock, look_ahead
from hybrik_ros.media.photo import read_photo
from hybrik_ros.media.retrieval import grab_frames, retrieve
from hybrik_ros.media.url import check_name, is_url, open_url
from hybrik_ros.untrusted import check_regular, describe_unreadable

# Frames per second where neither times nor rate are known. FFmpeg reports the resolution of the
# time stamps, 1000 or more, as the rate of videos that have none.
_ASSUMED_RATE = 30.0
_MIN_RATE, _MAX_RATE = 0.1, 999.0
_MAX_LENGTH = 10**8  # frames; unknown lengths are negative or greater
_STILL_SECONDS = 0.1  # duration of a photo
# Presentation time of a frame in frames at the nominal rate; OpenCV 4.5.4 does not have it.
_PRESENTATION_TIME = getattr(cv2, 'CAP_PROP_PTS', -1)
# A file counts as cut off if more of it is missing than both: containers round their duration, and
# sound may be longer than the video.
_MISSING_SHARE, _MISSING_SECONDS = 0.1, 0.5
# Frames in a row that cannot be decoded, before a video has ended. Encoders of H.264 write a key
# frame, from which decoding starts anew, every 250 frames. A lost connection fails only after a
# timeout, each time.
_MAX_BROKEN, _MAX_BROKEN_OF_URL = 300, 1


class VideoFrame(NamedTuple):
    """A frame of a video.

    Attributes
    ----------
    seconds : float
        Time since the first frame.
    period : float
        Time until the next frame in seconds.
    bgr : ndarray or None
        Pixels (H, W, 3), BGR, uint8; None if the frame is broken.
    """

    seconds: float
    period: float
    bgr: NDArray[np.uint8] | None


class FrameSource(Protocol):
    """A video, or a photo that is shown like one.

    Attributes
    ----------
    name : str
        Path or URL, without a password.
    size : tuple of int
        Width and height in pixels.
    length : int
        Number of frames according to the file; 0 if unknown.
    """

    name: str
    size: tuple[int, int]
    length: int

    def frames(self) -> Iterator[VideoFrame]:
        """Yield all frames from the first one on; each call starts anew."""


class VideoFile:
    """A video, read by OpenCV.

    Parameters
    ----------
    name : str
        Path, or URL of a file.

    Attributes
    ----------
    name : str
        Path or URL, without a password.
    size : tuple of int
        Width and height in pixels.
    rate : float
        Nominal rate in frames per second.
    length : int
        Number of frames according to the file; 0 if unknown.
    broken : int
        Number of frames, of those read so far, that cannot be decoded.
    estimated : int
        Number of frames, of those read so far, the time of which the file does not have.
    is_still : bool
        Whether it has one frame only.
    is_cut_off : bool
        Whether the end of the file is missing; known after the last frame.

    Raises
    ------
    MediaError
        The file is missing, or no video that OpenCV can decode.
    """

    def __init__(self, name: str) -> None:
        check_name(name)
        self.name = hide_credentials(name)
        self._location = name
        capture = self._open()
        self.size = (int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
                     int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))  # fmt: skip
        rate, length = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        has_rate = _MIN_RATE <= rate <= _MAX_RATE
        self.rate = float(rate) if has_rate else _ASSUMED_RATE
        # FFmpeg computes lengths that a container does not have by the rate.
        self.length = int(length) if has_rate and 0 < length < _MAX_LENGTH else 0
        self.broken = self.estimated = 0
        self.is_cut_off = False
        if math.prod(self.size) > MAX_VIDEO_PIXELS:
            raise MediaError(
                f'{self.name} has {self.size[0]} x {self.size[1]} pixels, more than the maximum of '
                f'{MAX_VIDEO_PIXELS}: reduce it'
            )
        decodable = self._grab(capture)
        broken = next(decodable, None)
        if broken is None:
            raise MediaError(self._explain_no_frame(_codec(capture)))
        self._first = max(0.0, float(capture.get(_PRESENTATION_TIME)) - broken)
        self.is_still = self.length <= 1 and not broken and next(decodable, None) is None

    def frames(self) -> Iterator[VideoFrame]:
        """Yield all frames from the first one on; each call starts anew."""
        self.broken = self.estimated = 0
        number, seconds = 0, 0.0
        for (seconds, bgr), following in look_ahead(self._timed_frames()):
            self.broken += bgr is None
            yield VideoFrame(seconds, following[0] - seconds if following else 1 / self.rate, bgr)
            number += 1
        self.is_cut_off = self._misses_end(number, seconds)

    def count(self) -> int:
        """Return the number of frames that can be decoded, counted by decoding all of them."""
        return sum(1 for _ in self._grab(self._open()))

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture()
        if is_url(self._location):
            if not open_url(capture, self._location):
                raise MediaError(f'{self.name} cannot be opened: check the address and the network')
            return capture
        path = Path(self._location)
        try:
            check_regular(path)  # A named pipe would block.
        except OSError as error:
            raise MediaError(describe_unreadable(path, error)) from error
        if not path.stat().st_size:
            raise MediaError(f'{path} is empty: copy or export it anew')
        if not capture.open(self._location):
            raise MediaError(f'{path} is not a video that OpenCV can read: convert it')
        return capture

    def _explain_no_frame(self, codec: str) -> str:
        if is_url(self._location):  # Files with their index at the end need ranges.
            return (
                f'{self.name} is a video of which no frame can be read: the server may not support '
                f'ranges, or this OpenCV cannot decode the codec {codec}; download the file first'
            )
        return (
            f'{self.name} has the codec {codec}, which this OpenCV cannot decode, or no frame: '
            f'convert it, to H.264 for example'
        )

    def _timed_frames(self) -> Iterator[tuple[float, NDArray[np.uint8] | None]]:
        clock = FrameClock(1 / self.rate)
        for (position, bgr), following in look_ahead(self._read()):
            seconds, is_measured = clock.advance(position, following[0] if following else None)
            self.estimated += not is_measured
            yield seconds, bgr

    def _read(self) -> Iterator[tuple[float, NDArray[np.uint8] | None]]:
        """Yield the position in seconds and the pixels of each frame.

        OpenCV has no position of frames that cannot be decoded: they divide the time between their
        neighbours evenly.
        """
        capture = self._open()
        last: float | None = None
        for broken in self._grab(capture):
            position = float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1e3
            step = 1 / self.rate if last is None else (position - last) / (broken + 1)
            for number in range(broken, 0, -1):
                yield position - number * step, None
            yield position, retrieve(capture)
            last = position

    def _grab(self, capture: cv2.VideoCapture) -> Iterator[int]:
        max_broken = _MAX_BROKEN_OF_URL if is_url(self._location) else _MAX_BROKEN
        return grab_frames(capture, max_broken)

    def _misses_end(self, number: int, seconds: float) -> bool:
        """Return whether frames are missing after the last one.

        Where the rate varies, the number of frames according to the file is a guess. That of
        Matroska files includes the time before the first frame, as parts of a recording have it.
        """
        expected = self.length - self._first
        is_regular = abs(seconds - (number - 1) / self.rate) < 2 / self.rate
        limit = min(_MISSING_SHARE * self.length, _MISSING_SECONDS * self.rate)
        return is_regular and expected - number > limit


class StillPicture:
    """A photo, shown as a video of one frame.

    Parameters
    ----------
    path : Path
        The file.

    Attributes
    ----------
    name : str
        The path.
    size : tuple of int
        Width and height in pixels.
    length : int
        1.

    Raises
    ------
    PhotoError
        As of read_photo.
    """

    length = 1

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._bgr = read_photo(path)
        self.size = (self._bgr.shape[1], self._bgr.shape[0])

    def frames(self) -> Iterator[VideoFrame]:
        """Yield the photo."""
        yield VideoFrame(0.0, _STILL_SECONDS, self._bgr)


def _codec(capture: cv2.VideoCapture) -> str:
    """Return the four characters that name the codec of a video."""
    code = int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
    name = code.to_bytes(4, 'little').decode('ascii', 'replace').strip('\0 ')
    return name if name.isprintable() and name else f'{code:#x}'
