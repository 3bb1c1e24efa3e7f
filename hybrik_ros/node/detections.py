"""From another detector's people, as vision_msgs/Detection2DArray, to boxes.

vision_msgs is imported only where it is asked for. Since ROS 2 Humble a box has its
centre in bbox.center.position, before in bbox.center itself.
"""

import math
from typing import Any

from hybrik_ros.messages.images import UnusableInputError

# What detectors call people: by name, or by COCO's index.
_PERSON = ('person', '0')

Box = tuple[float, float, float, float]


def message_type() -> type:
    """Return vision_msgs/Detection2DArray. Raises RuntimeError where it is not installed."""
    try:
        from vision_msgs.msg import Detection2DArray
    except ImportError as error:
        raise RuntimeError(
            f'the parameter detector.external needs vision_msgs, which cannot be imported '
            f'({error}): sudo apt install ros-$ROS_DISTRO-vision-msgs'
        ) from error
    return Detection2DArray


def to_boxes(message: Any, threshold: float) -> list[Box]:
    """Return the people in detections, the surest first: x_min, y_min, x_max, y_max, pixels.

    A detection counts as a person if its best result is one. A box that is turned is widened to
    one that is not.

    Parameters
    ----------
    message: a vision_msgs/Detection2DArray.
    threshold: least score of a person, in [0, 1].

    Raises
    ------
    UnusableInputError: a person's box is not finite, or its size is not positive.
    """
    people = []
    for detection in message.detections:
        best = max(
            (result.hypothesis for result in detection.results),
            key=lambda hypothesis: hypothesis.score,
            default=None,
        )
        if best and best.class_id.strip().lower() in _PERSON and best.score >= threshold:
            people.append((best.score, _box(detection.bbox)))
    return [box for _, box in sorted(people, key=lambda person: -person[0])]


def _box(bounds: Any) -> Box:
    """Return the box around a vision_msgs/BoundingBox2D."""
    centre = bounds.center
    position, theta = getattr(centre, 'position', centre), centre.theta
    numbers = (position.x, position.y, theta, bounds.size_x, bounds.size_y)
    if not (all(map(math.isfinite, numbers)) and bounds.size_x > 0 and bounds.size_y > 0):
        raise UnusableInputError(
            'detection',
            f'the detected box at ({position.x}, {position.y}), turned by {theta}, of '
            f'{bounds.size_x} x {bounds.size_y} pixels is none: does the detector fill in bbox?',
        )
    cos, sin = abs(math.cos(theta)), abs(math.sin(theta))
    width = (bounds.size_x * cos + bounds.size_y * sin) / 2
    height = (bounds.size_x * sin + bounds.size_y * cos) / 2
    return position.x - width, position.y - height, position.x + width, position.y + height
