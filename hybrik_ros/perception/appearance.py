"""What people wear, in two colours: by these they are told apart where they pass each other."""

import cv2
import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.perception import coco

NOT_SEEN: Array = np.full((2, 3), np.nan)

# In the CIELAB space. Light and shade change the lightness most, and that of all people.
_LIGHTNESS = 0.5
# Two colours so far apart are those of different clothes; folds and noise make a tenth of that,
# the way from the sun into the shade up to two thirds.
_DIFFERENT = 20.0

# Where a shirt and trousers are looked at, as shares of shoulders, hips and knees, left and right:
# all over the trunk but its rim, and along the thighs.
_CORNERS = coco.SHOULDERS + coco.HIPS + coco.KNEES
_SHIRT = np.array(
    [
        ((1 - down) * (1 - across), (1 - down) * across, down * (1 - across), down * across, 0, 0)
        for down in np.linspace(0.15, 0.85, 6)
        for across in np.linspace(0.2, 0.8, 4)
    ]
)
_TROUSERS = np.array(
    [
        (0, 0, *np.roll((1 - down, 0, down, 0), side))
        for down in np.linspace(0.2, 0.8, 6)
        for side in (0, 1)
    ]
)
_WHERE = np.concatenate([_SHIRT, _TROUSERS])


def clothing_colours(rgb: NDArray[np.uint8], keypoints: Array) -> Array:
    """Return the colours of shirt and trousers (2, 3); NaN for what is not in the image.

    They are medians in CIELAB, so that what is in front of them does not matter.

    Parameters
    ----------
    rgb: (H, W, 3).
    keypoints: (17, 2), in COCO's order, pixels.
    """
    height, width = rgb.shape[:2]
    columns, rows = np.rint(_WHERE @ keypoints[_CORNERS]).astype(int).T
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    found = rgb[rows[inside], columns[inside]].astype(np.float32) / np.float32(255)
    colours = np.full((len(_WHERE), 3), np.nan)
    if inside.any():
        colours[inside] = cv2.cvtColor(found[:, None], cv2.COLOR_RGB2Lab)[:, 0]
    colours[:, 0] *= _LIGHTNESS
    middles = NOT_SEEN.copy()
    for n, garment in enumerate(np.split(colours, [len(_SHIRT)])):
        there = garment[np.isfinite(garment[:, 0])]
        if 2 * len(there) >= len(garment):
            middles[n] = np.sort(there, axis=0)[len(there) // 2]
    return middles


def dissimilarity(first: Array, second: Array) -> Array:
    """Return how unlike clothes are, in [0, 1]; 0 where there is nothing to compare.

    Parameters
    ----------
    first, second: (..., 2, 3), of clothes.
    """
    apart = np.linalg.norm(first - second, axis=-1) / _DIFFERENT
    compared = np.isfinite(apart)
    total = np.where(compared, np.minimum(apart, 1.0), 0.0).sum(axis=-1)
    return np.asarray(total / np.maximum(compared.sum(axis=-1), 1))
