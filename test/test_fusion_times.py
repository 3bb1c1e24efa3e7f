"""A common time of cameras that are not synchronised, on made people."""

from dataclasses import replace

import numpy as np
import pytest
from views import around, standing, views

from hybrik_ros.body import BodyModel
from hybrik_ros.fusion import Fusion
from hybrik_ros.fusion.times import History
from hybrik_ros.fusion.view import see

SPEED = np.array([1.0, 0.5, 0.0])  # metres per second


@pytest.fixture(scope='module')
def body():
    return BodyModel.load()


@pytest.fixture(scope='module')
def points(body):
    return standing(body)[1]


def image(body, points, stamp, number=0, ids=True, people=1):
    """What one of three cameras sees of people that move at a constant speed."""
    moved = [points + SPEED * stamp + [0, 1.5 * i, 0] for i in range(people)]
    view = views(moved, around(3), stamp)[f'camera{number}']
    if not ids:
        view = replace(view, people=[replace(each, id='') for each in view.people])
    return see(f'camera{number}', view, body)


def history(body, points, stamps, **options):
    known = History()
    for stamp in stamps:
        known.add(stamp, image(body, points, stamp, **options))
    return known


@pytest.mark.parametrize('ids', [True, False])
@pytest.mark.parametrize('stamp', [0.05, 0.1, 0.13, 0.2, 0.25, 0.3])
def test_people_are_between_images_or_a_moment_later(body, points, stamp, ids):
    people = history(body, points, (0, 0.1, 0.2), ids=ids, people=2).at(stamp)
    expected = image(body, points, stamp, people=2)
    assert len(people) == 2
    for found, true in zip(people, expected, strict=True):
        away = np.linalg.norm(np.cross(found.rays, true.rays), axis=1) * true.distance
        assert away.max() < 0.004 if stamp <= 0.2 else away.max() < 0.015
        np.testing.assert_allclose(np.linalg.norm(found.rays, axis=1), 1)


@pytest.mark.parametrize('stamp', [-0.01, 0.351, 1.0])
def test_a_camera_that_is_silent_shows_none(body, points, stamp):
    assert history(body, points, (0, 0.1, 0.2)).at(stamp) == []


def test_an_old_image_tells_less_and_motion_continues_for_a_tenth_of_a_second(body, points):
    known = history(body, points, (0, 0.3, 0.6))
    [soon], [later], [last] = (known.at(stamp) for stamp in (0.7, 0.8, 1.0))
    assert soon.belief.min() == 1
    assert 0.5 > later.belief.max() > last.belief.max() > 0
    np.testing.assert_allclose(last.points, soon.points)
    np.testing.assert_array_equal(last.landmark_confidence, soon.landmark_confidence)


def test_a_gap_is_not_bridged(body, points):
    assert history(body, points, (0, 0.6)).at(0.3) == []
    assert History().at(0.0) == []


def test_a_person_of_one_image_alone_has_no_motion(body, points):
    known = history(body, points, (0.0, 0.1))
    known.images[-1][1][0] = replace(known.images[-1][1][0], id='another')
    assert known.at(0.05) == []
    assert len(known.at(0.1)) == 1


def test_an_earlier_image_begins_anew_and_old_ones_are_forgotten(body, points):
    known = history(body, points, 0.05 * np.arange(100))
    assert len(known.images) < 12
    known.add(1.0, image(body, points, 1.0))
    assert [stamp for stamp, _ in known.images] == [1.0]
    known.add(1.0, [])
    assert known.images == [(1.0, [])]


def error_of(body, points, stamp_of):
    """Mean error in metres of a walking person whose cameras take turns, 15 images/s each."""
    fusion = Fusion(body)
    errors = []
    for number in range(60):
        stamp = number / 45
        camera = number % 3
        moved = points + SPEED * stamp
        view = views([moved], around(3), stamp)[f'camera{camera}']
        people = fusion({f'camera{camera}': view}, stamp_of(stamp))
        if number > 20:
            [human] = people
            true = points[[23, 24]].mean(axis=0) + SPEED * stamp_of(stamp)
            errors.append(np.linalg.norm(human.joints[[1, 2]].mean(axis=0) - true))
    return float(np.mean(errors))


@pytest.mark.parametrize('lost', [1, 2, 3])
def test_cameras_that_are_lost_together_cost_no_step(body, points, lost):
    fusion = Fusion(body)
    cameras = around(4)
    for number in range(60):
        stamp = number / 30
        moved = points + SPEED * stamp
        seen = views([moved], cameras, stamp)
        if number >= 30:
            seen = {name: seen[name] for name in list(seen)[lost:]}
        [human] = fusion(seen)
        assert human.id == 'f1'
        true = moved[[23, 24]].mean(axis=0)
        away = np.linalg.norm(human.joints[[1, 2]].mean(axis=0) - true)
        assert number < 8 or away < 0.05


def test_a_clip_may_begin_again_with_fewer_cameras(body, points):
    fusion = Fusion(body)
    for _ in range(2):
        for number in range(20):
            seen = views([points + SPEED * number / 30], around(3), number / 30)
            fusion(seen)
    for number in range(20):
        moved = points + SPEED * number / 30
        seen = views([moved], around(3), number / 30)
        [human] = fusion({name: seen[name] for name in ('camera0', 'camera1')}) or [None]
    true = moved[[23, 24]].mean(axis=0)
    assert np.linalg.norm(human.joints[[1, 2]].mean(axis=0) - true) < 0.05


@pytest.mark.parametrize('rate', [3, 4, 5])
def test_a_walker_before_slow_cameras_keeps_the_id(body, points, rate):
    fusion = Fusion(body)
    ids = set()
    for number in range(6 * rate):
        stamp = number / rate
        place = 1.5 * np.array([np.sin(stamp), np.cos(stamp), 0])  # 1.5 m/s
        ids |= {human.id for human in fusion(views([points + place], around(3, 5.0), stamp))}
    assert ids == {'f1'}


@pytest.mark.parametrize('rate', [3, 5])
def test_slow_cameras_that_take_turns_give_one_walker(body, points, rate):
    fusion = Fusion(body)
    errors = []
    for number in range(6 * rate):
        stamp = number / (2 * rate)
        moved = points + 0.5 * SPEED * stamp
        name = f'camera{number % 2}'
        people = fusion({name: views([moved], around(5), stamp)[name]})
        if number > 4:
            [human] = people
            true = moved[[23, 24]].mean(axis=0)
            errors.append(np.linalg.norm(human.joints[[1, 2]].mean(axis=0) - true))
    assert np.mean(errors) < 0.05


def test_a_walker_is_where_cameras_that_take_turns_see_him(body, points):
    between = error_of(body, points, lambda stamp: stamp - 0.05)
    extrapolated = error_of(body, points, lambda stamp: stamp)
    # Half the time between two images of a camera would be 37 mm.
    assert between < 0.02
    assert extrapolated < 0.025
