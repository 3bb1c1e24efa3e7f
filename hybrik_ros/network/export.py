"""From a published checkpoint to a verified ONNX file."""

import hashlib
import os
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
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

PRECISIONS = ('fp32', 'fp16', 'int8')
# Of the pictures for INT8, the last of so many parts shows what it costs, and is not used for it.
_PARTS = 4
_LEAST_PICTURES = 8


class ExportReport(NamedTuple):
    """What was written, and how it was proven.

    moved_mm: how far rounding to FP16 or INT8 moves the joints, mean and 95th percentile: of FP16
        in images of noise, of INT8 of people in pictures held out. None of FP32.
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
    pictures: Sequence[Sequence[NDArray[np.float32]]] = (),
) -> ExportReport:
    """Write a checkpoint's network as ONNX, once it is proven to do the same.

    Parameters
    ----------
    checkpoint: as load_checkpoint takes it.
    output: the .onnx to write; an older one is replaced as a whole or not at all.
    batch: images at once.
    precision: one of PRECISIONS; 'fp16' and 'int8' end at the heatmaps.
    pictures: the people in each, (3, 256, 256), normalised, as the network will see them: for
        'int8'.

    Raises
    ------
    FileNotFoundError: there is no such checkpoint, or no folder for the output.
    ValueError: another argument is wrong, a weight too large for FP16, or too few pictures.
    CheckpointError: the checkpoint does not fit, or cannot be read safely.
    VerificationError: the model is not what it should be.
    """
    if output.suffix != '.onnx':
        raise ValueError(f'the output must be named .onnx, not {output.name}')
    if not output.parent.is_dir():
        raise FileNotFoundError(f'there is no folder {output.parent} to write to')
    if batch < 1:
        raise ValueError(f'the batch must be at least 1, not {batch}')
    if precision not in PRECISIONS:
        raise ValueError(f'the precision must be one of {", ".join(PRECISIONS)}, not {precision!r}')
    if precision == 'int8' and len(pictures) < _LEAST_PICTURES:
        raise ValueError(
            f'INT8 takes at least {_LEAST_PICTURES} pictures with people, and there are '
            f'{len(pictures)}'
        )
    # Threads that wait for a core in use would make all this many times slower.
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
        net = folded  # What rounding costs is no fault of the model's.
    title = f'{ARCHITECTURES[net.architecture]}, {precision}'
    report = ExportReport(title, check_operators(model), compare(model, net, batch))
    if precision == 'int8':
        shown, held_out = (
            [np.repeat(image[None], batch, axis=0) for people in part for image in people]
            for part in _divided(pictures)
        )
        exact, model = model, quantize(model, shown)
        moved = joint_shift_mm(exact, model, held_out)
        check_rounded(model, moved)
    if precision != 'fp32':
        report = report._replace(moved_mm=moved)
    _write(output, model.SerializeToString())
    return report


def _divided(
    pictures: Sequence[Sequence[NDArray[np.float32]]],
) -> tuple[Sequence[Sequence[NDArray[np.float32]]], Sequence[Sequence[NDArray[np.float32]]]]:
    """Return the pictures that are used, and those held out: of a video, its end."""
    used = len(pictures) - len(pictures) // _PARTS
    return pictures[:used], pictures[used:]


def _describe(model: onnx.ModelProto, checkpoint: Path, architecture: str, precision: str) -> None:
    """Write down in the model what it was made from, and with what."""
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


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with TemporaryDirectory(dir=path.parent, prefix=f'.{path.name}-') as folder:
        unfinished = Path(folder, path.name)
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
