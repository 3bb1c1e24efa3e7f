"""Association: where the people of a frame are, and which track each of them is."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from hybrik_ros.arrays import Array, Image
from hybrik_ros.camera import Camera, ImpossiblePoseError, overlaps
from hybrik_ros.perception.appearance import clothing_colours, dissimilarity
from hybrik_ros.perception.estimator import Observation
from hybrik_ros.perception.observer import Found
from hybrik_ros.tracking.track import GLANCE_SECONDS, Sighting, State, Track

# Maximum time between two frames for which a person is expected where the first one showed it.
MAX_LOOK_SECONDS = 2.0

# Gate: maximum distance in metres from the predicted position, and its growth in metres per second
# since the person was last seen. Depth, which is seen worst, counts half.
_GATE = 0.7
_GATE_GROWTH = 1.5
_AXIS_WEIGHTS = np.array([1.0, 1.0, 0.5])
# Minimum intersection over union of the boxes of people occluding each other.
_MIN_OCCLUSION = 0.02
# Cost of a gated pair; the maximum of an admissible cost. A larger value would break up a good pair
# to find some match for every sighting.
_GATED = 3.0
_MAX_DISSIMILARITY = 0.85  # of the clothes of a lost person


def sight(
    people: Sequence[Found], rgb: Image, camera: Camera
) -> list[tuple[Observation, Sighting]]:
    """Return where each person is, those whose hips lie behind the camera left out."""
    found = []
    for observation, agreement in people:
        try:
            position = observation.hips
        except ImpossiblePoseError:
            continue
        scale = camera.matrix[0, 0] / position[2]
        keypoints = observation.keypoints
        clothes = clothing_colours(rgb, keypoints)
        sighting = Sighting(position, observation.box, keypoints, scale, clothes, agreement)
        found.append((observation, sighting))
    return found


def assign(
    sightings: Sequence[Sighting], tracks: Sequence[Track], stamp: float
) -> list[Track | None]:
    """Return the track of each sighting; None for a new person.

    The assignment minimises the sum of costs: distance from the predicted position, overlap with
    the predicted box, and difference of the clothes.

    Parameters
    ----------
    sightings : sequence of Sighting
        The people of a frame, in the camera's optical frame.
    tracks : sequence of Track
        The known people.
    stamp : float
        Time of the frame in seconds.

    Returns
    -------
    list of Track or None
        The track of each sighting, in their order; each track at most once.
    """
    found: list[Track | None] = [None] * len(sightings)
    if not sightings or not tracks:
        return found
    cost = _costs(sightings, tracks, stamp)
    for row, column in zip(*linear_sum_assignment(cost), strict=True):
        if cost[row, column] < _GATED:
            found[column] = tracks[row]
    return found


def find_occluded(sightings: Sequence[Sighting], lost: Sequence[Track], stamp: float) -> list[bool]:
    """Return for each sighting whether another one overlaps it, or a track that is lost there.

    Parameters
    ----------
    sightings : sequence of Sighting
        The people of a frame, with boxes in pixels.
    lost : sequence of Track
        The tracks that are lost, or were until this frame.
    stamp : float
        Time of the frame in seconds.

    Returns
    -------
    list of bool
        Whether each sighting is occluded or occludes, in their order.
    """
    if not sightings:
        return []
    boxes = np.array([sighting.box for sighting in sightings])
    others = np.array([*boxes, *(track.predict_box(stamp) for track in lost)])
    shared = overlaps(boxes, others)
    np.fill_diagonal(shared, 0.0)
    return [bool(most > _MIN_OCCLUSION) for most in shared.max(axis=1)]


def _costs(sightings: Sequence[Sighting], tracks: Sequence[Track], stamp: float) -> Array:
    """Return the cost (T, S) of each pair of track and sighting."""
    positions = np.array([sighting.position for sighting in sightings])
    predicted = np.array([track.predict_position(stamp) for track in tracks])
    elapsed = np.array([track.elapsed(stamp) for track in tracks])
    distance = np.linalg.norm((predicted[:, None] - positions) * _AXIS_WEIGHTS, axis=2)
    shared = overlaps(
        np.array([track.predict_box(stamp) for track in tracks]),
        np.array([sighting.box for sighting in sightings]),
    )
    different = dissimilarity(
        np.array([track.clothes for track in tracks])[:, None],
        np.array([sighting.clothes for sighting in sightings]),
    )
    cost = np.minimum(distance / _GATE, 1) + 1 - shared + different
    cost[distance > (_GATE + _GATE_GROWTH * elapsed)[:, None]] = _GATED
    # The light may change while a person is missed for a moment.
    was_lost = np.array([track.state is State.LOST for track in tracks])
    is_lost = elapsed > np.where(was_lost, GLANCE_SECONDS, MAX_LOOK_SECONDS)
    cost[is_lost[:, None] & (different > _MAX_DISSIMILARITY)] = _GATED
    return np.asarray(cost)
