"""The ONNX Runtime backend, which needs no GPU."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from hybrik_ros.inference.runner import Runner, TensorSpec

_DTYPES: dict[str, np.dtype] = {
    'tensor(float)': np.dtype(np.float32),
    'tensor(float16)': np.dtype(np.float16),
    'tensor(int32)': np.dtype(np.int32),
    'tensor(uint8)': np.dtype(np.uint8),
}


class OnnxRuntimeRunner(Runner):
    """Runs an ONNX model on the CPU.

    Parameters
    ----------
    model : Path
        The .onnx file.
    threads : int
        Threads of one inference. The default is 1: two threads on contended cores are slower than
        one.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    RuntimeError
        The file is not a valid model, or has an input type that this package does not use.
    """

    backend = 'onnxruntime'

    def __init__(self, model: Path, threads: int = 1) -> None:
        if not model.is_file():
            raise FileNotFoundError(f'no model at {model}: check the path')
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Waiting threads must not occupy cores that other processes need.
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(
                str(model), options, providers=['CPUExecutionProvider']
            )
        except Exception as error:  # ONNX Runtime's exceptions have no common base class.
            raise RuntimeError(f'ONNX Runtime cannot load {model}: {error}') from error
        unknown = [t for t in session.get_inputs() if t.type not in _DTYPES]
        if unknown:
            raise RuntimeError(
                f'{model} has an input {unknown[0].name!r} of unsupported type {unknown[0].type}: '
                f'check that it is a model for this package'
            )
        self.inputs = {
            tensor.name: TensorSpec(
                _DTYPES[tensor.type],
                tuple(size if isinstance(size, int) else None for size in tensor.shape),
            )
            for tensor in session.get_inputs()
        }
        self._outputs = [tensor.name for tensor in session.get_outputs()]
        self._session: onnxruntime.InferenceSession | None = session

    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        assert self._session is not None
        return dict(zip(self._outputs, self._session.run(None, dict(feeds)), strict=True))

    def _free(self) -> None:
        self._session = None
