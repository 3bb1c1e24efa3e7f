"""A colcon workspace: a copy of the source, and colcon in an environment of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def copy_source(target: Path) -> None:
    """Copy the source tree without what was built in it."""
    not_source = shutil.ignore_patterns('.*', '__pycache__', '_generated', 'build', '*_output')
    shutil.copytree(ROOT, target, ignore=not_source)


def install_colcon(folder: Path) -> Path:
    """Install colcon into a virtual environment and return the path of its executable."""
    subprocess.run([sys.executable, '-m', 'venv', folder], check=True)
    pip = [folder / 'bin/python', '-m', 'pip', 'install', '--quiet']
    constraints = ['--constraint', ROOT / 'constraints.txt']
    subprocess.run([*pip, *constraints, 'colcon-common-extensions'], check=True)
    return folder / 'bin/colcon'
