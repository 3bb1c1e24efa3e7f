"""Detection of several cameras on one topic: their images, or their camera_info, alternate."""

from collections import deque
from collections.abc import Iterable
from itertools import groupby, pairwise
from typing import Any, NamedTuple

from hybrik_ros.limits import MAX_NAME_CHARACTERS
from hybrik_ros.messages.fields import CompressedImage, Image
from hybrik_ros.messages.image_headers import size_of

WINDOW = 50  # number of the last images that are compared
# Maximum number of camera matrices, and minimum number of changes, of several cameras within the
# window. Lenses with autofocus have a new matrix with each image, and hardly ever an old one.
_MAX_MATRICES, _MIN_CHANGES = 4, 6


class Origin(NamedTuple):
    """What tells an image of one camera from that of another one.

    Attributes
    ----------
    frame_id : str
        The frame of the image.
    size : str
        Width and height in pixels; that of the image before where it is unknown.
    encoding : str
        Encoding of the pixels, or format of a compressed image.
    number : int
        The sequence number that its publisher gave it; -1 where the middleware gives none.
    """

    frame_id: str
    size: str
    encoding: str
    number: int


class MixtureFinder:
    """Finds out whether images of several cameras alternate on one topic.

    A camera that is restarted or set to another resolution changes once; with two cameras the first
    one comes back. Two cameras without such a difference are told apart by the sequence numbers of
    their publishers, each of which only rises, and by their calibrations.
    """

    def __init__(self) -> None:
        self._origins: deque[Origin] = deque(maxlen=WINDOW)
        self._matrices: deque[tuple[float, ...]] = deque(maxlen=WINDOW)

    def find(self, message: Image | CompressedImage, number: int | None = None) -> str:
        """Add an image; return by what it differs from the images before, or an empty text.

        Parameters
        ----------
        message : Image or CompressedImage
            The image.
        number : int, optional
            The sequence number that its publisher gave it.
        """
        before = self._origins[-1] if self._origins else None
        encoding = getattr(message, 'encoding', '') or getattr(message, 'format', '')
        origin = Origin(
            message.header.frame_id[:MAX_NAME_CHARACTERS],
            _size_of(message) or (before.size if before else ''),
            encoding[:MAX_NAME_CHARACTERS],
            -1 if number is None else number,
        )
        self._origins.append(origin)
        if before is None:
            return ''
        for field in ('frame_id', 'size', 'encoding'):
            if getattr(origin, field) != getattr(before, field):
                values = _changes(getattr(each, field) for each in self._origins)
                if len(values) > len(set(values)):
                    return f'their {field} alternates: {", ".join(map(repr, sorted(set(values))))}'
        if 0 <= origin.number <= before.number and self._count_steps_back() > 1:
            return 'they have several publishers'
        return ''

    def find_in_calibration(self, message: Any) -> str:
        """Add a camera_info; return by what several cameras are known, or an empty text.

        Parameters
        ----------
        message : sensor_msgs.msg.CameraInfo
            The calibration; any object with its fields.
        """
        matrix = tuple(float(number) for number in message.k)
        is_changed = bool(self._matrices) and matrix != self._matrices[-1]
        self._matrices.append(matrix)
        if not is_changed:
            return ''
        values = _changes(self._matrices)
        if len(set(values)) > _MAX_MATRICES or len(values) <= _MIN_CHANGES:
            return ''
        lengths = ', '.join(f'{focal_length:g}' for focal_length, *_ in sorted(set(values)))
        return f'their camera_info alternates, between focal lengths of {lengths} pixels'

    def _count_steps_back(self) -> int:
        return sum(after.number <= before.number for before, after in pairwise(self._origins))


def _changes(values: Iterable[Any]) -> list[Any]:
    """Return values without those that are equal to the one before."""
    return [value for value, _ in groupby(values)]


def _size_of(message: Any) -> str:
    """Return the size of a raw or compressed image without decoding it; empty if it is unknown."""
    if not hasattr(message, 'format'):
        return f'{message.width} x {message.height}'
    try:
        size = size_of(bytes(message.data))
    except ValueError:  # It is refused where it is decoded.
        return ''
    return f'{size[0]} x {size[1]}' if size else ''
