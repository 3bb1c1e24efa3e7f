"""How far away a body is, by the depth image of its skin."""

import numpy as np
import pytest
from depths import as_measured, render_depth
from hypothesis import given, settings
from hypothesis import strategies as st
from poses import random_rotations
from scipy.spatial.transform import Rotation

from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Camera
from hybrik_ros.perception.depth import TorsoDistanceEstimator, check_depth
from hybrik_ros.skeleton import JOINT_NAMES, PELVIS

BODY = BodyModel.load()
CAMERA = Camera.from_field_of_view(60, 320, 240)
SEEN = np.ones(len(JOINT_NAMES))
WALL = 1.0  # metres behind the pelvis
# The pelvis is told to within this, metres.
CLOSE = 0.02


@pytest.fixture(scope='module')
def torso():
    return TorsoDistanceEstimator(BODY)


class Scene:
    """A person in any pose, from any side, before a wall."""

    def __init__(self, seed, camera=CAMERA):
        self.rng = np.random.default_rng(seed)
        rotations = random_rotations(self.rng, 1, 0.25)[0]
        lean = self.rng.uniform(-20, 20, 2)
        upright = Rotation.from_euler('yxz', [37 * seed, 180 + lean[0], lean[1]], degrees=True)
        rotations[0] = upright.as_matrix()
        self.distance = self.rng.uniform(1.8, 4.5)
        self.pelvis = self.distance * np.array([*self.rng.uniform(-0.1, 0.1, 2), 1.0])
        rest = BODY.rest_joints()
        self.vertices = BODY.vertices(rotations, None, self.pelvis - rest[PELVIS]).astype(float)
        depth = render_depth(self.vertices, BODY.faces, camera)
        self.depth = np.where(np.isfinite(depth), depth, self.distance + WALL)

    def measured(self, occluder=None):
        """What a sensor makes of it, with something in front of what is True in occluder (H, W)."""
        depth = self.depth
        if occluder is not None:
            depth = np.where(occluder, self.distance - 0.5, depth)
        return as_measured(depth, self.rng)

    def miss(self, ratio, times):
        """Error of the distance of the pelvis in metres, if it was scaled by `times`."""
        return np.linalg.norm(self.pelvis) * abs(ratio * times - 1)

    def below(self, height):
        """The pixels (H, W) of what is lower than this much above the pelvis, metres."""
        [_, row] = CAMERA.project(self.pelvis - [0, height, 0])
        return np.arange(CAMERA.height)[:, None] + np.zeros(CAMERA.width) > row


@pytest.fixture(scope='module')
def scenes():
    return [Scene(seed) for seed in range(10)]


@pytest.mark.parametrize('times', [0.6, 0.8, 1.0, 1.2, 1.6])
def test_person_of_another_size_than_the_body_is_at_the_measured_distance(scenes, torso, times):
    # What the image alone gives: the same pixels, from a smaller body nearby or a bigger one.
    for scene in scenes:
        ratio = torso.estimate_ratio(scene.measured(), CAMERA, times * scene.vertices, SEEN)
        assert scene.miss(ratio, times) < CLOSE


@pytest.mark.parametrize('times', [0.9, 1.1, 1.25])
def test_a_body_at_wrong_pixels_is_put_nearly_there(scenes, torso, times):
    # What the image alone does not give: of the right size, and yet too near or too far.
    for scene in scenes:
        moved = scene.vertices + (times - 1) * scene.pelvis
        ratio = torso.estimate_ratio(scene.measured(), CAMERA, moved, SEEN)
        # By as much as the surface is before the pelvis, where it was looked for.
        assert scene.miss(ratio, times) < 0.3 * abs(times - 1) + 0.01


def misses(scenes, torso, occluder, confidence=SEEN):
    """Errors, in metres, of the distances that are measured behind an occluder."""
    found = [
        (scene, torso.estimate_ratio(scene.measured(occluder(scene)), CAMERA,
                                     1.2 * scene.vertices, confidence))
        for scene in scenes
    ]  # fmt: skip
    return [scene.miss(ratio, 1.2) for scene, ratio in found if ratio is not None]


def test_table_in_front_hides_the_hips_and_does_not_shorten_the_distance(scenes, torso):
    found = misses(scenes, torso, lambda scene: scene.below(0.1))
    assert max(found) < CLOSE
    assert len(found) >= len(scenes) - 1  # A person bending over hides too much.


def test_a_high_table_hides_what_the_network_knows_to_be_hidden(scenes, torso):
    confidence = SEEN.copy()
    for name in ('pelvis', 'left_hip', 'right_hip', 'spine1', 'spine2'):
        confidence[JOINT_NAMES.index(name)] = 0.1
    found = misses(scenes, torso, lambda scene: scene.below(0.25), confidence)
    assert max(found) < CLOSE
    assert len(found) > len(scenes) / 2


def test_pole_in_front_does_not_shorten_the_distance(scenes, torso):
    for scene in scenes:
        middle = CAMERA.project(scene.pelvis)[0]
        width = 0.05 * CAMERA.matrix[0, 0] / scene.distance
        pole = np.abs(np.arange(CAMERA.width) - middle) < width
        measured = scene.measured(np.broadcast_to(pole, (CAMERA.height, CAMERA.width)))
        ratio = torso.estimate_ratio(measured, CAMERA, 0.8 * scene.vertices, SEEN)
        if ratio is not None:  # A person seen from the side is nearly as narrow as the pole.
            assert scene.miss(ratio, 0.8) < 1.5 * CLOSE


def test_arms_before_the_chest_do_not_count(torso):
    rotations = np.broadcast_to(np.eye(3), (24, 3, 3)).copy()
    rotations[0] = Rotation.from_euler('x', 180, degrees=True).as_matrix()
    for side, sign in (('left', 1), ('right', -1)):
        # Upper arms down, forearms across the chest.
        shoulder, elbow = (JOINT_NAMES.index(f'{side}_{name}') for name in ('shoulder', 'elbow'))
        down = Rotation.from_euler('zx', [-75 * sign, -20], degrees=True)
        across, _ = Rotation.align_vectors([[-0.9 * sign, 0.35, 0.4]], [[sign, 0, 0]])
        rotations[shoulder], rotations[elbow] = down.as_matrix(), (down.inv() * across).as_matrix()
    vertices = BODY.vertices(rotations, None, [0.0, 0.0, 2.5]).astype(float)
    arms = np.isin(BODY.vertex_joints, [18, 19, 20, 21, 22, 23])
    with_arms = render_depth(vertices, BODY.faces, CAMERA)
    without = render_depth(vertices, BODY.faces[~arms[BODY.faces].any(axis=1)], CAMERA)
    hidden = np.isfinite(without) & (with_arms < without - 0.05)
    assert hidden.sum() > 200  # pixels of the trunk: otherwise the test shows nothing
    # The arms are farther forward than the model has them: only the trunk has the right depth.
    depth = np.where(hidden, with_arms - 0.1, with_arms).astype(np.float32)
    assert torso.estimate_ratio(depth, CAMERA, vertices, SEEN) == pytest.approx(1, abs=0.004)


@pytest.mark.parametrize('nothing', [np.nan, 0.0, np.inf, -np.inf, -1.0])
def test_holes_tell_nothing(scenes, torso, nothing):
    holes = np.full((CAMERA.height, CAMERA.width), nothing, np.float32)
    assert torso.estimate_ratio(holes, CAMERA, scenes[0].vertices, SEEN) is None


def test_where_the_trunk_is_hidden_nothing_is_told(scenes, torso):
    # Only head and neck show over what is in front.
    hidden = SEEN.copy()
    hidden[[JOINT_NAMES.index(name) for name in JOINT_NAMES if 'neck' != name != 'head']] = 0.05
    for scene in scenes:
        measured = scene.measured(scene.below(0.5))
        assert torso.estimate_ratio(measured, CAMERA, scene.vertices, hidden) is None
        unseen = np.zeros_like(SEEN)
        assert torso.estimate_ratio(scene.measured(), CAMERA, scene.vertices, unseen) is None


def test_two_surfaces_that_share_the_trunk_tell_nothing(scenes, torso):
    # A grid before the person hides half of the trunk, evenly.
    rows, columns = np.indices((CAMERA.height, CAMERA.width))
    for scene in scenes:
        measured = scene.measured((rows + columns) % 4 < 2)
        ratio = torso.estimate_ratio(measured, CAMERA, scene.vertices, SEEN)
        assert ratio is None or scene.miss(ratio, 1.0) < CLOSE


def test_a_body_outside_of_the_image_or_behind_the_camera_tells_nothing(scenes, torso):
    measured = scenes[0].measured()
    for offset in ([30.0, 0, 0], [0, -30.0, 0], [0, 0, -20.0], [0, 0, -scenes[0].distance]):
        ratio = torso.estimate_ratio(measured, CAMERA, scenes[0].vertices + offset, SEEN)
        assert ratio is None or np.isfinite(ratio)
        if offset[2] in (0, -20.0):
            assert ratio is None


def test_what_is_farther_than_any_person_can_be_is_no_person(scenes, torso):
    far = np.full((CAMERA.height, CAMERA.width), 50.0, np.float32)
    assert torso.estimate_ratio(far, CAMERA, scenes[0].vertices, SEEN) is None


@pytest.mark.parametrize(('width', 'height'), [(160, 120), (80, 60), (640, 480)])
def test_depth_of_another_size_tells_the_same(torso, scenes, width, height):
    scale = width / CAMERA.width
    matrix = CAMERA.matrix * [[scale, 1, 1], [1, scale, 1], [1, 1, 1]]
    matrix[:2, 2] = (CAMERA.matrix[:2, 2] + 0.5) * scale - 0.5
    sensor = Camera(matrix, np.zeros(0), width, height)
    for seed in (1, 2):
        depth = as_measured(Scene(seed, sensor).depth, scenes[seed].rng)
        check_depth(depth, CAMERA)
        ratio = torso.estimate_ratio(depth, CAMERA, 1.2 * scenes[seed].vertices, SEEN)
        assert scenes[seed].miss(ratio, 1.2) < CLOSE


def test_a_lens_that_bends_is_taken_into_account(torso):
    camera = Camera(CAMERA.matrix, [-0.25, 0.08, 0.001, -0.001, 0.0], 320, 240)
    scene = Scene(3, camera)
    ratio = torso.estimate_ratio(scene.measured(), camera, 1.2 * scene.vertices, SEEN)
    assert scene.miss(ratio, 1.2) < CLOSE


@settings(max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    st.floats(0.0, 1.0),
)
def test_whatever_is_measured_the_ratio_is_a_number_or_none(seed, offset, share):
    rng = np.random.default_rng(seed)
    depth = rng.choice(
        np.array([np.nan, np.inf, -np.inf, 0.0, -2.0, 1e-30, 3e38, 2.0, 2.1], np.float32),
        (CAMERA.height, CAMERA.width),
        p=[*(np.full(7, share / 7)), *(np.full(2, (1 - share) / 2))],
    )
    rotations = random_rotations(rng, 1)[0]
    vertices = BODY.vertices(rotations, None, np.add(offset, [0, 0, 2.0]))
    before = depth.copy(), vertices.copy()
    torso = TorsoDistanceEstimator(BODY)
    ratio = torso.estimate_ratio(depth, CAMERA, vertices, rng.random(24))
    assert np.array_equal(before[0], depth, equal_nan=True)
    assert np.array_equal(before[1], vertices)
    if ratio is not None:  # Then the body, moved there, is where the image shows it.
        again = torso.estimate_ratio(depth, CAMERA, ratio * vertices, np.ones(24))
        assert again is None or again == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    'shape', [(240, 320), (120, 160), (480, 640), (720, 960), (60, 80), (48, 64)]
)
def test_whole_multiples_and_fractions_are_of_the_camera(shape):
    check_depth(np.zeros(shape, np.float32), CAMERA)


@pytest.mark.parametrize(
    'wrong',
    [
        np.zeros((240, 321), np.float32),
        np.zeros((360, 480), np.float32),
        np.zeros((240, 160), np.float32),
        np.zeros((120, 320), np.float32),
        np.zeros((320, 240), np.float32),
        np.zeros((0, 0), np.float32),
        np.zeros((240, 320, 1), np.float32),
        np.zeros((240, 320), np.uint16),
        np.zeros((240, 320)),
    ],
)
def test_any_other_depth_image_is_refused(wrong):
    with pytest.raises(ValueError, match='depth'):
        check_depth(wrong, CAMERA)
