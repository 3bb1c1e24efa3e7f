"""An ONNX graph under construction, and the layouts of the pictures in it.

TensorFlow keeps pictures as (batch, height, width, channels), which is called channels last here;
ONNX's convolutions want (batch, channels, height, width), channels first. A graph knows in which
of the two it holds a tensor of the source network, and transposes it only for a node that wants
the other one: within a chain of convolutions there is nothing to transpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, DTypeLike, NDArray
from onnx import TensorProto, helper, numpy_helper

_OPSET = 13
_IR_VERSION = 8


class Graph:
    """Nodes, constants, and which of the nodes' outputs are which tensors of the source.

    Attributes
    ----------
    channels_last, channels_first : dict
        Names of the graph's tensors by the names of the source's. A tensor that is no picture is
        channels last.
    """

    def __init__(self) -> None:
        self.channels_last: dict[str, str] = {}
        self.channels_first: dict[str, str] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def last(self, source: str) -> str:
        """Give a tensor of the source channels last."""
        if source not in self.channels_last:
            picture = self.channels_first[source]
            self.channels_last[source] = self.add('Transpose', picture, perm=[0, 2, 3, 1])
        return self.channels_last[source]

    def first(self, source: str) -> str:
        """Give a picture of the source channels first."""
        if source not in self.channels_first:
            picture = self.channels_last[source]
            self.channels_first[source] = self.add('Transpose', picture, perm=[0, 3, 1, 2])
        return self.channels_first[source]

    def elementwise(self, operator: str, source: str, *inputs: str, **attributes: Any) -> None:
        """Make a tensor of the source from others, in the layout that they are all at hand in."""
        pictures = all(name in self.channels_first for name in inputs)
        layout, get = (
            (self.channels_first, self.first) if pictures else (self.channels_last, self.last)
        )
        layout[source] = self.add(operator, *map(get, inputs), **attributes)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Append a node with one output and return the output's name."""
        return self.add_many(operator, 1, *inputs, **attributes)[0]

    def add_many(self, operator: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """Append a node with several outputs and return their names."""
        outputs = [f'{operator}_{len(self._nodes)}_{i}' for i in range(count)]
        self._nodes.append(helper.make_node(operator, inputs, outputs, **attributes))
        return outputs

    def constant(self, values: ArrayLike, dtype: DTypeLike) -> str:
        """Store a constant and return its name."""
        name = f'constant_{len(self._constants)}'
        self._constants[name] = numpy_helper.from_array(np.asarray(values, dtype, order='C'), name)
        return name

    def indices(self, *values: int) -> str:
        """Store a list of axes, sizes or positions and return its name."""
        return self.constant(values, np.int64)

    def weights(self, values: NDArray[Any]) -> str:
        """Store weights in half precision and return the name of them in single precision.

        Raises
        ------
        ValueError
            If half precision would change them.
        """
        half = values.astype(np.float16)
        if not np.array_equal(half, values):
            raise ValueError('the weights do not fit into half precision')
        return self.add('Cast', self.constant(half, np.float16), to=TensorProto.FLOAT)

    def convolution(
        self,
        picture: str,
        kernel: NDArray[Any],
        bias: NDArray[Any] | None,
        strides: Sequence[int],
        padding: str,
    ) -> str:
        """Convolve a picture.

        kernel is (outputs, inputs, height, width). With a single input, every channel of the
        picture is convolved by itself.
        """
        outputs, inputs, *size = kernel.shape
        return self.add(
            'Conv',
            picture,
            *(self.weights(values) for values in (kernel, bias) if values is not None),
            kernel_shape=size,
            strides=strides,
            pads=_pads(padding, size, strides),
            group=outputs if inputs == 1 else 1,
        )

    def activation(self, tensor: str, name: str) -> str:
        """Apply an activation by TensorFlow's name for it.

        Raises
        ------
        NotImplementedError
            If the activation is none of those that the networks use.
        """
        if name == 'NONE':
            return tensor
        if name == 'RELU':
            return self.add('Relu', tensor)
        if name == 'RELU6':
            low, high = self.constant(0, np.float32), self.constant(6, np.float32)
            return self.add('Clip', tensor, low, high)
        raise NotImplementedError(f'the activation {name} is not translated')

    def max_pool(
        self, picture: str, size: Sequence[int], strides: Sequence[int], padding: str
    ) -> str:
        """Take the maximum over windows of a picture."""
        pads = _pads(padding, size, strides)
        return self.add('MaxPool', picture, kernel_shape=size, strides=strides, pads=pads)

    def enlarge(self, picture: str, height: float, width: float) -> str:
        """Enlarge a picture by factors, bilinearly, about the centres of its pixels."""
        scales = self.constant([1, 1, height, width], np.float32)
        return self.add(
            'Resize',
            picture,
            '',
            scales,
            mode='linear',
            coordinate_transformation_mode='half_pixel',
        )

    def model(
        self,
        name: str,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: dict[str, onnx.ValueInfoProto],
    ) -> onnx.ModelProto:
        """Finish the model with the outputs given by the source's names for them.

        Nodes that no output needs are left out.
        """
        for source, output in outputs.items():
            self._nodes.append(helper.make_node('Identity', [self.last(source)], [output.name]))
        needed = {output.name for output in outputs.values()}
        nodes = []
        for node in reversed(self._nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                nodes.append(node)
        constants = [tensor for key, tensor in self._constants.items() if key in needed]
        return helper.make_model(
            helper.make_graph(nodes[::-1], name, inputs, list(outputs.values()), constants),
            opset_imports=[helper.make_opsetid('', _OPSET)],
            ir_version=_IR_VERSION,
        )


def _pads(padding: str, size: Sequence[int], strides: Sequence[int]) -> list[int]:
    """Padding at the top, left, bottom and right.

    SAME is for pictures that the strides divide, as they do everywhere in the networks, whose
    inputs' sides are multiples of 32.
    """
    if padding == 'VALID':
        return [0, 0, 0, 0]
    total = [max(n - stride, 0) for n, stride in zip(size, strides, strict=True)]
    return [n // 2 for n in total] + [n - n // 2 for n in total]
