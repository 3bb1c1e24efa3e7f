"""HybrIK's networks with random weights, to be timed: speed does not depend on the weights."""

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

_SHOWN = 2  # images from which INT8 learns how large values get


def write_models(
    architecture: str, folder: Path
) -> tuple[Callable[[NDArray[np.float32]], object], dict[str, Path]]:
    """Return what runs a network in torch, on one thread, and its ONNX models by precision.

    Parameters
    ----------
    architecture: one of hybrik_ros.network.hybrik_net.ARCHITECTURES.
    folder: for the models; of images (1, 3, 256, 256) named 'image'.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = HybrIKNet(architecture).eval()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):  # Those that are all equal, the exporter would share.
            nn.init.normal_(layer.bias, std=0.1)
    folded = deepcopy(net)
    fold_batch_norms(folded)
    exact = to_onnx(folded, 1)
    as_convolutions(folded)
    rng = np.random.default_rng(0)
    images = rng.standard_normal((_SHOWN, 1, 3, IMAGE_SIZE, IMAGE_SIZE)).astype(np.float32)
    models = {'FP32': exact, 'INT8': quantize(to_onnx(folded, 1), list(images))}
    paths = {precision: folder / f'{architecture}_{precision}.onnx' for precision in models}
    for precision, model in models.items():
        onnx.save(model, paths[precision])

    def run(image: NDArray[np.float32]) -> object:
        with torch.no_grad():
            return net(torch.from_numpy(image))

    return run, paths
