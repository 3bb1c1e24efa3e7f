"""SMPL's tree: whole, symmetric, and named as anatomy has it."""

from itertools import pairwise

from hybrik_ros import skeleton
from hybrik_ros.body import BodyModel

NAMES = skeleton.JOINT_NAMES + skeleton.LEAF_NAMES


def side_of(name: str) -> str:
    return name.split('_')[0] if name.startswith(('left_', 'right_')) else 'middle'


def test_there_are_24_joints_and_5_leaves_of_different_names():
    assert (skeleton.NUM_JOINTS, skeleton.NUM_LEAVES, skeleton.NUM_POINTS) == (24, 5, 29)
    assert len(set(NAMES)) == len(NAMES) == len(skeleton.PARENTS) == 29


def test_parents_come_before_their_children():
    assert skeleton.PARENTS[0] == -1
    assert all(0 <= parent < joint for joint, parent in enumerate(skeleton.PARENTS) if joint)


def test_limbs_run_as_anatomy_has_them():
    leg = ['hip', 'knee', 'ankle', 'foot', 'big_toe']
    arm = ['collar', 'shoulder', 'elbow', 'wrist', 'hand', 'middle_tip']
    limbs = [
        ['pelvis', 'spine1', 'spine2', 'spine3', 'neck', 'head', 'head_top'],
        *(['pelvis', *(f'{side}_{part}' for part in leg)] for side in ('left', 'right')),
        *(['spine3', *(f'{side}_{part}' for part in arm)] for side in ('left', 'right')),
    ]
    parents = {name: NAMES[skeleton.PARENTS[joint]] for joint, name in enumerate(NAMES) if joint}
    assert parents == {child: parent for limb in limbs for parent, child in pairwise(limb)}


def test_every_bone_aims_at_a_child_and_leaves_aim_nowhere():
    targets = skeleton.BONE_TARGETS
    assert all(skeleton.PARENTS[targets[joint]] == joint for joint in range(24))
    assert targets[24:] == (-1,) * 5


def test_three_children_lists_exactly_the_joints_that_have_three():
    children = {
        joint: tuple(child for child in range(24) if skeleton.PARENTS[child] == joint)
        for joint in range(24)
    }
    threes = {joint: three for joint, three in children.items() if len(three) == 3}
    assert threes == skeleton.THREE_CHILDREN
    assert set(skeleton.THREE_CHILDREN) == {skeleton.PELVIS, skeleton.SPINE3}


def test_mirror_swaps_the_sides_and_keeps_the_tree():
    opposite = {'left': 'right', 'right': 'left', 'middle': 'middle'}
    for joint, other in enumerate(skeleton.MIRROR):
        assert skeleton.MIRROR[other] == joint
        assert side_of(NAMES[other]) == opposite[side_of(NAMES[joint])]
        parent = skeleton.PARENTS[joint]
        assert skeleton.PARENTS[other] == (skeleton.MIRROR[parent] if joint else -1)


def test_left_points_lie_to_the_left_in_the_default_body():
    # The body's x axis points to its left.
    body = BodyModel.load()
    joints = body.rest_joints()
    landmarks = {name: body.landmark(name) for name in skeleton.LANDMARK_VERTICES}
    for name, point in [*zip(NAMES, joints, strict=True), *landmarks.items()]:
        x = point[0] - joints[skeleton.PELVIS, 0]
        assert {'left': x > 0.02, 'right': x < -0.02, 'middle': abs(x) < 0.02}[side_of(name)], name


def test_leaves_are_landmarks_of_the_same_place():
    toes = [skeleton.LANDMARK_VERTICES[name] for name in skeleton.LEAF_NAMES[3:]]
    assert tuple(toes) == skeleton.LEAF_VERTICES[3:]


def test_the_trunk_is_connected_and_symmetric():
    trunk = set(skeleton.TRUNK)
    assert {skeleton.PARENTS[joint] for joint in trunk - {0}} <= trunk
    assert {skeleton.MIRROR[joint] for joint in trunk} == trunk
