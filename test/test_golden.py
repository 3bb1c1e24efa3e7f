"""The people in the sample clip are those of test/data/recording.npz.

tools/golden.py describes the comparison and its tolerances, and writes the file.
"""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tools.golden import GOLDEN, machine, measure

PICTURE = 0.010, np.radians(3)  # maximum errors of a single picture in metres and radians
# Medians over the clip. A relative error of 1e-6 in the networks' outputs moves the most affected
# joint of a frame by 20 mm (median), and rotates it by 10 degrees.
CLIP = 0.045, np.radians(8)


@pytest.fixture(scope='module')
def golden() -> dict[str, NDArray]:
    with np.load(GOLDEN, allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope='module')
def now() -> dict[str, NDArray]:
    return measure()


def turned(first: NDArray, second: NDArray) -> NDArray:
    """Return the angles between rotation vectors (..., 3)."""
    turns = [Rotation.from_rotvec(vectors.reshape(-1, 3)) for vectors in (first, second)]
    return (turns[0].inv() * turns[1]).magnitude()


def test_single_pictures_give_the_same_bodies(golden: dict, now: dict) -> None:
    assert now['picture_joints'].shape == golden['picture_joints'].shape
    off = np.linalg.norm(now['picture_joints'] - golden['picture_joints'], axis=-1)
    assert off.max() <= PICTURE[0]
    assert turned(now['picture_rotations'], golden['picture_rotations']).max() <= PICTURE[1]


def test_the_clip_gives_the_same_people(golden: dict, now: dict) -> None:
    assert now['clip_ids'].tolist() == golden['clip_ids'].tolist()
    stamps = set(now['clip_stamps'].tolist()) ^ set(golden['clip_stamps'].tolist())
    assert len(stamps) <= 2
    if not stamps:
        off = np.linalg.norm(now['clip_joints'] - golden['clip_joints'], axis=-1)
        assert np.median(off) <= CLIP[0]
        angles = turned(now['clip_rotations'], golden['clip_rotations'])
        assert np.median(angles) <= CLIP[1]


def test_the_clip_gives_the_same_messages_to_the_bit(golden: dict, now: dict) -> None:
    if str(golden['machine']) != machine():
        pytest.skip('another processor, or other libraries, than the file was made with')
    assert str(now['messages']) == str(golden['messages'])
