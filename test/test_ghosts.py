"""Ghosts and delays, from made bodies; made pictures and boxes of people."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hybrik_ros.camera import Camera
from hybrik_ros.cli.bench.delay import delay
from hybrik_ros.cli.bench.footage import Clip
from hybrik_ros.cli.bench.ghosts import JudgedBody, Series, summarise
from hybrik_ros.cli.bench.marks import (
    WALKER_CLIP,
    WALKER_FIRST,
    is_marked,
    people_in,
    shows_person,
    walker,
)
from hybrik_ros.cli.bench.situations import Shot, cut, leave
from hybrik_ros.cli.bench.truth import Truth

pytestmark = pytest.mark.filterwarnings('error')

WIDTH, HEIGHT, RATE = 90, 160, 60.0
NO_ONE = np.zeros((0, 4))
COUNT = 120  # frames


def make_clip(name: str, number: int = 0, people: int = 1) -> Clip:
    camera = Camera(np.array([[100, 0, 45], [0, 100, 80], [0, 0, 1.0]]), width=WIDTH, height=HEIGHT)
    return Clip(name, Path(), camera, RATE, people, number)


# Ghosts


def bodies(text: str) -> list[list[JudgedBody]]:
    """Bodies of successive pictures: upper case ids are people, lower case ones are not.

    A letter after a '?' is not confident.
    """
    pictures = []
    for word in text.split(','):
        letters = word.replace('?', '')
        doubted = {word[i + 1] for i, letter in enumerate(word) if letter == '?'}
        pictures.append(
            [JudgedBody(x.lower(), 0.49 if x in doubted else 0.5, x.isupper()) for x in letters]
        )
    return pictures


@pytest.mark.parametrize(
    ('text', 'ghosts', 'longest'),
    [
        ('A,A,A', 0, 0),
        ('A,a,a,a,A', 3, 3),
        ('a,a,,a,a,a', 5, 3),  # a gap
        ('a,?a,a', 2, 1),  # in doubt meanwhile
        ('?a,?a', 0, 0),
        ('a,b,c', 3, 1),  # different ones
        ('ab,ab,b', 5, 3),
        (',,', 0, 0),
    ],
)
def test_ghosts_are_confident_bodies_without_a_person(text: str, ghosts: int, longest: int) -> None:
    found = summarise([Series(10.0, bodies(text))])
    assert found['pictures'] == text.count(',') + 1
    assert found['bodies'] == sum(letter.isalpha() for letter in text)
    assert found['ghosts'] == ghosts
    assert found['share'] == pytest.approx(ghosts / max(found['bodies'], 1))
    assert found['longest, s'] == pytest.approx(longest / 10)


def test_series_do_not_continue_each_other() -> None:
    found = summarise([Series(10.0, bodies('a,a')), Series(2.0, bodies('a'))])
    assert found['ghosts'] == 3
    assert found['longest, s'] == pytest.approx(0.5)
    assert summarise([])['longest, s'] == 0


# Boxes of people


@pytest.mark.parametrize(
    ('box', 'expected'),
    [((10, 10, 20, 30), True), ((0, 0, 40, 60), True), ((21, 20, 35, 30), False),
     ((16, 20, 26, 30), True), ((17, 20, 27, 30), False), ((10, 50, 20, 70), False)],
)  # fmt: skip
def test_body_shows_a_person_if_its_middle_is_in_a_box_that_has_grown(
    box: tuple[int, ...], expected: bool
) -> None:
    people = np.array([[500.0, 500, 600, 600], [10, 10, 20, 50]])
    assert shows_person(np.array(box, float), people) is expected
    assert not shows_person(np.array(box, float), NO_ONE)


def test_boxes_by_hand_are_interpolated_while_she_is_in_view() -> None:
    [before], [between], [after] = (walker(number) for number in (60, 65, 70))
    assert between == pytest.approx((before + after) / 2)
    assert len(walker(WALKER_FIRST)) == 1
    for number in (0, 33, 213, 300):
        assert walker(number).shape == (0, 4)


def test_boxes_of_the_cropped_clip_are_higher_by_the_cropped_rows() -> None:
    camera = Camera(np.eye(3), width=1768, height=594)
    cropped = Clip('walk', Path(), camera, first=41, stop=186, top=400)
    whole = Clip(WALKER_CLIP, Path(), Camera(np.eye(3), width=1768, height=994), people=2)
    for number in (41, 100, 185):
        *_, expected = people_in(whole, [], number)
        *_, found = people_in(cropped, [], number)
        assert found == pytest.approx(expected - [0, 400, 0, 400])
    assert is_marked(cropped, [])


def test_boxes_of_known_joints_are_around_their_pixels() -> None:
    joints = np.zeros((2, 12, 3))
    joints[..., 2] = 2.0
    joints[0, 3], joints[0, 9] = (-0.4, -1.0, 2.0), (0.2, 0.5, 2.0)
    joints[1] = np.nan
    clip, truth = make_clip('man, camera 3', 3), Truth(joints)
    assert people_in(clip, [truth], 0) == pytest.approx(np.array([[25.0, 30, 55, 105]]))
    assert people_in(clip, [truth], 1).shape == (0, 4)


def test_clip_is_judged_only_if_all_people_are_known() -> None:
    truth = Truth(np.zeros((1, 12, 3)))
    assert is_marked(make_clip('man, camera 1', 1), [truth])
    assert not is_marked(make_clip('pair, camera 1', 1, people=2), [truth])
    assert not is_marked(make_clip('man, camera 1', 1), [])
    assert not is_marked(make_clip('another'), [])


# Made pictures


def frames() -> list[tuple[int, NDArray]]:
    """Frames with a white person on black, and the number in the first pixel."""
    pictures = []
    for number in range(COUNT):
        picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        picture[20:140, 30:60] = 255
        picture[0, 0] = number
        pictures.append((number, picture))
    return pictures


def boxes(number: int) -> NDArray:
    return np.array([[30.0, 20, 60, 140]])


Made = Callable[[float], Iterator[Shot]]


@pytest.mark.parametrize('rate', [3.0, 10.0, 30.0])
def test_after_a_cut_no_person_is_in_the_pictures(rate: float) -> None:
    empty = np.full((50, 200, 3), 7, np.uint8)
    shots = list(cut(frames(), boxes, make_clip(''), empty, rate))
    before = [shot for shot in shots if len(shot.people)]
    after = shots[len(before) :]
    numbers = [int(shot.picture[0, 0, 0]) for shot in before]
    assert set(np.diff(numbers)) == {RATE / rate}  # as time passes in the clip
    assert len(after) == 1 + rate
    for shot in after:
        assert shot.picture.shape == (HEIGHT, WIDTH, 3)
        assert (shot.picture == 7).all()
        assert shot.people.shape == (0, 4)


@pytest.mark.parametrize('direction', [-1, 1])
def test_people_leave_the_picture_with_their_boxes(direction: int) -> None:
    shots = list(leave(frames(), boxes, make_clip(''), direction, 30.0))
    assert len(shots) == 76
    inside = 0
    for shot in shots:
        white = shot.picture.min(axis=2) > 200
        if len(shot.people):
            left, top, right, bottom = np.round(shot.people[0]).astype(int)
            assert white[top + 1 : bottom - 1, left + 1 : right - 1].all()
            inside += 1
    assert 2 < inside < len(shots) / 2
    assert len(shots[-1].people) == 0


# Delay


@pytest.mark.parametrize(
    ('text', 'first', 'images', 'seconds'),
    [
        ('---+', 2, 1, 0.1),
        ('--+', 2, 0, 0.0),
        ('-+--', 2, 0, 0.0),  # before half of the person is in view
        ('----+--+', 2, 2, 0.2),
        ('-----', 2, math.inf, math.inf),
        ('', 2, math.inf, math.inf),
    ],
)
def test_delay_is_from_the_first_image_that_shows_the_person(
    text: str, first: int, images: float, seconds: float
) -> None:
    found = delay({number: x == '+' for number, x in enumerate(text)}, first, 10.0)
    assert found == pytest.approx((images, seconds))


def test_delay_with_few_images_counts_from_the_first_one_used() -> None:
    found = delay({35: False, 45: False, 55: False, 65: True}, 40, 30.0)
    assert found == pytest.approx((2, 20 / 30))
