"""Conversion of a model to mixed precision: convolutions in FP16, the remaining layers in FP32.

This halves the size of the model and is faster on a GPU. The layers after the last convolutions
need FP32: in FP16, the mean over the 64^3 voxels of a heatmap has an error of millimetres to
centimetres, and pixel coordinates have a resolution of an eighth of a pixel.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

_CONVOLUTIONS = {'Conv', 'ConvTranspose'}
# Operators that stay in FP16 after a convolution, and the indices of their convertible inputs.
_FOLLOWING = {
    'Add': (0, 1), 'Clip': (0, 1, 2), 'MaxPool': (0,), 'Pad': (0, 2), 'Relu': (0,), 'Resize': (0,),
}  # fmt: skip
# Operators that do not change values.
_REARRANGING = {'Identity', 'Reshape', 'Transpose'}
_MAX_FP16 = float(np.finfo(np.float16).max)


def halve(model: ModelProto) -> None:
    """Convert the convolutions of a model to FP16; the types of its inputs and outputs remain.

    Convolutions that compute an output of the model directly, such as coordinates, stay in FP32. A
    model with FP16 convolutions is not changed.

    Parameters
    ----------
    model : ModelProto
        Model with folded batch norms; changed in place.

    Raises
    ------
    ValueError
        A weight is too large for FP16, or the model has a branch or a loop.
    """
    graph = model.graph
    if convolves_in_half(graph):
        return
    branching = [node for node in graph.node if any(a.HasField('g') for a in node.attribute)]
    if branching:
        raise ValueError(
            f'{branching[0].op_type} {branching[0].name!r} contains a subgraph, which cannot be '
            f'converted to FP16: use the model in fp32'
        )
    outputs = _find_outputs(graph)
    conversion = _Conversion(graph)
    for node in list(graph.node):
        if node.op_type in _CONVOLUTIONS and node.output[0] not in outputs:
            conversion.convert(node, range(len(node.input)))
        elif conversion.can_follow(node):
            conversion.convert(node, _FOLLOWING[node.op_type])
        else:
            conversion.keep(node)
    conversion.finish()


def convolves_in_half(graph: GraphProto) -> bool:
    """Return whether any convolution of a graph has FP16 weights."""
    halves = {
        weight.name for weight in graph.initializer if weight.data_type == TensorProto.FLOAT16
    }
    return any(node.op_type in _CONVOLUTIONS and node.input[1] in halves for node in graph.node)


def _find_outputs(graph: GraphProto) -> set[str]:
    """Return the names of the outputs and of tensors that are only rearranged into outputs."""
    found = {output.name for output in graph.output}
    for node in reversed(graph.node):
        if node.op_type in _REARRANGING and node.output[0] in found:
            found.add(node.input[0])
    return found


class _Conversion:
    """Conversion of a graph, node by node in topological order."""

    def __init__(self, graph: GraphProto) -> None:
        self._graph = graph
        given = {value.name for value in graph.input}  # Initializers may be inputs with defaults.
        self._constants = {
            constant.name: constant for constant in graph.initializer if constant.name not in given
        }
        self._others = [one for one in graph.initializer if one.name in given]
        self._uses = Counter(name for node in graph.node for name in node.input)
        self._uses.update(output.name for output in graph.output)
        self._halved: dict[str, str] = {}  # names of FP16, by those of FP32
        self._nodes: list[NodeProto] = []
        self._widened: set[str] = set()  # FP32 names of FP16 tensors that also exist in FP32
        for node in graph.node:  # Constants may be stored in FP16 already.
            if node.op_type == 'Cast' and self._is(node.input[0], TensorProto.FLOAT16):
                self._halved[node.output[0]] = node.input[0]
                self._widened.add(node.output[0])

    def can_follow(self, node: NodeProto) -> bool:
        """Return whether a node has only FP16 tensors and constants as convertible inputs."""
        if node.op_type not in _FOLLOWING:
            return False
        fed = [node.input[i] for i in _present(node, _FOLLOWING[node.op_type])]
        return any(name in self._halved for name in fed) and all(
            name in self._halved or self._is(name, TensorProto.FLOAT) for name in fed
        )

    def convert(self, node: NodeProto, inputs: Iterable[int]) -> None:
        """Convert these inputs and all outputs of a node to FP16."""
        for i in _present(node, inputs):
            node.input[i] = self._narrow(node.input[i], is_bound=node.op_type == 'Clip' and i > 0)
        for i, name in enumerate(node.output):
            self._halved[name] = node.output[i] = f'{name}_fp16'
        self._nodes.append(node)

    def keep(self, node: NodeProto) -> None:
        """Keep a node in FP32."""
        for name in node.input:
            self._widen(name)
        self._nodes.append(node)

    def finish(self) -> None:
        """Replace the nodes and constants of the graph; leave out those that are unused."""
        for output in self._graph.output:
            self._widen(output.name)
        used = {name for node in self._nodes for name in node.input}
        used |= {output.name for output in self._graph.output}
        nodes = [node for node in self._nodes if used.intersection(node.output)]
        used = {name for node in nodes for name in node.input}
        used |= {output.name for output in self._graph.output}
        constants = [self._constants[name] for name in self._constants if name in used]
        constants += self._others
        del self._graph.node[:], self._graph.initializer[:]
        self._graph.node.extend(nodes)
        self._graph.initializer.extend(constants)

    def _is(self, name: str, kind: int) -> bool:
        return name in self._constants and self._constants[name].data_type == kind

    def _narrow(self, name: str, is_bound: bool) -> str:
        """Return the name of a tensor in FP16, which is added if missing; bounds are clipped."""
        if self._is(name, TensorProto.FLOAT16):
            return name
        if name not in self._halved:
            # A constant that only this node uses keeps its name.
            alone = name in self._constants and self._uses[name] == 1
            self._halved[name] = name if alone else f'{name}_fp16'
            if name in self._constants:
                rounded = _round(self._constants[name], is_bound)
                rounded.name = self._halved[name]
                self._constants[rounded.name] = rounded
            else:
                self._nodes.append(_cast(name, self._halved[name], TensorProto.FLOAT16))
                self._widened.add(name)
        return self._halved[name]

    def _widen(self, name: str) -> None:
        """Add a cast of a tensor to FP32, if it exists in FP16 only."""
        if name in self._halved and name not in self._widened and name not in self._constants:
            self._nodes.append(_cast(self._halved[name], name, TensorProto.FLOAT))
            self._widened.add(name)


def _present(node: NodeProto, inputs: Iterable[int]) -> Iterator[int]:
    """Return those of the input indices that a node has: optional inputs may be missing."""
    return (i for i in inputs if i < len(node.input) and node.input[i])


def _cast(source: str, target: str, kind: int) -> NodeProto:
    return helper.make_node('Cast', [source], [target], name=f'{target}_cast', to=kind)


def _round(constant: TensorProto, is_bound: bool) -> TensorProto:
    """Return a constant in FP16; clip it to the range of FP16 if it is a bound."""
    value = numpy_helper.to_array(constant)
    if is_bound:
        value = value.clip(-_MAX_FP16, _MAX_FP16)
    with np.errstate(over='ignore'):
        rounded = value.astype(np.float16)
    if not np.isfinite(rounded).all():
        raise ValueError(f'{constant.name} is too large for FP16: use the model in fp32')
    return numpy_helper.from_array(rounded, constant.name)
