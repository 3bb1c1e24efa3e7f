"""Overlays: what is drawn is where the projection says, in the right order and colours."""

import dataclasses
import itertools
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from hybrik_ros import drawing
from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Camera
from hybrik_ros.human import Human
from hybrik_ros.kinematics import global_rotations
from hybrik_ros.skeleton import JOINT_NAMES, PARENTS

WHITE = (255, 255, 255)
FACING = np.diag([1.0, -1.0, -1.0])  # rest frame (y up, z front) to a camera in front


@pytest.fixture(scope='module')
def camera():
    # Nothing symmetric about it, so that swapped axes show.
    matrix = np.array([[310.0, 0, 150.3], [0, 290.0, 125.7], [0, 0, 1]])
    return Camera(matrix, np.zeros(0), 320, 240)


@pytest.fixture(scope='module')
def body():
    return BodyModel.load()


@pytest.fixture
def image():
    return np.random.default_rng(3).integers(0, 256, (240, 320, 3), np.uint8)


def black():
    return np.zeros((240, 320, 3), np.uint8)


def sphere(centre, radius, rings=12):
    """A convex polyhedron close to a sphere, its faces counter-clockwise from outside."""
    polar = np.linspace(0, np.pi, rings + 1)[1:-1, None]
    azimuth = np.linspace(0, 2 * np.pi, 2 * rings, endpoint=False)
    around = np.stack(
        np.broadcast_arrays(
            np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)
        ),
        axis=-1,
    )
    points = np.concatenate([around.reshape(-1, 3), [[0, 0, 1], [0, 0, -1]]])
    n = 2 * rings
    grid = np.arange(len(points) - 2).reshape(-1, n)
    faces = []
    for i in range(n):
        j = (i + 1) % n
        faces += [(grid[0, i], grid[0, j], len(points) - 2)]
        faces += [(grid[-1, j], grid[-1, i], len(points) - 1)]
        for upper, lower in itertools.pairwise(grid):
            faces += [(upper[i], lower[i], lower[j]), (upper[i], lower[j], upper[j])]
    return points * radius + centre, np.array(faces)


def box(centre, half):
    """A box; the corner with bits (x, y, z) has index 4 x + 2 y + z."""
    points = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [face for a, b, c, d in quads for face in ((a, b, c), (a, c, d))]
    return points * half + np.asarray(centre), np.array(faces)


def covered(vertices, faces, camera):
    picture = black()
    drawing.draw_mesh(picture, vertices, faces, camera, WHITE, 1.0)
    return picture.any(axis=2)


def make_human(body, centre=(0.0, 0.2, 3.0), identity='p1', confidence=None, mesh=True):
    rotations = np.tile(np.eye(3), (24, 1, 1))
    rotations[0] = FACING
    betas = np.zeros(body.num_betas)
    joints = (body.rest_joints(betas)[:24] - body.rest_joints(betas)[0]) @ FACING.T + centre
    translation = np.asarray(centre) - body.rest_joints(betas)[0]
    return Human(
        id=identity,
        confidence=0.9,
        box=np.array([60.0, 40.0, 250.0, 200.0]),
        joints=joints,
        joint_confidence=np.ones(24) if confidence is None else confidence,
        rotations=rotations,
        global_rotations=global_rotations(rotations),
        betas=betas,
        translation=translation,
        translation_confidence=1.0,
        velocity=np.zeros(3),
        vertices=body.vertices(rotations, betas, translation) if mesh else None,
    )


@pytest.mark.parametrize(
    'mesh',
    [
        sphere((0.3, -0.2, 3.0), 0.8),
        box((-0.5, 0.3, 3.0), (0.5, 0.3, 0.6)),
        box((1.2, 1.0, 3.0), 0.7),  # partly outside of the picture
    ],
)
def test_mesh_covers_the_hull_of_its_projection(mesh, camera):
    vertices, faces = mesh
    hull = cv2.convexHull(camera.project(vertices).astype(np.float32))
    inside = np.array(
        [[cv2.pointPolygonTest(hull, (x, y), True) for x in range(320)] for y in range(240)]
    )
    picture = covered(vertices, faces, camera)
    assert picture[inside > 0.01].all()
    assert not picture[inside < -0.01].any()


def test_nearer_of_two_slanted_faces_wins_pixel_by_pixel(camera):
    flat = np.array([[-1.0, -0.8, 2.5], [1.0, -0.8, 2.5], [0.0, 0.9, 2.5]])
    slanted = np.array([[-1.0, 0.6, 1.5], [0.9, 0.7, 4.0], [0.2, -0.9, 3.0]])
    for triangle in (flat, slanted):  # towards the camera
        normal = np.cross(triangle[1] - triangle[0], triangle[2] - triangle[0])
        if normal @ triangle[0] > 0:
            triangle[:] = triangle[::-1].copy()

    def render(*faces):
        picture = black()
        vertices = np.concatenate([flat, slanted])
        drawing.draw_mesh(picture, vertices, np.array(faces), camera, WHITE, 1.0)
        return picture

    def depth(triangle):
        y, x = np.mgrid[:240, :320]
        rays = np.dstack([camera.rays(np.dstack([x, y])), np.ones((240, 320))])
        normal = np.cross(triangle[1] - triangle[0], triangle[2] - triangle[0])
        return (normal @ triangle[0]) / (rays @ normal)

    one, other = render((0, 1, 2)), render((3, 4, 5))
    flat_wins = one.any(2) & (~other.any(2) | (depth(flat) < depth(slanted)))
    expected = np.where(flat_wins[..., None], one, other)
    both = one.any(2) & other.any(2)
    assert (both & flat_wins).sum() > 1000
    assert (both & ~flat_wins).sum() > 1000
    assert one.max() != other.max()
    np.testing.assert_array_equal(render((0, 1, 2), (3, 4, 5)), expected)
    np.testing.assert_array_equal(render((3, 4, 5), (0, 1, 2)), expected)


def test_faces_are_seen_from_outside_only(camera):
    triangle = np.array([[-0.5, 0.5, 2.0], [0.5, 0.5, 2.0], [0.0, -0.5, 2.0]])
    # x right, y down: left, right, top goes counter-clockwise as the camera sees it.
    assert covered(triangle, np.array([[0, 1, 2]]), camera).any()
    assert not covered(triangle, np.array([[0, 2, 1]]), camera).any()


def test_default_body_is_not_inside_out(body, camera):
    # The surface that is drawn must be in front of the joints, not the inner side of the back.
    human = make_human(body)
    front = human.vertices.copy()
    behind_the_hips = human.vertices[:, 2] > human.joints[0, 2] + 0.05
    front[behind_the_hips] = np.nan
    whole = covered(human.vertices, body.faces, camera)
    assert covered(front, body.faces, camera).sum() > 0.8 * whole.sum()
    inside_out = covered(front, body.faces[:, ::-1], camera)
    assert inside_out.sum() < 0.2 * whole.sum()


def test_light_comes_from_the_upper_left_of_the_camera(camera):
    vertices, faces = sphere((0.0, 0.0, 3.0), 0.8, rings=24)
    picture = black()
    drawing.draw_mesh(picture, vertices, faces, camera, WHITE, 1.0)
    u, v = camera.project(np.array([0.0, 0.0, 3.0])).astype(int)
    upper_left, lower_right = picture[v - 40, u - 40, 0], picture[v + 40, u + 40, 0]
    assert int(upper_left) > int(lower_right) + 50
    assert lower_right > 0


def test_vertex_normals_of_a_sphere_are_radial():
    vertices, faces = sphere((0.1, 0.2, 3.0), 0.5, rings=40)
    radial = (vertices - (0.1, 0.2, 3.0)) / 0.5
    cosines = (drawing.vertex_normals(vertices, faces) * radial).sum(axis=1)
    assert cosines.min() > np.cos(np.radians(3))


def test_vertex_without_a_face_has_no_normal():
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]])
    normals = drawing.vertex_normals(vertices, np.array([[0, 1, 2]]))
    np.testing.assert_array_equal(normals, [[0, 0, 1]] * 3 + [[0, 0, 0]])


@pytest.mark.parametrize('alpha', [0.0, 0.25, 1.0])
def test_alpha_mixes_picture_and_mesh(alpha, camera, image):
    vertices, faces = sphere((0.0, 0.0, 3.0), 0.8)
    solid, mixed = black(), image.copy()
    drawing.draw_mesh(solid, vertices, faces, camera, (200, 150, 100), 1.0)
    drawing.draw_mesh(mixed, vertices, faces, camera, (200, 150, 100), alpha)
    mask = solid.any(axis=2)
    np.testing.assert_array_equal(mixed[~mask], image[~mask])
    expected = alpha * solid[mask] + (1 - alpha) * image[mask].astype(float)
    assert np.abs(mixed[mask] - expected).max() <= 1


@pytest.mark.parametrize(
    'points',
    [
        [[0.0, 0.0, -2.0], [0.5, 0.0, -2.0], [0.0, 0.5, -2.0]],
        [[0.0, 0.0, 2.0], [0.5, 0.0, 0.0], [0.0, 0.5, 2.0]],
        [[0.0, 0.0, 2.0], [np.nan, 0.0, 2.0], [0.0, np.inf, 2.0]],
        [[0.0, 0.0, 2.0], [1e9, 0.0, 2.0], [0.0, -1e300, 2.0]],
        [[50.0, 50.0, 2.0], [51.0, 50.0, 2.0], [50.0, 51.0, 2.0]],
    ],
    ids=['behind', 'in the pinhole', 'not finite', 'far outside', 'beside'],
)
def test_mesh_that_cannot_be_seen_changes_nothing(points, camera, image):
    picture = image.copy()
    for faces in ([[0, 1, 2]], [[0, 2, 1]]):
        drawing.draw_mesh(picture, np.array(points), np.array(faces), camera, WHITE)
    np.testing.assert_array_equal(picture, image)


@pytest.mark.parametrize('place', [[0, 0, -1], [0, 0, 0], [np.nan, 0, 2], [1e12, 0, 2], [0, 3, -3]])
def test_joint_that_cannot_be_seen_leaves_the_others(place, body, camera):
    human = make_human(body)
    pictures = [black(), black()]
    for picture, joint in zip(pictures, (place, np.full(3, np.nan)), strict=True):
        human.joints[JOINT_NAMES.index('left_hand')] = joint
        drawing.draw_skeleton(picture, human.joints, human.joint_confidence, camera)
    np.testing.assert_array_equal(*pictures)
    u, v = camera.project(human.joints[JOINT_NAMES.index('right_hand')]).round().astype(int)
    assert tuple(pictures[0][v, u]) == drawing.RIGHT


def test_lens_does_not_fold_far_points_into_the_picture(image):
    matrix = np.array([[200.0, 0, 160], [0, 200, 120], [0, 0, 1]])
    camera = Camera(matrix, np.array([-0.3, 0.0, 0.0, 0.0]), 320, 240)
    vertices, faces = box((4.0, 0.2, 2.0), 0.1)
    u, v = camera.project(vertices.mean(axis=0))
    assert 0 < u < 320  # the polynomial alone would put it into the picture
    assert 0 < v < 240
    picture = image.copy()
    drawing.draw_mesh(picture, vertices, faces, camera, WHITE)
    drawing.draw_skeleton(picture, np.tile(vertices.mean(axis=0), (24, 1)), np.ones(24), camera)
    np.testing.assert_array_equal(picture, image)


def test_mesh_follows_the_lens(image):
    matrix = np.array([[200.0, 0, 160], [0, 200, 120], [0, 0, 1]])
    camera = Camera(matrix, np.array([-0.3, 0.1, 0.01, 0.0]), 320, 240)
    vertices, faces = sphere((-1.2, -0.6, 2.0), 0.1)
    rows, columns = np.nonzero(covered(vertices, faces, camera))
    expected = camera.project(np.array([-1.2, -0.6, 2.0]))
    assert np.abs(np.array([columns.mean(), rows.mean()]) - expected).max() < 0.5


def test_sides_have_their_colours_and_left_is_the_subjects(body, camera):
    human = make_human(body)
    picture = black()
    drawing.draw_skeleton(picture, human.joints, human.joint_confidence, camera)
    pixels = camera.project(human.joints).round().astype(int)
    hips = pixels[0, 0]
    for side, colour, on_the_right in (
        ('left', (213, 94, 0), True),
        ('right', (86, 180, 233), False),
    ):
        for part in ('hip', 'knee', 'ankle', 'foot', 'shoulder', 'elbow', 'wrist', 'hand'):
            u, v = pixels[JOINT_NAMES.index(f'{side}_{part}')]
            assert tuple(picture[v, u]) == colour, (side, part)
            assert (u > hips) == on_the_right  # the subject faces the camera
    u, v = pixels[JOINT_NAMES.index('spine1')]
    assert tuple(picture[v, u]) == (240, 240, 240)


def test_bones_join_children_to_parents_and_nothing_else(body, camera, image):
    human = make_human(body)
    picture = image.copy()
    drawing.draw_skeleton(picture, human.joints, human.joint_confidence, camera)
    pixels = camera.project(human.joints)
    bones = np.full((240, 320), 255, np.uint8)
    for child, parent in enumerate(PARENTS[:24]):
        if parent >= 0:
            ends = pixels[[parent, child]].round().astype(int).tolist()
            cv2.line(bones, ends[0], ends[1], 0)
            u, v = pixels[[parent, child]].mean(axis=0).round().astype(int)
            assert (picture[v, u] != image[v, u]).any()
    distance = cv2.distanceTransform(bones, cv2.DIST_L2, 5)
    np.testing.assert_array_equal(picture[distance > 8], image[distance > 8])


def test_colours_of_the_sides_differ_in_grey():
    greys = cv2.cvtColor(
        np.array([[drawing.LEFT, drawing.RIGHT, drawing.MIDDLE]], np.uint8), cv2.COLOR_RGB2GRAY
    )
    assert np.diff(np.sort(greys.ravel().astype(int))).min() > 30


def test_inferred_bones_are_broken(body, camera):
    human = make_human(body)
    elbow, wrist = JOINT_NAMES.index('left_elbow'), JOINT_NAMES.index('left_wrist')
    confidence = np.ones(24)
    confidence[wrist] = 0
    ends = camera.project(human.joints[[elbow, wrist]])
    along = np.linspace(ends[0], ends[1], 100).round().astype(int)

    def painted(values):
        picture = black()
        drawing.draw_skeleton(picture, human.joints, values, camera)
        return picture[along[:, 1], along[:, 0]].any(axis=1)

    assert painted(np.ones(24)).all()
    assert 0.2 < painted(confidence).mean() < 0.95


def test_near_bone_covers_far_bone(camera):
    joints = np.full((24, 3), np.nan)
    left, right = JOINT_NAMES.index('left_knee'), JOINT_NAMES.index('right_knee')
    crossing = camera.project(np.array([0.0, 0.0, 3.0])).round().astype(int)
    for near, far in ((left, right), (right, left)):
        joints[near], joints[PARENTS[near]] = (0.5, 0.5, 2.0), (-0.5, -0.5, 2.0)
        joints[far], joints[PARENTS[far]] = (0.75, -0.75, 3.0), (-0.75, 0.75, 3.0)
        picture = black()
        drawing.draw_skeleton(picture, joints, np.ones(24), camera)
        assert tuple(picture[crossing[1], crossing[0]]) == drawing.side_colour(near)


def test_human_is_mesh_skeleton_and_labelled_box(body, camera):
    human = make_human(body)
    full, bare = black(), black()
    drawing.draw_human(full, human, body.faces, camera)
    drawing.draw_human(bare, human, body.faces, camera, mesh=False)
    mesh = covered(human.vertices, body.faces, camera)
    assert full.any(axis=2)[mesh].all()
    assert not bare.any(axis=2)[mesh].all()
    colour = drawing.identity_colour('p1')
    for picture in (full, bare):
        assert tuple(picture[200, 100]) == colour  # the lower edge of the box
        assert tuple(picture[40, 230]) == colour
        above = picture[26:40, 60:110]
        assert (above == colour).all(axis=2).sum() > 200  # the label
        assert (above < 60).all(axis=2).sum() > 20  # and its letters
    without = make_human(body, mesh=False)
    picture = black()
    drawing.draw_human(picture, without, body.faces, camera)
    np.testing.assert_array_equal(picture, bare)


def test_nearer_person_is_drawn_last(body, camera):
    near = make_human(body, (0.0, 0.2, 2.5), 'p1')
    far = make_human(body, (0.3, 0.2, 4.0), 'p2')
    one, other = black(), black()
    drawing.draw_humans(one, [near, far], body.faces, camera)
    drawing.draw_humans(other, [far, near], body.faces, camera)
    np.testing.assert_array_equal(one, other)
    expected = black()
    drawing.draw_human(expected, far, body.faces, camera)
    drawing.draw_human(expected, near, body.faces, camera)
    np.testing.assert_array_equal(one, expected)


def test_same_input_gives_the_same_picture(body, camera, image):
    human = make_human(body)
    pictures = [image.copy(), image.copy()]
    for picture in pictures:
        drawing.draw_human(picture, human, body.faces, camera)
    np.testing.assert_array_equal(*pictures)
    assert (pictures[0] != image).any()


def test_colour_of_a_person_survives_a_restart():
    script = 'from hybrik_ros.drawing import identity_colour as c; print(c("anna"), c("p12"))'
    environment = {**os.environ, 'PYTHONHASHSEED': '7'}
    printed = subprocess.run(
        [sys.executable, '-c', script], env=environment, capture_output=True, text=True, check=True
    ).stdout
    expected = f'{drawing.identity_colour("anna")} {drawing.identity_colour("p12")}'
    assert printed.strip() == expected


def test_neighbouring_people_have_different_colours():
    colours = np.array([drawing.identity_colour(f'p{i}') for i in range(1, 6)], int)
    for i in range(5):
        others = np.delete(colours, i, axis=0)
        assert np.abs(others - colours[i]).max(axis=1).min() > 25


def test_side_view_shows_depth(body):
    human = make_human(body, (0.7, -0.3, 4.0))
    hand = JOINT_NAMES.index('left_hand')
    # Half a metre towards the camera and up, out of the way of everything else.
    human.joints[hand] = human.joints[0] + (0.2, -0.9, -0.5)
    picture = drawing.side_view(dataclasses.replace(human, vertices=None), body.faces, 400, 520)
    assert picture.shape == (520, 400, 3)
    rows, columns = np.nonzero((picture == drawing.LEFT).all(axis=2))
    metre = 520 / 2.6
    tip = rows < rows.min() + 3
    assert abs(columns[tip].mean() - (199.5 - 0.5 * metre)) < 0.04 * metre
    assert abs(rows.min() - (259.5 - 0.9 * metre)) < 0.06 * metre


def test_side_view_shows_the_mesh_from_the_subjects_left_when_facing_the_camera(body):
    human = make_human(body)
    picture = drawing.side_view(human, body.faces, 400, 520)
    mesh = np.ptp(picture, axis=2) > 20  # ground, words and middle are grey

    def turned(points):
        x, y, z = (points - human.joints[0]).T
        return np.stack([z, y, 8 - x], axis=1)

    matrix = np.array([[1600.0, 0, 199.5], [0, 1600, 259.5], [0, 0, 1]])
    view = Camera(matrix, np.zeros(0), 400, 520)
    canvas = np.zeros((520, 400, 3), np.uint8)
    drawing.draw_mesh(canvas, turned(human.vertices), body.faces, view, WHITE, 1.0)
    silhouette = canvas.any(axis=2)
    assert mesh[silhouette].mean() > 0.8  # some of the skeleton is grey too
    assert mesh[~silhouette].mean() < 0.002
    for name in ('left_hip', 'left_knee', 'left_ankle', 'left_hand'):  # over the right ones
        u, v = view.project(turned(human.joints))[JOINT_NAMES.index(name)].round().astype(int)
        assert tuple(picture[v, u]) == drawing.LEFT


def test_views_leave_the_picture_alone(body, camera, image):
    before = image.copy()
    people = [make_human(body), make_human(body, (0.4, 0.2, 4.0), 'p2')]
    plain, skeletons, meshes, side = drawing.views(image, people, body.faces, camera)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(plain, before)
    assert not np.shares_memory(plain, image)
    assert (skeletons != before).any()
    mask = covered(people[0].vertices, body.faces, camera)
    mask |= covered(people[1].vertices, body.faces, camera)
    np.testing.assert_array_equal(meshes[~mask], before[~mask])
    np.testing.assert_array_equal(side, drawing.side_view(people[0], body.faces, 320, 240))


def test_views_without_people(body, camera, image):
    plain, skeletons, meshes, side = drawing.views(image, [], body.faces, camera)
    for picture in (plain, skeletons, meshes):
        np.testing.assert_array_equal(picture, image)
    assert side.shape == image.shape
    assert len(np.unique(side.reshape(-1, 3), axis=0)) == 1


def test_contact_sheet_lays_out_rows():
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0), (0, 200, 200)]
    images = [np.full((60, 120, 3), colour, np.uint8) for colour in colours]
    captions = ['one', 'two', '', 'four', 'five']
    sheet = drawing.contact_sheet(images, captions, columns=2, width=480)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] == 480
    strip = 16
    for i, colour in enumerate(colours):
        top, left = (i // 2) * (120 + strip), (i % 2) * 240
        assert (sheet[top : top + 120, left : left + 240] == colour).all()
        words = sheet[top + 120 : top + 120 + strip, left : left + 240]
        assert (words.max() > 150) == bool(captions[i])
    legend = sheet[3 * (120 + strip) :]
    for colour in (drawing.LEFT, drawing.RIGHT, drawing.MIDDLE):
        assert (legend == colour).all(axis=2).any()


def good_arguments(body, camera):
    human = make_human(body)
    return {
        'image_rgb': black(),
        'vertices': human.vertices,
        'faces': body.faces,
        'camera': camera,
        'joints': human.joints,
        'joint_confidence': human.joint_confidence,
        'alpha': 0.5,
    }


@pytest.mark.parametrize(
    ('name', 'bad'),
    [
        ('image_rgb', np.zeros((240, 320, 3), np.float32)),
        ('image_rgb', np.zeros((240, 320), np.uint8)),
        ('image_rgb', np.zeros((240, 320, 4), np.uint8)),
        ('image_rgb', np.zeros((0, 320, 3), np.uint8)),
        ('image_rgb', np.zeros((240, 320, 3), np.uint8)[..., ::-1]),
        ('image_rgb', np.frombuffer(bytes(240 * 320 * 3), np.uint8).reshape(240, 320, 3)),
        ('camera', Camera(np.eye(3), np.zeros(0), 640, 480)),
        ('vertices', np.zeros((10, 2))),
        ('vertices', np.zeros((10, 3), complex)),
        ('faces', np.zeros((5, 3))),
        ('faces', np.zeros((5, 4), int)),
        ('faces', np.array([[0, 1, 6890]])),
        ('faces', np.array([[0, 1, -1]])),
        ('alpha', 1.5),
        ('alpha', float('nan')),
    ],
)
def test_mesh_names_the_bad_argument(name, bad, body, camera):
    arguments = {**good_arguments(body, camera), 'colour': WHITE, name: bad}
    del arguments['joints'], arguments['joint_confidence']
    with pytest.raises(ValueError, match=rf'^{name} must be'):
        drawing.draw_mesh(**arguments)


@pytest.mark.parametrize(
    ('name', 'bad'),
    [
        ('image_rgb', np.zeros((240, 320, 3), np.int32)),
        ('camera', Camera(np.eye(3), np.zeros(0), 240, 320)),
        ('joints', np.zeros((29, 3))),
        ('joints', np.zeros((24, 2))),
        ('joint_confidence', np.ones(23)),
        ('joint_confidence', np.ones((24, 1))),
    ],
)
def test_skeleton_names_the_bad_argument(name, bad, body, camera):
    arguments = {**good_arguments(body, camera), name: bad}
    for unused in ('vertices', 'faces', 'alpha'):
        del arguments[unused]
    with pytest.raises(ValueError, match=rf'^{name} must be'):
        drawing.draw_skeleton(**arguments)


@pytest.mark.parametrize(
    ('arguments', 'name'),
    [
        (([], [], 1), 'images'),
        (([black().astype(float)], ['a'], 1), 'images'),
        (([black()], ['a', 'b'], 1), 'captions'),
        (([black()], ['a'], 0), 'columns'),
        (([black()], ['a'], 100), 'columns'),
    ],
)
def test_contact_sheet_names_the_bad_argument(arguments, name):
    with pytest.raises(ValueError, match=rf'^{name} must'):
        drawing.contact_sheet(*arguments)
