"""`hybrik doctor` beside odd cameras and detectors, and on recordings."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.clock import Clock
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from recorded import START, write_bag
from sample import read_frames
from sensor_msgs.msg import CameraInfo, Image
from spinning import SpinningNode
from std_msgs.msg import Header
from test_detections import Detection2D, Detection2DArray, detection
from test_motion import walk, write_people

from hybrik_ros.cli.__main__ import main
from hybrik_ros.findings import OK, PROBLEM, WARNING, Finding
from hybrik_ros.messages.fields import stamp_fields
from hybrik_ros.messages.stamp_order import find_odd_step, find_other_speed
from hybrik_ros.node.conversions import guess_calibration, to_image
from hybrik_ros.node.detection_checks import check_detections
from hybrik_ros.node.graph_checks import check_graph
from hybrik_ros.node.topic_stream import TopicStream
from hybrik_ros.recordings.checks import check_recording
from hybrik_ros.recordings.recording import Recording
from hybrik_ros.recordings.sources import open_source

FRAME = 'camera_optical_frame'
LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
PICTURE = np.zeros((48, 64, 3), np.uint8)


@contextmanager
def camera(spoil: Callable[[int, Header], None]) -> Iterator[None]:
    """Publish images whose headers are spoilt by their number, and one latched camera_info."""
    driver = SpinningNode('camera_driver')
    images = driver.node.create_publisher(Image, '/image', 5)
    info = guess_calibration(60.0, 64, 48)
    info.header.frame_id = FRAME
    driver.node.create_publisher(CameraInfo, '/camera_info', LATCHED).publish(info)
    stopping = threading.Event()

    def publish() -> None:
        number = 0
        while not stopping.wait(0.05):
            header = Header(stamp=driver.node.get_clock().now().to_msg(), frame_id=FRAME)
            spoil(number, header)
            images.publish(to_image(PICTURE, header))
            number += 1

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
        driver.close()


def listen(*ros_arguments: str) -> list[Finding]:
    return list(check_graph('/image', 1.5, [*ros_arguments]))


def find(findings: list[Finding], words: str) -> Finding:
    found = [each for each in findings if words in f'{each.subject}: {each.found}']
    assert len(found) == 1, '\n'.join(map(str, findings))
    return found[0]


def test_odd_headers_and_a_latched_calibration_are_named(ros_environment: dict[str, str]) -> None:
    last = Time()

    def spoil(number: int, header: Header) -> None:
        nonlocal last
        header.frame_id = f'/{FRAME}' if number % 4 < 2 else 'rear_optical_frame'
        if number % 2:
            header.stamp = last
        last = header.stamp

    with camera(spoil):
        findings = listen()
    assert find(findings, 'images of several cameras, as their frame_id').level == WARNING
    assert 'publish and record each image once' in find(findings, 'stamp occurs twice').advice
    calibration = find(findings, '/camera_info: published once')
    assert 'with each image' in calibration.advice
    assert not [each for each in findings if each.level == PROBLEM]


def test_a_slash_and_a_missing_clock_are_named(ros_environment: dict[str, str]) -> None:
    def spoil(number: int, header: Header) -> None:
        header.frame_id = f'/{FRAME}'

    with camera(spoil):
        findings = listen('--ros-args', '-p', 'use_sim_time:=true')
    assert '--clock' in find(findings, 'use_sim_time: is set').advice
    assert find(findings, 'begins with a slash').level == WARNING
    # Without a clock nothing can be said of the age of stamps.
    assert find(findings, 'stamps advance').level == OK
    assert not [each for each in findings if 'another camera' in each.found]


def stream(picture: np.ndarray, *seconds: int) -> TopicStream:
    """The images of these stamps."""
    images = TopicStream(Clock())
    for second in seconds:
        images.take(to_image(picture, Header(stamp=Time(sec=second))), {})
    return images


def messages(*detections: Detection2D, stamp: float = 1.0) -> list[Detection2DArray]:
    message = Detection2DArray([*detections])
    message.header = Header(stamp=Time(sec=int(stamp), nanosec=int(stamp % 1 * 1e9)))
    return [message] * 5


PERSON = ('person', 0.9)


@pytest.mark.parametrize(
    ('sent', 'level', 'words'),
    [
        (messages(detection(PERSON)), OK, 'reach to (110.0, 80.0)'),
        (messages(), OK, 'without any detection'),
        (messages(detection()), WARNING, 'have no class'),
        ([], PROBLEM, 'no detections received'),
        (messages(detection(PERSON, x=0.5, y=0.5, size=(0.2, 0.6))), PROBLEM, 'shares of'),
        (messages(detection(PERSON, x=500, y=580, size=(60, 100))), PROBLEM, 'another image'),
        (messages(detection(PERSON, size=(0, 60))), PROBLEM, 'positive size'),
        (messages(detection(('human', 0.9))), WARNING, "'human' with score 0.90"),
        (messages(detection(('person', 0.01))), WARNING, 'score 0.01'),
    ],
)
def test_each_fault_of_a_detector_is_named(
    sent: list[Detection2DArray], level: str, words: str
) -> None:
    [finding] = check_detections('/detections', sent, stream(np.zeros((480, 640, 3), np.uint8), 1))
    assert finding.level == level
    assert words in finding.found
    assert finding.advice or level == OK


def test_detections_with_other_stamps_are_named() -> None:
    sent = messages(detection(PERSON), stamp=1.1)
    _, finding = check_detections('/detections', sent, stream(PICTURE, 1, 2))
    assert (finding.level, 'header' in finding.advice) == (PROBLEM, True)


@pytest.mark.parametrize(('scale', 'level'), [(1.0, OK), (0.36, PROBLEM)])
def test_boxes_within_the_image_that_hold_no_person_are_named(scale: float, level: str) -> None:
    [picture] = read_frames(60, 1)
    x, y, size = 1020 * scale, 340 * scale, (200 * scale, 370 * scale)  # the walker
    sent = messages(detection(PERSON, x=x, y=y, size=size))
    [finding] = check_detections('/detections', sent, stream(picture, 1))
    assert finding.level == level
    assert ('none of 1 people' in finding.found) == (level == PROBLEM)


def test_a_detector_that_is_blind_is_named() -> None:
    [picture] = read_frames(60, 1)
    [finding] = check_detections('/detections', messages(), stream(picture, 1))
    assert finding.level == WARNING
    assert 'people in the last image (1)' in finding.found


def write_folder(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        cv2.imwrite(str(folder / f'{number}.png'), PICTURE)
    return folder


def test_recordings_are_read_as_hybrik_bag_reads_them(tmp_path: Path) -> None:
    good = write_folder(tmp_path / 'good', 3)
    damaged = write_folder(tmp_path / 'damaged', 2)
    (damaged / '1.png').write_bytes(b'no image')
    (tmp_path / 'video.mp4').write_bytes(b'no video')
    video, missing = tmp_path / 'video.mp4', tmp_path / 'missing.mp4'
    found = {path: list(check_recording(path)) for path in (good, damaged, video, missing)}
    levels = {path: [each.level for each in findings] for path, findings in found.items()}
    assert OK in levels[good]
    assert PROBLEM not in levels[good]
    assert levels[damaged].count(WARNING) > levels[good].count(WARNING)
    assert levels[video] == [PROBLEM]
    assert [each.found for each in found[missing]] == ['does not exist']
    everything = [each for findings in found.values() for each in findings]
    assert all(each.advice for each in everything if each.level != OK)


def test_bags_with_slashes_and_of_two_cameras_are_named(tmp_path: Path) -> None:
    slashes = write_bag(tmp_path / 'slashes', [PICTURE] * 4, frame_id='//camera')
    with open_source(Recording(slashes)) as source:
        pictures = [step.picture for step in source.steps() if step.picture]
        assert {picture.header.frame_id for picture in pictures} == {'camera'}
        assert ['slash' in note for note in source.notes].count(True) == 1
    other = np.zeros((24, 32, 3), np.uint8)
    findings = list(check_recording(write_bag(tmp_path / 'two', [PICTURE, other] * 3)))
    assert find(findings, "size alternates: '32 x 24', '64 x 48'").level == WARNING


A_SECOND = 10**9


@pytest.mark.parametrize(
    ('stamps', 'words'),
    [
        ([], ''),
        ([5], ''),
        ([5, 6, 7], ''),
        ([5, 5, 6, 6, 7, 7, 8, 8], 'each stamp occurs twice'),
        ([5, 6, 6, 7, 7, 8], 'each stamp occurs twice'),
        ([5, 5, 5, 6, 6, 6], 'each stamp occurs three times'),
        ([5, 6, 6, 7, 8], '1 of 5 images repeat'),
        ([5, 6, 6, 7], '1 of 4 images repeat'),
        ([A_SECOND, A_SECOND + 9, A_SECOND + 8, A_SECOND + 10], '1 of 4 images are older'),
        ([A_SECOND, 2 * A_SECOND, 1, 2], 'jumped back'),
    ],
)
def test_stamps_that_do_not_follow_each_other_are_named(stamps: list[int], words: str) -> None:
    fault = find_odd_step(stamps)
    assert words in fault
    assert bool(words) == bool(Finding.of(WARNING, 'x', fault).advice)


def times_of(interval: float, count: int = 40) -> np.ndarray:
    return START + (np.arange(count) * interval * A_SECOND).astype(np.int64)


@pytest.mark.parametrize(
    ('step', 'interval', 'factor'),
    [
        (1 / 120, 1 / 12, '10'),
        (1e-6 / 12, 1 / 12, '1e+06'),  # thousandths of a second for nanoseconds, twice
        (1000 / 12, 1 / 12, '0.001'),
        (2 / 30, 1 / 30, '0.5'),
        (1 / 30, 2 / 30, '2'),
    ],
)
def test_stamps_of_another_speed_than_the_clock_are_named(
    step: float, interval: float, factor: str
) -> None:
    jitter = np.random.default_rng(3).normal(0, 0.3 * interval * A_SECOND, 40).astype(np.int64)
    times = np.sort(times_of(interval) + jitter)
    kept = np.flatnonzero(np.arange(40) % 5)  # The others were dropped.
    fault = find_other_speed([*times_of(step)[kept]], [*times[kept]])
    assert 'use_sim_time' in Finding.of(WARNING, 'x', fault).advice
    found = fault.partition('velocities are ')[2]
    assert float(found.split()[0]) == pytest.approx(float(factor), rel=0.2)


@pytest.mark.parametrize('interval', [1 / 120, 1 / 30, 1.0])
@pytest.mark.parametrize('seed', range(5))
def test_bursts_drops_jitter_and_jumps_are_no_other_speed(interval: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    stamps = times_of(interval, 200)
    period = round(random.uniform(2, 70) * interval * A_SECOND)
    jumps = np.where(stamps > stamps[random.integers(200)], random.integers(100) * A_SECOND, 0)
    for times in (
        -(-stamps // period) * period,  # in bursts
        stamps + np.abs(random.normal(0, interval * A_SECOND, 200)).astype(np.int64),
        stamps + jumps,  # the clock was set
        stamps - jumps,
        np.maximum(stamps, stamps[random.integers(100)]),  # kept back
    ):
        kept = np.sort(random.permutation(200)[: random.integers(8, 200)])
        assert not find_other_speed([*stamps[kept]], [*times[kept]])


@pytest.mark.parametrize(
    ('stamps', 'times'), [([5] * 20, times_of(0.1, 20)), (times_of(0.1, 20), [0] * 20), ([5], [5])]
)
def test_without_time_there_is_no_speed(stamps: list[int], times: list[int]) -> None:
    assert not find_other_speed(stamps, times)


def test_a_driver_that_counts_images_is_named(ros_environment: dict[str, str]) -> None:
    began = Clock().now().nanoseconds

    def spoil(number: int, header: Header) -> None:
        header.stamp = Time(**stamp_fields(began + number * 5_000_000))

    with camera(spoil):
        findings = listen()
    assert find(findings, 'stamps advance by 5 ms').level == WARNING
    assert not [each for each in findings if 'chrony' in each.advice]


def test_a_bag_with_every_image_twice_is_named_as_such(tmp_path: Path) -> None:
    stamps = [START + number // 2 * 40_000_000 for number in range(20)]
    findings = list(check_recording(write_bag(tmp_path / 'twice', [PICTURE] * 20, stamps=stamps)))
    assert 'record each image once' in find(findings, 'each stamp occurs twice').advice
    assert find(findings, '20 images of 64 x 48 pixels, 0.04 s apart').level == OK
    assert not [each for each in findings if 'higher rate' in each.advice]


@pytest.mark.parametrize(
    ('stamp', 'words'), [(0, 'stamps are all zero'), (START, 'stamps do not advance')]
)
def test_bags_whose_stamps_stand_still_are_named(tmp_path: Path, stamp: int, words: str) -> None:
    bag = write_bag(tmp_path / 'bag', [PICTURE] * 4, stamps=[stamp] * 4)
    fault = find(list(check_recording(bag)), words)
    assert (fault.level, 'camera driver' in fault.advice) == (PROBLEM, True)


def test_of_long_recordings_it_is_told_how_much_was_read(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'bag', [PICTURE[:8, :8]] * 200)
    assert find(list(check_recording(bag)), 'the first 150 images of 8 x 8').level == OK


def test_damaged_people_in_a_bag_are_named(tmp_path: Path) -> None:
    [human] = walk(1, 1)
    bad = replace(human, id='../x')
    path = write_people(tmp_path / 'people', [[human], [human, bad], [human]])
    findings = list(check_recording(path))
    assert "person '../x'" in find(findings, 'left out').found
    assert find(findings, '3 frames with 1 people').level == OK
    assert len(findings) == 2


@pytest.mark.parametrize('is_seen', [True, False])
def test_of_long_bags_of_people_only_a_part_is_read(tmp_path: Path, is_seen: bool) -> None:
    [human] = walk(1, 1)
    path = write_people(tmp_path / 'people', [[human] if is_seen else []] * 4000)
    [finding] = check_recording(path)
    assert finding.level == (OK if is_seen else WARNING)
    people = f'3000 frames with {is_seen:d} people'
    assert finding.found == f'/people: {people} in the first 3000 of 4000 messages'
    assert ('reads the other messages' in finding.advice) == (not is_seen)


def test_of_crowds_fewer_messages_are_read(tmp_path: Path) -> None:
    [human] = walk(1, 1)
    crowd = [replace(human, id=f'p{number}') for number in range(40)]
    [finding] = check_recording(write_people(tmp_path / 'people', [crowd] * 100))
    assert '75 frames with 40 people in the first 75 of 100 messages' in finding.found


@pytest.mark.parametrize(
    ('text', 'found', 'advice'),
    [
        ('no channel: another one', 'no channel', 'another one'),
        ('a bag: its file: copy it', 'a bag: its file', 'copy it'),
        ('no topic: choose one (there: /a)', 'no topic', 'choose one (there: /a)'),
        ('no advice', 'no advice', 'ask'),
    ],
)
def test_messages_are_findings_with_advice(text: str, found: str, advice: str) -> None:
    assert Finding.of(WARNING, 'x', text, 'ask') == Finding(WARNING, 'x', found, advice)


@pytest.mark.parametrize(
    'url',
    [
        'rtsp://admin:S3CR3T@127.0.0.1',
        'srt://127.0.0.1:9?passphrase=S3CR3T',
        'http://h/v?pw=S3CR3T',
    ],
)
def test_doctor_names_urls_without_their_secrets(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['doctor', url]) == 1
    said = capsys.readouterr().out
    assert 'is a URL, and recordings are files' in said
    assert 'S3CR3T' not in said


def test_doctor_checks_recordings_without_ros(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['doctor', str(tmp_path / 'missing.mp4')]) == 1
    said = capsys.readouterr().out
    assert 'problem  missing.mp4: does not exist' in said
    assert 'camera' not in said
