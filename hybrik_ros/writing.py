"""Writing of files: complete ones or none, no input is overwritten, errors name the remedy."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Errors for which another output path is the remedy.
_OUTPUT_ERRORS = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR,
    errno.ENOENT, errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG,
)  # fmt: skip


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name the output path and the remedy in errors: the error of a full disk names no file.

    Parameters
    ----------
    path : Path
        The output that is written in the context.

    Raises
    ------
    OSError
        The output cannot be written, or is a pipe or a device.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise OSError(f'{path} is neither a file nor a folder: choose another output')
        yield
    except OSError as error:
        if error.errno not in _OUTPUT_ERRORS:
            raise
        reason = f'{error.strerror}: the output cannot be written, choose another output'
        raise OSError(error.errno, reason, str(path)) from error


def write_file(path: Path, content: bytes) -> None:
    """Write a file. An existing one is replaced once the new one is complete.

    Parameters
    ----------
    path : Path
        Path of the file.
    content : bytes
        What to write.

    Raises
    ------
    OSError
        The file cannot be written, or is a pipe or a device.
    """
    target = Path(os.path.realpath(path))
    with writing(path):
        if target.is_symlink():  # Links in a circle remain.
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        part = target.parent / f'.{target.name}.part'
        try:
            part.write_bytes(content)
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)


def check_not_overwritten(output: Path, *inputs: Path | None) -> None:
    """Raise an OSError if writing an output would replace one of these inputs, or a file in one."""
    real = Path(os.path.realpath(output))
    for path in inputs:
        if path is None or not real.is_file():
            continue
        source = Path(os.path.realpath(path))
        if source == real or source in real.parents:
            raise OSError(f'{output} would be overwritten: choose another output')
