"""Photos, videos and cameras: pixels upright, true times, and what cannot be read is named."""

import base64
import math
import os
import re
import shutil
import struct
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import NamedTemporaryFile

import cv2
import numpy as np
import pytest
from matroska import write_matroska
from sample import CLIP, read_frames

from hybrik_ros.bags.reader import by_number
from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Camera
from hybrik_ros.cli.pictures import write_overlay_video
from hybrik_ros.media import MediaError, retrieval
from hybrik_ros.media.frame_times import FrameClock
from hybrik_ros.media.live_camera import CameraOptions, LiveCamera
from hybrik_ros.media.open_media import open_media
from hybrik_ros.media.photo import PhotoError, picture_format, read_photo
from hybrik_ros.media.record import record_camera
from hybrik_ros.media.video_file import StillPicture, VideoFile
from hybrik_ros.recordings.recording import Recording, fingerprint
from hybrik_ros.recordings.similarity import are_unrelated
from hybrik_ros.recordings.sources import open_source

# 64 x 64 pixels, three frames, AV1 in Matroska.
AV1 = (
    'eNqTcr2/eLFTWyOj03cg/tTI4vS5kcOpqSM3saQovzg70akdKNTayCQR3JDOyAACTN6CvrNLDuxvMfvnme+7uzt4'
    'dYuo58q04DWNCyE8sZB12UDeR9/dPUCeUMjh9OA1TYwJEK5M8G6gZBOT/huIaQzBDNQHIPec3t+i9VNpltb1jc38'
    'Tg6+Db0+iWVpZkZ6hkBkYBTuiMovXjLBzECq8EvLpnXKvC0XfOV6X7l0djhEQswD+ejV/pZ9KXet1kGdHX29kbH4'
    'aIdi0sLG2eU7Z81pZFDaOqe5NC+lo5GhrTUs3jHMsLmRUflxcwvjnwWhD7o2NDrsanQI2dTIEvqukQHmeSYGhuRF'
    'ExoZeBi4uEDc9f8b4hk4QEF2b3/L9Ha1S8XFC5IPNKSfmOW6uN3Vz9nfxTXIpR3N6cWbkg90JyPckn5ioeviDpfQ'
    'IMcQT38/l/bJBgZWYARUDQUM8s7bSp/vb/kzWSXueSPD4oWNDAwNMCf0xhtwGPELMDxr0t2a2szAwMHY7XVw8YZG'
    'BkUGI1ENJgaVSZ6yH5g0JroYMDAcYGAQzxUwEjZgYuFUYbB+APYSD4PEg9qGxe2NDM4MUowdoCifvr9F+lVGzO7+'
    'zY0M27uASe1jE+PhD42cAJpJyok='
)
GREY = [np.full((48, 64, 3), 20 * number, np.uint8) for number in range(12)]


# Times


@pytest.mark.parametrize(
    ('positions', 'expected', 'estimated'),
    [
        ([5.0, 5.1, 5.3, 9.3], [0, 0.1, 0.3, 4.3], 0),
        ([0, 0.1, 0.1, 0.3], [0, 0.1, 0.2, 0.3], 1),  # the same twice
        ([0, 0.2, 0.1, 0.3], [0, 0.05, 0.1, 0.3], 1),  # out of order
        ([0, 0.1, 1e9, 0.3], [0, 0.1, 0.2, 0.3], 1),  # damaged
        ([0, 0.1, math.nan, 0.3], [0, 0.1, 0.2, 0.3], 1),
        ([0, 0.1, 0, 0.1, 0.2], [0, 0.1, 0.14, 0.24, 0.34], 1),  # joined of two files
        ([7, 7, 7, 7], [0, 0.04, 0.08, 0.12], 3),  # none
        ([math.nan] * 3, [0, 0.04, 0.08], 3),
        ([0, 3e6, 6e6], [0, 0.04, 0.08], 2),  # no video lasts for months
    ],
)
def test_times_are_those_of_the_container_where_they_rise(
    positions: list[float], expected: list[float], estimated: int
) -> None:
    clock = FrameClock(0.04)
    found = [clock.advance(*pair) for pair in zip(positions, [*positions[1:], None], strict=True)]
    np.testing.assert_allclose([each.seconds for each in found], expected, atol=1e-9)
    assert [each.is_measured for each in found].count(False) == estimated


@pytest.mark.parametrize(
    ('times', 'seconds'),
    [
        ([0, 30, 71, 99, 140, 165, 203, 240, 260, 300, 340, 370], 0.0),  # a browser's
        ([0, 30, 71, 99, 140, 165, 203, 240, 260, 300, 340, 370], 0.5),  # with sound, say
        ([0, 33, 67, 100, 200, 300, 400, 500, 600, 800, 900, 1900], 1.9),  # a phone in the dark
        ([500, 533, 567, 600, 700, 800, 900, 1000, 1100, 1300, 1400, 9000], 60.0),
        ([7000 + 40 * number for number in range(12)], 7.48),  # a part of a recording
    ],
)
def test_times_of_videos_with_a_variable_rate_are_their_own(
    tmp_path: Path, times: list[int], seconds: float
) -> None:
    video = VideoFile(str(write_matroska(tmp_path / 'a.webm', GREY, times, seconds)))
    frames = list(video.frames())
    expected = (np.array(times) - times[0]) / 1e3
    np.testing.assert_allclose([frame.seconds for frame in frames], expected, atol=1e-6)
    np.testing.assert_allclose([f.period for f in frames[:-1]], np.diff(expected), atol=1e-6)
    assert (video.is_cut_off, video.estimated) == (False, 0)
    assert [round(float(f.bgr.mean() / 20)) for f in frames] == list(range(12))
    assert [frame.seconds for frame in video.frames()] == [frame.seconds for frame in frames]


def test_videos_without_times_have_their_nominal_rate(tmp_path: Path) -> None:
    video = VideoFile(str(write_matroska(tmp_path / 'a.mkv', GREY, [0] * 12)))
    np.testing.assert_allclose([f.seconds for f in video.frames()], np.arange(12) / video.rate)
    assert 1 < video.rate < 120  # not the 1000 ticks per second of the container
    assert video.estimated == 11


def write_avi(path: Path, frames: Sequence[np.ndarray], rate: float = 25.0) -> Path:
    height, width = frames[0].shape[:2]
    code = cv2.VideoWriter.fourcc(*'MJPG')
    writer = cv2.VideoWriter(str(path), code, rate, (width, height))
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def test_the_missing_end_of_a_video_is_found(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3), np.uint8)
    whole = write_avi(tmp_path / 'whole.avi', noise)
    cut = tmp_path / 'cut.avi'
    content = whole.read_bytes()
    cut.write_bytes(content[: len(content) * 6 // 10])
    for path, is_cut_off in ((whole, False), (cut, True)):
        video = VideoFile(str(path))
        assert len(list(video.frames())) <= video.length == 40
        assert video.is_cut_off == is_cut_off


@pytest.mark.parametrize('broken', [{0}, {0, 1}, {4}, {3, 4, 5}, {0, 5, 10}])
@pytest.mark.parametrize('seconds', [0.0, 0.48])
def test_a_broken_frame_costs_that_frame(tmp_path: Path, broken: set[int], seconds: float) -> None:
    pictures = [b'garbage' if n in broken else grey for n, grey in enumerate(GREY)]
    times = [40 * number for number in range(12)]
    video = VideoFile(str(write_matroska(tmp_path / 'a.mkv', pictures, times, seconds)))
    for frames in (list(video.frames()), list(video.frames())):
        assert {n for n, frame in enumerate(frames) if frame.bgr is None} == broken
        np.testing.assert_allclose([f.seconds for f in frames], np.array(times) / 1e3, atol=1e-6)
        assert (video.broken, video.estimated, video.is_cut_off) == (len(broken), 0, False)
    assert (video.count(), video.is_still) == (12 - len(broken), False)


def test_times_around_a_broken_frame_are_those_of_a_variable_rate(tmp_path: Path) -> None:
    pictures = [*GREY[:2], b'garbage', *GREY[3:5]]
    times = [0, 30, 130, 530, 550]
    video = VideoFile(str(write_matroska(tmp_path / 'a.mkv', pictures, times)))
    found = [frame.seconds for frame in video.frames()]
    np.testing.assert_allclose(found, [0, 0.03, 0.28, 0.53, 0.55], atol=1e-6)


@pytest.mark.parametrize('share', [1.0, 0.6])
def test_a_broken_frame_and_a_missing_end_are_told_apart(tmp_path: Path, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3), np.uint8)
    content = write_avi(tmp_path / 'a.avi', noise).read_bytes()
    start = [found.start() for found in re.finditer(b'00dc....\xff\xd8', content, re.DOTALL)][5] + 8
    size = int.from_bytes(content[start - 4 : start], 'little')
    content = content[:start] + bytes(size) + content[start + size :]
    (tmp_path / 'a.avi').write_bytes(content[: int(share * len(content))])
    video = VideoFile(str(tmp_path / 'a.avi'))
    assert [n for n, frame in enumerate(video.frames()) if frame.bgr is None] == [5]
    assert video.is_cut_off == (share < 1)


def test_a_video_of_broken_frames_is_given_up(tmp_path: Path) -> None:
    pictures = [b'garbage'] * 1000 + GREY
    clip = write_matroska(tmp_path / 'a.mkv', pictures, range(0, 40 * len(pictures), 40))
    with pytest.raises(MediaError, match=r'codec MJPG.*convert it'):
        VideoFile(str(clip))


def test_a_codec_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    screen = tmp_path / 'screen.mkv'
    screen.write_bytes(zlib.decompress(base64.b64decode(AV1)))
    with pytest.raises(MediaError, match=r'codec AV01.*convert it'):
        VideoFile(str(screen))


def test_what_is_no_video_is_said(tmp_path: Path) -> None:
    (tmp_path / 'text.mp4').write_text('no video')
    os.mkfifo(tmp_path / 'pipe.mp4')
    for name, reason in (('none.mp4', 'does not exist'), ('text.mp4', 'OpenCV can read'),
                         ('pipe.mp4', 'but a pipe'), ('', 'but a folder')):  # fmt: skip
        with pytest.raises(MediaError, match=reason):
            open_media(str(tmp_path / name))


# Photos


SCENE = np.zeros((48, 80, 3), np.uint8)  # RGB
SCENE[:24, :40], SCENE[:24, 40:], SCENE[24:, :40] = (250, 20, 20), (20, 250, 20), (20, 20, 250)


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'webp', 'tif'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_photos_are_turned_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    Image = pytest.importorskip('PIL.Image')  # noqa: N806
    ops = pytest.importorskip('PIL.ImageOps')
    path = tmp_path / f'photo.{suffix}'
    # What a camera stores is turned by the inverse: 6 and 8 are each other's, others their own.
    inverse, exif = Image.Exif(), Image.Exif()
    inverse[0x112] = {6: 8, 8: 6}.get(orientation, orientation)
    exif[0x112] = orientation
    turned = tmp_path / 'inverse.png'
    Image.fromarray(SCENE).save(turned, exif=inverse)
    stored = ops.exif_transpose(Image.open(turned))
    stored.info.clear()
    options = {'tiffinfo': {0x112: orientation}} if suffix == 'tif' else {'exif': exif}
    stored.save(path, quality=95, **options)
    found = read_photo(path)[..., ::-1]
    assert found.shape == SCENE.shape
    assert np.abs(found.astype(int) - SCENE).mean() < 8


def test_photos_without_or_with_damaged_metadata_are_left_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / 'photo.jpg'
    jpeg = cv2.imencode('.jpg', SCENE, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    directory = struct.pack('>HHHIHH', 1, 0x112, 3, 1, 99, 0)
    for exif in (b'', b'Exif\0\0', b'Exif\0\0MM\0*\xff\xff\xff\xff',
                 b'Exif\0\0MM\0*' + struct.pack('>I', 8) + directory):  # fmt: skip
        segment = b'\xff\xe1' + struct.pack('>H', 2 + len(exif)) + exif
        path.write_bytes(jpeg[:2] + segment + jpeg[2:])
        assert np.abs(read_photo(path).astype(int) - SCENE).mean() < 8


def test_photos_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe.png')
    (tmp_path / 'folder.png').mkdir()
    (tmp_path / 'link.png').symlink_to(tmp_path / 'nothing')
    (tmp_path / 'loop.png').symlink_to(tmp_path / 'loop.png')
    (tmp_path / 'text.png').write_text('no photo')
    (tmp_path / 'empty.jpg').touch()
    png = cv2.imencode('.png', SCENE)[1].tobytes()
    huge = bytearray(png)
    struct.pack_into('>2I', huge, 16, 60000, 60000)
    (tmp_path / 'huge.png').write_bytes(huge)
    tiff = bytearray(cv2.imencode('.tif', SCENE)[1].tobytes())
    (start,) = struct.unpack_from('<I', tiff, 4)
    for entry in range(start + 2, start + 26, 12):  # width and height come first
        struct.pack_into(
            '<2H2I', tiff, entry, struct.unpack_from('<H', tiff, entry)[0], 4, 1, 60000
        )
    (tmp_path / 'huge.tif').write_bytes(tiff)
    (tmp_path / 'other.png').write_bytes(b'P5 4 2 255 ' + bytes(8))
    names = (
        'pipe.png', 'folder.png', 'link.png', 'loop.png', 'text.png', 'empty.jpg', 'none.png',
        'other.png',
    )  # fmt: skip
    for name in names:
        with pytest.raises(PhotoError, match=name):
            read_photo(tmp_path / name)
    for name in ('huge.png', 'huge.tif'):
        with pytest.raises(PhotoError, match='60000 x 60000 pixels, more than'):
            read_photo(tmp_path / name)


def write_folder(path: Path, frames: Sequence[np.ndarray]) -> list[Path]:
    path.mkdir()
    files = [path / f'{number:03d}.jpg' for number in range(len(frames))]
    for file, frame in zip(files, frames, strict=True):
        cv2.imwrite(str(file), frame[..., ::-1])
    return files


def test_photos_are_told_from_the_frames_of_a_video(tmp_path: Path) -> None:
    frames = [cv2.resize(frame, (442, 148)) for frame in read_frames(0, 145)]
    video = write_folder(tmp_path / 'video', frames[30:60])
    assert not are_unrelated(video)
    assert are_unrelated(video[:5])
    assert are_unrelated(write_folder(tmp_path / 'seldom', frames[::14]))
    crops = [frame[:50] if number % 2 else frame for number, frame in enumerate(frames[:12])]
    assert are_unrelated(write_folder(tmp_path / 'sizes', crops))


def test_photos_of_few_bits_are_told_from_the_frames_of_a_video(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    for number in range(12):  # of 10 bits in 16
        coarse = noise.integers(0, 1023, (6, 8), np.uint16)
        picture = cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(tmp_path / f'{number:03d}.png'), picture)
    assert are_unrelated(sorted(tmp_path.iterdir()))


# Cameras and the network


class Stream(BaseHTTPRequestHandler):
    """A network camera: an endless stream of JPEG images at 20 Hz."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header('Content-Type', 'multipart/x-mixed-replace; boundary=image')
        self.end_headers()
        try:
            for number in range(10**6):
                jpeg = cv2.imencode('.jpg', GREY[number % 12])[1].tobytes()
                head = f'--image\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n'
                self.wfile.write(head.encode() + jpeg + b'\r\n')
                time.sleep(0.05)
        except OSError:  # The viewer left.
            return

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serve(handler: object) -> Iterator[str]:
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f'http://127.0.0.1:{server.server_port}'
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_network_cameras_are_live_and_can_be_recorded(tmp_path: Path) -> None:
    with serve(Stream) as url:
        camera = open_media(f'{url}/stream')
        assert isinstance(camera, LiveCamera)
        assert camera.size == (64, 48)
        seen: list[float] = []
        record_camera(camera, tmp_path / 'clip.avi', 1.0, seen.append)
        camera.close()
    clip = VideoFile(str(tmp_path / 'clip.avi'))
    frames = list(clip.frames())
    assert len(frames) == len(seen) > 5
    # Its length is what it took, whatever rate the stream claims.
    assert frames[-1].seconds == pytest.approx(seen[-1], rel=0.05)


def test_videos_on_the_network_have_an_end_and_their_times(tmp_path: Path) -> None:
    write_avi(tmp_path / 'clip.avi', GREY)
    with serve(partial(Files, directory=str(tmp_path))) as url:
        video = open_media(f'{url}/clip.avi')
        assert isinstance(video, VideoFile)
        np.testing.assert_allclose([f.seconds for f in video.frames()], np.arange(12) / 25)
        with pytest.raises(MediaError, match='cannot be opened'):
            open_media(f'{url}/none.avi')


def test_a_server_without_ranges_is_no_fault_of_the_codec(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (10, 480, 640, 3), np.uint8)
    writer = cv2.VideoWriter(
        str(tmp_path / 'clip.mp4'), cv2.VideoWriter.fourcc(*'mp4v'), 25, (640, 480)
    )
    for frame in noise:
        writer.write(frame)
    writer.release()
    assert len(list(VideoFile(str(tmp_path / 'clip.mp4')).frames())) == 10
    reason = 'the server may not support ranges, or .*; download the file first'
    with (
        serve(partial(Files, directory=str(tmp_path))) as url,
        pytest.raises(MediaError, match=f'^{url}/clip.mp4 is a video of which no .*: {reason}'),
    ):
        open_media(f'{url}/clip.mp4')


def test_passwords_are_not_shown() -> None:
    with pytest.raises(MediaError, match=r'the stream rtsp://me:\*\*\*@127.0.0.1:9/ cannot be'):
        open_media('rtsp://me:secret@127.0.0.1:9/')


@pytest.mark.parametrize(
    ('name', 'reason'),
    [
        ('97', r'there is no /dev/video97; plug it in.*found: '),
        ('1' * 5000, 'plug it in'),
        ('/dev/video98', 'there is no /dev/video98'),
        ('/dev/null', '/dev/null is not a camera; choose another one'),
    ],
)
def test_a_device_that_is_not_a_camera_is_named(name: str, reason: str) -> None:
    with pytest.raises(MediaError, match=f'cannot be opened: .*{reason}'):
        open_media(name)


def test_files_in_shared_memory_are_no_cameras() -> None:
    with NamedTemporaryFile(dir='/dev/shm', suffix='.png') as file:
        file.write(cv2.imencode('.png', SCENE)[1].tobytes())
        file.flush()
        assert isinstance(open_media(file.name), StillPicture)


class Webcam:
    """Stands in for OpenCV's capture: no test machine has a camera. It knows 640 x 480 only."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, float]] = []

    def open(self, _: int) -> bool:
        return True

    def set(self, key: int, value: float) -> bool:
        self.asked.append((key, value))
        return True

    def get(self, key: int) -> float:
        return {cv2.CAP_PROP_FRAME_WIDTH: 640, cv2.CAP_PROP_FRAME_HEIGHT: 480}.get(key, 30.0)


def test_cameras_are_asked_for_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, 'VideoCapture', Webcam)
    camera = open_media('0', CameraOptions((1280, 720), 30.0, True))
    jpeg = cv2.VideoWriter.fourcc(*'MJPG')
    # The format first: the sizes depend on it.
    assert camera._capture.asked == [
        (cv2.CAP_PROP_FOURCC, jpeg), (cv2.CAP_PROP_FRAME_WIDTH, 1280),
        (cv2.CAP_PROP_FRAME_HEIGHT, 720), (cv2.CAP_PROP_FPS, 30.0),
    ]  # fmt: skip
    refused = list(camera.refused())
    assert len(refused) == 2
    assert refused[0] == '--size 1280x720: it sends 640 x 480 pixels'
    assert open_media('0')._capture.asked == []


def test_options_of_cameras_are_refused_for_files(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match='are for those only'):
        open_media(str(CLIP), CameraOptions(rate=30.0))
    cv2.imwrite(str(tmp_path / 'photo.png'), SCENE)
    photo = open_media(str(tmp_path / 'photo.png'))
    assert isinstance(photo, StillPicture)
    [frame] = photo.frames()
    assert np.array_equal(frame.bgr, SCENE)
    assert photo.size == (80, 48)


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.webp', '.bmp', '.tiff'])
@pytest.mark.parametrize('name', ['photo', 'photo.jfif', 'photo.dat', 'photo.mp4'])
def test_pictures_are_told_by_their_content(tmp_path: Path, suffix: str, name: str) -> None:
    _, data = cv2.imencode(suffix, SCENE)
    path = tmp_path / name
    path.write_bytes(data.tobytes())
    assert picture_format(path)
    assert isinstance(open_media(str(path)), StillPicture)
    with open_source(Recording(path)) as source:
        assert source.are_photos
        assert [step.picture.rgb.shape for step in source.steps()] == [SCENE.shape]


@pytest.mark.parametrize('data', [b'', b'BM', b'BM of a text that is long enough', b'RIFF0000AVI '])
def test_other_contents_are_no_pictures(tmp_path: Path, data: bytes) -> None:
    (tmp_path / 'file').write_bytes(data)
    assert not picture_format(tmp_path / 'file')
    assert not picture_format(CLIP)
    assert not picture_format(tmp_path)
    os.mkfifo(tmp_path / 'pipe')
    assert not picture_format(tmp_path / 'pipe')


@pytest.mark.parametrize('name', [b'\xff\xfe.mp4', b'\xe4/clip.mp4', b'no suffix \x80'])
def test_names_that_opencv_cannot_open_are_refused(tmp_path: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b'/' + name))
    path.parent.mkdir(exist_ok=True)
    shutil.copy(CLIP, path)
    for refuse in (open_media, VideoFile, LiveCamera):
        with pytest.raises(MediaError, match='not UTF-8, rename it') as caught:
            refuse(str(path))
        str(caught.value).encode()
    with pytest.raises(ValueError, match='not UTF-8, rename it'):
        open_source(Recording(path))
    camera, overlay = Camera.from_field_of_view(60, 80, 48), path.with_suffix('.webm')
    with pytest.raises(MediaError, match='not UTF-8, rename it'):
        next(write_overlay_video([], {}, BodyModel.load(), camera, overlay, 30.0))


# Limits


def write_gif(path: Path, width: int, height: int) -> Path:
    """Write a video of this size the frames of which have one pixel."""
    frame = (
        b'\x21\xf9\x04\0\x0a\0\0\0\x2c' + struct.pack('<4HB', 0, 0, 1, 1, 0) + b'\x02\x02\x44\x01\0'
    )
    head = b'GIF89a' + struct.pack('<2H3B', width, height, 0x80, 0, 0) + b'\0\0\0\xff\xff\xff'
    path.write_bytes(head + 3 * frame + b';')
    return path


def test_videos_larger_than_their_limit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match='16000 x 16000 pixels, more than the maximum'):
        VideoFile(str(write_gif(tmp_path / 'large.gif', 16000, 16000)))
    assert len(list(VideoFile(str(write_gif(tmp_path / 'small.gif', 64, 48))).frames())) == 3


def test_a_frame_larger_than_the_limit_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = VideoFile(str(write_gif(tmp_path / 'a.gif', 64, 48)))
    monkeypatch.setattr(retrieval, 'MAX_VIDEO_PIXELS', 64 * 48 - 1)  # It grew after the header.
    assert [frame.bgr for frame in video.frames()] == [None] * 3


def test_a_photo_without_content_is_not_read_beyond_its_limit(tmp_path: Path) -> None:
    with (tmp_path / 'a.jpg').open('wb') as file:
        file.truncate(2**40)
    with pytest.raises(PhotoError, match='more than the maximum'):
        read_photo(tmp_path / 'a.jpg')


def test_links_to_themselves_are_no_cameras(tmp_path: Path) -> None:
    (tmp_path / 'loop').symlink_to(tmp_path / 'loop')
    with pytest.raises(MediaError, match='cannot be opened'):
        open_media(f'/dev/..{tmp_path}/loop')


def test_names_of_files_are_ordered_whatever_their_digits() -> None:
    names = ['10.png', '2.png', '1\u00b22.png', '1\u00b2.png']  # with a superscript
    ordered = [path.name for path in sorted(map(Path, names), key=by_number)]
    assert ordered.index('2.png') < ordered.index('10.png')


def test_a_file_that_cannot_be_read_costs_that_file_only(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / '1.png'), SCENE)
    (tmp_path / '2.png').symlink_to('/proc/self/mem')  # It opens, but its first bytes do not exist.
    with open_source(Recording(tmp_path)) as source:
        first, second = source.steps()
        assert len(fingerprint(source.files)) == 64
    assert first.picture is not None
    assert second.fault is not None
    assert '2.png' in second.fault.reason
