"""The heads of other people are covered, so that a pose network does not take them."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from sample import find_figure, read_camera, read_frames

from hybrik_ros.camera import Region
from hybrik_ros.perception.heads import find_head, heads_of_others
from hybrik_ros.pipeline import Pipeline

HEAD = np.array([100.0, 60.0, 20.0])  # u, v, radius in pixels


def keypoints(nose, confidence=0.9):
    """Return an upright person: a face 24 pixels wide and a trunk of 100 pixels."""
    points = np.zeros((17, 3))
    points[:5, :2] = nose + np.array([[0, 0], [4, -4], [-4, -4], [12, 0], [-12, 0]])
    points[[5, 6], :2] = nose + np.array([[20, 40], [-20, 40]])
    points[[11, 12], :2] = nose + np.array([[12, 140], [-12, 140]])
    points[:, 2] = confidence
    return points


def test_head_is_found_around_the_face():
    u, v, radius = find_head(keypoints(np.array([100.0, 60.0])), 0.5)
    assert abs(u - 100) < 2
    assert abs(v - 60) < 3
    assert radius == 24


def test_head_from_the_side_is_as_large_as_the_trunk_suggests():
    points = keypoints(np.array([100.0, 60.0]))
    points[:5, 0] = 100.0
    assert find_head(points, 0.5)[2] == pytest.approx(14)


def test_face_that_is_not_seen_shows_no_head():
    assert find_head(keypoints(np.array([100.0, 60.0]), confidence=0.4), 0.5) is None


@pytest.mark.parametrize(
    ('distance', 'support', 'covered'),
    [(60, 0.9, True), (30, 0.9, False), (30, 0.8, True), (30, 0.96, False)],
)
def test_own_head_is_covered_only_if_the_detector_gives_it_to_another_person(
    distance, support, covered
):
    other = HEAD + [distance, 0, 0]
    first, second = heads_of_others([HEAD, other], [support, 0.9])
    assert (len(first) == 1) == covered
    if covered:
        assert np.array_equal(first[0], other)
    assert (len(second) == 1) == (distance == 60 or support == 0.96)


def test_unknown_head_leaves_those_of_all_others_covered():
    first, second, third = heads_of_others([None, HEAD, HEAD + [90, 0, 0]], [1.0, 1.0, 1.0])
    assert len(first) == 2
    assert len(second) == len(third) == 1


def test_crop_does_not_show_what_is_covered():
    image = np.zeros((200, 200, 3), np.uint8)
    cv2.circle(image, (120, 80), 4, (255, 255, 255), cv2.FILLED)
    region = Region(np.array([110.0, 90.0]), 100.0, 0.7)
    shown, covered = (
        each.crop(image, 64)
        for each in (region, replace(region, covered=np.array([[120.0, 80.0, 12.0]])))
    )
    assert shown.max() == 255
    assert covered.max() < 60
    elsewhere = replace(region, covered=np.array([[70.0, 120.0, 5.0]])).crop(image, 64)
    assert np.array_equal(elsewhere > 128, shown > 128)
    assert image.max() == 255  # The image itself stays as it is.


@pytest.mark.parametrize(('aside', 'tint'), [(100, (1, 1, 1)), (-130, (0.6, 0.8, 1.4))])
def test_person_behind_does_not_take_the_head_of_the_one_in_front(aside, tint):
    # The walker, and behind her a copy of her whose head is hidden.
    clip = read_frames(0, 145)
    room = np.median(clip[::8], axis=0).astype(np.uint8)
    figure = find_figure(clip[60], room)
    rows = np.flatnonzero(figure.any(axis=1))
    height = np.ptp(rows)
    behind = np.roll(figure, aside, axis=1)
    behind[: rows[0] + round(0.16 * height)] = False
    copy = np.clip(np.roll(clip[60], aside, axis=1) * np.array(tint), 0, 255).astype(np.uint8)
    scene = np.where(behind[..., None], copy, room)
    scene = np.where(figure[..., None], clip[60], scene)
    camera = read_camera()

    def distance(region):
        [person] = estimator.observe(scene, [region], camera, 0.0)
        true = walker.keypoints[5:, :2] + [aside, 0]
        return np.linalg.norm(person.keypoints[5:, :2] - true, axis=1).mean() / height

    with Pipeline.create() as pipeline:
        estimator = pipeline._estimator
        [walker] = estimator.observe(
            clip[60], [pipeline._detector(clip[60])[0].region()], camera, 0.0
        )
        region = pipeline._detector(clip[60])[0].region()
        region = replace(region, centre=region.centre + [aside, 0])
        head = find_head(walker.keypoints, 0.5)
        assert distance(region) > 0.18
        assert distance(replace(region, covered=head[None])) < 0.13
