"""Conversion of TensorFlow.js graph models to ONNX.

The 32-bit integers of the source, which are shapes and positions, become 64-bit integers, which
ONNX's operators on shapes and positions require.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from .graph import Graph

# Elementwise operators and their names in ONNX. ONNX's integer division, which rounds towards zero,
# equals FloorDiv, since positions are never negative.
_ELEMENTWISE = {
    'Abs': 'Abs',
    'AddN': 'Sum',
    'AddV2': 'Add',
    'Equal': 'Equal',
    'Exp': 'Exp',
    'FloorDiv': 'Div',
    'Greater': 'Greater',
    'GreaterEqual': 'GreaterOrEqual',
    'Identity': 'Identity',
    'Less': 'Less',
    'LogicalAnd': 'And',
    'Maximum': 'Max',
    'Minimum': 'Min',
    'Mul': 'Mul',
    'RealDiv': 'Div',
    'Reciprocal': 'Reciprocal',
    'Select': 'Where',
    'Sigmoid': 'Sigmoid',
    'Sub': 'Sub',
}
# Other operators that differ from ONNX's in name only.
_SAME = {
    'GatherNd': 'GatherND',
    'Range': 'Range',
    'Reshape': 'Reshape',
    'Shape': 'Shape',
    'Size': 'Size',
    'Tile': 'Tile',
}
_TYPES = {'DT_FLOAT': TensorProto.FLOAT, 'DT_INT32': TensorProto.INT64}
_END = np.iinfo(np.int64).max


def convert(topology: bytes, weights: bytes) -> onnx.ModelProto:
    """Convert a network.

    Parameters
    ----------
    topology : bytes
        Content of the JSON file.
    weights : bytes
        Content of the weights file.

    Returns
    -------
    ModelProto
        Model with the input and output names of the network's signature, and their element types.

    Raises
    ------
    NotImplementedError
        The network has an operator that is not supported.
    """
    return _Reader(json.loads(topology), weights).convert()


@dataclass(frozen=True)
class _Node:
    """A node of the source network."""

    name: str
    operator: str
    inputs: list[str]
    attributes: dict[str, Any]


class _Reader:
    """Converter of a network, with a method for each operator without a direct equivalent."""

    def __init__(self, network: dict[str, Any], weights: bytes) -> None:
        self._signature = network['signature']
        self._nodes = {node['name']: _read_node(node) for node in network['modelTopology']['node']}
        self._constants = _read_weights(network['weightsManifest'], weights)
        self._graph = Graph()

    def convert(self) -> onnx.ModelProto:
        ((name, description),) = self._signature['inputs'].items()
        placeholder = _tensor_name(description['name'])
        self._set(placeholder, name)
        # The signature has the shape of an example; the placeholder has dynamic sides.
        shape = self._nodes[placeholder].attributes['shape']
        picture = _value(name, description['dtype'], shape)
        for constant, values in self._constants.items():
            dtype = np.int64 if values.dtype == np.int32 else np.float32
            self._set(constant, self._graph.constant(values, dtype))
        for node in self._nodes.values():
            if node.operator not in ('Const', 'Placeholder'):
                self._translate(node)
        outputs = {
            _tensor_name(output['name']): _value(name, output['dtype'], output['tensorShape'])
            for name, output in self._signature['outputs'].items()
        }
        return self._graph.model('movenet', [picture], outputs)

    def _translate(self, node: _Node) -> None:
        if node.operator in _ELEMENTWISE:
            self._graph.elementwise(_ELEMENTWISE[node.operator], node.name, *node.inputs)
        elif node.operator in _SAME:
            self._add(node, _SAME[node.operator], *self._inputs(node))
        elif node.operator in _METHODS:
            _METHODS[node.operator](self, node)
        else:
            raise NotImplementedError(f'the operator {node.operator} is not supported')

    def _set(self, name: str, tensor: str) -> None:
        self._graph.channels_last[name] = tensor

    def _set_outputs(self, node: _Node, tensors: Iterable[str]) -> None:
        for i, tensor in enumerate(tensors):
            self._set(_tensor_name(f'{node.name}:{i}'), tensor)

    def _inputs(self, node: _Node) -> list[str]:
        return [self._graph.last(name) for name in node.inputs]

    def _constant_input(self, node: _Node, index: int) -> NDArray[Any]:
        return self._constants[node.inputs[index]]

    def _axis_input(self, node: _Node, index: int) -> int:
        return int(self._constant_input(node, index))

    def _add(self, node: _Node, operator: str, *inputs: str, **attributes: Any) -> None:
        self._set(node.name, self._graph.add(operator, *inputs, **attributes))

    # Operators on images.

    def _convolve(self, node: _Node) -> None:
        kernel_axes = (2, 3, 0, 1) if 'Depthwise' in node.operator else (3, 2, 0, 1)
        bias, *activation = node.attributes.get('fused_ops', [None])
        convolved = self._graph.convolution(
            self._graph.first(node.inputs[0]),
            self._constant_input(node, 1).transpose(kernel_axes),
            self._constant_input(node, 2) if bias else None,
            node.attributes['strides'][1:3],
            node.attributes['padding'],
        )
        name = activation[0].upper() if activation else 'NONE'
        self._graph.channels_first[node.name] = self._graph.activation(convolved, name)

    def _max_pool(self, node: _Node) -> None:
        self._graph.channels_first[node.name] = self._graph.max_pool(
            self._graph.first(node.inputs[0]),
            node.attributes['ksize'][1:3],
            node.attributes['strides'][1:3],
            node.attributes['padding'],
        )

    def _resize_bilinear(self, node: _Node) -> None:
        # Keras computes the new size as the old size times constant factors.
        picture, size = node.inputs
        factors = self._nodes[size]
        if factors.operator != 'Mul' or not node.attributes['half_pixel_centers']:
            raise NotImplementedError('only upsampling with half-pixel centres is supported')
        height, width = self._constant_input(factors, 1).tolist()
        enlarged = self._graph.enlarge(self._graph.first(picture), height, width)
        self._graph.channels_first[node.name] = enlarged

    # Operators on elements and values.

    def _cast(self, node: _Node) -> None:
        to = _TYPES[node.attributes['DstT']]
        self._graph.elementwise('Cast', node.name, *node.inputs, to=to)

    def _squared_difference(self, node: _Node) -> None:
        difference = self._graph.add('Sub', *self._inputs(node))
        self._add(node, 'Mul', difference, difference)

    def _reduce_max(self, node: _Node) -> None:
        tensor, _ = self._inputs(node)
        keep = node.attributes['keep_dims']
        self._add(node, 'ReduceMax', tensor, axes=[self._axis_input(node, 1)], keepdims=keep)

    def _reduce_sum(self, node: _Node) -> None:
        tensor, _ = self._inputs(node)
        axes = self._graph.indices(self._axis_input(node, 1))
        self._add(node, 'ReduceSum', tensor, axes, keepdims=node.attributes['keep_dims'])

    def _arg_max(self, node: _Node) -> None:
        tensor, _ = self._inputs(node)
        self._add(node, 'ArgMax', tensor, axis=self._axis_input(node, 1), keepdims=0)

    def _top_k(self, node: _Node) -> None:
        tensor, _ = self._inputs(node)
        count = self._graph.indices(self._axis_input(node, 1))
        self._set_outputs(node, self._graph.add_many('TopK', 2, tensor, count))

    # Operators on shapes.

    def _fill(self, node: _Node) -> None:
        shape, value = self._inputs(node)
        self._add(node, 'Expand', value, shape)

    def _squeeze(self, node: _Node) -> None:
        axes = self._graph.indices(*node.attributes['squeeze_dims'])
        self._add(node, 'Squeeze', *self._inputs(node), axes)

    def _expand_dims(self, node: _Node) -> None:
        tensor, _ = self._inputs(node)
        self._add(node, 'Unsqueeze', tensor, self._graph.indices(self._axis_input(node, 1)))

    def _concat(self, node: _Node) -> None:
        *tensors, _ = self._inputs(node)
        self._add(node, 'Concat', *tensors, axis=self._axis_input(node, -1))

    def _pack(self, node: _Node) -> None:
        axis = node.attributes['axis']
        axes = self._graph.indices(axis)
        layers = [self._graph.add('Unsqueeze', tensor, axes) for tensor in self._inputs(node)]
        self._add(node, 'Concat', *layers, axis=axis)

    def _unpack(self, node: _Node) -> None:
        axis = node.attributes['axis']
        axes = self._graph.indices(axis)
        layers = self._graph.add_many(
            'Split', node.attributes['num'], *self._inputs(node), axis=axis
        )
        self._set_outputs(node, [self._graph.add('Squeeze', layer, axes) for layer in layers])

    def _split(self, node: _Node) -> None:
        _, tensor = self._inputs(node)
        count = node.attributes['num_split']
        axis = self._axis_input(node, 0)
        self._set_outputs(node, self._graph.add_many('Split', count, tensor, axis=axis))

    def _strided_slice(self, node: _Node) -> None:
        """Convert an index such as [1:, 3] or [:2, None] to Slice, Squeeze and Unsqueeze."""
        begin, end, strides = (self._constant_input(node, i).tolist() for i in (1, 2, 3))

        def has(mask: str, i: int) -> bool:
            return bool(node.attributes[f'{mask}_mask'] >> i & 1)

        entries = range(len(begin))
        new_axes = [i for i in entries if has('new_axis', i)]
        old_axes = [i for i in entries if i not in new_axes]
        lost_axes = [axis for axis, i in enumerate(old_axes) if has('shrink_axis', i)]
        if node.attributes['ellipsis_mask'] or set(strides) != {1} or (lost_axes and new_axes):
            raise NotImplementedError(f'the slice {node.name} is not supported')
        starts = [0 if has('begin', i) else begin[i] for i in old_axes]
        ends = [_END if has('end', i) else end[i] for i in old_axes]
        tensor, *_ = self._inputs(node)
        limits = (self._graph.indices(*values) for values in (starts, ends, range(len(old_axes))))
        tensor = self._graph.add('Slice', tensor, *limits)
        if lost_axes:
            tensor = self._graph.add('Squeeze', tensor, self._graph.indices(*lost_axes))
        if new_axes:
            tensor = self._graph.add('Unsqueeze', tensor, self._graph.indices(*new_axes))
        self._set(node.name, tensor)


_METHODS = {
    '_FusedConv2D': _Reader._convolve,
    'ArgMax': _Reader._arg_max,
    'Cast': _Reader._cast,
    'ConcatV2': _Reader._concat,
    'DepthwiseConv2dNative': _Reader._convolve,
    'ExpandDims': _Reader._expand_dims,
    'Fill': _Reader._fill,
    'FusedDepthwiseConv2dNative': _Reader._convolve,
    'Max': _Reader._reduce_max,
    'MaxPool': _Reader._max_pool,
    'Pack': _Reader._pack,
    'ResizeBilinear': _Reader._resize_bilinear,
    'Split': _Reader._split,
    'SquaredDifference': _Reader._squared_difference,
    'Squeeze': _Reader._squeeze,
    'StridedSlice': _Reader._strided_slice,
    'Sum': _Reader._reduce_sum,
    'TopKV2': _Reader._top_k,
    'Unpack': _Reader._unpack,
}


def _read_node(description: dict[str, Any]) -> _Node:
    """Return a node from its JSON form."""
    attributes = description.get('attr', {})
    return _Node(
        description['name'],
        description['op'],
        [_tensor_name(name) for name in description.get('input', [])],
        {key: _read_attribute(value) for key, value in attributes.items()},
    )


def _read_attribute(value: dict[str, Any]) -> Any:
    """Convert an attribute from protobuf's JSON form, in which integers and bytes are text."""
    ((kind, content),) = value.items()
    if kind == 'list':
        return [_read_attribute({k: item}) for k, items in content.items() for item in items]
    if kind == 'i':
        return int(content)
    if kind == 's':
        return base64.b64decode(content).decode()
    return content


def _read_weights(manifest: list[dict[str, Any]], data: bytes) -> dict[str, NDArray[Any]]:
    """Split the weights file into arrays, which it contains in the order of the manifest."""
    constants = {}
    offset = 0
    for entry in (entry for group in manifest for entry in group['weights']):
        dtype = np.dtype(entry.get('quantization', entry)['dtype'])
        if dtype not in (np.float32, np.float16, np.int32):
            raise NotImplementedError(f'weights of type {dtype} are not supported')
        count = math.prod(entry['shape'])
        values = np.frombuffer(data, dtype, count, offset)
        constants[entry['name']] = values.reshape(entry['shape'])
        offset += values.nbytes
    return constants


def _tensor_name(name: str) -> str:
    """Return the normalised name of a node's output: the first one has the name of the node."""
    return name.removesuffix(':0')


def _value(name: str, dtype: str, shape: dict[str, Any]) -> onnx.ValueInfoProto:
    """Return the description of an input or output; dynamic sizes (-1) get names."""
    types = {'DT_INT32': TensorProto.INT32, 'DT_FLOAT': TensorProto.FLOAT}
    names = ('batch', 'height', 'width', 'channels')
    sizes = [int(dimension['size']) for dimension in shape['dim']]
    free = [size if size >= 0 else any_size for size, any_size in zip(sizes, names, strict=False)]
    return helper.make_tensor_value_info(name, types[dtype], free)
