"""Which calibrations a camera can have: real lenses pass, mistakes are named."""

import re
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from hybrik_ros.camera import Camera
from hybrik_ros.messages.images import IMPOSSIBLE, UnusableInputError, to_intrinsics
from hybrik_ros.messages.plausibility import field_of_view, find_doubts

Lens = tuple[int, int, float, float, list[float], str]

# Width, height, focal length, share of the sides at which the centre is, D and model, such as these
# have.
REAL: dict[str, Lens] = {
    'webcam': (640, 480, 525, 0.51, [0.03, -0.05, 0.004, 0.006, 0.0], 'plumb_bob'),
    'simulator': (1280, 720, 1110, 0.5, [], ''),
    'wide USB camera': (1280, 720, 740, 0.49, [-0.33, 0.12, 0, 0, -0.02], 'plumb_bob'),
    'action camera': (1920, 1080, 900, 0.5, [-0.25, 0.08, 0, 0, -0.013], 'plumb_bob'),
    'car, 120 degrees': (
        2880, 1860, 1495, 0.497, [0.93, 0.166, 0, 0, 0.0029, 1.331, 0.436, 0.0276],
        'rational_polynomial',
    ),
    'depth camera': (
        2048, 1536, 975, 0.5, [0.45, -2.6, 5e-4, -3e-4, 1.5, 0.33, -2.4, 1.43],
        'rational_polynomial',
    ),
    'large coefficients that cancel': (
        250, 250, 203, 0.5, [-3.5, -38.6, 3e-4, -1e-4, 286.4, -3.64, -36.7, 279.1],
        'rational_polynomial',
    ),
    'telephoto lens': (1920, 1080, 17900, 0.47, [-28.4, 1282.0, -0.1, 0.1, 0], 'plumb_bob'),
    'wide lens of a small robot': (640, 480, 307, 0.5, [-0.25, 0.035, 8e-4, -7e-4, 0], 'plumb_bob'),
    'car, 156 degrees': (
        1280, 960, 380, 0.5, [1.9, 0.35, 0, 0, 0.005, 2.25, 0.66, 0.035], 'rational_polynomial',
    ),
    'careless calibration': (640, 480, 885, 0.42, [0.18, -0.54, 0.002, -0.012, 0], 'plumb_bob'),
    'fisheye of 93 degrees': (752, 480, 461, 0.48, [-0.002, 0.024, -0.036, 0.02], 'equidistant'),
    'fisheye of 170 degrees': (848, 800, 286, 0.5, [-0.008, 0.042, -0.04, 0.007], 'equidistant'),
    'fisheye of 195 degrees': (1280, 720, 322, 0.5, [0.057, 0.039, -0.025, 0.004], 'equidistant'),
    'circle of a fisheye': (1920, 1080, 334, 0.5, [0.02, -0.01, 0.001, 0.0], 'equidistant'),
    'portrait': (1080, 1920, 1500, 0.5, [], 'plumb_bob'),
    'rectilinear lens of 127 degrees': (1920, 1280, 480, 0.5, [-0.01, 0, 0, 0, 0], 'plumb_bob'),
    'thermal camera': (160, 120, 150, 0.5, [-0.3, 0.1, 0, 0, 0], 'plumb_bob'),
}  # fmt: skip


def calibration(lens: Lens, **changes: object) -> SimpleNamespace:
    width, height, focal, at, d, model = lens
    k = [focal, 0, at * width, 0, focal, at * height, 0, 0, 1]
    sound = SimpleNamespace(
        width=width, height=height, d=d, distortion_model=model, k=k,
        binning_x=0, binning_y=0, roi=region(0, 0, 0, 0),
    )  # fmt: skip
    vars(sound).update(changes)
    return sound


def region(x_offset: int, y_offset: int, width: int, height: int) -> SimpleNamespace:
    return SimpleNamespace(x_offset=x_offset, y_offset=y_offset, width=width, height=height)


@pytest.mark.parametrize('name', REAL)
def test_published_calibrations_pass_without_a_doubt(name: str) -> None:
    assert to_intrinsics(calibration(REAL[name])).doubts == ()


@pytest.mark.parametrize('name', REAL)
def test_calibrations_of_regions_and_binned_images_pass(name: str) -> None:
    width, height, *_ = REAL[name]
    part = width // 4, height // 4
    for corner in ((0, 0), (width - part[0], height - part[1]), (0, height - part[1])):
        info = calibration(REAL[name], roi=region(*corner, *part), binning_x=2, binning_y=2)
        camera, doubts = to_intrinsics(info, (part[0] // 2, part[1] // 2))
        assert doubts == ()
        assert (camera.width, camera.height) == (part[0] // 2, part[1] // 2)


@given(
    width=st.integers(64, 8000),
    shape=st.floats(0.4, 2.5),
    degrees=st.floats(6, 120),
    centre=st.tuples(st.floats(0.41, 0.59), st.floats(0.41, 0.59)),
    pixel_ratio=st.floats(0.8, 1.25),
    barrel=st.floats(-0.2, 0.2),
)
def test_any_camera_near_the_usual_passes(
    width: int,
    shape: float,
    degrees: float,
    centre: tuple[float, float],
    pixel_ratio: float,
    barrel: float,
) -> None:
    offsets = sorted(abs(share - 0.5) for share in centre)
    assume(offsets[0] > 0.012 or offsets[1] < 0.04)  # Others may be the K of another resolution.
    height = max(48, int(width * shape))
    focal = width / 2 / np.tan(np.radians(degrees / 2))
    k = [focal, 0, centre[0] * width, 0, pixel_ratio * focal, centre[1] * height, 0, 0, 1]
    # Barrel distortion of this share at the farther corner.
    radius = max(width, height) / focal
    lens = (width, height, focal, 0.5, [barrel / radius**2 / 4, 0, 0, 0, 0], 'plumb_bob')
    assert to_intrinsics(calibration(lens, k=k)).doubts == ()


def test_images_cropped_at_one_side_pass() -> None:
    k = [1530.0, 0, 884, 0, 1530, 97, 0, 0, 1]  # of the sample clip
    assert to_intrinsics(calibration((1768, 594, 1530, 0.5, [], ''), k=k)).doubts == ()
    k = [1530.0, 0, 884, 0, 1530, 390, 0, 0, 1]  # cropped at the bottom to no usual shape
    assert to_intrinsics(calibration((1768, 594, 1530, 0.5, [], ''), k=k)).doubts == ()


SOUND: Lens = (640, 480, 525, 0.5, [], 'plumb_bob')
K = [525.0, 0, 320, 0, 525, 240, 0, 0, 1]


def scaled(*factors: float) -> list[float]:
    """K of a resolution this many times the images'."""
    x, y = factors if len(factors) == 2 else factors * 2
    return [x * 525, 0, x * 320, 0, y * 525, y * 240, 0, 0, 1]


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'k': scaled(6)}, 'far from the middle of 640 x 480 .*about 3841 x 2881'),
        ({'k': scaled(2)}, 'about 1281 x 961 pixels.*in the resolution of its images'),
        ({'k': scaled(1.5)}, 'about 961 x 721'),
        ({'k': scaled(0.5)}, 'about 321 x 241'),
        ({'k': scaled(3, 2.25)}, 'about 1921 x 1081'),
        ({'k': [525, 0, 1e6, 0, 525, 240, 0, 0, 1]}, 'far from the middle'),
        ({'k': [525, 0, -320, 0, 525, -240, 0, 0, 1]}, 'far from the middle'),
        ({'k': [525, 0, 120, 0, 525, 400, 0, 0, 1]}, 'far from the middle'),
        ({'k': [320, 0, 525, 0, 240, 525, 0, 0, 1]}, 'focal lengths, 320 and 240, .* exchanged'),
        ({'k': [320, 0, 330, 0, 240, 330, 0, 0, 1]}, 'seem to be exchanged'),
        ({'k': [525, 0, 0, 0, 525, 0, 320, 240, 1]}, 'column by column, transpose it'),
        ({'k': [525, 0, 320, 0, 525, 240, 0, 0, 5]}, 'must be fx skew cx, 0 fy cy, 0 0 1'),
        ({'k': [525, 0, 320, 0, 525, 240, 5, 5, 1]}, 'must be fx skew cx, 0 fy cy, 0 0 1'),
        ({'k': [525, 0, 320, 9, 525, 240, 0, 0, 1]}, 'must be fx skew cx, 0 fy cy, 0 0 1'),
        ({'k': [525, 525, 320, 0, 240, 240, 0, 0, 1]}, 'skew of 525'),
        ({'k': [525, 0, 320, 0, 5250, 240, 0, 0, 1]}, 'by a factor of 10'),
        ({'k': [0.0042, 0, 0.0024, 0, 0.0042, 0.0018, 0, 0, 1]}, 'not in metres or millimetres'),
        ({'k': [4.2, 0, 320, 0, 4.2, 240, 0, 0, 1]}, 'not in metres or millimetres'),
        ({'k': [1e-300, 0, 320, 0, 1e-300, 240, 0, 0, 1]}, 'field of view of 180 degrees'),
        ({'k': [1e300, 0, 320, 0, 1e300, 240, 0, 0, 1]}, 'field of view of .*e-'),
        ({'k': [np.nan] * 9}, 'finite'),
        ({'d': [1200, -3400, 110, -95, 800]}, 'of the pixels without a ray'),
        ({'d': [-3, 0, 0, 0, 0]}, 'of the pixels without a ray'),
        ({'d': [0, 0, 5, -5, 0]}, 'of the pixels without a ray'),
        ({'d': [120, -34, 0, 0, 8]}, r'its distortion \[120, -34, 0, 0, 8\]'),
        ({'d': [np.inf, 0, 0, 0, 0]}, 'finite'),
        (
            {'d': [1200, -3400, 110, -95], 'distortion_model': 'equidistant'},
            'moves pixels farther than a lens can',
        ),
        (
            {'k': [0.002, 0, 320, 0, 0.002, 240, 0, 0, 1], 'distortion_model': 'equidistant',
             'd': [0.01, 0, 0, 0]},
            'not in metres or millimetres',
        ),
        ({'p': [525, 0, 0, 0, 525, 0, 320, 240, 1, 0, 0, 0], 'k': [0] * 9}, '0 0 1'),
    ],
)  # fmt: skip
def test_what_no_camera_has_is_refused_with_the_reason(
    changes: dict[str, object], words: str
) -> None:
    with pytest.raises(UnusableInputError, match=words) as caught:
        to_intrinsics(calibration(SOUND, **changes), (640, 480))
    assert caught.value.kind in (IMPOSSIBLE, 'camera_info')
    assert '\n' not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'k': scaled(1.25)}, 'about 801 x 601'),
        ({'k': scaled(0.75)}, 'about 481 x 361'),
        ({'k': [525, 0, 240, 0, 525, 320, 0, 0, 1]}, 'middle of images turned by 90 degrees'),
        ({'k': [525, 0, 320, 0, 525, -60, 0, 0, 1]}, 'region of interest'),
        ({'k': [30, 0, 320, 0, 30, 240, 0, 0, 1]}, 'field of view of 169.3 degrees'),
        (
            {'k': [150, 0, 320, 0, 150, 240, 0, 0, 1]},
            '129.8 degrees: .* pixels of images of this size',
        ),
        ({'k': [15000, 0, 320, 0, 15000, 240, 0, 0, 1]}, 'field of view of 2.444 degrees'),
        ({'k': [525, 0, 320, 0, 1050, 240, 0, 0, 1]}, 'by a factor of 2'),
        ({'d': [-0.6, 0, 0, 0, 0]}, 'of the pixels without a ray'),
        ({'k': scaled(0.8)}, 'about 513 x 385'),
        ({'k': [525, 0, 480, 0, 525, 270, 0, 0, 1]}, 'about 961 x 541'),
        ({'k': [525, 0, 400, 0, 525, 224, 0, 0, 1]}, 'about 801 x 449'),
        ({'k': [525, 0, 360, 0, 525, 288, 0, 0, 1]}, 'about 721 x 577'),
        ({'k': [525, 0, 320, 0, 525, 0, 0, 0, 1]}, 'is a number missing'),
        ({'k': [525, 0, 0, 0, 525, 240, 0, 0, 1]}, 'is a number missing'),
        ({'k': [525, 0, 320, 0, 525, 500, 0, 0, 1]}, 'far from the middle'),
        ({'k': [525, 0, 660, 0, 525, 240, 0, 0, 1]}, 'far from the middle'),
        ({'k': [525, 0, 320, 0, 525, 180, 0, 0, 1]}, 'about 641 x 361'),
        ({'k': [525, 0, 424, 0, 525, 240, 0, 0, 1]}, 'about 849 x 481'),
        ({'k': [760, 0, 320, 0, 525, 240, 0, 0, 1]}, 'by a factor of 1.45'),
        # Older OpenCV finds no ray for more of the pixels.
        ({'d': [0, 12, 0, 0, 0]}, 'as that of few lenses does, for plumb_bob|pixels without a ray'),
        ({'d': [2, 0, 0, 0, 0]}, 'as that of few lenses does, for plumb_bob'),
        ({'d': [0, 0, 0.05, -0.05, 0]}, 'a large p1 or p2'),
        ({'d': [-0.002, 0.024, -0.036, 0.02]}, 'a large p1 or p2'),
    ],
)
def test_what_few_cameras_have_is_used_and_doubted(changes: dict[str, object], words: str) -> None:
    camera, [doubt] = to_intrinsics(calibration(SOUND, **changes), (640, 480))
    assert (camera.width, camera.height) == (640, 480)
    assert doubt.startswith('camera_info may be wrong: ')
    assert re.search(words, doubt)


@pytest.mark.parametrize(('focal', 'doubts'), [(150, 0), (80, 1)])
@pytest.mark.parametrize('k', [[0] * 9, K])
def test_rectified_images_may_be_wider_than_lenses(focal: int, doubts: int, k: list[float]) -> None:
    p = [focal, 0, 320, 0, 0, focal, 240, 0, 0, 0, 1, 0]
    info = calibration(SOUND, k=k, p=p)
    assert len(to_intrinsics(info, (640, 480), rectified=any(k)).doubts) == doubts


@pytest.mark.parametrize(
    ('images', 'of'),
    [
        ((848, 480), (640, 480)),
        ((640, 400), (640, 480)),
        ((1280, 720), (1280, 960)),
        ((1920, 1080), (1920, 1200)),
        ((1280, 960), (1280, 720)),
        ((1280, 720), (1280, 1024)),
    ],
)
def test_calibrations_of_other_shapes_are_doubted(
    images: tuple[int, int], of: tuple[int, int]
) -> None:
    k = [0.7 * of[0], 0, (of[0] - 1) / 2, 0, 0.7 * of[0], (of[1] - 1) / 2, 0, 0, 1]
    [doubt] = to_intrinsics(calibration((*images, 500, 0.5, [], ''), k=k), images).doubts
    assert f'about {of[0]} x {of[1]} pixels' in doubt


@pytest.mark.parametrize(
    ('name', 'model'),
    [
        ('fisheye of 170 degrees', 'plumb_bob'),
        ('fisheye of 195 degrees', 'plumb_bob'),
        ('wide USB camera', 'equidistant'),
        ('action camera', 'equidistant'),
    ],
)
def test_distortion_of_the_other_model_is_doubted(name: str, model: str) -> None:
    info = calibration(REAL[name], d=REAL[name][4][:4], distortion_model=model)
    [doubt] = to_intrinsics(info).doubts
    assert 'check the distortion model' in doubt


NUMBERS = st.sampled_from([0.0, 1.0, -1.0, 1e-300, 1e300, np.nan, np.inf, 5.0, 320.0, 1e6, -0.3])


@given(
    k=st.dictionaries(st.integers(0, 8), NUMBERS, max_size=2),
    d=st.lists(NUMBERS | st.floats(-1, 1), max_size=16),
    sides=st.sampled_from([(640, 480), (0, 0), (1, 1), (2**32 - 1, 2**32 - 1)]),
    model=st.sampled_from(['plumb_bob', 'equidistant', 'x' * 6000]),
    rectified=st.booleans(),
)
@pytest.mark.filterwarnings('error')
def test_any_numbers_give_intrinsics_or_the_error_promised(
    k: dict[int, float], d: list[float], sides: tuple[int, int], model: str, rectified: bool
) -> None:
    width, height = sides
    info = calibration(SOUND, width=width, height=height, d=d, distortion_model=model)
    info.k = [k.get(place, number) for place, number in enumerate(K)]
    with suppress(UnusableInputError):
        camera = to_intrinsics(info, (640, 480), rectified).camera
        assert np.isfinite(camera.matrix).all()


FINITE = st.floats(allow_nan=False, allow_infinity=False)
FOCAL = FINITE.filter(lambda number: number > 0) | st.floats(1, 2000)
CENTRE = FINITE | st.floats(-1000, 4000)
SIDE = st.integers(1, 4000) | st.integers(1, 2**32 - 1)


@given(
    focal=st.tuples(FOCAL, FOCAL),
    skew=st.just(0.0) | FINITE,
    centre=st.tuples(CENTRE, CENTRE),
    lens=st.tuples(st.booleans(), st.sampled_from([0, 4, 5, 8, 12, 14])),
    numbers=st.lists(st.floats(-0.1, 0.1) | FINITE, min_size=14, max_size=14),
    size=st.tuples(SIDE, SIDE),
)
@example((70, 70), 0.0, (442, 400), (True, 4), [0.01] * 14, (884, 298))  # all beyond 80 degrees
@pytest.mark.filterwarnings('error')
def test_no_finite_numbers_end_the_check(
    focal: tuple[float, float],
    skew: float,
    centre: tuple[float, float],
    lens: tuple[bool, int],
    numbers: list[float],
    size: tuple[int, int],
) -> None:
    fisheye, count = lens
    d = numbers[: min(count, 4) if fisheye else count]
    matrix = np.array([[focal[0], skew, centre[0]], [0, focal[1], centre[1]], [0, 0, 1]])
    assert all(doubt.text for doubt in find_doubts(Camera(matrix, d, *size, fisheye)))


def test_fields_of_view_are_those_of_the_lenses() -> None:
    assert field_of_view(Camera.from_field_of_view(73.0, 640, 480)) == pytest.approx(73)
    # The angle of a fisheye without coefficients that count is the distance over the focal length.
    matrix = [[200.0, 0, 319.5], [0, 200.0, 239.5], [0, 0, 1]]
    fisheye = Camera(matrix, [1e-9, 0, 0, 0], 640, 480, fisheye=True)
    assert field_of_view(fisheye) == pytest.approx(np.degrees(640 / 200), abs=0.1)
