"""Overlays of skeletons and shaded meshes on images, side views and contact sheets.

Images are (height, width, 3) uint8 in RGB order; the centre of the top left pixel is (0, 0), as in
camera_info. Points are in metres in the camera's optical frame (x right, y down, z forward).
"""

from __future__ import annotations

import colorsys
import math
import re
import zlib
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array, Image
from hybrik_ros.camera import Camera
from hybrik_ros.compiling import floats, kernel
from hybrik_ros.human import Human
from hybrik_ros.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS, PELVIS

Points = NDArray[np.floating]
Faces = NDArray[np.integer]
Colour = tuple[int, int, int]

# Vermilion and sky blue of Okabe and Ito's palette (2008), and near white: distinguishable with all
# kinds of colour vision, and in greyscale.
LEFT: Colour = (213, 94, 0)
RIGHT: Colour = (86, 180, 233)
MIDDLE: Colour = (240, 240, 240)

_DARK: Colour = (25, 25, 25)
_BACKGROUND: Colour = (222, 222, 218)

NEAR = 0.05  # minimum depth in metres of points that are drawn
# Maximum absolute pixel coordinate; larger ones would overflow cv2's fixed-point coordinates.
_MAX_PIXEL = 2**15
_SUBPIXEL_BITS = 4  # fractional bits of cv2's fixed-point coordinates

_AMBIENT = 0.3  # brightness of a surface without direct light, relative to full light
# Unit vector towards the light in the optical frame.
_LIGHT = np.array([-0.35, -0.45, -1.0]) / np.linalg.norm([-0.35, -0.45, -1.0])

_SIDE_SPAN = 2.6  # metres from top to bottom of a side view: a person with raised arms fits
_SIDE_DISTANCE = 8.0  # metres from the virtual camera: perspective is hardly visible
# Rotation from optical frame to side view: depth becomes x, so that the camera is at the left.
_QUARTER_TURN = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])


def side_colour(joint: int) -> Colour:
    """Return the colour of a joint and of the bone ending there: LEFT, RIGHT or MIDDLE."""
    name = JOINT_NAMES[joint]
    if name.startswith('left_'):
        return LEFT
    return RIGHT if name.startswith('right_') else MIDDLE


def identity_colour(identity: str) -> Colour:
    """Return the colour of a person: the same in every run, very different for successive ids.

    Parameters
    ----------
    identity : str
        Human.id. The number at its end selects the colour, or a checksum of an id without number.
    """
    number = re.search(r'[0-9]{1,6}$', identity)
    seed = int(number.group()) if number else zlib.crc32(identity.encode()) % 10**6
    golden_ratio = 0.618033988749895
    red, green, blue = colorsys.hsv_to_rgb(seed * golden_ratio % 1.0, 0.35, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_skeleton(
    image_rgb: Image, joints: Points, joint_confidence: Points, camera: Camera
) -> None:
    """Draw the bones of one person in place, near ones over far ones.

    Bones at an inferred joint are thin and dashed, inferred joints are small. Bones that extend
    behind the camera are left out.

    Parameters
    ----------
    image_rgb : ndarray
        Image (height, width, 3), uint8, contiguous; drawn on in place.
    joints : ndarray
        Joints (24, 3) in metres, optical frame.
    joint_confidence : ndarray
        Confidence (24) of the joints; 0 for inferred joints.
    camera : Camera
        Camera of the image.

    Raises
    ------
    ValueError
        An array has the wrong shape or type, or the image is not of the camera's size.
    """
    _check_image(image_rgb, camera)
    joints = _points('joints', joints, NUM_JOINTS)
    seen = np.asarray(joint_confidence) > 0
    if seen.shape != (NUM_JOINTS,):
        raise ValueError(f'joint_confidence must be ({NUM_JOINTS},), not {seen.shape}')
    pixels, drawable = _project(joints, camera)
    stroke = _line_width(image_rgb)

    visible = [i for i in range(NUM_JOINTS) if drawable[i]]
    bones = [i for i in visible if PARENTS[i] in visible]
    for i in sorted(bones, key=lambda i: -joints[[i, PARENTS[i]], 2].sum()):
        ends = pixels[[PARENTS[i], i]]
        if seen[i] and seen[PARENTS[i]]:
            _draw_lines(image_rgb, ends[None], side_colour(i), stroke)
        else:
            _draw_lines(image_rgb, _dashes(ends, 3 * stroke), side_colour(i), (stroke + 1) // 2)
    for i in sorted(visible, key=lambda i: -joints[i, 2]):
        _draw_disc(image_rgb, pixels[i], side_colour(i), 1.5 * stroke if seen[i] else stroke)


def draw_mesh(
    image_rgb: Image,
    vertices: Points,
    faces: Faces,
    camera: Camera,
    colour: Colour,
    alpha: float = 0.8,
) -> None:
    """Blend a smoothly shaded mesh into an image, in place.

    Each pixel shows the nearest face with its outer side towards the camera. Faces that extend
    behind the camera are left out. The light comes from beside the camera.

    Parameters
    ----------
    image_rgb : ndarray
        Image (height, width, 3), uint8, contiguous; drawn on in place.
    vertices : ndarray
        Vertices (V, 3) in metres, optical frame.
    faces : ndarray
        Vertex indices (F, 3) of the faces, counter-clockwise as seen from outside.
    camera : Camera
        Camera of the image.
    colour : tuple of int
        Red, green and blue, 0 to 255, of a surface in full light.
    alpha : float
        Opacity in [0, 1].

    Raises
    ------
    ValueError
        An array has the wrong shape or type, an index is out of range, alpha is out of range, or
        the image is not of the camera's size.
    """
    _check_image(image_rgb, camera)
    vertices = _points('vertices', vertices)
    faces = _faces(faces, len(vertices))
    if not 0 <= alpha <= 1:
        raise ValueError(f'alpha must be from 0 to 1, not {alpha}')
    pixels, drawable = _project(vertices, camera)
    region = _bounds(pixels[drawable], camera)
    if region is None:
        return
    left, top, right, bottom = region
    brightness = _AMBIENT + (1 - _AMBIENT) * np.maximum(vertex_normals(vertices, faces) @ _LIGHT, 0)
    inverse_depth = np.divide(1.0, vertices[:, 2], out=np.zeros(len(vertices)), where=drawable)
    shade = _rasterise(
        pixels - (left, top), inverse_depth, brightness, faces, bottom - top, right - left
    )
    _blend(image_rgb[top:bottom, left:right], shade, np.array(colour, float), float(alpha))


def draw_box(image_rgb: Image, box: Points, label: str, colour: Colour) -> None:
    """Draw a box in place, with its label above it, or inside of it at the upper edge of the image.

    Parameters
    ----------
    image_rgb : ndarray
        Image (height, width, 3), uint8, contiguous; drawn on in place.
    box : ndarray
        Box (4): x_min, y_min, x_max, y_max in pixels. Nothing is drawn if it is not finite.
    label : str
        Text of the label.
    colour : tuple of int
        Red, green and blue, 0 to 255.
    """
    box = np.asarray(box, float)
    if not np.isfinite(box).all():
        return
    x_min, y_min, x_max, y_max = np.clip(box, -_MAX_PIXEL, _MAX_PIXEL).round().astype(int)
    width = max(1, _line_width(image_rgb) // 2)
    cv2.rectangle(image_rgb, (x_min, y_min), (x_max, y_max), colour, width)
    size = max(12, min(image_rgb.shape[:2]) // 30)
    corner = (max(x_min, 0), max(y_min - size, 0))
    _write(image_rgb, label, corner, size, _DARK, background=colour)


def draw_human(
    image_rgb: Image, human: Human, faces: Faces, camera: Camera, mesh: bool = True
) -> None:
    """Draw one person in place: mesh, skeleton, and box with id and confidence.

    Parameters
    ----------
    image_rgb : ndarray
        Image (height, width, 3), uint8, contiguous; drawn on in place.
    human : Human
        The person, as the pipeline returns it.
    faces : ndarray
        Indices (F, 3) into human.vertices.
    camera : Camera
        Camera of the image.
    mesh : bool
        Whether to draw the mesh, if the person has vertices.

    Raises
    ------
    ValueError
        As `draw_mesh` and `draw_skeleton`.
    """
    colour = identity_colour(human.id)
    if mesh and human.vertices is not None:
        draw_mesh(image_rgb, human.vertices, faces, camera, colour)
    draw_skeleton(image_rgb, human.joints, human.joint_confidence, camera)
    draw_box(image_rgb, human.box, f'{human.id} {human.confidence:.2f}', colour)


def draw_humans(
    image_rgb: Image,
    humans: Sequence[Human],
    faces: Faces,
    camera: Camera,
    mesh: bool = True,
) -> None:
    """Draw all people in place with `draw_human`, the nearest last."""
    for human in _sort_far_to_near(humans):
        draw_human(image_rgb, human, faces, camera, mesh)


def side_view(human: Human, faces: Faces, width: int, height: int) -> Image:
    """Return a view of a person from the side, on a plain background.

    It shows errors in depth, which an overlay hides. The camera of the image is at the left, and
    the view extends over 2.6 m around the pelvis from top to bottom.

    Parameters
    ----------
    human : Human
        The person; the mesh is drawn if it has vertices.
    faces : ndarray
        Indices (F, 3) into human.vertices.
    width, height : int
        Size of the view in pixels.

    Returns
    -------
    ndarray
        Image (height, width, 3), uint8.

    Raises
    ------
    ValueError
        As `draw_mesh` and `draw_skeleton`.
    """
    image = np.full((height, width, 3), _BACKGROUND, np.uint8)
    focal = _SIDE_DISTANCE * height / _SIDE_SPAN
    matrix = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    camera = Camera(matrix, np.zeros(0), width, height)

    def turn(points: Points) -> Array:
        return (points - human.joints[PELVIS]) @ _QUARTER_TURN.T + (0, 0, _SIDE_DISTANCE)

    joints = turn(human.joints)
    surface = joints if human.vertices is None else turn(human.vertices)
    pixels, drawable = _project(surface, camera)
    _draw_directions(image, ground=pixels[drawable, 1].max(initial=0.0))
    if human.vertices is not None:
        draw_mesh(image, surface, faces, camera, identity_colour(human.id))
    draw_skeleton(image, joints, human.joint_confidence, camera)
    return image


def views(image_rgb: Image, humans: Sequence[Human], faces: Faces, camera: Camera) -> list[Image]:
    """Return four views of a frame: image, skeletons, meshes, and nearest person from the side.

    Parameters
    ----------
    image_rgb : ndarray
        Image (height, width, 3), uint8; not changed.
    humans : sequence of Human
        The people in the image; may be empty.
    faces : ndarray
        Indices (F, 3) into the vertices of each person.
    camera : Camera
        Camera of the image.

    Returns
    -------
    list of ndarray
        Four images (height, width, 3), uint8.

    Raises
    ------
    ValueError
        As `draw_mesh` and `draw_skeleton`.
    """
    skeletons, meshes = image_rgb.copy(), image_rgb.copy()
    side = np.full_like(image_rgb, _BACKGROUND)
    draw_humans(skeletons, humans, faces, camera, mesh=False)
    for human in _sort_far_to_near(humans):
        if human.vertices is not None:
            draw_mesh(meshes, human.vertices, faces, camera, identity_colour(human.id))
        side = side_view(human, faces, camera.width, camera.height)
    return [image_rgb.copy(), skeletons, meshes, side]


def contact_sheet(
    images: Sequence[Image], captions: Sequence[str], columns: int, width: int = 1920
) -> Image:
    """Return images arranged in rows, with captions and a legend of the colours.

    Parameters
    ----------
    images : sequence of ndarray
        Images (height, width, 3), uint8; each is scaled to the width of a column.
    captions : sequence of str
        Caption of each image.
    columns : int
        Number of images per row.
    width : int
        Width of the sheet in pixels.

    Returns
    -------
    ndarray
        Image (height, width, 3), uint8.

    Raises
    ------
    ValueError
        There is no image, an image has the wrong shape or type, the number of captions differs, or
        a column would be narrower than 32 pixels.
    """
    if not images:
        raise ValueError('images must contain at least one image')
    if len(captions) != len(images):
        raise ValueError(f'captions must be {len(images)}, one for each image, not {len(captions)}')
    if columns < 1 or width // columns < 32:
        raise ValueError(f'columns must be from 1 to width / 32 = {width // 32}, not {columns}')
    cell_width = width // columns
    strip = max(16, cell_width // 16)
    cells = [
        _add_caption(image, caption, cell_width, strip)
        for image, caption in zip(images, captions, strict=True)
    ]
    rows = [_join_row(cells[i : i + columns], width) for i in range(0, len(cells), columns)]
    return np.concatenate([*rows, _legend(width, strip)])


def vertex_normals(vertices: Points, faces: Faces) -> Array:
    """Return the outward unit normals at the vertices: means over the faces, weighted by area.

    Parameters
    ----------
    vertices : ndarray
        Vertices (V, 3).
    faces : ndarray
        Vertex indices (F, 3) of the faces, counter-clockwise as seen from outside.

    Returns
    -------
    ndarray
        Normals (V, 3), float64; zero at a vertex without faces.

    Raises
    ------
    ValueError
        An array has the wrong shape or type, or an index is out of range.
    """
    vertices = _points('vertices', vertices)
    return _vertex_normals(vertices, _faces(faces, len(vertices)))


# -- compiled --------------------------------------------------------------------------------------


# Minimum barycentric coordinates of a pixel inside of a face. Below 0, so that a pixel on the edge
# of two faces belongs to both, whatever the rounding.
_MIN_INSIDE = -1e-9


@kernel(floats(2), 'int64[:,::1]')
def _vertex_normals(vertices: Array, faces: NDArray[np.int64]) -> Array:
    """Return the normals (V, 3) of checked vertices (V, 3) and faces (F, 3)."""
    normals = np.zeros_like(vertices)
    for a, b, c in faces:
        ux = vertices[b, 0] - vertices[a, 0]
        uy = vertices[b, 1] - vertices[a, 1]
        uz = vertices[b, 2] - vertices[a, 2]
        vx = vertices[c, 0] - vertices[a, 0]
        vy = vertices[c, 1] - vertices[a, 1]
        vz = vertices[c, 2] - vertices[a, 2]
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for corner in (a, b, c):
            normals[corner, 0] += x
            normals[corner, 1] += y
            normals[corner, 2] += z
    for normal in normals:
        length = np.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2)
        if length > 0:
            normal /= length
    return normals


@kernel(floats(2), floats(1), floats(1), 'int64[:,::1]', 'int64', 'int64')
def _rasterise(
    pixels: Array,
    inverse_depth: Array,
    brightness: Array,
    faces: NDArray[np.int64],
    height: int,
    width: int,
) -> NDArray[np.float32]:
    """Return the brightness (height, width) of the nearest outward face at each pixel; 0 for none.

    1 / z is linear over the image, z is not; so brightness / z is interpolated, too. Faces with a
    vertex of inverse depth 0 are left out.
    """
    nearest = np.zeros((height, width), np.float32)
    shade = np.zeros((height, width), np.float32)
    for a, b, c in faces:
        qa, qb, qc = inverse_depth[a], inverse_depth[b], inverse_depth[c]
        ax, ay = pixels[a]
        bx, by = pixels[b]
        cx, cy = pixels[c]
        # As y points down, the area of counter-clockwise corners is negative.
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area >= 0 or qa == 0 or qb == 0 or qc == 0:
            continue
        sa, sb, sc = qa * brightness[a], qb * brightness[b], qc * brightness[c]
        step_a, step_b = (by - cy) / area, (cy - ay) / area
        first = max(0, math.ceil(min(ax, bx, cx)))
        last = min(width - 1, math.floor(max(ax, bx, cx)))
        top = max(0, math.ceil(min(ay, by, cy)))
        bottom = min(height - 1, math.floor(max(ay, by, cy)))
        for y in range(top, bottom + 1):
            row_a = ((cx - bx) * (y - by) + (cy - by) * bx) / area
            row_b = ((ax - cx) * (y - cy) + (ay - cy) * cx) / area
            for x in range(first, last + 1):
                wa = row_a + step_a * x
                wb = row_b + step_b * x
                wc = 1.0 - wa - wb
                if wa < _MIN_INSIDE or wb < _MIN_INSIDE or wc < _MIN_INSIDE:
                    continue
                q = wa * qa + wb * qb + wc * qc
                if q > nearest[y, x]:
                    nearest[y, x] = q
                    shade[y, x] = (wa * sa + wb * sb + wc * sc) / q
    return shade


@kernel('uint8[:,:,:]', 'float32[:,::1]', floats(1), 'float64')
def _blend(image: Image, shade: NDArray[np.float32], colour: Array, alpha: float) -> None:
    """Blend a colour into an image, in place, where the shade (height, width) is above 0."""
    for y in range(shade.shape[0]):
        for x in range(shade.shape[1]):
            if shade[y, x] > 0:
                for channel in range(3):
                    mixed = alpha * colour[channel] * shade[y, x]
                    mixed += (1 - alpha) * image[y, x, channel]
                    image[y, x, channel] = np.uint8(mixed + 0.5)


# -- arguments and projection ----------------------------------------------------------------------


def _check_image(image_rgb: Image, camera: Camera) -> None:
    _check_format('image_rgb', image_rgb)
    if not (image_rgb.flags.c_contiguous and image_rgb.flags.writeable):
        raise ValueError('image_rgb must be contiguous and writeable, as it is drawn on in place')
    height, width = image_rgb.shape[:2]
    if (camera.width, camera.height) != (width, height):
        raise ValueError(
            f'camera must be of the size of image_rgb, {width} x {height} pixels, '
            f'not {camera.width} x {camera.height}'
        )


def _check_format(name: str, image: Image) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(
            f'{name} must be (height, width, 3) uint8, not {image.shape} {image.dtype}'
        )


def _points(name: str, points: Points, count: int | None = None) -> Array:
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 3 or count not in (None, len(points)):
        raise ValueError(f'{name} must be ({count or "any"}, 3), not {points.shape}')
    if points.dtype.kind not in 'fiu':
        raise ValueError(f'{name} must be real numbers, not {points.dtype}')
    return np.ascontiguousarray(points, dtype=np.float64)


def _faces(faces: Faces, num_vertices: int) -> NDArray[np.int64]:
    faces = np.asarray(faces)
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in 'iu':
        raise ValueError(f'faces must be (any, 3) integers, not {faces.shape} {faces.dtype}')
    # The compiled loops do not check their indices.
    if faces.size and not 0 <= faces.min() <= faces.max() < num_vertices:
        raise ValueError(f'faces must be indices of the {num_vertices} vertices')
    return np.ascontiguousarray(faces, dtype=np.int64)


def _project(points: Array, camera: Camera) -> tuple[Array, NDArray[np.bool_]]:
    """Return the pixels (N, 2) of points (N, 3), and which (N) of them can be drawn."""
    drawable = np.isfinite(points).all(axis=1) & (points[:, 2] > NEAR)
    pixels = np.zeros((len(points), 2))
    if not drawable.any():
        return pixels, drawable
    pixels[drawable] = camera.project(points[drawable])
    if camera.distorted:
        # Far outside of the image, the distortion model maps points back into it. There, a point
        # nearer to the optical axis has a pixel farther out.
        inwards = points[drawable] * (0.99, 0.99, 1.0)
        outwards = pixels[drawable] - camera.project(inwards)
        drawable[drawable] = (outwards * inwards[:, :2]).sum(axis=1) >= 0
    drawable &= (np.abs(pixels) < _MAX_PIXEL).all(axis=1)
    return pixels, drawable


def _bounds(pixels: Array, camera: Camera) -> tuple[int, int, int, int] | None:
    """Return the part of the image that pixels span: left, top, right, bottom (exclusive)."""
    if not len(pixels):
        return None
    left, top = np.maximum(np.floor(pixels.min(axis=0)), 0).astype(int)
    right, bottom = np.floor(pixels.max(axis=0)).astype(int) + 1
    right, bottom = min(right, camera.width), min(bottom, camera.height)
    return (left, top, right, bottom) if left < right and top < bottom else None


def _sort_far_to_near(humans: Sequence[Human]) -> list[Human]:
    return sorted(humans, key=lambda human: -human.joints[PELVIS][2])


# -- lines and text --------------------------------------------------------------------------------


def _line_width(image: Image) -> int:
    """Return the width of lines in pixels for the size of an image."""
    return max(2, round(min(image.shape[:2]) / 240))


def _fixed_point(pixel: Array) -> tuple[int, int]:
    """Return a pixel (2) in cv2's fixed-point coordinates."""
    x, y = np.rint(pixel * 2**_SUBPIXEL_BITS)
    return int(x), int(y)


def _dashes(ends: Array, length: float) -> Array:
    """Return dashes (N, 2, 2) of about a given length on the line between two pixels (2, 2)."""
    count = max(2, round(float(np.linalg.norm(ends[1] - ends[0])) / (2 * length)))
    return np.linspace(ends[0], ends[1], 2 * count).reshape(count, 2, 2)


def _draw_lines(image: Image, lines: Array, colour: Colour, thickness: int) -> None:
    """Draw lines (N, 2, 2) with a dark border, so that they are visible on any background."""
    for paint, width in ((_DARK, thickness + 2), (colour, thickness)):
        for line in lines:
            start, end = map(_fixed_point, line)
            cv2.line(image, start, end, paint, width, cv2.LINE_AA, _SUBPIXEL_BITS)


def _draw_disc(image: Image, centre: Array, colour: Colour, radius: float) -> None:
    """Draw a disc with a dark border."""
    for paint, size in ((_DARK, radius + 1), (colour, radius)):
        size = round(size * 2**_SUBPIXEL_BITS)
        cv2.circle(image, _fixed_point(centre), size, paint, -1, cv2.LINE_AA, _SUBPIXEL_BITS)


def _write(
    image: Image,
    text: str,
    corner: tuple[int, int],
    size: int,
    colour: Colour,
    background: Colour | None = None,
) -> int:
    """Write a line of text of a height in pixels from its top left corner; return its width."""
    font, scale, thickness = cv2.FONT_HERSHEY_SIMPLEX, size / 32, max(1, size // 20)
    left, top = corner
    width = cv2.getTextSize(text, font, scale, thickness)[0][0] + size // 2
    if background is not None:
        cv2.rectangle(image, (left, top), (left + width, top + size), background, -1)
    origin = (left + size // 4, top + size * 3 // 4)
    cv2.putText(image, text, origin, font, scale, colour, thickness, cv2.LINE_AA)
    return width


def _draw_directions(image: Image, ground: float) -> None:
    """Draw the lowest point and the directions up and to the camera of a side view.

    Up is that of the camera's image: how the camera is tilted against gravity is not known.
    """
    height, width = image.shape[:2]
    stroke, size = _line_width(image), max(12, min(height // 20, width // 12))
    row = int(np.clip(ground, 0, height - 1))
    cv2.line(image, (0, row), (width - 1, row), _DARK, max(1, stroke // 2))
    x, y = 2 * size, 4 * size
    cv2.arrowedLine(image, (x, y), (x, y - 3 * size), _DARK, stroke, cv2.LINE_AA, tipLength=0.3)
    cv2.arrowedLine(
        image, (x, y), (x - size * 3 // 2, y), _DARK, stroke, cv2.LINE_AA, tipLength=0.3
    )
    _write(image, "the camera's up", (x + size, size), size, _DARK)
    _write(image, 'to the camera', (x + size, y - size // 2), size, _DARK)
    _write(image, 'lowest point', (size // 2, min(row, height - size)), size, _DARK)


# -- contact sheet ---------------------------------------------------------------------------------


def _add_caption(image: Image, caption: str, width: int, strip: int) -> Image:
    """Return an image scaled to a width, with its caption below in a strip of a height."""
    _check_format('images', image)
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    method = cv2.INTER_AREA if width < image.shape[1] else cv2.INTER_LINEAR
    text = np.full((strip, width, 3), _DARK, np.uint8)
    _write(text, caption, (0, 0), strip, MIDDLE)
    return np.concatenate([cv2.resize(image, (width, height), interpolation=method), text])


def _join_row(cells: Sequence[Image], width: int) -> Image:
    """Return images side by side, aligned at the top, in a row of a width."""
    row = np.full((max(len(cell) for cell in cells), width, 3), _DARK, np.uint8)
    for i, cell in enumerate(cells):
        row[: len(cell), i * cell.shape[1] : (i + 1) * cell.shape[1]] = cell
    return row


def _legend(width: int, size: int) -> Image:
    """Return the legend of the colours, with text of a height in pixels."""
    image = np.full((2 * size, width, 3), _DARK, np.uint8)
    entries = (("subject's left", LEFT), ("subject's right", RIGHT), ('middle', MIDDLE))
    x, middle = size // 2, float(size)
    for text, colour in entries:
        ends = np.array([[x, middle], [x + 2 * size, middle]])
        _draw_lines(image, ends[None], colour, max(2, size // 8))
        x += 2 * size + _write(image, text, (x + 2 * size, size // 2), size, MIDDLE) + size
    ends = np.array([[x, middle], [x + 2 * size, middle]])
    _draw_lines(image, _dashes(ends, size / 4), MIDDLE, max(1, size // 16))
    _write(image, 'inferred, not seen', (x + 2 * size, size // 2), size, MIDDLE)
    return image
