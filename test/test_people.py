"""Messages of people from outside: what no person can be is refused, and all others are kept."""

import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from test_motion import BODY, stamps, walk

from hybrik_ros.bags import BagWriter, create_message_maker, serialise, typestore
from hybrik_ros.bags.people_reader import read_people
from hybrik_ros.body.betas import BETA_LIMITS
from hybrik_ros.cli import main
from hybrik_ros.human import Human
from hybrik_ros.messages.fields import stamp_fields
from hybrik_ros.messages.people import PersonError, from_human_mesh, people_of, stamp_of

NAN, INF = float('nan'), float('inf')
TYPES, MAKER = typestore().types, create_message_maker()


def header(stamp: int) -> Any:
    time = TYPES['builtin_interfaces/msg/Time'](**stamp_fields(stamp))
    return TYPES['std_msgs/msg/Header'](stamp=time, frame_id='camera')


def mesh(human: Human, stamp: int = 1_500_000_000) -> Any:
    return MAKER.human_mesh(human, header(stamp), 'default', False)


def setter(path: str, value: object) -> Callable[[Any], None]:
    """Return a function that sets a field of a message, such as joints.3.x."""

    def change(message: Any) -> None:
        *parents, last = path.split('.')
        for name in parents:
            message = message[int(name)] if name.isdigit() else getattr(message, name)
        if last.isdigit():
            message[int(last)] = value
        else:
            setattr(message, last, value)

    return change


NUMBERS = [
    *[(f'rotations.3.{axis}', value) for axis in 'xyzw' for value in (NAN, INF, -INF, 1e300, 3.0)],
    *[(f'joints.5.{axis}', value) for axis in 'xyz' for value in (NAN, INF, 1e300)],
    *[(f'translation.{axis}', value) for axis in 'xyz' for value in (NAN, -INF, -1e300)],
    *[(f'velocity.{axis}', value) for axis in 'xyz' for value in (NAN, INF, 1e300)],
    *[('betas.2', value) for value in (NAN, INF, 1e30, 999.0, -20.5)],
    *[('box.1', value) for value in (NAN, INF)],
    *[('joint_confidence.7', value) for value in (NAN, INF, -0.1, 1.1)],
    *[(field, value) for field in ('confidence', 'translation_confidence')
      for value in (NAN, -INF, -1.0, 2.0)],
]  # fmt: skip
STAMPS = [(-(2**31), 0), (-1, 999_999_999), (5, 10**9), (5, 2**32 - 1)]
IDS = [
    '', ' ', '.', '..', '../../evil', '/tmp/evil', 'a/b', 'a\\b', '-rf', '~', 'p\n1', 'p\x001',
    '\x1b[2Jp1', 'p1\u202e', '[/red]', 'p' * 65, 'p' * 10**6, 'é' * 40, 'p 1', 'C:p1',
]  # fmt: skip
LENGTHS = [('rotations', 0), ('rotations', 23), ('rotations', 25), ('joints', 23), ('joints', 29),
           ('joint_confidence', 0), ('joint_confidence', 29), ('box', 3)]  # fmt: skip


def refuse(message: Any) -> str:
    """Return the reason for which a message is refused, by all that reads one."""
    with pytest.raises(PersonError) as caught:
        from_human_mesh(message)
    good = mesh(walk(2, 1)[0])
    array = TYPES['hybrik_ros/msg/HumanMeshArray'](header=header(0), humans=[message, good])
    people, faults = people_of(array)
    assert [human.id for human, _ in people] == ['p2']
    assert faults == [str(caught.value)]
    return faults[0]


@pytest.mark.parametrize(('field', 'value'), NUMBERS)
def test_numbers_that_no_person_has_are_refused(field: str, value: float) -> None:
    message = mesh(walk(1, 1)[0])
    setter(field, value)(message)
    reason = refuse(message)
    assert reason.startswith("stamp 1.500000000 s, person 'p1': " + field.partition('.')[0])
    assert len(reason) < 200


def test_zero_quaternions_are_refused_and_rounded_ones_are_not() -> None:
    message = mesh(walk(1, 1)[0])
    before = from_human_mesh(message).rotations
    for q in message.rotations:
        q.x, q.y, q.z, q.w = (float(np.float16(value)) for value in (q.x, q.y, q.z, q.w))
    np.testing.assert_allclose(from_human_mesh(message).rotations, before, atol=5e-3)
    message.rotations[20].x = message.rotations[20].y = message.rotations[20].z = 0.0
    message.rotations[20].w = 0.0
    assert 'rotations[20] (left_wrist) is no unit quaternion: its length is 0' in refuse(message)


@pytest.mark.parametrize(('sec', 'nanosec'), STAMPS)
def test_stamps_that_are_no_times_are_refused(sec: int, nanosec: int) -> None:
    message = mesh(walk(1, 1)[0])
    message.header.stamp.sec, message.header.stamp.nanosec = sec, nanosec
    assert f'(sec {sec}, nanosec {nanosec}) is invalid' in refuse(message)
    with pytest.raises(PersonError, match='is invalid'):
        stamp_of(message.header)
    with pytest.raises(PersonError, match='is invalid'):
        people_of(message)


@pytest.mark.parametrize('id', IDS, ids=range(len(IDS)))
def test_ids_that_are_no_names_are_refused(id: str) -> None:
    message = mesh(walk(1, 1)[0])
    message.id = id
    reason = refuse(message)
    assert reason.isprintable()
    assert len(reason) < 250


@pytest.mark.parametrize('id', ['p1', 'q7', 'anna', '1', 'p-1.2_3', 'äöü'])
def test_usual_ids_are_accepted(id: str) -> None:
    message = mesh(walk(1, 1)[0])
    message.id = id
    assert from_human_mesh(message).id == id


@pytest.mark.parametrize(('field', 'length'), LENGTHS)
def test_arrays_of_other_lengths_are_refused(field: str, length: int) -> None:
    message = mesh(walk(1, 1)[0])
    setattr(message, field, [*getattr(message, field), *getattr(message, field)][:length])
    assert f'{field} has {length} entries instead of' in refuse(message)


@pytest.mark.parametrize('scale', [0.0, 1e-9, 0.05])
def test_bodies_smaller_than_any_person_are_refused(scale: float) -> None:
    message = mesh(walk(1, 1)[0])
    pelvis = message.joints[0]
    for joint in message.joints[1:]:
        for axis in 'xyz':
            start = getattr(pelvis, axis)
            setattr(joint, axis, start + scale * (getattr(joint, axis) - start))
    assert 'less than the minimum of 0.2 m' in refuse(message)


def test_newborns_are_accepted() -> None:
    message = mesh(walk(1, 1)[0])
    for point in (*message.joints, message.translation):
        point.x, point.y, point.z = 0.28 * point.x, 0.28 * point.y, 0.28 * point.z
    assert from_human_mesh(message).joints.shape == (24, 3)


@pytest.mark.parametrize('count', [1, 6890])
def test_meshes_of_one_point_are_refused(count: int) -> None:
    message = mesh(walk(1, 1)[0])
    message.vertices = np.tile(np.float32([0, 0, 3]), count)
    assert 'vertices extends over 0 m' in refuse(message)


def test_vertices_must_be_finite_triples() -> None:
    message = mesh(walk(1, 1)[0])
    message.vertices = np.float32([0, 0, 3, 0, 1, 3])
    assert from_human_mesh(message).vertices.shape == (2, 3)
    message.vertices[4] = NAN
    assert 'vertices[4] is nan' in refuse(message)
    message.vertices = np.zeros(7, np.float32)
    assert 'vertices has 7 numbers' in refuse(message)


@pytest.mark.parametrize(
    ('damage', 'reason'),
    [
        (setter('joints.20.x', 1.8), r'joints\[20\] \(left_wrist\) is .* m from the left_elbow'),
        (setter('joints.20.x', -40.0), r'joints reaches 4.* m from the pelvis'),
        (setter('translation.z', 30.0), 'translation reaches 2.* m from the pelvis'),
        (setter('vertices', np.float32([0, 0, 3, 0, 0, -3])), 'vertices reaches 6.* m from'),
        (setter('box', np.float32([9, 0, 5, 10])), r'box ends before it begins: \[9.0, 0.0, 5.0'),
        (setter('box', np.float32([0, 9, 9, 5])), 'box ends before it begins'),
    ],
)
def test_bodies_that_no_person_has_are_refused(damage: Callable[[Any], None], reason: str) -> None:
    message = mesh(walk(1, 1)[0])
    damage(message)
    assert re.match(f"stamp 1.500000000 s, person 'p1': {reason}", refuse(message))


@pytest.mark.parametrize('depth', [-3.0, 0.0])
def test_people_behind_the_camera_are_refused_and_those_below_a_fixed_frame_are_not(
    depth: float,
) -> None:
    human = walk(1, 1)[0]
    move = np.array([0.0, 0.0, depth - human.joints[0, 2]])
    human = replace(
        human, box=np.zeros(4), joints=human.joints + move, translation=human.translation + move
    )
    assert from_human_mesh(mesh(human)).joints[0, 2] == pytest.approx(depth)
    reason = refuse(mesh(replace(human, box=np.array([10.0, 20.0, 30.0, 40.0]))))
    assert f'the pelvis is at a depth of {depth:g} m, not in front of the camera' in reason


def test_joint_sigma_comes_back_equal_or_unknown() -> None:
    human = walk(1, 1)[0]
    assert from_human_mesh(mesh(human)).joint_sigma is None
    sigma = np.linspace(0.01, 0.3, 24)
    message = mesh(replace(human, joint_sigma=sigma))
    np.testing.assert_allclose(from_human_mesh(message).joint_sigma, sigma, rtol=1e-6)
    for value in (NAN, -0.1, INF):
        message.joint_sigma[3] = value
        assert 'joint_sigma[3] is' in refuse(message)
    message.joint_sigma = np.zeros(23, np.float32)
    assert 'joint_sigma has 23 entries instead of 24' in refuse(message)


@pytest.mark.parametrize('betas', [BETA_LIMITS[0], BETA_LIMITS[1], 5.0])
def test_extreme_people_are_accepted(betas: float) -> None:
    human = walk(1, 1)[0]
    rest = BODY.rest_joints(np.full(BODY.num_betas, betas))[:24]
    raised = rest + [0, 0, 300.0]  # far away
    human = replace(human, betas=np.full(BODY.num_betas, betas), joints=raised)
    human = replace(human, translation=np.array([0, 0, 300.0]), box=np.float64([3, 0, 3, 0]))
    np.testing.assert_allclose(from_human_mesh(mesh(human)).joints, raised)
    smpl = replace(human, betas=np.array([10.0, -10.0]))
    np.testing.assert_allclose(from_human_mesh(mesh(smpl)).betas, smpl.betas)


@pytest.mark.parametrize('field', ['body_model', 'header.frame_id'])
def test_long_names_are_refused(field: str) -> None:
    message = mesh(walk(1, 1)[0])
    setter(field, 256 * 'x')(message)
    from_human_mesh(message)
    setter(field, 10**6 * 'x')(message)
    assert len(refuse(message)) < 200


def test_second_person_with_an_id_is_refused() -> None:
    first, second = walk(1, 2)
    array = MAKER.array([mesh(first), mesh(second), mesh(walk(2, 1)[0])], header(0))
    people, faults = people_of(array)
    assert [human.id for human, _ in people] == ['p1', 'p2']
    np.testing.assert_allclose(people[0][0].joints, first.joints)
    [fault] = faults
    assert "person 'p1': another person of the message has the same id" in fault


@given(data=st.data())
def test_accepted_people_are_finite(data: st.DataObject) -> None:
    message = mesh(walk(1, 1)[0])
    path, _ = data.draw(st.sampled_from(NUMBERS))
    setter(path, data.draw(st.floats(width=32)))(message)
    try:
        human = from_human_mesh(message)
    except PersonError:
        return
    for name in ('box', 'joints', 'joint_confidence', 'rotations', 'global_rotations', 'betas',
                 'translation', 'velocity', 'confidence', 'translation_confidence'):  # fmt: skip
        assert np.isfinite(getattr(human, name)).all()
    turns = human.rotations @ np.swapaxes(human.rotations, -1, -2)
    np.testing.assert_allclose(turns, np.tile(np.eye(3), (24, 1, 1)), atol=1e-6)


# In bags


FRAMES = 8
DAMAGES = {
    'quaternion': setter('rotations.3.x', NAN),
    'translation': setter('translation.y', INF),
    'joints': setter('joints.0.z', 1e300),
    'betas': setter('betas', np.zeros(3, np.float32)),
    'shape': setter('betas', np.full(10, 999, np.float32)),
    'id': setter('id', '../../evil'),
    'markup': setter('id', '[/red]'),
    'body': setter('body_model', 'other'),
    'stamp': setter('header.stamp.sec', -5),
}  # fmt: skip


def write(path: Path, single: bool, damage: Callable[[Any], None] | None, number: int = 3) -> Path:
    """Write a bag with two people, the second one of which is damaged in one message."""
    with BagWriter(path) as bag:
        bag.add_topic('/people', f'hybrik_ros/msg/{"HumanMesh" if single else "HumanMeshArray"}')
        for frame, stamp in enumerate(stamps(FRAMES)):
            meshes = [mesh(walk(seed, FRAMES)[frame], stamp) for seed in (1, 2)]
            if damage is not None and frame == number:
                damage(meshes[1])
            for message in meshes if single else [MAKER.array(meshes, header(stamp))]:
                bag.write('/people', stamp, serialise(message))
    return path


@pytest.mark.parametrize('single', [False, True])
def test_bags_of_earlier_versions_without_joint_sigma_are_read(
    single: bool, tmp_path: Path
) -> None:
    """With the definition of the type in the bag."""
    single_type = 'hybrik_ros/msg/HumanMesh'
    array_type = f'{single_type}Array'
    text, _ = typestore().generate_msgdef(array_type, ros_version=2)
    old = get_typestore(Stores.EMPTY)
    old.register(get_types_from_msg(text.replace('float32[] joint_sigma\n', ''), array_type))
    human = walk(1, 1)[0]
    message: Any = SimpleNamespace(**vars(mesh(human)))
    del message.joint_sigma
    kind = single_type if single else array_type
    content = message if single else SimpleNamespace(header=header(0), humans=[message])
    with Writer(tmp_path / 'bag', version=8, storage_plugin=StoragePlugin.MCAP) as bag:
        topic = bag.add_connection('/people', kind, typestore=old)
        bag.write(topic, 1_500_000_000, old.serialize_cdr(content, kind))
    [[read]] = read_people(tmp_path / 'bag').frames.values()
    np.testing.assert_allclose(read.joints, human.joints)
    assert read.joint_sigma is None


@pytest.mark.parametrize('text', ['string id', 'int32 header\nint32[] humans', 'int32 import'])
def test_messages_of_another_definition_are_left_out(text: str, tmp_path: Path) -> None:
    kind = 'hybrik_ros/msg/HumanMeshArray'
    other = get_typestore(Stores.EMPTY)
    other.register(get_types_from_msg(text, kind))
    with Writer(tmp_path / 'bag', version=8, storage_plugin=StoragePlugin.MCAP) as bag:
        topic = bag.add_connection('/people', kind, typestore=other)
        bag.write(topic, 1, bytes([0, 1, 0, 0, *8 * [0]]))
    people = read_people(tmp_path / 'bag')
    assert people.frames == {}
    assert len(list(people.report())) == 1


@pytest.fixture(scope='module')
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp('whole') / 'bag', False, None)


@pytest.mark.parametrize('single', [False, True])
@pytest.mark.parametrize('name', DAMAGES)
@pytest.mark.filterwarnings('error')
def test_bag_loses_only_the_person_that_is_refused(
    name: str, single: bool, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write(tmp_path / 'bag', single, DAMAGES[name])
    for suffix in ('.bvh', '.npz', '.glb'):
        assert main(['motion', str(bag), '-o', str(tmp_path / 'out' / f'a{suffix}')]) == 0
        told = capsys.readouterr()
        [line] = told.err.splitlines()
        assert f'message {2 * 3 + 2 if single else 4} of /people' in line
        assert re.search(r"person '(p2|\.\./\.\./evil|\[/red\])'", line)
        assert {path.name for path in (tmp_path / 'out').glob(f'*{suffix}')} == {
            f'a_p1{suffix}', f'a_p2{suffix}',
        }  # fmt: skip
    lines = [
        path.read_text().partition('Frame Time')[2] for path in (tmp_path / 'out').glob('*.bvh')
    ]
    values = ' '.join(line.partition('\n')[2] for line in lines).split()
    assert len(values) > FRAMES * 24
    assert np.abs(np.array(values, float)).max() < 1000

    assert main(['compare', str(whole), str(bag)]) == 0
    told = capsys.readouterr()
    assert 'left out in B: message' in told.err
    assert 'nan' not in told.out.lower()
    assert f'{FRAMES} and {FRAMES} frames' in told.out
    assert f'{FRAMES} and {FRAMES - 1} frames' in told.out


def test_motion_leaves_out_people_whose_joints_contradict_their_betas(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write(tmp_path / 'bag', False, setter('betas', np.full(10, 15, np.float32)), FRAMES - 1)
    assert main(['motion', str(bag), '-o', str(tmp_path / 'a.npz')]) == 0
    told = capsys.readouterr()
    [line] = told.err.splitlines()
    assert line.startswith(f"left out: stamp {stamps(FRAMES)[-1] * 1e-9:.3f} s, person 'p2': its")
    assert "m away from those that the body 'default' has" in line
    assert 'final' not in told.out
    betas = np.load(tmp_path / 'a_p2.npz')['body_betas']
    np.testing.assert_allclose(betas, walk(2, 1)[0].betas, atol=1e-6)


def test_only_refused_people_are_told_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    humans = walk(1, FRAMES)
    with BagWriter(tmp_path / 'bag') as bag:
        bag.add_topic('/people', 'hybrik_ros/msg/HumanMesh')
        for human, stamp in zip(humans, stamps(FRAMES), strict=True):
            message = mesh(human, stamp)
            message.joints[2].x = NAN
            bag.write('/people', stamp, serialise(message))
    assert main(['motion', str(tmp_path / 'bag'), '-o', str(tmp_path / 'a.bvh')]) == 1
    told = capsys.readouterr().err
    assert 'message 1 of /people: stamp 1.0' in told
    assert '(and 7 more like it)' in told
    assert 'no frame has a person' in told
    assert not list(tmp_path.glob('a*'))


def test_repeated_messages_and_damaged_stamps_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    humans = walk(1, FRAMES)
    with BagWriter(tmp_path / 'bag') as bag:
        bag.add_topic('/people', 'hybrik_ros/msg/HumanMesh')
        for number, (human, stamp) in enumerate(zip(humans, stamps(FRAMES), strict=True)):
            message = mesh(human, stamp)
            if number == 2:
                late = deepcopy(message)
                late.header.stamp.sec = 2**31 - 1
                bag.write('/people', stamp, serialise(late))
            for _ in range(1 + (number == 4)):
                bag.write('/people', stamp, serialise(message))
    assert main(['motion', str(tmp_path / 'bag'), '-o', str(tmp_path / 'a.bvh')]) == 0
    told = capsys.readouterr()
    assert f'p1, {FRAMES} frames' in told.out
    assert 'days away from those of the other messages' in told.err
    assert "person 'p1': a message before it has the same person and stamp" in told.err
