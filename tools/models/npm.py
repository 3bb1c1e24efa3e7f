"""Download of files in npm packages."""

import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path


def read_package(package: str, members: Sequence[str]) -> list[bytes]:
    """Download a package with npm, which verifies its checksum, and read files of it.

    Parameters
    ----------
    package : str
        Name and version, as in 'left-pad@1.3.0'.
    members : sequence of str
        Paths inside the package.

    Returns
    -------
    list of bytes
        Content of each file.

    Raises
    ------
    subprocess.CalledProcessError
        npm cannot download the package.
    KeyError
        A file is not in the package.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = ['npm', 'pack', '--silent', '--pack-destination', folder, package]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (tarball,) = Path(folder).glob('*.tgz')
        with tarfile.open(tarball) as archive:
            return [_read(archive, f'package/{member}') for member in members]


def _read(archive: tarfile.TarFile, member: str) -> bytes:
    file = archive.extractfile(member)
    if file is None:
        raise KeyError(f'{member} is not a file')
    return file.read()
