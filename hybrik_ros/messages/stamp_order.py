"""Faults in the order of the stamps of a stream of images.

The one check of `hybrik doctor`, of running cameras and of recordings.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.messages.fields import REORDERED_SECONDS

_MAX_REORDERED = round(REORDERED_SECONDS * 1e9)  # nanoseconds
_STAMP = 'make the camera driver stamp each image with the time of its exposure'
_TIMES = {2: 'twice', 3: 'three times'}
# Maximum ratio between the speeds of stamps and clock. Some play bags at 0.5 or 2 times the speed.
_MAX_SPEED_RATIO = 1.5
_MIN_SPEED_SHARE = 0.9  # of the shorter spans
_MIN_SPEED_IMAGES = 8
_MIN_SPEED_SECONDS = 1.0  # from the first to the last receipt


def find_standstill(stamps: Sequence[int]) -> str:
    """Return why stamps are no times, and what to do; empty if they are.

    Parameters
    ----------
    stamps : sequence of int
        Stamps of at least one image in nanoseconds, in the order of receipt.
    """
    if not any(stamps):
        return f'stamps are all zero: {_STAMP}; with use_sim_time it needs a /clock'
    if len(stamps) > 1 and len(set(stamps)) == 1:
        return f'stamps do not advance: {_STAMP}'
    return ''


def find_odd_step(stamps: Sequence[int]) -> str:
    """Return which stamps do not follow the one before, and what to do; empty if all do.

    Parameters
    ----------
    stamps : sequence of int
        Stamps of images in nanoseconds, in the order of receipt.
    """
    steps = np.diff(np.array(stamps, np.int64))
    if (is_late := (steps < 0) & (steps >= -_MAX_REORDERED)).any():
        return (
            f'{is_late.sum()} of {len(stamps)} images are older than the one before: they are '
            'ignored, so make the driver publish each image once and in order, with the time of '
            'its exposure; two cameras need a topic each'
        )
    if (steps < 0).any():
        return (
            'stamps jumped back, as in a looping bag or with two cameras: all tracks are reset '
            'when time jumps back, so use one topic per camera'
        )
    if (is_repeated := steps == 0).any():
        return (
            f'{_describe_repetition(is_repeated)}: of images with one stamp only the first is '
            'processed, so publish and record each image once, with the time of its exposure'
        )
    return ''


def find_other_speed(stamps: Sequence[int], times: Sequence[int]) -> str:
    """Return that stamps run at another speed than the clock, and what to do; empty if not.

    It must show from the first to the last image, which bursts do not change, and in most of the
    shorter spans, of which a jump in time changes few.

    Parameters
    ----------
    stamps : sequence of int
        Stamps of images in nanoseconds, in the order of receipt.
    times : sequence of int
        When each was received, by the clock of the stamps, in nanoseconds.
    """
    count = len(stamps)
    if count < _MIN_SPEED_IMAGES or times[-1] - times[0] < _MIN_SPEED_SECONDS * 1e9:
        return ''
    given = np.array([stamps, times], np.int64)
    both = (given - given[:, :1]) * 1e-9
    advance, interval = both[:, -1] / (count - 1)
    length = count // 4
    advances, intervals = both[:, length:] - both[:, :-length]
    is_fast, is_slow = (
        whole * _MAX_SPEED_RATIO < other
        and np.mean(parts * _MAX_SPEED_RATIO < others) > _MIN_SPEED_SHARE
        for whole, other, parts, others in (
            (interval, advance, intervals, advances),
            (advance, interval, advances, intervals),
        )
    )
    if advance <= 0 or not (is_fast or is_slow):
        return ''
    return (
        f'stamps advance by {_round(1e3 * advance)} ms while images arrive every '
        f'{_round(1e3 * interval)} ms by the clock, so velocities are '
        f'{_round(interval / advance)} times as high: {_STAMP}, not with a count or in another '
        'unit; a recording or simulation of another speed needs --clock and use_sim_time'
    )


def _round(value: float) -> str:
    """Return two significant digits of a value."""
    return f'{float(f"{value:.2g}"):g}'


def _describe_repetition(is_repeated: NDArray[np.bool_]) -> str:
    """Describe repeated stamps, by whether each image has the stamp of the one before it."""
    count = len(is_repeated) + 1
    starts = np.flatnonzero(np.r_[True, ~is_repeated])
    times = np.diff(np.r_[starts, count])
    inner = times[1:-1] if len(times) > 3 else times  # The first and the last may be cut off.
    if (usual := int(inner[0])) > 1 and (inner == usual).all():
        often = _TIMES.get(usual, f'{usual} times')
        return (
            f'each stamp occurs {often}, as if the driver or the recorder wrote every image {often}'
        )
    return f'{is_repeated.sum()} of {count} images repeat the stamp of the one before'
