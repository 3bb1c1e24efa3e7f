"""ResNet-34 without its classifier.

References
----------
He et al.: Deep Residual Learning for Image Recognition (CVPR 2016, arXiv 1512.03385).
"""

from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from hybrik_ros.network.residual import BasicBlock


def _layer(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    """Return a stage of residual blocks, the first of which has the stride."""
    first = BasicBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs) for _ in range(blocks - 1)))


class ResNet34(nn.Module):
    """Backbone with 512 output maps of 1/32 of the image's size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _layer(64, 64, blocks=3, stride=1)
        self.layer2 = _layer(64, 128, blocks=4, stride=2)
        self.layer3 = _layer(128, 256, blocks=6, stride=2)
        self.layer4 = _layer(256, 512, blocks=3, stride=2)

    def forward(self, image: Tensor) -> Tensor:
        """Return maps (B, 512, H / 32, W / 32) of images (B, 3, H, W)."""
        maps = max_pool2d(relu(self.bn1(self.conv1(image))), 3, stride=2, padding=1)
        return self.layer4(self.layer3(self.layer2(self.layer1(maps))))
