"""The node as a process of its own, spoken to over DDS."""

import array
import hashlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Quaternion, TransformStamped, Vector3
from hri_msgs.msg import IdsList
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.duration import Duration
from rclpy.parameter import Parameter
from rclpy.qos import (
    DurabilityPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_sensor_data,
)
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Imu
from shape_msgs.msg import Mesh
from spinning import SpinningNode
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import Marker, MarkerArray

import hybrik_ros
from hybrik_ros.body import BodyModel
from hybrik_ros.kinematics import forward
from hybrik_ros.messages.observations import observations_of
from hybrik_ros.messages.people import from_human_mesh
from hybrik_ros.msg import HumanMesh, HumanMeshArray, HumanObservationArray
from hybrik_ros.perception import blazepose, detector
from hybrik_ros.rotations import from_quaternion
from hybrik_ros.skeleton import JOINT_NAMES, PARENTS

DATA = Path(hybrik_ros.__file__).parent / 'data'
FRAME_ID = 'camera_optical_frame'
TIMEOUT = 30.0

TOPICS = {
    'human_pose': HumanMesh,
    'human_poses': HumanMeshArray,
    '/tf': TFMessage,
    'hybrik_node/markers': MarkerArray,
    'hybrik_node/overlay': Image,
    '/diagnostics': DiagnosticArray,
}


class Peer(SpinningNode):
    """The other side: feeds images to the node and collects what it publishes."""

    def __init__(self) -> None:
        super().__init__('peer')
        self.heard: dict[str, list] = {topic: [] for topic in TOPICS}
        self.earlier = 0  # seconds by which its clock is late
        self.images = self.node.create_publisher(Image, 'image', 5)
        self.camera_infos = self.node.create_publisher(CameraInfo, 'camera_info', 5)
        for topic, kind in TOPICS.items():
            self.node.create_subscription(kind, topic, self.heard[topic].append, 100)
        self.calibration = yaml.safe_load((DATA / 'sample.yaml').read_text())
        self.video = cv2.VideoCapture(str(DATA / 'sample.mp4'))
        for _ in range(30):
            self.video.grab()

    def header(self) -> Header:
        now = self.node.get_clock().now() - Duration(seconds=self.earlier)
        return Header(stamp=now.to_msg(), frame_id=FRAME_ID)

    def frame(self) -> np.ndarray:
        decoded, picture = self.video.read()
        assert decoded
        return picture

    def image(self, picture: np.ndarray, header: Header) -> Image:
        height, width = picture.shape[:2]
        message = Image(header=header, height=height, width=width, encoding='bgr8', step=3 * width)
        message.data = array.array('B', picture.tobytes())
        return message

    def camera_info(self, header: Header) -> CameraInfo:
        message = CameraInfo(header=header, distortion_model='plumb_bob')
        message.width = self.calibration['image_width']
        message.height = self.calibration['image_height']
        message.k = self.calibration['camera_matrix']['data']
        message.d = self.calibration['distortion_coefficients']['data']
        return message

    def show(self, picture: np.ndarray) -> Header:
        """Publish a frame with its calibration."""
        header = self.header()
        self.camera_infos.publish(self.camera_info(header))
        self.images.publish(self.image(picture, header))
        return header

    def show_and_wait(self, picture: np.ndarray) -> HumanMeshArray:
        """Publish a frame until the node answers with its stamp."""
        for _ in range(5):
            header = self.show(picture)
            answer = self.wait(lambda h=header: self.stamped('human_poses', h), 5.0)
            if answer:
                return answer[0]
        raise AssertionError('the node does not answer')

    def stamped(self, topic: str, header: Header) -> list:
        return [m for m in self.heard[topic] if m.header.stamp == header.stamp]

    def call(self, kind: type, name: str, request: object, namespace: str = '') -> object:
        client = self.node.create_client(kind, f'{namespace}hybrik_node/{name}')
        assert client.wait_for_service(TIMEOUT)
        future = client.call_async(request)
        assert self.wait(future.done)
        self.node.destroy_client(client)
        return future.result()

    def state(self) -> int:
        return self.call(GetState, 'get_state', GetState.Request()).current_state.id

    def change(self, transition: int, namespace: str = '') -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return self.call(ChangeState, 'change_state', request, namespace).success

    def set(self, name: str, value: object, namespace: str = '') -> str:
        """Set a parameter; return why it is refused, or nothing."""
        request = SetParameters.Request(
            parameters=[Parameter(name, value=value).to_parameter_msg()]
        )
        [result] = self.call(SetParameters, 'set_parameters', request, namespace).results
        return '' if result.successful else result.reason

    def status(self) -> DiagnosticStatus:
        """Return a report that is yet to come."""
        before = len(self.heard['/diagnostics'])
        assert self.wait(lambda: len(self.heard['/diagnostics']) > before + 1)
        return self.heard['/diagnostics'][-1].status[0]

    def report(self) -> dict[str, str]:
        """Return the keys and values of a report that is yet to come."""
        return {pair.key: pair.value for pair in self.status().values}


class Process:
    """The node's process, and what it said so far."""

    def __init__(
        self, environment: dict[str, str], log: Path, *arguments: str, name: str = ''
    ) -> None:
        self.log = log
        with log.open('wb') as stream:
            command = [sys.executable, '-m', 'hybrik_ros.node', '--ros-args']
            # Single frames, seconds apart, are enough here.
            for argument in ('tracking.confirm_after:=0.0', *arguments):
                command += ['-p', argument]
            command += ['-r', name] if name else []
            self.process = subprocess.Popen(
                command, env=environment, stdout=stream, stderr=subprocess.STDOUT
            )

    def said(self, text: str) -> int:
        return self.log.read_text().count(text)

    def interrupt(self) -> int:
        """Send SIGINT twice, as people and launch do; return the exit status."""
        self.process.send_signal(signal.SIGINT)
        time.sleep(0.05)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(10)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope='module')
def peer(ros_environment: dict[str, str]) -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.close()


@pytest.fixture(scope='module')
def node(
    ros_environment: dict[str, str], peer: Peer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Process]:
    log = tmp_path_factory.mktemp('node') / 'log'
    process = Process(ros_environment, log, 'publish.vertices:=true')
    assert peer.wait(lambda: peer.node.count_subscribers('image') > 0, 60), log.read_text()
    yield process
    process.kill()


@pytest.fixture(scope='module')
def answers(peer: Peer, node: Process) -> list[HumanMeshArray]:
    """The node's answers to twenty frames of the sample clip, each of which was waited for."""
    found = [peer.show_and_wait(peer.frame()) for _ in range(20)]
    last = found[-1].header
    assert peer.wait(lambda: peer.stamped('hybrik_node/overlay', last))
    return found


@pytest.fixture(scope='module')
def body() -> BodyModel:
    return BodyModel.load()


def stamp(header: Header) -> tuple[int, int]:
    return header.stamp.sec, header.stamp.nanosec


def test_every_frame_has_its_person_under_one_id(answers: list[HumanMeshArray]) -> None:
    assert all(len(answer.humans) == 1 for answer in answers)
    assert len({answer.humans[0].id for answer in answers}) == 1
    assert answers[0].humans[0].id[0].isalpha()


def test_stamps_and_frame_are_the_images(peer: Peer, answers: list[HumanMeshArray]) -> None:
    for answer in answers:
        human = answer.humans[0]
        assert answer.header.frame_id == human.header.frame_id == FRAME_ID
        assert stamp(human.header) == stamp(answer.header)
        assert peer.stamped('human_pose', answer.header) == [human]


def test_joints_are_fk_of_rotations_betas_and_translation(
    answers: list[HumanMeshArray], body: BodyModel
) -> None:
    for answer in answers:
        human = from_human_mesh(answer.humans[0])
        posed, _ = forward(human.rotations, body.rest_joints(human.betas))
        np.testing.assert_allclose(posed[:24] + human.translation, human.joints, atol=1e-3)


def test_vertices_are_the_posed_body(answers: list[HumanMeshArray], body: BodyModel) -> None:
    human = from_human_mesh(answers[-1].humans[0])
    vertices = body.vertices(human.rotations, human.betas, human.translation)
    np.testing.assert_allclose(human.vertices, vertices, atol=1e-3)


def chain(transforms: list) -> dict[str, np.ndarray]:
    """Compose transforms, parents first, to the pose (4, 4) of every frame in the camera's."""
    poses = {FRAME_ID: np.eye(4)}
    for transform in transforms:
        move, turn = transform.transform.translation, transform.transform.rotation
        step = np.eye(4)
        step[:3, :3] = from_quaternion([turn.x, turn.y, turn.z, turn.w])
        step[:3, 3] = move.x, move.y, move.z
        poses[transform.child_frame_id] = poses[transform.header.frame_id] @ step
    return poses


def tf_of(peer: Peer, answer: HumanMeshArray) -> list:
    [message] = [
        m for m in peer.heard['/tf'] if stamp(m.transforms[0].header) == stamp(answer.header)
    ]
    return message.transforms


def test_tf_chain_gives_the_same_joints(peer: Peer, answers: list[HumanMeshArray]) -> None:
    for answer in answers:
        transforms, human = tf_of(peer, answer), from_human_mesh(answer.humans[0])
        assert len(transforms) == 25
        assert {stamp(t.header) for t in transforms} == {stamp(answer.header)}
        poses = chain(transforms)
        global_rotations = forward(human.rotations, np.zeros((24, 3)))[1]
        for joint, name in enumerate(JOINT_NAMES):
            pose = poses[f'smpl_{name}_{human.id}']
            np.testing.assert_allclose(pose[:3, 3], human.joints[joint], atol=1e-3)
            np.testing.assert_allclose(pose[:3, :3], global_rotations[joint], atol=1e-6)


def test_tf_frames_hang_along_the_tree(peer: Peer, answers: list[HumanMeshArray]) -> None:
    id = answers[0].humans[0].id
    parents = {t.child_frame_id: t.header.frame_id for t in tf_of(peer, answers[0])}
    assert parents[f'body_{id}'] == FRAME_ID
    assert parents[f'smpl_pelvis_{id}'] == f'body_{id}'
    for joint in range(1, 24):
        above = JOINT_NAMES[PARENTS[joint]]
        assert parents[f'smpl_{JOINT_NAMES[joint]}_{id}'] == f'smpl_{above}_{id}'


def test_body_frame_is_mid_hips_with_z_to_the_head_and_x_ahead(
    peer: Peer, answers: list[HumanMeshArray]
) -> None:
    for answer in answers:
        human = from_human_mesh(answer.humans[0])
        pose = chain(tf_of(peer, answer))[f'body_{human.id}']
        joints = dict(zip(JOINT_NAMES, human.joints, strict=True))
        hips = (joints['left_hip'] + joints['right_hip']) / 2
        np.testing.assert_allclose(pose[:3, 3], hips, atol=1e-3)
        x, y, z = pose[:3, :3].T
        up = joints['head'] - hips
        assert z @ up / np.linalg.norm(up) > 0.9
        left = joints['left_hip'] - joints['right_hip']
        assert y @ left / np.linalg.norm(left) > 0.9
        assert x[0] < -0.5  # She walks towards the left of the picture.


def test_markers_show_skeleton_and_mesh(
    peer: Peer, answers: list[HumanMeshArray], body: BodyModel
) -> None:
    human = from_human_mesh(answers[-1].humans[0])
    message = peer.heard['hybrik_node/markers'][-1]
    by_type = {marker.type: marker for marker in message.markers}
    assert all(stamp(m.header) == stamp(answers[-1].header) for m in message.markers)
    corners = np.array([[p.x, p.y, p.z] for p in by_type[Marker.TRIANGLE_LIST].points])
    np.testing.assert_allclose(corners, human.vertices[body.faces.ravel()], atol=1e-6)
    spheres = np.array([[p.x, p.y, p.z] for p in by_type[Marker.SPHERE_LIST].points])
    np.testing.assert_allclose(spheres, human.joints, atol=1e-6)
    lines = np.array([[p.x, p.y, p.z] for p in by_type[Marker.LINE_LIST].points]).reshape(-1, 2, 3)
    np.testing.assert_allclose(lines[:, 1], human.joints[1:], atol=1e-6)
    np.testing.assert_allclose(lines[:, 0], human.joints[list(PARENTS[1:24])], atol=1e-6)


def test_overlay_paints_the_person_and_nothing_else(
    peer: Peer, answers: list[HumanMeshArray]
) -> None:
    picture = peer.frame()
    answer = peer.show_and_wait(picture)
    [overlay] = peer.wait(lambda: peer.stamped('hybrik_node/overlay', answer.header))
    assert overlay.encoding == 'rgb8'
    painted = np.frombuffer(overlay.data, np.uint8).reshape(picture.shape)
    changed = (painted != picture[..., ::-1]).any(axis=2)
    x0, y0, x1, y1 = np.asarray(answer.humans[0].box).astype(int)
    inside = changed[y0:y1, x0:x1]
    assert inside.mean() > 0.2
    margin = 60  # The surface reaches beyond the joints, and the label beyond the box.
    changed[max(0, y0 - margin) : y1 + margin, max(0, x0 - margin) : x1 + margin] = False
    assert not changed.any()


def test_counts_add_up_under_overload(peer: Peer, answers: list[HumanMeshArray]) -> None:
    before = peer.report()
    picture = peer.frame()
    for _ in range(40):
        peer.show(picture)
        time.sleep(0.01)
    after = peer.wait(
        lambda: (
            (r := peer.report())
            and int(r['received']) > int(before['received']) + 20
            and int(r['received'])
            == int(r['processed'])
            + int(r['dropped for newer frames'])
            + sum(int(value) for key, value in r.items() if key.startswith('lost: '))
            and r
        )
    )
    assert after
    assert int(after['dropped for newer frames']) > 0


def wrong_encoding(message: Image) -> None:
    message.encoding = 'banana8'


def another_encoding(message: Image) -> None:
    message.encoding = 'banana16'


def wrong_length(message: Image) -> None:
    message.data = message.data[:-100]


def no_size(message: Image) -> None:
    message.width = message.height = message.step = 0
    message.data = array.array('B')


@pytest.mark.parametrize(
    ('spoil', 'kind', 'words'),
    [
        (wrong_encoding, 'encoding', "encoding 'banana8' cannot be read"),
        (another_encoding, 'encoding', "encoding 'banana16' cannot be read"),
        (wrong_length, 'length', 'but holds'),
        (no_size, 'size', 'the image is empty'),
    ],
)
def test_an_unusable_image_is_named_once_counted_and_survived(
    peer: Peer,
    node: Process,
    answers: list[HumanMeshArray],
    spoil: Callable[[Image], None],
    kind: str,
    words: str,
) -> None:
    for _ in range(3):
        header = peer.header()
        message = peer.image(peer.frame(), header)
        spoil(message)
        peer.camera_infos.publish(peer.camera_info(header))
        peer.images.publish(message)
        time.sleep(0.2)
    report = peer.wait(lambda: (r := peer.report()).get(f'lost: {kind}') and r)
    assert report, node.log.read_text()
    assert int(report[f'lost: {kind}']) >= 2
    assert node.said(words) == 1
    assert peer.show_and_wait(peer.frame()).humans


def test_stamps_before_1970_are_survived(
    peer: Peer, node: Process, answers: list[HumanMeshArray]
) -> None:
    picture = peer.frame()
    header = peer.header()
    header.stamp.sec = -5
    for _ in range(6):
        peer.camera_infos.publish(peer.camera_info(header))
        peer.images.publish(peer.image(picture, header))
        time.sleep(0.1)
    assert peer.wait(lambda: 'from the clock' in peer.status().message)
    assert peer.wait(lambda: int(peer.report().get('lost: stamp', 0)) > 0)
    assert node.said('is invalid') == 1
    peer.wait(lambda: peer.show(picture) and False, 0.5)
    assert peer.show_and_wait(picture).humans
    # What is over is told no longer.
    assert peer.wait(lambda: peer.show(picture) and peer.status().message == 'running')


def test_an_empty_frame_id_is_named_once_and_has_no_tf(
    peer: Peer, node: Process, answers: list[HumanMeshArray]
) -> None:
    picture = peer.frame()
    sent = []
    for _ in range(3):
        header = peer.header()
        peer.camera_infos.publish(peer.camera_info(header))
        header.frame_id = ''
        peer.images.publish(peer.image(picture, header))
        sent.append(header)
        time.sleep(0.3)
    assert peer.wait(lambda: any(peer.stamped('human_poses', header) for header in sent))
    time.sleep(0.3)
    assert node.said('the images have no frame_id') == 1
    assert all(m.transforms[0].header.frame_id == FRAME_ID for m in peer.heard['/tf'])


def test_zero_k_is_named_once_counted_and_survived(
    peer: Peer, node: Process, answers: list[HumanMeshArray]
) -> None:
    picture = peer.frame()
    for _ in range(3):
        header = peer.header()
        peer.camera_infos.publish(CameraInfo(header=header, width=1768, height=594))
        time.sleep(0.1)
        peer.images.publish(peer.image(picture, header))
        time.sleep(0.2)
    report = peer.wait(lambda: (r := peer.report()).get('lost: zero K') and r)
    assert report, node.log.read_text()
    assert 'all-zero K' in report['camera']
    assert node.said('all-zero K') == 1
    assert peer.show_and_wait(picture).humans


def test_observations_are_published_while_there_is_a_subscriber(
    peer: Peer, answers: list[HumanMeshArray]
) -> None:
    received: list[HumanObservationArray] = []
    subscription = peer.node.create_subscription(
        HumanObservationArray, 'human_observations', received.append, qos_profile_sensor_data
    )
    try:
        assert peer.wait(lambda: peer.node.count_publishers('human_observations') > 0)
        [publisher] = peer.node.get_publishers_info_by_topic('/human_observations')
        assert publisher.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT

        def last_pair() -> tuple[HumanMeshArray, HumanObservationArray] | None:
            answer = peer.show_and_wait(peer.frame())
            time.sleep(0.1)
            same = [message for message in received if message.header == answer.header]
            return (answer, same[0]) if same else None

        answer, message = peer.wait(last_pair)
    finally:
        peer.node.destroy_subscription(subscription)
    body_model, [seen], faults = observations_of(message)
    [human] = answer.humans
    assert (body_model, faults) == (human.body_model, [])
    assert (seen.id, seen.landmarks) == (human.id, 'blazepose')
    assert seen.confidence == pytest.approx(human.confidence)
    # Rays to the hips go near the joints of the body, and the depth is that of its pelvis.
    joints = from_human_mesh(human).joints
    hips = seen.rays[[23, 24]].mean(axis=0)
    np.testing.assert_allclose(hips, joints[0, :2] / joints[0, 2], atol=0.05)
    assert seen.distance == pytest.approx(joints[0, 2], rel=0.2)


def test_parameters_act_on_the_next_frame(
    peer: Peer, node: Process, answers: list[HumanMeshArray]
) -> None:
    picture = peer.frame()
    assert peer.call(Trigger, 'reset', Trigger.Request()).success  # Older tracks stay confirmed.
    assert len(peer.show_and_wait(picture).humans[0].vertices) > 0
    peer.set('publish.vertices', False)
    assert len(peer.show_and_wait(picture).humans[0].vertices) == 0
    peer.set('publish.vertices', True)
    peer.set('tracking.confirm_after', 10.0)
    assert not peer.show_and_wait(picture).humans
    peer.set('tracking.confirm_after', 0.0)
    assert peer.show_and_wait(picture).humans
    assert peer.set('publish.human_poses', True) == ''
    assert 'configure' in peer.set('threads', 2)
    assert 'out of range' in peer.set('detector.threshold', float('nan'))


def test_limits_are_warned_of(peer: Peer, node: Process, answers: list[HumanMeshArray]) -> None:
    picture = peer.frame()

    def reports(level: bytes, words: str) -> object:
        def reported() -> bool:
            peer.show(picture)
            status = peer.status()
            return status.level == level and words in status.message

        return peer.wait(reported)

    assert reports(DiagnosticStatus.OK, 'running')
    peer.set('diagnostics.max_latency', 0.001)
    assert reports(DiagnosticStatus.ERROR, 'the median latency of')
    peer.set('diagnostics.max_latency', 0.0)
    peer.set('diagnostics.min_rate', 1000.0)
    assert reports(DiagnosticStatus.ERROR, 'below the minimum of 1000 Hz')
    peer.set('diagnostics.min_rate', 0.0)
    report = peer.report()
    for model in (detector.MODEL, blazepose.MODEL):
        hash = hashlib.sha256(model.read_bytes()).hexdigest()[:12]
        assert report[f'model {model.name}'] == f'{hash}, onnxruntime'


def test_late_subscriber_receives_the_body(
    peer: Peer, node: Process, answers: list[HumanMeshArray], body: BodyModel
) -> None:
    heard = []
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    subscription = peer.node.create_subscription(Mesh, 'hybrik_node/body', heard.append, latched)
    assert peer.wait(lambda: heard)
    peer.node.destroy_subscription(subscription)
    [mesh] = heard
    faces = [triangle.vertex_indices.tolist() for triangle in mesh.triangles]
    assert np.array_equal(faces, body.faces)
    vertices = np.array([[v.x, v.y, v.z] for v in mesh.vertices])
    assert np.ptp(vertices[:, 1]) == pytest.approx(1.7, abs=0.15)  # a person's height, y up


def test_it_can_be_disabled_and_enabled(
    peer: Peer, node: Process, answers: list[HumanMeshArray]
) -> None:
    picture = peer.frame()
    tracked = []
    subscription = peer.node.create_subscription(
        IdsList, '/humans/bodies/tracked', tracked.append, 10
    )
    assert peer.wait(lambda: peer.show(picture) and tracked and tracked[-1].ids)
    assert peer.call(SetBool, 'enable', SetBool.Request(data=False)).success
    assert peer.wait(lambda: not tracked[-1].ids)
    assert peer.wait(lambda: peer.node.count_subscribers('image') == 0)
    assert peer.wait(lambda: 'disabled' in peer.status().message)
    before = len(peer.heard['human_poses'])
    peer.show(picture)
    time.sleep(0.3)
    assert len(peer.heard['human_poses']) == before
    assert peer.call(SetBool, 'enable', SetBool.Request(data=True)).success
    assert peer.call(SetBool, 'enable', SetBool.Request(data=True)).success
    assert peer.wait(lambda: peer.node.count_subscribers('image') == 1)
    assert peer.show_and_wait(picture).humans
    # The camera stops.
    assert peer.wait(lambda: peer.show(picture) and tracked[-1].ids)
    assert peer.wait(lambda: not tracked[-1].ids)
    assert peer.report()['people'] == '0'
    peer.node.destroy_subscription(subscription)


def test_reset_forgets_all_tracks(peer: Peer, node: Process, answers: list[HumanMeshArray]) -> None:
    picture = peer.frame()
    [before] = peer.show_and_wait(picture).humans
    assert peer.show_and_wait(picture).humans[0].id == before.id
    assert peer.call(Trigger, 'reset', Trigger.Request()).success
    assert peer.show_and_wait(picture).humans[0].id != before.id


def test_time_that_jumps_back_begins_anew_and_is_said_once(
    peer: Peer, node: Process, answers: list[HumanMeshArray]
) -> None:
    picture = peer.frame()
    said = node.said('time jumped back by')
    [before] = peer.show_and_wait(picture).humans
    frames = len(peer.heard['/tf'])
    peer.earlier = 100
    try:
        for _ in range(3):
            [after] = peer.show_and_wait(picture).humans
    finally:
        peer.earlier = 0
    assert after.id != before.id
    assert node.said('time jumped back by') == said + 1
    assert peer.wait(lambda: len(peer.heard['/tf']) > frames)
    peer.show_and_wait(picture)


def test_an_image_that_comes_late_is_left_out_and_is_no_jump(
    peer: Peer, node: Process, answers: list[HumanMeshArray]
) -> None:
    picture = peer.frame()
    peer.show_and_wait(picture)
    said = node.said('time jumped back by')
    lost = int(peer.report().get('lost: order', 0))
    late = peer.header()
    [before] = peer.show_and_wait(picture).humans
    peer.images.publish(peer.image(picture, late))
    assert peer.wait(lambda: 'older than the one before it' in node.log.read_text())
    [after] = peer.show_and_wait(picture).humans
    assert after.id == before.id
    assert peer.wait(lambda: int(peer.report().get('lost: order', 0)) > lost)
    assert not peer.stamped('human_poses', late)
    assert node.said('time jumped back by') == said


def test_an_inactive_node_publishes_nothing(
    peer: Peer, node: Process, answers: list[HumanMeshArray]
) -> None:
    assert peer.change(Transition.TRANSITION_DEACTIVATE)
    assert peer.state() == State.PRIMARY_STATE_INACTIVE
    time.sleep(0.5)

    def counts() -> dict[str, int]:
        heard = {topic: len(messages) for topic, messages in peer.heard.items()}
        return {topic: count for topic, count in heard.items() if topic != '/diagnostics'}

    before = counts()
    for service, request in ((SetBool, SetBool.Request(data=True)), (Trigger, Trigger.Request())):
        answer = peer.call(service, 'enable' if service is SetBool else 'reset', request)
        assert (answer.success, 'not active' in answer.message) == (False, True)
    for _ in range(20):
        peer.show(peer.frame())
        time.sleep(0.1)
    assert counts() == before
    assert peer.status().message == 'inactive'
    assert peer.change(Transition.TRANSITION_ACTIVATE)
    assert peer.wait(lambda: peer.node.count_subscribers('image') > 0)
    assert peer.show_and_wait(peer.frame()).humans


def test_cleanup_and_configure_again(
    peer: Peer, node: Process, answers: list[HumanMeshArray]
) -> None:
    before = {human.id for message in peer.heard['human_poses'] for human in message.humans}
    for transition, state in (
        (Transition.TRANSITION_DEACTIVATE, State.PRIMARY_STATE_INACTIVE),
        (Transition.TRANSITION_CLEANUP, State.PRIMARY_STATE_UNCONFIGURED),
        (Transition.TRANSITION_CONFIGURE, State.PRIMARY_STATE_INACTIVE),
        (Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_ACTIVE),
    ):
        assert peer.change(transition)
        assert peer.state() == state
    assert peer.wait(lambda: peer.node.count_subscribers('image') > 0)
    [human] = peer.show_and_wait(peer.frame()).humans
    assert before
    assert human.id not in before


def test_two_interrupts_end_it_with_status_0(
    peer: Peer, node: Process, answers: list[HumanMeshArray]
) -> None:
    start = time.monotonic()
    assert node.interrupt() == 0, node.log.read_text()
    assert time.monotonic() - start < 5
    assert not re.search(r'Traceback|Error', node.log.read_text().replace('[ERROR]', ''))


def test_before_it_is_configured_it_says_so_and_checks_what_it_is_told(
    ros_environment: dict[str, str], peer: Peer, node: Process, tmp_path: Path
) -> None:
    node.kill()
    log = tmp_path / 'log'
    process = Process(ros_environment, log, 'autostart:=false', name='__ns:=/front')
    try:
        reports = peer.heard['/diagnostics']
        assert peer.wait(lambda: reports and reports[-1].status[0].name == 'front/hybrik_node'), (
            log.read_text()
        )
        status = reports[-1].status[0]
        assert (status.message, status.hardware_id) == ('unconfigured', '/front/image')
        for prefix in ('1x', ''):
            assert 'must be a letter' in peer.set('tracking.id_prefix', prefix, '/front/')
        # Shut down for good, it still ends as it should.
        shutdown = Transition.TRANSITION_UNCONFIGURED_SHUTDOWN
        assert peer.change(shutdown, '/front/')
        assert process.interrupt() == 0, log.read_text()
        assert not process.said('Traceback')
    finally:
        process.kill()


def test_an_override_of_a_qos_that_cannot_be_is_said(
    ros_environment: dict[str, str], tmp_path: Path
) -> None:
    override = 'qos_overrides./image.subscription.reliability:=foo'
    process = Process(ros_environment, tmp_path / 'log', override)
    try:
        assert process.process.wait(60) == 1
        assert process.said('cannot activate: ') == 1
        assert process.said('reliability') >= 1
        assert not process.said('Traceback')
    finally:
        process.kill()


def test_an_interrupt_counts_before_all_is_imported(
    ros_environment: dict[str, str], tmp_path: Path
) -> None:
    process = Process(ros_environment, tmp_path / 'log')
    try:
        status = Path(f'/proc/{process.process.pid}/status')

        def heeds(number: int) -> bool:
            caught = re.search(r'SigCgt:\s*(\w+)', status.read_text())[1]
            return bool(int(caught, 16) >> (number - 1) & 1)

        while not heeds(signal.SIGTERM):
            time.sleep(0.005)
        assert process.interrupt() == 0, process.log.read_text()
        assert process.log.read_text() == ''
    finally:
        process.kill()


def test_a_field_of_view_stands_in_for_camera_info(
    ros_environment: dict[str, str], peer: Peer, node: Process, tmp_path: Path
) -> None:
    node.kill()
    process = Process(ros_environment, tmp_path / 'log', 'field_of_view:=40.0')
    try:
        assert peer.wait(lambda: peer.node.count_subscribers('image') > 0, 60)
        picture = peer.frame()

        def answered() -> object:
            header = peer.header()
            peer.images.publish(peer.image(picture, header))
            return peer.wait(lambda: peer.stamped('human_poses', header), 2.0)

        [answer] = peer.wait(answered)
        assert answer.humans
        assert 'field of view of 40' in peer.report()['camera']

        for info, words in (
            (CameraInfo(width=1768, height=594), 'all-zero K'),
            (CameraInfo(width=884, height=297, k=peer.camera_info(Header()).k), '884 x 297'),
        ):
            for _ in range(3):
                peer.camera_infos.publish(info)
                time.sleep(0.1)
                assert peer.wait(answered)
            assert process.said(words) == 1
            assert peer.wait(lambda words=words: words in peer.report()['camera'])
            assert 'field of view of 40' in peer.report()['camera']
        assert peer.show_and_wait(picture).humans
        assert peer.wait(lambda: peer.report()['camera'] == 'camera_info')
    finally:
        process.kill()


def test_compressed_images_and_depth(
    ros_environment: dict[str, str], peer: Peer, node: Process, tmp_path: Path
) -> None:
    node.kill()
    arguments = (
        'image_transport:=compressed',
        'depth.enabled:=true',
        'qos_overrides./camera_info.subscription.reliability:=reliable',
    )
    process = Process(ros_environment, tmp_path / 'log', *arguments)
    images = peer.node.create_publisher(CompressedImage, 'image/compressed', 5)
    depths = peer.node.create_publisher(Image, 'depth', 5)
    unheard = peer.node.create_publisher(
        CameraInfo, 'camera_info', QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    )
    try:
        assert peer.wait(lambda: peer.node.count_subscribers('image/compressed') > 0, 60)
        picture = peer.frame()
        wall = np.full(picture.shape[:2], 7.0, np.float32)  # She walks at 10 m, as it looks.

        def answered() -> object:
            header = peer.header()
            message = CompressedImage(header=header, format='bgr8; jpeg compressed bgr8')
            message.data = array.array('B', cv2.imencode('.jpg', picture)[1].tobytes())
            depth = Image(header=header, height=wall.shape[0], width=wall.shape[1])
            depth.encoding, depth.step = '32FC1', 4 * wall.shape[1]
            depth.data = array.array('B', wall.tobytes())
            peer.camera_infos.publish(peer.camera_info(header))
            depths.publish(depth)
            images.publish(message)
            found = peer.wait(lambda: peer.stamped('human_poses', header), 2.0)
            return found and found[0].humans

        assert peer.wait(answered)
        assert peer.wait(lambda: peer.wait(answered)[0].joints[0].z == pytest.approx(7, abs=0.3))
        assert peer.wait(
            lambda: process.said('incompatible QoS (reliability) with a publisher on /camera_info')
        )
        assert 'reliability' in peer.wait(lambda: peer.status().message)
        assert process.said('qos_overrides./camera_info.subscription.reliability') >= 1
    finally:
        for publisher in (images, depths, unheard):
            peer.node.destroy_publisher(publisher)
        process.kill()


class Bust:
    """A person cut off above the hips, as the node sees her."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        picture = peer.frame()
        [human] = peer.wait(lambda: peer.show_and_wait(picture).humans)
        k = peer.calibration['camera_matrix']['data']
        hips = [human.joints[i].y / human.joints[i].z * k[4] + k[5] for i in (1, 2)]
        self._picture = picture[: int(np.mean(hips)) - 30]

    def lean(self) -> float:
        """Return how far her shoulders are to the right of her hips, in metres."""
        found: list[np.ndarray] = []
        assert self._peer.wait(lambda: found.append(self._joints()) or found[-1] is not None)
        return float(found[-1][[16, 17], 0].mean() - found[-1][[1, 2], 0].mean())

    def _joints(self) -> np.ndarray | None:
        self._peer.call(Trigger, 'reset', Trigger.Request())
        header = self._peer.header()
        camera_info = self._peer.camera_info(header)
        camera_info.height = len(self._picture)
        self._peer.camera_infos.publish(camera_info)
        self._peer.images.publish(self._peer.image(self._picture, header))
        answer = self._peer.wait(lambda: self._peer.stamped('human_poses', header), 5.0)
        people = answer[0].humans if answer else []
        return from_human_mesh(people[0]).joints if people else None


UP_RIGHT = np.array([0.5, -1.0, 0.0])  # in the optical frame: up, and to the right in the image
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def transform_to_camera(frame: str, turn: Rotation) -> TFMessage:
    """Return the transform that maps the optical frame to another one."""
    transform = TransformStamped(header=Header(frame_id=frame), child_frame_id=FRAME_ID)
    x, y, z, w = turn.as_quat()
    transform.transform.rotation = Quaternion(x=x, y=y, z=z, w=w)
    return TFMessage(transforms=[transform])


def test_tf_shows_the_way_up_for_people_without_hips(
    ros_environment: dict[str, str], peer: Peer, node: Process, tmp_path: Path
) -> None:
    node.kill()
    arguments = 'gravity_frame:=map', 'imu.enabled:=true'
    process = Process(ros_environment, tmp_path / 'log', *arguments)
    static = peer.node.create_publisher(TFMessage, '/tf_static', LATCHED)
    try:
        assert peer.wait(lambda: peer.node.count_subscribers('image') > 0, 60)
        bust = Bust(peer)
        before = bust.lean()
        assert process.said(f"connect '{FRAME_ID}' with gravity_frame 'map'") == 1
        assert process.said('/imu') == 0  # gravity_frame takes precedence.
        turn = Rotation.align_vectors([[0, 0, np.linalg.norm(UP_RIGHT)]], [UP_RIGHT])[0]
        static.publish(transform_to_camera('map', turn))
        assert peer.wait(lambda: bust.lean() > before + 0.05)
    finally:
        peer.node.destroy_publisher(static)
        process.kill()


def test_imu_shows_the_way_up_for_people_without_hips(
    ros_environment: dict[str, str], peer: Peer, node: Process, tmp_path: Path
) -> None:
    node.kill()
    process = Process(ros_environment, tmp_path / 'log', 'imu.enabled:=true')
    static = peer.node.create_publisher(TFMessage, '/tf_static', LATCHED)
    imus = peer.node.create_publisher(Imu, 'imu', qos_profile_sensor_data)
    turn = Rotation.from_euler('xyz', [40, -70, 110], degrees=True)
    at_rest = turn.apply(9.81 * UP_RIGHT / np.linalg.norm(UP_RIGHT))

    def publish(acceleration: np.ndarray, covariance: float = 0.0) -> None:
        message = Imu(header=Header(stamp=peer.header().stamp, frame_id='/imu_frame'))
        x, y, z = acceleration
        message.linear_acceleration = Vector3(x=x, y=y, z=z)
        message.linear_acceleration_covariance[0] = covariance
        message.orientation_covariance[0] = -1.0
        imus.publish(message)

    def said_after(text: str, act: Callable[[], object]) -> bool:
        return peer.wait(lambda: (act(), process.said(text))[1]) == 1

    try:
        assert peer.wait(lambda: peer.node.count_subscribers('image') > 0, 60)
        assert peer.wait(lambda: peer.node.count_subscribers('imu') > 0)
        bust = Bust(peer)
        before = bust.lean()
        assert said_after('neither acceleration nor', lambda: publish(np.zeros(3), covariance=-1.0))
        assert said_after('no gravity within 2 s of the images on /imu', bust.lean)
        unconnected = f"connect '{FRAME_ID}' with the frame_id of the IMU 'imu_frame'"
        assert said_after(unconnected, lambda: (publish(at_rest), bust.lean()))
        assert bust.lean() < before + 0.02
        static.publish(transform_to_camera('imu_frame', turn))
        assert peer.wait(lambda: (publish(at_rest), bust.lean())[1] > before + 0.05)
    finally:
        peer.node.destroy_publisher(static)
        peer.node.destroy_publisher(imus)
        process.kill()


def test_without_camera_info_the_node_says_what_to_do_once(
    ros_environment: dict[str, str], peer: Peer, node: Process, tmp_path: Path
) -> None:
    node.kill()
    process = Process(ros_environment, tmp_path / 'log')
    try:
        assert peer.wait(lambda: peer.node.count_subscribers('image') > 0, 60)
        picture = peer.frame()

        def complained() -> object:
            peer.images.publish(peer.image(picture, peer.header()))
            return int(peer.report().get('lost: no camera_info', 0)) >= 2

        assert peer.wait(complained), process.log.read_text()
        assert process.said('no camera_info on /camera_info yet') == 1
        assert process.said('field_of_view') == 1
        assert peer.show_and_wait(picture).humans
    finally:
        process.kill()


def write_failing_network(path: Path) -> None:
    """Write a network of HybrIK's inputs and outputs that fails at whatever is not black."""
    sizes = {
        'uvd': [1, 29, 3],
        'shape': [1, 10],
        'phi': [1, 23, 2],
        'cam': [1, 3],
        'sigma': [1, 29],
    }
    zero = onnx.numpy_helper.from_array(np.zeros(1, np.float32), 'zero')
    nodes = [
        onnx.helper.make_node('ReduceMax', ['image'], ['brightest'], keepdims=0),
        onnx.helper.make_node('Relu', ['brightest'], ['light']),  # Black is below zero.
        onnx.helper.make_node('Ceil', ['light'], ['whole']),
        onnx.helper.make_node('Cast', ['whole'], ['index'], to=onnx.TensorProto.INT64),
        onnx.helper.make_node('Gather', ['zero', 'index'], ['nothing']),
    ]
    constants = [zero]
    for name, shape in sizes.items():
        array = np.ones(shape, np.float32)
        constants.append(onnx.numpy_helper.from_array(array, f'{name}_constant'))
        nodes.append(onnx.helper.make_node('Add', [f'{name}_constant', 'nothing'], [name]))
    graph = onnx.helper.make_graph(
        nodes,
        'failing',
        [onnx.helper.make_tensor_value_info('image', onnx.TensorProto.FLOAT, [1, 3, 256, 256])],
        [
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
            for name, shape in sizes.items()
        ],
        constants,
    )
    onnx.save(
        onnx.helper.make_model(
            graph, opset_imports=[onnx.helper.make_opsetid('', 17)], ir_version=8
        ),
        path,
    )


def test_five_failed_frames_are_an_error_that_can_be_recovered_from(
    ros_environment: dict[str, str], peer: Peer, node: Process, tmp_path: Path
) -> None:
    node.kill()
    model = tmp_path / 'failing.onnx'
    write_failing_network(model)
    process = Process(ros_environment, tmp_path / 'log', f'hybrik.model:={model}')
    try:
        assert peer.wait(lambda: peer.node.count_subscribers('image') > 0, 60), process.log
        picture = peer.frame()
        assert peer.wait(lambda: peer.show(picture) and process.said('5 frames in a row failed')), (
            process.log.read_text()
        )
        assert peer.state() == State.PRIMARY_STATE_UNCONFIGURED
        failed = [m.status[0] for m in peer.heard['/diagnostics']][-1]
        assert failed.level == DiagnosticStatus.ERROR
        assert '5 frames in a row failed' in failed.message
        assert peer.set('hybrik.model', '') == ''
        assert peer.change(Transition.TRANSITION_CONFIGURE)
        assert peer.change(Transition.TRANSITION_ACTIVATE)
        assert peer.wait(lambda: peer.node.count_subscribers('image') > 0)
        assert peer.show_and_wait(picture).humans
        # Shut down for good it says so, and waits to be ended.
        assert peer.change(Transition.TRANSITION_ACTIVE_SHUTDOWN)
        assert peer.wait(lambda: peer.status().message == 'finalized')
        assert process.interrupt() == 0
        assert not process.said('Traceback')
    finally:
        process.kill()


def test_loading_can_be_interrupted(ros_environment: dict[str, str], tmp_path: Path) -> None:
    # Without what was compiled before, loading takes half a minute.
    environment = {**ros_environment, 'NUMBA_CACHE_DIR': str(tmp_path / 'cache')}
    process = Process(environment, tmp_path / 'log')
    try:
        deadline = time.monotonic() + TIMEOUT
        while not process.said('compiles its inner loops') and time.monotonic() < deadline:
            time.sleep(0.1)
        assert process.said('compiles its inner loops'), process.log.read_text()
        assert process.interrupt() == 0, process.log.read_text()
        assert process.said('interrupted while loading') == 1
        assert not process.said('active: listens to')
        assert not process.said('Traceback')
    finally:
        process.kill()


@pytest.mark.parametrize('parameter', ['threads:=banana', 'threads=3'])
def test_a_wrong_parameter_is_said_in_one_line(
    ros_environment: dict[str, str], tmp_path: Path, parameter: str
) -> None:
    process = Process(ros_environment, tmp_path / 'log', parameter)
    try:
        assert process.process.wait(60) == 1
        *before, line = process.log.read_text().splitlines()
        assert line.startswith('hybrik_node: ')
        assert 'threads' in line
        assert not any('Traceback' in other for other in before)  # ROS's own words may stand there
    finally:
        process.kill()


def test_a_wrong_body_file_is_an_error_that_ends_the_node(
    ros_environment: dict[str, str], tmp_path: Path
) -> None:
    process = Process(ros_environment, tmp_path / 'log', 'body_model:=/nowhere/smpl.pkl')
    try:
        assert process.process.wait(60) == 1
        assert process.said('no body file at /nowhere/smpl.pkl') == 1
    finally:
        process.kill()
