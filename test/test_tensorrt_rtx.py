"""Our models in NVIDIA's own builder, without a GPU: parsed, typed and built, but never run.

TensorRT-RTX compiles for a compute capability that it is told, here 8.6. Its interface is that of
TensorRT 11. That it builds a model does not show that TensorRT builds it for a Jetson; that it
refuses one shows a fault.
"""

import platform
from pathlib import Path

import numpy as np
import onnx
import pytest
from networks import seeded_state
from onnx import TensorProto, helper

from hybrik_ros.inference import tensorrt_engine
from hybrik_ros.inference.half import halve
from hybrik_ros.inference.runner import SIDE
from hybrik_ros.network import HybrIKNet
from hybrik_ros.network.folding import fold_batch_norms
from hybrik_ros.network.onnx_graph import to_onnx
from hybrik_ros.perception import blazepose, detector

if platform.machine() != 'x86_64':
    pytest.skip('NVIDIA has TensorRT-RTX for x86_64 only', allow_module_level=True)
import tensorrt_rtx


def built(model: bytes, precision: str) -> int:
    """Build an engine for compute capability 8.6; return the size of its plan."""
    builder = tensorrt_rtx.Builder(tensorrt_engine.logger(tensorrt_rtx))
    network = tensorrt_engine.parse(tensorrt_rtx, builder, model, SIDE)
    config = tensorrt_engine.configure(tensorrt_rtx, builder, network, precision)
    config.num_compute_capabilities = 1
    assert config.set_compute_capability(tensorrt_rtx.ComputeCapability.SM86, 0)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise RuntimeError(tensorrt_engine.last_errors())
    return plan.nbytes


def exported(architecture: str) -> bytes:
    net = HybrIKNet(architecture).eval()
    net.load_state_dict(seeded_state(architecture))
    fold_batch_norms(net)
    return to_onnx(net, batch=1).SerializeToString()


@pytest.mark.parametrize(
    'model',
    [blazepose.MODEL, detector.MODEL, 'res34', 'hrw48'],
    ids=['BlazePose', 'MoveNet', 'ResNet-34', 'HRNet-W48'],
)
def test_our_models_build_in_both_precisions(model: Path | str) -> None:
    whole = model.read_bytes() if isinstance(model, Path) else exported(model)
    half = onnx.load_from_string(whole)
    halve(half)
    sizes = built(whole, 'fp32'), built(half.SerializeToString(), 'fp16')
    assert sizes[1] < 0.6 * sizes[0]


@pytest.mark.parametrize('precision', ['fp32', 'fp16'])
def test_a_model_of_the_other_precision_is_refused(precision: str) -> None:
    model = onnx.load(detector.MODEL)
    if precision == 'fp32':
        halve(model)
    with pytest.raises(RuntimeError, match='which this version of TensorRT does not change'):
        built(model.SerializeToString(), precision)


def test_what_tensorrt_cannot_is_refused() -> None:
    """The control: bytes are no numbers to it until they are cast."""
    image = helper.make_tensor_value_info('image', TensorProto.UINT8, [1, 4, 4, 3])
    maps = helper.make_tensor_value_info('maps', TensorProto.FLOAT, [1, 3, 4, 4])
    turn = {'perm': [0, 3, 1, 2]}
    good = [
        helper.make_node('Cast', ['image'], ['numbers'], to=TensorProto.FLOAT),
        helper.make_node('Transpose', ['numbers'], ['maps'], **turn),
    ]
    bad = [
        helper.make_node('Transpose', ['image'], ['turned'], **turn),
        helper.make_node('Cast', ['turned'], ['maps'], to=TensorProto.FLOAT),
    ]

    def build(nodes: list[onnx.NodeProto]) -> int:
        model = helper.make_model(
            helper.make_graph(nodes, 'turn', [image], [maps]),
            opset_imports=[helper.make_opsetid('', 17)],
            ir_version=8,
        )
        return built(model.SerializeToString(), 'fp32')

    assert build(good) > 0
    with pytest.raises(RuntimeError):
        build(bad)


def test_inputs_and_outputs_are_those_of_the_model() -> None:
    builder = tensorrt_rtx.Builder(tensorrt_engine.logger(tensorrt_rtx))
    network = tensorrt_engine.parse(tensorrt_rtx, builder, blazepose.MODEL.read_bytes(), SIDE)
    names = {network.get_output(i).name for i in range(network.num_outputs)}
    assert names == {output.name for output in onnx.load(blazepose.MODEL).graph.output}
    assert np.array_equal(network.get_input(0).shape, [-1, 256, 256, 3])
