"""`hybrik bench kinematics`, and what all of `hybrik bench` does with its arguments."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from hybrik_ros.cli import bench, main
from hybrik_ros.cli.bench import bag, kinematics, network


@pytest.fixture(scope='module')
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict:
    output = tmp_path_factory.mktemp('bench') / 'figures.json'
    with pytest.MonkeyPatch.context() as patch:
        for name in bench.THREADS:
            patch.setenv(name, '1')  # as they are for its child, which is not needed here
        patch.setattr(kinematics, '_SECONDS', 0.02)
        assert main(['bench', 'kinematics', '--output', str(output)]) == 0
    return json.loads(output.read_text())


def test_everything_is_timed_at_every_batch_size(figures: dict) -> None:
    timed = figures['milliseconds']
    for name in ('naive', 'adaptive', 'refined', 'adaptive, plain numpy', 'smplx forward'):
        assert set(timed[name]) == {'1', '8', '64'}
        assert all(0 < f['median'] <= f['p95'] for f in timed[name].values())
    assert set(timed['vertices, betas cached']) == set(timed['vertices with posedirs']) == {'1'}


def test_compiled_is_far_quicker_than_plain_numpy(figures: dict) -> None:
    timed = figures['milliseconds']
    for batch in ('1', '64'):
        plain = timed['adaptive, plain numpy'][batch]['median']
        assert timed['adaptive'][batch]['median'] < plain / 8


def test_accuracy_is_better_than_the_published_methods(figures: dict) -> None:
    accuracy = figures['accuracy']['golden poses']
    for noise, limit in (('5', 3.7), ('10', 7.5), ('20', 15.0)):
        condition = f'{noise} mm noise'
        assert accuracy['refined'][condition]['mpjpe'] <= limit
        for measure in ('mpjpe', 'rotation'):
            published = accuracy['published adaptive'][condition][measure]
            assert accuracy['refined'][condition][measure] < published
            assert accuracy['adaptive'][condition][measure] < published


def test_accuracy_is_measured_under_all_that_a_solver_may_be_given(figures: dict) -> None:
    random = figures['accuracy']['random poses of the default body']
    for method in kinematics.METHODS:
        clean, shapeless, wrong, untwisted, noisy = (
            random[method][condition]
            for condition in ('clean', 'betas = 0', 'twist ± 10°', 'twist = 0', '5 mm noise')
        )
        assert max(clean.values()) < 0.001
        # The joints do not depend on the twist, but on everything else.
        assert untwisted['mpjpe'] < 0.001
        assert wrong['mpjpe'] < 0.001
        assert clean['pve'] < wrong['pve'] < untwisted['pve']
        assert min(shapeless['mpjpe'], noisy['mpjpe']) > 1


def test_elsewhere_than_here_it_runs_on_one_thread(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    called = {}

    def call(command: list[str], env: dict[str, str]) -> int:
        called.update(env)
        return 7

    monkeypatch.setattr('subprocess.call', call)
    assert main(['bench', 'kinematics', '--output', str(tmp_path / 'figures.json')]) == 7
    assert all(called[name] == '1' for name in bench.THREADS)


Perception = Callable[..., tuple[int, str]]


@pytest.fixture
def perception(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Perception:
    """`hybrik bench perception` where pip can fetch nothing: exit status and output."""
    monkeypatch.delenv('PIP_FIND_LINKS', raising=False)
    changes = {'PIP_NO_INDEX': '1', 'PIP_CONFIG_FILE': os.devnull, 'COLUMNS': '1000'}
    for name, value in {**changes, **dict.fromkeys(bench.THREADS, '1')}.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str | Path) -> tuple[int, str]:
        status = main(['bench', 'perception', *map(str, arguments)])
        return status, capsys.readouterr().out

    return run


@pytest.mark.parametrize('option', ['--output', '--pictures', '--footage'])
def test_what_cannot_be_written_is_refused_at_once(
    option: str, perception: Perception, tmp_path: Path
) -> None:
    (tmp_path / 'file').touch()
    inside = tmp_path / 'file' / 'inside'
    places = {'--output': tmp_path / 'figures.json', '--footage': tmp_path / 'footage'}
    words = {**places, option: inside}
    status, output = perception(*(word for pair in words.items() for word in pair))
    assert status == 1
    assert str(tmp_path / 'file') in output
    assert 'could not be downloaded' not in output
    assert not (tmp_path / 'footage').exists()


def test_a_folder_is_no_file_for_figures(perception: Perception, tmp_path: Path) -> None:
    status, output = perception('--output', tmp_path, '--footage', tmp_path / 'footage')
    assert status == 1
    assert str(tmp_path) in output
    assert not (tmp_path / 'footage').exists()


def test_a_device_is_no_file_for_figures(perception: Perception, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe')
    status, output = perception('--output', tmp_path / 'pipe')
    assert status == 1
    assert 'not a regular file' in output
    assert (tmp_path / 'pipe').is_fifo()


def test_missing_network_connection_is_reported(perception: Perception, tmp_path: Path) -> None:
    folder = tmp_path / 'footage'
    status, output = perception('--output', tmp_path / 'figures.json', '--footage', folder)
    assert status == 1
    assert 'could not be downloaded' in output
    assert list(folder.iterdir()) == []
    assert not (tmp_path / 'figures.json').exists()


def test_help_tells_where_everything_goes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', '/where/caches/are')
    monkeypatch.setenv('COLUMNS', '200')
    with pytest.raises(SystemExit) as stopped:
        main(['bench', 'perception', '--help'])
    assert stopped.value.code == 0
    told = capsys.readouterr().out
    for word in ('--output', 'bench_perception.json', '--footage', '--pictures', 'pip', 'MB',
                 '/where/caches/are/hybrik_ros/footage'):  # fmt: skip
        assert word in told


@pytest.mark.parametrize('words', [['bench', 'fly'], ['bench', 'perception', '--fly'], ['bench']])
def test_unknown_words_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert (words[-1] if len(words) > 1 else 'WHAT') in capsys.readouterr().err


def test_networks_are_timed_by_turns_and_frames_by_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in bench.THREADS:
        monkeypatch.setenv(name, '1')
    monkeypatch.setattr(network, '_NETWORKS', {'res34': 'ResNet-34'})
    monkeypatch.setattr(network, '_RUNS', 2)
    monkeypatch.setattr(network, '_FRAMES', (10, 20))
    output = tmp_path / 'figures.json'
    assert main(['bench', 'network', '--output', str(output)]) == 0
    figures = json.loads(output.read_text())
    timed = figures['milliseconds']
    assert set(timed['ResNet-34']) == {'torch', 'ONNX Runtime FP32', 'ONNX Runtime INT8'}
    assert all(milliseconds > 0 for milliseconds in timed['ResNet-34'].values())
    assert timed['BlazePose']['ONNX Runtime FP32'] > 0
    assert set(figures['frame']) == {'BlazePose', 'ResNet-34'}
    for frame in figures['frame'].values():
        parts = ('pre- and postprocessing', 'body and motion', 'tracking')
        assert all(0 < frame[part] < frame['all except inference'] for part in parts)
        assert frame['all except inference'] < frame['pose network'] < frame['whole frame']


def test_recordings_are_timed_beside_the_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bag, '_RUNS', 1)
    monkeypatch.setattr(bag, '_FRAMES', 6)
    bag.write_bag(tmp_path / 'bag', bag._read_sample(), 6)
    overhead = bag._overhead(tmp_path / 'bag', tmp_path, Console())
    ratio = overhead['hybrik bag, ms per frame'] / overhead['pipeline alone, ms per frame']
    assert overhead['overhead, %, median'] == pytest.approx(100 * (ratio - 1))
