"""Lines that commands print without rich: names in them come from files, and may hold anything."""

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from hybrik_ros.advice import one_line
from hybrik_ros.cli.options import given_name
from hybrik_ros.printable import printable


class ArgumentParser(argparse.ArgumentParser):
    """A parser whose errors show arguments safely: shells expand patterns to names of files.

    Arguments of the type Path must not be empty: that would be the current folder.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register('type', Path, lambda text: Path(given_name(text)))

    def error(self, message: str) -> NoReturn:
        """Print an error and exit."""
        super().error(printable(message))


def prepare_streams() -> None:
    """Escape characters that the terminal's encoding does not have, instead of failing.

    Closed streams are connected to nothing. Otherwise the next file that is opened would get their
    number, and with it what libraries print.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # of streams that a program put in their place
            stream.reconfigure(errors='backslashreplace')  # type: ignore[union-attr]


def flush_output() -> bool:
    """Write what is buffered; return whether the reader of the output took it."""
    try:
        if sys.stdout is not None:  # of a process that was started without
            sys.stdout.flush()
    except OSError:  # A pipe was closed, or a disk is full.
        # Otherwise Python tries again at its end, and prints the error.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


def say(text: str) -> None:
    """Print a line on stdout."""
    print(printable(text))


def fail(command: str, reason: BaseException | str) -> int:
    """Print the reason for which a command failed on stderr.

    Parameters
    ----------
    command : str
        The command, such as 'hybrik bag'.
    reason : exception or str
        The reason.

    Returns
    -------
    int
        The exit status 1.
    """
    text = reason if isinstance(reason, str) else one_line(reason)
    print(f'{command}: {printable(text)}', file=sys.stderr)
    return 1
