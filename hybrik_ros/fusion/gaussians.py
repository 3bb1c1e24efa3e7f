"""The most probable landmarks of one person, by what several cameras see.

Each camera tells of each landmark where it is: well across its ray, badly along it, and all depths
of one camera share the error of the person's distance. These are Gaussians, so the most probable
landmarks are the solution of a 3 x 3 system each, and of one number for each camera, by turns. What
lies far from the others' landmark counts less (Geman and McClure, 1987).
"""

from typing import NamedTuple

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.compiling import compiled, floats, kernel
from hybrik_ros.kinematics.matrices import invert, rotate
from hybrik_ros.vectors import dot

# Standard deviation in metres of a landmark across its ray.
ACROSS = 0.02
# Distances in metres, across and along the ray, of a landmark from the fused one at which it counts
# a quarter, and half.
_FAR_ACROSS, _FAR_ALONG = 0.1, 0.3
_MIN_CONFIDENCE = 1e-3  # A landmark that is hidden from all cameras is where they guess it.
_STEPS = 6


class Fused(NamedTuple):
    """Landmarks of one person.

    Attributes
    ----------
    points : ndarray
        Landmarks (N, 3) in metres, fixed frame.
    confidence : ndarray
        Confidence (N) of the landmarks in [0, 1].
    weights : ndarray
        Confidence (V, N) of each view in each landmark in [0, 1], less where it is far from the
        others.
    """

    points: Array
    confidence: Array
    weights: Array


class Prior(NamedTuple):
    """Where motion tells that landmarks are.

    Attributes
    ----------
    points : ndarray
        Landmarks (N, 3) in metres, fixed frame.
    sigma : float
        Their standard deviation in metres along each axis.
    """

    points: Array
    sigma: float


def fuse(
    points: Array,
    rays: Array,
    confidence: Array,
    belief: Array,
    depth_sigmas: Array,
    distance_sigmas: Array,
    prior: Prior | None = None,
) -> Fused:
    """Return the most probable landmarks of a person.

    Parameters
    ----------
    points : ndarray
        Landmarks (V, N, 3) in metres as each of V views sees them, fixed frame.
    rays : ndarray
        Unit vectors (V, N, 3) from each camera to its landmarks.
    confidence, belief : ndarray
        Confidence (V, N) in [0, 1], and how far it is believed, in [0, 1].
    depth_sigmas : ndarray
        Standard deviation (V, N) in metres of each depth, relative to the person's distance.
    distance_sigmas : ndarray
        Standard deviation (V) in metres of the distance of the person from each camera.
    prior : Prior, optional
        Where motion tells that the landmarks are.
    """
    fused, weights = np.empty(points.shape[1:]), np.empty(confidence.shape)
    seen = np.empty(confidence.shape[1])
    where, information = (points[0], 0.0) if prior is None else (prior.points, prior.sigma**-2)
    _fuse(
        points, rays, confidence, belief, depth_sigmas, distance_sigmas, where, information, fused,
        weights, seen,
    )  # fmt: skip
    return Fused(fused, seen, weights)


@kernel(
    *(floats(3), floats(3), floats(2), floats(2), floats(2), floats(1), floats(2), 'float64'),
    *(floats(2), floats(2), floats(1)),
)
def _fuse(
    points: Array, rays: Array, confidence: Array, belief: Array, depth_sigmas: Array,
    distance_sigmas: Array, prior: Array, prior_information: float, fused: Array, weights: Array,
    seen: Array,
) -> None:  # fmt: skip
    """Fill points, weights and confidence of Fused."""
    views, count = confidence.shape
    shifts, fits, believed = np.zeros(views), np.ones((views, count)), np.empty((views, count))
    across, along = np.empty((views, count)), np.empty((views, count))
    matrix, inverse, right = np.empty((3, 3)), np.empty((3, 3)), np.empty(3)
    for v in range(views):
        for n in range(count):
            believed[v, n] = max(confidence[v, n] * belief[v, n], _MIN_CONFIDENCE)
            across[v, n] = believed[v, n] / ACROSS**2
            along[v, n] = believed[v, n] / depth_sigmas[v, n] ** 2
    for step in range(_STEPS):
        for n in range(count):
            _collect(n, points, rays, across, along, shifts, prior, prior_information, matrix,
                     right)  # fmt: skip
            invert(matrix, inverse)
            rotate(inverse, right, fused[n])
        for v in range(views):
            shifts[v] = _find_shift(points[v], rays[v], along[v], fused, distance_sigmas[v])
        if views > 1 and step > 0:
            for v in range(views):
                _doubt(points[v], rays[v], believed[v], depth_sigmas[v], fused, shifts[v],
                       across[v], along[v], fits[v])  # fmt: skip
    for n in range(count):
        hidden = 1.0
        for v in range(views):
            weights[v, n] = confidence[v, n] * fits[v, n]
            hidden *= 1 - weights[v, n]
        seen[n] = 1 - hidden


@compiled
def _collect(
    n: int, points: Array, rays: Array, across: Array, along: Array, shifts: Array, prior: Array,
    prior_information: float, matrix: Array, right: Array,
) -> None:  # fmt: skip
    """Fill the inverse covariance (3, 3) of landmark n, and its product (3) with the mean.

    They follow from the shifts (V) of all depths.
    """
    for r in range(3):
        right[r] = prior_information * prior[n, r]
        for c in range(3):
            matrix[r, c] = prior_information if r == c else 0.0
    for v in range(len(shifts)):
        ray, low, high = rays[v, n], along[v, n], across[v, n]
        reach = dot(ray, points[v, n])
        for r in range(3):
            aside = points[v, n, r] - reach * ray[r]
            right[r] += high * aside + low * (reach + shifts[v]) * ray[r]
            matrix[r, r] += high
            for c in range(3):
                matrix[r, c] += (low - high) * ray[r] * ray[c]


@compiled
def _find_shift(
    points: Array, rays: Array, along: Array, fused: Array, distance_sigma: float
) -> float:
    """Return the most probable error of the person's distance from one camera in metres."""
    total, moment = distance_sigma**-2, 0.0
    for n in range(len(points)):
        depth = 0.0
        for k in range(3):
            depth += (fused[n, k] - points[n, k]) * rays[n, k]
        total += along[n]
        moment += along[n] * depth
    return moment / total


@compiled
def _doubt(
    points: Array, rays: Array, believed: Array, depth_sigmas: Array, fused: Array, shift: float,
    across: Array, along: Array, fits: Array,
) -> None:  # fmt: skip
    """Fill the information (N) of one view, and how far it fits (N), by its distance from fused."""
    for n in range(len(points)):
        depth = square = 0.0
        for k in range(3):
            gap = fused[n, k] - points[n, k]
            depth += gap * rays[n, k]
            square += gap * gap
        aside = max(square - depth**2, 0.0) / _FAR_ACROSS**2
        away = ((depth - shift) / _FAR_ALONG) ** 2
        fits[n] = 1 / (1 + aside) ** 2
        across[n] = believed[n] * fits[n] / ACROSS**2
        along[n] = believed[n] / (1 + away) / depth_sigmas[n] ** 2
