"""TensorRT's engines, kept from one start to the next.

An engine takes minutes to build and fits one model, GPU, driver and version of TensorRT. It is
executable code: none is loaded from where anybody else can write, or that is not bit by bit what
was built.
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

_LOGGER = logging.getLogger(__name__)
_ELSEWHERE = 'or set XDG_CACHE_HOME to a folder that is yours alone'

Engine = TypeVar('Engine')


class CacheError(RuntimeError):
    """The cache cannot be used; the message says why and what to do."""


class UnusableError(Exception):
    """An engine is not there, or must not be loaded; the message says why."""


@dataclass(frozen=True)
class EngineKey:
    """All that decides whether an engine can be used.

    Attributes
    ----------
    model: SHA-256 of the ONNX file.
    tensorrt: version of TensorRT.
    cuda: version of CUDA that the driver runs.
    gpu, compute_capability: name and architecture of the GPU.
    precision: 'fp32' or 'fp16'.
    batch: the numbers of images that it takes, where the model leaves that open.
    side: of the images, pixels, where the model leaves that open.
    flags: what else the builder was told.
    schema: version of this cache's files.
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
        """SHA-256 over all of it, hexadecimal: the name of the engine's files."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def differences(self, other: 'EngineKey') -> list[str]:
        """Return what another key has instead, in words."""
        return [
            'another model file' if field.name == 'model' else f'{field.name} {there}, not {here}'
            for field in fields(self)
            if (here := getattr(self, field.name)) != (there := getattr(other, field.name))
        ]


@dataclass(frozen=True)
class Entry:
    """What a sidecar says of the engine beside it.

    Attributes
    ----------
    name: of the model's file.
    key: of the engine.
    plan: SHA-256 of the engine's file.
    """

    name: str
    key: EngineKey
    plan: str

    @classmethod
    def read(cls, path: Path) -> 'Entry':
        """Read a sidecar. Raises OSError, UnusableError or, where it is damaged, ValueError."""
        try:
            content = json.loads(_read_private(path))
            return cls(str(content['name']), EngineKey(**content['key']), str(content['plan']))
        except (KeyError, TypeError) as error:
            raise ValueError(f'{path.name} is no sidecar of an engine: {error}') from error


class EngineCache:
    """A folder of engines that is the user's alone.

    Of each engine it holds the plan, as TensorRT calls the file, and a sidecar in JSON with key
    and hash; of one that had to be replaced, for whoever wants to know why, the same as *.refused.

    Parameters
    ----------
    folder: created where it is missing; by default hybrik_ros/engines in the user's cache folder.

    Raises
    ------
    CacheError: somebody else can write to it, or it cannot be created.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = default_folder() if folder is None else folder
        try:
            _make_private(self.folder)
        except OSError as error:
            raise CacheError(f'no folder for engines can be had: {error}; {_ELSEWHERE}') from error

    def load(
        self,
        key: EngineKey,
        name: str,
        build: Callable[[], bytes],
        deserialise: Callable[[bytes], Engine],
    ) -> Engine:
        """Return an engine, built anew, once, where there is none that can be used.

        Other processes and threads that want the same engine wait meanwhile.

        Parameters
        ----------
        key: of the engine.
        name: of the model's file, for people.
        build: returns the plan.
        deserialise: makes an engine of a plan; raises UnusableError where the plan is none for it.

        Raises
        ------
        CacheError: the engine cannot be kept, or cannot be loaded even when new.
        """
        with self._locked(key, name):
            try:
                return self._open(key, name, deserialise)
            except UnusableError as fault:
                _LOGGER.warning(
                    'building an engine of %s, %s, for this GPU, which may take minutes: %s',
                    name, key.precision, fault,
                )  # fmt: skip
            self._write(key, name, build())
            try:
                return self._open(key, name, deserialise)
            except UnusableError as fault:
                raise CacheError(f'the new engine of {name} cannot be loaded: {fault}') from fault

    def check(self, entry: Entry, deserialise: Callable[[bytes], object]) -> None:
        """Load an engine once, to see whether it can be, and leave it as it is.

        Raises
        ------
        UnusableError: it is not what was built, or it cannot be loaded.
        """
        with self._locked(entry.key, entry.name):
            self._try(entry.key, deserialise)

    def read(self, key: EngineKey) -> bytes:
        """Return a plan, once it has been made sure that it is what was built for this key.

        Raises
        ------
        UnusableError: it is not, there is none, or who loaded it last died of it.
        """
        if self._path(key, '.loading').exists():
            raise UnusableError('the process that loaded it last died of it')
        try:
            plan = _read_private(self._path(key, '.plan'))
            entry = Entry.read(self._path(key, '.json'))
        except (OSError, ValueError) as error:
            raise UnusableError(str(error)) from error
        if differences := key.differences(entry.key):
            raise UnusableError(f'it was built for {"; ".join(differences)}')
        if hashlib.sha256(plan).hexdigest() != entry.plan:
            raise UnusableError('it is damaged: its hash is not that of what was built')
        return plan

    def entries(self) -> list[Entry]:
        """Return what is in the cache, the last used last, without what cannot be read."""
        found = []
        for path in self.folder.glob('*.json'):
            with suppress(OSError, ValueError, UnusableError):
                found.append((path.stat().st_mtime, path.name, self._entry(path.stem)))
        return [entry for _, _, entry in sorted(found, key=lambda item: item[:2])]

    def strays(self) -> list[tuple[Path, str]]:
        """Return what is in the cache and is no entry, and why."""
        files = [*self.folder.glob('*.plan'), *self.folder.glob('*.json')]
        found = []
        for name in sorted({file.stem for file in files}):
            try:
                self._entry(name)
            except (OSError, ValueError, UnusableError) as error:
                found.append((self.folder / f'{name}.plan', str(error)))
        return found

    def _entry(self, name: str) -> Entry:
        """Return the entry whose files bear a name. Raises what Entry.read does."""
        entry = Entry.read(self.folder / f'{name}.json')
        if entry.key.digest != name:
            raise ValueError('it has the name of another engine')
        return entry

    def size(self, key: EngineKey) -> int:
        """Return the size of a plan in bytes; 0 where there is none."""
        path = self._path(key, '.plan')
        return path.lstat().st_size if os.path.lexists(path) else 0

    def _path(self, key: EngineKey, suffix: str) -> Path:
        return self.folder / f'{key.digest}{suffix}'

    @contextmanager
    def _locked(self, key: EngineKey, name: str) -> Iterator[None]:
        """Keep all others from an engine; the lock of a process that dies is released."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        path = self._path(key, '.lock')
        try:
            lock = os.open(path, flags, 0o600)
        except OSError as error:
            raise CacheError(
                f'{path} cannot be had: {error.strerror}. Remove it or make room, {_ELSEWHERE}'
            ) from error
        with open(lock, 'w') as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _LOGGER.warning('waiting for somebody else who builds the engine of %s', name)
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _open(self, key: EngineKey, name: str, deserialise: Callable[[bytes], Engine]) -> Engine:
        """Return the engine that is there; move it aside where it cannot be used."""
        if not os.path.lexists(self._path(key, '.plan')):
            raise UnusableError(self._why_none(key, name))
        try:
            engine = self._try(key, deserialise)
        except UnusableError as fault:
            self._path(key, '.loading').unlink(missing_ok=True)
            aside = self._path(key, '.plan.refused')
            for suffix in ('.plan', '.json'):
                with suppress(FileNotFoundError):
                    os.replace(self._path(key, suffix), self._path(key, f'{suffix}.refused'))
            raise UnusableError(f'{fault} (moved to {aside})') from fault
        now = time.time_ns()  # The system's own stamps are too coarse to tell two loads apart.
        with suppress(OSError):
            os.utime(self._path(key, '.json'), ns=(now, now))
        return engine

    def _try(self, key: EngineKey, deserialise: Callable[[bytes], Engine]) -> Engine:
        plan = self.read(key)
        mark = self._path(key, '.loading')
        # Some versions of TensorRT do not refuse a plan, but die of it: the mark survives that.
        with suppress(OSError):  # A full disk is no reason not to load.
            mark.touch()
        try:
            return deserialise(plan)
        finally:
            mark.unlink(missing_ok=True)

    def _why_none(self, key: EngineKey, name: str) -> str:
        """Say what of an engine of this model that is in the cache does not fit."""
        differences = [key.differences(entry.key) for entry in self.entries() if entry.name == name]
        if not differences:
            return 'there is none yet'
        fewest: list[str] = min(differences, key=len)
        return f'the nearest one was built for {"; ".join(fewest)}'

    def _write(self, key: EngineKey, name: str, plan: bytes) -> None:
        """Keep a plan. Wherever this is interrupted, what is there is whole or does not match."""
        sidecar = {'name': name, 'key': asdict(key), 'plan': hashlib.sha256(plan).hexdigest()}
        try:
            _write_atomically(self._path(key, '.plan'), plan)
            _write_atomically(self._path(key, '.json'), json.dumps(sidecar, indent=2).encode())
        except OSError as error:
            raise CacheError(
                f'an engine of {len(plan) / 1e6:.1f} MB cannot be kept in {self.folder}: '
                f'{error.strerror}. Make room there, {_ELSEWHERE}'
            ) from error


def default_folder() -> Path:
    """Return the folder in the user's cache in which engines are kept."""
    cache = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    return Path(cache).expanduser() / 'hybrik_ros' / 'engines'


def _make_private(folder: Path) -> None:
    """Create a folder of mode 0700, or make sure that nobody else can change what is in it.

    Raises
    ------
    CacheError: somebody can.
    OSError: it cannot be created.
    """
    for path in reversed([folder, *folder.parents]):
        if not os.path.lexists(path):
            path.mkdir(0o700)
    if folder.is_symlink():
        raise CacheError(f'{folder} is a symbolic link: make it a folder, {_ELSEWHERE}')
    status = folder.stat()
    if status.st_uid != os.geteuid():
        raise CacheError(f'{folder} belongs to another user: remove it, {_ELSEWHERE}')
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise CacheError(f'{folder} is open to other users: chmod 700 it, {_ELSEWHERE}')
    # Whoever can rename a folder above it can put another in its place.
    for path in folder.resolve().parents:
        status = path.stat()
        sticky = status.st_mode & stat.S_ISVTX
        if status.st_uid not in (0, os.geteuid()) or (status.st_mode & 0o022 and not sticky):
            raise CacheError(
                f'other users can change {path}, in which the engines are: chmod go-w it if it is '
                f'yours, {_ELSEWHERE}'
            )


def _read_private(path: Path) -> bytes:
    """Read a file that nobody else can have written.

    Raises
    ------
    UnusableError: somebody can have.
    OSError: it cannot be read.
    """
    if path.is_symlink():
        raise UnusableError(f'{path.name} is a symbolic link')
    with path.open('rb') as file:
        status = os.fstat(file.fileno())
        if status.st_uid != os.geteuid():
            raise UnusableError(f'{path.name} belongs to another user')
        if status.st_mode & 0o022:
            raise UnusableError(f'other users can change {path.name}')
        return file.read()


def _write_atomically(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all. Raises OSError, and then leaves nothing behind."""
    part = path.with_name(f'{path.name}.part')
    part.unlink(missing_ok=True)  # of somebody who was interrupted
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
