"""Extrinsics and clocks of cameras from simulated people."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation
from walkers import Walker, corners, looking_at, on_eight, on_spot, record

from hybrik_ros.body import BodyModel
from hybrik_ros.fusion.extrinsics import (
    CameraPose,
    Difference,
    ExtrinsicsError,
    check_extrinsics,
    estimate_extrinsics,
    shared_seconds,
)
from hybrik_ros.fusion.extrinsics.adjustment import Scene, adjust, start
from hybrik_ros.fusion.extrinsics.checking import (
    MAX_DIRECTION,
    compare_extrinsics,
    known_scale,
)
from hybrik_ros.fusion.extrinsics.pairing import Transform, fit_motion
from hybrik_ros.fusion.extrinsics.tracks import BONES, find_instants, find_tracks
from hybrik_ros.fusion.extrinsics.world import stature_of

CAMERAS = corners()


@pytest.fixture(scope='module')
def body():
    return BodyModel.load()


@pytest.fixture(scope='module')
def walker(body):
    return Walker(body)


def relative(poses):
    """Return rotations and translations from the first camera to each."""
    return [np.linalg.inv(pose) @ poses[0] for pose in poses]


def errors(found, cameras, with_scale=True):
    """Return the maximum errors of cameras relative to the first, in degrees and metres."""
    own = relative([pose.frame_from_camera for pose in found.cameras.values()])
    true = relative(cameras)
    scale = 1.0
    if not with_scale:
        ours, theirs = (np.array([pose[:3, 3] for pose in poses]) for poses in (own, true))
        scale = np.sum(ours * theirs) / np.sum(ours**2)
    turns = [
        Rotation.from_matrix(a[:3, :3].T @ b[:3, :3]).magnitude()
        for a, b in zip(own, true, strict=True)
    ]
    shifts = [np.linalg.norm(scale * a[:3, 3] - b[:3, 3]) for a, b in zip(own, true, strict=True)]
    return np.degrees(max(turns)), max(shifts)


@pytest.mark.parametrize('count', [2, 4])
def test_exact_rays_give_exact_extrinsics(walker, count) -> None:
    streams = record([walker], CAMERAS[:count], 4.0)
    found = estimate_extrinsics(streams)
    turn, shift = errors(found, CAMERAS[:count], with_scale=False)
    assert np.radians(turn) < 1e-6
    assert shift < 1e-6
    assert max(abs(pose.clock_offset) for pose in found.cameras.values()) < 1e-6
    assert found.report.notes == []


def test_frame_is_upright_with_the_floor_at_zero_below_the_first_camera(walker, body) -> None:
    found = estimate_extrinsics(
        record([walker], CAMERAS, 7.0), stature=stature_of(body, walker.betas)
    )
    for pose, true in zip(found.cameras.values(), CAMERAS, strict=True):
        assert pose.frame_from_camera[2, 3] == pytest.approx(true[2, 3], abs=0.04)
        own, up = pose.frame_from_camera[2, :3], true[2, :3]
        assert np.degrees(np.arccos(own @ up)) < 1.0
    first = found.cameras['c1'].frame_from_camera
    assert np.abs(first[:2, 3]).max() < 1e-9
    assert abs(first[1, 2]) < 0.02 < first[0, 2]


@pytest.mark.parametrize('betas', [-1.5, 1.5])
def test_stature_gives_the_scale(body, betas) -> None:
    walker = Walker(body, betas * np.eye(body.num_betas)[0])
    stature = stature_of(body, walker.betas)
    streams = record([walker], CAMERAS, 4.0)
    found = estimate_extrinsics(streams, stature=stature)
    distance = np.linalg.norm(CAMERAS[1][:3, 3] - CAMERAS[0][:3, 3])

    def scale(found):
        poses = [found.cameras[name].frame_from_camera[:3, 3] for name in ('c1', 'c2')]
        return np.linalg.norm(poses[1] - poses[0]) / distance

    assert scale(found) == pytest.approx(1, abs=0.01)
    assert found.report.is_stature_given
    assert found.report.scale.sigma < 0.02
    unknown = estimate_extrinsics(streams)
    assert not unknown.report.is_stature_given
    assert 0.05 < unknown.report.scale.sigma < 0.08
    assert abs(scale(unknown) - 1) < 2 * unknown.report.scale.sigma
    assert abs(scale(unknown) - 1) > abs(scale(found) - 1)


def test_noise_gives_small_errors_that_the_halves_show(walker, body) -> None:
    found = estimate_extrinsics(
        record([walker], CAMERAS, 6.0, across=0.02, deep=0.1),
        stature=stature_of(body, walker.betas),
    )
    turn, shift = errors(found, CAMERAS)
    assert turn < 0.3
    assert shift < 0.06
    assert found.report.repeatability['c1'] == (0, 0)
    for name in ('c2', 'c3', 'c4'):
        assert 0.01 < np.degrees(found.report.repeatability[name].turn) < 1
    assert all(0.01 < error < 0.03 for error in found.report.errors.values())


def test_clock_offsets_of_unsynchronised_cameras_are_found(walker) -> None:
    late = (0.0, 0.35, -0.2, 0.71)
    streams = record(
        [walker], CAMERAS, 5.0, late=late, phases=(0, 0.3, 0.6, 0.8), across=0.01, deep=0.1
    )
    found = estimate_extrinsics(streams)
    for pose, shift in zip(found.cameras.values(), late, strict=True):
        assert pose.clock_offset == pytest.approx(-shift, abs=0.008)
    assert errors(found, CAMERAS, with_scale=False)[0] < 0.4


def test_two_people_are_matched_and_both_count(body) -> None:
    walkers = [Walker(body), Walker(body, start=3.5, path=lambda t: (on_eight(t)[0][::-1], 0.0))]
    streams = record(walkers, CAMERAS[:3], 4.0, across=0.01, deep=0.1)
    found = estimate_extrinsics(streams)
    assert len(found.report.paths) == 2
    assert any('2 people are seen often' in note for note in found.report.notes)
    assert found.report.shared['c1', 'c2'] == pytest.approx(8, abs=0.5)
    assert errors(found, CAMERAS[:3], with_scale=False)[0] < 0.3


def test_the_stature_is_that_of_the_tallest_person_that_is_seen_often(body) -> None:
    short, tall = (
        Walker(body, betas * np.eye(body.num_betas)[0], path=path, start=start)
        for betas, path, start in (
            (-1.5, on_eight, 0.0),
            (1.5, lambda t: (on_eight(t)[0][::-1], 0.0), 3.5),
        )
    )
    if stature_of(body, short.betas) > stature_of(body, tall.betas):
        short, tall = tall, short
    stature = stature_of(body, tall.betas)
    streams = record([short, tall], CAMERAS[:3], 5.0, across=0.01, deep=0.1)
    distance = np.linalg.norm(CAMERAS[1][:3, 3] - CAMERAS[0][:3, 3])

    def scale(found):
        poses = [found.cameras[name].frame_from_camera[:3, 3] for name in ('c1', 'c2')]
        return np.linalg.norm(poses[1] - poses[0]) / distance

    found = estimate_extrinsics(streams, stature=stature)
    assert scale(found) == pytest.approx(1, abs=0.015)
    assert any('those of the tallest' in note for note in found.report.notes)
    # A tall person that passes by is not meant.
    brief = {
        name: [(stamp, people if stamp < 1.5 else people[:1]) for stamp, people in stream]
        for name, stream in streams.items()
    }
    found = estimate_extrinsics(brief, stature=stature_of(body, short.betas))
    assert scale(found) == pytest.approx(1, abs=0.015)
    assert not any('tallest' in note for note in found.report.notes)


def test_joints_serve_as_landmarks_do(walker) -> None:
    found = estimate_extrinsics(record([walker], CAMERAS[:3], 3.0, joints=True))
    assert np.radians(errors(found, CAMERAS[:3], with_scale=False)[0]) < 1e-6


def test_a_chain_of_cameras_suffices(walker) -> None:
    streams = record([walker], CAMERAS[:3], 6.0)
    streams['c1'] = streams['c1'][:60]
    streams['c3'] = streams['c3'][60:]
    found = estimate_extrinsics(streams, max_offset=0.2)
    assert found.report.shared['c1', 'c3'] == 0
    assert np.radians(errors(found, CAMERAS[:3], with_scale=False)[0]) < 1e-6
    assert any('repeatability is unknown' in note for note in found.report.notes)


def test_a_camera_that_shares_no_person_is_named(walker) -> None:
    streams = record([walker], CAMERAS[:3], 4.0)
    streams['c3'] = [(stamp + 100, people) for stamp, people in streams['c3']]
    with pytest.raises(ExtrinsicsError, match=r'camera c3 and c1, c2 have not seen the same'):
        estimate_extrinsics(streams)


def test_too_little_shared_time_is_named_with_the_pair(walker) -> None:
    streams = record([walker], CAMERAS[:2], 4.0)
    streams['c2'] = [(stamp, people if stamp < 0.7 else []) for stamp, people in streams['c2']]
    with pytest.raises(ExtrinsicsError, match=r'at most 0\.[67] s, cameras c1 and c2'):
        estimate_extrinsics(streams, max_offset=0.2)


def test_a_camera_without_people_is_named(walker) -> None:
    streams = record([walker], CAMERAS[:2], 2.0)
    streams['c2'] = [(stamp, []) for stamp, _ in streams['c2']]
    with pytest.raises(ExtrinsicsError, match='camera c2 sees no person'):
        estimate_extrinsics(streams)


def test_a_single_camera_is_refused(walker) -> None:
    with pytest.raises(ExtrinsicsError, match='two cameras'):
        estimate_extrinsics(record([walker], CAMERAS[:1], 2.0))


def test_different_landmarks_are_refused(walker) -> None:
    streams = record([walker], CAMERAS[:2], 2.0)
    streams['c2'] = record([walker], CAMERAS[:2], 2.0, joints=True)['c2']
    with pytest.raises(ExtrinsicsError, match='blazepose, smpl'):
        estimate_extrinsics(streams)


@pytest.mark.parametrize(
    ('late', 'reason'),
    [(3.0, 'clocks differ by more than 1 s'), (8.0, 'its clock or intrinsics are wrong')],
)
def test_clocks_that_differ_too_much_are_refused(walker, late, reason) -> None:
    # The walk repeats after 7 s: only its halves show the second one.
    streams = record([walker], CAMERAS[:3], 15.0, late=(0.0, 0.0, late), across=0.01, deep=0.1)
    with pytest.raises(ExtrinsicsError, match=f'camera c3.* {reason}'):
        estimate_extrinsics(streams)


def test_standing_still_is_refused(body) -> None:
    standing = Walker(body, path=on_spot, lift=0.0)
    with pytest.raises(ExtrinsicsError, match='stands still'):
        estimate_extrinsics(record([standing], CAMERAS[:2], 3.0, across=0.01, deep=0.1))


def test_walking_on_one_spot_is_noted(body) -> None:
    found = estimate_extrinsics(record([Walker(body, path=on_spot)], CAMERAS, 4.0))
    assert any('walk through all views' in note for note in found.report.notes)


def test_a_camera_that_moves_during_the_recording_is_refused(walker) -> None:
    moved = [*CAMERAS[:2], looking_at(CAMERAS[2][:3, 3] + [0.3, 0.5, 0.2])]
    before, after = (record([walker], cameras, 6.0) for cameras in (CAMERAS[:3], moved))
    streams = before | {'c3': before['c3'][:45] + after['c3'][45:]}
    with pytest.raises(ExtrinsicsError, match='halves of the recording disagree about camera c3'):
        estimate_extrinsics(streams)


def test_kabsch_finds_an_exact_motion_in_spite_of_outliers() -> None:
    rng = np.random.default_rng(1)
    rotation = Rotation.from_rotvec([0.3, -1.2, 2.0]).as_matrix()
    points = rng.normal(size=(200, 3))
    others = points @ rotation.T + [1, 2, 3]
    others[::10] += rng.normal(0, 3, (20, 3))
    transform, _ = fit_motion(points, others, np.ones(200))
    assert transform.rotation == pytest.approx(rotation, abs=0.01)


def test_adjustment_agrees_with_plain_least_squares(walker) -> None:
    streams = record([walker], CAMERAS[:2], 1.0, across=0.02, deep=0.1)
    tracks = [find_tracks(name, stream)[0] for name, stream in streams.items()]
    instants = find_instants([tracks], ['c1', 'c2'], np.zeros(2), 2)
    limbs = instants.layout.limbs  # Few unknowns, as derivatives are numerical.
    instants = replace(instants, layout=instants.layout._replace(used=limbs))
    pose = relative(CAMERAS[:2])
    transforms = [Transform(one[:3, :3], one[:3, 3]) for one in pose]
    begin = start(instants, transforms, np.zeros(2))
    found = adjust(instants, begin)
    used, total = instants.layout.used, begin.lengths.sum()
    count, shape = begin.points.size, begin.points.shape

    def unpack(values):
        turn = Rotation.from_rotvec(values[:3]).as_matrix() @ begin.rotations[1]
        return Scene(
            np.stack([begin.rotations[0], turn]),
            np.stack([begin.translations[0], values[3:6]]),
            np.array([0.0, values[6]]),
            values[7 : 7 + count].reshape(shape),
            values[7 + count :].reshape(begin.lengths.shape),
        )

    def pack(scene):
        turn = Rotation.from_matrix(scene.rotations[1] @ begin.rotations[1].T).as_rotvec()
        parts = (turn, scene.translations[1], scene.offsets[1:], scene.points.ravel(),
                 scene.lengths.ravel())  # fmt: skip
        return np.concatenate(parts)

    def misfit(values):
        scene = unpack(values)
        residuals = []
        for camera in range(2):
            local = scene.points @ scene.rotations[camera].T + scene.translations[camera]
            late = scene.offsets[camera] * instants.velocities[:, camera, used]
            seen = instants.rays[:, camera, used] - late
            residuals.append((local[..., :2] / local[..., 2:] - seen) / 0.006)
        squares = np.sum(np.square(residuals), axis=-1).ravel()
        lengths = np.linalg.norm(np.diff(scene.points[:, BONES], axis=2)[:, :, 0], axis=2)
        bones = ((lengths - scene.lengths) / 0.03).ravel()
        robust = [np.sqrt(2 * (np.sqrt(1 + x) - 1)) for x in (squares, bones**2)]
        return np.concatenate([*robust, [(scene.lengths.sum() - total) / 1e-3]])

    def cost(scene):
        return np.sum(misfit(pack(scene)) ** 2)

    oracle = least_squares(misfit, pack(begin), x_scale='jac', max_nfev=15)
    assert cost(found) < 0.95 * cost(begin)
    assert cost(found) <= 2 * oracle.cost * (1 + 1e-3)


def test_a_check_names_the_camera_that_was_moved(walker) -> None:
    streams = record([walker], CAMERAS, 4.0, across=0.01, deep=0.1)
    known = {f'c{at + 1}': CameraPose(pose, 0.0) for at, pose in enumerate(CAMERAS)}
    good = check_extrinsics(streams, known)
    assert all(agreement.is_good for agreement in good.values())
    assert all(0.005 < agreement.distance < 0.03 for agreement in good.values())
    turned = CAMERAS[2].copy()
    turned[:3, :3] = turned[:3, :3] @ Rotation.from_rotvec([0, 0.02, 0]).as_matrix()
    bad = check_extrinsics(streams, known | {'c3': CameraPose(turned, 0.0)})
    assert not bad['c3'].is_good
    assert max(bad, key=lambda name: bad[name].direction) == 'c3'


def moved(pose, degrees, shift):
    """Return a pose that is turned about the y axis of its camera and moved along its x axis."""
    pose = pose.copy()
    pose[:3, 3] += shift * pose[:3, 0]
    pose[:3, :3] = pose[:3, :3] @ Rotation.from_euler('y', degrees, degrees=True).as_matrix()
    return pose


@pytest.mark.parametrize('is_given', [False, True])
def test_a_check_tells_how_far_a_camera_is_from_where_people_say(walker, body, is_given) -> None:
    stature = stature_of(body, walker.betas) if is_given else None
    observed = estimate_extrinsics(record([walker], CAMERAS, 4.0), stature=stature)
    poses = [*CAMERAS[:2], moved(CAMERAS[2], 3.0, 0.2), CAMERAS[3]]
    elsewhere = looking_at((5.0, 3.0, 1.0))  # In any other frame, too.
    known = {f'c{at + 1}': CameraPose(elsewhere @ pose, 0.0) for at, pose in enumerate(poses)}
    found = compare_extrinsics(observed, known)
    assert np.degrees(found['c3'].turn) == pytest.approx(3.0, abs=0.3)
    assert found['c3'].shift == pytest.approx(0.2, abs=0.04)
    for name in ('c1', 'c2', 'c4'):
        assert np.degrees(found[name].turn) < 0.4
        assert found[name].shift < (0.02 if is_given else 0.08)
    assert known_scale(observed, known) == pytest.approx(1, abs=0.02 if is_given else 0.1)


def test_a_check_finds_a_camera_whose_rays_agree(walker, body) -> None:
    # Nearer to the people along its line of sight: no error of its rays has one direction.
    streams = record([walker], CAMERAS, 4.0, across=0.01, deep=0.1)
    observed = estimate_extrinsics(streams, stature=stature_of(body, walker.betas))
    near = CAMERAS[2].copy()
    near[:3, 3] += 0.3 * near[:3, 2]
    known = {f'c{at + 1}': CameraPose(pose, 0.0) for at, pose in enumerate(CAMERAS)}
    assert all(one.is_good for one in check_extrinsics(streams, known, observed).values())
    bad = check_extrinsics(streams, known | {'c3': CameraPose(near, 0.0)}, observed)
    assert bad['c3'].direction < MAX_DIRECTION
    assert bad['c3'].difference.shift > bad['c3'].limit.shift
    assert [name for name, one in bad.items() if not one.is_good] == ['c3']


def test_halves_that_differ_excuse_a_difference(walker) -> None:
    streams = record([walker], CAMERAS[:3], 4.0)
    observed = estimate_extrinsics(streams)
    half = Difference(np.radians(2.0), 0.2)
    uncertain = replace(observed, report=replace(observed.report, repeatability={'c2': half}))
    known = {f'c{at + 1}': CameraPose(pose, 0.0) for at, pose in enumerate(CAMERAS[:3])}
    limit = check_extrinsics(streams, known, uncertain)['c1'].limit
    assert limit == pytest.approx((np.radians(4.0), 0.4))


def test_a_check_uses_clock_offsets(walker) -> None:
    streams = record([walker], CAMERAS[:2], 4.0, late=(0.0, 0.4))
    known = {'c1': CameraPose(CAMERAS[0], 0.0), 'c2': CameraPose(CAMERAS[1], -0.4)}
    found = check_extrinsics(streams, known)
    assert max(agreement.distance for agreement in found.values()) < 1e-3


def test_a_check_without_extrinsics_of_a_camera_is_refused(walker) -> None:
    streams = record([walker], CAMERAS[:2], 2.0)
    with pytest.raises(ExtrinsicsError, match='no extrinsics are known of c2, only of c1'):
        check_extrinsics(streams, {'c1': CameraPose(CAMERAS[0], 0.0)})


def test_shared_time_is_told_before_all_cameras_are_known(walker) -> None:
    streams = record([walker], CAMERAS[:2], 4.0)
    streams['c2'] = streams['c2'][:30]
    assert shared_seconds(*streams.values(), max_offset=0.2) == pytest.approx(2, abs=0.2)
