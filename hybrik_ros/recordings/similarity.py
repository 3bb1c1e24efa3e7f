"""Tell the frames of a video from photos that have nothing to do with each other."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hybrik_ros.media.photo import PhotoError, read_thumbnail

_MIN_FRAMES = 10  # minimum number of images that may be a video; at 30 Hz, a third of a second
_NUM_PAIRS = 8  # pairs of neighbours that are compared
_SIDE = 32  # pixels, side of the compared images
# The difference of two images is the mean over this share of their pixels, those that differ most:
# people move before backgrounds that stay. Of clips at 30 Hz (the sample, Sports2D, Pose2Sim), the
# median difference of neighbours is 12 to 16 grey levels, of every other frame 21 to 31, of frames
# 0.5 s apart 40 to 108, and of unrelated pictures 124 to 174.
_SHARE = 0.01
_MAX_DIFFERENCE = 35.0


def are_unrelated(files: Sequence[Path]) -> bool:
    """Return whether images are no sequence: few, of several sizes, or of several scenes.

    Parameters
    ----------
    files : sequence of Path
        The images in their order.
    """
    if len(files) < _MIN_FRAMES:
        return True
    firsts = np.linspace(0, len(files) - 2, _NUM_PAIRS).astype(int)
    found = [_difference(files[first], files[first + 1]) for first in firsts]
    known = [difference for difference in found if difference is not None]
    return not known or float(np.median(known)) > _MAX_DIFFERENCE


def _difference(first: Path, second: Path) -> float | None:
    """Return the difference of two images in grey levels; None if one cannot be read."""
    try:
        one, other = read_thumbnail(first), read_thumbnail(second)
    except PhotoError:
        return None
    if one.shape != other.shape:
        return np.inf
    changes = np.sort(np.abs(_shrink(one) - _shrink(other)), axis=None)
    return float(changes[-round(_SHARE * changes.size) :].mean())


def _shrink(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), float)
