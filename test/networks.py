"""Networks with reproducible weights, in place of the checkpoints, which are not free."""

import json
import zlib
from functools import cache
from math import prod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

DATA = Path(__file__).parent / 'data'

# Threads that wait for a busy core make torch many times slower.
torch.set_num_threads(1)


def published_shapes(architecture: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes in the published state dict."""
    keys = json.loads((DATA / f'keys_{architecture}.json').read_text())
    return {key: tuple(shape) for key, (shape, _) in keys.items() if not key.startswith('smpl.')}


@cache
def seeded_state(architecture: str) -> dict[str, torch.Tensor]:
    """Return the weights that the golden outputs were computed with; see data/README.md."""
    shapes = published_shapes(architecture)
    return {key: torch.from_numpy(_seeded(key, shape)) for key, shape in shapes.items()}


def _seeded(key: str, shape: tuple[int, ...]) -> NDArray[np.float32 | np.int64]:
    if key.endswith('num_batches_tracked'):
        return np.zeros(shape, np.int64)
    normal = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
    normal = normal.astype(np.float32)
    if key.endswith('running_var'):
        return 1 + 0.1 * np.abs(normal)
    if key.endswith(('running_mean', 'bias')):
        return 0.1 * normal
    if len(shape) == 1:
        return 0.6 * (1 + 0.1 * normal)
    gain = 2 if len(shape) == 4 else 1
    contrast = 40 if key.endswith('final_layer.weight') else 1
    return normal * np.float32(contrast * np.sqrt(gain / prod(shape[1:])))


def write_checkpoint(folder: Path) -> Path:
    """Write ResNet-34 with these weights as the published checkpoints are; return the file."""
    path = folder / 'hybrik.pth'
    torch.save(seeded_state('res34'), path)
    return path


def golden_image(batch: int) -> torch.Tensor:
    """Return the images, (batch, 3, 256, 256), that the golden outputs belong to."""
    images = np.random.default_rng(21).standard_normal((batch, 3, 256, 256))
    return torch.from_numpy(images.astype(np.float32))
