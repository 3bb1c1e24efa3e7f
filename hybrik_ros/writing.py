"""Error messages for files that cannot be written."""

import errno
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
