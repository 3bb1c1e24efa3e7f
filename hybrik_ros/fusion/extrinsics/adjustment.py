"""Bundle adjustment: cameras, clocks, landmarks and bone lengths that agree best with all rays.

Residuals are those of rays, in the image plane at unit depth, and of bones, whose lengths are
constant. Both have a soft L1 loss. Landmarks of one instant only depend on each other, so they are
eliminated instant by instant (Schur complement), which leaves a small system of the cameras and
lengths for each step of Levenberg and Marquardt.

References
----------
Triggs et al.: Bundle Adjustment - A Modern Synthesis (1999).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.fusion.extrinsics.pairing import Transform
from hybrik_ros.fusion.extrinsics.tracks import BONES, Instants
from hybrik_ros.fusion.gaussians import fuse
from hybrik_ros.perception.description import DEPTH_SIGMA, DISTANCE_ERROR
from hybrik_ros.rotations import from_rotation_vector, skew

# Standard deviations of a ray at unit depth, 20 mm at 3.5 m, and of a bone's length in metres.
_RAY_SIGMA, _BONE_SIGMA = 0.006, 0.03
_SCALE_SIGMA = 1e-3  # metres, of the sum of all lengths, which rays do not determine
_MIN_DEPTH = 0.1  # metres, of a landmark in front of a camera
_MAX_STEPS = 60
_MIN_DECREASE, _MIN_COST = 1e-6, 1e-18  # relative decrease and cost at which the adjustment ends
_START_DAMPING, _MIN_DAMPING, _MAX_DAMPING = 1e-3, 1e-12, 1e6
# Damping of what nothing determines, as the hidden landmarks: an information in 1 / m^2.
_LEAST = 1e-6
_CAMERA = 7  # parameters of a camera: rotation vector, translation, clock offset


@dataclass(frozen=True, eq=False)
class Scene:
    """Cameras, and the people that they see.

    Attributes
    ----------
    rotations, translations : ndarray
        Rotations (C, 3, 3) and translations (C, 3) in metres from the frame of the first camera to
        the others.
    offsets : ndarray
        Seconds (C) to add to the stamps of each camera to get those of the first.
    points : ndarray
        The used landmarks (K, U, 3) in metres at each instant, frame of the first camera.
    lengths : ndarray
        Length (P, B) of each person's bones in metres; of no meaning for a person at no instant.
    """

    rotations: Array
    translations: Array
    offsets: Array
    points: Array
    lengths: Array


def fuse_points(
    instants: Instants, rotations: Array, translations: Array, chosen: Sequence[int]
) -> tuple[Array, Array]:
    """Return landmarks (K, M, 3) in the fixed frame, and their confidence (K, M).

    Parameters
    ----------
    instants : Instants
        What the cameras see.
    rotations, translations : ndarray
        Rotations (C, 3, 3) and translations (C, 3) from the fixed frame to the cameras.
    chosen : sequence of int
        The M landmarks to fuse.
    """
    chosen = list(chosen)
    centres = -np.einsum('cji,cj->ci', rotations, translations)
    ahead = np.ones((*instants.rays.shape[:2], len(chosen), 1))
    local = np.concatenate([instants.rays[:, :, chosen], ahead], axis=3)
    offsets = np.einsum('cji,kcnj->kcni', rotations, local)
    points = centres[:, None] + offsets * instants.depths[:, :, chosen, None]
    rays = offsets / np.linalg.norm(offsets, axis=3, keepdims=True)
    found, confidence = np.empty((len(instants), len(chosen), 3)), np.empty(points.shape[::2][:2])
    for k, seen in enumerate(instants.seen_by()):
        weights = instants.weights[k, seen][:, chosen]
        distances = np.median(instants.depths[k, seen][:, instants.layout.limbs], axis=1)
        sigmas = np.full(weights.shape, DEPTH_SIGMA)
        fused = fuse(
            points[k, seen], rays[k, seen], weights, np.ones(weights.shape), sigmas,
            DISTANCE_ERROR * distances,
        )  # fmt: skip
        found[k], confidence[k] = fused.points, fused.confidence
    return found, confidence


def start(instants: Instants, transforms: Sequence[Transform], offsets: Array) -> Scene:
    """Return the scene as approximate extrinsics show it.

    Parameters
    ----------
    instants : Instants
        What the cameras see.
    transforms : sequence of Transform
        From the frame of the first camera to that of each of the C cameras.
    offsets : ndarray
        Clock offsets (C) in seconds; those of the instants.
    """
    rotations = np.stack([transform.rotation for transform in transforms])
    translations = np.stack([transform.translation for transform in transforms])
    points, _ = fuse_points(instants, rotations, translations, instants.layout.used)
    lengths = np.linalg.norm(points[:, BONES[:, 1]] - points[:, BONES[:, 0]], axis=2)
    medians = np.zeros((instants.people.max() + 1, len(BONES)))
    for person in np.unique(instants.people):
        medians[person] = np.median(lengths[instants.people == person], axis=0)
    return Scene(rotations, translations, offsets, points, medians)


def adjust(instants: Instants, scene: Scene) -> Scene:
    """Return the scene that agrees best with all rays, at the same sum of all lengths.

    The first camera stays. The offsets are relative to those at which the instants were taken, the
    scene's: rays move on linearly.

    Parameters
    ----------
    instants : Instants
        What the cameras see.
    scene : Scene
        The approximate scene.
    """
    problem = _Problem(instants, scene)
    damping, cost = _START_DAMPING, problem.cost(scene)
    for _ in range(_MAX_STEPS):
        system = problem.linearise(scene)
        while damping < _MAX_DAMPING:
            moved = _move(scene, *_solve(system, damping))
            new = problem.cost(moved)
            if new <= cost:
                break
            damping *= 4
        else:
            return scene
        decrease, scene, cost = cost - new, moved, new
        damping = max(damping / 10, _MIN_DAMPING)
        if decrease <= _MIN_DECREASE * cost or cost < _MIN_COST:
            break
    return scene


def ray_errors(instants: Instants, scene: Scene) -> Array:
    """Return the distances (K, C, U) in metres of landmarks from their rays; NaN if not seen."""
    errors, depths = _Problem(instants, scene).rays(scene)
    used = instants.weights[:, :, instants.layout.used]
    away = np.linalg.norm(errors, axis=3) * _RAY_SIGMA * depths
    return np.where(used > 0, away, np.nan)


@dataclass(frozen=True, eq=False)
class _System:
    """The normal equations: cameras and lengths (Q), landmarks (K, 3 U), and between them."""

    cameras: Array
    cameras_right: Array
    points: Array
    points_right: Array
    between: Array


class _Problem:
    """The cost of a scene, and its normal equations; relative to where it starts."""

    def __init__(self, instants: Instants, begin: Scene) -> None:
        used = instants.layout.used
        self._seen = instants.rays[:, :, used]
        self._velocities = instants.velocities[:, :, used]
        self._weights = instants.weights[:, :, used]
        self._people = instants.people
        self._offsets = begin.offsets
        # A person at no instant would take up any change of scale.
        self._seen_people = np.unique(instants.people)
        self._total = float(begin.lengths[self._seen_people].sum())

    def cost(self, scene: Scene) -> float:
        """Return the sum of all losses."""
        errors, _ = self.rays(scene)
        losses = self._weights * np.sum(errors**2, axis=3)
        scale = self._scale(scene)
        return float(np.sum(_loss(losses)) + np.sum(_loss(self._bones(scene)[0] ** 2)) + scale**2)

    def _scale(self, scene: Scene) -> float:
        """Return the error of the sum of all lengths in sigmas."""
        return float(scene.lengths[self._seen_people].sum() - self._total) / _SCALE_SIGMA

    def rays(self, scene: Scene) -> tuple[Array, Array]:
        """Return the errors (K, C, U, 2) of rays in sigmas, and the depths (K, C, U)."""
        inside = self._inside(scene)
        depths = np.maximum(inside[..., 2], _MIN_DEPTH)
        late = (scene.offsets - self._offsets)[:, None, None]
        expected = self._seen - late * self._velocities
        return (inside[..., :2] / depths[..., None] - expected) / _RAY_SIGMA, depths

    def _inside(self, scene: Scene) -> Array:
        turned = np.einsum('cij,kuj->kcui', scene.rotations, scene.points)
        return np.asarray(turned + scene.translations[:, None])

    def _bones(self, scene: Scene) -> tuple[Array, Array]:
        """Return the errors (K, B) of lengths in sigmas, and the directions (K, B, 3) of bones."""
        bones = scene.points[:, BONES[:, 1]] - scene.points[:, BONES[:, 0]]
        lengths = np.linalg.norm(bones, axis=2)
        errors = (lengths - scene.lengths[self._people]) / _BONE_SIGMA
        return errors, bones / np.maximum(lengths, _MIN_DEPTH**2)[..., None]

    def linearise(self, scene: Scene) -> _System:
        """Return the normal equations of a scene."""
        errors, depths = self.rays(scene)
        weights = self._weights * _influence(self._weights * np.sum(errors**2, axis=3))
        by_inside = _project_derivative(self._inside(scene), depths) / _RAY_SIGMA
        by_points = by_inside @ scene.rotations[:, None]
        turned = self._inside(scene) - scene.translations[:, None]
        by_cameras = np.concatenate(
            [-by_inside @ skew(turned), by_inside, self._velocities[..., None] / _RAY_SIGMA], axis=4
        )
        instants, cameras, used = weights.shape
        people, bones = scene.lengths.shape
        size = _CAMERA * cameras + people * bones
        system = _System(
            np.zeros((size, size)), np.zeros(size), np.zeros((instants, 3 * used, 3 * used)),
            np.zeros((instants, 3 * used)), np.zeros((instants, size, 3 * used)),
        )  # fmt: skip
        blocks = np.einsum('kcu,kcuia,kcuib->cab', weights, by_cameras, by_cameras)
        for camera, block in enumerate(blocks):
            at = slice(_CAMERA * camera, _CAMERA * (camera + 1))
            system.cameras[at, at] = block
        across = np.einsum('kcu,kcuia,kcuib->kcaub', weights, by_cameras, by_points)
        system.between[:, : _CAMERA * cameras] = across.reshape(instants, -1, 3 * used)
        right = np.einsum('kcu,kcuia,kcui->ca', weights, by_cameras, errors)
        system.cameras_right[: _CAMERA * cameras] = right.ravel()
        own = np.einsum('kcu,kcuia,kcuib->kuab', weights, by_points, by_points)
        at_points = np.arange(3 * used).reshape(used, 3)
        system.points[:, at_points[:, :, None], at_points[:, None]] = own
        system.points_right[:] = np.einsum(
            'kcu,kcuia,kcui->kua', weights, by_points, errors
        ).reshape(instants, -1)
        self._add_bones(scene, system, _CAMERA * cameras)
        return system

    def _add_bones(self, scene: Scene, system: _System, first: int) -> None:
        """Add the residuals of bones, whose lengths are the parameters from first on."""
        errors, directions = self._bones(scene)
        weights = _influence(errors**2) / _BONE_SIGMA
        every, bones = np.arange(len(errors)), len(BONES)
        for bone, (begin, end) in enumerate(BONES):
            # Derivative by both ends, and by the length of the person's bone.
            ends = np.concatenate([-directions[:, bone], directions[:, bone]], axis=1)
            columns = np.concatenate([3 * begin + np.arange(3), 3 * end + np.arange(3)])
            weight = weights[:, bone, None] / _BONE_SIGMA
            system.points[:, columns[:, None], columns] += (
                weight[..., None] * ends[:, :, None] * ends[:, None]
            )
            push = weights[:, bone] * errors[:, bone]
            system.points_right[:, columns] += push[:, None] * ends
            length = first + self._people * bones + bone
            system.between[every[:, None], length[:, None], columns] -= weight * ends
            np.add.at(system.cameras, (length, length), weight[:, 0])
            np.add.at(system.cameras_right, length, -push)
        at = first + (bones * self._seen_people[:, None] + np.arange(bones)).ravel()
        system.cameras[at[:, None], at] += _SCALE_SIGMA**-2
        system.cameras_right[at] += self._scale(scene) / _SCALE_SIGMA


def _loss(squares: Array) -> Array:
    return np.asarray(2 * (np.sqrt(1 + squares) - 1))


def _influence(squares: Array) -> Array:
    """Return the weight of residuals by their squares, for the soft L1 loss."""
    return np.asarray(1 / np.sqrt(1 + squares))


def _project_derivative(inside: Array, depths: Array) -> Array:
    """Return the derivative (..., 2, 3) of rays by points (..., 3) in the optical frame."""
    found = np.zeros((*depths.shape, 2, 3))
    found[..., 0, 0] = found[..., 1, 1] = 1 / depths
    found[..., 2] = -inside[..., :2] / depths[..., None] ** 2
    return found


def _solve(system: _System, damping: float) -> tuple[Array, Array]:
    """Return the step of cameras and lengths (Q), and of landmarks (K, 3 U)."""
    cameras, points = system.cameras.copy(), system.points.copy()
    for matrix in (cameras, points):
        size = np.arange(matrix.shape[-1])
        matrix[..., size, size] += damping * matrix[..., size, size] + _LEAST
    right = np.concatenate(
        [system.between.transpose(0, 2, 1), system.points_right[..., None]], axis=2
    )
    solved = np.linalg.solve(points, right)
    reduced = cameras - np.einsum('kqn,knr->qr', system.between, solved[..., :-1])
    free = slice(_CAMERA, None)  # The first camera stays.
    step = np.zeros(len(cameras))
    pushed = system.cameras_right - np.einsum('kqn,kn->q', system.between, solved[..., -1])
    step[free] = -np.linalg.solve(reduced[free, free], pushed[free])
    return step, -solved[..., -1] - solved[..., :-1] @ step


def _move(scene: Scene, step: Array, moves: Array) -> Scene:
    """Return the scene after a step of cameras and lengths (Q) and of landmarks (K, 3 U)."""
    count = len(scene.rotations)
    cameras = step[: _CAMERA * count].reshape(count, _CAMERA)
    return replace(
        scene,
        rotations=from_rotation_vector(cameras[:, :3]) @ scene.rotations,
        translations=scene.translations + cameras[:, 3:6],
        offsets=scene.offsets + cameras[:, 6],
        points=scene.points + moves.reshape(scene.points.shape),
        lengths=scene.lengths + step[_CAMERA * count :].reshape(scene.lengths.shape),
    )
