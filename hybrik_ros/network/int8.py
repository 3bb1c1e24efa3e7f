"""Static INT8 quantisation of a model for ONNX Runtime on a CPU, calibrated with images.

The layer of the heatmaps and all later layers stay in FP32: the mean over the 64^3 voxels of a
heatmap needs that precision.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from torch import Tensor, nn

Images = Sequence[NDArray[np.float32]]

# Rows, and columns, of the 4 x 4 kernel that contribute to the even and the odd rows of the output.
_TAPS = ((3, 1), (2, 0))


class UpConvolution(nn.Module):
    """A transposed convolution (4 x 4, stride 2, padding 1) as a convolution and a pixel shuffle.

    ONNX Runtime has transposed convolutions in FP32 only. Every pixel of the output depends on
    2 x 2 pixels of the input; four 2 x 2 kernels compute the even and odd rows and columns.

    Parameters
    ----------
    transposed : ConvTranspose2d
        The layer to replace.
    """

    def __init__(self, transposed: nn.ConvTranspose2d) -> None:
        super().__init__()
        weight = transposed.weight.data
        kernels = [
            weight[:, :, rows][:, :, :, columns].transpose(0, 1)
            for rows in _TAPS
            for columns in _TAPS
        ]
        inputs, outputs = weight.shape[:2]
        self.convolution = nn.Conv2d(inputs, 4 * outputs, 2, padding=1)
        self.convolution.weight.data = torch.cat(kernels)
        bias = torch.zeros(outputs) if transposed.bias is None else transposed.bias.data
        self.convolution.bias = nn.Parameter(bias.repeat(4))

    def forward(self, image: Tensor) -> Tensor:
        """Return maps (B, C', 2H, 2W) of maps (B, C, H, W)."""
        height, width = image.shape[2:]
        quarters = self.convolution(image).chunk(4, 1)
        cut = [
            quarter[:, :, row : row + height, column : column + width]
            for quarter, (row, column) in zip(
                quarters, ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True
            )
        ]
        return nn.functional.pixel_shuffle(torch.stack(cut, 2).flatten(1, 2), 2)


def as_convolutions(net: nn.Module) -> None:
    """Replace the transposed convolutions of a network by UpConvolution, in place."""
    for parent in list(net.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.ConvTranspose2d):
                setattr(parent, name, UpConvolution(layer))


def quantize(model: onnx.ModelProto, images: Images) -> onnx.ModelProto:
    """Quantise a model statically, in QDQ format (QuantizeLinear and DequantizeLinear pairs).

    Parameters
    ----------
    model : ModelProto
        FP32 model with folded batch norms.
    images : sequence of ndarray
        Calibration images (B, 3, 256, 256), normalised as in training.

    Returns
    -------
    ModelProto
        The quantised model, with the metadata of the given one.
    """
    properties = {entry.key: entry.value for entry in model.metadata_props}
    with TemporaryDirectory() as folder:
        exact, rounded = Path(folder, 'exact.onnx'), Path(folder, 'rounded.onnx')
        onnx.save(model, exact)
        with _without_warnings():
            quantize_static(
                exact,
                rounded,
                _Reader(images),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=['Conv', 'Add', 'MaxPool', 'Relu'],
                nodes_to_exclude=_nodes_from_heatmaps(model),
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        quantized = onnx.load(rounded)
    onnx.helper.set_model_props(quantized, properties)
    return quantized


def _nodes_from_heatmaps(model: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes of the heatmaps' layer and of all later nodes."""
    found: list[str] = []
    values: set[str] = set()
    for node in model.graph.node:  # in topological order
        if values.intersection(node.input) or any('final_layer' in name for name in node.input):
            found.append(node.name)
            values.update(node.output)
    return found


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Disable warnings: the quantizer recommends folding, which is already done."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


class _Reader(CalibrationDataReader):
    """Reader that returns the images one by one."""

    def __init__(self, images: Images) -> None:
        self._images: Iterator[NDArray[np.float32]] = iter(images)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        image = next(self._images, None)
        return None if image is None else {'image': image}
