"""`hybrik demo`, run as people run it."""

import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Point, Quaternion
from rclpy.duration import Duration
from rclpy.node import Node
from rosbags.highlevel import AnyReader
from sample import read_frames
from spinning import SpinningNode

from hybrik_ros.bags import typestore
from hybrik_ros.body import BodyModel
from hybrik_ros.cli.demo import DemoError, check_sample
from hybrik_ros.kinematics import forward
from hybrik_ros.msg import HumanMesh, HumanMeshArray
from hybrik_ros.node.recorder import Recorder
from hybrik_ros.rotations import from_quaternion
from hybrik_ros.share import SAMPLE

FRAMES = 145  # of the sample clip


def run_demo(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-m', 'hybrik_ros.cli', 'demo', *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)


@pytest.fixture(scope='module')
def demo(
    ros_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[subprocess.CompletedProcess[str], Path]:
    output = tmp_path_factory.mktemp('demo') / 'output'
    return run_demo(ros_environment, '--no-realtime', '--output', str(output)), output


def rows(printed: str) -> dict[str, str]:
    """Return the cells of the printed tables by their first cell."""
    cells = [line.strip('│ ').split('│') for line in printed.splitlines() if '│' in line]
    return {row[0].strip(): row[1].strip() for row in cells if len(row) == 2}


def test_demo_sums_up_every_frame(
    demo: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    finished, _ = demo
    assert finished.returncode == 0, finished.stdout + finished.stderr
    printed = rows(finished.stdout)
    assert printed['published'] == printed['received'] == printed['processed'] == str(FRAMES)
    assert printed['dropped for newer ones'] == '0'
    assert int(printed['with a person'].split()[0]) >= 0.98 * FRAMES
    for stage in ('wait', 'decode', 'landmarks', 'solve', 'publish'):
        median, p95 = (float(number) for number in printed[stage].split(' / '))
        assert 0 <= median <= p95


def test_the_counts_outlast_the_node(ros_environment: dict[str, str]) -> None:
    context = rclpy.Context()
    rclpy.init(context=context)
    node = Node('reports', context=context)
    publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
    counts = [KeyValue(key='received', value='145')]
    active = DiagnosticStatus(name='hybrik_node', message='running', values=counts)
    ended = DiagnosticStatus(name='hybrik_node', message='finalized')
    with Recorder('hybrik_node') as recorder:
        deadline = time.monotonic() + 30
        while publisher.get_subscription_count() < 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        publisher.publish(DiagnosticArray(status=[active]))
        publisher.publish(DiagnosticArray(status=[ended]))
        assert publisher.wait_for_all_acked(Duration(seconds=10))
        time.sleep(0.5)
    node.destroy_node()
    context.try_shutdown()
    assert recorder.report == {'received': '145'}


def test_recorder_leaves_out_invalid_people(ros_environment: dict[str, str]) -> None:
    peer = SpinningNode('people')
    publisher = peer.node.create_publisher(HumanMeshArray, 'human_poses', 10)

    def array(sec: int, *ids: str) -> HumanMeshArray:
        upright = [Quaternion(w=1.0)] * 24
        place = Point(z=3.0)
        joints = [Point(y=0.05 * number, z=3.0) for number in range(24)]
        found = HumanMeshArray(
            humans=[
                HumanMesh(id=id, rotations=upright, joints=joints.copy(), translation=place)
                for id in ids
            ]
        )
        found.header.stamp.sec = sec
        return found

    damaged = array(2, 'p1', 'p2', '../evil')
    damaged.humans[0].joints[5] = Point(y=float('nan'))
    try:
        with Recorder('hybrik_node') as recorder:
            assert peer.wait(publisher.get_subscription_count)
            for message in (array(1, 'p1'), damaged, array(-1, 'p1'), array(3, 'p1')):
                publisher.publish(message)
            assert peer.wait(lambda: len(recorder.people) == 3)
    finally:
        peer.close()
    ids = {stamp: [human.id for human in humans] for stamp, humans in recorder.people.items()}
    assert ids == {10**9: ['p1'], 2 * 10**9: ['p2'], 3 * 10**9: ['p1']}


def test_demo_bag_reads_back(
    demo: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    _, output = demo
    body = BodyModel.load()
    with AnyReader([output / 'bag'], default_typestore=typestore()) as reader:
        assert {c.topic: c.msgtype for c in reader.connections} == {
            '/human_pose': 'hybrik_ros/msg/HumanMesh',
            '/tf': 'tf2_msgs/msg/TFMessage',
        }
        read: dict[str, list] = {'/human_pose': [], '/tf': []}
        for connection, _, data in reader.messages():
            read[connection.topic].append(reader.deserialize(data, connection.msgtype))
    assert len(read['/human_pose']) >= 0.98 * FRAMES
    stamps = [(m.header.stamp.sec, m.header.stamp.nanosec) for m in read['/human_pose']]
    assert stamps == [
        (m.transforms[0].header.stamp.sec, m.transforms[0].header.stamp.nanosec)
        for m in read['/tf']
    ]
    assert sorted(set(stamps)) == stamps
    for message in read['/human_pose'][::20]:
        rotations = from_quaternion([[q.x, q.y, q.z, q.w] for q in message.rotations])
        joints = np.array([[p.x, p.y, p.z] for p in message.joints])
        posed, _ = forward(rotations, body.rest_joints(message.betas))
        shift = [message.translation.x, message.translation.y, message.translation.z]
        np.testing.assert_allclose(posed[:24] + shift, joints, atol=1e-3)


def test_demo_pictures(demo: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    _, output = demo
    sheet = cv2.imread(str(output / 'contact_sheet.jpg'))
    assert sheet.shape[1] == 1920
    assert sheet.std() > 20
    assert (output / 'contact_sheet.jpg').stat().st_size < 1.5e6
    assert (output / 'overlay.webm').read_bytes()[:4] == b'\x1a\x45\xdf\xa3'  # EBML
    overlay = cv2.VideoCapture(str(output / 'overlay.webm'))
    assert int(overlay.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, 'little') == b'VP80'
    assert overlay.get(cv2.CAP_PROP_FRAME_COUNT) >= 0.98 * FRAMES
    assert overlay.get(cv2.CAP_PROP_FPS) == pytest.approx(30, abs=1)
    assert overlay.read()[1].shape == (594, 1768, 3)


def test_people_and_person_frames_are_counted(
    demo: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    printed = rows(demo[0].stdout)
    assert 1 <= int(printed['people']) <= 3  # one woman, and what is seen for a moment
    assert int(printed['person-frames']) >= int(printed['with a person'].split()[0])


def test_an_empty_room_is_no_failure(ros_environment: dict[str, str], tmp_path: Path) -> None:
    room = tmp_path / 'room.mp4'
    writer = cv2.VideoWriter(str(room), cv2.VideoWriter.fourcc(*'mp4v'), 15, (320, 240))
    for _ in range(10):
        writer.write(np.full((240, 320, 3), 90, np.uint8))
    writer.release()
    output = tmp_path / 'out'
    finished = run_demo(
        ros_environment, '--input', str(room), '--output', str(output), '--no-realtime'
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert 'No person was found' in finished.stdout
    assert 'failed' not in finished.stdout
    assert rows(finished.stdout)['person-frames'] == '0'
    assert cv2.VideoCapture(str(output / 'overlay.webm')).get(cv2.CAP_PROP_FRAME_COUNT) == 10
    assert cv2.imread(str(output / 'contact_sheet.jpg')) is not None


def test_faults_that_only_the_logs_have_are_printed(
    ros_environment: dict[str, str], tmp_path: Path
) -> None:
    black = tmp_path / 'black.png'
    cv2.imwrite(str(black), np.full((240, 320, 3), 3, np.uint8))
    finished = run_demo(ros_environment, '--input', str(black), '--output', str(tmp_path / 'out'))
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stdout.count('nearly black') == 1
    assert finished.stdout.count('Warning: no calibration: a horizontal field of view of 60') == 1


def test_the_people_in_a_photo_are_found_whatever_its_name(
    ros_environment: dict[str, str], tmp_path: Path
) -> None:
    photo, output = tmp_path / os.fsdecode(b'caf\xe9\n.png'), tmp_path / 'out'  # not UTF-8
    photo.write_bytes(cv2.imencode('.png', read_frames(90, 1)[0][..., ::-1])[1].tobytes())
    finished = run_demo(ros_environment, '--input', str(photo), '--output', str(output))
    assert finished.returncode == 0, finished.stdout + finished.stderr
    printed = rows(finished.stdout)
    assert (printed['people'], printed['person-frames']) == ('1', '1')
    assert cv2.imread(str(output / 'overlay.jpg')).shape == (594, 1768, 3)
    assert cv2.imread(str(output / 'contact_sheet.jpg')).shape[1] == 1920


def test_a_camera_that_is_not_there_is_named(
    ros_environment: dict[str, str], tmp_path: Path
) -> None:
    finished = run_demo(ros_environment, '--input', '97', '--output', str(tmp_path / 'out'))
    assert finished.returncode == 1
    assert 'the camera 97 cannot be opened' in finished.stdout


@pytest.mark.parametrize(
    ('with_person', 'processed', 'fails'),
    [(145, 145, False), (100, 145, True), (10, 13, False), (0, 13, True), (0, 0, True)],
)
def test_the_sample_has_a_person_in_most_frames_unless_the_machine_is_busy(
    with_person: int, processed: int, fails: bool
) -> None:
    with pytest.raises(DemoError, match='woman') if fails else nullcontext():
        check_sample(with_person, processed, 145)


@pytest.mark.parametrize(
    ('name', 'marked'),
    [
        ('bag/thesis.txt', False),
        ('bag/thesis.txt', True),  # in the folder of an earlier demo
        ('bag/bag.mcap', False),
        ('node.log', False),
        ('overlay.webm', False),
    ],
)
def test_demo_keeps_what_is_not_its_own(
    ros_environment: dict[str, str], tmp_path: Path, name: str, marked: bool
) -> None:
    precious = tmp_path / name
    precious.parent.mkdir(exist_ok=True)
    precious.write_text('years of work')
    if marked:
        (tmp_path / '.hybrik_demo').touch()
    finished = run_demo(ros_environment, '--output', str(tmp_path))
    assert finished.returncode == 1
    assert str(tmp_path / name.split('/')[0]) in finished.stdout
    assert precious.read_text() == 'years of work'


def test_demo_does_not_overwrite_its_input(ros_environment: dict[str, str], tmp_path: Path) -> None:
    clip = tmp_path / 'overlay.webm'
    clip.write_bytes(SAMPLE.read_bytes())
    finished = run_demo(ros_environment, '--input', str(clip), '--output', str(tmp_path))
    assert finished.returncode == 1
    assert 'would be overwritten' in finished.stdout
    assert clip.read_bytes() == SAMPLE.read_bytes()


def test_demo_into_a_file_fails_and_says_why(
    ros_environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / 'file').touch()
    finished = run_demo(ros_environment, '--output', str(tmp_path / 'file'))
    assert finished.returncode == 1
    assert str(tmp_path / 'file') in finished.stdout
    assert 'Traceback' not in finished.stdout + finished.stderr


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_nothing_outlives_a_demo_that_is_stopped(
    ros_environment: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    command = [sys.executable, '-m', 'hybrik_ros.cli', 'demo', '--output', str(tmp_path)]
    demo = subprocess.Popen(
        command,
        env=ros_environment,
        stdout=subprocess.DEVNULL,
        # Children of shells that run the tests in the background ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not children(demo.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    node, *_ = children(demo.pid)
    demo.send_signal(number)
    assert demo.wait(15) == 128 + number
    assert not Path(f'/proc/{node}').exists()


def children(pid: int) -> list[int]:
    tasks = Path(f'/proc/{pid}/task').glob('*/children')
    return [int(child) for task in tasks for child in task.read_text().split()]


def test_demo_of_a_missing_file_fails_and_says_why(
    ros_environment: dict[str, str], tmp_path: Path
) -> None:
    missing = tmp_path / '[/red]nothing.mp4'
    finished = run_demo(ros_environment, '--input', str(missing))
    assert finished.returncode == 1
    assert f'{missing} does not exist' in finished.stdout
