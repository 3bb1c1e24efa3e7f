"""Checks of `hybrik doctor` of another detector: its boxes, classes and stamps."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy

from hybrik_ros.camera import overlaps
from hybrik_ros.findings import OK, PROBLEM, WARNING, Finding
from hybrik_ros.messages.fields import nanoseconds
from hybrik_ros.messages.images import UnusableInputError, decompress, to_rgb
from hybrik_ros.node.detections import PERSON_CLASSES, Box, message_type, to_boxes
from hybrik_ros.node.topic_stream import TopicStream
from hybrik_ros.perception.opening import open_detector
from hybrik_ros.settings import Settings

DETECTIONS = 'vision_msgs/msg/Detection2DArray'

_QOS = QoSProfile(depth=20, reliability=QoSReliabilityPolicy.BEST_EFFORT)
_MAX_MESSAGES = 200  # that are kept
_MAX_UNIT = 1.5  # maximum coordinate of boxes whose coordinates are shares of the image
_MAX_OUTSIDE = 0.05  # maximum share of the image by which a box may end outside
_MAX_STAMP_DIFFERENCE = 20_000_000  # nanoseconds between an image and its detections
_MIN_OVERLAP = 0.1  # intersection over union of the box of a person and a detection of it
_MIN_MATCHED = 0.5  # minimum share of messages with the stamp of an image
_COORDINATES = 'make the detector publish boxes in pixels of the image that the node receives'


class DetectionListener:
    """Receives the detections of a topic.

    Parameters
    ----------
    node : Node
        The node that subscribes; it must be spun.
    topic : str
        The topic.

    Raises
    ------
    RuntimeError
        vision_msgs is not installed.
    """

    def __init__(self, node: Node, topic: str) -> None:
        self.topic = topic
        self.messages: deque[Any] = deque(maxlen=_MAX_MESSAGES)
        node.create_subscription(message_type(), topic, self._take, _QOS)

    def _take(self, message: Any) -> None:
        self.messages.append(message)


def check_detections(
    topic: str, messages: Sequence[Any], images: TopicStream | None
) -> Iterator[Finding]:
    """Check detections.

    Parameters
    ----------
    topic : str
        Their topic.
    messages : sequence of vision_msgs.msg.Detection2DArray
        What was received.
    images : TopicStream or None
        The images that they belong to; None if that is not known.
    """
    if not messages:
        advice = 'check that the detector runs and receives the images of the node'
        yield Finding(PROBLEM, topic, 'no detections received', advice)
        return
    threshold = Settings().detector_threshold
    faults: list[str] = []
    boxes = [to_boxes(message, threshold, faults.append) for message in messages]
    if faults:
        yield Finding.of(PROBLEM, topic, faults[0])
    if not any(boxes):
        if not faults:
            yield _explain_emptiness(topic, messages, images)
        return
    yield _check_boxes(topic, messages, boxes, images)
    if images is not None and images.stamps:
        yield from _check_stamps(topic, messages, images)


def _check_stamps(topic: str, messages: Sequence[Any], images: TopicStream) -> Iterator[Finding]:
    """Check that detections have the stamps of images."""
    times = np.array([nanoseconds(message.header) for message in messages])
    nearest = np.abs(times[:, None] - np.array(images.stamps)).min(axis=1)
    matched = (nearest <= _MAX_STAMP_DIFFERENCE).mean()
    if matched < _MIN_MATCHED:
        yield Finding(
            PROBLEM, topic, f'{matched:.0%} of the messages have the stamp of an image',
            'the node finds detections by the stamp: make the detector copy the header of the '
            'image',
        )  # fmt: skip


def _check_boxes(
    topic: str, messages: Sequence[Any], boxes: Sequence[list[Box]], images: TopicStream | None
) -> Finding:
    """Check that the coordinates of boxes are those of the images."""
    corners = np.array([box for each in boxes for box in each])
    right, bottom = corners[:, 2].max(), corners[:, 3].max()
    found = f'the boxes of {len(corners)} people reach to ({right:.1f}, {bottom:.1f})'
    if max(right, bottom) <= _MAX_UNIT:
        return Finding(PROBLEM, topic, f'{found}: they are shares of the image', _COORDINATES)
    pair = None if images is None else _find_pair(messages, boxes, images.recent)
    if pair is None:
        return Finding(OK, topic, found)
    given, rgb = pair
    height, width = rgb.shape[:2]
    found = f'{found} in an image of {width} x {height} pixels'
    if right > width * (1 + _MAX_OUTSIDE) or bottom > height * (1 + _MAX_OUTSIDE):
        return Finding(PROBLEM, topic, f'{found}: they are those of another image', _COORDINATES)
    people = _detect(rgb)
    if people and overlaps(np.array(people), np.array(given)).max() < _MIN_OVERLAP:
        found = f'{found}, and none of {len(people)} people found there is in one of them'
        return Finding(PROBLEM, topic, found, _COORDINATES)
    return Finding(OK, topic, found)


def _detect(rgb: NDArray[np.uint8]) -> list[NDArray]:
    """Return the boxes of the people that the own detector finds."""
    with closing(open_detector(Settings())) as detector:
        return [person.box for person in detector(rgb)]


def _find_pair(
    messages: Sequence[Any], boxes: Sequence[list[Box]], images: Iterable[Any]
) -> tuple[list[Box], NDArray[np.uint8]] | None:
    """Return the boxes of the last message with people whose image is known, and that image."""
    for message, given in zip(reversed(messages), reversed(boxes), strict=True):
        for image in images:
            elapsed = abs(nanoseconds(image.header) - nanoseconds(message.header))
            if given and elapsed <= _MAX_STAMP_DIFFERENCE:
                rgb = _read(image)
                return None if rgb is None else (given, rgb)
    return None


def _read(image: Any) -> NDArray[np.uint8] | None:
    """Return the pixels of an image; None if it cannot be read, as the camera's checks tell."""
    try:
        return decompress(image) if hasattr(image, 'format') else to_rgb(image)
    except UnusableInputError:
        return None


def _explain_emptiness(topic: str, messages: Sequence[Any], images: TopicStream | None) -> Finding:
    """Return why no detection is a person."""
    classes = {
        f'{result.hypothesis.class_id!r} with score {result.hypothesis.score:.2f}'
        for message in messages
        for detection in message.detections
        for result in detection.results
    }
    if not classes and any(message.detections for message in messages):
        return Finding(
            WARNING, topic, 'the detections have no class: none of them is a person',
            'make the detector fill in results, with a class_id and a score',
        )  # fmt: skip
    if not classes:
        rgb = None if images is None or images.last is None else _read(images.last)
        people = 0 if rgb is None else len(_detect(rgb))
        found = f'{len(messages)} messages without any detection'
        if not people:
            return Finding(OK, topic, found)
        return Finding(
            WARNING, topic, f'{found}, although there are people in the last image ({people})',
            'check that the detector receives the images of the node, and its threshold',
        )  # fmt: skip
    return Finding(
        WARNING, topic, f'no detection is a person: {", ".join(sorted(classes)[:3])}',
        f'people are those of the class {" or ".join(PERSON_CLASSES)} with a score of at least '
        'detector.threshold: set the names of the classes in the detector',
    )  # fmt: skip
