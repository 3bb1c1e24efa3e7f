"""Lines of sight of several cameras: where a posed body is by them, and how well it is known."""

from dataclasses import dataclass

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.camera import ImpossiblePoseError
from hybrik_ros.fusion.gaussians import ACROSS
from hybrik_ros.posing import DEPTH_WEIGHT, Sight
from hybrik_ros.skeleton import NUM_JOINTS

_MIN_WEIGHT = 1e-3  # A joint that is hidden from all cameras is where they guess it.
_MIN_DEPTH = 1e-6  # metres, of a joint in front of a camera
_MIN_DETERMINANT = 1e-12
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class LinesOfSight:
    """How V cameras see the joints of one person.

    Attributes
    ----------
    centres : ndarray
        Centres (V, 3) of the cameras in metres, fixed frame.
    rotations : ndarray
        Rotations (V, 3, 3) from the fixed frame to the optical frames.
    seen, belief : ndarray
        How far each camera shows each joint and leaf (V, 29), and how far that is believed, both in
        [0, 1].
    depth_variances : ndarray
        Variances (V, 29) in square metres along the lines.
    """

    centres: Array
    rotations: Array
    seen: Array
    belief: Array
    depth_variances: Array

    @property
    def shares(self) -> Array:
        """The share (V, 29) of each camera in what is seen of a joint."""
        weights = self.seen * self.belief
        return np.asarray(weights / np.maximum(weights.sum(axis=0), _TINY))

    @property
    def believed(self) -> Array:
        """How far each joint (24) can be believed that cameras show, in [0, 1]."""
        seen, both = (
            1 - np.prod(1 - each, axis=0) for each in (self.seen, self.seen * self.belief)
        )
        return np.asarray(both / np.maximum(seen, _TINY))[:NUM_JOINTS]

    def sight(self, joints: Array) -> Sight:
        """Return the directions in which joints (29, 3) are known worst, as `solve` takes them.

        In the solver, each camera's errors in depth count by DEPTH_WEIGHT.
        """
        values, vectors = np.linalg.eigh(self._information(joints, DEPTH_WEIGHT))
        return values[:, 0] / values[:, 2], vectors[:, :, 0]

    def sigmas(self, joints: Array) -> Array:
        """Return the standard deviation (24) of joints (29, 3) in the worst direction, metres."""
        depth_weights = ACROSS**2 / self.depth_variances
        values = np.linalg.eigvalsh(self._information(joints, depth_weights))
        return np.asarray(ACROSS / np.sqrt(values[:NUM_JOINTS, 0]))

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
        inside, rays = self._project(joints)
        weights = self.shares[:, :NUM_JOINTS] * confidence * (inside[..., 2] > _MIN_DEPTH)
        # An error parallel to the image is P R (offset - t), with P = [1 0 -u; 0 1 -v].
        planes = self.rotations[:, None, :2] - rays[..., None] * self.rotations[:, None, 2:]
        weighted = weights[..., None, None] * planes
        normal = np.einsum('vjka,vjkb->ab', weighted, planes)
        right = np.einsum('vjka,vjkb,jb->a', weighted, planes, joints - posed)
        if not np.linalg.det(normal) > _MIN_DETERMINANT * np.trace(normal) ** 3:
            raise ImpossiblePoseError('the lines of sight do not determine where the body is')
        return np.asarray(np.linalg.solve(normal, right))

    def missed(self, posed: Array, joints: Array) -> Array:
        """Return the mean distance (24) in metres of a body's joints (24, 3) from the lines.

        It is measured parallel to each image.
        """
        inside, _ = self._project(posed)
        away = np.linalg.norm(inside[..., :2] - self._project(joints)[1] * inside[..., 2:], axis=2)
        return np.asarray(np.sum(self.shares[:, :NUM_JOINTS] * away, axis=0))

    def _information(self, joints: Array, depth_weights: Array | float) -> Array:
        """Return the inverse covariance (J, 3, 3) of joints, in units of that across a line."""
        lines = joints - self.centres[:, None]
        lines /= np.linalg.norm(lines, axis=2, keepdims=True)
        weights = np.maximum(self.seen * self.belief, _MIN_WEIGHT)
        less = (1 - depth_weights) * weights
        found = -np.einsum('vja,vjb->jab', less[..., None] * lines, lines)
        found[:, [0, 1, 2], [0, 1, 2]] += weights.sum(axis=0)[:, None]
        return np.asarray(found)

    def _project(self, joints: Array) -> tuple[Array, Array]:
        """Return joints (J, 3) in each camera's frame (V, J, 3), and their rays (V, J, 2)."""
        inside = (joints - self.centres[:, None]) @ self.rotations.transpose(0, 2, 1)
        return inside, inside[..., :2] / np.maximum(inside[..., 2:], _MIN_DEPTH)
