"""FP16 up to the heatmaps, FP32 after: half the size, and what makes a GPU fast.

A mean over the 64^3 voxels of a heatmap does not bear such rounding, which would cost it
millimetres to centimetres. The logits themselves do.
"""

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import nn

_CONVOLUTIONS = {'Conv', 'ConvTranspose'}
# What leads to the heatmaps. The first other operator, and all that follows, is left in FP32.
_HALVED = _CONVOLUTIONS | {'Add', 'MaxPool', 'Relu', 'Resize'}


def halve(model: ModelProto) -> None:
    """Let a model convolve its image in FP16. Input and outputs stay FP32.

    Parameters
    ----------
    model: FP32, its batch norms folded; changed in place.

    Raises
    ------
    ValueError: a weight is too large for FP16.
    """
    graph = model.graph
    weights = {weight.name: weight for weight in graph.initializer}
    image = graph.input[0].name
    halved = {image: f'{image}_fp16'}  # names of FP16, by those of FP32
    widened = {image}  # those that are there in FP32, too
    nodes = [_cast(image, halved[image], TensorProto.FLOAT16)]
    for node in graph.node:
        if node.op_type in _HALVED and node.input[0] in halved:
            if node.op_type in _CONVOLUTIONS:
                for name in node.input[1:]:
                    _round(weights[name])
            halved.update({name: f'{name}_fp16' for name in node.output})
            _rename(node, halved)
        else:
            for name in node.input:
                if name in halved and name not in widened:
                    nodes.append(_cast(halved[name], name, TensorProto.FLOAT))
                    widened.add(name)
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def round_weights(net: nn.Module) -> None:
    """Round the weights of a network, in place, as halve() rounds them in its model."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            for weight in module.parameters():
                weight.data = weight.data.half().float()


def _cast(source: str, target: str, kind: int) -> NodeProto:
    return helper.make_node('Cast', [source], [target], name=f'{target}_cast', to=kind)


def _rename(node: NodeProto, names: dict[str, str]) -> None:
    node.input[:] = [names.get(name, name) for name in node.input]
    node.output[:] = [names.get(name, name) for name in node.output]


def _round(weight: TensorProto) -> None:
    with np.errstate(over='ignore'):
        rounded = numpy_helper.to_array(weight).astype(np.float16)
    if not np.isfinite(rounded).all():
        raise ValueError(f'{weight.name} is too large for FP16: export it as fp32')
    weight.CopyFrom(numpy_helper.from_array(rounded, weight.name))
