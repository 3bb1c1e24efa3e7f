"""Nearly black and nearly white images are told from dark and bright ones."""

import numpy as np
import pytest
from sample import read_frames

from hybrik_ros.messages.exposure import ExposureCheck, describe_exposure


@pytest.fixture(scope='module')
def frame() -> np.ndarray:
    [frame] = read_frames(30, 1)
    return frame


def dimmed(frame: np.ndarray, factor: float) -> np.ndarray:
    return (factor * frame).astype(np.uint8)


def brightened(frame: np.ndarray, factor: float) -> np.ndarray:
    return (255 - factor * (255.0 - frame)).astype(np.uint8)


@pytest.mark.parametrize('factor', [1.0, 0.3, 0.1])
def test_images_in_which_people_are_found_are_not_told_of(frame: np.ndarray, factor: float) -> None:
    assert describe_exposure(dimmed(frame, factor)) == ''


@pytest.mark.parametrize('factor', [0.05, 0.02, 0.0])
def test_nearly_black_and_white_are_told_of(frame: np.ndarray, factor: float) -> None:
    assert 'nearly black' in describe_exposure(dimmed(frame, factor))
    assert 'nearly white' in describe_exposure(brightened(frame, factor))


@pytest.mark.parametrize(('factor', 'is_named'), [(0.08, True), (0.115, True), (0.15, False)])
def test_without_colours_more_light_is_needed(
    frame: np.ndarray, factor: float, is_named: bool
) -> None:
    grey = dimmed(frame.mean(axis=-1, keepdims=True).repeat(3, axis=-1), factor)
    assert ('nearly black' in describe_exposure(grey)) == is_named


def test_a_lamp_and_hot_pixels_do_not_make_a_black_image_visible(frame: np.ndarray) -> None:
    black = dimmed(frame, 0.02)
    black[:20, :20] = 255
    assert 'nearly black' in describe_exposure(black)


@pytest.mark.parametrize('shape', [(1, 1, 3), (7, 5, 3), (1080, 1920, 3)])
def test_images_of_any_size_are_checked(shape: tuple[int, ...]) -> None:
    assert 'nearly black' in describe_exposure(np.zeros(shape, np.uint8))
    assert describe_exposure(np.full(shape, 128, np.uint8)) == ''


def test_a_few_black_images_are_not_told_of(frame: np.ndarray) -> None:
    check, black = ExposureCheck(), dimmed(frame, 0.0)
    assert [check.check(black) for _ in range(9)] == [''] * 9
    assert check.check(frame) == ''
    assert [bool(check.check(black)) for _ in range(12)] == [False] * 9 + [True] * 3


def test_of_a_short_recording_all_images_count() -> None:
    check = ExposureCheck(2)
    black = np.zeros((8, 8, 3), np.uint8)
    assert [bool(check.check(black)) for _ in range(2)] == [False, True]
