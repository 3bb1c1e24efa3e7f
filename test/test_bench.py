"""`hybrik bench kinematics`."""

import json
from pathlib import Path

import pytest

from hybrik_ros.cli import bench, main
from hybrik_ros.cli.bench import kinematics


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
    fresh = figures['accuracy']['fresh poses of the default body']
    for method in kinematics.METHODS:
        clean, shapeless, wrong, untwisted, noisy = (
            fresh[method][condition]
            for condition in ('clean', 'betas = 0', 'twist ± 10°', 'twist = 0', '5 mm noise')
        )
        assert max(clean.values()) < 0.001
        # The joints say nothing of twist; all else that is wrong is heard in them.
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
