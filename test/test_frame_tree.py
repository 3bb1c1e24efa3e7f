"""The direction up in frames of TF."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from hybrik_ros.messages import frame_tree
from hybrik_ros.messages.frame_tree import FrameTree

Z = np.array([0.0, 0.0, 1.0])


def transform(parent, child, quaternion):
    rotation = SimpleNamespace(**dict(zip('xyzw', quaternion, strict=True)))
    return SimpleNamespace(
        header=SimpleNamespace(frame_id=parent),
        child_frame_id=child,
        transform=SimpleNamespace(rotation=rotation),
    )


@given(seed=st.integers(0, 10**6))
def test_up_is_turned_along_the_tree(seed):
    base, head, optical, imu = Rotation.random(4, rng=seed)
    tree = FrameTree()
    tree.update(
        [
            transform('head', '/optical', optical.as_quat()),
            transform('base', 'imu', 3 * imu.as_quat()),
            transform('map', 'base', base.as_quat()),
        ]
    )
    assert tree.up_in('optical', 'map') is None  # There is no head yet.
    tree.update([transform('/base', 'head', head.as_quat())])
    in_map = base * head * optical
    assert tree.up_in('optical', 'map') == pytest.approx(in_map.inv().apply(Z))
    in_imu = imu.inv() * head * optical  # on another branch
    assert tree.up_in('optical', 'imu') == pytest.approx(in_imu.inv().apply(Z))
    tree.update([transform('head', 'optical', [0, 0, 0, 1])])  # It moves.
    assert tree.up_in('optical', 'map') == pytest.approx((base * head).inv().apply(Z))


@given(seed=st.integers(0, 10**6))
def test_rotation_maps_from_source_to_target(seed):
    optical, imu = Rotation.random(2, rng=seed)
    tree = FrameTree()
    tree.update([transform('link', 'optical', optical.as_quat())])
    tree.update([transform('link', 'imu', imu.as_quat())])
    expected = (optical.inv() * imu).as_matrix()
    assert tree.rotation_between('optical', 'imu') == pytest.approx(expected)


def test_frame_is_connected_with_itself_without_transforms():
    assert FrameTree().rotation_between('camera', 'camera') == pytest.approx(np.eye(3))
    assert FrameTree().rotation_between('camera', 'imu') is None


def test_impossible_transforms_are_ignored():
    tree = FrameTree()
    tree.update([transform('map', 'optical', [1, 0, 0, 0])])
    bad = [[0, 0, 0, 0], [np.nan, 0, 0, 1], [0, np.inf, 0, 1]]
    tree.update([transform('map', 'optical', quaternion) for quaternion in bad])
    assert tree.up_in('optical', 'map') == pytest.approx([0, 0, -1])
    assert tree.up_in('optical', 'odom') is None


def test_loop_has_no_direction():
    tree = FrameTree()
    tree.update([transform('a', 'b', [0, 0, 0, 1]), transform('b', 'a', [0, 0, 0, 1])])
    assert tree.up_in('a', 'b') is None


def test_memory_is_bounded_and_people_take_none(monkeypatch):
    monkeypatch.setattr(frame_tree, 'MAX_FRAMES', 3)
    tree = FrameTree()
    unit = [0, 0, 0, 1]
    tree.update([transform('body_p1', f'smpl_head_p{i}', unit) for i in range(10)])
    tree.update([transform('map', f'link{i}', unit) for i in range(10)])
    assert tree.up_in('link2', 'map') is not None
    assert tree.up_in('link3', 'map') is None
    tree.update([transform('map', 'link2', [1, 0, 0, 0])])
    assert tree.up_in('link2', 'map') == pytest.approx([0, 0, -1])
