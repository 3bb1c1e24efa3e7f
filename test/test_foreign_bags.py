"""Bags that hold more than ROS 2 writes, or less: what can be read is, and the rest is named."""

import os
import random
import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
import yaml
from mcap.records import Statistics
from mcap.writer import CompressionType, IndexType, Writer
from recorded import IMAGE, INFO, START, STORE, TEXT, camera_info, image, write_bag
from rosbags.typesys import Stores, get_typestore
from test_bags import file_of, read

from hybrik_ros.bags import BagError, BagReader, BagWriter
from hybrik_ros.bags.reader import LOST_FILE
from hybrik_ros.bags.storage import CUT_OFF, DAMAGED_PART
from hybrik_ros.recordings.recording import Recording, RecordingError, is_recording
from hybrik_ros.recordings.sources import open_source

FRAMES = 12
# Encoding of messages, name, language and text of the schema. Descriptors of protobuf are no text.
FOREIGN = {
    '/json': ('json', 'Note', 'jsonschema', b'{"type": "object"}'),
    '/protobuf': ('protobuf', 'foxglove.Log', 'protobuf', b'\x0a\xff\xfe\x80 no text'),
    '/flat': ('flatbuffer', 'Log', 'flatbuffer', b'\x00\xff\x1c'),
    '/ros1': ('ros1', 'std_msgs/String', 'ros1msg', b'string data'),
    '/cbor': ('cbor', 'x', '', b''),
    '/plain': ('', 'x', 'something', b'\xc3\x28'),
}
WRITERS = {
    'zstd': {},
    'lz4': {'compression': CompressionType.LZ4},
    'none': {'compression': CompressionType.NONE},
    'unchunked': {'use_chunking': False},
    'no index': {'index_types': IndexType.NONE},
    'no statistics': {'use_statistics': False},
    'no repetition': {'repeat_channels': False, 'repeat_schemas': False},
    'bare': {'index_types': IndexType.NONE, 'use_statistics': False, 'repeat_channels': False,
             'repeat_schemas': False, 'use_summary_offsets': False},
    'small chunks': {'chunk_size': 2000},
}  # fmt: skip


@pytest.fixture(scope='module')
def frames() -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 16, (FRAMES, 60, 80, 3), np.uint8))


def definition(name: str) -> bytes:
    return get_typestore(Stores.ROS2_HUMBLE).generate_msgdef(name)[0].encode()


def write_mcap(
    path: Path, frames: list[np.ndarray], foreign: dict, profile: str = 'ros2', **options: object
) -> list[tuple[str, int, bytes]]:
    """Write images, calibrations and foreign messages; return what is of ROS 2."""
    written = []
    with path.open('wb') as file:
        writer = Writer(file, **options)
        writer.start(profile=profile, library='test')
        channels = {}
        for topic, (encoding, name, language, text) in foreign.items():
            schema = writer.register_schema(name, language, text) if name != 'x' else 0
            channels[topic] = writer.register_channel(topic, encoding, schema)
        for number, pixels in enumerate(frames):
            time = START + number * 10**8
            for topic, (name, message) in (
                (IMAGE, image(pixels, time, 'png')),
                (INFO, ('sensor_msgs/msg/CameraInfo', camera_info(time, 80, 60))),
            ):
                if topic not in channels:
                    schema = writer.register_schema(name, 'ros2msg', definition(name))
                    channels[topic] = writer.register_channel(topic, 'cdr', schema)
                data = bytes(STORE.serialize_cdr(message, name))
                writer.add_message(channels[topic], time, data, time)
                written.append((topic, time, data))
                time += 1000
            for topic in foreign:
                writer.add_message(channels[topic], time, b'{"text": "\xff"}', time)
        writer.finish()
    return written


@pytest.mark.parametrize('options', WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize('profile', ['ros2', '', 'ros1'])
def test_channels_of_ros_2_are_read_and_the_others_named_once(
    frames: list[np.ndarray], tmp_path: Path, options: dict, profile: str
) -> None:
    expected = write_mcap(tmp_path / 'a.mcap', frames, FOREIGN, profile, **options)
    with BagReader(tmp_path / 'a.mcap') as reader:
        assert reader.topics.keys() == {IMAGE, INFO}
        assert reader.topics[IMAGE].length == FRAMES
        found = [(m.topic, m.time, bytes(m.data)) for m in reader.messages({IMAGE, INFO})]
        assert found == expected
        assert reader.span[0] == START
        assert not reader.faults
        assert len(reader.notes) == len(FOREIGN)
        for topic, (encoding, *_) in FOREIGN.items():
            [note] = [note for note in reader.notes if note.startswith(f'{topic} is left out')]
            assert f'encoded as {encoding or "unknown"}' in note


@pytest.mark.parametrize('has_counts', [True, False])
@pytest.mark.parametrize('count', [1, 2])
@pytest.mark.parametrize('options', WRITERS.values(), ids=WRITERS)
def test_images_are_counted_whatever_the_index_has(
    frames: list[np.ndarray],
    tmp_path: Path,
    options: dict,
    count: int,
    has_counts: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not has_counts:  # An empty map says that they are not available.
        counts = property(lambda _: defaultdict(int), lambda *_: None)
        monkeypatch.setattr(Statistics, 'channel_message_counts', counts, raising=False)
    write_mcap(tmp_path / 'a.mcap', frames[:count], {}, **options)
    with open_source(Recording(tmp_path / 'a.mcap')) as source:
        assert (source.length, source.are_photos) == (count, count == 1)


@pytest.mark.parametrize('share', [0.35, 0.7, 0.999])
@pytest.mark.parametrize('name', ['zstd', 'unchunked', 'small chunks'])
def test_foreign_bag_that_is_cut_off_is_read(
    frames: list[np.ndarray], tmp_path: Path, name: str, share: float
) -> None:
    options = {'chunk_size': 20_000} | WRITERS[name]
    expected = write_mcap(tmp_path / 'a.mcap', frames, FOREIGN, **options)
    content = (tmp_path / 'a.mcap').read_bytes()
    (tmp_path / 'a.mcap').write_bytes(content[: round(share * len(content))])
    found, faults = read(tmp_path / 'a.mcap')
    assert faults == {CUT_OFF: 1}
    assert [(topic, time, data) for topic, time, data in found] == expected[: len(found)]
    assert len(found) > (share - 0.3) * len(expected)


def test_damaged_chunk_costs_its_messages(frames: list[np.ndarray], tmp_path: Path) -> None:
    expected = write_mcap(tmp_path / 'a.mcap', frames, FOREIGN, chunk_size=20_000)
    content = bytearray((tmp_path / 'a.mcap').read_bytes())
    content[len(content) // 3] ^= 0xFF
    (tmp_path / 'a.mcap').write_bytes(content)
    found, faults = read(tmp_path / 'a.mcap')
    assert faults == {DAMAGED_PART: 1}
    assert len(expected) > len(found) > len(expected) - 10
    assert all(message in expected for message in found)


@pytest.mark.parametrize('place', range(10, 400, 30))
def test_damaged_index_costs_nothing(frames: list[np.ndarray], tmp_path: Path, place: int) -> None:
    expected = write_mcap(tmp_path / 'a.mcap', frames, FOREIGN, chunk_size=20_000)
    content = bytearray((tmp_path / 'a.mcap').read_bytes())
    content[-place - 8 : -place] = b'\xff' * 8
    (tmp_path / 'a.mcap').write_bytes(content)
    found, _ = read(tmp_path / 'a.mcap')
    assert found == expected


def change_bytes(content: bytearray, rng: random.Random) -> bytearray:
    """Return bytes with some of them changed, removed or repeated."""
    for _ in range(rng.choice([1, 3, 20])):
        place = rng.randrange(len(content))
        match rng.randrange(5):
            case 0 | 1:
                content[place] = rng.randrange(256)
            case 2:
                content[place : place + 8] = rng.choice([b'\xff', b'\0', b'\x7f']) * 8
            case 3:
                del content[place : place + rng.randrange(200)]
            case 4:
                content[place:place] = content[-300:]
        content = content or bytearray(b'?')
    return content


@pytest.mark.parametrize('name', [*WRITERS, 'SQLITE3'])
def test_any_bytes_are_read_or_refused(frames: list[np.ndarray], tmp_path: Path, name: str) -> None:
    rng = random.Random(name)
    file = tmp_path / 'a.mcap'
    if name == 'SQLITE3':
        file = file_of(write_bag(tmp_path / 'bag', frames[:3], plugin=name, coding='png'))
    else:
        write_mcap(file, frames[:3], FOREIGN, **{'chunk_size': 9000} | WRITERS[name])
    whole, number = file.read_bytes(), 0
    for _ in range(80):
        file.write_bytes(change_bytes(bytearray(whole), rng))
        with suppress(BagError), BagReader(file) as reader:
            number += len(list(reader.messages(reader.topics)))
            reader.find_copyable()
            assert reader.span
    assert number


def test_bag_without_a_topic_of_ros_2_is_refused_by_name(
    frames: list[np.ndarray], tmp_path: Path
) -> None:
    write_mcap(tmp_path / 'a.mcap', [], FOREIGN)
    with pytest.raises(
        BagError, match=r'no topic of ROS 2 \(.*/ros1 .* encoded as ros1.*\): record it'
    ):
        BagReader(tmp_path / 'a.mcap').__enter__()


@pytest.mark.parametrize('first', [0, 5])
def test_topic_of_two_types_or_encodings_is_read_as_one(
    frames: list[np.ndarray], tmp_path: Path, first: int
) -> None:
    """Images count, however many strings come before them."""
    string = ('cdr', 'std_msgs/msg/String', 'ros2msg', definition('std_msgs/msg/String'))
    with (tmp_path / 'a.mcap').open('wb') as file:
        writer = Writer(file)
        writer.start(profile='ros2', library='')
        name, message = image(frames[0], START, 'png')
        for number, (encoding, type_name, language, text) in enumerate(
            (string, ('cdr', name, 'ros2msg', definition(name)), FOREIGN['/json'], string)
        ):
            schema = writer.register_schema(type_name, language, text)
            channel = writer.register_channel('/both', encoding, schema)
            data = bytes(STORE.serialize_cdr(message, name)) if type_name == name else b'{}'
            for _ in range(1 if number else first):
                writer.add_message(channel, START + number, data, START + number)
        writer.finish()
    with BagReader(tmp_path / 'a.mcap') as reader:
        assert reader.topics['/both'].type_name == name
        [found] = reader.messages({'/both'})
        assert found.time == START + 1
        assert ['encoded as json' in note for note in reader.notes].count(True) == 1
        left_out = ['std_msgs/msg/String are left out' in note for note in reader.notes]
        assert left_out.count(True) == 1


def test_topics_of_unknown_types_are_not_copied(frames: list[np.ndarray], tmp_path: Path) -> None:
    strange = {
        '/mine': ('cdr', 'my_msgs/msg/Mine', '', b''),
        '/broken': ('cdr', 'my_msgs/msg/Broken', 'ros2msg', b'string[[ x\n=== ?'),
        '/untyped': ('cdr', 'x', '', b''),
        '/known': ('cdr', 'my_msgs/msg/Known', 'ros2msg', b'int32 x'),
        '/json': FOREIGN['/json'],
    }
    write_mcap(tmp_path / 'a.mcap', frames, strange)
    with open_source(Recording(tmp_path / 'a.mcap', copy=True)) as source:
        assert {topic.name for topic in source.copied} == {IMAGE, INFO, '/known'}
        with BagWriter(tmp_path / 'copy') as copy:
            for topic in source.copied:
                copy.add_copy(topic)
            steps = list(source.steps())
            for step in steps:
                copy.write(*step.message)
        assert sum(step.picture is not None for step in steps) == FRAMES
        assert len(steps) == 3 * FRAMES
        for topic in ('/mine', '/broken', '/untyped', '/json'):
            assert sum(note.startswith(topic) for note in source.notes) == 1


def test_images_in_another_encoding_are_named(tmp_path: Path) -> None:
    foreign = {'/camera': ('protobuf', 'foxglove.CompressedImage', 'protobuf', b'\xff')}
    foreign['/said'] = ('cdr', 'std_msgs/msg/String', 'ros2msg', definition('std_msgs/msg/String'))
    with (tmp_path / 'b.mcap').open('wb') as file:
        writer = Writer(file)
        writer.start(profile='ros2', library='')
        for topic, (encoding, *schema) in foreign.items():
            channel = writer.register_channel(topic, encoding, writer.register_schema(*schema))
            writer.add_message(channel, START, b'\0\1\0\0', START)
        writer.finish()
    with pytest.raises(RecordingError, match=r'only /said .*; /camera is left out, as .* protobuf'):
        open_source(Recording(tmp_path / 'b.mcap')).__enter__()


# Files of a bag


def test_bag_without_the_files_of_its_metadata_is_refused_by_their_names(tmp_path: Path) -> None:
    (tmp_path / 'metadata.yaml').write_text(
        'rosbag2_bagfile_information:\n  relative_file_paths: [walk_0.mcap, walk_1.mcap]\n'
    )
    assert is_recording(tmp_path)
    with pytest.raises(BagError, match=r'metadata.yaml names walk_0.mcap, walk_1.mcap, which must'):
        BagReader(tmp_path).__enter__()
    (tmp_path / 'metadata.yaml').write_text('rosbag2_bagfile_information: {}')
    assert not is_recording(tmp_path)


def split(folder: Path, frames: list[np.ndarray], plugin: str) -> list[Path]:
    """Return three bag files in a folder with metadata.yaml, of which the second is the middle."""
    folder.mkdir()
    files = []
    for number in range(3):
        part = write_bag(
            folder.parent / f'{plugin}{number}', frames[4 * number : 4 * number + 4],
            plugin=plugin, coding='raw', start=START + number * 10**9,
        )  # fmt: skip
        whole = file_of(part)
        files.append(whole.rename(folder / f'{folder.name}_{number}{whole.suffix}'))
    metadata = yaml.safe_load((part / 'metadata.yaml').read_text())
    metadata['rosbag2_bagfile_information']['relative_file_paths'] = [file.name for file in files]
    (folder / 'metadata.yaml').write_text(yaml.safe_dump(metadata))
    return files


def remove(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(b'')


def scramble(path: Path) -> None:
    path.write_bytes(b'what is this?' * 1000)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize('damage', [remove, truncate, scramble, make_folder])
@pytest.mark.parametrize('plugin', ['MCAP', 'SQLITE3'])
def test_file_of_a_split_bag_costs_itself_only(
    frames: list[np.ndarray], tmp_path: Path, plugin: str, damage: Callable[[Path], None]
) -> None:
    files = split(tmp_path / 'bag', frames, plugin)
    whole, faults = read(tmp_path / 'bag')
    assert (len(whole), faults) == (3 * FRAMES, {})
    damage(files[1])
    with BagReader(tmp_path / 'bag') as reader:
        times = {message.time // 10**9 for message in reader.messages({IMAGE})}
        assert times == {START // 10**9, START // 10**9 + 2}
        assert reader.faults == {LOST_FILE: 1}
        [note] = reader.notes
        assert files[1].name in note


def test_unpacked_file_beside_its_compressed_one_is_read_once(
    frames: list[np.ndarray], tmp_path: Path
) -> None:
    """`ros2 bag play` leaves both."""
    packed = write_bag(tmp_path / 'bag', frames, plugin='SQLITE3', mode='FILE', coding='raw')
    expected, _ = read(packed)
    plain = file_of(write_bag(tmp_path / 'plain', frames, plugin='SQLITE3', coding='raw'))
    shutil.copy(plain, packed / file_of(packed).name.removesuffix('.zstd'))
    assert read(packed) == (expected, {})


@pytest.mark.parametrize('plugin', ['MCAP', 'SQLITE3'])
@pytest.mark.parametrize('name', ['a#b', 'a?b', 'a%20b', 'a b', 'ä'])
def test_names_of_files_are_free(
    frames: list[np.ndarray], tmp_path: Path, plugin: str, name: str
) -> None:
    bag = write_bag(tmp_path / 'bag', frames[:2], plugin=plugin, coding='raw')
    expected, _ = read(bag)
    whole = file_of(bag)
    moved = whole.rename(tmp_path / f'{name}{whole.suffix}')
    assert read(moved) == (expected, {})


@pytest.mark.parametrize('suffix', ['mcap', 'db3'])
def test_a_file_that_is_refused_is_closed(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f'bag.{suffix}'
    path.write_bytes(b'no bag' * 100)
    with pytest.raises(BagError) as refused:
        BagReader(path).__enter__()
    assert refused.value.__traceback__ is not None  # Its frames keep what the reader had opened.
    descriptors = Path('/proc/self/fd').glob('*')
    assert str(path) not in map(os.path.realpath, descriptors)


@pytest.mark.parametrize('plugin', ['MCAP', 'SQLITE3'])
def test_bag_without_messages_is_refused(tmp_path: Path, plugin: str) -> None:
    bag = write_bag(tmp_path / 'bag', [np.zeros((4, 4, 3), np.uint8)], plugin=plugin)
    if plugin == 'SQLITE3':
        with closing(sqlite3.connect(file_of(bag))) as database, database:
            database.execute('DELETE FROM messages')
    else:
        write_mcap(file_of(bag), [], {'/a': ('cdr', 'std_msgs/msg/Empty', 'ros2msg', b'')})
    with BagReader(bag) as reader:
        assert reader.topics
        assert list(reader.messages(reader.topics)) == []
    with pytest.raises(BagError, match='contains no message'):
        open_source(Recording(bag)).__enter__()


def test_bag_with_calibrations_alone_is_refused_by_name(
    frames: list[np.ndarray], tmp_path: Path
) -> None:
    bag = write_bag(tmp_path / 'bag', frames)
    with BagReader(bag) as reader, BagWriter(tmp_path / 'infos') as infos:
        infos.add_copy(reader.topics[INFO])
        for message in reader.messages({INFO}):
            infos.write(*message)
    with pytest.raises(RecordingError, match=r'no topic of images, only .*CameraInfo'):
        open_source(Recording(tmp_path / 'infos')).__enter__()
    alone = write_bag(tmp_path / 'alone', frames, info=False)
    with open_source(Recording(alone, field_of_view=60.0)) as source:
        assert sum(step.picture is not None for step in source.steps()) == FRAMES


# sqlite


def change(bag: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(file_of(bag))) as database, database:
        for statement in statements:
            database.execute(statement)
    return bag


@pytest.mark.parametrize(
    'statement',
    [
        # What rosbag2 writes for types whose definition it does not find.
        "UPDATE message_definitions SET encoding = 'unknown', encoded_message_definition = ''",
        "UPDATE message_definitions SET encoding = 'ros1msg'",
        'DELETE FROM message_definitions',
        'DROP TABLE message_definitions',
        'ALTER TABLE topics DROP COLUMN offered_qos_profiles',  # as in the first releases
        "UPDATE topics SET offered_qos_profiles = '[{history: ['",
        "UPDATE topics SET offered_qos_profiles = 'history'",
        'DROP TABLE schema',
        'DROP TABLE metadata',
        'DROP INDEX timestamp_idx',
    ],
)
def test_descriptions_of_sqlite_are_optional(
    frames: list[np.ndarray], tmp_path: Path, statement: str
) -> None:
    bag = write_bag(tmp_path / 'bag', frames, plugin='SQLITE3', coding='raw')
    expected, _ = read(bag)
    assert read(change(bag, statement)) == (expected, {})


def test_topics_in_other_encodings_of_sqlite_are_named(
    frames: list[np.ndarray], tmp_path: Path
) -> None:
    bag = write_bag(tmp_path / 'bag', frames, plugin='SQLITE3', coding='raw')
    change(bag, f"UPDATE topics SET serialization_format = 'json' WHERE name = '{TEXT}'")
    with BagReader(bag) as reader:
        assert reader.topics.keys() == {IMAGE, INFO}
        assert len(list(reader.messages({IMAGE, INFO, TEXT}))) == 2 * FRAMES
        [note] = reader.notes
        assert note.startswith(f'{TEXT} is left out, as its messages are encoded as json')
