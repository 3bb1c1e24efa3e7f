"""FP16 for the GPU: what is halved and what not, and what it costs.

ONNX Runtime leaves out most roundings to FP16 on a CPU. Here every one is done, in FP32: a number
less the same with its last 13 bits gone (Veltkamp's splitting).
"""

import copy
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from networks import golden_image, seeded_state
from onnx import ModelProto, TensorProto, helper, numpy_helper
from sample import read_frames

from hybrik_ros.inference.half import convolves_in_half, halve
from hybrik_ros.inference.runner import TensorSpec
from hybrik_ros.network import HybrIKNet
from hybrik_ros.network.folding import fold_batch_norms
from hybrik_ros.network.soft_argmax import SoftArgmax
from hybrik_ros.network.verification import half_shift_mm
from hybrik_ros.perception import blazepose, detector
from hybrik_ros.perception.blazepose import BlazePose
from hybrik_ros.perception.detector import PersonDetector
from hybrik_ros.perception.hybrik import CUBE

_FP16_FROM_FP32 = np.float32(2**13 + 1)
MODELS = [blazepose.MODEL, detector.MODEL]


def halved(path: Path) -> ModelProto:
    model = onnx.load(path)
    halve(model)
    return model


def with_roundings(model: ModelProto) -> ModelProto:
    """Return an FP32 model that rounds wherever this one computes in FP16."""
    graph = model.graph
    for constant in graph.initializer:
        if constant.data_type == TensorProto.FLOAT16:
            value = numpy_helper.to_array(constant).astype(np.float32)
            constant.CopyFrom(numpy_helper.from_array(value, constant.name))
    graph.initializer.append(numpy_helper.from_array(_FP16_FROM_FP32, 'splitter'))
    nodes = []
    for node in graph.node:
        narrows = any(attribute.i == TensorProto.FLOAT16 for attribute in node.attribute)
        is_half = narrows or node.output[0].endswith('_fp16')
        if node.op_type == 'Cast' and narrows:
            node = helper.make_node('Identity', node.input, node.output)
        nodes.append(node)
        if is_half:
            [name] = node.output
            node.output[0], large, low = (f'{name}_{part}' for part in ('exact', 'large', 'low'))
            nodes += [
                helper.make_node('Mul', [node.output[0], 'splitter'], [large]),
                helper.make_node('Sub', [large, node.output[0]], [low]),
                helper.make_node('Sub', [large, low], [name]),
            ]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


class Session:
    """What runs a model that is in no file."""

    def __init__(self, model: ModelProto) -> None:
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=['CPUExecutionProvider']
        )
        self.inputs = {
            one.name: TensorSpec(
                np.dtype(one.type[7:-1].replace('float', 'float32')),
                tuple(size if isinstance(size, int) else None for size in one.shape),
            )
            for one in self._session.get_inputs()
        }

    def infer(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = [output.name for output in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, feeds), strict=True))


def both(path: Path) -> tuple[Session, Session]:
    """Return a model as it is and in FP16."""
    return Session(onnx.load(path)), Session(with_roundings(halved(path)))


@pytest.fixture(scope='module')
def frames() -> list[np.ndarray]:
    return read_frames(0, 60)[::5]


def test_the_oracle_rounds_as_numpy_does() -> None:
    values = np.random.default_rng(0).normal(0, 10, (1, 1, 8, 8)).astype(np.float32)
    relu = helper.make_node('Relu', ['third'], ['maps'])
    model = small_model([CONVOLUTION, relu], WEIGHT)
    halve(model)
    found = Session(with_roundings(model)).infer({'image': values})['maps']
    exact = values.astype(np.float16).astype(np.float32) * np.float32(np.float16(1 / 3))
    assert np.array_equal(found, exact.astype(np.float16).clip(0))


@pytest.mark.parametrize('path', MODELS, ids=lambda path: path.stem)
def test_a_halved_model_looks_the_same_from_outside(path: Path) -> None:
    whole, half = onnx.load(path), halved(path)
    onnx.checker.check_model(half, full_check=True)
    assert (half.graph.input, half.graph.output) == (whole.graph.input, whole.graph.output)
    assert convolves_in_half(half.graph)
    assert not convolves_in_half(whole.graph)


@pytest.mark.parametrize('path', MODELS, ids=lambda path: path.stem)
def test_what_is_halved_already_stays(path: Path) -> None:
    once, twice = halved(path), halved(path)
    halve(twice)
    assert once == twice


def small_model(nodes: list[onnx.NodeProto], *constants: TensorProto) -> ModelProto:
    """Return a model from an image, (1, 1, 8, 8), to maps of the same shape."""
    image, maps = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 8, 8])
        for name in ('image', 'maps')
    )
    return helper.make_model(
        helper.make_graph(nodes, 'small', [image], [maps], constants),
        opset_imports=[helper.make_opsetid('', 17)],
        ir_version=8,
    )


WEIGHT = numpy_helper.from_array(np.full((1, 1, 1, 1), 1 / 3, np.float32), 'weight')
CONVOLUTION = helper.make_node('Conv', ['image', 'weight'], ['third'])


def test_a_number_that_is_no_bound_is_not_cut_off() -> None:
    large = numpy_helper.from_array(np.float32(1e5), 'large')
    add = helper.make_node('Add', ['third', 'large'], ['maps'])
    with pytest.raises(ValueError, match='large is too large for FP16'):
        halve(small_model([CONVOLUTION, add], WEIGHT, large))
    clip = helper.make_node('Clip', ['third', 'low', 'high'], ['maps'])
    bounds = [
        numpy_helper.from_array(np.float32(value), name)
        for name, value in (('low', 0), ('high', 1e30))
    ]
    model = small_model([CONVOLUTION, clip], WEIGHT, *bounds)
    halve(model)
    found = Session(model).infer({'image': np.full((1, 1, 8, 8), 3, np.float32)})['maps']
    assert found == pytest.approx(np.ones((1, 1, 8, 8)), abs=1e-3)


def test_whole_numbers_stay_whole() -> None:
    nodes = [
        CONVOLUTION,
        helper.make_node('Relu', ['third'], ['maps']),
        helper.make_node('Add', ['one', 'one'], ['two']),
    ]
    model = small_model(nodes, WEIGHT, numpy_helper.from_array(np.array([1]), 'one'))
    model.graph.output.append(helper.make_tensor_value_info('two', TensorProto.INT64, [1]))
    halve(model)
    onnx.checker.check_model(model, full_check=True)
    assert Session(model).infer({'image': np.zeros((1, 1, 8, 8), np.float32)})['two'] == [2]


def test_a_weight_that_is_an_output_too_stays_one() -> None:
    model = small_model([CONVOLUTION, helper.make_node('Relu', ['third'], ['maps'])], WEIGHT)
    model.graph.output.append(
        helper.make_tensor_value_info('weight', TensorProto.FLOAT, [1, 1, 1, 1])
    )
    halve(model)
    onnx.checker.check_model(model, full_check=True)
    found = Session(model).infer({'image': np.zeros((1, 1, 8, 8), np.float32)})['weight']
    assert found.dtype == np.float32


def test_a_model_that_branches_is_refused() -> None:
    branch = helper.make_graph(
        [helper.make_node('Identity', ['third'], ['either'])],
        'branch',
        [],
        [helper.make_tensor_value_info('either', TensorProto.FLOAT, None)],
    )
    choose = helper.make_node('If', ['yes'], ['maps'], then_branch=branch, else_branch=branch)
    yes = numpy_helper.from_array(np.array(True), 'yes')
    with pytest.raises(ValueError, match=r'If .* contains a subgraph'):
        halve(small_model([CONVOLUTION, choose], WEIGHT, yes))


def test_coordinates_come_in_fp32() -> None:
    graph = onnx.shape_inference.infer_shapes(halved(blazepose.MODEL)).graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    convolutions = [node for node in graph.node if node.op_type == 'Conv']
    assert len(convolutions) == 185
    whole = [node for node in convolutions if kinds[node.output[0]] == TensorProto.FLOAT]
    # Pixels, metres and heatmaps are what a convolution says; the score goes through a sigmoid.
    weights = {constant.name: constant for constant in graph.initializer}
    stored = {node.output[0]: node.input[0] for node in graph.node if node.op_type == 'Cast'}
    assert {weights[stored[node.input[1]]].dims[0] for node in whole} == {195, 117, 39}


def test_what_blazepose_loses_in_fp16(frames: list[np.ndarray]) -> None:
    finder, (exact, rounded) = Session(onnx.load(detector.MODEL)), both(blazepose.MODEL)
    moved = []
    for frame in frames:
        regions = [found.region() for found in PersonDetector(finder, 320, 0.2)(frame)]
        for one, other in zip(
            BlazePose(exact)(frame, regions), BlazePose(rounded)(frame, regions), strict=True
        ):
            moved.append(1000 * np.linalg.norm(one.world - other.world, axis=1))
            assert other.score == pytest.approx(one.score, abs=0.05)
    assert len(moved) >= 10
    # Beside some 70 that the network is wrong by.
    print(f'BlazePose in FP16: {np.mean(moved):.1f} mm, 95% {np.percentile(moved, 95):.1f}')
    assert 0.1 < np.mean(moved) < 4  # regression bound


def test_detections_in_fp16_are_those_in_fp32(frames: list[np.ndarray]) -> None:
    exact, rounded = both(detector.MODEL)
    for frame in frames:
        people, again = (PersonDetector(model, 320, 0.2)(frame) for model in (exact, rounded))
        assert len(people) == len(again)
        for one, other in zip(people, again, strict=True):
            assert other.keypoints == pytest.approx(one.keypoints, abs=0.01 * frame.shape[1])


def test_what_joints_lose_by_logits_in_fp16() -> None:
    net = HybrIKNet('res34').eval()
    net.load_state_dict(seeded_state('res34'))
    image = golden_image(2)
    with torch.no_grad():
        exact = net(image)['uvd']
        net.final_layer.register_forward_hook(
            lambda _module, _inputs, logits: logits.half().float()
        )
        moved = 1000 * CUBE * (net(image)['uvd'] - exact).norm(dim=-1)
    # These random weights scatter their heatmaps over the whole cube, which trained ones do not.
    print(f'logits in FP16, random weights: {moved.mean():.2f} mm, at most {moved.max():.2f}')
    assert 0 < moved.mean() < 0.3  # regression bound


def test_the_roundings_of_an_export_are_those_of_torch_in_half() -> None:
    net = HybrIKNet('res34').eval()
    net.load_state_dict(seeded_state('res34'))
    fold_batch_norms(net)
    mean, most = half_shift_mm(net, 1)
    half = copy.deepcopy(net)
    for part in (half.preact, half.deconv_layers, half.final_layer):
        part.half()
    image = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 3, 256, 256))).half()
    with torch.no_grad():
        exact = net(image.float())['uvd']
        heatmaps = half.final_layer(half.deconv_layers(half.preact(image))).float()
        found = net.soft_argmax(heatmaps.reshape(-1, 64, 64, 64)).reshape(1, -1, 3)
    moved = 1000 * CUBE * (found - exact).norm(dim=-1)
    print(f'ResNet-34 in FP16, random weights: {moved.mean():.2f} mm, at most {moved.max():.2f}')
    assert mean == pytest.approx(moved.mean().item(), rel=0.4)
    assert mean < most < 10 * mean


def test_what_peaks_lose_by_logits_in_fp16() -> None:
    """Heatmaps as trained networks give them: a peak a few voxels wide above uneven ground."""
    rng = np.random.default_rng(0)
    voxels = np.stack(np.meshgrid(*3 * [np.arange(64)], indexing='ij'), -1)
    peaks = rng.uniform(8, 56, (29, 3))
    squared = ((voxels - peaks[:, None, None, None]) ** 2).sum(-1)
    logits = 25 * np.exp(-squared / (2 * 3**2)) + rng.normal(0, 1, squared.shape)
    logits = torch.from_numpy(logits.astype(np.float32))
    exact, found = (SoftArgmax(64)(volume) for volume in (logits, logits.half().float()))
    moved = 1000 * CUBE * (found - exact).norm(dim=-1)
    print(f'logits in FP16, peaks: {moved.mean():.2f} mm, at most {moved.max():.2f}')
    assert 0 < moved.max() < 0.3  # regression bound
