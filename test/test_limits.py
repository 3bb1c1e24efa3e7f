"""Small files and messages never allocate more than the limits of hybrik_ros/limits.py."""

import pickle
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from bombs import (
    COMPUTED,
    MIB,
    STORED,
    packed_zeros,
    write_chunks,
    write_database,
    write_definitions,
    write_endless_index,
    write_mcap,
    write_png,
    write_small_messages,
    write_sparse,
)
from recorded import IMAGE, STORE, camera_info, write_bag
from test_motion import walk

from hybrik_ros.bags import BagError, BagReader, mcap_file, unpacking
from hybrik_ros.bags.reader import DAMAGED_MESSAGE, TOO_LARGE
from hybrik_ros.bags.storage import DAMAGED_PART
from hybrik_ros.body import BodyModel
from hybrik_ros.body.reading import read_body_file
from hybrik_ros.findings import PROBLEM
from hybrik_ros.limits import (
    MAX_CHUNK_BYTES,
    MAX_DEFINITION_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_NAME_CHARACTERS,
)
from hybrik_ros.messages.calibration import CalibrationError, read_calibration
from hybrik_ros.motion import MotionError, motions_of
from hybrik_ros.recordings.checks import check_recording
from hybrik_ros.recordings.recording import Recording
from hybrik_ros.recordings.report import RecordingReport
from hybrik_ros.recordings.sources import is_usable_calibration, open_source

# Bytes that an output may have beside the limit: input, index, what Python does not return.
_ROOM = 100 * MIB
_READ = """
import resource, sys
from pathlib import Path
from {module} import {function} as run
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run(Path(sys.argv[1]))
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


def read_bag(path: Path) -> dict[str, int]:
    with BagReader(path) as reader:
        assert list(reader.messages({IMAGE})) == []
        return dict(reader.faults)


def count_messages(path: Path) -> int:
    with BagReader(path) as reader:
        return sum(1 for _ in reader.messages({IMAGE}))


def read_body(path: Path) -> None:
    with pytest.raises(ValueError, match='cannot be read as a body file'):
        read_body_file(path)


def read_folder(path: Path) -> list[str]:
    with open_source(Recording(path)) as source:
        return [step.fault.reason for step in source.steps() if step.fault is not None]


def allocated(path: Path, function: Callable) -> int:
    """Return by how many bytes a new process grows while it reads a path."""
    code = _READ.format(module='test_limits', function=function.__name__)
    ran = subprocess.run(
        [sys.executable, '-c', code, str(path)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parent,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33)),
    )  # fmt: skip
    return int(ran.stdout)


@pytest.mark.parametrize('coding', ['zstd', 'lz4'])
def test_a_chunk_is_not_unpacked_beyond_its_limit(coding: str, tmp_path: Path) -> None:
    path = write_chunks(tmp_path / 'a.mcap', 2 * MAX_CHUNK_BYTES, coding)
    assert path.stat().st_size < 8 * MIB
    assert read_bag(path) == {TOO_LARGE: 1}
    assert allocated(path, read_bag) < _ROOM


def test_a_chunk_that_lies_about_its_size_is_not_unpacked(tmp_path: Path) -> None:
    path = write_chunks(tmp_path / 'a.mcap', 2**30, 'zstd')
    content = path.read_bytes()
    declared, small = (2**30).to_bytes(8, 'little'), MIB.to_bytes(8, 'little')
    assert content.count(declared) == 2
    path.write_bytes(content.replace(declared, small))
    assert allocated(path, read_bag) < _ROOM


def test_chunks_that_overlap_share_one_limit(tmp_path: Path) -> None:
    path = write_chunks(tmp_path / 'a.mcap', MAX_CHUNK_BYTES // 4, 'zstd', number=9)
    with BagReader(path) as reader:
        assert len([None for _ in reader.messages({IMAGE})]) == 4
        assert reader.faults == {TOO_LARGE: 5}


@pytest.mark.parametrize('coding', ['zstd', 'lz4', ''])
def test_chunks_share_the_limit_whatever_size_the_index_has(
    coding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcap_file, 'MAX_CHUNK_BYTES', 10 * MIB)
    path = write_chunks(tmp_path / 'a.mcap', 4 * MIB, coding, number=8, indexed_size=1)
    with BagReader(path) as reader:
        assert len([None for _ in reader.messages({IMAGE})]) == 2
        assert reader.faults == {TOO_LARGE: 6}


def test_a_message_of_a_chunk_larger_than_its_limit_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_chunks(tmp_path / 'a.mcap', 2 * MIB, 'zstd')
    assert count_messages(path) == 1
    monkeypatch.setattr(mcap_file, 'MAX_MESSAGE_BYTES', MIB)
    assert read_bag(path) == {TOO_LARGE: 1}


def test_a_message_is_not_unpacked_beyond_its_limit(tmp_path: Path) -> None:
    message = packed_zeros(3 * 2**30, 'zstd')
    path = write_mcap(tmp_path / 'a.mcap', message)
    assert path.stat().st_size < 100_000
    assert read_bag(path) == {TOO_LARGE: 1}
    assert allocated(path, read_bag) < 2 * MAX_MESSAGE_BYTES + _ROOM


def test_a_message_that_is_cut_off_is_damaged(tmp_path: Path) -> None:
    path = write_mcap(tmp_path / 'a.mcap', packed_zeros(MIB, 'zstd')[:-3])
    assert read_bag(path) == {DAMAGED_MESSAGE: 1}


def test_a_file_is_not_unpacked_beyond_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, 'MIN_BAG_BYTES', MIB)
    path = tmp_path / 'a.mcap.zstd'
    path.write_bytes(packed_zeros(100 * MIB, 'zstd'))
    with pytest.raises(BagError, match='unpacks to more than the maximum'):
        read_bag(path)


@pytest.mark.parametrize('kind', COMPUTED)
def test_a_table_of_sqlite_that_is_computed_is_refused(kind: str, tmp_path: Path) -> None:
    path = write_database(tmp_path / 'a.db3', COMPUTED[kind])
    with pytest.raises(BagError, match='not stored, but computed'):
        read_bag(path)


def test_a_table_of_sqlite_that_is_stored_is_read(tmp_path: Path) -> None:
    with BagReader(write_database(tmp_path / 'a.db3', STORED, rows=3)) as reader:
        assert len(list(reader.messages({IMAGE}))) == 3


@pytest.mark.parametrize(
    'content',
    [
        b'\x80\x02Nr\xff\xff\xff\x0f.',  # nine bytes: object number 2^28 - 1
        b'\x80\x05\x96' + (2**32).to_bytes(8, 'little') + b'.',  # a bytearray of 4 GB
        b'\x80\x05\x8e' + (2**32).to_bytes(8, 'little') + b'.',  # bytes of 4 GB
        b'\x80\x04\x95' + (2**33).to_bytes(8, 'little') + b'N.',  # a frame of 8 GB
    ],
    ids=['memo', 'bytearray', 'bytes', 'frame'],
)
def test_a_pickle_does_not_allocate_what_it_says(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / 'body.pkl'
    path.write_bytes(content)
    assert allocated(path, read_body) < _ROOM


def test_a_name_of_a_type_that_is_a_tower_of_tuples_is_not_printed(tmp_path: Path) -> None:
    tower: object = ('f8',)
    for _ in range(40):
        tower = (tower, tower)
    array = pickle.dumps(np.zeros(3), 2)
    name = pickle.dumps('f8', 2)[2:-3]  # without protocol, memo and end
    assert array.count(name) == 1
    path = tmp_path / 'body.pkl'
    path.write_bytes(
        b'\x80\x02}' + pickle.dumps('f', 2)[2:-1]
        + array[2:-1].replace(name, pickle.dumps(tower, 2)[2:-1].replace(b'q', b'q')) + b's.'
    )  # fmt: skip
    assert allocated(path, read_body) < _ROOM


def test_the_starts_of_a_sparse_matrix_do_not_repeat_numbers(tmp_path: Path) -> None:
    sparse = pytest.importorskip('scipy.sparse')
    matrix = sparse.csc_matrix(np.eye(3))
    matrix.indptr = np.array([-(2**33), 0, 0, 3], np.int64)
    path = tmp_path / 'body.pkl'
    path.write_bytes(pickle.dumps({'J_regressor': matrix}, 2))
    with pytest.raises(ValueError, match='do not fit together'):
        read_body_file(path)


def test_a_picture_larger_than_its_limit_is_left_out_and_named(tmp_path: Path) -> None:
    write_png(tmp_path / 'bomb.png', 60_000, 5_000)
    [reason] = read_folder(tmp_path)
    assert 'bomb.png' in reason
    assert allocated(tmp_path, read_folder) < _ROOM


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        ('[' * 5000, 'nested'),
        ('image_width: &a [1]\nimage_height: *a\n', 'anchors'),
        ('x' * 200_000, 'maximum'),
        ('a: !!timestamp x', 'read'),
        ('a: !!int ""', 'read'),
        ('image_width: ' + '9' * 10_000, 'image_width|digits'),
        ('\x1b]0;x\x07', 'read'),
    ],
)
def test_a_calibration_is_parsed_with_limits(content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / 'camera.yaml'
    path.write_text(content)
    with pytest.raises(CalibrationError, match=words):
        read_calibration(path)


def test_stamps_do_not_decide_how_many_frames_a_motion_has() -> None:
    frames, gaps = 30, 20  # at 1 kHz; each gap is as long as may be filled
    humans = walk(1, frames + gaps)
    stamps = [10**9 + number * 10**6 for number in range(frames)]
    stamps += [(number + 1) * 59 * 10**9 for number in range(gaps)]
    people = [[human] for human in humans]
    with pytest.raises(MotionError, match='more than the maximum'):
        motions_of(stamps, people, BodyModel.load(), 'interpolate')
    assert len(motions_of(stamps, people, BodyModel.load(), 'split')) == 1 + gaps


def test_schemas_are_not_kept_beyond_their_limit(tmp_path: Path) -> None:
    path = tmp_path / 'a.mcap'
    write_definitions(path, MAX_DEFINITION_BYTES // 4, number=40)
    assert path.stat().st_size < MIB
    assert count_messages(path) == 1
    assert allocated(path, count_messages) < 4 * MAX_DEFINITION_BYTES + _ROOM


def test_a_loose_message_larger_than_its_limit_is_left_out(tmp_path: Path) -> None:
    path = write_sparse(tmp_path / 'a.mcap', 4 * 2**30)
    assert read_bag(path) == {TOO_LARGE: 1}
    assert allocated(path, read_bag) < _ROOM


def test_small_messages_take_little_more_than_their_chunk(tmp_path: Path) -> None:
    path = write_small_messages(tmp_path / 'a.mcap', 10**6)
    assert count_messages(path) == 10**6
    assert allocated(path, count_messages) < 2 * 31 * 10**6 + _ROOM


def test_a_table_of_sqlite_without_end_is_refused(tmp_path: Path) -> None:
    path = write_database(tmp_path / 'a.db3', STORED, rows=3)
    with closing(sqlite3.connect(path)) as database:
        topics = ((number, 'x', 'x', 'cdr', '') for number in range(10, 20_000))
        database.executemany('INSERT INTO topics VALUES (?, ?, ?, ?, ?)', topics)
        database.commit()
    with pytest.raises(BagError, match='maximum of 10000 rows'):
        read_bag(path)


def test_an_index_of_sqlite_without_end_is_not_followed(tmp_path: Path) -> None:
    path = write_endless_index(tmp_path / 'a.db3')
    with BagReader(path) as reader:
        assert len(list(reader.messages({IMAGE}))) == 20
        assert reader.faults == {DAMAGED_PART: 1}


def test_a_message_of_sqlite_larger_than_its_limit_is_left_out(tmp_path: Path) -> None:
    path = write_database(tmp_path / 'a.db3', STORED, rows=3)
    with closing(sqlite3.connect(path)) as database:
        size = MAX_MESSAGE_BYTES + 1
        database.execute('UPDATE messages SET data = zeroblob(?) WHERE id = 2', (size,))
        database.commit()
    with BagReader(path) as reader:
        assert len(list(reader.messages({IMAGE}))) == 2
        assert reader.faults == {TOO_LARGE: 1}
    assert allocated(path, count_messages) < _ROOM


def check_photos(path: Path) -> None:
    assert [finding.level for finding in check_recording(path)][-1] != PROBLEM


def test_the_doctor_does_not_keep_the_images_that_it_checks(tmp_path: Path) -> None:
    write_png(tmp_path / '0.png', 3000, 2000)
    for number in range(1, 30):
        (tmp_path / f'{number}.png').symlink_to(tmp_path / '0.png')
    assert allocated(tmp_path, check_photos) < 2 * _ROOM


def write_named(path: Path, length: int, number: int = 2) -> Path:
    """Write a bag, the images and calibrations of which have a frame_id of this length."""
    frames = [np.full((48, 64, 3), 100 + each, np.uint8) for each in range(number)]
    return write_bag(path, frames, mode='MESSAGE', frame_id=length * 'x')


def test_images_and_calibrations_with_a_long_name_are_left_out(tmp_path: Path) -> None:
    assert read_folder(write_named(tmp_path / 'longest', MAX_NAME_CHARACTERS)) == []
    reasons = read_folder(write_named(tmp_path / 'longer', MAX_NAME_CHARACTERS + 1))
    assert len(reasons) == 4
    assert {"the frame_id 'xxxxx" in reason and len(reason) < 200 for reason in reasons} == {True}


def test_long_names_are_not_kept(tmp_path: Path) -> None:
    path = write_named(tmp_path / 'bag', 8 * MIB, number=30)
    assert allocated(path, read_folder) < _ROOM


@pytest.mark.parametrize(('count', 'is_usable'), [(14, True), (15, False)])
def test_a_calibration_with_more_distortion_than_any_lens_is_not_kept(
    count: int, is_usable: bool
) -> None:
    message = camera_info(10**9, 640, 480)
    message.d = np.zeros(count)  # type: ignore[attr-defined]
    data = STORE.serialize_cdr(message, 'sensor_msgs/msg/CameraInfo')
    assert is_usable_calibration(data) == is_usable


def test_a_report_does_not_keep_long_texts() -> None:
    report = RecordingReport({})
    report.add_fault('kind', MIB * 'x')
    report.add_note(MIB * 'y')
    assert max(map(len, (report.reasons['kind'], *report.notes))) < 3000
