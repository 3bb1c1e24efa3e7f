"""Twist from directions that turn with the joints."""

import numpy as np
import pytest
from poses import random_rotations, twist_of

from hybrik_ros.body import BodyModel
from hybrik_ros.kinematics import Pointer, forward, solve, twist_from_pointers
from hybrik_ros.skeleton import BONE_TARGETS, NUM_JOINTS, NUM_POINTS, SPINE3

LEFT_SHOULDER, LEFT_ELBOW, LEFT_WRIST = 16, 18, 20
NO_TWIST = np.tile([1.0, 0.0], (NUM_JOINTS - 1, 1))
TWISTED = [joint for joint in range(1, NUM_JOINTS) if joint != SPINE3]


@pytest.fixture(scope='module')
def rest():
    return BodyModel.load().rest_joints()


@pytest.fixture(scope='module', params=range(5))
def pose(rest, request):
    """Joints, global rotations and true twist of a random pose."""
    rotations = random_rotations(np.random.default_rng(request.param), 1)
    joints, turned = forward(rotations[0], rest)
    return joints, turned, twist_of(rotations, rest)[0]


def angle(twist):
    return np.arctan2(twist[..., 1], twist[..., 0])


def across(rest, joint):
    """A unit vector at right angles to the bone of a joint at rest."""
    bone = rest[BONE_TARGETS[joint]] - rest[joint]
    vector = np.cross(bone, np.eye(3)[np.argmin(np.abs(bone))])
    return vector / np.linalg.norm(vector)


def pointer(rest, turned, joint, **changes):
    """A pointer at right angles to the bone, exactly as the pose shows it."""
    direction = across(rest, joint)
    return Pointer(joint, **{'rest': direction, 'seen': turned[joint] @ direction, **changes})


def test_pointers_across_their_bones_tell_the_twist(rest, pose):
    joints, turned, truth = pose
    pointers = [pointer(rest, turned, joint) for joint in TWISTED]
    twist = twist_from_pointers(joints, rest, pointers)
    assert np.linalg.norm(twist, axis=1) == pytest.approx(1)
    # The prior of no twist has its say, a small one, on each bone and on all that hang from it.
    rows = np.array(TWISTED) - 1
    found, true = angle(twist[rows]), angle(truth[rows])
    assert np.abs(found - true).max() < 0.1
    assert np.abs(found - true).mean() < 0.02
    none = solve(joints, rest)
    told = solve(joints, rest, twist)
    true_rotations = solve(joints, rest, truth)
    assert np.abs(told - true_rotations).mean() < 0.1 * np.abs(none - true_rotations).mean()


def test_the_order_of_pointers_does_not_matter(rest, pose):
    joints, turned, _ = pose
    pointers = [pointer(rest, turned, joint) for joint in TWISTED]
    forwards, backwards = (
        twist_from_pointers(joints, rest, ordered) for ordered in (pointers, pointers[::-1])
    )
    assert np.array_equal(forwards, backwards)


def test_where_nothing_points_there_is_no_twist(rest, pose):
    joints, turned, _ = pose
    assert np.array_equal(twist_from_pointers(joints, rest, []), NO_TWIST)
    twist = twist_from_pointers(joints, rest, [pointer(rest, turned, LEFT_ELBOW)])
    others = np.arange(NUM_JOINTS - 1) != LEFT_ELBOW - 1
    assert np.array_equal(twist[others], NO_TWIST[others])
    assert not np.array_equal(twist[~others], NO_TWIST[~others])


@pytest.mark.parametrize('seen', [np.full(3, np.nan), np.zeros(3), np.array([1.0, np.nan, 0.0])])
def test_what_is_not_seen_tells_nothing(rest, pose, seen):
    joints, turned, _ = pose
    pointers = [pointer(rest, turned, LEFT_ELBOW, seen=seen)]
    assert np.array_equal(twist_from_pointers(joints, rest, pointers), NO_TWIST)


def test_the_lengths_of_directions_do_not_matter(rest, pose):
    joints, turned, _ = pose
    direction = across(rest, LEFT_ELBOW)
    found = [
        twist_from_pointers(
            joints,
            rest,
            [Pointer(LEFT_ELBOW, direction * length, turned[LEFT_ELBOW] @ direction / length)],
        )
        for length in (1.0, 1e-3, 1e3)
    ]
    assert found[1] == pytest.approx(found[0])
    assert found[2] == pytest.approx(found[0])


def test_a_share_takes_that_part_of_the_angle(rest, pose):
    joints, turned, _ = pose
    whole, half = (
        angle(
            twist_from_pointers(joints, rest, [pointer(rest, turned, LEFT_ELBOW, share=share)])[
                LEFT_ELBOW - 1
            ]
        )
        for share in (1.0, 0.5)
    )
    assert half == pytest.approx(whole / 2)


def test_a_pointer_along_its_bone_fades_to_no_twist(rest, pose):
    # A straightening elbow: what it says of the upper arm fades, and never flips.
    joints, turned, _ = pose
    bone = rest[LEFT_ELBOW] - rest[LEFT_SHOULDER]
    bone /= np.linalg.norm(bone)
    side = turned[LEFT_SHOULDER] @ across(rest, LEFT_SHOULDER)
    along = turned[LEFT_SHOULDER] @ bone
    found = np.array([
        angle(
            twist_from_pointers(
                joints,
                rest,
                [
                    pointer(
                        rest, turned, LEFT_SHOULDER,
                        seen=np.sin(bend) * side + np.cos(bend) * along,
                    )
                ],
            )[LEFT_SHOULDER - 1]
        )
        for bend in np.linspace(np.pi / 2, 0, 200)
    ])  # fmt: skip
    assert abs(found[0]) > 0.1
    shares = found / found[0]
    assert (np.diff(shares) <= 1e-12).all()
    assert np.diff(shares).min() > -0.05
    assert shares[-1] == pytest.approx(0, abs=1e-6)


def test_unseen_joints_do_no_harm(rest, pose):
    joints, turned, _ = pose
    joints = joints.copy()
    confidence = np.ones(NUM_POINTS)
    confidence[[LEFT_ELBOW, LEFT_WRIST]] = 0
    joints[[LEFT_ELBOW, LEFT_WRIST]] = np.nan
    pointers = [pointer(rest, turned, joint) for joint in TWISTED]
    twist = twist_from_pointers(joints, rest, pointers, confidence)
    assert np.isfinite(twist).all()
    assert np.linalg.norm(twist, axis=1) == pytest.approx(1)


def test_a_bone_without_length_has_no_twist(rest, pose):
    joints, turned, _ = pose
    shrunk = rest.copy()
    shrunk[BONE_TARGETS[LEFT_WRIST]] = shrunk[LEFT_WRIST]
    twist = twist_from_pointers(joints, shrunk, [pointer(rest, turned, LEFT_WRIST)])
    assert np.array_equal(twist, NO_TWIST)


@pytest.mark.parametrize('joint', [-1, 0, NUM_JOINTS])
def test_a_pointer_of_no_twisting_joint_is_refused(joint):
    with pytest.raises(ValueError, match='joint'):
        Pointer(joint, np.ones(3), np.ones(3))
