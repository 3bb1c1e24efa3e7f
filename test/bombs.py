"""Small files that hold, or ask for, much more than they are: for tests of limits."""

import sqlite3
import struct
import zlib
from collections.abc import Callable
from contextlib import closing
from itertools import accumulate, pairwise
from pathlib import Path

import lz4.frame
from recorded import IMAGE, START
from rosbags.rosbag2.storage_mcap import zstd

_MAGIC = b'\x89MCAP0\r\n'
_PAGE = 512  # bytes of a page of sqlite
_LEVELS, _CHILDREN = 12, 40  # of the tree of an endless table
MIB = 2**20


def packed_zeros(size: int, coding: str, start: bytes = b'', end: bytes = b'') -> bytes:
    """Return this number of zeros, the first and last replaced, compressed block by block."""
    frame = zstd.ZstdCompressor() if coding == 'zstd' else lz4.frame.LZ4FrameCompressor()
    parts = [frame.begin()] if coding == 'lz4' else []
    blocks = size // MIB
    for number in range(blocks):
        head, tail = b'' if number else start, end if number == blocks - 1 else b''
        parts.append(frame.compress(head + bytes(MIB - len(head) - len(tail)) + tail))
    return b''.join([*parts, frame.flush()])


def write_mcap(path: Path, message: bytes) -> Path:
    """Write a bag with one image message that has this content."""
    channel = _schema(1, 'sensor_msgs/msg/Image') + _channel(1, 1, IMAGE)
    data = struct.pack('<HIQQ', 1, 0, START, START) + message
    path.write_bytes(_MAGIC + _header() + channel + _record(0x05, data) + _footer())
    return path


def write_chunks(
    path: Path, size: int, coding: str, number: int = 1, indexed_size: int | None = None
) -> Path:
    """Write a bag with chunks at one time that unpack to one message at their end each."""
    message = struct.pack('<BQHIQQ', 0x05, size - 9, 1, 0, START + 10**9, START)
    packed = packed_zeros(size, coding, message) if coding else message.ljust(size, b'\0')
    channels = _schema(1, 'sensor_msgs/msg/Image') + _channel(1, 1, IMAGE)
    body, index = _MAGIC + _header() + channels, b''
    for _ in range(number):
        start = len(body)
        times = struct.pack('<QQ', START, START + 10**9)
        content = times + struct.pack('<QI', size, 0) + _text(coding)
        body += _record(0x06, content + struct.pack('<Q', len(packed)) + packed)
        length = len(body) - start
        body += _record(0x07, struct.pack('<HI', 1, 16) + struct.pack('<QQ', START, 0))
        offsets = struct.pack('<IHQ', 10, 1, start + length)
        index += _record(
            0x08,
            times + struct.pack('<QQ', start, length) + offsets
            + struct.pack('<Q', len(body) - start - length) + _text(coding)
            + struct.pack('<QQ', len(packed), size if indexed_size is None else indexed_size),
        )  # fmt: skip
    counts = struct.pack('<QHIIIIQQ', number, 1, 1, 0, 0, number, START, START + 10**9)
    summary = channels + index + _record(0x0B, counts + struct.pack('<IHQ', 10, 1, number))
    body += _record(0x0F, bytes(4))
    path.write_bytes(body + summary + _footer(len(body)))
    return path


def write_definitions(path: Path, size: int, number: int) -> Path:
    """Write a bag without index, each chunk of which defines a type in this number of bytes."""
    body = _MAGIC + _header() + _schema(1, 'sensor_msgs/msg/Image') + _channel(1, 1, IMAGE)
    for id in range(2, number + 2):
        content = struct.pack('<H', id) + _text('type') + _text('ros2msg') + struct.pack('<I', size)
        start = struct.pack('<BQ', 0x03, len(content) + size) + content
        packer = zstd.ZstdCompressor()
        packed = packer.compress(start) + packer.compress(bytes(size)) + packer.flush()
        body += _chunk(packed, len(start) + size)
    path.write_bytes(body + _small_messages(1) + _record(0x0F, bytes(4)) + _footer())
    return path


def write_small_messages(path: Path, number: int) -> Path:
    """Write a bag without index with this number of empty messages in one chunk."""
    content = _small_messages(number)
    chunk = _chunk(zstd.compress(content), len(content))
    channel = _schema(1, 'sensor_msgs/msg/Image') + _channel(1, 1, IMAGE)
    end = _record(0x0F, bytes(4)) + _footer()
    path.write_bytes(_MAGIC + _header() + channel + chunk + end)
    return path


def write_sparse(path: Path, size: int) -> Path:
    """Write a bag with one message of this size, which takes no space on disk."""
    with path.open('wb') as file:
        file.write(_MAGIC + _header() + _schema(1, 'sensor_msgs/msg/Image') + _channel(1, 1, IMAGE))
        file.write(struct.pack('<BQHIQQ', 0x05, 22 + size, 1, 0, START, START))
        file.truncate(file.tell() + size)
        file.seek(0, 2)
        file.write(_record(0x0F, bytes(4)) + _footer())
    return path


def _small_messages(number: int) -> bytes:
    return number * _record(0x05, struct.pack('<HIQQ', 1, 0, START, START))


def _chunk(packed: bytes, size: int) -> bytes:
    head = struct.pack('<QQQI', START, START + 10**9, size, 0) + _text('zstd')
    return _record(0x06, head + struct.pack('<Q', len(packed)) + packed)


def write_png(path: Path, width: int, height: int) -> Path:
    """Write a picture, the file of which has only the first rows."""
    packer = zlib.compressobj(9)
    row = bytes(1 + 3 * width)
    pixels = b''.join([*(packer.compress(row) for _ in range(10)), packer.flush()])
    size = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    chunks = ((b'IHDR', size), (b'IDAT', pixels), (b'IEND', b''))
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
        for kind, data in chunks
    ))  # fmt: skip
    return path


def write_database(path: Path, messages: str, rows: int = 0) -> Path:
    """Write a bag of sqlite with an image topic; messages is the SQL that creates its table."""
    with closing(sqlite3.connect(path)) as database:
        database.execute(f'PRAGMA page_size = {_PAGE}')
        database.execute(
            'CREATE TABLE topics (id INTEGER PRIMARY KEY, name TEXT, type TEXT, '
            'serialization_format TEXT, offered_qos_profiles TEXT)'
        )
        database.execute(messages)
        database.execute(
            f"INSERT INTO topics VALUES (1, '{IMAGE}', 'sensor_msgs/msg/Image', 'cdr', '')"
        )
        for number in range(rows):
            database.execute('INSERT INTO messages VALUES (?, 1, ?, ?)', (number, number, b'x'))
        database.commit()
    return path


STORED = 'CREATE TABLE messages (id INTEGER PRIMARY KEY, topic_id, timestamp, data)'
COMPUTED = {
    'endless view': 'CREATE VIEW messages AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL '
    "SELECT i + 1 FROM n) SELECT i AS id, 1 AS topic_id, i AS timestamp, x'00' AS data FROM n",
    'large view': 'CREATE VIEW Messages AS SELECT 1 AS id, 1 AS topic_id, 1 AS timestamp, '
    'zeroblob(1000000000) AS data',
    'generated column': 'CREATE TABLE messages (id INTEGER PRIMARY KEY, topic_id, timestamp, '
    'data AS (zeroblob(1000000000)))',
    'virtual table': 'CREATE VIRTUAL TABLE messages USING fts5(id, topic_id, timestamp, data)',
}  # fmt: skip


def write_endless(path: Path) -> Path:
    """Write a database of some kilobytes, the tree of which has more rows than can be read."""
    write_database(path, STORED, rows=1)
    cells = [bytes([1 + number]) for number in range(_CHILDREN)]
    return _make_endless(path, 'messages', lambda _: cells)


def write_endless_index(path: Path) -> Path:
    """Write a database with 20 messages, the index of which has more rows than can be read."""
    write_database(path, STORED, rows=20)
    with closing(sqlite3.connect(path)) as database:
        database.execute('CREATE INDEX timestamp_idx ON messages (timestamp ASC)')
    return _make_endless(path, 'timestamp_idx', lambda leaf: 25 * [_first_cell(leaf)])


def write_long_names(path: Path, size: int, number: int) -> Path:
    """Write a database with images whose frame_id unpacks to this size, which take long to read."""
    write_database(path, STORED)
    # CDR: height, width, encoding, byte order, step and number of bytes follow the frame_id.
    end = struct.pack('<3I5sBxx2I', 0, 0, 5, b'rgb8', 0, 0, 0)
    start = struct.pack('<BBHiII', 0, 1, 0, 1, 0, size - 16 - len(end))
    data = packed_zeros(size, 'zstd', start, end)
    with closing(sqlite3.connect(path)) as database:
        rows = ((row, 1, START + row, data) for row in range(number))
        database.executemany('INSERT INTO messages VALUES (?, ?, ?, ?)', rows)
        database.commit()
    return path


def _make_endless(path: Path, name: str, cells_of: Callable[[bytes], list[bytes]]) -> Path:
    """Put pages above the only page of a tree that refer to the next one many times."""
    with closing(sqlite3.connect(path)) as database:
        [root] = database.execute(
            'SELECT rootpage FROM sqlite_master WHERE name = ?', (name,)
        ).fetchone()
    content = bytearray(path.read_bytes())
    leaf = bytes(content[(root - 1) * _PAGE : root * _PAGE])
    cells = cells_of(leaf)
    pages = len(content) // _PAGE
    numbers = [root, *range(pages + 1, pages + _LEVELS + 1)]
    content += bytes(_LEVELS * _PAGE)
    for page, child in pairwise(numbers):
        content[(page - 1) * _PAGE : page * _PAGE] = _interior_page(leaf[0] - 8, child, cells)
    content[(numbers[-1] - 1) * _PAGE : numbers[-1] * _PAGE] = leaf
    content[28:32] = struct.pack('>I', len(content) // _PAGE)
    path.write_bytes(content)
    return path


def _first_cell(leaf: bytes) -> bytes:
    """Return the first cell of a leaf of an index: its size, which has one byte, and its row."""
    [start] = struct.unpack_from('>H', leaf, 8)
    return leaf[start : start + 1 + leaf[start]]


def _interior_page(kind: int, child: int, cells: list[bytes]) -> bytes:
    """Return a page of sqlite, all children of which are the same page."""
    parts = [struct.pack('>I', child) + cell for cell in cells]
    starts = list(accumulate(map(len, parts), initial=_PAGE - sum(map(len, parts))))
    header = struct.pack('>BHHHBI', kind, 0, len(cells), starts[0], 0, child)
    pointers = b''.join(struct.pack('>H', start) for start in starts[:-1])
    return (header + pointers).ljust(starts[0], b'\0') + b''.join(parts)


def _text(text: str) -> bytes:
    return struct.pack('<I', len(text)) + text.encode()


def _record(opcode: int, content: bytes) -> bytes:
    return struct.pack('<BQ', opcode, len(content)) + content


def _header() -> bytes:
    return _record(0x01, _text('ros2') + _text('test'))


def _schema(number: int, name: str) -> bytes:
    return _record(0x03, struct.pack('<H', number) + _text(name) + _text('ros2msg') + _text(''))


def _channel(number: int, schema: int, topic: str) -> bytes:
    return _record(
        0x04, struct.pack('<HH', number, schema) + _text(topic) + _text('cdr') + bytes(4)
    )


def _footer(summary: int = 0) -> bytes:
    return _record(0x02, struct.pack('<QQI', summary, 0, 0)) + _MAGIC
