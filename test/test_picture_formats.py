"""Pictures of other formats, and other files beside photos: each is named with what to do."""

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from sample import CLIP

from hybrik_ros.cli import main
from hybrik_ros.cli.bag import recordings_in
from hybrik_ros.media import MediaError
from hybrik_ros.media.open_media import open_media
from hybrik_ros.media.photo import picture_format, read_photo
from hybrik_ros.media.video_file import VideoFile
from hybrik_ros.recordings.checks import check_recording
from hybrik_ros.recordings.recording import Recording, RecordingError
from hybrik_ros.recordings.sources import open_source

SCENE = np.full((48, 64, 3), 90, np.uint8)
JPEG, TIFF = (cv2.imencode(suffix, SCENE)[1].tobytes() for suffix in ('.jpg', '.tif'))
HEIC = b'\0\0\0\x18ftypheic\0\0\0\0mif1heic' + bytes(100)


def save(path: Path, count: int = 1) -> Path:
    """Write a picture, or several in one file, with Pillow."""
    image = pytest.importorskip('PIL.Image')
    if path.suffix not in image.registered_extensions():
        pytest.skip(f'this Pillow does not write {path.suffix}')
    first, *others = (image.fromarray(SCENE + 20 * number) for number in range(count))
    first.save(path, **({'save_all': True, 'append_images': others} if others else {}))
    return path


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('a.avif', 'AVIF'),
        ('a.bmp', 'BMP'),
        ('a.gif', 'GIF'),
        ('a.jp2', 'JPEG 2000'),
        ('a.jpg', 'JPEG'),
        ('a.png', 'PNG'),
        ('a.tif', 'TIFF'),
        ('a.webp', 'WebP'),
    ],
)
def test_formats_are_told_by_content_and_by_name(name: str, expected: str, tmp_path: Path) -> None:
    path = save(tmp_path / name)
    assert picture_format(path) == expected
    assert picture_format(path.rename(tmp_path / 'without suffix')) == expected
    (tmp_path / name).write_text('text')
    assert picture_format(tmp_path / name) == expected


@pytest.mark.parametrize(
    ('name', 'content', 'expected'),
    [
        ('a.heic', HEIC, 'HEIC'),
        ('a.jpg', HEIC, 'HEIC'),
        ('a.HEIC', JPEG, 'JPEG'),  # as some phones name what they convert
        ('a.nef', TIFF, 'camera RAW'),
        ('a.CR3', HEIC.replace(b'heic', b'crx '), 'camera RAW'),
        ('a', b'II*\0\x10\0\0\0CR\2\0' + bytes(20), 'camera RAW'),
        ('a.tif', b'II+\0\b\0\0\0' + bytes(20), 'BigTIFF'),
        ('a', b'RIFF0000WAVE' + bytes(20), ''),
        ('a.mp4', b'\0\0\0\x20ftypisom' + bytes(20), ''),
    ],
)
def test_what_a_file_shows_counts_more_than_its_name(
    name: str, content: bytes, expected: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    assert picture_format(tmp_path / name) == expected


@pytest.mark.parametrize(
    ('name', 'content', 'words'),
    [
        ('a.heic', HEIC, 'the format HEIC is not supported.* heif-convert'),
        ('a.jpg', HEIC, 'the format HEIC is not supported.* heif-convert'),
        ('a', HEIC, 'the format HEIC is not supported.* heif-convert'),
        ('a.dng', TIFF, 'the format camera RAW is not supported.* darktable-cli'),
        ('a.svg', b'<svg/>', 'the format SVG is not supported.* convert IN OUT.png'),
        ('a.png', b'', 'a.png is empty'),
        ('a.mp4', b'', 'a.mp4 is empty'),
    ],
)
def test_a_file_alone_is_named_before_networks_are_loaded(
    name: str, content: bytes, words: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for read in (lambda: open_media(str(path)), lambda: open_source(Recording(path))):
        with pytest.raises(MediaError, match=f'{path} .*{words}|{words}'):
            read()


def test_a_gif_alone_is_a_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(tmp_path / 'a.gif', 3)
    assert isinstance(open_media(str(path)), VideoFile)
    with open_source(Recording(path)) as source:
        assert len([step for step in source.steps() if step.picture is not None]) == 3
    assert main(['image', str(path)]) == 1
    assert 'the format GIF is not supported' in capsys.readouterr().err


@pytest.mark.parametrize('suffix', ['png', 'webp'])
def test_an_animation_is_no_photo(suffix: str, tmp_path: Path) -> None:
    assert read_photo(save(tmp_path / f'one.{suffix}')).shape == SCENE.shape
    with pytest.raises(MediaError, match=r'two\..* is an animation, not a single picture'):
        read_photo(save(tmp_path / f'two.{suffix}', 2))


def test_a_png_that_says_it_has_one_picture_is_read(tmp_path: Path) -> None:
    png = cv2.imencode('.png', SCENE)[1].tobytes()
    control = b'acTL' + struct.pack('>2I', 1, 0)
    chunk = struct.pack('>I', 8) + control + struct.pack('>I', zlib.crc32(control))
    (tmp_path / 'one.png').write_bytes(png[:33] + chunk + png[33:])
    assert read_photo(tmp_path / 'one.png').shape == SCENE.shape


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photos, and other files beside them."""
    path = tmp_path / 'folder'
    path.mkdir()
    for number in range(3):
        (path / f'{number}.jpg').write_bytes(JPEG)
    for name, content in (
        ('0.heic', HEIC), ('1.jpeg', HEIC), ('1.NEF', TIFF), ('2.gif', b'GIF89a'), ('2', JPEG),
        ('notes.txt', b'text'), ('2.jpg.json', b'{}'),
    ):  # fmt: skip
        (path / name).write_bytes(content)
    (path / 'clip.mp4').symlink_to(CLIP)
    (path / 'album').mkdir()
    (path / 'album' / '0.jpg').write_bytes(JPEG)
    (path / 'empty').mkdir()
    return path


def test_what_is_beside_photos_costs_itself_only_and_is_named(folder: Path) -> None:
    with open_source(Recording(folder, rate=10)) as source:
        stamps = [step.picture.time for step in source.steps() if step.picture is not None]
        notes = source.notes
    np.testing.assert_array_equal(np.diff(stamps), 10**8)
    assert len(stamps) == 3
    left_out = [note for note in notes if note.startswith('left out: ')]
    for note, words in zip(
        left_out,
        (
            '0.heic, 1.jpeg cannot be read, as the format HEIC',
            '1.NEF cannot be read, as the format camera RAW',
            '2.gif cannot be read, as the format GIF',
            'pictures without a suffix such as .jpg (2): rename them',
            'videos, bags and folders beside the photos (album, clip.mp4)',
        ),
        strict=True,
    ):
        assert words in note
    found = [(each.found, each.advice) for each in check_recording(folder)]
    assert all(any(note == ': '.join(each) for each in found) for note in left_out)


def test_a_folder_without_a_readable_photo_is_named(tmp_path: Path) -> None:
    for name in ('a.heic', 'b.heic'):
        (tmp_path / name).write_bytes(HEIC)
    assert recordings_in([str(tmp_path)]) == ([tmp_path], False)
    with pytest.raises(RecordingError, match=r'neither a bag nor images.*a.heic, b.heic.*HEIC'):
        open_source(Recording(tmp_path))


def test_pictures_of_other_formats_do_not_hide_videos(tmp_path: Path) -> None:
    (tmp_path / 'IMG_1.HEIC').write_bytes(HEIC)
    clip = tmp_path / 'IMG_1.MOV'
    clip.symlink_to(CLIP)
    (tmp_path / 'album').mkdir()
    (tmp_path / 'album' / 'a.heic').write_bytes(HEIC)
    assert recordings_in([str(tmp_path)]) == ([tmp_path, clip, tmp_path / 'album'], True)


def test_links_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    (tmp_path / 'loop').symlink_to(tmp_path / 'loop')
    (tmp_path / 'photo.jpg').symlink_to('nothing')
    for name, words in (('loop', 'Too many levels'), ('photo.jpg', 'is a link to nothing')):
        [path], _ = recordings_in([str(tmp_path / name)])
        with pytest.raises(RecordingError, match=words):
            open_source(Recording(path))
        with pytest.raises(MediaError, match=words):
            open_media(str(path))


@pytest.mark.skipif(os.geteuid() == 0, reason='root may read everything')
def test_a_file_without_permission_is_named(tmp_path: Path) -> None:
    path = tmp_path / 'photo.jpg'
    path.write_bytes(JPEG)
    path.chmod(0)
    with pytest.raises(MediaError, match='Permission denied'):
        open_source(Recording(path))
