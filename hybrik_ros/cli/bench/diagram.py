"""The reliability diagram: the measured share by confidence."""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from hybrik_ros.cli.bench.footage import Image

_SIDE, _MARGIN = 640, 90  # of the square of axes, and around it, in pixels
_BLACK, _GREY, _BAR, _EDGE = (0, 0, 0), (150, 150, 150), (120, 170, 220), (40, 80, 140)
_TICKS = np.linspace(0, 1, 6)


def draw_reliability(bins: Mapping[str, Mapping[str, Any]]) -> Image:
    """Return the diagram (H, W, 3) RGB.

    Parameters
    ----------
    bins : mapping
        Number of bodies, mean confidence and measured share of each bin of confidence, which is
        named by its limits: '0.1 to 0.2'.
    """
    picture = np.full((_SIDE + 2 * _MARGIN, _SIDE + 2 * _MARGIN, 3), 255, np.uint8)
    for name, row in bins.items():
        low, high = (float(limit) for limit in name.split(' to '))
        corners = _place(low, 0), _place(high, row['measured'])
        cv2.rectangle(picture, *corners, _BAR, cv2.FILLED)
        cv2.rectangle(picture, *corners, _EDGE, 1)
        cv2.circle(picture, _place(row['confidence'], row['measured']), 4, _EDGE, cv2.FILLED)
        x, y = _place((low + high) / 2, row['measured'])
        _write(picture, str(row['bodies']), (x, y + 16))
    cv2.line(picture, _place(0, 0), _place(1, 1), _GREY, 1, cv2.LINE_AA)
    cv2.rectangle(picture, _place(0, 0), _place(1, 1), _BLACK, 1)
    for tick in _TICKS:
        x, y = _place(tick, 0)
        _write(picture, f'{tick:.1f}', (x, y + 22))
        x, y = _place(0, tick)
        _write(picture, f'{tick:.1f}', (x - 24, y))
    _write(picture, 'confidence', (_MARGIN + _SIDE // 2, _MARGIN + _SIDE + 55))
    _write(picture, 'measured share of main joints near their true place (bars, number of bodies)',
           (_MARGIN + _SIDE // 2, _MARGIN // 2))  # fmt: skip
    return picture


def _place(x: float, y: float) -> tuple[int, int]:
    """Return the pixel of a point of the axes."""
    return round(_MARGIN + _SIDE * x), round(_MARGIN + _SIDE * (1 - y))


def _write(picture: Image, text: str, centre: tuple[int, int]) -> None:
    """Write a text around a pixel."""
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.5
    (width, height), _ = cv2.getTextSize(text, font, scale, 1)
    start = (centre[0] - width // 2, centre[1] + height // 2)
    cv2.putText(picture, text, start, font, scale, _BLACK, 1, cv2.LINE_AA)
