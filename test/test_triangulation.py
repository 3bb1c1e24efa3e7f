"""Triangulation of joints from the rays of made cameras around a person."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hybrik_ros.cli.bench.triangulation import PersonView, triangulate

Array = NDArray[np.float64]

JOINTS = 12
DISTANCE = 4.0  # metres of the cameras from the middle
pytestmark = pytest.mark.filterwarnings('error')


@pytest.fixture
def person() -> Array:
    return np.random.default_rng(3).uniform(-0.8, 0.8, (JOINTS, 3))


def observe(person: Array, degrees: float, rows: Array | None = None) -> PersonView:
    """Return what a camera sees that looks at the middle from a direction."""
    rotation = Rotation.from_euler('yx', [degrees, 10], degrees=True).as_matrix()
    translation = np.array([0.1, -0.2, DISTANCE])
    seen = (person if rows is None else rows) @ rotation.T + translation
    return PersonView(rotation, translation, seen[:, :2] / seen[:, 2:], np.ones(JOINTS))


def observe_all(person: Array) -> list[PersonView]:
    return [observe(person, degrees) for degrees in (0, 80, 170, 260)]


@pytest.mark.parametrize('count', [2, 3, 4])
def test_joints_are_where_the_rays_meet(person: Array, count: int) -> None:
    found = triangulate(observe_all(person)[:count], JOINTS)
    np.testing.assert_allclose(found, person, atol=1e-9)


@pytest.mark.parametrize('wrong', range(4))
def test_camera_that_disagrees_is_left_out(person: Array, wrong: int) -> None:
    views = observe_all(person)
    moved = person.copy()
    moved[5] += [0.3, 0.4, 0.3]  # one joint only
    views[wrong] = observe(person, (0, 80, 170, 260)[wrong], moved)
    np.testing.assert_allclose(triangulate(views, JOINTS), person, atol=1e-9)


def test_rays_that_are_not_confident_do_not_count(person: Array) -> None:
    views = observe_all(person)
    for wrong in (0, 1):
        confidence = np.ones(JOINTS)
        confidence[7] = 0.4
        views[wrong] = views[wrong]._replace(rays=views[wrong].rays + 0.02, confidence=confidence)
    np.testing.assert_allclose(triangulate(views, JOINTS)[7], person[7], atol=1e-9)


def test_noise_is_averaged_over_all_cameras(person: Array) -> None:
    random = np.random.default_rng(0)
    views = [
        view._replace(rays=view.rays + random.normal(0, 0.004, view.rays.shape))
        for view in observe_all(person)
    ]
    two, four = (
        np.linalg.norm(triangulate(views[:count], JOINTS) - person, axis=1).mean()
        for count in (2, 4)
    )
    assert 0 < four < two < 0.05


def test_joint_is_unknown_where_no_two_cameras_agree(person: Array) -> None:
    first, second, *_ = observe_all(person)
    moved = person.copy()
    moved[2] += [0, 0.5, 0]
    found = triangulate([first, observe(person, 80, moved)], JOINTS)
    assert np.isnan(found[2]).all()
    np.testing.assert_allclose(np.delete(found, 2, axis=0), np.delete(person, 2, axis=0), atol=1e-9)
    doubted = second._replace(confidence=np.zeros(JOINTS))
    assert np.isnan(triangulate([first, doubted], JOINTS)).all()
    assert np.isnan(triangulate([first], JOINTS)).all()
    assert triangulate([], JOINTS).shape == (JOINTS, 3)


def test_point_behind_a_camera_is_no_joint(person: Array) -> None:
    behind = np.tile([0.0, 0.0, -2 * DISTANCE], (JOINTS, 1))
    views = [observe(person, 0, behind), observe(person, 10, behind)]
    assert np.isnan(triangulate(views, JOINTS)).all()
