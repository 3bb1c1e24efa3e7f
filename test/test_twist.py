"""Twist from directions that turn with the joints."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from poses import noise, random_rotations, twist_of
from scipy.spatial.transform import Rotation

from hybrik_ros.body import BodyModel
from hybrik_ros.kinematics import Pointer, forward, solve, twist_from_pointers
from hybrik_ros.rotations import swing_between
from hybrik_ros.skeleton import BONE_TARGETS, JOINT_NAMES, NUM_JOINTS, NUM_POINTS, SPINE3

LEFT_SHOULDER, LEFT_ELBOW, LEFT_WRIST = 16, 18, 20
LEFT_HIP, RIGHT_HIP, RIGHT_SHOULDER = 1, 2, 17
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
    # The prior of no twist has its say, a small one, on each bone and on all that hang from it.
    rows = np.array(TWISTED) - 1
    assert np.linalg.norm(twist[rows], axis=1) == pytest.approx(1)
    found, true = angle(twist[rows]), angle(truth[rows])
    assert np.abs(found - true).max() < 0.1
    assert np.abs(found - true).mean() < 0.02
    none, informed, ideal = (solve(joints, rest, known) for known in (None, twist, truth))
    assert np.abs(informed - ideal).mean() < 0.1 * np.abs(none - ideal).mean()


def test_the_order_of_pointers_does_not_matter(rest, pose):
    joints, turned, _ = pose
    pointers = [pointer(rest, turned, joint) for joint in TWISTED]
    forwards, backwards = (
        twist_from_pointers(joints, rest, ordered) for ordered in (pointers, pointers[::-1])
    )
    assert np.array_equal(forwards, backwards, equal_nan=True)


def assert_unknown(twist, rows=slice(None)):
    assert np.isnan(twist[rows]).all()


def test_where_nothing_points_the_twist_is_not_known(rest, pose):
    joints, turned, _ = pose
    assert_unknown(twist_from_pointers(joints, rest, []))
    twist = twist_from_pointers(joints, rest, [pointer(rest, turned, LEFT_ELBOW)])
    others = np.arange(NUM_JOINTS - 1) != LEFT_ELBOW - 1
    assert_unknown(twist, others)
    assert np.isfinite(twist[~others]).all()


@pytest.mark.parametrize('seen', [np.full(3, np.nan), np.zeros(3), np.array([1.0, np.nan, 0.0])])
def test_what_is_not_seen_tells_nothing(rest, pose, seen):
    joints, turned, _ = pose
    pointers = [pointer(rest, turned, LEFT_ELBOW, seen=seen)]
    assert_unknown(twist_from_pointers(joints, rest, pointers))


def told(joints, rest, pointer, previous=None):
    """The angle that one pointer tells of its joint."""
    twist = twist_from_pointers(joints, rest, [pointer], previous=previous)
    return angle(twist[pointer.joint - 1])


def test_the_lengths_of_directions_do_not_matter(rest, pose):
    joints, turned, _ = pose
    direction = across(rest, LEFT_ELBOW)
    found = [
        told(
            joints,
            rest,
            Pointer(LEFT_ELBOW, direction * length, turned[LEFT_ELBOW] @ direction / length),
        )
        for length in (1.0, 1e-3, 1e3, 1e-30, 1e-290, 1e200)
    ]
    assert found == pytest.approx([found[0]] * len(found))


def turned_about_its_bone(rest, joint, degrees, **changes):
    """A pointer of a body in its T-pose whose one bone is turned about itself."""
    bone = rest[BONE_TARGETS[joint]] - rest[joint]
    twist = Rotation.from_rotvec(np.radians(degrees) * bone / np.linalg.norm(bone))
    direction = across(rest, joint)
    return Pointer(joint, **{'rest': direction, 'seen': twist.apply(direction), **changes})


@pytest.mark.parametrize('degrees', [-60.0, 20.0, 90.0])
def test_a_share_takes_that_part_of_the_angle(rest, degrees):
    half = told(rest, rest, turned_about_its_bone(rest, LEFT_ELBOW, degrees, share=0.5))
    assert np.degrees(half) == pytest.approx(degrees / 2, abs=2)


def test_a_shared_angle_is_counted_around_its_centre(rest):
    # A hand that is turned outwards as far as it goes is near half a turn from the T-pose.
    found = [
        told(rest, rest, turned_about_its_bone(rest, LEFT_ELBOW, degrees, share=0.5, centre=1.5))
        for degrees in np.arange(-4, 176)
    ]
    assert np.diff(np.unwrap(found)) == pytest.approx(np.radians(0.5), rel=0.1)
    assert np.degrees(found[0]) == pytest.approx(-2, abs=2)
    assert np.degrees(np.unwrap(found)[-1]) == pytest.approx(87, abs=2)


@pytest.mark.parametrize('share', [0.5, 1.0])
def test_no_joint_turns_right_round(rest, share):
    # What is half a turn off the middle of a joint's range is not believed, and nothing jumps.
    previous, found = solve(rest, rest), []
    for degrees in np.arange(0, 361):
        seen = turned_about_its_bone(rest, LEFT_ELBOW, degrees, share=share)
        twist = twist_from_pointers(rest, rest, [seen], previous=previous)
        previous = solve(rest, rest, twist, previous=previous)
        found.append(np.degrees(angle(twist[LEFT_ELBOW - 1])))
    assert found[100] == pytest.approx(100 * share, abs=10 * share)
    assert np.abs(np.diff(found)).max() < 10
    assert max(found) < 180 * share - 20


def bending(rest, turned, bend, side=1.0):
    """A pointer of an upper arm whose elbow is bent by so much, in radians."""
    bone = rest[LEFT_ELBOW] - rest[LEFT_SHOULDER]
    forearm = side * np.sin(bend) * across(rest, LEFT_SHOULDER) + np.cos(bend) * bone / (
        np.linalg.norm(bone)
    )
    return pointer(rest, turned, LEFT_SHOULDER, seen=turned[LEFT_SHOULDER] @ forearm)


def test_a_pointer_along_its_bone_fades_to_no_twist(rest, pose):
    # A straightening elbow: what it says of the upper arm fades, and never flips.
    joints, turned, _ = pose
    bends = np.linspace(np.pi / 2, 0, 400)
    pointers = [bending(rest, turned, bend) for bend in bends]
    found = np.array([told(joints, rest, one) for one in pointers])
    assert abs(found[0]) > 0.1
    shares = found / found[0]
    assert (np.diff(shares) <= 1e-12).all()
    assert np.diff(shares).min() > -0.05
    assert shares[-1] == pytest.approx(0, abs=1e-6)


def test_a_straight_limb_keeps_its_twist_and_loses_it_in_time(rest):
    bent = turned_about_its_bone(rest, LEFT_SHOULDER, 60)
    straight = Pointer(LEFT_SHOULDER, bent.rest, rest[LEFT_ELBOW] - rest[LEFT_SHOULDER])
    previous = solve(rest, rest, twist_from_pointers(rest, rest, [bent]))
    found = [told(rest, rest, bent)]
    for _ in range(200):
        twist = twist_from_pointers(rest, rest, [straight], previous=previous)
        previous = solve(rest, rest, twist, previous=previous)
        found.append(angle(twist[LEFT_SHOULDER - 1]))
    assert np.degrees(found[0]) == pytest.approx(60, abs=2)
    assert np.degrees(found[1]) == pytest.approx(57, abs=5)
    assert (np.diff(found[1:]) <= 0).all()
    assert found[-1] == pytest.approx(0, abs=1e-3)


def test_a_limb_that_wavers_about_straight_does_not_flip(rest, pose):
    # The forearm passes through the upper arm's line: its elbow would bend the other way.
    joints, turned, _ = pose
    rotations = solve(joints, rest)
    found = []
    for bend in 0.05 * np.sin(np.linspace(0, 60, 600)):
        twist = twist_from_pointers(joints, rest, [bending(rest, turned, abs(bend),
                                       np.sign(bend))], previous=rotations)  # fmt: skip
        rotations = solve(joints, rest, twist, previous=rotations)
        found.append(angle(twist[LEFT_SHOULDER - 1]))
    assert np.abs(found).max() < 0.3
    assert np.abs(np.diff(found)).max() < 0.05


def overstretched(rest: NDArray, joint: int, degrees: float, millimetres: float) -> NDArray:
    """Errors of a limb's twist, in degrees, while its hinge goes from 60 degrees to -20.

    The upper arm or thigh is truly twisted by so many degrees, in an otherwise T-posed body; each
    frame is the next one's previous.
    """
    hinge = BONE_TARGETS[joint]
    upper = (rest[hinge] - rest[joint]) / np.linalg.norm(rest[hinge] - rest[joint])
    lower = rest[BONE_TARGETS[hinge]] - rest[hinge]
    # Elbows bend forwards, knees backwards.
    front = np.array([0.0, 0.0, 1.0 if joint in (LEFT_SHOULDER, RIGHT_SHOULDER) else -1.0])
    ahead = front - (front @ upper) * upper
    ahead /= np.linalg.norm(ahead)
    rotations = np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
    rotations[joint] = Rotation.from_rotvec(degrees * upper, degrees=True).as_matrix()
    rng = np.random.default_rng(joint)
    previous, found = None, []
    for bend in np.radians(np.arange(60, -20.5, -0.5)):
        bent = np.cos(bend) * upper + np.sin(bend) * ahead
        rotations[hinge] = swing_between(lower, bent)
        joints = forward(rotations, rest)[0]
        joints += noise(rng, joints.shape, millimetres / 1000)
        forearm = Pointer(joint, front, joints[BONE_TARGETS[hinge]] - joints[hinge])
        twist = twist_from_pointers(joints, rest, [forearm], previous=previous)
        previous = solve(joints, rest, twist, previous=previous)
        found.append(angle(twist[joint - 1]))
    return np.degrees(np.unwrap(found)) - degrees


@pytest.mark.parametrize(
    'joint', [LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_HIP, RIGHT_HIP], ids=JOINT_NAMES.__getitem__
)
@pytest.mark.parametrize('degrees', [-30.0, -15.0, 0.0, 15.0, 30.0])
@pytest.mark.parametrize(('millimetres', 'step'), [(0, 2), (3, 5)])
def test_a_hinge_that_bends_20_degrees_the_wrong_way_does_not_flip_its_limb(
    rest: NDArray, joint: int, degrees: float, millimetres: float, step: float
) -> None:
    errors = overstretched(rest, joint, degrees, millimetres)
    assert abs(errors[0]) < 5
    # A straight limb tells nothing: what twist it had may fade, but not turn on to the other side.
    assert np.abs(errors).max() < abs(degrees) + 10
    assert np.abs(np.diff(errors)).max() < step


def test_a_bent_limb_follows_its_pointer_within_a_few_frames(rest, pose):
    joints, turned, truth = pose
    rotations = solve(joints, rest)
    twisted = [pointer(rest, turned, joint) for joint in TWISTED]
    for _ in range(8):
        twist = twist_from_pointers(joints, rest, twisted, previous=rotations)
        rotations = solve(joints, rest, twist, previous=rotations)
    rows = np.array(TWISTED) - 1
    assert np.abs(angle(twist[rows]) - angle(truth[rows])).max() < 0.1


def test_unseen_joints_do_no_harm(rest, pose):
    joints, turned, _ = pose
    joints = joints.copy()
    confidence = np.ones(NUM_POINTS)
    confidence[[LEFT_ELBOW, LEFT_WRIST]] = 0
    joints[[LEFT_ELBOW, LEFT_WRIST]] = np.nan
    pointers = [pointer(rest, turned, joint) for joint in TWISTED]
    twist = twist_from_pointers(joints, rest, pointers, confidence)
    assert np.linalg.norm(twist[np.array(TWISTED) - 1], axis=1) == pytest.approx(1)


def test_a_bone_without_length_has_no_twist(rest, pose):
    joints, turned, _ = pose
    shrunk = rest.copy()
    shrunk[BONE_TARGETS[LEFT_WRIST]] = shrunk[LEFT_WRIST]
    for previous in (None, solve(joints, rest)):
        wrist = [pointer(rest, turned, LEFT_WRIST)]
        assert_unknown(twist_from_pointers(joints, shrunk, wrist, previous=previous))


@pytest.mark.parametrize('degrees', [-90.0, -40.0, 20.0, 80.0])
@pytest.mark.parametrize('before', [None, -30.0, 30.0])
def test_the_surer_a_pointer_the_nearer_the_twist_comes_to_what_it_says(
    rest: NDArray, degrees: float, before: float | None
) -> None:
    previous = None if before is None else twisted(rest, LEFT_ELBOW, before)
    sureness = np.linspace(0, 1, 21)[1:]
    found = []
    for sure in sureness:
        doubted = turned_about_its_bone(rest, LEFT_ELBOW, degrees, confidence=sure)
        twist = twist_from_pointers(rest, rest, [doubted], previous=previous)
        found.append(angle(twist[LEFT_ELBOW - 1]))
    away = np.abs(np.radians(degrees) - np.array(found))
    assert (np.diff(away) < 0).all()
    assert away[-1] < 0.5 * away[0]


@pytest.mark.parametrize('before', [None, 50.0])
def test_a_pointer_of_confidence_0_leaves_the_twist_as_it_was(
    rest: NDArray, before: float | None
) -> None:
    previous = None if before is None else twisted(rest, LEFT_ELBOW, before)
    hidden = turned_about_its_bone(rest, LEFT_ELBOW, -80, confidence=0.0)
    twist = twist_from_pointers(rest, rest, [hidden], previous=previous)
    assert_unknown(twist)
    found = solve(rest, rest, twist, previous=previous)[LEFT_ELBOW]
    assert found == pytest.approx(twisted(rest, LEFT_ELBOW, before or 0.0)[LEFT_ELBOW], abs=1e-9)


def twisted(rest: NDArray, joint: int, degrees: float) -> NDArray:
    """Rotations of a T-pose with one bone turned about itself."""
    bone = rest[BONE_TARGETS[joint]] - rest[joint]
    rotations = np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
    turn = np.radians(degrees) * bone / np.linalg.norm(bone)
    rotations[joint] = Rotation.from_rotvec(turn).as_matrix()
    return rotations


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('joint', -1),
        ('joint', 0),  # The root has no twist.
        ('joint', NUM_JOINTS),
        ('joint', 3.5),
        ('joint', 'left_elbow'),
        ('joint', True),
        ('joint', None),
        ('rest', np.ones(2)),
        ('rest', np.ones((1, 3))),
        ('rest', 1.0),
        ('rest', np.full(3, np.nan)),
        ('rest', ['a', 'b', 'c']),
        ('stretched', np.full(3, np.inf)),
        ('stretched', np.array([0.0, 1e200, 0.0])),
        ('stretched', np.array([0.0, 0.5, 0.0])),
        ('seen', np.ones(4)),
        ('seen', np.ones((3, 1))),
        ('seen', None),
        ('share', 0.0),
        ('share', -0.5),
        ('share', 1.5),
        ('share', np.nan),
        ('share', None),
        ('centre', 'front'),
        ('centre', np.nan),
        ('centre', -np.inf),
        ('confidence', -0.1),
        ('confidence', 1.1),
        ('confidence', np.nan),
        ('confidence', [0.5]),
    ],
)
def test_a_pointer_names_the_field_that_is_wrong(field: str, value: Any) -> None:
    good: dict[str, Any] = {'joint': LEFT_ELBOW, 'rest': np.ones(3), 'seen': np.ones(3)}
    with pytest.raises(ValueError, match=rf'^{field} must '):
        Pointer(**{**good, field: value})


def test_two_pointers_for_one_joint_are_refused(rest: NDArray) -> None:
    pointer = Pointer(LEFT_ELBOW, np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match=r'^pointers must '):
        twist_from_pointers(rest, rest, [pointer, pointer])


def test_a_forearm_in_line_with_its_arm_tells_nothing_but_is_seen(rest: NDArray) -> None:
    # The last twist fades nevertheless: a pointer along its bone is not a missing one.
    upper_arm = rest[LEFT_ELBOW] - rest[LEFT_SHOULDER]
    along = Pointer(LEFT_SHOULDER, np.array([0.0, 0.0, 1.0]), upper_arm)
    before = twisted(rest, LEFT_SHOULDER, 40.0)
    twist = twist_from_pointers(rest, rest, [along], previous=before)
    assert 0 < np.degrees(angle(twist[LEFT_SHOULDER - 1])) < 40


def test_what_a_stretched_limb_shows_within_its_hinges_plane_does_not_matter(rest: NDArray) -> None:
    bone = rest[LEFT_ELBOW] - rest[LEFT_SHOULDER]
    bone /= np.linalg.norm(bone)
    front = across(rest, LEFT_SHOULDER)
    aside = np.cross(bone, front)
    seen = bone + 0.4 * front + 0.1 * aside

    def found(ahead: float, beside: float) -> float:
        along = np.sqrt(1 - ahead**2 - beside**2)
        stretched = along * bone + ahead * front + beside * aside
        pointer = Pointer(LEFT_SHOULDER, front, seen, stretched=stretched)
        return float(told(rest, rest, pointer))

    expected = found(0.0, 0.05)
    assert abs(expected - found(0.0, 0.0)) > 0.02
    for ahead in (-0.3, 0.1, 0.5):
        assert found(ahead, 0.05) == pytest.approx(expected)
