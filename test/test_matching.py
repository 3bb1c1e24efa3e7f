"""Bodies in a picture against the people in it: found, duplicate, between two, or false."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray

from hybrik_ros.cli.bench.matching import Body, Match, match

Array = NDArray[np.float64]

SIZE = (1000, 500)
NONE = np.zeros((0, 4))
ROOM = 100  # width of the place of each person


def person(place: int, width: float = 60.0) -> Array:
    """The box of a person in one of ten places side by side, which do not touch."""
    left = ROOM * place + (ROOM - width) / 2
    return np.array([left, 100.0, left + width, 400.0])


def body(box: Array) -> Body:
    """A body in a box, the trunk of which is a grid over the upper half of it."""
    x, y = np.meshgrid(np.linspace(box[0], box[2], 6)[1:-1], np.linspace(*box[[1, 3]], 8)[1:4])
    return Body(box, np.stack([x.ravel(), y.ravel()], axis=1))


def boxes(places: list[int]) -> Array:
    return np.array([person(place) for place in places]).reshape(-1, 4)


crowds = st.lists(st.integers(0, 9), unique=True, max_size=6)
shifts = st.integers(-12, 12)


@given(st.data(), crowds, crowds)
def test_bodies_at_people_are_found_and_others_are_false(
    data: st.DataObject, people: list[int], found: list[int]
) -> None:
    bodies = [body(person(place) + data.draw(shifts)) for place in found]
    expected = [Match.FOUND if place in people else Match.FALSE for place in found]
    assert match(bodies, boxes(people), NONE, SIZE) == expected


@given(st.data(), crowds.filter(len), st.integers(2, 4))
def test_of_several_bodies_of_a_person_the_one_that_overlaps_most_is_found(
    data: st.DataObject, people: list[int], copies: int
) -> None:
    place = data.draw(st.sampled_from(people))
    moves = data.draw(st.lists(shifts, min_size=copies, max_size=copies, unique_by=abs))
    matches = match([body(person(place) + move) for move in moves], boxes(people), NONE, SIZE)
    best = min(range(copies), key=lambda index: abs(moves[index]))
    expected = [Match.DUPLICATE] * copies
    expected[best] = Match.FOUND
    assert matches == expected


@given(st.data(), crowds, crowds)
def test_order_does_not_matter(data: st.DataObject, people: list[int], found: list[int]) -> None:
    bodies = [body(person(place) + data.draw(shifts)) for place in [*found, *found[:2]]]
    order = data.draw(st.permutations(range(len(bodies))))
    shuffled = match([bodies[k] for k in order], boxes(people[::-1]), NONE, SIZE)
    matches = match(bodies, boxes(people), NONE, SIZE)
    assert sorted(kind.value for kind in shuffled) == sorted(kind.value for kind in matches)


@given(st.integers(0, 8), st.floats(-8, 8))
def test_a_body_that_shares_its_trunk_with_two_people_is_between_them(
    place: int, shift: float
) -> None:
    left, right = person(place, width=90), person(place + 1, width=90)
    middle = np.array([left[0] + 50, 100, right[2] - 50, 400]) + [shift, 0, shift, 0]
    people = np.stack([left, right])
    assert match([body(middle)], people, NONE, SIZE) == [Match.BETWEEN]
    # It takes no person's place.
    both = [body(middle), body(left), body(right)]
    assert match(both, people, NONE, SIZE) == [Match.BETWEEN, Match.FOUND, Match.FOUND]


def test_the_hidden_side_of_a_person_is_beyond_the_box_and_on_the_person_in_front() -> None:
    front, behind = np.array([100.0, 100, 205, 400]), np.array([200.0, 100, 300, 400])
    trunk = np.array([[192.0, 150], [192, 200], *[[x, 180] for x in range(210, 290, 10)]])
    hidden = Body(np.array([180.0, 100, 300, 400]), trunk)
    assert match([hidden], np.stack([front, behind]), NONE, SIZE) == [Match.FOUND]
    moved = Body(hidden.box, trunk - [8, 0])  # farther than a tenth of the box
    assert match([moved], np.stack([front, behind]), NONE, SIZE) == [Match.BETWEEN]


def test_a_body_in_overlapping_boxes_is_of_the_person_it_overlaps_most() -> None:
    behind, front = np.array([100.0, 100, 400, 400]), np.array([280.0, 110, 390, 400])
    people = np.stack([behind, front])
    assert match([body(front), body(behind)], people, NONE, SIZE) == [Match.FOUND] * 2
    # A second body in front does not count as the person behind.
    twice = match([body(front), body(front + 5)], people, NONE, SIZE)
    assert twice == [Match.FOUND, Match.DUPLICATE]


def test_bodies_are_assigned_so_that_all_of_them_fit() -> None:
    left, right = np.array([100.0, 100, 200, 400]), np.array([140.0, 100, 240, 400])
    # Both bodies are nearest to the left one, but one of them fits the other as well.
    bodies = [body(left), body(np.array([118.0, 100, 218, 400]))]
    assert match(bodies, np.stack([left, right]), NONE, SIZE) == [Match.FOUND] * 2


def test_a_small_body_on_a_large_person_is_not_that_person() -> None:
    hand = body(np.array([120.0, 120, 160, 200]))
    assert match([hand], np.array([[100.0, 100, 300, 400]]), NONE, SIZE) == [Match.FALSE]


@given(crowds, crowds)
def test_bodies_on_uncounted_people_are_ignored(people: list[int], crowd: list[int]) -> None:
    bodies = [body(person(place)) for place in range(10)]
    expected = [
        Match.FOUND if place in people
        else Match.IGNORED if place in crowd
        else Match.FALSE
        for place in range(10)
    ]  # fmt: skip
    assert match(bodies, boxes(people), boxes(crowd), SIZE) == expected


@pytest.mark.parametrize('mirror', [False, True])
def test_joints_out_of_the_picture_do_not_count(mirror: bool) -> None:
    box = np.array([0.0, 100, 60, 400])
    trunk = np.array([[20.0, 200], [30, 250], [-40, 200], [-40, 250], [-50, 300]])
    edge, middle = np.array([[-10.0, 0, 100, 500]]), np.array([[25.0, 0, 28, 500]])
    if mirror:
        trunk[:, 0] = SIZE[0] - trunk[:, 0]
        box, edge, middle = (SIZE[0] - each[..., [2, 1, 0, 3]] for each in (box, edge, middle))
        for each in (box, edge, middle):
            each[..., [1, 3]] = SIZE[0] - each[..., [1, 3]]
    cut = Body(box, trunk)
    assert match([cut], NONE, edge, SIZE) == [Match.IGNORED]
    assert match([cut], NONE, middle, SIZE) == [Match.FALSE]
