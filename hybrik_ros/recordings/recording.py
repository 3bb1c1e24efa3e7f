"""Recordings: bags, videos, photos and folders of images, with the options to read them."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from hybrik_ros.bags.reader import is_storage, listed_files
from hybrik_ros.media.photo import is_photo, picture_format
from hybrik_ros.settings import AUTO
from hybrik_ros.untrusted import open_regular

VIDEOS = (
    '.3gp', '.avi', '.flv', '.m2ts', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.mts',
    '.ogv', '.ts', '.webm', '.wmv',
)  # fmt: skip

# Number of samples of each file in the fingerprint of a recording, and their size in bytes.
_SAMPLES, _SAMPLE_BYTES = 64, 4096


class RecordingError(ValueError):
    """A recording cannot be used. The message names the recording, the cause and the remedy."""


@dataclass(frozen=True)
class Recording:
    """A recording and the options to read it.

    Attributes
    ----------
    path : Path
        Path of a bag, a video, a photo or a folder of images.
    image_topic, camera_info_topic : str
        Topics of a bag; empty to find them.
    calibration : str
        Path of a YAML file that replaces camera_info; empty for none.
    field_of_view : float
        Horizontal field of view in degrees, assumed if there is no calibration; 0 for none.
    rate : float
        Images per second of a folder; 0 for the default, if it contains the frames of a video.
    copy : bool
        Whether all messages of a bag are copied.
    start, stop : int or None
        Times of receipt in nanoseconds: the part of a bag that is read, from start on, before
        stop.
    calibrations : tuple of bytes
        The last messages of camera_info (CDR) before that part.
    intrinsics : str
        Intrinsics of a calibration that the images have, as the node's parameter of this name.
    """

    path: Path
    image_topic: str = ''
    camera_info_topic: str = ''
    calibration: str = ''
    field_of_view: float = 0.0
    rate: float = 0.0
    copy: bool = False
    start: int | None = None
    stop: int | None = None
    calibrations: tuple[bytes, ...] = ()
    intrinsics: str = AUTO

    @property
    def is_part(self) -> bool:
        """Whether only a part of a bag is read."""
        return self.start is not None or self.stop is not None


def is_bag(path: Path) -> bool:
    """Return whether a path is a file of a bag, or the folder of a bag.

    A recorder that was killed does not write metadata.yaml. Without it, a folder is a bag if the
    names of its bag files start with the name of the folder; other files are bags by themselves.
    """
    if not path.is_dir():
        return is_storage(path)
    names = [file.name for file in path.iterdir() if is_storage(file)]
    if not names:  # A bag whose files are missing is reported as such.
        return bool(listed_files(path))
    has_metadata = (path / 'metadata.yaml').is_file()
    return has_metadata or all(name.startswith(path.name) for name in names)


def is_recording(path: Path) -> bool:
    """Return whether a path is a bag, a video, a photo or a folder of images."""
    try:
        if is_bag(path) or is_video(path) or picture_format(path):
            return True
        return path.is_dir() and any(map(picture_format, path.iterdir()))
    except OSError:  # Opening it reports the reason; other recordings are processed.
        return True


def is_video(path: Path) -> bool:
    """Return whether the name of a file is that of a video."""
    return path.suffix.lower() in VIDEOS


def recordings_of(folder: Path) -> list[Path]:
    """Return a folder that is a bag or has photos; else the recordings in it.

    Pictures of other formats are reported once the folder is opened, so that they cost no more.
    """
    try:
        inside = sorted(folder.iterdir())
        if is_bag(folder) or any(map(is_photo, inside)):
            return [folder]
    except OSError:  # Opening it reports the reason.
        return [folder]
    pictures = {path for path in inside if picture_format(path)}
    found = [path for path in inside if path not in pictures and is_recording(path)]
    return [folder, *found] if pictures else found


def fingerprint(files: Iterable[Path]) -> str:
    """Return a hash that differs between recordings, of the sizes of their files and of samples.

    The samples are 256 kB of each file at equal distances, start and end included. Reading all of
    a bag would take too long. Only regular files are read.

    Parameters
    ----------
    files : iterable of Path
        The files of a recording, in a fixed order.

    Returns
    -------
    str
        SHA-256 in hexadecimal digits.
    """
    digest = sha256()
    for path in files:
        try:
            with open_regular(path) as file:
                digest.update(_sample(file))
        except OSError as error:  # Such an image of a folder is left out.
            digest.update(str(error.errno).encode())
    return digest.hexdigest()


def _sample(file: BinaryIO) -> bytes:
    """Return the size and samples of a file."""
    size = os.fstat(file.fileno()).st_size
    last = max(0, size - _SAMPLE_BYTES)
    found = [size.to_bytes(8, 'little')]
    for start in sorted({last * number // (_SAMPLES - 1) for number in range(_SAMPLES)}):
        file.seek(start)
        found.append(file.read(_SAMPLE_BYTES) or b'')  # Files of the kernel may have nothing now.
    return b''.join(found)
