"""Depth images and other detectors' boxes, on a stretch of the sample clip."""

import json

import cv2
import numpy as np
import pytest
from depths import render_depth
from sample import RATE, read_camera, read_frames

from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Camera
from hybrik_ros.inference import Runner, open_runner
from hybrik_ros.perception import blazepose, detector
from hybrik_ros.perception.detector import PersonDetector
from hybrik_ros.perception.estimator import SEEN
from hybrik_ros.perception.landmarks import BlazePoseEstimator
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.settings import Settings
from hybrik_ros.skeleton import PELVIS

FIRST, COUNT = 60, 20


@pytest.fixture(scope='module')
def camera():
    return read_camera()


@pytest.fixture(scope='module')
def frames():
    return read_frames(FIRST, COUNT)


class Counted(Runner):
    """A runner that counts its inferences."""

    def __init__(self, model):
        self.count = 0
        self._runner = open_runner(model)
        self.backend, self.inputs = self._runner.backend, self._runner.inputs

    def _run(self, feeds):
        self.count += 1
        return self._runner.infer(feeds)

    def _free(self):
        self._runner.close()


@pytest.fixture(scope='module')
def runners():
    with Counted(detector.MODEL) as finder, Counted(blazepose.MODEL) as network:
        yield finder, network


def pipeline_of(runners):
    finder, network = runners
    settings = Settings(confirm_after=0.0)
    detector = PersonDetector(finder, settings.detector_size, settings.detector_threshold)
    return Pipeline(settings, BodyModel.load(), detector, BlazePoseEstimator(network))


@pytest.fixture
def create(runners):
    def create_pipeline():
        for runner in runners:
            runner.count = 0
        return pipeline_of(runners)

    return create_pipeline


def follow(pipeline, frames, camera, **inputs):
    """The people of each frame, with the depth and boxes given for it."""
    return [
        pipeline(frame, camera, i / RATE, **{name: given[i] for name, given in inputs.items()})
        for i, frame in enumerate(frames)
    ]


@pytest.fixture(scope='module')
def alone(runners, frames, camera):
    """The one person in each frame, by the image alone, with her skin."""
    pipeline = pipeline_of(runners)
    pipeline.with_vertices = True
    return [human for [human] in follow(pipeline, frames, camera)]


@pytest.fixture(scope='module')
def walls(alone, camera):
    """What a depth camera of half the size would measure of her skin before a far wall."""
    half = camera.matrix / 2
    half[:2, 2] = (camera.matrix[:2, 2] + 0.5) / 2 - 0.5
    half[2, 2] = 1
    small = Camera(half, camera.distortion, camera.width // 2, camera.height // 2)
    faces = BodyModel.load().faces

    def measure(vertices):
        depth = render_depth(vertices, faces, small)
        return np.where(np.isfinite(depth), depth, 30.0).astype(np.float32)

    return measure


def bearings(human):
    return human.joints[PELVIS, :2] / human.joints[PELVIS, 2]


def test_person_nearer_by_depth_is_nearer_at_the_same_pixels(create, frames, camera, alone, walls):
    depths = [walls(human.vertices - 0.2 * human.joints[PELVIS]) for human in alone]
    found = follow(create(), frames, camera, depth=depths)
    for [nearer], human in zip(found, alone, strict=True):
        assert nearer.joints[PELVIS, 2] == pytest.approx(0.8 * human.joints[PELVIS, 2], rel=0.03)
        assert bearings(nearer) == pytest.approx(bearings(human), abs=1e-9)
        assert np.array_equal(nearer.rotations, human.rotations)
        assert np.array_equal(nearer.betas, human.betas)
        # No joint is less sure because the person is smaller than the body.
        sure, as_sure = (np.maximum(one.joint_confidence, SEEN) for one in (human, nearer))
        assert as_sure == pytest.approx(sure, abs=0.05)
    assert len({human.id for [human] in found}) == 1


@pytest.mark.parametrize('nothing', [np.nan, 0.0, 60.0])
def test_depth_that_tells_nothing_changes_nothing_to_the_bit(
    create, frames, camera, alone, nothing
):
    empty = np.full((camera.height // 2, camera.width // 2), nothing, np.float32)
    for [human], by_image in zip(
        follow(create(), frames, camera, depth=[empty] * COUNT), alone, strict=True
    ):
        for name in ('joints', 'rotations', 'betas', 'translation', 'velocity'):
            assert np.array_equal(getattr(human, name), getattr(by_image, name))
        assert human.translation_confidence == by_image.translation_confidence


def test_what_depth_said_last_holds_while_it_is_missing(create, frames, camera, alone, walls):
    depths = [walls(0.7 * human.vertices) for human in alone[:3]]
    found = follow(create(), frames, camera, depth=depths + [None] * (COUNT - 3))
    [last], by_image = found[-1], alone[-1]
    assert last.joints[PELVIS, 2] == pytest.approx(0.7 * by_image.joints[PELVIS, 2], rel=0.04)
    assert len({human.id for [human] in found}) == 1


def test_depth_that_comes_late_moves_no_person(create, frames, camera, alone, walls):
    depths = [walls(0.7 * human.vertices) for human in alone[10:14]]
    found = follow(create(), frames[:14], camera, depth=[None] * 10 + depths)
    for [human], by_image in zip(found[10:], alone[10:], strict=False):
        assert human.joints[PELVIS, 2] == pytest.approx(0.7 * by_image.joints[PELVIS, 2], rel=0.04)
        assert np.linalg.norm(human.velocity) < np.linalg.norm(by_image.velocity)


@pytest.mark.parametrize('times', [0.6, 1.7])
def test_person_far_from_the_apparent_place_keeps_the_id(
    create, frames, camera, alone, walls, times
):
    depths = [walls(times * human.vertices) for human in alone[:8]]
    found = follow(create(), frames[:8], camera, depth=depths)
    assert len({human.id for [human] in found}) == 1
    distance = found[-1][0].joints[PELVIS, 2] / alone[7].joints[PELVIS, 2]
    assert distance == pytest.approx(times, rel=0.02)


def test_invalid_depth_is_refused_and_loses_no_track(create, frames, camera):
    pipeline = create()
    [before] = pipeline(frames[0], camera, 0.0)
    for wrong in (
        np.zeros((7, 9), np.float32),
        np.zeros((camera.height, camera.width), np.uint16),
        'depth.png',
        [[1.0]],
    ):
        with pytest.raises(ValueError, match='depth'):
            pipeline(frames[1], camera, 1.0, depth=wrong)
    [after] = pipeline(frames[1], camera, 0.04)
    assert after.id == before.id


# Boxes


def box_of(human, camera):
    """What another detector would say: all of her skin, a little too wide, within the image."""
    pixels = camera.project(human.vertices.astype(float))
    low, high = pixels.min(axis=0) - 5, pixels.max(axis=0) + 8
    limit = (camera.width, camera.height)
    return [*np.clip(low, 0, limit), *np.clip(high, 0, limit)]


def test_boxes_stand_in_for_the_detector(create, runners, frames, camera, alone):
    boxes = [[box_of(human, camera)] for human in alone]
    found = follow(create(), frames, camera, boxes=boxes)
    assert [len(people) for people in found] == [1] * COUNT
    assert len({human.id for [human] in found}) == 1
    finder, network = runners
    assert finder.count == 0
    assert network.count == COUNT  # She is not looked for anew.
    for [human], by_detector in list(zip(found, alone, strict=True))[15:]:
        apart = np.linalg.norm(human.joints - by_detector.joints, axis=1)
        # Regression bounds in metres.
        assert np.median(apart) < 0.07
        assert apart.max() < 0.15


def test_boxes_of_half_a_body_do_too(create, runners, frames, camera, alone):
    # The image ends at her hips.
    rows = [camera.project(human.joints[PELVIS])[1] for human in alone]
    bottom = int(np.mean(rows))
    upper = Camera(camera.matrix, camera.distortion, camera.width, bottom)
    boxes = [[box_of(human, upper)] for human in alone]
    found = follow(create(), [frame[:bottom] for frame in frames], upper, boxes=boxes)
    assert [len(people) for people in found] == [1] * COUNT
    assert runners[0].count == 0
    joints = [12, 15, 16, 18]  # neck, head, left shoulder and elbow: towards us
    for [human], whole in list(zip(found, alone, strict=True))[10:]:
        pixels = camera.project(human.joints[joints]) - camera.project(whole.joints[joints])
        height = whole.box[3] - whole.box[1]
        assert np.linalg.norm(pixels, axis=1).max() < 0.06 * height


def test_no_boxes_start_no_track_and_none_runs_our_detector(create, runners, frames, camera):
    pipeline = create()
    for i in range(3):
        assert pipeline(frames[i], camera, i / RATE, boxes=[]) == []
    assert runners[0].count == 0
    [human] = pipeline(frames[3], camera, 3 / RATE)
    assert runners[0].count == 3  # the first look, at all sizes
    # A track continues without a box.
    [same] = pipeline(frames[4], camera, 4 / RATE, boxes=[])
    assert same.id == human.id
    assert runners[0].count == 3


def test_box_without_a_person_is_no_person(create, frames, camera):
    empty = [[5.0, 5.0, 60.0, 160.0], [camera.width + 5.0, 0.0, camera.width + 50.0, 90.0]]
    assert create()(frames[0], camera, 0.0, boxes=empty) == []


def test_many_boxes_of_one_person_are_one_person(create, runners, frames, camera, alone):
    box = np.array(box_of(alone[0], camera))
    boxes = box + np.random.default_rng(0).normal(0, 8, (30, 4))
    assert len(create()(frames[0], camera, 0.0, boxes=boxes)) == 1


def shrink(box, camera):
    return np.array(box) / np.tile([camera.width, camera.height], 2)


def test_a_restored_pipeline_judges_boxes_as_the_first_one_did(create, frames, camera, alone):
    first, second = create(), create()
    boxes = [shrink(box_of(human, camera), camera) for human in alone]
    follow(first, frames[:3], camera, boxes=[[box] for box in boxes[:3]])
    second.restore(json.loads(json.dumps(first.state())))
    for number in range(3, 8):
        found = [
            pipeline(frames[number], camera, number / RATE, boxes=[boxes[number]])
            for pipeline in (first, second)
        ]
        assert [human.id for human in found[0]] == [human.id for human in found[1]]
    assert found[0]  # The own detector looks by now.


def letterbox(box, camera):
    scale = 320 / camera.width
    return np.array(box) * scale + np.tile([0, (320 - camera.height * scale) / 2], 2)


def enlarge(box, camera):
    return 10 * np.array(box)  # outside the image


@pytest.mark.parametrize('spoil', [shrink, letterbox, enlarge])
def test_boxes_in_other_coordinates_are_noticed_and_people_found(
    create, runners, frames, camera, alone, spoil
):
    boxes = [[spoil(box_of(human, camera), camera)] for human in alone]
    pipeline = create()
    found = follow(pipeline, frames[:10], camera, boxes=boxes)
    assert pipeline.empty_boxes >= 5  # Some boxes on the wall look like a person.
    assert runners[0].count > 0
    walker = alone[9].joints[PELVIS]
    assert min(np.linalg.norm(human.joints[PELVIS] - walker) for human in found[9]) < 0.5
    pipeline.reset()
    for n in range(3):
        assert len(pipeline(frames[n], camera, 9 + n / 30, boxes=[box_of(alone[n], camera)])) == 1
    assert pipeline.empty_boxes == 0


def test_own_detector_stays_off_where_a_box_ever_held_a_person(
    create, runners, frames, camera, alone
):
    pipeline = create()
    boxes = [[box_of(human, camera)] for human in alone[:2]] + [[[5.0, 5.0, 60.0, 160.0]]] * 8
    blank = frames[:2] + [np.zeros_like(frames[0])] * 8
    found = follow(pipeline, blank, camera, boxes=boxes)
    assert [len(people) for people in found] == [1, 1] + [0] * 8
    assert pipeline.empty_boxes == 8
    assert runners[0].count == 0


def crowd(frame, human, is_near):
    """Six copies of the walker far away, a seventh close by or not, and a box around each."""
    left, top, right, bottom = human.box.astype(int) + (-30, -30, 30, 30)
    walker = frame[max(top, 0) : bottom, left:right]
    canvas = np.full((720, 1280, 3), 128, np.uint8)
    boxes = []
    places = [(0.55, 20 + 170 * number, 60) for number in range(6)] + [(1.2, 800, 200)] * is_near
    for scale, x, y in places:
        copy = cv2.resize(walker, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        copy = copy[: canvas.shape[0] - y]
        height, width = copy.shape[:2]
        canvas[y : y + height, x : x + width] = copy
        boxes.append([x + 10, y + 10, x + width - 10, y + height - 10])
    return canvas, boxes


def test_nearest_of_more_people_than_the_maximum_are_reported(create, frames, alone):
    camera = Camera.from_field_of_view(60, 1280, 720)
    pipeline = create()
    far, boxes = crowd(frames[0], alone[0], False)
    before = pipeline(far, camera, 0.0, boxes=boxes[:5])
    assert (len(before), pipeline.is_full) == (5, False)
    before = pipeline(far, camera, 0.03, boxes=boxes)
    assert (len(before), pipeline.is_full) == (6, False)
    near, boxes = crowd(frames[0], alone[0], True)
    after = pipeline(near, camera, 0.06, boxes=boxes)
    distances = sorted(human.joints[PELVIS, 2] for human in after)
    assert (len(after), pipeline.is_full) == (6, True)
    assert distances[0] < 0.6 * distances[1]
    known = {human.id for human in before}
    assert len(known & {human.id for human in after}) == 5
    pipeline.restore(json.loads(json.dumps(pipeline.state())))
    assert pipeline.is_full
    pipeline.adjust(max_people=24)
    for interval, stamp, is_full in ((0.5, 0.5, True), (0.5, 1.5, False), (2.0, 1.6, True)):
        pipeline.adjust(detector_interval=interval)
        pipeline(near, camera, stamp, boxes=boxes)
        assert pipeline.is_full == is_full
    pipeline.reset()
    assert not pipeline.is_full


@pytest.mark.parametrize(
    'wrong',
    [
        [1.0, 2.0, 3.0, 4.0],
        [[1.0, 2.0, 3.0]],
        [[np.nan, 0, 1, 1]],
        [[0, 0, np.inf, 1]],
        'boxes',
        [[1, 2, 3, None]],
        [[1, 2], [3]],
        {'boxes': []},
    ],
)
def test_invalid_boxes_are_refused_and_lose_no_track(create, frames, camera, wrong):
    pipeline = create()
    [before] = pipeline(frames[0], camera, 0.0)
    with pytest.raises(ValueError, match='boxes must be'):
        pipeline(frames[1], camera, 1.0, boxes=wrong)
    [after] = pipeline(frames[1], camera, 0.04)
    assert after.id == before.id
