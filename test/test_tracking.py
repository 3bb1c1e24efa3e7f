"""Tracking over time: shape, velocity, and identities."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from shown import landmark_points, landmarks_of

from hybrik_ros.body import BodyModel
from hybrik_ros.body.betas import BETA_LIMITS
from hybrik_ros.camera import Camera, Region
from hybrik_ros.perception.agreement import Agreement
from hybrik_ros.perception.landmarks import observe
from hybrik_ros.posing import keep_sides, move, start_memory, take_distance
from hybrik_ros.settings import Settings
from hybrik_ros.tracking import Seen, Sighting, State, Track, Tracker
from hybrik_ros.tracking.shape import ShapeEstimator

PAIRS = [(1, 4), (4, 7), (16, 18), (18, 20), (16, 17), (1, 16)]
BOTH_SIDES = [*PAIRS, (2, 5), (5, 8), (17, 19), (19, 21), (2, 17)]
SIGMAS = np.full(len(PAIRS), 0.03)
REGION = Region(np.zeros(2), 1.0)


class Shape:
    """The estimates of one person's shape, frame after frame."""

    def __init__(self, body, pairs, sigmas):
        self._estimator = ShapeEstimator(body, pairs, sigmas)
        self._estimate = self._estimator.start()

    def measure(self, *frame):
        self._estimate = self._estimator.measure(self._estimate, *frame)

    @property
    def betas(self):
        return self._estimate.betas

    @property
    def frozen(self):
        return self._estimate.is_frozen


class Person:
    """The memory of one person, frame after frame."""

    def __init__(self, body):
        self.memory = start_memory(body)
        self._stamp = -np.inf

    def move(self, position, stamp):
        self.memory = move(self.memory, position, stamp - self._stamp)
        self._stamp = stamp
        return self.memory.filters.velocity.value

    def tell_distance(self, ratio):
        self.memory = take_distance(self.memory, Settings(), ratio)

    def untangled(self, seen, elapsed):
        kept, self.memory = keep_sides(seen, self.memory, elapsed)
        return kept

    def predicted(self, stamp):
        track = Track.start('p1', sighting((0, 0, 4)), REGION, self.memory, False, self._stamp)
        return track.predict_position(stamp)


@pytest.fixture(scope='module')
def body():
    return BodyModel.load()


@pytest.fixture
def shape(body):
    return Shape(body, PAIRS, SIGMAS)


def lengths(body, betas):
    joints = body.rest_joints(betas)
    return np.array([np.linalg.norm(joints[a] - joints[b]) for a, b in PAIRS])


def misfit(body, shape, wanted):
    return np.abs(lengths(body, shape.betas) - wanted).mean()


def test_nothing_measured_is_the_mean_body(body, shape):
    assert np.array_equal(shape.betas, np.zeros(body.num_betas))
    shape.measure(np.full(len(PAIRS), 17.0), np.zeros(len(PAIRS)))
    assert np.array_equal(shape.betas, np.zeros(body.num_betas))


def test_many_noisy_frames_tell_more_than_one(body):
    rng = np.random.default_rng(0)
    first, last = [], []
    for _ in range(20):
        wanted = lengths(body, rng.normal(0, 0.7, body.num_betas))
        shape = Shape(body, PAIRS, SIGMAS)
        for frame in range(100):
            shape.measure(wanted + rng.normal(0, SIGMAS), np.ones(len(PAIRS)))
            if frame == 0:
                first.append(misfit(body, shape, wanted))
        last.append(misfit(body, shape, wanted))
    assert np.mean(last) < 0.6 * np.mean(first)
    assert np.mean(last) < 0.01


def test_frames_count_as_much_as_they_are_sure(body, shape):
    # Half as sure counts half as much: two such frames are one that is fully sure.
    wanted, other = lengths(body, np.full(10, 0.5)), lengths(body, np.full(10, -0.5))
    twice = Shape(body, PAIRS, SIGMAS)
    for _ in range(2):
        twice.measure(wanted, np.full(len(PAIRS), 0.5))
    shape.measure(wanted, np.ones(len(PAIRS)))
    assert shape.betas == pytest.approx(twice.betas)
    shape.measure(other, np.full(len(PAIRS), 1e-6))
    assert shape.betas == pytest.approx(twice.betas, abs=1e-3)


def test_a_constant_error_never_makes_an_extreme_body(body, shape):
    # The network misjudges a limb the same way in each frame.
    wrong = lengths(body, None) * [1.1, 1, 1, 1, 1, 1]
    for _ in range(2000):
        shape.measure(wrong, np.ones(len(PAIRS)))
    assert np.abs(shape.betas).max() < 1


def test_betas_stay_human(body, shape):
    for factor in (0.1, 10.0):
        shape.measure(factor * lengths(body, None), np.ones(len(PAIRS)))
        assert (shape.betas >= BETA_LIMITS[0]).all()
        assert (shape.betas <= BETA_LIMITS[1]).all()


# The shape over time


def test_the_shape_is_frozen_once_it_is_certain(body):
    rng = np.random.default_rng(3)
    wanted = lengths(body, rng.normal(0, 0.7, body.num_betas))
    shape = Shape(body, PAIRS, SIGMAS)
    measured = []
    while not shape.frozen:
        measured.append(wanted + rng.normal(0, SIGMAS))
        shape.measure(measured[-1], np.ones(len(PAIRS)), 1 / 30)
    # Noise of 3 cm is less than 7.5 mm in the mean of 16: what they tell is what the shape becomes,
    # in half a second.
    whole = Shape(body, PAIRS, SIGMAS)
    for lengths_ in measured[:16]:
        whole.measure(lengths_, np.ones(len(PAIRS)))
    assert whole.frozen
    assert np.array_equal(shape.betas, whole.betas)
    assert len(measured) == pytest.approx(16 + 15, abs=1)
    before = shape.betas
    for _ in range(5):
        shape.measure(1.2 * wanted, np.ones(len(PAIRS)), 1 / 30)
    assert shape.betas is before


def test_the_shape_of_half_a_body_rests_until_the_other_half_is_seen(body, shape):
    rng = np.random.default_rng(4)
    half = np.where(np.arange(len(PAIRS)) < 2, 0.0, 1.0)
    wanted = lengths(body, rng.normal(0, 0.7, body.num_betas))

    def seen(confidence, frames):
        found = []
        for _ in range(frames):
            shape.measure(wanted + rng.normal(0, SIGMAS), confidence, 1 / 30)
            found.append(shape.betas)
        return np.array(found)

    upper = seen(half, 300)
    assert (upper[60:] == upper[60]).all()
    assert not shape.frozen
    whole = seen(np.ones(len(PAIRS)), 60)
    assert np.abs(np.diff([upper[-1], *whole], axis=0)).max() < 0.2
    assert shape.frozen
    joints = body.rest_joints(shape.betas)
    found = [np.linalg.norm(joints[a] - joints[b]) for a, b in PAIRS]
    assert found == pytest.approx(wanted, abs=0.02)


def test_one_side_of_a_body_tells_of_the_other(body):
    shape = Shape(body, BOTH_SIDES, np.full(len(BOTH_SIDES), 0.03))
    joints = body.rest_joints(np.zeros(body.num_betas))
    measured = np.array([np.linalg.norm(joints[a] - joints[b]) for a, b in BOTH_SIDES])
    one_side = np.where(np.arange(len(BOTH_SIDES)) < len(PAIRS), 1.0, 0.0)
    for _ in range(16):
        assert not shape.frozen
        shape.measure(measured, one_side)
    assert shape.frozen


def test_the_shape_changes_smoothly(body, shape):
    shape.measure(lengths(body, np.full(10, 1.0)), np.ones(len(PAIRS)))
    first = shape.betas
    shape.measure(lengths(body, np.full(10, -1.0)), np.ones(len(PAIRS)), 1 / 30)
    jumping = Shape(body, PAIRS, SIGMAS)
    for betas in (1.0, -1.0):
        jumping.measure(lengths(body, np.full(10, betas)), np.ones(len(PAIRS)))
    share = 1 / 30 / 0.5
    assert shape.betas - first == pytest.approx(share * (jumping.betas - first))


# One track


@pytest.fixture
def track(body):
    return Person(body)


def test_the_first_frame_has_no_velocity(track):
    assert np.array_equal(track.move(np.array([1.0, 2, 3]), 100.0), np.zeros(3))


@pytest.mark.parametrize('rate', [10, 30, 100])
def test_a_steady_walk_has_its_velocity(track, rate):
    speed = np.array([-1.2, 0.1, 0.4])
    for stamp in np.arange(0, 2, 1 / rate):
        velocity = track.move(speed * stamp, stamp)
        if stamp <= 0.1:
            assert abs(velocity[0]) < 0.9
    assert velocity == pytest.approx(speed, rel=0.02)


def test_jitter_is_smoothed(track):
    rng = np.random.default_rng(1)
    velocities = [track.move(rng.normal(0, 0.01, 3), stamp) for stamp in np.arange(0, 10, 1 / 30)]
    # From frame to frame, a centimetre is 0.4 m/s.
    assert np.std(velocities) < 0.1


def test_time_that_stands_still_keeps_the_velocity(track):
    for before in np.arange(0, 5.001, 0.1):
        velocity = track.move(np.array([before, 0, 0]), before)
    assert track.move(np.array([99.0, 0, 0]), 5.0) == pytest.approx(velocity)


def test_a_gap_in_time_begins_anew(track):
    for stamp in np.arange(0, 2, 0.1):
        track.move(np.array([stamp, 0, 0]), stamp)
    assert np.array_equal(track.move(np.zeros(3), 4.0), np.zeros(3))


def test_positions_taken_in_stay_the_callers(track):
    position = np.zeros(3)
    track.move(position, 0.0)
    position[:] = 50.0
    assert 0 < track.move(np.array([0.1, 0, 0]), 0.1)[0] < 1


def test_a_distance_that_is_told_late_is_no_motion(track):
    for stamp in np.arange(0, 1, 0.1):
        track.move(np.array([0.3, 0, 3.0]), stamp)
    track.tell_distance(1.4)
    assert track.move(1.4 * np.array([0.3, 0, 3.0]), 1.0) == pytest.approx(np.zeros(3))
    # In the image they are looked for where they seem to be.
    assert track.predicted(1.1) == pytest.approx([0.3, 0, 3.0])
    # From then on it is one.
    track.tell_distance(1.5)
    assert track.move(1.5 * np.array([0.3, 0, 3.0]), 1.1)[2] > 0.1


def test_person_at_a_measured_distance_is_expected_at_the_apparent_place(track):
    seeming = np.array([1.0, 0, 0.5])
    track.tell_distance(2.0)
    for stamp in np.arange(0, 3, 0.1):
        track.move(2 * (seeming * stamp + [0, 0, 4]), stamp)
    assert track.predicted(3.0) == pytest.approx(seeming * 3 + [0, 0, 4], abs=0.02)


# Association

NEWCOMER = start_memory(BodyModel.load())
RATE = 30.0
CONFIRM, FORGET = 0.2, 1.5


@pytest.fixture
def tracker(body):
    return Tracker(CONFIRM, FORGET)


def sighting(position):
    """A person at (x, y, z), seen by a camera of 600 pixels focal length."""
    x, y, z = position
    centre, half = 600 * np.array([x, y]) / z, 600 * np.array([0.3, 0.9]) / z
    box = np.concatenate([centre - half, centre + half])
    return Sighting(np.array(position, float), box, np.zeros((17, 3)), 600 / z)


def show(tracker, sightings, stamp):
    """Show these sightings to the tracker; return their tracks."""
    people = []
    for track, seen in zip(tracker.assign(sightings, stamp), sightings, strict=True):
        before = NEWCOMER if track is None else track.memory
        elapsed = np.inf if track is None else track.elapsed(stamp)
        people.append(Seen(track, seen, REGION, move(before, seen.position, elapsed)))
    return tracker.update(people, stamp)


def step(tracker, positions, stamp):
    """Show people at these positions to the tracker; return their tracks."""
    return show(tracker, [sighting(position) for position in positions], stamp)


def ids_along(tracker, paths, stamps, shuffle=None):
    """The ids of people along their paths (frames, people, 3), in that order; None: unseen."""
    found = []
    for stamp, positions in zip(stamps, paths, strict=True):
        order = [i for i, position in enumerate(positions) if position is not None]
        if shuffle is not None:
            shuffle.shuffle(order)
        tracks = step(tracker, [positions[i] for i in order], stamp)
        ids = [None] * len(positions)
        for i, track in zip(order, tracks, strict=True):
            ids[i] = track.id
        found.append(ids)
    return found


def stamps_of(seconds):
    return np.arange(0, seconds, 1 / RATE)


def test_track_is_confirmed_after_a_while(tracker):
    states = [step(tracker, [(0, 0, 4)], stamp)[0].state for stamp in stamps_of(0.5)]
    assert states[0] is State.TENTATIVE
    assert states.index(State.TRACKED) == round(CONFIRM * RATE)
    assert set(states[states.index(State.TRACKED) :]) == {State.TRACKED}


def test_track_without_confirmation_counts_at_once(body):
    tracker = Tracker(0.0, FORGET)
    assert step(tracker, [(0, 0, 4)], 7.0)[0].state is State.TRACKED


def test_track_seen_for_a_moment_is_dropped(tracker):
    step(tracker, [(0, 0, 4)], 0.0)
    assert tracker.update([], 0.1) == []
    assert tracker.tracks == []


def test_ids_are_short_start_with_a_letter_and_never_come_back(tracker):
    seen = set()
    for visit in range(20):
        [track] = step(tracker, [(0, 0, 4)], 10.0 * visit)
        assert track.id not in seen
        assert track.id[0].isalpha()
        assert len(track.id) < 5
        seen.add(track.id)
        if visit % 3 == 0:
            tracker.reset()


def test_person_away_for_a_second_keeps_the_id(tracker):
    def path(stamp):
        return None if 1.0 < stamp < 2.0 else (0.5, 0, 4)

    found = ids_along(tracker, [[path(s)] for s in stamps_of(3)], stamps_of(3))
    assert {id for [id] in found} == {'p1', None}


@pytest.mark.parametrize('rate', [3, 10, 30])
def test_detector_that_was_sure_of_a_person_stays_sure_for_a_short_time(body, tracker, rate):
    memory = move(start_memory(body), np.array([0.0, 0, 4]), np.inf)
    supports = [(0.0, 0.6, False), (0.1, 0.8, True)]
    # Something that looks like a person where the sure one was has not its confidence for long.
    stamps = 0.1 + np.arange(1, rate + 1) / rate
    supports += [(stamp, 0.6, bool(stamp < 0.15)) for stamp in stamps]
    for stamp, support, is_sure in supports:
        where = replace(sighting((0, 0, 4)), agreement=Agreement(support, np.ones(24)))
        [known] = tracker.assign([where], stamp)
        [track] = tracker.update([Seen(known, where, REGION, memory)], stamp)
        assert track.is_sure == is_sure


def test_person_away_for_long_is_forgotten(tracker):
    for stamp in stamps_of(1):
        step(tracker, [(0, 0, 4)], stamp)
    assert tracker.update([], 1.0) == []
    assert [track.state for track in tracker.tracks] == [State.LOST]
    assert tracker.is_searching
    assert tracker.followed == []
    assert step(tracker, [(0, 0, 4)], 3.0)[0].id == 'p2'
    assert len(tracker.tracks) == 1


@pytest.mark.parametrize('forget_after', [0.0, 0.01, 1.5])
@pytest.mark.parametrize('interval', [0.3, 1.8])
def test_person_seen_in_every_frame_is_never_forgotten(body, forget_after, interval):
    tracker = Tracker(CONFIRM, forget_after)
    for stamp in interval * np.arange(10):
        [track] = step(tracker, [(0, 0, 4)], stamp)
        assert track.id == 'p1'


@pytest.mark.parametrize('interval', [2.0, 3.3, 5.0])
def test_two_slow_images_confirm_a_person_and_keep_the_id(tracker, interval):
    states = [step(tracker, [(0, 0, 4)], interval * n)[0] for n in range(3)]
    assert {track.id for track in states} == {'p1'}
    assert states[1].state is State.TRACKED
    # The person may be anywhere by now: only the detector finds it.
    assert tracker.expected(interval * 3) == []


def test_a_false_detection_in_a_slow_stream_is_not_confirmed(tracker):
    [track] = step(tracker, [(0, 0, 4)], 0.0)
    assert track.state is State.TENTATIVE
    assert tracker.update([], 2.0) == []
    [other] = step(tracker, [(0, 0, 4)], 4.0)
    assert other.state is State.TENTATIVE
    assert other.id != track.id


def in_clothes(position, colours):
    return replace(sighting(position), clothes=np.array(colours, float))


def stand_for_a_second(tracker, colours):
    for stamp in stamps_of(1):
        show(tracker, [in_clothes((0, 0, 4), colours)], stamp)


RED, BLUE = [[25, 60, 45], [25, 60, 45]], [[15, 30, -60], [15, 30, -60]]


def test_person_in_other_clothes_takes_no_id(tracker):
    stand_for_a_second(tracker, RED)
    tracker.update([], 1.1)
    [other] = show(tracker, [in_clothes((0.3, 0, 4), BLUE)], 1.5)
    assert other.id != 'p1'
    ids = [
        track.id
        for track in show(tracker, [in_clothes((0.3, 0, 4), BLUE), in_clothes((0, 0, 4), RED)], 1.6)
    ]
    assert ids == [other.id, 'p1']


def test_change_of_light_in_a_missed_frame_costs_no_id(tracker):
    stand_for_a_second(tracker, RED)
    tracker.update([], 1.0)
    [track] = show(tracker, [in_clothes((0, 0, 4), BLUE)], 1.03)
    assert track.id == 'p1'


def test_other_clothes_in_the_next_slow_image_are_another_person(tracker):
    show(tracker, [in_clothes((0, 0, 4), RED)], 0.0)
    [track] = show(tracker, [in_clothes((0, 0, 4), BLUE)], 3.0)
    assert (track.id, track.state) == ('p2', State.TENTATIVE)


def test_tracked_person_may_walk_into_the_shade(tracker):
    for n, stamp in enumerate(stamps_of(1)):
        [track] = show(tracker, [in_clothes((0, 0, 4), RED if n < 15 else BLUE)], stamp)
        assert track.id == 'p1'


def test_person_elsewhere_gets_another_id(tracker):
    for stamp in stamps_of(1):
        step(tracker, [(-2, 0, 4)], stamp)
    assert step(tracker, [(2, 0, 4)], 1.0)[0].id == 'p2'


def test_person_walking_unseen_is_found_at_the_predicted_place(tracker):
    walk = [[(1.2 * s - 2, 0, 4)] if not 1.0 < s < 1.4 else [None] for s in stamps_of(3)]
    found = ids_along(tracker, walk, stamps_of(3))
    assert {id for [id] in found} == {'p1', None}


@pytest.mark.parametrize('apart', [0.0, 0.4, 1.0])
def test_people_that_cross_keep_their_ids(tracker, apart):
    # They pass each other in front of the camera; in the middle one hides the other.
    def paths(stamp):
        x = 1.2 * (stamp - 1.5)
        hidden = abs(x) < 0.2
        return [(x, 0, 4), None if hidden else (-x, 0, 4 + apart)]

    rng = np.random.default_rng(0)
    found = ids_along(tracker, [paths(s) for s in stamps_of(3)], stamps_of(3), rng)
    assert {ids[0] for ids in found} == {found[0][0]}
    assert {ids[1] for ids in found} == {found[0][1], None}


def test_person_on_the_far_side_is_not_the_one_at_the_hiding_place(tracker):
    # At walking pace, hidden for 0.4 s, and seen again at a wrong depth; the other is missed then.
    hidden, stamps = 1.0, stamps_of(1.4)
    seen = [[(1.2 * (s - hidden), 0, 4), (0.25, 0, 4.3)] for s in stamps]
    for people, stamp in zip(seen, stamps, strict=True):
        if stamp > hidden:
            people[0] = None
    seen[-1] = [(1.2 * (stamps[-1] - hidden), 0, 4.2), None]
    found = ids_along(tracker, seen, stamps)
    assert found[-1][0] == found[0][0]


def test_the_assignment_is_the_best_for_all(tracker):
    # The nearest pair first would leave the other two nearly a metre apart.
    for stamp in stamps_of(1):
        first, second = step(tracker, [(0, 0, 4), (0.6, 0, 4)], stamp)
    moved = step(tracker, [(0.35, 0, 4), (0.95, 0, 4)], 1.0)
    assert [track.id for track in moved] == [first.id, second.id]


def test_no_id_changes_to_match_all_people(tracker):
    # One stays; the other is not seen; a newcomer turns up on the far side.
    for stamp in stamps_of(1):
        first, second = step(tracker, [(0, 0, 4), (0.5, 0, 4)], stamp)
    moved = step(tracker, [(0.05, 0, 4), (-0.6, 0, 4)], 1.0)
    assert moved[0] is first
    assert moved[1] not in (first, second)


@pytest.mark.parametrize('people', range(7))
def test_many_are_kept_apart_in_any_order(tracker, people):
    rng = np.random.default_rng(people)
    homes = np.stack([np.arange(people) - 3.0, np.zeros(people), np.full(people, 5.0)], axis=1)
    paths = [homes + rng.normal(0, 0.05, homes.shape) for _ in stamps_of(2)]
    found = ids_along(tracker, [list(frame) for frame in paths], stamps_of(2), rng)
    assert all(ids == found[0] for ids in found)
    assert len(set(found[0])) == people


@given(
    st.lists(
        st.lists(st.tuples(st.floats(-3, 3), st.floats(-1, 1), st.floats(0.5, 20)), max_size=6),
        max_size=20,
    ),
    st.lists(st.floats(0, 2), min_size=20, max_size=20),
)
def test_each_person_has_one_track_whatever_is_seen(body, frames, intervals):
    tracker = Tracker(CONFIRM, FORGET)
    for positions, stamp in zip(frames, np.cumsum(intervals), strict=False):
        tracks = step(tracker, positions, stamp)
        assert len(tracks) == len(positions)
        assert len({track.id for track in tracks}) == len(tracks)
        assert all(track in tracker.followed for track in tracks)
        assert all(track.elapsed(stamp) <= FORGET for track in tracker.tracks)


# Left and right


def turned(body, angle):
    """Observation of a person before the camera, turned by this angle, one arm raised."""
    rotations = np.tile(np.eye(3), (24, 1, 1))
    rotations[0] = np.diag([1.0, -1.0, -1.0]) @ Rotation.from_euler('y', angle).as_matrix()
    rotations[16] = Rotation.from_euler('y', -70, degrees=True).as_matrix()
    rotations[17] = Rotation.from_euler('z', 75, degrees=True).as_matrix()
    _, points = landmark_points(body, np.zeros(body.num_betas), rotations, np.array([0, 0, 4.0]))
    camera = Camera.from_field_of_view(60, 640, 480)
    return observe(landmarks_of(points, camera), camera)


@pytest.fixture(scope='module')
def standing(body):
    return turned(body, 0.0)


@pytest.mark.parametrize('turns', [0.25, 0.5, 1.0, 1.5])
@pytest.mark.parametrize('rate', [5, 10, 30, 60])
def test_real_turn_is_accepted(body, track, turns, rate):
    for stamp in np.arange(0, 4, 1 / rate):
        seen = turned(body, 2 * np.pi * turns * max(0.0, stamp - 1))
        assert track.untangled(seen, 1 / rate) is seen


def test_two_exchanges_are_the_same_observation(standing):
    again = standing.exchanged().exchanged()
    assert again.points == pytest.approx(standing.points)
    assert np.array_equal(again.confidence, standing.confidence)
    assert standing.exchanged().hips == pytest.approx(standing.hips, abs=1e-4)
    assert standing.distance_in_image(standing) == 0
    assert standing.exchanged().distance_in_image(standing) > 0.2


@pytest.mark.parametrize('rate', [15, 30, 60])
def test_sides_that_are_exchanged_for_a_moment_are_put_right(track, standing, rate):
    def shown(seconds, seen):
        found = [track.untangled(seen, 1 / rate) for _ in range(round(seconds * rate))]
        return [one is standing or one.distance_in_image(standing) < 1e-6 for one in found]

    other = standing.exchanged()
    assert all(shown(1.0, standing))
    assert all(shown(0.3, other))
    assert all(shown(0.2, standing))
    assert all(shown(0.3, other))
    # A lasting exchange is accepted.
    insisted = shown(1.0, other)
    assert not any(insisted[-round(0.3 * rate) :])
    assert not any(shown(0.5, other))


def test_sides_are_believed_where_nothing_is_known_of_them(track, standing):
    other = standing.exchanged()
    assert track.untangled(standing, np.inf) is standing
    assert track.untangled(other, 1 / 30) is other  # Seen for a frame only.
    for _ in range(30):
        track.untangled(other, 1 / 30)
    assert track.untangled(standing, 1.0) is standing  # A second later they may have turned.


def test_person_seen_from_above_close_by_is_exchanged_without_error(body, track):
    rotations = np.tile(np.eye(3), (24, 1, 1))
    upright = np.diag([1.0, -1.0, -1.0])
    for tilt in (-60, 60):
        rotations[0] = Rotation.from_euler('x', tilt, degrees=True).as_matrix() @ upright
        _, points = landmark_points(body, np.zeros(body.num_betas), rotations, np.zeros(3))
        points[:, 2] += 0.05 - points[:, 2].min()
        camera = Camera.from_field_of_view(120, 640, 480)
        seen = observe(landmarks_of(points, camera), camera)
        assert tilt == -60 or seen.points[:, 2].max() > 2 * seen.hips[2]  # the feet
        assert (seen.exchanged().points[:, 2] > 0).all()
        assert track.untangled(seen, np.inf) is seen
