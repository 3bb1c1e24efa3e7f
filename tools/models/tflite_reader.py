"""Conversion of TensorFlow Lite networks to ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import tflite
from numpy.typing import NDArray
from onnx import TensorProto, helper

from .graph import Graph

_TYPES = {
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.INT32: np.int32,
}


def convert(network: bytes, outputs: Sequence[str]) -> onnx.ModelProto:
    """Convert a network, with a dynamic batch size.

    Parameters
    ----------
    network : bytes
        Content of the .tflite file.
    outputs : sequence of str
        Names of the outputs to keep.

    Returns
    -------
    ModelProto
        The model.

    Raises
    ------
    NotImplementedError
        The network has an operator that is not supported.
    """
    return _Reader(network).convert(outputs)


class _Reader:
    """Converter of a network, with a method for each operator.

    These methods take the inputs and the output of the operator as tensor indices.
    """

    def __init__(self, network: bytes) -> None:
        self._model = tflite.Model.GetRootAs(network, 0)
        self._subgraph = self._model.Subgraphs(0)
        tensors = [self._subgraph.Tensors(i) for i in range(self._subgraph.TensorsLength())]
        self._names = [tensor.Name().decode() for tensor in tensors]
        self._shapes = [tensor.ShapeAsNumpy().tolist() for tensor in tensors]
        self._constants: dict[int, NDArray[Any]] = {}
        for i, tensor in enumerate(tensors):
            buffer = self._model.Buffers(tensor.Buffer())
            if buffer.DataLength():
                values = np.frombuffer(buffer.DataAsNumpy(), _TYPES[tensor.Type()])
                self._constants[i] = values.reshape(self._shapes[i])
        self._graph = Graph()

    def convert(self, outputs: Sequence[str]) -> onnx.ModelProto:
        (picture,) = self._subgraph.InputsAsNumpy()
        self._graph.channels_last[self._names[picture]] = self._names[picture]
        for i in range(self._subgraph.OperatorsLength()):
            self._translate(self._subgraph.Operators(i))
        values = {name: self._value(self._names.index(name)) for name in outputs}
        return self._graph.model('blazepose', [self._value(picture)], values)

    def _value(self, tensor: int) -> onnx.ValueInfoProto:
        shape = ['N', *self._shapes[tensor][1:]]
        return helper.make_tensor_value_info(self._names[tensor], TensorProto.FLOAT, shape)

    def _translate(self, operator: tflite.Operator) -> None:
        code = self._model.OperatorCodes(operator.OpcodeIndex())
        # Older operators have their number in the deprecated, narrower field.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = _name(tflite.BuiltinOperator, number)
        method = getattr(self, f'_{name.lower()}', None)
        if method is None:
            raise NotImplementedError(f'the operator {name} is not supported')
        (output,) = operator.OutputsAsNumpy().tolist()
        method(operator, operator.InputsAsNumpy().tolist(), output)

    def _first(self, tensor: int) -> str:
        return self._graph.first(self._names[tensor])

    def _set_first(self, tensor: int, picture: str, activation: int) -> None:
        activation_name = _name(tflite.ActivationFunctionType, activation)
        self._graph.channels_first[self._names[tensor]] = self._graph.activation(
            picture, activation_name
        )

    def _dequantize(self, operator: tflite.Operator, inputs: list[int], output: int) -> None:
        # The only quantisation is half precision, in which the weights stay.
        self._constants[output] = self._constants[inputs[0]]

    def _conv_2d(self, operator: tflite.Operator, inputs: list[int], output: int) -> None:
        options = _options(operator, tflite.Conv2DOptions)
        self._convolve(options, inputs, output, kernel_axes=(0, 3, 1, 2))

    def _depthwise_conv_2d(self, operator: tflite.Operator, inputs: list[int], output: int) -> None:
        options = _options(operator, tflite.DepthwiseConv2DOptions)
        self._convolve(options, inputs, output, kernel_axes=(3, 0, 1, 2))

    def _convolve(
        self, options: Any, inputs: list[int], output: int, kernel_axes: tuple[int, ...]
    ) -> None:
        picture, kernel, bias = inputs
        convolved = self._graph.convolution(
            self._first(picture),
            self._constants[kernel].transpose(kernel_axes),
            self._constants[bias],
            (options.StrideH(), options.StrideW()),
            _name(tflite.Padding, options.Padding()),
        )
        self._set_first(output, convolved, options.FusedActivationFunction())

    def _add(self, operator: tflite.Operator, inputs: list[int], output: int) -> None:
        total = self._graph.add('Add', *map(self._first, inputs))
        activation = _options(operator, tflite.AddOptions).FusedActivationFunction()
        self._set_first(output, total, activation)

    def _max_pool_2d(self, operator: tflite.Operator, inputs: list[int], output: int) -> None:
        options = _options(operator, tflite.Pool2DOptions)
        pooled = self._graph.max_pool(
            self._first(inputs[0]),
            (options.FilterHeight(), options.FilterWidth()),
            (options.StrideH(), options.StrideW()),
            _name(tflite.Padding, options.Padding()),
        )
        self._set_first(output, pooled, options.FusedActivationFunction())

    def _pad(self, operator: tflite.Operator, inputs: list[int], output: int) -> None:
        picture, amounts = inputs
        before_and_after = self._constants[amounts][[0, 3, 1, 2]].T
        pads = self._graph.indices(*before_and_after.ravel())
        padded = self._graph.add('Pad', self._first(picture), pads)
        self._graph.channels_first[self._names[output]] = padded

    def _resize_bilinear(self, operator: tflite.Operator, inputs: list[int], output: int) -> None:
        if not _options(operator, tflite.ResizeBilinearOptions).HalfPixelCenters():
            raise NotImplementedError('only resizing with half-pixel centres is supported')
        _, height, width, _ = np.divide(self._shapes[output], self._shapes[inputs[0]])
        enlarged = self._graph.enlarge(self._first(inputs[0]), height, width)
        self._graph.channels_first[self._names[output]] = enlarged

    def _logistic(self, operator: tflite.Operator, inputs: list[int], output: int) -> None:
        self._graph.elementwise('Sigmoid', self._names[output], self._names[inputs[0]])

    def _reshape(self, operator: tflite.Operator, inputs: list[int], output: int) -> None:
        shape = self._graph.indices(-1, *self._shapes[output][1:])
        tensor = self._graph.last(self._names[inputs[0]])
        reshaped = self._graph.add('Reshape', tensor, shape)
        self._graph.channels_last[self._names[output]] = reshaped


def _options(operator: tflite.Operator, kind: type) -> Any:
    """Return the options of an operator, given their type."""
    table = operator.BuiltinOptions()
    options = kind()
    options.Init(table.Bytes, table.Pos)
    return options


def _name(enumeration: type, number: int) -> str:
    """Return the name of a member of an enumeration."""
    return next(name for name, value in vars(enumeration).items() if value == number)
