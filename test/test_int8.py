"""`hybrik export --int8`: what is rounded, what it costs, and what is refused."""

import re
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from networks import write_checkpoint
from sample import CLIP, read_frames
from torch import nn

from hybrik_ros.cli import main
from hybrik_ros.cli.pictures import spread_pictures
from hybrik_ros.network import export
from hybrik_ros.network.int8 import UpConvolution, as_convolutions


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp('int8'))


@pytest.fixture(scope='module')
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures of the walker, and something that is none."""
    folder = tmp_path_factory.mktemp('pictures')
    for number, frame in enumerate(read_frames(0, 145)[10:130:10]):
        cv2.imwrite(str(folder / f'{number:02}.jpg'), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    (folder / 'notes.txt').write_text('no picture')
    return folder


@pytest.fixture(scope='module')
def exported(checkpoint: Path, pictures: Path, capsys_module) -> tuple[onnx.ModelProto, str]:
    """The model, and what was said."""
    path = checkpoint.with_name('int8.onnx')
    arguments = ['export', str(checkpoint), '-o', str(path)]
    assert main([*arguments, '--int8', '--calibration', str(pictures)]) == 0
    return onnx.load(path), capsys_module()


@pytest.fixture(scope='module')
def capsys_module(request: pytest.FixtureRequest):
    """Return what reads standard output, for fixtures that outlive a test."""
    manager = request.config.pluginmanager.getplugin('capturemanager')

    def read() -> str:
        out, _ = manager.read_global_capture()
        return out

    return read


def test_the_model_is_rounded_up_to_the_heatmaps(exported) -> None:
    model, _ = exported
    onnx.checker.check_model(model, full_check=True)
    made_by = {output: node for node in model.graph.node for output in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == 'Conv']
    rounded = [
        made_by.get(node.input[0]) is not None
        and made_by[node.input[0]].op_type == 'DequantizeLinear'
        for node in convolutions
    ]
    assert len(rounded) == 40
    assert rounded == [True] * 39 + [False]  # the last one draws the heatmaps
    assert not any(node.op_type == 'ConvTranspose' for node in model.graph.node)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert properties['precision'] == 'int8'


def test_what_it_costs_is_said(exported) -> None:
    _, said = exported
    said = ' '.join(said.split())
    found = re.search(r'by ([0-9.]+) mm \(mean\) and ([0-9.]+) mm \(95th percentile\)', said)
    assert found, said
    mean, worst = (float(number) for number in found.groups())
    assert 0 < mean < worst < 60  # regression bound: random weights, whose heatmaps are noise
    assert 'ONNX Runtime on the CPU' in said
    assert 'TensorRT' not in said


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--int8'], 'require each other'),
        (['--calibration', 'x.mp4'], 'require each other'),
        (['--int8', '--calibration', 'x.mp4', '--precision', 'fp16'], 'exclude each other'),
        (['--int8', '--calibration', '/nowhere/x.mp4'], 'there is no video or folder'),
    ],
)
def test_what_does_not_fit_together_is_refused(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments, words: str
) -> None:
    path = tmp_path / 'int8.onnx'
    assert main(['export', str(checkpoint), '-o', str(path), *arguments]) == 1
    assert words in capsys.readouterr().err
    assert not path.exists()


def test_what_is_held_out_is_of_other_pictures() -> None:
    pictures = [[np.full(1, number)] * people for number, people in enumerate([2, 1, 3, 2] * 3)]
    used, held_out = export._split(pictures)
    numbers = [{int(crop[0]) for people in part for crop in people} for part in (used, held_out)]
    assert numbers == [set(range(9)), {9, 10, 11}]


def test_pictures_without_people_are_refused(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / 'black.png'), np.zeros((300, 400, 3), np.uint8))
    path = tmp_path / 'int8.onnx'
    arguments = ['export', str(checkpoint), '-o', str(path), '--int8', '--calibration']
    assert main([*arguments, str(tmp_path)]) == 1
    assert 'no people were found in' in capsys.readouterr().err
    assert not path.exists()


@pytest.mark.parametrize('bias', [False, True])
@pytest.mark.parametrize('size', [(1, 1), (5, 7)])
def test_a_transposed_convolution_is_a_convolution_and_a_shuffle(bias, size) -> None:
    torch.manual_seed(0)
    transposed = nn.ConvTranspose2d(3, 4, 4, stride=2, padding=1, bias=bias)
    net = nn.Sequential(nn.ReLU(), transposed)
    image = torch.randn(2, 3, *size)
    with torch.no_grad():
        wanted = net(image)
        as_convolutions(net)
        assert isinstance(net[1], UpConvolution)
        torch.testing.assert_close(net(image), wanted)


def test_pictures_are_spread_over_a_video() -> None:
    found = list(spread_pictures(CLIP, 10))
    wanted = read_frames(0, 145)[::15]
    assert len(found) == len(wanted) == 10
    assert all(np.array_equal(one, other) for one, other in zip(found, wanted, strict=True))


def test_pictures_are_spread_over_a_folder(pictures: Path) -> None:
    assert len(list(spread_pictures(pictures, 100))) == 12
    assert len(list(spread_pictures(pictures, 4))) == 4 - 1  # One of the four is no picture.
