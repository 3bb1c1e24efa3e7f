"""16-bit images of cameras that use fewer bits, or a narrow band of them."""

import numpy as np
import pytest

from hybrik_ros.messages.sample_range import SampleRange


def scene(low: float, high: float, seed: int = 0) -> np.ndarray:
    """Samples (240, 320) spread evenly over a range."""
    return np.random.default_rng(seed).uniform(low, high, (240, 320)).astype(np.uint16)


def test_of_all_16_bits_the_upper_byte_is_taken() -> None:
    every = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    np.testing.assert_array_equal(SampleRange().to_bytes(every), every >> 8)


@pytest.mark.parametrize('shape', [(256, 256), (256, 256, 1), (128, 128, 4), (64, 1024)])
def test_shape_and_order_are_kept(shape: tuple[int, ...]) -> None:
    every = np.arange(2**12, dtype=np.uint16).repeat(16).reshape(shape)
    read = SampleRange().to_bytes(every)
    assert (read.shape, read.dtype) == (shape, np.uint8)
    np.testing.assert_allclose(read, every >> 4, atol=2)


def test_rows_that_begin_between_words_are_read() -> None:
    words = scene(0, 4095)[:100, :101]
    padded = np.zeros((100, 203), np.uint8)
    padded[:, :202] = np.ascontiguousarray(words).view(np.uint8)
    rows = np.ndarray(words.shape, np.uint16, padded.data, strides=(203, 2))
    np.testing.assert_array_equal(SampleRange().to_bytes(rows), SampleRange().to_bytes(words))


@pytest.mark.parametrize(('low', 'high'), [(7400, 8300), (29_000, 31_000), (60_000, 62_000)])
def test_a_narrow_band_of_a_thermal_camera_is_spread(low: int, high: int) -> None:
    read = SampleRange().to_bytes(scene(low, high))
    assert read.min() < 5
    assert read.max() > 250


def test_noise_of_a_covered_lens_is_not_spread() -> None:
    assert SampleRange().to_bytes(scene(8000, 8010)).std() < 5
    assert SampleRange().to_bytes(scene(0, 10)).max() <= 10


def test_black_stays_black_in_an_ordinary_picture() -> None:
    dim = SampleRange().to_bytes(scene(200, 4095))
    assert 5 < dim.min() < 20  # of 8 bits it would be 12


def test_a_few_hot_pixels_do_not_darken_the_rest() -> None:
    picture = scene(0, 4095)
    picture[::60, ::61] = 65535
    assert np.median(SampleRange().to_bytes(picture)) == pytest.approx(128, abs=4)


def test_brightness_grows_steadily_with_the_range() -> None:
    steps = [
        np.median(SampleRange().to_bytes(scene(0, high))) / high * 65535
        for high in np.geomspace(1000, 65000, 400)
    ]
    # Never does a slightly wider range make the picture suddenly darker or brighter.
    assert np.abs(np.diff(np.log(steps))).max() < 0.1


def test_a_lamp_that_comes_and_goes_lets_brightness_return_slowly() -> None:
    wall = scene(300, 1000)
    lit = wall.copy()
    lit[:60] = 4095
    in_use = SampleRange()
    before = np.median(in_use.to_bytes(wall))
    during = np.median(in_use.to_bytes(lit)[60:])
    after = [np.median(in_use.to_bytes(wall)) for _ in range(150)]
    assert during < 0.4 * before  # at once: the lamp is not clipped
    assert max(np.diff([during, *after])) < 0.1 * before
    assert after[-1] == pytest.approx(before, abs=2)


@pytest.mark.parametrize('blank', [0, 65535])
def test_blank_images_at_the_start_do_not_spoil_those_after_them(blank: int) -> None:
    in_use, thermal = SampleRange(), scene(30_000, 31_000)
    in_use.to_bytes(np.full_like(thermal, blank))
    np.testing.assert_array_equal(in_use.to_bytes(thermal), SampleRange().to_bytes(thermal))
