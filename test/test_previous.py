"""The solver's memory: what is not seen stays as it was, and the rest holds on to it as asked."""

from collections.abc import Callable
from typing import Any

import numpy as np
import plain_hybrik
import pytest
from numpy.typing import NDArray
from poses import angles_between, limbs_from, noise, random_rotations, twist_of
from scipy.spatial.transform import Rotation

from hybrik_ros.body import BodyModel
from hybrik_ros.kinematics import METHODS, Method, forward, global_rotations, solve
from hybrik_ros.skeleton import (
    BONE_TARGETS,
    JOINT_NAMES,
    NUM_JOINTS,
    NUM_POINTS,
    PARENTS,
    SPINE3,
    THREE_CHILDREN,
)

LEFT_SHOULDER, LEFT_ELBOW = 16, 18
LEFT_ARM_BELOW_SHOULDER = [18, 20, 22, 25]
LEFT_ARM_ROTATIONS = [16, 18, 20, 22]
# Joints that a single bone aims at, and that are not the end of their limb.
WITHIN_A_LIMB = sorted(
    BONE_TARGETS[joint]
    for joint in range(NUM_JOINTS)
    if joint not in THREE_CHILDREN and BONE_TARGETS[joint] < NUM_JOINTS
)

all_methods = pytest.mark.parametrize('method', METHODS)


@pytest.fixture(scope='module')
def rest():
    return BodyModel.load().rest_joints()


@pytest.fixture(scope='module')
def motion(rest):
    """Rotations of 60 frames that turn smoothly, and their joints."""
    rng = np.random.default_rng(3)
    first = random_rotations(rng, 1, 0.4)[0]
    step = random_rotations(rng, 1, 0.01)[0]
    rotations = [first]
    for _ in range(59):
        rotations.append(rotations[-1] @ step)
    rotations = np.array(rotations)
    return rotations, forward(rotations, rest)[0]


@all_methods
def test_unknown_twist_is_that_of_the_previous_frame(rest, motion, method):
    rotations, joints = motion
    found = solve(joints, rest, method=method, previous=rotations)
    assert angles_between(found, rotations).max() < 0.01


@all_methods
def test_known_twist_goes_before_that_of_the_previous_frame(rest, motion, method):
    rotations, joints = motion
    twist = twist_of(rotations, rest)
    strange = random_rotations(np.random.default_rng(5), len(joints))
    found = solve(joints, rest, twist, method=method, previous=strange)
    assert angles_between(found, rotations).max() < 0.01


@all_methods
def test_an_unseen_arm_keeps_its_previous_pose_and_the_others_theirs(rest, motion, method):
    rotations, joints = motion
    joints = joints[10:].copy()
    confidence = np.ones(29)
    confidence[LEFT_ARM_BELOW_SHOULDER] = 0
    joints[:, LEFT_ARM_BELOW_SHOULDER] = np.nan
    previous = rotations[:-10]
    found = solve(joints, rest, method=method, confidence=confidence, previous=previous)
    assert angles_between(found, previous)[:, LEFT_ARM_ROTATIONS].max() < 1e-4
    others = np.setdiff1d(np.arange(24), LEFT_ARM_ROTATIONS)
    elsewhere = solve(joints, rest, method=method, confidence=confidence,
                      previous=np.where(np.isin(np.arange(24), others)[:, None, None], previous,
                                        np.eye(3)))  # fmt: skip
    assert angles_between(found, elsewhere)[:, others].max() < 1e-9


@all_methods
def test_nothing_seen_is_the_previous_pose(rest, motion, method):
    rotations, joints = motion
    unseen = np.full_like(joints, np.nan)
    found = solve(unseen, rest, method=method, confidence=np.zeros(29), previous=rotations)
    assert angles_between(found, rotations).max() < 1e-4


@all_methods
@pytest.mark.parametrize('weight', [0.0, 0.01])
def test_one_unseen_joint_takes_nothing_from_the_true_rotations(
    rest: NDArray, motion: tuple[NDArray, NDArray], method: Method, weight: float
) -> None:
    rotations, joints = (array[:10, None] for array in motion)
    confidence = 1 - np.eye(NUM_POINTS)  # Row i hides joint i.
    joints = np.where(confidence[..., None] > 0, joints, np.nan)
    found = solve(
        joints, rest, method=method, confidence=confidence, previous=rotations,
        previous_weight=weight,
    )  # fmt: skip
    assert np.abs(found - rotations).max() < 1e-6


@all_methods
def test_the_bone_to_an_unseen_joint_does_not_drift(
    rest: NDArray, motion: tuple[NDArray, NDArray], method: Method
) -> None:
    rotations, joints = motion[0][0], np.repeat(motion[1][:1], 1000, axis=0)
    joints += noise(np.random.default_rng(4), joints.shape, 0.01)
    confidence = 1 - np.eye(NUM_POINTS)[WITHIN_A_LIMB]  # Each row hides one.
    found = np.tile(rotations, (len(WITHIN_A_LIMB), 1, 1, 1))
    for frame in joints:
        seen = np.where(confidence[..., None] > 0, frame, np.nan)
        found = solve(seen, rest, method=method, confidence=confidence, previous=found)
    drifts = np.abs(found - rotations).max(axis=(-2, -1))
    for of_joints, unseen in zip(drifts, WITHIN_A_LIMB, strict=True):
        assert of_joints[PARENTS[unseen]] < 1e-6
        assert of_joints.max() > 0.01  # The others follow their noise.


@all_methods
@pytest.mark.parametrize('joint', WITHIN_A_LIMB, ids=JOINT_NAMES.__getitem__)
def test_what_lies_beyond_an_unseen_joint_pulls_at_nothing_before_it(
    rest: NDArray, motion: tuple[NDArray, NDArray], method: Method, joint: int
) -> None:
    rng = np.random.default_rng(6)
    rotations, joints = motion
    limb = limbs_from(joint)
    here = joints[10:20] + noise(rng, joints[10:20].shape, 0.01)
    there = here.copy()
    there[:, limb] += rng.normal(0, 1, there[:, limb].shape)
    confidence = np.ones(NUM_POINTS)
    confidence[joint] = 0
    found, moved = (
        solve(frames, rest, method=method, confidence=confidence, previous=rotations[:10],
              previous_weight=0.01, depth_weight=0.5)
        for frames in (here, there)
    )  # fmt: skip
    before = np.setdiff1d(np.arange(NUM_JOINTS), limb)
    assert np.abs(found - moved)[:, before].max() < 1e-9
    assert np.abs(found - moved)[:, joint].max() > 0.1


# All that hangs from a joint of three bones: neither it nor they are seen, and it cannot turn.
UNTOLD = {
    'pelvis': [0, 1, 2, 3, 4, 5, 7, 8, 10, 11, 27, 28],  # a person behind a table
    'spine3': [12, 13, 14],
}


@all_methods
@pytest.mark.parametrize('joint', UNTOLD)
def test_a_joint_of_three_unseen_bones_stays_as_it_was(rest, motion, method, joint):
    rotations, joints = motion[0], motion[1].copy()
    joints[:, UNTOLD[joint]] = np.nan
    seen = np.ones(NUM_POINTS)
    seen[UNTOLD[joint]] = 0
    found = solve(joints, rest, method=method, confidence=seen, previous=rotations)
    assert angles_between(found, rotations).max() < 1e-6


@all_methods
@pytest.mark.parametrize('joint', UNTOLD)
def test_a_joint_of_three_unseen_bones_does_not_drift(rest, motion, method, joint):
    rng = np.random.default_rng(8)
    truth, joints = motion[0][0], motion[1][0]
    seen = np.ones(NUM_POINTS)
    seen[UNTOLD[joint]] = 0
    found = truth
    for _ in range(300):
        noisy = joints + noise(rng, joints.shape, 0.01)
        found = solve(noisy, rest, method=method, confidence=seen, previous=found)
    held = JOINT_NAMES.index(joint)
    assert angles_between(found[held], truth[held]) < 1e-6


@all_methods
@pytest.mark.parametrize('hidden', ['pelvis', 'and spine2'])
@pytest.mark.parametrize('arms', [[1, -1], [1, 1], [1, 0]], ids=str)
def test_arms_that_wave_do_not_move_a_trunk_of_unseen_root(
    rest: NDArray, method: Method, hidden: str, arms: list[int]
) -> None:
    seen = np.ones(NUM_POINTS)
    seen[UNTOLD['pelvis']] = 0
    if hidden == 'and spine2':
        seen[6] = 0
    found = np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
    for lift in np.concatenate([np.linspace(0, 60, 20), np.linspace(60, -60, 20)]):
        truth = np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
        turns = Rotation.from_rotvec(np.outer(np.radians(lift) * np.array(arms), [0, 0, 1]))
        truth[[16, 17]] = turns.as_matrix()
        joints = forward(truth, rest)[0]
        found = solve(joints, rest, method=method, confidence=seen, previous=found)
        trunk = [0, 3, 6, 9, 12, 13, 14, 15]
        assert angles_between(found, truth)[trunk].max() < 1e-4


@all_methods
@pytest.mark.parametrize('more', [[], [4, 5]], ids=['bust', 'and knees'])
def test_arms_do_not_turn_a_chest_of_unseen_spine(
    rest: NDArray, method: Method, more: list[int]
) -> None:
    truth = np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
    truth[0] = np.diag([1.0, -1.0, -1.0])
    joints = forward(truth, rest)[0]
    seen = np.zeros(NUM_POINTS)
    seen[[12, 13, 14, 16, 17, 18, 19, 20, 21, 22, 23, 25, 26, *more]] = 1
    found = truth.copy()
    found[SPINE3] = Rotation.from_euler('y', 40, degrees=True).as_matrix()
    for _ in range(200):
        found = solve(joints, rest, method=method, confidence=seen, previous=found)
    chest, true_chest = (global_rotations(r)[SPINE3] for r in (found, truth))
    assert angles_between(chest, true_chest) < 0.1


# Two joints or one bone tell a direction, no more.
ONE_DIRECTION = {
    'of spine3, a collar': (SPINE3, [12, 13]),
    'of spine3, the other collar': (SPINE3, [12, 14]),
    'of spine3, the neck': (SPINE3, [13, 14]),
    'of the root, the spine': (0, [1, 2]),
    'of the root, a hip': (0, [1, 3]),
    'of the root, the hips': (0, [0, 3]),
    'of the root, a hip and the spine': (0, [0, 1]),
}


@all_methods
@pytest.mark.parametrize('case', ONE_DIRECTION)
@pytest.mark.parametrize('upright', [True, False])
def test_what_one_direction_leaves_open_does_not_drift(
    rest: NDArray, motion: tuple[NDArray, NDArray], method: Method, case: str, upright: bool
) -> None:
    rng = np.random.default_rng(12)
    joint, hidden = ONE_DIRECTION[case]
    truth = motion[0][0].copy()
    if not upright:  # As most people are in the frame of a camera, which has y down.
        truth[0] = np.diag([1.0, -1.0, -1.0]) @ truth[0]
    joints = forward(truth, rest)[0]
    seen = np.ones(NUM_POINTS)
    seen[hidden] = 0
    found, moved = truth, []
    for _ in range(1000):
        noisy = joints + noise(rng, joints.shape, 0.01)
        found = solve(noisy, rest, method=method, confidence=seen, previous=found)
        moved.append(angles_between(found[joint], truth[joint]))
    assert np.mean(moved) > 0.5  # It follows the noise of the direction.
    found = solve(joints, rest, method=method, confidence=seen, previous=found)
    assert angles_between(found[joint], truth[joint]) < 1e-4


@all_methods
def test_two_unseen_joints_take_nothing_from_the_true_rotations(
    rest: NDArray, motion: tuple[NDArray, NDArray], method: Method
) -> None:
    rotations, joints = motion[0][:2, None], motion[1][:2, None]
    confidence = np.array([
        1 - np.eye(NUM_POINTS)[a] - np.eye(NUM_POINTS)[b]
        for a in range(NUM_POINTS) for b in range(a)
    ])  # fmt: skip
    joints = np.where(confidence[..., None] > 0, joints, np.nan)
    found = solve(joints, rest, method=method, confidence=confidence, previous=rotations)
    assert np.abs(found - rotations).max() < 1e-6


@all_methods
@pytest.mark.parametrize('pair', [(13, 14), (1, 2), (12, 13), (4, 18), (3, 13), (9, 18)], ids=str)
def test_limbs_beyond_two_unseen_joints_pull_at_nothing_before_them(
    rest: NDArray, motion: tuple[NDArray, NDArray], method: Method, pair: tuple[int, int]
) -> None:
    rng = np.random.default_rng(13)
    rotations, joints = motion
    limbs = limbs_from(*pair)
    here = joints[10:20] + noise(rng, joints[10:20].shape, 0.01)
    there = here.copy()
    there[:, limbs] += rng.normal(0, 0.3, there[:, limbs].shape)
    confidence = np.ones(NUM_POINTS)
    confidence[list(pair)] = 0
    found, moved = (
        solve(frames, rest, method=method, confidence=confidence, previous=rotations[:10])
        for frames in (here, there)
    )
    before = np.setdiff1d(np.arange(NUM_JOINTS), limbs)
    assert np.abs(found - moved)[:, before].max() < 1e-9
    assert np.abs(found - moved)[:, list(pair)].max() > 0.1


def follow(joints, rest, weight):
    """Solve frame after frame, each with the one before as its previous."""
    found = [solve(joints[0], rest)]
    for frame in joints[1:]:
        found.append(solve(frame, rest, previous=found[-1], previous_weight=weight))
    return np.array(found)


def test_a_weight_damps_jitter(rest, motion):
    _, joints = motion
    noisy = joints + noise(np.random.default_rng(8), joints.shape, 0.02)
    free, held = (follow(noisy, rest, weight) for weight in (0.0, 0.01))
    jitter_free, jitter_held = (angles_between(r[1:], r[:-1]).mean() for r in (free, held))
    assert jitter_held < 0.6 * jitter_free  # regression bound


@pytest.mark.parametrize('weight', [0.0, 0.01])
@pytest.mark.parametrize('millimetres', [1, 10])
def test_a_thousand_frames_of_unknown_twist_are_still_rotations(rest, motion, weight, millimetres):
    joints = np.repeat(motion[1][:1], 1000, axis=0)
    joints += noise(np.random.default_rng(1), joints.shape, millimetres / 1000)
    found = follow(joints, rest, weight)
    gram = np.swapaxes(found, -1, -2) @ found
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(3), gram.shape), atol=1e-9)
    posed = forward(found, rest)[0] - rest[0]
    np.testing.assert_allclose(posed + joints[:, :1], joints, atol=8 * millimetres / 1000)


@pytest.mark.parametrize('weight', [0.0, 0.01])
def test_what_no_joint_tells_does_not_drift(rest, motion, weight):
    rotations, joints = motion[0][0], np.repeat(motion[1][:1], 1000, axis=0)
    joints += noise(np.random.default_rng(2), joints.shape, 0.02)
    confidence = np.ones(29)
    confidence[LEFT_ARM_BELOW_SHOULDER] = 0
    joints[:, LEFT_ARM_BELOW_SHOULDER] = np.nan
    found = rotations
    for frame in joints:
        found = solve(frame, rest, confidence=confidence, previous=found, previous_weight=weight)
    assert angles_between(found, rotations)[LEFT_ARM_ROTATIONS].max() < 1e-4
    told = twist_of(np.array([found, rotations]), rest)
    turned = np.delete(told, SPINE3 - 1, axis=1)  # whose three bones tell it
    assert turned[0] == pytest.approx(turned[1], abs=1e-6)


def test_the_previous_may_be_in_single_precision(rest, motion):
    rotations, joints = motion
    found = solve(joints, rest, previous=rotations.astype(np.float32))
    gram = np.swapaxes(found, -1, -2) @ found
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(3), gram.shape), atol=1e-12)


@pytest.mark.parametrize('weight', [1e3, 1e9, 1e100, 1e300])
def test_a_previous_of_any_great_weight_is_kept(rest, motion, weight):
    rotations, joints = motion[0][:1], motion[1][10:11]
    found = solve(joints, rest, previous=rotations, previous_weight=weight)
    bones = [16, 17, 18, 19, 1, 2, 4, 5]
    free = angles_between(solve(joints, rest, previous=rotations), rotations)[:, bones]
    assert angles_between(found, rotations)[:, bones].max() < 0.3 * free.max()


def test_a_clean_pose_that_stays_is_not_changed_by_the_weight(rest, motion):
    rotations, joints = motion
    found = solve(joints, rest, previous=rotations, previous_weight=0.05)
    assert angles_between(found, rotations).max() < 0.01


def test_the_weight_pulls_to_the_previous_pose_in_the_right_direction(rest, motion):
    rotations, joints = motion
    previous = np.roll(rotations, 6, axis=0)[6:]
    joints, rotations = joints[6:], rotations[6:]
    apart = angles_between(rotations, previous)
    found = solve(joints, rest, previous=previous, previous_weight=0.02)
    assert angles_between(found, previous).mean() < 0.9 * apart.mean()
    assert angles_between(found, rotations).mean() < apart.mean()


@all_methods
def test_a_weight_without_a_previous_changes_nothing(
    rest: NDArray, motion: tuple[NDArray, NDArray], method: Method
) -> None:
    rotations, joints = motion
    joints = joints + noise(np.random.default_rng(9), joints.shape, 0.02)
    for twist in (None, twist_of(rotations, rest)):
        free, held = (
            solve(joints, rest, twist, method=method, previous_weight=weight)
            for weight in (0.0, 0.05)
        )
        assert np.array_equal(free, held)


@pytest.mark.parametrize('weight', [1e-3, 1e-2, 1e-1])
@pytest.mark.parametrize('depth_weight', [1.0, 0.05])
def test_the_weight_pulls_as_strongly_as_in_the_plain_transcription(
    rest: NDArray, motion: tuple[NDArray, NDArray], weight: float, depth_weight: float
) -> None:
    rng = np.random.default_rng(7)
    rotations, joints = (array[::12] for array in motion)
    # Near each other: for small angles, the sines that the solver takes are the angles.
    joints = joints + noise(rng, joints.shape, 0.002) + [0.5, -0.3, 3.0]
    previous = rotations @ random_rotations(rng, len(rotations), 0.02)
    confidence = rng.uniform(0.5, 1, joints.shape[:2])
    twist = twist_of(rotations, rest)
    start = solve(joints, rest, twist, method='adaptive', confidence=confidence)
    found = solve(
        joints, rest, twist, confidence=confidence, previous=previous, previous_weight=weight,
        depth_weight=depth_weight,
    )  # fmt: skip
    for i, told in enumerate(twist):
        refined = plain_hybrik.refine(
            start[i], joints[i], rest, confidence[i], depth_weight=depth_weight,
            previous=previous[i], previous_weight=weight,
        )  # fmt: skip
        placed = plain_hybrik.pose(refined, rest, joints[i, 0])
        expected = plain_hybrik.aim(placed, rest, told, adaptive=True)
        assert np.abs(found[i] - expected).max() < 2e-4


@pytest.mark.parametrize('kind', [np.array, np.float64, np.float32])
@pytest.mark.parametrize('name', ['previous_weight', 'depth_weight'])
def test_weights_may_be_numbers_of_numpy(
    rest: NDArray,
    motion: tuple[NDArray, NDArray],
    name: str,
    kind: Callable[[float], NDArray | np.floating],
) -> None:
    rotations, joints = motion[0][:-10], motion[1][10:] + [0.0, 0.0, 3.0]
    joints = joints + noise(np.random.default_rng(10), joints.shape, 0.01)

    def found(**weights: Any) -> NDArray:
        return solve(joints, rest, previous=rotations, **weights)

    plain = found(**{name: 0.25})
    assert np.array_equal(found(**{name: kind(0.25)}), plain)
    assert not np.array_equal(found(), plain)


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        ({'previous': np.eye(3)}, 'previous must have shape'),
        ({'previous': np.full((24, 3, 3), np.nan)}, 'previous contains matrices'),
        ({'previous': np.tile(2 * np.eye(3), (24, 1, 1))}, 'previous contains matrices'),
        ({'previous': np.tile(-np.eye(3), (24, 1, 1))}, 'previous contains matrices'),
        ({'previous': np.zeros((24, 3, 3))}, 'previous contains matrices'),
        ({'previous_weight': 'much'}, 'previous_weight must be'),
        ({'previous_weight': -1.0}, 'previous_weight must be'),
        ({'previous_weight': np.nan}, 'previous_weight must be'),
        ({'previous_weight': np.inf}, 'previous_weight must be'),
        ({'previous_weight': None}, 'previous_weight must be'),
        ({'previous_weight': 1j}, 'previous_weight must be'),
        ({'previous_weight': np.complex128(1 + 2j)}, 'previous_weight must be'),
        ({'previous_weight': '0.01'}, 'previous_weight must be'),
        ({'previous_weight': 10**400}, 'previous_weight must be'),
        ({'previous_weight': np.array(-1.0)}, 'previous_weight must be'),
        ({'previous_weight': np.array([0.1, 0.2])}, 'previous_weight must be'),
        ({'depth_weight': 0.0}, 'depth_weight must be'),
        ({'depth_weight': -0.5}, 'depth_weight must be'),
        ({'depth_weight': 1.5}, 'depth_weight must be'),
        ({'depth_weight': np.nan}, 'depth_weight must be'),
        ({'depth_weight': 'all'}, 'depth_weight must be'),
        ({'depth_weight': None}, 'depth_weight must be'),
        ({'depth_weight': np.array(np.nan)}, 'depth_weight must be'),
        ({'depth_weight': np.array([0.1, 0.2])}, 'depth_weight must be'),
    ],
)
def test_wrong_arguments_are_named(rest, arguments, words):
    with pytest.raises(ValueError, match=words):
        solve(rest, rest, **arguments)
