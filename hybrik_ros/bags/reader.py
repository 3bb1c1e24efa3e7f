"""Read bags: whole, cut off or damaged, compressed or not."""

import errno
import os
import re
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from rosbags.interfaces import Connection, MessageDefinitionFormat, Qos
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from hybrik_ros.advice import one_line
from hybrik_ros.bags.mcap_file import McapFile
from hybrik_ros.bags.sqlite_file import SqliteFile
from hybrik_ros.bags.storage import (
    CDR,
    CUT_OFF,
    DAMAGED_MESSAGE,
    TOO_LARGE,
    Storage,
)
from hybrik_ros.bags.types import typestore
from hybrik_ros.bags.unpacking import ZSTD_MAGIC, UnpackingError, unpack_file, unpack_zstd
from hybrik_ros.limits import MAX_MESSAGE_BYTES, MAX_YAML_BYTES
from hybrik_ros.messages.observations import HUMAN_OBSERVATION_ARRAY
from hybrik_ros.messages.people import HUMAN_MESH, HUMAN_MESH_ARRAY
from hybrik_ros.untrusted import check_regular, describe_unreadable, parse_yaml, read_regular

_METADATA = 'metadata.yaml'
_SQLITE = '.db3'
_STORAGES: dict[str, Callable[[Path, Counter[str]], Storage]] = {
    '.mcap': McapFile,
    _SQLITE: SqliteFile,
}
_COMPRESSED = '.zstd'
# Types of the messages that this package reads. On a topic with several types they come first.
_READ_TYPES = frozenset(
    (
        *(f'sensor_msgs/msg/{name}' for name in ('Image', 'CompressedImage', 'CameraInfo')),
        *(HUMAN_MESH, HUMAN_MESH_ARRAY, HUMAN_OBSERVATION_ARRAY),
    )
)
MAX_TIME = 2**63  # nanoseconds; times of receipt have 63 bits
# Sizes in bytes of the headers of sqlite's log and of each frame in it (sqlite.org/fileformat).
_LOG_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24

LOST_FILE = 'file missing or unreadable'  # a kind of damage


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
        text, reason = self.connection.msgdef.data, 'is neither in the bag nor part of ROS 2'
        try:
            if (store := self._defined()) is not None:
                return text, store.hash_rihs01(self.type_name)
        except Exception as error:  # The exception of rosbags depends on what is wrong.
            reason = f'cannot be parsed ({one_line(error) or repr(error)})'
        if self.type_name in typestore().fielddefs:
            text, _ = typestore().generate_msgdef(self.type_name, ros_version=2)
            return text, typestore().hash_rihs01(self.type_name)
        raise BagError(
            f'{self.name} cannot be copied: the definition of its type {self.type_name} {reason}'
        )

    def types(self) -> Typestore:
        """Return the types as the bag defines them; those that are known where it does not."""
        with suppress(Exception):  # As above.
            if (store := self._defined()) is not None:
                return store
        return typestore()

    def _defined(self) -> Typestore | None:
        """Return the types that the bag defines for the topic; None if it defines none."""
        text, kind = self.connection.msgdef.data, self.connection.msgdef.format
        if kind == MessageDefinitionFormat.NONE:
            return None
        is_msg = kind == MessageDefinitionFormat.MSG
        store = get_typestore(Stores.EMPTY)
        store.register(
            get_types_from_msg(text, self.type_name) if is_msg else get_types_from_idl(text)
        )
        return store


class BagReader:
    """Reads a bag. A context manager.

    metadata.yaml is not needed: a recorder that was killed does not write it. A file that is cut
    off is read up to its end. Damaged parts and messages are left out and counted, and so are
    single files of several. Topics in other encodings than that of ROS 2 (CDR) are left out.

    Parameters
    ----------
    path : Path
        Folder of the bag, or one of its files: .mcap or .db3, optionally followed by .zstd.

    Attributes
    ----------
    topics : dict
        Topics by name, once entered.
    faults : Counter
        Number of faults so far by kind: CUT_OFF, DAMAGED_PART, DAMAGED_MESSAGE, TOO_LARGE,
        LOST_FILE.
    notes : list of str
        The files and topics that are left out, with the reason.
    """

    def __init__(self, path: Path) -> None:
        self.topics: dict[str, Topic] = {}
        self.faults: Counter[str] = Counter()
        self.notes: list[str] = []
        self._path = path
        self._storages: list[Storage] = []
        self._stack = ExitStack()

    def __enter__(self) -> 'BagReader':
        """Open all files of the bag.

        Raises
        ------
        BagError
            There is no bag, none of its files can be read, or none of its topics is in CDR.
        OSError
            The same for its files, or there is no space to decompress one.
        """
        with ExitStack() as stack:
            self._open_files(stack)
            self._add_topics()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._storages.clear()

    def full_name(self, topic: str) -> str:
        """Return the name of a topic, which may be given without its leading slash as to nodes."""
        return topic if topic in self.topics else f'/{topic.lstrip("/")}'

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
            wanted = [c for c in storage.connections if c.topic in topics and self._is_read(c)]
            for connection, time, data in storage.messages(wanted, start, stop) if wanted else ():
                message = self._check_message(connection.topic, time, data)
                if message is not None:
                    yield message

    @property
    def span(self) -> tuple[int, int]:
        """The times of receipt of the first and the last message in nanoseconds."""
        spans = [storage.span for storage in self._storages if storage.span is not None]
        if not spans:
            raise BagError(f'{self._path} contains no message')
        return min(first for first, _ in spans), max(last for _, last in spans)

    def find_copyable(self) -> list[Topic]:
        """Return the topics that can be copied, and note the others."""
        copyable = []
        for topic in self.topics.values():
            try:
                topic.definition()
                copyable.append(topic)
            except BagError as error:
                self.notes.append(str(error))
        return copyable

    def _open_files(self, stack: ExitStack) -> None:
        files = files_of(self._path)
        for file in files:
            try:
                unpacked, is_completely_unpacked = _unpack(file, stack)
                storage = _open_storage(unpacked, file, self.faults)
            except (BagError, OSError) as error:
                if len(files) == 1 or getattr(error, 'errno', None) == errno.ENOSPC:
                    raise
                self._lose(f'{file.name} is left out: {error}')
                continue
            stack.callback(storage.close)
            self._storages.append(storage)
            if not (is_completely_unpacked and storage.is_whole):
                self.faults[CUT_OFF] += 1
        for name in _find_missing(self._path, files):
            self._lose(f'{_METADATA} names {name}, which is missing')
        if not self._storages:
            raise BagError(f'{self._path} cannot be read: {"; ".join(self.notes)}')

    def _lose(self, note: str) -> None:
        self.faults[LOST_FILE] += 1
        self.notes.append(note)

    def _add_topics(self) -> None:
        for connection in (c for storage in self._storages for c in storage.connections):
            name, known = connection.topic, self.topics.get(connection.topic)
            encoding = _encoding_of(connection)
            if encoding != CDR:
                self._note(
                    f'{name} is left out, as its messages are encoded as {encoding or "unknown"}, '
                    f'not as in ROS 2 (CDR)'
                )
                continue
            if known and known.length and known.type_name != connection.msgtype:
                types = known.type_name, connection.msgtype
                is_replaced = types[0] not in _READ_TYPES and types[1] in _READ_TYPES
                used, left_out = reversed(types) if is_replaced else types
                self._note(
                    f'{name} is read as {used}, and its messages of type {left_out} are left out: '
                    f'record each type on a topic of its own'
                )
                if not is_replaced:
                    continue
            is_same = known is not None and known.type_name == connection.msgtype
            length = connection.msgcount + (known.length if known and is_same else 0)
            self.topics[name] = Topic(name, connection.msgtype, length, connection)
        if self.notes and not self.topics and any(s.connections for s in self._storages):
            raise BagError(
                f'{self._path} has no topic of ROS 2 ({"; ".join(self.notes)}): record it with '
                f'ros2 bag, or convert it'
            )

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _is_read(self, connection: Connection) -> bool:
        topic = self.topics.get(connection.topic)
        is_typed = topic is not None and topic.type_name == connection.msgtype
        return is_typed and _encoding_of(connection) == CDR

    def _check_message(self, topic: str, time: int, data: bytes) -> Message | None:
        """Return an unpacked message; count a damaged or too large one, and return None."""
        if not 0 <= time < MAX_TIME:
            self.faults[DAMAGED_MESSAGE] += 1
            return None
        try:
            if data[:4] == ZSTD_MAGIC:
                data = unpack_zstd(data, MAX_MESSAGE_BYTES)
        except UnpackingError as error:
            self.faults[TOO_LARGE if error.is_too_large else DAMAGED_MESSAGE] += 1
            return None
        return Message(topic, time, data)


def _encoding_of(connection: Connection) -> str:
    return getattr(connection.ext, 'serialization_format', '')


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
    try:
        if not path.is_dir():
            check_regular(path)
    except OSError as error:
        raise BagError(describe_unreadable(path, error)) from error
    if path.is_dir():
        files = {file.name: file for file in path.iterdir() if is_storage(file)}
        # ROS 2 leaves the unpacked files beside the compressed ones.
        packed = [name for name in files if name.endswith(_COMPRESSED)]
        for name in packed:
            if name.removesuffix(_COMPRESSED) in files:
                del files[name]
        if files:
            return sorted(files.values(), key=by_number)
    elif is_storage(path):
        return [path]
    listed = listed_files(path)
    raise BagError(
        f'{path} is not a rosbag2 bag: it is neither a folder with .mcap or .db3 files nor such a '
        f'file. rosbags-convert converts bags of ROS 1.'
        + (f' {_METADATA} names {", ".join(listed)}, which must be beside it.' if listed else '')
    )


def listed_files(path: Path) -> list[str]:
    """Return the names of the files that the metadata.yaml of a bag's folder has, if there is one.

    Parameters
    ----------
    path : Path
        A folder.
    """
    try:
        content = parse_yaml(read_regular(path / _METADATA, MAX_YAML_BYTES))
        names = content['rosbag2_bagfile_information']['relative_file_paths']
        return [Path(name).name for name in names] if isinstance(names, list) else []
    except (OSError, ValueError, TypeError, KeyError):
        return []


def is_storage(path: Path) -> bool:
    """Return whether a file has the extension of a bag file."""
    return Path(path.name.removesuffix(_COMPRESSED)).suffix in _STORAGES


def by_number(path: Path) -> list[tuple[int, str]]:
    """Return a sort key that compares numbers in names by value: bag_2.mcap before bag_10.mcap."""
    return [(int(part), part) if part.isdecimal() else (0, part)
            for part in re.split(r'(\d+)', path.name)]  # fmt: skip


def _find_missing(path: Path, files: Sequence[Path]) -> list[str]:
    """Return the names of files that metadata.yaml has, but the folder of the bag has not."""
    found = {file.name.removesuffix(_COMPRESSED) for file in files}
    return [name for name in listed_files(path) if name.removesuffix(_COMPRESSED) not in found]


def _open_storage(unpacked: Path, file: Path, faults: Counter[str]) -> Storage:
    """Return the opened storage of an unpacked file."""
    try:
        return _STORAGES[unpacked.suffix](unpacked, faults)
    except PermissionError:
        raise
    except (ValueError, OSError, sqlite3.Error) as error:
        raise BagError(f'{file} cannot be read: {one_line(error)}') from error


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
