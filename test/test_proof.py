"""The proof of engines, with ONNX Runtime in the place of a GPU, right and wrong."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from networks import seeded_state
from numpy.typing import NDArray

from hybrik_ros.inference import Runner, open_runner
from hybrik_ros.inference.half import halve
from hybrik_ros.network import HybrIKNet
from hybrik_ros.network.folding import fold_batch_norms
from hybrik_ros.network.onnx_graph import to_onnx
from hybrik_ros.perception import blazepose, detector
from hybrik_ros.perception.proof import prove_detector, prove_joints, prove_landmarks

Outputs = dict[str, NDArray[Any]]


class Wrong(Runner):
    """ONNX Runtime, with outputs that were tampered with."""

    def __init__(self, model: Path, tamper: Callable[[Outputs], None]) -> None:
        self._runner, self._tamper = open_runner(model, 'onnxruntime'), tamper
        self.backend, self.inputs = self._runner.backend, self._runner.inputs

    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> Outputs:
        outputs = {name: output.copy() for name, output in self._runner.infer(feeds).items()}
        self._tamper(outputs)
        return outputs

    def _free(self) -> None:
        self._runner.close()


@pytest.fixture(scope='module')
def hybrik(tmp_path_factory: pytest.TempPathFactory) -> Path:
    net = HybrIKNet('res34').eval()
    net.load_state_dict(seeded_state('res34'))
    fold_batch_norms(net)
    path = tmp_path_factory.mktemp('proof') / 'hybrik.onnx'
    onnx.save(to_onnx(net, batch=1), path)
    return path


def halved(model: Path, folder: Path) -> Path:
    half = onnx.load(model)
    halve(half)
    path = folder / 'half.onnx'
    onnx.save(half, path)
    return path


def nothing(_outputs: Outputs) -> None:
    pass


@pytest.mark.parametrize('size', [128, 320, 1280])
def test_a_detector_that_is_right_is_proven_at_any_size(size: int) -> None:
    with Wrong(detector.MODEL, nothing) as runner:
        prove_detector(runner, size)


def test_networks_that_are_right_are_proven(hybrik: Path) -> None:
    with Wrong(blazepose.MODEL, nothing) as runner:
        prove_landmarks(runner, people=2)
    with Wrong(hybrik, nothing) as runner:
        prove_joints(runner, hybrik)


def test_so_are_those_in_fp16(tmp_path: Path) -> None:
    with open_runner(halved(detector.MODEL, tmp_path), 'onnxruntime') as runner:
        prove_detector(runner, 320)
    with open_runner(halved(blazepose.MODEL, tmp_path), 'onnxruntime') as runner:
        prove_landmarks(runner, people=2)


def corner(outputs: Outputs) -> None:
    """Leave the boxes, put all joints into the corner, believe in no person, as TensorRT 8.5.3."""
    outputs['output_0'][..., :51] = 0
    outputs['output_0'][..., 55] = 0


def legs_in_the_corner(outputs: Outputs) -> None:
    outputs['output_0'][..., :51].reshape(6, 17, 3)[:, 11:, :2] *= 0.01


def no_scores_of_joints(outputs: Outputs) -> None:
    outputs['output_0'][..., 2:51:3] = 0


def no_boxes(outputs: Outputs) -> None:
    outputs['output_0'][..., 51:55] = 0


def no_numbers(outputs: Outputs) -> None:
    for output in outputs.values():
        output[:] = np.nan


@pytest.mark.parametrize(
    ('tamper', 'message'),
    [
        (corner, 'in number of people is 1'),
        (legs_in_the_corner, 'in keypoints is'),
        (no_scores_of_joints, 'in keypoint scores is'),
        (no_boxes, 'in box is'),
        (no_numbers, 'in number of people is'),
    ],
)
def test_a_detector_that_is_wrong_is_not(tamper: Callable[[Outputs], None], message: str) -> None:
    with Wrong(detector.MODEL, tamper) as runner, pytest.raises(RuntimeError, match=message):
        prove_detector(runner, 320)


def columns(name: str, start: int, factor: float) -> Callable[[Outputs], None]:
    """Return what spoils one of several interleaved numbers of each landmark."""

    def tamper(outputs: Outputs) -> None:
        step = {'Identity': 5, 'Identity_4': 3}[name]
        outputs[name][:, start::step] *= factor

    return tamper


def last_of_the_batch(outputs: Outputs) -> None:
    for output in outputs.values():
        output[-1] = 0


def no_person(outputs: Outputs) -> None:
    outputs['Identity_1'][:] = 0


@pytest.mark.parametrize(
    'tamper',
    [
        last_of_the_batch,
        no_numbers,
        no_person,
        columns('Identity_4', 2, -1.0),
        columns('Identity_4', 2, 0.0),
        columns('Identity', 0, 0.9),
        columns('Identity', 3, -1.0),
        columns('Identity', 4, -1.0),
    ],
)
def test_landmarks_that_are_wrong_are_not(tamper: Callable[[Outputs], None]) -> None:
    with (
        Wrong(blazepose.MODEL, tamper) as runner,
        pytest.raises(RuntimeError, match='the engine of blazepose'),
    ):
        prove_landmarks(runner, people=3)


def shifted(outputs: Outputs) -> None:
    outputs['uvd'][:, 20:, 0] += 0.1


def scaled(name: str, factor: float, part: slice = slice(None)) -> Callable[[Outputs], None]:
    def tamper(outputs: Outputs) -> None:
        outputs[name][..., part] *= factor

    return tamper


@pytest.mark.parametrize(
    ('tamper', 'message'),
    [
        (scaled('uvd', -1.0, slice(2, 3)), 'in depths is'),
        (shifted, 'in joints is'),
        (scaled('phi', -1.0), 'in twist is'),
        (scaled('shape', 3.0), 'in betas is'),
        (scaled('sigma', 0.0), 'in sigma is'),
        (scaled('cam', 0.5), 'in scale is'),
        (no_numbers, 'contains NaN'),
    ],
)
def test_joints_that_are_wrong_are_not(
    tamper: Callable[[Outputs], None], message: str, hybrik: Path
) -> None:
    with Wrong(hybrik, tamper) as runner, pytest.raises(RuntimeError, match=message):
        prove_joints(runner, hybrik)


def test_of_what_is_no_model_of_hybriks_it_tells_nothing() -> None:
    with Wrong(blazepose.MODEL, no_numbers) as runner:
        prove_joints(runner, blazepose.MODEL)
