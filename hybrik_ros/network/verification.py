"""Proof that an ONNX model computes what its network does, from operators of TensorRT's."""

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

_MAX_JOINT_MM = 0.01
_CUBE_MM = 1000 * CUBE
_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
_MOST_MOVED_MM = 20.0  # of joints that the network itself puts some 50 off
_ROUNDINGS = 10.0  # how many of torch's own errors explain a difference

Array = NDArray[np.floating]


class VerificationError(ValueError):
    """A model is not what it should be."""


class OutputDifference(NamedTuple):
    """How far ONNX Runtime is from torch, at worst, and how far it may be.

    joint_mm: distance of a joint. other: in shape, phi, cam or sigma.
    """

    joint_mm: float
    max_joint_mm: float
    other: float
    max_other: float = 1e-3

    @property
    def is_small(self) -> bool:
        """Tell whether the limits are kept; NaN keeps none."""
        return self.joint_mm <= self.max_joint_mm and self.other <= self.max_other


def check_operators(model: onnx.ModelProto) -> list[str]:
    """Return the names of a model's operators.

    Raises
    ------
    VerificationError: the model is invalid, or has an operator that TensorRT 8.5 or 10 lacks.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise VerificationError(f'the model is no valid ONNX: {error}') from error
    operators = sorted({node.op_type for node in model.graph.node})
    unknown = [name for name in operators if name not in TENSORRT_OPERATORS]
    if unknown:
        raise VerificationError(f'not every TensorRT from 8.5 to 10 has {", ".join(unknown)}')
    return operators


def compare(model: onnx.ModelProto, net: HybrIKNet, batch: int) -> dict[str, OutputDifference]:
    """Return how far ONNX Runtime is from torch, by what they were given.

    Parameters
    ----------
    model: what ONNX Runtime runs.
    net: what torch runs, with the same weights.
    batch: images of the model.

    Raises
    ------
    VerificationError: a limit is broken: 0.01 mm at the joints, or what rounding explains if more.
    """
    noise = _noise(batch)
    nothing = np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    black = np.tile(crop(nothing, Region(np.full(2, IMAGE_SIZE / 2), IMAGE_SIZE)), (batch, 1, 1, 1))
    differences = {}
    for name, difference in chain(
        _differences(model, net, {'noise': noise, 'black images': black}),
        _differences(*_without_heatmaps(model, net), {'bones of no length': noise}),
    ):
        if not difference.is_small:
            raise VerificationError(
                f'given {name}, ONNX Runtime and torch differ by {difference.joint_mm:.4f} mm at '
                f'the joints (at most {difference.max_joint_mm:.4f} mm) and {difference.other:.1e} '
                f'in shape, phi, cam or sigma (at most {difference.max_other:.1e})'
            )
        differences[name] = difference
    return differences


def round_weights(net: nn.Module) -> None:
    """Round the weights of what convolves to FP16, in place, as halve() rounds them in a model."""
    for module in net.modules():
        if isinstance(module, _CONVOLUTIONS):
            for weight in module.parameters():
                weight.data = weight.data.half().float()


def half_shift_mm(net: HybrIKNet, batch: int) -> tuple[float, float]:
    """Return how far FP16 moves the joints in images of noise, mm: mean and 95th percentile.

    ONNX Runtime leaves most roundings out on a CPU. Here torch does those of all weights and of all
    that is convolved, up to the heatmaps; sums within a convolution are FP32, as on a GPU.
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
    """Check an INT8 model, and what it costs.

    Raises
    ------
    VerificationError: the model is invalid, or moves joints by more than is of use.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise VerificationError(f'the INT8 model is no valid ONNX: {error}') from error
    if not moved_mm[0] <= _MOST_MOVED_MM:
        raise VerificationError(
            f'INT8 moves the joints by {moved_mm[0]:.0f} mm on the mean, and more than '
            f'{_MOST_MOVED_MM:.0f} is of no use: take fp32, or calibrate with more people'
        )


def joint_shift_mm(
    exact: onnx.ModelProto, rounded: onnx.ModelProto, images: Sequence[Array]
) -> tuple[float, float]:
    """Return how far rounding moves the joints in some images, mm: mean and 95th percentile."""
    wanted, found = ([outputs['uvd'] for outputs in _run(m, images)] for m in (exact, rounded))
    return _shift_mm(wanted, found)


def _shift_mm(wanted: Sequence[Array], found: Sequence[Array]) -> tuple[float, float]:
    """Return the mean and the 95th percentile of the distances between joints."""
    shifts = _CUBE_MM * np.linalg.norm(np.subtract(found, wanted), axis=-1)
    return float(shifts.mean()), float(np.percentile(shifts, 95))


def _noise(batch: int, seed: int = 0) -> NDArray[np.float32]:
    """Return images that show nothing, normalised: (batch, 3, 256, 256)."""
    shape = (batch, 3, IMAGE_SIZE, IMAGE_SIZE)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _differences(
    model: onnx.ModelProto, net: HybrIKNet, images: Mapping[str, Array]
) -> Iterator[tuple[str, OutputDifference]]:
    outputs = _run(model, images.values())
    for (name, image), found in zip(images.items(), outputs, strict=True):
        yield name, _difference(found, net, image)


def _run(model: onnx.ModelProto, images: Iterable[Array]) -> Iterator[dict[str, Array]]:
    """Yield the outputs that ONNX Runtime gives for each image."""
    with TemporaryDirectory() as folder:
        path = Path(folder, 'model.onnx')
        onnx.save(model, path)
        with open_runner(path, 'onnxruntime') as runner:
            for image in images:
                yield runner.infer({'image': image})


def _difference(outputs: Mapping[str, Array], net: HybrIKNet, image: Array) -> OutputDifference:
    wanted = _infer(net, image)
    joint_mm, limit_mm = _joint_mm(outputs, wanted), _MAX_JOINT_MM
    if joint_mm > limit_mm:
        # Heatmaps of high contrast enlarge the rounding of FP32: no two programs agree better.
        exact = _infer(deepcopy(net).double(), image.astype(np.float64))
        limit_mm = max(limit_mm, _ROUNDINGS * _joint_mm(wanted, exact))
    others = [outputs[name] - wanted[name] for name in OUTPUTS if name != 'uvd']
    other = float(np.max([np.abs(errors).max() for errors in others]))  # NaN if one is.
    return OutputDifference(joint_mm, limit_mm, other)


def _infer(net: HybrIKNet, image: Array) -> dict[str, Array]:
    with torch.no_grad():
        return {name: output.numpy() for name, output in net(torch.from_numpy(image)).items()}


def _joint_mm(outputs: Mapping[str, Array], wanted: Mapping[str, Array]) -> float:
    """Return the largest distance between joints."""
    return _CUBE_MM * float(np.linalg.norm(outputs['uvd'] - wanted['uvd'], axis=-1).max())


def _without_heatmaps(model: onnx.ModelProto, net: HybrIKNet) -> tuple[onnx.ModelProto, HybrIKNet]:
    """Return both with a zero last layer before the heatmaps, where all joints fall together."""
    model, net = deepcopy(model), deepcopy(net)
    zeroed = {name: weight for name, weight in net.named_parameters() if 'final_layer' in name}
    for weight in zeroed.values():
        weight.data.zero_()
    for initializer in model.graph.initializer:
        if initializer.name in zeroed:
            initializer.raw_data = bytes(len(initializer.raw_data))
    return model, net
