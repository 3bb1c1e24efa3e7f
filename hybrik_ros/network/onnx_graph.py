"""A network as an ONNX model that ONNX Runtime and TensorRT run."""

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import torch

from hybrik_ros.network.hybrik_net import IMAGE_SIZE, OUTPUTS, HybrIKNet

OPSET = 17  # the newest that TensorRT 8.5, of JetPack 5, reads


def to_onnx(net: HybrIKNet, batch: int) -> onnx.ModelProto:
    """Return the FP32 model of a network.

    Parameters
    ----------
    net: in eval mode, its batch norms folded.
    batch: images at once; TensorRT is fastest where it knows all shapes.

    Returns
    -------
    model: from `image`, (batch, 3, 256, 256), to the outputs that HybrIKNet.forward names.
    """
    image = torch.zeros(batch, 3, IMAGE_SIZE, IMAGE_SIZE)
    with TemporaryDirectory() as folder, warnings.catch_warnings(), torch.no_grad():
        path = Path(folder, 'model.onnx')
        # torch has a newer exporter, which writes no opset below 18.
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
