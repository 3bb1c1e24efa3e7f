"""Headers of compressed images: their size before anything is decoded, and what must not be."""

import struct
from collections.abc import Iterator

_PNG = b'\x89PNG\r\n\x1a\n'
# Kinds of chunks that decide the pixels of a PNG.
_PNG_PIXELS = frozenset((b'IHDR', b'PLTE', b'tRNS', b'IDAT', b'IEND'))
_PNG_FRAME_BYTES = 12  # of a chunk, beside its content: length, kind, checksum
_MAX_PNG_CHUNKS = 2**18  # encoders write at least 8 kB into each, so these have 2 GB
_WEBP_FLAGS, _WEBP_ANIMATION = 20, 2  # position of the flags of an extended WebP, and one of them
_JPEG = b'\xff\xd8\xff'
_JPEG_SCAN = 0xDA
_JPEG_END = b'\xff\xd9'  # unique: within scans 0xFF is followed by 0 or a restart marker
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15


def is_animation(data: bytes) -> bool:
    """Return whether a PNG or WebP file has several pictures, of which decoders return the first.

    References
    ----------
    The PNG specification, acTL; RFC 9649 (WebP), 2.7.1.
    """
    if data.startswith(_PNG):
        counts = [data[start + 8 : start + 12] for k, start, _ in png_chunks(data) if k == b'acTL']
        return any(int.from_bytes(count, 'big') > 1 for count in counts)
    is_extended = _is_webp(data) and data[12:16] == b'VP8X' and len(data) > _WEBP_FLAGS
    return is_extended and bool(data[_WEBP_FLAGS] & _WEBP_ANIMATION)


def _is_webp(data: bytes) -> bool:
    return data[:4] == b'RIFF' and data[8:12] == b'WEBP'


def size_of(data: bytes) -> tuple[int, int] | None:
    """Return the size of an image according to the header of a JPEG, PNG or WebP file.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    tuple of int or None
        Width and height in pixels; None for other formats.

    Raises
    ------
    ValueError
        The header is truncated or invalid, or a JPEG has no end marker: OpenCV 4 would decode such
        a file to an image that is grey where data is missing.

    References
    ----------
    ITU-T T.81 (JPEG); the PNG specification; RFC 9649 (WebP).
    """
    try:
        if data.startswith(_JPEG):
            return _jpeg_size(data)
        if data.startswith(_PNG):
            return _png_size(data)
        if _is_webp(data):
            return _webp_size(data)
    except (struct.error, IndexError):
        raise ValueError('the header is truncated') from None
    return None


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of the chunks of a PNG, up to the first damaged one."""
    start = len(_PNG)
    for _ in range(_MAX_PNG_CHUNKS):
        if start + _PNG_FRAME_BYTES > len(data):
            return
        length, kind = struct.unpack_from('>I4s', data, start)
        if not kind.isalpha():
            return
        yield kind, start, start + _PNG_FRAME_BYTES + length
        start += _PNG_FRAME_BYTES + length


def remove_metadata(data: bytes) -> bytes:
    """Return a PNG without what its pixels do not need; files of other formats as they are.

    libpng writes a warning for each damaged text or colour profile to stderr, with its name as it
    is: escape sequences reach the terminal.
    """
    if not data.startswith(_PNG):
        return data
    chunks = list(png_chunks(data))
    if all(kind in _PNG_PIXELS for kind, _, _ in chunks):
        return data
    return _PNG + b''.join(data[start:end] for kind, start, end in chunks if kind in _PNG_PIXELS)


def _png_size(data: bytes) -> tuple[int, int]:
    kind, width, height = struct.unpack_from('>4s2I', data, 12)
    if kind != b'IHDR':
        raise ValueError(f'the PNG must begin with IHDR, not with {kind!r}')
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Skip the segments before the frame header, and read the size there."""
    position = 2
    while True:
        if data[position] != 0xFF:
            raise ValueError('a segment of the JPEG does not begin with a marker')
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte before a marker
            position += 1
        elif marker in _JPEG_FRAMES:
            height, width = struct.unpack_from('>2H', data, position + 5)
            if data.rfind(_JPEG_END, position) < 0:
                raise ValueError('the JPEG has no end marker')
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
        # Width and height have three bytes, which struct cannot read: read four, drop one.
        canvas = struct.unpack_from('<I', data, 24)[0], struct.unpack_from('<I', data, 26)[0]
        return (canvas[0] & 0xFFFFFF) + 1, (canvas[1] >> 8) + 1
    raise ValueError(f'the WebP has an unknown first chunk {kind!r}')
