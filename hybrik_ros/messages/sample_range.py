"""The range of values that 16-bit images use, and their reduction to 8 bits by it.

Cameras of 10, 12 or 14 bits send their values in 16 bits without filling them, and thermal cameras
use a narrow band of theirs: the upper byte shows next to nothing of such images.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

_FULL = 2**16
_SAMPLES = 10_000  # approximate number of samples whose range is taken
# Percentiles of the samples within the range; hot pixels and reflections are beyond.
_PERCENTILES = (0.1, 99.9)
# From half of all values on, all 16 bits are in use; up to a quarter, the range found. Between
# them the range grows linearly, so that the brightness of a stream does not jump.
_FULL_FROM, _FOUND_UP_TO = _FULL // 2, _FULL // 4
# Contrast, the share of its upper end that a range spans: from the first value on black is 0, up
# to the second it is the lower end of the range.
_USUAL_CONTRAST, _BAND_CONTRAST = 0.5, 0.25
_MIN_SPAN = 256.0  # one value per grey level
_DECAY = 0.05  # share of the distance to a narrower range that is covered per image


class SampleRange:
    """The range of values in use in a stream of 16-bit images.

    It widens at once and narrows slowly, so that the brightness of a stream does not flicker. A
    range that has no value in common with the last one replaces it: the last one was that of blank
    images, with which cameras begin, or of another scene.
    """

    def __init__(self) -> None:
        self._range: tuple[float, float] | None = None

    def to_bytes(self, samples: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """Take in the samples of an image, and return them reduced to 8 bits.

        Parameters
        ----------
        samples : ndarray
            Samples (H, W) or (H, W, C), uint16 in the byte order of the machine.

        Returns
        -------
        ndarray
            The samples, uint8: the upper byte where all 16 bits are in use.
        """
        low, high = _find_range(samples)
        if self._range is not None and low <= self._range[1] and high >= self._range[0]:
            last_low, last_high = self._range
            low = min(low, last_low + _DECAY * (low - last_low))
            high = max(high, last_high + _DECAY * (high - last_high))
        self._range = low, high
        return _scale(samples, *_limits(low, high))


def _find_range(samples: NDArray[np.uint16]) -> tuple[float, float]:
    """Return the lowest and the highest of some of the values, the outermost left out."""
    step = max(1, int((samples.size / _SAMPLES) ** 0.5))
    # An odd step takes samples of all colours of a Bayer mosaic.
    some = samples[:: step | 1, :: step | 1]
    low, high = np.percentile(some, _PERCENTILES)
    return float(low), float(high)


def _limits(low: float, high: float) -> tuple[int, float]:
    """Return the values that become black and white, of which white is excluded."""
    contrast = (high - low) / max(high, 1.0)
    band = float(np.interp(contrast, (_BAND_CONTRAST, _USUAL_CONTRAST), (1.0, 0.0)))
    # A narrow band is used as it is, whatever its position.
    found = high + 1
    white = float(np.interp(found, (_FOUND_UP_TO, _FULL_FROM), (min(found, _FOUND_UP_TO), _FULL)))
    black, white = round(band * low), band * found + (1 - band) * white
    return black, max(white, black + _MIN_SPAN)


def _scale(samples: NDArray[np.uint16], black: int, white: float) -> NDArray[np.uint8]:
    """Return 256 (samples - black) / (white - black), rounded down and limited to 0 to 255."""
    # OpenCV misreads rows that begin between two words.
    above = np.require(samples, requirements='A').reshape(len(samples), -1)
    if black:  # OpenCV subtracts one number from the first channel only, so there is one channel.
        above = np.asarray(cv2.subtract(above, np.array([black], np.float64)), np.uint16)
    # OpenCV rounds to the nearest.
    scaled = cv2.convertScaleAbs(above, alpha=256 / (white - black), beta=-0.5 + 1 / 512)
    return np.asarray(scaled, np.uint8).reshape(samples.shape)
