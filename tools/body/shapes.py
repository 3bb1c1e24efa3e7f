"""The template's person, and the shape axes of the betas."""

from __future__ import annotations

from typing import NamedTuple

TEMPLATE = {
    'gender': 0.62, 'age': 0.0, 'muscle': 0.52, 'weight': 0.5, 'height': 0.53, 'proportions': 0.6
}  # fmt: skip


class Axis(NamedTuple):
    """A shape axis: a unit of beta is `scale` times half the difference of two bodies.

    Attributes
    ----------
    name : str
        Name of the axis.
    plus, minus : dict
        Factors of `MakeHuman.body` in which the two bodies differ from the template.
    scale : float
        Scale of a unit of beta.
    """

    name: str
    plus: dict[str, float]
    minus: dict[str, float]
    scale: float


AXES = (
    Axis('stature', {'height': 0.63}, {'height': 0.43}, 0.72),
    Axis('weight', {'weight': 0.95, 'muscle': 0.3}, {'weight': 0.05, 'muscle': 0.5}, 1.0),
    Axis('gender', {'gender': 1.0}, {'gender': 0.1}, 0.8),  # positive is male
    Axis('muscle', {'muscle': 1.0, 'weight': 0.65}, {'muscle': 0.2, 'weight': 0.4}, 0.8),
    Axis(
        'legs',
        {'upper_leg': 0.4, 'lower_leg': 0.4},
        {'upper_leg': -0.5, 'lower_leg': -0.5},
        0.7,
    ),
    Axis(
        'arms',
        {'upper_arm': 0.4, 'lower_arm': 0.4},
        {'upper_arm': -0.4, 'lower_arm': -0.4},
        0.7,
    ),
    Axis('shoulders', {'shoulders': 0.6}, {'shoulders': -0.6}, 0.7),
    Axis('hips', {'hips': 0.5}, {'hips': -0.5}, 0.7),
    Axis('torso', {'torso': 0.4}, {'torso': -0.4}, 0.7),
    Axis('age', {'age': 0.7}, {'age': 0.0}, 0.6),
)
