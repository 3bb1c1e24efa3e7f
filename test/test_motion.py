"""Motion files, read by independent code: their kinematics give the joints of the messages."""

import io
import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hybrik_ros.bags import BagWriter, create_message_maker, serialise, typestore
from hybrik_ros.body import BodyModel
from hybrik_ros.body.model import DEFAULT_BODY
from hybrik_ros.cli import main
from hybrik_ros.human import Human
from hybrik_ros.kinematics import forward, global_rotations
from hybrik_ros.messages.fields import stamp_fields
from hybrik_ros.motion import MotionError, motions_of, write_motion
from hybrik_ros.motion.motion import Y_UP, Z_UP
from hybrik_ros.rotations import to_rotation_vector
from hybrik_ros.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS

BODY = BodyModel.load()
LENGTH, RATE = 20, 25.0
BETAS = np.linspace(-1, 1, BODY.num_betas)
OPTICAL_FROM_BODY = np.diag([1.0, -1.0, -1.0])  # for an upright person facing the camera


def walk(seed: int, length: int = LENGTH) -> list[Human]:
    """Return an upright person before the camera, moving all joints."""
    rng = np.random.default_rng(seed)
    amplitude, phase = rng.normal(0, 0.5, (2, NUM_JOINTS, 3))
    times = np.arange(length)[:, None, None] / RATE
    vectors = amplitude * np.sin(2 * np.pi * times + 6 * phase)
    rotations = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix()
    rotations = rotations.reshape(length, NUM_JOINTS, 3, 3)
    rotations[:, 0] = OPTICAL_FROM_BODY @ rotations[:, 0]
    people = []
    for number in range(length):
        translation = np.array([0.3 * number / RATE, 0.1, 3.0])
        posed, _ = forward(rotations[number], BODY.rest_joints(BETAS)[:NUM_JOINTS])
        people.append(
            Human(
                id=f'p{seed}',
                confidence=0.9,
                box=np.array([0.0, 0, 64, 48]),
                joints=posed + translation,
                joint_confidence=np.ones(NUM_JOINTS),
                rotations=rotations[number],
                global_rotations=global_rotations(rotations[number]),
                betas=BETAS,
                translation=translation,
                translation_confidence=0.9,
                velocity=np.zeros(3),
            )
        )  # fmt: skip
    return people


def stamps(length: int = LENGTH) -> list[int]:
    """Return stamps at the rate RATE with the jitter of a camera's clock."""
    jitter = np.random.default_rng(0).integers(-(10**6), 10**6, length)
    return [10**9 + round(n / RATE * 1e9) + int(j) for n, j in enumerate(jitter)]


@pytest.fixture(scope='module')
def people() -> list[Human]:
    return walk(1)


def joints(people: Sequence[Human]) -> NDArray:
    return np.array([human.joints for human in people])


def written(people: Sequence[Human], path: Path, body: BodyModel = BODY) -> Path:
    [motion] = motions_of(stamps(), [[human] for human in people], body, 'interpolate')
    write_motion(motion, path)
    return path


# Three readers, written from the specifications of the formats.


def read_npz(path: Path, own: BodyModel = BODY) -> tuple[NDArray, float]:
    """Return the joints (N, 24, 3) of an AMASS file by an SMPL layer, and its rate.

    The layer has the betas of the file. Where these are zero as they are not SMPL's, its pelvis is
    in place, and the other joints follow from the betas of the body.
    """
    with np.load(path, allow_pickle=False) as file:
        assert str(file['gender']) == 'neutral'
        assert str(file['body_model']) == own.name
        assert file['betas'].shape == (16,)
        assert int(file['num_betas']) == 16
        count = len(file['trans'])
        assert file['poses'].shape == (count, 156)
        assert not file['poses'][:, 66:].any()
        parts = [file[name] for name in ('root_orient', 'pose_body', 'pose_hand')]
        assert [part.shape for part in parts] == [(count, 3), (count, 63), (count, 90)]
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), file['poses'])
        assert file['mocap_frame_rate'].item() == file['mocap_framerate'].item()
        turns = Rotation.from_rotvec(file['poses'][:, :72].reshape(-1, 3)).as_matrix()
        turns = turns.reshape(count, NUM_JOINTS, 3, 3)
        layer = chain(turns, own.rest_joints(file['betas'][: own.num_betas])[:NUM_JOINTS])
        layer += file['trans'][:, None]
        found = chain(turns, own.rest_joints(file['body_betas'])[:NUM_JOINTS])
        found += layer[:, :1] - found[:, :1]
        if own.shape_names:
            assert not file['betas'].any()
        else:
            np.testing.assert_allclose(found, layer, atol=1e-12)
        return found, float(file['mocap_framerate'])


def chain(turns: NDArray, rest: NDArray) -> NDArray:
    """Return joints (N, 24, 3) by forward kinematics in plain numpy."""
    places, frames = np.zeros((len(turns), NUM_JOINTS, 3)), turns.copy()
    places[:, 0] = rest[0]
    for joint, parent in enumerate(PARENTS[:NUM_JOINTS]):
        if parent >= 0:
            frames[:, joint] = frames[:, parent] @ turns[:, joint]
            places[:, joint] = places[:, parent] + frames[:, parent] @ (rest[joint] - rest[parent])
    return places


def read_bvh(path: Path) -> tuple[dict[str, NDArray], float]:
    """Return the positions (N, 3) of each joint of a BVH file by name, and its rate."""
    words = iter(path.read_text().split())
    parents, offsets, channels = read_hierarchy(words)
    assert next(words) == 'Frames:'
    count = int(next(words))
    assert [next(words), next(words)] == ['Frame', 'Time:']
    rate = 1 / float(next(words))
    values = np.array([float(word) for word in words]).reshape(count, len(channels))
    places: dict[str, NDArray] = {}
    frames: dict[str, NDArray] = {}
    for name, parent in parents.items():
        shift, turn = np.tile(offsets[name], (count, 1)), np.tile(np.eye(3), (count, 1, 1))
        for (owner, kind), column in zip(channels, values.T, strict=True):
            if owner == name and kind.endswith('position'):
                shift[:, 'XYZ'.index(kind[0])] += column
            elif owner == name:
                axis = Rotation.from_euler(kind[0].lower(), column[:, None], degrees=True)
                turn = turn @ axis.as_matrix()
        above, origin = (frames[parent], places[parent]) if parent else (np.eye(3), 0.0)
        places[name] = origin + (above @ shift[..., None])[..., 0]
        frames[name] = above @ turn
    return places, rate


def read_hierarchy(
    words: Iterator[str],
) -> tuple[dict[str, str | None], dict[str, NDArray], list[tuple[str, str]]]:
    """Return parent and offset of each joint, and the joint and kind of each channel."""
    stack: list[str] = []
    offsets: dict[str, NDArray] = {}
    parents: dict[str, str | None] = {}
    channels: list[tuple[str, str]] = []
    assert next(words) == 'HIERARCHY'
    for word in words:
        if word in ('ROOT', 'JOINT', 'End'):
            name = next(words)
            name = f'{stack[-1]} end' if word == 'End' else name
            parents[name] = stack[-1] if stack else None
        elif word == '{':
            stack.append(name)
        elif word == '}':
            stack.pop()
        elif word == 'OFFSET':
            offsets[stack[-1]] = np.array([float(next(words)) for _ in range(3)])
        elif word == 'CHANNELS':
            channels += [(stack[-1], next(words)) for _ in range(int(next(words)))]
        elif word == 'MOTION':
            break
    return parents, offsets, channels


class Glb:
    """A .glb file: its document, its arrays, and the transforms of its nodes."""

    def __init__(self, content: bytes) -> None:
        magic, version, length = struct.unpack_from('<4s2I', content)
        assert (magic, version, length) == (b'glTF', 2, len(content))
        size, kind = struct.unpack_from('<I4s', content, 12)
        assert (kind, size % 4) == (b'JSON', 0)
        self.document = json.loads(content[20 : 20 + size])
        size, kind = struct.unpack_from('<I4s', content, 20 + size), content[24 + size : 28 + size]
        assert kind == b'BIN\0'
        self.binary = content[28 + struct.unpack_from('<I', content, 12)[0] :]
        assert self.document['buffers'][0]['byteLength'] == len(self.binary)

    def array(self, number: int) -> NDArray:
        accessor = self.document['accessors'][number]
        view = self.document['bufferViews'][accessor['bufferView']]
        kind = {5121: 'u1', 5125: '<u4', 5126: '<f4'}[accessor['componentType']]
        width = {'SCALAR': 1, 'VEC3': 3, 'VEC4': 4, 'MAT4': 16}[accessor['type']]
        start = view['byteOffset']
        assert start % np.dtype(kind).itemsize == 0
        raw = self.binary[start : start + view['byteLength']]
        found = np.frombuffer(raw, kind).reshape(accessor['count'], width)
        np.testing.assert_allclose(accessor['min'], found.min(axis=0), atol=1e-6)
        np.testing.assert_allclose(accessor['max'], found.max(axis=0), atol=1e-6)
        return found

    def nodes(self, frame: int) -> NDArray:
        """Return the global transforms (nodes, 4, 4) in a frame of the animation."""
        nodes = self.document['nodes']
        local = np.tile(np.eye(4), (len(nodes), 1, 1))
        for number, node in enumerate(nodes):
            local[number, :3, 3] = node.get('translation', [0, 0, 0])
        [animation] = self.document['animations']
        for channel in animation['channels']:
            sampler = animation['samplers'][channel['sampler']]
            value = self.array(sampler['output'])[frame]
            target = local[channel['target']['node']]
            if channel['target']['path'] == 'translation':
                target[:3, 3] = value
            else:
                target[:3, :3] = Rotation.from_quat(value).as_matrix()
        found = local.copy()
        for number, node in enumerate(nodes):  # parents precede their children
            for child in node.get('children', ()):
                assert child > number
                found[child] = found[number] @ local[child]
        return found


# The tests.


def test_amass_gives_the_joints_of_the_messages(people: list[Human], tmp_path: Path) -> None:
    found, rate = read_npz(written(people, tmp_path / 'a.npz'))
    np.testing.assert_allclose(found, joints(people) @ Z_UP.T, atol=1e-9)
    assert rate == pytest.approx(RATE, rel=0.01)
    assert (found[:, JOINT_NAMES.index('head'), 2] > found[:, 0, 2]).all()  # z is up


def test_amass_has_the_betas_of_a_smpl_body(people: list[Human], tmp_path: Path) -> None:
    """A file of SMPL's own has no names of its shape directions."""
    with np.load(DEFAULT_BODY) as arrays:
        np.savez(tmp_path / 'smpl.npz', **{k: v for k, v in arrays.items() if 'names' not in k})
    smpl = BodyModel.load(tmp_path / 'smpl.npz')
    path = written(people, tmp_path / 'a.npz', smpl)
    found, _ = read_npz(path, smpl)
    np.testing.assert_allclose(found, joints(people) @ Z_UP.T, atol=1e-9)
    with np.load(path) as file:
        np.testing.assert_array_equal(file['betas'][: len(BETAS)], BETAS)


@pytest.mark.parametrize('nominal', [1, 15, 24 / 1.001, 25, 30 / 1.001, 30, 60 / 1.001, 60])
def test_rate_is_the_nominal_one(nominal: float, people: list[Human]) -> None:
    for length in range(2, 400, 9):
        exact = [10**9 + round(n / nominal * 1e9) for n in range(length)]
        [motion] = motions_of(exact, [[people[0]]] * length, BODY, 'split')
        assert motion.rate == nominal
    jitter = np.random.default_rng(1).normal(0, 1e6, 3000)
    rough = [t + int(j) for t, j in zip(exact, jitter, strict=False)]
    [motion] = motions_of(rough, [[people[0]]] * length, BODY, 'split')
    assert motion.rate in (nominal, round(nominal))  # 29.97 Hz may be taken for 30 Hz


def test_rate_between_the_nominal_ones_is_kept(people: list[Human]) -> None:
    for rate in (0.3, 7.5, 9.8, 12.5, 14.5, 29.8, 30.3):
        times = [10**9 + round(n / rate * 1e9) for n in range(100)]
        [motion] = motions_of(times, [[people[0]]] * 100, BODY, 'split')
        assert motion.rate == pytest.approx(rate, rel=1e-6)


STEPS = {
    'camera that slows down': [33] * 60 + [50] * 60,
    'camera that speeds up': [66] * 60 + [33] * 40,
    'node that drops most frames': [33, 66, 100, 66, 66, 33, 100, 66] * 12,
    'any': np.random.default_rng(2).integers(15, 90, 120).tolist(),
    'long pauses': ([40] * 20 + [1234]) * 4,
}


@pytest.mark.parametrize('steps', STEPS.values(), ids=STEPS)
def test_motion_keeps_the_times_of_irregular_stamps(steps: list[int], people: list[Human]) -> None:
    """Retargeters play frame k at k / rate: each pose must be there at about its stamp."""
    times = np.cumsum([1000, *steps]) / 1e3
    still = people[0].joints - people[0].joints[0]
    frames = [[replace(people[0], joints=still + [0, 0, t])] for t in times]
    [motion] = motions_of([round(t * 1e9) for t in times], frames, BODY, 'interpolate')
    assert motion.rate < 70
    played = times[0] + np.arange(len(motion.pelvis)) / motion.rate
    assert np.abs(motion.pelvis[:, 2] - played).max() < 1 / motion.rate


def test_an_irregular_motion_is_split_at_pauses_alone(people: list[Human]) -> None:
    times = np.cumsum([1000, *STEPS['node that drops most frames'], 1500, *[33] * 9]) * 10**6
    parts = motions_of(times.tolist(), [[people[0]]] * len(times), BODY, 'split')
    assert [part.name for part in parts] == ['p1_1', 'p1_2']


def test_bvh_gives_the_joints_of_the_messages(people: list[Human], tmp_path: Path) -> None:
    found, rate = read_bvh(written(people, tmp_path / 'a.bvh'))
    expected = joints(people) @ Y_UP.T
    for joint, name in enumerate(JOINT_NAMES):
        np.testing.assert_allclose(found[name], expected[:, joint], atol=5e-6, err_msg=name)
    assert rate == pytest.approx(RATE, rel=0.01)
    assert len(found) == NUM_JOINTS + 5
    assert (found['head'][:, 1] > found['pelvis'][:, 1]).all()  # y is up


def test_glb_gives_joints_and_skin_of_the_messages(people: list[Human], tmp_path: Path) -> None:
    glb = Glb(written(people, tmp_path / 'a.glb').read_bytes())
    [skin] = glb.document['skins']
    [primitive] = glb.document['meshes'][0]['primitives']
    arrays = {name: glb.array(number) for name, number in primitive['attributes'].items()}
    np.testing.assert_array_equal(glb.array(primitive['indices']).reshape(-1, 3), BODY.faces)
    inverse = np.swapaxes(glb.array(skin['inverseBindMatrices']).reshape(-1, 4, 4), 1, 2)
    times = glb.array(glb.document['animations'][0]['samplers'][0]['input']).ravel()
    np.testing.assert_allclose(np.diff(times), 1 / RATE, rtol=0.01)
    assert not arrays['JOINTS_0'][arrays['WEIGHTS_0'] == 0].any()
    corners = np.append(arrays['POSITION'], np.ones((len(arrays['POSITION']), 1)), axis=1)
    for frame in (0, LENGTH // 2, LENGTH - 1):
        places = glb.nodes(frame)[skin['joints']]
        expected = people[frame].joints @ Y_UP.T
        np.testing.assert_allclose(places[:, :3, 3], expected, atol=2e-6)
        moves = (places @ inverse)[arrays['JOINTS_0']]
        moved = np.einsum('vk,vkij,vj->vi', arrays['WEIGHTS_0'], moves, corners)[:, :3]
        human = people[frame]
        vertices = BODY.vertices(human.rotations, human.betas, human.translation)
        np.testing.assert_allclose(moved, vertices @ Y_UP.T, atol=2e-5)
    outward = np.sum(arrays['NORMAL'] * (arrays['POSITION'] - arrays['POSITION'].mean(axis=0)))
    assert outward > 0
    np.testing.assert_allclose(np.linalg.norm(arrays['NORMAL'], axis=1), 1, atol=1e-5)


def test_quaternions_and_angles_are_continuous(tmp_path: Path) -> None:
    people = walk(2)
    for number, human in enumerate(people):  # two turns about the vertical
        turn = Rotation.from_rotvec([0, -4 * np.pi * number / LENGTH, 0]).as_matrix()
        human.rotations[0] = turn @ OPTICAL_FROM_BODY
    glb = Glb(written(people, tmp_path / 'a.glb').read_bytes())
    channels = glb.document['animations'][0]['channels']
    for channel in channels:
        if channel['target']['path'] == 'rotation':
            sampler = glb.document['animations'][0]['samplers'][channel['sampler']]
            turns = glb.array(sampler['output'])
            assert (np.sum(turns[1:] * turns[:-1], axis=1) > 0).all()
    text = written(people, tmp_path / 'a.bvh').read_text().partition('Frame Time')[2]
    values = np.loadtxt(io.StringIO(text.partition('\n')[2]))
    assert np.abs(np.diff(values[:, 3:6], axis=0)).max() < 90


def test_gaps_are_filled_along_geodesics_or_split(people: list[Human]) -> None:
    missing = {7, 8, 9}  # not seen; and the camera loses frame 13
    frames = [[] if n in missing else [human] for n, human in enumerate(people)]
    times = [t for n, t in enumerate(stamps()) if n != 13]
    frames = [f for n, f in enumerate(frames) if n != 13]
    [whole] = motions_of(times, frames, BODY, 'interpolate')
    assert len(whole.pelvis) == LENGTH
    seen = [n for n in range(LENGTH) if n not in missing | {13}]
    np.testing.assert_array_equal(whole.joints[seen], joints(people)[seen])
    assert whole.deviations.max() < 1e-9
    steps = to_rotation_vector(np.swapaxes(whole.rotations[6:10], -1, -2) @ whole.rotations[7:11])
    np.testing.assert_allclose(steps, np.tile(steps[:1], (4, 1, 1)), atol=1e-9)
    np.testing.assert_allclose(np.diff(whole.pelvis[6:11], 2, axis=0), 0, atol=1e-12)

    parts = motions_of(times, frames, BODY, 'split')
    assert [(part.name, len(part.pelvis)) for part in parts] == [
        ('p1_1', 7), ('p1_2', 3), ('p1_3', 6),
    ]  # fmt: skip
    np.testing.assert_array_equal(parts[2].joints, joints(people)[14:])

    # If the shape changes over time, all parts have the last one.
    frames = [
        [replace(human, betas=human.betas * n) for human in humans]
        for n, humans in enumerate(frames)
    ]
    for part in motions_of(times, frames, BODY, 'split'):
        np.testing.assert_array_equal(part.betas, frames[-1][0].betas)


def test_parts_of_a_motion_never_replace_another_person(people: list[Human]) -> None:
    frames = [[human, replace(human, id='p1_2')] for human in people]
    frames[9] = frames[9][1:]
    with pytest.raises(MotionError, match="another person, 'p1_2'"):
        motions_of(stamps(), frames, BODY, 'split')


def test_long_gaps_are_not_interpolated(people: list[Human], tmp_path: Path) -> None:
    """Interpolating over a clock that jumps by ten days would take 40 GB."""
    times = [t + (n > 9) * 864_000 * 10**9 for n, t in enumerate(stamps())]
    frames = [[human] for human in people]
    with pytest.raises(MotionError, match=r'p1 is missing for 864000 s.*--gaps split'):
        motions_of(times, frames, BODY, 'interpolate')
    assert [len(part.pelvis) for part in motions_of(times, frames, BODY, 'split')] == [10, 10]


def test_rate_of_no_camera_is_refused(people: list[Human]) -> None:
    """Interpolation at a rate of 1 GHz would take all memory."""
    times = [10**9 + n for n in range(10)] + [50 * 10**9]
    with pytest.raises(MotionError, match=r'within 1e-09 s, faster than any camera'):
        motions_of(times, [[people[0]]] * 11, BODY, 'interpolate')


def test_input_without_motion_is_refused(people: list[Human]) -> None:
    with pytest.raises(MotionError, match='no frame has a person'):
        motions_of(stamps(), [[]] * LENGTH, BODY, 'split')
    with pytest.raises(MotionError, match='do not increase'):
        motions_of([2, 1], [[people[0]], [people[1]]], BODY, 'split')
    [single] = motions_of([5], [[people[0]]], BODY, 'interpolate')
    assert single.joints.shape == (1, NUM_JOINTS, 3)


def write_people(path: Path, frames: Sequence[Sequence[Human]], single: bool = False) -> Path:
    """Write a bag with people, as HumanMeshArray or as HumanMesh."""
    maker, types = create_message_maker(), typestore().types
    with BagWriter(path) as bag:
        bag.add_topic('/people', f'hybrik_ros/msg/{"HumanMesh" if single else "HumanMeshArray"}')
        for stamp, humans in zip(stamps(len(frames)), frames, strict=True):
            time = types['builtin_interfaces/msg/Time'](**stamp_fields(stamp))
            header = types['std_msgs/msg/Header'](stamp=time, frame_id='camera')
            meshes = [maker.human_mesh(human, header, 'default', False) for human in humans]
            for message in meshes if single else [maker.array(meshes, header)]:
                bag.write('/people', stamp, serialise(message))
    return path


@pytest.mark.parametrize('single', [False, True])
def test_each_person_of_a_bag_gets_a_file(
    people: list[Human], tmp_path: Path, single: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [list(pair) for pair in zip(people, walk(2), strict=True)]
    bag = write_people(tmp_path / 'bag', frames, single)
    assert main(['motion', str(bag), '-o', str(tmp_path / 'out' / 'a.npz')]) == 0
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {'a_p1.npz', 'a_p2.npz'}
    found, _ = read_npz(tmp_path / 'out' / 'a_p1.npz')
    # Betas are stored in single precision, as messages have them.
    np.testing.assert_allclose(found, joints(people) @ Z_UP.T, atol=1e-6)
    told = capsys.readouterr().out
    assert 'p1, 20 frames' in told
    assert "betas are zero: those of the body 'default' are not SMPL's" in told

    bag = write_people(tmp_path / 'alone', [[human] for human in people], single)
    # As nodes take it, a topic may be given without its slash.
    words = ['--gaps', 'split', '--topic', 'people']
    assert main(['motion', str(bag), '-o', str(tmp_path / 'b.bvh'), *words]) == 0
    assert (tmp_path / 'b.bvh').is_file()


@pytest.mark.parametrize(
    ('words', 'complaint'),
    [
        (['BAG', '-o', 'a.fbx'], 'must have one of the extensions .npz, .bvh, .glb'),
        (
            ['BAG', '-o', '.bvh'],
            '.bvh is an extension without a name: choose an output such as motion.bvh',
        ),
        (['BAG', '-o', 'a.npz', '--topic', '/x'], 'has no topic /x; it has /people'),
        (['BAG', '-o', 'a.npz', '--body', 'BODY'], "have the body 'default', not 'mine'"),
        (['nowhere', '-o', 'a.npz'], 'nowhere does not exist'),
    ],
)
def test_invalid_arguments_are_reported(
    people: list[Human], tmp_path: Path, words: list[str], complaint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    bag = write_people(tmp_path / 'bag', [[human] for human in people[:3]])
    body = tmp_path / 'mine.npz'
    body.write_bytes((Path(main.__code__.co_filename).parents[1] / 'data/body.npz').read_bytes())
    given = {'BAG': str(bag), 'BODY': str(body), 'a.npz': str(tmp_path / 'a.npz')}
    assert main(['motion', *(given.get(word, word) for word in words)]) == 1
    assert complaint in capsys.readouterr().err
