"""Damaged and hostile input of every kind: each command names it in one line, and never crashes.

Every run of the tests tries the same inputs, some seconds of them. For hours of others:

    pytest test/test_fuzz.py --hypothesis-profile fuzz
"""

import io
import json
import pickle
import shutil
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recorded import write_bag
from sample import CLIP
from test_engine_cache import KEY
from test_motion import walk, write_people

from hybrik_ros.bags import BagError, BagReader
from hybrik_ros.body import DEFAULT_BODY, BodyModel
from hybrik_ros.cli import main
from hybrik_ros.inference.engine_cache import EngineCache
from hybrik_ros.media import MediaError
from hybrik_ros.messages.calibration import CalibrationError, read_calibration
from hybrik_ros.recordings.recording import Recording, RecordingError
from hybrik_ros.recordings.report import RecordingReport
from hybrik_ros.recordings.sources import open_source
from hybrik_ros.settings import SETTINGS, parse_settings

pytestmark = pytest.mark.filterwarnings('ignore')
UNSAFE = {'Cc', 'Cf', 'Cs', 'Zl', 'Zp'}
MANY = settings(suppress_health_check=list(HealthCheck))
FEW = settings(MANY, max_examples=max(15, settings().max_examples // 6))

# Bytes

NUMBERS = [0, 1, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Return data with some bytes changed, inserted, removed, or its end cut off."""
    content = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        kind = draw(st.sampled_from(['byte', 'number', 'insert', 'remove', 'cut', 'repeat']))
        if kind == 'byte':
            content[place : place + 1] = bytes([draw(st.integers(0, 255))])
        elif kind == 'number':
            size = draw(st.sampled_from([1, 2, 4, 8]))
            number = draw(st.sampled_from(NUMBERS)) % 256**size
            content[place : place + size] = number.to_bytes(
                size, draw(st.sampled_from(['little', 'big']))
            )
        elif kind == 'insert':
            content[place:place] = draw(st.binary(max_size=20))
        elif kind == 'remove':
            del content[place : place + draw(st.integers(1, 50))]
        elif kind == 'cut':
            del content[place:]
        else:
            content[place:place] = content[place : place + draw(st.integers(1, 200))]
    return bytes(content)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from([2**63, -1, 10**400, 'many', float('nan'), float('inf'), '\x1b[31m']),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)  # fmt: skip


@st.composite
def changed(draw: st.DrawFn, content: Any) -> Any:
    """Return plain data with one value, at any depth, replaced or removed."""
    if isinstance(content, dict) and content and draw(st.integers(0, 3)):
        name = draw(st.sampled_from(sorted(content)))
        if not draw(st.integers(0, 5)):
            return {key: value for key, value in content.items() if key != name}
        return content | {name: draw(changed(content[name]))}
    if isinstance(content, list) and content and draw(st.integers(0, 3)):
        place = draw(st.integers(0, len(content) - 1))
        return [*content[:place], draw(changed(content[place])), *content[place + 1 :]]
    return draw(PLAIN)


@contextmanager
def refused(*kinds: type[Exception]) -> Iterator[None]:
    """Allow these errors, which users see in one line, if they have a message."""
    try:
        yield
    except kinds as error:
        assert str(error)  # noqa: PT017


# Commands


def run(*words: object) -> str:
    """Run a command; return what it printed, after checking how it ended."""
    stdout, stderr = io.StringIO(), io.StringIO()
    status: object
    with redirect_stdout(stdout), redirect_stderr(stderr):
        try:
            status = main([str(word) for word in words])
        except SystemExit as ended:
            status = ended.code
    written = stdout.getvalue() + stderr.getvalue()
    assert status in (0, 1, 2)
    # The doctor's findings are its output, not errors.
    assert status == 0 or (written if words[0] == 'doctor' else stderr.getvalue())
    check_text(written)
    return written


def check_text(text: str) -> None:
    assert 'unexpected' not in text
    assert 'Traceback' not in text
    assert [one for one in text if unicodedata.category(one) in UNSAFE and one != '\n'] == []


WORDS = st.sampled_from([
    '', '-', '--', '0', '-1', 'nan', 'inf', '1e400', '9' * 5000, '/', '.', '/nowhere/x', 'x.bvh',
    'a:=b', 'detector.size:=', 'detector.size:=[', 'detector.size:={', 'detector.size:=!!int ""',
    'detector.size:=!!timestamp x', 'tracking.id_prefix:=\x1b', '\x1b]0;x\x07', '[/red]', 'x\0y',
    'x' * 300, '\udcff', '*', '**', '[', '[!', '~daemon/x', '/dev/null', '/dev/zero',
    '/proc/self/mem', 'rtsp://x', '\u202e',
]) | st.text(max_size=6)  # fmt: skip
OPTIONS = {
    'bag': ['-o', '--resume', '--workers', '--image-topic', '--camera-info-topic', '--camera-info',
            '--field-of-view', '--rate', '-p', '--all-topics', '--fixed-frame', '--extrinsics',
            '--clock-offsets', '--people-topic'],
    'image': ['-o', '--camera-info', '--field-of-view', '-p'],
    'demo': ['--input', '--output', '--no-realtime'],
    'compile': ['--help'],
    'motion': ['-o', '--gaps', '--body', '--topic'],
    'compare': ['--plot'],
    'export': ['-o', '--batch', '--precision', '--int8', '--calibration'],
    'engine': ['list', 'check', 'build', '--precision', '--side'],
    'bench': ['kinematics', 'node', 'bag', '--output', '--minutes', '--footage'],
    'doctor': ['--seconds', '--help'],
    'video': ['--camera-info', '--field-of-view', '--subscribers', '--frame-id', '--size',
              '--rate', '--mjpg'],
}  # fmt: skip


@MANY
@given(st.data())
def test_arguments(folder: Path, monkeypatch: pytest.MonkeyPatch, data: st.DataObject) -> None:
    command = data.draw(st.sampled_from(sorted(OPTIONS)))
    words = data.draw(st.lists(st.sampled_from(OPTIONS[command]) | WORDS, max_size=5))
    # The last option does not exist, so that no command runs for long.
    run(command, *words, '--no-such-option')
    if command in ('motion', 'compare', 'bag', 'image'):
        monkeypatch.chdir(folder)
        run(command, *words, folder / 'nothing', '-o', folder / 'x')


@MANY
@given(st.text(max_size=20) | WORDS)
def test_parameters(text: str) -> None:
    for assignment in (text, f'detector.size:={text}', f'tracking.id_prefix:={text}'):
        with refused(ValueError):
            assert set(parse_settings([assignment])) <= set(SETTINGS)


# Bags

SEEDS = [
    ('MCAP', 'NONE', 'png'), ('MCAP', 'STORAGE', 'jpg'), ('MCAP', 'MESSAGE', 'raw'),
    ('SQLITE3', 'NONE', 'webp'), ('SQLITE3', 'MESSAGE', 'png'), ('MCAP', 'FILE', 'png'),
]  # fmt: skip


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('fuzz')


@pytest.fixture(scope='module')
def bags(folder: Path) -> list[tuple[str, bytes]]:
    """Names and contents of small bags."""
    frames = [np.full((16, 16, 3), 40 * number, np.uint8) for number in range(3)]
    found = []
    for number, (plugin, mode, coding) in enumerate(SEEDS):
        path = write_bag(folder / f'bag{number}', frames, plugin=plugin, mode=mode, coding=coding)
        [file] = (file for file in path.iterdir() if file.name != 'metadata.yaml')
        found.append((file.name, file.read_bytes()))
    return found


def read_recording(path: Path) -> None:
    """Read all pictures of a recording; each that is left out has a reason."""
    with refused(RecordingError, BagError, CalibrationError, OSError):
        with open_source(Recording(path)) as source:
            faults = [step.fault for step in source.steps()]
        assert all(fault is None or fault.reason for fault in faults)


@MANY
@given(st.data())
def test_bags_of_images(folder: Path, bags: list[tuple[str, bytes]], data: st.DataObject) -> None:
    name, content = data.draw(st.sampled_from(bags))
    path = folder / f'damaged{name.partition(".")[2] and name[name.index(".") :]}'
    path.write_bytes(data.draw(damaged(content)))
    read_recording(path)
    with refused(BagError, OSError), BagReader(path) as reader:
        for topic in reader.topics.values():
            with refused(BagError):
                topic.definition()
        list(reader.messages(reader.topics))


@pytest.fixture(scope='module')
def people(folder: Path) -> tuple[Path, bytes]:
    """File and content of a bag with people."""
    path = folder / 'people'
    write_people(path, [walk(1), walk(2)])
    [file] = (file for file in path.iterdir() if file.name != 'metadata.yaml')
    return file, file.read_bytes()


@FEW
@given(st.data())
def test_bags_of_people(folder: Path, people: tuple[Path, bytes], data: st.DataObject) -> None:
    path = folder / 'people_damaged.mcap'
    path.write_bytes(data.draw(damaged(people[1])))
    suffix = data.draw(st.sampled_from(['.bvh', '.npz', '.glb']))
    run('motion', path, '-o', folder / f'motion{suffix}')
    run('compare', path, people[0])


# Pictures, calibrations, and files of this package


@pytest.fixture(scope='module')
def pictures() -> list[tuple[str, bytes]]:
    pixels = np.random.default_rng(0).integers(0, 255, (16, 24, 3), np.uint8)
    suffixes = ('.png', '.jpg', '.webp', '.bmp', '.tiff')
    return [(suffix, cv2.imencode(suffix, pixels)[1].tobytes()) for suffix in suffixes]


@MANY
@given(st.data())
def test_pictures(folder: Path, pictures: list[tuple[str, bytes]], data: st.DataObject) -> None:
    place = folder / 'pictures'
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    suffix, content = data.draw(st.sampled_from(pictures))
    (place / f'1{suffix}').write_bytes(data.draw(damaged(content)))
    (place / '2.png').write_bytes(pictures[0][1])
    with open_source(Recording(place)) as source:
        first, second = source.steps()
    assert second.picture is not None
    assert first.picture is not None or first.fault is not None


@pytest.fixture(scope='module')
def videos(folder: Path) -> list[tuple[str, bytes]]:
    """Suffixes and contents of small videos."""
    found = []
    for suffix, code in (('.avi', 'MJPG'), ('.mp4', 'mp4v'), ('.webm', 'VP80'), ('.avi', 'FFV1')):
        path = folder / f'video{suffix}'
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 30, (64, 48))
        for number in range(4):
            writer.write(np.full((48, 64, 3), 60 * number, np.uint8))
        writer.release()
        found.append((suffix, path.read_bytes()))
    return found


@MANY
@given(st.data())
def test_videos(folder: Path, videos: list[tuple[str, bytes]], data: st.DataObject) -> None:
    suffix, content = data.draw(st.sampled_from(videos))
    path = folder / f'damaged{suffix}'
    path.write_bytes(data.draw(damaged(content)))
    with refused(MediaError, RecordingError), open_source(Recording(path)) as source:
        for step in source.steps():
            assert step.picture is not None or step.fault is not None


@MANY
@given(st.data())
def test_calibrations(folder: Path, data: st.DataObject) -> None:
    text = CLIP.with_suffix('.yaml').read_text()
    path = folder / 'camera.yaml'
    if data.draw(st.booleans()):
        path.write_bytes(data.draw(damaged(text.encode())))
    else:
        path.write_text(yaml.safe_dump(data.draw(changed(yaml.safe_load(text)))))
    with refused(CalibrationError):
        read_calibration(path)


REPORT = RecordingReport(
    {'version': '1', 'recording': {'path': 'x'}, 'settings': {'id_prefix': 'p'}, 'models': {}},
    steps=3, images=3, frames=2, faults={'order': 1}, reasons={'order': 'x'}, notes=['y'], first=7,
)  # fmt: skip


@MANY
@given(st.data())
def test_reports(folder: Path, data: st.DataObject) -> None:
    place = folder / 'report'
    place.mkdir(exist_ok=True)
    content = data.draw(changed(asdict(REPORT)))
    (place / 'report.json').write_text(json.dumps(content))
    with refused(RecordingError):
        report = RecordingReport.read(place)
        assert report is not None
        report.add_fault('order', 'again')
        report.write(place)


@MANY
@given(st.data())
def test_sidecars_of_engines(folder: Path, data: st.DataObject) -> None:
    cache = EngineCache(folder / 'engines')
    content = {'name': 'a.onnx', 'key': asdict(KEY), 'plan': 'f' * 64}
    path = cache.folder / f'{KEY.digest}.json'
    path.write_text(json.dumps(data.draw(changed(content))))
    path.chmod(0o600)
    assert len(cache.entries()) + len(cache.find_unusable()) == 1


@pytest.fixture(scope='module')
def bodies() -> list[tuple[str, bytes]]:
    """The default body without most of its vertices, as .npz and .pkl; no longer a valid body."""
    with np.load(DEFAULT_BODY) as stored:
        arrays = {name: stored[name][..., :3] for name in stored.files if stored[name].ndim}
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    small = {name: array.ravel()[:9] for name, array in arrays.items()}
    return [('.npz', packed.getvalue()), *(('.pkl', pickle.dumps(small, p)) for p in (0, 2, 4, 5))]


@MANY
@given(st.data())
def test_bodies(folder: Path, bodies: list[tuple[str, bytes]], data: st.DataObject) -> None:
    suffix, content = data.draw(st.sampled_from(bodies))
    path = folder / f'body{suffix}'
    path.write_bytes(data.draw(damaged(content)))
    with refused(ValueError):
        BodyModel.load(path)
