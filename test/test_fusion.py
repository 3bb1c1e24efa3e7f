"""Fusion of cameras, on made bodies; the most probable landmarks against an independent solver."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample import read_frames
from scipy.optimize import minimize, minimize_scalar
from scipy.spatial.transform import Rotation
from views import around, blur, look_at, observe, standing, views
from walkers import observe as observe_joints

from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Camera
from hybrik_ros.fusion import Fusion, View
from hybrik_ros.fusion.gaussians import ACROSS, Prior, fuse
from hybrik_ros.pipeline import Pipeline

SHOWN = [4, 5, 7, 8, 16, 17, 18, 19, 20, 21]  # joints that a landmark shows


@pytest.fixture(scope='module')
def body():
    return BodyModel.load()


@pytest.fixture(scope='module')
def known(body):
    return standing(body)


def gaussians(points, transforms, rng, count=2):
    """What views tell of the first landmarks: points, rays, confidence, sigmas of depths."""
    seen = [blur(observe(points, transform), rng) for transform in transforms]
    found = []
    for one, transform in zip(seen, transforms, strict=True):
        depth = (one.depths + one.distance)[:, None]
        local = np.hstack([one.rays * depth, depth])[:count]
        offsets = local @ transform[:3, :3].T
        rays = offsets / np.linalg.norm(offsets, axis=1, keepdims=True)
        found.append((transform[:3, 3] + offsets, rays))
    where, rays = (np.stack(each) for each in zip(*found, strict=True))
    confidence = rng.uniform(0.2, 1, rays.shape[:2])
    return where, rays, confidence, np.full(rays.shape[:2], 0.2), np.full(len(rays), 0.3)


@pytest.mark.parametrize('with_prior', [False, True])
@pytest.mark.parametrize('count', [1, 2, 4])
def test_landmarks_are_the_most_probable_ones(known, count, with_prior):
    """A general solver finds hardly more probable ones, by the same robust cost."""
    rng = np.random.default_rng(count)
    where, rays, confidence, depths, distances = gaussians(known[1], around(count), rng, 33)
    prior = Prior(known[1] + rng.normal(0, 0.05, (33, 3)), 0.1) if with_prior else None
    fused = fuse(where, rays, confidence, np.ones_like(confidence), depths, distances, prior)

    def cost(unknown):
        points, shifts = unknown[:-count].reshape(33, 3), unknown[-count:]
        gap = points - where
        along = np.sum(gap * rays, axis=2)
        aside = np.linalg.norm(gap - along[..., None] * rays, axis=2) ** 2
        away = (along - shifts[:, None]) ** 2
        if count > 1:
            aside = aside / (1 + aside / 0.1**2)
            away = 0.3**2 * np.log1p(away / 0.3**2)
        total = np.sum(confidence * (aside / ACROSS**2 + away / depths**2))
        if prior is not None:
            total += np.sum((points - prior.points) ** 2) / prior.sigma**2
        return total + np.sum((shifts / distances) ** 2)

    shifts = [minimize_scalar(lambda s: cost(np.append(fused.points, np.full(count, s)))).x] * count
    start = np.append(fused.points, shifts)
    best = minimize(cost, start, method='L-BFGS-B', options={'maxiter': 500, 'maxfun': 10**6})
    away = np.linalg.norm(best.x[:-count].reshape(33, 3) - fused.points, axis=1)
    # A few steps by turns come so near, also for two cameras that face each other.
    assert np.median(away) < 3e-3
    assert away.max() < 0.02


def test_a_view_that_is_far_off_hardly_counts(known):
    rng = np.random.default_rng(0)
    where, rays, confidence, depths, distances = gaussians(known[1], around(4), rng, 33)
    belief = np.ones_like(confidence)
    without = fuse(where[1:], rays[1:], confidence[1:], belief[1:], depths[1:], distances[1:])
    off = where.copy()
    off[0, 5] += [0, 0, 0.5]
    rays[0, 5] = off[0, 5] - around(4)[0][:3, 3]
    rays[0, 5] /= np.linalg.norm(rays[0, 5])
    fused = fuse(off, rays, confidence, belief, depths, distances)
    assert np.linalg.norm(fused.points[5] - without.points[5]) < 0.02
    assert fused.weights[0, 5] < 0.1 * fused.weights[1:, 5].min()


@pytest.mark.parametrize('count', [1, 2, 4])
def test_exact_observations_give_exact_landmarks(body, known, count):
    joints, points = known
    fusion = Fusion(body, smoothing=False)
    human = follow(fusion, [views([points], around(count), 0.0)])
    np.testing.assert_allclose(fusion.people[0].points, points, atol=1e-9)
    # The body's shape comes to fit over time; so far it is nearly the mean one.
    assert np.linalg.norm(human.joints - joints[:24], axis=1)[SHOWN].max() < 0.035


def test_two_cameras_tell_the_distance_that_each_of_them_estimates_wrongly(body, known):
    joints, points = known
    seen = views([points], around(2), 0.0)
    for name, view in seen.items():
        far = [replace(one, distance=1.3 * one.distance) for one in view.people]
        seen[name] = replace(view, people=far)
    human = follow(Fusion(body, smoothing=False), [seen])
    assert np.linalg.norm(human.joints[0] - joints[0]) < 0.03


@pytest.mark.parametrize('count', [1, 2, 3])
@settings(max_examples=15, deadline=None)
@given(turn=st.floats(-3, 3), shift=st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=2))
def test_the_fixed_frame_does_not_matter(body, known, count, turn, shift):
    """As long as z is up: the same people, turned and moved."""
    _, points = known
    move = np.eye(4)
    move[:3, :3] = Rotation.from_euler('z', turn).as_matrix()
    move[:2, 3] = shift
    seen = views([points], around(count), 0.0, np.random.default_rng(1))
    moved = {
        name: replace(view, frame_from_camera=move @ view.frame_from_camera)
        for name, view in seen.items()
    }
    here, there = (follow(Fusion(body, smoothing=False), [each]) for each in (seen, moved))
    expected = here.joints @ move[:3, :3].T + move[:3, 3]
    np.testing.assert_allclose(there.joints, expected, atol=1e-6)
    np.testing.assert_allclose(there.rotations[1:], here.rotations[1:], atol=1e-6)
    np.testing.assert_allclose(there.joint_sigma, here.joint_sigma, rtol=1e-6)


def follow(fusion, frames):
    """The one person at the end of frames, seen for long enough by one camera, too."""
    first = next(iter(frames[0].values())).stamp
    early = {name: replace(view, stamp=first - 0.3) for name, view in frames[0].items()}
    fusion(early)
    for frame in frames:
        found = fusion(frame)
    [human] = found
    return human


def test_the_order_of_cameras_and_people_does_not_matter(body):
    rng = np.random.default_rng(2)
    people = [standing(body, seed, place)[1] for seed, place in enumerate([(-1, 0), (1, 0.3)])]
    seen = views(people, around(4), 0.0, rng)
    other = {name: replace(view, people=view.people[::-1]) for name, view in reversed(seen.items())}
    one, two = (
        sorted(Fusion(body)(each), key=lambda human: human.joints[0, 0]) for each in (seen, other)
    )
    assert len(one) == len(two) == 2
    for first, second in zip(one, two, strict=True):
        np.testing.assert_allclose(first.joints, second.joints, atol=1e-9)


def test_a_landmark_that_one_camera_does_not_see_is_that_of_the_others(body, known):
    _, points = known
    seen = views([points], around(3), 0.0)
    name, view = next(iter(seen.items()))
    wrong = points.copy()
    wrong[15] += [0.3, 0.3, 0.3]
    hidden = observe(wrong, view.frame_from_camera)
    hidden.landmark_confidence[15] = 0.0
    fusion = Fusion(body, smoothing=False)
    [human] = fusion({**seen, name: replace(view, people=[hidden])})
    [expected] = Fusion(body, smoothing=False)(seen)
    assert np.abs(human.joints - expected.joints).max() < 0.01
    assert human.joint_confidence[20] > 0.9


@pytest.mark.parametrize('apart', [0.0, 0.05])
def test_cameras_that_face_each_other_and_people_at_one_place_stay_finite(body, apart):
    _, points = standing(body)
    facing = [look_at((x, 0.0, 1.0), np.array([0.0, 0.0, 1.0])) for x in (3.0, -3.0)]
    fusion = Fusion(body)
    for number in range(5):
        people = [points, points + [apart, 0, 0]]
        for human in fusion(views(people, facing, 0.1 * number)):
            for value in (human.joints, human.rotations, human.joint_sigma, human.velocity):
                assert np.isfinite(value).all()


def test_every_view_makes_joints_more_certain(body, known):
    _, points = known
    sigmas = []
    for count in (1, 2, 3, 4):
        fusion = Fusion(body, smoothing=False)
        sigmas.append(follow(fusion, [views([points], around(count), 0.0)]).joint_sigma)
    for fewer, more in pairwise(sigmas):
        assert (more < fewer).all()
    assert sigmas[0].min() > 0.2
    assert sigmas[-1].max() < 0.03


def test_a_person_that_one_of_two_cameras_sees_needs_a_quarter_of_a_second(body, known):
    _, points = known
    fusion = Fusion(body)
    counts = []
    for number in range(5):
        seen = views([points], around(2), 0.1 * number)
        seen['camera1'] = replace(seen['camera1'], people=[])
        counts.append(len(fusion(seen)))
    assert counts == [0, 0, 0, 1, 1]


def test_one_camera_gives_what_its_pipeline_gives():
    """The fixed frame changes nothing; the pipeline has reported the person, which is enough."""
    pose = look_at((3.0, -2.0, 1.5), np.zeros(3))
    turn, centre = pose[:3, :3], pose[:3, 3]
    frames = read_frames(60, 12)
    height, width = frames[0].shape[:2]
    camera = Camera.from_field_of_view(60, width, height)
    fusion = Fusion(smoothing=False)
    compared = 0
    with Pipeline.create(smoothing=False, confirm_after=0.0) as pipeline:
        for number, frame in enumerate(frames):
            alone = pipeline(frame, camera, number / 30, up=turn.T @ [0, 0, 1])
            fused = fusion({'camera': View(number / 30, pose, pipeline.human_observations)})
            assert len(fused) == len(alone)
            for human, other in zip(fused, alone, strict=True):
                joints = other.joints @ turn.T + centre
                np.testing.assert_allclose(human.joints, joints, atol=1e-6)
                np.testing.assert_allclose(human.rotations[1:], other.rotations[1:], atol=1e-6)
                np.testing.assert_allclose(human.betas, other.betas, atol=1e-6)
                compared += 1
    assert compared > 8


def misjudge(view, factor):
    """A view with wrong distances of the people, as of one camera."""
    people = [replace(seen, distance=factor * seen.distance, depths=factor * seen.depths)
              for seen in view.people]  # fmt: skip
    return replace(view, people=people)


@pytest.mark.parametrize('factor', [0.7, 0.85, 1.2, 1.4])
def test_a_person_that_one_camera_saw_first_is_placed_by_the_next(body, known, factor):
    joints, points = known
    fusion = Fusion(body)
    for number in range(60):
        seen = views([points], around(5)[: 1 if number < 30 else 2], number / 30)
        found = fusion({name: misjudge(view, factor) for name, view in seen.items()})
        if number == 29:
            [alone] = found
            assert np.linalg.norm(alone.joints[0] - joints[0]) > 0.3
        if number >= 30:
            [human] = found
            assert human.id == alone.id
            assert np.linalg.norm(human.joints[0] - joints[0]) < 0.05
    # The size was a guess of the first camera, too.
    assert np.linalg.norm(human.joints - joints[:24], axis=1).mean() < 0.02


def test_a_person_that_two_cameras_saw_apart_becomes_one(body, known):
    joints, points = known
    fusion = Fusion(body)
    hidden = np.where(np.arange(33) % 2, 1.0, 0.0)
    for number in range(30):
        seen = views([points], around(5)[:2], number / 30)
        if number < 15:  # The cameras see no limb both.
            shares = {'camera0': hidden, 'camera1': 1 - hidden}
            seen = {name: replace(misjudge(view, 1.3), people=[
                replace(one, landmark_confidence=shares[name]) for one in misjudge(view, 1.3).people
            ]) for name, view in seen.items()}  # fmt: skip
        found = fusion(seen)
        if number == 14:
            assert len(found) == 2
    [human] = found
    assert np.linalg.norm(human.joints[0] - joints[0]) < 0.05


def test_people_keep_their_ids_and_a_ghost_needs_two_rays(body):
    fusion = Fusion(body)
    ids = set()
    for number in range(40):
        at = 0.05 * number
        people = [standing(body, seed, (at - 1 if seed else 1 - at, 0.4 * seed))[1]
                  for seed in range(2)]  # fmt: skip
        found = fusion(views(people, around(3), at / 2, np.random.default_rng(number)))
        assert len(found) == 2
        ids |= {human.id for human in found}
    assert len(ids) == 2


def in_camera(human, transform):
    """A body of the fixed frame as the node of a camera would publish it."""
    turn, centre = transform[:3, :3].T, transform[:3, 3]
    rotations = human.rotations.copy()
    rotations[0] = turn @ rotations[0]
    joints = (human.joints - centre) @ turn.T
    return replace(human, rotations=rotations, joints=joints)


@pytest.mark.parametrize('with_bodies', [{0, 1, 2}, {0}, {1, 2}])
def test_whole_bodies_take_the_place_of_observations(body, known, with_bodies):
    """For old bags, and nodes that publish nothing else; not all cameras need be the same."""
    _, points = known
    seen = views([points], around(3), 0.0)
    expected = follow(Fusion(body, smoothing=False), [seen])
    for number in with_bodies:
        view = seen[f'camera{number}']
        person = in_camera(expected, view.frame_from_camera)
        seen[f'camera{number}'] = replace(view, people=[person])
    human = follow(Fusion(body, smoothing=False), [seen])
    away = np.linalg.norm(human.joints - expected.joints, axis=1)
    assert away[SHOWN].max() < 0.03
    assert human.joint_confidence[SHOWN].min() > 0.9


def test_bodies_and_observations_of_a_person_may_take_turns(body, known):
    _, points = known
    fusion, ids, human = Fusion(body), set(), None
    for number in range(10):
        seen = views([points], around(2), 0.05 * number)
        if number % 2:
            for name, view in seen.items():
                person = in_camera(human, view.frame_from_camera)
                seen[name] = replace(view, people=[person])
        [human] = fusion(seen)
        ids.add(human.id)
        assert np.linalg.norm(human.joints[SHOWN] - known[0][SHOWN], axis=1).max() < 0.06
    assert len(ids) == 1


@pytest.mark.parametrize('known_twists', [(), (0,), (0, 1, 2)])
def test_joints_of_a_network_are_fused_with_and_without_their_twist(body, known, known_twists):
    joints, _ = known
    rng = np.random.default_rng(0)
    twist = np.tile([1.0, 0.0], (23, 1))
    seen = {}
    for number, camera in enumerate(around(3)):
        one = observe_joints(joints, camera, rng, landmarks='smpl')
        one = replace(one, twist=twist if number in known_twists else None)
        seen[f'camera{number}'] = View(0.0, camera, [one])
    [human] = Fusion(body)(seen)
    assert np.linalg.norm(human.joints - joints[:24], axis=1).max() < 0.03


def test_a_body_of_another_model_is_refused(body, known):
    seen = views([known[1]], around(2), 0.0)
    human = follow(Fusion(body), [seen])
    other = replace(human, betas=np.zeros(body.num_betas + 1))
    with pytest.raises(ValueError, match='same body'):
        Fusion(body)({'left': View(0.0, np.eye(4), [other])})


def test_bodies_are_advanced_by_the_delay_of_their_filters(body, known):
    _, points = known
    [still] = Fusion(body)(views([points], around(2), 0.0))
    speed = np.array([0.0, 1.0, 0.0])
    fusion = Fusion(body)
    for number in range(60):
        # A walker, 30 ms late.
        late = replace(still, joints=still.joints + speed * (number / 60 - 0.03))
        seen = {
            f'camera{n}': View(number / 60, each, [in_camera(late, each)])
            for n, each in enumerate(around(3))
        }
        [human] = fusion(seen)
    pelvis = still.joints[0] + speed * 59 / 60
    assert np.linalg.norm(human.joints[0] - pelvis) < 0.015


def test_a_person_partly_behind_a_camera_is_left_out(body, known):
    _, points = known
    seen = views([points], around(3), 0.0)
    name, view = next(iter(seen.items()))
    depths = view.people[0].depths - 10
    wrong = replace(view, people=[replace(view.people[0], depths=depths)])
    [human] = Fusion(body, smoothing=False)({**seen, name: wrong})
    [expected] = Fusion(body, smoothing=False)({each: seen[each] for each in list(seen)[1:]})
    np.testing.assert_array_equal(human.joints, expected.joints)


def test_cameras_without_people_or_views_give_no_people(body):
    fusion = Fusion(body)
    assert fusion({}) == []
    assert fusion({'left': View(0.0, np.eye(4), [])}) == []


@pytest.mark.parametrize(
    ('stamp', 'transform', 'reason'),
    [
        (np.nan, np.eye(4), 'stamp'),
        (0.0, np.eye(3), r'\(4, 4\)'),
        (0.0, 2 * np.eye(4), 'rotation'),
        (0.0, np.diag([1.0, 1, -1, 1]), 'rotation'),
        (0.0, np.diag([1.0, 1, 1, 2]), 'rotation'),
        ([1.0], np.eye(4), 'stamp'),
        (0.0, np.full((4, 4), np.nan), 'rotation'),
    ],
)
def test_wrong_views_are_refused(stamp, transform, reason):
    with pytest.raises(ValueError, match=reason):
        View(stamp, transform, [])


@pytest.mark.parametrize('degrees', [0.0, 2.0, 6.0])
def test_wrong_extrinsics_do_not_multiply_people(body, degrees):
    people = [standing(body, seed, (seed - 0.5, 0.2))[1] for seed in range(2)]
    fusion = Fusion(body)
    off = np.eye(4)
    off[:3, :3] = Rotation.from_rotvec(np.radians([0, 0, degrees])).as_matrix()
    for number in range(30):
        seen = views(people, around(2), number / 30, np.random.default_rng(number))
        view = seen['camera1']
        wrong = replace(view, frame_from_camera=view.frame_from_camera @ off)
        found = fusion({**seen, 'camera1': wrong})
    assert len(found) == 2
