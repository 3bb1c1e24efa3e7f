"""Building of TensorRT engines from ONNX models, for TensorRT 8.5 to 11.

The versions differ in four names of the API; `hasattr` tells which of them exist.
"""

import functools
import hashlib
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hybrik_ros.advice import pip_install
from hybrik_ros.inference.cuda import Gpu, find_gpu
from hybrik_ros.inference.engine_cache import EngineCache, EngineKey, UnusableError
from hybrik_ros.inference.runner import SIDE

PRECISIONS = ('fp32', 'fp16')

Dims = tuple[int, ...]
# Called with the name of a phase of the build, the number of completed steps and of all steps.
Progress = Callable[[str, int, int], None]

_LOGGER = logging.getLogger(__name__)

# Minimum, optimum and maximum batch size of models with a dynamic batch dimension: the pipeline
# tracks up to six people, and TensorRT selects the fastest kernels for the optimum.
_BATCH = (1, 1, 6)
_FLAGS = 'no TF32'  # builder flags that do not follow from precision and version
# Last two errors of TensorRT: the last one often says only that there is no engine.
_ERRORS: deque[str] = deque(maxlen=2)
_LOG_SECONDS = 5.0  # minimum interval between two messages about the progress of a build


def missing() -> str | None:
    """Return why TensorRT does not work here and the remedy; None if it works."""
    try:
        require()
    except RuntimeError as error:
        return str(error)
    return None


def require() -> tuple[Any, Gpu]:
    """Return the tensorrt module and the GPU.

    Returns
    -------
    module
        The tensorrt module.
    Gpu
        The GPU.

    Raises
    ------
    RuntimeError
        TensorRT, the driver or the GPU is missing; the message gives the remedy.
    """
    try:
        import tensorrt
    except Exception as error:  # Its libraries may be missing or have another version.
        raise RuntimeError(
            f'TensorRT cannot be imported ({error}). On a Jetson it comes with JetPack, for the '
            f"system's Python: create virtual environments with --system-site-packages. "
            f'On a PC with an NVIDIA GPU: {pip_install("tensorrt")}'
        ) from error
    if not hasattr(tensorrt, 'Builder'):  # PyPI has empty modules of this name.
        raise RuntimeError(
            f'the module tensorrt in {getattr(tensorrt, "__file__", None)} is not '
            f"NVIDIA's: it has no Builder. Uninstall it, then install TensorRT"
        )
    return tensorrt, find_gpu()


def load_engine(
    model: Path,
    precision: str | None = None,
    on_progress: Progress | None = None,
    side: int = SIDE,
) -> Any:
    """Return the engine of a model from the cache, or build it, which may take minutes.

    Parameters
    ----------
    model : Path
        The .onnx file.
    precision : str, optional
        One of PRECISIONS; None selects that of the engine of this model that was used last, or
        fp32 if there is none. `hybrik engine build` counts as a use.
    on_progress : callable, optional
        Called with the progress of a build; by default it is logged.
    side : int
        Side of the square images in pixels, if the model accepts images of any size.

    Returns
    -------
    ICudaEngine
        TensorRT's engine.

    Raises
    ------
    FileNotFoundError
        The model does not exist.
    RuntimeError
        TensorRT does not work here or cannot build this model, or there is no private folder for
        the engine.
    """
    trt, gpu = require()
    if not model.is_file():
        raise FileNotFoundError(f'no model at {model}: check the path')
    onnx = model.read_bytes()
    hash = hashlib.sha256(onnx).hexdigest()
    cache = EngineCache()
    if precision is None:
        used = [entry.key.precision for entry in cache.entries() if entry.key.model == hash]
        precision = used[-1] if used else 'fp32'
    key = make_key(trt, gpu, hash, precision, side)

    def build() -> bytes:
        try:
            # From version 10 on, the types of the model determine the precision.
            typed = hasattr(trt.NetworkDefinitionCreationFlag, 'STRONGLY_TYPED')
            content = _convert_to_fp16(onnx) if typed and precision == 'fp16' else onnx
            return build_plan(trt, content, precision, side, on_progress or _log_progress())
        except RuntimeError as error:
            raise RuntimeError(f'TensorRT {trt.__version__}, {model}: {error}') from error

    return cache.load(key, model.name, build, lambda plan: deserialise(trt, plan))


def make_key(trt: Any, gpu: Gpu, model: str, precision: str, side: int) -> EngineKey:
    """Return the key of an engine for this machine.

    Parameters
    ----------
    trt : module
        The tensorrt module.
    gpu : Gpu
        The GPU of this machine.
    model : str
        SHA-256 of the .onnx file.
    precision, side : str, int
        As for `load_engine`.

    Returns
    -------
    EngineKey
        The key.
    """
    return EngineKey(
        model=model,
        tensorrt=trt.__version__,
        cuda=gpu.cuda,
        gpu=gpu.name,
        compute_capability=gpu.compute_capability,
        precision=precision,
        batch=f'{_BATCH[0]} to {_BATCH[2]}, usually {_BATCH[1]}',
        side=side,
        flags=_FLAGS,
    )


def deserialise(trt: Any, plan: bytes) -> Any:
    """Return the engine of a plan.

    Host code in the plan stays forbidden: engine_host_code_allowed is False by default.

    Parameters
    ----------
    trt : module
        The tensorrt module.
    plan : bytes
        The serialised engine.

    Returns
    -------
    ICudaEngine
        TensorRT's engine.

    Raises
    ------
    UnusableError
        The plan is for another version of TensorRT or another GPU.
    """
    runtime = _runtime(trt)
    _ERRORS.clear()
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise UnusableError(f'TensorRT refuses it: {last_errors()}')
    return engine


def _convert_to_fp16(content: bytes) -> bytes:
    """Return a model with FP16 convolutions; raise RuntimeError if the conversion fails."""
    try:
        import onnx
        from google.protobuf.message import DecodeError

        from hybrik_ros.inference.half import halve
    except ImportError as error:
        raise RuntimeError(
            f'onnx cannot be imported ({error}), which converts the model to FP16 for TensorRT 10 '
            f'and newer: {pip_install("onnx")}'
        ) from error
    try:
        model = onnx.load_from_string(content)
        halve(model)
    except (DecodeError, ValueError) as error:
        raise RuntimeError(f'it cannot be converted to FP16: {error}') from error
    return model.SerializeToString()


def build_plan(trt: Any, onnx: bytes, precision: str, side: int, on_progress: Progress) -> bytes:
    """Build the plan of an engine.

    Parameters
    ----------
    trt : module
        The tensorrt module.
    onnx : bytes
        Content of the .onnx file.
    precision : str
        One of PRECISIONS. From TensorRT 10 on, it must be the precision of the model's own types;
        up to 8, fp16 permits TensorRT to run FP32 layers in FP16.
    side : int
        As for `load_engine`.
    on_progress : callable
        Called with the progress of the build.

    Returns
    -------
    bytes
        The serialised engine.

    Raises
    ------
    RuntimeError
        TensorRT cannot build this model, or not in this precision.
    KeyboardInterrupt
        `on_progress` raised it.
    """
    _ERRORS.clear()
    builder = _create(trt, trt.Builder)
    network = parse(trt, builder, onnx, side)
    config = configure(trt, builder, network, precision)
    monitor = _monitor_progress(trt, config, on_progress)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        if monitor is not None and monitor.interrupted:
            raise KeyboardInterrupt
        raise RuntimeError(f'it cannot be built: {last_errors()}')
    return bytes(plan)


def parse(trt: Any, builder: Any, onnx: bytes, side: int) -> Any:
    """Parse a model into a TensorRT network.

    Parameters
    ----------
    trt : module
        The tensorrt module.
    builder : Builder
        TensorRT's builder.
    onnx : bytes
        Content of the .onnx file.
    side : int
        As for `load_engine`.

    Returns
    -------
    INetworkDefinition
        The network; only its batch size may be dynamic.

    Raises
    ------
    RuntimeError
        TensorRT does not support an operator of the model.
    """
    creation = trt.NetworkDefinitionCreationFlag
    flags = 0
    if hasattr(creation, 'EXPLICIT_BATCH'):
        flags |= 1 << int(creation.EXPLICIT_BATCH)
    if hasattr(creation, 'STRONGLY_TYPED'):
        flags |= 1 << int(creation.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, logger(trt))
    if not parser.parse(onnx):
        problems = [parser.get_error(i) for i in range(parser.num_errors)]
        raise RuntimeError(
            f'it cannot be parsed: {"; ".join(problem.desc() for problem in problems)}'
        )
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        # TensorRT 8.5 fails to build MoveNet for images of any size.
        tensor.shape = fix_sides(tensor.shape, side)
    return network


def fix_sides(shape: Sequence[int], side: int) -> Dims:
    """Return the shape of an input with dynamic sizes (-1) replaced, except the batch size."""
    return tuple(side if size < 0 and axis else size for axis, size in enumerate(shape))


def configure(trt: Any, builder: Any, network: Any, precision: str) -> Any:
    """Return the builder configuration of a network.

    Parameters
    ----------
    trt : module
        The tensorrt module.
    builder : Builder
        TensorRT's builder.
    network : INetworkDefinition
        The network.
    precision : str
        As for `build_plan`.

    Returns
    -------
    IBuilderConfig
        Configuration with the precision and the limits of the input shapes.

    Raises
    ------
    RuntimeError
        The network cannot be built in this precision.
    """
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # on by default; its mantissa has 10 bits as in FP16
    if hasattr(trt.NetworkDefinitionCreationFlag, 'STRONGLY_TYPED'):
        _check_types(trt, network, precision)
    elif hasattr(trt.BuilderFlag, 'FP16') and precision == 'fp16':
        config.set_flag(trt.BuilderFlag.FP16)
    profile = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        profile.set_shape(tensor.name, *shape_limits(tensor.shape))
    config.add_optimization_profile(profile)
    return config


def shape_limits(shape: Sequence[int]) -> tuple[Dims, Dims, Dims]:
    """Return the minimum, optimum and maximum shape of an input with fixed sides."""
    minimum, optimum, maximum = (
        tuple(images if size < 0 else size for size in shape) for images in _BATCH
    )
    return minimum, optimum, maximum


def _check_types(trt: Any, network: Any, precision: str) -> None:
    """Raise RuntimeError unless the convolutions of a network have this precision.

    Other layers do not count: weights and indices may have any type before they are cast.
    """
    found = 'fp32'
    for i in range(network.num_layers):
        layer = network.get_layer(i)
        if layer.type == trt.LayerType.CONVOLUTION:
            tensor = layer.get_output(0)
            if tensor.dtype == trt.DataType.HALF:
                found = 'fp16'
    if found != precision:
        raise RuntimeError(
            f'the model computes in {found}, which this version of TensorRT does not change: run '
            f'hybrik engine build with --precision {found}'
        )


def _monitor_progress(trt: Any, config: Any, on_progress: Progress) -> Any:
    """Set a progress monitor, through which Ctrl-C ends a build; None before TensorRT 10."""
    if not hasattr(config, 'progress_monitor'):
        return None

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            super().__init__()
            self.interrupted = False
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps
            self._report(phase_name, 0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._report(phase_name, step + 1)
            return not self.interrupted

        def phase_finish(self, phase_name: str) -> None:
            self._report(phase_name, self._steps[phase_name])

        def _report(self, phase: str, done: int) -> None:
            try:
                on_progress(phase, done, self._steps[phase])
            except KeyboardInterrupt:  # No exception may propagate through TensorRT.
                self.interrupted = True

    monitor = Monitor()
    config.progress_monitor = monitor
    return monitor


def _log_progress() -> Progress:
    """Return a function that logs the progress of a build every few seconds."""
    last = time.monotonic()

    def log(phase: str, done: int, steps: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _LOG_SECONDS:
            last = time.monotonic()
            _LOGGER.info('building an engine: %s, step %d of %d', phase, done, steps)

    return log


def last_errors() -> str:
    """Return the last error messages of TensorRT."""
    return '; '.join(_ERRORS) or 'TensorRT gives no reason'


@functools.cache
def logger(trt: Any) -> Any:
    """Return the logger of TensorRT, which takes one only."""
    levels = {
        trt.ILogger.INTERNAL_ERROR: logging.ERROR,
        trt.ILogger.ERROR: logging.ERROR,
        trt.ILogger.WARNING: logging.INFO,  # Most of its warnings need no action.
    }

    class Logger(trt.ILogger):
        def log(self, severity: Any, message: str) -> None:
            level = levels.get(severity, logging.DEBUG)
            _LOGGER.log(level, 'TensorRT: %s', message)
            if level == logging.ERROR:
                _ERRORS.append(message)

    return Logger()


def _create(trt: Any, kind: Any) -> Any:
    """Return a new Builder or Runtime; raise RuntimeError if TensorRT does not start."""
    try:
        return kind(logger(trt))
    except TypeError as error:  # raised by the binding of a failed constructor
        raise RuntimeError(f'TensorRT does not start: {last_errors()}') from error


@functools.cache
def _runtime(trt: Any) -> Any:
    """Return the only runtime, which must outlive its engines."""
    return _create(trt, trt.Runtime)
