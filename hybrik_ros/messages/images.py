"""From ROS images and calibrations to arrays and cameras."""

import math
import sys
from fractions import Fraction
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hybrik_ros.camera import Camera
from hybrik_ros.messages.fields import CompressedImage, Image
from hybrik_ros.messages.image_headers import size_of

OTHER_SIZE = 'camera_info size'  # the kind of fault

_FISHEYE = 'equidistant'
_DISTORTION_MODELS = ('', 'plumb_bob', 'rational_polynomial', 'thin_prism', _FISHEYE)
_MOST_PIXELS = 2**26  # What a compressed image may claim; 200 MB of RGB.

_Pair = tuple[int, int]


class UnusableInputError(ValueError):
    """A message that no frame can be made of.

    Attributes
    ----------
    kind: short and the same for every message with the same fault; counted in diagnostics.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class _Encoding(NamedTuple):
    """How an encoding lays out pixels, and the way from there to RGB."""

    code: int | None  # OpenCV's conversion; None for what is RGB already.
    channels: int  # Samples a pixel; of two planes, those in the first, the luma.
    block: _Pair = (1, 1)  # Pixels across and down that share their colours.
    sample_bytes: int = 1
    planes: Fraction = Fraction(1)  # Rows of luma and chroma together for each row of pixels.


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
    # ROS names a pattern by the four pixels in the corner, row by row; OpenCV 4.5.4 by the second
    # and third pixel of the second row.
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
    """Return the pixels (H, W, 3) uint8 of an image, its row padding taken off.

    Of 16-bit samples the upper byte counts. The chroma plane of nv12, nv21 and nv24 follows the
    luma; height may count the rows of the luma, as it should, or those of both.

    Returns
    -------
    An array of its own, except for rgb8 without padding: that is a view of the message's data.

    Raises
    ------
    UnusableInputError: the encoding is not one of ENCODINGS, it cannot have a side of this
        length, or the length of the data does not match step and height.
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
        # Read in the wrong byte order, the upper byte is the lower one.
        native = bool(message.is_bigendian) == (sys.byteorder == 'big')
        samples = (samples >> 8 if native else samples).astype(np.uint8)
    return _convert(samples, encoding.code)


def _rows_of_pixels(message: Image, encoding: _Encoding) -> int:
    """Return the height of an image in pixels; raise where sides, step and length do not fit."""
    width, height, step, length = message.width, message.height, message.step, len(message.data)
    if width == 0 or height == 0:
        raise UnusableInputError('size', f'the image is empty: {width} x {height} pixels')
    both_planes = length == step * height and height % encoding.planes == 0
    # A step with room for luma and chroma is another layout, not padding.
    if both_planes and step < width * encoding.planes:
        height = int(height / encoding.planes)
    _check_sides(width, height, message.encoding)
    needed = int(step * height * encoding.planes)
    if step < width * encoding.channels * encoding.sample_bytes or length != needed:
        raise UnusableInputError(
            'length',
            f'the image says {width} x {message.height} {message.encoding} with a step of {step} '
            f'bytes, which makes {needed} bytes, but holds {length}',
        )
    return height


def _check_sides(width: int, height: int, encoding: str) -> None:
    across, down = _ENCODINGS[encoding].block
    if width % across or height % down:
        even = 'an even width' if down == 1 else 'an even width and height'
        raise UnusableInputError(
            'size',
            f'{encoding} needs {even}: neighbours share a colour, which cannot be in an image of '
            f'{width} x {height}',
        )


def _convert(samples: NDArray, code: int | None) -> NDArray[np.uint8]:
    if code is None:
        return np.ascontiguousarray(samples)
    return np.asarray(cv2.cvtColor(samples, code), np.uint8)


def _nv24_to_rgb(message: Image, height: int) -> NDArray[np.uint8]:
    """Return the pixels of luma and chroma that both have the full resolution.

    OpenCV does not convert these. Each pixel is sent twice through UYVY, whose pairs of pixels
    share their chroma.
    """
    width, step = message.width, message.step
    luma: NDArray = np.ndarray((height, width, 1), np.uint8, message.data, strides=(step, 1, 1))
    chroma: NDArray = np.ndarray(
        (height, width, 2), np.uint8, message.data, step * height, (2 * step, 2, 1)
    )
    pairs = np.empty((height, width, 4), np.uint8)
    cv2.mixChannels([luma, chroma], [pairs], [1, 0, 0, 1, 2, 2, 0, 3])  # To U, Y, V, Y.
    doubled = _convert(pairs.reshape(height, 2 * width, 2), _ENCODINGS['nv24'].code)
    return np.asarray(cv2.resize(doubled, (width, height), interpolation=cv2.INTER_NEAREST))


def decompress(message: CompressedImage) -> NDArray[np.uint8]:
    """Return the pixels (H, W, 3) uint8 of a JPEG, PNG or WebP image, as they are stored.

    Alpha is dropped, of 16-bit samples the upper byte counts, and an orientation in the metadata
    is ignored, as the calibration belongs to the sensor's rows and columns. Colours named by
    message.format are honoured as sensor_msgs/CompressedImage defines them: "compressed rgb8" has
    red and blue exchanged in the file, and Bayer pixels may be stored as a grey image.

    Raises
    ------
    UnusableInputError: the message is empty, broken, of another kind (a depth image, say), or
        its image has more than 2^26 pixels. The size is read in the header, before anything is
        decoded; other codecs, TIFF among them, are refused because theirs is not.
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
        raise _broken(message.format, len(data)) from error
    if pixels is None:
        raise _broken(message.format, len(data))
    colours = compression.partition('compressed')[2].strip()
    if pixels.ndim == 3:
        return _convert(pixels, None if colours.startswith('rgb') else cv2.COLOR_BGR2RGB)
    if colours or not stored.startswith('bayer') or stored not in _ENCODINGS:
        stored = 'mono8'
    _check_sides(pixels.shape[1], pixels.shape[0], stored)
    return _convert(pixels, _ENCODINGS[stored].code)


def _check_compressed(data: bytes, what: str) -> None:
    if not data:
        raise UnusableInputError('length', f'the compressed image ({what}) is empty')
    try:
        size = size_of(data)
    except ValueError as error:
        raise _broken(what, len(data)) from error
    if size is None:
        raise UnusableInputError(
            'compression',
            f'the compressed image ({what}) is no JPEG, PNG or WebP: set the format of the '
            "camera's image transport to jpeg or png",
        )
    if math.prod(size) > _MOST_PIXELS:
        raise UnusableInputError(
            'size',
            f'the compressed image ({what}) claims {size[0]} x {size[1]} pixels, more than the '
            f'{_MOST_PIXELS} that are decoded',
        )


def _broken(what: str, length: int) -> UnusableInputError:
    return UnusableInputError(
        'broken image',
        f'the compressed image ({what}) of {length} bytes is broken or cut off: look at the '
        'connection to the camera',
    )


def to_camera(message: Any, size: _Pair | None = None) -> Camera:
    """Return the camera of a calibration, for the images as they are received.

    The region of interest and the binning are honoured as sensor_msgs/CameraInfo defines them:
    the images are the region, given in the sensor's pixels, divided by the binning. They are raw
    images, of K and D: do_rectify tells how a rectified region would be found, not that the
    images are rectified.

    Parameters
    ----------
    message: sensor_msgs/CameraInfo.
    size: width and height of the images, pixels, where they are known. Images of the size of the
        whole sensor are taken to be that, whatever region and binning the message tells of: some
        drivers fill them in without applying them.

    Raises
    ------
    UnusableInputError: K is all zero (an uncalibrated camera), anything in it is unusable, or it
        is for images of another size.
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
            f'camera_info has the distortion model {message.distortion_model!r}; known are '
            f'{", ".join(filter(None, _DISTORTION_MODELS))}',
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
    """Return the images' corner, pixels of the sensor, their size as received, their binning."""
    roi = message.roi
    corner, region = (roi.x_offset, roi.y_offset), (roi.width, roi.height)
    if 0 in region:
        corner, region = (0, 0), (message.width, message.height)
    if corner[0] + region[0] > message.width or corner[1] + region[1] > message.height:
        raise UnusableInputError(
            'camera_info',
            f'camera_info has a region of interest of {region[0]} x {region[1]} pixels at {corner},'
            f' which sticks out of its {message.width} x {message.height}',
        )
    binning = (max(message.binning_x, 1), max(message.binning_y, 1))
    return corner, (region[0] // binning[0], region[1] // binning[1]), binning


def _to_binned(corner: _Pair, binning: _Pair) -> NDArray[np.float64]:
    """Return the map (3, 3) from homogeneous pixels of the sensor to those of the images.

    Whole numbers are the centres of pixels, so the edges, half a pixel off, are what scales.
    """
    shift = (0.5 - np.array(corner)) / binning - 0.5
    return np.array([[1 / binning[0], 0, shift[0]], [0, 1 / binning[1], shift[1]], [0, 0, 1]])
