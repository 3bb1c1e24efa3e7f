"""Whether the images of a recording follow each other so that people can be confirmed."""

from hybrik_ros.tracking import MAX_INTERVAL

_REMEDY = 'set -p tracking.confirm_after:=0'


class ConfirmationCheck:
    """Tells whether any person in a stream of images could be confirmed, by their stamps.

    Parameters
    ----------
    confirm_after : float
        Minimum time in seconds that a person must be seen.
    min_images : int
        Number of images below which nothing is said.
    """

    def __init__(self, confirm_after: float, min_images: int = 1) -> None:
        self._confirm_after = confirm_after
        self._min_images = min_images
        self._num_images = 0
        self._start = self._last = 0.0  # of the images less than MAX_INTERVAL apart
        self._longest = 0.0
        self._has_gaps = False

    def add(self, stamp: float) -> None:
        """Take the stamp of the next image in seconds."""
        if not self._num_images:
            self._start = stamp
        elif not 0 <= stamp - self._last < MAX_INTERVAL:
            self._start = stamp
            self._has_gaps |= stamp > self._last
        self._num_images += 1
        self._last = stamp
        self._longest = max(self._longest, stamp - self._start)

    def describe(self) -> str:
        """Return why no person could be confirmed, and what to do; empty if one could."""
        is_possible = self._longest >= self._confirm_after
        if is_possible or self._num_images < max(1, self._min_images):
            return ''
        if self._has_gaps:
            return (
                f'the images come more than {MAX_INTERVAL:g} s apart, so no person is confirmed: '
                f'record at a higher rate, or {_REMEDY}'
            )
        images = 'image' if self._num_images == 1 else 'images'
        return (
            f'{self._num_images} {images} within {self._longest:.2g} s are too few to confirm a '
            f'person, which takes {self._confirm_after:g} s: record for longer, or '
            f'{_REMEDY}'
        )
