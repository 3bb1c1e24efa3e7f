"""A picture of cameras and people from above."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array, Image
from hybrik_ros.drawing import identity_colour
from hybrik_ros.printable import printable

_SIZE = 1000  # pixels of the longer side
_MARGIN = 1.0  # metres around cameras and people
_LENGTH = 0.6  # metres of a camera's triangle
_HALF_ANGLE = np.radians(25)
_BACKGROUND, _GRID, _DARK = (246, 246, 244), (214, 214, 210), (40, 40, 40)
_CAMERA = (0, 114, 178)  # the blue of Okabe and Ito's palette
_SHIFT = 4  # fractional bits of cv2's coordinates


def draw_top_view(cameras: Mapping[str, Array], paths: Sequence[Array]) -> Image:
    """Return a picture (H, W, 3), RGB, of the floor with a grid of 1 m, x to the right and y up.

    Parameters
    ----------
    cameras : mapping
        Transform (4, 4) from each optical frame to the fixed frame in metres, z up, by name.
    paths : sequence of ndarray
        Positions (K, 3) of each person over time in metres, fixed frame.
    """
    triangles = {name: _triangle(pose) for name, pose in cameras.items()}
    points = np.concatenate([*triangles.values(), *(path[:, :2] for path in paths)])
    low = np.floor(points.min(axis=0) - _MARGIN)
    high = np.ceil(points.max(axis=0) + _MARGIN)
    scale = _SIZE / (high - low).max()
    width, height = np.ceil(scale * (high - low)).astype(int)
    picture = np.full((height, width, 3), _BACKGROUND, np.uint8)

    def pixels(places: Array) -> NDArray[np.int32]:
        flipped = np.stack([places[..., 0] - low[0], high[1] - places[..., 1]], axis=-1)
        return np.asarray(np.round(2**_SHIFT * scale * flipped), np.int32)

    _draw_grid(picture, low, high, scale)
    for number, path in enumerate(paths, 1):
        colour = tuple(int(0.75 * value) for value in identity_colour(str(number)))
        line = pixels(path[:, :2])
        cv2.polylines(picture, [line], False, colour, 3, cv2.LINE_AA, _SHIFT)
        cv2.circle(picture, line[0].tolist(), 7 << _SHIFT, colour, -1, cv2.LINE_AA, _SHIFT)
    for name, triangle in triangles.items():
        corners = [pixels(triangle)]
        cv2.fillPoly(picture, corners, _CAMERA, cv2.LINE_AA, _SHIFT)
        behind = 2 * triangle[0] - triangle[1:].mean(axis=0)
        place = pixels(triangle[0] + 0.5 * (behind - triangle[0])) >> _SHIFT
        _write(picture, printable(name), place, 0.7, _DARK)
    return picture


def _triangle(pose: Array) -> Array:
    """Return the corners (3, 2) of a camera's triangle, its centre first."""
    ahead = pose[:2, 2] - pose[:2, 1]  # As world.stand_up: also of a camera that looks down.
    angle = np.arctan2(ahead[1], ahead[0])
    sides = np.array([angle - _HALF_ANGLE, angle + _HALF_ANGLE])
    ends = _LENGTH * np.stack([np.cos(sides), np.sin(sides)], axis=1)
    return np.asarray(pose[:2, 3] + np.concatenate([np.zeros((1, 2)), ends]))


def _draw_grid(picture: Image, low: Array, high: Array, scale: float) -> None:
    """Draw a line each metre, with its coordinate at the edge."""
    height, width = picture.shape[:2]
    for x in np.arange(low[0], high[0] + 0.5):
        column = round(scale * (x - low[0]))
        cv2.line(picture, (column, 0), (column, height), _GRID, 1 + (x == 0), cv2.LINE_AA)
        _write(picture, f'{x:g}', np.array([column, height - 12]), 0.45, _DARK)
    for y in np.arange(low[1] + 1, high[1] + 0.5):  # The corner has the first x.
        row = round(scale * (high[1] - y))
        cv2.line(picture, (0, row), (width, row), _GRID, 1 + (y == 0), cv2.LINE_AA)
        _write(picture, f'{y:g} m', np.array([22, row]), 0.45, _DARK)


def _write(
    picture: Image,
    text: str,
    middle: NDArray[np.integer],
    size: float,
    colour: tuple[int, int, int],
) -> None:
    """Write a text about its middle (2) in pixels, inside of the picture."""
    font = cv2.FONT_HERSHEY_SIMPLEX
    (width, height), _ = cv2.getTextSize(text, font, size, 1)
    x = int(np.clip(middle[0] - width // 2, 2, max(2, picture.shape[1] - width - 2)))
    y = int(np.clip(middle[1] + height // 2, height + 2, picture.shape[0] - 2))
    cv2.putText(picture, text, (x, y), font, size, colour, 1, cv2.LINE_AA)
