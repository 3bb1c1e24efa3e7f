"""Messages of observations: what no camera can see is refused, and all others come back equal."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_people import header, setter

from hybrik_ros.bags import BagWriter, create_observation_maker, serialise, typestore
from hybrik_ros.bags.observation_reader import read_observations
from hybrik_ros.human import LANDMARK_SETS, HumanObservation
from hybrik_ros.messages.observations import HUMAN_OBSERVATION_ARRAY, observations_of
from hybrik_ros.messages.people import PersonError
from hybrik_ros.perception.hybrik import JointPoints
from hybrik_ros.perception.landmarks import LandmarkPoints

NAN, INF = float('nan'), float('inf')
MAKER = create_observation_maker()
STAMP = 1_500_000_000


def observation(id: str = 'p1', landmarks: str = 'blazepose', seed: int = 0) -> HumanObservation:
    """Return an observation with numbers that float32 rounds."""
    rng = np.random.default_rng(seed)
    count = LANDMARK_SETS[landmarks]
    angles = rng.uniform(-np.pi, np.pi, 23)
    with_network = landmarks == 'smpl'
    return HumanObservation(
        id=id,
        confidence=0.7,
        landmarks=landmarks,
        rays=rng.uniform(-1, 1, (count, 2)),
        landmark_confidence=rng.uniform(0, 1, count),
        belief=rng.uniform(0, 1, 24),
        depths=rng.uniform(-1, 1, count),
        depth_sigmas=rng.uniform(0.1, 0.3, count),
        distance=3.3,
        distance_sigma=0.4,
        clothes=np.array([[30.1, -5.2, 120.3], [NAN, NAN, NAN]]),
        twist=np.stack([np.cos(angles), np.sin(angles)], axis=1) if with_network else None,
        betas=rng.uniform(-3, 3, 10) if with_network else None,
    )


def message(*people: HumanObservation, stamp: int = STAMP) -> Any:
    return MAKER.array(people, header(stamp), 'default')


def check_equal(found: HumanObservation, expected: HumanObservation) -> None:
    """Check that two observations have the same numbers in float32."""
    for field in fields(HumanObservation):
        value, other = getattr(found, field.name), getattr(expected, field.name)
        if other is None or isinstance(other, str):
            assert value == other
        else:
            np.testing.assert_array_equal(np.float32(value), np.float32(other))
            assert np.shape(value) == np.shape(other)


def refuse(damage: Callable[[Any], None], landmarks: str = 'smpl') -> str:
    """Return the reason why a damaged person is left out; the other person is kept."""
    sent = message(observation('p1', landmarks), observation('p2', landmarks, 1))
    damage(sent.people[0])
    _, people, faults = observations_of(sent)
    assert [person.id for person in people] == ['p2']
    [fault] = faults
    assert len(fault) < 250
    assert fault.isprintable()
    return fault


@pytest.mark.parametrize('landmarks', LANDMARK_SETS)
def test_observations_come_back_equal_in_float32(landmarks: str) -> None:
    sent = [observation('p1', landmarks), observation('p2', landmarks, 1)]
    body_model, people, faults = observations_of(message(*sent))
    assert (body_model, faults) == ('default', [])
    for found, expected in zip(people, sent, strict=True):
        check_equal(found, expected)


def test_landmark_sets_are_those_of_the_networks() -> None:
    for kind in (LandmarkPoints, JointPoints):
        assert max(np.ravel(kind.sources)) < LANDMARK_SETS[kind.landmarks]
    assert {LandmarkPoints.landmarks, JointPoints.landmarks} == set(LANDMARK_SETS)


NUMBERS = [
    *[('rays.5', value) for value in (NAN, INF, 1e30)],
    *[(f'{field}.7', value) for field in ('landmark_confidence', 'belief')
      for value in (NAN, INF, -0.1, 1.1)],
    *[('depths.3', value) for value in (NAN, -INF, 11.0, -11.0)],
    *[('depth_sigmas.3', value) for value in (NAN, INF, 0.0, -0.2)],
    *[('distance', value) for value in (NAN, INF, 0.0, -3.0, 1e6)],
    *[('distance_sigma', value) for value in (NAN, INF, 0.0, -1.0)],
    *[('confidence', value) for value in (NAN, INF, -0.1, 1.1)],
    *[('clothes.1', value) for value in (NAN, INF, 1e9)],
    *[('twist.4', value) for value in (NAN, INF, 5.0)],
    *[('betas.2', value) for value in (NAN, INF, 20.5)],
]  # fmt: skip
ARRAYS = ('rays', 'landmark_confidence', 'depths', 'depth_sigmas', 'clothes', 'belief', 'twist',
          'betas')  # fmt: skip


@pytest.mark.parametrize(('field', 'value'), NUMBERS)
def test_numbers_that_no_camera_sees_are_refused(field: str, value: float) -> None:
    reason = refuse(setter(field, value))
    assert reason.startswith("stamp 1.500000000 s, person 'p1': " + field.partition('.')[0])


@pytest.mark.parametrize('field', ARRAYS)
@pytest.mark.parametrize('change', [-1, 1])
def test_arrays_of_other_lengths_are_refused(field: str, change: int) -> None:
    def resize(person: Any) -> None:
        values = getattr(person, field)
        setattr(person, field, np.resize(values, len(values) + change))

    assert f'{field} has ' in refuse(resize)


@pytest.mark.parametrize('name', ['', 'coco', 'BlazePose', 'x' * 10**6, '\x1b[2J'])
def test_unknown_sets_of_landmarks_are_refused_with_the_known_ones(name: str) -> None:
    assert 'not one of blazepose, smpl' in refuse(setter('landmarks', name))


def test_the_size_of_another_set_is_refused() -> None:
    assert 'rays has 58 entries instead of 66' in refuse(setter('landmarks', 'blazepose'))


def test_twists_that_are_no_unit_vectors_are_refused() -> None:
    def shorten(person: Any) -> None:
        person.twist[8:10] *= 0.5

    assert 'the twist of joint 5 is no cosine and sine: its length is 0.5' in refuse(shorten)


@pytest.mark.parametrize('id', ['', '../evil', 'p 1', 'p' * 65, '\x1b[2Jp1'])
def test_ids_that_are_no_names_are_refused(id: str) -> None:
    assert 'the id is not 1 to 64 letters' in refuse(setter('id', id))


def test_second_person_with_an_id_is_refused() -> None:
    _, people, faults = observations_of(message(observation('p1'), observation('p1', seed=1)))
    check_equal(people[0], observation('p1'))
    [fault] = faults
    assert 'another person of the message has the same id' in fault


@pytest.mark.parametrize(
    'damage',
    [
        setter('header.stamp.sec', -1),
        setter('header.frame_id', 10**6 * 'x'),
        setter('body_model', 10**6 * 'x'),
    ],
    ids=range(3),
)
def test_messages_with_a_wrong_header_are_refused(damage: Callable[[Any], None]) -> None:
    sent = message(observation())
    damage(sent)
    with pytest.raises(PersonError) as refused:
        observations_of(sent)
    assert len(str(refused.value)) < 250


@given(data=st.data())
def test_accepted_observations_are_finite(data: st.DataObject) -> None:
    sent = message(observation(landmarks='smpl'))
    path, _ = data.draw(st.sampled_from(NUMBERS))
    setter(path, data.draw(st.floats(width=32)))(sent.people[0])
    for person in observations_of(sent).people:
        for field in fields(HumanObservation):
            if field.name not in ('id', 'landmarks', 'clothes'):
                assert np.isfinite(getattr(person, field.name)).all()
        assert min(person.distance, person.distance_sigma, *person.depth_sigmas) > 0


# In bags


def write(path: Path, damage: Callable[[Any], None] | None = None) -> list[HumanObservation]:
    """Write a bag with two people in three images, the second of which is damaged."""
    written = []
    with BagWriter(path) as bag:
        bag.add_topic('/human_observations', HUMAN_OBSERVATION_ARRAY)
        for number in range(3):
            people = [observation(f'p{n}', seed=10 * number + n) for n in (1, 2)]
            sent = message(*people, stamp=STAMP + number)
            if damage is not None and number == 1:
                damage(sent)
            bag.write('/human_observations', STAMP + number, serialise(sent))
            written += people
    return written


def test_bag_gives_back_what_was_written(tmp_path: Path) -> None:
    written = write(tmp_path / 'bag')
    frames, left_out = read_observations(tmp_path / 'bag')
    assert [frame.stamp for frame in frames] == [STAMP, STAMP + 1, STAMP + 2]
    assert {(frame.frame_id, frame.body_model) for frame in frames} == {('camera', 'default')}
    assert list(left_out.report()) == []
    read = [person for frame in frames for person in frame.people]
    for found, expected in zip(read, written, strict=True):
        check_equal(found, expected)


def test_bag_loses_only_what_is_refused(tmp_path: Path) -> None:
    write(tmp_path / 'person', setter('people.1.distance', NAN))
    frames, left_out = read_observations(tmp_path / 'person')
    assert [len(frame.people) for frame in frames] == [2, 1, 2]
    [line] = left_out.report()
    assert 'message 2 of /human_observations: stamp 1.500000001 s, person' in line
    write(tmp_path / 'message', setter('header.stamp.sec', -1))
    frames, left_out = read_observations(tmp_path / 'message')
    assert [len(frame.people) for frame in frames] == [2, 2]
    [line] = left_out.report()
    assert 'is invalid' in line


def test_observations_without_a_garment_keep_the_other() -> None:
    seen = replace(observation(), clothes=np.array([[NAN] * 3, [1.0, 2.0, 3.0]]))
    [found] = observations_of(message(seen)).people
    np.testing.assert_array_equal(found.clothes, seen.clothes)


def test_types_of_both_sides_have_the_same_fields() -> None:
    names = {field.name for field in fields(HumanObservation)}
    defined = typestore().fielddefs['hybrik_ros/msg/HumanObservation'][1]
    assert {name for name, _ in defined} == names
