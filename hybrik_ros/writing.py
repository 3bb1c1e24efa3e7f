"""Files that cannot be written: what the user hears of it."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_REASONS = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR,
    errno.ENOENT, errno.EEXIST,
)  # fmt: skip


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Have errors tell what cannot be written: that of a full disk names no file.

    Raises
    ------
    OSError: it cannot be written there.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _REASONS:
            raise
        reason = f'{error.strerror}: it cannot be written there, choose another output'
        raise OSError(error.errno, reason, str(path)) from error
