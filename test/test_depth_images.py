"""Depth images as cameras send them."""

import array
import struct

import numpy as np
import pytest
from sensor_msgs.msg import Image

from hybrik_ros.messages.images import UnusableInputError
from hybrik_ros.node.depth_images import to_depth

HEIGHT, WIDTH = 5, 7
FORMATS = {'16UC1': 'H', 'mono16': 'H', '32FC1': 'f'}


def message(values: np.ndarray, encoding: str, padding: int = 0, big: bool = False) -> Image:
    """A depth image, packed row by row, with some bytes of padding after each."""
    row_format = ('>' if big else '<') + str(WIDTH) + FORMATS[encoding]
    rows = [struct.pack(row_format, *row) + b'\xab' * padding for row in values.tolist()]
    image = Image(height=HEIGHT, width=WIDTH, encoding=encoding, is_bigendian=big)
    image.step = len(rows[0])
    image.data = array.array('B', b''.join(rows))
    return image


@pytest.mark.parametrize('big', [False, True])
@pytest.mark.parametrize('padding', [0, 3, 8])
@pytest.mark.parametrize('encoding', ['16UC1', 'mono16'])
def test_millimetres_become_metres(encoding: str, padding: int, big: bool) -> None:
    millimetres = np.random.default_rng(1).integers(0, 2**16, (HEIGHT, WIDTH))
    millimetres[1, 2] = 0
    depth = to_depth(message(millimetres, encoding, padding, big))
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, millimetres / 1000, rtol=1e-6)
    assert depth[1, 2] == 0


@pytest.mark.parametrize('big', [False, True])
@pytest.mark.parametrize('padding', [0, 3, 8])
def test_metres_are_taken_as_they_are_with_their_holes(padding: int, big: bool) -> None:
    metres = np.random.default_rng(1).uniform(0.3, 9, (HEIGHT, WIDTH)).astype(np.float32)
    metres[0, :3] = np.nan, np.inf, -np.inf
    depth = to_depth(message(metres, '32FC1', padding, big))
    assert depth.dtype == np.float32
    np.testing.assert_array_equal(depth, metres)


@pytest.mark.parametrize(
    ('fault', 'kind', 'said'),
    [
        ({'encoding': 'rgb8'}, 'depth encoding', '16UC1'),
        ({'width': 0}, 'depth size', 'empty'),
        ({'height': 0}, 'depth size', 'empty'),
        ({'step': 2 * WIDTH - 1}, 'depth length', 'step'),
        ({'height': HEIGHT + 1}, 'depth length', 'bytes'),
        ({'encoding': '32FC1'}, 'depth length', 'step'),
    ],
)
def test_what_is_no_depth_image_is_refused(fault: dict, kind: str, said: str) -> None:
    sent = message(np.ones((HEIGHT, WIDTH), int), '16UC1')
    for name, value in fault.items():
        setattr(sent, name, value)
    with pytest.raises(UnusableInputError, match=said) as caught:
        to_depth(sent)
    assert caught.value.kind == kind
