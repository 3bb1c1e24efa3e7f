"""`hybrik export`: what it writes, what it refuses to write, and what it says."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from networks import DATA, golden_image, seeded_state, write_checkpoint
from numpy.typing import NDArray

from hybrik_ros.cli import main
from hybrik_ros.inference.half import halve
from hybrik_ros.network import HybrIKNet
from hybrik_ros.network.folding import fold_batch_norms
from hybrik_ros.network.onnx_graph import to_onnx
from hybrik_ros.network.verification import VerificationError, check_operators, compare

CUBE_MM = 2200
OUTPUTS = {'uvd': (29, 3), 'shape': (10,), 'phi': (23, 2), 'cam': (3,), 'sigma': (29,)}
BLACK = -torch.tensor([0.406, 0.457, 0.480]) / torch.tensor([0.225, 0.224, 0.229])
MODELS = ['fp32', 'fp16']


def golden_net(architecture: str, **changes: torch.Tensor) -> HybrIKNet:
    net = HybrIKNet(architecture).eval()
    net.load_state_dict({**seeded_state(architecture), **changes})
    return net


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp('export'))


@pytest.fixture(scope='module')
def fp32(checkpoint: Path) -> Path:
    path = checkpoint.with_name('fp32.onnx')
    assert main(['export', str(checkpoint), '-o', str(path)]) == 0
    return path


@pytest.fixture(scope='module')
def fp16(checkpoint: Path) -> Path:
    path = checkpoint.with_name('fp16.onnx')
    options = ['--precision', 'fp16', '--batch', '2']
    assert main(['export', str(checkpoint), '-o', str(path), *options]) == 0
    return path


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> onnx.ModelProto:
    return onnx.load(request.getfixturevalue(request.param))


def infer(model: onnx.ModelProto, images: torch.Tensor) -> dict[str, NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=['CPUExecutionProvider']
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {'image': images.numpy()}), strict=True))


def joint_mm(outputs: Mapping[str, NDArray], wanted: Mapping[str, torch.Tensor]) -> float:
    distances = np.linalg.norm(outputs['uvd'] - wanted['uvd'].numpy(), axis=-1)
    return CUBE_MM * float(distances.max())


def run(net: HybrIKNet, images: torch.Tensor) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return net(images)


def assert_agree(outputs: Mapping[str, NDArray], wanted: Mapping[str, torch.Tensor]) -> None:
    """Assert that ONNX Runtime puts joints where torch does, to the 0.01 mm that we promise."""
    assert joint_mm(outputs, wanted) <= 0.01
    for name, value in wanted.items():
        np.testing.assert_allclose(outputs[name], value, rtol=0, atol=1e-4, err_msg=name)


def test_model_is_valid_and_of_opset_17(model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [('', 17)]


@pytest.mark.parametrize(('name', 'batch'), [('fp32', 1), ('fp16', 2)])
def test_shapes_are_static(request: pytest.FixtureRequest, name: str, batch: int) -> None:
    graph = onnx.load(request.getfixturevalue(name)).graph
    shapes = {
        value.name: tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
        for value in [*graph.input, *graph.output]
    }
    outputs = {name: (batch, *shape) for name, shape in OUTPUTS.items()}
    assert shapes == {'image': (batch, 3, 256, 256), **outputs}


def assert_every_tensorrt_has_the_operators(model: onnx.ModelProto) -> None:
    operators = {node.op_type for node in model.graph.node}
    supported = json.loads((DATA / 'tensorrt_operators.json').read_text())
    for version in ('8.5', '8.6', '10.1'):
        assert operators <= set(supported[version]), version


def test_every_tensorrt_has_the_operators(model: onnx.ModelProto) -> None:
    assert_every_tensorrt_has_the_operators(model)


def test_model_says_what_it_was_made_of(checkpoint: Path, fp16: Path) -> None:
    properties = {entry.key: entry.value for entry in onnx.load(fp16).metadata_props}
    assert properties['architecture'] == 'res34'
    assert properties['precision'] == 'fp16'
    assert properties['source_sha256'] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert (properties['torch'], properties['onnx']) == (torch.__version__, onnx.__version__)


@pytest.mark.parametrize(
    'image',
    [golden_image(1), BLACK[None, :, None, None].expand(1, 3, 256, 256)],
    ids=['noise', 'black'],
)
def test_onnx_runtime_agrees_with_torch(fp32: Path, image: torch.Tensor) -> None:
    assert_agree(infer(onnx.load(fp32), image), run(golden_net('res34'), image))


def test_onnx_runtime_agrees_with_torch_on_bones_of_no_length(fp32: Path) -> None:
    model = onnx.load(fp32)
    scale(model, 'final_layer.weight', 0)
    scale(model, 'final_layer.bias', 0)
    silent = {
        'final_layer.weight': torch.zeros(1856, 256, 1, 1),
        'final_layer.bias': torch.zeros(1856),
    }
    outputs = infer(model, golden_image(1))
    assert_agree(outputs, run(golden_net('res34', **silent), golden_image(1)))
    # The mean of 0/64 to 63/64, less 1/2.
    np.testing.assert_allclose(outputs['uvd'], -1 / 128, rtol=0, atol=1e-6)


def test_onnx_runtime_agrees_with_torch_on_hrnet() -> None:
    name = 'preact.final_layer.weight'
    # Random weights give logits of thousands, which enlarge every rounding; these some dozens.
    net = golden_net('hrw48', **{name: seeded_state('hrw48')[name] / 400})
    wanted = run(net, golden_image(1))
    fold_batch_norms(net)
    model = to_onnx(net, batch=1)
    assert_every_tensorrt_has_the_operators(model)
    assert_agree(infer(model, golden_image(1)), wanted)


def test_fp16_ends_at_the_heatmaps(fp16: Path) -> None:
    graph = onnx.shape_inference.infer_shapes(onnx.load(fp16)).graph
    values = [*graph.value_info, *graph.output]
    kinds = {value.name: value.type.tensor_type.elem_type for value in values}
    by_operator: dict[str, set[int]] = {}
    for node in graph.node:
        by_operator.setdefault(node.op_type, set()).update(kinds[name] for name in node.output)
    half, single = {onnx.TensorProto.FLOAT16}, {onnx.TensorProto.FLOAT}
    assert by_operator['Conv'] == by_operator['ConvTranspose'] == half
    assert by_operator['Softmax'] == by_operator['ReduceMean'] == by_operator['MatMul'] == single
    assert by_operator['Gemm'] == single


def test_fp16_is_half_as_large_and_nearly_as_good(fp16: Path, fp32: Path) -> None:
    assert fp16.stat().st_size == pytest.approx(fp32.stat().st_size / 2, rel=0.1)
    wanted = run(golden_net('res34'), golden_image(2))
    # Of 11 bits, in 40 layers: some thousandths.
    assert 0 < joint_mm(infer(onnx.load(fp16), golden_image(2)), wanted) < 0.005 * CUBE_MM


def test_weight_beyond_fp16_is_named() -> None:
    image, output = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 1, 2, 2])
        for name in ('image', 'maps')
    )
    weight = onnx.numpy_helper.from_array(np.full((1, 1, 1, 1), 1e5, np.float32), 'stem.weight')
    nodes = [
        onnx.helper.make_node('Conv', ['image', 'stem.weight'], ['stem']),
        onnx.helper.make_node('Relu', ['stem'], ['maps']),
    ]
    graph = onnx.helper.make_graph(nodes, 'large', [image], [output], [weight])
    with pytest.raises(ValueError, match=r'stem\.weight is too large for FP16'):
        halve(onnx.helper.make_model(graph))


def scale(model: onnx.ModelProto, name: str, factor: float) -> None:
    """Multiply a weight of a model."""
    (weight,) = (weight for weight in model.graph.initializer if weight.name == name)
    values = np.float32(factor) * onnx.numpy_helper.to_array(weight)
    weight.CopyFrom(onnx.numpy_helper.from_array(values, name))


def test_wrong_model_is_found(fp32: Path) -> None:
    model = onnx.load(fp32)
    scale(model, 'preact.conv1.weight', 1.001)
    with pytest.raises(VerificationError, match=r'for noise, .* differ by .* mm at the joints'):
        compare(model, golden_net('res34'), batch=1)


def test_sharp_heatmaps_may_round_more(fp32: Path) -> None:
    name, model = 'final_layer.weight', onnx.load(fp32)
    scale(model, name, 100)
    sharp = golden_net('res34', **{name: 100 * seeded_state('res34')[name]})
    differences = compare(model, sharp, batch=1)
    assert max(difference.joint_mm for difference in differences.values()) > 0.01
    assert differences['coincident joints'].max_joint_mm == 0.01


def test_operator_that_tensorrt_lacks_is_named() -> None:
    matrix = onnx.helper.make_tensor_value_info('matrix', onnx.TensorProto.FLOAT, [2, 2])
    number = onnx.helper.make_tensor_value_info('number', onnx.TensorProto.FLOAT, [])
    node = onnx.helper.make_node('Det', ['matrix'], ['number'])
    graph = onnx.helper.make_graph([node], 'determinant', [matrix], [number])
    opset = onnx.helper.make_opsetid('', 17)
    with pytest.raises(VerificationError, match='Det'):
        check_operators(onnx.helper.make_model(graph, opset_imports=[opset]))


def test_unproven_model_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sick, output = tmp_path / 'sick.pth', tmp_path / 'hybrik.onnx'
    torch.save({**seeded_state('res34'), 'decsigma.bias': torch.full((29,), torch.nan)}, sick)
    output.write_text('older')
    assert main(['export', str(sick), '-o', str(output)]) == 1
    assert 'nothing was written' in capsys.readouterr().err
    assert output.read_text() == 'older'
    assert set(tmp_path.iterdir()) == {sick, output}


def test_output_is_all_that_is_left(checkpoint: Path, fp32: Path, fp16: Path) -> None:
    assert set(checkpoint.parent.iterdir()) == {checkpoint, fp32, fp16}


@pytest.mark.parametrize('arguments', [[], ['nowhere.pth']])
def test_without_checkpoint_it_says_where_to_get_one(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['export', *arguments]) == 1
    said = capsys.readouterr().err
    for word in (*arguments, 'https://github.com/Jeff-sjtu/HybrIK', 'MIT', 'non-commercial'):
        assert word in said


@pytest.mark.parametrize(
    ('arguments', 'reason'),
    [
        (['-o', 'hybrik.pth'], 'must be named .onnx, not hybrik.pth'),
        (['-o', 'nowhere/hybrik.onnx'], 'no folder nowhere'),
        (['--batch', '0'], 'at least 1, not 0'),
    ],
)
def test_wrong_argument_is_named(
    checkpoint: Path, arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['export', str(checkpoint), *arguments]) == 1
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize('missing', ['torch', 'onnx'])
def test_missing_package_is_named(checkpoint: Path, missing: str) -> None:
    code = f'import sys; sys.modules[{missing!r}] = None\nfrom hybrik_ros.cli import main\n'
    code += f'sys.exit(main(["export", {str(checkpoint)!r}]))'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 1
    assert f'{missing} is not installed: ' in done.stderr
    assert 'pip install torch onnx' in done.stderr
