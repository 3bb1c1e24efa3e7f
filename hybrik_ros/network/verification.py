"""Verification that an exported ONNX model computes the same as its network in torch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from hybrik_ros.camera import Region
from hybrik_ros.inference import open_runner
from hybrik_ros.network.hybrik_net import IMAGE_SIZE, OUTPUTS, HybrIKNet
from hybrik_ros.network.operators import TENSORRT_OPERATORS
from hybrik_ros.network.residual import BasicBlock, Bottleneck
from hybrik_ros.perception.hybrik import CUBE, crop

_MAX_JOINT_MM = 0.01  # maximum distance in millimetres between the joints of both libraries
_CUBE_MM = 1000 * CUBE  # side of the cube of a crop in millimetres
_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
# Maximum mean distance in millimetres by which INT8 may move joints. The joint error of the network
# itself is about 50 mm.
_MAX_MOVED_MM = 20.0
# Maximum ratio of a difference to the FP32 rounding error of torch, if that is above _MAX_JOINT_MM.
_MAX_ROUNDING_RATIO = 10.0

Floats = NDArray[np.floating]  # of any precision


class VerificationError(ValueError):
    """A model is invalid, or its outputs differ from those of the network."""


class OutputDifference(NamedTuple):
    """Maximum difference between the outputs of ONNX Runtime and torch, and its limits.

    Attributes
    ----------
    joint_mm, max_joint_mm : float
        Distance of a joint in millimetres, and its limit.
    other, max_other : float
        Difference in shape, phi, cam or sigma, and its limit.
    """

    joint_mm: float
    max_joint_mm: float
    other: float
    max_other: float = 1e-3

    @property
    def is_small(self) -> bool:
        """Whether the differences are within their limits; NaN is not."""
        return self.joint_mm <= self.max_joint_mm and self.other <= self.max_other


def check_operators(model: onnx.ModelProto) -> list[str]:
    """Return the names of a model's operators, after checking them.

    Parameters
    ----------
    model : ModelProto
        The model.

    Returns
    -------
    list of str
        Names in alphabetical order.

    Raises
    ------
    VerificationError
        The model is invalid, or has an operator that TensorRT 8.5 to 10 does not support.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise VerificationError(f'the model is not valid ONNX: {error}') from error
    operators = sorted({node.op_type for node in model.graph.node})
    unknown = [name for name in operators if name not in TENSORRT_OPERATORS]
    if unknown:
        raise VerificationError(
            f'the model has operators that not all of TensorRT 8.5 to 10 support: '
            f'{", ".join(unknown)}'
        )
    return operators


def compare(model: onnx.ModelProto, net: HybrIKNet, batch: int) -> dict[str, OutputDifference]:
    """Compare the outputs of ONNX Runtime and torch for several inputs.

    Parameters
    ----------
    model : ModelProto
        The model that ONNX Runtime runs.
    net : HybrIKNet
        The network that torch runs, with the same weights.
    batch : int
        Batch size of the model.

    Returns
    -------
    dict
        Differences by input: 'noise', 'black images', and 'coincident joints', for which the
        heatmaps are constant.

    Raises
    ------
    VerificationError
        A difference is above its limit, which is 0.01 mm at the joints, or 10 times the rounding
        error of FP32 if that is more.
    """
    noise = _noise(batch)
    empty = np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    black = np.tile(crop(empty, Region(np.full(2, IMAGE_SIZE / 2), IMAGE_SIZE)), (batch, 1, 1, 1))
    differences = {}
    for name, difference in chain(
        _differences(model, net, {'noise': noise, 'black images': black}),
        _differences(*_without_heatmaps(model, net), {'coincident joints': noise}),
    ):
        if not difference.is_small:
            raise VerificationError(
                f'for {name}, ONNX Runtime and torch differ by {difference.joint_mm:.4f} mm at '
                f'the joints (limit {difference.max_joint_mm:.4f} mm) and {difference.other:.1e} '
                f'in shape, phi, cam or sigma (limit {difference.max_other:.1e})'
            )
        differences[name] = difference
    return differences


def round_weights(net: nn.Module) -> None:
    """Round the weights of the convolutions to FP16, in place, as `halve` does in a model."""
    for module in net.modules():
        if isinstance(module, _CONVOLUTIONS):
            for weight in module.parameters():
                weight.data = weight.data.half().float()


def half_shift_mm(net: HybrIKNet, batch: int) -> tuple[float, float]:
    """Measure by how much FP16 moves the joints in images of noise.

    Torch simulates the FP16 of a GPU: weights and outputs of the convolutions are rounded up to the
    heatmaps, sums within a convolution are FP32. ONNX Runtime on a CPU would omit most roundings.

    Parameters
    ----------
    net : HybrIKNet
        The network in FP32.
    batch : int
        Number of images per inference.

    Returns
    -------
    tuple of float
        Mean and 95th percentile of the distances in millimetres.
    """
    rounded = deepcopy(net)
    round_weights(rounded)
    for module in rounded.modules():
        if isinstance(module, (*_CONVOLUTIONS, BasicBlock, Bottleneck)):
            module.register_forward_hook(lambda _module, _inputs, maps: maps.half().float())
    images = [_noise(batch, seed).astype(np.float16).astype(np.float32) for seed in range(2)]
    return _shift_mm(
        [_infer(net, image)['uvd'] for image in images],
        [_infer(rounded, image)['uvd'] for image in images],
    )


def check_rounded(model: onnx.ModelProto, moved_mm: tuple[float, float]) -> None:
    """Check an INT8 model.

    Parameters
    ----------
    model : ModelProto
        The model.
    moved_mm : tuple of float
        Mean and 95th percentile of the distances in millimetres by which it moves the joints.

    Raises
    ------
    VerificationError
        The model is invalid, or the mean distance is above 20 mm.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise VerificationError(f'the INT8 model is not valid ONNX: {error}') from error
    if not moved_mm[0] <= _MAX_MOVED_MM:
        raise VerificationError(
            f'INT8 moves the joints by {moved_mm[0]:.0f} mm on average, which is more than '
            f'{_MAX_MOVED_MM:.0f} mm: use fp32, or calibrate with more people'
        )


def joint_shift_mm(
    exact: onnx.ModelProto, rounded: onnx.ModelProto, images: Sequence[Floats]
) -> tuple[float, float]:
    """Measure by how much rounding moves the joints.

    Parameters
    ----------
    exact, rounded : ModelProto
        The model in FP32 and in INT8.
    images : sequence of ndarray
        Images (B, 3, 256, 256), normalised for the network.

    Returns
    -------
    tuple of float
        Mean and 95th percentile of the distances in millimetres.
    """
    wanted, found = ([outputs['uvd'] for outputs in _run(m, images)] for m in (exact, rounded))
    return _shift_mm(wanted, found)


def _shift_mm(wanted: Sequence[Floats], found: Sequence[Floats]) -> tuple[float, float]:
    """Return the mean and the 95th percentile of the distances between joints."""
    shifts = _CUBE_MM * np.linalg.norm(np.subtract(found, wanted), axis=-1)
    return float(shifts.mean()), float(np.percentile(shifts, 95))


def _noise(batch: int, seed: int = 0) -> NDArray[np.float32]:
    """Return images (batch, 3, 256, 256) of standard normal noise."""
    shape = (batch, 3, IMAGE_SIZE, IMAGE_SIZE)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _differences(
    model: onnx.ModelProto, net: HybrIKNet, images: Mapping[str, Floats]
) -> Iterator[tuple[str, OutputDifference]]:
    """Yield the difference for each image."""
    outputs = _run(model, images.values())
    for (name, image), found in zip(images.items(), outputs, strict=True):
        yield name, _difference(found, net, image)


def _run(model: onnx.ModelProto, images: Iterable[Floats]) -> Iterator[dict[str, Floats]]:
    """Yield the outputs of ONNX Runtime for each image."""
    with TemporaryDirectory() as folder:
        path = Path(folder, 'model.onnx')
        onnx.save(model, path)
        with open_runner(path, 'onnxruntime') as runner:
            for image in images:
                yield runner.infer({'image': image})


def _difference(outputs: Mapping[str, Floats], net: HybrIKNet, image: Floats) -> OutputDifference:
    """Return the difference of outputs from those of torch."""
    wanted = _infer(net, image)
    joint_mm, limit_mm = _joint_mm(outputs, wanted), _MAX_JOINT_MM
    if joint_mm > limit_mm:
        # Heatmaps of high contrast amplify the rounding errors of FP32 in any implementation.
        exact = _infer(deepcopy(net).double(), image.astype(np.float64))
        limit_mm = max(limit_mm, _MAX_ROUNDING_RATIO * _joint_mm(wanted, exact))
    others = [outputs[name] - wanted[name] for name in OUTPUTS if name != 'uvd']
    other = float(np.max([np.abs(errors).max() for errors in others]))  # propagates NaN
    return OutputDifference(joint_mm, limit_mm, other)


def _infer(net: HybrIKNet, image: Floats) -> dict[str, Floats]:
    """Return the outputs of torch."""
    with torch.no_grad():
        return {name: output.numpy() for name, output in net(torch.from_numpy(image)).items()}


def _joint_mm(outputs: Mapping[str, Floats], wanted: Mapping[str, Floats]) -> float:
    """Return the maximum distance between joints in millimetres."""
    return _CUBE_MM * float(np.linalg.norm(outputs['uvd'] - wanted['uvd'], axis=-1).max())


def _without_heatmaps(model: onnx.ModelProto, net: HybrIKNet) -> tuple[onnx.ModelProto, HybrIKNet]:
    """Return copies of both with constant heatmaps, so that all joints coincide."""
    model, net = deepcopy(model), deepcopy(net)
    zeroed = {name: weight for name, weight in net.named_parameters() if 'final_layer' in name}
    for weight in zeroed.values():
        weight.data.zero_()
    for initializer in model.graph.initializer:
        if initializer.name in zeroed:
            initializer.raw_data = bytes(len(initializer.raw_data))
    return model, net
