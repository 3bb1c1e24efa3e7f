"""Pictures in which people are cut off or half hidden, made from whole ones."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.camera import Camera
from hybrik_ros.cli.bench.footage import Image
from hybrik_ros.cli.bench.measures import TRUE_JOINTS

_GREY = (110, 100, 90)

_Window = tuple[int, int, int, int]  # x_min, y_min, x_max, y_max in pixels


@dataclass(frozen=True)
class Excerpt:
    """A part of a camera's pictures, with a grey board before people or without.

    Attributes
    ----------
    name : str
        What of the people is seen.
    window : tuple of int
        The visible part.
    board : tuple of int, optional
        The region that the board hides.
    """

    name: str
    window: _Window
    board: _Window | None = None

    def camera(self, camera: Camera) -> Camera:
        """Return the camera of the part."""
        left, top, right, bottom = self.window
        matrix = camera.matrix - [[0, 0, left], [0, 0, top], [0, 0, 0]]
        return replace(camera, matrix=matrix, width=right - left, height=bottom - top)

    def hides(self, pixels: Array) -> NDArray[np.bool_]:
        """Return whether each of these points (N, 2) in the whole picture is not seen."""
        hidden = ~_contains(self.window, pixels)
        return hidden if self.board is None else hidden | _contains(self.board, pixels)

    def picture(self, picture: Image) -> Image:
        """Return the part of a picture."""
        if self.board is not None:
            left, top, right, bottom = self.board
            picture = picture.copy()
            picture[top:bottom, left:right] = _GREY
        left, top, right, bottom = self.window
        return np.ascontiguousarray(picture[top:bottom, left:right])


def _contains(window: _Window, pixels: Array) -> NDArray[np.bool_]:
    """Return whether each point (N, 2) is in a window."""
    return np.all((pixels >= window[:2]) & (pixels < window[2:]), axis=1)


def excerpts(pixels: Array, width: int, height: int) -> Iterator[Excerpt]:
    """Yield the whole pictures, parts that cut people off, and boards that hide a half of them.

    Parameters
    ----------
    pixels : ndarray
        Mean place (12, 2) of TRUE_JOINTS in the pictures, in pixels.
    width, height : int
        Size of the pictures in pixels.
    """
    heights = {
        part: int(np.mean([y for name, (_, y) in zip(TRUE_JOINTS, pixels, strict=True)
                           if name.endswith(part)]))
        for part in ('Shoulder', 'Hip', 'Knee')
    }  # fmt: skip
    hips = heights['Hip']
    middle = int((pixels[:, 0].min() + pixels[:, 0].max()) / 2)
    whole = (0, 0, width, height)
    yield Excerpt('whole', whole)
    yield Excerpt('cut at the knees', (0, 0, width, heights['Knee']))
    yield Excerpt('cut at the hips', (0, 0, width, hips))
    yield Excerpt('cut at the chest', (0, 0, width, (heights['Shoulder'] + hips) // 2))
    yield Excerpt('legs only', (0, hips, width, height))
    yield Excerpt('left half', (0, 0, middle, height))
    yield Excerpt('right half', (middle, 0, width, height))
    yield Excerpt('legs hidden', whole, (0, hips, width, height))
    yield Excerpt('right half hidden', whole, (middle, 0, width, height))
