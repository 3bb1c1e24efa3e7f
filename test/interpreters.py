"""Pythons of other versions than the one that runs the tests."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


def find_python(version: str) -> Path:
    """Return an interpreter of a version such as '3.10'.

    Where there is none, continuous integration fails; elsewhere the test is skipped.
    """
    for path in _candidates(version):
        # A name on PATH may be a shim that does not run.
        if subprocess.run([path, '-c', ''], capture_output=True).returncode == 0:
            return path
    reason = f'there is no Python {version}: install it, for example by pyenv install {version}'
    if 'CI' in os.environ:
        pytest.fail(reason)
    pytest.skip(reason)


def _candidates(version: str) -> Iterator[Path]:
    found = shutil.which(f'python{version}')
    if found:
        yield Path(found)
    pyenv = Path(os.environ.get('PYENV_ROOT', '~/.pyenv')).expanduser()
    yield from sorted(pyenv.glob(f'versions/{version}.*/bin/python{version}'))
