"""Cache of TensorRT engines on disk.

An engine takes minutes to build and is valid for one model, GPU, driver and version of TensorRT. It
is executable code: an engine is loaded only from a folder that no other user can write to, and only
if its hash is that of the engine that was built.
"""

import fcntl
import hashlib
import json
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TypeVar

from hybrik_ros.limits import MAX_ENGINE_BYTES, MAX_SIDECAR_BYTES
from hybrik_ros.untrusted import create_record, open_regular, parse_json

_LOGGER = logging.getLogger(__name__)
_FOLDER_HINT = 'or set XDG_CACHE_HOME to a folder that only you can write to'

Engine = TypeVar('Engine')


class CacheError(RuntimeError):
    """The cache cannot be used; the message gives the reason and the remedy."""


class UnusableError(Exception):
    """An engine does not exist, or must not be loaded; the message gives the reason."""


@dataclass(frozen=True)
class EngineKey:
    """Everything that an engine depends on.

    Attributes
    ----------
    model : str
        SHA-256 of the ONNX file.
    tensorrt : str
        Version of TensorRT.
    cuda : str
        Maximum CUDA version that the driver supports.
    gpu, compute_capability : str
        Name and architecture of the GPU.
    precision : str
        'fp32' or 'fp16'.
    batch : str
        Supported batch sizes, if the batch dimension of the model is dynamic.
    side : int
        Side of the images in pixels, if the image dimensions of the model are dynamic.
    flags : str
        Other builder flags.
    schema : int
        Version of the format of the cache's files.
    """

    model: str
    tensorrt: str
    cuda: str
    gpu: str
    compute_capability: str
    precision: str
    batch: str
    side: int
    flags: str
    schema: int = 2

    @property
    def digest(self) -> str:
        """SHA-256 of all fields, hexadecimal: the stem of the engine's file names."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def differences(self, other: 'EngineKey') -> list[str]:
        """Return the fields in which another key differs, as text."""
        return [
            'another model file' if field.name == 'model' else f'{field.name} {there}, not {here}'
            for field in fields(self)
            if (here := getattr(self, field.name)) != (there := getattr(other, field.name))
        ]


@dataclass(frozen=True)
class Entry:
    """The content of a sidecar file, which describes the engine beside it.

    Attributes
    ----------
    name : str
        Name of the model's file.
    key : EngineKey
        Key of the engine.
    plan : str
        SHA-256 of the engine's file.
    """

    name: str
    key: EngineKey
    plan: str

    @classmethod
    def read(cls, path: Path) -> 'Entry':
        """Read a sidecar.

        Parameters
        ----------
        path : Path
            The .json file.

        Returns
        -------
        Entry
            Its content.

        Raises
        ------
        OSError
            The file cannot be read.
        UnusableError
            Another user can write to the file.
        ValueError
            The file is damaged.
        """
        try:
            content = parse_json(_read_private(path, MAX_SIDECAR_BYTES))
            key = create_record(EngineKey, content['key'])
            return cls(str(content['name']), key, str(content['plan']))
        except (KeyError, TypeError) as error:
            raise ValueError(f'{path.name} is not a sidecar of an engine: {error}') from error


class EngineCache:
    """A private folder of engines.

    It has two files for each engine: the plan, which is TensorRT's serialised engine, and a JSON
    sidecar with the key and the hash of the plan. An unusable engine is renamed to ``*.refused``
    when it is replaced.

    Parameters
    ----------
    folder : Path, optional
        Created if missing; `default_folder()` by default.

    Raises
    ------
    CacheError
        Another user can write to the folder, or it cannot be created.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = default_folder() if folder is None else folder
        if not self.folder.is_absolute():
            raise CacheError(
                f'the folder for engines, {self.folder}, is not absolute: set HOME, {_FOLDER_HINT}'
            )
        try:
            _make_private(self.folder)
        except OSError as error:
            raise CacheError(
                f'the folder for engines cannot be created ({error}): correct this, {_FOLDER_HINT}'
            ) from error

    def load(
        self,
        key: EngineKey,
        name: str,
        build: Callable[[], bytes],
        deserialise: Callable[[bytes], Engine],
    ) -> Engine:
        """Load an engine; build it first if there is no usable one.

        Other processes and threads that load the same engine wait until it is built.

        Parameters
        ----------
        key : EngineKey
            Key of the engine.
        name : str
            Name of the model's file, for messages.
        build : callable
            Returns the plan.
        deserialise : callable
            Returns the engine of a plan; raises UnusableError if TensorRT refuses the plan.

        Returns
        -------
        Engine
            The engine that `deserialise` returned.

        Raises
        ------
        CacheError
            The engine cannot be stored, or the new engine cannot be loaded.
        """
        with self._locked(key, name):
            try:
                return self._open(key, name, deserialise)
            except UnusableError as fault:
                _LOGGER.warning(
                    'building the %s engine of %s for this GPU, which may take minutes: %s',
                    key.precision, name, fault,
                )  # fmt: skip
            self._write(key, name, build())
            try:
                return self._open(key, name, deserialise)
            except UnusableError as fault:
                raise CacheError(f'the new engine of {name} cannot be loaded: {fault}') from fault

    def check(self, entry: Entry, deserialise: Callable[[bytes], object]) -> None:
        """Check that an engine can be loaded, without replacing it.

        Parameters
        ----------
        entry : Entry
            The engine.
        deserialise : callable
            As for `load`.

        Raises
        ------
        UnusableError
            The engine is damaged or cannot be loaded.
        """
        with self._locked(entry.key, entry.name):
            self._try(entry.key, deserialise)

    def read(self, key: EngineKey) -> bytes:
        """Return a plan after checking that it was built for this key and is not damaged.

        Parameters
        ----------
        key : EngineKey
            Key of the engine.

        Returns
        -------
        bytes
            The plan.

        Raises
        ------
        UnusableError
            There is no plan, a check failed, or the last process that loaded it crashed.
        """
        if self._path(key, '.loading').exists():
            raise UnusableError('the last process that loaded this engine crashed')
        try:
            plan = _read_private(self._path(key, '.plan'), MAX_ENGINE_BYTES)
            entry = Entry.read(self._path(key, '.json'))
        except (OSError, ValueError) as error:
            raise UnusableError(str(error)) from error
        if differences := key.differences(entry.key):
            raise UnusableError(f'it was built for {"; ".join(differences)}')
        if hashlib.sha256(plan).hexdigest() != entry.plan:
            raise UnusableError('it is damaged: its hash differs from that in its sidecar')
        return plan

    def entries(self) -> list[Entry]:
        """Return the readable entries, in order of last use, oldest first."""
        found = []
        for path in self.folder.glob('*.json'):
            with suppress(OSError, ValueError, UnusableError):
                found.append((path.stat().st_mtime, path.name, self._entry(path.stem)))
        return [entry for _, _, entry in sorted(found, key=lambda item: item[:2])]

    def find_unusable(self) -> list[tuple[Path, str]]:
        """Return the files that are not valid entries, each with the reason."""
        files = [*self.folder.glob('*.plan'), *self.folder.glob('*.json')]
        found = []
        for name in sorted({file.stem for file in files}):
            try:
                self._entry(name)
            except (OSError, ValueError, UnusableError) as error:
                found.append((self.folder / f'{name}.plan', str(error)))
        return found

    def _entry(self, name: str) -> Entry:
        """Return the entry of files with this stem; raise the errors of Entry.read."""
        entry = Entry.read(self.folder / f'{name}.json')
        if entry.key.digest != name:
            raise ValueError('its name is that of another engine')
        return entry

    def size(self, key: EngineKey) -> int:
        """Return the size of a plan in bytes; 0 if there is none."""
        path = self._path(key, '.plan')
        return path.lstat().st_size if os.path.lexists(path) else 0

    def _path(self, key: EngineKey, suffix: str) -> Path:
        return self.folder / f'{key.digest}{suffix}'

    @contextmanager
    def _locked(self, key: EngineKey, name: str) -> Iterator[None]:
        """Lock an engine against other processes; the system releases the lock after a crash."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        path = self._path(key, '.lock')
        try:
            lock = os.open(path, flags, 0o600)
        except OSError as error:
            raise CacheError(
                f'{path} cannot be opened ({error.strerror}): remove it or make room, '
                f'{_FOLDER_HINT}'
            ) from error
        with open(lock, 'w') as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _LOGGER.warning('waiting for another process that builds the engine of %s', name)
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _open(self, key: EngineKey, name: str, deserialise: Callable[[bytes], Engine]) -> Engine:
        """Return the cached engine; rename its files to *.refused if it is unusable."""
        if not os.path.lexists(self._path(key, '.plan')):
            raise UnusableError(self._explain_missing(key, name))
        try:
            engine = self._try(key, deserialise)
        except UnusableError as fault:
            self._path(key, '.loading').unlink(missing_ok=True)
            aside = self._path(key, '.plan.refused')
            for suffix in ('.plan', '.json'):
                with suppress(FileNotFoundError):
                    os.replace(self._path(key, suffix), self._path(key, f'{suffix}.refused'))
            raise UnusableError(f'{fault} (moved to {aside})') from fault
        now = time.time_ns()  # File system timestamps are too coarse to order two loads.
        with suppress(OSError):
            os.utime(self._path(key, '.json'), ns=(now, now))
        return engine

    def _try(self, key: EngineKey, deserialise: Callable[[bytes], Engine]) -> Engine:
        """Read and deserialise a plan, with a marker file that remains after a crash."""
        plan = self.read(key)
        marker = self._path(key, '.loading')
        # Some versions of TensorRT crash on an invalid plan instead of refusing it.
        with suppress(OSError):  # A full disk does not prevent loading.
            marker.touch()
        try:
            return deserialise(plan)
        finally:
            marker.unlink(missing_ok=True)

    def _explain_missing(self, key: EngineKey, name: str) -> str:
        """Return why no cached engine of this model matches the key."""
        differences = [key.differences(entry.key) for entry in self.entries() if entry.name == name]
        if not differences:
            return 'there is none yet'
        fewest: list[str] = min(differences, key=len)
        return f'the nearest one was built for {"; ".join(fewest)}'

    def _write(self, key: EngineKey, name: str, plan: bytes) -> None:
        """Write plan and sidecar; after an interruption, their hashes match or are refused."""
        sidecar = {'name': name, 'key': asdict(key), 'plan': hashlib.sha256(plan).hexdigest()}
        try:
            _write_atomically(self._path(key, '.plan'), plan)
            _write_atomically(self._path(key, '.json'), json.dumps(sidecar, indent=2).encode())
        except OSError as error:
            raise CacheError(
                f'an engine of {len(plan) / 1e6:.1f} MB cannot be written to {self.folder} '
                f'({error.strerror}): make room there, {_FOLDER_HINT}'
            ) from error


def default_folder() -> Path:
    """Return the default folder of engines: hybrik_ros/engines in the user's cache folder."""
    cache = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    # Without a home folder, the path remains relative, and EngineCache refuses it.
    return Path(os.path.expanduser(cache)) / 'hybrik_ros' / 'engines'


def _make_private(folder: Path) -> None:
    """Create a folder with mode 0700, or check that no other user can write to it.

    Raises
    ------
    CacheError
        Another user can write to it.
    OSError
        It cannot be created.
    """
    for path in reversed([folder, *folder.parents]):
        if not os.path.lexists(path):
            path.mkdir(0o700)
    if folder.is_symlink():
        raise CacheError(f'{folder} is a symbolic link: replace it by a folder, {_FOLDER_HINT}')
    status = folder.stat()
    if status.st_uid != os.geteuid():
        raise CacheError(f'{folder} belongs to another user: remove it, {_FOLDER_HINT}')
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise CacheError(f'{folder} is accessible to other users: chmod 700 it, {_FOLDER_HINT}')
    # A user with write access to a parent folder could replace this one.
    for path in folder.resolve().parents:
        status = path.stat()
        sticky = status.st_mode & stat.S_ISVTX
        if status.st_uid not in (0, os.geteuid()) or (status.st_mode & 0o022 and not sticky):
            raise CacheError(
                f'other users can write to {path}, which contains the engines: chmod go-w it if it '
                f'is yours, {_FOLDER_HINT}'
            )


def _read_private(path: Path, max_bytes: int) -> bytes:
    """Read a file that no other user can write to, and that is not larger than a maximum.

    Raises
    ------
    UnusableError
        Another user can write to it.
    OSError
        It cannot be read.
    ValueError
        It is larger.
    """
    if path.is_symlink():
        raise UnusableError(f'{path.name} is a symbolic link')
    with open_regular(path) as file:
        status = os.fstat(file.fileno())
        if status.st_uid != os.geteuid():
            raise UnusableError(f'{path.name} belongs to another user')
        if status.st_mode & 0o022:
            raise UnusableError(f'other users can write to {path.name}')
        if status.st_size > max_bytes:
            raise ValueError(f'{path.name} has more than the maximum of {max_bytes} bytes')
        return file.read(max_bytes)


def _write_atomically(path: Path, content: bytes) -> None:
    """Write a file completely, or raise OSError and leave no file."""
    part = path.with_name(f'{path.name}.part')
    part.unlink(missing_ok=True)  # left by an interrupted process
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with open(os.open(part, flags, 0o600), 'wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
