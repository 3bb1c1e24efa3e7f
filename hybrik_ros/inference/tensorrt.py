"""TensorRT on an NVIDIA GPU, versions 8.5 to 11: the backend for real time."""

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
from hybrik_ros.inference.tensorrt_engine import Dims, complaint, load_engine, require

_LOGGER = logging.getLogger(__name__)

# By the names that TensorRT's DataType has for them.
_DTYPES: dict[str, np.dtype] = {
    'FLOAT': np.dtype(np.float32),
    'HALF': np.dtype(np.float16),
    'INT32': np.dtype(np.int32),
    'UINT8': np.dtype(np.uint8),
}


class TensorRTRunner(Runner):
    """Runs an ONNX model on the GPU.

    Memory is taken once, for the greatest shapes, and keeps its addresses. From the second
    inference in a row at the same shapes on, copies and network are launched as one CUDA graph.

    Parameters
    ----------
    model : Path
        The .onnx file. The first time, an engine is built from it, which may take minutes.
    prove : callable, optional
        Raises RuntimeError where the engine computes something other than the model says.
    side : int
        Side in pixels of the square images that it is for, where the model takes any size.
    graph : bool
        Whether to use CUDA graphs; where one cannot be made, the runner does without.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    RuntimeError
        TensorRT does not work here, or not with this model, or the proof fails; the message says
        why and what to do. `infer` raises its subclass CudaError where the GPU fails, which lasts
        until the process ends.
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
    least, greatest: the shapes between which that of an input may lie.
    array: in the host's memory of the buffer, of the present shape.
    """

    dtype: np.dtype
    buffer: Buffer
    least: Dims = ()
    greatest: Dims = ()
    array: NDArray[Any] = field(init=False)

    def reshape(self, shape: Dims) -> None:
        nbytes = prod(shape) * self.dtype.itemsize
        self.array = self.buffer.host[:nbytes].view(self.dtype).reshape(shape)


class _Session:
    """An engine with the memory it works on."""

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
                raise RuntimeError(self._failure('it cannot be loaded'))
            self._add_tensors()
        except Exception:
            self.close()
            raise

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the engine on inputs of the right types and numbers of dimensions."""
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
        """Free everything, what knows the memory before the memory."""
        with suppress(CudaError):
            self._stream.make_current()
        self._discard_graph()
        self._context = self._engine = None
        self._stream.close()

    def _add_tensors(self) -> None:
        """Take memory for the greatest shapes."""
        engine = self._engine
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        inputs = [
            name for name in names if engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT
        ]
        limits: dict[str, tuple[Dims, Dims]] = {}
        for name in inputs:
            shape = tuple(engine.get_tensor_shape(name))
            least, greatest = shape, shape
            if -1 in shape:
                least, _, greatest = map(tuple, engine.get_tensor_profile_shape(name, 0))
            limits[name] = least, greatest
            self._set_shape(name, greatest)
            self.specs[name] = TensorSpec(
                self._dtype(name), tuple(None if size == -1 else size for size in shape)
            )
        for name in names:
            tensor = self._new_tensor(name)
            if name in limits:
                tensor.least, tensor.greatest = limits[name]
            (self._inputs if name in limits else self._outputs)[name] = tensor

    def _new_tensor(self, name: str) -> _Tensor:
        shape = tuple(self._context.get_tensor_shape(name))
        if -1 in shape:
            raise RuntimeError(
                f'output {name!r} of {self._name} has a shape that depends on the values of the '
                f'inputs, {shape}: export the model with one that does not'
            )
        dtype = self._dtype(name)
        tensor = _Tensor(dtype, self._stream.allocate(prod(shape) * dtype.itemsize))
        tensor.reshape(shape)
        self._context.set_tensor_address(name, tensor.buffer.device)
        return tensor

    def _dtype(self, name: str) -> np.dtype:
        dtype = self._engine.get_tensor_dtype(name)
        if dtype.name not in _DTYPES:
            raise RuntimeError(
                f'tensor {name!r} of {self._name} is of type {dtype.name}, not one of '
                f'{", ".join(_DTYPES)}: export the model with one of these'
            )
        return _DTYPES[dtype.name]

    def _set_shapes(self, shapes: Mapping[str, Dims]) -> None:
        """Prepare for inputs of other shapes. Raises InputError where the engine has none such."""
        for name, shape in shapes.items():
            tensor = self._inputs[name]
            between = zip(tensor.least, shape, tensor.greatest, strict=True)
            if not all(least <= size <= greatest for least, size, greatest in between):
                raise InputError(
                    f'input {name!r} must be of a shape from {tensor.least} to {tensor.greatest}, '
                    f'which the engine was built for, not {shape}'
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
            raise RuntimeError(self._failure(f'input {name!r} cannot be of shape {shape}'))

    def _run(self) -> None:
        if self._warm and self._graphs_work and self._graph is None:
            self._capture()
        if self._graph is not None:
            self._stream.launch(self._graph)
        else:
            self._enqueue()
            self._warm = True

    def _enqueue(self) -> None:
        for tensor in self._inputs.values():
            self._stream.upload(tensor.buffer, tensor.array.nbytes)
        if not self._context.execute_async_v3(self._stream.handle):
            raise RuntimeError(self._failure('it failed'))
        for tensor in self._outputs.values():
            self._stream.download(tensor.buffer, tensor.array.nbytes)

    def _capture(self) -> None:
        try:
            self._graph = self._stream.capture(self._enqueue)
        except RuntimeError as error:
            self._graphs_work = False
            _LOGGER.info('%s runs without a CUDA graph: %s', self._name, error)

    def _discard_graph(self) -> None:
        if self._graph is not None:
            self._stream.discard(self._graph)
            self._graph = None

    def _failure(self, what: str) -> str:
        return f'TensorRT, {self._name}: {what}: {complaint()}'
