"""From an ONNX model to a TensorRT engine, by one way for versions 8.5 to 11.

They differ in four names, each of which is looked for before it is used.
"""

import functools
import hashlib
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hybrik_ros.inference.cuda import Gpu, find_gpu
from hybrik_ros.inference.engine_cache import EngineCache, EngineKey, UnusableError
from hybrik_ros.inference.runner import SIDE

PRECISIONS = ('fp32', 'fp16')

Dims = tuple[int, ...]
# Told the name of a phase of building, how many of its steps are done, and of how many.
Progress = Callable[[str, int, int], None]

_LOGGER = logging.getLogger(__name__)

# Where a model leaves its first dimension open, that counts images. Least, usual and greatest: the
# pipeline follows up to six people, and TensorRT chooses what is fastest at the usual number.
_BATCH = (1, 1, 6)
_FLAGS = 'no TF32'  # Other than by precision and version: part of the key.
# TensorRT's very last error often is that there is no engine; the one before says why.
_ERRORS: deque[str] = deque(maxlen=2)
_LOG_SECONDS = 5.0


def missing() -> str | None:
    """Return what is missing for TensorRT to work here and what to do, or None if it works."""
    try:
        require()
    except RuntimeError as error:
        return str(error)
    return None


def require() -> tuple[Any, Gpu]:
    """Return the tensorrt module and the GPU.

    Raises
    ------
    RuntimeError: something is missing; the message says what, and what to do.
    """
    try:
        import tensorrt
    except Exception as error:  # Its libraries may be missing, or not be what it expects.
        raise RuntimeError(
            f'TensorRT cannot be imported ({error}). On a Jetson it comes with JetPack, for the '
            f"system's Python: make virtual environments with --system-site-packages. "
            f'On a PC with an NVIDIA GPU: pip install tensorrt'
        ) from error
    if not hasattr(tensorrt, 'Builder'):  # PyPI has modules of this name that are empty.
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
    model: the .onnx file.
    precision: one of PRECISIONS; None for that of the engine of this model that was used last,
        which `hybrik engine build` changes, or else fp32.
    on_progress: called while an engine is built.
    side: of the square images that it is for, pixels, where the model takes images of any size.

    Raises
    ------
    FileNotFoundError: there is no such model.
    RuntimeError: TensorRT does not work here, cannot build this model, or has no private folder
        for its engine.
    """
    trt, gpu = require()
    if not model.is_file():
        raise FileNotFoundError(f'no model at {model}')
    onnx = model.read_bytes()
    hash = hashlib.sha256(onnx).hexdigest()
    cache = EngineCache()
    if precision is None:
        used = [entry.key.precision for entry in cache.entries() if entry.key.model == hash]
        precision = used[-1] if used else 'fp32'
    key = key_here(trt, gpu, hash, precision, side)

    def build() -> bytes:
        try:
            # From version 10 on a model's own types are all that counts.
            typed = hasattr(trt.NetworkDefinitionCreationFlag, 'STRONGLY_TYPED')
            model_here = _in_half(onnx) if typed and precision == 'fp16' else onnx
            return build_plan(trt, model_here, precision, side, on_progress or _log_progress())
        except RuntimeError as error:
            raise RuntimeError(f'TensorRT {trt.__version__}, {model}: {error}') from error

    return cache.load(key, model.name, build, lambda plan: deserialise(trt, plan))


def key_here(trt: Any, gpu: Gpu, model: str, precision: str, side: int) -> EngineKey:
    """Return the key of an engine for this machine, of the model with this SHA-256."""
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

    Code that an engine may bring along for the host, engine_host_code_allowed, stays forbidden.

    Raises
    ------
    UnusableError: the plan is none for this TensorRT, or this GPU.
    """
    runtime = _runtime(trt)
    _ERRORS.clear()
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise UnusableError(f'TensorRT refuses it: {complaint()}')
    return engine


def _in_half(content: bytes) -> bytes:
    """Return a model that convolves in FP16. Raises RuntimeError where that cannot be made."""
    try:
        import onnx
        from google.protobuf.message import DecodeError

        from hybrik_ros.inference.half import halve
    except ImportError as error:
        raise RuntimeError(
            f'from version 10 on TensorRT takes FP16 from the model, and onnx, which would put it '
            f'there, cannot be imported ({error}): pip install onnx'
        ) from error
    try:
        model = onnx.load_from_string(content)
        halve(model)
    except (DecodeError, ValueError) as error:
        raise RuntimeError(f'it cannot be put to FP16: {error}') from error
    return model.SerializeToString()


def build_plan(trt: Any, onnx: bytes, precision: str, side: int, on_progress: Progress) -> bytes:
    """Build the plan of an engine.

    Parameters
    ----------
    trt: the tensorrt module.
    onnx: content of the .onnx file.
    precision: one of PRECISIONS. From version 10 on it only says what the model's own types are
        taken to be; up to 8, fp16 lets TensorRT compute in FP16 what the model has in FP32.
    side: see load_engine.
    on_progress: called while it is built.

    Raises
    ------
    RuntimeError: TensorRT cannot build this model, or not in this precision.
    """
    _ERRORS.clear()
    builder = _create(trt, trt.Builder)
    network = parse(trt, builder, onnx, side)
    config = configure(trt, builder, network, precision)
    monitor = _watch(trt, config, on_progress)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        if monitor is not None and monitor.interrupted:
            raise KeyboardInterrupt
        raise RuntimeError(f'it cannot be built: {complaint()}')
    return bytes(plan)


def parse(trt: Any, builder: Any, onnx: bytes, side: int) -> Any:
    """Return the network of a model, for square images of a side where the model takes any.

    Raises
    ------
    RuntimeError: TensorRT does not know all of it.
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
        raise RuntimeError(f'not understood: {"; ".join(problem.desc() for problem in problems)}')
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        # TensorRT 8.5 fails to build MoveNet for images of any size.
        tensor.shape = fixed(tensor.shape, side)
    return network


def fixed(shape: Sequence[int], side: int) -> Dims:
    """Return the shape of an input, its number of images alone left open; -1 is what is open."""
    return tuple(side if size < 0 and axis else size for axis, size in enumerate(shape))


def configure(trt: Any, builder: Any, network: Any, precision: str) -> Any:
    """Return how to build a network: in which precision, and for which shapes of its inputs.

    Raises
    ------
    RuntimeError: the network cannot be built in this precision.
    """
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # On by default; its mantissa is that of FP16.
    if hasattr(trt.NetworkDefinitionCreationFlag, 'STRONGLY_TYPED'):
        _require_types(trt, network, precision)
    elif hasattr(trt.BuilderFlag, 'FP16') and precision == 'fp16':
        config.set_flag(trt.BuilderFlag.FP16)
    profile = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        profile.set_shape(tensor.name, *shape_limits(tensor.shape))
    config.add_optimization_profile(profile)
    return config


def shape_limits(shape: Sequence[int]) -> tuple[Dims, Dims, Dims]:
    """Return the least, the usual and the greatest shape of an input that is fixed."""
    least, usual, greatest = (
        tuple(images if size < 0 else size for size in shape) for images in _BATCH
    )
    return least, usual, greatest


def _require_types(trt: Any, network: Any, precision: str) -> None:
    """Raise RuntimeError unless a network's own types are those of a precision.

    Its convolutions tell: weights and indices may have any type before they are cast.
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


def _watch(trt: Any, config: Any, on_progress: Progress) -> Any:
    """Let a build tell how far it is, and Ctrl-C end it, where TensorRT can: from 10 on."""
    if not hasattr(config, 'progress_monitor'):
        return None

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            super().__init__()
            self.interrupted = False
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps
            self._tell(phase_name, 0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._tell(phase_name, step + 1)
            return not self.interrupted

        def phase_finish(self, phase_name: str) -> None:
            self._tell(phase_name, self._steps[phase_name])

        def _tell(self, phase: str, done: int) -> None:
            try:
                on_progress(phase, done, self._steps[phase])
            except KeyboardInterrupt:  # Nothing may be raised through TensorRT.
                self.interrupted = True

    monitor = Monitor()
    config.progress_monitor = monitor
    return monitor


def _log_progress() -> Progress:
    """Return what logs, every few seconds, how far a build is."""
    last = time.monotonic()

    def log(phase: str, done: int, steps: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _LOG_SECONDS:
            last = time.monotonic()
            _LOGGER.info('building an engine: %s, %d of %d', phase, done, steps)

    return log


def complaint() -> str:
    """Return what TensorRT said of the last failure."""
    return '; '.join(_ERRORS) or 'it does not say why'


@functools.cache
def logger(trt: Any) -> Any:
    """Return the one logger that TensorRT takes."""
    levels = {
        trt.ILogger.INTERNAL_ERROR: logging.ERROR,
        trt.ILogger.ERROR: logging.ERROR,
        trt.ILogger.WARNING: logging.INFO,  # It warns of much that is as it should be.
    }

    class Logger(trt.ILogger):
        def log(self, severity: Any, message: str) -> None:
            level = levels.get(severity, logging.DEBUG)
            _LOGGER.log(level, 'TensorRT: %s', message)
            if level == logging.ERROR:
                _ERRORS.append(message)

    return Logger()


def _create(trt: Any, kind: Any) -> Any:
    """Return a new Builder or Runtime. Raises RuntimeError where TensorRT cannot make one."""
    try:
        return kind(logger(trt))
    except TypeError as error:  # its way to say so
        raise RuntimeError(f'TensorRT does not start: {complaint()}') from error


@functools.cache
def _runtime(trt: Any) -> Any:
    """Return the one runtime, which has to outlive its engines."""
    return _create(trt, trt.Runtime)
