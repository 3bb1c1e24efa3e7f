"""People that another detector found, as vision_msgs has them.

vision_msgs is in any ROS install, but not on PyPI: these are STAND-INS with the fields of its
messages (4.0 and later, ROS 2 Humble), and nothing else.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hybrik_ros.node.detections import Box, ClassCheck, to_boxes


@dataclass
class Point2D:
    x: float = 0.0
    y: float = 0.0


@dataclass
class Pose2D:
    position: Point2D = field(default_factory=Point2D)
    theta: float = 0.0


@dataclass
class OldPose2D:
    """Of geometry_msgs: what a box's centre was before."""

    x: float = 0.0
    y: float = 0.0
    theta: float = 0.0


@dataclass
class BoundingBox2D:
    center: Pose2D | OldPose2D = field(default_factory=Pose2D)
    size_x: float = 0.0
    size_y: float = 0.0


@dataclass
class ObjectHypothesis:
    class_id: str = ''
    score: float = 0.0


@dataclass
class ObjectHypothesisWithPose:
    hypothesis: ObjectHypothesis = field(default_factory=ObjectHypothesis)


@dataclass
class Detection2D:
    results: list[ObjectHypothesisWithPose] = field(default_factory=list)
    bbox: BoundingBox2D = field(default_factory=BoundingBox2D)
    id: str = ''


@dataclass
class Detection2DArray:
    detections: list[Detection2D] = field(default_factory=list)


def detection(*results: tuple[str, float], x=100.0, y=50.0, size=(20.0, 60.0), theta=0.0):
    hypotheses = [ObjectHypothesisWithPose(ObjectHypothesis(*result)) for result in results]
    return Detection2D(hypotheses, BoundingBox2D(Pose2D(Point2D(x, y), theta), *size))


def boxes_of(sent: list[Detection2D], threshold: float = 0.5) -> list[Box]:
    """Return the boxes of the people, of which none is damaged."""
    said: list[str] = []
    boxes = to_boxes(Detection2DArray(sent), threshold, said.append)
    assert not said
    return boxes


@pytest.mark.parametrize('name', ['person', 'Person', 'PERSON', '0', ' person'])
def test_a_person_is_a_box(name):
    sent = Detection2DArray([detection((name, 0.9))])
    assert boxes_of(sent.detections) == [pytest.approx((90, 20, 110, 80))]


@pytest.mark.parametrize(
    'results', [[('dog', 0.9)], [('1', 0.9)], [('person', 0.4)], [('person', math.nan)], [],
                [('person', 0.6), ('statue', 0.7)]],
)  # fmt: skip
def test_other_classes_are_no_people(results):
    assert boxes_of([detection(*results)]) == []


def test_the_surest_comes_first():
    sent = [detection(('person', score), x=1000 * score) for score in (0.6, 0.9, 0.5, 0.7)]
    boxes = boxes_of(sent, 0.55)
    assert [box[0] + 10 for box in boxes] == pytest.approx([900, 700, 600])


def test_before_humble_the_centre_was_the_position():
    sent = detection(('person', 0.9))
    sent.bbox.center = OldPose2D(100.0, 50.0, 0.0)
    assert boxes_of([sent]) == [pytest.approx((90, 20, 110, 80))]


@pytest.mark.parametrize('theta', [0.3, -1.0, math.pi / 2, 2.5])
def test_a_turned_box_is_widened_to_an_upright_one(theta):
    [box] = boxes_of([detection(('person', 0.9), theta=theta)], 0.5)
    corners = np.array([[10, 30, 0], [-10, 30, 0], [10, -30, 0], [-10, -30, 0]])
    turned = Rotation.from_euler('z', theta).apply(corners)[:, :2] + [100, 50]
    assert box == pytest.approx([*turned.min(axis=0), *turned.max(axis=0)])


@pytest.mark.parametrize(
    'fault', [{'x': math.nan}, {'y': math.inf}, {'theta': math.nan}, {'size': (0.0, 60.0)},
              {'size': (20.0, -1.0)}, {'size': (math.inf, 60.0)}],
)  # fmt: skip
def test_an_invalid_box_is_left_out_and_named(fault):
    sent = [detection(('person', 0.9), **fault), detection(('person', 0.8))]
    said: list[str] = []
    boxes = to_boxes(Detection2DArray(sent), 0.5, said.append)
    assert boxes == [pytest.approx((90, 20, 110, 80))]
    assert ['bbox' in text for text in said] == [True]


def test_a_score_that_is_not_a_number_counts_as_missing():
    sent = detection(('car', math.nan), ('person', 0.8))
    assert len(boxes_of([sent])) == 1
    assert not boxes_of([detection(('person', math.nan))])


@pytest.mark.parametrize(
    ('sent', 'is_named'),
    [
        ([detection(('pedestrian', 0.9))], True),
        ([detection(('person', 0.1))], True),  # below the threshold
        ([detection(('person', 0.9))], False),
        ([], False),
    ],
)
def test_a_detector_whose_detections_are_never_people_is_named(
    sent: list[Detection2D], is_named: bool
) -> None:
    said: list[str] = []
    check, message = ClassCheck(said.append), Detection2DArray(sent)
    for _ in range(40):
        check.check(message, boxes_of(sent), 0.5)
    assert bool(said) == is_named
    if said:
        assert sent[0].results[0].hypothesis.class_id in said[0]
        assert 'person or 0' in said[0]
