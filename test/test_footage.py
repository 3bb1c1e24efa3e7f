"""Footage: where it comes from, what is kept of it, and the benches of it on a part."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sample import RATE, read_camera, read_frames
from scipy.spatial.transform import Rotation

from hybrik_ros.camera import Camera
from hybrik_ros.cli import bench, main
from hybrik_ros.cli.bench import footage, ghosts, marks
from hybrik_ros.cli.bench.footage import Clip
from hybrik_ros.cli.bench.packages import DownloadError, download

FRAMES, WIDTH, HEIGHT, HORIZON = 12, 64, 48, 16
BLUE = 200

PACKAGE, WHEEL = 'scenes==1.0', 'scenes-1.0-py3-none-any.whl'
METADATA = {
    'scenes-1.0.dist-info/METADATA': b'Metadata-Version: 2.1\nName: scenes\nVersion: 1.0\n',
    'scenes-1.0.dist-info/WHEEL': b'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
    'scenes-1.0.dist-info/RECORD': b'',
}
MEMBERS = {
    'Scenes/walk/cam01.mp4': np.random.default_rng(0).bytes(100_000),
    'Scenes/walk/camera.txt': b'wide',
}


# Frames


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    """A video, black above the horizon; below the number of the frame is in its red."""
    path = tmp_path / 'clip.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 20, (WIDTH, HEIGHT))
    for number in range(FRAMES):
        picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        picture[HORIZON:] = (BLUE, 0, 20 * number)
        writer.write(picture)
    writer.release()
    return Clip('colours', path, Camera(np.eye(3)))


def colours(clip: Clip) -> dict[int, list[float]]:
    """Mean red, green and blue by number of the frame."""
    return {number: picture.mean(axis=(0, 1)).tolist() for number, picture in clip.frames()}


@pytest.mark.parametrize(
    ('first', 'stop'), [(0, None), (3, None), (0, 5), (3, 5), (0, 99), (FRAMES - 1, None)]
)
def test_frames_are_those_of_the_slice_and_keep_their_numbers(
    clip: Clip, first: int, stop: int | None
) -> None:
    found = colours(replace(clip, first=first, stop=stop, top=HORIZON + 8))  # off its blurred edge
    assert list(found) == list(range(FRAMES))[first:stop]
    for number, rgb in found.items():
        assert rgb == pytest.approx([20 * number, 0, BLUE], abs=6)


def test_rows_above_are_cut_off(clip: Clip) -> None:
    whole = dict(clip.frames())
    lower = dict(replace(clip, top=HORIZON).frames())
    assert whole[7].shape == (HEIGHT, WIDTH, 3)
    assert whole[7][: HORIZON - 8].max() < 6
    np.testing.assert_array_equal(lower[7], whole[7][HORIZON:])


# Downloads, by pip itself from an index of our own


def write_index(folder: Path) -> Path:
    """Write an index with one wheel, and return the wheel."""
    place = folder / 'scenes'
    place.mkdir(parents=True)
    with zipfile.ZipFile(place / WHEEL, 'w') as archive:
        for name, content in {**METADATA, **MEMBERS, 'Scenes/more.txt': b'unwanted'}.items():
            archive.writestr(name, content)
    digest = hashlib.sha256((place / WHEEL).read_bytes()).hexdigest()
    link = f'<a href="{WHEEL}#sha256={digest}">{WHEEL}</a>'
    (place / 'index.html').write_text(f'<!DOCTYPE html><html><body>{link}</body></html>')
    return place / WHEEL


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel in the only index that pip knows."""
    index = tmp_path / 'index'
    for name in ('PIP_EXTRA_INDEX_URL', 'PIP_FIND_LINKS', 'PIP_NO_INDEX'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('PIP_CONFIG_FILE', os.devnull)
    monkeypatch.setenv('PIP_NO_CACHE_DIR', '1')
    monkeypatch.setenv('PIP_INDEX_URL', index.as_uri())
    return write_index(index)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / 'cache' / 'footage'


def kept(folder: Path) -> dict[str, bytes]:
    """Contents of all files by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


def test_a_download_keeps_the_members_and_nothing_else(wheel: Path, folder: Path) -> None:
    download(PACKAGE, list(MEMBERS), folder)
    assert kept(folder) == MEMBERS
    assert [path.name for path in folder.iterdir()] == ['Scenes']


def test_what_is_there_is_not_downloaded_again(wheel: Path, folder: Path) -> None:
    download(PACKAGE, list(MEMBERS), folder)
    wheel.unlink()
    download(PACKAGE, list(MEMBERS), folder)
    (folder / 'Scenes/walk/camera.txt').unlink()
    with pytest.raises(DownloadError):
        download(PACKAGE, list(MEMBERS), folder)


def test_what_is_missing_is_downloaded(wheel: Path, folder: Path) -> None:
    download(PACKAGE, list(MEMBERS), folder)
    (folder / 'Scenes/walk/camera.txt').unlink()
    download(PACKAGE, list(MEMBERS), folder)
    assert kept(folder) == MEMBERS


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip_a_bit(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize('damage', [cut, flip_a_bit])
def test_a_damaged_download_is_refused(wheel: Path, folder: Path, damage: Any) -> None:
    wheel.write_bytes(damage(wheel.read_bytes()))
    with pytest.raises(DownloadError, match=PACKAGE):
        download(PACKAGE, list(MEMBERS), folder)
    assert list(folder.iterdir()) == []


def test_failed_download_is_reported_with_the_remedy(wheel: Path, folder: Path) -> None:
    with pytest.raises(DownloadError) as refused:
        download('scenes==2.0', list(MEMBERS), folder)
    for word in ('scenes==2.0', str(folder), *MEMBERS, 'No matching distribution'):
        assert word in str(refused.value)


def test_a_folder_that_cannot_be_written_is_named(wheel: Path, tmp_path: Path) -> None:
    (tmp_path / 'file').touch()
    folder = tmp_path / 'file' / 'footage'
    with pytest.raises(DownloadError, match=str(folder)):
        download(PACKAGE, list(MEMBERS), folder)


class HalfServer(SimpleHTTPRequestHandler):
    """Serves half of a wheel, then stalls."""

    stalled, end = threading.Event(), threading.Event()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        content = source.read()
        if not self.path.endswith('.whl'):
            outputfile.write(content)
            return
        outputfile.write(cut(content))
        self.stalled.set()
        self.end.wait()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def half_server(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[HalfServer]]:
    handler = partial(HalfServer, directory=str(wheel.parent.parent))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        monkeypatch.setenv('PIP_INDEX_URL', f'http://127.0.0.1:{server.server_port}')
        monkeypatch.setenv('NO_PROXY', '127.0.0.1')
        threading.Thread(target=server.serve_forever).start()
        yield HalfServer
        HalfServer.end.set()
        server.shutdown()


def test_an_interrupted_download_leaves_nothing(
    half_server: type[HalfServer], folder: Path
) -> None:
    # Some shells have their children ignore the signal.
    code = (
        'import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n'
        'from pathlib import Path; from hybrik_ros.cli.bench.packages import download\n'
        f'download({PACKAGE!r}, {list(MEMBERS)!r}, Path({str(folder)!r}))'
    )
    with subprocess.Popen([sys.executable, '-c', code], stderr=subprocess.PIPE) as process:
        assert half_server.stalled.wait(30)
        [_] = folder.iterdir()
        process.send_signal(signal.SIGINT)
        assert b'KeyboardInterrupt' in process.communicate(timeout=30)[1]
    assert list(folder.iterdir()) == []


# The footage itself


@pytest.fixture(scope='module')
def clips(real_footage: Path) -> dict[str, Clip]:
    found = footage.clips(real_footage)
    by_name = {clip.name: clip for clip in found}
    assert len(by_name) == len(found)
    return by_name


@pytest.fixture(scope='module')
def truth() -> dict[str, NDArray]:
    with np.load(Path(__file__).parent / 'data' / 'pose2sim_ground_truth.npz') as stored:
        return dict(stored)


def test_cameras_are_of_the_size_of_their_pictures(clips: dict[str, Clip]) -> None:
    for clip in clips.values():
        number, picture = next(clip.frames())
        assert number == clip.first
        assert picture.shape == (clip.camera.height, clip.camera.width, 3)


def test_rates_are_those_of_the_videos(clips: dict[str, Clip]) -> None:
    assert {clip.video.name: clip.rate for clip in clips.values()} == {
        **{f'cam0{camera}.mp4': 60 for camera in range(1, 5)},
        'demo.mp4': 30,
    }


def test_calibration_is_that_by_which_the_true_joints_were_found(
    clips: dict[str, Clip], truth: dict[str, NDArray]
) -> None:
    for index, vector in enumerate(truth['camera_rotation_vectors']):
        for title in ('man', 'pair'):
            clip = clips[f'{title}, camera {index + 1}']
            assert clip.number == index + 1
            assert clip.camera.matrix == pytest.approx(truth['camera_matrices'][index], abs=1e-3)
            assert clip.camera.distortion == pytest.approx(truth['distortion'][index])
            rotation, translation = clip.extrinsics
            away = Rotation.from_matrix(rotation).inv() * Rotation.from_rotvec(vector)
            # The true joints' extrinsics were refined.
            assert np.degrees(away.magnitude()) < 2
            assert np.linalg.norm(translation - truth['camera_translations'][index]) < 0.06


def test_every_camera_has_the_man_upright_in_its_picture(
    clips: dict[str, Clip], truth: dict[str, NDArray]
) -> None:
    joints, names = truth['joints_world'], list(truth['joint_names'])
    calibrated = [clip for clip in clips.values() if clip.extrinsics]
    assert len(calibrated) == 8
    for clip in calibrated:
        rotation, translation = clip.extrinsics
        seen = joints @ rotation.T + translation
        pixels = clip.camera.project(seen)
        assert seen[..., 2].min() > 1
        assert (pixels >= 0).all()
        assert (pixels < [clip.camera.width, clip.camera.height]).all()
        assert (pixels[:, names.index('Head'), 1] < pixels[:, names.index('RAnkle'), 1]).all()


def test_a_video_that_is_cut_off_is_refused_by_name(real_footage: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(real_footage, tmp_path / 'footage')
    video = next(folder.rglob('Demo_MultiPerson/**/cam02.mp4'))
    video.write_bytes(cut(video.read_bytes()))
    with pytest.raises(DownloadError, match=str(video)):
        footage.clips(folder)


# The bench on a part of it

PART = {
    'man, camera 3': 16,
    'pair, camera 1': 9,
    'pair, camera 2': 9,
    'pair, camera 4': 9,
    'walk': 10,
}  # frames
RATE_OF_CUTS = 10.0  # the only one, in pictures per second


def measure(clips: list[Clip], folder: Path, kind: str = 'perception') -> dict[str, Any]:
    """Run a bench on these clips alone; return the figures that it writes into the folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name in bench.THREADS:
            patch.setenv(name, '1')  # as they are for its child, which is not needed here
        patch.setattr(footage, 'clips', lambda folder: clips)
        patch.setattr(ghosts, '_RATES', (RATE_OF_CUTS,))
        arguments = {'--output': folder / 'figures.json', '--pictures': folder / 'pictures'}
        words = [str(word) for pair in arguments.items() for word in pair]
        assert main(['bench', kind, *words]) == 0
    return json.loads((folder / 'figures.json').read_text())


@pytest.fixture(scope='module')
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('bench')


@pytest.fixture(scope='module')
def figures(clips: dict[str, Clip], output: Path) -> dict[str, Any]:
    part = [replace(clips[name], stop=clips[name].first + count) for name, count in PART.items()]
    return measure(part, output)


def test_every_person_is_tracked_with_one_id(figures: dict[str, Any]) -> None:
    assert set(figures['clips']) == set(PART)
    for name, by_source in figures['clips'].items():
        ours = by_source['hybrik_ros']
        # Cameras 1 and 2 show another man far behind.
        assert ours['ids'] - (2 if name.startswith('pair') else 1) in (0, name[-1] in '12')
        assert ours['id switches'] == 0
        # People are not reported before confirm_after has passed.
        assert 0.6 < ours['frames tracked'] < 1


def test_we_are_as_accurate_as_raw_landmarks_with_far_less_jitter(figures: dict[str, Any]) -> None:
    ours, raw = figures['clips']['man, camera 3'].values()
    for name in ('PA-MPJPE', 'MPJPE'):
        assert 10 < ours[name] < 1.1 * raw[name]
    assert ours['PA-MPJPE'] < ours['MPJPE'] < 120  # regression bound
    for by_source in (figures['clips']['man, camera 3'], figures['clips']['walk']):
        assert by_source['hybrik_ros']['jitter'] < by_source['raw']['jitter'] / 2
        assert by_source['raw']['bone SD'] > 5  # millimetres
    assert 'PA-MPJPE' not in figures['clips']['walk']['hybrik_ros']


def test_both_people_of_the_pair_are_measured(figures: dict[str, Any]) -> None:
    for name, by_source in figures['clips'].items():
        assert ('woman' in by_source) == name.startswith('pair')
    for name in ('pair, camera 1', 'pair, camera 2', 'pair, camera 4'):
        man, woman = figures['clips'][name].values()
        for person in (man, woman):
            assert 10 < person['PA-MPJPE'] < person['MPJPE'] < 200  # regression bound
            assert 0 < person['jitter'] < 20


def test_confidence_is_compared_with_true_joints(figures: dict[str, Any]) -> None:
    found = figures['confidence']
    total, *by_excerpt = found.values()
    assert total['bodies'] == sum(each['bodies'] for each in by_excerpt)
    assert total['bodies'] == sum(row['bodies'] for row in total['bins'].values())
    assert found['whole']['measured'] > 0.8
    assert found['whole']['confidence'] > found['cut at the chest']['confidence']
    assert 0 < total['calibration error'] < 0.3  # regression bound


def test_ghosts_are_counted_in_clips_and_made_situations(figures: dict[str, Any]) -> None:
    found = figures['ghosts']
    cuts, leaving = (
        found.pop(f'{name}, {RATE_OF_CUTS:.0f}/s')
        for name in ('cut to pictures without people', 'leaving the picture')
    )
    assert set(found) == set(PART)
    for name, row in found.items():
        assert row['pictures'] == PART[name]
        assert row['ghosts'] == 0, name
    for made in (cuts, leaving):
        assert made['pictures'] > made['bodies'] > 0
        assert made['longest, s'] < 0.5  # regression bound


def test_delay_is_null_for_frame_rates_at_which_she_is_not_reported(
    clips: dict[str, Clip], tmp_path: Path
) -> None:
    clip = replace(clips[marks.WALKER_CLIP], first=30, stop=56)
    found = measure([clip], tmp_path)['delay']
    assert found['first frame in view'] == marks.WALKER_FIRST
    assert found['every 1']['images per second'] == 30
    assert 0 <= found['every 1']['images'] <= found['every 1']['most images'] < 16
    assert found['every 1']['seconds'] == pytest.approx(found['every 1']['images'] / 30)
    assert found['every 30']['images'] is None


def test_two_people_take_longer_than_one(figures: dict[str, Any]) -> None:
    one, two = (figures['milliseconds'][f'{n} in the image'] for n in (1, 2))
    stages = {'whole frame', 'landmarks', 'solve'}  # The detector runs in some frames only.
    assert set(one) - {'detect'} == set(two) - {'detect'} == stages
    assert two['landmarks'] > 1.3 * one['landmarks']
    for times in (one, two):
        assert 0 < times['solve'] < times['landmarks'] < times['whole frame']


def test_each_clip_has_its_contact_sheet(figures: dict[str, Any], output: Path) -> None:
    sheets = {path.name: cv2.imread(str(path)) for path in (output / 'pictures').iterdir()}
    names = (
        'man_camera_3',
        'pair_camera_1',
        'pair_camera_2',
        'pair_camera_4',
        'walk',
        'reliability',
    )
    assert set(sheets) == {f'{name}.png' for name in names}
    assert min(sheet.std() for sheet in sheets.values()) > 20


def test_frames_without_people_count_as_missed(tmp_path: Path) -> None:
    camera = read_camera()
    empty = [np.zeros((camera.height, camera.width, 3), np.uint8)] * 8
    clips = []
    for name, pictures in {'empty': empty, 'half': [*read_frames(60, 8), *empty]}.items():
        path = tmp_path / f'{name}.avi'
        size = (camera.width, camera.height)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), RATE, size)
        for picture in pictures:
            writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        writer.release()
        clips.append(Clip(name, path, camera, RATE))
    measured = measure(clips, tmp_path)['clips']
    assert measured['empty']['hybrik_ros']['frames tracked'] == 0
    assert measured['empty']['raw']['frames tracked'] == 0
    assert measured['half']['raw']['frames tracked'] == 8 / 16
    assert 5 / 16 < measured['half']['hybrik_ros']['frames tracked'] < 8 / 16  # confirm_after


# The bench of the fusion on a part of it

FUSED_FRAMES = 24  # A person in one camera alone is reported after 0.25 s.
CAMERAS = ('1', '2', '3', '4')


@pytest.fixture(scope='module')
def fused_output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('fusion')


@pytest.fixture(scope='module')
def fused(clips: dict[str, Clip], fused_output: Path) -> dict[str, Any]:
    part = [replace(clip, stop=FUSED_FRAMES) for clip in clips.values() if clip.number]
    return measure(part, fused_output, 'fusion')


def test_fusion_is_more_accurate_than_the_mean_of_skeletons(fused: dict[str, Any]) -> None:
    means = fused['man']['means']
    two, four = (means[f'{count} cameras'] for count in (2, 4))
    for by_method in (two, four):
        assert by_method['fusion']['abs'] < 0.6 * by_method['averaging']['abs']
        assert by_method['fusion']['PA'] < 0.8 * by_method['averaging']['PA']
    assert four['fusion']['abs'] < two['fusion']['abs'] < 60  # regression bound, millimetres
    assert four['triangulation']['jitter'] > 2 * four['fusion']['jitter']
    assert 'triangulation' not in means['1 cameras']


def test_every_set_of_cameras_is_measured(fused: dict[str, Any]) -> None:
    assert len(fused['man']['sets']) == 15
    assert set(CAMERAS) < set(fused['man']['sets'])
    assert len(fused['pair']) == 11
    for row in fused['pair'].values():
        # People are not reported before confirm_after has passed.
        assert row['both'] == pytest.approx(1 - 3 / FUSED_FRAMES)
        assert row['switches'] == row['ghosts'] == 0


def test_faults_of_cameras_cost_accuracy(fused: dict[str, Any]) -> None:
    faults = fused['faults']
    whole = fused['man']['sets']['1+2+3+4']['fusion']['abs']
    assert faults['extrinsics']['2.0° 4.0 cm, all']['abs'] > whole + 20
    late = [faults['clocks'][f'{delay} ms, all']['abs'] for delay in (0, 100, 200)]
    assert late == sorted(late)
    lost = faults['loss']['1+2+3+4, 4 lost']
    assert lost['switches'] == 0
    assert lost['step'] < 4 * lost['usual step']
    assert set(faults['unsynchronised']) == {
        f'{rate} Hz, {cameras}, {method}'
        for rate in ('15.0', '7.5')
        for cameras in ('pairs', 'all')
        for method in ('synchronous', 'between', 'extrapolate', 'newest of each')
    }
    half = faults['half a body']
    assert {name.partition(',')[0] for name in half} == {
        *('1', '1+2', '1+3', '1+4'),
        *('3', '2+3', '3+4', '1+2+3+4'),
    }
    assert half['1+2+3+4, 1 cut']['abs'] < 1.5 * whole  # regression bound


def test_fusion_is_timed_by_views(fused: dict[str, Any]) -> None:
    assert list(fused['milliseconds']) == [f'{count} views' for count in (1, 2, 3, 4)]
    for row in fused['milliseconds'].values():
        assert 0 < row['without the solver'] < row['whole']


def test_fused_people_are_drawn(fused: dict[str, Any], fused_output: Path) -> None:
    pictures = {path.name: cv2.imread(str(path)) for path in (fused_output / 'pictures').iterdir()}
    assert set(pictures) == {'man.png', 'man_above.png', 'pair.png', 'pair_above.png'}
    assert min(picture.std() for picture in pictures.values()) > 20
