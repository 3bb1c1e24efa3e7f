"""Conversion of ROS images and calibrations to arrays and cameras."""

import math
import sys
from fractions import Fraction
from functools import lru_cache
from reprlib import repr as cut_repr
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hybrik_ros.camera import Camera, distortion_counts
from hybrik_ros.limits import MAX_IMAGE_PIXELS, MAX_NAME_CHARACTERS
from hybrik_ros.messages.fields import CompressedImage, Header, Image, find_stamp_fault
from hybrik_ros.messages.image_headers import remove_metadata, size_of
from hybrik_ros.messages.plausibility import find_doubts
from hybrik_ros.messages.sample_range import SampleRange

OTHER_SIZE = 'camera_info size'  # UnusableInputError.kind of a calibration for another size

IMPOSSIBLE = 'impossible camera_info'  # of a calibration that no camera can have

MAX_DISTORTION = max(distortion_counts(fisheye=False))  # coefficients of any lens

_FISHEYE = 'equidistant'
_DISTORTION_MODELS = ('', 'plumb_bob', 'rational_polynomial', 'thin_prism', _FISHEYE)

_READ_AS_STORED = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION

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


def check_lengths(message: Any) -> None:
    """Check the lengths of names and distortion, before any part of a message is kept.

    Parameters
    ----------
    message : sensor_msgs.msg.Image, CompressedImage or CameraInfo
        The message; any object with the fields of one of them, of which the header may be missing.

    Raises
    ------
    UnusableInputError
        A name has more than 256 characters, or D more numbers than any lens.
    """
    names = {name: getattr(message, name, '') for name in ('encoding', 'format')}
    names['frame_id'] = message.header.frame_id if hasattr(message, 'header') else ''
    names['distortion_model'] = getattr(message, 'distortion_model', '')
    for field, name in names.items():
        if len(name) > MAX_NAME_CHARACTERS:
            raise UnusableInputError(
                field,
                f'the {field} {cut_repr(name)} has {len(name)} characters, more than the maximum '
                f'of {MAX_NAME_CHARACTERS}: correct the camera driver',
            )
    count = len(getattr(message, 'd', ()))
    if count > MAX_DISTORTION:
        raise UnusableInputError(
            'camera_info',
            f'camera_info is unusable: D has {count} numbers, more than the maximum of '
            f'{MAX_DISTORTION}. Correct the calibration file or the camera driver',
        )


def check_image_stamp(header: Header) -> None:
    """Check the stamp of an image, which the messages of people get.

    Raises
    ------
    UnusableInputError
        It is invalid.
    """
    if fault := find_stamp_fault(header):
        raise UnusableInputError(
            'stamp',
            f'an image is ignored, as {fault}. Make the camera driver stamp images with the time '
            f'of their exposure',
        )


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


def to_rgb(message: Image, sample_range: SampleRange | None = None) -> NDArray[np.uint8]:
    """Return the pixels of an image, without its row padding.

    16-bit samples are reduced to 8 bits by the range of values in use. In nv12, nv21 and nv24 the
    chroma plane follows the luma plane; height may count the rows of luma, as specified, or those
    of both planes.

    Parameters
    ----------
    message : sensor_msgs.msg.Image
        The image.
    sample_range : SampleRange, optional
        Range in use in the stream of the image; by default that in use in the image alone.

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
            f'images with encoding {cut_repr(message.encoding)} cannot be read; '
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
        native = bool(message.is_bigendian) == (sys.byteorder == 'big')
        words = samples if native else samples.byteswap()
        samples = (sample_range or SampleRange()).to_bytes(words)
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


def decompress(
    message: CompressedImage, sample_range: SampleRange | None = None
) -> NDArray[np.uint8]:
    """Return the pixels of a JPEG, PNG or WebP image, as they are stored.

    Alpha is dropped, 16-bit samples are reduced to 8 bits by the range of values in use, and an
    orientation in the metadata is ignored, since the calibration is for the rows and columns of the
    sensor. message.format is interpreted as sensor_msgs/CompressedImage defines it: "compressed
    rgb8" means that red and blue are exchanged in the file, and Bayer pixels may be stored as a
    grey image.

    Parameters
    ----------
    message : sensor_msgs.msg.CompressedImage
        The image.
    sample_range : SampleRange, optional
        As of `to_rgb`.

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
        pixels = cv2.imdecode(np.frombuffer(remove_metadata(data), np.uint8), _READ_AS_STORED)
    except cv2.error as error:
        raise _damage_error(message.format, len(data)) from error
    if pixels is None:
        raise _damage_error(message.format, len(data))
    pixels = to_8_bits(pixels, sample_range)
    colours = compression.partition('compressed')[2].strip()
    if pixels.ndim == 3:
        return _convert(pixels, None if colours.startswith('rgb') else cv2.COLOR_BGR2RGB)
    if colours or not stored.startswith('bayer') or stored not in _ENCODINGS:
        stored = 'mono8'
    _check_sides(pixels.shape[1], pixels.shape[0], stored)
    return _convert(pixels, _ENCODINGS[stored].code)


def to_8_bits(pixels: NDArray[Any], sample_range: SampleRange | None = None) -> NDArray[np.uint8]:
    """Return the pixels of a decoded image (H, W) or (H, W, C) of 8 or 16 bits as 8 bits.

    Parameters
    ----------
    pixels : ndarray
        The pixels, uint8 or uint16.
    sample_range : SampleRange, optional
        As of `to_rgb`.

    Raises
    ------
    UnusableInputError
        The pixels have another type.
    """
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.uint16:
        return (sample_range or SampleRange()).to_bytes(pixels)
    raise UnusableInputError(
        'encoding', f'an image of {pixels.dtype} cannot be read: convert it to 8 or 16 bits'
    )


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


class Intrinsics(NamedTuple):
    """What a calibration says of images.

    Attributes
    ----------
    camera : Camera
        The camera of the images.
    doubts : tuple of str
        What is improbable about the calibration, and what to do; empty for most cameras.
    """

    camera: Camera
    doubts: tuple[str, ...]


class _Calibration(NamedTuple):
    """The fields of sensor_msgs/CameraInfo that are read."""

    size: _Pair
    model: str
    d: tuple[float, ...]
    k: tuple[float, ...]
    p: tuple[float, ...]
    binning: _Pair
    corner: _Pair
    region: _Pair


def to_camera(message: Any, size: _Pair | None = None, rectified: bool = False) -> Camera:
    """Return the camera of a calibration, as `to_intrinsics` does, without its doubts."""
    return to_intrinsics(message, size, rectified).camera


def to_intrinsics(message: Any, size: _Pair | None = None, rectified: bool = False) -> Intrinsics:
    """Return the intrinsics that a calibration gives images as they are received.

    Region of interest and binning are applied as sensor_msgs/CameraInfo defines them: an image
    shows the region, which is given in pixels of the sensor, reduced by the binning. do_rectify
    describes how to rectify a region, not that the images are rectified.

    Parameters
    ----------
    message : sensor_msgs.msg.CameraInfo
        The calibration; any object with its fields, of which p, binning and roi may be missing.
    size : tuple of int, optional
        Width and height of the images in pixels. For images of the size of the whole sensor, region
        and binning are ignored: some drivers set them without applying them.
    rectified : bool
        Whether the images are rectified: their intrinsics are P, without distortion. Those of raw
        images are K and D, or P where K is all zero, as rectifying drivers send it.

    Raises
    ------
    UnusableInputError
        K and P are all zero (an uncalibrated camera), a value is invalid, no camera can have such
        intrinsics, or the calibration is for images of another size.
    """
    check_lengths(message)
    roi = getattr(message, 'roi', None)
    binning = getattr(message, 'binning_x', 0), getattr(message, 'binning_y', 0)
    given = _Calibration(
        size=(message.width, message.height),
        model=message.distortion_model,
        d=tuple(map(float, message.d)),
        k=tuple(map(float, message.k)),
        p=tuple(map(float, getattr(message, 'p', ()))),
        binning=(max(binning[0], 1), max(binning[1], 1)),
        corner=(roi.x_offset, roi.y_offset) if roi else (0, 0),
        region=(roi.width, roi.height) if roi else (0, 0),
    )
    return _read(given, size, rectified)


@lru_cache(maxsize=16)  # Every image has a camera_info, and nearly all of them are equal.
def _read(given: _Calibration, size: _Pair | None, rectified: bool) -> Intrinsics:
    doubts: list[str] = []
    if 0 in given.size:
        given = _with_size(given, size, doubts)
    matrix, distortion = _select(given, rectified, doubts)
    corner, window, binning = (0, 0), given.size, (1, 1)
    if size != given.size:
        corner, window, binning = _window(given)
    if size is not None and size != window:
        raise other_size('camera_info is for', window, size)
    fisheye = given.model == _FISHEYE and len(distortion) > 0
    try:
        sensor = Camera(matrix, distortion, *given.size, fisheye)
        camera = Camera(_to_binned(corner, binning) @ matrix, distortion, *window, fisheye)
    except ValueError as error:
        raise UnusableInputError(
            'camera_info',
            f'camera_info is unusable: {error}. Correct the calibration file or the camera driver',
        ) from error
    for doubt in find_doubts(sensor, rectified or not _has_k(given)):
        if doubt.is_impossible:
            reason = f'camera_info is implausible: {doubt.text}'
            raise UnusableInputError(IMPOSSIBLE, reason)
        doubts.append(f'camera_info may be wrong: {doubt.text}')
    return Intrinsics(camera, tuple(doubts))


def other_size(calibration_is_for: str, own: _Pair, size: _Pair) -> UnusableInputError:
    """Return the error of a calibration for images of another size than theirs, in pixels."""
    are_exchanged = ', so width and height seem to be exchanged' if own == size[::-1] else ''
    return UnusableInputError(
        OTHER_SIZE,
        f'{calibration_is_for} {own[0]} x {own[1]} pixels, the images have {size[0]} x {size[1]}'
        f'{are_exchanged}: calibrate the camera in the resolution of its images, or set its driver '
        'to that of the calibration',
    )


def _with_size(given: _Calibration, size: _Pair | None, doubts: list[str]) -> _Calibration:
    """Return a calibration without width or height as one of the images' size."""
    advice = 'set both to those of the images, in the calibration or the camera driver'
    found = f'camera_info has a width and height of {given.size[0]} x {given.size[1]}'
    if size is None or 0 in size:
        raise UnusableInputError('camera_info', f'{found}: {advice}')
    doubts.append(f'{found}, so it is taken for one of {size[0]} x {size[1]} pixels: {advice}')
    return given._replace(size=size)


def _select(
    given: _Calibration, rectified: bool, doubts: list[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the matrix (3, 3) and the distortion coefficients (n) that the images have."""
    is_distorted = any(given.d)
    has_k, has_p = _has_k(given), any(given.p[:10])
    if has_p and (rectified or not has_k):
        if is_distorted and not rectified:
            doubts.append(
                'camera_info has an all-zero K but distortion, so P is used without it, as for '
                'rectified images: publish K too'
            )
        return np.array(given.p).reshape(3, 4)[:, :3], np.zeros(0)
    if not has_k:
        raise UnusableInputError(
            'zero K',
            'camera_info has an all-zero K: the camera is not calibrated. Calibrate it, or set '
            'the parameter field_of_view to the horizontal field of view of its lens',
        )
    matrix = np.array(given.k).reshape(3, 3)
    if rectified:
        if is_distorted:
            doubts.append(
                'camera_info has an all-zero P, so K is used without distortion for images that '
                'are rectified, and people near their edges are misplaced: publish P, or set '
                'intrinsics to raw if the images are not rectified'
            )
        return matrix, np.zeros(0)
    if is_distorted and given.model not in _DISTORTION_MODELS:
        raise UnusableInputError(
            'distortion model',
            f'camera_info has the unknown distortion model {cut_repr(given.model)}: calibrate '
            f'with one of {", ".join(filter(None, _DISTORTION_MODELS))}',
        )
    return matrix, _without_padding(given.d, distortion_counts(given.model == _FISHEYE))


def _has_k(given: _Calibration) -> bool:
    # Some drivers fill in the last number, 1, of a matrix that they do not know.
    return any(given.k[:8])


def _without_padding(d: tuple[float, ...], counts: tuple[int, ...]) -> NDArray[np.float64]:
    """Return distortion coefficients without the zeros that exceed one of the allowed counts.

    Some drivers send five with equidistant, which has four.
    """
    if len(d) in counts:
        return np.array(d)
    fitting = (count for count in reversed(counts) if count < len(d) and not any(d[count:]))
    return np.array(d[: next(fitting, len(d))])


def _window(given: _Calibration) -> tuple[_Pair, _Pair, _Pair]:
    """Return corner of the images in pixels of the sensor, their size, and their binning."""
    (width, height), corner, region = given.size, given.corner, given.region
    if 0 in region:
        corner, region = (0, 0), given.size
    if corner[0] + region[0] > width or corner[1] + region[1] > height:
        raise UnusableInputError(
            'camera_info',
            f'camera_info has a region of interest of {region[0]} x {region[1]} pixels at {corner},'
            f' which exceeds its {width} x {height} pixels',
        )
    binning = given.binning
    return corner, (region[0] // binning[0], region[1] // binning[1]), binning


def _to_binned(corner: _Pair, binning: _Pair) -> NDArray[np.float64]:
    """Return the matrix (3, 3) from homogeneous pixels of the sensor to those of the images.

    Integer coordinates are centres of pixels; binning scales from their edges, half a pixel off.
    """
    shift = (0.5 - np.array(corner)) / binning - 0.5
    return np.array([[1 / binning[0], 0, shift[0]], [0, 1 / binning[1], shift[1]], [0, 0, 1]])
