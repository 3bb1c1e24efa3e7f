"""Measures of the fusion against independent values, faults of made cameras, and the top view."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from walkers import Walker, corners, record

from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Camera
from hybrik_ros.cli.bench import fusion_faults, fusion_health, fusion_turns, marks, truth
from hybrik_ros.cli.bench.footage import Clip
from hybrik_ros.cli.bench.fused_runs import FusedRun, fuse, identify, world_from_camera
from hybrik_ros.cli.bench.fusion_accuracy import accuracy, average, joints_of, mean_of, subsets
from hybrik_ros.cli.bench.fusion_calibration import calibrate
from hybrik_ros.cli.bench.fusion_pair import count_ghosts
from hybrik_ros.cli.bench.measures import delay
from hybrik_ros.cli.bench.runs import Run
from hybrik_ros.cli.top_view import draw_floor, draw_top_view
from hybrik_ros.confidence import MAIN_JOINTS
from hybrik_ros.fusion import person
from hybrik_ros.fusion.extrinsics.world import stature_of
from hybrik_ros.human import Human
from hybrik_ros.skeleton import PELVIS

Array = NDArray[np.float64]

RATE = 60.0
FRAMES = 30
SIZE = 1000  # width and height of the images in pixels
HEIGHT = 1.5  # metres of the cameras above the floor
DISTANCE = 4.0  # metres of the cameras from the z axis

pytestmark = pytest.mark.filterwarnings('error')


@pytest.fixture(scope='module')
def body() -> BodyModel:
    return BodyModel.load()


def make_clip(number: int, degrees: float) -> Clip:
    """A camera that looks horizontally at the z axis, from a direction around it."""
    back = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), 0.0])
    down = np.array([0.0, 0.0, -1.0])
    rotation = np.stack([np.cross(down, -back), down, -back])
    centre = DISTANCE * back + [0.0, 0.0, HEIGHT]
    matrix = np.array([[600.0, 0, SIZE / 2], [0, 600, SIZE / 2], [0, 0, 1]])
    camera = Camera(matrix, np.zeros(0), SIZE, SIZE)
    extrinsics = rotation, -rotation @ centre
    return Clip(f'camera {number}', Path(), camera, RATE, number=number, extrinsics=extrinsics)


def make_human(body: BodyModel, clip: Clip, place: Array, id: str = 'p1') -> Human:
    """A standing person with the pelvis at a place (3) in the world, as a camera sees it."""
    assert clip.extrinsics is not None
    turn = Rotation.from_euler('x', 90, degrees=True).as_matrix()  # SMPL's y axis is up
    rotation, translation = clip.extrinsics
    rest = body.rest_joints(np.zeros(10))
    joints = (rest[:24] - rest[PELVIS]) @ (rotation @ turn).T + rotation @ place + translation
    rotations = np.tile(np.eye(3), (24, 1, 1))
    rotations[0] = rotation @ turn
    pixels = clip.camera.project(joints)
    return Human(
        id=id, confidence=0.9, box=np.concatenate([pixels.min(axis=0), pixels.max(axis=0)]),
        joints=joints, joint_confidence=np.ones(24), rotations=rotations,
        global_rotations=np.tile(rotation @ turn, (24, 1, 1)), betas=np.zeros(10),
        translation=joints[PELVIS] - rest[PELVIS], translation_confidence=1.0,
        velocity=np.zeros(3),
    )  # fmt: skip


def walk(number: float) -> Array:
    """Where the pelvis is in a frame."""
    return np.array([0.01 * number - 0.2, 0.1, 0.95])


def make_run(body: BodyModel, number: int, degrees: float, late: float = 0.0) -> Run:
    """A camera's bodies, late by a number of frames."""
    clip = make_clip(number, degrees)
    frames = {n: [make_human(body, clip, walk(n - late))] for n in range(FRAMES)}
    return Run(clip, frames, {n: [] for n in range(FRAMES)})


@pytest.fixture(scope='module')
def runs(body: BodyModel) -> list[Run]:
    return [make_run(body, number, degrees) for number, degrees in ((1, 0), (2, 90), (3, 200))]


@pytest.fixture(scope='module')
def world(runs: list[Run]) -> Array:
    """True joints (frames, 12, 3)."""
    clip = runs[0].clip
    assert clip.extrinsics is not None
    rotation, translation = clip.extrinsics
    joints = [runs[0].frames[n][0].joints[MAIN_JOINTS] for n in range(FRAMES)]
    return (np.array(joints) - translation) @ rotation


# Measures


def swing(times: Array) -> Array:
    """Joints (N, 12, 3) of a person whose arms and legs swing, at times in frames."""
    phases = np.linspace(0, 3, 36).reshape(12, 3)
    return np.sin(0.13 * np.reshape(times, (-1, 1, 1)) + phases)


@pytest.mark.parametrize('late', [-2.0, 0.0, 1.0, 2.6, 5.5])
def test_delay_is_found_to_a_fraction_of_a_frame(late: float) -> None:
    numbers = np.arange(10, 90)
    found = delay(swing(numbers - late), list(numbers), swing(np.arange(100)))
    assert found == pytest.approx(late, abs=0.1)


def test_delay_of_nothing_is_unknown() -> None:
    assert np.isnan(delay(np.zeros((0, 12, 3)), [], swing(np.arange(100))))


def test_errors_of_a_body_that_is_only_elsewhere_are_absolute() -> None:
    true = swing(np.arange(40))
    joints = {number: true[number] + [0.03, 0, 0.04] for number in range(40)}
    joints[39] = np.full((12, 3), np.nan)
    joints[38] = joints[38].copy()
    joints[38][4, 1] = np.nan
    found = accuracy(joints, true, RATE)
    assert found['frames'] == pytest.approx(38 / 40)
    assert found['abs'] == pytest.approx(50)
    assert found['root'] == pytest.approx(0, abs=1e-9)
    assert found['PA'] == pytest.approx(0, abs=1e-6)
    assert found['delay'] == pytest.approx(0, abs=0.1 * 1e3 / RATE)
    # The second difference of sin(w t) is 2 (1 - cos w) times as large.
    curved = 2 * (1 - np.cos(0.13)) * np.linalg.norm(true[1:37], axis=2).mean()
    assert found['jitter'] == pytest.approx(1e3 * curved)


def test_errors_of_a_taller_body_that_leans_vanish_after_alignment() -> None:
    true = swing(np.arange(40))
    lean = Rotation.from_euler('x', 10, degrees=True).as_matrix()
    found = accuracy(dict(enumerate(1.1 * true @ lean.T)), true, RATE)
    assert found['PA'] == pytest.approx(0, abs=1e-6)
    hips = true[:, [6, 7]].mean(axis=1, keepdims=True)
    moved = 1.1 * (true - hips) @ lean.T - (true - hips)
    assert found['root'] == pytest.approx(1e3 * np.linalg.norm(moved, axis=2).mean())
    assert found['abs'] != pytest.approx(found['root'])


def test_means_leave_out_unknown_figures() -> None:
    assert mean_of([{'abs': 1.0}, {'abs': float('nan')}, {'abs': 5.0}]) == {'abs': 3.0}
    assert np.isnan(mean_of([{'abs': float('nan')}])['abs'])


def test_sets_are_all_combinations_of_cameras(runs: list[Run]) -> None:
    numbers = [tuple(run.clip.number for run in chosen) for chosen in subsets(runs, 2)]
    assert numbers == [(1, 2), (1, 3), (2, 3), (1, 2, 3)]


# Methods


def test_mean_of_joints_is_weighted_by_confidence(runs: list[Run], world: Array) -> None:
    [human] = runs[1].frames[0]
    forward = np.array([0.0, 0.0, 0.4])  # too far from camera 2, which looks along -y
    confident = np.full(24, 0.25)
    far = replace(human, joints=human.joints + forward, joint_confidence=confident)
    sources = [(runs[0], {0: runs[0].frames[0][0]}), (runs[1], {0: far})]
    found = average(sources)
    np.testing.assert_allclose(found[0], world[0] + [0, -0.4 * 0.25 / 1.25, 0], atol=1e-9)
    assert np.isnan(found[1]).all()


def test_bodies_of_several_cameras_are_one_body(body: BodyModel, world: Array) -> None:
    late = 0.03 * RATE  # as the filters of nodes make bodies
    runs = [make_run(body, number, angle, late) for number, angle in ((1, 0), (2, 90), (3, 200))]
    fused = fuse(runs, bodies=True)
    [found] = identify(fused.frames, [world])
    assert list(found) == list(range(FRAMES))
    assert {len(humans) for humans in fused.frames.values()} == {1}
    assert fused.cameras[FRAMES - 1] == [{'camera 1', 'camera 2', 'camera 3'}]
    assert accuracy(joints_of(found, range(FRAMES)), world, RATE)['abs'] < 10
    for whole, rest in fused.seconds.values():
        assert 0 < rest < whole


def test_solver_is_as_before_after_it_was_timed(runs: list[Run]) -> None:
    solve = person.solve_body
    fuse(runs, bodies=True)
    assert person.solve_body is solve


def test_people_are_known_by_their_places(body: BodyModel, runs: list[Run], world: Array) -> None:
    rotation, translation = np.eye(3), np.zeros(3)
    clip = replace(runs[0].clip, extrinsics=(rotation, translation))  # the world itself
    shifts = {'near': [0.2, 0, 0], 'other': [1.0, 0, 0], 'far': [0, 2.0, 0]}
    people = [make_human(body, clip, walk(0) + shift, id) for id, shift in shifts.items()]
    first, second, third = identify({0: people, 1: []}, [world, world + [1.1, 0, 0], world + 9])
    assert first[0].id == 'near'
    assert second[0].id == 'other'
    assert third == {}
    assert 1 not in first


def test_a_body_in_the_background_is_no_ghost_where_only_these_cameras_see_it(
    body: BodyModel, runs: list[Run]
) -> None:
    clips = [replace(run.clip, name=f'pair, camera {run.clip.number}') for run in runs]
    world_clip = replace(clips[0], extrinsics=(np.eye(3), np.zeros(3)))
    left, top, right, bottom = marks._BACKGROUND[1]
    pixel = np.array([(left + right) / 2, (top + bottom) / 2])
    away = np.append(clips[0].camera.rays(pixel), 1) * 7.0
    behind = (world_from_camera(clips[0]) @ np.append(away, 1))[:3]
    known, other = (make_human(body, world_clip, place) for place in (walk(0), behind))
    people = [{0: known}]
    for cameras, ghosts in (
        ({clips[0].name}, 0),
        ({clips[0].name, clips[2].name}, 1),
        ({clips[2].name}, 1),
    ):
        fused = FusedRun({0: [known, other]}, {0: [{clips[0].name}, cameras]})
        assert count_ghosts(fused, people, clips) == ghosts, cameras
    fused = FusedRun({0: [known, known]}, {0: [{clips[0].name}] * 2})
    assert count_ghosts(fused, [{}], clips) == 2


# Faults


@pytest.mark.parametrize(('degrees', 'metres'), [(0.5, 0.01), (4.0, 0.08)])
def test_wrong_extrinsics_are_off_by_the_angle_and_the_length(
    runs: list[Run], degrees: float, metres: float
) -> None:
    right = world_from_camera(runs[0].clip)
    random = np.random.default_rng(0)
    wrong = [fusion_faults.disturb(runs[0], degrees, metres, random) for _ in range(2)]
    transforms = [world_from_camera(run.clip) for run in wrong]
    for transform in transforms:
        turn = Rotation.from_matrix(transform[:3, :3] @ right[:3, :3].T)
        assert np.degrees(turn.magnitude()) == pytest.approx(degrees)
        assert np.linalg.norm(transform[:3, 3] - right[:3, 3]) == pytest.approx(metres)
    assert np.abs(transforms[0] - transforms[1]).max() > 0.1 * metres
    again = fusion_faults.disturb(runs[0], degrees, metres, np.random.default_rng(0))
    np.testing.assert_array_equal(world_from_camera(again.clip), transforms[0])


def test_extrinsics_from_people_are_laid_on_the_given_ones(body: BodyModel) -> None:
    cameras = corners(3)
    walker = Walker(body)
    streams = record([walker], cameras, 4.0, rate=RATE / 2)
    runs = []
    for number, (camera, stream) in enumerate(zip(cameras, streams.values(), strict=True), 1):
        turn = camera[:3, :3].T
        clip = replace(
            make_clip(number, 0), rate=RATE / 2, extrinsics=(turn, -turn @ camera[:3, 3])
        )
        seen = {frame: people for frame, (_, people) in enumerate(stream)}
        runs.append(Run(clip, {frame: [] for frame in seen}, seen))
    found = calibrate(runs, stature_of(body, walker.betas))
    for run, camera in zip(found, cameras, strict=True):
        pose = world_from_camera(run.clip)
        turn = Rotation.from_matrix(pose[:3, :3].T @ camera[:3, :3])
        assert 0 < np.degrees(turn.magnitude()) < 0.2
        assert np.linalg.norm(pose[:3, 3] - camera[:3, 3]) < 0.05


def test_cameras_that_take_turns_show_the_newest_image(runs: list[Run]) -> None:
    first, second = fusion_turns.hold_newest(runs[:2], 4)
    seen = {
        number: tuple(
            next(n for n, people in run.frames.items() if people is held.frames[number])
            for run, held in ((runs[0], first), (runs[1], second))
        )
        for number in first.frames
    }
    assert dict(list(seen.items())[:4]) == {4: (4, 2), 6: (4, 6), 8: (8, 6), 10: (8, 10)}
    together = fusion_turns.take_together(runs[:2], 4)
    assert all(run.frames.keys() == first.frames.keys() for run in together)
    assert all(together[1].frames[n] is runs[1].frames[n] for n in first.frames)
    taken = [list(run.frames)[:3] for run in fusion_turns.take_turns(runs[:2], 4)]
    assert taken == [[0, 4, 8], [2, 6, 10]]


# Ground truth


def test_extrinsics_of_the_fusion_are_those_of_the_true_joints() -> None:
    clips = [replace(make_clip(number, 0), number=number) for number in (1, 2, 3, 4)]
    refined = truth.refine([*clips, replace(clips[0], number=0, extrinsics=None)])
    assert [clip.number for clip in refined] == [1, 2, 3, 4]
    joints = truth.load_world()
    assert joints is not None
    for clip in refined:
        man = truth.load_man(clip)
        assert man is not None
        rotation, translation = clip.extrinsics
        np.testing.assert_allclose(man.joints, joints @ rotation.T + translation, atol=1e-6)
        # He stands upright, some metres before each of four cameras, which surround him.
        assert (man.joints[:, :2, 1] < man.joints[:, 10:, 1]).all()
        assert 2 < man.joints[..., 2].min() < man.joints[..., 2].max() < 5


# Pictures


def test_top_view_shows_people_and_cameras_where_they_are(body: BodyModel, runs: list[Run]) -> None:
    world_clip = replace(runs[0].clip, extrinsics=(np.eye(3), np.zeros(3)))
    human = make_human(body, world_clip, np.array([-2.0, -1.0, 0.9]))
    cameras = {'a': world_from_camera(runs[0].clip), 'b': world_from_camera(runs[1].clip)}
    side = 900
    with_person, without = (draw_top_view(cameras, p, side=side) for p in ([human], []))
    # From -2.3 (a hand in the T-pose) to 4 (the camera on the x axis), with margins of 0.8.
    low = np.array([human.joints[:, 0].min(), human.joints[:, 1].min()]) - 0.8
    high = np.array([DISTANCE, DISTANCE]) + 0.8
    extent, middle = (high - low).max(), (low + high) / 2
    pixel = side / 2 + (np.array([-2.0, -1.0]) - middle) * [1, -1] * side / extent
    x, y = pixel.round().astype(int)
    patch = with_person[y - 8 : y + 9, x - 8 : x + 9]
    assert len(np.unique(patch.reshape(-1, 3), axis=0)) > 5  # the skeleton, no plain paper
    # Cameras are dark: just before the tips, towards the z axis.
    assert without.shape == (side, side, 3)
    low, high = np.array([0.0, 0.0]) - 0.8, np.array([DISTANCE, DISTANCE]) + 0.8
    for place in ([DISTANCE - 0.3, 0.0], [0.0, DISTANCE - 0.3]):
        x, y = (
            (side / 2 + (np.array(place) - (low + high) / 2) * [1, -1] * side / (high - low))
            .round()
            .astype(int)
        )
        assert without[y, x].max() < 60


def test_floor_is_drawn_in_perspective_and_not_behind_the_camera() -> None:
    clip = make_clip(1, 0)
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    camera_from_world = np.linalg.inv(world_from_camera(clip))
    draw_floor(picture, clip.camera, camera_from_world, np.full(2, -9.0), np.full(2, 9.0))
    # The line x = 2, 2 m before the camera, is 1.5 m below it: 600 * 1.5 / 2 below the horizon.
    row = SIZE // 2 + 450
    assert (picture[row - 1 : row + 2, 50:-50].max(axis=(0, 2)) > 100).all()
    assert picture[: SIZE // 2].max() == 0
    assert cv2.countNonZero(picture[..., 0]) < 0.1 * SIZE**2


def test_health_of_made_cameras(body: BodyModel) -> None:
    """Right cameras are healthy; of four, the one that is turned is named, and no other."""
    clips = [make_clip(number, 80.0 * number) for number in (1, 2, 3, 4)]
    people = [{n: [make_human(body, clip, walk(n))] for n in range(90)} for clip in clips]
    runs = [Run(clip, frames, frames) for clip, frames in zip(clips, people, strict=True)]
    assert not fusion_health.find_alarms([runs, runs[:2]])['said']
    assert clips[1].extrinsics is not None
    rotation, translation = clips[1].extrinsics
    turn = Rotation.from_euler('x', 1, degrees=True).as_matrix()
    extrinsics = turn @ rotation, turn @ translation
    runs[1] = replace(runs[1], clip=replace(clips[1], extrinsics=extrinsics))
    [(_, first), *_, (_, last)] = fusion_health.watch(runs)
    assert not any(each.has_wrong_pose for each in first.values())
    assert {name for name, each in last.items() if each.has_wrong_pose} == {'2'}
