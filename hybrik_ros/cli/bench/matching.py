"""Assignment of the bodies found in a picture to the people in it, which are marked by boxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from scipy.optimize import linear_sum_assignment

from hybrik_ros.arrays import Array

# Minimum intersection over union of a body with its person, absolute and relative to that with the
# person it overlaps most. Boxes drawn by hand include hair, hands and clothes, those of bodies end
# at joints: of the pictures of `hybrik bench perception --stills`, the lowest is 0.32.
_MIN_OVERLAP = 0.25
_MIN_RELATIVE_OVERLAP = 0.7
# Minimum share of the trunk's joints in the box of one person only: a body with as many in the
# boxes of two people is between them. In these pictures, bodies that look so have 0.17 or more.
_MIN_EXCLUSIVE = 0.15
# Distance beyond the side of a person's box, as a share of its width, up to which a joint is
# the person's: the box ends at what is seen, and a side hidden behind another person goes on.
_TOLERANCE = 0.1
_MIN_IGNORED = 0.5  # minimum share of the trunk's joints in ignored regions


class Match(Enum):
    """What a body is."""

    FOUND = 'found'  # the body of one person
    DUPLICATE = 'duplicate'  # a second body of one person
    BETWEEN = 'between'  # a body whose trunk is on several people
    IGNORED = 'ignored'  # in a region with uncounted people
    FALSE = 'false'  # on no person


@dataclass(frozen=True, eq=False)
class Body:
    """A body in a picture.

    Attributes
    ----------
    box : ndarray
        Bounding box (4): x_min, y_min, x_max, y_max in pixels.
    trunk : ndarray
        Joints (J, 2) of the trunk in pixels.
    """

    box: Array
    trunk: Array


def match(
    bodies: Sequence[Body], people: Array, ignored: Array, size: tuple[int, int]
) -> list[Match]:
    """Return what each body is.

    Parameters
    ----------
    bodies : sequence of Body
        The bodies.
    people, ignored : ndarray
        Boxes (N, 4) of people, and of regions with uncounted people.
    size : tuple of int
        Width and height of the picture.

    Returns
    -------
    list of Match
        One for each body. At most one body is FOUND for each person.
    """
    matches = [_match_unassigned(body, people, ignored, size) for body in bodies]
    boxes = np.array([body.box for body in bodies]).reshape(-1, 1, 4)
    overlaps = _overlaps(boxes, people)
    best = overlaps.max(axis=1, initial=0.0, keepdims=True)
    fits = overlaps >= np.maximum(_MIN_OVERLAP, _MIN_RELATIVE_OVERLAP * best)
    fits[[each is Match.BETWEEN for each in matches]] = False
    for body in np.flatnonzero(fits.any(axis=1)):
        matches[body] = Match.DUPLICATE
    chosen = linear_sum_assignment(np.where(fits, overlaps, 0.0), maximize=True)
    for body in chosen[0][fits[chosen]]:
        matches[body] = Match.FOUND
    return matches


def _match_unassigned(body: Body, people: Array, ignored: Array, size: tuple[int, int]) -> Match:
    """Return what a body is that fits no person."""
    if _is_between(body, people, size):
        return Match.BETWEEN
    return Match.IGNORED if _is_ignored(body, ignored, size) else Match.FALSE


def _overlaps(boxes: Array, people: Array) -> Array:
    """Return the intersection over union (M, N) of boxes (M, 1, 4) and (N, 4)."""
    low = np.maximum(boxes[..., :2], people[:, :2])
    high = np.minimum(boxes[..., 2:], people[:, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=2)
    union = _areas(boxes) + _areas(people) - common
    return np.asarray(common / np.maximum(union, np.finfo(float).tiny))


def _areas(boxes: Array) -> Array:
    return np.asarray(np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1))


def _inside(body: Body, boxes: Array, size: tuple[int, int]) -> Array:
    """Return whether each of the trunk's joints in the picture (J) is in each box (N): (J, N)."""
    visible = np.all((body.trunk >= 0) & (body.trunk < size), axis=1)
    joints = body.trunk[visible, None]
    margin = _TOLERANCE * (boxes[:, 2:] - boxes[:, :2]) * [1, 0]
    low, high = boxes[:, :2] - margin, boxes[:, 2:] + margin
    return np.all((joints >= low) & (joints <= high), axis=2)


def _is_between(body: Body, people: Array, size: tuple[int, int]) -> bool:
    """Return whether joints belong to one person only, and others to another only."""
    inside = _inside(body, people, size)
    exclusive = inside[inside.sum(axis=1) == 1].sum(axis=0)
    return bool(np.sum(exclusive >= max(1.0, _MIN_EXCLUSIVE * len(inside))) > 1)


def _is_ignored(body: Body, ignored: Array, size: tuple[int, int]) -> bool:
    """Return whether most joints are in ignored regions."""
    inside = _inside(body, ignored, size).any(axis=1)
    return bool(inside.any() and inside.mean() >= _MIN_IGNORED)
