"""Calibrations from YAML, and from a guess."""

import math
from pathlib import Path

import pytest
import yaml

from hybrik_ros.messages import calibration
from hybrik_ros.messages.calibration import CalibrationError
from hybrik_ros.node.conversions import guess_calibration, read_calibration


@pytest.fixture
def content() -> dict:
    """Return a calibration with different numbers everywhere."""
    return {
        'image_width': 640,
        'image_height': 480,
        'camera_name': 'test',
        'camera_matrix': {'rows': 3, 'cols': 3, 'data': [500, 0, 320.5, 0, 501.0, 240, 0, 0, 1]},
        'distortion_model': 'plumb_bob',
        'distortion_coefficients': {'rows': 1, 'cols': 5, 'data': [0.1, -0.2, 1e-3, 2e-3, 0.05]},
        'rectification_matrix': {'rows': 3, 'cols': 3, 'data': [1, 0, 0, 0, 1, 0, 0, 0, 1]},
        'projection_matrix': {
            'rows': 3,
            'cols': 4,
            'data': [490, 0, 321, 0, 0, 491, 241, 0, 0, 0, 1, 0],
        },
    }


def test_every_number_comes_through(content: dict, tmp_path: Path) -> None:
    path = tmp_path / 'camera.yaml'
    path.write_text(yaml.safe_dump(content))
    info = read_calibration(path)
    assert (info.width, info.height) == (640, 480)
    assert info.distortion_model == 'plumb_bob'
    assert list(info.k) == content['camera_matrix']['data']
    assert list(info.d) == content['distortion_coefficients']['data']
    assert list(info.r) == content['rectification_matrix']['data']
    assert list(info.p) == content['projection_matrix']['data']


@pytest.mark.parametrize(
    ('path', 'value', 'complaint'),
    [
        (('image_width',), None, 'image_width must be an integer, but is missing'),
        (('image_width',), 'wide', "image_width must be an integer, but is 'wide'"),
        (('distortion_model',), 'mirror', "'mirror'"),
        (('camera_matrix',), [1, 2], 'camera_matrix must be a matrix'),
        (
            ('image_width',),
            0,
            'image_width must be that of the images, 1 to 65536 pixels, but is 0',
        ),
        (('image_height',), 10**30, 'image_height must be that of the images'),
        (('image_height',), True, 'image_height must be an integer, but is True'),
        (('camera_matrix', 'data'), [999, 0, 641, 0, 999, 480, 0, 0, 1], 'about 1283 x 961 pixels'),
        (('camera_matrix', 'data'), [500, 0, 0, 0, 501, 0, 320, 240, 1], 'column by column'),
        (('camera_matrix', 'data'), [10**400] * 9, 'finite numbers only'),
        (('camera_matrix', 'data'), [{} for _ in range(10_000)], 'numbers only, not [{}, {}'),
        (('distortion_coefficients', 'data'), [1200, -3400, 110, -95, 800], 'its distortion'),
        (('camera_matrix', 'data'), [1.0] * 8, '3 x 3 numbers, but holds 8'),
        (('projection_matrix', 'data'), [1.0] * 9, '3 x 4 numbers, but holds 9'),
        (('camera_matrix', 'data'), [float('nan')] * 9, 'finite'),
        (('distortion_coefficients', 'data'), ['a'] * 5, 'finite'),
        (('distortion_coefficients', 'data'), [0.1] * 3, 'distortion'),
    ],
)
def test_what_is_wrong_is_named(
    content: dict, tmp_path: Path, path: tuple[str, ...], value: object, complaint: str
) -> None:
    *outer, name = path
    place = content
    for key in outer:
        place = place[key]
    if value is None:
        del place[name]
    else:
        place[name] = value
    file = tmp_path / 'camera.yaml'
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(CalibrationError) as raised:
        read_calibration(file)
    assert str(file) in str(raised.value)
    assert complaint in str(raised.value)
    assert len(str(raised.value)) < 500


def test_a_k_of_zeros_needs_a_p(content: dict, tmp_path: Path) -> None:
    file = tmp_path / 'camera.yaml'
    content['camera_matrix']['data'] = [0.0] * 9
    file.write_text(yaml.safe_dump(content))
    assert calibration.read_calibration(file).camera().matrix[0, 0] == 490
    content['projection_matrix']['data'] = [0.0] * 12
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(CalibrationError, match='all-zero K'):
        read_calibration(file)


def test_numbers_with_an_exponent_alone_are_numbers(content: dict, tmp_path: Path) -> None:
    file = tmp_path / 'camera.yaml'
    text = yaml.safe_dump(content)
    assert '0.001\n' in text
    file.write_text(text.replace('0.001\n', '1e-03\n'))
    assert list(read_calibration(file).d) == content['distortion_coefficients']['data']


@pytest.mark.parametrize(
    ('value', 'reason'),
    [
        ('!!int ""', r"'' \(0 characters\) cannot be read as int"),
        ('!!int x', "'x' .* cannot be read as int"),
        ('!!float x', "'x' .* cannot be read as float"),
        ('!!bool x', "'x' .* cannot be read as bool"),
        ('!!timestamp x', "'x' .* cannot be read as timestamp"),
        ('2020-99-99', "'2020-99-99' .* cannot be read as timestamp"),
        ('9' * 6000, r"'9+\.\.\.9+' \(6000 characters\) cannot be read as int"),
        ('0x' + 'f' * 6000, r"'0xf+\.\.\.f+' \(6002 characters\) cannot be read as int"),
        (r'"\UFFFFFFFF"', 'an escape or a version is out of range'),
    ],
)
def test_values_that_do_not_fit_their_type_are_named(
    content: dict, tmp_path: Path, value: str, reason: str
) -> None:
    file = tmp_path / 'camera.yaml'
    file.write_text(yaml.safe_dump(content).replace('image_width: 640', f'image_width: {value}'))
    with pytest.raises(CalibrationError, match=rf'camera\.yaml is unusable: .*{reason}'):
        read_calibration(file)


def test_rectified_images_have_p(content: dict, tmp_path: Path) -> None:
    file = tmp_path / 'camera.yaml'
    file.write_text(yaml.safe_dump(content))
    read = calibration.read_calibration(file)
    assert read.camera().matrix[0, 0] == 500
    camera = read.intrinsics((640, 480), rectified=True).camera
    assert (camera.matrix[0, 0], camera.distorted) == (490, False)


@pytest.mark.parametrize('text', [b'- a list', b'%YAML:1.0\n--- {', b'\xff\xfe\x00', b''])
def test_what_is_no_calibration_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / 'camera.yaml'
    path.write_bytes(text)
    with pytest.raises(CalibrationError, match=r'camera\.yaml'):
        read_calibration(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r'missing\.yaml'):
        read_calibration(tmp_path / 'missing.yaml')


def test_guess_spans_the_field_of_view() -> None:
    info = guess_calibration(90.0, 640, 480)
    # At 90 degrees the outer edges of the image, half a pixel beyond the centres of the outer
    # pixels, are seen at 45 degrees.
    left = (-0.5 - info.k[2]) / info.k[0]
    right = (639.5 - info.k[2]) / info.k[0]
    assert math.isclose(left, -1)
    assert math.isclose(right, 1)
    assert info.k[4] == info.k[0]
    assert info.k[5] == 239.5
    assert list(info.p) == [*info.k[:3], 0, *info.k[3:6], 0, *info.k[6:], 0]
    assert not any(info.d)
