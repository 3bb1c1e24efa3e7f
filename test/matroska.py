"""A writer of Matroska and WebM: JPEG pictures at any times, as browsers and phones stamp them."""

import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np


def write_matroska(
    path: Path,
    pictures: Sequence[np.ndarray | bytes],
    milliseconds: Sequence[int],
    seconds: float = 0.0,
) -> Path:
    """Write BGR pictures, or bytes as they are, at their times; a duration unless it is 0."""
    height, width = next(p.shape[:2] for p in pictures if isinstance(p, np.ndarray))
    head = (
        number('4286', 1) + number('42F7', 1) + number('42F2', 4) + number('42F3', 8)
        + element('4282', b'matroska') + number('4287', 2) + number('4285', 2)
    )  # fmt: skip
    info = number('2AD7B1', 10**6) + element('4D80', b'x') + element('5741', b'x')
    if seconds:
        info += element('4489', struct.pack('>d', seconds * 1e3))
    video = element('E0', number('B0', width) + number('BA', height))
    track = number('D7', 1) + number('73C5', 1) + number('83', 1) + element('86', b'V_MJPEG')
    clusters = b''.join(
        element(
            '1F43B675',
            number('E7', int(time)) + element('A3', b'\x81\0\0\x80' + encode(picture)),
        )
        for picture, time in zip(pictures, milliseconds, strict=True)
    )
    segment = element('1549A966', info) + element('1654AE6B', element('AE', track + video))
    path.write_bytes(element('1A45DFA3', head) + element('18538067', segment + clusters))
    return path


def encode(picture: np.ndarray | bytes) -> bytes:
    if isinstance(picture, bytes):
        return picture
    return cv2.imencode('.jpg', picture)[1].tobytes()


def element(code: str, payload: bytes) -> bytes:
    return bytes.fromhex(code) + struct.pack('>Q', len(payload) | 1 << 56) + payload


def number(code: str, value: int) -> bytes:
    return element(code, value.to_bytes(max(1, (value.bit_length() + 7) // 8), 'big'))
