"""Images that are nearly black or nearly white, in which no person can be found."""

import numpy as np
from numpy.typing import NDArray

# Highest grey level of a nearly black image, and lowest of a nearly white one: with the sample clip
# dimmed to 17 levels, or brightened to the upper 22, its person was found no longer in all images.
_BLACK, _WHITE = 16, 232
# The same of images without colours, in which its person was found less often from 24 levels down:
# for these, the mean difference of the channels is below this number of levels.
_GREY_BLACK, _MAX_GREY_DIFFERENCE = 24, 0.5
_MAX_SHARE = 0.01  # of samples that may exceed these levels, such as a lamp
_SAMPLES_PER_SIDE = 32
_MIN_IMAGES = 10  # in a row: cameras begin with a few black ones


def describe_exposure(rgb: NDArray[np.uint8]) -> str:
    """Return what is wrong with the exposure of an image (H, W, 3); empty for nothing."""
    rows, columns = (max(1, side // _SAMPLES_PER_SIDE) for side in rgb.shape[:2])
    some = rgb[::rows, ::columns]
    black = _GREY_BLACK if np.ptp(some, axis=-1).mean() < _MAX_GREY_DIFFERENCE else _BLACK
    if np.count_nonzero(some > black) <= _MAX_SHARE * some.size:
        return (
            f'the images are nearly black ({1 - _MAX_SHARE:.0%} of the values are {black} or less '
            'of 255), so people are missed: uncover the lens, add light, or increase exposure '
            'or gain'
        )
    if np.count_nonzero(some < _WHITE) <= _MAX_SHARE * some.size:
        return (
            f'the images are nearly white ({1 - _MAX_SHARE:.0%} of the values are {_WHITE} or more '
            'of 255), so no person can be found: reduce exposure or gain'
        )
    return ''


class ExposureCheck:
    """Checks the exposure of a stream of images.

    Parameters
    ----------
    length : int
        Number of images in the stream, if it is known to be small.
    """

    def __init__(self, length: int = _MIN_IMAGES) -> None:
        self._needed = max(1, min(length, _MIN_IMAGES))
        self._bad_images = 0

    def check(self, rgb: NDArray[np.uint8]) -> str:
        """Return what is wrong with this image (H, W, 3) and those before it; empty for nothing."""
        fault = describe_exposure(rgb)
        self._bad_images = self._bad_images + 1 if fault else 0
        return fault if self._bad_images >= self._needed else ''
