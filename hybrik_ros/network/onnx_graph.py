"""Conversion of a network to an ONNX model for ONNX Runtime and TensorRT."""

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import torch

from hybrik_ros.network.hybrik_net import IMAGE_SIZE, OUTPUTS, HybrIKNet

OPSET = 17  # maximum that TensorRT 8.5 (JetPack 5) supports


def to_onnx(net: HybrIKNet, batch: int) -> onnx.ModelProto:
    """Convert a network to an FP32 model.

    Parameters
    ----------
    net : HybrIKNet
        Network in eval mode with folded batch norms.
    batch : int
        Batch size; it is fixed, since TensorRT is fastest with static shapes.

    Returns
    -------
    ModelProto
        Model with the input 'image' (batch, 3, 256, 256) and the outputs of `HybrIKNet.forward`.
    """
    image = torch.zeros(batch, 3, IMAGE_SIZE, IMAGE_SIZE)
    with TemporaryDirectory() as folder, warnings.catch_warnings(), torch.no_grad():
        path = Path(folder, 'model.onnx')
        # The newer exporter of torch (dynamo) writes no opset below 18.
        warnings.simplefilter('ignore', DeprecationWarning)
        torch.onnx.export(
            net,
            (image,),
            path,
            input_names=['image'],
            output_names=list(OUTPUTS),
            opset_version=OPSET,
            dynamo=False,
        )
        return onnx.load(path)
