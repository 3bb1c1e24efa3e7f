"""The video source: as a process over DDS, and its parts that need no video."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy
import yaml
from matroska import write_matroska
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image
from spinning import SpinningNode
from std_msgs.msg import Header

from hybrik_ros.cli import main
from hybrik_ros.media.live_camera import LiveCamera
from hybrik_ros.media.video_file import VideoFile
from hybrik_ros.msg import HumanMeshArray
from hybrik_ros.node import video_source
from hybrik_ros.node.conversions import guess_calibration

RATE = 20
FRAMES = 12
WIDTH, HEIGHT = 64, 48
TIMEOUT = 20.0

Spawn = Callable[..., 'subprocess.Popen[str]']


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Return a video of noise, each frame different."""
    path = tmp_path / 'clip.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), RATE, (WIDTH, HEIGHT))
    generator = np.random.default_rng(0)
    for _ in range(FRAMES):
        coarse = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        writer.write(cv2.resize(coarse, (WIDTH, HEIGHT)))
    writer.release()
    return path


@pytest.fixture
def calibration(clip: Path) -> dict:
    """Put a calibration beside the clip, and return it."""
    content = {
        'image_width': WIDTH,
        'image_height': HEIGHT,
        'camera_matrix': {'data': [60.0, 0.0, 31.0, 0.0, 61.0, 23.0, 0.0, 0.0, 1.0]},
        'distortion_model': 'plumb_bob',
        'distortion_coefficients': {'data': [0.1, 0.0, 0.0, 0.0, 0.0]},
        'rectification_matrix': {'data': [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]},
        'projection_matrix': {
            'data': [60.0, 0.0, 31.0, 0.0, 0.0, 61.0, 23.0, 0.0, 0.0, 0.0, 1.0, 0.0]
        },
    }
    clip.with_suffix('.yaml').write_text(yaml.safe_dump(content))
    return content


class Viewer(SpinningNode):
    """Listens to a camera, and answers its images where told to."""

    def __init__(self, prefix: str = '', reliable: bool = True) -> None:
        self.images: list[Image] = []
        self.camera_infos: list[CameraInfo] = []
        self.moments: list[float] = []
        super().__init__('viewer')
        policy = QoSReliabilityPolicy
        qos = QoSProfile(depth=50, reliability=policy.RELIABLE if reliable else policy.BEST_EFFORT)
        self.node.create_subscription(Image, f'{prefix}image', self._take_image, qos)
        self.node.create_subscription(
            CameraInfo, f'{prefix}camera_info', self.camera_infos.append, qos
        )
        self.answers = self.node.create_publisher(HumanMeshArray, 'human_poses', 10)

    def _take_image(self, message: Image) -> None:
        self.images.append(message)
        self.moments.append(time.monotonic())

    def require(self, condition: Callable[[], object]) -> None:
        assert self.wait(condition), 'waited in vain'

    def answer(self, image: Image) -> None:
        self.answers.publish(HumanMeshArray(header=image.header))

    def stamps(self) -> list[int]:
        return [nanoseconds(image.header) for image in self.images]


def nanoseconds(header: Header) -> int:
    return Time.from_msg(header.stamp).nanoseconds


def pixels(image: Image) -> np.ndarray:
    assert (image.encoding, image.step) == ('bgr8', 3 * image.width)
    return np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3)


@pytest.fixture
def viewer(ros_environment: dict[str, str]) -> Iterator[Viewer]:
    viewer = Viewer()
    yield viewer
    viewer.close()


def finish(process: 'subprocess.Popen[str]') -> tuple[int, str]:
    """Wait for a process to end by itself; return its status and what it said."""
    said, errors = process.communicate(timeout=TIMEOUT)
    return process.returncode, said + errors


def play(spawn: Spawn, *arguments: object) -> 'subprocess.Popen[str]':
    return spawn('hybrik_ros.cli', 'video', *map(str, arguments))


def test_frames_and_calibration_arrive_as_they_are(
    spawn: Spawn, viewer: Viewer, clip: Path, calibration: dict
) -> None:
    # Launch files give these options; an empty one is as none.
    options = ('--subscribers', 1, '--size=', '--rate=')
    process = play(spawn, clip, *options)
    viewer.require(lambda: process.poll() is not None)
    status, said = finish(process)
    assert status == 0
    assert f'published {FRAMES} frames' in said
    assert 'assumed' not in said

    capture = cv2.VideoCapture(str(clip))
    for image in viewer.images:
        _, frame = capture.read()
        assert np.array_equal(pixels(image), frame)
    assert len(viewer.images) == FRAMES

    stamps = viewer.stamps()
    assert [nanoseconds(info.header) for info in viewer.camera_infos] == stamps
    assert np.abs(np.diff(stamps) - 1e9 / RATE).max() <= 1
    messages = [*viewer.images, *viewer.camera_infos]
    assert {message.header.frame_id for message in messages} == {'camera_optical_frame'}
    for info in viewer.camera_infos:
        assert list(info.k) == calibration['camera_matrix']['data']
        assert list(info.d) == calibration['distortion_coefficients']['data']
        assert (info.width, info.height) == (WIDTH, HEIGHT)
    # In real time, and not in bunches.
    assert viewer.moments[-1] - viewer.moments[0] == pytest.approx((FRAMES - 1) / RATE, abs=0.1)


def test_best_effort_subscriber_sees_the_images(
    spawn: Spawn, ros_environment: dict[str, str], clip: Path
) -> None:
    viewer = Viewer(reliable=False)
    try:
        process = play(spawn, clip, '--loop', '--subscribers', 1)
        # More than the clip holds: it is played again, and time goes on.
        viewer.require(lambda: len(viewer.images) > FRAMES + 3)
        assert process.poll() is None
        assert min(np.diff(viewer.stamps())) >= 1e9 / RATE - 1
    finally:
        viewer.close()


def test_without_calibration_the_field_of_view_is_assumed_and_said(
    spawn: Spawn, viewer: Viewer, clip: Path
) -> None:
    process = play(spawn, clip, '--subscribers', 1)
    viewer.require(lambda: process.poll() is not None)
    status, said = finish(process)
    assert status == 0
    assert 'field of view of 60 degrees is assumed' in said
    assert list(viewer.camera_infos[0].k) == list(guess_calibration(60, WIDTH, HEIGHT).k)


def test_field_of_view_goes_before_the_calibration_beside_the_video(
    spawn: Spawn, viewer: Viewer, clip: Path, calibration: dict
) -> None:
    process = play(spawn, clip, '--subscribers', 1, '--field-of-view', 80)
    viewer.require(lambda: bool(viewer.camera_infos))
    assert list(viewer.camera_infos[0].k) == list(guess_calibration(80, WIDTH, HEIGHT).k)
    process.send_signal(signal.SIGINT)
    assert finish(process)[0] == 0


def test_remapped_image_takes_camera_info_along(
    spawn: Spawn, ros_environment: dict[str, str], clip: Path
) -> None:
    viewer = Viewer('/robot/front/')
    try:
        arguments = ['--ros-args', '-r', '__ns:=/robot', '-r', 'image:=front/image']
        process = play(spawn, clip, '--subscribers', 1, *arguments)
        viewer.require(lambda: process.poll() is not None)
        assert len(viewer.images) == len(viewer.camera_infos) == FRAMES
    finally:
        viewer.close()


@pytest.mark.parametrize(
    ('source', 'complaint'),
    [('missing.mp4', 'missing.mp4 does not exist'), ('text.mp4', 'text.mp4 is not a video'),
     ('99', 'the camera 99 cannot be opened'),
     ('12345678901234567890', 'the camera 12345678901234567890 cannot be opened')],
)  # fmt: skip
def test_unusable_source_is_named(
    spawn: Spawn, tmp_path: Path, source: str, complaint: str
) -> None:
    (tmp_path / 'text.mp4').write_text('no video')
    status, said = finish(play(spawn, source))
    assert status == 1
    assert f'hybrik video: {complaint}' in said
    assert 'Traceback' not in said


def test_calibration_of_another_size_is_refused(
    spawn: Spawn, clip: Path, calibration: dict, tmp_path: Path
) -> None:
    other = tmp_path / 'other.yaml'
    other.write_text(yaml.safe_dump({**calibration, 'image_width': 70, 'image_height': 50}))
    status, said = finish(play(spawn, clip, '--camera-info', other))
    assert status == 1
    assert '70 x 50' in said
    assert f'{WIDTH} x {HEIGHT}' in said
    assert 'Traceback' not in said


def interrupt_twice(process: 'subprocess.Popen[str]') -> None:
    """Send SIGINT as an impatient user does, and see the process end cleanly and soon."""
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    status, said = finish(process)
    assert status == 0, said
    assert time.monotonic() - started < 2.0
    assert 'Traceback' not in said
    assert 'published' in said


@pytest.mark.parametrize('option', ['--loop', '--lockstep'])
def test_interrupts_end_it_while_it_plays(
    spawn: Spawn, viewer: Viewer, clip: Path, option: str
) -> None:
    process = play(spawn, clip, option)
    viewer.require(lambda: bool(viewer.images))
    interrupt_twice(process)


def test_interrupts_end_it_while_it_waits_for_subscribers(spawn: Spawn, clip: Path) -> None:
    process = play(spawn, clip, '--subscribers', 1)
    assert process.stderr is not None
    assert any('waiting for subscribers of' in line for line in process.stderr)
    interrupt_twice(process)


def test_lockstep_waits_for_the_answer(spawn: Spawn, viewer: Viewer, clip: Path) -> None:
    process = play(spawn, clip, '--lockstep')
    for count in range(1, FRAMES + 1):
        viewer.require(lambda count=count: len(viewer.images) == count)
        if count == 3:
            # No answer yet, but one to an older frame: nothing may come.
            viewer.answer(viewer.images[0])
            time.sleep(5 / RATE)
            assert len(viewer.images) == count
        viewer.answer(viewer.images[-1])
    status, said = finish(process)
    assert status == 0
    assert 'no human_poses' not in said
    assert np.abs(np.diff(viewer.stamps()) - 1e9 / RATE).max() <= 1


def test_lockstep_goes_on_without_an_answer_and_says_why(
    viewer: Viewer, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_source, '_ANSWER_SECONDS', 0.2)
    warnings = []
    with in_process(VideoFile(str(clip)), lockstep=True) as node:
        monkeypatch.setattr(node, 'get_logger', lambda: Log(warnings))
        viewer.require(lambda: len(viewer.images) == 2)
    assert 'no human_poses for frame 0 in 0.2 s' in ''.join(warnings)


class Log:
    """Stands in for a node's logger, and keeps what is said in the list given."""

    def __init__(self, lines: list[str]) -> None:
        self.info = self.warning = self.error = lines.append


@contextmanager
def in_process(
    source: VideoFile | LiveCamera, lockstep: bool = False
) -> Iterator[video_source.VideoNode]:
    """Play a source in a thread of this process."""
    rclpy.init()
    stopping = threading.Event()
    node = video_source.VideoNode(
        source,
        guess_calibration(60, *source.size),
        'camera',
        stopping,
        loop=False,
        subscribers=1,
        lockstep=lockstep,
    )
    thread = threading.Thread(target=node.play)
    thread.start()
    try:
        yield node
    finally:
        stopping.set()
        thread.join()
        node.destroy_node()
        rclpy.shutdown()


class Unplugged:
    """Stands in for OpenCV's capture of a camera that is away after three frames, for a while."""

    def __init__(self) -> None:
        self.opened = self.grabbed = 0

    def open(self, _: int) -> bool:
        self.opened += 1
        self.grabbed = 0
        return self.opened != 2

    def get(self, key: int) -> float:
        sizes = {cv2.CAP_PROP_FRAME_WIDTH: WIDTH, cv2.CAP_PROP_FRAME_HEIGHT: HEIGHT}
        return sizes.get(key, 30)

    def grab(self) -> bool:
        time.sleep(1 / 30)
        self.grabbed += 1
        return self.grabbed <= 3

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.zeros((HEIGHT, WIDTH, 3), np.uint8)


def test_camera_that_comes_back_is_opened_again(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, 'VideoCapture', Unplugged)
    monkeypatch.setattr(video_source, '_SILENCE_SECONDS', 0.3)
    monkeypatch.setattr(video_source, '_REOPEN_SECONDS', 0.1)
    lines: list[str] = []
    with in_process(LiveCamera('7')) as node:
        monkeypatch.setattr(node, 'get_logger', lambda: Log(lines))
        before = node.get_clock().now().nanoseconds
        viewer.require(lambda: len(viewer.images) == 6)
        after = node.get_clock().now().nanoseconds
    assert [line for line in lines if line.startswith('the camera 7')][:2] == [
        'the camera 7 has sent no frame for 0.3 s: trying to reopen it',
        'the camera 7 is open again',
    ]
    stamps = viewer.stamps()
    assert [before, *stamps, after] == sorted([before, *stamps, after])


def test_pace_of_a_quick_decoder_is_the_videos() -> None:
    pace = video_source.Pace(start=5.0)
    for seconds in np.arange(20) / 10:
        pace.delay(seconds, 0.1, pace.due(seconds) - 0.05)
        assert pace.due(seconds) == pytest.approx(5.0 + seconds)


def test_pace_after_a_pause_goes_on_from_there() -> None:
    pace = video_source.Pace(start=0.0)
    shown = []
    now = 0.0
    for index in range(10):
        now += 1.0 if index == 5 else 0.01
        pace.delay(index / 10, 0.1, now)
        now = max(now, pace.due(index / 10))
        shown.append(now)
    # The pause, from 0.4 s on, takes a second; nothing is bunched up after it.
    expected = [0, 0.1, 0.2, 0.3, 0.4, 1.4, 1.5, 1.6, 1.7, 1.8]
    np.testing.assert_allclose(shown, expected, atol=0.011)


def test_pace_of_a_slow_decoder_is_never_late_by_more_than_a_frame() -> None:
    pace = video_source.Pace(start=0.0)
    now = 0.0
    for seconds in np.arange(100) / 10:
        now += 0.15
        pace.delay(seconds, 0.1, now)
        assert now - pace.due(seconds) <= 0.1 + 1e-9


def test_frames_of_a_variable_rate_come_at_their_times(
    spawn: Spawn, viewer: Viewer, tmp_path: Path
) -> None:
    pictures = [np.full((HEIGHT, WIDTH, 3), 9 * number, np.uint8) for number in range(8)]
    times = np.array([0, 20, 60, 80, 300, 320, 500, 800])
    clip = write_matroska(tmp_path / 'browser.webm', pictures, times)
    process = play(spawn, clip, '--lockstep', '--loop')
    while len(viewer.images) < 10:
        count = len(viewer.images)
        viewer.require(lambda count=count: len(viewer.images) > count)
        viewer.answer(viewer.images[-1])
    process.send_signal(signal.SIGINT)
    assert finish(process)[0] == 0
    found = (np.array(viewer.stamps()[:10]) - viewer.stamps()[0]) / 1e6
    np.testing.assert_allclose(found[:8], times, atol=0.01)
    assert found[9] - found[8] == pytest.approx(20, abs=0.01)  # once more from the start


def test_slashes_before_the_frame_are_named_and_removed(
    spawn: Spawn, viewer: Viewer, clip: Path
) -> None:
    status, said = finish(play(spawn, clip, '--subscribers', 1, '--frame-id', '//cam'))
    assert status == 0
    assert "the frame_id '//cam' begins with a slash, which tf2 refuses: it is used without" in said
    viewer.require(lambda: len(viewer.images) == FRAMES)
    assert {each.header.frame_id for each in [*viewer.images, *viewer.camera_infos]} == {'cam'}


@pytest.mark.parametrize('name', ['', '//', ' ', 'a\nb', '\x1b[2J', '\udcff', 'x' * 257])
def test_frames_without_a_name_are_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(['video', '--frame-id', name])
    assert 'must be the name of a frame' in capsys.readouterr().err


def test_a_photo_is_published_upright_once(spawn: Spawn, viewer: Viewer, tmp_path: Path) -> None:
    Image = pytest.importorskip('PIL.Image')  # noqa: N806
    exif = Image.Exif()
    exif[0x112] = 6
    stored = Image.fromarray(np.zeros((30, 50, 3), np.uint8))
    stored.save(tmp_path / 'photo.jpg', exif=exif)
    status, said = finish(play(spawn, tmp_path / 'photo.jpg', '--subscribers', 1))
    assert status == 0, said
    viewer.require(lambda: bool(viewer.images))
    assert [(image.width, image.height) for image in viewer.images] == [(30, 50)]


@pytest.mark.parametrize(
    ('arguments', 'complaint'),
    [(('rtsp://me:secret@127.0.0.1:9/x',), 'the stream rtsp://me:***@127.0.0.1:9/x cannot be'),
     (('clip.mp4', '--size', '640x480'), 'clip.mp4 is no camera of this machine'),
     (('0', '--size', '640'), 'must be WIDTHxHEIGHT'),
     (('0', '--rate', '0'), 'must be above 0 images/s')],
)  # fmt: skip
def test_unusable_urls_and_options_are_named(
    spawn: Spawn, arguments: tuple[str, ...], complaint: str
) -> None:
    status, said = finish(play(spawn, *arguments))
    assert status != 0
    assert complaint in said
    assert 'secret' not in said
