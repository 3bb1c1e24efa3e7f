"""When the detector looks, at which sizes, and what it says of tracked people."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from sample import RATE, read_camera, read_frames

from hybrik_ros.camera import Camera
from hybrik_ros.confidence import body_confidence
from hybrik_ros.perception.detector import Detection
from hybrik_ros.perception.looks import NEVER, Situation, choose_looks
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.rotations import from_rotation_vector
from hybrik_ros.skeleton import JOINT_NAMES

SIZES = (320, 192, 512)
INTERVAL = 0.5


def looks_at(rate: float, seconds: float, **situation: int) -> list[tuple[float, tuple[int, ...]]]:
    """Stamps and sizes of the looks in a stream."""
    last, found = NEVER, []
    for number in range(int(seconds * rate)):
        stamp = number / rate
        elapsed = np.inf if number == 0 else 1 / rate
        now = Situation(stamp, elapsed, **{'followed': 1, 'seen': 1, 'is_searching': False,
                                           **situation})  # fmt: skip
        sizes = tuple(choose_looks(now, last, INTERVAL, SIZES))
        if sizes:
            last = stamp
            found.append((stamp, sizes))
    return found


@pytest.mark.parametrize('rate', [1.0, 3.0, 10.0, 24.0, 30.0, 60.0, 120.0])
def test_looks_are_never_farther_apart_than_the_interval_allows(rate):
    stamps = [stamp for stamp, _ in looks_at(rate, 20.0)]
    gaps = np.diff(stamps)
    assert gaps.max() <= max(INTERVAL, 1 / rate) + 1e-9
    # No more often than needed: one frame later would be too late.
    assert gaps.min() + 1 / rate > INTERVAL - 1e-9


@pytest.mark.parametrize('rate', [3.0, 10.0, 15.0, 25.0, 29.97, 30.0, 50.0, 60.0])
@pytest.mark.parametrize('followed', [0, 1])
def test_all_sizes_have_their_turn(rate, followed):
    looks = looks_at(rate, 30.0, followed=followed, seen=followed)
    turns = [size for _, sizes in looks[1:] for size in sizes]
    assert all(len(sizes) == 1 for _, sizes in looks[1:])
    for size in SIZES:
        assert turns.count(size) > 0.15 * len(turns)


def test_the_first_frame_and_one_that_lost_all_people_are_looked_at_in_all_sizes():
    looks = looks_at(30.0, 1.0)
    assert looks[0] == (0.0, SIZES)
    lost = Situation(5.0, 1 / 30, followed=2, seen=0, is_searching=False)
    assert tuple(choose_looks(lost, 4.99, INTERVAL, SIZES)) == SIZES


def test_a_missed_person_is_looked_for_at_once_and_a_doubtful_one_soon():
    missed = Situation(5.0, 1 / 30, followed=2, seen=1, is_searching=False)
    assert len(choose_looks(missed, 4.99, INTERVAL, SIZES)) == 1
    doubted = looks_at(30.0, 3.0, is_searching=True)
    assert np.diff([stamp for stamp, _ in doubted]).max() < 0.2


def test_without_tracks_the_look_depends_on_the_stamp_alone():
    for stamp in np.arange(0.0, 3.0, 1 / 30):
        empty = Situation(stamp, 1 / 30, followed=0, seen=0, is_searching=True)
        assert choose_looks(empty, stamp - 0.03, INTERVAL, SIZES) == choose_looks(
            empty, stamp - 7.0, INTERVAL, SIZES
        )


# Several people


@pytest.fixture(scope='module')
def walker():
    return read_frames(60, 1)[0]


@pytest.fixture(scope='module')
def photos():
    with Pipeline.create(confirm_after=0.0, smoothing=False) as pipeline:
        yield pipeline


def see(pipeline: Pipeline, picture: np.ndarray):
    pipeline.reset()
    height, width = picture.shape[:2]
    return pipeline(picture, Camera.from_field_of_view(60, width, height), 0.0)


@pytest.mark.parametrize('height', [110, 150, 300, 520])
def test_people_of_all_sizes_are_found(photos, walker, height):
    crop = walker[100:560, 850:1200]
    scale = height / 400  # The walker is 400 pixels high.
    person = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    canvas = np.full((720, 1280, 3), 128, np.uint8)
    canvas[100 : 100 + person.shape[0], 400 : 400 + person.shape[1]] = person[:620]
    [human] = see(photos, canvas)
    assert human.confidence > 0.5


@pytest.mark.parametrize('step', [130, 170, 210])
def test_people_side_by_side_are_one_body_each(photos, walker, step):
    crop = walker[130:550, 900:1140]
    canvas = np.full((480, 900, 3), 128, np.uint8)
    for place in range(3):
        left = 60 + place * step
        part = crop[:, : min(step + 70, crop.shape[1])] if place < 2 else crop
        canvas[30 : 30 + crop.shape[0], left : left + part.shape[1]] = part
    people = see(photos, canvas)
    assert len(people) <= 3
    middles = sorted((human.box[0] + human.box[2]) / 2 for human in people)
    assert np.diff(middles).min() > 0.6 * step  # none between two
    if step >= 170:
        assert len(people) == 3


def test_a_detection_agrees_with_its_own_keypoints_only():
    rng = np.random.default_rng(5)
    points = rng.uniform(100, 300, (17, 2))
    points[[5, 6]], points[[11, 12]] = [[180, 150], [220, 150]], [[185, 250], [215, 250]]
    keypoints = np.column_stack([points, np.full(17, 0.6)])
    detection = Detection(0.5, np.zeros(4), keypoints)
    assert detection.distance(keypoints) == 0
    away = keypoints + [20, 0, 0]  # a fifth of the trunk
    assert detection.distance(away) == pytest.approx(0.2, abs=0.05)
    assert detection.distance(keypoints + [500, 0, 0]) == 1
    unseen = replace(detection, keypoints=np.column_stack([points, np.zeros(17)]))
    assert unseen.distance(keypoints) == 1


# Confidence


@pytest.fixture(scope='module')
def followed():
    """The people of the clip, and of the same clip that turns into noise after 15 frames."""
    frames, camera = read_frames(60, 30), read_camera()
    noise = np.random.default_rng(1).integers(0, 255, frames[0].shape, np.uint8)
    blurred = cv2.GaussianBlur(noise, (0, 0), 25)
    with Pipeline.create() as pipeline:
        whole = [pipeline(frame, camera, i / RATE) for i, frame in enumerate(frames)]
        pipeline.reset()
        gone = [
            pipeline(frames[i] if i < 15 else blurred, camera, i / RATE) for i in range(len(frames))
        ]
    return whole, gone


def test_a_whole_person_has_a_high_confidence(followed):
    whole, _ = followed
    assert min(human.confidence for people in whole[5:] for human in people) > 0.8


def test_no_body_stays_where_a_person_was(followed):
    _, gone = followed
    assert gone[14]
    for people in gone[15 + int(0.3 * RATE) :]:
        assert all(human.confidence < 0.5 for human in people)


def evidence(**changes):
    given = {'joint_confidence': np.ones(24), 'rotations': np.tile(np.eye(3), (24, 1, 1)),
             'support': 1.0, 'score': 1.0, **changes}  # fmt: skip
    return body_confidence(**given)


def test_confidence_falls_with_all_that_speaks_against_a_body():
    best = evidence()
    assert 0.9 < best < 1
    legs = [JOINT_NAMES.index(f'{side}_{name}') for side in ('left', 'right')
            for name in ('hip', 'knee', 'ankle')]  # fmt: skip
    half = np.ones(24)
    half[legs] = 0
    bent = np.tile(np.eye(3), (24, 1, 1))
    spine = [JOINT_NAMES.index(f'spine{number}') for number in (1, 2, 3)]
    bent[spine] = from_rotation_vector(np.radians([[40.0, 0, 0]] * 3))
    for worse in (
        {'joint_confidence': half}, {'support': 0.4}, {'score': 0.3}, {'rotations': bent}
    ):  # fmt: skip
        assert evidence(**worse) < best - 0.05
    slightly = np.tile(np.eye(3), (24, 1, 1))
    slightly[spine] = from_rotation_vector(np.radians([[15.0, 0, 0]] * 3))
    assert evidence(rotations=slightly) == best  # People bend that far.
    ghost = evidence(joint_confidence=np.full(24, 0.3), support=0.4)
    assert ghost < 0.2
