"""mcap files, whole or cut off, with channels and schemas of any encoding.

References
----------
MCAP Format Specification, https://mcap.dev/spec.
"""

import heapq
import struct
from array import array
from binascii import crc32
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rosbags.interfaces import Connection

from hybrik_ros.bags.storage import (
    DAMAGED_PART,
    TOO_LARGE,
    UNKNOWN_TYPE,
    Row,
    StorageError,
    closing_on_error,
    connect,
    define,
)
from hybrik_ros.bags.unpacking import UnpackingError, unpack_lz4, unpack_zstd
from hybrik_ros.limits import MAX_CHUNK_BYTES, MAX_DEFINITION_BYTES, MAX_MESSAGE_BYTES

_MAGIC = b'\x89MCAP0\r\n'
_HEAD = struct.Struct('<BQ')  # before the content of a record: opcode, and length in bytes
_MESSAGE = struct.Struct('<HIQQ')  # channel, number, times of receipt and publication
_CHUNK = struct.Struct('<QQQI')  # times of the first and last message, size in bytes, checksum
_FOOTER = struct.Struct('<QQI')  # positions of the index and of its parts, checksum
# Opcodes.
_FOOTER_CODE, _SCHEMA_CODE, _CHANNEL_CODE, _MESSAGE_CODE, _CHUNK_CODE = 2, 3, 4, 5, 6
_CHUNK_INDEX_CODE, _STATISTICS_CODE, _DATA_END_CODE = 8, 11, 15
_FOOTER_HEAD = _HEAD.pack(_FOOTER_CODE, _FOOTER.size)
_QOS = 'offered_qos_profiles'
_MAX_HELD_BYTES = 2**26  # of a chunk that is held until the next one is unpacked
_CHECKED_BYTES = 2**24  # that are read at once to compute a checksum

Buffer = bytes | memoryview


def _take_unpacked(data: Buffer, max_bytes: int) -> Buffer:
    if len(data) > max_bytes:
        raise UnpackingError('it is too large', is_too_large=True)
    return data


_UNPACKERS: dict[str, Callable[[Buffer, int], Buffer]] = {
    'zstd': unpack_zstd,
    'lz4': unpack_lz4,
    '': _take_unpacked,
}


class _Chunk(NamedTuple):
    """Where a chunk is, times of its messages in nanoseconds, and unpacked size in bytes."""

    offset: int
    length: int
    first: int
    last: int
    size: int


class _Record(NamedTuple):
    """Opcode of a record, and the position of its content."""

    code: int
    offset: int
    length: int


class _Schema(NamedTuple):
    name: str
    encoding: str
    text: str


class _Channel(NamedTuple):
    id: int
    schema: int
    topic: str
    encoding: str
    qos: str


class _Fields:
    """Reads the fields of a record one after the other."""

    def __init__(self, content: Buffer) -> None:
        self._content = memoryview(content)
        self._place = 0

    @property
    def size(self) -> int:
        """Size of all fields in bytes."""
        return len(self._content)

    def number(self, size: int) -> int:
        """Return an unsigned number of this size in bytes."""
        return int.from_bytes(self._take(size), 'little')

    def block(self, size: int = 4) -> memoryview:
        """Return bytes after their number, which has this size in bytes."""
        return self._take(self.number(size))

    def text(self) -> str:
        """Return a string."""
        return str(self.block(), errors='replace')

    def skip(self, size: int) -> None:
        """Skip fields of this size in bytes."""
        self._take(size)

    @property
    def is_at_end(self) -> bool:
        """Whether all fields are read."""
        return self._place >= len(self._content)

    def _take(self, size: int) -> memoryview:
        end = self._place + size
        if end > len(self._content):
            raise StorageError('a record ends in one of its fields')
        taken = self._content[self._place : end]
        self._place = end
        return taken


class _RecordFile:
    """The records of a file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open('rb')
        self.size = self._file.seek(0, 2)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes from a position on."""
        if not 0 <= length <= self.size - offset:
            raise StorageError('a record ends behind the end of the file')
        self._file.seek(offset)
        return self._file.read(length)

    def fields(self, record: _Record) -> _Fields:
        """Return the fields of a record that is no chunk and no message."""
        if record.length > MAX_DEFINITION_BYTES:
            raise StorageError(
                f'a record has more than the maximum of {MAX_DEFINITION_BYTES} bytes'
            )
        return _Fields(self.read(record.offset, record.length))

    def checksum(self, start: int, end: int) -> int:
        """Return the checksum of the bytes between two positions."""
        found = 0
        for place in range(start, end, _CHECKED_BYTES):
            found = crc32(self.read(place, min(_CHECKED_BYTES, end - place)), found)
        return found

    def records(self, start: int, end: int) -> Iterator[_Record]:
        """Yield the whole records between two positions."""
        while start + _HEAD.size <= end:
            code, length = _HEAD.unpack(self.read(start, _HEAD.size))
            offset = start + _HEAD.size
            if offset + length > end:
                return
            yield _Record(code, offset, length)
            start = offset + length


class McapFile:
    """An mcap file; a Storage.

    Its index is used if it has one. Otherwise, all of the file is scanned as it is opened.

    Parameters
    ----------
    path : Path
        Path of the file.
    faults : Counter
        Number of faults by kind, which reading increases.

    Raises
    ------
    StorageError
        The file is no mcap file, or is cut off before the end of the first message.
    OSError
        The file cannot be read.
    """

    def __init__(self, path: Path, faults: Counter[str]) -> None:
        self._faults = faults
        self._schemas: dict[int, _Schema] = {}
        self._channels: dict[int, _Channel] = {}
        self._chunks: list[_Chunk] = []
        self._counts: Counter[int] = Counter()
        self._definition_bytes = 0
        self._has_loose_messages = False
        self._unpacked: Buffer = b''
        self.span: tuple[int, int] | None = None
        self._file = _RecordFile(path)
        with closing_on_error(self.close):
            self._open()
        self.connections = [
            _connect(channel, self._schemas, self._counts[channel.id], self)
            for channel in self._channels.values()
        ]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def messages(
        self, connections: Collection[Connection], start: int | None, stop: int | None
    ) -> Iterator[Row]:
        """Yield the messages of some connections; see Storage.

        Messages that are in no chunk come in the order of the file.
        """
        wanted = {connection.id: connection for connection in connections}
        start, stop = start or 0, 2**64 if stop is None else stop
        used: list[int] = []  # sizes of the chunks that are unpacked
        streams = [
            self._read_chunk(chunk, wanted, start, stop, used)
            for chunk in sorted(self._chunks, key=attrgetter('first'))
            if chunk.last >= start and chunk.first < stop
        ]
        if self._has_loose_messages:
            streams.append(self._read_loose(wanted, start, stop))
        for _, row in heapq.merge(*streams, key=lambda item: item[0]):
            if row is not None:
                yield row

    def _open(self) -> None:
        self._end = self._file.size
        if self._end < len(_MAGIC) or self._file.read(0, len(_MAGIC)) != _MAGIC:
            raise StorageError('it does not start with the magic bytes of mcap')
        footer = max(0, self._file.size - _HEAD.size - _FOOTER.size - len(_MAGIC))
        tail = self._file.read(footer, self._file.size - footer)
        self.is_whole = tail.endswith(_MAGIC) and tail.startswith(_FOOTER_HEAD)
        if self.is_whole:
            self._end = footer
            summary, _, checksum = _FOOTER.unpack_from(tail, _HEAD.size)
            if _has_index(self._file, footer, summary, checksum) and self._read_index(summary):
                return
        self._scan()
        if not (self.is_whole or self._counts):
            raise StorageError('it contains no whole message')

    def _read_index(self, summary: int) -> bool:
        """Read the index at the end of the file; return whether it is complete."""
        statistics = None
        try:
            for record in self._file.records(summary, self._end):
                if record.code == _CHUNK_INDEX_CODE:
                    self._chunks.append(_index_chunk(self._file.fields(record)))
                elif record.code == _STATISTICS_CODE:
                    statistics = self._file.fields(record)
                elif record.code in (_SCHEMA_CODE, _CHANNEL_CODE):
                    self._describe(record.code, self._file.fields(record))
            return statistics is not None and self._read_statistics(statistics)
        except StorageError:
            return False

    def _read_statistics(self, fields: _Fields) -> bool:
        """Take the numbers of messages; return whether the index has all that they count."""
        count = fields.number(8)
        fields.skip(2 + 4 + 4 + 4)
        chunks, first, last = fields.number(4), fields.number(8), fields.number(8)
        counts = _Fields(fields.block())
        while not counts.is_at_end:
            channel = counts.number(2)
            self._counts[channel] = counts.number(8)
        self.span = (first, last) if count else None
        self._has_loose_messages = count > 0 and not chunks
        is_inside = all(0 < c.length <= self._file.size - c.offset for c in self._chunks)
        has_channels = self._counts.keys() <= self._channels.keys()
        has_counts = self._counts.total() == count  # An empty map says that they are unknown.
        return is_inside and has_channels and has_counts and chunks == len(self._chunks)

    def _scan(self) -> None:
        """Read all records, of chunks too, to find what an index has."""
        self.span = None
        for found in (self._schemas, self._channels, self._chunks, self._counts):
            found.clear()
        self._definition_bytes = 0
        self._has_loose_messages = False
        end = len(_MAGIC)
        for record in self._file.records(end, self._end):
            end = record.offset + record.length
            if record.code == _CHUNK_CODE:
                self._scan_chunk(record)
            elif record.code == _MESSAGE_CODE and record.length >= _MESSAGE.size:
                self._has_loose_messages = True
                self._count(self._file.read(record.offset, _MESSAGE.size))
            elif record.code in (_SCHEMA_CODE, _CHANNEL_CODE):
                self._describe(record.code, self._file.fields(record))
            elif record.code == _DATA_END_CODE:
                return
        self.is_whole = self.is_whole and end == self._end

    def _scan_chunk(self, record: _Record) -> None:
        if record.length < _CHUNK.size:
            return
        first, last, size, _ = _CHUNK.unpack(self._file.read(record.offset, _CHUNK.size))
        chunk = _Chunk(record.offset, record.length, first, last, size)
        self._chunks.append(chunk)
        try:
            content = memoryview(self._unpack(chunk))  # of which parts are no copies
            for code, start, end in _split(content):
                if code == _MESSAGE_CODE:
                    self._count(content[start : start + _MESSAGE.size])
                elif code in (_SCHEMA_CODE, _CHANNEL_CODE):
                    self._describe(code, _Fields(content[start:end]))
        except (StorageError, UnpackingError):  # Counted when the messages are read.
            return

    def _count(self, head: Buffer) -> None:
        channel, _, time, _ = _MESSAGE.unpack(head)
        self._counts[channel] += 1
        first, last = self.span or (time, time)
        self.span = min(first, time), max(last, time)

    def _describe(self, code: int, fields: _Fields) -> None:
        """Take a schema or a channel, unless it is known: chunks repeat them."""
        id = fields.number(2)
        if id in (self._schemas if code == _SCHEMA_CODE else self._channels):
            return
        self._definition_bytes += fields.size
        if self._definition_bytes > MAX_DEFINITION_BYTES:
            raise StorageError(
                f'its schemas and channels have more than the maximum of {MAX_DEFINITION_BYTES} '
                f'bytes'
            )
        if code == _SCHEMA_CODE:
            self._schemas[id] = _Schema(fields.text(), fields.text(), fields.text())
            return
        self._channels[id] = _read_channel(id, fields)

    def _read_chunk(
        self, chunk: _Chunk, wanted: dict[int, Connection], start: int, stop: int, used: list[int]
    ) -> Iterator[tuple[int, Row | None]]:
        """Yield the time of the chunk, so that it is unpacked no earlier, and then its messages."""
        yield chunk.first, None
        try:
            content = self._unpack(chunk, MAX_CHUNK_BYTES - sum(used))
        except (StorageError, UnpackingError) as error:
            is_too_large = isinstance(error, UnpackingError) and error.is_too_large
            self._faults[TOO_LARGE if is_too_large else DAMAGED_PART] += 1
            return
        # The size in the index may be wrong. Of an uncompressed chunk all of its record is held.
        size = max(len(content), chunk.length)
        used.append(size)
        for row in self._rows_of(content, wanted, start, stop):
            yield row.time, row
        used.remove(size)

    def _rows_of(
        self, content: Buffer, wanted: dict[int, Connection], start: int, stop: int
    ) -> Iterator[Row]:
        """Yield the messages of a chunk up to the first damaged one, in order of time."""
        # Of millions of small messages, copies would take many times the size of the chunk.
        times, begins = array('Q'), array('Q')
        try:
            for code, begin, end in _split(content):
                if code == _MESSAGE_CODE:
                    channel, _, time, _ = _MESSAGE.unpack_from(content, begin)
                    if not (channel in wanted and start <= time < stop):
                        continue
                    if end - begin > _MESSAGE.size + MAX_MESSAGE_BYTES:
                        self._faults[TOO_LARGE] += 1
                        continue
                    times.append(time)
                    begins.append(begin)
        except StorageError:
            self._faults[DAMAGED_PART] += 1
        for number in np.argsort(np.asarray(times), kind='stable'):
            begin = begins[number]
            _, length = _HEAD.unpack_from(content, begin - _HEAD.size)
            channel, _, time, _ = _MESSAGE.unpack_from(content, begin)
            data = bytes(content[begin + _MESSAGE.size : begin + length])
            yield Row(wanted[channel], time, data)

    def _read_loose(
        self, wanted: dict[int, Connection], start: int, stop: int
    ) -> Iterator[tuple[int, Row | None]]:
        """Yield the messages outside of chunks."""
        for record in self._file.records(len(_MAGIC), self._end):
            if record.code == _DATA_END_CODE:
                return
            if record.code != _MESSAGE_CODE or record.length < _MESSAGE.size:
                continue
            channel, _, time, _ = _MESSAGE.unpack(self._file.read(record.offset, _MESSAGE.size))
            if channel in wanted and start <= time < stop:
                length = record.length - _MESSAGE.size
                if length > MAX_MESSAGE_BYTES:
                    self._faults[TOO_LARGE] += 1
                    continue
                data = self._file.read(record.offset + _MESSAGE.size, length)
                yield time, Row(wanted[channel], time, data)

    def _unpack(self, chunk: _Chunk, max_bytes: int = MAX_CHUNK_BYTES) -> Buffer:
        """Return the records of a chunk, unless they have more than a maximum of bytes."""
        if max(chunk.size, chunk.length - MAX_DEFINITION_BYTES) > max_bytes:
            raise UnpackingError('it is too large', is_too_large=True)
        fields = _Fields(self._file.read(chunk.offset, chunk.length))
        fields.skip(16)
        size, checksum, compression = fields.number(8), fields.number(4), fields.text()
        if compression not in _UNPACKERS:
            raise StorageError(f'the compression of a chunk is {compression!r}')
        records = _UNPACKERS[compression](fields.block(8), min(size, max_bytes))
        if len(records) != size or (checksum and crc32(records) != checksum):
            raise StorageError('the checksum of a chunk is wrong')
        # Held until the next one: the allocator would return the memory to the system for each
        # chunk, which takes twice as long.
        self._unpacked = records if len(records) <= _MAX_HELD_BYTES else b''
        return records


def _has_index(file: _RecordFile, footer: int, summary: int, checksum: int) -> bool:
    """Return whether there is an index, with the right checksum if it has one."""
    if not len(_MAGIC) <= summary < footer:
        return False
    # The checksum follows what it is of: the index, and the footer up to it.
    end = footer + _HEAD.size + _FOOTER.size - 4
    return not checksum or file.checksum(summary, end) == checksum


def _read_channel(id: int, fields: _Fields) -> _Channel:
    """Return the channel of a record, after its number."""
    schema, topic, encoding = fields.number(2), fields.text(), fields.text()
    metadata, values = _Fields(fields.block()), {}
    while not metadata.is_at_end:
        key = metadata.text()
        values[key] = metadata.text()
    return _Channel(id, schema, topic, encoding, values.get(_QOS, ''))


def _connect(
    channel: _Channel, schemas: dict[int, _Schema], count: int, owner: McapFile
) -> Connection:
    """Return a channel with a number of messages as rosbags describes it."""
    schema = schemas.get(channel.schema, _Schema('', '', ''))
    definition = define(schema.encoding, schema.text)
    type_name = schema.name or UNKNOWN_TYPE
    return connect(
        channel.id, channel.topic, type_name, definition, count, channel.encoding, channel.qos,
        owner,
    )  # fmt: skip


def _index_chunk(fields: _Fields) -> _Chunk:
    """Return the chunk of a record of the index."""
    first, last, offset, length = (fields.number(8) for _ in range(4))
    fields.block()  # Positions of the messages of each channel.
    fields.skip(8)
    fields.text()
    fields.skip(8)
    return _Chunk(offset + _HEAD.size, length - _HEAD.size, first, last, fields.number(8))


def _split(content: Buffer) -> Iterator[tuple[int, int, int]]:
    """Yield opcode, start and end of the content of each record."""
    place = 0
    while place < len(content):
        start = place + _HEAD.size
        if start > len(content):
            raise StorageError('a chunk ends within a record')
        code, length = _HEAD.unpack_from(content, place)
        place = start + length
        if place > len(content) or (code == _MESSAGE_CODE and length < _MESSAGE.size):
            raise StorageError('a chunk ends within a record')
        if not code:  # Invalid; a chunk of zeros would have millions of records.
            raise StorageError('a record has no opcode')
        yield code, start, place
