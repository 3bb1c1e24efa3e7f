"""Detection of several cameras on one topic: their images alternate."""

from collections import deque
from itertools import groupby, pairwise
from typing import Any, NamedTuple

from hybrik_ros.messages.fields import CompressedImage, Image
from hybrik_ros.messages.image_headers import size_of

WINDOW = 50  # number of the last images that are compared


class Origin(NamedTuple):
    """What tells an image of one camera from that of another one.

    Attributes
    ----------
    frame_id : str
        The frame of the image.
    size : str
        Width and height in pixels; '0 x 0' where they are unknown.
    number : int
        The sequence number that its publisher gave it; -1 where the middleware gives none.
    """

    frame_id: str
    size: str
    number: int


class MixtureFinder:
    """Finds out whether images of several cameras alternate on one topic.

    A camera that is restarted or set to another resolution changes once; with two cameras the first
    one comes back. Two cameras without such a difference are told apart by the sequence numbers of
    their publishers, each of which only rises.
    """

    def __init__(self) -> None:
        self._origins: deque[Origin] = deque(maxlen=WINDOW)

    def find(self, message: Image | CompressedImage, number: int | None = None) -> str:
        """Add an image; return by what it differs from the images before, or an empty text.

        Parameters
        ----------
        message : Image or CompressedImage
            The image.
        number : int, optional
            The sequence number that its publisher gave it.
        """
        origin = Origin(
            message.header.frame_id, _size_of(message), -1 if number is None else number
        )
        before = self._origins[-1] if self._origins else None
        self._origins.append(origin)
        if before is None:
            return ''
        for field in ('frame_id', 'size'):
            if getattr(origin, field) != getattr(before, field):
                all_values = (getattr(each, field) for each in self._origins)
                values = [value for value, _ in groupby(all_values)]
                if len(values) > len(set(values)):
                    return f'their {field} alternates: {", ".join(map(repr, sorted(set(values))))}'
        if 0 <= origin.number <= before.number and self._count_steps_back() > 1:
            return 'they have several publishers'
        return ''

    def _count_steps_back(self) -> int:
        return sum(after.number <= before.number for before, after in pairwise(self._origins))


def _size_of(message: Any) -> str:
    """Return the size of a raw or compressed image, without decoding it."""
    if not hasattr(message, 'format'):
        return f'{message.width} x {message.height}'
    try:
        width, height = size_of(bytes(message.data)) or (0, 0)
    except ValueError:  # It is refused where it is decoded.
        return '0 x 0'
    return f'{width} x {height}'
