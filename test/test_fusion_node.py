"""The fusion node as a process of its own: observations and TF in, people in a fixed frame out."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from hri_msgs.msg import IdsList
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rclpy.time import Time
from spinning import SpinningNode
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger
from tf2_msgs.msg import TFMessage
from transforms import stamped
from views import around, observe, standing
from visualization_msgs.msg import MarkerArray

from hybrik_ros.body import BodyModel
from hybrik_ros.findings import OK, PROBLEM, WARNING, Finding
from hybrik_ros.fusion import Fusion, View
from hybrik_ros.human import Human
from hybrik_ros.messages.people import from_human_mesh
from hybrik_ros.msg import HumanMesh, HumanMeshArray, HumanObservationArray
from hybrik_ros.node.graph_checks import check_graph
from hybrik_ros.node.message_maker import make, make_observations
from hybrik_ros.rotations import from_rotation_vector

CAMERAS = ('left', 'right')
TRANSFORMS = dict(zip(CAMERAS, around(5)[:2], strict=True))
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
TOPICS = {
    'human_pose': HumanMesh,
    'human_poses': HumanMeshArray,
    '/tf': TFMessage,
    'fusion_node/markers': MarkerArray,
    '/humans/bodies/tracked': IdsList,
    '/diagnostics': DiagnosticArray,
}
PERIOD = 1 / 30


class Cameras(SpinningNode):
    """The hybrik_nodes of two cameras, TF, and what the fusion publishes."""

    def __init__(self) -> None:
        super().__init__('cameras')
        self.heard: dict[str, list] = {topic: [] for topic in TOPICS}
        for topic, kind in TOPICS.items():
            self.node.create_subscription(kind, topic, self.heard[topic].append, 100)
        self.observations = {
            name: self.node.create_publisher(
                HumanObservationArray, f'{name}/human_observations', qos_profile_sensor_data
            )
            for name in CAMERAS
        }
        self.poses = {
            name: self.node.create_publisher(HumanMeshArray, f'{name}/human_poses', 10)
            for name in CAMERAS
        }
        self.tf = self.node.create_publisher(TFMessage, '/tf', 10)
        self.static = self.node.create_publisher(TFMessage, '/tf_static', LATCHED)

    def header(self, name: str, ahead: float = 0.0) -> Header:
        now = self.node.get_clock().now() + Duration(seconds=ahead)
        return Header(stamp=now.to_msg(), frame_id=f'{name}_optical')

    def observe(
        self, people: Sequence[NDArray], name: str, header: Header, body: str = 'default'
    ) -> None:
        """Publish what a camera sees of people's landmarks."""
        seen = [observe(points, TRANSFORMS[name], f'p{n}') for n, points in enumerate(people)]
        self.observations[name].publish(make_observations.array(seen, header, body))

    def place(self, names: Sequence[str] = CAMERAS) -> None:
        self.static.publish(
            TFMessage(
                transforms=[
                    stamped('map', f'{name}_optical', TRANSFORMS[name], Header()) for name in names
                ]
            )
        )

    def show(self, people: Sequence[NDArray], names: Sequence[str] = CAMERAS) -> Header:
        """Publish what cameras see at one time."""
        header = self.header(names[0])
        for name in names:
            self.observe(people, name, Header(stamp=header.stamp, frame_id=f'{name}_optical'))
        return header

    def play(
        self,
        people: Sequence[NDArray],
        condition: Callable[[], object],
        names: Sequence[str] = CAMERAS,
        seconds: float = 15.0,
    ) -> bool:
        """Publish images until a condition holds."""
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline:
            self.show(people, names)
            time.sleep(PERIOD)
        return bool(condition())

    def last(self) -> list[Human]:
        """Return the people in the newest message."""
        heard = self.heard['human_poses']
        return [from_human_mesh(mesh) for mesh in heard[-1].humans] if heard else []

    def status(self) -> DiagnosticStatus:
        """Return a report of the fusion that is yet to come."""
        before = len(self.heard['/diagnostics'])
        assert self.wait(lambda: len(self.heard['/diagnostics']) > before)
        return self.heard['/diagnostics'][-1].status[0]

    def says(self, text: str) -> bool:
        """Return whether the newest report has a text in its message."""
        heard = self.heard['/diagnostics']
        return bool(heard) and text in heard[-1].status[0].message

    def call(self, kind: type, name: str, request: object) -> object:
        client = self.node.create_client(kind, f'fusion_node/{name}')
        assert client.wait_for_service(10)
        future = client.call_async(request)
        assert self.wait(future.done)
        self.node.destroy_client(client)
        return future.result()


def near(humans: Sequence[Human], joints: Sequence[NDArray]) -> bool:
    """Return whether there is one person at each of the places, by the pelvis."""
    if len(humans) != len(joints):
        return False
    found = np.array([human.joints[0] for human in humans])
    expected = np.array([each[0] for each in joints])
    away = np.linalg.norm(found[:, None] - expected, axis=2)
    return bool((away.min(axis=0) < 0.06).all() and (away.min(axis=1) < 0.06).all())


Start = Callable[..., subprocess.Popen]


@pytest.fixture(scope='module')
def peer(ros_environment: dict[str, str]) -> Iterator[Cameras]:
    cameras = Cameras()
    yield cameras
    cameras.close()


@pytest.fixture
def cameras(peer: Cameras) -> Cameras:
    """Return the cameras without TF, and with nothing heard."""
    peer.place([])
    for heard in peer.heard.values():
        heard.clear()
    return peer


@pytest.fixture
def start(ros_environment: dict[str, str], cameras: Cameras, tmp_path: Path) -> Iterator[Start]:
    """Return what starts the node and waits until it is active."""
    processes: list[subprocess.Popen] = []

    def begin(*arguments: str, remap: str = '', waits: bool = True) -> subprocess.Popen:
        command = [sys.executable, '-m', 'hybrik_ros.node.fusion_main', '--ros-args']
        for argument in ('cameras:=[left, right]', *arguments):
            command += ['-p', argument]
        command += ['-r', remap] if remap else []
        with (tmp_path / 'log').open('wb') as log:
            process = subprocess.Popen(
                command, env=ros_environment, stdout=log, stderr=subprocess.STDOUT
            )
        processes.append(process)
        if waits:
            topic = 'left/human_observations'
            assert cameras.wait(lambda: cameras.node.count_subscribers(topic) > 0, 60), said()
        return process

    def said() -> str:
        return (tmp_path / 'log').read_text()

    begin.said = said
    yield begin
    for process in processes:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        finally:
            process.kill()
    assert cameras.wait(lambda: not cameras.node.count_subscribers('left/human_observations'))


@pytest.fixture(scope='module')
def people() -> list[tuple[NDArray, NDArray]]:
    """Joints and landmarks of two people."""
    body = BodyModel.load()
    return [standing(body, seed, (0.8 * seed - 0.4, 0.2)) for seed in (0, 1)]


def test_people_are_published_in_the_fixed_frame(
    cameras: Cameras, start: Start, people: list[tuple[NDArray, NDArray]]
) -> None:
    process = start('publish.vertices:=true', 'id_prefix:=robot')
    cameras.place()
    joints, points = zip(*people, strict=True)
    assert cameras.play(points, lambda: near(cameras.last(), joints)), start.said()
    header = cameras.show(points)
    stamp = header.stamp

    def answered() -> list:
        return [m for m in cameras.heard['human_poses'] if m.header.stamp == stamp]

    assert cameras.wait(answered)
    [array] = answered()  # once, although two messages had this stamp
    assert {array.header.frame_id, *(mesh.header.frame_id for mesh in array.humans)} == {'map'}
    assert {mesh.id for mesh in array.humans} == {'robot1', 'robot2'}
    assert all(len(mesh.joint_sigma) == 24 and len(mesh.vertices) > 0 for mesh in array.humans)

    def singles() -> list:
        return [m for m in cameras.heard['human_pose'] if m.header.stamp == stamp]

    assert cameras.wait(lambda: singles() == list(array.humans))
    assert cameras.wait(lambda: cameras.heard['/tf'][-1].transforms[0].header.stamp == stamp)
    frames = [
        transform
        for message in cameras.heard['/tf']
        for transform in message.transforms
        if transform.header.stamp == stamp
    ]
    roots = {frame.child_frame_id for frame in frames if frame.header.frame_id == 'map'}
    assert roots == {'body_robot1', 'body_robot2'}
    assert len(frames) == 50
    assert cameras.wait(lambda: cameras.heard['fusion_node/markers'])
    markers = cameras.heard['fusion_node/markers'][-1].markers
    assert {marker.header.frame_id for marker in markers} == {'map'}
    assert set(cameras.heard['/humans/bodies/tracked'][-1].ids) == {'robot1', 'robot2'}
    topics = dict(cameras.node.get_topic_names_and_types())
    assert '/humans/bodies/robot1/joint_states' in topics
    assert '/humans/bodies/robot1/cropped' not in topics
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0


def test_the_result_is_that_of_the_library(
    cameras: Cameras, start: Start, people: list[tuple[NDArray, NDArray]]
) -> None:
    start('smoothing.enabled:=false')
    cameras.place()
    _, points = people[0]
    sent: list[float] = []

    def step() -> bool:
        header = cameras.show([points])
        sent.append(Time.from_msg(header.stamp).nanoseconds * 1e-9)
        time.sleep(PERIOD)
        return len(cameras.heard['human_poses']) > 9 and len(cameras.last()) == 1

    assert cameras.wait(step)
    fusion = Fusion(smoothing=False)
    for stamp in sent:
        views = {name: View(stamp, TRANSFORMS[name], [observe(points, TRANSFORMS[name], 'p0')])
                 for name in CAMERAS}  # fmt: skip
        [human] = fusion(views)
    [found] = cameras.last()
    # The shape still comes to fit over time, and the process may have missed images.
    np.testing.assert_allclose(found.joints, human.joints, atol=0.01)


def test_a_camera_without_tf_is_left_out_and_named(
    cameras: Cameras, start: Start, people: list[tuple[NDArray, NDArray]]
) -> None:
    start()
    cameras.place(['left'])
    joints, points = people[0]
    reason = "camera right is left out: no transforms on /tf connect 'right_optical' with 'map'"
    assert cameras.play([points], lambda: cameras.says(reason)), start.said()
    assert cameras.play([points], cameras.last)  # by the other camera alone, after a moment
    values = {pair.key: pair.value for pair in cameras.status().values}
    assert values['camera right'].endswith("connect 'right_optical' with 'map'")
    assert start.said().count(reason) == 1
    # TF that comes late is used.
    cameras.place()
    assert cameras.play([points], lambda: near(cameras.last(), [joints]))
    assert cameras.play([points], lambda: not cameras.says('left out'))
    values = {pair.key: pair.value for pair in cameras.status().values}
    assert '1 people by human_observations' in values['camera right']


def test_moving_cameras_are_placed_at_the_time_of_their_images(
    cameras: Cameras, start: Start, people: list[tuple[NDArray, NDArray]]
) -> None:
    """A robot that drives at 2 m/s carries both cameras; people stand still."""
    start()
    cameras.static.publish(
        TFMessage(
            transforms=[
                stamped('base', f'{name}_optical', TRANSFORMS[name], Header()) for name in CAMERAS
            ]
        )
    )
    joints, points = people[0]
    begin = cameras.node.get_clock().now()
    places: list[NDArray] = []

    def step() -> bool:
        now = cameras.node.get_clock().now()
        for late in (0.0, 0.02):  # TF before and after the image
            when = now + Duration(seconds=late)
            pose = np.eye(4)
            pose[0, 3] = 2.0 * (when - begin).nanoseconds * 1e-9 % 6 - 3
            header = Header(stamp=when.to_msg())
            cameras.tf.publish(TFMessage(transforms=[stamped('map', 'base', pose, header)]))
        time.sleep(0.01)
        image = now + Duration(seconds=0.01)
        moved = points - [2.0 * (image - begin).nanoseconds * 1e-9 % 6 - 3, 0, 0]
        for name in CAMERAS:
            header = Header(stamp=image.to_msg(), frame_id=f'{name}_optical')
            cameras.observe([moved], name, header)
        time.sleep(PERIOD)
        if cameras.last():
            places.append(cameras.last()[0].joints[0])
        return len(places) > 40

    assert cameras.wait(step), start.said()
    away = np.linalg.norm(np.array(places) - joints[0], axis=1)
    assert np.median(away) < 0.05


def test_people_of_human_poses_are_fused_where_there_are_no_observations(
    cameras: Cameras, start: Start, people: list[tuple[NDArray, NDArray]]
) -> None:
    start()
    cameras.place()
    joints, points = people[0]
    local: dict[str, Human] = {}
    for name, transform in TRANSFORMS.items():
        fusion = Fusion(smoothing=False)
        for n in range(12):
            view = View(0.033 * n, np.eye(4), [observe(points, transform)])
            found = fusion({'camera': view})
        [local[name]] = found

    def step() -> bool:
        now = cameras.node.get_clock().now().to_msg()
        for name, human in local.items():
            header = Header(stamp=now, frame_id=f'{name}_optical')
            mesh = make.human_mesh(human, header, 'default', False)
            cameras.poses[name].publish(make.array([mesh], header))
        time.sleep(PERIOD)
        heard = cameras.heard['/diagnostics']
        values = {pair.key: pair.value for pair in heard[-1].status[0].values} if heard else {}
        # One camera may be heard before the other.
        return all('1 people by human_poses' in values.get(f'camera {n}', '') for n in CAMERAS)

    assert cameras.wait(step), start.said()
    assert cameras.wait(lambda: step() and len(cameras.last()) == 1)
    assert np.linalg.norm(cameras.last()[0].joints[0] - joints[0]) < 0.1
    # Observations go before.
    assert cameras.play([points], lambda: near(cameras.last(), [joints]))
    assert cameras.play([points], lambda: not cameras.node.count_subscribers('left/human_poses'))


def test_other_bodies_shared_frames_and_future_stamps_are_refused(
    cameras: Cameras, start: Start, people: list[tuple[NDArray, NDArray]]
) -> None:
    start()
    cameras.place()
    _, points = people[0]

    def until(reason: str, frame: str, ahead: float, body: str) -> None:
        def step() -> bool:
            cameras.observe([points], 'left', cameras.header('left'))
            header = cameras.header(frame, ahead)
            cameras.observe([points], 'right', header, body)
            time.sleep(PERIOD)
            return cameras.says(f'camera right is left out: {reason}')

        assert cameras.wait(step), (reason, start.said())

    until("its people have the body 'other', those of the fusion 'default'", 'right', 0, 'other')
    until("its frame_id 'left_optical' is that of camera left", 'left', 0, 'default')
    until('its stamps are', 'right', 30.0, 'default')
    assert cameras.play([points], cameras.last)


def test_a_camera_with_wrong_extrinsics_is_named(
    cameras: Cameras, start: Start, people: list[tuple[NDArray, NDArray]]
) -> None:
    start()
    cameras.place()
    joints, points = people[0]
    key = 'camera left, distance mm'

    def values() -> dict[str, str]:
        """Return the values of the newest report, while images come."""
        heard = cameras.heard['/diagnostics']
        return {pair.key: pair.value for pair in heard[-1].status[0].values} if heard else {}

    assert cameras.play([points], lambda: near(cameras.last(), [joints]))
    assert cameras.play([points], lambda: key in values())
    assert not cameras.says('camera left or right')
    found = values()
    assert float(found[key]) < 10
    assert found['camera right, people that others see'] == '100%'
    assert float(found['camera right, Hz']) > 5
    # Now TF says that a camera looks 1 degree lower than it does.
    wrong = TRANSFORMS['right'].copy()
    wrong[:3, :3] = wrong[:3, :3] @ from_rotation_vector(np.radians([1.0, 0, 0]))
    cameras.static.publish(TFMessage(transforms=[stamped('map', 'right_optical', wrong, Header())]))
    assert cameras.play([points], lambda: cameras.says('camera left or right: ')), start.said()
    assert cameras.says('off in one direction for 2 s: recalibrate it')
    assert len(cameras.last()) == 1
    found = values()
    assert float(found[key]) > 25
    y = float(found['camera right, direction mm, x / y'].split(' / ')[1])
    assert abs(y) > 25
    assert start.said().count('off in one direction') == 1
    # And now it is right again.
    cameras.place()
    assert cameras.play([points], lambda: not cameras.says('off in one direction'))


@pytest.mark.parametrize('correct', [False, True])
def test_a_late_clock_is_named_or_corrected(
    cameras: Cameras, start: Start, people: list[tuple[NDArray, NDArray]], correct: bool
) -> None:
    start(f'correct_clocks:={str(correct).lower()}')
    cameras.place()
    _, points = people[0]
    began = time.monotonic()

    def moved(seconds: float) -> NDArray:
        phase = 2 * np.pi * (0.6 * (seconds - began) + np.arange(33) % 4 / 4)
        return points + 0.3 * np.outer(np.sin(phase), [0.4, 0.4, 0.8])

    def step() -> bool:
        now, header = time.monotonic(), cameras.header('left')
        for name, late in (('left', 0.0), ('right', 0.07)):
            of_camera = Header(stamp=header.stamp, frame_id=f'{name}_optical')
            cameras.observe([moved(now - late)], name, of_camera)
        time.sleep(PERIOD)
        reports = [report.status[0] for report in cameras.heard['/diagnostics'][-1:]]
        values = {pair.key: pair.value for report in reports for pair in report.values}
        return float(values.get('camera right, clock late ms', 0)) > 35

    assert cameras.wait(step, 30), start.said()
    reason = 'camera right: clock late by'
    if correct:
        assert cameras.wait(lambda: step() and not cameras.says(reason), 30), start.said()
        return
    assert cameras.wait(lambda: step() or cameras.says(reason), 30), start.said()
    assert start.said().count(reason) == 1
    assert 'or that of left is early: synchronise the clocks' in start.said()


def test_cameras_may_take_a_while_to_start(cameras: Cameras, start: Start) -> None:
    start()
    begin = time.monotonic()
    assert cameras.wait(lambda: cameras.says('camera left is left out: no message for'))
    assert time.monotonic() - begin > 6


def test_silent_cameras_are_named_and_people_stay(
    cameras: Cameras, start: Start, people: list[tuple[NDArray, NDArray]]
) -> None:
    start()
    cameras.place()
    joints, points = people[0]
    assert cameras.play([points], lambda: near(cameras.last(), [joints]))
    [before] = cameras.last()
    reason = 'camera right is left out: no message for'
    assert cameras.play([points], lambda: cameras.says(reason), ['left'])
    assert [human.id for human in cameras.last()] == [before.id]
    assert cameras.play([points], lambda: near(cameras.last(), [joints]))
    assert [human.id for human in cameras.last()] == [before.id]


def test_time_may_jump_back(
    cameras: Cameras, start: Start, people: list[tuple[NDArray, NDArray]]
) -> None:
    start()
    cameras.place()
    joints, points = people[0]
    for early in (0.0, -20.0):

        def step(early: float = early) -> bool:
            stamp = cameras.header('left', early).stamp
            for name in CAMERAS:
                header = Header(stamp=stamp, frame_id=f'{name}_optical')
                cameras.observe([points], name, header)
            time.sleep(PERIOD)
            heard = cameras.heard['human_poses']
            return (
                near(cameras.last(), [joints]) and abs(heard[-1].header.stamp.sec - stamp.sec) < 2
            )

        assert cameras.wait(step), start.said()


def test_services_pause_and_reset(
    cameras: Cameras, start: Start, people: list[tuple[NDArray, NDArray]]
) -> None:
    start()
    cameras.place()
    joints, points = people[0]
    assert cameras.play([points], lambda: near(cameras.last(), [joints]))
    [before] = cameras.last()
    assert cameras.call(SetBool, 'enable', SetBool.Request(data=False)).success
    assert cameras.wait(lambda: not cameras.node.count_subscribers('left/human_observations'))
    count = len(cameras.heard['human_poses'])
    cameras.play([points], lambda: False, seconds=0.5)
    assert len(cameras.heard['human_poses']) == count
    assert cameras.call(SetBool, 'enable', SetBool.Request(data=True)).success
    assert cameras.call(Trigger, 'reset', Trigger.Request()).success
    assert cameras.play(
        [points],
        lambda: len(cameras.heard['human_poses']) > count and near(cameras.last(), [joints]),
    )
    assert cameras.last()[0].id != before.id


def test_the_own_namespace_is_no_camera(start: Start) -> None:
    process = start("cameras:=['/left']", remap='__ns:=/left', waits=False)
    assert process.wait(60) == 1
    assert 'whose human_poses would be its own input' in start.said()


@pytest.mark.parametrize(
    ('argument', 'reason'),
    [
        ("cameras:=['']", 'cannot configure: no cameras: set the parameter cameras'),
        ('cameras:=[left, left]', 'has a namespace twice'),
        ("cameras:=['..']", 'cannot configure: failed to resolve name'),
        ('id_prefix:=1x', 'id_prefix must be a letter followed by letters or digits'),
        ('camera:=left', 'unknown parameters are ignored: camera (did you mean cameras?)'),
    ],
    ids=range(5),
)
def test_wrong_parameters_are_named(start: Start, argument: str, reason: str) -> None:
    process = start(argument, waits=False)
    if argument == 'camera:=left':
        deadline = time.monotonic() + 30
        while reason not in start.said() and time.monotonic() < deadline:
            time.sleep(0.1)
    else:
        assert process.wait(60) == 1
    assert reason in start.said()


def test_the_doctor_checks_publishers_tf_clocks_and_the_shared_view(
    cameras: Cameras, start: Start, people: list[tuple[NDArray, NDArray]]
) -> None:
    start('cameras:=[left, right, back]')
    _, points = people[0]

    def examine(names: Sequence[str], seen: Sequence[NDArray]) -> list[Finding]:
        found: list[Finding] = []
        doctor = Thread(target=lambda: found.extend(check_graph(None, 2.5, [])))
        doctor.start()
        while doctor.is_alive():
            cameras.show(seen, names)
            time.sleep(PERIOD)
        return [each for each in found if each.level == OK or each.advice]

    def of(found: Sequence[Finding], *words: str) -> Finding:
        matching = [
            each for each in found
            if all(word in f'{each.subject}: {each.found}' for word in words)
        ]  # fmt: skip
        assert len(matching) == 1, '\n'.join(map(str, found))
        return matching[0]

    cameras.place(['left'])
    # Latched transforms of the test before may still be delivered.
    for _ in range(3):
        found = examine(CAMERAS, [points])
        if any('right_optical' in each.found and each.level == PROBLEM for each in found):
            break
    assert of(found, '/fusion_node: active, fuses', '/back, /left, /right in map').level == OK
    absent = of(found, '/back/human_observations', 'no publisher')
    assert absent.level == PROBLEM
    assert 'start a hybrik_node in the namespace /back' in absent.advice
    assert of(found, '/left/human_observations', 'left_optical is at').level == OK
    assert of(found, '/left/human_observations', 'stamps advance').level == OK
    lost = of(found, '/right/human_observations', "connect 'right_optical' with 'map'")
    assert lost.level == PROBLEM
    assert lost.advice

    cameras.place()
    found = examine(CAMERAS, [points])
    assert of(found, 'fusion', 'camera left: 100% of its people are seen by others').level == OK
    assert not [each for each in found if each.subject == 'fusion' and each.level != OK]
    found = examine(CAMERAS, [])
    assert of(found, 'fusion', 'did not see people at the same time').level == WARNING

    wrong = TRANSFORMS['right'].copy()
    wrong[:3, :3] = wrong[:3, :3] @ from_rotation_vector(np.radians([1.0, 0, 0]))
    both = {'left': TRANSFORMS['left'], 'right': wrong}
    transforms = [stamped('map', f'{n}_optical', pose, Header()) for n, pose in both.items()]
    cameras.static.publish(TFMessage(transforms=transforms))
    off = of(examine(CAMERAS, [points]), 'fusion: camera left or right: ', 'off in one direction')
    assert off.level == WARNING
    assert 'recalibrate' in off.advice
