"""Bags of every kind that rosbag2 writes, whole and damaged."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import yaml
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from recorded import IMAGE, INFO, START, STORE, TEXT, write_bag
from rosbags.highlevel import AnyReader

from hybrik_ros.bags import BagError, BagReader, BagWriter, Message, serialise, typestore
from hybrik_ros.bags.storage import CUT_OFF, DAMAGED_MESSAGE, DAMAGED_PART

KINDS = [('MCAP', 'NONE'), ('MCAP', 'STORAGE'), ('MCAP', 'MESSAGE'), ('MCAP', 'FILE'),
         ('SQLITE3', 'NONE'), ('SQLITE3', 'MESSAGE'), ('SQLITE3', 'FILE')]  # fmt: skip
FRAMES = 60
SIZE = (160, 200, 3)  # large enough for several chunks
ALL = {IMAGE, INFO, TEXT}


@pytest.fixture(scope='module')
def frames() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 16, SIZE, np.uint8) for _ in range(FRAMES)]


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory, frames: list[np.ndarray]) -> Callable:
    numbers = count()
    folder = tmp_path_factory.mktemp('bags')

    def write(plugin: str, mode: str) -> Path:
        return write_bag(
            folder / f'bag{next(numbers)}', frames, plugin=plugin, mode=mode, coding='raw'
        )

    return write


def read(path: Path, *span: int | None) -> tuple[list[Message], dict[str, int]]:
    with BagReader(path) as reader:
        messages = [m._replace(data=bytes(m.data)) for m in reader.messages(ALL, *span)]
        return messages, dict(reader.faults)


def file_of(path: Path) -> Path:
    [file] = (file for file in path.iterdir() if file.name != 'metadata.yaml')
    return file


@pytest.mark.parametrize(('plugin', 'mode'), KINDS)
def test_every_kind_reads_as_rosbags_reads_it(bag: Callable, plugin: str, mode: str) -> None:
    path = bag(plugin, mode)
    with AnyReader([path], default_typestore=STORE) as other:
        expected = [Message(c.topic, time, bytes(data)) for c, time, data in other.messages()]
    assert read(path) == (expected, {})
    assert len(expected) == 3 * FRAMES
    middle = expected[FRAMES].time
    parts = [read(path, None, middle)[0], read(path, middle)[0]]
    assert [*parts[0], *parts[1]] == expected
    assert all(parts)
    (path / 'metadata.yaml').unlink()  # as a recorder that was killed leaves it
    assert read(path) == (expected, {})
    assert read(file_of(path)) == (expected, {})


def test_files_of_a_bag_are_ordered_by_number(
    bag: Callable, tmp_path: Path, frames: list[np.ndarray]
) -> None:
    times = []
    for number in (2, 10):
        part = write_bag(tmp_path / f'part{number}', frames[:3], coding='raw')
        target = tmp_path / 'whole' / f'part_{number}.mcap'
        target.parent.mkdir(exist_ok=True)
        file_of(part).rename(target)
        times += [time for _, time, _ in read(target)[0]]
    assert [time for _, time, _ in read(tmp_path / 'whole')[0]] == times


@pytest.mark.parametrize(('plugin', 'mode'), KINDS)
@pytest.mark.parametrize('share', [0.5, 0.8])
def test_a_file_that_is_cut_off_is_read_as_far_as_it_goes(
    bag: Callable, plugin: str, mode: str, share: float
) -> None:
    path = bag(plugin, mode)
    expected, _ = read(path)
    file = file_of(path)
    file.write_bytes(file.read_bytes()[: round(share * file.stat().st_size)])
    found, faults = read(path)
    assert faults[CUT_OFF] == 1
    assert found == expected[: len(found)]
    # Chunks have 1 MB, blocks of zstd 128 kB; all before the last one are read.
    assert len(found) > share * len(expected) - 70


def test_the_log_of_a_killed_recorder_is_read(bag: Callable, tmp_path: Path) -> None:
    expected, _ = read(path := bag('SQLITE3', 'NONE'))
    whole = file_of(path)
    with closing(sqlite3.connect(whole, isolation_level=None)) as database:
        database.execute('PRAGMA journal_mode = WAL')
        database.execute('PRAGMA wal_autocheckpoint = 0')
        rows = database.execute('SELECT * FROM messages ORDER BY id').fetchall()[
            len(expected) // 2 :
        ]
        database.execute('DELETE FROM messages WHERE id >= ?', rows[0][:1])
        database.execute('PRAGMA wal_checkpoint(TRUNCATE)')
        database.executemany('INSERT INTO messages VALUES (?, ?, ?, ?)', rows)
        killed = tmp_path / 'killed'
        shutil.copytree(path, killed)
    before = {file: file.read_bytes() for file in killed.iterdir()}
    assert read(killed) == (expected, {})
    assert {file: file.read_bytes() for file in killed.iterdir()} == before
    [log] = killed.glob('*-wal')
    whole = log.read_bytes()
    # sqlite overwrites a log from its start: frames of before follow the new ones.
    log.write_bytes(whole + bytes(24 + 4096))
    assert read(killed) == (expected, {})
    log.write_bytes(whole)
    content = bytearray(log.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4096] = bytes(4096)
    log.write_bytes(content)
    found, faults = read(killed)
    assert found == expected[: len(found)]
    assert faults == {CUT_OFF: 1}


@pytest.mark.parametrize(('plugin', 'mode'), [k for k in KINDS if k[1] != 'FILE'])
def test_only_damaged_messages_are_left_out(bag: Callable, plugin: str, mode: str) -> None:
    path = bag(plugin, mode)
    expected, _ = read(path)
    file = file_of(path)
    content = bytearray(file.read_bytes())
    place = len(content) // 2
    content[place : place + 3000] = b'\x55' * 3000
    file.write_bytes(content)
    found, faults = read(path)
    whole = [message for message in found if message in expected]
    assert len(whole) > len(expected) - 70
    if plugin == 'MCAP' and mode != 'STORAGE':  # Damaged pixels cannot be recognised there.
        return
    assert len(whole) == len(found)
    assert faults.keys() <= {DAMAGED_MESSAGE, DAMAGED_PART}
    assert sum(faults.values()) >= 1


def test_files_that_are_no_bags_are_refused(tmp_path: Path) -> None:
    for name, content in (('a.mcap', b''), ('b.mcap', b'what'), ('c.db3', b'SQLite format 3\0')):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BagError, match=name), BagReader(tmp_path / name):
            pass
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'old.bag').write_bytes(b'#ROSBAG V2.0')
    for name, reason in (
        ('empty', 'is not a rosbag2 bag'),
        ('old.bag', 'is not a rosbag2 bag'),
        ('nowhere.mcap', 'does not exist'),
    ):
        with pytest.raises(BagError, match=f'{name} {reason}'), BagReader(tmp_path / name):
            pass


def test_other_readers_read_written_bags(tmp_path: Path) -> None:
    string = typestore().types['std_msgs/msg/String']
    with BagWriter(tmp_path / 'bag') as bag:
        bag.add_topic('/said', 'std_msgs/msg/String')
        bag.add_topic('/human_poses', 'hybrik_ros/msg/HumanMeshArray')
        for number in range(3):
            bag.write('/said', START + number, serialise(string(data=f'{number}')))
    with (tmp_path / 'bag' / 'bag.mcap').open('rb') as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        found = [(m.log_time, o.data) for _, _, m, o in reader.iter_decoded_messages()]
        schemas = {schema.name for schema in reader.get_summary().schemas.values()}
    assert found == [(START + number, f'{number}') for number in range(3)]
    assert 'hybrik_ros/msg/HumanMeshArray' in schemas


def test_written_bags_are_readable_by_humble(bag: Callable, tmp_path: Path) -> None:
    """Humble expects offered_qos_profiles as text; from version 9 on they are a list."""
    path = bag('SQLITE3', 'NONE')
    with BagReader(path) as reader, BagWriter(tmp_path / 'bag') as written:
        written.add_topic('/said', 'std_msgs/msg/String')
        for topic in reader.topics.values():
            written.add_copy(topic)
    described = yaml.safe_load((tmp_path / 'bag' / 'metadata.yaml').read_text())
    information = described['rosbag2_bagfile_information']
    topics = [each['topic_metadata'] for each in information['topics_with_message_count']]
    assert len(topics) == 4
    assert information['version'] < 9
    assert all(isinstance(topic['offered_qos_profiles'], str) for topic in topics)


def test_a_copied_topic_keeps_its_definition(bag: Callable, tmp_path: Path) -> None:
    path = bag('SQLITE3', 'NONE')
    with BagReader(path) as reader, BagWriter(tmp_path / 'copy') as copy:
        for topic in reader.topics.values():
            copy.add_copy(topic)
        for message in reader.messages(reader.topics):
            copy.write(*message)
    shutil.copytree(tmp_path / 'copy', tmp_path / 'again')
    assert read(tmp_path / 'again')[0] == read(path)[0]
    with AnyReader([path], default_typestore=STORE) as a, AnyReader([tmp_path / 'copy']) as b:
        assert [(c.topic, c.msgtype) for c in a.connections] == [
            (c.topic, c.msgtype) for c in b.connections
        ]
