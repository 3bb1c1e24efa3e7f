"""Inputs and outputs that are pipes, devices, links or missing, and odd names: said in one line."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from test_motion import walk, write_people

from hybrik_ros.cli import main
from hybrik_ros.cli.bag import recordings_in


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a photo, a bag of people and odd paths, which is the current one."""
    monkeypatch.chdir(tmp_path)
    write_people(tmp_path / 'people', [[human] for human in walk(1)])
    cv2.imwrite('photo.png', np.full((48, 64, 3), 90, np.uint8))
    for suffix in ('', '.mcap', '.npz', '.bvh', '.png'):
        os.mkfifo(f'pipe{suffix}')
    Path('loop').symlink_to('loop')
    Path('link').symlink_to('nothing')
    Path('file').touch()
    return tmp_path


@pytest.mark.parametrize(
    ('line', 'words'),
    [
        ('motion nothing.mcap -o a.npz', 'nothing.mcap does not exist'),
        ('motion pipe.mcap -o a.npz', 'pipe.mcap is not a regular file, but a pipe'),
        ('compare pipe.mcap pipe.mcap', 'pipe.mcap is not a regular file, but a pipe'),
        ('compare loop loop', 'loop cannot be read: Too many levels of symbolic links'),
        ('bag pipe.mcap -o out', 'pipe.mcap is not a regular file, but a pipe'),
        ('bag loop -o out', 'loop cannot be read: Too many levels of symbolic links'),
        ('bag photo.png -o link', 'link exists and was not made by `hybrik bag`'),
        ('bag photo.png -o loop', 'loop exists and was not made by `hybrik bag`'),
        ('image pipe', 'pipe is not a regular file, but a pipe'),
        ('image photo.png -o pipe.png', 'pipe.png cannot be written'),
        ('image two__spaces.png', 'two  spaces.png does not exist'),
        ('motion people -o pipe.bvh', 'pipe.bvh is neither a file nor a folder'),
        ('motion people -o photo.png/a.bvh', 'the output cannot be written, choose another output'),
        ('motion people -o loop/a.bvh', 'the output cannot be written, choose another output'),
        ('motion people -o a.bvh --body pipe.npz', 'pipe.npz is not a regular file, but a pipe'),
        ('compare people people --plot pipe.png', 'pipe.png is neither a file nor a folder'),
        (
            'compare people people --plot loop',
            'the output cannot be written, choose another output',
        ),
        (
            'compare people people --plot people',
            'the output cannot be written, choose another output',
        ),
    ],
)
def test_a_path_that_is_no_file_is_named(
    here: Path, line: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.lstat().st_mode for path in here.rglob('*')}
    assert main([word.replace('__', '  ') for word in line.split()]) == 1
    [said] = capsys.readouterr().err.splitlines()
    assert words in said
    assert {path: path.lstat().st_mode for path in here.rglob('*')} == before


@pytest.mark.parametrize('is_absolute', [False, True])
@pytest.mark.parametrize(
    ('pattern', 'expected'),
    [
        ('**/*.mp4', {'a.mp4', 'day/b.mp4'}),
        ('**', {'a.mp4', 'day/b.mp4'}),
        ('day/**', {'day/b.mp4'}),
        ('d*/*.mp4', {'day/b.mp4'}),
        ('day/../*.mp4', {'day/../a.mp4'}),
        ('.cache/*', {'.cache/c.mp4'}),
        ('self/*.mp4', {'self/a.mp4'}),
    ],
)
def test_patterns_follow_no_links_in_circles(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pattern: str,
    expected: set[str],
    is_absolute: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ('a.mp4', 'day/b.mp4', '.cache/c.mp4', 'notes.txt'):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    for name in ('self', 'here'):
        Path(name).symlink_to('.')
    root = tmp_path if is_absolute else Path()
    assert recordings_in([str(root / pattern)]) == (sorted(root / name for name in expected), True)
