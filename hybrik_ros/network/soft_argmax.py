"""Where the mass of a heatmap lies: soft-argmax (Sun et al., 2018, arXiv 1711.08229)."""

import torch
from torch import Tensor, nn


class SoftArgmax(nn.Module):
    """The mean position in cubes of probability.

    Parameters
    ----------
    size: voxels along each side of a cube.
    """

    plane: Tensor
    depth: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        position, one = torch.arange(-0.5, 0.5, 1 / size), torch.ones(size)
        # Products with these give mass and first moments in one pass over the voxels.
        plane = torch.stack(
            [position.repeat(size), position.repeat_interleave(size), one.repeat(size)], -1
        )
        self.register_buffer('plane', plane, persistent=False)
        self.register_buffer('depth', torch.stack([one, position]), persistent=False)

    def forward(self, logits: Tensor) -> Tensor:
        """Return (N, 3): u, v, d as shares of the side, the cube's first voxel at -0.5.

        Parameters
        ----------
        logits: (N, size, size, size), along d, v, u.
        """
        volume = logits.reshape(-1, self.size**3).softmax(-1)
        # (N, 2, 3): once as it is and once times d; of these u, v and the mass itself.
        moments = self.depth @ volume.reshape(-1, self.size, self.size**2) @ self.plane
        uv, mass = moments[:, 0].split([2, 1], -1)
        d = moments[:, 1, 2:]
        # A softmax over so many voxels does not quite sum up to one.
        return torch.cat([uv, d], -1) / mass
