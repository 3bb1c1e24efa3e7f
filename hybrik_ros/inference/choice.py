"""Opens a network with the best inference library that works here."""

import logging
from pathlib import Path

from hybrik_ros.inference.runner import SIDE, Prove, Runner
from hybrik_ros.settings import BACKENDS

_LOGGER = logging.getLogger(__name__)


def open_runner(
    model: Path,
    backend: str = 'auto',
    threads: int = 1,
    prove: Prove | None = None,
    side: int = SIDE,
) -> Runner:
    """Load an ONNX model.

    Parameters
    ----------
    model : Path
        The .onnx file.
    backend : str
        One of BACKENDS; 'auto' takes TensorRT where it works, else ONNX Runtime, and logs which and
        why.
    threads : int
        CPU threads of one inference.
    prove : callable, optional
        Raises RuntimeError where TensorRT computes something other than the model says. By default
        TensorRT is trusted.
    side : int
        Side in pixels of the square images that will be given, for which TensorRT builds an engine
        where the model takes images of any size. ONNX Runtime takes any size all the same.

    Returns
    -------
    Runner
        To be closed.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    RuntimeError
        The model cannot be loaded.
    ValueError
        The backend is unknown.
    """
    if backend not in BACKENDS:
        raise ValueError(f'backend must be one of {", ".join(BACKENDS)}, not {backend!r}')
    if backend == 'tensorrt':
        return _open_tensorrt(model, prove, side)
    if backend == 'auto':
        reason = _missing_for_tensorrt()
        if reason is None:
            try:
                runner = _open_tensorrt(model, prove, side)
            except RuntimeError as error:
                reason = str(error)
            else:
                _LOGGER.info('%s runs in TensorRT, which works here', model.name)
                return runner
        _LOGGER.info('%s runs in ONNX Runtime on the CPU: %s', model.name, reason)
    from hybrik_ros.inference.onnx_runtime import OnnxRuntimeRunner

    return OnnxRuntimeRunner(model, threads)


def _open_tensorrt(model: Path, prove: Prove | None, side: int) -> Runner:
    from hybrik_ros.inference.tensorrt import TensorRTRunner

    return TensorRTRunner(model, prove, side)


def _missing_for_tensorrt() -> str | None:
    from hybrik_ros.inference.tensorrt_engine import missing

    return missing()
