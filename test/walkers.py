"""Simulated people in front of simulated cameras, as the cameras' pipelines show them."""

import numpy as np
from scipy.spatial.transform import Rotation
from shown import landmark_points

from hybrik_ros.human import HumanObservation
from hybrik_ros.perception.appearance import NOT_SEEN
from hybrik_ros.perception.description import DEPTH_SIGMA, DISTANCE_ERROR
from hybrik_ros.skeleton import JOINT_NAMES

UPRIGHT = Rotation.from_euler('x', 90, degrees=True)  # from y up to z up
STRIDE = 0.9  # seconds
JOINT = {name: index for index, name in enumerate(JOINT_NAMES)}


def looking_at(position, target=(0.0, 0.0, 1.0)):
    """Return the transform (4, 4) from the optical frame of a camera to the world, z up."""
    ahead = np.subtract(target, position)
    ahead = ahead / np.linalg.norm(ahead)
    right = np.cross(ahead, [0, 0, 1])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.column_stack([right, np.cross(ahead, right), ahead])
    pose[:3, 3] = position
    return pose


def corners(count=4, radius=4.0, height=2.2):
    """Return cameras around a room, no two of which face each other exactly."""
    angles = 2 * np.pi * np.arange(count) / count + 0.2 * np.arange(count) / count
    return [looking_at((radius * np.cos(a), radius * np.sin(a), height)) for a in angles]


def stride(time, lift=1.0):
    """Return the rotations (24, 3, 3) of a walking person, z up, to the front of the x axis."""
    phase = 2 * np.pi * time / STRIDE
    angles = np.zeros((24, 3))
    for side, sign in (('left', 1), ('right', -1)):
        swing = sign * np.sin(phase)
        angles[JOINT[f'{side}_hip'], 0] = -0.5 * swing
        angles[JOINT[f'{side}_knee'], 0] = 0.4 + 0.4 * sign * np.cos(phase)
        angles[JOINT[f'{side}_ankle'], 0] = 0.5 * swing - angles[JOINT[f'{side}_knee'], 0]
        angles[JOINT[f'{side}_shoulder'], 2] = -1.2 * sign
        angles[JOINT[f'{side}_shoulder'], 0] = 0.5 * swing
    rotations = Rotation.from_rotvec(lift * angles).as_matrix()
    rotations[0] = (Rotation.from_euler('z', 90, degrees=True) * UPRIGHT).as_matrix()
    return rotations


def on_eight(time):
    """Return position (2) in metres and heading in radians of a walk along an eight."""
    a = 2 * np.pi * time / 7
    velocity = np.array([1.2 * np.cos(a), 2 * 0.8 * np.cos(2 * a)])
    return np.array([1.2 * np.sin(a), 0.8 * np.sin(2 * a)]), np.arctan2(velocity[1], velocity[0])


def on_spot(time):
    """Return position (2) and heading of a person that stays."""
    return np.zeros(2), 0.3


class Walker:
    """A person; `points` are the landmarks (33, 3) at a time, the lowest vertex on the floor."""

    def __init__(self, body, betas=None, path=on_eight, lift=1.0, start=0.0):
        self.body = body
        self.betas = np.zeros(body.num_betas) if betas is None else betas
        self.path, self.lift, self.start = path, lift, start
        self.known = {}

    def points(self, time, joints=False):
        key = round(time, 6)
        if key not in self.known:
            place, heading = self.path(time + self.start)
            rotations = stride(time + self.start, self.lift)
            rotations[0] = Rotation.from_euler('z', heading - np.pi / 2).as_matrix() @ rotations[0]
            vertices = self.body.vertices(rotations, self.betas, np.zeros(3))
            moved = np.array([*place, -float(vertices[:, 2].min())])
            self.known[key] = landmark_points(self.body, self.betas, rotations, moved)
        return self.known[key][0 if joints else 1]


def observe(points, camera, rng, name='p1', across=0.0, deep=0.0, landmarks='blazepose'):
    """Return the observation of landmarks (N, 3), with errors across and along the rays."""
    local = (points - camera[:3, 3]) @ camera[:3, :3]
    local[:, :2] += rng.normal(0, across, (len(points), 2)) if across else 0.0
    rays = local[:, :2] / local[:, 2:]
    depths = local[:, 2] + (rng.normal(0, deep, len(points)) if deep else 0.0)
    distance = float(local[:, 2].mean()) * (1 + (rng.normal(0, 0.05) if deep else 0.0))
    return HumanObservation(
        id=name,
        confidence=1.0,
        landmarks=landmarks,
        rays=rays,
        landmark_confidence=np.ones(len(points)),
        belief=np.ones(24),
        depths=depths - local[:, 2].mean(),
        depth_sigmas=np.full(len(points), DEPTH_SIGMA),
        distance=distance,
        distance_sigma=DISTANCE_ERROR * distance,
        clothes=NOT_SEEN,
    )


def record(
    walkers, cameras, seconds, rate=15.0, late=(), phases=(), seed=0, joints=False, **errors
):
    """Return the streams of cameras c1, c2, ...

    The stamps of a camera are late by its entry of late, in seconds, and its images are taken at
    its part of a period after those of others.
    """
    rng = np.random.default_rng(seed)
    streams = {}
    for at, camera in enumerate(cameras):
        shift = late[at] if late else 0.0
        phase = phases[at] / rate if phases else 0.0
        streams[f'c{at + 1}'] = [
            (
                time + shift,
                [
                    observe(
                        walker.points(time, joints), camera, rng, f'p{10 * at + number}',
                        landmarks='smpl' if joints else 'blazepose', **errors,
                    )
                    for number, walker in enumerate(walkers)
                ],
            )
            for time in phase + np.arange(round(seconds * rate)) / rate
        ]  # fmt: skip
    return streams
