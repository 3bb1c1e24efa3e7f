"""Detection of several cameras on one topic: their images alternate."""

from collections import deque
from itertools import groupby, pairwise
from typing import NamedTuple

from sensor_msgs.msg import CompressedImage, Image

WINDOW = 50  # number of the last images that are compared


class Origin(NamedTuple):
    """What tells the images of two cameras apart.

    Attributes
    ----------
    frame_id : str
        The frame of the image.
    size : str
        Width, height and encoding, or the format of a compressed image.
    """

    frame_id: str
    size: str


def origin_of(message: Image | CompressedImage) -> Origin:
    """Return the origin of an image, without reading its pixels."""
    if isinstance(message, CompressedImage):
        return Origin(message.header.frame_id, message.format)
    return Origin(message.header.frame_id, f'{message.width} x {message.height} {message.encoding}')


class MixtureFinder:
    """Finds out whether images of several cameras alternate on one topic.

    A camera that is restarted or set to another resolution changes once; with two cameras the first
    one comes back. Two cameras without such a difference are told apart by the sequence numbers of
    their publishers, each of which only rises.
    """

    def __init__(self) -> None:
        self._images: deque[tuple[Origin, int | None]] = deque(maxlen=WINDOW)

    def find(self, message: Image | CompressedImage, number: int | None) -> str:
        """Add an image; return by what the last images differ, or an empty text.

        Parameters
        ----------
        message : Image or CompressedImage
            The image.
        number : int or None
            Its sequence number; None where the middleware does not number messages.
        """
        self._images.append((origin_of(message), number))
        for field, what in (('frame_id', 'frame_id'), ('size', 'size or encoding')):
            runs = [value for value, _ in groupby(getattr(each, field) for each, _ in self._images)]
            if len(runs) > len(set(runs)):
                values = ' and '.join(map(repr, sorted(set(runs))))
                return f'their {what} alternates between {values}'
        numbers = [number for _, number in self._images if number is not None]
        if sum(after <= before for before, after in pairwise(numbers)) > 1:
            return 'they have several publishers'
        return ''
