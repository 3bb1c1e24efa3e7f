"""Health of cameras: wrong extrinsics, clocks and people are named, and nothing else is."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from views import around, blur, look_at, observe, standing

from hybrik_ros.body import BodyModel
from hybrik_ros.fusion import Fusion, View
from hybrik_ros.fusion.comparing import find_clear
from hybrik_ros.fusion.health import CameraHealth, describe_faults
from hybrik_ros.fusion.view import see

RATE = 30.0
FRAMES = 66
LEFT, RIGHT = (f'camera{n}' for n in (0, 1))
Motion = Callable[[float], list[NDArray]]


@pytest.fixture(scope='module')
def body() -> BodyModel:
    return BodyModel.load()


def walk(body: BodyModel, *places: tuple[float, float]) -> Motion:
    """People that go to and fro from their places, and swing all limbs."""
    poses = [standing(body, seed, place)[1] for seed, place in enumerate(places)]

    def at(time: float) -> list[NDArray]:
        sway = 0.25 * np.sin(2 * np.pi * (0.8 * time + np.arange(33) % 4 / 4))
        step = 0.4 * np.sin(2 * np.pi * 0.4 * time)
        return [pose + [step, 0, 0] + np.outer(sway, [0.6, 0.6, 0.2]) for pose in poses]

    return at


def play(
    motion: Motion,
    transforms: Sequence[NDArray],
    believed: Mapping[int, NDArray] | None = None,
    late: Mapping[int, float] | None = None,
    noise: bool = True,
    lag: float = 0.0,
    frames: int = FRAMES,
    fusion: Fusion | None = None,
) -> Fusion:
    """Fuse what cameras see; believed and late are errors of extrinsics and clocks by camera."""
    fusion = fusion or Fusion()
    rng = np.random.default_rng(0)
    for n in range(frames):
        views = {}
        for number, transform in enumerate(transforms):
            people = motion(n / RATE - (late or {}).get(number, 0.0))
            seen = [observe(points, transform, f'p{i}') for i, points in enumerate(people)]
            seen = [blur(one, rng) for one in seen] if noise else seen
            placed = (believed or {}).get(number, transform)
            views[f'camera{number}'] = View(n / RATE, placed, seen)
        fusion(views, n / RATE - lag)
    return fusion


def turned(transform: NDArray, degrees: float, axis: str) -> NDArray:
    """The transform of a camera that is turned about an axis of its optical frame."""
    wrong = transform.copy()
    wrong[:3, :3] = transform[:3, :3] @ Rotation.from_euler(axis, degrees, degrees=True).as_matrix()
    return wrong


def named(health: Mapping[str, CameraHealth], what: str) -> set[str]:
    return {name for name, each in health.items() if getattr(each, what)}


WRONG = ('has_wrong_pose', 'has_wrong_clock', 'has_other_people')


@pytest.mark.parametrize('count', [2, 3, 4, 5])
@pytest.mark.parametrize('people', [1, 2])
def test_right_cameras_are_healthy(body: BodyModel, count: int, people: int) -> None:
    fusion = play(walk(body, *[(0.0, -0.6), (0.0, 0.6)][:people]), around(5)[:count])
    health = fusion.health
    assert set(health) == {f'camera{n}' for n in range(count)}
    assert not any(named(health, what) for what in WRONG)
    assert not describe_faults(health)
    for each in health.values():
        assert each.rate == pytest.approx(RATE)
        assert each.matched == 1.0
        # Unknown where one person always covers the other.
        assert people == 2 or np.isfinite([each.distance, each.delay]).all()
        assert not each.distance > 0.03
        assert not np.linalg.norm(each.offset) > 0.01
        assert not abs(each.delay) > 0.012


@pytest.mark.parametrize('axis', ['x', 'y'])
@pytest.mark.parametrize('wrong', range(4))
def test_the_camera_with_wrong_extrinsics_is_named(body: BodyModel, wrong: int, axis: str) -> None:
    """By half a degree, which is 26 mm at 3 m."""
    cameras = around(5)[:4]
    believed = {wrong: turned(cameras[wrong], 0.6, axis)}
    health = play(walk(body, (0.0, 0.0)), cameras, believed).health
    assert named(health, 'has_wrong_pose') == {f'camera{wrong}'}
    found = health[f'camera{wrong}'].offset
    length = 3.0 * np.radians(0.6)
    expected = [0, -length] if axis == 'x' else [length, 0]
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=0.012)
    [fault] = describe_faults(health)
    assert fault.startswith(f'camera camera{wrong}: ')
    assert 'mm off in one direction for 2 s: recalibrate' in fault


def test_of_two_cameras_either_may_be_wrong(body: BodyModel) -> None:
    cameras = around(5)[:2]
    fusion = play(walk(body, (0.0, 0.0)), cameras, {1: turned(cameras[1], 1.0, 'x')})
    assert named(fusion.health, 'has_wrong_pose') == {LEFT, RIGHT}
    [fault] = describe_faults(fusion.health)
    assert fault.startswith(f'camera {LEFT} or {RIGHT}: ')


@pytest.mark.parametrize('seconds', [0.05, 0.1, -0.05])
@pytest.mark.parametrize('count', [3, 4])
def test_offsets_of_clocks_are_found(body: BodyModel, count: int, seconds: float) -> None:
    fusion = play(walk(body, (0.0, 0.0)), around(5)[:count], late={1: seconds})
    health = fusion.health
    assert named(health, 'has_wrong_clock') == {RIGHT}
    assert not named(health, 'has_wrong_pose')
    assert health[RIGHT].delay == pytest.approx(seconds, abs=0.015)
    [fault] = describe_faults(health)
    word = 'late' if seconds > 0 else 'early'
    assert fault.startswith(f'camera {RIGHT}: clock {word} by ')


def test_a_clock_is_not_judged_by_a_person_that_stands_still(body: BodyModel) -> None:
    _, points = standing(body)
    health = play(lambda _: [points], around(5)[:3], late={1: 0.1}).health
    assert not any(named(health, what) for what in WRONG)
    assert all(np.isnan(each.delay) for each in health.values())


@pytest.mark.parametrize('lag', [0.0, 0.1])
def test_clocks_are_corrected_only_if_asked(body: BodyModel, lag: float) -> None:
    motion, cameras = walk(body, (0.0, 0.0)), around(5)[:3]
    kept = play(motion, cameras, late={1: 0.07}, frames=240, lag=lag)
    assert RIGHT in named(kept.health, 'has_wrong_clock')
    fusion = Fusion(correct_clocks=True)
    play(motion, cameras, late={1: 0.07}, frames=240, lag=lag, fusion=fusion)
    assert not any(named(fusion.health, what) for what in WRONG)
    assert fusion.health[RIGHT].delay == pytest.approx(0.07, abs=0.03)
    assert [person.id for person in fusion.people] == ['f1']
    if lag:  # Otherwise the late camera is extrapolated, which adds noise.
        assert fusion.health[RIGHT].distance < kept.health[RIGHT].distance / 2


def test_clocks_that_are_far_off_are_not_corrected(body: BodyModel) -> None:
    """The camera would count as silent; it is still named."""
    fusion = Fusion(correct_clocks=True)
    play(walk(body, (0.0, 0.0)), around(5)[:3], late={1: 0.12}, frames=150, fusion=fusion)
    assert describe_faults(fusion.health)[0].startswith(f'camera {RIGHT}: clock late by 1')


def test_people_stay_while_a_clock_is_corrected(body: BodyModel) -> None:
    """Each camera has a turn of its own, so the newest stamp is that of the late one at times."""
    motion, cameras = walk(body, (0.0, 0.0)), around(5)[:3]
    fusion = Fusion(correct_clocks=True)
    ids = set()
    for n in range(720):
        number, time = n % 3, n / 90
        people = motion(time - (0.07 if number == 1 else 0.0))
        seen = [observe(points, cameras[number]) for points in people]
        found = fusion({f'camera{number}': View(time, cameras[number], seen)})
        ids |= {human.id for human in found}
    assert fusion.health[RIGHT].delay == pytest.approx(0.07, abs=0.03)
    assert ids == {'f1'}


def test_a_camera_with_a_wrong_frame_has_other_people(body: BodyModel) -> None:
    cameras = around(5)[:3]
    health = play(walk(body, (0.0, 0.0)), cameras, {2: turned(cameras[2], 40, 'y')}).health
    assert named(health, 'has_other_people') == {'camera2'}
    assert health['camera2'].matched == 0
    assert 'wrong TF?' in describe_faults(health)[0]


def test_wrong_extrinsics_do_not_multiply_people(body: BodyModel) -> None:
    cameras = around(5)[:4]
    fusion = play(walk(body, (0.0, 0.0)), cameras, {2: turned(cameras[2], 6, 'y')})
    assert len(fusion.people) == 1


def test_an_error_of_the_network_in_one_person_names_no_camera(body: BodyModel) -> None:
    """One camera misses one of two people by 8 cm; its extrinsics are right by the other one."""
    cameras = around(5)[:4]
    motion = walk(body, (0.0, -0.7), (0.0, 0.7))
    fusion = Fusion()
    rng = np.random.default_rng(0)
    for n in range(FRAMES):
        views = {}
        for number, transform in enumerate(cameras):
            people = motion(n / RATE)
            if number == 1:
                people[0] = people[0] + 0.08 * transform[:3, 0]
            seen = [blur(observe(each, transform, f'p{i}'), rng) for i, each in enumerate(people)]
            views[f'camera{number}'] = View(n / RATE, transform, seen)
        fusion(views)
    assert not any(named(fusion.health, what) for what in WRONG)


def test_people_that_cover_each_other_are_not_compared(body: BodyModel) -> None:
    camera = look_at((3.0, 0.0, 1.5), np.array([0, 0, 1.0]))
    places = [(0.0, 0.0), (-1.0, 0.0), (0.0, 1.2)]
    points = [standing(body, seed, place)[1] for seed, place in enumerate(places)]
    view = View(0.0, camera, [observe(each, camera, f'p{n}') for n, each in enumerate(points)])
    assert [sight.id for sight in find_clear(see('camera', view, body))] == ['p2']
    assert find_clear([]) == []


def test_exact_rays_have_no_distance(body: BodyModel) -> None:
    """Facing cameras too, which cannot tell where between them a limb is."""
    cameras = [look_at((x, 0.0, 1.0), np.array([0, 0, 1.0])) for x in (-3.0, 3.0)]
    for transforms in (cameras, around(5)[:2], around(5)):
        _, points = standing(body)
        health = play(lambda _, points=points: [points], transforms, noise=False).health
        for each in health.values():
            assert each.distance < 1e-3
            assert np.linalg.norm(each.offset) < 1e-3


def test_health_does_not_depend_on_the_fixed_frame(body: BodyModel) -> None:
    cameras = around(5)[:3]
    move = np.eye(4)
    move[:3, :3] = Rotation.from_euler('z', 70, degrees=True).as_matrix()
    move[:3, 3] = 5.0, -2.0, 0.3
    motion = walk(body, (0.0, 0.0))
    wrong = {1: turned(cameras[1], 1.0, 'x')}
    here = play(motion, cameras, wrong).health
    rotation, shift = move[:3, :3], move[:3, 3]
    there = play(
        lambda time: [points @ rotation.T + shift for points in motion(time)],
        [move @ camera for camera in cameras],
        {1: move @ wrong[1]},
    ).health
    for name, each in here.items():
        np.testing.assert_allclose(there[name].offset, each.offset, atol=1e-4)
        assert there[name].distance == pytest.approx(each.distance, abs=1e-4)


def test_silent_cameras_and_jumps_of_time(body: BodyModel) -> None:
    motion, cameras = walk(body, (0.0, 0.0)), around(5)[:2]
    fusion = play(motion, cameras)
    for n in range(FRAMES, 3 * FRAMES):
        seen = [observe(points, cameras[0]) for points in motion(n / RATE)]
        fusion({LEFT: View(n / RATE, cameras[0], seen)})
    assert fusion.health[RIGHT].rate == 0
    assert fusion.health[LEFT].rate == pytest.approx(RATE)
    assert np.isnan(fusion.health[LEFT].distance)
    play(motion, cameras, fusion=fusion)  # begins at time 0 again
    assert fusion.health[RIGHT].rate == pytest.approx(RATE)
    assert fusion.health[RIGHT].distance < 0.03
    fusion.reset()
    assert fusion.health == {}


def test_memory_is_bounded(body: BodyModel) -> None:
    """Also where a camera gives every person a new id in every image."""
    _, points = standing(body)
    cameras = around(5)[:2]
    fusion = Fusion()
    for n in range(200):
        left = [observe(points, cameras[0], f'p{n}')]
        fusion({LEFT: View(n / RATE, cameras[0], left)})
        assert len(fusion._alone) <= 1
    play(walk(body, (0.0, 0.0)), cameras, frames=200, fusion=fusion)
    monitor = fusion._monitor
    assert max(map(len, monitor._comparisons.values())) <= 11
    assert max(map(len, monitor._images.values())) <= 2 * RATE + 1
    assert max(map(len, monitor._counts.values())) <= 11
