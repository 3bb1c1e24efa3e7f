"""The Runner interface, by ONNX Runtime on the pose network."""

import numpy as np
import pytest

from hybrik_ros.inference import InputError, open_runner
from hybrik_ros.perception import blazepose, detector
from hybrik_ros.settings import BACKENDS

IMAGE = np.random.default_rng(0).random((1, 256, 256, 3), np.float32)


@pytest.fixture(scope='module')
def runner():
    with open_runner(blazepose.MODEL) as runner:
        yield runner


def test_inputs_are_known_once_active(runner):
    [spec] = runner.inputs.values()
    assert list(runner.inputs) == ['input_1']
    assert spec.dtype == np.float32
    assert spec.shape == (None, 256, 256, 3)


def test_outputs_have_names(runner):
    outputs = runner.infer({'input_1': IMAGE})
    assert outputs['Identity'].shape == (1, 195)
    assert outputs['Identity_4'].shape == (1, 117)
    assert all(np.isfinite(array).all() for array in outputs.values())


def test_the_same_input_gives_the_same_output(runner):
    first, second = (runner.infer({'input_1': IMAGE}) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_batch_gives_what_its_images_give_alone(runner):
    other = IMAGE[:, ::-1].copy()
    together = runner.infer({'input_1': np.concatenate([IMAGE, other])})
    for i, image in enumerate((IMAGE, other)):
        alone = runner.infer({'input_1': image})
        for name, array in alone.items():
            assert together[name][i] == pytest.approx(array[0], abs=2e-2, rel=1e-3), name


@pytest.mark.parametrize(
    'wrong',
    [
        IMAGE[0],
        IMAGE[..., :2],
        IMAGE[:, :128],
        IMAGE.transpose(0, 3, 1, 2),
        IMAGE.astype(np.float64),
        (IMAGE * 255).astype(np.uint8),
    ],
    ids=['no batch', 'two channels', 'half', 'channels first', 'double', 'bytes'],
)
def test_an_input_that_does_not_fit_is_named(runner, wrong):
    with pytest.raises(
        InputError, match=r"'input_1' must be float32 .*256, 256, 3\), not"
    ) as caught:
        runner.infer({'input_1': wrong})
    assert str(wrong.shape) in str(caught.value)
    assert str(wrong.dtype) in str(caught.value)


@pytest.mark.parametrize('feeds', [{}, {'image': IMAGE}, {'input_1': IMAGE, 'more': IMAGE}])
def test_missing_and_unknown_inputs_are_named(runner, feeds):
    with pytest.raises(InputError, match='input_1'):
        runner.infer(feeds)


def test_inputs_of_any_size_are_taken_where_the_network_takes_them():
    with open_runner(detector.MODEL) as runner:
        for height, width in ((64, 96), (128, 32)):
            [output] = runner.infer({'input': np.zeros((1, height, width, 3), np.int32)}).values()
            assert output.shape == (1, 6, 56)


def test_a_closed_runner_is_refused():
    with open_runner(blazepose.MODEL) as runner:
        assert runner.infer({'input_1': IMAGE})
    runner.close()  # Once more does nothing.
    with pytest.raises(RuntimeError, match='closed'):
        runner.infer({'input_1': IMAGE})


def test_a_model_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere\.onnx'):
        open_runner(tmp_path / 'nowhere.onnx')


def test_a_file_that_is_no_model_is_named(tmp_path):
    path = tmp_path / 'broken.onnx'
    path.write_bytes(blazepose.MODEL.read_bytes()[:1000])
    with pytest.raises(RuntimeError, match=r'broken\.onnx'):
        open_runner(path)


def test_a_backend_is_chosen_by_name_or_by_itself():
    for backend in ('auto', 'onnxruntime'):
        assert backend in BACKENDS
        with open_runner(blazepose.MODEL, backend) as runner:
            assert runner.infer({'input_1': IMAGE})
    with pytest.raises(ValueError, match=r"backend .*onnxruntime.*'abacus'"):
        open_runner(blazepose.MODEL, 'abacus')


def test_threads_change_nothing_but_time(runner):
    with open_runner(blazepose.MODEL, threads=2) as two:
        for name, array in two.infer({'input_1': IMAGE}).items():
            expected = runner.infer({'input_1': IMAGE})[name]
            assert array == pytest.approx(expected, abs=2e-2, rel=1e-3)
