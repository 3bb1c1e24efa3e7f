"""Synthetic photos of the default body, with known joints: for measurements of the networks.

Skin, hair and patterned clothes have random colours; the background is noise. The camera is random,
too: 0.5 to 2.5 m high, 2 to 8 m away, tilted from 20 degrees up to 30 degrees down, with a field of
view of 45 to 80 degrees. The same generator of random numbers gives the same scenes.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hybrik_ros.arrays import Array, Image
from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Camera
from hybrik_ros.drawing import vertex_normals
from hybrik_ros.kinematics import forward
from hybrik_ros.skeleton import JOINT_NAMES, LANDMARK_VERTICES

_SIDES = ((960, 720), (720, 960))  # width and height of the images in pixels
_HEIGHTS, _DISTANCES = (0.5, 2.5), (2.0, 8.0)  # metres
_TILTS, _PANS, _FIELDS_OF_VIEW = (-20.0, 30.0), (-35.0, 35.0), (45.0, 80.0)  # degrees
_MIN_SIZE = 140  # minimum size of the body in pixels
_MIN_DEPTH = 0.3  # metres
_SHAPE_DEVIATION = 0.7  # standard deviation of the betas
_SUPERSAMPLING = 2  # pixels that are drawn for one of the image, along each side
_SUBPIXEL_BITS = 4  # of cv2's fixed-point coordinates
_OCTAVES = (3, 12, 48)  # cells of the noise along each side of the background
_NOISE = (1.0, 6.0)  # standard deviation of the camera's noise, of 255

# Red, green and blue of skin and hair.
_SKIN = ((232, 190, 160), (200, 150, 115), (150, 100, 70), (95, 62, 45), (245, 208, 185))
_HAIR = ((30, 22, 18), (70, 45, 25), (150, 110, 60), (120, 120, 120))

_UPRIGHT = np.diag([1.0, -1.0, -1.0])  # from the frame of the scene, y up, to a level camera's


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture of the body.

    Attributes
    ----------
    image : ndarray
        Image (H, W, 3), uint8, RGB.
    camera : Camera
        Its camera.
    joints : ndarray
        Joints and leaves (29, 3) in metres, optical frame.
    box : ndarray
        Box (4) around the body in pixels: x_min, y_min, x_max, y_max.
    """

    image: Image
    camera: Camera
    joints: Array
    box: Array


def draw_scene(
    body: BodyModel,
    rotations: Array,
    rng: np.random.Generator,
    distances: tuple[float, float] = _DISTANCES,
) -> Scene:
    """Return a scene with the body in a pose, standing or lying on the floor.

    Parameters
    ----------
    body : BodyModel
        The default body.
    rotations : ndarray
        Parent-relative rotations (24, 3, 3), y up; the person is turned to a random side.
    rng : Generator
        Source of the random numbers.
    distances : tuple of float
        Minimum and maximum distance of the camera in metres.
    """
    rotations = rotations.copy()
    turn = Rotation.from_euler('y', rng.uniform(0, 360), degrees=True).as_matrix()
    rotations[0] = turn @ rotations[0]
    betas = rng.normal(0, _SHAPE_DEVIATION, body.num_betas)
    joints, _ = forward(rotations, body.rest_joints(betas))
    vertices = body.vertices(rotations, betas, np.zeros(3)).astype(float)
    floor = np.array([0, vertices[:, 1].min(), 0])
    while True:
        camera, turn, centre = _random_camera(rng, distances)
        seen = (vertices - floor - centre) @ turn.T
        if seen[:, 2].min() < _MIN_DEPTH:
            continue
        pixels = camera.project(seen)
        box = np.concatenate([pixels.min(axis=0), pixels.max(axis=0)])
        inside = box[:2].min() >= 0 and (box[2:] < (camera.width, camera.height)).all()
        if inside and (box[2:] - box[:2]).max() >= _MIN_SIZE:
            break
    picture = _random_background(rng, camera)
    colours = _light(seen, body, rng) * _random_colours(rng, body)
    _draw_body(picture, seen, body.faces, camera, colours)
    noisy = picture + rng.normal(0, rng.uniform(*_NOISE), picture.shape)
    image = np.clip(noisy, 0, 255).astype(np.uint8)
    return Scene(image, camera, (joints - floor - centre) @ turn.T, box)


def _random_camera(
    rng: np.random.Generator, distances: tuple[float, float]
) -> tuple[Camera, Array, Array]:
    """Return a camera, its rotation (3, 3) from the scene's frame, and its centre (3) there."""
    width, height = _SIDES[rng.integers(len(_SIDES))]
    focal = max(width, height) / 2 / np.tan(np.radians(rng.uniform(*_FIELDS_OF_VIEW)) / 2)
    matrix = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    centre = np.array([0, rng.uniform(*_HEIGHTS), np.exp(rng.uniform(*np.log(distances)))])
    angles = [rng.uniform(*_TILTS), rng.uniform(*_PANS)]
    turn = Rotation.from_euler('xy', angles, degrees=True).as_matrix() @ _UPRIGHT
    return Camera(matrix, np.zeros(0), width, height), turn, centre


def _random_background(rng: np.random.Generator, camera: Camera) -> NDArray[np.float32]:
    """Return a picture (H, W, 3) of smooth and fine noise, 0 to 255."""
    picture = np.zeros((camera.height, camera.width, 3), np.float32)
    for cells in _OCTAVES:
        grid = rng.uniform(0, 255, (cells, cells, 3)).astype(np.float32)
        mode = (cv2.INTER_NEAREST, cv2.INTER_CUBIC)[rng.integers(2)]
        picture += cv2.resize(grid, (camera.width, camera.height), interpolation=mode)
    return np.clip(picture / len(_OCTAVES), 0, 255)


def _light(vertices: Array, body: BodyModel, rng: np.random.Generator) -> Array:
    """Return the brightness (V, 1) of the vertices (V, 3) in a random light from above."""
    light = np.array([0, -1.0, -0.8]) + rng.normal(size=3) * (1.0, 0.5, 0.5)
    ambient = rng.uniform(0.35, 0.6)
    direct = np.maximum(vertex_normals(vertices, body.faces) @ light / np.linalg.norm(light), 0)
    return np.asarray(rng.uniform(0.75, 1.15) * (ambient + (1 - ambient) * direct))[:, None]


def _random_colours(rng: np.random.Generator, body: BodyModel) -> Array:
    """Return colours (V, 3), 0 to 255, of skin, face, hair, top, trousers and shoes."""
    straight = np.tile(np.eye(3), (len(JOINT_NAMES), 1, 1))
    rest = body.vertices(straight, None, np.zeros(3)).astype(float)
    skin = np.array(_SKIN[rng.integers(len(_SKIN))], float)
    colours = np.tile(skin, (len(rest), 1))
    sleeves = [('shoulder',), ('shoulder', 'elbow'), ()][rng.integers(3)]
    shanks = [('knee',), ()][rng.integers(2)]
    for parts in (('spine', 'collar', *sleeves), ('pelvis', 'hip', *shanks), ('ankle', 'foot')):
        worn = _part(body, *parts)
        colours[worn] = np.asarray(rng.uniform(15, 235, 3)) + _pattern(rng, rest[worn])
    points = {name: rest[vertex] for name, vertex in LANDMARK_VERTICES.items()}
    for name in ('left_eye', 'right_eye'):
        away = np.linalg.norm(rest - points[name], axis=1)
        colours[away < 0.017], colours[away < 0.009] = 235, 25
    mouth = np.linalg.norm((rest - points['nose'] + (0, 0.045, 0.01)) * (0.5, 1.5, 0.8), axis=1)
    colours[mouth < 0.013] = skin * (0.75, 0.5, 0.5)
    above = rest[:, 1] > points['left_eye'][1] + 0.055
    behind = (rest[:, 2] < points['left_ear'][2]) & (rest[:, 1] > points['nose'][1])
    colours[_part(body, 'head', 'neck') & (above | behind)] = _HAIR[rng.integers(len(_HAIR))]
    return np.clip(colours, 3, 250)


def _part(body: BodyModel, *names: str) -> NDArray[np.bool_]:
    """Return which vertices (V) belong to joints whose names contain one of the names."""
    joints = [i for i, joint in enumerate(JOINT_NAMES) if any(name in joint for name in names)]
    return np.isin(body.vertex_joints, joints)


def _pattern(rng: np.random.Generator, points: Array) -> Array:
    """Return differences (N, 1) from the mean colour of cloth at points (N, 3), some striped."""
    contrast = (0.0, rng.uniform(10, 50))[rng.integers(2)]
    stripes = np.sign(np.sin(points @ rng.normal(0, 60, 3)))
    folds = np.sin(points @ rng.normal(0, 30, (3, 6)) + rng.uniform(0, 2 * np.pi, 6)).sum(axis=1)
    return np.asarray(contrast * stripes + 3 * folds)[:, None]


def _draw_body(
    image: NDArray[np.float32], vertices: Array, faces: NDArray[np.int32], camera: Camera,
    colours: Array,
) -> None:  # fmt: skip
    """Draw a mesh of coloured vertices in place, far faces first."""
    corners = vertices[faces]
    centres = corners.mean(axis=1)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    shown = np.flatnonzero(np.sum(normals * centres, axis=1) < 0)
    shown = shown[np.argsort(-centres[shown, 2])]
    size = (_SUPERSAMPLING * camera.width, _SUPERSAMPLING * camera.height)
    large = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    pixels = _SUPERSAMPLING * (camera.project(vertices) + 0.5) - 0.5
    polygons = np.rint(pixels[faces[shown]] * 2**_SUBPIXEL_BITS).astype(np.int32)
    paints = colours[faces[shown]].mean(axis=1).tolist()
    for polygon, paint in zip(polygons, paints, strict=True):
        cv2.fillConvexPoly(large, polygon, paint, cv2.LINE_8, _SUBPIXEL_BITS)
    image[:] = cv2.resize(large, image.shape[1::-1], interpolation=cv2.INTER_AREA)
