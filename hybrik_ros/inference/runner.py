"""The Runner interface, and the choice of a backend."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BACKENDS = ('auto', 'onnxruntime', 'tensorrt')
# Of an image, pixels, where a model takes any: what the parameter detector.size is by default.
SIDE = 320

_LOGGER = logging.getLogger(__name__)


class InputError(ValueError):
    """An array given to a network does not fit it."""


@dataclass(frozen=True)
class TensorSpec:
    """Type and shape of a network's input; a dimension of None may have any size."""

    dtype: np.dtype
    shape: tuple[int | None, ...]

    def check(self, name: str, array: NDArray[Any]) -> None:
        """Raise an InputError that names tensor, expected and given type and shape."""
        fits = len(array.shape) == len(self.shape) and all(
            wanted in (None, size) for wanted, size in zip(self.shape, array.shape, strict=True)
        )
        if not fits or array.dtype != self.dtype:
            wanted_shape = tuple('any' if size is None else size for size in self.shape)
            raise InputError(
                f'input {name!r} must be {self.dtype} of shape {wanted_shape}, '
                f'not {array.dtype} of shape {array.shape}'
            )


class Runner(ABC):
    """A network that is loaded by activate(), run by infer() and freed by deactivate().

    Also a context manager.

    Attributes
    ----------
    backend: what runs it, one of BACKENDS but auto.
    inputs: type and shape of each, by name, once active.
    """

    backend: str
    inputs: dict[str, TensorSpec]

    @abstractmethod
    def activate(self) -> None:
        """Load the network. Raises RuntimeError where that fails."""

    @abstractmethod
    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the network on named inputs.

        Raises
        ------
        InputError: an input is missing, unknown, or of another type or shape than expected.
        """

    @abstractmethod
    def deactivate(self) -> None:
        """Free what activate took."""

    def check(self, feeds: Mapping[str, NDArray[Any]]) -> None:
        """Raise an InputError where the feeds do not fit the network's inputs."""
        if set(feeds) != set(self.inputs):
            raise InputError(f'the inputs are {sorted(self.inputs)}, not {sorted(feeds)}')
        for name, array in feeds.items():
            self.inputs[name].check(name, array)

    def __enter__(self) -> 'Runner':
        self.activate()
        return self

    def __exit__(self, *_: object) -> None:
        self.deactivate()


Prove = Callable[[Runner], None]


def create_runner(
    model: Path,
    backend: str = 'auto',
    threads: int = 1,
    prove: Prove | None = None,
    side: int = SIDE,
) -> Runner:
    """Return a runner, not yet active, for an ONNX model.

    Parameters
    ----------
    model: the .onnx file.
    backend: one of BACKENDS; 'auto' takes TensorRT where that works, else ONNX Runtime, and logs
        which and why.
    threads: number of CPU threads of one inference.
    prove: raises RuntimeError where a runner, active in TensorRT, computes something else than the
        model says. None to trust it.
    side: of the square images that will be given, pixels. TensorRT needs to know, where the model
        takes images of any size; in ONNX Runtime these stay any.

    Raises
    ------
    ValueError: an unknown backend.
    """
    if backend not in BACKENDS:
        raise ValueError(f'backend must be one of {", ".join(BACKENDS)}, not {backend!r}')
    if backend == 'auto':
        return _Fastest(model, threads, prove, side)
    if backend == 'tensorrt':
        from hybrik_ros.inference.tensorrt import TensorRTRunner

        return TensorRTRunner(model, prove, side)
    from hybrik_ros.inference.onnx_runtime import OnnxRuntimeRunner

    return OnnxRuntimeRunner(model, threads)


class _Fastest(Runner):
    """Runs a model in TensorRT where that works here and with this model, else in ONNX Runtime."""

    def __init__(self, model: Path, threads: int, prove: Prove | None, side: int) -> None:
        self._model = model
        self._in_tensorrt = prove, side
        self._everywhere = self._runner = create_runner(model, 'onnxruntime', threads)
        self.backend = self._runner.backend
        self.inputs = {}

    def activate(self) -> None:
        """Load the network, and log by what it is run and why. Raises RuntimeError on failure."""
        from hybrik_ros.inference.tensorrt_engine import missing

        reason = missing()
        if reason is None:
            from hybrik_ros.inference.tensorrt import TensorRTRunner

            self._runner = TensorRTRunner(self._model, *self._in_tensorrt)
            try:
                self._runner.activate()
                _LOGGER.info('%s runs in TensorRT, which works here', self._model.name)
            except RuntimeError as error:
                reason = str(error)
        if reason is not None:
            self._runner = self._everywhere
            self._runner.activate()
            _LOGGER.info('%s runs in ONNX Runtime on the CPU: %s', self._model.name, reason)
        self.backend, self.inputs = self._runner.backend, self._runner.inputs

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the network on named inputs; see Runner.infer."""
        return self._runner.infer(feeds)

    def deactivate(self) -> None:
        """Free the network."""
        self._runner.deactivate()
