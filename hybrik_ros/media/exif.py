"""Orientation of photos: how to turn the stored pixels so that the picture is upright."""

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.messages.image_headers import png_chunks

_PNG = b'\x89PNG\r\n\x1a\n'
_JPEG = b'\xff\xd8'
_JPEG_SCAN, _JPEG_APP1 = 0xDA, 0xE1
_JPEG_FILL = 0xFF
_EXIF = b'Exif\0\0'
_BYTE_ORDERS = {b'II*\0': '<', b'MM\0*': '>'}
_WIDTH, _HEIGHT, _ORIENTATION = 0x100, 0x101, 0x112  # tags of TIFF
_SHORT, _LONG = 3, 4  # types of TIFF
_ENTRY_BYTES = 12


class Directory(NamedTuple):
    """What the first directory of a TIFF structure says of the picture.

    Attributes
    ----------
    orientation : int
        1 to 8, as Exif defines them; 1 if there is none, or an invalid one.
    offset : int or None
        Position of the orientation in the data, with its byte order; None if there is none.
    byte_order : str
        '<' or '>', as in struct.
    size : tuple of int
        Width and height in pixels; 0 where they are missing, as in the Exif block of a JPEG.
    """

    orientation: int = 1
    offset: int | None = None
    byte_order: str = '<'
    size: tuple[int, int] = (0, 0)


def read_directory(data: bytes) -> Directory:
    """Return the orientation of a JPEG, PNG, WebP or TIFF file, and the size of a TIFF file.

    Parameters
    ----------
    data : bytes
        The file. Damaged metadata count as missing.

    References
    ----------
    CIPA DC-008 (Exif), 4.5 and 4.6; TIFF 6.0; PNG, eXIf; RFC 9649 (WebP), 2.7.1.5.
    """
    try:
        start = _find_tiff(data)
        return Directory() if start is None else _read_tiff(data, start)
    except (struct.error, IndexError):
        return Directory()


def turn_upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return an image (H, W, 3) turned and mirrored as its orientation, 1 to 8, demands."""
    if orientation >= 5:  # Rows and columns are exchanged.
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def _find_tiff(data: bytes) -> int | None:
    """Return where the TIFF structure with the metadata begins; None if there is none."""
    if data[:4] in _BYTE_ORDERS:
        return 0
    if data.startswith(_JPEG):
        return _find_in_jpeg(data)
    if data.startswith(_PNG):
        return _find_in_png(data)
    if data[:4] == b'RIFF' and data[8:12] == b'WEBP':
        return _find_in_webp(data)
    return None


def _find_in_jpeg(data: bytes) -> int | None:
    position = len(_JPEG)
    while data[position] == _JPEG_FILL and data[position + 1] != _JPEG_SCAN:
        if data[position + 1] == _JPEG_FILL:  # fill byte before a marker
            position += 1
            continue
        body = position + 4
        if data[position + 1] == _JPEG_APP1 and data[body : body + len(_EXIF)] == _EXIF:
            return body + len(_EXIF)
        position += 2 + int(struct.unpack_from('>H', data, position + 2)[0])
    return None


def _find_in_png(data: bytes) -> int | None:
    starts = (start for kind, start, _ in png_chunks(data) if kind == b'eXIf')
    return next((start + 8 for start in starts), None)  # after length and kind


def _find_in_webp(data: bytes) -> int | None:
    position = 12
    while position < len(data):
        kind, length = struct.unpack_from('<4sI', data, position)
        if kind == b'EXIF':
            start = position + 8
            has_prefix = data[start : start + len(_EXIF)] == _EXIF  # as some programs write it
            return start + len(_EXIF) if has_prefix else start
        position += 8 + length + length % 2
    return None


def _read_tiff(data: bytes, start: int) -> Directory:
    order = _BYTE_ORDERS.get(data[start : start + 4])
    if order is None:
        return Directory()
    first = start + struct.unpack_from(f'{order}I', data, start + 4)[0]
    (length,) = struct.unpack_from(f'{order}H', data, first)
    values: dict[int, int] = {}
    offset = None
    for entry in range(first + 2, first + 2 + _ENTRY_BYTES * length, _ENTRY_BYTES):
        tag, kind = struct.unpack_from(f'{order}2H', data, entry)
        if tag in (_WIDTH, _HEIGHT, _ORIENTATION) and kind in (_SHORT, _LONG):
            code = 'H' if kind == _SHORT else 'I'
            (values[tag],) = struct.unpack_from(f'{order}{code}', data, entry + 8)
            if tag == _ORIENTATION and kind == _SHORT:
                offset = entry + 8
    orientation = values.get(_ORIENTATION, 1)
    size = values.get(_WIDTH, 0), values.get(_HEIGHT, 0)
    return Directory(orientation if 1 <= orientation <= 8 else 1, offset, order, size)
