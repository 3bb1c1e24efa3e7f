"""What cameras around a posed body would see if networks made no errors, or given ones."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from shown import landmark_points

from hybrik_ros.body import BodyModel
from hybrik_ros.fusion import View
from hybrik_ros.human import HumanObservation

# In the rest frame y is up; in the fixed frame z is.
UPRIGHT = Rotation.from_euler('x', 90, degrees=True).as_matrix()


def standing(
    body: BodyModel, seed: int = 0, place: tuple[float, float] = (0.0, 0.0), std: float = 0.2
) -> tuple[NDArray, NDArray]:
    """Joints (29, 3) and landmarks (33, 3) of a random pose at a place on the floor, z up."""
    rng = np.random.default_rng(seed)
    rotations = Rotation.from_rotvec(rng.normal(0, std, (24, 3))).as_matrix()
    rotations[0] = UPRIGHT @ rotations[0]
    betas = np.zeros(body.num_betas)
    return landmark_points(body, betas, rotations, np.array([*place, 1.0]))


def look_at(position: tuple[float, float, float], target: NDArray) -> NDArray:
    """Transform (4, 4) from the optical frame of a camera there that looks at a target, z up."""
    ahead = np.asarray(target, float) - position
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    transform = np.eye(4)
    transform[:3, :3] = np.column_stack([right, np.cross(ahead, right), ahead])
    transform[:3, 3] = position
    return transform


def around(count: int, distance: float = 3.0) -> list[NDArray]:
    """Transforms of cameras on a circle around the origin, at a height of 1.5 m."""
    angles = 0.3 + 2 * np.pi * np.arange(count) / count
    return [
        look_at((distance * np.cos(a), distance * np.sin(a), 1.5), np.array([0, 0, 1.0]))
        for a in angles
    ]


def observe(points: NDArray, transform: NDArray, id: str = 'p1') -> HumanObservation:
    """What a camera sees of landmarks (33, 3), exactly."""
    local = (points - transform[:3, 3]) @ transform[:3, :3]
    distance = float(local[[23, 24], 2].mean())
    return HumanObservation(
        id=id,
        confidence=1.0,
        landmarks='blazepose',
        rays=local[:, :2] / local[:, 2:],
        landmark_confidence=np.ones(len(points)),
        belief=np.ones(24),
        depths=local[:, 2] - distance,
        depth_sigmas=np.full(len(points), 0.2),
        distance=distance,
        distance_sigma=0.12 * distance,
        clothes=np.full((2, 3), np.nan),
    )


def views(
    people: list[NDArray],
    transforms: list[NDArray],
    stamp: float,
    rng: np.random.Generator | None = None,
) -> dict[str, View]:
    """What each camera sees of people's landmarks; with an rng, with a network's errors."""
    found = {}
    for number, transform in enumerate(transforms):
        seen = [observe(points, transform, f'p{i}') for i, points in enumerate(people)]
        if rng is not None:
            seen = [blur(one, rng) for one in seen]
        found[f'camera{number}'] = View(stamp, transform, seen)
    return found


def blur(seen: HumanObservation, rng: np.random.Generator) -> HumanObservation:
    """An observation with errors of 1 cm across rays, 10 cm along them, 10 % of the distance."""
    return replace(
        seen,
        rays=seen.rays + rng.normal(0, 0.01 / seen.distance, seen.rays.shape),
        depths=seen.depths + rng.normal(0, 0.1, seen.depths.shape),
        distance=seen.distance * (1 + rng.normal(0, 0.1)),
    )
