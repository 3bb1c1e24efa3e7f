"""Forward and inverse kinematics: exact when clean, best when noisy, a rotation whatever comes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plain_hybrik
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from poses import angles_between, limbs_from, mean_error, noise, random_rotations, twist_of
from scipy.spatial.transform import Rotation

from hybrik_ros.body import BodyModel
from hybrik_ros.kinematics import METHODS, Method, forward, global_rotations, solve
from hybrik_ros.kinematics.solver import check_batch, solve_batch
from hybrik_ros.kinematics.tree import forward_batch
from hybrik_ros.rotations import swing_between
from hybrik_ros.skeleton import (
    BONE_TARGETS,
    MIRROR,
    NUM_JOINTS,
    NUM_POINTS,
    PARENTS,
    SPINE3,
    THREE_CHILDREN,
)

GOLDEN = Path(__file__).parent / 'data' / 'hybrik_ik.npz'
FLIP = np.diag([-1.0, 1.0, 1.0])

LEFT_SHOULDER, LEFT_ELBOW = 16, 18
LEFT_ARM_BELOW_SHOULDER = [18, 20, 22, 25]  # elbow, wrist, hand, finger tip
SPINE2, NECK, COLLARS = 6, 12, [13, 14]
ARMS = [16, 17, 18, 19, 20, 21, 22, 23, 25, 26]  # from the shoulders on

all_methods = pytest.mark.parametrize('method', METHODS)
all_noises = pytest.mark.parametrize('millimetres', [5, 10, 20])


@pytest.fixture(scope='module')
def golden():
    with np.load(GOLDEN) as arrays:
        poses = {name: arrays[name].astype(float) for name in arrays.files}
    # In single precision, (cos, sin) is off the unit circle by up to 6e-6.
    poses['twist'] /= np.linalg.norm(poses['twist'], axis=-1, keepdims=True)
    return poses


@pytest.fixture(scope='module')
def fresh():
    """200 poses, each of another body."""
    rng = np.random.default_rng(20)
    body = BodyModel.load()
    rest = np.stack([body.rest_joints(rng.normal(size=body.num_betas)) for _ in range(200)])
    rotations = random_rotations(rng, len(rest))
    return {
        'rest_joints': rest,
        'rotations_true': rotations,
        'joints': forward(rotations, rest)[0],
        'twist': np.concatenate(
            [twist_of(rotations[[i]], joints) for i, joints in enumerate(rest)]
        ),
    }


@pytest.fixture(scope='module')
def rest():
    return BodyModel.load().rest_joints()


@pytest.fixture(params=['golden', 'fresh'])
def poses(request):
    return request.getfixturevalue(request.param)


def arguments(poses, count=None):
    return poses['joints'][:count], poses['rest_joints'][:count], poses['twist'][:count]


def assert_rotations(rotations):
    assert np.isfinite(rotations).all()
    assert np.abs(np.swapaxes(rotations, -1, -2) @ rotations - np.eye(3)).max() < 1e-6
    assert np.linalg.det(rotations) == pytest.approx(1, abs=1e-6)


# Forward kinematics


def test_forward_poses_as_the_plain_way(poses):
    rotations, rest = poses['rotations_true'][:10], poses['rest_joints'][:10]
    joints, _ = forward(rotations, rest)
    expected = [
        plain_hybrik.pose(*one, one_rest[0])
        for *one, one_rest in zip(rotations, rest, rest, strict=True)
    ]
    assert joints == pytest.approx(np.array(expected), abs=1e-12)


def test_global_rotations_carry_every_bone(poses):
    rotations, rest = poses['rotations_true'], poses['rest_joints']
    joints, turned = forward(rotations, rest)
    for child in range(1, NUM_POINTS):
        parent = PARENTS[child]
        bone = (turned[:, parent] @ (rest[:, child] - rest[:, parent])[..., None])[..., 0]
        assert bone == pytest.approx(joints[:, child] - joints[:, parent], abs=1e-12)
    assert global_rotations(rotations) == pytest.approx(turned, abs=1e-12)


def test_forward_keeps_the_pelvis_and_the_rest_pose(rest):
    upright = np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
    joints, turned = forward(upright, rest)
    assert joints == pytest.approx(rest, abs=1e-15)
    assert turned == pytest.approx(upright)
    rng = np.random.default_rng(0)
    assert np.array_equal(forward(random_rotations(rng, 1)[0], rest)[0][0], rest[0])


def test_forward_takes_joints_with_or_without_leaves(poses):
    rotations, rest = poses['rotations_true'], poses['rest_joints']
    with_leaves, turned = forward(rotations, rest)
    without, turned_without = forward(rotations, rest[:, :NUM_JOINTS])
    assert np.array_equal(without, with_leaves[:, :NUM_JOINTS])
    assert np.array_equal(turned_without, turned)


def test_forward_broadcasts_batch_dimensions(rest):
    rotations = random_rotations(np.random.default_rng(1), 6).reshape(2, 3, NUM_JOINTS, 3, 3)
    bodies = np.stack([rest, 1.1 * rest, 0.9 * rest])
    joints, turned = forward(rotations, bodies)
    assert joints.shape == (2, 3, NUM_POINTS, 3)
    assert turned.shape == rotations.shape
    for i in range(2):
        for k in range(3):
            assert np.array_equal(joints[i, k], forward(rotations[i, k], bodies[k])[0])


@pytest.mark.parametrize(
    ('name', 'rotations', 'rest_joints'),
    [
        ('rotations', (23, 3, 3), (29, 3)),
        ('rotations', (24, 3), (29, 3)),
        ('rotations', (24, 4, 4), (29, 3)),
        ('rest_joints', (24, 3, 3), (28, 3)),
        ('rest_joints', (24, 3, 3), (3,)),
        ('rest_joints', (24, 3, 3), (29, 2)),
        ('rotations .*rest_joints', (4, 24, 3, 3), (3, 29, 3)),
    ],
)
def test_forward_names_the_argument_of_a_wrong_shape(name, rotations, rest_joints):
    with pytest.raises(ValueError, match=name):
        forward(np.zeros(rotations), np.zeros(rest_joints))


# Clean joints


@all_methods
def test_clean_joints_give_themselves_and_the_true_rotations(poses, method):
    joints, rest, twist = arguments(poses)
    rotations = solve(joints, rest, twist, method=method)
    rebuilt = forward(rotations, rest)[0]
    rebuilt += (joints - rebuilt)[:, :1]
    assert np.linalg.norm(rebuilt - joints, axis=-1).max() < 1e-6
    assert angles_between(rotations, poses['rotations_true']).max() < 0.001


@all_methods
def test_joints_are_met_under_any_twist(fresh, method):
    joints, rest, _ = arguments(fresh)
    angle = np.random.default_rng(2).uniform(-np.pi, np.pi, (len(rest), NUM_JOINTS - 1))
    twist = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    rotations = solve(joints, rest, twist, method=method)
    rebuilt = forward(rotations, rest)[0]
    assert np.linalg.norm(rebuilt - joints, axis=-1).max() < 1e-6


def test_refined_is_the_default(fresh):
    joints, rest, twist = arguments(fresh, 3)
    joints = joints + noise(np.random.default_rng(3), joints.shape, 0.01)
    assert np.array_equal(solve(joints, rest, twist), solve(joints, rest, twist, method='refined'))


# Noise


def errors(poses, joints, method):
    rotations = solve(joints, poses['rest_joints'], poses['twist'], method=method)
    rebuilt, turned = forward(rotations, poses['rest_joints'])
    _, true_turned = forward(poses['rotations_true'], poses['rest_joints'])
    return mean_error(rebuilt, poses['joints']), angles_between(turned, true_turned).mean()


@all_noises
def test_noise_on_the_golden_poses_leaves_no_more_than_these_errors(golden, millimetres):
    joints = golden[f'joints_noise{millimetres}mm']
    published = forward(
        golden[f'rotations_reference_adaptive_noise{millimetres}mm'], golden['rest_joints']
    )[0]
    found = {method: errors(golden, joints, method) for method in METHODS}
    naive, adaptive, refined = (found[method][0] for method in METHODS)
    assert refined < adaptive < naive
    assert adaptive < mean_error(published, golden['joints'])
    # Regression bounds, millimetres and degrees.
    assert refined <= {5: 3.7, 10: 7.5, 20: 15.0}[millimetres]
    assert found['refined'][1] <= {5: 2.7, 10: 5.4, 20: 10.6}[millimetres]


@all_noises
def test_noise_on_fresh_poses_leaves_the_same_share_of_it(fresh, millimetres):
    rng = np.random.default_rng(millimetres)
    joints = fresh['joints'] + noise(rng, fresh['joints'].shape, millimetres / 1000)
    given_error = mean_error(joints, fresh['joints'])
    naive, adaptive, refined = (
        errors(fresh, joints, method)[0] / given_error for method in METHODS
    )
    # Regression bounds.
    assert refined < 0.62  # 0.58 on the golden poses, whose bodies have longer bones
    assert adaptive < 0.7
    assert refined + 0.08 < adaptive < naive - 0.15


@all_noises
@pytest.mark.parametrize('method', ['naive', 'adaptive'])
def test_aiming_agrees_with_the_plain_transcription(poses, method, millimetres):
    joints, rest, twist = arguments(poses, 20)
    joints = joints + noise(np.random.default_rng(4), joints.shape, millimetres / 1000)
    expected = [
        plain_hybrik.aim(*one, adaptive=method == 'adaptive')
        for one in zip(joints, rest, twist, strict=True)
    ]
    assert np.abs(solve(joints, rest, twist, method=method) - np.array(expected)).max() < 1e-6


@all_noises
@pytest.mark.parametrize('least', [1.0, 0.1], ids=['equal', 'weighted'])
@pytest.mark.parametrize('depth_weight', [1.0, 0.05])
def test_refining_agrees_with_the_plain_transcription(poses, millimetres, least, depth_weight):
    rng = np.random.default_rng(5)
    joints, rest, twist = arguments(poses, 10)
    # Some of the body is nearer than a metre.
    joints = joints + noise(rng, joints.shape, millimetres / 1000) + [0.5, -0.3, 1.2]
    confidence = rng.uniform(least, 1, joints.shape[:-1])
    start = solve(joints, rest, twist, method='adaptive', confidence=confidence)
    expected = []
    for one_start, pose, body, known, weights in zip(
        start, joints, rest, twist, confidence, strict=True
    ):
        refined = plain_hybrik.refine(one_start, pose, body, weights, depth_weight=depth_weight)
        placed = plain_hybrik.pose(refined, body, pose[0])
        expected.append(plain_hybrik.aim(placed, body, known, adaptive=True))
    rotations = solve(joints, rest, twist, confidence=confidence, depth_weight=depth_weight)
    assert np.abs(rotations - np.array(expected)).max() < 1e-6


@pytest.mark.parametrize('scale', [0.5, 0.7, 0.8, 0.9, 1.1, 1.3, 2.0])
def test_refining_the_wrong_bones_agrees_with_the_plain_transcription(
    fresh: dict[str, NDArray], scale: float
) -> None:
    joints, rest, twist = arguments(fresh, 10)
    start = solve(joints, scale * rest, twist, method='adaptive')
    rotations = solve(joints, scale * rest, twist)
    for found, aimed, pose, body, known in zip(
        rotations, start, joints, scale * rest, twist, strict=True
    ):
        refined = plain_hybrik.refine(aimed, pose, body, np.ones(NUM_POINTS))
        placed = plain_hybrik.pose(refined, body, pose[0])
        assert np.abs(found - plain_hybrik.aim(placed, body, known, adaptive=True)).max() < 1e-5


@pytest.mark.parametrize('scale', [0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.3, 2.0])
@pytest.mark.parametrize('outliers', [0.0, 0.05, 0.2])
def test_refining_makes_the_squares_smaller_whatever_the_joints(
    fresh: dict[str, NDArray], scale: float, outliers: float
) -> None:
    rng = np.random.default_rng(15)
    joints, rest, twist = arguments(fresh, 50)
    off = rng.random(joints.shape[:2]) < outliers
    joints = joints + noise(rng, joints.shape, 0.01)
    joints += 0.5 * off[..., None] * rng.normal(size=joints.shape)
    rest = scale * rest
    aimed, refined = (solve(joints, rest, twist, method=m) for m in ('adaptive', 'refined'))
    start = [
        plain_hybrik.pose(r, body, plain_hybrik.place_pelvis(r[0], pose, body, np.ones(4)))
        for r, pose, body in zip(aimed, joints, rest, strict=True)
    ]
    left = forward(refined, rest)[0] - joints
    left -= left.mean(axis=1, keepdims=True)  # The steps move the body as well.
    before, after = (np.sum(np.square(e), axis=(1, 2)) for e in (start - joints, left))
    assert (after < before).all()
    assert after.sum() < 0.9 * before.sum()


@pytest.mark.parametrize('scale', [1.0, 1.05])
def test_joints_that_hardly_move_never_make_a_body_of_long_enough_bones_jump(
    fresh: dict[str, NDArray], scale: float
) -> None:
    # If the steps ended early, where they end would hang on the start.
    joints, rest, twist = arguments(fresh, 20)
    rest = scale * rest
    rng = np.random.default_rng(15)
    path = np.linspace(0, 1, 201)[:, None, None, None] * noise(rng, joints.shape, 0.01)
    moving = forward(solve(joints + path, rest, twist), rest)[0]
    steps = np.linalg.norm(np.diff(moving - moving[..., :1, :], axis=0), axis=-1)
    assert steps.max() < 2e-3  # Of joints that move by less than 0.3 mm.


@all_methods
@pytest.mark.parametrize('joint', [0, 1, 2, 3, 12, 13, 14])
def test_a_joint_of_next_to_no_confidence_changes_what_it_would_unseen(
    fresh: dict[str, NDArray], method: Method, joint: int
) -> None:
    # These have others beside them that say where their parent is.
    joints, rest, twist = arguments(fresh, 20)
    joints = joints.copy()
    joints[:, joint] += [0.3, -0.4, 0.2]
    confidence = np.ones(NUM_POINTS)
    found = []
    for doubted in (1e-9, 0.0):
        confidence[joint] = doubted
        found.append(solve(joints, rest, twist, method=method, confidence=confidence))
    doubted, unseen = (global_rotations(rotations) for rotations in found)
    # Naive takes a bone's start from the joints, however little that is seen.
    compared = [0, SPINE3] if method == 'naive' else slice(None)
    assert np.abs(doubted - unseen)[:, compared].max() < 1e-6


@all_methods
def test_a_doubted_pelvis_turns_as_its_joints_say(fresh: dict[str, NDArray], method: Method):
    # What the joints leave open follows previous: how much of it must not hang on confidence.
    joints, rest, twist = arguments(fresh, 20)
    confidence = np.ones(NUM_POINTS)
    confidence[:4] = 1e-9
    rotations = solve(joints, rest, twist, method=method, confidence=confidence)
    assert rotations == pytest.approx(solve(joints, rest, twist, method=method), abs=1e-6)


@pytest.mark.parametrize('share', [0.5, 0.01, 1e-6, 1e-12, 1e-100, 1e-300])
def test_only_the_ratio_of_confidences_counts(fresh: dict[str, NDArray], share: float) -> None:
    rng = np.random.default_rng(16)
    joints, rest, twist = arguments(fresh, 20)
    joints = joints + noise(rng, joints.shape, 0.02)
    confidence = rng.uniform(0.1, 1, joints.shape[:2])
    found, same = (
        solve(joints, rest, twist, confidence=scale * confidence) for scale in (1.0, share)
    )
    assert same == pytest.approx(found, abs=1e-6)


@all_methods
@pytest.mark.parametrize('confidence', [1e-100, 1e-200, 1e-300])
def test_clean_joints_of_any_confidence_are_met(
    fresh: dict[str, NDArray], method: Method, confidence: float
) -> None:
    joints, rest, twist = arguments(fresh, 20)
    little = np.full(NUM_POINTS, confidence)
    rotations = solve(joints, rest, twist, method=method, confidence=little)
    assert angles_between(rotations, fresh['rotations_true'][:20]).max() < 0.001


def test_bones_make_good_what_depth_does_not_tell(fresh):
    # Joints seen well in the image and badly in depth: bones of known length say how far.
    rng = np.random.default_rng(11)
    truth = fresh['joints'] + [0.2, -0.1, 3.0]
    sight = truth / np.linalg.norm(truth, axis=-1, keepdims=True)
    joints = (
        truth
        + noise(rng, truth.shape, 0.005)
        + rng.normal(0, 0.05, truth.shape[:2])[..., None] * sight
    )
    rest, twist = fresh['rest_joints'], fresh['twist']
    found = {}
    for depth_weight in (1.0, 0.05):
        rotations = solve(joints, rest, twist, depth_weight=depth_weight)
        found[depth_weight] = mean_error(forward(rotations, rest)[0], truth)
    assert found[0.05] < 0.9 * found[1.0]


# What must not matter


@all_methods
def test_where_the_joints_are_does_not_matter(fresh, method):
    joints, rest, twist = arguments(fresh, 20)
    there = np.array([3.0, -2.0, 7.0])
    moved = solve(joints + there, rest - there, twist, method=method)
    assert moved == pytest.approx(solve(joints, rest, twist, method=method), abs=1e-9)


@all_methods
def test_turned_joints_turn_the_root_alone(fresh, method):
    joints, rest, twist = arguments(fresh, 20)
    joints = joints + noise(np.random.default_rng(6), joints.shape, 0.01)
    turn = random_rotations(np.random.default_rng(7), 1, 2.0)[0, 0]
    expected = solve(joints, rest, twist, method=method)
    expected[:, 0] = turn @ expected[:, 0]
    turned = solve(joints @ turn.T, rest, twist, method=method)
    assert turned == pytest.approx(expected, abs=1e-6)


@all_methods
def test_mirrored_joints_give_mirrored_rotations(fresh, method):
    joints, rest, twist = arguments(fresh, 20)
    joints = joints + noise(np.random.default_rng(8), joints.shape, 0.01)
    across, across_joints = list(MIRROR), list(MIRROR[:NUM_JOINTS])
    rotations = solve(joints, rest, twist, method=method)
    expected = FLIP @ rotations[:, across_joints] @ FLIP
    mirrored_twist = twist[:, np.array(across_joints[1:]) - 1] * [1, -1]
    mirrored = solve(
        joints[:, across] @ FLIP, rest[:, across] @ FLIP, mirrored_twist, method=method
    )
    assert mirrored == pytest.approx(expected, abs=1e-6)


def test_naive_ignores_the_length_of_bones(fresh):
    joints, rest, twist = arguments(fresh, 20)
    rotations = solve(joints, rest, twist, method='naive')
    assert solve(2 * joints, rest, twist, method='naive') == pytest.approx(rotations, abs=1e-6)


@all_methods
def test_a_batch_gives_what_its_poses_give_alone(golden, method):
    joints, rest, twist = (
        golden[name][:6] for name in ('joints_noise20mm', 'rest_joints', 'twist')
    )
    confidence = np.random.default_rng(9).uniform(0, 1, joints.shape[:-1])
    together = solve(
        *(x.reshape(2, 3, *x.shape[1:]) for x in (joints, rest, twist)),
        method=method,
        confidence=confidence.reshape(2, 3, NUM_POINTS),
    )
    assert together.shape == (2, 3, NUM_JOINTS, 3, 3)
    alone = [
        solve(*one, method=method, confidence=weights)
        for *one, weights in zip(joints, rest, twist, confidence, strict=True)
    ]
    assert np.array_equal(together.reshape(-1, NUM_JOINTS, 3, 3), np.array(alone))


def test_batch_dimensions_broadcast(golden):
    joints, rest, twist = arguments(golden, 5)
    rotations = solve(joints[:, None], rest[0], twist[:3], confidence=np.ones((5, 1, NUM_POINTS)))
    assert rotations.shape == (5, 3, NUM_JOINTS, 3, 3)
    assert np.array_equal(rotations[4, 2], solve(joints[4], rest[0], twist[2]))


def test_an_empty_batch_gives_none(golden):
    joints, rest, twist = arguments(golden, 0)
    assert solve(joints, rest, twist).shape == (0, NUM_JOINTS, 3, 3)


def test_arguments_are_left_alone_and_may_be_of_any_layout(fresh):
    given_arrays = arguments(fresh, 4)
    expected = solve(*given_arrays)
    lists = [array.tolist() for array in given_arrays]
    strided = [np.repeat(array, 2, axis=-1)[..., ::2] for array in given_arrays]
    copies = [array.copy() for array in given_arrays]
    for array in copies:
        array.flags.writeable = False
    for same in (lists, strided, copies):
        assert np.array_equal(solve(*same), expected)


def test_the_kernels_are_compiled_for_one_kind_of_array_only(fresh):
    # Compiling takes half a minute: a user's read-only or strided array must not bring that on.
    joints, rest, twist = arguments(fresh, 4)
    for array in (joints, rest, twist):
        array.flags.writeable = False
    rotations = solve(joints[:1], rest[0], twist)
    rotations.flags.writeable = False
    solve(joints[::-1].astype(np.float32), rest, None, previous=rotations[:, ::1])
    solve(np.asfortranarray(joints), rest[0].tolist(), twist[0], confidence=np.ones(NUM_POINTS))
    forward(rotations, rest[0])
    forward(rotations[0].T.T, rest[:1])
    for kernel in (solve_batch, check_batch, forward_batch):
        assert len(kernel.dispatcher.nopython_signatures) == 1


# Confidence and twist


@all_methods
@pytest.mark.parametrize('nonsense', [np.nan, np.inf, -1e6, 0.0])
def test_an_unseen_arm_keeps_its_rest_pose_and_the_others_theirs(fresh, method, nonsense):
    joints, rest, _ = arguments(fresh, 20)
    joints = joints.copy()
    seen = solve(joints, rest, method=method)
    confidence = np.ones(NUM_POINTS)
    confidence[LEFT_ARM_BELOW_SHOULDER] = 0
    joints[:, LEFT_ARM_BELOW_SHOULDER] = nonsense
    rotations = solve(joints, rest, method=method, confidence=confidence)
    arm = [LEFT_SHOULDER, *LEFT_ARM_BELOW_SHOULDER[:-1]]
    others = np.setdiff1d(np.arange(NUM_JOINTS), arm)
    assert rotations[:, arm] == pytest.approx(np.broadcast_to(np.eye(3), (20, 4, 3, 3)), abs=1e-9)
    assert rotations[:, others] == pytest.approx(seen[:, others], abs=1e-6)


@all_methods
def test_an_unseen_joint_within_a_limb_does_not_hide_the_rest_of_it(fresh, method):
    joints, rest, _ = arguments(fresh, 20)
    joints = joints.copy()
    joints[:, LEFT_ELBOW] = np.nan
    confidence = np.ones(NUM_POINTS)
    confidence[LEFT_ELBOW] = 0
    rotations = solve(joints, rest, method=method, confidence=confidence)
    upper_arm = rest[:, LEFT_ELBOW] - rest[:, LEFT_SHOULDER]
    aimed = (rotations[:, LEFT_SHOULDER] @ upper_arm[..., None])[..., 0]
    assert aimed == pytest.approx(upper_arm, abs=1e-9)
    hidden = rotations.copy()
    hidden[:, [18, 20, 22]] = np.eye(3)
    arm = LEFT_ARM_BELOW_SHOULDER[1:]
    missed, missed_hidden = (
        np.linalg.norm(forward(r, rest)[0][:, arm] - joints[:, arm], axis=-1).mean()
        for r in (rotations, hidden)
    )
    assert missed < 0.7 * missed_hidden


@all_methods
@pytest.mark.parametrize('offset', [0.0, 5.0, 1000.0])
def test_an_unseen_pelvis_is_inferred_wherever_the_body_is(fresh, method, offset):
    joints, rest, twist = arguments(fresh, 20)
    joints = joints + offset
    joints[:, 0] = np.nan
    confidence = np.ones(NUM_POINTS)
    confidence[0] = 0
    rotations = solve(joints, rest, twist, method=method, confidence=confidence)
    assert angles_between(rotations, fresh['rotations_true'][:20]).max() < 0.01


@all_methods
def test_unseen_joints_are_in_the_rest_pose(rest, method):
    unseen = np.full((NUM_POINTS, 3), np.nan)
    rotations = solve(unseen, rest, method=method, confidence=np.zeros(NUM_POINTS))
    assert rotations == pytest.approx(np.broadcast_to(np.eye(3), (NUM_JOINTS, 3, 3)), abs=1e-12)


@all_methods
def test_upper_bodies_are_solved_wherever_they_are(fresh, method):
    joints, rest, twist = arguments(fresh, 20)
    below = [0, 1, 2, 3, 4, 5, 7, 8, 10, 11, 27, 28]
    confidence = np.ones(NUM_POINTS)
    confidence[below] = 0
    here, there = (
        solve(joints + offset, rest, twist, method=method, confidence=confidence)
        for offset in (0.0, 4.0)
    )
    assert there == pytest.approx(here, abs=1e-6)


def test_a_joint_of_little_confidence_is_heard_less(fresh):
    joints, rest, twist = arguments(fresh)
    wrong = joints.copy()
    wrong[:, LEFT_ELBOW] += [0.0, 0.1, 0.1]
    confidence = np.ones(NUM_POINTS)
    doubted = []
    for doubt in (1.0, 0.1, 0.01):
        confidence[LEFT_ELBOW] = doubt
        rebuilt = forward(solve(wrong, rest, twist, confidence=confidence), rest)[0]
        doubted.append(mean_error(rebuilt, joints))
    assert doubted[0] > doubted[1] > doubted[2]


@pytest.mark.parametrize('method', ['naive', 'adaptive'])
@pytest.mark.parametrize('joint', THREE_CHILDREN)
def test_joints_with_three_children_fit_them_by_their_confidence(
    fresh: dict[str, NDArray], method: Method, joint: int
) -> None:
    rng = np.random.default_rng(12)
    joints, rest, twist = arguments(fresh, 20)
    joints = joints + noise(rng, joints.shape, 0.02)
    confidence = rng.uniform(0.01, 1, joints.shape[:2])
    rotations = solve(joints, rest, twist, method=method, confidence=confidence)
    _, turned = forward(rotations, rest)
    children = list(THREE_CHILDREN[joint])
    for found, turn, seen, body, weights in zip(
        rotations, turned, joints, rest, confidence, strict=True
    ):
        pelvis = plain_hybrik.place_pelvis(found[0], seen, body, weights)
        rebuilt = plain_hybrik.pose(found, body, pelvis)
        if joint == 0:
            points = [joint, *children]
            start, at_rest = (np.average(x[points], 0, weights[points]) for x in (seen, body))
        else:
            points, at_rest = children, body[joint]
            start = (seen if method == 'naive' else rebuilt)[joint]
        expected, _ = Rotation.align_vectors(
            seen[points] - start, body[points] - at_rest, weights[points]
        )
        assert turn[joint] == pytest.approx(expected.as_matrix(), abs=1e-6)


@pytest.mark.parametrize(
    ('method', 'unseen'),
    [
        ('naive', COLLARS),
        ('adaptive', COLLARS),
        *((method, COLLARS + ARMS) for method in METHODS),
    ],
    ids=str,
)
def test_without_collars_spine3_aims_at_the_neck_with_its_twist(
    fresh: dict[str, NDArray], method: Method, unseen: list[int]
) -> None:
    joints, rest, twist = (array.copy() for array in arguments(fresh, 20))
    angle = np.random.default_rng(13).uniform(-np.pi, np.pi, len(joints))
    twist[:, SPINE3 - 1] = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    joints[:, unseen] = np.nan
    confidence = np.where(np.isnan(joints[..., 0]), 0.0, 1.0)
    rotations = solve(joints, rest, twist, method=method, confidence=confidence)
    in_parent = np.swapaxes(global_rotations(rotations)[:, SPINE2], -1, -2)
    bone, aim = ((x[:, NECK] - x[:, SPINE3])[..., None] for x in (rest, joints))
    swing = swing_between(bone[..., 0], (in_parent @ aim)[..., 0])
    axis = bone[..., 0] / np.linalg.norm(bone, axis=1)
    expected = swing @ Rotation.from_rotvec(angle[:, None] * axis).as_matrix()
    assert rotations[:, SPINE3] == pytest.approx(expected, abs=1e-9)


@all_methods
@pytest.mark.parametrize(
    'unseen', [[], COLLARS[:1], COLLARS[1:], [NECK, COLLARS[0]], [NECK, COLLARS[1]]], ids=str
)
def test_with_a_collar_the_twist_of_spine3_does_not_count(
    fresh: dict[str, NDArray], method: Method, unseen: list[int]
) -> None:
    joints, rest, twist = arguments(fresh, 20)
    joints = joints + noise(np.random.default_rng(14), joints.shape, 0.01)
    confidence = np.ones(NUM_POINTS)
    confidence[unseen] = 0
    other = twist.copy()
    other[:, SPINE3 - 1] = [0.0, 1.0]
    found, same = (
        solve(joints, rest, told, method=method, confidence=confidence) for told in (twist, other)
    )
    assert np.array_equal(found, same)


@all_methods
def test_missing_twist_is_no_twist(fresh, method):
    joints, rest, _ = arguments(fresh, 5)
    none = solve(joints, rest, method=method)
    shape = (NUM_JOINTS - 1, 2)
    for missing in (np.tile([1.0, 0.0], (shape[0], 1)), np.zeros(shape), np.full(shape, np.nan)):
        assert solve(joints, rest, missing, method=method) == pytest.approx(none, abs=1e-12)


@all_methods
@pytest.mark.parametrize('fill', [(0.0, 0.0), (np.nan, np.nan)])
def test_a_row_of_twist_that_is_none_is_missing(
    fresh: dict[str, NDArray], method: Method, fill: tuple[float, float]
) -> None:
    poses = zip(*arguments(fresh, 5), fresh['rotations_true'][5:10], strict=True)
    for joints, rest, twist, previous in poses:
        listed: list = twist.tolist()
        listed[::3] = [None] * len(listed[::3])
        filled = twist.copy()
        filled[::3] = fill
        found, expected = (
            solve(joints, rest, told, method=method, previous=previous) for told in (listed, filled)
        )
        assert np.array_equal(found, expected)
        assert not np.array_equal(found, solve(joints, rest, twist, method=method))


@pytest.mark.parametrize('kind', ['lists', 'objects'])
def test_rows_of_twist_may_be_none_in_a_batch(fresh: dict[str, NDArray], kind: str) -> None:
    joints, rest, twist = arguments(fresh, 4)
    rows: list = twist.tolist()
    rows[0][5] = rows[3][22] = rows[2][0] = None
    rows[1] = [None] * (NUM_JOINTS - 1)
    rows[0][7] = [None, None]
    twist[0, 7] = np.nan
    filled = twist.copy()
    filled[[0, 3, 2], [5, 22, 0]] = filled[1] = np.nan
    given_rows: Any = rows
    if kind == 'objects':
        given_rows = np.empty((4, NUM_JOINTS - 1), object)
        for b, i in np.ndindex(given_rows.shape):
            given_rows[b, i] = rows[b][i]
    assert np.array_equal(solve(joints, rest, given_rows), solve(joints, rest, filled))


@all_methods
def test_the_length_of_twist_does_not_matter(fresh, method):
    joints, rest, twist = arguments(fresh, 5)
    length = 10.0 ** np.random.default_rng(10).uniform(-300, 300, (*twist.shape[:-1], 1))
    rotations = solve(joints, rest, twist, method=method)
    assert solve(joints, rest, twist * length, method=method) == pytest.approx(rotations, abs=1e-9)


# Wrong arguments


def wrong(**changes):
    """Good arguments, but for these changes."""
    good = {
        'joints': np.random.default_rng(0).normal(size=(2, NUM_POINTS, 3)),
        'rest_joints': np.random.default_rng(1).normal(size=(NUM_POINTS, 3)),
        'twist': np.tile([1.0, 0.0], (NUM_JOINTS - 1, 1)),
        'confidence': np.ones(NUM_POINTS),
        'previous': np.tile(np.eye(3), (NUM_JOINTS, 1, 1)),
    }
    return {**good, **changes}


def with_a(value, shape, fill=1.0):
    array = np.full(shape, fill)
    array.flat[7] = value
    return array


def test_the_good_arguments_are_good():
    assert_rotations(solve(**wrong()))


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('joints', np.zeros((24, 3))),
        ('joints', np.zeros((29, 2))),
        ('joints', np.zeros(3)),
        ('joints', with_a(np.nan, (29, 3))),
        ('joints', with_a(np.inf, (29, 3))),
        ('rest_joints', np.zeros((24, 3))),
        ('rest_joints', np.zeros((29, 4))),
        ('rest_joints', with_a(np.nan, (29, 3))),
        ('rest_joints', with_a(-np.inf, (29, 3))),
        ('twist', np.zeros((24, 2))),
        ('twist', np.zeros((23, 3))),
        ('twist', np.zeros(23)),
        ('confidence', np.ones(24)),
        ('confidence', np.ones((29, 1))),
        ('confidence', with_a(1.01, 29)),
        ('confidence', with_a(-0.01, 29)),
        ('confidence', with_a(np.nan, 29)),
        ('method', 'analytic'),
        ('method', None),
        ('method', np.array(['naive'])),
        ('twist', np.zeros((5, 23, 2))),  # against two poses
    ],
)
def test_a_wrong_argument_is_named(name, value):
    with pytest.raises(ValueError, match=rf'\b{name}\b'):
        solve(**wrong(**{name: value}))


def ragged(array: NDArray) -> ArrayLike:
    """Lists of which the last is shorter, or a list in place of the last number."""
    rows = array.tolist()
    return [*rows[:-1], rows[-1][:-1] if array.ndim > 1 else [rows[-1]]]


def of_complex_numbers(array: NDArray) -> ArrayLike:
    return array + 0j


def with_a_word(array: NDArray) -> ArrayLike:
    return with_an_entry(array, 'left')


def with_an_entry(array: NDArray, entry: object) -> ArrayLike:
    """Nested lists with this in place of a number."""
    entries = array.astype(object)
    entries.flat[7] = entry
    return entries.tolist()


def a_word(array: NDArray) -> ArrayLike:
    return 'unknown'


def words_of_numbers(array: NDArray) -> ArrayLike:
    return array.astype(str).tolist()


def a_dictionary(array: NDArray) -> ArrayLike:
    return {'left': 1.0}  # type: ignore[return-value]


not_of_numbers = pytest.mark.parametrize(
    'spoil',
    [ragged, of_complex_numbers, with_a_word, a_word, words_of_numbers, a_dictionary],
    ids=lambda spoil: spoil.__name__,
)


@not_of_numbers
@pytest.mark.parametrize('name', ['joints', 'rest_joints', 'twist', 'confidence', 'previous'])
def test_what_is_no_array_of_real_numbers_is_named(
    name: str, spoil: Callable[[NDArray], ArrayLike]
) -> None:
    good = wrong()
    with pytest.raises(ValueError, match=rf'^{name} '):
        solve(**{**good, name: spoil(good[name])})


@pytest.mark.parametrize('name', ['joints', 'rest_joints', 'confidence', 'previous'])
def test_none_among_the_numbers_is_named(name: str) -> None:
    good = wrong()
    with pytest.raises(ValueError, match=rf'^{name} '):
        solve(**{**good, name: with_an_entry(good[name], None)})


@not_of_numbers
def test_forward_names_rotations_that_are_no_numbers(
    rest: NDArray, spoil: Callable[[NDArray], ArrayLike]
) -> None:
    with pytest.raises(ValueError, match=r'^rotations '):
        forward(spoil(np.tile(np.eye(3), (NUM_JOINTS, 1, 1))), rest)


@not_of_numbers
def test_forward_names_rest_joints_that_are_no_numbers(
    rest: NDArray, spoil: Callable[[NDArray], ArrayLike]
) -> None:
    with pytest.raises(ValueError, match=r'^rest_joints '):
        forward(np.tile(np.eye(3), (NUM_JOINTS, 1, 1)), spoil(rest))


# Degenerate arguments


def bend_back(joints, rest, child):
    """Lay a bone exactly opposite to its rest direction."""
    parent = PARENTS[child]
    joints[child] = joints[parent] - (rest[child] - rest[parent])


def bend_back_all(joints, rest, child):
    for point in range(1, NUM_POINTS):
        bend_back(joints, rest, point)


def collapse(joints, rest, child):
    joints[child] = joints[PARENTS[child]]


def collapse_at_rest(joints, rest, child):
    rest[child] = rest[PARENTS[child]]


def stretch_root_to_a_line(joints, rest, child):
    joints[1:4] = joints[0] + np.outer([0.1, 0.2, -0.1], joints[child] - joints[0])


def stretch_rest_root_to_a_line(joints, rest, child):
    rest[1:4] = rest[0] + np.outer([0.1, 0.2, -0.1], rest[child] - rest[0])


def make_all_equal(joints, rest, child):
    joints[:] = joints[child]


def make_all_equal_at_rest(joints, rest, child):
    rest[:] = rest[child]


def flatten(joints, rest, child):
    joints[:, child % 3] = 0


def scale(factor):
    def by(joints, rest, child):
        joints *= factor

    return by


def scale_rest(factor):
    def by(joints, rest, child):
        rest *= factor

    return by


def carry_off(joints, rest, child):
    joints += 1e9


DAMAGES = [
    bend_back, bend_back_all, collapse, collapse_at_rest, stretch_root_to_a_line,
    stretch_rest_root_to_a_line, make_all_equal, make_all_equal_at_rest, flatten, carry_off,
    *(scale(factor) for factor in (0.5, 2.0, -1.0, 1e-9, 1e6, 1e100, 1e300)),
    *(scale_rest(factor) for factor in (0.5, 2.0, 1e-9, 1e6, 1e300)),
]  # fmt: skip


def damaged(joints, rest, damages):
    joints, rest = joints.copy(), rest.copy()
    with np.errstate(over='ignore', invalid='ignore'):
        for damage, child in damages:
            damage(joints, rest, child)
    return np.nan_to_num(joints), np.nan_to_num(rest)


damages = st.lists(st.tuples(st.sampled_from(DAMAGES), st.integers(1, NUM_POINTS - 1)), max_size=4)
twists = st.lists(
    st.sampled_from([(0, 0), (np.nan, np.nan), (1, np.nan), (-1, 0), (1e-320, 0), (0, 1e300),
                     (np.inf, np.inf), (0.6, 0.8)]),
    min_size=NUM_JOINTS - 1, max_size=NUM_JOINTS - 1,
)  # fmt: skip
confidences = st.lists(
    st.sampled_from([0.0, 1e-300, 1e-9, 0.5, 1.0]), min_size=NUM_POINTS, max_size=NUM_POINTS
)


@all_methods
@given(damages=damages, seed=st.integers(0, 100), depth_weight=st.sampled_from([1, 0.05, 1e-300]))
def test_degenerate_joints_give_rotations(rest, method, damages, seed, depth_weight):
    joints = forward(random_rotations(np.random.default_rng(seed), 1)[0], rest)[0]
    joints, rest = damaged(joints, rest, damages)
    assert_rotations(solve(joints, rest, method=method, depth_weight=depth_weight))


@all_methods
@given(damages=damages, twist=twists, confidence=confidences, nonsense=st.floats())
def test_degenerate_twist_and_confidence_give_rotations(
    rest, method, damages, twist, confidence, nonsense
):
    confidence = np.array(confidence)
    joints = forward(random_rotations(np.random.default_rng(0), 1)[0], rest)[0]
    joints, rest = damaged(joints, rest, damages)
    joints[confidence == 0] = nonsense
    assert_rotations(solve(joints, rest, twist, method=method, confidence=confidence))


@all_methods
@given(
    damages=damages,
    confidence=confidences,
    seed=st.integers(0, 100),
    weight=st.sampled_from([0.0, 1e-300, 1e-3, 1.0, 1e300]),
    depth_weight=st.sampled_from([1, 0.05, 1e-300]),
)
def test_degenerate_joints_with_a_previous_give_rotations(
    rest: NDArray,
    method: Method,
    damages: Any,
    confidence: list[float],
    seed: int,
    weight: float,
    depth_weight: float,
) -> None:
    rng = np.random.default_rng(seed)
    joints = forward(random_rotations(rng, 1)[0], rest)[0]
    joints, rest = damaged(joints, rest, damages)
    # Any turn at all, in single precision.
    previous = Rotation.random(NUM_JOINTS, rng).as_matrix().astype(np.float32)
    found = solve(
        joints, rest, method=method, confidence=confidence, previous=previous,
        previous_weight=weight, depth_weight=depth_weight,
    )  # fmt: skip
    assert_rotations(found)


@all_methods
@pytest.mark.parametrize('joint', [joint for joint in range(1, NUM_JOINTS) if joint != 9])
def test_a_bone_bent_back_by_exactly_180_degrees_is_met(rest, method, joint):
    child = BONE_TARGETS[joint]
    joints = rest.copy()
    below = limbs_from(child)
    # All that hangs from the bone turns with it, half around an axis across it.
    bone = (rest[child] - rest[joint]) / np.linalg.norm(rest[child] - rest[joint])
    across = np.cross(bone, np.eye(3)[np.argmin(np.abs(bone))])
    across /= np.linalg.norm(across)
    turn = 2 * np.outer(across, across) - np.eye(3)
    joints[below] = joints[joint] + (rest[below] - rest[joint]) @ turn.T
    rotations = solve(joints, rest, method=method)
    assert_rotations(rotations)
    assert forward(rotations, rest)[0] == pytest.approx(joints, abs=1e-5)
