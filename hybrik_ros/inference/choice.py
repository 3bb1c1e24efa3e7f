"""Choice of the inference library that runs a network."""

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
        One of BACKENDS; 'auto' selects TensorRT if it works, else ONNX Runtime, and logs the
        selection and its reason.
    threads : int
        CPU threads of one inference; for ONNX Runtime only.
    prove : callable, optional
        Raises RuntimeError if the outputs of TensorRT are wrong. None accepts them unchecked.
    side : int
        Side in pixels of the square images, for which TensorRT builds an engine if the model
        accepts images of any size. ONNX Runtime does not use it.

    Returns
    -------
    Runner
        The loaded network; the caller closes it.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
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
