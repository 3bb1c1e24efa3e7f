"""pip's resolver finds ready-made builds of the run-time requirements wherever we promise them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from interpreters import find_python
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def resolve(
    machine: str, python: str, *arguments: str, interpreter: str = sys.executable
) -> dict[str, str]:
    """Resolve requirements.txt for a Linux of 2022 (glibc 2.35); return versions by name.

    Markers, and what packages state of the Python they require, are those of the interpreter.
    """
    tags = ['manylinux2014', *(f'manylinux_2_{minor}' for minor in range(17, 36))]
    command = [
        *(interpreter, '-m', 'pip', 'install', '--dry-run', '--quiet', '--ignore-installed'),
        *('--report', '-', '--target', '/nowhere', '--only-binary', ':all:'),
        *('--implementation', 'cp', '--python-version', python),
        *(f'--platform={tag}_{machine}' for tag in tags),
        *('--requirement', str(ROOT / 'requirements.txt')),
        *arguments,
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    packages = [entry['metadata'] for entry in json.loads(result.stdout)['install']]
    return {package['name']: package['version'] for package in packages}


@pytest.mark.parametrize('machine', ['x86_64', 'aarch64'])
@pytest.mark.parametrize(('python', 'numpy'), [('3.10', '1.21'), ('3.12', '1.26')])
def test_ubuntu_keeps_its_numpy(machine: str, python: str, numpy: str) -> None:
    interpreter = str(find_python(python))
    versions = resolve(machine, python, f'numpy =={numpy}.*', interpreter=interpreter)
    assert versions['numpy'].startswith(f'{numpy}.')


@pytest.mark.parametrize('python', ['3.10', '3.11', '3.12', '3.13'])
def test_pinned_versions_agree_with_the_ranges(python: str, tmp_path: Path) -> None:
    lines = (ROOT / 'constraints.txt').read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith('#')]
    # Chosen here, since pip evaluates markers for the Python that it runs on.
    pins = [
        pin for pin in pins if not pin.marker or pin.marker.evaluate({'python_version': python})
    ]
    constraints = tmp_path / 'constraints.txt'
    constraints.write_text('\n'.join(f'{pin.name} {pin.specifier}' for pin in pins))
    versions = resolve('x86_64', python, '--constraint', str(constraints))
    assert {canonicalize_name(name) for name in versions} <= {pin.name for pin in pins}
