"""Detector and landmarks on the sample clip; joints and rotations from those of a known body."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from poses import angles_between
from sample import read_camera, read_frames
from scipy.spatial.transform import Rotation
from shown import POINT, SIDES, landmark_points, landmarks_of

from hybrik_ros.body import BodyModel
from hybrik_ros.body.proportions import Proportions
from hybrik_ros.camera import Camera, Region, overlaps
from hybrik_ros.inference import open_runner
from hybrik_ros.kinematics import forward, solve, twist_from_pointers
from hybrik_ros.perception import blazepose as bp
from hybrik_ros.perception import detector
from hybrik_ros.perception.blazepose import BlazePose
from hybrik_ros.perception.detector import Detection, PersonDetector, same_person
from hybrik_ros.perception.landmark_joints import (
    find_guesses,
    find_pointers,
)
from hybrik_ros.perception.landmarks import LandmarkObservation, observe
from hybrik_ros.skeleton import JOINT_NAMES
from hybrik_ros.tracking.shape import SHAPE_PAIRS, SHAPE_SIGMAS, measure_lengths

LOOKED_AT = [36, 60, 84, 108, 132]


@pytest.fixture(scope='module')
def clip():
    return read_frames(0, 145)


@pytest.fixture(scope='module')
def walkers(clip):
    """The box of what moves most in the frames looked at: the walker, found without networks."""
    background = np.median(np.stack(clip[::18]), axis=0)
    boxes = {}
    for index in LOOKED_AT:
        moving = (np.abs(clip[index] - background).max(axis=-1) > 40).astype(np.uint8)
        moving = cv2.morphologyEx(moving, cv2.MORPH_OPEN, np.ones((5, 5)))
        moving = cv2.morphologyEx(moving, cv2.MORPH_CLOSE, np.ones((61, 31)))
        _, _, parts, _ = cv2.connectedComponentsWithStats(moving)
        left, top, width, height, _ = max(parts[1:], key=lambda part: part[4])
        boxes[index] = np.array([left, top, left + width, top + height], float)
    return boxes


@pytest.fixture(scope='module')
def detect():
    with open_runner(detector.MODEL) as runner:
        yield PersonDetector(runner, 320, 0.2)


@pytest.fixture(scope='module')
def estimate():
    with open_runner(bp.MODEL) as runner:
        yield BlazePose(runner)


@pytest.fixture(scope='module')
def seen(clip, detect, estimate):
    """Detection and landmarks in each frame looked at, these at the second look."""
    found = {}
    for index in LOOKED_AT:
        [person] = detect(clip[index])
        [first] = estimate(clip[index], [person.region()])
        [second] = estimate(clip[index], [first.next_region])
        found[index] = person, second
    return found


def inside(box, points, margin=0.0):
    grown = np.array(box, float) + margin * np.array([-1, -1, 1, 1])
    return (points >= grown[:2]).all(axis=-1) & (points <= grown[2:]).all(axis=-1)


# The detector


@pytest.mark.parametrize('index', LOOKED_AT)
def test_the_one_walker_is_found(seen, walkers, index):
    person, _ = seen[index]
    assert overlaps(person.box[None], walkers[index][None]) > 0.6
    assert 0.2 < person.score <= 1
    assert person.keypoints.shape == (17, 3)
    assert inside(person.box, person.keypoints[:, :2], 20).all()


@pytest.mark.parametrize('index', LOOKED_AT)
def test_the_region_shows_the_walker_whole_and_upright(seen, walkers, index):
    region = seen[index][0].region()
    left, top, right, bottom = walkers[index]
    half = region.size / 2
    x, y = region.centre
    assert x - half < left
    assert y - half < top
    assert x + half > right
    assert y + half > bottom - 0.05 * (bottom - top)  # The shadow is no part of her.
    assert region.size < 2 * (bottom - top)
    assert abs(region.angle) < 0.3


def test_no_detection_without_people(detect):
    assert detect(np.zeros((480, 640, 3), np.uint8)) == []
    assert detect(np.full((100, 500, 3), 128, np.uint8)) == []


def test_two_people_are_found_best_first(clip, detect):
    # The walker twice, side by side: cut from another frame.
    both = clip[60].copy()
    both[:, :700] = clip[132][:, :700]
    people = detect(both)
    assert len(people) == 2
    assert people[0].score >= people[1].score
    assert sorted(person.box[0] > 700 for person in people) == [False, True]


@pytest.mark.parametrize(
    ('face', 'body', 'size', 'alone'),
    [
        (0.6, 0.05, 40, True),
        (0.7, 0.5, 40, True),
        (0.7, 0.5, 90, False),  # In front of a webcam the body goes on below.
        (0.7, 0.1, 90, True),
        (0.5, 0.5, 40, False),
        (0.1, 0.3, 40, False),
        (0.0, 0.0, 40, False),
    ],
)
def test_face_alone_is_no_person(face, body, size, alone):
    scores = np.array([face] * 5 + [body] * 2 + [0.0] * 10)
    places = np.zeros((17, 2))
    places[:5] = [320, 200] + size * np.array([[0, 0], [0.2, 0], [-0.2, 0], [0.5, 0], [-0.5, 0]])
    keypoints = np.column_stack([places, scores])
    assert Detection(0.5, np.zeros(4), keypoints).is_face_only(480) == alone


@pytest.mark.parametrize('visible', [0.2, 0.3, 0.4])
def test_shins_alone_are_no_person(clip, seen, detect, visible):
    top, bottom = seen[60][0].box[[1, 3]]
    shins = np.ascontiguousarray(clip[60][int(bottom - visible * (bottom - top)) :])
    assert detect(shins) == []


def test_person_seen_to_the_hips_from_below_is_detected():
    scores = np.array([0.05] * 7 + [0.1] * 4 + [0.7] * 2 + [0.6] * 4)
    keypoints = np.column_stack([np.zeros((17, 2)), scores])
    assert not Detection(0.5, np.zeros(4), keypoints).is_lower_legs_only
    keypoints[11:13, 2] = 0.3
    assert Detection(0.5, np.zeros(4), keypoints).is_lower_legs_only
    keypoints[5, 2] = 0.5  # a shoulder
    assert not Detection(0.5, np.zeros(4), keypoints).is_lower_legs_only


@pytest.mark.parametrize('index', [60, 108, 132])
def test_each_person_is_detected_once(clip, seen, detect, index):
    # Of a person that fills the image, the network finds two.
    left, top, right, bottom = seen[index][0].box.astype(int)
    assert len(detect(np.ascontiguousarray(clip[index][top:bottom, left:right]))) == 1


@pytest.mark.parametrize(('width', 'height'), [(1280, 720), (720, 1281), (7, 7)])
def test_halves_cover_an_image_and_overlap(width, height):
    parts = np.array(detector.halves(width, height))
    assert len(parts) == 4
    assert parts[0, :2].tolist() == [0, 0]
    assert np.all(parts[:, 2:] <= [width, height])
    assert np.all(parts[-1, 2:] >= [width - 1, height - 1])
    area = np.prod(parts[:, 2:] - parts[:, :2], axis=1)
    assert area == pytest.approx(width * height / 2, rel=0.2)


def test_person_in_a_part_is_detected_at_the_same_place_in_the_image(clip, seen, detect):
    whole = seen[60][0]
    left = int(whole.box[0]) - 100
    [part] = detect(clip[60], None, (left, 20, left + 500, clip[60].shape[0]))
    assert np.abs(part.box - whole.box).max() < 25
    away = np.linalg.norm(part.keypoints[:, :2] - whole.keypoints[:, :2], axis=1)
    assert np.median(away) < 12


def test_threshold_decides_which_people_are_detected(clip):
    with open_runner(detector.MODEL) as runner:
        assert PersonDetector(runner, 320, 0.99)(clip[60]) == []


def lying(turn):
    """A person of 17 keypoints along a line, the head in the direction of a turned up."""
    heights = np.array([1.8] * 5 + [1.5] * 2 + [1.2] * 4 + [1.0] * 2 + [0.5] * 2 + [0.0] * 2)
    up = np.array([np.sin(turn), -np.cos(turn)])
    points = np.array([300.0, 300.0]) + 100 * heights[:, None] * up
    box = np.concatenate([points.min(axis=0), points.max(axis=0)])
    return Detection(0.9, box, np.column_stack([points, np.full(17, 0.9)]))


@pytest.mark.parametrize('turn', [0.0, 1.5, -1.5, 3.0])
def test_the_region_is_turned_along_the_trunk(turn):
    person = lying(turn)
    region = person.region()
    assert region.angle == pytest.approx(turn)
    offset = np.abs(person.keypoints[:, :2] - region.centre).max(axis=0)
    assert (offset < region.size / 2).all()


def test_a_person_seen_along_the_trunk_is_cropped_by_the_box():
    person = lying(0.0)
    person.keypoints[:, :2] = 300.0
    region = person.region()
    assert region.angle == 0
    assert region.centre == pytest.approx((person.box[:2] + person.box[2:]) / 2)
    assert region.size >= (person.box[2:] - person.box[:2]).max()


def keypoints_of(height, lean):
    """17 keypoints of a person of this height, leaning by this offset, in pixels."""
    rng = np.random.default_rng(3)
    points = rng.uniform([-0.15, 0], [0.15, 1], (17, 2)) * height
    return points + np.outer(points[:, 1] / height, [lean, 0])


def box_of(points):
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


@pytest.mark.parametrize(
    ('aside', 'lean', 'mirrored', 'same'),
    [
        (0, 0, False, True),
        (5, 0, True, True),  # left and right are mixed up
        (3, 5, False, True),  # the same place in another pose: a second look at one person
        (150, 0, False, False),
        (60, 60, True, False),
    ],
)
def test_detections_that_share_place_or_joints_are_one_person(aside, lean, mirrored, same):
    first = keypoints_of(300, 0)
    second = keypoints_of(300, lean) + [aside, 0]
    if mirrored:
        second = second[[0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]]
    sure = np.ones(17)
    first, second = (np.column_stack([points, sure]) for points in (first, second))
    assert same_person(first, second) is same
    assert same_person(second, first) is same


# The landmark network


@pytest.mark.parametrize('index', LOOKED_AT)
def test_landmarks_lie_on_the_walker(seen, walkers, index):
    _, landmarks = seen[index]
    assert landmarks.score > 0.9
    assert inside(walkers[index], landmarks.pixels, 30).mean() > 0.9
    around = np.concatenate([landmarks.pixels.min(axis=0), landmarks.pixels.max(axis=0)])
    assert overlaps(around[None], walkers[index][None]) > 0.6
    for chances in (landmarks.visibility, landmarks.presence):
        assert chances.shape == (33,)
        assert ((chances >= 0) & (chances <= 1)).all()


@pytest.mark.parametrize('index', LOOKED_AT)
def test_the_walker_is_upright_and_faces_the_left(seen, index):
    _, landmarks = seen[index]
    for points in (landmarks.pixels, landmarks.world):
        heights = [points[which, 1].mean() for which in ([bp.NOSE], [11, 12], [23, 24], [27, 28])]
        assert heights == sorted(heights)
        ears = points[[bp.LEFT_EAR, bp.RIGHT_EAR]].mean(axis=0)
        assert points[bp.NOSE, 0] < ears[0]


def test_the_walkers_left_side_is_towards_the_camera(seen):
    for left, right in ((bp.LEFT_SHOULDER, bp.RIGHT_SHOULDER), (bp.LEFT_HIP, bp.RIGHT_HIP)):
        nearer = [
            landmarks.world[left, 2] < landmarks.world[right, 2] for _, landmarks in seen.values()
        ]
        assert sum(nearer) > len(LOOKED_AT) / 2


def test_world_landmarks_are_metric_and_about_the_hips(seen):
    for _, landmarks in seen.values():
        world = landmarks.world
        assert world[[bp.LEFT_HIP, bp.RIGHT_HIP]].mean(axis=0) == pytest.approx(0, abs=0.03)
        # She is 1.65 m tall.
        assert 1.2 < np.ptp(world[:, 1]) < 1.8


@pytest.mark.parametrize('index', LOOKED_AT)
def test_the_next_region_is_about_the_walker(seen, walkers, index):
    _, landmarks = seen[index]
    region = landmarks.next_region
    assert abs(region.angle) < 0.3
    assert inside(walkers[index], region.centre)
    assert 1 < region.size / (walkers[index][3] - walkers[index][1]) < 2


def test_an_empty_region_scores_low(clip, estimate):
    [landmarks] = estimate(np.zeros_like(clip[0]), [Region(np.array([800.0, 300.0]), 500.0)])
    assert landmarks.score < 0.5
    assert np.isfinite(landmarks.pixels).all()


def test_with_a_flip_test_a_mirrored_image_gives_mirrored_landmarks(clip, seen, estimate):
    flipped = BlazePose(estimate._runner, flip_test=True)
    person, _ = seen[60]
    region = person.region()
    width = clip[60].shape[1]
    turned = Region(np.array([width - region.centre[0], region.centre[1]]), region.size,
                    -region.angle)  # fmt: skip
    [plain] = flipped(clip[60], [region])
    [mirrored] = flipped(np.ascontiguousarray(clip[60][:, ::-1]), [turned])
    assert mirrored.score == pytest.approx(plain.score, abs=1e-3)
    other = list(bp.MIRROR)
    pixels = mirrored.pixels[other] * [-1, 1] + [width, 0]
    assert np.abs(pixels - plain.pixels).max() < 0.02 * region.size
    world = mirrored.world[other] * [-1, 1, 1]
    assert np.linalg.norm(world - plain.world, axis=1).max() < 0.03
    assert np.abs(mirrored.visibility[other] - plain.visibility).max() < 0.1


def test_as_many_regions_as_there_are_people_take_several_inferences(clip, seen, estimate):
    person, _ = seen[60]
    regions = [replace(person.region(), size=size) for size in np.linspace(400, 700, 8)]
    many = estimate(clip[60], regions)
    assert len(many) == len(regions)
    for region, found in zip(regions, many, strict=True):
        [alone] = estimate(clip[60], [region])
        assert found.pixels == pytest.approx(alone.pixels, abs=0.5)


def test_no_region_takes_no_inference(clip, estimate):
    assert estimate(clip[0], []) == []


def test_regions_are_looked_at_each_by_itself(clip, seen, estimate):
    regions = [landmarks.next_region for _, landmarks in seen.values()][:2]
    together = estimate(clip[LOOKED_AT[0]], regions)
    for region, landmarks in zip(regions, together, strict=True):
        [alone] = estimate(clip[LOOKED_AT[0]], [region])
        assert landmarks.pixels == pytest.approx(alone.pixels, abs=1)
        assert landmarks.world == pytest.approx(alone.world, abs=0.01)


def test_a_turned_image_gives_turned_landmarks(clip, seen, estimate):
    frame, region = clip[108], seen[108][1].next_region
    [upright] = estimate(frame, [region])
    # A quarter clockwise: what was at (u, v) is at (height - 1 - v, u) now.
    height = frame.shape[0]
    turn = np.array([[0, -1], [1, 0]])
    shift = np.array([height - 1, 0])
    turned_region = Region(turn @ region.centre + shift, region.size, region.angle + np.pi / 2)
    [turned] = estimate(np.ascontiguousarray(np.rot90(frame, -1)), [turned_region])
    assert turned.pixels == pytest.approx(upright.pixels @ turn.T + shift, abs=4)
    assert turned.world[:, :2] == pytest.approx(upright.world[:, :2] @ turn.T, abs=0.04)
    assert turned.world[:, 2] == pytest.approx(upright.world[:, 2], abs=0.04)
    later, before = turned.next_region, upright.next_region
    assert later.angle == pytest.approx(before.angle + np.pi / 2, abs=0.05)
    assert later.centre == pytest.approx(turn @ before.centre + shift, abs=4)


# From landmarks to joints: a body whose pose is known


@pytest.fixture(scope='module')
def body():
    return BodyModel.load()


@pytest.fixture(scope='module')
def camera():
    return Camera.from_field_of_view(60, 1280, 960)


def random_pose(rng):
    """A standing person, turned anywhere, whose hinges bend as hinges do.

    Fingers, toes and collars have no landmarks of their own; knees and ankles turn about one
    axis, elbows about one and along the forearm.
    """
    vectors = {name: rng.normal(0, 0.3, 3) for name in JOINT_NAMES}
    for name in ('spine1', 'spine2', 'spine3', 'neck'):
        vectors[name] *= 0.3
    elbows = {}
    for side, inwards in (('left', -1), ('right', 1)):
        for part in ('collar', 'foot', 'hand'):
            vectors[f'{side}_{part}'][:] = 0
        vectors[f'{side}_ankle'][1:] = 0
        vectors[f'{side}_knee'] = np.array([rng.uniform(0.4, 1.6), 0, 0])
        bend = Rotation.from_rotvec([0, inwards * rng.uniform(0.4, 1.6), 0])
        elbows[side] = bend * Rotation.from_rotvec([rng.normal(0, 0.3), 0, 0])
    rotations = Rotation.from_rotvec(np.array(list(vectors.values()))).as_matrix()
    for side, elbow in elbows.items():
        rotations[POINT[f'{side}_elbow']] = elbow.as_matrix()
    facing_us = np.diag([1.0, -1.0, -1.0])
    heading = Rotation.from_rotvec([0, rng.uniform(-np.pi, np.pi), 0]).as_matrix()
    rotations[0] = heading @ facing_us @ rotations[0]
    return rotations


@pytest.fixture(scope='module')
def known(body, camera):
    """40 people of known betas, rotations and joints, with the landmarks they show."""
    people = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        betas = rng.normal(0, 0.7, body.num_betas).clip(-2, 3)
        rotations = random_pose(rng)
        joints, points = landmark_points(
            body, betas, rotations, rng.uniform([-1, -0.5, 3], [1, 0.5, 5])
        )
        people.append((betas, rotations, joints, points))
    return people


@pytest.fixture(scope='module')
def placed(known, body, camera):
    """The observation, joints and confidence that the known people give."""
    found = []
    for betas, _, _, points in known:
        observation = observe(landmarks_of(points, camera), camera)
        found.append((observation, *observation.joints(Proportions.of(body, betas))))
    return found


def test_observed_points_are_where_they_are(known, placed):
    for (_, _, _, points), (observation, _, _) in zip(known, placed, strict=True):
        assert observation.points == pytest.approx(points, abs=1e-9)


@pytest.mark.parametrize('distortion', [[], [-0.28, 0.09, 0.001, -0.0005, -0.012]])
def test_observed_points_lie_on_the_rays_of_their_pixels(known, distortion):
    ideal = Camera.from_field_of_view(60, 1280, 960)
    camera = Camera(ideal.matrix, np.array(distortion), 1280, 960)
    rng = np.random.default_rng(0)
    for _, _, _, points in known:
        landmarks = landmarks_of(points, camera)
        # The network's metres never quite fit its pixels.
        landmarks.world[:] += rng.normal(0, 0.05, landmarks.world.shape)
        observation = observe(landmarks, camera)
        assert camera.project(observation.points) == pytest.approx(landmarks.pixels, abs=1e-3)
        assert observation.points[:, :2] == pytest.approx(
            observation.rays * observation.points[:, 2:], abs=1e-12
        )
        assert observation.hips[2] == pytest.approx(points[[23, 24], 2].mean(), rel=0.1)


@pytest.mark.parametrize('axis', ['x', 'y'])
@pytest.mark.parametrize('degrees', [-20, 20])
def test_a_turned_camera_sees_the_same_person(body, axis, degrees):
    # A camera that turns about its centre shows the network the same crop, elsewhere in the image.
    camera = Camera.from_field_of_view(90, 1280, 1280)
    upright = np.tile(np.eye(3), (len(JOINT_NAMES), 1, 1))
    upright[0] = np.diag([1.0, -1.0, -1.0])
    _, points = landmark_points(body, np.zeros(body.num_betas), upright, [0, 0.3, 3])
    landmarks = landmarks_of(points, camera)
    before = observe(landmarks, camera).points
    turn = Rotation.from_euler(axis, degrees, degrees=True)
    after = observe(replace(landmarks, pixels=camera.project(turn.apply(points))), camera).points
    assert after == pytest.approx(turn.apply(before), abs=0.02)


def test_depths_are_corrected_relative_to_the_hips(body, camera):
    upright = np.tile(np.eye(3), (len(JOINT_NAMES), 1, 1))
    upright[0] = np.diag([1.0, -1.0, -1.0])
    _, points = landmark_points(body, np.zeros(body.num_betas), upright, [0, 0, 5])

    def depth_of(landmark, offset):
        landmarks = landmarks_of(points, camera)
        landmarks.world[landmark, 2] += offset
        observation = observe(landmarks, camera)
        return observation.points[landmark, 2] - observation.hips[2]

    def gain(landmark):
        return (depth_of(landmark, 0.2) - depth_of(landmark, 0.0)) / 0.2

    for landmark in (bp.NOSE, bp.LEFT_SHOULDER, bp.RIGHT_SHOULDER):
        assert gain(landmark) == pytest.approx(1.07, abs=0.02)
    for landmark in (bp.LEFT_ELBOW, bp.RIGHT_WRIST, bp.LEFT_KNEE):
        assert gain(landmark) == pytest.approx(1.0, abs=0.02)
    for landmark in (bp.LEFT_ANKLE, bp.RIGHT_TOE):
        assert gain(landmark) == pytest.approx(0.95, abs=0.02)


def test_only_what_is_in_the_image_counts(known, camera):
    _, _, _, points = known[0]
    landmarks = landmarks_of(points, camera)
    landmarks.pixels[bp.LEFT_WRIST] = [-1.0, 100.0]
    landmarks.pixels[bp.RIGHT_TOE] = [100.0, 960.0]
    landmarks.visibility[bp.NOSE] = 0.25
    landmarks.presence[bp.NOSE] = 0.5
    expected = np.ones(bp.NUM_LANDMARKS)
    expected[[bp.LEFT_WRIST, bp.RIGHT_TOE]] = 0
    expected[bp.NOSE] = 0.125
    assert observe(landmarks, camera).confidence == pytest.approx(expected)


def test_landmarks_that_no_person_can_have_are_refused(known, camera):
    _, _, _, points = known[0]
    upside_down = landmarks_of(points, camera)
    upside_down.world[:] *= -1
    with pytest.raises(ValueError, match='behind'):
        observe(upside_down, camera)
    outside = landmarks_of(points, camera)
    outside.pixels[1:] = -5.0
    with pytest.raises(ValueError, match='two points'):
        observe(outside, camera)


def test_joints_are_placed_where_they_are(known, placed):
    errors = np.array([
        np.linalg.norm(joints - truth, axis=1)
        for (_, _, truth, _), (_, joints, _) in zip(known, placed, strict=True)
    ])  # fmt: skip
    spine = [POINT[name] for name in ('spine1', 'spine2', 'spine3')]
    others = np.setdiff1d(np.arange(29), spine)
    # No landmark shows how the spine bends between hips and shoulders, nor a tilt of the neck.
    # Regression bounds in metres.
    assert errors[:, spine].max() < 0.05
    assert (np.median(errors[:, spine], axis=0) < 0.02).all()
    assert errors[:, others].max() < 0.02
    shown = [POINT[f'{side}_{part}'] for side in SIDES
             for part in ('shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')]  # fmt: skip
    assert errors[:, shown].max() < 1e-3


def test_solved_rotations_are_those_of_the_pose(known, placed, body):
    errors = {name: [] for name in JOINT_NAMES}
    for (betas, rotations, _, _), (observation, joints, confidence) in zip(
        known, placed, strict=True
    ):
        rest = body.rest_joints(betas)
        told = pointers(observation, Proportions.of(body, betas))
        twist = twist_from_pointers(joints, rest, told, confidence)
        solved = forward(solve(joints, rest, twist, confidence=confidence), rest)[1]
        angles = angles_between(solved, forward(rotations, rest)[1])
        for name, angle in zip(JOINT_NAMES, angles, strict=True):
            errors[name].append(angle)
    # Regression bounds in degrees.
    largest = {name: max(angles) for name, angles in errors.items()}
    # Three landmarks each fix head and hand.
    assert largest['head'] < 3
    for side in SIDES:
        assert largest[f'{side}_wrist'] < 5
        # Hinges at 25° and more tell the twist above them, but for the prior's share.
        assert largest[f'{side}_shoulder'] < 10
        assert largest[f'{side}_hip'] < 20
        # Heel and toe fix the foot, of which knee and ankle each take a half of the turn.
        assert largest[f'{side}_ankle'] < 15
        assert np.median(errors[f'{side}_ankle']) < 5
    # Hips and shoulders fix these, but for the bend between.
    assert largest['pelvis'] < 12
    assert largest['spine3'] < 12
    for name in ('spine1', 'spine2', 'neck'):
        assert np.median(errors[name]) < 10


@pytest.mark.parametrize('side', SIDES)
def test_a_hand_turned_outwards_takes_half_of_it_from_the_forearm(body, camera, side):
    # From the palm a little backwards to the palm up: more than atan2 tells in one piece.
    rest, elbow = body.rest_joints(), POINT[f'{side}_elbow']
    outwards = np.array([-1.0, 0, 0])  # thumb up on the way, on both sides
    turned = np.arange(-15, 165, 5.0)
    found = []
    for degrees in turned:
        rotations = np.tile(np.eye(3), (len(JOINT_NAMES), 1, 1))
        rotations[0] = np.diag([1.0, -1.0, -1.0])
        rotations[elbow] = Rotation.from_rotvec(degrees * outwards, degrees=True).as_matrix()
        joints, points = landmark_points(body, np.zeros(body.num_betas), rotations, [0, 0, 4])
        observation = observe(landmarks_of(points, camera), camera)
        told = pointers(observation, Proportions.of(body, np.zeros(body.num_betas)))
        twist = twist_from_pointers(joints, rest, told)
        solved = Rotation.from_matrix(solve(joints, rest, twist, method='adaptive')[elbow])
        found.append(np.degrees(solved.as_rotvec() @ outwards))
    # The hand of the mesh is not quite flat.
    assert found == pytest.approx(turned / 2, abs=12)
    assert np.diff(found) == pytest.approx(2.5, abs=0.6)


@pytest.mark.parametrize('seed', range(3))
def test_t_pose_has_no_twist(body, camera, seed):
    # Stretched limbs are never quite straight; that is the body's build.
    betas = np.random.default_rng(seed).normal(size=body.num_betas)
    upright = np.tile(np.eye(3), (len(JOINT_NAMES), 1, 1))
    upright[0] = np.diag([1.0, -1.0, -1.0])
    joints, points = landmark_points(body, betas, upright, [0, 0, 4])
    observation = observe(landmarks_of(points, camera), camera)
    told = pointers(observation, Proportions.of(body, betas))
    twist = twist_from_pointers(joints, body.rest_joints(betas), told)
    angles = np.degrees(np.arctan2(twist[:, 1], twist[:, 0]))
    # The hand of the mesh is not quite flat.
    known = np.isfinite(angles)
    assert np.abs(angles[known]).max() < 3
    assert known.sum() >= 10


@pytest.mark.parametrize(
    ('turned', 'first'),
    [('head', 'neck'), ('left_ankle', 'left_knee'), ('right_ankle', 'right_knee')],
)
@pytest.mark.parametrize('degrees', [-30.0, 20.0])
def test_faces_and_feet_are_turned_half_by_the_joint_before(body, camera, turned, first, degrees):
    rest, betas = body.rest_joints(), np.zeros(body.num_betas)
    joint, before = POINT[turned], POINT[first]
    bone = rest[joint] - rest[before]
    vector = np.radians(degrees) * bone / np.linalg.norm(bone)
    rotations = np.tile(np.eye(3), (len(JOINT_NAMES), 1, 1))
    rotations[0] = np.diag([1.0, -1.0, -1.0])
    rotations[joint] = Rotation.from_rotvec(vector).as_matrix()
    joints, points = landmark_points(body, betas, rotations, [0, 0, 4])
    observation = observe(landmarks_of(points, camera), camera)
    told = pointers(observation, Proportions.of(body, betas))
    twist = twist_from_pointers(joints, rest, told)
    cos, sin = twist[before - 1]
    assert np.degrees(np.arctan2(sin, cos)) == pytest.approx(degrees / 2, abs=3)


def test_a_joint_is_as_sure_as_the_landmarks_it_is_taken_from(known, camera, body):
    betas, _, _, points = known[0]
    landmarks = landmarks_of(points, camera)
    landmarks.visibility[bp.LEFT_WRIST] = 0.2
    landmarks.visibility[bp.RIGHT_HIP] = 0.4
    _, confidence = observe(landmarks, camera).joints(Proportions.of(body, betas))
    by_name = dict(zip(POINT, confidence, strict=True))
    assert by_name['left_wrist'] == pytest.approx(0.2)
    for name in ('left_hand', 'left_middle_tip'):  # a little less: knuckles are nearer
        assert 0.1 < by_name[name] <= 0.2
    for name in ('pelvis', 'right_hip', 'spine1'):
        assert by_name[name] == pytest.approx(0.4)
    for name in ('left_elbow', 'right_wrist', 'right_knee', 'head', 'left_big_toe'):
        assert by_name[name] == pytest.approx(1.0)


@pytest.mark.parametrize('pair', ['hip', 'shoulder'])
@pytest.mark.parametrize('why', ['out of the image', 'turned against the others', 'squeezed'])
def test_a_trunk_of_which_half_is_not_seen_is_straight(body, camera, pair, why):
    rest = body.rest_joints()
    facing = np.diag([1.0, -1.0, -1.0])  # upright before the camera, facing it
    points = np.zeros((bp.NUM_LANDMARKS, 3))
    sides = [(bp.LEFT_HIP, 1), (bp.RIGHT_HIP, 2), (bp.LEFT_SHOULDER, 16), (bp.RIGHT_SHOULDER, 17)]
    for landmark, joint in sides:
        points[landmark] = facing @ rest[joint] + [0.0, 0.0, 3.0]
    unseen = [getattr(bp, f'{side}_{pair}'.upper()) for side in ('left', 'right')]
    confidence = np.ones(bp.NUM_LANDMARKS)
    confidence[unseen] = 0.0 if why == 'out of the image' else 0.9
    if why == 'squeezed':  # into the image, as the network does
        others = points[[landmark for landmark, _ in sides if landmark not in unseen]].mean(axis=0)
        points[unseen] = others + 0.35 * (points[unseen] - others)
    else:
        points[unseen] = points[unseen[::-1]]  # swapped, as it does too
    rays = points[:, :2] / np.maximum(points[:, 2:], 1)
    nowhere = np.zeros(4), np.zeros((17, 2)), Region(np.zeros(2), 1.0)
    observation = LandmarkObservation(1.0, *nowhere, points, confidence, rays, 3.0)
    joints, sure = observation.joints(Proportions.of(body, np.zeros(body.num_betas)))
    trunk = [0, 1, 2, 3, 6, 9, 12, 13, 14, 16, 17]
    truth = rest @ facing.T + [0.0, 0.0, 3.0]
    assert np.abs(joints - truth)[trunk].max() < 0.02
    doubted, others = ([1, 2], [16, 17]) if pair == 'hip' else ([16, 17], [1, 2])
    assert (sure[doubted] == 0).all()
    assert (sure[others] == 1).all()
    assert sure[POINT['head']] == (pair == 'hip')  # A head goes by its shoulders.


def test_a_trunk_that_is_made_up_on_legs_goes_on_from_them(body):
    # Hips at the upper edge: what is above, the network puts on the legs, and is sure of it.
    rotations = np.tile(np.eye(3), (24, 1, 1))
    rotations[0] = np.diag([1.0, -1.0, -1.0])
    joints, points = landmark_points(
        body, np.zeros(body.num_betas), rotations, np.array([0.0, 0.75, 3.0])
    )
    camera = Camera.from_field_of_view(60, 640, 480)
    hips = points[[bp.LEFT_HIP, bp.RIGHT_HIP]].mean(axis=0)
    camera = Camera(camera.matrix + [[0, 0, 0], [0, 0, 20 - camera.project(hips)[1]], [0, 0, 0]],
                    np.zeros(0), 640, 480)  # fmt: skip
    upper = slice(0, bp.LEFT_HIP)
    points[upper, 1] = hips[1] + 0.5 * (hips[1] - points[upper, 1])
    found, sure = observe(landmarks_of(points, camera), camera).joints(
        Proportions.of(body, np.zeros(body.num_betas)),
    )
    names = ('spine1', 'spine2', 'spine3', 'neck', 'left_shoulder', 'right_shoulder')
    trunk = [POINT[name] for name in names]
    assert (found[trunk] - found[0]) == pytest.approx((joints - joints[0])[trunk], abs=0.08)
    assert (sure[trunk] == 0).all()
    assert sure[POINT['left_knee']] == 1


@pytest.mark.parametrize('landmark', [bp.NOSE, bp.LEFT_EAR, bp.RIGHT_EAR])
def test_the_head_is_as_sure_as_nose_and_ears(known, camera, body, landmark):
    betas, _, _, points = known[0]
    landmarks = landmarks_of(points, camera)
    landmarks.visibility[landmark] = 0.3
    observation, proportions = observe(landmarks, camera), Proportions.of(body, betas)
    _, confidence = observation.joints(proportions)
    sure = pointers(observation, proportions).confidence
    for name in ('head', 'head_top'):
        assert confidence[POINT[name]] == pytest.approx(0.3)
    for name in ('head', 'neck'):
        assert sure[POINT[name]] == pytest.approx(0.3)


def pointers(observation, proportions):
    return find_pointers(observation.points, observation.confidence, proportions)


def names_of(guesses):
    return {name for name, guess in zip(POINT, guesses, strict=True) if guess}


def test_what_is_seen_is_no_guess(placed, known, body):
    for (betas, *_), (_, joints, confidence) in zip(known, placed, strict=True):
        assert not names_of(find_guesses(joints, confidence, Proportions.of(body, betas)))


def test_hidden_hands_and_feet_are_guesses_and_hidden_arms_that_look_short(known, camera, body):
    betas, _, _, points = known[0]
    whole = Proportions.of(body, betas)
    for shrunk in (False, True):
        points = points.copy()
        if shrunk:  # The forearm, to half its length.
            points[bp.LEFT_WRIST] = points[[bp.LEFT_WRIST, bp.LEFT_ELBOW]].mean(axis=0)
        landmarks = landmarks_of(points, camera)
        landmarks.visibility[[bp.LEFT_WRIST, bp.LEFT_ELBOW, bp.LEFT_TOE]] = 0.2
        found = names_of(find_guesses(*observe(landmarks, camera).joints(whole), whole))
        ends = {'left_hand', 'left_middle_tip', 'left_foot', 'left_big_toe'}
        assert found == ends | ({'left_wrist'} if shrunk else set())


def test_a_hand_that_shrinks_to_a_point_tells_nothing(known, camera, body):
    betas, _, _, points = known[0]
    whole, points = Proportions.of(body, betas), points.copy()
    for knuckle in (bp.LEFT_INDEX, bp.LEFT_PINKY):
        points[knuckle] = 0.9 * points[bp.LEFT_WRIST] + 0.1 * points[knuckle]
    observation = observe(landmarks_of(points, camera), camera)
    joints, confidence = observation.joints(whole)
    assert {'left_hand', 'left_middle_tip'} == names_of(find_guesses(joints, confidence, whole))
    sure = pointers(observation, whole).confidence
    for part in ('elbow', 'wrist'):
        assert sure[POINT[f'left_{part}']] < 0.05
        assert sure[POINT[f'right_{part}']] > 0.5


def test_measured_lengths_are_the_distances_of_the_pairs(placed):
    assert len(SHAPE_PAIRS) == len(SHAPE_SIGMAS)
    for _, joints, confidence in placed:
        doubted = confidence.copy()
        doubted[POINT['left_knee']] = 0.3
        lengths, sureness = measure_lengths(joints, doubted)
        for (a, b), length, sure in zip(SHAPE_PAIRS, lengths, sureness, strict=True):
            assert length == pytest.approx(np.linalg.norm(joints[a] - joints[b]))
            assert sure == pytest.approx(0.3 if POINT['left_knee'] in (a, b) else 1.0)


def test_shape_pairs_are_symmetric():
    names = list(POINT)
    pairs = {frozenset((names[a], names[b])) for a, b in SHAPE_PAIRS}
    swap = {'left': 'right', 'right': 'left'}

    def mirrored(name):
        side, _, part = name.partition('_')
        return f'{swap[side]}_{part}'

    assert {frozenset(mirrored(name) for name in pair) for pair in pairs} == pairs


def test_landmarks_of_the_clip_are_placed_as_a_person(seen, body):
    camera = read_camera()
    for _, landmarks in seen.values():
        joints, _ = observe(landmarks, camera).joints(
            Proportions.of(body, np.zeros(body.num_betas))
        )
        # The focal length of the clip assumes ten metres.
        assert 7 < joints[0, 2] < 13
        names = ('head_top', 'neck', 'pelvis', 'left_knee', 'left_ankle')
        heights = [joints[POINT[name], 1] for name in names]
        assert heights == sorted(heights)
