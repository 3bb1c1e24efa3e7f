"""Decompression with limits: a hundred kilobytes of zstd can hold gigabytes."""

import sys
from pathlib import Path

from lz4.frame import LZ4FrameDecompressor

from hybrik_ros.limits import MAX_BAG_RATIO, MIN_BAG_BYTES

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'  # first bytes of zstd; no CDR starts like that
_BLOCK_BYTES = 2**20  # maximum size of what is decompressed at once


class UnpackingError(ValueError):
    """Compressed data is damaged, or larger than its limit.

    Attributes
    ----------
    is_too_large : bool
        Whether it is larger than its limit.
    """

    def __init__(self, message: str, is_too_large: bool = False) -> None:
        super().__init__(message)
        self.is_too_large = is_too_large


def _too_large(max_bytes: int) -> UnpackingError:
    return UnpackingError(f'it unpacks to more than the maximum of {max_bytes} bytes', True)


def unpack_zstd(data: bytes | memoryview, max_bytes: int) -> bytes:
    """Decompress zstd.

    Parameters
    ----------
    data : bytes or memoryview
        One or more frames.
    max_bytes : int
        Maximum size of the result.

    Raises
    ------
    UnpackingError
        The data is damaged or cut off, or the result would be larger.
    """
    parts: list[bytes] = []
    left = max_bytes
    rest: bytes | memoryview = data
    try:
        while len(rest):
            frame = zstd.ZstdDecompressor()
            parts.append(frame.decompress(rest, left + 1))
            left -= len(parts[-1])
            if left < 0:
                raise _too_large(max_bytes)
            if not frame.eof:
                raise UnpackingError('it ends too early')
            rest = frame.unused_data
    except zstd.ZstdError as error:
        raise UnpackingError(str(error)) from error
    return parts[0] if len(parts) == 1 else b''.join(parts)  # Mostly one, without a copy.


def unpack_lz4(data: bytes | memoryview, max_bytes: int) -> bytes:
    """Decompress one frame of lz4; see `unpack_zstd`."""
    frame = LZ4FrameDecompressor()
    try:
        unpacked: bytes = frame.decompress(data, max_bytes + 1)
    except RuntimeError as error:
        raise UnpackingError(str(error)) from error
    if len(unpacked) > max_bytes:
        raise _too_large(max_bytes)
    if not frame.eof:
        raise UnpackingError('it ends too early')
    return unpacked


def unpack_file(packed: Path, unpacked: Path) -> bool:
    """Decompress a file of zstd; return whether it was whole.

    Parameters
    ----------
    packed, unpacked : Path
        The file to read, and the one to write.

    Raises
    ------
    UnpackingError
        The content is so much larger than the file that it cannot be a recording.
    """
    most = max(MIN_BAG_BYTES, MAX_BAG_RATIO * packed.stat().st_size)
    size = 0
    with unpacked.open('wb') as out, zstd.open(packed, 'rb') as content:
        try:
            while block := content.read1(_BLOCK_BYTES):
                size += len(block)
                if size > most:
                    raise _too_large(most)
                out.write(block)
        except (EOFError, zstd.ZstdError):
            return False
    return True
