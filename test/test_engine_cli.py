"""`hybrik engine`, without TensorRT, and with the FAKES of it and of the driver."""

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from hybrik_ros.cli import main
from hybrik_ros.inference import tensorrt_engine
from hybrik_ros.inference.runner import SIDE
from hybrik_ros.perception import blazepose, detector


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / 'fake.onnx'
    path.write_text(json.dumps({'shape': [1, 3], 'type': 'FLOAT', 'half': False}))
    return path


@pytest.fixture
def plan(fake_tensorrt: ModuleType, model: Path, tmp_path: Path) -> Path:
    """Build an engine; return its file."""
    assert main(['engine', 'build', str(model)]) == 0
    [path] = (tmp_path / 'cache' / 'hybrik_ros' / 'engines').glob('*.plan')
    return path


@pytest.mark.parametrize('action', ['build', 'list', 'check'])
def test_without_tensorrt_each_says_what_is_missing_and_what_to_do(
    action: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, 'tensorrt', None)  # As if there were none.
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert main(['engine', action]) == (0 if action == 'list' else 1)
    said = ''.join(capsys.readouterr())
    assert 'TensorRT cannot be imported' in said
    assert 'pip install tensorrt' in said
    assert '--system-site-packages' in said


def test_build_says_why_and_shows_what_it_does_and_builds_once(
    fake_tensorrt: ModuleType,
    model: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(2):
        assert main(['engine', 'build', str(model), '--precision', 'fp32']) == 0
        assert 'fake.onnx has an engine in fp32.' in capsys.readouterr().out
    assert fake_tensorrt.built == 1
    [reason] = [record.getMessage() for record in caplog.records if record.levelname == 'WARNING']
    assert 'there is none yet' in reason


def test_any_model_is_built_in_fp16(
    fake_tensorrt: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['engine', 'build', '--precision', 'fp16']) == 0
    shown = capsys.readouterr().out
    for model in (detector.MODEL, blazepose.MODEL):
        assert f'{model.name} has an engine in fp16.' in shown
    assert fake_tensorrt.built == 2


def test_without_onnx_it_says_how_to_get_it(
    fake_tensorrt: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'onnx', None)
    assert main(['engine', 'build', '--precision', 'fp16']) == 1
    assert 'pip install onnx' in capsys.readouterr().err


def test_what_cannot_be_built_is_an_error(
    fake_tensorrt: ModuleType, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['engine', 'build', str(model), '--precision', 'fp16']) == 1
    assert 'fake.onnx: it cannot be converted to FP16: ' in capsys.readouterr().err
    assert main(['engine', 'build', 'nowhere.onnx']) == 1
    assert 'no model at nowhere.onnx' in capsys.readouterr().err


def test_list_tells_which_engines_are_usable_here(
    plan: Path,
    fake_tensorrt: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv('COLUMNS', '200')
    capsys.readouterr()
    assert main(['engine', 'list']) == 0
    said = capsys.readouterr().out
    assert 'fake.onnx' in said
    assert 'yes' in said
    fake_tensorrt.__version__ = '10.13.0'
    assert main(['engine', 'list']) == 0
    assert 'tensorrt 10.3.0, not 10.13.0' in capsys.readouterr().out


def test_check_finds_what_is_sound_foreign_damaged_and_refused(
    plan: Path, fake_tensorrt: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    def check() -> tuple[int, str]:
        capsys.readouterr()
        return main(['engine', 'check']), capsys.readouterr().out

    status, said = check()
    assert (status, 'fake.onnx, fp32, can be loaded.' in said) == (0, True)
    assert 'TensorRT 10.3.0 works on Fake, compute capability 8.7, CUDA 12.6.' in said

    fake_tensorrt.__version__ = '10.13.0'
    status, said = check()
    assert status == 0
    assert 'valid, but not for this machine: tensorrt 10.3.0, not 10.13.0' in said
    fake_tensorrt.__version__ = '10.3.0'

    fake_tensorrt.Runtime.deserialize_cuda_engine = lambda self, plan: None
    status, said = check()
    assert (status, 'unusable: TensorRT refuses it' in said) == (1, True)

    plan.write_bytes(b'?')
    status, said = check()
    assert (status, 'unusable: it is damaged' in said) == (1, True)
    assert main(['engine', 'list']) == 0
    assert 'damaged' in ' '.join(capsys.readouterr().out.split())

    plan.with_suffix('.json').unlink()  # As if its writer was killed.
    status, said = check()
    assert (status, f'{plan} is unusable' in said) == (1, True)
    assert main(['engine', 'list']) == 0
    assert f'{plan} is unusable' in capsys.readouterr().out


def test_a_copy_under_another_name_is_no_engine(
    plan: Path, fake_tensorrt: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in (plan, plan.with_suffix('.json')):
        shutil.copy(file, file.with_stem('0' * 64))
    capsys.readouterr()
    assert main(['engine', 'check']) == 1
    said = capsys.readouterr().out
    assert said.count('can be loaded') == 1
    assert 'its name is that of another engine' in said


def test_the_side_is_the_detectors_alone(
    fake_tensorrt: ModuleType, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert main(['engine', 'build', '--side', '400']) == 0
    for model, side in ((detector.MODEL, 640), (blazepose.MODEL, SIDE)):
        tensorrt_engine.load_engine(model, side=side)
    assert fake_tensorrt.built == 2  # The node, which asks for these, finds them.
    for side in ('0', '-5', '99999', 'wide'):
        with pytest.raises(SystemExit):
            main(['engine', 'build', '--side', side])
        assert '--side' in capsys.readouterr().err
