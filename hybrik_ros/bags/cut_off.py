"""Files of bags without their end: of a recorder that was killed, or of a disk that was full.

Both have rosbags' interface of a storage: open, close, connections, metadata, messages.
"""

import sqlite3
from collections import Counter
from collections.abc import Collection, Generator, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from rosbags.interfaces import (
    Connection,
    ConnectionExtRosbag2,
    MessageDefinition,
    MessageDefinitionFormat,
)
from rosbags.rosbag2 import ReaderError
from rosbags.rosbag2.metadata import ReaderMetadata, parse_qos
from rosbags.rosbag2.storage_mcap import McapReader

_MAGIC = b'\x89MCAP0\r\n'
_RECORD = 9  # bytes before the content of a record: what it is, and its length
_ENDS = (0x02, 0x0F)  # footer, end of data
_FORMATS = {'ros2msg': MessageDefinitionFormat.MSG, 'ros2idl': MessageDefinitionFormat.IDL}


class CutOffMcap(McapReader):
    """An mcap file without its index: it is read from front to back, in the order of the file.

    Source: the specification of MCAP (mcap.dev/spec).
    """

    def open(self) -> None:
        """Find out what is in it. Raises ReaderError where it is no mcap file."""
        self.bio = self.path.open('rb')
        if self.bio.read(len(_MAGIC)) != _MAGIC:
            self.close()
            raise ReaderError('it does not begin like an mcap file')
        self.data_start = len(_MAGIC)
        self.data_end = _end_of_whole_records(self.bio, self.data_start)
        self.meta_scan()
        found = self.statistics
        if found is None or not found.message_count:
            self.close()
            raise ReaderError('no message in it is whole')
        counts = found.channel_message_counts
        self.connections = [c._replace(msgcount=counts.get(c.id, 0)) for c in self.connections]
        self.metadata = self.metadata._replace(
            start_time=found.start_time,
            end_time=found.end_time + 1,
            message_count=found.message_count,
        )


def _end_of_whole_records(file: BinaryIO, start: int) -> int:
    """Return where the last of the records that are whole ends."""
    size = file.seek(0, 2)
    position = start
    while True:
        file.seek(position)
        head = file.read(_RECORD)
        end = position + _RECORD + int.from_bytes(head[1:], 'little')
        if len(head) < _RECORD or head[0] in _ENDS or end > size:
            return position
        position = end


class CutOffSqlite:
    """A sqlite3 file without its end: its rows are read one after the other while they last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.connections: list[Connection] = []
        self.metadata = ReaderMetadata(0, 2**63 - 1, 0, 0, None, None, None, None)

    def open(self) -> None:
        """Find out what is in it. Raises ReaderError or sqlite3.Error where that fails."""
        address = f'file:{quote(str(self._path.resolve()))}?immutable=1'
        self._database = sqlite3.connect(address, uri=True, check_same_thread=False)
        try:
            # Otherwise sqlite does not touch a file that is shorter than it says.
            self._database.execute('PRAGMA writable_schema = ON')
            self._describe()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def messages(
        self, connections: Collection[Connection], start: int | None = None, stop: int | None = None
    ) -> Generator[tuple[Connection, int, bytes], None, None]:
        """Yield the messages of some connections; see rosbags' storages."""
        wanted = {connection.id: connection for connection in connections}
        for topic, time, data in self._rows('topic_id, timestamp, data'):
            inside = (start is None or time >= start) and (stop is None or time < stop)
            if topic in wanted and inside:
                yield wanted[topic], time, data

    def _rows(self, columns: str) -> Iterator[tuple]:
        with closing(self._database.cursor()) as cursor, suppress(sqlite3.DatabaseError):
            yield from cursor.execute(f'SELECT {columns} FROM messages ORDER BY id')

    def _describe(self) -> None:
        counts: Counter[int] = Counter()
        first, last = 2**63 - 1, 0
        for topic, time in self._rows('topic_id, timestamp'):
            counts[topic] += 1
            first, last = min(first, time), max(last, time)
        if not counts:
            raise ReaderError('no message in it is whole')
        self.metadata = self.metadata._replace(
            start_time=first, end_time=last + 1, message_count=counts.total()
        )
        definitions = self._definitions()
        nothing = MessageDefinition(MessageDefinitionFormat.NONE, '')
        columns = 'id, name, type, serialization_format, offered_qos_profiles'
        for id, name, type_name, form, qualities in self._database.execute(
            f'SELECT {columns} FROM topics ORDER BY id'
        ):
            definition = definitions.get(type_name, nothing)
            extra = ConnectionExtRosbag2(form, parse_qos(qualities))
            self.connections.append(
                Connection(id, name, type_name, definition, '', counts[id], extra, self)
            )

    def _definitions(self) -> dict[str, MessageDefinition]:
        """Return the definitions of types, which newer files hold, by name."""
        with suppress(sqlite3.DatabaseError):
            rows = self._database.execute(
                'SELECT topic_type, encoding, encoded_message_definition FROM message_definitions'
            )
            return {name: MessageDefinition(_FORMATS[kind], text) for name, kind, text in rows}
        return {}
