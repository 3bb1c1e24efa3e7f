"""Images and calibrations as cameras send them."""

import array
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from hybrik_ros.camera import Camera
from hybrik_ros.messages.images import (
    ENCODINGS,
    UnusableInputError,
    decompress,
    to_8_bits,
    to_camera,
    to_intrinsics,
    to_rgb,
)
from hybrik_ros.node.conversions import to_image

HEIGHT, WIDTH = 6, 8
BAYER = [f'bayer_{pattern}' for pattern in ('rggb', 'bggr', 'gbrg', 'grbg')]


def message(pixels: np.ndarray, encoding: str, padding: int = 0) -> Image:
    """An image message of rows (H, bytes) with some bytes of padding after each."""
    rows = pixels.reshape(len(pixels), -1)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=171)
    image = Image(height=len(rows), width=WIDTH, encoding=encoding, step=padded.shape[1])
    image.data = array.array('B', padded.tobytes())
    return image


@pytest.fixture
def rgb() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)


# The layouts of sensor_msgs/image_encodings.hpp, pixel by pixel.

ORDER = {'rgb': 'rgb', 'bgr': 'bgr', 'rgba': 'rgba', 'bgra': 'bgra', '8UC3': 'bgr', '8UC4': 'bgra'}
LUMA_AND_CHROMA = {  # Within two pixels: the bytes of the lumas, of U and of V.
    'yuv422': ((1, 3), 0, 2),
    'uyvy': ((1, 3), 0, 2),
    'yuv422_yuy2': ((0, 2), 1, 3),
    'yuyv': ((0, 2), 1, 3),
}
LEAST_STEP = {  # Bytes a pixel.
    **dict.fromkeys(('mono8', '8UC1', 'nv12', 'nv21', 'nv24', *(f'{name}8' for name in BAYER)), 1),
    **dict.fromkeys(('mono16', '16UC1', *LUMA_AND_CHROMA, *(f'{name}16' for name in BAYER)), 2),
    **dict.fromkeys(('rgb8', 'bgr8', '8UC3'), 3),
    **dict.fromkeys(('rgba8', 'bgra8', '8UC4'), 4),
    **dict.fromkeys(('rgb16', 'bgr16'), 6),
    **dict.fromkeys(('rgba16', 'bgra16'), 8),
}
ROWS = {'nv12': 1.5, 'nv21': 1.5, 'nv24': 3.0}  # Of all planes to those of pixels.


class NaiveReader:
    """Reads an image one pixel at a time."""

    def __init__(self, image: Image, height: int) -> None:
        self.data, self.step, self.encoding = bytes(image.data), image.step, image.encoding
        self.wide = image.encoding.endswith('16') or image.encoding == '16UC1'
        self.big_endian = image.is_bigendian
        self.height, self.width = height, image.width

    def sample(self, row: int, number: int) -> int:
        if not self.wide:
            return self.data[row * self.step + number]
        pair = self.data[row * self.step + 2 * number :][:2]
        return int.from_bytes(pair, 'big' if self.big_endian else 'little') // 256

    def pixel(self, row: int, column: int) -> list[float]:
        kind = self.encoding.removesuffix('16') if self.wide else self.encoding.removesuffix('8')
        if kind in ORDER:
            order = ORDER[kind]
            return [self.sample(row, len(order) * column + order.index(colour)) for colour in 'rgb']
        if kind in ('mono', '8UC1', '16UC1'):
            return 3 * [self.sample(row, column)]
        if kind in BAYER:
            return self.bilinear(row, column, kind.removeprefix('bayer_'))
        return self.yuv(row, column, kind)

    def yuv(self, row: int, column: int, kind: str) -> list[float]:
        if kind in LUMA_AND_CHROMA:
            lumas, u, v = LUMA_AND_CHROMA[kind]
            pair = 4 * (column // 2)
            places = [(row, pair + at) for at in (lumas[column % 2], u, v)]
            y, u, v = (self.sample(*place) for place in places)
        elif kind == 'nv24':  # Its rows of chroma are two steps long.
            chroma = (self.height + 2 * row) * self.step + 2 * column
            y, u, v = self.sample(row, column), self.data[chroma], self.data[chroma + 1]
        else:
            chroma = (self.height + row // 2) * self.step + column // 2 * 2
            u, v = self.data[chroma], self.data[chroma + 1]
            y, (u, v) = self.sample(row, column), (u, v) if kind == 'nv12' else (v, u)
        # BT.601 in studio range: luma of 16, black, to 235; chroma of 16 to 240 about 128.
        grey, blue, red = max(y - 16, 0) * 255 / 219, (u - 128) * 255 / 224, (v - 128) * 255 / 224
        colours = [
            grey + 1.402 * red,
            grey - (0.114 * 1.772 * blue + 0.299 * 1.402 * red) / 0.587,
            grey + 1.772 * blue,
        ]
        return [min(max(colour, 0), 255) for colour in colours]

    def bilinear(self, row: int, column: int, pattern: str) -> list[float]:
        """The colour's own sample, or the mean of the nearest that have the colour."""
        means = []
        for colour in 'rgb':
            near: dict[int, list[int]] = {}
            for r in range(row - 1, row + 2):
                for c in range(column - 1, column + 2):
                    if pattern[2 * (r % 2) + c % 2] == colour:
                        distance = (r - row) ** 2 + (c - column) ** 2
                        near.setdefault(distance, []).append(self.sample(r, c))
            means.append(np.mean(near[min(near)]))
        return means


def arbitrary(encoding: str, height: int, width: int, padding: int, seed: int) -> Image:
    """An image of random bytes, its padding included."""
    step = LEAST_STEP[encoding] * width + padding
    length = int(step * height * ROWS.get(encoding, 1))
    data = np.random.default_rng(seed).integers(0, 256, length, np.uint8)
    image = Image(height=height, width=width, encoding=encoding, step=step)
    image.data = array.array('B', data.tobytes())
    return image


@pytest.mark.parametrize('encoding', ENCODINGS)
@given(
    height=st.sampled_from([4, 6, 10]),
    width=st.sampled_from([4, 8, 18]),
    padding=st.integers(0, 40),
    big_endian=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=12, deadline=None)
def test_every_encoding_is_read_as_pixel_by_pixel(
    encoding: str, height: int, width: int, padding: int, big_endian: bool, seed: int
) -> None:
    image = arbitrary(encoding, height, width, padding, seed)
    image.is_bigendian = big_endian
    sent = bytes(image.data)
    pixels = to_rgb(image)
    assert (pixels.shape, pixels.dtype) == ((height, width, 3), np.uint8)
    assert pixels.flags.c_contiguous
    assert bytes(image.data) == sent
    reader = NaiveReader(image, height)
    # Bayer's outermost pixels have neighbours on one side only: there OpenCV repeats the inner.
    edge = 1 if encoding.startswith('bayer') else 0
    inner = [range(edge, side - edge) for side in (height, width)]
    expected = [[reader.pixel(row, column) for column in inner[1]] for row in inner[0]]
    if encoding.startswith('bayer'):
        levels = 1.0  # Rounding of means.
    else:
        levels = 2.0 if encoding in (*LUMA_AND_CHROMA, *ROWS) else 0.0
    actual = pixels[edge : height - edge, edge : width - edge]
    np.testing.assert_allclose(actual, expected, rtol=0, atol=levels)


@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize('pattern', BAYER)
def test_bayer_of_one_colour_is_that_colour_up_to_the_edges(pattern: str, bits: int) -> None:
    colour = {'r': 200, 'g': 120, 'b': 30}
    cell = np.array([colour[letter] for letter in pattern.removeprefix('bayer_')]).reshape(2, 2)
    mosaic = np.tile(cell, (HEIGHT // 2, WIDTH // 2)) << (bits - 8)
    sent = message(mosaic.astype(f'<u{bits // 8}').view(np.uint8), f'{pattern}{bits}', padding=3)
    np.testing.assert_array_equal(to_rgb(sent), np.full((HEIGHT, WIDTH, 3), [200, 120, 30]))


@pytest.mark.parametrize('encoding', list(ROWS))
@given(padding=st.integers(0, 3), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_height_may_count_the_rows_of_both_planes(encoding: str, padding: int, seed: int) -> None:
    image = arbitrary(encoding, HEIGHT, WIDTH, padding, seed)
    pixels = to_rgb(image)
    image.height = len(image.data) // image.step
    assert image.height > HEIGHT
    np.testing.assert_array_equal(to_rgb(image), pixels)


def test_rgb_without_padding_is_not_copied(rgb: np.ndarray) -> None:
    sent = message(rgb, 'rgb8')
    assert np.shares_memory(to_rgb(sent), np.frombuffer(sent.data, np.uint8))


@pytest.mark.parametrize(
    'encoding',
    [
        *(f'{name}{bits}' for name in ('rgb', 'bgr', 'rgba', 'bgra', 'mono') for bits in (8, 16)),
        *(f'{pattern}{bits}' for pattern in BAYER for bits in (8, 16)),
        'yuv422',
        'yuv422_yuy2',
    ],
)
def test_cv_bridge_gives_the_same_pixels(encoding: str) -> None:
    cv_bridge = pytest.importorskip('cv_bridge', reason='cv_bridge comes with a ROS install only')
    sent = arbitrary(encoding, HEIGHT, WIDTH, padding=0, seed=1)
    theirs = cv_bridge.CvBridge().imgmsg_to_cv2(sent, 'rgb8')
    # Of all 16 bits cv_bridge rounds to 8 where we cut, and demosaics before.
    tolerance = 1 if encoding.endswith('16') else 0
    np.testing.assert_allclose(to_rgb(sent).astype(int), theirs, rtol=0, atol=tolerance)


def test_image_of_our_own_reads_back(rgb: np.ndarray) -> None:
    sent = to_image(rgb, Header(frame_id='camera'))
    assert (sent.encoding, sent.step, sent.header.frame_id) == ('rgb8', 3 * WIDTH, 'camera')
    np.testing.assert_array_equal(to_rgb(sent), rgb)


def broken(**changes: object) -> Image:
    image = message(np.zeros((HEIGHT, WIDTH, 3), np.uint8), 'rgb8')
    for name, value in changes.items():
        setattr(image, name, value)
    return image


@pytest.mark.parametrize(
    ('image', 'kind', 'words'),
    [
        (broken(encoding='32FC1'), 'encoding', "'32FC1'.*one of rgb8"),
        (broken(width=0), 'size', '0 x 6'),
        (broken(height=0), 'size', '8 x 0'),
        (broken(step=23), 'length', 'step of 23 bytes'),
        (broken(height=7), 'length', '168 bytes, but holds 144'),
        (broken(data=array.array('B')), 'length', 'but holds 0'),
        (broken(encoding='yuv422', width=7), 'size', 'even width, not 7 x 6'),
        (broken(encoding='bayer_rggb8', width=7), 'size', 'even width and height, not 7 x 6'),
        (broken(encoding='bayer_rggb16', height=5), 'size', 'even width and height, not 8 x 5'),
        (broken(encoding='nv12', height=5, step=8), 'size', 'even width and height, not 8 x 5'),
        (broken(encoding='mono16', step=15), 'length', 'step of 15 bytes'),
        (broken(encoding='nv12', step=12), 'length', 'hold 108 bytes, but holds 144'),
        (broken(encoding='nv21', height=12, step=12), 'length', 'hold 216 bytes, but holds 144'),
        (broken(encoding='nv24', height=7, step=8), 'length', 'hold 168 bytes, but holds 144'),
    ],
)
def test_unusable_images_say_why(image: Image, kind: str, words: str) -> None:
    with pytest.raises(UnusableInputError, match=words) as caught:
        to_rgb(image)
    assert caught.value.kind == kind


def calibration(**changes: object) -> CameraInfo:
    info = CameraInfo(width=640, height=480, distortion_model='plumb_bob')
    info.k = [500.0, 0, 320, 0, 510, 240, 0, 0, 1]
    info.d = [-0.2, 0.1, 0.001, -0.002, 0.0]
    for name, value in changes.items():
        setattr(info, name, value)
    return info


def test_camera_has_the_calibrations_numbers() -> None:
    camera = to_camera(calibration())
    assert (camera.width, camera.height, camera.fisheye) == (640, 480, False)
    np.testing.assert_array_equal(camera.matrix, [[500, 0, 320], [0, 510, 240], [0, 0, 1]])
    np.testing.assert_array_equal(camera.distortion, [-0.2, 0.1, 0.001, -0.002, 0.0])


def test_equidistant_is_opencvs_fisheye() -> None:
    coefficients = [0.05, -0.01, 0.003, -0.001]
    camera = to_camera(calibration(distortion_model='equidistant', d=coefficients))
    points = np.array([[0.3, -0.2, 1.0], [-0.8, 0.5, 1.2]])
    expected, _ = cv2.fisheye.projectPoints(
        points[:, None], np.zeros(3), np.zeros(3), camera.matrix, np.array(coefficients)
    )
    np.testing.assert_allclose(camera.project(points), expected[:, 0])


@pytest.mark.parametrize(
    ('model', 'given', 'taken'),
    [
        ('equidistant', [0.05, -0.01, 0.003, -0.001, 0.0], 4),
        ('equidistant', [0.05, -0.01, 0.003, -0.001, 0.0, 0.0, 0.0, 0.0], 4),
        ('equidistant', [0.0] * 5, 4),
        ('plumb_bob', [-0.2, 0.1, 0.001, -0.002, 0.0, 0.0, 0.0], 5),
        ('rational_polynomial', [-0.2, 0.1, 0.0, 0.0, 0.01, 0.02, 0.0, 0.0, 0.0], 8),
        ('plumb_bob', [0.0] * 3, 0),
    ],
)
def test_zeros_beyond_the_models_coefficients_do_not_count(
    model: str, given: list[float], taken: int
) -> None:
    camera = to_camera(calibration(distortion_model=model, d=given))
    np.testing.assert_array_equal(camera.distortion, given[:taken])


def test_the_name_of_a_model_without_coefficients_does_not_matter() -> None:
    assert not to_camera(calibration(distortion_model='none', d=[0.0] * 5)).distorted


P = [400.0, 0, 310, -48, 0, 405, 245, 0, 0, 0, 1, 0]
P_MATRIX = [[400, 0, 310], [0, 405, 245], [0, 0, 1]]


def test_rectified_images_have_p_without_distortion() -> None:
    camera, doubts = to_intrinsics(calibration(p=P), (640, 480), rectified=True)
    np.testing.assert_array_equal(camera.matrix, P_MATRIX)
    assert not camera.distorted
    assert doubts == ()
    np.testing.assert_array_equal(to_camera(calibration(p=P)).matrix, calibration().k.reshape(3, 3))


def test_regions_of_rectified_images_are_regions_of_p() -> None:
    info = calibration(p=P, roi=region(100, 60, 320, 240), binning_x=2, binning_y=2)
    camera = to_camera(info, (160, 120), rectified=True)
    assert camera.matrix[0, 0] == 200
    assert camera.matrix[:2, 2] == pytest.approx([(310.5 - 100) / 2 - 0.5, (245.5 - 60) / 2 - 0.5])


def test_rectified_images_without_p_are_doubted() -> None:
    camera, [doubt] = to_intrinsics(calibration(), rectified=True)
    assert not camera.distorted
    assert 'all-zero P' in doubt
    assert 'intrinsics to raw' in doubt
    assert to_intrinsics(calibration(d=[0.0] * 5), rectified=True).doubts == ()


@pytest.mark.parametrize('last', [0.0, 1.0])
def test_p_stands_in_for_a_k_of_zeros(last: float) -> None:
    unknown = [*[0.0] * 8, last]
    camera, doubts = to_intrinsics(calibration(k=unknown, p=P, d=[]))
    np.testing.assert_array_equal(camera.matrix, P_MATRIX)
    assert doubts == ()
    [doubt] = to_intrinsics(calibration(k=unknown, p=P)).doubts
    assert 'P is used without it' in doubt
    with pytest.raises(UnusableInputError, match='all-zero K') as caught:
        to_camera(calibration(k=unknown))
    assert caught.value.kind == 'zero K'


def test_rectified_images_of_a_fisheye_have_a_pinhole() -> None:
    info = calibration(distortion_model='equidistant', d=[0.05, -0.01, 0.003, -0.001], p=P)
    assert to_camera(info).fisheye
    camera = to_camera(info, rectified=True)
    points = np.array([[0.3, -0.2, 1.0], [-0.8, 0.5, 1.2]])
    expected = points @ np.transpose(P_MATRIX)
    np.testing.assert_allclose(camera.project(points), expected[:, :2] / expected[:, 2:])
    assert not camera.fisheye


def test_a_calibration_without_a_size_is_taken_for_the_images_and_says_what_to_do() -> None:
    camera, [doubt] = to_intrinsics(calibration(width=0, height=0), (640, 480))
    assert (camera.width, camera.height) == (640, 480)
    assert 'width and height of 0 x 0' in doubt
    assert 'set both to those of the images' in doubt
    with pytest.raises(UnusableInputError, match='far from the middle of 1280 x 960'):
        to_camera(calibration(width=0, height=0), (1280, 960))
    with pytest.raises(UnusableInputError, match='0 x 0: set both to those of the images'):
        to_camera(calibration(width=0, height=0))


def region(x_offset: int, y_offset: int, width: int, height: int) -> RegionOfInterest:
    return RegionOfInterest(x_offset=x_offset, y_offset=y_offset, width=width, height=height)


def places_in_the_window(info: CameraInfo) -> tuple[np.ndarray, np.ndarray]:
    """Where the pixels of the received image lie on the sensor: columns (w) and rows (h)."""
    across, down = max(info.binning_x, 1), max(info.binning_y, 1)
    columns = np.arange(info.width)[info.roi.x_offset :][: info.roi.width]
    rows = np.arange(info.height)[info.roi.y_offset :][: info.roi.height]
    columns = columns[: len(columns) // across * across].reshape(-1, across)
    rows = rows[: len(rows) // down * down].reshape(-1, down)
    return columns.mean(axis=1), rows.mean(axis=1)


@pytest.mark.parametrize('model', ['plumb_bob', 'equidistant'])
@given(
    corner=st.tuples(st.integers(0, 320), st.integers(0, 240)),
    size=st.tuples(st.integers(40, 320), st.integers(40, 240)),
    binning=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    do_rectify=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=50, deadline=None)
def test_region_and_binning_show_a_point_where_cropped_and_binned_pixels_do(
    model: str,
    corner: tuple[int, int],
    size: tuple[int, int],
    binning: tuple[int, int],
    do_rectify: bool,
    seed: int,
) -> None:
    fisheye = model == 'equidistant'
    info = calibration(distortion_model=model, roi=region(*corner, *size))
    info.d = [0.05, -0.01, 0.003, -0.001] if fisheye else [-0.2, 0.1, 0.001, -0.002, 0.0]
    info.binning_x, info.binning_y = binning
    info.roi.do_rectify = do_rectify
    columns, rows = places_in_the_window(info)
    camera = to_camera(info)
    assert (camera.width, camera.height) == (len(columns), len(rows))

    # Points that the full camera sees within the window, a pixel or more from its edges.
    random = np.random.default_rng(seed)
    full = np.stack([random.uniform(p[0], p[-1], 20) for p in (columns, rows)], axis=1)
    whole = Camera(np.array(info.k).reshape(3, 3), np.array(info.d), 640, 480, fisheye=fisheye)
    points = np.concatenate([whole.rays(full), np.ones((20, 1))], axis=1)
    points *= random.uniform(0.5, 5, (20, 1))
    project = cv2.fisheye.projectPoints if fisheye else cv2.projectPoints
    nowhere = np.zeros(3)
    on_sensor = project(points[:, None], nowhere, nowhere, whole.matrix, whole.distortion)[0][:, 0]

    received = [
        np.interp(on_sensor[:, axis], places, np.arange(len(places)))
        for axis, places in enumerate((columns, rows))
    ]
    seen = camera.project(points)
    # Undistortion, which chose the points, leaves some off the window by its own error.
    np.testing.assert_allclose(seen, np.stack(received, axis=1), rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ('roi', 'binning'),
    [((0, 0, 0, 0), 0), ((0, 0, 640, 480), 1), ((30, 20, 0, 0), 1), ((30, 20, 0, 100), 1)],
)
def test_a_region_of_all_or_nothing_is_the_whole_sensor(
    roi: tuple[int, int, int, int], binning: int
) -> None:
    info = calibration(roi=region(*roi), binning_x=binning, binning_y=binning)
    camera = to_camera(info)
    assert (camera.width, camera.height) == (640, 480)
    np.testing.assert_array_equal(camera.matrix.ravel(), info.k)


def test_images_of_the_whole_sensor_are_no_region_of_it() -> None:
    for roi in (region(100, 50, 320, 240), region(600, 400, 640, 480)):
        info = calibration(roi=roi, binning_x=2, binning_y=2)
        camera = to_camera(info, (640, 480))
        assert (camera.width, camera.height) == (640, 480)
        np.testing.assert_array_equal(camera.matrix.ravel(), info.k)


def test_images_of_another_size_than_the_window_are_told_of() -> None:
    info = calibration(roi=region(100, 50, 320, 240), binning_x=2, binning_y=2)
    assert to_camera(info, (160, 120)).width == 160
    with pytest.raises(UnusableInputError, match=r'for 160 x 120.*have 320 x 240') as caught:
        to_camera(info, (320, 240))
    assert caught.value.kind == 'camera_info size'


@pytest.mark.parametrize(
    ('info', 'kind', 'words'),
    [
        (calibration(k=[0.0] * 9), 'zero K', 'all-zero K.*field_of_view'),
        (calibration(distortion_model='fov'), 'distortion model', "'fov'"),
        (calibration(d=[0.1, 0.2]), 'camera_info', 'distortion must have'),
        (calibration(roi=region(600, 0, 41, 480)), 'camera_info', 'exceeds its 640 x 480'),
        (calibration(roi=region(0, 400, 640, 81)), 'camera_info', 'exceeds its 640 x 480'),
        (calibration(k=[-1.0, 0, 1, 0, 1, 1, 0, 0, 1]), 'camera_info', 'positive focal'),
    ],
)
def test_unusable_calibrations_say_why(info: CameraInfo, kind: str, words: str) -> None:
    with pytest.raises(UnusableInputError, match=words) as caught:
        to_camera(info)
    assert caught.value.kind == kind


# Compressed images.


def compressed(data: bytes | np.ndarray, kind: str = 'jpeg') -> CompressedImage:
    sent = CompressedImage(format=kind)
    sent.data = array.array('B', bytes(data))
    return sent


def encoded(suffix: str, pixels: np.ndarray, *parameters: int) -> bytes:
    """A file of an array in OpenCV's order of colours."""
    done, data = cv2.imencode(suffix, pixels, parameters)
    assert done
    return data.tobytes()


def png(pixels: np.ndarray, colour_type: int) -> bytes:
    """A PNG written by hand: of colour types that OpenCV does not write, and false sizes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
        )

    header = struct.pack('>2I5B', pixels.shape[1], len(pixels), 8, colour_type, 0, 0, 0)
    rows = b''.join(b'\0' + row.tobytes() for row in pixels)
    parts = [chunk(b'IHDR', header), chunk(b'IDAT', zlib.compress(rows)), chunk(b'IEND', b'')]
    return b'\x89PNG\r\n\x1a\n' + b''.join(parts)


LOSSLESS = [('.png', ()), ('.webp', (cv2.IMWRITE_WEBP_QUALITY, 101))]


@pytest.mark.parametrize(('suffix', 'parameters'), LOSSLESS)
def test_lossless_images_have_the_pixels_that_were_sent(
    rgb: np.ndarray, suffix: str, parameters: tuple[int, ...]
) -> None:
    alpha = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH, 1)
    for pixels in (rgb[..., ::-1], np.concatenate([rgb[..., ::-1], alpha], axis=2)):
        # WebP's encoder blackens transparent pixels, unless it is told not to.
        seen = pixels if pixels.shape[2] == 3 else np.maximum(pixels, [0, 0, 0, 1]).astype(np.uint8)
        data = encoded(suffix, np.ascontiguousarray(seen), *parameters)
        read = decompress(compressed(data))
        np.testing.assert_array_equal(read, rgb)
        assert read.flags.c_contiguous


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.webp'])
def test_grey_stays_grey(suffix: str) -> None:
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))
    read = decompress(compressed(encoded(suffix, ramp), 'mono8; jpeg compressed '))
    np.testing.assert_allclose(read.astype(int), np.repeat(ramp[..., None], 3, axis=2), atol=4)


@pytest.mark.parametrize('colour_type', [0, 2, 4, 6])
def test_png_of_any_kind_is_read_without_its_alpha(rgb: np.ndarray, colour_type: int) -> None:
    colours = rgb if colour_type & 2 else rgb[..., :1]
    alpha = rgb[..., :1] ^ 255 if colour_type & 4 else rgb[..., :0]
    read = decompress(compressed(png(np.concatenate([colours, alpha], axis=2), colour_type)))
    np.testing.assert_array_equal(read, np.broadcast_to(colours, rgb.shape))


def shades(bits: int, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture of 8 bits, black and white included, and the same of more bits."""
    random = np.random.default_rng(5)
    picture = random.integers(0, 256, (48, 64, channels)).astype(np.int64)
    finer = (picture << bits >> 8) + random.integers(0, 2 ** (bits - 8), picture.shape)
    return picture, finer.astype(np.uint16)


@pytest.mark.parametrize('bits', [8, 9, 10, 12, 14, 16])
@pytest.mark.parametrize('encoding', ['mono16', '16UC1', 'rgb16', 'bgra16', 'bayer_rggb16'])
def test_values_of_fewer_bits_than_16_fill_the_8(encoding: str, bits: int) -> None:
    channels = LEAST_STEP[encoding] // 2
    _, finer = shades(bits, channels)
    rows = finer.reshape(48, -1)
    sent = Image(height=48, width=64, encoding=encoding, step=2 * rows.shape[1])
    sent.data = array.array('B', rows.astype('<u2').tobytes())
    full = Image(height=48, width=64, encoding=encoding, step=2 * rows.shape[1])
    full.data = array.array('B', (rows << (16 - bits)).astype('<u2').tobytes())
    assert np.abs(to_rgb(sent).astype(int) - to_rgb(full)).max() <= 2
    assert to_rgb(sent).max() > 250


@pytest.mark.parametrize('bits', [10, 12, 16])
def test_png_of_fewer_bits_than_16_fills_the_8(bits: int) -> None:
    picture, finer = shades(bits)
    read = decompress(compressed(encoded('.png', finer), 'mono16; png compressed '))
    np.testing.assert_allclose(read, np.repeat(picture, 3, axis=2), atol=2)


def test_pixels_of_other_types_are_refused() -> None:
    with pytest.raises(UnusableInputError, match=r'float32.*8 or 16 bits'):
        to_8_bits(np.zeros((4, 4), np.float32))


@pytest.mark.parametrize('channels', [1, 3, 4])
def test_png_of_16_bits_gives_the_upper_byte(channels: int) -> None:
    words = np.random.default_rng(2).integers(0, 2**16, (HEIGHT, WIDTH, channels), np.uint16)
    read = decompress(compressed(encoded('.png', words), 'rgb16; png compressed bgr16'))
    colours = words[..., :3][..., ::-1] // 256
    np.testing.assert_array_equal(read, np.broadcast_to(colours, (HEIGHT, WIDTH, 3)))


def picture() -> np.ndarray:
    """Smooth, of three colours, wider than high: (48, 80, 3), BGR."""
    v, u = np.mgrid[:48, :80]
    return np.stack([3 * u, 5 * v, 255 - 2 * u - v], axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    'kind', ['jpeg', '', 'bgr8; jpeg compressed bgr8', 'rgb8; jpeg compressed bgr8']
)
def test_jpeg_has_the_colours_of_the_picture(kind: str) -> None:
    read = decompress(compressed(encoded('.jpg', picture()), kind))
    np.testing.assert_allclose(read.astype(int), picture()[..., ::-1], atol=6)


def test_colours_that_the_format_says_are_exchanged_are_put_right() -> None:
    read = decompress(compressed(encoded('.jpg', picture()), 'rgb8; jpeg compressed rgb8'))
    np.testing.assert_allclose(read.astype(int), picture(), atol=6)


@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize('pattern', BAYER)
def test_a_mosaic_in_a_grey_image_is_bayer(pattern: str, bits: int) -> None:
    mosaic = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    data = encoded('.png', mosaic if bits == 8 else mosaic.astype(np.uint16) << 8)
    read = decompress(compressed(data, f'{pattern}{bits}; png compressed '))
    np.testing.assert_array_equal(read, to_rgb(message(mosaic, f'{pattern}8')))


@pytest.mark.parametrize(
    'kind', ['bayer_rggb8; jpeg compressed mono8', 'bayer_rggb9; png compressed ']
)
def test_grey_that_is_no_mosaic_stays_grey(kind: str) -> None:
    grey = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    read = decompress(compressed(encoded('.png', grey), kind))
    np.testing.assert_array_equal(read, np.repeat(grey[..., None], 3, axis=2))


def test_an_orientation_in_the_metadata_does_not_turn_the_image() -> None:
    data = encoded('.jpg', picture())
    # A TIFF directory of one entry: orientation (0x112), a short, 6: turned by a quarter.
    exif = b'Exif\0\0' + struct.pack('<2sHIHHHIHHI', b'II', 42, 8, 1, 0x112, 3, 1, 6, 0, 0)
    turned = data[:2] + b'\xff\xe1' + struct.pack('>H', 2 + len(exif)) + exif + data[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (80, 48, 3)
    np.testing.assert_array_equal(decompress(compressed(turned)), decompress(compressed(data)))


def claiming(data: bytes, at: int, layout: str, *size: int) -> bytes:
    """The file, its size overwritten."""
    changed = bytearray(data)
    struct.pack_into(layout, changed, at, *size)
    return bytes(changed)


JPEG = encoded('.jpg', picture())
WEBP = encoded('.webp', picture(), cv2.IMWRITE_WEBP_QUALITY, 80)


@pytest.mark.parametrize(
    ('sent', 'kind', 'words'),
    [
        (compressed(b''), 'length', r'\(jpeg\) is empty'),
        (compressed(JPEG, '16UC1; compressedDepth png'), 'compression', 'depth image'),
        (compressed(bytes(100), 'h264'), 'compression', r'\(h264\) is not a JPEG'),
        (compressed(encoded('.tiff', picture())), 'compression', 'to jpeg or png'),
        (
            compressed(claiming(JPEG, JPEG.index(b'\xff\xc0') + 5, '>2H', 60000, 50000)),
            'size',
            '50000 x 60000',
        ),
        (compressed(claiming(WEBP, 26, '<2H', 16383, 16000)), 'size', '16383 x 16000'),
        (compressed(claiming(png(picture(), 2), 16, '>2I', 8193, 8192)), 'size', '8193 x 8192'),
        (compressed(png(np.zeros((3, 3), np.uint8), 0), 'bayer_rggb8; png'), 'size', 'not 3 x 3'),
        (
            compressed(claiming(png(picture(), 2), 16, '>2I', 0, 5)),
            'broken image',
            'damaged or truncated',
        ),
    ],
)
def test_unusable_compressed_images_say_why(sent: CompressedImage, kind: str, words: str) -> None:
    with pytest.raises(UnusableInputError, match=words) as caught:
        decompress(sent)
    assert caught.value.kind == kind


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.webp'])
@given(share=st.floats(0.001, 0.98))
@settings(max_examples=25, deadline=None)
def test_an_image_that_is_cut_off_is_an_error(suffix: str, share: float) -> None:
    noise = np.random.default_rng(4).integers(0, 256, (48, 64, 3), np.uint8)
    data = encoded(suffix, noise)
    with pytest.raises(UnusableInputError):
        decompress(compressed(data[: int(share * len(data))]))


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.webp'])
@given(changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=20))
@settings(max_examples=40, deadline=None)
def test_damage_gives_an_image_or_the_error_promised(
    suffix: str, changes: list[tuple[float, int]]
) -> None:
    data = bytearray(encoded(suffix, picture()))
    for share, byte in changes:
        data[int(share * (len(data) - 1))] = byte
    try:
        read = decompress(compressed(data))
    except UnusableInputError:
        return
    assert (read.ndim, read.shape[2], read.dtype) == (3, 3, np.uint8)
