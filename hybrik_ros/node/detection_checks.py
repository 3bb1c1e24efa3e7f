"""Checks of `hybrik doctor` of another detector: its boxes, classes and stamps."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy

from hybrik_ros.findings import OK, PROBLEM, WARNING, Finding
from hybrik_ros.messages.fields import nanoseconds
from hybrik_ros.messages.images import UnusableInputError
from hybrik_ros.node.detections import PERSON_CLASSES, message_type, to_boxes
from hybrik_ros.settings import SETTINGS

DETECTIONS = 'vision_msgs/msg/Detection2DArray'

_QOS = QoSProfile(depth=20, reliability=QoSReliabilityPolicy.BEST_EFFORT)
_MAX_MESSAGES = 200  # that are kept
_MAX_UNIT = 1.5  # maximum coordinate of boxes whose coordinates are shares of the image
_MAX_OUTSIDE = 0.05  # maximum share of the image by which a box may end outside
_MAX_STAMP_DIFFERENCE = 0.02  # seconds between an image and its detections
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
        node.create_subscription(message_type(), topic, self.messages.append, _QOS)


def check_detections(
    topic: str, messages: Sequence[Any], size: tuple[int, int] | None, stamps: Sequence[int]
) -> Iterator[Finding]:
    """Check detections.

    Parameters
    ----------
    topic : str
        Their topic.
    messages : sequence of vision_msgs.msg.Detection2DArray
        What was received.
    size : tuple of int or None
        Width and height of the images in pixels, if known.
    stamps : sequence of int
        Stamps of the images in nanoseconds; empty if unknown.
    """
    if not messages:
        advice = 'check that the detector runs and receives the images of the node'
        yield Finding(PROBLEM, topic, 'no detections received', advice)
        return
    threshold = float(SETTINGS['detector_threshold'].default)
    try:
        boxes = [box for message in messages for box in to_boxes(message, threshold)]
    except UnusableInputError as fault:
        yield Finding.of(PROBLEM, topic, str(fault))
        return
    yield _check_boxes(topic, boxes, size) if boxes else _explain_classes(topic, messages)
    times = np.array([nanoseconds(message.header) for message in messages])
    if len(stamps):
        nearest = np.abs(times[:, None] - np.array(stamps)).min(axis=1) * 1e-9
        matched = (nearest <= _MAX_STAMP_DIFFERENCE).mean()
        if matched < _MIN_MATCHED:
            yield Finding(
                PROBLEM, topic, f'{matched:.0%} of the messages have the stamp of an image',
                'the node finds detections by the stamp: make the detector copy the header of the '
                'image',
            )  # fmt: skip


def _check_boxes(
    topic: str, boxes: Sequence[Sequence[float]], size: tuple[int, int] | None
) -> Finding:
    """Check that the coordinates of boxes can be those of an image."""
    corners = np.array(boxes)
    right, bottom = corners[:, 2].max(), corners[:, 3].max()
    found = f'the boxes of {len(boxes)} people reach to ({right:.1f}, {bottom:.1f})'
    if max(right, bottom) <= _MAX_UNIT:
        return Finding(PROBLEM, topic, f'{found}: they are shares of the image', _COORDINATES)
    if size is None:
        return Finding(OK, topic, found)
    found = f'{found}; the image has {size[0]} x {size[1]} pixels'
    if right > size[0] * (1 + _MAX_OUTSIDE) or bottom > size[1] * (1 + _MAX_OUTSIDE):
        return Finding(PROBLEM, topic, f'{found}: they are those of another image', _COORDINATES)
    return Finding(OK, topic, found)


def _explain_classes(topic: str, messages: Sequence[Any]) -> Finding:
    """Return why no detection is a person."""
    classes = {
        f'{result.hypothesis.class_id!r} with score {result.hypothesis.score:.2f}'
        for message in messages
        for detection in message.detections
        for result in detection.results
    }
    if not classes:
        return Finding(OK, topic, f'{len(messages)} messages without a classified detection')
    return Finding(
        WARNING, topic, f'no detection is a person: {", ".join(sorted(classes)[:3])}',
        f'people are those of the class {" or ".join(PERSON_CLASSES)} with a score of at least '
        'detector.threshold: set the names of the classes in the detector',
    )  # fmt: skip
