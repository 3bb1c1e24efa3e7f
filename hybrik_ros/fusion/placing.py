"""Lines of sight of several cameras: where a posed body is by them, and how well it is known."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.camera import ImpossiblePoseError
from hybrik_ros.compiling import compiled, floats, kernel
from hybrik_ros.fusion.gaussians import ACROSS
from hybrik_ros.kinematics.eigen import diagonalise
from hybrik_ros.kinematics.matrices import determinant, invert, rotate
from hybrik_ros.perception.hybrik import JointPoints
from hybrik_ros.posing import DEPTH_WEIGHT, Sight
from hybrik_ros.skeleton import NUM_JOINTS, NUM_POINTS
from hybrik_ros.vectors import dot, norm

_MIN_WEIGHT = 1e-3  # A joint that is hidden from all cameras is where they guess it.
_MIN_DEPTH = 1e-6  # metres, of a joint in front of a camera
_MIN_DETERMINANT = 1e-12
_TINY = 1e-12
_SHOWN_JOINTS = JointPoints.shown_joints  # of joints and leaves (29)


@dataclass(frozen=True, eq=False)
class LinesOfSight:
    """How V cameras see the joints of one person.

    Attributes
    ----------
    centres : ndarray
        Centres (V, 3) of the cameras in metres, fixed frame.
    rotations : ndarray
        Rotations (V, 3, 3) from the fixed frame to the optical frames.
    weights : ndarray
        How far each camera shows each joint and leaf (V, 29), and that is believed, in [0, 1].
    shares : ndarray
        The share (V, 29) of each camera in what is seen of a joint.
    depth_weights : ndarray
        Variance across each line divided by that along it (V, 29).
    believed : ndarray
        How far each joint (24) can be believed that cameras show, in [0, 1].
    """

    centres: Array
    rotations: Array
    weights: Array
    shares: Array
    depth_weights: Array
    believed: Array

    @classmethod
    def of(
        cls,
        centres: Array,
        rotations: Array,
        seen: Array,
        belief: Array,
        depth_sigmas: Array,
        distance_sigmas: Array,
        sources: NDArray[np.int64],
    ) -> 'LinesOfSight':
        """Return the lines of sight of a person with N landmarks that cameras see.

        Parameters
        ----------
        centres, rotations : ndarray
            As the attributes.
        seen : ndarray
            How far each camera shows each landmark (V, N), in [0, 1].
        belief : ndarray
            How far each joint (V, 24) of it can be believed, in [0, 1].
        depth_sigmas : ndarray
            Standard deviations (V, N) of the depths in metres, relative to the distance.
        distance_sigmas : ndarray
            Standard deviations (V) of the distance of the person in metres.
        sources : ndarray
            The landmarks (29, K) that each joint and leaf is taken from.
        """
        weights, shares, depth_weights = np.empty((3, len(centres), NUM_POINTS))
        believed = np.empty(NUM_JOINTS)
        _find_weights(
            seen, belief, depth_sigmas, distance_sigmas, sources, weights, shares, depth_weights,
            believed,
        )  # fmt: skip
        return cls(centres, rotations, weights, shares, depth_weights, believed)

    def sight(self, joints: Array) -> Sight:
        """Return the directions in which joints (29, 3) are known worst, as `solve` takes them.

        In the solver, each camera's errors in depth count by DEPTH_WEIGHT.
        """
        ratios, directions = np.empty(NUM_POINTS), np.empty((NUM_POINTS, 3))
        _find_worst(joints, self.centres, self.weights, DEPTH_WEIGHT, ratios, directions)
        return ratios, directions

    def sigmas(self, joints: Array) -> Array:
        """Return the standard deviation (24) of joints (29, 3) in the worst direction, metres."""
        sigmas = np.empty(NUM_JOINTS)
        _find_sigmas(joints, self.centres, self.weights, self.depth_weights, sigmas)
        return sigmas

    def locate(self, posed: Array, joints: Array, confidence: Array) -> Array:
        """Return the translation (3) that brings a body's joints nearest to the lines.

        As camera.locate, with the lines of all cameras.

        Parameters
        ----------
        posed, joints : ndarray
            Joints (24, 3) of the body about any origin, and as they are seen, in metres.
        confidence : ndarray
            Confidence (24) of the seen joints in [0, 1].

        Raises
        ------
        ImpossiblePoseError
            The lines do not determine it.
        """
        found = np.empty(3)
        lines = self.centres, self.rotations, self.shares
        if not _locate(posed, joints, confidence, *lines, found):
            raise ImpossiblePoseError('the lines of sight do not determine where the body is')
        return found

    def missed(self, posed: Array, joints: Array) -> Array:
        """Return the mean distance (24) in metres of a body's joints (24, 3) from the lines.

        It is measured parallel to each image.
        """
        away = np.empty(NUM_JOINTS)
        _find_missed(posed, joints, self.centres, self.rotations, self.shares, away)
        return away


@kernel(
    *(floats(2), floats(2), floats(2), floats(1), 'int64[:,::1]'),
    *(floats(2), floats(2), floats(2), floats(1)),
)
def _find_weights(
    seen: Array, belief: Array, depth_sigmas: Array, distance_sigmas: Array,
    sources: NDArray[np.int64], weights: Array, shares: Array, depth_weights: Array,
    believed: Array,
) -> None:  # fmt: skip
    """Fill the attributes of LinesOfSight."""
    count = sources.shape[1]
    for j in range(NUM_POINTS):
        total, hidden, doubted = 0.0, 1.0, 1.0
        for v in range(len(seen)):
            least, sigma = 1.0, 0.0
            for n in range(count):
                least = min(least, seen[v, sources[j, n]])
                sigma += depth_sigmas[v, sources[j, n]] / count
            weights[v, j] = least * belief[v, _SHOWN_JOINTS[j]]
            depth_weights[v, j] = ACROSS**2 / (sigma**2 + distance_sigmas[v] ** 2)
            total += weights[v, j]
            hidden *= 1 - least
            doubted *= 1 - weights[v, j]
        for v in range(len(seen)):
            shares[v, j] = weights[v, j] / max(total, _TINY)
        if j < NUM_JOINTS:
            believed[j] = (1 - doubted) / max(1 - hidden, _TINY)


@kernel(floats(2), floats(2), floats(2), 'float64', floats(1), floats(2))
def _find_worst(
    joints: Array, centres: Array, weights: Array, depth_weight: float, ratios: Array,
    directions: Array,
) -> None:  # fmt: skip
    """Fill the direction (29, 3) in which each joint is known worst.

    The ratios (29) are those of the information along it to that along the best one.
    """
    information, vectors, line = np.empty((3, 3)), np.empty((3, 3)), np.empty(3)
    for j in range(len(joints)):
        information[:] = 0.0
        for v in range(len(centres)):
            _add_line(joints[j], centres[v], weights[v, j], depth_weight, line, information)
        diagonalise(information, vectors)
        worst = best = 0
        for k in range(1, 3):
            if information[k, k] < information[worst, worst]:
                worst = k
            if information[k, k] > information[best, best]:
                best = k
        ratios[j] = information[worst, worst] / information[best, best]
        for k in range(3):
            directions[j, k] = vectors[k, worst]


@kernel(floats(2), floats(2), floats(2), floats(2), floats(1))
def _find_sigmas(
    joints: Array, centres: Array, weights: Array, depth_weights: Array, sigmas: Array
) -> None:
    """Fill the standard deviation (24) in metres of each joint in its worst direction."""
    information, vectors, line = np.empty((3, 3)), np.empty((3, 3)), np.empty(3)
    for j in range(len(sigmas)):
        information[:] = 0.0
        for v in range(len(centres)):
            _add_line(joints[j], centres[v], weights[v, j], depth_weights[v, j], line, information)
        diagonalise(information, vectors)
        least = min(information[0, 0], information[1, 1], information[2, 2])
        sigmas[j] = ACROSS / np.sqrt(least)


@compiled
def _add_line(
    joint: Array, centre: Array, weight: float, depth_weight: float, line: Array, information: Array
) -> None:
    """Add what one camera tells of a joint to its inverse covariance (3, 3); line is scratch.

    The unit is the information across a line.
    """
    weight = max(weight, _MIN_WEIGHT)
    for k in range(3):
        line[k] = joint[k] - centre[k]
    length = norm(line)
    for r in range(3):
        information[r, r] += weight
        for c in range(3):
            information[r, c] -= (1 - depth_weight) * weight * line[r] * line[c] / length**2


@kernel(
    *(floats(2), floats(2), floats(1)),
    *(floats(2), floats(3), floats(2), floats(1)),
)
def _locate(
    posed: Array, joints: Array, confidence: Array, centres: Array, rotations: Array,
    shares: Array, translation: Array,
) -> bool:  # fmt: skip
    """Fill the translation (3) of `locate`; return whether it exists."""
    normal, inverse, right = np.zeros((3, 3)), np.empty((3, 3)), np.zeros(3)
    offset, inside, plane = np.empty(3), np.empty(3), np.empty(3)
    for v in range(len(centres)):
        for j in range(NUM_JOINTS):
            _look_at(joints[j], centres[v], rotations[v], inside)
            if not inside[2] > _MIN_DEPTH:
                continue
            weight = shares[v, j] * confidence[j]
            for k in range(3):
                offset[k] = joints[j, k] - posed[j, k]
            # An error parallel to the image is P R (offset - t), with P = [1 0 -u; 0 1 -v].
            for axis in range(2):
                for k in range(3):
                    ahead = rotations[v, 2, k] * inside[axis] / inside[2]
                    plane[k] = rotations[v, axis, k] - ahead
                along = dot(plane, offset)
                for r in range(3):
                    right[r] += weight * along * plane[r]
                    for c in range(3):
                        normal[r, c] += weight * plane[r] * plane[c]
    trace = normal[0, 0] + normal[1, 1] + normal[2, 2]
    if not determinant(normal) > _MIN_DETERMINANT * trace**3:
        return False
    invert(normal, inverse)
    rotate(inverse, right, translation)
    return True


@kernel(floats(2), floats(2), floats(2), floats(3), floats(2), floats(1))
def _find_missed(
    posed: Array, joints: Array, centres: Array, rotations: Array, shares: Array, away: Array
) -> None:
    """Fill the result (24) of `missed`."""
    inside, seen = np.empty(3), np.empty(3)
    for j in range(NUM_JOINTS):
        away[j] = 0.0
        for v in range(len(centres)):
            _look_at(posed[j], centres[v], rotations[v], inside)
            _look_at(joints[j], centres[v], rotations[v], seen)
            scale = inside[2] / max(seen[2], _MIN_DEPTH)
            aside, below = inside[0] - scale * seen[0], inside[1] - scale * seen[1]
            away[j] += shares[v, j] * np.sqrt(aside**2 + below**2)


@compiled
def _look_at(point: Array, centre: Array, rotation: Array, inside: Array) -> None:
    """Write a point to inside, in the frame of a camera with this centre and rotation."""
    x, y, z = point[0] - centre[0], point[1] - centre[1], point[2] - centre[2]
    for k in range(3):
        inside[k] = rotation[k, 0] * x + rotation[k, 1] * y + rotation[k, 2] * z
