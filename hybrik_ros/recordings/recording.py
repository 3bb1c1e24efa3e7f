"""What is to be read: a bag, a video or a folder of images, and how."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from hybrik_ros.bags.reader import is_storage

VIDEOS = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.webm')
IMAGES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')

_SAMPLES, _SAMPLE_BYTES = 64, 4096  # of each file, by which recordings are told apart


class RecordingError(ValueError):
    """A recording cannot be used; the message says which, why, and what to do."""


@dataclass(frozen=True)
class Recording:
    """A recording and how to read it.

    Attributes
    ----------
    path: of a bag, a video or a folder of images.
    image_topic, camera_info_topic: of a bag; empty to find them.
    calibration: YAML file that counts instead of camera_info; empty for none.
    field_of_view: horizontal, degrees, where there is no calibration; 0 for not assumed.
    rate: images a second, of a folder; 0 for the default.
    copy: whether all messages of a bag are to be copied.
    start, stop: nanoseconds, of receipt: the part of a bag that is read, stop not included.
    calibrations: the messages of camera_info (CDR) that were the last before that part.
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

    @property
    def is_part(self) -> bool:
        """Whether only a part of a bag is read."""
        return self.start is not None or self.stop is not None


def is_bag(path: Path) -> bool:
    """Tell whether this is a bag: a file of one, or the folder of one.

    Without metadata.yaml, which a recorder that was killed leaves none, the files of a bag bear
    the folder's name; others are bags of their own.
    """
    if not path.is_dir():
        return is_storage(path)
    names = [file.name for file in path.iterdir() if is_storage(file)]
    described = (path / 'metadata.yaml').is_file()
    return bool(names) and (described or all(name.startswith(path.name) for name in names))


def is_recording(path: Path) -> bool:
    """Tell whether this is a bag, a video or a folder of images."""
    if is_bag(path) or path.suffix.lower() in VIDEOS:
        return True
    return path.is_dir() and any(file.suffix.lower() in IMAGES for file in path.iterdir())


def fingerprint(files: Iterable[Path]) -> str:
    """Return what tells recordings apart: a hash of the sizes of their files and of samples.

    The samples are 256 kB of each file, spread evenly, its start and its end among them. To read
    all of a bag would take as long as some of the work that this spares.
    """
    digest = sha256()
    for path in files:
        with path.open('rb') as file:
            size = os.fstat(file.fileno()).st_size
            digest.update(size.to_bytes(8, 'little'))
            last = max(0, size - _SAMPLE_BYTES)
            for start in sorted({last * number // (_SAMPLES - 1) for number in range(_SAMPLES)}):
                file.seek(start)
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()
