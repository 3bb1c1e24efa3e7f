"""sqlite3 files, whole or cut off."""

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Connection, MessageDefinition

from hybrik_ros.bags.storage import (
    CDR,
    DAMAGED_MESSAGE,
    DAMAGED_PART,
    TOO_LARGE,
    Row,
    StorageError,
    closing_on_error,
    connect,
    define,
)
from hybrik_ros.limits import MAX_MESSAGE_BYTES

_TABLES = ('messages', 'topics', 'schema', 'message_definitions')  # of rosbag2
_QOS = 'offered_qos_profiles'
# Maximum number of rows of a table but that of messages: pages that refer to each other can make
# the tables of a small file endless.
_MAX_ROWS = 10_000
# The data of a message, or a text instead of data that is not to be read into memory.
_TOO_LARGE = 'too large'
_DATA = f"CASE WHEN length(data) > {MAX_MESSAGE_BYTES} THEN '{_TOO_LARGE}' ELSE data END"


class SqliteFile:
    """A .db3 file; a Storage.

    Messages of a whole file are read one by one, so that a damaged page costs its messages only.
    Of a file that is cut off, the rows are read in their order up to the first damaged one.

    Parameters
    ----------
    path : Path
        Path of the file.
    faults : Counter
        Number of faults by kind, which reading increases.

    Raises
    ------
    StorageError
        The file is no bag, or is cut off before the end of the first message.
    sqlite3.Error
        The file is no sqlite3 file, or its tables cannot be read.
    """

    def __init__(self, path: Path, faults: Counter[str]) -> None:
        self._faults = faults
        self.span: tuple[int, int] | None = None
        self.is_whole = True
        self._length = 0  # number of messages
        # For reading only, without a lock; any thread may use the connection.
        address = f'file:{quote(str(path.resolve()))}?immutable=1'
        self._database = sqlite3.connect(address, uri=True, check_same_thread=False)
        self._database.text_factory = lambda text: text.decode(errors='replace')
        with closing_on_error(self.close):
            self.connections = self._open()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def messages(
        self, connections: Collection[Connection], start: int | None, stop: int | None
    ) -> Iterator[Row]:
        """Yield the messages of some connections; see Storage."""
        wanted = {connection.id: connection for connection in connections}
        rows = self._read_rows(start, stop) if self.is_whole else self._scan()
        for topic, time, data in rows:
            if topic not in wanted:
                continue
            if data == _TOO_LARGE:
                self._faults[TOO_LARGE] += 1
            elif not (isinstance(time, int) and isinstance(data, bytes)):
                self._faults[DAMAGED_MESSAGE] += 1
            elif (start is None or time >= start) and (stop is None or time < stop):
                yield Row(wanted[topic], time, data)

    def _open(self) -> list[Connection]:
        try:
            self._check_tables()
            counts = self._count_rows()
        except sqlite3.DatabaseError:
            # Otherwise sqlite refuses a file that is shorter than its header says.
            self._database.execute('PRAGMA writable_schema = ON')
            self._check_tables()
            self.is_whole = False
            counts = self._count_by_scanning()
            if not counts:
                raise StorageError('it contains no whole message') from None
        return list(self._connect(counts))

    def _check_tables(self) -> None:
        """Refuse tables that are computed: a view can have rows without end."""
        tables = self._read_all('SELECT name, sql FROM sqlite_master')
        names = {str(name).lower(): str(text).upper() for name, text in tables}
        for name in _TABLES[:2]:
            if name not in names:
                raise StorageError(f'it has no table {name}')
        for name in names.keys() & set(_TABLES):
            columns = self._database.execute(f'PRAGMA table_xinfo({name})').fetchall()
            is_computed = any(column[-1] for column in columns)
            if is_computed or not names[name].startswith('CREATE TABLE'):
                raise StorageError(f'its {name} are not stored, but computed')

    def _read_all(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a table that describes others; refuse one without end."""
        with closing(self._database.execute(query)) as cursor:
            rows = cursor.fetchmany(_MAX_ROWS + 1)
        if len(rows) > _MAX_ROWS:
            raise StorageError(f'one of its tables has more than the maximum of {_MAX_ROWS} rows')
        return rows

    def _count_rows(self) -> Counter[int]:
        """Return the number of messages of each topic, and set the span."""
        # Of the table itself: a damaged index can have other rows than its table.
        rows = self._read_all(
            'SELECT topic_id, COUNT(*), MIN(timestamp), MAX(timestamp) FROM messages NOT INDEXED '
            'GROUP BY topic_id'
        )
        for _, _, first, last in rows:
            self._extend_span(first, last)
        self._length = sum(count for _, count, *_ in rows)
        return Counter({topic: count for topic, count, *_ in rows})

    def _count_by_scanning(self) -> Counter[int]:
        counts: Counter[int] = Counter()
        for topic, time, _ in self._scan('NULL'):
            counts[topic] += 1
            self._extend_span(time, time)
        return counts

    def _extend_span(self, first: object, last: object) -> None:
        if isinstance(first, int) and isinstance(last, int):
            start, end = self.span or (first, last)
            self.span = min(first, start), max(last, end)

    def _connect(self, counts: Counter[int]) -> Iterator[Connection]:
        definitions = self._read_definitions()
        names = [row[1] for row in self._database.execute('PRAGMA table_info(topics)')]
        qos = _QOS if _QOS in names else "''"  # Files of the first releases have none.
        for id, name, type_name, encoding, profiles in self._read_all(
            f'SELECT id, name, type, serialization_format, {qos} FROM topics ORDER BY id'
        ):
            definition = definitions.get(type_name, define('', ''))
            yield connect(
                id,
                str(name),
                str(type_name),
                definition,
                counts[id],
                str(encoding or CDR),
                str(profiles or ''),
                self,
            )

    def _read_definitions(self) -> dict[str, MessageDefinition]:
        """Return the message definitions by type name; files of older releases have none."""
        with suppress(sqlite3.DatabaseError):
            rows = self._read_all(
                'SELECT topic_type, encoding, encoded_message_definition FROM message_definitions'
            )
            return {name: define(str(kind), str(text)) for name, kind, text in rows}
        return {}

    def _read_rows(
        self, start: int | None, stop: int | None
    ) -> Iterator[tuple[int, object, object]]:
        """Yield topic, time and data of the messages in order of time."""
        try:
            ids = self._find_ids(start, stop)
        except (sqlite3.DatabaseError, TypeError, ValueError):
            self._faults[DAMAGED_PART] += 1
            yield from self._scan()
            return
        query = f'SELECT topic_id, timestamp, {_DATA} FROM messages WHERE id = ?'
        for id in ids.tolist():
            try:
                row = self._database.execute(query, (id,)).fetchone()
            except sqlite3.DatabaseError:
                self._faults[DAMAGED_PART] += 1
                continue
            if row is not None:
                yield row

    def _find_ids(self, start: int | None, stop: int | None) -> NDArray[np.int64]:
        """Return the ids of messages in order of time; sqlite finds them in the index of times.

        An index whose pages refer to each other can have rows without end.
        """
        limits = [('>=', start), ('<', stop)]
        conditions = [f'timestamp {sign} {limit}' for sign, limit in limits if limit is not None]
        where = f'WHERE {" AND ".join(conditions)}' if conditions else ''
        query = f'SELECT id FROM messages {where} ORDER BY timestamp, id LIMIT {self._length + 1}'
        ids = np.fromiter((id for (id,) in self._database.execute(query)), np.int64)
        if len(ids) > self._length:
            raise StorageError('the index of its messages has more rows than their table')
        return ids

    def _scan(self, data: str = _DATA) -> Iterator[tuple[int, object, object]]:
        """Yield the rows in their order, up to the first damaged one."""
        query = f'SELECT topic_id, timestamp, {data} FROM messages ORDER BY id'
        with closing(self._database.cursor()) as cursor, suppress(sqlite3.DatabaseError):
            yield from cursor.execute(query)
