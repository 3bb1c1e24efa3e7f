"""Storages for bag files that end early, because the recorder was killed or the disk was full.

Both classes have the interface of a rosbags storage: open, close, connections, metadata, messages.
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

# From the MCAP specification: first bytes of a file, bytes of a record before its content (opcode
# and length), and opcodes of the records after the data (footer, data end).
_MCAP_MAGIC = b'\x89MCAP0\r\n'
_RECORD_HEADER_BYTES = 9
_END_OPCODES = (0x02, 0x0F)

# The tables of rosbag2.
_TABLES = ('messages', 'topics', 'schema', 'message_definitions')

_MAX_TIME = 2**63 - 1  # nanoseconds; the start time while no message is known

_FORMATS = {'ros2msg': MessageDefinitionFormat.MSG, 'ros2idl': MessageDefinitionFormat.IDL}


class CutOffMcap(McapReader):
    """An mcap file without its index. Messages come in the order of the file.

    References
    ----------
    MCAP Format Specification, https://mcap.dev/spec.
    """

    def open(self) -> None:
        """Open the file and scan its whole records.

        Raises
        ------
        ReaderError
            The file is no mcap file, or contains no whole message.
        """
        self.bio = self.path.open('rb')
        if self.bio.read(len(_MCAP_MAGIC)) != _MCAP_MAGIC:
            self.close()
            raise ReaderError('it does not start with the magic bytes of mcap')
        self.data_start = len(_MCAP_MAGIC)
        self.data_end = _find_data_end(self.bio, self.data_start)
        self.meta_scan()
        found = self.statistics
        if found is None or not found.message_count:
            self.close()
            raise ReaderError('it contains no whole message')
        counts = found.channel_message_counts
        self.connections = [c._replace(msgcount=counts.get(c.id, 0)) for c in self.connections]
        self.metadata = self.metadata._replace(
            start_time=found.start_time,
            end_time=found.end_time + 1,
            message_count=found.message_count,
        )


def check_tables(path: Path) -> None:
    """Refuse a sqlite3 file whose tables are computed: a view can have rows without end.

    Parameters
    ----------
    path : Path
        Path of the .db3 file.

    Raises
    ------
    ReaderError
        A table of rosbag2 is a view or a virtual table, or has a generated column.
    sqlite3.Error
        The file is no sqlite3 file.
    """
    with closing(_open_immutable(path)) as database:
        database.execute('PRAGMA writable_schema = ON')  # Reads files that are cut off.
        for name, text in database.execute('SELECT name, sql FROM sqlite_master').fetchall():
            if str(name).lower() not in _TABLES:
                continue
            columns = database.execute(f'PRAGMA table_xinfo({str(name).lower()})').fetchall()
            is_stored = str(text).upper().startswith('CREATE TABLE') and not any(
                column[-1] for column in columns
            )
            if not is_stored:
                raise ReaderError(f'its {name} are not stored, but computed')


def _open_immutable(path: Path) -> sqlite3.Connection:
    """Open a file for reading only, without a lock; any thread may use the connection."""
    address = f'file:{quote(str(path.resolve()))}?immutable=1'
    return sqlite3.connect(address, uri=True, check_same_thread=False)


def _find_data_end(file: BinaryIO, start: int) -> int:
    """Return the offset in bytes at which the last whole record ends."""
    size = file.seek(0, 2)
    position = start
    while True:
        file.seek(position)
        head = file.read(_RECORD_HEADER_BYTES)
        end = position + _RECORD_HEADER_BYTES + int.from_bytes(head[1:], 'little')
        if len(head) < _RECORD_HEADER_BYTES or head[0] in _END_OPCODES or end > size:
            return position
        position = end


class CutOffSqlite:
    """A sqlite3 file without its end. Rows are read in their order, up to the first damaged one.

    Parameters
    ----------
    path : Path
        Path of the .db3 file.

    Attributes
    ----------
    connections : list of Connection
        The topics, once open.
    metadata : ReaderMetadata
        Time span and number of messages, once open.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.connections: list[Connection] = []
        self.metadata = ReaderMetadata(0, _MAX_TIME, 0, 0, None, None, None, None)

    def open(self) -> None:
        """Open the file and count its messages.

        Raises
        ------
        ReaderError
            The file contains no whole message.
        sqlite3.Error
            The file is no sqlite3 file, or its tables cannot be read.
        """
        self._database = _open_immutable(self._path)
        try:
            # Otherwise sqlite refuses a file that is shorter than its header says.
            self._database.execute('PRAGMA writable_schema = ON')
            self._read_metadata()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def messages(
        self, connections: Collection[Connection], start: int | None = None, stop: int | None = None
    ) -> Generator[tuple[Connection, int, bytes], None, None]:
        """Yield the messages of some connections, as the storages of rosbags do.

        Parameters
        ----------
        connections : collection of Connection
            The connections to read.
        start, stop : int, optional
            Times of receipt in nanoseconds: from start on, before stop.

        Yields
        ------
        tuple of Connection, int and bytes
            Connection, time of receipt in nanoseconds, and serialised message (CDR).
        """
        wanted = {connection.id: connection for connection in connections}
        for topic, time, data in self._rows('topic_id, timestamp, data'):
            is_inside = (start is None or time >= start) and (stop is None or time < stop)
            if topic in wanted and is_inside:
                yield wanted[topic], time, data

    def _rows(self, columns: str) -> Iterator[tuple]:
        with closing(self._database.cursor()) as cursor, suppress(sqlite3.DatabaseError):
            yield from cursor.execute(f'SELECT {columns} FROM messages ORDER BY id')

    def _read_metadata(self) -> None:
        """Set the metadata and the connections."""
        counts: Counter[int] = Counter()
        first, last = _MAX_TIME, 0
        for topic, time in self._rows('topic_id, timestamp'):
            counts[topic] += 1
            first, last = min(first, time), max(last, time)
        if not counts:
            raise ReaderError('it contains no whole message')
        self.metadata = self.metadata._replace(
            start_time=first, end_time=last + 1, message_count=counts.total()
        )
        definitions = self._read_definitions()
        unknown = MessageDefinition(MessageDefinitionFormat.NONE, '')
        columns = 'id, name, type, serialization_format, offered_qos_profiles'
        for id, name, type_name, encoding, qos in self._database.execute(
            f'SELECT {columns} FROM topics ORDER BY id'
        ):
            definition = definitions.get(type_name, unknown)
            extra = ConnectionExtRosbag2(encoding, parse_qos(qos))
            self.connections.append(
                Connection(id, name, type_name, definition, '', counts[id], extra, self)
            )

    def _read_definitions(self) -> dict[str, MessageDefinition]:
        """Return the message definitions by type name; files of older releases have none."""
        with suppress(sqlite3.DatabaseError):
            rows = self._database.execute(
                'SELECT topic_type, encoding, encoded_message_definition FROM message_definitions'
            )
            return {name: MessageDefinition(_FORMATS[kind], text) for name, kind, text in rows}
        return {}
