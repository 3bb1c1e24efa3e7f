"""The size of compressed images by their headers, and their metadata."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrik_ros.messages.image_headers import png_chunks, remove_metadata, size_of

# Lossy WebP is VP8, lossless (above 100) VP8L, with alpha either within VP8X.
FORMS = [
    ('.jpg', 3, []),
    ('.jpg', 1, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
    ('.jpg', 3, [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]),
    ('.png', 3, []),
    ('.png', 4, []),
    ('.webp', 3, [cv2.IMWRITE_WEBP_QUALITY, 80]),
    ('.webp', 3, [cv2.IMWRITE_WEBP_QUALITY, 101]),
    ('.webp', 4, [cv2.IMWRITE_WEBP_QUALITY, 80]),
]


def encoded(width: int, height: int, form: tuple[str, int, list[int]]) -> bytes:
    suffix, channels, parameters = form
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, channels), np.uint8)
    done, data = cv2.imencode(suffix, pixels, parameters)
    assert done
    return data.tobytes()


@pytest.mark.parametrize('form', FORMS)
@given(width=st.integers(1, 700), height=st.integers(1, 50))
@settings(max_examples=10, deadline=None)
def test_the_size_is_that_of_the_pixels(
    form: tuple[str, int, list[int]], width: int, height: int
) -> None:
    assert size_of(encoded(width, height, form)) == (width, height)


def test_a_thumbnail_in_the_metadata_is_not_the_image() -> None:
    image, thumbnail = (encoded(*size, FORMS[0]) for size in ((320, 240), (16, 12)))
    length = (2 + len(thumbnail)).to_bytes(2, 'big')
    with_thumbnail = image[:2] + b'\xff\xe1' + length + thumbnail + image[2:]
    assert cv2.imdecode(np.frombuffer(with_thumbnail, np.uint8), 1).shape == (240, 320, 3)
    assert size_of(with_thumbnail) == (320, 240)
    with pytest.raises(ValueError, match='no end marker'):
        size_of(with_thumbnail[:-2])


def test_fill_before_a_marker_is_skipped() -> None:
    image = encoded(32, 24, FORMS[0])
    assert size_of(image[:2] + 5 * b'\xff' + image[2:]) == (32, 24)


def test_huffman_tables_may_come_before_the_frame() -> None:
    image = encoded(32, 24, FORMS[0])
    tables = image.index(b'\xff\xc4')
    length = 2 + int.from_bytes(image[tables + 2 : tables + 4], 'big')
    reordered = image[:2] + image[tables : tables + length] + image[2:]
    assert size_of(reordered) == (32, 24)


@pytest.mark.parametrize('form', FORMS)
def test_a_header_that_is_cut_off_anywhere_says_so_or_is_none(
    form: tuple[str, int, list[int]],
) -> None:
    data = encoded(320, 240, form)[:2000]
    outcomes = [outcome(data[:length]) for length in range(len(data))]
    size = (320, 240) if form[0] != '.jpg' else 'the JPEG has no end marker'
    known = outcomes.index(size)
    assert set(outcomes[:known]) == {None, 'the header is truncated'}
    assert set(outcomes[known:]) == {size}


def outcome(data: bytes) -> tuple[int, int] | str | None:
    try:
        return size_of(data)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize(
    ('data', 'words'),
    [
        (b'\x89PNG\r\n\x1a\n' + b'\0\0\0\rIDAT' + bytes(20), "not with b'IDAT'"),
        (b'\xff\xd8\xff\xe0\0\4abcd' + bytes(20), 'does not begin with a marker'),
        (b'\xff\xd8\xff\xda' + bytes(20), 'no frame header'),
        (b'RIFF\0\0\0\0WEBPABCD' + bytes(20), "b'ABCD'"),
    ],
)
def test_broken_headers_say_so(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        size_of(data)


@given(
    start=st.sampled_from(
        [b'', b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR', b'RIFF\0\0\0\0WEBPVP8X']
    ),
    rest=st.binary(max_size=200),
)
@settings(max_examples=500, deadline=None)
def test_whatever_comes_gives_a_size_nothing_or_the_error_promised(
    start: bytes, rest: bytes
) -> None:
    try:
        size = size_of(start + rest)
    except ValueError:
        return
    assert size is None or (len(size) == 2 and min(size) >= 0)


@pytest.mark.parametrize('data', [b'', b'GIF89a' + bytes(20), b'BM' + bytes(50), b'II*\0', b'RIFF'])
def test_other_data_has_no_size(data: bytes) -> None:
    assert size_of(data) is None


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack('>I', len(content)) + kind + content
        + struct.pack('>I', zlib.crc32(kind + content))
    )  # fmt: skip


def test_metadata_of_a_png_never_reach_the_decoder(capfd: pytest.CaptureFixture[str]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    plain = cv2.imencode('.png', pixels)[1].tobytes()
    profile = zlib.compress(struct.pack('>I', 2**31) + bytes(range(256)) * 20)
    hostile = chunk(b'iCCP', b'\x1b]0;title\x07\0\0' + profile) + chunk(b'tEXt', b'') * 1000
    start = plain.index(b'IDAT') - 4
    stored = plain[:start] + hostile + plain[start:]
    assert remove_metadata(plain) is plain
    cleaned = remove_metadata(stored)
    decoded = cv2.imdecode(np.frombuffer(cleaned, np.uint8), cv2.IMREAD_COLOR)
    assert (decoded == pixels).all()
    assert capfd.readouterr().err == ''
    cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_COLOR)
    assert 'libpng' in capfd.readouterr().err  # what it writes of them


def test_chunks_of_a_png_end_at_the_first_damaged_one() -> None:
    start = b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', bytes(13))
    assert [kind for kind, _, _ in png_chunks(start + bytes(10**6))] == [b'IHDR']
    assert list(png_chunks(start[:19])) == []
