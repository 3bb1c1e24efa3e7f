"""Export of a published checkpoint to a verified ONNX file."""

import hashlib
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from hybrik_ros import __version__
from hybrik_ros.inference.half import halve
from hybrik_ros.network.checkpoint import load_checkpoint
from hybrik_ros.network.folding import fold_batch_norms
from hybrik_ros.network.hybrik_net import ARCHITECTURES
from hybrik_ros.network.int8 import as_convolutions, quantize
from hybrik_ros.network.onnx_graph import to_onnx
from hybrik_ros.network.verification import (
    OutputDifference,
    check_operators,
    check_rounded,
    compare,
    half_shift_mm,
    joint_shift_mm,
    round_weights,
)
from hybrik_ros.writing import write_file

PRECISIONS = ('fp32', 'fp16', 'int8')
# INT8 uses all but the last 1/_HELD_OUT of the pictures for calibration, and the last for
# validation.
_HELD_OUT = 4
_MIN_PICTURES = 8  # minimum number of pictures with people for INT8

# The people in each picture, as crops (3, 256, 256), normalised for the network.
Pictures = Sequence[Sequence[NDArray[np.float32]]]


class ExportReport(NamedTuple):
    """Result of an export.

    Attributes
    ----------
    title : str
        Architecture and precision.
    operators : list of str
        Operators of the model.
    differences : dict
        Differences between ONNX Runtime and torch, by input.
    moved_mm : tuple of float, optional
        Mean and 95th percentile of the distances in millimetres by which rounding moves the joints:
        for FP16 in images of noise, for INT8 in the pictures held out; None for FP32.
    """

    title: str
    operators: list[str]
    differences: dict[str, OutputDifference]
    moved_mm: tuple[float, float] | None = None


def export(
    checkpoint: Path,
    output: Path,
    batch: int = 1,
    precision: str = 'fp32',
    pictures: Pictures = (),
) -> ExportReport:
    """Write the network of a checkpoint as ONNX, after verifying it.

    Parameters
    ----------
    checkpoint : Path
        A .pth file, as for `load_checkpoint`.
    output : Path
        The .onnx file to write; an existing one is replaced atomically.
    batch : int
        Batch size.
    precision : str
        One of PRECISIONS; 'fp16' and 'int8' apply up to the heatmaps.
    pictures : sequence of sequence of ndarray
        For 'int8', the people in each picture, as crops (3, 256, 256), normalised for the network.

    Returns
    -------
    ExportReport
        What was written, and how it differs from the network in torch.

    Raises
    ------
    FileNotFoundError
        The checkpoint or the folder of the output does not exist.
    ValueError
        Another argument is wrong, a weight is too large for FP16, or there are too few pictures.
    CheckpointError
        The checkpoint does not fit, or cannot be read safely.
    VerificationError
        The model is invalid, or its outputs differ from those of torch.
    """
    _check_arguments(output, batch, precision, pictures)
    # On contended cores, several threads are many times slower than one.
    torch.set_num_threads(1)
    net = load_checkpoint(checkpoint)
    folded = deepcopy(net)
    fold_batch_norms(folded)
    if precision == 'int8':
        as_convolutions(folded)
    model = to_onnx(folded, batch)
    _describe(model, checkpoint, net.architecture, precision)
    if precision == 'fp16':
        halve(model)
        moved = half_shift_mm(folded, batch)
        round_weights(folded)
        net = folded  # The comparison must not include the rounding of the weights.
    title = f'{ARCHITECTURES[net.architecture]}, {precision}'
    report = ExportReport(title, check_operators(model), compare(model, net, batch))
    if precision == 'int8':
        model, moved = _quantize(model, batch, pictures)
    if precision != 'fp32':
        report = report._replace(moved_mm=moved)
    write_file(output, model.SerializeToString())
    return report


def _check_arguments(output: Path, batch: int, precision: str, pictures: Pictures) -> None:
    """Raise the errors of `export` about its arguments."""
    if output.suffix != '.onnx':
        raise ValueError(f'the output must be named .onnx, not {output.name}')
    if not output.parent.is_dir():
        raise FileNotFoundError(f'there is no folder {output.parent} to write to')
    if batch < 1:
        raise ValueError(f'the batch must be at least 1, not {batch}')
    if precision not in PRECISIONS:
        raise ValueError(f'the precision must be one of {", ".join(PRECISIONS)}, not {precision!r}')
    if precision == 'int8' and len(pictures) < _MIN_PICTURES:
        raise ValueError(
            f'INT8 needs at least {_MIN_PICTURES} pictures with people, not {len(pictures)}: add '
            f'pictures'
        )


def _quantize(
    model: onnx.ModelProto, batch: int, pictures: Pictures
) -> tuple[onnx.ModelProto, tuple[float, float]]:
    """Return the checked INT8 model, and by how much it moves the joints in held-out pictures."""
    calibration, held_out = (
        [np.repeat(image[None], batch, axis=0) for people in part for image in people]
        for part in _split(pictures)
    )
    quantized = quantize(model, calibration)
    moved = joint_shift_mm(model, quantized, held_out)
    check_rounded(quantized, moved)
    return quantized, moved


def _split(pictures: Pictures) -> tuple[Pictures, Pictures]:
    """Return the pictures for calibration and those held out: the end of a video."""
    used = len(pictures) - len(pictures) // _HELD_OUT
    return pictures[:used], pictures[used:]


def _describe(model: onnx.ModelProto, checkpoint: Path, architecture: str, precision: str) -> None:
    """Store the origin of a model in its metadata."""
    properties = {
        'architecture': architecture,
        'precision': precision,
        'source': checkpoint.name,
        'source_sha256': hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        'license': 'that of the source',
        'hybrik_ros': __version__,
        'torch': torch.__version__,
        'onnx': onnx.__version__,
    }
    onnx.helper.set_model_props(model, properties)
