"""Conversion of an external detector's vision_msgs/Detection2DArray to boxes of people.

vision_msgs is optional and imported on demand. Since ROS 2 Humble the centre of a box is
bbox.center.position; before, it was bbox.center itself.
"""

import math
from typing import Any

from hybrik_ros.messages.images import UnusableInputError

# Class ids of people: the name, or COCO's index.
_PERSON_CLASSES = ('person', '0')

Box = tuple[float, float, float, float]  # x_min, y_min, x_max, y_max in pixels


def message_type() -> type:
    """Return the class of vision_msgs/Detection2DArray.

    Raises
    ------
    RuntimeError
        vision_msgs is not installed.
    """
    try:
        from vision_msgs.msg import Detection2DArray
    except ImportError as error:
        raise RuntimeError(
            f'the parameter detector.external needs vision_msgs, which cannot be imported '
            f'({error}): sudo apt install ros-$ROS_DISTRO-vision-msgs'
        ) from error
    return Detection2DArray


def to_boxes(message: Any, threshold: float) -> list[Box]:
    """Return the boxes of the people in detections.

    A detection is a person if its result with the highest score is one. A rotated box is replaced
    by the axis-aligned box around it.

    Parameters
    ----------
    message : vision_msgs.msg.Detection2DArray
        The detections.
    threshold : float
        Minimum score of a person, in [0, 1].

    Returns
    -------
    list of tuple
        Boxes (x_min, y_min, x_max, y_max) in pixels, in descending order of the score.

    Raises
    ------
    UnusableInputError
        The box of a person is not finite, or its size is not positive.
    """
    people = []
    for detection in message.detections:
        best = max(
            (result.hypothesis for result in detection.results),
            key=lambda hypothesis: hypothesis.score,
            default=None,
        )
        if best and best.class_id.strip().lower() in _PERSON_CLASSES and best.score >= threshold:
            people.append((best.score, _box(detection.bbox)))
    return [box for _, box in sorted(people, key=lambda person: -person[0])]


def _box(bounds: Any) -> Box:
    """Return the axis-aligned box around a vision_msgs/BoundingBox2D."""
    centre = bounds.center
    position, theta = getattr(centre, 'position', centre), centre.theta
    numbers = (position.x, position.y, theta, bounds.size_x, bounds.size_y)
    if not (all(map(math.isfinite, numbers)) and bounds.size_x > 0 and bounds.size_y > 0):
        raise UnusableInputError(
            'detection',
            f'detection ignored: its box of {bounds.size_x} x {bounds.size_y} pixels at '
            f'({position.x}, {position.y}), rotated by {theta} rad, must be finite and have a '
            f'positive size: check that the detector fills in bbox',
        )
    cos, sin = abs(math.cos(theta)), abs(math.sin(theta))
    width = (bounds.size_x * cos + bounds.size_y * sin) / 2
    height = (bounds.size_x * sin + bounds.size_y * cos) / 2
    return position.x - width, position.y - height, position.x + width, position.y + height
