"""The size of a compressed image by its header, before any of it is decoded."""

import struct

_PNG = b'\x89PNG\r\n\x1a\n'
_JPEG = b'\xff\xd8\xff'
_JPEG_SCAN = 0xDA
_JPEG_END = b'\xff\xd9'  # Nowhere within the scans: there 0xFF is followed by 0 or a restart.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15 of ITU-T T.81.


def size_of(data: bytes) -> tuple[int, int] | None:
    """Return width and height, in pixels, as a JPEG, PNG or WebP file states them.

    Returns
    -------
    None where the data is of another kind.

    Raises
    ------
    ValueError: the header is cut off or broken, or a JPEG has no end: OpenCV 4 would make a
        picture of such a one, grey where data is missing.

    Sources: ITU-T T.81 (JPEG), the PNG specification, RFC 9649 (WebP).
    """
    try:
        if data.startswith(_JPEG):
            return _jpeg_size(data)
        if data.startswith(_PNG):
            return _png_size(data)
        if data[:4] == b'RIFF' and data[8:12] == b'WEBP':
            return _webp_size(data)
    except (struct.error, IndexError):
        raise ValueError('the header is cut off') from None
    return None


def _png_size(data: bytes) -> tuple[int, int]:
    kind, width, height = struct.unpack_from('>4s2I', data, 12)
    if kind != b'IHDR':
        raise ValueError(f'a PNG begins with IHDR, not with {kind!r}')
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Walk from segment to segment up to the frame header."""
    position = 2
    while True:
        if data[position] != 0xFF:
            raise ValueError('a segment of the JPEG does not begin with a marker')
        marker = data[position + 1]
        if marker == 0xFF:  # Fill before a marker.
            position += 1
        elif marker in _JPEG_FRAMES:
            height, width = struct.unpack_from('>2H', data, position + 5)
            if data.rfind(_JPEG_END, position) < 0:
                raise ValueError('the JPEG has no end')
            return width, height
        elif marker == _JPEG_SCAN:
            raise ValueError('the JPEG has no frame header')
        else:
            (length,) = struct.unpack_from('>H', data, position + 2)
            position += 2 + length


def _webp_size(data: bytes) -> tuple[int, int]:
    (kind,) = struct.unpack_from('4s', data, 12)
    if kind == b'VP8 ':
        width, height = struct.unpack_from('<2H', data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b'VP8L':
        (bits,) = struct.unpack_from('<I', data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b'VP8X':
        # Three bytes each, which struct cannot read: each with a neighbour.
        canvas = struct.unpack_from('<I', data, 24)[0], struct.unpack_from('<I', data, 26)[0]
        return (canvas[0] & 0xFFFFFF) + 1, (canvas[1] >> 8) + 1
    raise ValueError(f'a WebP does not begin with {kind!r}')
