"""The table of stills, and `hybrik bench perception --stills` on those of one package."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from hybrik_ros.cli import bench, main
from hybrik_ros.cli.bench import stills
from hybrik_ros.cli.bench.packages import NPM, DownloadError, Registry
from hybrik_ros.cli.bench.stills import PACKAGES, Package

ALL = [still for package in PACKAGES for still in package.stills]
[SCENES] = (package for package in PACKAGES if package.name.startswith('scikit-image'))
# Its client is not installed anywhere.
MISSING = Package(Registry(('no-such-client',), '.tgz', NPM.open_files), 'beach', '', (ALL[0],))


def test_names_are_unique() -> None:
    names = Counter(Path(still.member).name for still in ALL)
    assert max(names.values()) == 1  # as their drawings have these names
    assert len({package.name for package in PACKAGES}) == len(PACKAGES)


def test_boxes_have_corners_in_order() -> None:
    for still in ALL:
        for left, top, right, bottom in (*still.people, *still.ignored):
            assert 0 <= left < right, still.member
            assert 0 <= top < bottom, still.member
        assert len(set(still.people)) == len(still.people)


def test_ignored_regions_are_only_beside_people() -> None:
    # Other stills count as empty.
    assert all(still.people for still in ALL if still.ignored)


def test_there_are_stills_with_and_without_people() -> None:
    assert sum(len(still.people) for still in ALL) > 60
    assert sum(not still.people for still in ALL) > 50


@pytest.fixture(scope='module')
def footage(request: pytest.FixtureRequest) -> Path:
    """A folder that stays, with the stills of one package."""
    folder = request.config.cache.mkdir('footage')
    try:
        SCENES.fetch(folder)
    except DownloadError as error:
        pytest.skip(str(error))
    return folder


@pytest.fixture(scope='module')
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('bench')


@pytest.fixture(scope='module')
def figures(footage: Path, output: Path) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        for name in bench.THREADS:
            patch.setenv(name, '1')  # as they are for its child, which is not needed here
        patch.setattr(stills, 'PACKAGES', (MISSING, SCENES))
        arguments = {'--output': output / 'figures.json', '--pictures': output / 'pictures'}
        words = [str(word) for pair in arguments.items() for word in pair]
        assert main(['bench', 'perception', '--stills', '--footage', str(footage), *words]) == 0
    return json.loads((output / 'figures.json').read_text())


def test_boxes_are_inside_the_pictures(footage: Path) -> None:
    for path, still in SCENES.fetch(footage).items():
        height, width = cv2.imread(str(path)).shape[:2]
        for _, _, right, bottom in still.people:
            assert right <= width, path
            assert bottom <= height, path


def test_people_are_counted(figures: dict[str, Any]) -> None:
    rows = figures['stills']
    assert set(rows) == {Path(still.member).name for still in SCENES.stills}
    assert rows['camera.png']['people'] == rows['camera.png']['found'] == 1
    together = figures['with people']
    assert together['people'] == 2
    assert 1 <= together['found'] <= 2
    assert together['duplicate'] == together['between'] == together['false'] == 0
    assert 0 < together['confidence'] <= 1
    assert together['confidence of wrong'] is None


def test_bodies_without_people_are_counted(figures: dict[str, Any]) -> None:
    empty = figures['without people']
    assert empty['pictures'] == len(SCENES.stills) - 2
    bodies = sum(bool(row['false']) for row in figures['stills'].values() if not row['people'])
    assert empty['with bodies'] == bodies
    assert empty['with confident bodies'] <= min(bodies, 2)  # regression bound


def test_packages_that_cannot_be_downloaded_are_left_out(figures: dict[str, Any]) -> None:
    [reason] = figures['left out']
    for word in ('left out: 1', 'beach', 'no-such-client'):
        assert word in reason


def test_people_and_boxes_are_drawn(figures: dict[str, Any], footage: Path, output: Path) -> None:
    for path, still in SCENES.fetch(footage).items():
        before = cv2.imread(str(path)).astype(int)
        after = cv2.imread(str(output / 'pictures' / path.name)).astype(int)
        assert after.shape == before.shape
        for left, top, _, bottom in still.people:
            middle = (top + bottom) // 2
            edge = np.abs(after - before)[middle, max(left - 2, 0) : left + 3]
            assert edge.max() > 20, path


@pytest.mark.parametrize('damaged', [False, True])
def test_it_fails_if_there_is_no_still_or_a_damaged_one(
    damaged: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {**dict.fromkeys(bench.THREADS, '1'), 'COLUMNS': '1000'}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(stills, 'PACKAGES', (MISSING,))
    path = tmp_path / 'stills' / MISSING.name / MISSING.stills[0].member
    if damaged:
        path.parent.mkdir(parents=True)
        path.write_bytes(b'no picture')
    figures = tmp_path / 'figures.json'
    words = ['--footage', str(tmp_path), '--output', str(figures)]
    assert main(['bench', 'perception', '--stills', *words]) == 1
    told = capsys.readouterr().out
    if damaged:
        assert str(path) in told
        assert 'remove it' in told
    else:
        assert 'no-such-client is not installed' in told
    assert not figures.exists()
