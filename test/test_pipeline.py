"""The whole way from images to people, on a stretch of the sample clip."""

from dataclasses import fields

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from poses import angles_between
from sample import RATE, find_figure, read_camera, read_frames
from scipy.spatial.transform import Rotation
from shown import landmark_points, landmarks_of

from hybrik_ros.body import DEFAULT_BODY
from hybrik_ros.body.betas import BETA_LIMITS
from hybrik_ros.camera import Camera, Region
from hybrik_ros.human import Human
from hybrik_ros.inference import open_runner
from hybrik_ros.kinematics import forward
from hybrik_ros.perception import blazepose as bp
from hybrik_ros.perception.blazepose import BlazePose
from hybrik_ros.perception.landmarks import observe
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.posing import bend_evenly, pose, start_memory
from hybrik_ros.settings import Settings
from hybrik_ros.skeleton import JOINT_NAMES, MIRROR, NUM_JOINTS

FIRST, COUNT = 60, 20
MIRRORED = list(MIRROR[:NUM_JOINTS])
JOINT = {name: index for index, name in enumerate(JOINT_NAMES)}


@pytest.fixture(scope='module')
def camera():
    return read_camera()


@pytest.fixture(scope='module')
def frames():
    return read_frames(FIRST, COUNT)


@pytest.fixture
def pipeline():
    with Pipeline.create(confirm_after=0.0) as pipeline:
        yield pipeline


def process(pipeline, frames, camera, start=0.0):
    return [pipeline(frame, camera, start + i / RATE) for i, frame in enumerate(frames)]


@pytest.fixture(scope='module')
def results(frames, camera):
    with Pipeline.create(confirm_after=0.0) as pipeline:
        return process(pipeline, frames, camera)


@pytest.fixture(scope='module')
def humans(results):
    """The one person in every frame."""
    assert [len(people) for people in results] == [1] * COUNT
    return [human for [human] in results]


@pytest.fixture(scope='module')
def body():
    with Pipeline.create(confirm_after=0.0) as pipeline:
        return pipeline.body


def test_one_person_keeps_one_id(humans):
    [id] = {human.id for human in humans}
    assert id.isalnum()
    assert id[0].isalpha()


def test_joints_are_forward_kinematics_of_the_rest(humans, body):
    for human in humans:
        joints, _ = forward(human.rotations, body.rest_joints(human.betas))
        assert human.joints == pytest.approx(joints[:NUM_JOINTS] + human.translation, abs=1e-6)


def test_everything_is_as_promised(humans, camera):
    for human in humans:
        assert 0.5 < human.confidence <= 1
        left, top, right, bottom = human.box
        assert 0 <= left < right <= camera.width
        assert 0 <= top < bottom <= camera.height
        assert human.joints.shape == (NUM_JOINTS, 3)
        assert human.joint_confidence.shape == (NUM_JOINTS,)
        assert ((human.joint_confidence >= 0) & (human.joint_confidence <= 1)).all()
        unit = np.swapaxes(human.rotations, -1, -2) @ human.rotations
        assert unit == pytest.approx(np.broadcast_to(np.eye(3), unit.shape), abs=1e-9)
        assert ((human.betas >= BETA_LIMITS[0]) & (human.betas <= BETA_LIMITS[1])).all()
        assert human.vertices is None


def test_joints_are_seen_where_the_landmarks_are(humans, frames, camera):
    shown = {
        JOINT[f'{side}_{part}']: getattr(bp, f'{side}_{part}'.upper())
        for side in ('left', 'right')
        for part in ('shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')
    }
    distances, heights = [], []
    with open_runner(bp.MODEL) as runner:
        estimate = BlazePose(runner)
        for human, frame in list(zip(humans, frames, strict=True))[::4]:
            # From the person's box, not along the way that the pipeline took.
            left, top, right, bottom = human.box
            region = Region(np.array([left + right, top + bottom]) / 2, 1.3 * (bottom - top))
            [landmarks] = estimate(frame, [region])
            pixels = camera.project(human.joints)[list(shown)]
            away = np.linalg.norm(pixels - landmarks.pixels[list(shown.values())], axis=1)
            distances.append(np.where(human.joint_confidence[list(shown)] > 0, away, np.nan))
            heights.append(bottom - top)
    distances, height = np.array(distances), np.mean(heights)
    assert np.isfinite(distances).mean() > 0.8
    # Regression bounds, of her height: bones have constant lengths, and the network's joints
    # jitter.
    assert np.nanmedian(distances) < 0.03 * height
    assert np.nanmax(distances) < 0.12 * height


def test_the_mesh_fills_the_box(frames, camera, pipeline):
    pipeline.with_vertices = True
    [human] = pipeline(frames[0], camera, 0.0)
    assert human.vertices.dtype == np.float32
    expected = pipeline.body.vertices(human.rotations, human.betas, human.translation)
    assert np.array_equal(human.vertices, expected)
    pixels = camera.project(human.vertices)
    box = np.concatenate([pixels.min(axis=0), pixels.max(axis=0)])
    assert box == pytest.approx(human.box, abs=0.15 * (human.box[3] - human.box[1]))
    pipeline.with_vertices = False
    [human] = pipeline(frames[1], camera, 1 / RATE)
    assert human.vertices is None


def test_the_walker_is_upright(humans, camera):
    for human in humans:
        rows = camera.project(human.joints)[:, 1]
        knees = (rows[JOINT['left_knee']] + rows[JOINT['right_knee']]) / 2
        ankles = (rows[JOINT['left_ankle']] + rows[JOINT['right_ankle']]) / 2
        order = [rows[JOINT['head']], rows[JOINT['spine3']], rows[JOINT['pelvis']], knees, ankles]
        assert order == sorted(order)
        # y up in the body, down in the camera.
        assert human.rotations[0][:, 1] @ [0, -1, 0] > 0.9


def test_the_walker_faces_the_left(humans):
    for human in humans:
        front = human.rotations[0][:, 2]
        assert front @ [-1, 0, 0] > 0.7
        _, turned = forward(human.rotations, np.zeros((NUM_JOINTS, 3)))
        for name in ('spine3', 'head'):
            assert turned[JOINT[name]][:, 2] @ [-1, 0, 0] > 0.7


def test_the_walkers_left_side_is_towards_the_camera(humans):
    for part in ('shoulder', 'hip'):
        nearer = [
            human.joints[JOINT[f'left_{part}'], 2] < human.joints[JOINT[f'right_{part}'], 2]
            for human in humans
        ]
        assert np.mean(nearer) > 0.8


def test_the_walker_walks_to_the_left(humans):
    assert np.array_equal(humans[0].velocity, np.zeros(3))
    speeds = np.array([human.velocity for human in humans[COUNT // 2 :]])
    assert -2.5 < speeds[:, 0].mean() < -0.5
    assert abs(speeds[:, 1].mean()) < 0.3
    walked = humans[-1].joints[0] - humans[0].joints[0]
    assert -2.5 < walked[0] / ((COUNT - 1) / RATE) < -0.5


def test_the_walker_is_as_tall_and_far_as_the_clip_says(humans, body):
    # The calibration of the clip assumes 1.65 m at 10 m.
    for human in humans[5:]:
        assert 8 < human.joints[0, 2] < 12
        rest = body.rest_joints(human.betas)
        assert 1.5 < np.ptp(rest[:, 1]) < 1.85


def as_bytes(human):
    values = (getattr(human, field.name) for field in fields(Human))
    return [np.asarray(value).tobytes() for value in values if value is not None]


def test_the_same_images_give_the_same_bits(humans, frames, camera, pipeline):
    again = [human for [human] in process(pipeline, frames, camera)]
    assert [as_bytes(human) for human in again] == [as_bytes(human) for human in humans]


def test_images_may_lie_in_memory_in_any_way(humans, frames, camera, pipeline):
    mirrored_channels = np.ascontiguousarray(frames[0][..., ::-1])
    [human] = pipeline(mirrored_channels[..., ::-1], camera, 0.0)
    assert as_bytes(human) == as_bytes(humans[0])


def test_images_are_left_alone(frames, camera, pipeline):
    before = frames[0].copy()
    before.flags.writeable = False
    assert len(pipeline(before, camera, 0.0)) == 1
    assert np.array_equal(before, frames[0])


def no_people(frames):
    return np.zeros_like(frames[0])


def test_person_back_within_a_second_keeps_the_id(frames, camera, pipeline):
    [before] = pipeline(frames[0], camera, 0.0)
    assert pipeline(no_people(frames), camera, 0.3) == []
    assert pipeline(no_people(frames), camera, 0.6) == []
    [after] = pipeline(frames[1], camera, 1.0)
    assert after.id == before.id


def test_person_back_after_long_gets_a_new_id(frames, camera, pipeline):
    ids = []
    for visit in range(3):
        [human] = pipeline(frames[visit], camera, 4.0 * visit)
        ids.append(human.id)
        assert np.array_equal(human.velocity, np.zeros(3))
        assert pipeline(no_people(frames), camera, 4.0 * visit + 1) == []
        assert pipeline(no_people(frames), camera, 4.0 * visit + 2) == []
    assert len(set(ids)) == 3


def test_people_are_reported_once_confirmed(frames, camera):
    with Pipeline.create() as careful:
        found = process(careful, frames[:8], camera)
    assert [len(people) for people in found] == [0, 0, 1, 1, 1, 1, 1, 1]


# Several people


@pytest.fixture(scope='module')
def empty_room(frames):
    """What is behind the walker: the median of the clip."""
    return np.median(read_frames(0, 145)[::12], axis=0).astype(np.uint8)


def beside_each_other(frame):
    """The walker twice: as she is, and mirrored to the right of it."""
    return np.concatenate([frame, frame[:, ::-1]], axis=1)


@pytest.fixture(scope='module')
def two_people(frames):
    height, width = frames[0].shape[:2]
    wide = Camera.from_field_of_view(60, 2 * width, height)
    with Pipeline.create(confirm_after=0.0) as pipeline:
        return wide, process(pipeline, [beside_each_other(frame) for frame in frames], wide)


def test_two_images_seconds_apart_show_a_person(frames, camera):
    with Pipeline.create() as pipeline:
        found = [pipeline(frames[n], camera, 2.0 * n) for n in range(3)]
    assert [len(people) for people in found] == [0, 1, 1]
    assert len({human.id for people in found for human in people}) == 1


def test_two_people_are_two_with_ids_that_last(two_people, frames):
    _, results = two_people
    assert [len(people) for people in results] == [2] * COUNT
    width = frames[0].shape[1]
    for people in results:
        by_id = {human.id: human for human in people}
        assert by_id.keys() == {human.id for human in results[0]}
    sides = [
        {human.id: (human.box[0] + human.box[2]) / 2 < width for human in people}
        for people in results
    ]
    assert all(side == sides[0] for side in sides)
    assert sorted(sides[0].values()) == [False, True]


def test_a_mirrored_person_is_the_mirrored_person(two_people):
    _, results = two_people
    for people in results[5:]:
        left, right = sorted(people, key=lambda human: human.box[0])
        left_body, right_body = (human.joints - human.joints[0] for human in (left, right))
        across = (left_body - right_body[MIRRORED] * [-1, 1, 1])[:, :2]
        assert np.median(np.linalg.norm(across, axis=1)) < 0.1
        assert (left.rotations[0] @ [0, 0, 1]) @ [-1, 0, 0] > 0.7
        assert (right.rotations[0] @ [0, 0, 1]) @ [1, 0, 0] > 0.7


def test_no_limb_flips_though_the_far_arm_is_hidden(camera):
    with Pipeline.create() as pipeline:
        found = process(pipeline, read_frames(0, 145), camera)
    rotations = np.array([human.rotations for people in found for human in people])
    turns = angles_between(rotations[1:], rotations[:-1])
    assert len(rotations) > 140
    assert turns[:, 1:].max() < 45  # degrees in a thirtieth of a second


def test_people_that_cross_keep_their_ids(camera, empty_room):
    # The walker meets her mirror image, a step nearer to the camera, and passes by.
    clip = read_frames(0, 145)[10:130:2]
    with Pipeline.create(confirm_after=0.0) as pipeline:
        found = []
        for index, frame in enumerate(clip):
            mirrored = frame[:, ::-1]
            apart = np.abs(frame.astype(int) - empty_room).sum(axis=2) > 60
            scene = np.where(apart[..., None], frame, mirrored)
            found.append(pipeline(scene, camera, index / 15))
    centres = [{h.id: (h.box[0] + h.box[2]) / 2 for h in people} for people in found]
    both = [c for c in centres if len(c) == 2]
    first, last = both[0], both[-1]
    assert first.keys() == last.keys()
    [walker, other] = sorted(first, key=lambda id: -first[id])
    assert last[walker] < last[other]


def test_person_passing_behind_another_keeps_the_id(camera, empty_room):
    # A person in red stands still, and the walker passes behind.
    clip = read_frames(0, 145)
    figure = find_figure(clip[60], empty_room)
    place = np.argwhere(figure)[:, 1].mean()
    in_red = np.clip(clip[60] * np.array([1.5, 0.6, 0.6]), 0, 255).astype(np.uint8)
    with Pipeline.create(confirm_after=0.0) as pipeline:
        found = [
            pipeline(np.where(figure[..., None], in_red, frame), camera, index / 15)
            for index, frame in enumerate(clip[11:131:2])
        ]
    both = [
        {abs((h.box[0] + h.box[2]) / 2 - place) < 90: h.id for h in people}
        for people in found
        if len(people) == 2
    ]
    apart = [ids for ids in both if len(ids) == 2]
    assert len(apart) > 20
    assert apart[0] == apart[-1]


# No people


def furnish(room):
    """Draw a chair into a room."""
    furnished = room.copy()
    for corner, size in (((700, 300), (160, 20)), ((700, 120), (20, 180)), ((700, 320), (15, 200)),
                         ((845, 320), (15, 200)), ((740, 320), (12, 160)), ((800, 320), (12, 160)),
                         ((700, 120), (160, 15)), ((700, 200), (160, 15))):  # fmt: skip
        (left, top), (width, height) = corner, size
        furnished[top : top + height, left : left + width] = (120, 70, 30)
    return furnished


def hang_poster(room, frame, human, camera):
    """Hang up the walker's face, as large as a person."""
    left, top = camera.project(human.joints)[JOINT['head']] - 30
    face = frame[int(top) : int(top) + 45, int(left) : int(left) + 50]
    poster = cv2.resize(face, (450, 405), interpolation=cv2.INTER_CUBIC)
    hung = room.copy()
    hung[100:505, 600:1050] = poster
    return hung


@pytest.mark.parametrize('scene', ['room', 'chair', 'poster', 'grey', 'black'])
def test_scene_without_people_has_no_humans(scene, empty_room, frames, humans, camera):
    pictures = {
        'room': empty_room,
        'chair': furnish(empty_room),
        'poster': hang_poster(empty_room, frames[0], humans[0], camera),
        'grey': np.full_like(empty_room, 128),
        'black': np.zeros_like(empty_room),
    }
    with Pipeline.create() as pipeline:
        found = process(pipeline, [pictures[scene]] * 20, camera)
    assert all(people == [] for people in found)


# Steadiness, and honesty


@pytest.fixture(scope='module')
def whole_clip(camera):
    with Pipeline.create(confirm_after=0.0) as pipeline:
        return [human for [human] in process(pipeline, read_frames(0, 145), camera)]


def jitter(joints):
    """Mean second difference, metres."""
    return np.linalg.norm(np.diff(joints, 2, axis=0), axis=-1).mean()


def test_smoothing_takes_the_jitter_out_and_can_be_switched_off(frames, camera, humans):
    with Pipeline.create(confirm_after=0.0, smoothing=False) as pipeline:
        raw = [human for [human] in process(pipeline, frames, camera)]
    smooth, raw = (np.array([human.joints for human in one]) for one in (humans, raw))
    assert jitter(smooth[5:]) < 0.5 * jitter(raw[5:])  # regression bound
    # They agree on where she is in the image. Regression bound in pixels.
    apart = camera.project(smooth[5:]) - camera.project(raw[5:])
    assert np.median(np.linalg.norm(apart, axis=-1)) < 12


def test_without_smoothing_a_pose_knows_nothing_of_the_one_before(frames, camera):
    # Whose thighs are told by hip and knee, and their twist by the shanks.
    thighs, found = [JOINT['left_hip'], JOINT['right_hip']], []
    for smoothing in (False, True):
        for angle in (0.0, 40.0):
            with Pipeline.create(confirm_after=0.0, smoothing=smoothing) as pipeline:
                pipeline(frames[9], camera, 0.0)
                [track] = pipeline._tracker.tracks
                turn = Rotation.from_euler('x', angle, degrees=True).as_matrix()
                track.memory.rotations[thighs] = track.memory.rotations[thighs] @ turn
                [human] = pipeline(frames[10], camera, 0.04)
                found.append(human.rotations[thighs])
    assert np.abs(found[0] - found[1]).max() < 1e-6
    assert np.abs(found[2] - found[3]).max() > 1e-3


@pytest.mark.parametrize('stamp', [np.nan, np.inf, -np.inf, '1000.02', None, [1.0], 10**400])
def test_stamp_that_is_no_time_is_refused_and_loses_no_track(frames, camera, pipeline, stamp):
    [before] = pipeline(frames[0], camera, 1000.0)
    with pytest.raises(ValueError, match='stamp must be finite'):
        pipeline(frames[0], camera, stamp)
    [after] = pipeline(frames[1], camera, 1000.04)
    assert after.id == before.id


def test_image_or_camera_of_another_type_is_refused_and_loses_no_track(frames, camera, pipeline):
    [before] = pipeline(frames[0], camera, 0.0)
    unread = cv2.imread('/nothing/here.png')
    with pytest.raises(ValueError, match=r'not None: cv2\.imread returns None'):
        pipeline(unread, camera, 0.04)
    for wrong in (frames[0].tolist(), 'photo.png', frames[0] / 255, frames[0][..., 0]):
        with pytest.raises(ValueError, match='rgb must be'):
            pipeline(wrong, camera, 0.04)
    for wrong in (None, camera.matrix, 'camera.yaml'):
        with pytest.raises(ValueError, match='camera must be'):
            pipeline(frames[0], wrong, 0.04)
    [after] = pipeline(frames[1], camera, 0.04)
    assert after.id == before.id


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('threads', 0),
        ('detector_size', -1),
        ('detector_threshold', np.nan),
        ('detector_interval', -1),
        ('presence_threshold', 1.5),
        ('confirm_after', -1.0),
        ('forget_after', 'long'),
        ('rotation_min_cutoff', 0.0),
        ('bearing_beta', np.inf),
        ('threads', 1.5),
        ('threads', True),
        ('detector_size', 320.5),
        ('confirm_after', True),
        ('smoothing', 'no'),
        ('smoothing', 1),
        ('body', 3),
        ('id_prefix', ''),
        ('id_prefix', '7up'),
        ('id_prefix', 'a/b'),
    ],
)
def test_a_setting_out_of_its_range_is_named(field, value):
    with pytest.raises(ValueError, match=rf'^{field} must be'):
        Settings(**{field: value})


def test_numbers_of_numpy_are_settings_too():
    Settings(threads=np.int64(2), forget_after=np.float32(1.0), smoothing=np.bool_(False))


def test_bones_keep_their_length_to_the_bit_once_the_shape_is_certain(whole_clip):
    betas = np.array([human.betas for human in whole_clip])
    changes = np.abs(np.diff(betas, axis=0)).max(axis=1)
    frozen = np.flatnonzero(changes == 0)
    assert len(frozen) > 20  # Of 145 frames, in which some bones show late.
    assert (changes[frozen[0] :] == 0).all()
    # And before that the shape changes smoothly. Regression bound.
    assert changes[1:].max() < 0.2


def test_hidden_joints_are_inferred_and_seen_ones_seen(whole_clip):
    confidence = np.mean([human.joint_confidence for human in whole_clip], axis=0)
    # Her left side is towards us.
    for part in ('shoulder', 'elbow', 'hip', 'knee'):
        assert confidence[JOINT[f'left_{part}']] > 0.7
    assert confidence[JOINT['right_elbow']] < 0.4


def process_down_to(names, frames, camera, humans):
    """The people found where the image ends a little above these joints."""
    joints = [JOINT[name] for name in names]
    rows = [camera.project(human.joints)[joints, 1].mean() for human in humans]
    bottom = int(np.mean(rows)) - 20
    cut = [frame[:bottom] for frame in frames]
    upper = Camera(camera.matrix, camera.distortion, camera.width, bottom)
    with Pipeline.create(confirm_after=0.0) as pipeline:
        return process(pipeline, cut, upper)


def test_half_a_body_at_the_border_is_half_right_and_not_folded(frames, camera, humans):
    found = process_down_to(['left_knee', 'right_knee'], frames, camera, humans)
    assert [len(people) for people in found] == [1] * COUNT
    halves = [human for [human] in found]
    for half, whole in list(zip(halves, humans, strict=True))[5:]:
        for name in ('left_ankle', 'right_ankle', 'left_foot', 'right_foot'):
            assert half.joint_confidence[JOINT[name]] == 0
        pixels = np.linalg.norm(camera.project(half.joints) - camera.project(whole.joints), axis=1)
        upper = [JOINT[n] for n in ('neck', 'head', 'left_shoulder', 'left_elbow', 'pelvis')]
        assert np.median(pixels[upper]) < 0.05 * (whole.box[3] - whole.box[1])
        # Shins and feet hang on as in the T-pose: none is folded.
        for side in ('left', 'right'):
            for joint in ('knee', 'ankle'):
                assert angles_between(half.rotations[JOINT[f'{side}_{joint}']], np.eye(3)) < 60


SPINE, NECK = [3, 6, 9], [12, 15]


@given(seed=st.integers(0, 10**6), with_face=st.booleans())
def test_spine_and_neck_bend_evenly_to_the_same_end(seed, with_face):
    rng = np.random.default_rng(seed)
    rotations = Rotation.from_rotvec(rng.uniform(-0.5, 0.5, (NUM_JOINTS, 3))).as_matrix()
    was = rotations.copy()
    chest = Rotation.from_matrix(was[0] @ was[3] @ was[6] @ was[9])
    head = chest * Rotation.from_rotvec(rng.uniform(-0.8, 0.8, 3))
    given = rotations
    rotations = bend_evenly(given, head.as_matrix() if with_face else None)
    assert np.array_equal(given, was)
    found = [Rotation.from_matrix(rotations[joint]) for joint in range(NUM_JOINTS)]
    bent = Rotation.from_matrix(rotations[0]) * found[3] * found[6] * found[9]
    assert (chest.inv() * bent).magnitude() < 1e-6
    if not with_face:
        head = chest * Rotation.from_matrix(was[12] @ was[15])
    assert (head.inv() * bent * found[12] * found[15]).magnitude() < 1e-6
    for joints in (SPINE, NECK):
        assert rotations[joints] == pytest.approx(rotations[joints[:1]].repeat(len(joints), 0))
    others = [joint for joint in range(NUM_JOINTS) if joint not in SPINE + NECK]
    assert np.array_equal(rotations[others], was[others])


def test_no_head_is_back_to_front():
    rotations = np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
    bent = bend_evenly(rotations, Rotation.from_euler('y', 170, degrees=True).as_matrix())
    angles = Rotation.from_matrix(bent[NECK]).magnitude()
    assert np.degrees(angles) == pytest.approx([45, 45])


def test_a_trunk_seen_too_short_does_not_fold_the_spine(pipeline, camera):
    """Landmarks of a cropped person, compressed by the network: hips near the shoulders."""
    body = pipeline.body
    rotations = np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
    rotations[0] = np.diag([1.0, -1.0, -1.0]) @ Rotation.from_euler('y', 60, True).as_matrix()
    rotations[6] = Rotation.from_euler('xyz', [60, -40, 0], degrees=True).as_matrix()
    rotations[9] = Rotation.from_euler('x', -60, degrees=True).as_matrix()
    _, points = landmark_points(body, np.zeros(body.num_betas), rotations, np.array([0, 0, 4.0]))
    hips, shoulders = [bp.LEFT_HIP, bp.RIGHT_HIP], [bp.LEFT_SHOULDER, bp.RIGHT_SHOULDER]
    points[hips] += 0.1 * (points[shoulders].mean(axis=0) - points[hips].mean(axis=0))
    observation = observe(landmarks_of(points, camera), camera)
    posed = pose(observation, start_memory(body), body, Settings(), np.inf)
    assert np.degrees(Rotation.from_matrix(posed.rotations[SPINE]).magnitude()).max() < 25


def test_a_bust_has_a_straight_trunk(frames, camera, humans):
    # The network puts her hips below the image, the left one where the right one is.
    found = process_down_to(['left_hip', 'right_hip'], frames, camera, humans)
    busts = [people[0] for people in found if people]
    assert len(busts) > 0.9 * COUNT
    spine = [JOINT[name] for name in ('spine1', 'spine2', 'spine3')]
    bent = [angles_between(bust.rotations[spine], np.eye(3)).max() for bust in busts]
    assert np.median(bent) < 30  # degrees, regression bound
    for bust in busts:
        for name in ('pelvis', 'left_hip', 'right_knee', 'left_foot'):
            assert bust.joint_confidence[JOINT[name]] == 0


def test_what_leaves_the_image_goes_on_as_it_was_and_comes_to_rest(frames, camera, pipeline):
    stamps = iter(np.arange(0, 100, 0.1))
    legs = [JOINT[f'{side}_{name}'] for side in ('left', 'right') for name in ('hip', 'knee')]

    def bent(frame):
        upper = Camera(camera.matrix, camera.distortion, camera.width, len(frame))
        [human] = pipeline(frame, upper, next(stamps))
        return angles_between(human.rotations[legs], np.eye(3)), human

    for frame in frames[:8]:
        whole, human = bent(frame)
    assert whole.max() > 20
    knees = camera.project(human.joints)[[JOINT['left_knee'], JOINT['right_knee']], 1]
    cut = frame[: int(knees.mean()) - 20]
    assert bent(cut)[0] == pytest.approx(whole, abs=10)
    for _ in range(40):
        last, _ = bent(cut)
    assert last.max() < 3


def test_a_stamp_that_runs_back_starts_anew(frames, camera, pipeline):
    [first] = pipeline(frames[0], camera, 100.0)
    [same] = pipeline(frames[1], camera, 100.0)
    assert same.id == first.id
    [fresh] = pipeline(frames[1], camera, 5.0)
    assert fresh.id != first.id
    assert np.array_equal(fresh.velocity, np.zeros(3))
    [following] = pipeline(frames[2], camera, 5.1)
    assert following.id == fresh.id


def test_reset_forgets_all_tracks(frames, camera, pipeline):
    [first] = pipeline(frames[0], camera, 0.0)
    pipeline.reset()
    [second] = pipeline(frames[1], camera, 0.1)
    assert second.id != first.id


def test_stages_are_timed_frame_by_frame(frames, camera, pipeline):
    pipeline(frames[0], camera, 0.0)
    assert set(pipeline.stage_seconds) == {'detect', 'landmarks', 'solve'}
    assert all(seconds > 0 for seconds in pipeline.stage_seconds.values())
    # The detector does not run while all people are tracked.
    pipeline(frames[1], camera, 0.1)
    assert set(pipeline.stage_seconds) == {'landmarks', 'solve'}
    # It runs at once when a track is lost.
    pipeline(np.zeros_like(frames[0]), camera, 0.2)
    assert 'detect' in pipeline.stage_seconds


def test_regions_of_noise_give_finite_people_or_none(camera, pipeline):
    # Boxes on noise, and no minimum score: the network observes whatever is there.
    pipeline.adjust(presence_threshold=0.0)
    rng = np.random.default_rng(0)
    shape = (camera.height, camera.width, 3)
    boxes, found = [[100, 50, 400, 700], [500, 200, 900, 600]], 0
    for stamp in range(3):
        noise = rng.integers(0, 256, shape, np.uint8)
        for human in pipeline(noise, camera, float(stamp), boxes=boxes):
            assert np.isfinite(human.joints).all()
            assert np.isfinite(human.rotations).all()
            found += 1
    assert found > 0


@pytest.mark.parametrize(
    'wrong',
    [
        lambda frame: frame.astype(np.float32),
        lambda frame: frame.astype(np.int16),
        lambda frame: frame[..., 0],
        lambda frame: frame[..., :2],
        lambda frame: np.dstack([frame, frame[..., 0]]),
        lambda frame: frame[None],
        lambda frame: frame[:0],
        lambda frame: frame[1:],
        lambda frame: frame[:, 1:],
        lambda frame: frame.transpose(1, 0, 2),
    ],
    ids=['float', 'int16', 'grey', 'two', 'four', 'batch', 'none', 'low', 'narrow', 'upright'],
)
def test_a_wrong_image_is_refused_and_the_next_one_taken(frames, camera, pipeline, wrong):
    with pytest.raises(ValueError, match=r'rgb must be|pixels'):
        pipeline(wrong(frames[0]), camera, 0.0)
    assert len(pipeline(frames[0], camera, 0.0)) == 1


def test_a_longer_lens_sees_the_walker_farther_away(frames, camera, humans, pipeline):
    matrix = camera.matrix * [[1.5, 1, 1], [1, 1.5, 1], [1, 1, 1]]
    longer = Camera(matrix, camera.distortion, camera.width, camera.height)
    [human] = pipeline(frames[0], longer, 0.0)
    assert human.joints[0, 2] == pytest.approx(1.5 * humans[0].joints[0, 2], rel=0.1)


def test_the_users_body_is_posed(frames, camera, tmp_path, humans):
    with np.load(DEFAULT_BODY) as stored:
        arrays = {name: stored[name] for name in stored.files}
    # A smaller body that cannot grow: the same pixels from nearer.
    arrays.update({'v_template': arrays['v_template'] * 0.7, 'shapedirs': arrays['shapedirs'] * 0})
    np.savez(tmp_path / 'small.npz', **arrays)
    with Pipeline.create(confirm_after=0.0, body=str(tmp_path / 'small.npz')) as small:
        [human] = small(frames[0], camera, 0.0)
        rest = small.body.rest_joints()
    assert small.body.name == 'small'
    joints, _ = forward(human.rotations, rest)
    assert human.joints == pytest.approx(joints[:NUM_JOINTS] + human.translation, abs=1e-6)
    assert human.joints[0, 2] < 0.95 * humans[0].joints[0, 2]


@pytest.mark.parametrize(
    ('settings', 'error', 'message'),
    [
        ({'backend': 'abacus'}, ValueError, 'backend'),
        ({'body': '/nowhere/smpl.npz'}, FileNotFoundError, r'smpl\.npz'),
        ({'speed': 'fast'}, ValueError, 'speed'),
    ],
)
def test_an_unusable_setting_is_named(settings, error, message):
    with pytest.raises(error, match=message):
        Pipeline.create(**settings)


def test_settings_change_between_two_frames(pipeline, frames, camera):
    [before] = pipeline(frames[0], camera, 0.0)
    pipeline.adjust(confirm_after=10.0)
    assert pipeline(frames[1], camera, 0.04) == []
    pipeline.adjust(confirm_after=0.0, detector_interval=0.2)
    [after] = pipeline(frames[2], camera, 0.08)
    assert after.id == before.id


def test_smoothing_changes_in_mid_stream(frames, camera):
    def last_steps(change):
        """How far joints turn between the last two frames, before the last of which it changes."""
        with Pipeline.create(confirm_after=0.0) as pipeline:
            humans = process(pipeline, frames[:9], camera)
            pipeline.adjust(**change)
            [human] = pipeline(frames[9], camera, 9 / RATE)
        return human.rotations - humans[-1][0].rotations

    held = last_steps({'rotation_min_cutoff': 0.01, 'rotation_beta': 0.0})
    usual = last_steps({})
    off = last_steps({'smoothing': False})
    assert np.abs(held[1:]).max() < 0.1 * np.abs(usual[1:]).max()
    assert np.abs(usual).mean() < np.abs(off).mean()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'backend': 'onnxruntime'}, 'backend cannot change while'),
        ({'detector_size': 256}, 'detector_size cannot change while'),
        ({'detector_interval': -1}, 'detector_interval must be'),
        ({'smoothing': 1}, 'smoothing must be of type bool'),
    ],
)
def test_a_setting_that_cannot_change_changes_nothing(pipeline, frames, camera, change, message):
    pipeline(frames[0], camera, 0.0)
    with pytest.raises(ValueError, match=message):
        pipeline.adjust(confirm_after=10.0, **change)
    assert len(pipeline(frames[1], camera, 0.04)) == 1


def test_a_closed_pipeline_says_so(frames, camera):
    with Pipeline.create(confirm_after=0.0) as pipeline:
        pass
    with pytest.raises(RuntimeError, match='closed'):
        pipeline(frames[0], camera, 0.0)
