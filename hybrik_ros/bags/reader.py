"""Read bags: whole, cut off or damaged, compressed or not."""

import errno
import os
import re
import shutil
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from rosbags.interfaces import Connection, MessageDefinitionFormat, Qos
from rosbags.rosbag2.storage_mcap import McapReader
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Reader
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

from hybrik_ros.advice import one_line
from hybrik_ros.bags.cut_off import CutOffMcap, CutOffSqlite, check_tables
from hybrik_ros.bags.types import typestore
from hybrik_ros.bags.unpacking import (
    ZSTD_MAGIC,
    UnpackingError,
    limit_chunks,
    unpack_file,
    unpack_zstd,
)
from hybrik_ros.limits import MAX_CHUNK_BYTES, MAX_MESSAGE_BYTES
from hybrik_ros.untrusted import check_regular

_SQLITE = '.db3'
# Storages by file extension: for whole files, and for files that are cut off.
_STORAGES: dict[str, tuple[Any, Any]] = {
    '.mcap': (McapReader, CutOffMcap),
    _SQLITE: (Sqlite3Reader, CutOffSqlite),
}
_COMPRESSED = '.zstd'
_MAX_TIME = 2**63  # nanoseconds; times of receipt have 63 bits
# Sizes in bytes of the headers of sqlite's log and of each frame in it (sqlite.org/fileformat).
_LOG_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24

# Kinds of damage.
CUT_OFF, DAMAGED_PART, DAMAGED_MESSAGE = 'file cut off', 'damaged part', 'damaged message'
TOO_LARGE = 'part or message that unpacks to too many bytes'


class BagError(ValueError):
    """A bag cannot be used. The message names the bag, the cause and the remedy."""


class Message(NamedTuple):
    """A recorded message.

    Attributes
    ----------
    topic : str
        Name of the topic.
    time : int
        Time of receipt in nanoseconds.
    data : bytes or memoryview
        The serialised message (CDR).
    """

    topic: str
    time: int
    data: bytes | memoryview


class Topic(NamedTuple):
    """A topic of a bag.

    Attributes
    ----------
    name : str
        Name of the topic.
    type_name : str
        Type of its messages, such as sensor_msgs/msg/Image.
    length : int
        Number of messages according to the bag.
    connection : Connection
        Description of the topic by rosbags.
    """

    name: str
    type_name: str
    length: int
    connection: Connection

    @property
    def qos_profiles(self) -> Sequence[Qos]:
        """The QoS profiles that the publishers offered."""
        return list(getattr(self.connection.ext, 'offered_qos_profiles', ()))

    def definition(self) -> tuple[str, str]:
        """Return the definition of the message type.

        Returns
        -------
        tuple of str
            The definition, and its hash (RIHS01).

        Raises
        ------
        BagError
            The definition is neither in the bag nor known to this package, or cannot be parsed.
        """
        text, kind = self.connection.msgdef.data, self.connection.msgdef.format
        if kind == MessageDefinitionFormat.NONE:
            if self.type_name not in typestore().fielddefs:
                raise BagError(
                    f'{self.name} cannot be copied: the definition of its type {self.type_name} is '
                    f'neither in the bag nor part of ROS 2'
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
        except Exception as error:  # The exception of rosbags depends on what is wrong.
            raise BagError(
                f'{self.name} cannot be copied: the definition of its type {self.type_name} cannot '
                f'be parsed: {error!r}'
            ) from error


class BagReader:
    """Reads a bag. A context manager.

    metadata.yaml is not needed: a recorder that was killed does not write it. A file that is cut
    off is read up to its end. Damaged parts and messages are left out and counted.

    Parameters
    ----------
    path : Path
        Folder of the bag, or one of its files: .mcap or .db3, optionally followed by .zstd.

    Attributes
    ----------
    topics : dict
        Topics by name, once entered.
    faults : Counter
        Number of faults so far by kind: CUT_OFF, DAMAGED_PART, DAMAGED_MESSAGE, TOO_LARGE.
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
        BagError
            There is no bag, or one of its files cannot be read.
        OSError
            There is no space to decompress a file.
        """
        limit_chunks()
        with ExitStack() as stack:
            for file in files_of(self._path):
                unpacked, is_completely_unpacked = _unpack(file, stack)
                storage, is_whole = _open_storage(unpacked, file)
                stack.callback(storage.close)
                self._storages.append(storage)
                if not (is_completely_unpacked and is_whole):
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
        """Yield the messages of some topics, in order of time and the same on each call.

        Parameters
        ----------
        topics : collection of str
            Names of the topics.
        start, stop : int, optional
            Times of receipt in nanoseconds: from start on, before stop.

        Yields
        ------
        Message
            A message that is not damaged.
        """
        for storage in self._storages:
            wanted = [c for c in storage.connections if c.topic in topics]
            if wanted:
                yield from self._read_messages(storage, wanted, start, stop)

    @property
    def span(self) -> tuple[int, int]:
        """The times of receipt of the first and the last message in nanoseconds."""
        spans = [storage.metadata for storage in self._storages if storage.metadata.message_count]
        if not spans:
            raise BagError(f'{self._path} contains no message')
        return min(s.start_time for s in spans), max(s.end_time for s in spans) - 1

    def _read_messages(
        self, storage: Any, connections: list[Connection], start: int | None, stop: int | None
    ) -> Iterator[Message]:
        read = storage.messages
        if isinstance(storage, McapReader) and not storage.chunks:
            read = storage.messages_scan  # in the order of the file: there is no index to sort by
        sizes = _ChunkSizes(storage)
        for window in _windows(storage, start, stop):
            if sizes.within(*window) > MAX_CHUNK_BYTES:
                self.faults[TOO_LARGE] += 1
                continue
            try:
                for connection, time, data in read(connections, *window):
                    message = self._check_message(connection.topic, time, data)
                    if message is not None:
                        yield message
            except GeneratorExit:
                raise
            except Exception:  # The exception of rosbags depends on where the damage is.
                self.faults[DAMAGED_PART] += 1

    def _check_message(self, topic: str, time: object, data: bytes) -> Message | None:
        """Return an unpacked message; count a damaged or too large one, and return None."""
        if not (isinstance(time, int) and 0 <= time < _MAX_TIME):
            self.faults[DAMAGED_MESSAGE] += 1
            return None
        try:
            if data[:4] == ZSTD_MAGIC:
                data = unpack_zstd(data, MAX_MESSAGE_BYTES)
        except UnpackingError as error:
            self.faults[TOO_LARGE if error.is_too_large else DAMAGED_MESSAGE] += 1
            return None
        return Message(topic, time, data)


def files_of(path: Path) -> list[Path]:
    """Return the files of a bag in the order in which they were recorded.

    Parameters
    ----------
    path : Path
        Folder of a bag, or one file of it.

    Raises
    ------
    BagError
        There is no bag.
    """
    if path.is_dir():
        files = [file for file in path.iterdir() if is_storage(file)]
        if files:
            return sorted(files, key=by_number)
    elif is_storage(path) and path.is_file():
        return [path]
    raise BagError(
        f'{path} is not a rosbag2 bag: it is neither a folder with .mcap or .db3 files nor such a '
        f'file. rosbags-convert converts bags of ROS 1.'
    )


def is_storage(path: Path) -> bool:
    """Return whether a file has the extension of a bag file."""
    return Path(path.name.removesuffix(_COMPRESSED)).suffix in _STORAGES


def by_number(path: Path) -> list[tuple[int, str]]:
    """Return a sort key that compares numbers in names by value: bag_2.mcap before bag_10.mcap."""
    return [(int(part or 0), part) if part.isdigit() else (0, part)
            for part in re.split(r'(\d+)', path.name)]  # fmt: skip


def _open_storage(unpacked: Path, file: Path) -> tuple[Any, bool]:
    """Return the opened storage of an unpacked file, and whether the file is whole."""
    whole, cut_off = _STORAGES[unpacked.suffix]
    for kind in (whole, cut_off):
        storage = kind(unpacked)
        try:
            if unpacked.suffix == _SQLITE:
                check_tables(unpacked)
            storage.open()
            return storage, kind is whole
        except PermissionError:
            raise
        except Exception as error:  # The exception of rosbags depends on what is wrong.
            reason = error
    raise BagError(f'{file} cannot be read: {one_line(reason)}') from reason


def _unpack(file: Path, stack: ExitStack) -> tuple[Path, bool]:
    """Return the path of a file's uncompressed content, and whether the content is complete."""
    check_regular(file)
    log = log_of(file)
    if file.suffix != _COMPRESSED and log is None:
        return file, True
    folder = Path(stack.enter_context(TemporaryDirectory()))
    try:
        if log is not None:
            return _merge_log(file, log, folder)
        return folder / file.stem, unpack_file(file, folder / file.stem)
    except UnpackingError as error:
        raise BagError(f'{file} cannot be unpacked: {error}') from error
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        reason = f'{error.strerror} to unpack {file}: set TMPDIR to a folder with more space'
        raise OSError(error.errno, reason, str(folder)) from error


def log_of(file: Path) -> Path | None:
    """Return sqlite's write-ahead log of a file: the last messages of a recorder that was killed.

    Parameters
    ----------
    file : Path
        A file of a bag.

    Returns
    -------
    Path or None
        None if the file has no log, or an empty one.
    """
    log = file.with_name(f'{file.name}-wal')
    return log if file.suffix == _SQLITE and log.is_file() and log.stat().st_size else None


def _merge_log(file: Path, log: Path, folder: Path) -> tuple[Path, bool]:
    """Return a copy of a file with its log merged in, and whether all of the log was read.

    References
    ----------
    sqlite.org/fileformat, The Write-Ahead Log.
    """
    for each in (file, log):
        shutil.copyfile(each, folder / each.name)  # without its mode: the copy is written to
    merged = folder / file.name
    try:
        with closing(sqlite3.connect(merged)) as database:
            [page_bytes] = database.execute('PRAGMA page_size').fetchone()
            _, frames, _ = database.execute('PRAGMA wal_checkpoint').fetchone()
    except sqlite3.Error:
        return merged, False
    return merged, frames == _count_frames(log, page_bytes)


def _count_frames(log: Path, page_bytes: int) -> int:
    """Return the number of frames in a log, without those of before its last restart."""
    count = 0
    with log.open('rb') as file:
        salts = file.read(_LOG_HEADER_BYTES)[16:24]
        while frame := file.read(_FRAME_HEADER_BYTES):
            count += frame[8:16] == salts
            file.seek(page_bytes, os.SEEK_CUR)
    return count


def _windows(
    storage: Any, start: int | None, stop: int | None
) -> Iterator[tuple[int | None, int | None]]:
    """Yield time windows that are read independently, so that damage costs one window only."""
    inside = {
        time
        for time in _window_boundaries(storage)
        if (start is None or time > start) and (stop is None or time < stop)
    }
    yield from pairwise([start, *sorted(inside), stop])


class _ChunkSizes:
    """The sizes of the chunks of an mcap file; all that overlap a window are in memory for it."""

    def __init__(self, storage: Any) -> None:
        chunks = getattr(storage, 'chunks', ())
        self._first = np.array([chunk.message_start_time for chunk in chunks], np.uint64)
        self._last = np.array([chunk.message_end_time for chunk in chunks], np.uint64)
        self._bytes = np.array([chunk.uncompressed_size for chunk in chunks], np.float64)

    def within(self, start: int | None, stop: int | None) -> float:
        """Return the size in bytes of the chunks in a window of time."""
        inside = np.ones(len(self._bytes), bool)
        if start is not None:
            inside &= self._last >= np.uint64(start)
        if stop is not None:
            inside &= self._first < np.uint64(stop)
        return float(self._bytes[inside].sum())


def _window_boundaries(storage: Any) -> list[int]:
    """Return the start times of the chunks of a file, or, in sqlite, of each message."""
    if isinstance(storage, Sqlite3Reader):
        assert storage.dbconn is not None
        rows = storage.dbconn.execute('SELECT DISTINCT timestamp FROM messages')
        return [time for (time,) in rows if isinstance(time, int)]
    return [chunk.message_start_time for chunk in getattr(storage, 'chunks', ())]
