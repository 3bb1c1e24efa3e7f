"""FP16 for the convolutions of a model, FP32 for the rest: half the size, and fast on a GPU.

What a network concludes from what it convolved does not bear such rounding: a mean over the 64^3
voxels of a heatmap would cost millimetres to centimetres, and pixels would get steps of an eighth.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

_CONVOLUTIONS = {'Conv', 'ConvTranspose'}
# What goes on in FP16 after them, and which of the inputs may be FP16 then.
_FOLLOWING = {
    'Add': (0, 1), 'Clip': (0, 1, 2), 'MaxPool': (0,), 'Pad': (0, 2), 'Relu': (0,), 'Resize': (0,),
}  # fmt: skip
# What hands on what it gets.
_REARRANGING = {'Identity', 'Reshape', 'Transpose'}
_LARGEST = float(np.finfo(np.float16).max)


def halve(model: ModelProto) -> None:
    """Let a model convolve in FP16. Its inputs and outputs stay as they are.

    Convolutions that give an output themselves, such as coordinates, stay in FP32, too. A model
    that convolves in FP16 already is left as it is.

    Parameters
    ----------
    model: its batch norms folded; changed in place.

    Raises
    ------
    ValueError: a weight is too large for FP16, or the model branches or loops.
    """
    graph = model.graph
    if convolves_in_half(graph):
        return
    branching = [node for node in graph.node if any(a.HasField('g') for a in node.attribute)]
    if branching:
        raise ValueError(f'{branching[0].op_type} {branching[0].name!r} has a graph within')
    conclusions = _outputs_without_more(graph)
    halving = _Halving(graph)
    for node in list(graph.node):
        if node.op_type in _CONVOLUTIONS and node.output[0] not in conclusions:
            halving.convert(node, range(len(node.input)))
        elif halving.goes_on_with(node):
            halving.convert(node, _FOLLOWING[node.op_type])
        else:
            halving.keep(node)
    halving.finish()


def convolves_in_half(graph: GraphProto) -> bool:
    """Tell whether some of the weights that a graph convolves with are FP16."""
    halves = {
        weight.name for weight in graph.initializer if weight.data_type == TensorProto.FLOAT16
    }
    return any(node.op_type in _CONVOLUTIONS and node.input[1] in halves for node in graph.node)


def _outputs_without_more(graph: GraphProto) -> set[str]:
    """Return the outputs of a graph, and what is only rearranged to be one."""
    found = {output.name for output in graph.output}
    for node in reversed(graph.node):
        if node.op_type in _REARRANGING and node.output[0] in found:
            found.add(node.input[0])
    return found


class _Halving:
    """A graph of which node by node is put to FP16 or kept."""

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
        self._there: set[str] = set()  # what was FP16 and was put back to FP32
        for node in graph.node:  # Constants may be stored in FP16 already.
            if node.op_type == 'Cast' and self._is(node.input[0], TensorProto.FLOAT16):
                self._halved[node.output[0]] = node.input[0]
                self._there.add(node.output[0])

    def goes_on_with(self, node: NodeProto) -> bool:
        """Tell whether a node follows a convolution, and nothing else, in FP16."""
        if node.op_type not in _FOLLOWING:
            return False
        fed = [node.input[i] for i in _present(node, _FOLLOWING[node.op_type])]
        return any(name in self._halved for name in fed) and all(
            name in self._halved or self._is(name, TensorProto.FLOAT) for name in fed
        )

    def convert(self, node: NodeProto, inputs: Iterable[int]) -> None:
        """Let a node take these inputs, and give its outputs, in FP16."""
        for i in _present(node, inputs):
            node.input[i] = self._narrowed(node.input[i], is_bound=node.op_type == 'Clip' and i > 0)
        for i, name in enumerate(node.output):
            self._halved[name] = node.output[i] = f'{name}_fp16'
        self._nodes.append(node)

    def keep(self, node: NodeProto) -> None:
        """Let a node be as it was."""
        for name in node.input:
            self._widen(name)
        self._nodes.append(node)

    def finish(self) -> None:
        """Give the graph its new nodes, less the constants that nobody needs any more."""
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

    def _narrowed(self, name: str, is_bound: bool) -> str:
        """Return the name of the same in FP16. A bound that is out of range is none."""
        if self._is(name, TensorProto.FLOAT16):
            return name
        if name not in self._halved:
            # A constant of this node alone keeps its name.
            alone = name in self._constants and self._uses[name] == 1
            self._halved[name] = name if alone else f'{name}_fp16'
            if name in self._constants:
                rounded = _round(self._constants[name], is_bound)
                rounded.name = self._halved[name]
                self._constants[rounded.name] = rounded
            else:
                self._nodes.append(_cast(name, self._halved[name], TensorProto.FLOAT16))
                self._there.add(name)
        return self._halved[name]

    def _widen(self, name: str) -> None:
        """See to it that a name is there in FP32."""
        if name in self._halved and name not in self._there and name not in self._constants:
            self._nodes.append(_cast(self._halved[name], name, TensorProto.FLOAT))
            self._there.add(name)


def _present(node: NodeProto, inputs: Iterable[int]) -> Iterator[int]:
    """Yield those of the inputs that a node has: some may be left out."""
    return (i for i in inputs if i < len(node.input) and node.input[i])


def _cast(source: str, target: str, kind: int) -> NodeProto:
    return helper.make_node('Cast', [source], [target], name=f'{target}_cast', to=kind)


def _round(constant: TensorProto, is_bound: bool) -> TensorProto:
    """Return a constant in FP16."""
    value = numpy_helper.to_array(constant)
    if is_bound:
        value = value.clip(-_LARGEST, _LARGEST)
    with np.errstate(over='ignore'):
        rounded = value.astype(np.float16)
    if not np.isfinite(rounded).all():
        raise ValueError(f'{constant.name} is too large for FP16: use it in fp32')
    return numpy_helper.from_array(rounded, constant.name)
