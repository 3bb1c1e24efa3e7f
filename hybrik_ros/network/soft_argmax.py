"""Soft-argmax: the expected position of a heatmap.

References
----------
Sun et al.: Integral Human Pose Regression (ECCV 2018, arXiv 1711.08229).
"""

import torch
from torch import Tensor, nn


class SoftArgmax(nn.Module):
    """Layer that computes the mean position of three-dimensional heatmaps.

    Parameters
    ----------
    size : int
        Number of voxels along each axis.
    """

    plane: Tensor
    depth: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        position, one = torch.arange(-0.5, 0.5, 1 / size), torch.ones(size)
        # Products with these matrices give mass and first moments in one pass over the voxels.
        plane = torch.stack(
            [position.repeat(size), position.repeat_interleave(size), one.repeat(size)], -1
        )
        self.register_buffer('plane', plane, persistent=False)
        self.register_buffer('depth', torch.stack([one, position]), persistent=False)

    def forward(self, logits: Tensor) -> Tensor:
        """Compute the mean position of each heatmap.

        Parameters
        ----------
        logits : Tensor
            Heatmaps (N, size, size, size) before the softmax, with the axes d, v, u.

        Returns
        -------
        Tensor
            Positions (N, 3): u, v, d in units of the side; the first voxel is at -0.5.
        """
        volume = logits.reshape(-1, self.size**3).softmax(-1)
        # (N, 2, 3): sums of (u, v, 1), weighted by 1 and by d.
        moments = self.depth @ volume.reshape(-1, self.size, self.size**2) @ self.plane
        uv, mass = moments[:, 0].split([2, 1], -1)
        d = moments[:, 1, 2:]
        # The sum of a softmax over 64^3 voxels differs from 1 by rounding.
        return torch.cat([uv, d], -1) / mass
