"""People and cameras from above, and the grid of the floor in any camera's image."""

from collections.abc import Iterator, Mapping, Sequence

import cv2
import numpy as np

from hybrik_ros.arrays import Array, Image
from hybrik_ros.camera import Camera
from hybrik_ros.drawing import NEAR, Colour, draw_skeleton, identity_colour
from hybrik_ros.human import Human
from hybrik_ros.printable import printable
from hybrik_ros.skeleton import PELVIS

_PAPER: Colour = (250, 250, 247)
_LINE: Colour = (190, 190, 185)
_INK: Colour = (40, 40, 40)
_HEIGHT = 100.0  # metres of the view above the floor: perspective is hardly visible
_MARGIN = 0.8  # metres around people and cameras
_CAMERA_LENGTH, _CAMERA_WIDTH = 0.4, 0.36  # metres of a camera's triangle
_NAME_DISTANCE = 0.2  # metres of its name above or below it in the picture
_STEP = 0.1  # metres of the parts of which a line on the floor is drawn
_TINY = 1e-9


def draw_top_view(
    cameras: Mapping[str, Array],
    humans: Sequence[Human] = (),
    paths: Sequence[Array] = (),
    side: int = 1000,
) -> Image:
    """Return a picture of cameras and people from above: x to the right, y up.

    Parameters
    ----------
    cameras : mapping
        Transform (4, 4) from the optical frame of each camera to the fixed frame, by its name.
    humans : sequence of Human
        People in the fixed frame, with z up.
    paths : sequence of ndarray
        Positions (K, 3) of further people over time in metres, fixed frame.
    side : int
        Width and height in pixels.

    Returns
    -------
    ndarray
        Image (side, side, 3), uint8: lines of the grid are 1 m apart, cameras are triangles that
        open where they look, people are skeletons with their ids, paths are lines that begin with a
        dot.
    """
    places = [human.joints[:, :2] for human in humans] + [path[:, :2] for path in paths]
    places += [transform[None, :2, 3] for transform in cameras.values()]
    corners = np.concatenate(places) if places else np.zeros((1, 2))
    low, high = corners.min(axis=0) - _MARGIN, corners.max(axis=0) + _MARGIN
    middle, extent = (low + high) / 2, float(np.max(high - low))
    focal, centre = _HEIGHT * side / extent, (side - 1) / 2
    camera = Camera(
        np.array([[focal, 0, centre], [0, focal, centre], [0, 0, 1]]), np.zeros(0), side, side
    )
    # The view looks down, with the x axis to the right.
    view_from_world = np.diag([1.0, -1.0, -1.0, 1.0])
    view_from_world[:3, 3] = -middle[0], middle[1], _HEIGHT

    def place(points: Array) -> Array:
        """Return the pixels (..., 2) of points (..., 3)."""
        return camera.project(_transform(view_from_world, points))

    picture = np.full((side, side, 3), _PAPER, np.uint8)
    draw_floor(picture, camera, view_from_world, middle - extent / 2, middle + extent / 2)
    for text, end in _marks(middle, extent):
        _write(picture, text, place(end))
    for number, path in enumerate(paths, 1):
        _draw_path(picture, place(path), number)
    for name, transform in cameras.items():
        triangle, aside = _show_camera(transform)
        cv2.fillPoly(picture, [place(triangle).round().astype(np.int32)], _INK, cv2.LINE_AA)
        _write(picture, printable(name), place(aside))
    for human in humans:
        joints = _transform(view_from_world, human.joints)
        draw_skeleton(picture, joints, human.joint_confidence, camera)
        aside = human.joints[PELVIS] + [_CAMERA_LENGTH, _CAMERA_LENGTH, 0.0]
        _write(picture, human.id, place(aside), identity_colour(human.id))
    return picture


def draw_floor(
    image_rgb: Image, camera: Camera, camera_from_world: Array, low: Array, high: Array
) -> None:
    """Draw lines on the floor, at z = 0 and 1 m apart, in place.

    Parameters
    ----------
    image_rgb : ndarray
        Image (height, width, 3), uint8; drawn on in place.
    camera : Camera
        Camera of the image.
    camera_from_world : ndarray
        Transform (4, 4) from the fixed frame, z up, to the optical frame.
    low, high : ndarray
        Corners (2) of the rectangle on the floor in metres, x and y.
    """
    width = 1 + image_rgb.shape[0] // 1000
    for axis in range(2):
        along = np.arange(low[1 - axis], high[1 - axis] + _STEP, _STEP)
        for value in _whole_metres((low[axis] + high[axis]) / 2, high[axis] - low[axis]):
            line = np.zeros((len(along), 3))
            line[:, axis], line[:, 1 - axis] = value, along
            seen = _transform(camera_from_world, line)
            seen = seen[seen[:, 2] > NEAR]
            if len(seen):
                pixels = camera.project(seen)
                inside = (pixels >= 0) & (pixels < [camera.width, camera.height])
                points = pixels[inside.all(axis=1)].round().astype(np.int32)
                cv2.polylines(image_rgb, [points], False, _LINE, width, cv2.LINE_AA)


def _marks(middle: Array, extent: float) -> Iterator[tuple[str, Array]]:
    """Yield the text at each line of the grid, and its place (3)."""
    for axis, name in enumerate('xy'):
        for value in _whole_metres(middle[axis], extent):
            end = np.array([*middle - 0.48 * extent, 0.0])
            end[axis] = value
            yield f'{name} {value} m', end


def _whole_metres(middle: float, extent: float) -> range:
    """Return the whole numbers within an extent around a middle."""
    return range(int(np.ceil(middle - extent / 2)), int(np.floor(middle + extent / 2)) + 1)


def _transform(transform: Array, points: Array) -> Array:
    """Return points (..., 3) after a transform (4, 4)."""
    return np.asarray(points @ transform[:3, :3].T + transform[:3, 3])


def _show_camera(transform: Array) -> tuple[Array, Array]:
    """Return a triangle (3, 3) that opens where a camera looks, and the place of its name."""
    centre = transform[:3, 3]
    # The upper edge of the image of a camera that looks down, as in extrinsics.world.stand_up.
    ahead = (transform[:3, 2] - transform[:3, 1]) * [1.0, 1.0, 0.0]
    ahead = ahead / max(float(np.linalg.norm(ahead)), _TINY)
    aside = np.array([-ahead[1], ahead[0], 0.0]) * _CAMERA_WIDTH / 2
    base = centre + ahead * _CAMERA_LENGTH
    below = np.array([0.0, -np.copysign(_NAME_DISTANCE, ahead[1]), 0.0])
    return np.stack([centre, base + aside, base - aside]), centre + below


def _draw_path(picture: Image, pixels: Array, number: int) -> None:
    """Draw a line through pixels (K, 2), with a dot at its start, in a dark colour of its own."""
    line = pixels.round().astype(np.int32)
    red, green, blue = (0.7 * value for value in identity_colour(str(number)))
    colour = red, green, blue
    width = 1 + picture.shape[0] // 400
    cv2.polylines(picture, [line], False, colour, width, cv2.LINE_AA)
    cv2.circle(picture, line[0].tolist(), 2 * width, colour, -1, cv2.LINE_AA)


def _write(picture: Image, text: str, middle: Array, background: Colour | None = None) -> None:
    """Write a text around a pixel (2), moved to be inside of the picture."""
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, picture.shape[0] / 1600
    (width, height), _ = cv2.getTextSize(text, font, scale, 1)
    limit = picture.shape[1] - width, picture.shape[0]
    x = int(np.clip(middle[0] - width / 2, 0, limit[0]))
    y = int(np.clip(middle[1] + height / 2, height, limit[1]))
    if background is not None:
        cv2.rectangle(picture, (x - 3, y - height - 4), (x + width + 3, y + 4), background, -1)
    cv2.putText(picture, text, (x, y), font, scale, _INK, 1, cv2.LINE_AA)
