"""Builder of an ONNX graph that tracks the layout of image tensors.

TensorFlow stores images as (batch, height, width, channels), channels last; ONNX's convolutions
take (batch, channels, height, width), channels first. The builder records the layouts in which a
tensor of the source network exists, and transposes it only if a node needs the other layout. A
chain of convolutions needs no transposition.
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
    """Nodes and constants of an ONNX graph, and its tensors by the names of the source network.

    Attributes
    ----------
    channels_last, channels_first : dict
        Names of tensors in the graph, by their names in the source network. Tensors other than
        images are in channels_last.
    """

    def __init__(self) -> None:
        self.channels_last: dict[str, str] = {}
        self.channels_first: dict[str, str] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def last(self, source: str) -> str:
        """Return the channels-last name of a source tensor; transpose it if necessary."""
        if source not in self.channels_last:
            picture = self.channels_first[source]
            self.channels_last[source] = self.add('Transpose', picture, perm=[0, 2, 3, 1])
        return self.channels_last[source]

    def first(self, source: str) -> str:
        """Return the channels-first name of a source image; transpose it if necessary."""
        if source not in self.channels_first:
            picture = self.channels_last[source]
            self.channels_first[source] = self.add('Transpose', picture, perm=[0, 3, 1, 2])
        return self.channels_first[source]

    def elementwise(self, operator: str, source: str, *inputs: str, **attributes: Any) -> None:
        """Add an elementwise node for a source tensor, in a layout that all inputs exist in.

        Parameters
        ----------
        operator : str
            ONNX operator.
        source : str
            Name of the output in the source network.
        *inputs : str
            Names of the inputs in the source network.
        **attributes
            Attributes of the node.
        """
        is_first = all(name in self.channels_first for name in inputs)
        layout, get = (
            (self.channels_first, self.first) if is_first else (self.channels_last, self.last)
        )
        layout[source] = self.add(operator, *map(get, inputs), **attributes)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output; return the name of the output."""
        return self.add_many(operator, 1, *inputs, **attributes)[0]

    def add_many(self, operator: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node with several outputs; return their names."""
        outputs = [f'{operator}_{len(self._nodes)}_{i}' for i in range(count)]
        self._nodes.append(helper.make_node(operator, inputs, outputs, **attributes))
        return outputs

    def constant(self, values: ArrayLike, dtype: DTypeLike) -> str:
        """Add a constant; return its name."""
        name = f'constant_{len(self._constants)}'
        self._constants[name] = numpy_helper.from_array(np.asarray(values, dtype, order='C'), name)
        return name

    def indices(self, *values: int) -> str:
        """Add a constant list of axes, sizes or positions, int64; return its name."""
        return self.constant(values, np.int64)

    def weights(self, values: NDArray[Any]) -> str:
        """Add weights in half precision; return their name after a cast to single precision.

        Parameters
        ----------
        values : ndarray
            The weights.

        Returns
        -------
        str
            Name of the tensor in single precision.

        Raises
        ------
        ValueError
            Half precision would change the weights.
        """
        half = values.astype(np.float16)
        if not np.array_equal(half, values):
            raise ValueError('half precision would change the weights: store them as float32')
        return self.add('Cast', self.constant(half, np.float16), to=TensorProto.FLOAT)

    def convolution(
        self,
        picture: str,
        kernel: NDArray[Any],
        bias: NDArray[Any] | None,
        strides: Sequence[int],
        padding: str,
    ) -> str:
        """Add a convolution.

        Parameters
        ----------
        picture : str
            Name of the image, channels first.
        kernel : ndarray
            Kernel (outputs, inputs, height, width); if it has one input, the convolution is
            depthwise.
        bias : ndarray, optional
            Bias (outputs).
        strides : sequence of int
            Vertical and horizontal stride.
        padding : str
            'SAME' or 'VALID'.

        Returns
        -------
        str
            Name of the output, channels first.
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
        """Add an activation.

        Parameters
        ----------
        tensor : str
            Name of the input.
        name : str
            TensorFlow's name of the activation.

        Returns
        -------
        str
            Name of the output.

        Raises
        ------
        NotImplementedError
            The activation is not supported.
        """
        if name == 'NONE':
            return tensor
        if name == 'RELU':
            return self.add('Relu', tensor)
        if name == 'RELU6':
            low, high = self.constant(0, np.float32), self.constant(6, np.float32)
            return self.add('Clip', tensor, low, high)
        raise NotImplementedError(f'the activation {name} is not supported')

    def max_pool(
        self, picture: str, size: Sequence[int], strides: Sequence[int], padding: str
    ) -> str:
        """Add a maximum pooling; parameters as for `convolution`."""
        pads = _pads(padding, size, strides)
        return self.add('MaxPool', picture, kernel_shape=size, strides=strides, pads=pads)

    def enlarge(self, picture: str, height: float, width: float) -> str:
        """Add a bilinear upsampling by factors, with half-pixel centres; return its output."""
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
        """Return the model, without nodes that do not contribute to its outputs.

        Parameters
        ----------
        name : str
            Name of the graph.
        inputs : sequence of ValueInfoProto
            Inputs of the model.
        outputs : dict
            Outputs of the model, by their names in the source network.

        Returns
        -------
        ModelProto
            The model.
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
    """Return the padding at the top, left, bottom and right.

    SAME assumes sizes that are multiples of the strides. This holds in both networks, since the
    sides of their inputs are multiples of 32.
    """
    if padding == 'VALID':
        return [0, 0, 0, 0]
    total = [max(n - stride, 0) for n, stride in zip(size, strides, strict=True)]
    return [n // 2 for n in total] + [n - n // 2 for n in total]
