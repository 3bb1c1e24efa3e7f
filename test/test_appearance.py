"""The colours of clothes."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from hybrik_ros.perception.appearance import NOT_SEEN, clothing_colours, dissimilarity

RED, BLUE = (200, 30, 30), (20, 40, 160)


def standing(across: float = 0.0, down: float = 0.0) -> NDArray:
    """Keypoints of a person with shoulders, hips and knees 100 pixels below each other."""
    keypoints = np.zeros((17, 2))
    for row, left in enumerate((5, 11, 13)):
        keypoints[[left, left + 1]] = np.array([[160, 20 + 100 * row], [100, 20 + 100 * row]])
    return keypoints + [across, down]


def dressed(shirt: tuple[int, int, int], trousers: tuple[int, int, int]) -> NDArray[np.uint8]:
    """An image of a person standing there."""
    picture = np.full((240, 260, 3), 128, np.uint8)
    picture[20:120, 90:170] = shirt
    picture[120:230, 90:170] = trousers
    return picture


def lab(colour: tuple[int, int, int]) -> NDArray:
    """CIELAB by OpenCV, of half the lightness."""
    pixel = np.array([[colour]], np.float32) / np.float32(255)
    return cv2.cvtColor(pixel, cv2.COLOR_RGB2Lab)[0, 0] * [0.5, 1, 1]


def test_shirt_and_trousers_have_their_colours():
    found = clothing_colours(dressed(RED, BLUE), standing())
    assert found == pytest.approx(np.array([lab(RED), lab(BLUE)]), abs=1e-3)


def test_an_arm_before_the_shirt_does_not_matter():
    picture = dressed(RED, BLUE)
    picture[60:80] = (230, 180, 150)
    assert clothing_colours(picture, standing())[0] == pytest.approx(lab(RED), abs=1e-3)


@pytest.mark.parametrize(('across', 'down'), [(0, 130), (-1000, 0), (0, -1e5)])
def test_what_is_not_in_the_image_is_not_seen(across, down):
    found = clothing_colours(dressed(RED, BLUE), standing(across, down))
    assert np.isnan(found[1]).all()
    assert np.isnan(found[0]).all() == (down != 130)


def test_other_clothes_are_unlike_and_the_same_in_the_shade_less_so():
    worn = clothing_colours(dressed(RED, BLUE), standing())
    shade = clothing_colours((dressed(RED, BLUE) * 0.8).astype(np.uint8), standing())
    other = clothing_colours(dressed(BLUE, RED), standing())
    assert dissimilarity(worn, worn) == 0
    assert 0 < dissimilarity(worn, shade) < 0.8
    assert dissimilarity(worn, other) == 1


def test_only_what_is_seen_of_both_is_compared():
    worn = clothing_colours(dressed(RED, BLUE), standing())
    half = np.array([worn[0], NOT_SEEN[1]])
    assert dissimilarity(half, worn) == 0
    assert dissimilarity(half, worn[::-1]) == 1
    assert dissimilarity(NOT_SEEN, worn) == 0
    assert dissimilarity(worn[None], np.array([worn, NOT_SEEN])).tolist() == [0, 0]
