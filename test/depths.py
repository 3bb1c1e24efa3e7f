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
    a, b, c = corners.transpose(1, 0, 2)
    normals = np.cross(b - a, c - a)
    heights = np.sum(normals * a, axis=1)
    # A ray meets a triangle that faces the camera if it is inside of all planes through its edges.
    planes = np.stack([np.cross(a, b), np.cross(b, c), np.cross(c, a)], axis=1)
    pixels = camera.project(corners)
    low = np.maximum(np.floor(pixels.min(axis=1)), 0).astype(int)
    high = np.maximum(np.ceil(pixels.max(axis=1)) + 1, 0).astype(int)
    for i in np.flatnonzero(heights < 0):
        (left, top), (right, bottom) = low[i], high[i]
        seen = rays[top:bottom, left:right]
        inside = (seen @ planes[i].T <= 0).all(axis=2)
        part = depth[top:bottom, left:right]
        part[inside] = np.minimum(part[inside], heights[i] / (seen[inside] @ normals[i]))
    return depth


def as_measured(depth: NDArray, rng: np.random.Generator) -> NDArray[np.float32]:
    """What a sensor makes of depths: noise of 1 %, steps of 1 cm, and holes, NaN, 0 and inf."""
    measured = np.round(depth * rng.normal(1, 0.01, depth.shape), 2)
    holes = rng.choice(4, depth.shape, p=[0.7, 0.1, 0.1, 0.1])
    return np.choose(holes, [measured, np.nan, 0.0, np.inf]).astype(np.float32)
