"""The camera, with OpenCV's projections and plain formulas as oracles; locating; crops."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import least_squares

from hybrik_ros.camera import Camera, Region, locate, overlaps

WIDTH, HEIGHT = 640, 480
MATRIX = np.array([[520.0, 0, 322.5], [0, 515.0, 236.0], [0, 0, 1]])

# As lenses of some 70 degrees have them, in the order of CameraInfo.
LENSES = {
    'none': ([], False),
    'zeros': ([0.0] * 5, False),
    'four': ([-0.28, 0.09, 0.001, -0.0005], False),
    'plumb_bob': ([-0.28, 0.09, 0.001, -0.0005, -0.012], False),
    'rational': ([1.2, 0.4, 0.0008, -0.0003, 0.02, 1.5, 0.7, 0.08], False),
    'thin prism': ([-0.2, 0.05, 0, 0, 0, 0.01, 0, 0, 1e-3, -5e-4, 8e-4, 2e-4], False),
    'tilted': ([-0.2, 0.05, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.01, -0.02], False),
    'equidistant': ([-0.02, 0.006, -0.002, 0.0003], True),
}


@pytest.fixture(params=LENSES)
def camera(request):
    distortion, fisheye = LENSES[request.param]
    return Camera(MATRIX, np.array(distortion), WIDTH, HEIGHT, fisheye)


@pytest.fixture
def points():
    """Points all over what a camera sees, 0.5 to 10 m away."""
    rng = np.random.default_rng(0)
    rays = rng.uniform([-0.6, -0.45], [0.6, 0.45], (200, 2))
    return np.concatenate([rays, np.ones((200, 1))], axis=1) * rng.uniform(0.5, 10, (200, 1))


def distorted_by_hand(camera, points):
    """The pixels by the formulas of OpenCV's manual."""
    x, y = points[:, 0] / points[:, 2], points[:, 1] / points[:, 2]
    r2 = x * x + y * y
    if camera.fisheye:
        r = np.sqrt(r2)
        theta = np.arctan(r)
        powers = sum(k * theta ** (2 * i) for i, k in enumerate(camera.distortion, start=1))
        x, y = (v * theta * (1 + powers) / r for v in (x, y))
    else:
        k1, k2, p1, p2, k3, k4, k5, k6, *_ = np.append(camera.distortion, np.zeros(8))
        radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
        x, y = (
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        )
    (fx, skew, cx), (_, fy, cy) = camera.matrix[:2]
    return np.stack([fx * x + skew * y + cx, fy * y + cy], axis=1)


def test_points_are_projected_as_opencv_does(camera, points):
    zero = np.zeros(3)
    if camera.fisheye:
        expected, _ = cv2.fisheye.projectPoints(
            points[:, None], zero, zero, camera.matrix, camera.distortion
        )
    else:
        expected, _ = cv2.projectPoints(points, zero, zero, camera.matrix, camera.distortion)
    assert camera.project(points) == pytest.approx(expected[:, 0], abs=1e-6)


@pytest.mark.parametrize('lens', ['none', 'four', 'plumb_bob', 'rational', 'equidistant'])
def test_points_are_projected_as_the_formulas_say(points, lens):
    distortion, fisheye = LENSES[lens]
    camera = Camera(MATRIX, np.array(distortion), WIDTH, HEIGHT, fisheye)
    assert camera.project(points) == pytest.approx(distorted_by_hand(camera, points), abs=1e-6)


def test_rays_lead_back_to_the_points(camera, points):
    rays = camera.rays(camera.project(points))
    assert rays == pytest.approx(points[:, :2] / points[:, 2:], abs=1e-5)


def test_every_pixel_of_the_image_has_a_ray_that_leads_back(camera):
    pixels = np.stack(np.meshgrid(np.arange(0, WIDTH, 40), np.arange(0, HEIGHT, 40)), axis=-1)
    rays = camera.rays(pixels)
    assert rays.shape == pixels.shape
    there = np.concatenate([rays, np.ones((*rays.shape[:-1], 1))], axis=-1)
    assert camera.project(there) == pytest.approx(pixels, abs=0.02)


def test_skew_counts_in_both_directions(points):
    matrix = MATRIX.copy()
    matrix[0, 1] = 7.0
    camera = Camera(matrix, np.zeros(0), WIDTH, HEIGHT)
    assert camera.project(points) == pytest.approx(distorted_by_hand(camera, points), abs=1e-9)
    rays = camera.rays(camera.project(points))
    assert rays == pytest.approx(points[:, :2] / points[:, 2:], abs=1e-12)


def test_batch_dimensions_are_kept(camera, points):
    pixels = camera.project(points)
    assert camera.project(points.reshape(4, 50, 3)) == pytest.approx(pixels.reshape(4, 50, 2))
    assert camera.project(points[0]) == pytest.approx(pixels[0])
    rays = camera.rays(pixels)
    assert camera.rays(pixels.reshape(2, 2, 50, 2)) == pytest.approx(rays.reshape(2, 2, 50, 2))
    assert camera.rays(pixels[0]) == pytest.approx(rays[0], abs=1e-9)


def test_distorted_says_whether_rays_are_bent(camera):
    assert camera.distorted == bool(np.any(camera.distortion))


def test_a_field_of_view_spans_the_image():
    camera = Camera.from_field_of_view(90, 641, 480)
    # Pixel centres are at whole numbers: the image begins half a pixel before the first.
    left, right = camera.rays([[-0.5, 239.5], [640.5, 239.5]])
    assert left == pytest.approx([-1, 0])
    assert right == pytest.approx([1, 0])
    assert (camera.width, camera.height) == (641, 480)
    assert camera.matrix[0, 0] == camera.matrix[1, 1]


@pytest.mark.parametrize(
    ('name', 'matrix', 'distortion', 'fisheye'),
    [
        ('matrix', np.zeros((3, 3)), [], False),
        ('matrix', -MATRIX, [], False),
        ('matrix', MATRIX * np.nan, [], False),
        ('matrix', MATRIX[:2], [], False),
        ('matrix', MATRIX.ravel(), [], False),
        ('distortion', MATRIX, [0.1], False),
        ('distortion', MATRIX, [0.1] * 6, False),
        ('distortion', MATRIX, [0.1] * 5, True),
        ('distortion', MATRIX, [0.1, np.nan, 0, 0], False),
    ],
)
def test_a_wrong_calibration_is_named(name, matrix, distortion, fisheye):
    with pytest.raises(ValueError, match=name):
        Camera(matrix, np.array(distortion), WIDTH, HEIGHT, fisheye)


# Locating


def body_points(rng):
    return rng.normal(0, [0.3, 0.5, 0.2], (33, 3))


@given(st.integers(0, 1000), st.floats(-3, 3), st.floats(-2, 2), st.floats(1.5, 30))
def test_exact_rays_give_the_exact_place(seed, x, y, z):
    points = body_points(np.random.default_rng(seed))
    there = points + np.array([x, y, z])
    found = locate(points, there[:, :2] / there[:, 2:], np.ones(len(points)))
    assert found == pytest.approx([x, y, z], abs=1e-7)


def test_noisy_rays_give_the_place_of_least_squares():
    rng = np.random.default_rng(1)
    points, weights = body_points(rng), rng.uniform(0, 1, 33)
    there = points + np.array([0.5, -0.2, 4.0])
    rays = there[:, :2] / there[:, 2:] + rng.normal(0, 0.01, (33, 2))

    def distances(translation):
        moved = points + translation
        return (np.sqrt(weights)[:, None] * (moved[:, :2] - rays * moved[:, 2:])).ravel()

    expected = least_squares(distances, [0, 0, 1], xtol=1e-12, ftol=1e-12, gtol=1e-12).x
    assert locate(points, rays, weights) == pytest.approx(expected, abs=1e-6)


def test_points_without_weight_are_left_out():
    rng = np.random.default_rng(2)
    points, weights = body_points(rng), np.ones(33)
    there = points + np.array([0.0, 0.0, 3.0])
    rays = there[:, :2] / there[:, 2:]
    rays[5:] = 17.0
    weights[5:] = 0
    assert locate(points, rays, weights) == pytest.approx([0, 0, 3], abs=1e-7)


@pytest.mark.parametrize('weights', [np.zeros(3), np.array([1.0, 0, 0]), np.array([0.0, 1, 1])])
def test_too_few_rays_are_refused(weights):
    points = np.array([[0, 0, 0], [0.1, 0, 0.2], [0.1, 0, 0.2]])
    rays = points[:, :2] / 3
    with pytest.raises(ValueError, match='two points'):
        locate(points, rays, weights)


# Crops


def affine(region, side, pixels):
    matrix = region.to_image(side)
    return np.asarray(pixels, float) @ matrix[:, :2].T + matrix[:, 2]


regions = st.builds(
    Region,
    st.tuples(st.floats(-100, 700), st.floats(-100, 500)).map(np.array),
    st.floats(5, 900),
    st.floats(-np.pi, np.pi),
)


@given(regions, st.integers(8, 300))
def test_a_crop_shows_its_region_whole(region, side):
    middle, top = affine(region, side, [[side / 2, side / 2], [side / 2, 0]])
    assert middle == pytest.approx(region.centre, abs=1e-6)
    # The region's up direction is the image's, turned clockwise.
    up = region.size / 2 * np.array([np.sin(region.angle), -np.cos(region.angle)])
    assert top - middle == pytest.approx(up, abs=1e-6)
    left, right = affine(region, side, [[0, 10], [side, 10]])
    assert np.linalg.norm(right - left) == pytest.approx(region.size)


@pytest.fixture
def dotted():
    """A smooth picture with three dots of a pure colour each."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    dots = np.array([[250.0, 180.0], [390.0, 200.0], [300.0, 300.0]])
    for channel, dot in enumerate(dots):
        v, u = np.mgrid[:HEIGHT, :WIDTH]
        spot = 255 * np.exp(-((u - dot[0]) ** 2 + (v - dot[1]) ** 2) / (2 * 8**2))
        image[..., channel] = spot.round()
    return image, dots


@pytest.mark.parametrize('angle', [0.0, np.pi / 2, -np.pi / 2, np.pi, 0.3, -2.1])
@pytest.mark.parametrize('size', [256.0, 400.0])
def test_what_the_crop_shows_lies_where_to_image_says(dotted, angle, size):
    image, dots = dotted
    region = Region(np.array([310.0, 230.0]), size, angle)
    side = 256
    crop = region.crop(image, side)
    assert crop.shape == (side, side, 3)
    assert crop.dtype == np.uint8
    v, u = np.mgrid[:side, :side]
    for channel, dot in enumerate(dots):
        mass = crop[..., channel].astype(float)
        centre = np.array([(u * mass).sum(), (v * mass).sum()]) / mass.sum()
        assert affine(region, side, centre) == pytest.approx(dot, abs=0.2)


def test_a_person_lying_to_the_right_is_cropped_upright(dotted):
    # Feet to the left, head to the right: turned clockwise by a quarter.
    image = np.zeros((200, 200, 3), np.uint8)
    image[90:110, 40:60] = 100
    image[90:110, 140:160] = 200
    crop = Region(np.array([100.0, 100.0]), 160, np.pi / 2).crop(image, 160)
    assert crop[30, 80, 0] == 200
    assert crop[130, 80, 0] == 100


def test_an_untouched_region_is_the_image_itself():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert np.array_equal(Region(np.array([32.0, 32.0]), 64).crop(image, 64), image)


def test_outside_of_the_image_is_black():
    image = np.full((100, 100, 3), 255, np.uint8)
    crop = Region(np.array([0.0, 100.0]), 100).crop(image, 100)
    assert (crop[:49, 51:] == 255).all()
    assert (crop[:, :49] == 0).all()
    assert (crop[51:] == 0).all()


# Boxes


BOXES = [
    ([0, 0, 4, 2], 1.0),
    ([4, 0, 8, 2], 0.0),
    ([9, 9, 10, 10], 0.0),
    ([2, 0, 6, 2], 1 / 3),
    ([1, 0.5, 3, 1.5], 1 / 4),
]


def test_overlaps_are_intersection_over_union():
    box, others = np.array([[0.0, 0, 4, 2]]), np.array([other for other, _ in BOXES], float)
    expected = [shared for _, shared in BOXES]
    assert overlaps(box, others) == pytest.approx(np.array([expected]))
    assert overlaps(others, box) == pytest.approx(np.array([expected]).T)
    assert overlaps(box[:0], others).shape == (0, len(BOXES))


@pytest.mark.parametrize('matrix', [None, 'text', {}, [[1, 2], [3]], [[10**400] * 3] * 3, 7])
def test_a_matrix_of_another_type_is_refused(matrix):
    with pytest.raises(ValueError, match='matrix must'):
        Camera(matrix)


@pytest.mark.parametrize('distortion', [None, 'text', {}, [[1, 2], [3]], object()])
def test_distortion_of_another_type_is_refused(distortion):
    with pytest.raises(ValueError, match='distortion must'):
        Camera(MATRIX, distortion)


@pytest.mark.parametrize('side', ['640', None, -1, 640.5, np.nan, np.inf, [640]])
def test_a_side_that_is_no_whole_number_of_pixels_is_refused(side):
    with pytest.raises(ValueError, match='width must be a whole number'):
        Camera(MATRIX, [], side, 480)
    with pytest.raises(ValueError, match='height must be a whole number'):
        Camera.from_field_of_view(60, 640, side)


def test_numbers_of_numpy_are_sides_and_angles():
    camera = Camera.from_field_of_view(np.float32(60), np.int64(640), np.uint16(480))
    assert (camera.width, camera.height) == (640, 480)


@pytest.mark.parametrize(
    'matrix', [MATRIX.T, MATRIX * 5, MATRIX + [[0, 0, 0], [1, 0, 0], [0, 0, 0]], np.ones((3, 3))]
)
def test_a_matrix_of_another_form_is_refused(matrix):
    with pytest.raises(ValueError, match='fx skew cx, 0 fy cy, 0 0 1') as caught:
        Camera(matrix)
    assert ('transpose it' in str(caught.value)) == (matrix[2, 0] > 5)


@pytest.mark.parametrize('degrees', [0.0, -10.0, 180.0, np.nan, '60', None])
def test_a_field_of_view_that_none_can_have_is_refused(degrees):
    with pytest.raises(ValueError, match='between 0 and 180'):
        Camera.from_field_of_view(degrees, 640, 480)
