"""Depth images for tests: what a perfect depth camera would measure of meshes, and its faults."""

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.camera import Camera


def render_depth(vertices: NDArray, faces: NDArray, camera: Camera) -> NDArray:
    """Depths (H, W) of a mesh, infinite beside it: each triangle's plane is met by each ray.

    Naive on purpose, and by another way than drawing.py's: no 1 / z is interpolated.
    """
    depth = np.full((camera.height, camera.width), np.inf)
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = np.concatenate([camera.rays(np.stack([u, v], -1)), np.ones((*u.shape, 1))], -1)
    corners = np.asarray(vertices, float)[faces]
    pixels = camera.project(corners)
    low = np.maximum(np.floor(pixels.min(axis=1)), 0).astype(int)
    high = np.ceil(pixels.max(axis=1)).astype(int) + 1
    for (a, b, c), (left, top), (right, bottom) in zip(corners, low, high, strict=True):
        seen = rays[top:bottom, left:right]
        normal = np.cross(b - a, c - a)
        if not seen.size or normal @ a >= 0:
            continue
        z = (normal @ a) / (seen @ normal)
        met = seen * z[..., None]
        # Inside all three edges, as seen against the normal.
        sides = [np.cross(end - start, met - start) @ normal for start, end in
                 ((a, b), (b, c), (c, a))]  # fmt: skip
        inside = (np.min(sides, axis=0) >= 0) & (z > 0)
        part = depth[top:bottom, left:right]
        part[inside] = np.minimum(part[inside], z[inside])
    return depth


def as_measured(depth: NDArray, rng: np.random.Generator) -> NDArray[np.float32]:
    """What a sensor makes of depths: noise of 1 %, steps of 1 cm, and holes, NaN, 0 and inf."""
    measured = np.round(depth * rng.normal(1, 0.01, depth.shape), 2)
    holes = rng.choice(4, depth.shape, p=[0.7, 0.1, 0.1, 0.1])
    return np.choose(holes, [measured, np.nan, 0.0, np.inf]).astype(np.float32)
