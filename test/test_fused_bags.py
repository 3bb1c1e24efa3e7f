"""`hybrik bag` of several cameras: one body per person in a fixed frame, the same on each run."""

import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from recorded import START, camera_info, image
from sample import read_frames
from scipy.spatial.transform import Rotation
from test_motion import Glb, read_npz, write_people
from walkers import Walker, corners, observe, record

from hybrik_ros.bags import (
    BagReader,
    BagWriter,
    create_message_maker,
    create_observation_maker,
    serialise,
    typestore,
)
from hybrik_ros.bags.observation_reader import read_observations
from hybrik_ros.bags.people_reader import read_people
from hybrik_ros.body import BodyModel
from hybrik_ros.cli import main
from hybrik_ros.cli.bag import INTERRUPTED
from hybrik_ros.cli.bench import footage
from hybrik_ros.cli.bench.fused_runs import world_from_camera
from hybrik_ros.cli.bench.truth import load_world, refine
from hybrik_ros.confidence import MAIN_JOINTS
from hybrik_ros.fusion.extrinsics import CameraPose
from hybrik_ros.fusion.extrinsics.files import to_yaml
from hybrik_ros.human import Human
from hybrik_ros.messages.fields import stamp_fields
from hybrik_ros.messages.observations import HUMAN_OBSERVATION_ARRAY
from hybrik_ros.messages.people import HUMAN_MESH_ARRAY, TF
from hybrik_ros.recordings import cameras
from hybrik_ros.recordings.fusing import choose_times
from hybrik_ros.rotations import to_quaternion

SECONDS, RATE = 2.0, 15.0
POSES = dict(zip(('left', 'right', 'back'), corners(3), strict=True))
LEFT_AND_RIGHT = ('left', 'right')
MAKER, OBSERVATION_MAKER = create_message_maker(), create_observation_maker()
TYPES = typestore().types


def nanoseconds(seconds: float) -> int:
    return START + round(seconds * 1e9)


def header(time: int, frame_id: str) -> Any:
    stamp = TYPES['builtin_interfaces/msg/Time'](**stamp_fields(time))
    return TYPES['std_msgs/msg/Header'](stamp=stamp, frame_id=frame_id)


def transform(time: int, parent: str, child: str, pose: NDArray) -> Any:
    return TYPES['geometry_msgs/msg/TransformStamped'](
        header=header(time, parent),
        child_frame_id=child,
        transform=TYPES['geometry_msgs/msg/Transform'](
            translation=MAKER.vector(pose[:3, 3]),
            rotation=MAKER.quaternion(to_quaternion(pose[:3, :3])),
        ),
    )


def write_static(bag: BagWriter, poses: Mapping[str, NDArray], fixed_frame: str = 'map') -> None:
    bag.add_topic('/tf_static', TF)
    sent = [transform(START, fixed_frame, f'{name}_optical', pose) for name, pose in poses.items()]
    bag.write('/tf_static', START, serialise(TYPES[TF](transforms=sent)))


def write_observations(
    bag: BagWriter, streams: Mapping[str, Sequence], frames: Mapping[str, str] | None = None
) -> None:
    for name, stream in streams.items():
        topic = f'/{name}/human_observations'
        bag.add_topic(topic, HUMAN_OBSERVATION_ARRAY)
        frame = f'{name}_optical' if frames is None else frames[name]
        for seconds, people in stream:
            time = nanoseconds(seconds)
            message = OBSERVATION_MAKER.array(people, header(time, frame), 'default')
            bag.write(topic, time + 30_000_000, serialise(message))


def streams_of(walker: Walker, names: Sequence[str], **how: Any) -> dict[str, list]:
    poses = [POSES[name] for name in names]
    found = record([walker], poses, SECONDS, RATE, **how)
    return dict(zip(names, found.values(), strict=True))


@pytest.fixture(scope='module')
def walker() -> Walker:
    return Walker(BodyModel.load())


@pytest.fixture(scope='module')
def bag(walker: Walker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What nodes of three cameras have recorded, with TF."""
    path = tmp_path_factory.mktemp('bags') / 'lab'
    with BagWriter(path) as written:
        write_static(written, POSES)
        write_observations(written, streams_of(walker, list(POSES)))
    return path


@pytest.fixture(scope='module')
def extrinsics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_extrinsics(tmp_path_factory.mktemp('extrinsics') / 'extrinsics.yaml', {})


def write_extrinsics(path: Path, offsets: Mapping[str, float]) -> Path:
    poses = {name: CameraPose(pose, offsets.get(name, 0.0)) for name, pose in POSES.items()}
    path.write_text(to_yaml(poses, {name: f'{name}_optical' for name in POSES}, 'map'))
    return path


@pytest.fixture(scope='module')
def output(bag: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('fused') / 'people'
    assert fuse(bag, '-o', path, '--fixed-frame', 'map') == 0
    return path


def fuse(*words: object) -> int:
    return main(['bag', *map(str, words)])


def messages(path: Path) -> list:
    with BagReader(path) as reader:
        return list(reader.messages(reader.topics))


def away(walker: Walker, path: Path, late: float = 0.0) -> NDArray:
    """Mean distances of the joints of the only person from the true ones, by frame."""
    found = []
    for stamp, people in read_people(path).frames.items():
        for human in people:
            time = (stamp - START) * 1e-9 - late
            true = walker.points(time, joints=True)[:24]
            found.append(np.linalg.norm(human.joints - true, axis=1).mean())
    assert len(found) > 0.8 * len(read_people(path).frames)
    return np.array(found)


def refuse(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Return the error of a command that loads no network and writes nothing."""
    assert fuse(*words) == 1
    told = capsys.readouterr().err
    assert told.count('hybrik bag: ') == 1
    assert '0 of' not in told
    return ' '.join(told.split())


# Observations in the recording


def test_people_are_fused_in_the_fixed_frame(walker: Walker, output: Path) -> None:
    people = read_people(output)
    assert len(people.frames) == round(SECONDS * RATE)
    assert {human.id for humans in people.frames.values() for human in humans} == {'f1'}
    assert people.are_in_fixed_frame
    assert np.median(away(walker, output)) < 0.03
    with BagReader(output) as reader:
        lengths = {name: topic.length for name, topic in reader.topics.items()}
        sent = list(reader.messages({'/human_poses'}))
    frames = len(people.frames)
    assert lengths == {
        '/human_pose': frames, '/human_poses': frames, '/tf': frames,
        **{f'/{name}/human_observations': frames for name in POSES},
    }  # fmt: skip
    # Times of receipt are those of the images, so that both bags can be played together.
    assert sent[0].time == START + 30_000_000


def test_tf_of_joints_begins_at_the_fixed_frame(output: Path) -> None:
    with BagReader(output) as reader:
        message = next(iter(reader.messages({'/tf'})))
    first, *others = typestore().deserialize_cdr(message.data, TF).transforms
    assert (first.header.frame_id, first.child_frame_id) == ('map', 'body_f1')
    assert len(others) == 24


def test_runs_are_identical_to_the_bit(bag: Path, output: Path, tmp_path: Path) -> None:
    assert fuse(bag, '-o', tmp_path / 'people') == 1  # No images, and no option of cameras.
    assert fuse(bag, '-o', tmp_path / 'people', '--fixed-frame', 'map') == 0
    assert messages(tmp_path / 'people') == messages(output)


def test_extrinsics_of_a_file_give_the_same_people_as_tf(
    output: Path, extrinsics: Path, tmp_path: Path
) -> None:
    # The output has what is needed to fuse it anew.
    assert fuse(output, '-o', tmp_path / 'people', '--extrinsics', extrinsics) == 0
    found, expected = read_people(tmp_path / 'people').frames, read_people(output).frames
    assert list(found) == list(expected)
    for stamp, people in expected.items():
        for human, other in zip(found[stamp], people, strict=True):
            np.testing.assert_allclose(human.joints, other.joints, atol=2e-5)


def test_some_cameras_can_be_chosen(
    walker: Walker, bag: Path, output: Path, tmp_path: Path
) -> None:
    path = tmp_path / 'two'
    chosen = [word for name in LEFT_AND_RIGHT
              for word in ('--people-topic', f'{name}/human_observations')]  # fmt: skip
    assert fuse(bag, '-o', path, *chosen) == 0
    with BagReader(path) as reader:
        assert '/back/human_observations' not in reader.topics
    assert np.median(away(walker, path)) < 0.05
    assert fuse(bag, '-o', tmp_path / 'one', '--people-topic', '/left/human_observations') == 0
    human = next(iter(read_people(tmp_path / 'one').frames.popitem()[1]))
    assert human.joints[15, 2] > human.joints[0, 2] + 0.4  # upright by TF


def test_poses_of_moving_cameras_are_those_of_their_images(walker: Walker, tmp_path: Path) -> None:
    def pose(seconds: float) -> NDArray:
        """A camera that turns by 30 degrees and drives 1 m a second."""
        found = POSES['left'].copy()
        turn = Rotation.from_euler('z', np.radians(10) * np.sin(3 * seconds)).as_matrix()
        found[:3, :3] = turn @ found[:3, :3]
        found[:3, 3] += [0.0, 0.4 * seconds, 0.0]
        return found

    times = np.arange(round(SECONDS * RATE)) / RATE
    rng = np.random.default_rng(0)
    moving = [(t, [observe(walker.points(t), pose(t), rng)]) for t in times]
    with BagWriter(tmp_path / 'lab') as written:
        write_static(written, {'right': POSES['right']})
        streams = {'left': moving, 'right': streams_of(walker, ['right'])['right']}
        write_observations(written, streams)
        written.add_topic('/tf', TF)
        for seconds in np.arange(-0.1, SECONDS + 0.1, 0.02):
            time = nanoseconds(seconds)
            sent = TYPES[TF](transforms=[transform(time, 'map', 'left_optical', pose(seconds))])
            written.write('/tf', time + 60_000_000, serialise(sent))
    assert fuse(tmp_path / 'lab', '-o', tmp_path / 'people', '--fixed-frame', 'map') == 0
    assert np.median(away(walker, tmp_path / 'people')) < 0.05


def test_images_without_tf_at_their_time_are_left_out_and_named(
    walker: Walker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with BagWriter(tmp_path / 'lab') as written:
        write_static(written, {'right': POSES['right']})
        write_observations(written, streams_of(walker, LEFT_AND_RIGHT))
        written.add_topic('/tf', TF)
        for seconds in np.arange(0, SECONDS / 2, 0.05):
            time = nanoseconds(seconds)
            sent = TYPES[TF](transforms=[transform(time, 'map', 'left_optical', POSES['left'])])
            written.write('/tf', time, serialise(sent))
    assert fuse(tmp_path / 'lab', '-o', tmp_path / 'people', '--fixed-frame', 'map') == 0
    told = ' '.join(capsys.readouterr().err.split())
    assert 'x image of camera left without TF (the transforms of' in told
    assert 'older than the image' in told
    assert len(read_people(tmp_path / 'people').frames) == round(SECONDS * RATE)


def test_cameras_out_of_phase_are_fused_at_the_times_of_one(walker: Walker, tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'lab') as written:
        write_static(written, POSES)
        write_observations(written, streams_of(walker, list(POSES), phases=(0.0, 0.4, 0.7)))
    assert fuse(tmp_path / 'lab', '-o', tmp_path / 'people', '--fixed-frame', 'map') == 0
    frames = read_people(tmp_path / 'people').frames
    assert list(frames) == [nanoseconds(n / RATE) for n in range(round(SECONDS * RATE))]
    # 6 mm, as with cameras in phase; extrapolated rays give 12 mm.
    assert np.median(away(walker, tmp_path / 'people')[2:]) < 0.009


@pytest.mark.parametrize(
    ('stamps', 'expected'),
    [
        ([[0, 10, 20, 30], [5, 15, 25]], [0, 10, 20, 30]),
        ([[5, 15, 25], [0, 10, 20, 30]], [0, 10, 20, 30]),
        ([[0, 10, 20, 60, 70, 80], [5, 15, 25, 35, 45]], [0, 10, 20, 35, 45, 60, 70, 80]),
        ([[0, 10, 30, 40], [1, 21]], [0, 10, 21, 30, 40]),  # a lost image
        ([[0, 10, 20], [40, 50]], [0, 10, 20, 40, 50]),
        ([[7], [9]], [7, 9]),
    ],
)
def test_times_are_those_of_the_camera_with_the_most_images(
    stamps: list[list[int]], expected: list[int]
) -> None:
    assert choose_times([np.array(each) for each in stamps]).tolist() == expected


def test_bodies_are_fused_where_there_are_no_observations(output: Path, tmp_path: Path) -> None:
    def seen_by(human: Human, pose: NDArray) -> Human:
        turn, centre = pose[:3, :3], pose[:3, 3]
        rotations = human.rotations.copy()
        rotations[0] = turn.T @ rotations[0]
        joints = (human.joints - centre) @ turn
        shift = joints[0] - BodyModel.load().rest_joints(human.betas)[0]
        return replace(human, box=np.array([0.0, 0, 9, 9]), rotations=rotations, joints=joints,
                       translation=shift)  # fmt: skip

    truth = read_people(output).frames
    with BagWriter(tmp_path / 'lab') as written:
        write_static(written, POSES)
        for name in LEFT_AND_RIGHT:
            topic = f'/{name}/human_poses'
            written.add_topic(topic, HUMAN_MESH_ARRAY)
            for stamp, humans in truth.items():
                top = header(stamp, f'{name}_optical')
                meshes = [
                    MAKER.human_mesh(seen_by(human, POSES[name]), top, 'default', False)
                    for human in humans
                ]
                written.write(topic, stamp, serialise(MAKER.array(meshes, top)))
    assert fuse(tmp_path / 'lab', '-o', tmp_path / 'people', '--fixed-frame', 'map') == 0
    found = read_people(tmp_path / 'people').frames
    errors = [
        np.linalg.norm(human.joints - other.joints, axis=1).mean()
        for stamp, humans in truth.items()
        for human, other in zip(humans, found[stamp], strict=False)
    ]
    assert len(errors) > 20
    assert np.median(errors) < 0.05  # People walk on in the 30 ms by which bodies count as late.


def test_clock_offsets_are_applied_on_request(walker: Walker, tmp_path: Path) -> None:
    late = 1.3
    with BagWriter(tmp_path / 'lab') as written:
        write_observations(written, streams_of(walker, LEFT_AND_RIGHT, late=(0.0, late)))
    file = write_extrinsics(tmp_path / 'extrinsics.yaml', {'right': -late})
    words = [tmp_path / 'lab', '--extrinsics', file]
    assert fuse(*words, '-o', tmp_path / 'with', '--clock-offsets') == 0
    assert len(read_people(tmp_path / 'with').frames) == round(SECONDS * RATE)
    assert np.median(away(walker, tmp_path / 'with')) < 0.05
    # Observations keep their own stamps.
    own, _ = read_observations(tmp_path / 'with', '/right/human_observations')
    assert own[0].stamp == nanoseconds(late)
    assert fuse(*words, '-o', tmp_path / 'without') == 0
    assert len(read_people(tmp_path / 'without').frames) > round(SECONDS * RATE) + 10


# Refusals


def test_cameras_without_extrinsics_are_told_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refuse(capsys, 'left=l.mp4', 'right=r.mp4', '-o', tmp_path / 'out')
    assert 'to fuse NAME=PATH, add --extrinsics FILE' in told


def test_cameras_without_common_time_are_refused(
    walker: Walker, extrinsics: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with BagWriter(tmp_path / 'lab') as written:
        write_observations(written, streams_of(walker, LEFT_AND_RIGHT, late=(0.0, 5.0)))
    told = refuse(capsys, tmp_path / 'lab', '-o', tmp_path / 'out', '--extrinsics', extrinsics)
    assert 'camera left has no time in common with the others' in told
    assert '--clock-offsets' in told
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('frames', 'reason'),
    [
        ({'left': 'left_optical', 'right': 'x'}, 'camera right has no TF at the time of any image'),
        ({'left': 'left_optical', 'right': 'left_optical'}, 'have the same frame_id left_optical'),
        ({'left': 'left_optical', 'right': 'map'}, "the people of right are in 'map', fused"),
    ],
)
def test_frames_that_give_no_pose_are_refused(
    frames: dict[str, str],
    reason: str,
    walker: Walker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with BagWriter(tmp_path / 'lab') as written:
        write_static(written, POSES)
        write_observations(written, streams_of(walker, LEFT_AND_RIGHT), frames)
    told = refuse(capsys, tmp_path / 'lab', '-o', tmp_path / 'out', '--fixed-frame', 'map')
    assert reason in told


def test_another_body_is_refused(
    walker: Walker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with BagWriter(tmp_path / 'lab') as written:
        write_static(written, POSES)
        write_observations(written, streams_of(walker, ['left']))
        written.add_topic('/right/human_observations', HUMAN_OBSERVATION_ARRAY)
        message = OBSERVATION_MAKER.array([], header(START, 'right_optical'), 'mine')
        written.write('/right/human_observations', START, serialise(message))
    told = refuse(capsys, tmp_path / 'lab', '-o', tmp_path / 'out', '--fixed-frame', 'map')
    assert "the people of camera right have the body 'mine', those of the fusion 'default'" in told


@pytest.mark.parametrize(
    ('words', 'reason'),
    [
        (['--clock-offsets'], 'add --extrinsics FILE'),
        (['--all-topics', '--fixed-frame', 'map'], '--all-topics is for one camera'),
        (['--image-topic', '/a', '--people-topic', '/b'], 'not both'),
        (['--people-topic', '/x'], 'has no topic /x'),
        (['--people-topic', '/left/human_observations', '--people-topic', '/left/human_poses'],
         'are of one camera, left'),
        (['--extrinsics', 'OTHER'], 'has no camera left, right, back; it has front'),
    ],
)  # fmt: skip
def test_wrong_options_are_refused(
    words: list[str], reason: str, bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / 'other.yaml'
    other.write_text(
        'cameras: {front: {translation: [0, 0, 0], rotation: [0, 0, 0, 1], clock_offset: 0}}'
    )
    words = [str(other) if word == 'OTHER' else word for word in words]
    assert reason in refuse(capsys, bag, '-o', tmp_path / 'out', *words)


def test_an_output_of_other_extrinsics_is_not_resumed(
    bag: Path, output: Path, extrinsics: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = messages(output)
    assert fuse(bag, '-o', output, '--fixed-frame', 'map', '--resume') == 0
    assert 'exists: choose another output' in refuse(
        capsys, bag, '-o', output, '--fixed-frame', 'map'
    )
    told = refuse(capsys, bag, '-o', output, '--extrinsics', extrinsics, '--resume')
    assert '(fusion: extrinsics)' in told
    assert messages(output) == before


@pytest.mark.parametrize(
    ('topic', 'name'),
    [
        ('/left/image_raw', 'left'),
        ('/left/image_rect/compressed', 'left'),
        ('/robot/front/color/image_raw', 'robot/front/color'),
        ('/left/human_observations', 'left'),
        ('/left/human_poses', 'left'),
        ('/image_raw', 'image_raw'),
        ('/human_poses', 'human_poses'),
    ],
)
def test_cameras_are_named_by_their_namespaces(topic: str, name: str) -> None:
    assert cameras.name_camera(topic) == name


# Images


@pytest.fixture(scope='module')
def pictures() -> list[NDArray]:
    return [frame[::2, ::2] for frame in read_frames(30, 16)]


def write_images(
    path: Path,
    pictures: Sequence[NDArray],
    names: Sequence[str] = LEFT_AND_RIGHT,
    infos: Sequence[str] = LEFT_AND_RIGHT,
    poses: Mapping[str, NDArray] | None = None,
) -> Path:
    """Write a bag with the same images for each camera, at one place by default."""
    height, width = pictures[0].shape[:2]
    with BagWriter(path) as written:
        if poses is not None:
            write_static(written, poses)
        for name in names:
            kind = image(pictures[0], 0, 'jpg')[0]
            written.add_topic(f'/{name}/image_raw/compressed', kind)
            if name in infos:
                written.add_topic(f'/{name}/camera_info', 'sensor_msgs/msg/CameraInfo')
        for number, picture in enumerate(pictures):
            time = nanoseconds(number / 30)
            for name in names:
                frame = f'{name}_optical'
                if name in infos:
                    info = camera_info(time, width, height, frame)
                    written.write(f'/{name}/camera_info', time, serialise(info))
                message = image(picture, time, 'jpg', frame)[1]
                written.write(f'/{name}/image_raw/compressed', time, serialise(message))
    return path


def test_images_of_several_cameras_are_fused_the_same_with_any_number_of_workers(
    pictures: list[NDArray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = dict.fromkeys(LEFT_AND_RIGHT, POSES['left'])
    lab = write_images(tmp_path / 'lab', pictures, poses=same)
    assert fuse(lab, '-o', tmp_path / 'one', '--fixed-frame', 'map') == 0
    assert 'fusing' in capsys.readouterr().err
    names = [f'{name}/image_raw/compressed' for name in LEFT_AND_RIGHT]
    topics = [word for name in names for word in ('--image-topic', name)]
    assert fuse(lab, '-o', tmp_path / 'two', *topics, '--workers', 2) == 0
    assert messages(tmp_path / 'one') == messages(tmp_path / 'two')
    assert {path.name for path in tmp_path.iterdir()} == {'lab', 'one', 'two'}
    people = read_people(tmp_path / 'one')
    assert len(people.frames) == len(pictures)
    assert people.are_in_fixed_frame  # Two cameras at one place count as one, for 0.25 s.
    # What each camera sees is what `hybrik bag` finds in its images alone.
    assert fuse(lab, '-o', tmp_path / 'left', '--image-topic', 'left/image_raw/compressed') == 0
    alone, _ = read_observations(tmp_path / 'left')
    seen, _ = read_observations(tmp_path / 'one', '/left/human_observations')
    assert [frame.frame_id for frame in seen] == [frame.frame_id for frame in alone]
    assert [len(frame.people) for frame in seen] == [len(frame.people) for frame in alone]


def test_an_interrupted_run_continues_and_gives_the_same(
    pictures: list[NDArray], tmp_path: Path
) -> None:
    lab = write_images(tmp_path / 'lab', pictures, poses=POSES)
    target, parts = tmp_path / 'people', tmp_path / '.people.cameras'
    words = ['bag', str(lab), '-o', str(target), '--fixed-frame', 'map']
    # Children of a shell's background job would ignore SIGINT.
    reset = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    running = subprocess.Popen(
        [sys.executable, '-m', 'hybrik_ros.cli', *words],
        stderr=subprocess.PIPE, text=True, preexec_fn=reset,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (parts / 'left').exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    assert running.wait(20) == INTERRUPTED
    assert 'interrupted: resume with the same command' in running.stderr.read()
    assert not target.exists()
    assert (parts / 'left').exists()
    assert main(words) == 0
    assert not parts.exists()
    words[3] = str(tmp_path / 'again')
    assert main(words) == 0
    assert messages(target) == messages(tmp_path / 'again')


def test_videos_of_cameras_are_fused_with_a_file_of_extrinsics(
    pictures: list[NDArray], extrinsics: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    height, width = pictures[0].shape[:2]
    for name in LEFT_AND_RIGHT:
        path = str(tmp_path / f'{name}.avi')
        writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*'MJPG'), 30, (width, height))
        for picture in pictures:
            writer.write(picture[..., ::-1])
        writer.release()
    words = [f'{name}={tmp_path / name}.avi' for name in LEFT_AND_RIGHT]
    assert 'add --extrinsics FILE' in refuse(
        capsys, *words, '-o', tmp_path / 'out', '--fixed-frame', 'map'
    )
    assert fuse(*words, '-o', tmp_path / 'out', '--extrinsics', extrinsics) == 0
    seen, _ = read_observations(tmp_path / 'out', '/left/human_observations')
    assert {frame.frame_id for frame in seen} == {'left_optical_frame'}
    assert len(seen) == len(pictures)


def test_what_is_missing_is_said_before_networks_are_loaded(
    pictures: list[NDArray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = write_images(tmp_path / 'lab', pictures[:2], poses={'left': POSES['left']})
    words = ['-o', tmp_path / 'out', '--fixed-frame']
    told = refuse(capsys, lab, *words, 'map')
    assert 'TF does not connect the optical frame of camera right (right_optical)' in told
    assert 'give --extrinsics FILE of hybrik calibrate' in told
    assert 'camera left (left_optical), right (right_optical)' in refuse(
        capsys, lab, *words, 'odom'
    )
    blind = write_images(tmp_path / 'blind', pictures[:2], infos=['left'])
    assert 'no camera_info beside /right/image_raw' in refuse(capsys, blind, *words, 'map')
    assert not (tmp_path / 'out').exists()


# What reads the output


def test_motions_stand_upright_on_the_floor(
    walker: Walker, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['motion', str(output), '-o', str(tmp_path / 'a.npz')]) == 0
    assert 'moved to 0' in capsys.readouterr().out
    joints, _ = read_npz(tmp_path / 'a.npz')
    lowest = [
        BodyModel.load().vertices(human.rotations, human.betas, human.translation)[:, 2].min()
        for humans in read_people(output).frames.values()
        for human in humans
    ]
    true = np.array([human.joints for people in read_people(output).frames.values()
                     for human in people])  # fmt: skip
    moved = joints - true
    np.testing.assert_allclose(np.median(moved[..., :2]), 0, atol=0.01)
    np.testing.assert_allclose(np.median(moved[..., 2]), -np.percentile(lowest, 20), atol=0.015)
    assert main(['motion', str(output), '-o', str(tmp_path / 'a.glb')]) == 0
    glb = Glb((tmp_path / 'a.glb').read_bytes())
    places = glb.nodes(5)[glb.document['skins'][0]['joints']][:, :3, 3]
    x, y, z = joints[5].T
    np.testing.assert_allclose(places, np.column_stack([x, z, -y])[: len(places)], atol=0.02)


def test_people_behind_furniture_do_not_lower_the_floor(
    output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [
        [
            human,
            replace(human, id='f2', joints=human.joints - [1, 1, 0.3],
                    translation=human.translation - [1, 1, 0.3], joint_sigma=np.full(24, 0.1)),
        ]
        for humans in read_people(output).frames.values()
        for human in humans
    ]  # fmt: skip
    clear = [[replace(human, joint_sigma=np.full(24, 0.02)), other] for human, other in frames]
    told = []
    for name, people in (('both', clear), ('alone', [[human] for human, _ in clear])):
        assert main(['motion', str(write_people(tmp_path / name, people)), '-o',
                     str(tmp_path / f'{name}.bvh')]) == 0  # fmt: skip
        told.append(capsys.readouterr().out.splitlines()[0])
    assert told[0] == told[1]


def test_fused_bags_are_compared_with_each_other_alone(
    walker: Walker, output: Path, bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'two'
    chosen = [w for n in LEFT_AND_RIGHT for w in ('--people-topic', f'{n}/human_observations')]
    assert fuse(bag, '-o', path, *chosen) == 0
    assert main(['compare', str(output), str(path)]) == 0
    assert 'f1 of A is f1 of B' in capsys.readouterr().out
    frames = [
        [replace(human, box=np.array([0.0, 0, 9, 9]), joints=human.joints + [0, 0, 3],
                 translation=human.translation + [0, 0, 3])]
        for humans in read_people(output).frames.values()
        for human in humans
    ]  # fmt: skip
    camera = write_people(tmp_path / 'camera', frames)
    assert main(['compare', str(camera), str(output)]) == 1
    assert 'are in a fixed frame, those of' in capsys.readouterr().err


# Real footage


def test_real_people_are_much_more_accurate_than_those_of_one_camera(
    real_footage: Path, tmp_path: Path
) -> None:
    length, width = 30, 640
    found: dict[str, float] = {}
    clips = {
        f'cam{clip.number}': clip
        for clip in refine(footage.clips(real_footage))
        if clip.number and clip.people == 1
    }
    with BagWriter(tmp_path / 'lab') as written:
        write_static(written, {name: world_from_camera(clip) for name, clip in clips.items()})
        for name, clip in clips.items():
            write_clip(written, name, clip, length, width)
    one = ['--image-topic', 'cam1/image_raw/compressed']
    for title, words in (('four', []), ('one', one)):
        assert fuse(tmp_path / 'lab', '-o', tmp_path / title, '--fixed-frame', 'map', *words) == 0
        found[title] = man_error(tmp_path / title, next(iter(clips.values())).rate)
    assert found['four'] < 0.045
    assert found['one'] > 2 * found['four']


def write_clip(written: BagWriter, name: str, clip: footage.Clip, length: int, width: int) -> None:
    images, infos = f'/{name}/image_raw/compressed', f'/{name}/camera_info'
    written.add_topic(images, 'sensor_msgs/msg/CompressedImage')
    written.add_topic(infos, 'sensor_msgs/msg/CameraInfo')
    for number, picture in clip.frames():
        if number >= length:
            return
        scale = width / picture.shape[1]
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        time = nanoseconds(number / clip.rate)
        info = camera_info(time, small.shape[1], small.shape[0], f'{name}_optical')
        matrix = clip.camera.matrix.copy()
        matrix[:2] *= scale
        matrix[:2, 2] += (scale - 1) / 2  # Centres of pixels have whole numbers.
        info.k, info.d = matrix.ravel(), np.append(clip.camera.distortion, 0.0)
        written.write(infos, time, serialise(info))
        written.write(images, time, serialise(image(small, time, 'jpg', f'{name}_optical')[1]))


def man_error(path: Path, rate: float) -> float:
    truth = load_world()
    assert truth is not None
    errors = []
    for stamp, people in read_people(path).frames.items():
        true = truth[round((stamp - START) * 1e-9 * rate)]
        errors += (
            [
                min(
                    np.linalg.norm(human.joints[MAIN_JOINTS] - true, axis=1).mean()
                    for human in people
                )
            ]
            if people
            else []
        )
    return float(np.mean(errors))
