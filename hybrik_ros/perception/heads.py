"""The heads of other people, which are covered in the region of a person.

A pose network is shown one person per region. Of a person half hidden by another one, it would take
the other's face for this person's, and with it often front and back, and the arms.
"""

from collections.abc import Sequence

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.perception import coco
from hybrik_ros.perception.detector import trunk_length

NO_HEADS: Array = np.zeros((0, 3))

_NUM_SEEN = 3  # keypoints of a face that show where a head is
_MIN_RADIUS = 0.14  # of a head, in lengths of the trunk; a face seen from the side is narrow
# Distance of two heads, in radii of the larger one, up to which they may be the same head.
_SAME_HEAD = 2.0
# Minimum lead in support of the person that such a head belongs to.
_MIN_LEAD = 0.05


def find_head(keypoints: Array, min_confidence: float) -> Array | None:
    """Return the disc (3) around a head: u, v and radius in pixels; None where it is not seen.

    Parameters
    ----------
    keypoints : ndarray
        Keypoints (17, 3) in COCO's order: u and v in pixels, and their confidence.
    min_confidence : float
        Minimum of the mean confidence of the keypoints of the face that are seen best.
    """
    points, confidence = keypoints[coco.FACE, :2], keypoints[coco.FACE, 2]
    if np.sort(confidence)[-_NUM_SEEN:].mean() < min_confidence:
        return None
    extent = float(np.ptp(points, axis=0).max())
    radius = max(extent, _MIN_RADIUS * trunk_length(keypoints))
    return np.append(np.average(points, axis=0, weights=confidence), radius)


def heads_of_others(heads: Sequence[Array | None], support: Sequence[float]) -> list[Array]:
    """Return for each person the heads of the others, which are to be covered.

    A head that may be the person's own is left, unless the detector agrees better with the other.

    Parameters
    ----------
    heads : sequence of ndarray or None
        Disc (3) around the head of each person, as of find_head.
    support : sequence of float
        How well the detector agrees with each person, in [0, 1].

    Returns
    -------
    list of ndarray
        Discs (N, 3) for each person, as Region takes them.
    """
    found = []
    for i, own in enumerate(heads):
        others = [
            head
            for j, head in enumerate(heads)
            if j != i and head is not None
            if not _is_same(own, head) or support[j] > support[i] + _MIN_LEAD
        ]
        found.append(np.array(others) if others else NO_HEADS)
    return found


def _is_same(first: Array | None, second: Array) -> bool:
    """Return whether two discs (3) may be the same head; the first one may be unknown."""
    if first is None:
        return False
    distance = np.linalg.norm(first[:2] - second[:2])
    return bool(distance < _SAME_HEAD * max(first[2], second[2]))
