"""The direction up in frames of TF."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from hybrik_ros.messages import frame_tree
from hybrik_ros.messages.fields import stamp_fields
from hybrik_ros.messages.frame_tree import FrameTree, TransformError

Z = np.array([0.0, 0.0, 1.0])


def transform(parent, child, quaternion, position=(0.0, 0.0, 0.0), seconds=0.0):
    rotation = SimpleNamespace(**dict(zip('xyzw', quaternion, strict=True)))
    translation = SimpleNamespace(**dict(zip('xyz', position, strict=True)))
    stamp = SimpleNamespace(**stamp_fields(round(seconds * 1e9)))
    return SimpleNamespace(
        header=SimpleNamespace(frame_id=parent, stamp=stamp),
        child_frame_id=child,
        transform=SimpleNamespace(rotation=rotation, translation=translation),
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


def pose(rotation, position):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation.as_matrix(), position
    return matrix


@given(seed=st.integers(0, 10**6))
def test_transform_goes_over_the_common_root(seed):
    rng = np.random.default_rng(seed)
    turns, moves = Rotation.random(3, rng=rng), rng.uniform(-3, 3, (3, 3))
    names = [('map', 'base'), ('base', 'optical'), ('map', 'other')]
    tree = FrameTree()
    for (parent, child), turn, move in zip(names, turns, moves, strict=True):
        tree.update([transform(parent, child, turn.as_quat(), move)], is_static=True)
    base, optical, other = map(pose, turns, moves)
    found = tree.transform_between('map', 'optical', 5 * 10**9)
    assert found == pytest.approx(base @ optical)
    found = tree.transform_between('other', 'optical', 0)
    assert found == pytest.approx(np.linalg.inv(other) @ base @ optical)


def test_transform_of_a_moving_frame_is_interpolated():
    tree = FrameTree()
    for number in range(3):
        turn = Rotation.from_euler('z', 10 * number, degrees=True)
        tree.update([transform('map', 'camera', turn.as_quat(), (number, 0, 1), 0.1 * number)])
    found = tree.transform_between('map', 'camera', 125_000_000)
    expected = pose(Rotation.from_euler('z', 12.5, degrees=True), (1.25, 0, 1))
    assert found == pytest.approx(expected)
    # A little before and after, the first and the last one hold.
    assert tree.transform_between('map', 'camera', 290_000_000)[0, 3] == 2
    for stamp, why in ((310_000_000, 'are 0.11 s older'), (10**10, 'are 9.80 s older')):
        with pytest.raises(TransformError, match=f"'camera' on /tf {why} than the image"):
            tree.transform_between('map', 'camera', stamp)
    with pytest.raises(TransformError, match="no transforms on /tf connect 'lidar' with 'map'"):
        tree.transform_between('map', 'lidar', 0)


def test_time_that_jumps_back_starts_the_history_anew():
    tree = FrameTree()
    tree.update([transform('map', 'camera', (0, 0, 0, 1), (1, 0, 0), 100.0)])
    tree.update([transform('map', 'camera', (0, 0, 0, 1), (2, 0, 0), 5.0)])
    assert tree.transform_between('map', 'camera', 5 * 10**9)[0, 3] == 2
    with pytest.raises(TransformError):
        tree.transform_between('map', 'camera', 100 * 10**9)


def test_history_is_bounded():
    tree = FrameTree()
    for number in range(10_000):
        tree.update([transform('map', 'camera', (0, 0, 0, 1), seconds=1e-3 * number)])
    with pytest.raises(TransformError, match='newer than the image'):
        tree.transform_between('map', 'camera', 9 * 10**9)


def test_poses_are_those_of_the_largest_connected_group():
    left, right = Rotation.random(2, rng=5)
    tree = FrameTree()
    tree.update([transform('map', 'left', left.as_quat(), (1.0, 0.0, 0.0))], is_static=True)
    tree.update([transform('map', 'right', left.as_quat(), seconds=1.0)])
    tree.update([transform('map', 'right', right.as_quat(), (0.0, 2.0, 0.0), seconds=9.0)])
    tree.update([transform('other', 'alone', [0, 0, 0, 1])], is_static=True)
    frames = {'c0': 'alone', 'c1': 'left', 'c2': 'right'}
    poses = tree.poses_of(frames)
    assert list(poses) == ['c1', 'c2']
    between = np.linalg.inv(poses['c1']) @ poses['c2']
    assert between[:3, :3] == pytest.approx((left.inv() * right).as_matrix())
    assert between[:3, 3] == pytest.approx(left.inv().apply([-1.0, 2.0, 0.0]))
    assert tree.poses_of({name: frames[name] for name in ('c0', 'c1')}) == {}
    assert tree.poses_of({}) == {}
