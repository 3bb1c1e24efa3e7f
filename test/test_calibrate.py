"""`hybrik calibrate`: inputs, refusals, and the files that it writes."""

import ast
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from recorded import STORE, header, image, types
from rosbags.rosbag2 import StoragePlugin, Writer
from sample import read_frames
from walkers import Walker, corners, record

from hybrik_ros.body import BodyModel
from hybrik_ros.cli import main
from hybrik_ros.cli.calibration import (
    EXTRINSICS,
    LAUNCH,
    TOP_VIEW,
    CalibrationViews,
    Goal,
    conclude,
    write_extrinsics,
)
from hybrik_ros.cli.terminal import Terminal
from hybrik_ros.cli.top_view import draw_top_view
from hybrik_ros.fusion.extrinsics import (
    CameraPose,
    Extrinsics,
    ExtrinsicsError,
    estimate_extrinsics,
)
from hybrik_ros.fusion.extrinsics.files import read_extrinsics
from hybrik_ros.rotations import from_rotation_vector, to_quaternion

FRAMES, RATE = 24, 15
NAMES = ('/left/image_raw', '/right/image_raw')


@pytest.fixture(scope='module')
def found() -> Extrinsics:
    streams = record([Walker(BodyModel.load())], corners(3), 4.0)
    return estimate_extrinsics(streams, stature=1.7)


@pytest.fixture(scope='module')
def frames() -> list:
    return [frame[::2, ::2] for frame in read_frames(0, 2 * FRAMES)[::2]]


@pytest.fixture(scope='module')
def video(tmp_path_factory: pytest.TempPathFactory, frames: list) -> Path:
    path = tmp_path_factory.mktemp('videos') / 'walk.avi'
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), RATE, (width, height))
    for frame in frames:
        writer.write(frame[..., ::-1])
    writer.release()
    return path


def turn(child: str, quaternion: list) -> object:
    """Return the transform of a frame that is turned in map."""
    x, y, z, w = quaternion
    return types('geometry_msgs/msg/TransformStamped')(
        header=header(10**18, 'map'),
        child_frame_id=child,
        transform=types('geometry_msgs/msg/Transform')(
            translation=types('geometry_msgs/msg/Vector3')(x=0.0, y=0.0, z=0.0),
            rotation=types('geometry_msgs/msg/Quaternion')(x=x, y=y, z=z, w=w),
        ),
    )


def write_cameras(
    path: Path, frames: list, frame_ids: tuple[str, ...], rotations: dict | None = None
) -> Path:
    """Write a bag with the same images on a topic for each camera, and TF by quaternions."""
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        kind = image(frames[0], 0, 'jpg')[0]
        topics = [
            writer.add_connection(f'{topic}/compressed', kind, typestore=STORE)
            for topic in NAMES[: len(frame_ids)]
        ]
        if rotations:
            kind_of_tf = 'tf2_msgs/msg/TFMessage'
            static = writer.add_connection('/tf_static', kind_of_tf, typestore=STORE)
            message = types(kind_of_tf)(transforms=[turn(*each) for each in rotations.items()])
            writer.write(static, 10**18, STORE.serialize_cdr(message, kind_of_tf))
        for number, frame in enumerate(frames):
            time = 10**18 + number * 10**9 // RATE
            for topic, frame_id in zip(topics, frame_ids, strict=True):
                message = image(frame, time, 'jpg', frame_id)[1]
                writer.write(topic, time, STORE.serialize_cdr(message, kind))
    return path


def calibrate(*words: object) -> int:
    return main(['calibrate', *map(str, words)])


def test_written_extrinsics_are_read_again(found: Extrinsics, tmp_path: Path) -> None:
    frames = {name: f'{name}_optical_frame' for name in found.cameras}
    write_extrinsics(tmp_path / 'out', found, frames)
    read = read_extrinsics(tmp_path / 'out' / EXTRINSICS)
    assert list(read) == list(found.cameras)
    for name, pose in read.items():
        own = found.cameras[name]
        np.testing.assert_allclose(pose.frame_from_camera, own.frame_from_camera, atol=3e-6)
        assert pose.clock_offset == pytest.approx(own.clock_offset, abs=1e-6)
    content = yaml.safe_load((tmp_path / 'out' / EXTRINSICS).read_text())
    assert content['fixed_frame'] == 'map'
    assert content['cameras']['c2']['frame_id'] == 'c2_optical_frame'


def test_launch_file_has_the_same_transforms(found: Extrinsics, tmp_path: Path) -> None:
    frames = {name: f'{name}_optical_frame' for name in found.cameras}
    write_extrinsics(tmp_path / 'out', found, frames)
    tree = ast.parse((tmp_path / 'out' / LAUNCH).read_text())
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    cameras = yaml.safe_load((tmp_path / 'out' / EXTRINSICS).read_text())['cameras']
    assert values['CAMERAS'] == {
        entry['frame_id']: (*entry['translation'], *entry['rotation']) for entry in cameras.values()
    }
    assert values['FIXED_FRAME'] == 'map'
    assert 'static_transform_publisher' in ast.unparse(tree)


def test_top_view_shows_cameras_and_the_walk(found: Extrinsics, tmp_path: Path) -> None:
    write_extrinsics(tmp_path / 'out', found, {name: name for name in found.cameras})
    picture = cv2.imread(str(tmp_path / 'out' / TOP_VIEW))
    assert picture is not None
    poses = {name: pose.frame_from_camera for name, pose in found.cameras.items()}
    whole = draw_top_view(poses, paths=found.report.paths)
    assert np.array_equal(picture[..., ::-1], whole)
    assert not np.array_equal(whole, draw_top_view(poses))
    # A camera that is turned half round is drawn on the other side of its centre.
    places = []
    for sign in (1, -1):
        pose = np.eye(4)
        pose[:3, :3] = [[0, 0, sign], [-sign, 0, 0], [0, -1, 0]]
        drawn = draw_top_view({'a': pose}, paths=[np.array([[-3.0, 1, 1], [3.0, 1, 1]])])
        dark = np.argwhere((drawn[545:585, 400:600] < 60).all(axis=2))  # no text is there
        places.append(dark.mean(axis=0)[1])
    assert places[0] > 120 > 80 > places[1]


def test_extrinsics_are_written_where_known_ones_cannot_be_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # TF has no clock offsets, and with them these cameras see no person together.
    body, poses = BodyModel.load(), corners(2)
    streams = record([Walker(body)], poses, 4.0, late=(0.0, 9.0))
    known = {f'c{at + 1}': CameraPose(pose, 0.0) for at, pose in enumerate(poses)}
    views = CalibrationViews(streams, {name: name for name in streams}, max_offset=10.0)
    goal = Goal(tmp_path / 'out', None, known)
    assert conclude(views, goal, body, Terminal(stderr=True)) == 0
    assert (tmp_path / 'out' / EXTRINSICS).exists()
    assert 'known extrinsics are not checked: cameras c1, c2 see no' in capsys.readouterr().err
    with pytest.raises(ExtrinsicsError, match='see no person together'):
        conclude(views, goal._replace(output=None), body, Terminal(stderr=True))


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('cameras: {a: {translation: [0, 0, 0]}}', "'rotation' is missing"),
        ('cameras: {a: {translation: [0, 0], rotation: [0, 0, 0, 1]}}', 'not 3 finite numbers'),
        ('cameras: {a: {translation: [0, 0, .nan], rotation: [0, 0, 0, 1]}}', 'finite'),
        ('cameras: {a: {translation: [0, 0, 0], rotation: [0, 0, 0, 2]}}', 'unit quaternion'),
        ('cameras: 5', 'no file of hybrik calibrate'),
        ('[', 'no file of hybrik calibrate'),
        ('{}', "'cameras' is missing"),
    ],
)
def test_bad_files_are_refused(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / 'extrinsics.yaml'
    path.write_text(text)
    with pytest.raises(ExtrinsicsError, match=reason):
        read_extrinsics(path)


def test_two_cameras_at_one_place_are_refused(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / 'out'
    assert calibrate(f'left={video}', f'right={video}', '-o', output) == 1
    told = capsys.readouterr().err
    assert 'cameras left and right have shared' in told
    assert 'cameras left, right see the person from nearly the same direction' in told
    assert not output.exists()


def test_topics_of_a_bag_are_cameras_with_their_frames(
    frames: list, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_cameras(tmp_path / 'bag', frames, ('left_optical', 'right_optical'))
    known = tmp_path / 'extrinsics.yaml'
    same = 'translation: [0, 0, 0], rotation: [0, 0, 0, 1]'
    known.write_text(f'cameras: {{left: {{{same}}}, right: {{{same}}}}}')
    assert calibrate(bag, '--field-of-view', 60, '--check', known) == 0
    told = capsys.readouterr().err
    rows = re.findall(r'(left|right) +│ (\d+) mm +│ (\d+) mm +│ (\w+) +│ (\w+)', told)
    assert rows == [(name, '0', '0', 'unknown', 'good') for name in ('left', 'right')]
    assert 'see the person from nearly the same direction' in told


@pytest.mark.parametrize(('radians', 'status'), [(0.0, 0), (0.1, 1)])
def test_tf_of_a_bag_is_checked(
    frames: list,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    radians: float,
    status: int,
) -> None:
    quaternions = [to_quaternion(from_rotation_vector([0.0, angle, 0.0])) for angle in (0, radians)]
    transforms = dict(zip(('left_optical', 'right_optical'), quaternions, strict=True))
    bag = write_cameras(tmp_path / 'bag', frames, tuple(transforms), transforms)
    assert calibrate(bag, '--field-of-view', 60) == status
    told = capsys.readouterr().err
    assert ('the extrinsics of left, right are wrong' in told) == bool(status)


def test_without_tf_and_output_there_is_nothing_to_do(
    frames: list, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_cameras(tmp_path / 'bag', frames[:2], ('left_optical', 'right_optical'))
    assert calibrate(bag, '--field-of-view', 60) == 1
    told = capsys.readouterr().err
    assert 'TF connects no two of the cameras' in told
    assert 'Loading' not in told


def test_one_frame_of_two_cameras_is_refused(
    frames: list, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_cameras(tmp_path / 'bag', frames[:2], ('camera', 'camera'))
    assert calibrate(bag, '--field-of-view', 60, '-o', tmp_path / 'out') == 1
    told = capsys.readouterr().err
    assert 'left, right have the same frame_id camera' in told
    assert 'Loading' not in told


def test_wrong_inputs_are_refused_before_networks_are_loaded(
    video: Path, frames: list, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_cameras(tmp_path / 'bag', frames[:2], ('camera',))
    output = tmp_path / 'out'
    for words, reason in (
        ([video], 'is no bag: give NAME=PATH'),
        ([video, video], 'has no name: give NAME=PATH'),
        ([f'a={video}', f'a={video}'], 'two cameras have the name a'),
        ([f'a={video}', f'b={video}x'], 'does not exist'),
        ([bag], 'fewer than two topics of colour images (/left/image_raw/compressed)'),
    ):
        assert calibrate(*words, '-o', output) == 1
        told = capsys.readouterr().err
        assert reason in told
        assert 'Loading' not in told
    output.mkdir()
    assert calibrate(f'a={video}', f'b={video}', '-o', output) == 1
    assert 'exists: choose another output' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        calibrate(f'a={video}', f'b={video}', '-o', output, '--stature', '17')
    assert 'must be from 0.5 to 2.5 m' in capsys.readouterr().err
