"""The TensorRT backend, versions 8.5 to 11, for NVIDIA GPUs."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.inference.cuda import Buffer, CudaError, CudaStream
from hybrik_ros.inference.runner import SIDE, InputError, Prove, Runner, TensorSpec
from hybrik_ros.inference.tensorrt_engine import Dims, last_errors, load_engine, require

_LOGGER = logging.getLogger(__name__)

# Supported types, by the names of TensorRT's DataType.
_DTYPES: dict[str, np.dtype] = {
    'FLOAT': np.dtype(np.float32),
    'HALF': np.dtype(np.float16),
    'INT32': np.dtype(np.int32),
    'UINT8': np.dtype(np.uint8),
}


class TensorRTRunner(Runner):
    """Runs an ONNX model on the GPU.

    Memory is allocated once, for the maximum shapes, at constant addresses. From the second
    consecutive inference with the same shapes, copies and network are launched as one CUDA graph.

    Parameters
    ----------
    model : Path
        The .onnx file. If the cache has no engine for it, one is built, which may take minutes.
    prove : callable, optional
        Raises RuntimeError if the outputs of the engine are wrong.
    side : int
        Side of the square images in pixels, if the model accepts images of any size.
    graph : bool
        Whether to use CUDA graphs; if the capture fails, the runner works without them.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    RuntimeError
        TensorRT does not work here or with this model, or `prove` failed; the message gives the
        reason and the remedy. `infer` raises its subclass CudaError when the GPU fails; the GPU
        then stays unusable until the process ends.
    """

    backend = 'tensorrt'

    def __init__(
        self, model: Path, prove: Prove | None = None, side: int = SIDE, graph: bool = True
    ) -> None:
        self._session = _Session(load_engine(model, side=side), model.name, graph)
        self.inputs = self._session.specs
        if prove is not None:
            try:
                prove(self)
            except Exception:
                self.close()
                raise

    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return self._session.infer(feeds)

    def _free(self) -> None:
        self._session.close()


@dataclass(eq=False)
class _Tensor:
    """An input or output of an engine.

    Attributes
    ----------
    dtype : dtype
        Element type.
    buffer : Buffer
        Memory for the maximum shape.
    min_shape, max_shape : tuple of int
        Limits of the shape of an input; empty for an output.
    array : ndarray
        View of the buffer's host memory in the current shape.
    """

    dtype: np.dtype
    buffer: Buffer
    min_shape: Dims = ()
    max_shape: Dims = ()
    array: NDArray[Any] = field(init=False)

    def reshape(self, shape: Dims) -> None:
        """Change the current shape."""
        nbytes = prod(shape) * self.dtype.itemsize
        self.array = self.buffer.host[:nbytes].view(self.dtype).reshape(shape)


class _Session:
    """An engine, its execution context and its memory."""

    def __init__(self, engine: Any, name: str, graph: bool) -> None:
        self.specs: dict[str, TensorSpec] = {}
        self._trt, _ = require()
        self._name = name
        self._engine = engine
        self._inputs: dict[str, _Tensor] = {}
        self._outputs: dict[str, _Tensor] = {}
        self._graphs_work = graph
        self._graph: int | None = None
        self._warm = False
        self._stream = CudaStream()
        try:
            self._context = engine.create_execution_context()
            if self._context is None:
                raise RuntimeError(self._error('no execution context'))
            self._add_tensors()
        except Exception:
            self.close()
            raise

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the engine on inputs of checked types and numbers of dimensions."""
        self._stream.make_current()
        shapes = {name: feeds[name].shape for name in self._inputs}
        if shapes != {name: tensor.array.shape for name, tensor in self._inputs.items()}:
            self._set_shapes(shapes)
        for name, tensor in self._inputs.items():
            np.copyto(tensor.array, feeds[name])
        self._run()
        self._stream.synchronise()
        return {name: tensor.array.copy() for name, tensor in self._outputs.items()}

    def close(self) -> None:
        """Free the graph and the engine, then the memory that they refer to."""
        with suppress(CudaError):
            self._stream.make_current()
        self._discard_graph()
        self._context = self._engine = None
        self._stream.close()

    def _add_tensors(self) -> None:
        """Allocate memory for the maximum shapes."""
        engine = self._engine
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        inputs = [
            name for name in names if engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT
        ]
        limits: dict[str, tuple[Dims, Dims]] = {}
        for name in inputs:
            shape = tuple(engine.get_tensor_shape(name))
            min_shape, max_shape = shape, shape
            if -1 in shape:
                min_shape, _, max_shape = map(tuple, engine.get_tensor_profile_shape(name, 0))
            limits[name] = min_shape, max_shape
            self._set_shape(name, max_shape)
            self.specs[name] = TensorSpec(
                self._dtype(name), tuple(None if size == -1 else size for size in shape)
            )
        for name in names:
            tensor = self._allocate(name)
            if name in limits:
                tensor.min_shape, tensor.max_shape = limits[name]
            (self._inputs if name in limits else self._outputs)[name] = tensor

    def _allocate(self, name: str) -> _Tensor:
        """Allocate a tensor of its current shape."""
        shape = tuple(self._context.get_tensor_shape(name))
        if -1 in shape:
            raise RuntimeError(
                f'output {name!r} of {self._name} has a data-dependent shape {shape}: export the '
                f'model with a shape that depends on the shapes of the inputs only'
            )
        dtype = self._dtype(name)
        tensor = _Tensor(dtype, self._stream.allocate(prod(shape) * dtype.itemsize))
        tensor.reshape(shape)
        self._context.set_tensor_address(name, tensor.buffer.device)
        return tensor

    def _dtype(self, name: str) -> np.dtype:
        """Return the element type of a tensor."""
        dtype = self._engine.get_tensor_dtype(name)
        if dtype.name not in _DTYPES:
            raise RuntimeError(
                f'tensor {name!r} of {self._name} has the unsupported type {dtype.name}: export '
                f'the model with one of {", ".join(_DTYPES)}'
            )
        return _DTYPES[dtype.name]

    def _set_shapes(self, shapes: Mapping[str, Dims]) -> None:
        """Change the shapes of the inputs; raise InputError if the engine does not support them."""
        for name, shape in shapes.items():
            tensor = self._inputs[name]
            sizes = zip(tensor.min_shape, shape, tensor.max_shape, strict=True)
            if not all(low <= size <= high for low, size, high in sizes):
                raise InputError(
                    f'input {name!r} must have a shape from {tensor.min_shape} to '
                    f'{tensor.max_shape}, for which the engine was built, not {shape}'
                )
        self._discard_graph()
        self._warm = False
        for name, shape in shapes.items():
            self._set_shape(name, shape)
            self._inputs[name].reshape(shape)
        for name, tensor in self._outputs.items():
            tensor.reshape(tuple(self._context.get_tensor_shape(name)))

    def _set_shape(self, name: str, shape: Dims) -> None:
        if not self._context.set_input_shape(name, shape):
            raise RuntimeError(self._error(f'input {name!r} cannot have the shape {shape}'))

    def _run(self) -> None:
        """Launch the graph; enqueue the work if there is none yet."""
        if self._warm and self._graphs_work and self._graph is None:
            self._capture()
        if self._graph is not None:
            self._stream.launch(self._graph)
        else:
            self._enqueue()
            self._warm = True

    def _enqueue(self) -> None:
        """Enqueue the copies and the network."""
        for tensor in self._inputs.values():
            self._stream.upload(tensor.buffer, tensor.array.nbytes)
        if not self._context.execute_async_v3(self._stream.handle):
            raise RuntimeError(self._error('the inference failed'))
        for tensor in self._outputs.values():
            self._stream.download(tensor.buffer, tensor.array.nbytes)

    def _capture(self) -> None:
        """Capture the CUDA graph; do without graphs if that fails."""
        try:
            self._graph = self._stream.capture(self._enqueue)
        except RuntimeError as error:
            self._graphs_work = False
            _LOGGER.info('%s runs without a CUDA graph: %s', self._name, error)

    def _discard_graph(self) -> None:
        if self._graph is not None:
            self._stream.discard(self._graph)
            self._graph = None

    def _error(self, reason: str) -> str:
        """Return an error message with the last errors of TensorRT."""
        return f'TensorRT, {self._name}: {reason}: {last_errors()}'
