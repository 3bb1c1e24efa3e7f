"""HybrIK's networks, which estimate joints, twist and shape from an image.

References
----------
Li et al.: HybrIK: A Hybrid Analytical-Neural Inverse Kinematics Solution for 3D Human Pose and
Shape Estimation (CVPR 2021, arXiv 2011.14672).
"""

import torch
from torch import Tensor, nn

from hybrik_ros.network.hrnet import HRNetW48
from hybrik_ros.network.resnet import ResNet34
from hybrik_ros.network.soft_argmax import SoftArgmax
from hybrik_ros.skeleton import NUM_JOINTS, NUM_POINTS

ARCHITECTURES = {'res34': 'ResNet-34', 'hrw48': 'HRNet-W48'}
IMAGE_SIZE = 256  # pixels
OUTPUTS = ('uvd', 'shape', 'phi', 'cam', 'sigma')

_HEATMAP_SIZE = 64  # voxels along each axis of a heatmap
_NUM_BETAS = 10
_NUM_TWISTS = NUM_JOINTS - 1


class HybrIKNet(nn.Module):
    """Network with heatmaps of the joints, and linear heads for shape, twist, camera and sigma.

    The keys of its state dict are those of the published checkpoints.

    Parameters
    ----------
    architecture : str
        One of ARCHITECTURES.

    Raises
    ------
    ValueError
        The architecture is unknown.
    """

    init_shape: Tensor
    init_cam: Tensor

    def __init__(self, architecture: str) -> None:
        super().__init__()
        if architecture not in ARCHITECTURES:
            names = ', '.join(ARCHITECTURES)
            raise ValueError(f'the architecture must be one of {names}, not {architecture!r}')
        self.architecture = architecture
        heatmaps = NUM_POINTS * _HEATMAP_SIZE
        if architecture == 'res34':
            features, camera = 1024, [0.9, 0.0, 0.0]
            self.preact: nn.Module = ResNet34()
            self.deconv_layers = nn.Sequential(
                *_deconvolution(512, 256), *_deconvolution(256, 256), *_deconvolution(256, 256)
            )
            self.final_layer = nn.Conv2d(256, heatmaps, 1)
            self.fc1 = nn.Linear(512, features)
            self.fc2 = nn.Linear(features, features)
        else:
            features, camera = 2048, [0.9]
            self.preact = HRNetW48(heatmaps, features)
        self.soft_argmax = SoftArgmax(_HEATMAP_SIZE)
        self.decshape = nn.Linear(features, _NUM_BETAS)
        self.decphi = nn.Linear(features, 2 * _NUM_TWISTS)
        self.deccam = nn.Linear(features, len(camera))
        self.decsigma = nn.Linear(features, NUM_POINTS)
        self.register_buffer('init_shape', torch.zeros(_NUM_BETAS))
        self.register_buffer('init_cam', torch.tensor(camera))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Estimate one person per image.

        Parameters
        ----------
        image : Tensor
            Images (B, 3, 256, 256), RGB, normalised as in training.

        Returns
        -------
        uvd : Tensor
            Joints and leaves (B, 29, 3): right, down and forward in the cube of the crop, with the
            origin in its centre and a side of 1.
        shape : Tensor
            SMPL betas (B, 10).
        phi : Tensor
            Cosine and sine (B, 23, 2) of the twist of every joint except the pelvis, not
            normalised.
        cam : Tensor
            Scale and translation (B, 3) for ResNet-34, scale (B, 1) for HRNet-W48.
        sigma : Tensor
            Uncertainty (B, 29) of each joint, in [0, 1].
        """
        if self.architecture == 'res34':
            maps = self.preact(image)
            heatmaps = self.final_layer(self.deconv_layers(maps))
            feature = self.fc2(self.fc1(maps.mean((2, 3))))
        else:
            heatmaps, maps = self.preact(image)
            feature = maps.mean((2, 3))
        cubes = heatmaps.reshape(-1, *3 * [_HEATMAP_SIZE])
        return {
            'uvd': self.soft_argmax(cubes).reshape(-1, NUM_POINTS, 3),
            'shape': self.decshape(feature) + self.init_shape,
            'phi': self.decphi(feature).reshape(-1, _NUM_TWISTS, 2),
            'cam': self.deccam(feature) + self.init_cam,
            'sigma': self.decsigma(feature).sigmoid(),
        }


def _deconvolution(inputs: int, outputs: int) -> list[nn.Module]:
    """Return layers that double the resolution of maps."""
    deconvolution = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False)
    return [deconvolution, nn.BatchNorm2d(outputs), nn.ReLU()]
