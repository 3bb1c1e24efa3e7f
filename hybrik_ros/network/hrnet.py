"""HRNet-W48, with the heads for heatmaps and for a feature.

Up to four parallel branches, each with half the resolution and twice the channels of the previous
one. The first branch gives the heatmaps, as in the paper's pose network; all branches give the
feature, through the head of the paper's classification network.

References
----------
Wang et al.: Deep High-Resolution Representation Learning for Visual Recognition (2020, arXiv
1908.07919).
"""

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from hybrik_ros.network.residual import BasicBlock, Bottleneck, convolution

_WIDTHS = (48, 96, 192, 384)  # channels of the branches
_HEAD_WIDTHS = (32, 64, 128, 256)  # widths of the head's bottlenecks; outputs are 4 times wider


def _step(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Return a layer that keeps or halves the resolution."""
    return nn.Sequential(
        convolution(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def _exchange(source: int, target: int) -> nn.Module:
    """Return layers that convert the maps of one branch to the shape of another."""
    inputs, outputs = _WIDTHS[source], _WIDTHS[target]
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(
            convolution(inputs, outputs, 1),
            nn.BatchNorm2d(outputs),
            nn.Upsample(scale_factor=2 ** (source - target), mode='nearest'),
        )
    steps = [_step(inputs, inputs, stride=2) for _ in range(target - source - 1)]
    last = nn.Sequential(convolution(inputs, outputs, 3, stride=2), nn.BatchNorm2d(outputs))
    return nn.Sequential(*steps, last)


class _Parallel(nn.ModuleList):
    """Parallel layers, one for each element of the input."""

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the output of each layer."""
        return [layer(own) for layer, own in zip(self, maps, strict=True)]


class _Exchange(nn.Module):
    """Four blocks per branch, then fusion: each branch becomes the sum over all branches."""

    def __init__(self, branches: int) -> None:
        super().__init__()
        self.branches = _Parallel(
            nn.Sequential(*(BasicBlock(width, width) for _ in range(4)))
            for width in _WIDTHS[:branches]
        )
        self.fuse_layers = nn.ModuleList(
            _Parallel(_exchange(source, target) for source in range(branches))
            for target in range(branches)
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Return maps of the input shapes (B, width, H, W), one per branch."""
        maps = self.branches(maps)
        return [relu(reduce(torch.add, layers(maps))) for layers in self.fuse_layers]


def _stage(branches: int, modules: int) -> nn.Sequential:
    """Return a stage of several exchange modules."""
    return nn.Sequential(*(_Exchange(branches) for _ in range(modules)))


def _new_branch(branches: int) -> _Parallel:
    """Return layers that keep the branches and derive one more from the last."""
    inputs, outputs = _WIDTHS[branches - 1 : branches + 1]
    kept = [nn.Identity() for _ in range(branches)]
    return _Parallel([*kept, nn.Sequential(_step(inputs, outputs, stride=2))])


class HRNetW48(nn.Module):
    """HRNet-W48 with two outputs: heatmaps and feature maps.

    Parameters
    ----------
    heatmaps : int
        Number of heatmaps.
    features : int
        Number of feature maps.
    """

    def __init__(self, heatmaps: int, features: int) -> None:
        super().__init__()
        self.conv1 = convolution(3, 64, 3, stride=2)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = convolution(64, 64, 3, stride=2)
        self.bn2 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(Bottleneck(64, 64), *(Bottleneck(256, 64) for _ in range(3)))
        first, second = _WIDTHS[:2]
        self.transition1 = _Parallel(
            [_step(256, first, stride=1), nn.Sequential(_step(256, second, stride=2))]
        )
        self.stage2 = _stage(branches=2, modules=1)
        self.transition2 = _new_branch(2)
        self.stage3 = _stage(branches=3, modules=4)
        self.transition3 = _new_branch(3)
        self.stage4 = _stage(branches=4, modules=3)
        self.final_layer = nn.Conv2d(first, heatmaps, 1)
        self._add_head(features)

    def _add_head(self, features: int) -> None:
        """Add the layers of the feature's head."""
        outputs = [4 * width for width in _HEAD_WIDTHS]
        self.incre_modules = _Parallel(
            nn.Sequential(Bottleneck(inputs, width))
            for inputs, width in zip(_WIDTHS, _HEAD_WIDTHS, strict=True)
        )
        self.downsamp_modules = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(finer, coarser, 3, stride=2, padding=1),
                nn.BatchNorm2d(coarser),
                nn.ReLU(),
            )
            for finer, coarser in pairwise(outputs)
        )
        self.final_feat_layer = nn.Sequential(
            nn.Conv2d(outputs[-1], features, 1), nn.BatchNorm2d(features), nn.ReLU()
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Run the network.

        Parameters
        ----------
        image : Tensor
            Images (B, 3, H, W).

        Returns
        -------
        heatmaps : Tensor
            Heatmaps (B, heatmaps, H / 4, W / 4), not normalised.
        maps : Tensor
            Feature maps (B, features, H / 32, W / 32).
        """
        stem = relu(self.bn2(self.conv2(relu(self.bn1(self.conv1(image))))))
        maps = [self.layer1(stem)]
        maps = self.stage2(self.transition1([*maps, maps[-1]]))
        maps = self.stage3(self.transition2([*maps, maps[-1]]))
        maps = self.stage4(self.transition3([*maps, maps[-1]]))
        return self.final_layer(maps[0]), self._feature_maps(maps)

    def _feature_maps(self, maps: list[Tensor]) -> Tensor:
        """Downsample the finer branches step by step and add each branch."""
        first, *others = self.incre_modules(maps)
        for down, own in zip(self.downsamp_modules, others, strict=True):
            first = own + down(first)
        return self.final_feat_layer(first)
