"""Conversion of ROS images and calibrations to arrays and cameras."""

import math
import sys
from fractions import Fraction
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hybrik_ros.camera import Camera
from hybrik_ros.limits import MAX_IMAGE_PIXELS
from hybrik_ros.messages.fields import CompressedImage, Image
from hybrik_ros.messages.image_headers import size_of

OTHER_SIZE = 'camera_info size'  # UnusableInputError.kind of a calibration for another size

_FISHEYE = 'equidistant'
_DISTORTION_MODELS = ('', 'plumb_bob', 'rational_polynomial', 'thin_prism', _FISHEYE)

_Pair = tuple[int, int]


class UnusableInputError(ValueError):
    """A message that cannot be used as input.

    Parameters
    ----------
    kind : str
        Kind of the fault.
    message : str
        The fault, and what to do.

    Attributes
    ----------
    kind : str
        Short name, the same for all messages with the same fault; counted in diagnostics.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class _Encoding(NamedTuple):
    """Memory layout of the pixels of an encoding, and its conversion to RGB."""

    code: int | None  # OpenCV's conversion to RGB; None for RGB
    channels: int  # samples per pixel; with two planes, those of the first plane, luma
    block: _Pair = (1, 1)  # columns and rows of the pixels that share chroma
    sample_bytes: int = 1
    planes: Fraction = Fraction(1)  # rows of luma and chroma per row of pixels


_RGB = _Encoding(None, 3)
_BGR = _Encoding(cv2.COLOR_BGR2RGB, 3)
_RGBA = _Encoding(cv2.COLOR_RGBA2RGB, 4)
_BGRA = _Encoding(cv2.COLOR_BGRA2RGB, 4)
_GREY = _Encoding(cv2.COLOR_GRAY2RGB, 1)
_UYVY = _Encoding(cv2.COLOR_YUV2RGB_UYVY, 2, (2, 1))
_YUYV = _Encoding(cv2.COLOR_YUV2RGB_YUYV, 2, (2, 1))
_OF_8_OR_16_BITS = {
    'rgb': _RGB,
    'bgr': _BGR,
    'rgba': _RGBA,
    'bgra': _BGRA,
    'mono': _GREY,
    # ROS names a Bayer pattern by the first two pixels of the first two rows; OpenCV 4.5.4 by the
    # second and third pixel of the second row.
    'bayer_rggb': _Encoding(cv2.COLOR_BayerBG2RGB, 1, (2, 2)),
    'bayer_bggr': _Encoding(cv2.COLOR_BayerRG2RGB, 1, (2, 2)),
    'bayer_gbrg': _Encoding(cv2.COLOR_BayerGR2RGB, 1, (2, 2)),
    'bayer_grbg': _Encoding(cv2.COLOR_BayerGB2RGB, 1, (2, 2)),
}
_ENCODINGS = {
    **{f'{name}8': encoding for name, encoding in _OF_8_OR_16_BITS.items()},
    **{f'{name}16': kind._replace(sample_bytes=2) for name, kind in _OF_8_OR_16_BITS.items()},
    '8UC1': _GREY,
    '8UC3': _BGR,
    '8UC4': _BGRA,
    '16UC1': _GREY._replace(sample_bytes=2),
    'uyvy': _UYVY,
    'yuv422': _UYVY,
    'yuyv': _YUYV,
    'yuv422_yuy2': _YUYV,
    'nv12': _Encoding(cv2.COLOR_YUV2RGB_NV12, 1, (2, 2), planes=Fraction(3, 2)),
    'nv21': _Encoding(cv2.COLOR_YUV2RGB_NV21, 1, (2, 2), planes=Fraction(3, 2)),
    'nv24': _Encoding(cv2.COLOR_YUV2RGB_UYVY, 1, planes=Fraction(3)),
}
ENCODINGS = tuple(_ENCODINGS)


def to_rgb(message: Image) -> NDArray[np.uint8]:
    """Return the pixels of an image, without its row padding.

    16-bit samples are reduced to their upper byte. In nv12, nv21 and nv24 the chroma plane follows
    the luma plane; height may count the rows of luma, as specified, or those of both planes.

    Parameters
    ----------
    message : sensor_msgs.msg.Image
        The image.

    Returns
    -------
    ndarray
        Pixels (H, W, 3), RGB, uint8. For rgb8 without padding this is a view of the message's
        data, otherwise a new array.

    Raises
    ------
    UnusableInputError
        The encoding is not one of ENCODINGS or does not allow this width and height, or the length
        of the data does not match step and height.
    """
    if message.encoding not in _ENCODINGS:
        raise UnusableInputError(
            'encoding',
            f'images with encoding {message.encoding!r} cannot be read; '
            f'set the camera driver to one of {", ".join(ENCODINGS)}',
        )
    encoding = _ENCODINGS[message.encoding]
    height = _rows_of_pixels(message, encoding)
    if message.encoding == 'nv24':
        return _nv24_to_rgb(message, height)
    sample_bytes = encoding.sample_bytes
    samples: NDArray = np.ndarray(
        (int(height * encoding.planes), message.width, encoding.channels),
        f'u{sample_bytes}',
        message.data,
        strides=(message.step, encoding.channels * sample_bytes, sample_bytes),
    )
    if sample_bytes == 2:
        # If the byte order differs from the machine's, the upper byte is in the place of the lower.
        native = bool(message.is_bigendian) == (sys.byteorder == 'big')
        samples = (samples >> 8 if native else samples).astype(np.uint8)
    return _convert(samples, encoding.code)


def _rows_of_pixels(message: Image, encoding: _Encoding) -> int:
    """Return the height of an image in pixels; refuse sizes, step and length that do not match."""
    width, height, step, length = message.width, message.height, message.step, len(message.data)
    if width == 0 or height == 0:
        raise UnusableInputError('size', f'the image is empty: {width} x {height} pixels')
    both_planes = length == step * height and height % encoding.planes == 0
    # A step long enough for luma and chroma in one row is another layout, not padding.
    if both_planes and step < width * encoding.planes:
        height = int(height / encoding.planes)
    _check_sides(width, height, message.encoding)
    needed = int(step * height * encoding.planes)
    if step < width * encoding.channels * encoding.sample_bytes or length != needed:
        raise UnusableInputError(
            'length',
            f'an image of {width} x {message.height} {message.encoding} with a step of {step} '
            f'bytes must hold {needed} bytes, but holds {length}',
        )
    return height


def _check_sides(width: int, height: int, encoding: str) -> None:
    """Refuse an odd width or height where pixels share chroma."""
    across, down = _ENCODINGS[encoding].block
    if width % across or height % down:
        even = 'an even width' if down == 1 else 'an even width and height'
        raise UnusableInputError(
            'size',
            f'{encoding} needs {even}, not {width} x {height} pixels: neighbours share chroma',
        )


def _convert(samples: NDArray, code: int | None) -> NDArray[np.uint8]:
    if code is None:
        return np.ascontiguousarray(samples)
    return np.asarray(cv2.cvtColor(samples, code), np.uint8)


def _nv24_to_rgb(message: Image, height: int) -> NDArray[np.uint8]:
    """Return the RGB pixels of an image with luma and chroma in full resolution.

    OpenCV has no conversion of nv24. Each pixel is doubled to a UYVY pair, which shares its chroma,
    and every second result is dropped.
    """
    width, step = message.width, message.step
    luma: NDArray = np.ndarray((height, width, 1), np.uint8, message.data, strides=(step, 1, 1))
    chroma: NDArray = np.ndarray(
        (height, width, 2), np.uint8, message.data, step * height, (2 * step, 2, 1)
    )
    pairs = np.empty((height, width, 4), np.uint8)
    cv2.mixChannels([luma, chroma], [pairs], [1, 0, 0, 1, 2, 2, 0, 3])  # to U, Y, V, Y
    doubled = _convert(pairs.reshape(height, 2 * width, 2), _ENCODINGS['nv24'].code)
    return np.asarray(cv2.resize(doubled, (width, height), interpolation=cv2.INTER_NEAREST))


def decompress(message: CompressedImage) -> NDArray[np.uint8]:
    """Return the pixels of a JPEG, PNG or WebP image, as they are stored.

    Alpha is dropped, 16-bit samples are reduced to their upper byte, and an orientation in the
    metadata is ignored, since the calibration is for the rows and columns of the sensor.
    message.format is interpreted as sensor_msgs/CompressedImage defines it: "compressed rgb8" means
    that red and blue are exchanged in the file, and Bayer pixels may be stored as a grey image.

    Parameters
    ----------
    message : sensor_msgs.msg.CompressedImage
        The image.

    Returns
    -------
    ndarray
        Pixels (H, W, 3), RGB, uint8.

    Raises
    ------
    UnusableInputError
        The message is empty, damaged or of another format, such as a depth image, or the image has
        more than 2^26 pixels. The size is read from the header before anything is decoded; other
        formats, such as TIFF, are refused because their size is not.
    """
    stored, _, compression = message.format.partition(';')
    if 'compressedDepth' in compression:
        raise UnusableInputError(
            'compression',
            f'the compressed image is a depth image ({message.format}): subscribe to the '
            'compressed topic of a colour camera',
        )
    data = message.data.tobytes()
    _check_compressed(data, message.format)
    try:
        pixels = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except cv2.error as error:
        raise _damage_error(message.format, len(data)) from error
    if pixels is None:
        raise _damage_error(message.format, len(data))
    colours = compression.partition('compressed')[2].strip()
    if pixels.ndim == 3:
        return _convert(pixels, None if colours.startswith('rgb') else cv2.COLOR_BGR2RGB)
    if colours or not stored.startswith('bayer') or stored not in _ENCODINGS:
        stored = 'mono8'
    _check_sides(pixels.shape[1], pixels.shape[0], stored)
    return _convert(pixels, _ENCODINGS[stored].code)


def _check_compressed(data: bytes, what: str) -> None:
    """Refuse data that is empty, damaged, too large or of another format."""
    if not data:
        raise UnusableInputError('length', f'the compressed image ({what}) is empty')
    try:
        size = size_of(data)
    except ValueError as error:
        raise _damage_error(what, len(data)) from error
    if size is None:
        raise UnusableInputError(
            'compression',
            f'the compressed image ({what}) is not a JPEG, PNG or WebP: set the format of '
            "the camera's image transport to jpeg or png",
        )
    if math.prod(size) > MAX_IMAGE_PIXELS:
        raise UnusableInputError(
            'size',
            f'the compressed image ({what}) has {size[0]} x {size[1]} pixels, more than the '
            f'maximum of {MAX_IMAGE_PIXELS}',
        )


def _damage_error(what: str, length: int) -> UnusableInputError:
    return UnusableInputError(
        'broken image',
        f'the compressed image ({what}) of {length} bytes is damaged or truncated: check the '
        'connection to the camera',
    )


def to_camera(message: Any, size: _Pair | None = None) -> Camera:
    """Return the camera of a calibration, for the images as they are received.

    Region of interest and binning are applied as sensor_msgs/CameraInfo defines them: an image
    shows the region, which is given in pixels of the sensor, reduced by the binning. The images are
    raw images with the intrinsics K and D: do_rectify describes how to rectify a region, not that
    the images are rectified.

    Parameters
    ----------
    message : sensor_msgs.msg.CameraInfo
        The calibration; any object with its fields.
    size : tuple of int, optional
        Width and height of the images in pixels. For images of the size of the whole sensor, region
        and binning are ignored: some drivers set them without applying them.

    Raises
    ------
    UnusableInputError
        K is all zero (an uncalibrated camera), a value is invalid, or the calibration is for images
        of another size.
    """
    if not any(message.k):
        raise UnusableInputError(
            'zero K',
            'camera_info has an all-zero K: the camera is not calibrated. Calibrate it, or set '
            'the parameter field_of_view to the horizontal field of view of its lens',
        )
    if message.distortion_model not in _DISTORTION_MODELS:
        raise UnusableInputError(
            'distortion model',
            f'camera_info has the unknown distortion model {message.distortion_model!r}: calibrate '
            f'with one of {", ".join(filter(None, _DISTORTION_MODELS))}',
        )
    corner, (width, height), binning = (0, 0), (message.width, message.height), (1, 1)
    if size != (width, height):
        corner, (width, height), binning = _window(message)
    if size is not None and size != (width, height):
        raise UnusableInputError(
            OTHER_SIZE,
            f'camera_info is for {width} x {height} pixels, the images have {size[0]} x {size[1]}',
        )
    try:
        return Camera(
            _to_binned(corner, binning) @ np.array(message.k).reshape(3, 3),
            np.array(message.d),
            width,
            height,
            fisheye=message.distortion_model == _FISHEYE,
        )
    except ValueError as error:
        raise UnusableInputError('camera_info', f'camera_info is unusable: {error}') from error


def _window(message: Any) -> tuple[_Pair, _Pair, _Pair]:
    """Return corner of the images in pixels of the sensor, their size, and their binning."""
    roi = message.roi
    corner, region = (roi.x_offset, roi.y_offset), (roi.width, roi.height)
    if 0 in region:
        corner, region = (0, 0), (message.width, message.height)
    if corner[0] + region[0] > message.width or corner[1] + region[1] > message.height:
        raise UnusableInputError(
            'camera_info',
            f'camera_info has a region of interest of {region[0]} x {region[1]} pixels at {corner},'
            f' which exceeds its {message.width} x {message.height} pixels',
        )
    binning = (max(message.binning_x, 1), max(message.binning_y, 1))
    return corner, (region[0] // binning[0], region[1] // binning[1]), binning


def _to_binned(corner: _Pair, binning: _Pair) -> NDArray[np.float64]:
    """Return the matrix (3, 3) from homogeneous pixels of the sensor to those of the images.

    Integer coordinates are centres of pixels; binning scales from their edges, half a pixel off.
    """
    shift = (0.5 - np.array(corner)) / binning - 0.5
    return np.array([[1 / binning[0], 0, shift[0]], [0, 1 / binning[1], shift[1]], [0, 0, 1]])
