"""HybrIK's networks with random weights, for benchmarks: speed does not depend on the weights."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from hybrik_ros.network.folding import fold_batch_norms
from hybrik_ros.network.hybrik_net import IMAGE_SIZE, HybrIKNet
from hybrik_ros.network.int8 import as_convolutions, quantize
from hybrik_ros.network.onnx_graph import to_onnx

_NUM_CALIBRATION_IMAGES = 2  # for INT8; accuracy is not measured here


def write_models(
    architecture: str, folder: Path
) -> tuple[Callable[[NDArray[np.float32]], object], dict[str, Path]]:
    """Write the ONNX models of a network with random weights.

    Parameters
    ----------
    architecture : str
        One of hybrik_ros.network.hybrik_net.ARCHITECTURES.
    folder : Path
        Folder for the models. Their input 'image' is (1, 3, 256, 256).

    Returns
    -------
    run : callable
        Runs the network in torch, on one thread, for an image (1, 3, 256, 256), float32.
    paths : dict
        The .onnx files by precision, 'FP32' and 'INT8'.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = HybrIKNet(architecture).eval()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):  # The exporter would merge equal layers.
            nn.init.normal_(layer.bias, std=0.1)
    folded = deepcopy(net)
    fold_batch_norms(folded)
    exact = to_onnx(folded, 1)
    as_convolutions(folded)
    rng = np.random.default_rng(0)
    shape = (_NUM_CALIBRATION_IMAGES, 1, 3, IMAGE_SIZE, IMAGE_SIZE)
    images = rng.standard_normal(shape).astype(np.float32)
    models = {'FP32': exact, 'INT8': quantize(to_onnx(folded, 1), list(images))}
    paths = {precision: folder / f'{architecture}_{precision}.onnx' for precision in models}
    for precision, model in models.items():
        onnx.save(model, paths[precision])

    def run(image: NDArray[np.float32]) -> object:
        with torch.no_grad():
            return net(torch.from_numpy(image))

    return run, paths
