"""`hybrik image`: the people in one photo, drawn and as JSON."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from sample import CLIP, read_camera, read_frames

from hybrik_ros.cli import main
from hybrik_ros.cli.pictures import write_picture
from hybrik_ros.media import MediaError
from hybrik_ros.perception.opening import FULL_NOTE
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.rotations import from_quaternion
from hybrik_ros.skeleton import JOINT_NAMES

NAMES = list(JOINT_NAMES[:24])


@pytest.fixture(scope='module')
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A frame of the sample clip, and its calibration beside it."""
    path = tmp_path_factory.mktemp('photo') / 'walk.png'
    cv2.imwrite(str(path), read_frames(90, 1)[0][..., ::-1])
    path.with_suffix('.yaml').write_text(CLIP.with_suffix('.yaml').read_text())
    return path


@pytest.fixture(scope='module')
def printed(photo: Path) -> Iterator[dict]:
    """What the command prints with the calibration, run as people run it."""
    command = [
        *(sys.executable, '-m', 'hybrik_ros.cli', 'image', photo, '-o', photo.with_name('out.png')),
        *('--camera-info', photo.with_suffix('.yaml')),
    ]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    assert 'assumed' not in finished.stderr
    return json.loads(finished.stdout)


def test_the_person_is_that_of_the_pipeline(printed: dict) -> None:
    with Pipeline.create(confirm_after=0.0, smoothing=False) as pipeline:
        [human] = pipeline(read_frames(90, 1)[0], read_camera(), 0.0)
    [person] = printed['people']
    for name in ('joints', 'joint_confidence', 'rotations'):
        assert list(person[name]) == NAMES
    np.testing.assert_allclose(list(person['joints'].values()), human.joints, atol=1e-4)
    rotations = from_quaternion(list(person['rotations'].values()))
    np.testing.assert_allclose(rotations, human.rotations, atol=1e-3)
    np.testing.assert_allclose(person['box'], human.box, atol=1e-3)
    assert person['id'] == human.id
    assert (printed['width'], printed['height']) == (1768, 594)
    np.testing.assert_allclose(printed['camera_matrix'], read_camera().matrix, atol=1e-4)
    assert printed['assumed_field_of_view'] is None


def test_the_person_is_drawn(photo: Path, printed: dict) -> None:
    before, after = cv2.imread(str(photo)), cv2.imread(str(photo.with_name('out.png')))
    assert after.shape == before.shape
    changed = (before != after).any(axis=2)
    left, top, right, bottom = (round(side) for side in printed['people'][0]['box'])
    assert changed[top:bottom, left:right].mean() > 0.3
    assert not changed[:, : left - 100].any()


def test_a_photo_without_people_is_no_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    room = tmp_path / 'room.jpg'
    cv2.imwrite(str(room), np.full((240, 320, 3), 90, np.uint8))
    assert main(['image', str(room), '--field-of-view', '80']) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)['people'] == []
    assert json.loads(said.out)['assumed_field_of_view'] == 80
    assert 'field of view of 80 degrees is assumed' in said.err


def test_all_people_in_a_photo_are_reported(
    printed: dict, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left, top, right, bottom = (round(side) for side in printed['people'][0]['box'])
    margin = 60
    walker = cv2.imread(str(photo))[top - margin : bottom + margin, left - margin : right + margin]
    crowd = photo.with_name('crowd.png')
    cv2.imwrite(str(crowd), np.vstack([np.hstack([walker] * 4)] * 2))
    assert main(['image', str(crowd), '-p', 'max_people:=6']) == 0
    said = capsys.readouterr()
    assert len(json.loads(said.out)['people']) == 8
    assert FULL_NOTE not in said.err
    assert main(['bag', str(crowd), '-o', str(tmp_path / 'bag')]) == 0
    assert FULL_NOTE not in capsys.readouterr().err


@pytest.mark.parametrize('people', [1, 2])
def test_people_beyond_the_maximum_in_a_recording_are_said(
    people: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, output = tmp_path / 'images', str(tmp_path / 'bag')
    images.mkdir()
    for number, frame in enumerate(read_frames(90, 12)):
        walker = np.hstack([frame[60:590, 700:1300, ::-1]] * people)
        cv2.imwrite(str(images / f'{number:02}.png'), walker)
    options = ['--rate', '30', '-p', 'max_people:=1']
    assert main(['bag', str(images), '-o', output, *options]) == 0
    assert (FULL_NOTE in capsys.readouterr().err.splitlines()) == (people > 1)


def test_unusable_files_are_named_before_networks_are_loaded(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Pipeline, 'create', None)  # would be a TypeError
    os.mkfifo(tmp_path / 'pipe.png')
    (tmp_path / 'text.png').write_text('no photo')
    small = tmp_path / 'small.png'
    cv2.imwrite(str(small), np.zeros((48, 64, 3), np.uint8))
    for arguments, complaint in (
        ((tmp_path / 'none.png',), 'does not exist: check'),
        (('https://me:secret@host/a.jpg',), 'https://me:***@host/a.jpg is a URL: download'),
        ((tmp_path,), 'is a folder, not a photo'),
        ((CLIP,), 'is a video, not a photo: process it with hybrik bag'),
        ((tmp_path / 'pipe.png',), 'is not a regular file'),
        ((tmp_path / 'text.png',), 'cannot be decoded'),
        ((photo, '-o', tmp_path / 'out.gif'), 'must end in one of .bmp'),
        ((photo, '-o', tmp_path / 'none' / 'out.png'), 'there is no folder'),
        ((photo, '-o', tmp_path / 'pipe.png'), 'no regular file'),
        ((photo, '-o', photo), 'would be overwritten'),
        ((small, '--camera-info', photo.with_suffix('.yaml')), '1768 x 594'),
        ((photo, '-p', 'detector.sise:=640'), 'did you mean detector.size?'),
    ):
        assert main(['image', *map(str, arguments)]) == 1
        said = capsys.readouterr()
        assert complaint in said.err
        assert said.out == ''


def test_what_is_doubtful_is_said(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibration = yaml.safe_load(photo.with_suffix('.yaml').read_text())
    calibration['camera_matrix']['data'][4] *= 2
    calibration['projection_matrix']['data'][0] = calibration['projection_matrix']['data'][5] = 1234
    doubtful, dark = tmp_path / 'doubtful.yaml', tmp_path / 'dark.png'
    doubtful.write_text(yaml.safe_dump(calibration))
    cv2.imwrite(str(dark), np.full((594, 1768, 3), 5, np.uint8))
    assert main(['image', str(dark), '--camera-info', str(doubtful)]) == 0
    said = capsys.readouterr().err
    assert 'differ by a factor of 2: calibrate' in said
    assert 'nearly black' in said
    rectified = ['--camera-info', str(doubtful), '--intrinsics', 'rectified']
    assert main(['image', str(dark), *rectified]) == 0
    said = capsys.readouterr()
    assert 'factor' not in said.err
    assert json.loads(said.out)['camera_matrix'][0][0] == 1234


@pytest.mark.parametrize(('suffix', 'width'), [('.webp', 17_000), ('.jpg', 70_000)])
def test_a_format_that_has_no_pictures_of_a_size_is_named(
    suffix: str, width: int, tmp_path: Path
) -> None:
    path = tmp_path / f'out{suffix}'
    with pytest.raises(MediaError, match=f'{width} x 8 pixels: choose .png'):
        write_picture(path, np.zeros((8, width, 3), np.uint8))
    assert not path.exists()


@pytest.mark.parametrize('degrees', ['0', '1e-300', '171', 'nan', 'inf'])
def test_a_field_of_view_that_no_lens_has_is_refused(
    degrees: str, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(['image', str(photo), '--field-of-view', degrees])
    assert 'from 1 to 170 degrees' in capsys.readouterr().err
