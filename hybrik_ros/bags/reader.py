"""Reading a bag, whole or damaged, compressed or not."""

import errno
import os
import re
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from rosbags.interfaces import Connection, MessageDefinitionFormat, Qos
from rosbags.rosbag2.storage_mcap import McapReader
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Reader
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

from hybrik_ros.bags.cut_off import CutOffMcap, CutOffSqlite
from hybrik_ros.bags.types import typestore

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# By the ending of their files: what reads the whole ones, what those that are cut off.
_STORAGES: dict[str, tuple[Any, Any]] = {
    '.mcap': (McapReader, CutOffMcap),
    '.db3': (Sqlite3Reader, CutOffSqlite),
}
_COMPRESSED = '.zstd'
_ZSTD = b'\x28\xb5\x2f\xfd'  # No CDR begins like that.
_BLOCK = 2**20  # bytes
_LOG_HEADER, _FRAME_HEADER = 32, 24  # bytes, of sqlite's log and of each page in it

CUT_OFF, DAMAGED_PART, DAMAGED_MESSAGE = 'file cut off', 'damaged part', 'damaged message'


class BagError(ValueError):
    """A bag cannot be used; the message says which, and what to do."""


class Message(NamedTuple):
    """A message as it was recorded.

    Attributes
    ----------
    topic: name.
    time: nanoseconds, of its receipt.
    data: serialised (CDR).
    """

    topic: str
    time: int
    data: bytes | memoryview


class Topic(NamedTuple):
    """A topic of a bag.

    Attributes
    ----------
    name: as it was recorded.
    type_name: such as sensor_msgs/msg/Image.
    length: how many messages it has, as far as the bag says.
    connection: rosbags' description of it.
    """

    name: str
    type_name: str
    length: int
    connection: Connection

    @property
    def qualities(self) -> Sequence[Qos]:
        """The qualities of service with which it was offered."""
        return list(getattr(self.connection.ext, 'offered_qos_profiles', ()))

    def definition(self) -> tuple[str, str]:
        """Return the definition of its type and the hash of that (RIHS01).

        Raises
        ------
        BagError: neither the bag nor ROS 2 knows it, or it cannot be understood.
        """
        text, kind = self.connection.msgdef.data, self.connection.msgdef.format
        if kind == MessageDefinitionFormat.NONE:
            if self.type_name not in typestore().fielddefs:
                raise BagError(
                    f'{self.name} cannot be copied: nobody knows the type {self.type_name}'
                )
            text, _ = typestore().generate_msgdef(self.type_name, ros_version=2)
            return text, typestore().hash_rihs01(self.type_name)
        store = get_typestore(Stores.EMPTY)
        try:
            if kind == MessageDefinitionFormat.MSG:
                store.register(get_types_from_msg(text, self.type_name))
            else:
                store.register(get_types_from_idl(text))
            return text, store.hash_rihs01(self.type_name)
        except Exception as error:  # By what is wrong, rosbags raises all sorts of things.
            raise BagError(
                f'{self.name} cannot be copied: its type {self.type_name} is not understood: '
                f'{error!r}'
            ) from error


class BagReader:
    """Reads a bag; a context manager.

    metadata.yaml is not needed, as a recorder that was killed leaves none. A file without its end
    is read as far as it goes. What is damaged is left out and counted.

    Parameters
    ----------
    path: of the bag's folder, or of one file of it: .mcap or .db3, and .zstd after that.

    Attributes
    ----------
    topics: by name, once entered.
    faults: how often each kind of damage was met so far.
    """

    def __init__(self, path: Path) -> None:
        self.topics: dict[str, Topic] = {}
        self.faults: Counter[str] = Counter()
        self._path = path
        self._storages: list[Any] = []
        self._stack = ExitStack()

    def __enter__(self) -> 'BagReader':
        """Open all files of the bag.

        Raises
        ------
        BagError: there is no bag, or nothing in it can be read.
        """
        with ExitStack() as stack:
            for file in files_of(self._path):
                unpacked, is_packed_whole = _unpacked(file, stack)
                storage, is_whole = _opened(unpacked, file)
                stack.callback(storage.close)
                self._storages.append(storage)
                if not (is_packed_whole and is_whole):
                    self.faults[CUT_OFF] += 1
            self._stack = stack.pop_all()
        for connection in (c for storage in self._storages for c in storage.connections):
            known = self.topics.get(connection.topic)
            length = connection.msgcount + (known.length if known else 0)
            self.topics[connection.topic] = Topic(
                connection.topic, connection.msgtype, length, connection
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._storages.clear()

    def messages(
        self, topics: Collection[str], start: int | None = None, stop: int | None = None
    ) -> Iterator[Message]:
        """Yield the messages of some topics in the order of time, twice the same.

        Parameters
        ----------
        topics: names.
        start, stop: nanoseconds; messages from start on, before stop.
        """
        for storage in self._storages:
            wanted = [c for c in storage.connections if c.topic in topics]
            if wanted:
                yield from self._messages_of(storage, wanted, start, stop)

    @property
    def span(self) -> tuple[int, int]:
        """When the first and the last message was received, nanoseconds."""
        spans = [storage.metadata for storage in self._storages if storage.metadata.message_count]
        if not spans:
            raise BagError(f'there is no message in {self._path}')
        return min(s.start_time for s in spans), max(s.end_time for s in spans) - 1

    def _messages_of(
        self, storage: Any, connections: list[Connection], start: int | None, stop: int | None
    ) -> Iterator[Message]:
        read = storage.messages
        if isinstance(storage, McapReader) and not storage.chunks:
            read = storage.messages_scan  # In the file's order: there is no index to sort by.
        for window in _windows(storage, start, stop):
            try:
                for connection, time, data in read(connections, *window):
                    if data[:4] == _ZSTD:
                        try:
                            data = zstd.decompress(data)
                        except zstd.ZstdError:
                            self.faults[DAMAGED_MESSAGE] += 1
                            continue
                    yield Message(connection.topic, time, data)
            except GeneratorExit:
                raise
            except Exception:  # By where the damage is, rosbags raises all sorts of things.
                self.faults[DAMAGED_PART] += 1


def files_of(path: Path) -> list[Path]:
    """Return the files of a bag, in the order in which they were recorded.

    Raises
    ------
    BagError: there is no bag.
    """
    if path.is_dir():
        files = [file for file in path.iterdir() if is_storage(file)]
        if files:
            return sorted(files, key=by_number)
    elif is_storage(path) and path.is_file():
        return [path]
    raise BagError(
        f'{path} is no bag of rosbag2: no folder with .mcap or .db3 files, and no such file. '
        f'(rosbags-convert makes one of a ROS 1 bag.)'
    )


def is_storage(path: Path) -> bool:
    """Tell by its name whether a file is of a bag."""
    return Path(path.name.removesuffix(_COMPRESSED)).suffix in _STORAGES


def by_number(path: Path) -> list[tuple[int, str]]:
    """Return what sorts bag_2.mcap before bag_10.mcap."""
    return [(int(part or 0), part) if part.isdigit() else (0, part)
            for part in re.split(r'(\d+)', path.name)]  # fmt: skip


def _opened(unpacked: Path, file: Path) -> tuple[Any, bool]:
    """Return the storage of a file that is unpacked, open, and whether that has its end."""
    whole, cut_off = _STORAGES[unpacked.suffix]
    for kind in (whole, cut_off):
        storage = kind(unpacked)
        try:
            storage.open()
            return storage, kind is whole
        except PermissionError:
            raise
        except Exception as error:  # As above.
            reason = error
    raise BagError(f'{file} cannot be read: {reason}') from reason


def _unpacked(file: Path, stack: ExitStack) -> tuple[Path, bool]:
    """Return a file, or what can be unpacked of it if it is compressed, and whether that is all."""
    log = log_of(file)
    if file.suffix != _COMPRESSED and log is None:
        return file, True
    folder = Path(stack.enter_context(TemporaryDirectory()))
    try:
        return _merged(file, log, folder) if log else _decompressed(file, folder)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        reason = f'{error.strerror} to unpack {file}: set TMPDIR to where there is room'
        raise OSError(error.errno, reason, str(folder)) from error


def _decompressed(file: Path, folder: Path) -> tuple[Path, bool]:
    unpacked = folder / file.stem
    with unpacked.open('wb') as out, zstd.open(file, 'rb') as packed:
        try:
            while block := packed.read1(_BLOCK):
                out.write(block)
        except (EOFError, zstd.ZstdError):
            return unpacked, False
    return unpacked, True


def log_of(file: Path) -> Path | None:
    """Return sqlite's log (WAL) of a file; a recorder that was killed leaves what it did last."""
    log = file.with_name(f'{file.name}-wal')
    return log if file.suffix == '.db3' and log.is_file() and log.stat().st_size else None


def _merged(file: Path, log: Path, folder: Path) -> tuple[Path, bool]:
    """Return a copy of a file with what is in its log, and whether all of that could be read.

    Source: sqlite.org/fileformat, The Write-Ahead Log.
    """
    for each in (file, log):
        shutil.copyfile(each, folder / each.name)  # not its mode: this is written to
    merged = folder / file.name
    try:
        with closing(sqlite3.connect(merged)) as database:
            [page] = database.execute('PRAGMA page_size').fetchone()
            _, frames, _ = database.execute('PRAGMA wal_checkpoint').fetchone()
    except sqlite3.Error:
        return merged, False
    return merged, frames == _frames_in(log, page)


def _frames_in(log: Path, page: int) -> int:
    """Return how many frames a log holds, those left of before it was last begun anew not counted.

    page: bytes.
    """
    count = 0
    with log.open('rb') as file:
        salts = file.read(_LOG_HEADER)[16:24]
        while frame := file.read(_FRAME_HEADER):
            count += frame[8:16] == salts
            file.seek(page, os.SEEK_CUR)
    return count


def _windows(
    storage: Any, start: int | None, stop: int | None
) -> Iterator[tuple[int | None, int | None]]:
    """Yield spans of time that can be read although others are damaged."""
    inside = {
        time
        for time in _seams(storage)
        if (start is None or time > start) and (stop is None or time < stop)
    }
    yield from pairwise([start, *sorted(inside), stop])


def _seams(storage: Any) -> list[int]:
    """Return times between which a file is read at once: of its chunks, or of each message."""
    if isinstance(storage, Sqlite3Reader):
        assert storage.dbconn is not None
        rows = storage.dbconn.execute('SELECT DISTINCT timestamp FROM messages')
        return [int(time) for (time,) in rows]
    return [chunk.message_start_time for chunk in getattr(storage, 'chunks', ())]
