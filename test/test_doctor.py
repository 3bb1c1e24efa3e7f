"""`hybrik doctor` as a process, beside cameras and nodes that are well or not."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy
from conftest import Spawn
from rclpy.clock import Clock
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from hybrik_ros.cli import doctor
from hybrik_ros.findings import LEVELS, OK, PROBLEM, WARNING, Finding
from hybrik_ros.node.camera_checks import TopicStream
from hybrik_ros.node.conversions import guess_calibration, to_image
from hybrik_ros.node.graph_checks import check_graph
from hybrik_ros.perception import blazepose, detector
from hybrik_ros.share import MALLOC, share_path

TIMEOUT = 120.0
WIDTH, HEIGHT = 64, 48
HERTZ = 20.0
LISTEN_SECONDS = 1.5
FIELD_OF_VIEW = 60.0
FRAME = 'camera_optical_frame'

RELIABLE = QoSProfile(depth=5)
LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
BEST_EFFORT = QoSProfile(depth=5, reliability=QoSReliabilityPolicy.BEST_EFFORT)

Spoil = Callable[[Image, CameraInfo], None]


@dataclass(frozen=True)
class Report:
    """What a run of the doctor said."""

    status: int
    findings: list[Finding]
    summary: str

    def of(self, *words: str) -> Finding:
        """Return the finding about whose subject and state these words are said."""
        found = [
            finding
            for finding in self.findings
            if all(word in f'{finding.subject}: {finding.found}' for word in words)
        ]
        assert len(found) == 1, f'{words}: ' + '\n'.join(map(str, self.findings))
        return found[0]

    def at(self, level: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.level == level]


def examine(spawn: Spawn, *arguments: str) -> Report:
    """Run the doctor; what it prints must be lines of findings, their advice, and a summary."""
    process = spawn('hybrik_ros.cli', 'doctor', '--seconds', '2', *arguments)
    said, errors = process.communicate(timeout=TIMEOUT)
    assert 'Traceback' not in errors, errors
    *lines, summary = said.splitlines()
    findings: list[Finding] = []
    for line in lines:
        if line.startswith(' '):
            last = findings.pop()
            advice = line.strip().removeprefix('-> ')
            findings.append(Finding(last.level, last.subject, last.found, advice))
        else:
            level, _, rest = line.partition(' ')
            assert level in LEVELS, line
            subject, _, found = rest.strip().partition(': ')
            findings.append(Finding(level, subject, found))
    report = Report(process.returncode, findings, summary)
    assert '\x1b' not in said  # Plain in a pipe.
    assert all(finding.advice for finding in findings if finding.level != OK), said
    problems, warnings = (len(report.at(level)) for level in (PROBLEM, WARNING))
    assert [int(number) for number in re.findall(r'\d+', summary)] == [problems, warnings]
    assert report.status == (1 if problems else 0)
    return report


def listen(image: str | None = '/image', *ros_arguments: str) -> Report:
    """Examine cameras and nodes alone, in this process."""
    findings = list(check_graph(image, LISTEN_SECONDS, [*ros_arguments]))
    return Report(0, findings, '')


class Camera:
    """Publishes small images, and their calibration, until it is closed."""

    def __init__(
        self,
        spoil: Spoil,
        qos: QoSProfile,
        topic: str,
        calibrated: bool,
        hertz: float,
    ) -> None:
        self._spoil = spoil
        self._period = 1 / hertz
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self._node = Node('camera_driver', context=self._context)
        self._images = self._node.create_publisher(Image, topic, qos)
        self._infos = None
        if calibrated:
            name = f'{topic.rpartition("/")[0]}/camera_info'
            self._infos = self._node.create_publisher(CameraInfo, name, qos)
        self._stopping = threading.Event()
        self.sent = 0
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._publish)
        self._thread.start()

    @property
    def hertz(self) -> float:
        return self.sent / (time.monotonic() - self._began)

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._node.destroy_node()
        self._context.try_shutdown()

    def _publish(self) -> None:
        pixels = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
        while not self._stopping.wait(self._period):
            header = Header(stamp=self._node.get_clock().now().to_msg(), frame_id=FRAME)
            info = guess_calibration(FIELD_OF_VIEW, WIDTH, HEIGHT)
            info.header = deepcopy(header)
            image = to_image(pixels, header, 'bgr8')
            self._spoil(image, info)
            if self._infos is not None:
                self._infos.publish(info)
            self._images.publish(image)
            self.sent += 1


def leave(image: Image, info: CameraInfo) -> None:
    """Spoil nothing."""


@contextmanager
def camera(
    spoil: Spoil = leave,
    qos: QoSProfile = BEST_EFFORT,
    topic: str = '/image',
    calibrated: bool = True,
    hertz: float = HERTZ,
) -> Iterator[Camera]:
    running = Camera(spoil, qos, topic, calibrated, hertz)
    try:
        yield running
    finally:
        running.close()


def test_nothing_there(spawn: Spawn) -> None:
    report = examine(spawn)
    [problem] = report.at(PROBLEM)
    assert problem.found == 'no images are published'
    assert 'source:=/dev/video0' in problem.advice
    assert report.of('hybrik_node: is not running').level == OK
    for model in (detector.MODEL, blazepose.MODEL):
        digest = subprocess.check_output(['sha256sum', str(model)], text=True)[:12]
        assert digest in report.of(model.name, 'loads').found
    assert report.of('body body.npz').found == '6890 vertices, 10 betas'
    assert 'rmw_' in report.of('ROS: ').found
    assert report.of('ROS_DOMAIN_ID').found.startswith(os.environ['ROS_DOMAIN_ID'])


def test_a_sound_camera_is_sound(spawn: Spawn) -> None:
    spawn('hybrik_ros.cli', 'video', '--loop')
    report = examine(spawn)
    about = [finding for finding in report.findings if finding.subject.startswith('/')]
    assert {finding.subject for finding in about} == {'/image', '/camera_info', '/dev/shm'}
    assert {finding.level for finding in about if finding.subject != '/dev/shm'} == {OK}
    assert report.status == 0
    assert report.of('/image', '1768 x 594 bgr8')
    assert report.of('/image', 'reliable, volatile from /hybrik_video')
    assert report.of('/camera_info', '1768 x 594, plumb_bob')


def test_rate_size_and_field_of_view_are_those_of_the_camera(
    ros_environment: dict[str, str],
) -> None:
    with camera() as running:
        report = listen()
        hertz = running.hertz
    images = report.of('/image', f'{WIDTH} x {HEIGHT} bgr8').found
    assert float(images.split()[0]) == pytest.approx(hertz, rel=0.2)
    assert ', none lost' in images
    calibration = report.of('/camera_info', f'{WIDTH} x {HEIGHT}').found
    assert f'a field of view of {FIELD_OF_VIEW:.0f} degrees' in calibration
    assert report.status == 0


@pytest.mark.parametrize('qos', [RELIABLE, LATCHED], ids=['reliable', 'transient local'])
def test_what_publishers_offer_is_told(ros_environment: dict[str, str], qos: QoSProfile) -> None:
    with camera(qos=qos):
        report = listen()
    durability = qos.durability.name.lower().replace('_', ' ')
    publisher = report.of('/image', f'reliable, {durability} from /camera_driver')
    assert publisher.level == OK
    assert report.status == 0


def zero_k(image: Image, info: CameraInfo) -> None:
    info.k, info.p = [0.0] * 9, [0.0] * 12


def other_size(image: Image, info: CameraInfo) -> None:
    info.width, info.height = 1280, 960


def scaled_k(image: Image, info: CameraInfo) -> None:
    info.k = [2 * number for number in info.k[:8]] + [1.0]


def metres(image: Image, info: CameraInfo) -> None:
    info.k = [0.004, 0.0, WIDTH / 2, 0.0, 0.004, HEIGHT / 2, 0.0, 0.0, 1.0]


def tall_pixels(image: Image, info: CameraInfo) -> None:
    info.k[4] *= 2


def black(image: Image, info: CameraInfo) -> None:
    image.data = bytes(len(image.data))


def unknown_distortion(image: Image, info: CameraInfo) -> None:
    info.distortion_model = 'fov'
    info.d = [0.9]


def unreadable(image: Image, info: CameraInfo) -> None:
    image.encoding = 'jpeg'


def no_frame(image: Image, info: CameraInfo) -> None:
    image.header.frame_id = info.header.frame_id = ''


def unusual_frame(image: Image, info: CameraInfo) -> None:
    image.header.frame_id = info.header.frame_id = 'camera'


def other_frame(image: Image, info: CameraInfo) -> None:
    info.header.frame_id = 'left_optical_frame'


def no_stamp(image: Image, info: CameraInfo) -> None:
    image.header.stamp.sec = image.header.stamp.nanosec = 0


def one_stamp(image: Image, info: CameraInfo) -> None:
    image.header.stamp.sec, image.header.stamp.nanosec = 1000, 0


def old_stamp(image: Image, info: CameraInfo) -> None:
    image.header.stamp.sec -= 7
    info.header.stamp = image.header.stamp


def early_stamp(image: Image, info: CameraInfo) -> None:
    image.header.stamp.sec += 7
    info.header.stamp = image.header.stamp


def other_stamp(image: Image, info: CameraInfo) -> None:
    info.header.stamp = Header().stamp


@pytest.mark.parametrize(
    ('spoil', 'level', 'topic', 'found', 'advice'),
    [
        (zero_k, PROBLEM, '/camera_info', 'all-zero K', 'cameracalibrator'),
        (other_size, PROBLEM, '/camera_info', '1280 x 960', 'resolution'),
        (scaled_k, PROBLEM, '/camera_info', 'far from the middle of 64 x 48', 'correct'),
        (metres, PROBLEM, '/camera_info', 'not in metres', 'correct'),
        (tall_pixels, WARNING, '/camera_info', 'by a factor of 2', 'calibrate'),
        (black, WARNING, '/image', 'nearly black', 'uncover the lens'),
        (unknown_distortion, PROBLEM, '/camera_info', "'fov'", 'calibrate it'),
        (unreadable, PROBLEM, '/image', "'jpeg'", 'pixel format'),
        (no_frame, PROBLEM, '/image', 'frame_id is empty', 'optical_frame'),
        (unusual_frame, WARNING, '/image', "'camera'", 'REP-103'),
        (other_frame, WARNING, '/camera_info', "'left_optical_frame'", 'remap camera_info'),
        (no_stamp, PROBLEM, '/image', 'stamps are all zero', 'driver'),
        (one_stamp, PROBLEM, '/image', 'stamps do not advance', 'driver'),
        (old_stamp, WARNING, '/image', 'stamps are 7.0', 'clock'),
        (early_stamp, WARNING, '/image', 's in the future', 'clock'),
        (other_stamp, WARNING, '/camera_info', '0% of the images', 'of its stamp'),
    ],
    ids=lambda value: getattr(value, '__name__', ''),
)
def test_each_fault_of_a_camera_is_found_and_no_other(
    ros_environment: dict[str, str], spoil: Spoil, level: str, topic: str, found: str, advice: str
) -> None:
    with camera(spoil):
        report = listen()
    fault = report.of(topic, found)
    assert fault.level == level
    assert advice in fault.advice
    others = [
        finding
        for finding in report.at(PROBLEM) + report.at(WARNING)
        if finding != fault and finding.subject in ('/image', '/camera_info')
    ]
    # Of two faults of these stamps the second follows from the first.
    follows = '0% of the images' if spoil in (no_stamp, one_stamp) else None
    assert [finding for finding in others if not follows or follows not in finding.found] == []


def test_rectified_images_are_known_by_their_topic(ros_environment: dict[str, str]) -> None:
    def rectify(image: Image, info: CameraInfo) -> None:
        focal = WIDTH / 2  # of 90 degrees, where K says 60
        info.d = [-0.3, 0.1, 0.0, 0.0, 0.0]
        info.p = [focal, 0, WIDTH / 2, 0, 0, focal, HEIGHT / 2, 0, 0, 0, 1, 0]

    with camera(rectify, topic='/image_rect'):
        found = listen('/image_rect').of('/camera_info', 'P, for rectified images').found
    assert 'a field of view of 90 degrees' in found


@pytest.mark.parametrize('hertz', [4.0, 0.3])
def test_a_slow_camera_is_waited_for_and_warned_of(
    ros_environment: dict[str, str], hertz: float
) -> None:
    with camera(hertz=hertz):
        report = listen()
    slow = report.of('/image', f'Hz of {WIDTH} x {HEIGHT}')
    assert slow.level == WARNING
    assert float(slow.found.split()[0]) == pytest.approx(hertz, rel=0.3)
    assert report.at(PROBLEM) == []


def test_without_camera_info_another_one_is_named(ros_environment: dict[str, str]) -> None:
    with camera(topic='/front/image', calibrated=False), camera(topic='/back/image'):
        report = listen('/front/image')
    missing = report.of('/front/camera_info', 'no publisher')
    assert missing.level == PROBLEM
    assert 'camera_info_topic:=/back/camera_info' in missing.advice
    assert not [finding for finding in report.findings if finding.subject.startswith('/back')]


def test_a_remapped_camera_info_is_taken(spawn: Spawn) -> None:
    with camera(topic='/front/image', calibrated=False), camera(topic='/back/image'):
        remapped = ('-r', 'image:=/front/image', '-r', 'camera_info:=/back/camera_info')
        report = examine(spawn, '--ros-args', *remapped)
    assert report.of('/back/camera_info', f'{WIDTH} x {HEIGHT}').level == OK
    assert report.of('/front/image', f'{WIDTH} x {HEIGHT}').level == OK
    assert report.status == 0


def test_topic_without_publisher_is_named_beside_published_ones(
    ros_environment: dict[str, str],
) -> None:
    with camera(topic='/front/image'):
        unpublished = listen('/image').of('/image', 'no publisher')
        other = listen('/front/camera_info').of('/front/camera_info: is')
    assert unpublished.level == other.level == PROBLEM
    assert unpublished.advice == other.advice == 'images are on /front/image'
    assert 'is sensor_msgs/msg/CameraInfo' in other.found


def test_an_impossible_name_is_refused(ros_environment: dict[str, str]) -> None:
    assert listen('a b').of('camera: ', 'must not contain').level == PROBLEM


def test_two_publishers_of_one_topic_are_told(ros_environment: dict[str, str]) -> None:
    with camera(), camera():
        report = listen()
    assert report.of('/image', '2 publishers').level == WARNING


def test_compressed_images_are_read(ros_environment: dict[str, str]) -> None:
    context = rclpy.Context()
    rclpy.init(context=context)
    node = Node('camera_driver', context=context)
    publisher = node.create_publisher(CompressedImage, '/front/image/compressed', BEST_EFFORT)
    data = cv2.imencode('.png', np.zeros((HEIGHT, WIDTH, 3), np.uint8))[1].tobytes()

    def publish() -> None:
        while not stopping.wait(1 / HERTZ):
            header = Header(stamp=node.get_clock().now().to_msg(), frame_id=FRAME)
            publisher.publish(CompressedImage(header=header, format='png', data=data))

    stopping = threading.Event()
    thread = threading.Thread(target=publish)
    thread.start()
    try:
        report = listen('/front/image/compressed')
        with camera(topic='/front/image'):
            beside = listen(None)
            named = listen('/front/image/compressed')
    finally:
        stopping.set()
        thread.join()
        node.destroy_node()
        context.try_shutdown()
    assert report.of('/front/image/compressed', f'{WIDTH} x {HEIGHT} png').level == OK
    assert report.of('/front/camera_info', 'no publisher').level == PROBLEM
    # Beside raw images they are the same ones, and only looked at where they are named.
    assert {finding.subject for finding in beside.findings if '/front' in finding.subject} == {
        '/front/image', '/front/camera_info',
    }  # fmt: skip
    assert named.of('/front/image/compressed', f'{WIDTH} x {HEIGHT} png').level == OK
    assert beside.at(PROBLEM) == named.at(PROBLEM) == []


def test_depth_images_are_no_fault_unless_named(ros_environment: dict[str, str]) -> None:
    def deep(image: Image, info: CameraInfo) -> None:
        image.encoding, image.width, image.step = '32FC1', WIDTH // 4, 3 * WIDTH

    with camera(), camera(deep, topic='/depth/image'):
        report = listen(None)
        named = listen('/depth/image')
    assert report.of('/depth/image', 'depth images (32FC1)').level == OK
    assert report.at(PROBLEM) == []
    assert named.of('/depth/image', "encoding '32FC1'").level == PROBLEM


def test_an_inactive_node_is_told_and_how_to_go_on(spawn: Spawn) -> None:
    spawn('hybrik_ros.node', '--ros-args', '-p', 'autostart:=false', '-r', '__ns:=/robot')
    report = examine(spawn)
    node = report.of('/robot/hybrik_node', 'is unconfigured')
    assert node.level == WARNING
    assert 'ros2 lifecycle set /robot/hybrik_node configure' in node.advice


def test_an_active_node_is_asked_for_its_qos_inputs_and_report(spawn: Spawn) -> None:
    policy = 'qos_overrides./image.subscription.reliability:=reliable'
    node = spawn('hybrik_ros.node', '--ros-args', '-p', policy)
    assert node.stderr is not None
    assert any('active: listens to' in line for line in node.stderr)
    elsewhere = listen(None)
    unheard = elsewhere.of('/hybrik_node', 'subscribes to /image, which has no publisher')
    assert unheard.level == PROBLEM

    with camera(topic='/front/image'):
        assert 'image_topic:=/front/image' in listen(None).of('/hybrik_node', 'subscribes').advice
    with camera():
        report = examine(spawn)
    refused = report.of('/image', 'best effort, volatile from /camera_driver')
    assert refused.level == PROBLEM
    assert 'requests reliable, volatile' in refused.found
    assert '/image.subscription' in refused.advice
    assert report.of('/hybrik_node', 'active, subscribes to /image').level == OK
    said = report.of('/hybrik_node', 'reports: ')
    assert said.level == WARNING  # No image reaches it.
    assert 'no image' in said.found


def test_an_interrupt_ends_it_while_it_listens(spawn: Spawn) -> None:
    with camera():
        process = spawn('hybrik_ros.cli', 'doctor', '--seconds', '60')
        assert process.stdout is not None
        assert any('/dev/shm' in line for line in process.stdout)  # The camera comes next.
        time.sleep(2.0)
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, said) == (130, '')
    assert 'Traceback' not in errors


@pytest.mark.parametrize(
    ('source', 'advice'),
    [
        ("raise ImportError('none here')", 'setup.bash'),
        ("raise SystemExit('wrong rmw')", 'unset RMW_IMPLEMENTATION'),
    ],
)
def test_without_ros_the_rest_is_examined(
    spawn: Spawn,
    ros_environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    advice: str,
) -> None:
    (tmp_path / 'rclpy.py').write_text(source)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    monkeypatch.setitem(ros_environment, 'PYTHONPATH', path)
    monkeypatch.setitem(ros_environment, 'RMW_IMPLEMENTATION', 'rmw_other_cpp')
    report = examine(spawn)
    [problem] = report.at(PROBLEM)
    assert 'rclpy cannot be imported' in problem.found
    assert advice in problem.advice
    assert report.of('body body.npz').level == OK
    assert report.of(detector.MODEL.name).level == OK


def test_a_missing_package_of_messages_is_named(
    spawn: Spawn,
    ros_environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / 'lifecycle_msgs.py').write_text("raise ImportError('no lifecycle_msgs')")
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    monkeypatch.setitem(ros_environment, 'PYTHONPATH', path)
    report = examine(spawn)
    [problem] = report.at(PROBLEM)
    assert 'no lifecycle_msgs' in problem.found
    assert 'rosdep install' in problem.advice
    assert report.of('body body.npz').level == OK


# The checks that look at this machine, not at ROS.


def test_buffers_of_the_kernel(tmp_path: Path) -> None:
    (tmp_path / 'rmem_max').write_text('212992\n')  # Linux's own default
    small, unseen = doctor.check_kernel_buffers('rmw_fastrtps_cpp', tmp_path)
    assert (small.level, unseen.level) == (WARNING, OK)
    needed = int(re.findall(r'sysctl -w net.core.rmem_max=(\d+)', small.advice)[0])
    # As the profile has Fast DDS ask for.
    profile = share_path('config/fastdds.xml').read_text()
    assert f'<receiveBufferSize>{needed}</receiveBufferSize>' in profile

    (tmp_path / 'rmem_max').write_text(f'{needed}\n')
    assert next(doctor.check_kernel_buffers('rmw_fastrtps_cpp', tmp_path)).level == OK
    assert next(doctor.check_kernel_buffers('rmw_cyclonedds_cpp', tmp_path)).level == WARNING


def test_shared_memory(tmp_path: Path) -> None:
    [missing] = doctor.check_shared_memory(tmp_path / 'missing')
    assert missing.level == WARNING


@pytest.mark.parametrize(
    ('content', 'level'),
    [
        (None, WARNING),
        ('<dds>', PROBLEM),
        ('<dds><segment_size>65536</segment_size></dds>', WARNING),
        ('<dds xmlns="http://www.eprosima.com"><segment_size>67108864</segment_size></dds>', OK),
    ],
    ids=['unset', 'broken', 'small', 'large'],
)
def test_profile_of_fast_dds(
    content: str | None, level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv('ROS_DISTRO', raising=False)
    monkeypatch.delenv('FASTDDS_DEFAULT_PROFILES_FILE', raising=False)
    for name in MALLOC:
        monkeypatch.delenv(name, raising=False)
    if content is not None:
        (tmp_path / 'profile.xml').write_text(content)
        monkeypatch.setenv('FASTDDS_DEFAULT_PROFILES_FILE', str(tmp_path / 'profile.xml'))
    profile, malloc = doctor.check_middleware('rmw_fastrtps_cpp')
    assert profile.level == level
    if level != OK:
        ours = share_path('config/fastdds.xml')
        assert f'export FASTDDS_DEFAULT_PROFILES_FILE={ours}' in profile.advice
    assert malloc.level == WARNING
    assert all(f'{name}={value}' in malloc.advice for name, value in MALLOC.items())


def test_a_profile_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('ROS_DISTRO', raising=False)
    monkeypatch.setenv('FASTDDS_DEFAULT_PROFILES_FILE', '/nowhere.xml')
    profile, _ = doctor.check_middleware('rmw_fastrtps_cpp')
    assert profile.level == PROBLEM
    assert '/nowhere.xml' in profile.found


def test_cyclone_dds_is_told_of_its_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('CYCLONEDDS_URI', raising=False)
    advised, _ = doctor.check_middleware('rmw_cyclonedds_cpp')
    assert advised.level == WARNING
    _, _, uri = advised.advice.partition("CYCLONEDDS_URI='")
    monkeypatch.setenv('CYCLONEDDS_URI', uri.rstrip("'"))
    followed, _ = doctor.check_middleware('rmw_cyclonedds_cpp')
    assert followed.level == OK


def test_models_and_bodies_that_cannot_be_used(tmp_path: Path) -> None:
    broken = tmp_path / 'broken.onnx'
    broken.write_text('version https://git-lfs.github.com/spec/v1')
    assert [finding.level for finding in doctor.check_models(broken)] == [OK, OK, PROBLEM]
    *_, other = doctor.check_models(detector.MODEL)
    assert 'not a model that hybrik export writes' in other.found
    [missing] = doctor.check_body(tmp_path / 'missing.npz', None)
    assert missing.level == PROBLEM
    [unfit] = doctor.check_body(None, detector.MODEL)
    assert (unfit.level, '--body' in unfit.advice) == (WARNING, True)


def test_engines_are_in_a_private_folder_or_told_not_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'tensorrt', None)  # As if there were none.
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    folder = tmp_path / 'hybrik_ros' / 'engines'
    trt, engines = doctor.check_tensorrt()
    assert (trt.level, engines.level) == (OK, OK)
    assert 'pip install tensorrt' in trt.found
    assert not folder.parent.exists()  # To look changes nothing.
    folder.mkdir(0o700, parents=True)
    assert list(doctor.check_tensorrt())[1].found.startswith('0 in ')
    folder.chmod(0o755)
    _, engines = doctor.check_tensorrt()
    assert (engines.level, 'chmod 700' in engines.advice) == (WARNING, True)


def test_tensorrt_that_works_without_engines(fake_tensorrt: object) -> None:
    trt, engines = doctor.check_tensorrt()
    assert 'works on Fake' in trt.found
    assert (engines.level, 'hybrik engine build' in engines.advice) == (WARNING, True)


def test_lost_messages_are_counted_by_their_numbers() -> None:
    def lost(numbers: list[int | None]) -> float | None:
        stream = TopicStream(Clock())
        for number in numbers:
            stream.take(Image(), {'publication_sequence_number': number})
        return stream.lost

    assert lost([3, 4, 5]) == 0
    assert lost([3, 6, 12]) == pytest.approx(0.7)
    assert lost([None, None]) is None
    assert lost([7]) is None
    assert lost([1, 9, 2, 10]) is None  # of two publishers


def compiled_code(environment: dict[str, str]) -> str:
    """Return what the doctor of another process finds about the compiled code."""
    code = 'from hybrik_ros.cli.doctor import check_compiled_code as check; print(*check())'
    command = [sys.executable, '-c', code]
    result = subprocess.run(command, env={**os.environ, **environment}, capture_output=True,
                            text=True, check=True)  # fmt: skip
    return result.stdout


def test_kernels_that_are_not_compiled_are_told(tmp_path: Path) -> None:
    found = compiled_code({'NUMBA_CACHE_DIR': str(tmp_path)})
    assert 'kernels are not compiled yet' in found
    assert 'hybrik compile' in found
    assert 'unset NUMBA_DISABLE_JIT' in compiled_code({'NUMBA_DISABLE_JIT': '1'})
