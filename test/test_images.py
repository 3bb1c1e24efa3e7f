"""Images and calibrations as cameras send them."""

import array

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from hybrik_ros.node.images import UnusableInputError, to_camera, to_image, to_rgb

HEIGHT, WIDTH = 6, 8


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


@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize(
    ('encoding', 'channels'),
    [('rgb8', [0, 1, 2]), ('bgr8', [2, 1, 0]), ('rgba8', [0, 1, 2, 3]), ('bgra8', [2, 1, 0, 3])],
)
def test_colour_is_reordered_and_padding_dropped(
    rgb: np.ndarray, encoding: str, channels: list[int], padding: int
) -> None:
    with_alpha = np.concatenate([rgb, np.full((HEIGHT, WIDTH, 1), 77, np.uint8)], axis=2)
    sent = message(with_alpha[..., channels], encoding, padding)
    np.testing.assert_array_equal(to_rgb(sent), rgb)


def test_mono_is_grey(rgb: np.ndarray) -> None:
    np.testing.assert_array_equal(
        to_rgb(message(rgb[..., 0], 'mono8', 3)), np.repeat(rgb[..., :1], 3, axis=2)
    )


@pytest.mark.parametrize(('encoding', 'luma'), [('yuv422', 1), ('yuv422_yuy2', 0)])
def test_yuv_with_neutral_chroma_is_grey_of_its_luma(encoding: str, luma: int) -> None:
    packed = np.full((HEIGHT, WIDTH, 2), 128, np.uint8)
    packed[..., luma] = np.linspace(16, 235, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    # BT.601 in studio range: 16 is black, 235 is white.
    grey = (packed[..., luma].astype(float) - 16) * 255 / 219
    np.testing.assert_allclose(
        to_rgb(message(packed, encoding)), np.repeat(grey[..., None], 3, axis=2), atol=1.5
    )


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
        (broken(encoding='yuv422', width=7), 'size', 'even width.*of 7'),
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
    ('info', 'kind', 'words'),
    [
        (calibration(k=[0.0] * 9), 'zero K', 'all-zero K.*field_of_view'),
        (calibration(distortion_model='fov'), 'distortion model', "'fov'"),
        (calibration(d=[0.1, 0.2]), 'camera_info', 'distortion must be'),
        (calibration(k=[-1.0, 0, 1, 0, 1, 1, 0, 0, 1]), 'camera_info', 'positive focal'),
    ],
)
def test_unusable_calibrations_say_why(info: CameraInfo, kind: str, words: str) -> None:
    with pytest.raises(UnusableInputError, match=words) as caught:
        to_camera(info)
    assert caught.value.kind == kind
