"""Residual blocks of both networks.

References
----------
He et al.: Deep Residual Learning for Image Recognition (CVPR 2016, arXiv 1512.03385).
"""

from torch import Tensor, nn
from torch.nn.functional import relu


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """Return a convolution without bias, padded so that only the stride changes the size."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Return layers that convert a block's input to the shape of its output; empty if equal."""
    if stride == 1 and inputs == outputs:
        return nn.Sequential()
    return nn.Sequential(convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """Residual block of two 3 x 3 convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = convolution(inputs, outputs, 3, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = convolution(outputs, outputs, 3)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = shortcut(inputs, outputs, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (B, outputs, H / stride, W / stride)."""
        residual = relu(self.bn1(self.conv1(maps)))
        residual = self.bn2(self.conv2(residual))
        return relu(residual + self.downsample(maps))


class Bottleneck(nn.Module):
    """Residual block of a 3 x 3 convolution with few channels between two 1 x 1 convolutions."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.conv1 = convolution(inputs, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = convolution(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = convolution(width, outputs, 1)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = shortcut(inputs, outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (B, 4 width, H, W)."""
        residual = relu(self.bn1(self.conv1(maps)))
        residual = relu(self.bn2(self.conv2(residual)))
        residual = self.bn3(self.conv3(residual))
        return relu(residual + self.downsample(maps))
