"""Conversion of an external detector's vision_msgs/Detection2DArray to boxes of people.

vision_msgs is optional and imported on demand. Since ROS 2 Humble the centre of a box is
bbox.center.position; before, it was bbox.center itself.
"""

import math
from collections.abc import Callable
from typing import Any

from hybrik_ros.advice import package_advice

# Class ids of people: the name, or COCO's index.
PERSON_CLASSES = ('person', '0')
# Maximum number of messages with detections before one of them is a person.
_MAX_MESSAGES = 30

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
            f'({error}): {package_advice("vision_msgs")}'
        ) from error
    return Detection2DArray


def to_boxes(message: Any, threshold: float, complain: Callable[[str], None]) -> list[Box]:
    """Return the boxes of the people in detections; those that are none are left out.

    A detection is a person if its result with the highest score is one. A rotated box is replaced
    by the axis-aligned box around it.

    Parameters
    ----------
    message : vision_msgs.msg.Detection2DArray
        The detections.
    threshold : float
        Minimum score of a person, in [0, 1].
    complain : callable
        Called with the reason for a box that is left out: it is not finite, or has no size.

    Returns
    -------
    list of tuple
        Boxes (x_min, y_min, x_max, y_max) in pixels, in descending order of the score.
    """
    people = []
    for detection in message.detections:
        best = max(
            (result.hypothesis for result in detection.results),
            key=lambda hypothesis: -1 if math.isnan(hypothesis.score) else hypothesis.score,
            default=None,
        )
        if best and best.class_id.strip().lower() in PERSON_CLASSES and best.score >= threshold:
            box = _box(detection.bbox, complain)
            if box is not None:
                people.append((best.score, box))
    return [box for _, box in sorted(people, key=lambda person: -person[0])]


class ClassCheck:
    """Warns where a detector finds things but has never found a person: its classes may differ.

    Parameters
    ----------
    warn : callable
        Takes the warning.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._has_person = False
        self._count = 0

    def check(self, message: Any, people: list[Box], threshold: float) -> None:
        """Take in a message, and the people that `to_boxes` found in it.

        Parameters
        ----------
        message : vision_msgs.msg.Detection2DArray
            The detections.
        people : list of tuple
            Boxes of the people.
        threshold : float
            Minimum score of a person, in [0, 1].
        """
        self._has_person |= bool(people)
        self._count += bool(message.detections)
        if not self._has_person and self._count >= _MAX_MESSAGES:
            results = [
                f'{result.hypothesis.class_id!r} with score {result.hypothesis.score:.2f}'
                for detection in message.detections
                for result in detection.results
            ]
            self._warn(
                f'no detection has been a person yet: people are those of the class '
                f'{" or ".join(PERSON_CLASSES)} with a score of at least {threshold:g} '
                f'(detector.threshold), and this message has {", ".join(results[:3]) or "no class"}'
            )


def _box(bounds: Any, complain: Callable[[str], None]) -> Box | None:
    """Return the axis-aligned box around a vision_msgs/BoundingBox2D; None if it is no box."""
    centre = bounds.center
    position, theta = getattr(centre, 'position', centre), centre.theta
    numbers = (position.x, position.y, theta, bounds.size_x, bounds.size_y)
    if not (all(map(math.isfinite, numbers)) and bounds.size_x > 0 and bounds.size_y > 0):
        complain(
            f'a detection is ignored, as its box of {bounds.size_x:g} x {bounds.size_y:g} pixels '
            f'at ({position.x:g}, {position.y:g}), rotated by {theta:g} rad, is not finite or has '
            f'no positive size: check that the detector fills in bbox'
        )
        return None
    cos, sin = abs(math.cos(theta)), abs(math.sin(theta))
    width = (bounds.size_x * cos + bounds.size_y * sin) / 2
    height = (bounds.size_x * sin + bounds.size_y * cos) / 2
    return position.x - width, position.y - height, position.x + width, position.y + height
