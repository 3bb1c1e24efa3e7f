"""Read pictures from files: upright, and never larger than the limit."""

import math
import struct
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hybrik_ros.limits import MAX_PHOTO_BYTES, MAX_PHOTO_PIXELS
from hybrik_ros.media import MediaError
from hybrik_ros.media.exif import read_directory, turn_upright
from hybrik_ros.media.picture_formats import GIF, HEAD_BYTES, READ, describe_unread, format_of
from hybrik_ros.messages.image_headers import is_animation, remove_metadata, size_of
from hybrik_ros.messages.images import UnusableInputError, to_8_bits
from hybrik_ros.untrusted import describe_unreadable, open_regular, read_regular

PHOTOS = tuple(sorted(suffix for suffixes in READ.values() for suffix in suffixes))

_BMP = b'BM'


class PhotoError(MediaError):
    """A picture cannot be read."""


def is_photo(path: Path) -> bool:
    """Return whether the name of a file is that of a picture."""
    return path.suffix.lower() in PHOTOS


def picture_format(path: Path) -> str:
    """Return the name of the format of a picture; empty for other files."""
    try:
        with open_regular(path) as file:
            head = file.read(HEAD_BYTES) or b''
    except OSError:
        head = b''
    return format_of(head, path.suffix)


def is_still(path: Path) -> bool:
    """Return whether a file is a picture, also of a format that is not read; GIF is a video."""
    return picture_format(path) not in ('', GIF)


def read_photo(path: Path) -> NDArray[np.uint8]:
    """Return the pixels of a picture, turned upright as its Exif orientation demands.

    Alpha is dropped, and 16-bit samples are reduced by the range of values in use.

    Parameters
    ----------
    path : Path
        A file in one of the formats of PHOTOS.

    Returns
    -------
    ndarray
        Pixels (H, W, 3), BGR, uint8.

    Raises
    ------
    PhotoError
        The file is missing, no regular file, too large, damaged, or of another format.
    """
    image, orientation = _decode(path, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    return turn_upright(image, orientation)


def read_thumbnail(path: Path) -> NDArray[np.uint8]:
    """Return a picture in grey and at an eighth of its size, not turned: (H, W), uint8.

    Raises
    ------
    PhotoError
        As of read_photo.
    """
    return _decode(path, cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_ANYDEPTH)[0]


def _decode(path: Path, flag: int) -> tuple[NDArray[np.uint8], int]:
    """Return the pixels of a picture as they are stored, and its orientation."""
    data = _read(path)
    _check_format(path, data)
    directory = read_directory(data)
    _check_size(path, data, directory.size)
    if data[:2] in (b'II', b'MM'):
        # libtiff turns TIFF files by itself, and some versions of OpenCV then refuse the result.
        data = _without_orientation(data, directory.offset, directory.byte_order)
    try:
        stored = np.frombuffer(remove_metadata(data), np.uint8)
        image = cv2.imdecode(stored, flag | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        image = None
    if image is None:
        raise _undecodable(path)
    try:
        return to_8_bits(image), directory.orientation
    except UnusableInputError as error:
        raise PhotoError(f'{path} cannot be used: {error}') from error


def _read(path: Path) -> bytes:
    """Return the content of a regular file; others, such as named pipes, would block."""
    try:
        return read_regular(path, MAX_PHOTO_BYTES)
    except OSError as error:
        raise PhotoError(describe_unreadable(path, error)) from error
    except ValueError as error:
        raise PhotoError(f'{error}: reduce it') from error


def _check_format(path: Path, data: bytes) -> None:
    """Refuse what is no single picture in a format that is read."""
    if not data:
        raise PhotoError(f'{path} is empty: copy or save it anew')
    name = format_of(data, path.suffix)
    if name and name not in READ:
        raise PhotoError(describe_unread(str(path), name))
    if is_animation(data):
        raise PhotoError(
            f'{path} is an animation, not a single picture: convert it to GIF, which is read as a '
            f'video, or to JPEG'
        )


def _check_size(path: Path, data: bytes, tiff_size: tuple[int, int]) -> None:
    """Refuse pictures that are damaged or too large, before anything is decoded."""
    try:
        size = size_of(data) or (_bmp_size(data) if data.startswith(_BMP) else tiff_size)
    except (ValueError, struct.error) as error:
        raise PhotoError(f'{path} is damaged ({error}): copy or save it anew') from error
    if 0 in size:  # OpenCV reads more formats, the size of which is not known before.
        raise _undecodable(path)
    if math.prod(size) > MAX_PHOTO_PIXELS:
        raise PhotoError(
            f'{path} has {size[0]} x {size[1]} pixels, more than the maximum of '
            f'{MAX_PHOTO_PIXELS}: reduce it'
        )


def _undecodable(path: Path) -> PhotoError:
    return PhotoError(
        f'{path} cannot be decoded: it is damaged, or no picture in a format of '
        f'{", ".join(PHOTOS)}: convert it to JPEG or PNG'
    )


def _bmp_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from('<2i', data, 18)
    return abs(width), abs(height)


def _without_orientation(data: bytes, offset: int | None, byte_order: str) -> bytes:
    """Return a TIFF file the orientation of which is 1."""
    if offset is None:
        return data
    changed = bytearray(data)
    struct.pack_into(f'{byte_order}H', changed, offset, 1)
    return bytes(changed)
