"""Outputs of commands: complete or not there, never in the place of an input."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from test_motion import BODY, walk, write_people

from hybrik_ros.body.model import DEFAULT_BODY
from hybrik_ros.camera import Camera
from hybrik_ros.cli import main
from hybrik_ros.cli.pictures import write_overlay_video, write_picture
from hybrik_ros.human import Human
from hybrik_ros.media import MediaError
from hybrik_ros.writing import write_file


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file grow beyond some bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / 'a.png'
    path.write_text('old')
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    with full_disk(), pytest.raises(OSError, match=rf"choose another output: '{path}'"):
        write_picture(path, noise)
    assert [each.name for each in tmp_path.iterdir()] == ['a.png']
    assert path.read_text() == 'old'
    write_picture(path, noise)
    assert path.read_bytes().startswith(b'\x89PNG')


def test_a_video_without_its_end_is_named_and_removed(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (20, 480, 640, 3), np.uint8)
    camera = Camera.from_field_of_view(60, 640, 480)
    frames: dict[int, list[Human]] = {number: [] for number in range(20)}

    def write(path: Path) -> list[int]:
        return list(write_overlay_video(enumerate(noise), frames, BODY, camera, path, 30.0))

    assert write(tmp_path / 'whole.webm') == list(range(20))
    with full_disk(), pytest.raises(MediaError, match='free some space'):
        write(tmp_path / 'cut.webm')
    assert [path.name for path in tmp_path.iterdir()] == ['whole.webm']


def test_files_are_written_through_links_and_pipes_stay(tmp_path: Path) -> None:
    link = tmp_path / 'link'
    link.symlink_to(tmp_path / 'file')
    write_file(link, b'content')
    assert link.is_symlink()
    assert (tmp_path / 'file').read_bytes() == b'content'
    circle = tmp_path / 'circle'
    circle.symlink_to(circle)
    pipe = tmp_path / 'pipe'
    os.mkfifo(pipe)
    for path in (pipe, circle, tmp_path):
        with pytest.raises(OSError, match='choose another output'):
            write_file(path, b'content')
    assert pipe.is_fifo()
    assert circle.is_symlink()
    assert {path.name for path in tmp_path.iterdir()} == {'link', 'file', 'circle', 'pipe'}


def test_no_input_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = str(write_people(tmp_path / 'bag', [[human] for human in walk(1, 3)]))
    [file] = Path(bag).glob('*.mcap')
    content = file.read_bytes()
    assert main(['compare', bag, bag, '--plot', str(file)]) == 1
    assert f'{file} would be overwritten: choose another output' in capsys.readouterr().err
    assert file.read_bytes() == content
    body = tmp_path / 'default.npz'
    body.write_bytes(DEFAULT_BODY.read_bytes())
    assert main(['motion', bag, '--body', str(body), '-o', str(body)]) == 1
    assert f'{body} would be overwritten: choose another output' in capsys.readouterr().err
    assert body.read_bytes() == DEFAULT_BODY.read_bytes()


def test_a_number_of_subscribers_below_zero_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(['video', '--subscribers', '-1'])
    assert '--subscribers: must not be below 0, but is -1' in capsys.readouterr().err


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.JPG', '.webp', '.bmp', '.jfif'])
def test_pictures_are_written_without_warnings_of_opencv(tmp_path, capfd, suffix):
    path = tmp_path / f'picture{suffix}'
    write_picture(path, np.full((8, 8, 3), 90, np.uint8))
    assert np.abs(cv2.imread(str(path)).astype(int) - 90).max() <= 2
    assert capfd.readouterr().err == ''
