"""Clothing colours, which distinguish people at crossings."""

import cv2
import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.perception import coco

# The colours of clothes that were not seen.
NOT_SEEN: Array = np.full((2, 3), np.nan)

# Weight of the lightness in a CIELAB distance: light and shade change it most.
_LIGHTNESS_WEIGHT = 0.5
# CIELAB distance of colours that certainly belong to different clothes. Folds and noise give a
# tenth of it, a walk from the sun into the shade up to two thirds.
_DIFFERENT_DISTANCE = 20.0

# Sample points of shirt and trousers as weights of left and right shoulders, hips and knees: on a
# grid over the trunk without its border, and along the thighs.
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
_SAMPLE_WEIGHTS = np.concatenate([_SHIRT, _TROUSERS])


def clothing_colours(rgb: NDArray[np.uint8], keypoints: Array) -> Array:
    """Return the median colours of shirt and trousers.

    The median is robust to objects in front of the clothes.

    Parameters
    ----------
    rgb : ndarray
        Image (H, W, 3), uint8.
    keypoints : ndarray
        Keypoints (17, 2 or more) in COCO's order: u and v in pixels first.

    Returns
    -------
    ndarray
        Colours (2, 3) in CIELAB, with halved lightness; NaN for a garment of which less than half
        of the sample points are in the image.
    """
    height, width = rgb.shape[:2]
    columns, rows = np.rint(_SAMPLE_WEIGHTS @ keypoints[_CORNERS, :2]).astype(int).T
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    found = rgb[rows[inside], columns[inside]].astype(np.float32) / np.float32(255)
    colours = np.full((len(_SAMPLE_WEIGHTS), 3), np.nan)
    if inside.any():
        colours[inside] = cv2.cvtColor(found[:, None], cv2.COLOR_RGB2Lab)[:, 0]
    colours[:, 0] *= _LIGHTNESS_WEIGHT
    medians = NOT_SEEN.copy()
    for n, garment in enumerate(np.split(colours, [len(_SHIRT)])):
        seen = garment[np.isfinite(garment[:, 0])]
        if 2 * len(seen) >= len(garment):
            medians[n] = np.sort(seen, axis=0)[len(seen) // 2]
    return medians


def dissimilarity(first: Array, second: Array) -> Array:
    """Return the difference (...) of clothes in [0, 1]; 0 where no garment was seen in both.

    Parameters
    ----------
    first, second : ndarray
        Colours (..., 2, 3), as of `clothing_colours`; NaN is unknown.
    """
    distances = np.linalg.norm(first - second, axis=-1) / _DIFFERENT_DISTANCE
    compared = np.isfinite(distances)
    total = np.where(compared, np.minimum(distances, 1.0), 0.0).sum(axis=-1)
    return np.asarray(total / np.maximum(compared.sum(axis=-1), 1))
