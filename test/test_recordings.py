"""`hybrik bag`: exact output, also after damage, interrupts and the death of workers."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from matroska import write_matroska
from recorded import IMAGE, INFO, RATE, START, TEXT, write_bag
from sample import CLIP, read_frames
from test_observations import check_equal

from hybrik_ros.bags import BagReader, BagWriter, Message, deserialise
from hybrik_ros.bags.observation_reader import read_observations
from hybrik_ros.bags.people_reader import read_people
from hybrik_ros.camera import Camera
from hybrik_ros.cli import main
from hybrik_ros.cli.bag import recordings_in
from hybrik_ros.findings import OK, WARNING
from hybrik_ros.messages.fields import nanoseconds
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.recordings.checks import check_recording
from hybrik_ros.recordings.confirmation import ConfirmationCheck
from hybrik_ros.recordings.process import Job, Outcome, Processor, locked, replaced
from hybrik_ros.recordings.recording import Recording, RecordingError, fingerprint
from hybrik_ros.recordings.report import RecordingReport
from hybrik_ros.recordings.segments import Segments, folder_of, split
from hybrik_ros.recordings.sources import open_source
from hybrik_ros.recordings.workers import LocalWorker, run_jobs

FIRST, LENGTH = 30, 18
SIZE = (884, 298)  # half of the clip's


@pytest.fixture(scope='module')
def frames() -> list[np.ndarray]:
    return [cv2.resize(picture, SIZE) for picture in read_frames(FIRST, LENGTH)]


@pytest.fixture(scope='module')
def processor() -> Iterator[Processor]:
    with Processor({}) as processor:
        yield processor


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory, frames: list[np.ndarray]) -> Path:
    return write_bag(tmp_path_factory.mktemp('recordings') / 'bag', frames)


@pytest.fixture(scope='module')
def output(bag: Path, processor: Processor) -> Path:
    """The output for the bag."""
    path = bag.with_name('output')
    processor.process(job(bag, path))
    return path


def job(path: Path, output: Path, **how: object) -> Job:
    return Job(Recording(path, **how), output, {})


def read(path: Path) -> list[Message]:
    with BagReader(path) as reader:
        return [m._replace(data=bytes(m.data)) for m in reader.messages(reader.topics)]


def run(*words: object) -> int:
    return main(['bag', *map(str, words)])


# Output


def test_each_image_has_an_output_with_its_times(output: Path, frames: list[np.ndarray]) -> None:
    with BagReader(output) as reader:
        kinds = {name: topic.type_name for name, topic in reader.topics.items()}
    assert kinds == {
        '/human_pose': 'hybrik_ros/msg/HumanMesh',
        '/human_poses': 'hybrik_ros/msg/HumanMeshArray',
        '/human_observations': 'hybrik_ros/msg/HumanObservationArray',
        '/tf': 'tf2_msgs/msg/TFMessage',
    }
    messages = read(output)
    arrays = [m for m in messages if m.topic == '/human_poses']
    stamps = [START + round(number / RATE * 1e9) for number in range(len(frames))]
    assert [m.time for m in arrays] == [stamp + 1000 for stamp in stamps]
    contents = [deserialise(m.data, kinds['/human_poses']) for m in arrays]
    assert [nanoseconds(content.header) for content in contents] == stamps
    assert {content.header.frame_id for content in contents} == {'camera'}
    people = [human for content in contents for human in content.humans]
    assert len(people) >= len(frames) - 4
    singles = [m for m in messages if m.topic == '/human_pose']
    assert len(singles) == len(people)
    tf = [deserialise(m.data, kinds['/tf']) for m in messages if m.topic == '/tf']
    assert [len(m.transforms) for m in tf] == [25 * len(c.humans) for c in contents if c.humans]
    assert tf[0].transforms[0].header.frame_id == 'camera'


def test_people_are_those_of_the_pipeline(output: Path, frames: list[np.ndarray]) -> None:
    with Pipeline.create() as pipeline:
        camera = Camera.from_field_of_view(60, *SIZE)  # as `write_bag` has it
        found = read_people(output).frames
        for (stamp, people), picture in zip(found.items(), frames, strict=True):
            expected = pipeline(picture, camera, stamp * 1e-9)
            assert [human.id for human in people] == [human.id for human in expected]
            for human, other in zip(people, expected, strict=True):
                np.testing.assert_array_equal(human.joints, other.joints)
                np.testing.assert_allclose(human.rotations, other.rotations, atol=1e-12)


def test_observations_are_those_of_the_pipeline(output: Path, frames: list[np.ndarray]) -> None:
    read, left_out = read_observations(output)
    assert list(left_out.report()) == []
    with Pipeline.create() as pipeline:
        camera = Camera.from_field_of_view(60, *SIZE)
        for frame, picture in zip(read, frames, strict=True):
            pipeline(picture, camera, frame.stamp * 1e-9)
            assert (frame.frame_id, frame.body_model) == ('camera', 'default')
            for found, expected in zip(frame.people, pipeline.human_observations, strict=True):
                check_equal(found, expected)
    assert sum(len(frame.people) for frame in read) >= len(frames) - 4


@pytest.mark.parametrize(
    ('plugin', 'mode', 'coding'),
    [('MCAP', 'NONE', 'png'), ('SQLITE3', 'FILE', 'raw'), ('SQLITE3', 'MESSAGE', 'webp')],
)
def test_the_same_images_give_the_same_messages_to_the_bit(
    output: Path, frames: list[np.ndarray], processor: Processor, tmp_path: Path,
    plugin: str, mode: str, coding: str,
) -> None:  # fmt: skip
    path = write_bag(
        tmp_path / 'bag', frames[:12], plugin=plugin, mode=mode,
        coding=coding, topic=IMAGE if coding == 'raw' else f'{IMAGE}/compressed',
    )  # fmt: skip
    outcome = processor.process(job(path, tmp_path / 'output'))
    assert outcome.report.complete
    assert outcome.report.frames == 12
    found = read(tmp_path / 'output')
    if coding == 'webp':  # not lossless; but the same again
        processor.process(job(path, tmp_path / 'again'))
        assert read(tmp_path / 'again') == found
    else:
        assert found == read(output)[: len(found)]


def test_all_topics_are_copied_on_request(
    bag: Path, output: Path, processor: Processor, tmp_path: Path
) -> None:
    processor.process(job(bag, tmp_path / 'all', copy=True))
    found = read(tmp_path / 'all')
    assert [m for m in found if m.topic in (IMAGE, INFO, TEXT)] == read(bag)
    assert [m for m in found if m.topic not in (IMAGE, INFO, TEXT)] == read(output)
    with pytest.raises(RecordingError, match='already contains people'):
        processor.process(job(tmp_path / 'all', tmp_path / 'again', copy=True))


def test_videos_and_folders_of_images_are_recordings(
    frames: list[np.ndarray], processor: Processor, tmp_path: Path
) -> None:
    folder = tmp_path / 'images'
    folder.mkdir()
    for number, picture in enumerate(frames[:12]):
        cv2.imwrite(str(folder / f'{number + 5}.png'), picture[..., ::-1])
    (folder / '9.png').write_bytes(b'broken')
    (folder / 'notes.txt').touch()
    outcome = processor.process(job(folder, tmp_path / 'a', rate=20.0))
    assert (outcome.report.frames, outcome.report.faults) == (11, {'broken image': 1})
    assert 'field of view of 60' in outcome.report.notes[0]
    stamps = list(read_people(tmp_path / 'a').frames)
    assert stamps[:2] == [10**9, 1_050_000_000]
    assert len(stamps) == 11

    clip = tmp_path / 'clip.avi'
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*'MJPG'), 25, SIZE)
    for picture in frames[:6]:
        writer.write(picture[..., ::-1])
    writer.release()
    calibration = clip.with_suffix('.yaml')
    text = CLIP.with_suffix('.yaml').read_text()
    for of_clip, of_half in (
        ('2520.09', '1260.05'), ('884.0', '441.75'), ('97.0', '48.25'), ('1768', '884'),
        ('594', '298'),
    ):  # fmt: skip
        text = text.replace(of_clip, of_half)
    calibration.write_text(text)
    outcome = processor.process(job(clip, tmp_path / 'b'))
    assert (outcome.report.frames, outcome.report.notes) == (6, [])
    assert np.diff(list(read_people(tmp_path / 'b').frames)).tolist() == [40_000_000] * 5
    assert processor.process(job(clip, tmp_path / 'b')).frames == 0
    calibration.write_text(f'{calibration.read_text()}# measured anew\n')
    with pytest.raises(RecordingError, match='calibrations'):
        processor.process(job(clip, tmp_path / 'b'))

    for path, how in ((clip, {'copy': True}), (clip, {'image_topic': '/x'}),
                      (folder, {'camera_info_topic': '/x'}), (clip, {'rate': 20.0})):  # fmt: skip
        with pytest.raises(RecordingError, match=r'is not a bag|--rate is for'):
            processor.process(job(path, tmp_path / 'c', **how))


@pytest.fixture(scope='module')
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of the woman, taken seconds apart, and of nothing."""
    folder = tmp_path_factory.mktemp('photos')
    for number, picture in enumerate(read_frames(60, 80)[::16]):
        cv2.imwrite(str(folder / f'{number}.jpg'), picture[..., ::-1])
    cv2.imwrite(str(folder / '9.jpg'), np.full((400, 300, 3), 90, np.uint8))
    return folder


def test_each_of_unrelated_photos_shows_its_people(
    photos: Path, processor: Processor, tmp_path: Path
) -> None:
    report = processor.process(job(photos, tmp_path / 'out')).report
    assert (report.frames, report.people, report.person_frames) == (6, 5, 5)
    assert 'each is processed alone' in report.notes[-1]
    found = list(read_people(tmp_path / 'out').frames.values())
    assert [len(people) for people in found] == [1, 1, 1, 1, 1, 0]
    # As if it were the only one, whatever came before.
    processor.process(job(photos / '3.jpg', tmp_path / 'one'))
    [[alone]] = read_people(tmp_path / 'one').frames.values()
    np.testing.assert_array_equal(found[3][0].joints, alone.joints)


def test_a_sequence_after_photos_is_processed_as_before(
    bag: Path, output: Path, photos: Path, processor: Processor, tmp_path: Path
) -> None:
    processor.process(job(photos / '1.jpg', tmp_path / 'photo'))
    processor.process(job(bag, tmp_path / 'out'))
    assert read(tmp_path / 'out') == read(output)


def test_a_rate_makes_photos_a_sequence(photos: Path, processor: Processor, tmp_path: Path) -> None:
    report = processor.process(job(photos, tmp_path / 'out', rate=30.0)).report
    assert report.person_frames < 5  # One image confirms no person.
    assert report.notes == [note for note in report.notes if 'alone' not in note]


def test_people_are_counted_once_and_person_frames_by_frame(output: Path) -> None:
    report = RecordingReport.read(output)
    shown = [human.id for people in read_people(output).frames.values() for human in people]
    assert (report.people, report.person_frames) == (len(set(shown)), len(shown))
    assert report.people < report.person_frames
    assert report.found == {}


def test_videos_have_the_times_of_their_container(
    frames: list[np.ndarray], processor: Processor, tmp_path: Path
) -> None:
    times = [0, 30, 71, 99, 140, 165, 203, 240, 260, 300, 340, 900]
    pictures = [picture[..., ::-1] for picture in frames[:12]]
    clip = write_matroska(tmp_path / 'browser.webm', pictures, times, 60.0)
    report = processor.process(job(clip, tmp_path / 'out')).report
    assert (report.frames, report.faults, report.damage) == (12, {}, {})
    stamps = list(read_people(tmp_path / 'out').frames)
    assert stamps == [10**9 + time * 10**6 for time in times]


# Damage and errors


def test_a_broken_frame_of_a_video_costs_that_frame(
    frames: list[np.ndarray], processor: Processor, tmp_path: Path
) -> None:
    pictures = [picture[..., ::-1] for picture in frames[:12]]
    times = range(0, 480, 40)
    clip = write_matroska(tmp_path / 'a.mkv', [*pictures[:5], b'garbage', *pictures[6:]], times)
    report = processor.process(job(clip, tmp_path / 'out')).report
    assert (report.frames, report.faults, report.damage) == (11, {'broken image': 1}, {})
    assert 'cannot be decoded' in report.reasons['broken image']
    stamps = list(read_people(tmp_path / 'out').frames)
    assert stamps == [10**9 + time * 10**6 for time in times if time != 200]
    findings = list(check_recording(clip))
    assert any('cannot be decoded' in str(finding) for finding in findings)


def test_a_video_that_cannot_be_decoded_is_refused_in_one_line(tmp_path: Path) -> None:
    pictures = [b'garbage'] * 1000 + [np.zeros((48, 64, 3), np.uint8)]
    clip = write_matroska(tmp_path / 'a.mkv', pictures, range(1001))
    command = [sys.executable, '-m', 'hybrik_ros.cli', 'bag', clip, '-o', tmp_path / 'out']
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    [line] = (result.stdout + result.stderr).splitlines()
    assert 'cannot decode' in line
    assert result.returncode == 1


def test_a_bad_file_in_a_folder_costs_that_file(
    frames: list[np.ndarray], processor: Processor, tmp_path: Path
) -> None:
    folder = tmp_path / 'images'
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f'{number}.png'), frames[number][..., ::-1])
    os.mkfifo(folder / '3.png')
    (folder / '4.png').mkdir()
    (folder / '5.png').symlink_to(tmp_path / 'nothing')
    report = processor.process(job(folder, tmp_path / 'out')).report
    assert (report.frames, report.faults) == (3, {'broken image': 3})
    assert '3.png is not a regular file' in report.reasons['broken image']


def test_what_is_known_beforehand_is_said_before_networks_are_loaded(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Pipeline, 'create', None)  # would be a TypeError
    (tmp_path / 'notes.txt').write_text('no recording')
    (tmp_path / 'file').touch()
    (tmp_path / 'photo.heic').write_bytes(b'\0\0\0\x18ftypheic')
    with locked(tmp_path / 'locked'):
        for path, output, complaint in (
            (bag, 'locked', 'another process is writing'),
            (bag, 'file/out', 'choose another output'),
            (tmp_path / 'notes.txt', 'x', 'notes.txt is neither a bag nor a photo'),
            (tmp_path / 'photo.heic', 'x', 'photo.heic cannot be read, as the format HEIC'),
            ('rtsp://me:secret@cam/1', 'x', 'rtsp://me:***@cam/1 is a URL'),
        ):
            assert run(path, '-o', tmp_path / output) == 1
            assert complaint in capsys.readouterr().err


def test_damaged_images_are_left_out_and_counted(
    frames: list[np.ndarray], processor: Processor, tmp_path: Path
) -> None:
    step = round(1e9 / RATE)
    stamps = [START + number * step for number in range(12)]
    stamps[8] -= 2 * step
    other = [*frames[:5], frames[5][:-2], *frames[6:12]]
    path = write_bag(tmp_path / 'bag', other, coding='jpg', stamps=stamps, damaged=[3])
    report = processor.process(job(path, tmp_path / 'out')).report
    assert report.complete
    assert report.frames == 9
    assert sorted(report.faults.values()) == [1, 1, 1]
    assert {'order', 'camera_info size'} < report.faults.keys()


def test_images_with_equal_stamps_are_counted(
    frames: list[np.ndarray], processor: Processor, tmp_path: Path
) -> None:
    path = write_bag(tmp_path / 'bag', frames[:6], coding='jpg', stamps=[0] * 6)
    done: list[tuple[int, int]] = []
    report = processor.process(
        job(path, tmp_path / 'out'), progress=lambda *state: done.append(state)
    ).report
    assert (report.frames, report.faults) == (1, {'order': 5})
    assert 'not newer' in report.reasons['order']
    assert done[-1] == (6, 6)


def test_images_without_a_frame_have_no_tf(
    frames: list[np.ndarray], processor: Processor, tmp_path: Path
) -> None:
    path = write_bag(tmp_path / 'bag', frames[:8], coding='jpg', frame_id='')
    done: list[tuple[int, int]] = []
    report = processor.process(
        job(path, tmp_path / 'out'), progress=lambda *state: done.append(state)
    ).report
    assert report.people > 0
    assert report.faults == {'no frame_id': sum(bool(p) for p in read_people(
        tmp_path / 'out').frames.values())}  # fmt: skip
    assert done[-1] == (8, 8)
    assert not [m for m in read(tmp_path / 'out') if m.topic == '/tf']


def test_a_part_that_is_damaged_is_counted_once(
    frames: list[np.ndarray], processor: Processor, tmp_path: Path
) -> None:
    path = write_bag(tmp_path / 'bag', frames[:12], mode='STORAGE')
    [file] = path.glob('*.mcap')
    zstd = b'\x28\xb5\x2f\xfd'  # first bytes of each part
    assert file.read_bytes().count(zstd) > 1
    file.write_bytes(file.read_bytes().replace(zstd, b'what', 1))
    report = processor.process(job(path, tmp_path / 'out')).report
    assert report.damage == {'damaged part': 1}
    assert 0 < report.frames < 12


def test_another_recording_of_the_same_name_is_not_taken_for_done(
    frames: list[np.ndarray], processor: Processor, tmp_path: Path
) -> None:
    path = write_bag(tmp_path / 'a' / 'bag', frames[:3], coding='jpg')
    other = write_bag(tmp_path / 'b' / 'bag', frames[3:6], coding='jpg')
    processor.process(job(path, tmp_path / 'out'))
    with pytest.raises(RecordingError, match='recording: content'):
        processor.process(job(other, tmp_path / 'out'))


def test_recordings_are_told_apart_by_their_contents(tmp_path: Path) -> None:
    file = tmp_path / 'file'
    content = bytearray(np.random.default_rng(0).bytes(2**20))
    seen = set()
    for place in (None, 0, (2**20 - 4096) * 31 // 63, 2**20 - 1):
        changed = bytearray(content)
        if place is not None:
            changed[place] ^= 1
        file.write_bytes(changed)
        seen.add(fingerprint([file]))
    file.write_bytes(content[:-1])
    seen.add(fingerprint([file]))
    file.write_bytes(b'')
    seen.add(fingerprint([file]))
    assert len(seen) == 6
    assert fingerprint([file]) in seen


def test_two_processes_cannot_write_one_output(
    bag: Path, processor: Processor, tmp_path: Path
) -> None:
    with locked(tmp_path / 'out'), replaced(tmp_path / 'out') as folder:
        folder.mkdir()
        complaint = f'another process is writing {tmp_path}/out$'
        with pytest.raises(RecordingError, match=complaint):
            processor.process(job(bag, tmp_path / 'out'))
        assert folder.is_dir()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures('processor')  # compiles the kernels that the process loads
def test_a_full_disk_is_reported(bag: Path, tmp_path: Path) -> None:
    words = [sys.executable, '-m', 'hybrik_ros.cli', 'bag', str(bag), '-o', str(tmp_path / 'out')]
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (4000, 4000))
    finished = subprocess.run(words, capture_output=True, text=True, preexec_fn=limit)
    assert finished.returncode == 1
    assert 'Traceback' not in finished.stderr
    assert 'choose another output' in finished.stderr
    assert f"'{tmp_path / 'out'}'" in finished.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('topics', 'how', 'complaint'),
    [
        (
            {'/a/image_raw': {}, '/b/image_raw': {}},
            {},
            r'choose one with --image-topic \(images are on /a/image_raw',
        ),
        ({'/depth/image_rect_raw': {}}, {}, 'no topic of colour images'),
        ({IMAGE: {}}, {'image_topic': '/x'}, f'has no image topic /x; it has {IMAGE}'),
        ({IMAGE: {}}, {'camera_info_topic': '/x'}, f'has no camera_info topic /x; it has {INFO}'),
        ({IMAGE: {'info': False}}, {}, 'no camera_info beside'),
    ],
)
def test_topics_that_cannot_be_found_are_reported(
    topics: dict, how: dict, complaint: str, processor: Processor, tmp_path: Path
) -> None:
    folder = tmp_path / 'bag'
    folder.mkdir()
    for number, (topic, options) in enumerate(topics.items()):
        part = write_bag(tmp_path / f'{number}', [np.zeros((8, 8, 3), np.uint8)], topic=topic,
                         **options)  # fmt: skip
        next(part.glob('*.mcap')).rename(folder / f'bag_{number}.mcap')
    with pytest.raises(RecordingError, match=complaint):
        processor.process(job(folder, tmp_path / 'out', **how))
    assert not (tmp_path / 'out').exists()


def test_topics_may_be_given_without_their_slash(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag', [np.zeros((8, 8, 3), np.uint8)])
    names = {'image_topic': IMAGE.lstrip('/'), 'camera_info_topic': INFO.lstrip('/')}
    with open_source(Recording(path, **names)) as source:
        assert [step.picture is None for step in source.steps()] == [True, False]


@pytest.mark.parametrize(('seconds', 'is_named'), [(2, False), (10, True)])
def test_images_too_far_apart_are_named(
    seconds: int,
    is_named: bool,
    frames: list[np.ndarray],
    processor: Processor,
    tmp_path: Path,
) -> None:
    path = write_bag(tmp_path / 'slow', frames[:4], rate=1 / seconds)
    report = processor.process(job(path, tmp_path / 'out')).report
    assert (report.people == 0) == is_named
    assert any('more than 6 s apart' in note for note in report.notes) == is_named


@pytest.mark.parametrize('count', [1, 2])
@pytest.mark.parametrize('kind', ['bag', 'clip.avi'])
def test_one_image_is_a_photo_and_too_few_are_named(
    kind: str, count: int, frames: list[np.ndarray], processor: Processor, tmp_path: Path
) -> None:
    path = tmp_path / kind
    if kind == 'bag':
        write_bag(path, frames[:count], rate=25)
    else:
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 25, SIZE)
        for picture in frames[:count]:
            writer.write(picture[..., ::-1])
        writer.release()
    report = processor.process(job(path, tmp_path / 'out')).report
    assert (report.frames, report.people) == (count, 1 if count == 1 else 0)
    assert any('too few to confirm' in note for note in report.notes) == (count == 2)
    [finding] = [each for each in check_recording(path) if str(SIZE[0]) in each.found or
                 'too few' in each.found]  # fmt: skip
    assert (finding.level, 'confirm_after:=0' in finding.advice) == (
        (OK, False) if count == 1 else (WARNING, True)
    )


@pytest.mark.parametrize(
    ('stamps', 'words'),
    [
        ([], ''),
        ([1.0], '1 image within 0 s'),
        ([1.0, 1.04], '2 images within 0.04 s'),
        ([1.0, 1.06], ''),
        ([1.0, 5.0], ''),
        ([1.0, 11.0], 'more than 6 s apart'),
        ([1.0, 11.0, 11.02, 31.0], 'more than 6 s apart'),
        ([1.0, 11.0, 31.0, 31.1], ''),
        ([20.0, 1.0], '2 images within'),
    ],
)
def test_recordings_that_can_confirm_no_person_are_named(stamps: list[float], words: str) -> None:
    check, of_part = ConfirmationCheck(0.05), ConfirmationCheck(0.05, 3)
    for stamp in stamps:
        check.add(stamp)
        of_part.add(stamp)
    assert words in check.describe()
    assert bool(check.describe()) == bool(words)
    assert ('confirm_after:=0' in of_part.describe()) == (bool(words) and len(stamps) > 2)


def test_field_of_view_or_file_replaces_camera_info(
    frames: list[np.ndarray], processor: Processor, tmp_path: Path
) -> None:
    path = write_bag(tmp_path / 'bag', frames[:6], info=False)
    processor.process(job(path, tmp_path / 'a', field_of_view=50.0))
    sure = [h.translation_confidence for people in read_people(tmp_path / 'a').frames.values()
            for h in people]  # fmt: skip
    assert sure
    assert max(sure) <= 0.5
    file = tmp_path / 'camera.yaml'
    file.write_text(
        CLIP.with_suffix('.yaml').read_text().replace('1768', '884').replace('594', '298')
    )
    report = processor.process(job(path, tmp_path / 'b', calibration=str(file))).report
    assert report.frames == 6


def test_invalid_arguments_are_reported(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'precious').mkdir()
    calls = {
        'exists: choose another output': (bag, '-o', tmp_path / 'precious'),
        'was not made by': (bag, '-o', tmp_path / 'precious', '--resume'),
        'there is no bag, video or folder of images at': (
            tmp_path / 'nothing*',
            '-o',
            tmp_path / 'x',
        ),
        'must be NAME:=VALUE': (bag, '-o', tmp_path / 'x', '-p', 'autostart:=true'),
        'detector.size must be a number': (bag, '-o', tmp_path / 'x', '-p', 'detector.size:=1'),
        'detector.size must have a value in YAML': (
            bag,
            '-o',
            tmp_path / 'x',
            '-p',
            'detector.size:=[',
        ),
        '--workers must be from 1 to 1024, not 0': (bag, '-o', tmp_path / 'x', '--workers', '0'),
        '--workers must be from 1 to 1024, not 10': (bag, '-o', tmp_path / 'x', '--workers', 10**9),
        'no Ray cluster answers': (bag, '-o', tmp_path / 'x', '--ray', '127.0.0.1:1'),
    }
    for complaint, words in calls.items():
        assert run(*words) == 1
        assert complaint in capsys.readouterr().err
    assert not (tmp_path / 'x').exists()


@pytest.mark.parametrize('rate', ['0', '-5', '1e-9', 'nan', 'inf', 'many'])
def test_invalid_rates_are_refused(rate: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run('images', '-o', 'x', f'--rate={rate}')
    assert '--rate' in capsys.readouterr().err


# Interrupts


WITHOUT_ROS = """
import sys
for name in ('rclpy', 'std_msgs', 'sensor_msgs', 'geometry_msgs', 'tf2_msgs', 'hybrik_ros.msg'):
    sys.modules[name] = None
from hybrik_ros.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_after_an_interrupt_there_is_a_valid_bag_and_the_rest_follows(
    bag: Path, output: Path, processor: Processor, tmp_path: Path
) -> None:
    target = tmp_path / 'out'
    words = [sys.executable, '-c', WITHOUT_ROS, 'bag', str(bag), '-o', str(target)]
    # Children of a shell's background job would ignore SIGINT.
    reset = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    running = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, preexec_fn=reset)
    part = target.with_name('.out.part') / 'out'
    deadline = time.monotonic() + 60
    while not part.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.4)
    running.send_signal(signal.SIGINT)
    assert running.wait(20) == 130
    assert 'interrupted' in running.stderr.read()
    first = read(target)
    report = RecordingReport.read(target)
    assert 0 < report.frames < LENGTH
    assert first == read(output)[: len(first)]
    assert not part.parent.exists()

    assert run(bag, '-o', target, '--resume') == 0
    assert read(target) == read(output)
    assert RecordingReport.read(target) == replace(
        RecordingReport.read(output), recipe=RecordingReport.read(target).recipe
    )
    again = processor.process(job(bag.absolute(), target))
    assert (again.frames, again.report) == (0, RecordingReport.read(target))  # nothing left to do
    with pytest.raises(RecordingError, match=r'models or version \(recording: copy\)'):
        processor.process(job(bag.absolute(), target, copy=True))


@pytest.mark.parametrize('seconds', [0.3, 0.5, 0.8, 1.2])
def test_an_interrupt_at_the_start_prints_no_traceback(
    bag: Path, tmp_path: Path, seconds: float
) -> None:
    words = [sys.executable, '-m', 'hybrik_ros.cli', 'bag', str(bag), '-o', str(tmp_path / 'out')]
    reset = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    running = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, preexec_fn=reset)
    time.sleep(seconds)
    running.send_signal(signal.SIGINT)
    assert running.wait(20) in (130, -signal.SIGINT)
    assert 'Traceback' not in running.stderr.read()
    assert list(tmp_path.iterdir()) == []


def test_resuming_from_states_is_exact_to_the_bit(
    bag: Path, output: Path, processor: Processor, tmp_path: Path
) -> None:
    target = tmp_path / 'out'
    for steps in range(30, 3 * LENGTH + 30, 30):
        left = iter(range(steps))
        report = processor.process(job(bag, target), lambda left=left: next(left, None) is None)
    assert report.report.complete
    assert read(target) == read(output)


def test_invalid_states_are_refused(tmp_path: Path) -> None:
    with Pipeline.create() as pipeline:
        state = pipeline.state()
        for wrong in ({}, 7, {'dict': {}}, {'class': 'os.system', 'fields': {}},
                      json.loads(json.dumps(state).replace('"tracks"', '"trucks"'))):  # fmt: skip
            with pytest.raises(ValueError, match=r'state|snapshot'):
                pipeline.restore(wrong)
        pipeline.restore(json.loads(json.dumps(state)))


# Many workers


def write_long_bag(path: Path, frames: Sequence[np.ndarray]) -> Path:
    """Write the frames three times with four empty seconds between them, at 5 Hz."""
    empty = [np.zeros_like(frames[0])] * 21
    pictures = [*frames, *empty, *frames[::-1], *empty, *frames]
    return write_bag(path, pictures, rate=5.0, coding='jpg')


@pytest.fixture(scope='module')
def long(tmp_path_factory: pytest.TempPathFactory, frames: list[np.ndarray]) -> Path:
    return write_long_bag(tmp_path_factory.mktemp('long') / 'bag', frames[:12])


@pytest.fixture(scope='module')
def long_output(long: Path, processor: Processor) -> Path:
    processor.process(job(long, long.with_name('output')))
    return long.with_name('output')


def test_the_parts_of_a_long_bag_make_the_same_whole(
    long: Path, long_output: Path, tmp_path: Path
) -> None:
    assert run(long, '-o', tmp_path / 'out', '--workers', '2') == 0
    assert read(tmp_path / 'out') == read(long_output)
    report = RecordingReport.read(tmp_path / 'out')
    assert report == RecordingReport.read(long_output)
    assert report.ids >= 3
    assert list(tmp_path.iterdir()) == [tmp_path / 'out']


def test_parts_are_resumed_after_an_interrupt(
    long: Path, long_output: Path, tmp_path: Path
) -> None:
    target = tmp_path / 'out'
    words = [sys.executable, '-m', 'hybrik_ros.cli', 'bag', str(long), '-o', str(target)]
    reset = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    running = subprocess.Popen(
        [*words, '--workers', '2'], stderr=subprocess.PIPE, text=True, preexec_fn=reset,
        start_new_session=True,
    )  # fmt: skip
    parts = tmp_path / '.out.segments'
    deadline = time.monotonic() + 60
    while not list(parts.glob('.0_*.part/*/*.mcap')) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.5)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does
    told = running.communicate(timeout=30)[1]
    assert running.returncode == 130
    assert 'Traceback' not in told
    assert '0 of 1 recordings are done; resume with --resume' in told
    first, report = read(target), RecordingReport.read(target)
    assert 0 < report.frames < len(read_people(long_output).frames)
    assert first == read(long_output)[: len(first)]
    assert parts.is_dir()

    assert run(long, '-o', target, '--resume') == 0
    assert read(target) == read(long_output)
    assert RecordingReport.read(target) == replace(
        RecordingReport.read(long_output), recipe=RecordingReport.read(target).recipe
    )
    assert list(tmp_path.iterdir()) == [target]


def test_an_incomplete_output_without_its_parts_is_processed_again(
    long: Path, long_output: Path, processor: Processor, tmp_path: Path
) -> None:
    whole = job(long, tmp_path / 'out')
    segments = Segments(whole, split(whole, 3))
    assert segments.join() is None
    processor.process(segments.parts[0])
    beginning = segments.join()
    assert not beginning.complete
    found = read(tmp_path / 'out')
    assert found == read(long_output)[: len(found)]
    assert len(found) > 20
    shutil.rmtree(folder_of(whole))
    assert processor.process(whole).report == RecordingReport.read(long_output)
    assert read(tmp_path / 'out') == read(long_output)


def test_parts_with_another_recipe_are_not_resumed(
    long: Path, processor: Processor, tmp_path: Path
) -> None:
    file = str(CLIP.with_suffix('.yaml'))
    whole, other = job(long, tmp_path / 'out'), job(long, tmp_path / 'out', calibration=file)
    parts = split(whole, 3)
    assert all(part.recording.calibrations for part in parts[1:])
    # A plan without any output is replaced.
    assert not any(part.recording.calibrations for part in split(other, 3))
    assert split(whole, 1) == [whole]

    assert split(whole, 3) == parts
    processor.process(parts[1])
    assert split(whole, 1) == parts
    with pytest.raises(RecordingError, match=r'out.segments was made .*recording: calibrations'):
        split(other, 3)
    with pytest.raises(RecordingError, match='settings: detector_size'):
        split(replace(whole, settings={'detector_size': 640}), 3)
    plan = folder_of(whole) / 'plan.json'
    for text in ('', '[]', '{', '{"recipe": {}, "split_points": [7]}'):
        plan.write_text(text)
        with pytest.raises(RecordingError, match=r'plan.json is damaged.*: remove'):
            split(whole, 3)


def test_parts_of_different_models_are_processed_again_together(
    long: Path, processor: Processor, tmp_path: Path
) -> None:
    whole = job(long, tmp_path / 'out')
    segments = Segments(whole, split(whole, 2))
    first, second = segments.parts
    assert segments.add_report(first, processor.process(first).report) == []
    report = processor.process(second).report
    other = replace(report, recipe=report.recipe | {'models': {'landmarks': 'another'}})
    [again] = segments.add_report(second, other)
    assert (again.recording.start, again.recording.stop) == (None, None)
    assert not segments.complete


def test_damaged_calibrations_before_a_split_point_cost_no_more_in_parts(
    frames: list[np.ndarray], processor: Processor, tmp_path: Path
) -> None:
    empty = [np.zeros_like(frames[0])] * 25
    path = write_bag(tmp_path / 'bag', [*frames[:5], *empty, *frames[:5]], rate=5.0, coding='jpg',
                     damaged_info=range(2, 30))  # fmt: skip
    done: list[tuple[int, int]] = []
    report = processor.process(
        job(path, tmp_path / 'whole'), progress=lambda *state: done.append(state)
    ).report
    assert (report.frames, report.faults) == (35, {'damaged message': 28})
    assert done[-1] == (35, 35)  # Calibrations do not count as images.
    assert run(path, '-o', tmp_path / 'parts', '--workers', '2') == 0
    assert read(tmp_path / 'parts') == read(tmp_path / 'whole')


def test_bags_are_not_split_where_files_overlap_in_time(
    frames: list[np.ndarray], processor: Processor, tmp_path: Path
) -> None:
    folder = tmp_path / 'bag'
    folder.mkdir()
    empty = [np.zeros_like(frames[0])] * 25
    for number, pictures in enumerate(([*frames[:5], *empty], [*empty, *frames[:5]])):
        start = START + number * (30 * 2 * 10**8 - 5 * 10**8)
        part = write_bag(tmp_path / f'{number}', pictures, rate=5.0, coding='jpg', start=start)
        next(part.glob('*.mcap')).rename(folder / f'bag_{number}.mcap')
    report = processor.process(job(folder, tmp_path / 'whole')).report
    assert report.faults == {'order': 2}
    assert run(folder, '-o', tmp_path / 'parts', '--workers', '2') == 0
    assert read(tmp_path / 'parts') == read(tmp_path / 'whole')


def test_tf_of_people_in_the_recording_is_copied_unchanged(
    long: Path, long_output: Path, processor: Processor, tmp_path: Path
) -> None:
    live = tmp_path / 'live'
    with BagReader(long) as images, BagReader(long_output) as people, BagWriter(live) as bag:
        for reader, topics in ((images, images.topics), (people, ['/tf'])):
            for topic in topics:
                bag.add_copy(reader.topics[topic])
        messages = [*images.messages(images.topics), *people.messages({'/tf'})]
        for message in sorted(messages, key=lambda message: message.time):
            bag.write(*message)
    processor.process(job(live, tmp_path / 'whole', copy=True))
    assert run(live, '-o', tmp_path / 'parts', '--workers', '2', '--all-topics') == 0
    assert read(tmp_path / 'parts') == read(tmp_path / 'whole')


def test_two_processes_cannot_write_one_output_in_parts(
    long: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(tmp_path / 'out'):
        for words in ([], ['--workers', '2']):
            assert run(long, '-o', tmp_path / 'out', *words) == 1
            assert f'another process is writing {tmp_path}/out' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be_written_does_not_affect_others(
    long: Path, bag: Path, output: Path, processor: Processor, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    shutil.copytree(long, tmp_path / 'in' / 'long')
    shutil.copytree(bag, tmp_path / 'in' / 'short')
    target = tmp_path / 'out'
    for part in split(job(tmp_path / 'in' / 'long', target / 'long'), 2):
        processor.process(part)
    (target / '.long.part').touch()  # in the way
    assert run(tmp_path / 'in', '-o', target) == 1
    told = capsys.readouterr().err
    assert 'failed: ' in told
    assert f"'{target}/long'" in told or f'{target}/.long.part' in told
    assert read(target / 'short') == read(output)
    (target / '.long.part').unlink()
    assert run(tmp_path / 'in', '-o', target) == 0
    assert sorted(path.name for path in target.iterdir()) == ['long', 'short']


def test_a_part_without_usable_images_is_joined(
    frames: list[np.ndarray], processor: Processor, tmp_path: Path
) -> None:
    empty = [np.zeros_like(frames[0])] * 25
    small = [np.zeros((8, 8, 3), np.uint8)] * 30  # for another camera_info
    folder = tmp_path / 'bag'
    folder.mkdir()
    for number, pictures in enumerate((small, [*empty, *frames[:5]])):
        start = START + number * 6 * 10**9
        part = write_bag(tmp_path / f'{number}', pictures, rate=5.0, coding='jpg', start=start,
                         info=number == 1)  # fmt: skip
        next(part.glob('*.mcap')).rename(folder / f'bag_{number}.mcap')
    report = processor.process(job(folder, tmp_path / 'whole')).report
    assert (report.frames, report.faults) == (30, {'camera_info size': 30})
    segments = Segments(job(folder, tmp_path / 'parts'), [])
    first = replace(segments.whole, output=folder_of(segments.whole) / '0', recording=replace(
        segments.whole.recording, stop=START + 6 * 10**9))  # fmt: skip
    second = replace(segments.whole, output=folder_of(segments.whole) / '1', recording=replace(
        segments.whole.recording, start=START + 6 * 10**9))  # fmt: skip
    segments.parts = [first, second]
    for part in (first, second):
        assert segments.add_report(part, processor.process(part).report) == []
    assert segments.join() == replace(report, recipe=segments.join().recipe)
    assert read(tmp_path / 'parts') == read(tmp_path / 'whole')

    # A whole without usable images has no output.
    segments = Segments(segments.whole, [first], {first.output: RecordingReport.read(first.output)})
    with pytest.raises(RecordingError, match=r'no image of .*bag could be processed: camera_info'):
        segments.join()
    assert not folder_of(segments.whole).exists()


def test_the_order_is_kept_over_a_part_without_images(long: Path, tmp_path: Path) -> None:
    whole = job(long, tmp_path / 'out')
    parts = [replace(whole, output=tmp_path / name) for name in 'abc']
    reports = [
        RecordingReport({'models': {}}, complete=True, first=first, last=last)
        for first, last in ((10, 30), (None, None), (25, 40))
    ]
    segments = Segments(whole, list(parts))
    taken = [segments.add_report(*each) for each in zip(parts, reports, strict=True)]
    assert [len(more) for more in taken] == [0, 0, 1]
    assert len(segments.parts) == 2


def test_a_bag_is_split_where_no_person_is(long: Path, tmp_path: Path) -> None:
    parts = split(job(long, tmp_path / 'out'), 3)
    starts = [part.recording.start for part in parts]
    stops = [part.recording.stop for part in parts]
    assert len(parts) == 3
    assert starts[1:] == stops[:-1]
    for point, (empty, full) in zip(starts[1:], ((12, 33), (45, 66)), strict=True):
        assert START + empty * 2 * 10**8 < point <= START + full * 2 * 10**8
    assert all(1 <= len(part.recording.calibrations) <= 8 for part in parts[1:])


def test_parts_are_merged_if_a_person_was_tracked_at_the_split_point(
    long: Path, long_output: Path, processor: Processor, tmp_path: Path
) -> None:
    whole = job(long, tmp_path / 'out')
    parts = split(whole, 2)
    # As if the detector had missed the person.
    point = START + 12 * 10**8
    early = [replace(part, recording=replace(part.recording, **edge)) for part, edge in zip(
        parts, ({'stop': point}, {'start': point}), strict=True)]  # fmt: skip
    segments = Segments(whole, early)
    todo = list(early)
    while todo:
        part = todo.pop(0)
        todo += segments.add_report(part, processor.process(part).report)
    assert segments.complete
    segments.join()
    assert read(tmp_path / 'out') == read(long_output)


def test_workers_process_many_recordings_and_failures_are_named(
    bag: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / 'in', tmp_path / 'out'
    for name in ('a', 'b', 'c'):
        shutil.copytree(bag, source / name)
    (source / 'bad.mcap').write_bytes(b'nothing')
    assert run(source, '-o', target, '--workers', '2') == 1
    told = capsys.readouterr().err
    assert f'failed: {source / "bad.mcap"} cannot be read' in told
    assert {path.name for path in target.iterdir()} == {'a', 'b', 'c'}
    for name in ('a', 'b', 'c'):
        assert read(target / name) == read(output)

    # Complete outputs are not touched, missing ones are made.
    (source / 'bad.mcap').unlink()
    shutil.rmtree(target / 'b')
    kept = (target / 'a' / 'metadata.yaml').stat()
    assert run(f'{source}/*', '-o', target) == 0
    assert read(target / 'b') == read(output)
    assert (target / 'a' / 'metadata.yaml').stat().st_mtime_ns == kept.st_mtime_ns


def test_a_note_of_many_recordings_is_printed_once(
    frames: list[np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ('a', 'b'):
        (tmp_path / 'in' / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / 'in' / name / '1.jpg'), frames[-1][..., ::-1])
    assert run(tmp_path / 'in', '-o', tmp_path / 'out') == 0
    said = capsys.readouterr().err
    assert said.count('field of view of 60 degrees is assumed') == 1
    assert '2 of 2 recordings: no calibration' in said
    assert said.count('1 image, 1 person in 1 person-frame\n') == 2


def test_recordings_are_found(bag: Path, tmp_path: Path) -> None:
    (tmp_path / 'one.mp4').touch()
    (tmp_path / 'readme.txt').touch()
    shutil.copytree(bag, tmp_path / 'two')
    found = [tmp_path / 'one.mp4', tmp_path / 'two']
    assert recordings_in([str(tmp_path)]) == (found, True)
    assert recordings_in([str(tmp_path / '*')]) == (found, True)
    assert recordings_in([str(path) for path in found]) == (found, True)
    assert recordings_in([str(bag)]) == ([bag], False)


class Killer:
    """Kills a process shortly after it has started a bag."""

    def __init__(self, part: Path, victims: partial) -> None:
        self._part, self._victims = part, victims
        self.killed = 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> 'Killer':
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _run(self) -> None:
        deadline = time.monotonic() + 60
        while not self._part.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
        pid = self._victims()
        os.kill(pid, signal.SIGKILL)
        self.killed = pid


def check(target: Path, names: Sequence[str], expected: Path) -> None:
    """Check that each output exists once and is complete."""
    assert sorted(path.name for path in target.iterdir()) == sorted(names)
    for name in names:
        assert read(target / name) == read(expected)


def test_the_job_of_a_worker_that_dies_is_retried(bag: Path, output: Path, tmp_path: Path) -> None:
    workers: list[LocalWorker] = []

    def create_worker() -> LocalWorker:
        workers.append(LocalWorker({}))
        return workers[-1]

    names = ['a', 'b', 'c']
    done: list[str] = []
    failures: list[str] = []

    def finish(finished: Job, outcome: Outcome) -> tuple:
        done.append(finished.output.name)
        return ()

    with Killer(tmp_path / '.a.part' / 'a', partial(lambda: workers[0]._pid.result())) as killer:
        run_jobs(
            [job(bag, tmp_path / name) for name in names], create_worker, 2, finish,
            lambda failed, reason: failures.append(reason),
        )  # fmt: skip
    assert killer.killed
    assert failures == []
    assert sorted(done) == names
    assert len(workers) == 3
    check(tmp_path, names, output)


def test_workers_end_with_a_command_that_is_killed(long: Path, tmp_path: Path) -> None:
    words = [sys.executable, '-m', 'hybrik_ros.cli', 'bag', str(long), '-o', str(tmp_path / 'out')]
    running = subprocess.Popen([*words, '--workers', '2'], stderr=subprocess.DEVNULL)
    parts = tmp_path / '.out.segments'
    deadline = time.monotonic() + 60
    while len(list(parts.glob('.*.part/*/*.mcap'))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    tasks = Path(f'/proc/{running.pid}/task').glob('*/children')
    workers = [pid for task in tasks for pid in task.read_text().split()]
    assert len(workers) >= 2
    running.kill()
    running.wait()
    while any(is_alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(is_alive(pid) for pid in workers)


def is_alive(pid: str) -> bool:
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


RAY = [sys.executable, '-m', 'ray.scripts.scripts']


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """The address of a Ray cluster on this machine with two CPUs."""
    port = 20000 + os.getpid() % 10000
    words = [
        *RAY, 'start', '--head', f'--port={port}', '--num-cpus=2', '--include-dashboard=false',
        '--object-store-memory=80000000', '--disable-usage-stats', '--block',
    ]  # fmt: skip
    folder = Path(f'/tmp/ray{os.getpid()}')  # Names of sockets must be short.
    log = (tmp_path / 'ray.log').open('w+')
    head = subprocess.Popen(
        [*words, f'--temp-dir={folder}'], stdout=log, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while 'runtime started' not in (tmp_path / 'ray.log').read_text():
        assert time.monotonic() < deadline, (tmp_path / 'ray.log').read_text()
        assert head.poll() is None, (tmp_path / 'ray.log').read_text()
        time.sleep(0.1)
    yield f'127.0.0.1:{port}'
    head.terminate()
    head.wait(20)
    shutil.rmtree(folder, ignore_errors=True)


def actors() -> list[int]:
    """Return the ids of the actor processes of the cluster on this machine."""
    found = []
    for folder in Path('/proc').glob('[0-9]*'):
        try:
            if b'ray::_Remote' in (folder / 'cmdline').read_bytes():
                found.append(int(folder.name))
        except OSError:  # The process has ended.
            continue
    return found


def test_a_ray_cluster_gives_the_same_after_a_worker_is_killed(
    bag: Path, output: Path, cluster: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / 'in', tmp_path / 'out'
    names = ['a', 'b', 'c']
    for name in names:
        shutil.copytree(bag, source / name)
    with Killer(target / '.b.part' / 'b', partial(lambda: actors()[0])) as killer:
        status = run(source, '-o', target, '--ray', cluster)
    assert killer.killed
    assert status == 0, capsys.readouterr().err
    check(target, names, output)


def test_ids_of_all_parts_differ(long_output: Path) -> None:
    frames = list(read_people(long_output).frames.values())
    ids = [[human.id for human in people] for people in frames]
    runs = [found for found, before in pairwise([*ids, []]) if found and found != before]
    assert len({id for found in runs for id in found}) >= 3
