"""What belongs to an image by its stamp."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrik_ros.node.by_stamp import ByStamp

TIMEOUT = 20.0


def test_the_nearest_within_the_tolerance_is_taken_once():
    kept: ByStamp[str] = ByStamp(10)
    for stamp in (1.0, 1.1, 1.2):
        kept.put(stamp, f'at {stamp}')
    assert kept.take(1.3, 0.05) is None
    assert kept.take(1.12, 0.05) == 'at 1.1'
    assert kept.take(1.12, 0.05) is None  # taken already
    assert kept.take(1.0, 0.05) is None  # older than what was taken
    assert kept.take(1.25, 0.0500001) == 'at 1.2'


def test_nothing_comes_of_nothing():
    assert ByStamp(3).take(0.0, 1e9) is None


def test_the_oldest_goes_when_there_are_too_many():
    kept: ByStamp[int] = ByStamp(3)
    for stamp in range(5):
        kept.put(float(stamp), stamp)
    assert kept.take(1.0, 0.5) is None
    assert kept.take(2.0, 0.5) == 2


def test_a_clock_that_jumps_back_finds_what_is_put_after():
    kept: ByStamp[str] = ByStamp(3)
    kept.put(100.0, 'before')
    kept.put(5.0, 'after')
    assert kept.take(5.0, 0.1) == 'after'
    assert kept.take(100.0, 0.1) is None


def test_cleared_is_empty():
    kept: ByStamp[int] = ByStamp(3)
    kept.put(1.0, 1)
    kept.clear()
    assert kept.take(1.0, 1.0) is None


@given(
    st.lists(st.floats(0, 10), min_size=1, max_size=20),
    st.floats(-1, 11),
    st.floats(0, 2),
)
def test_none_is_nearer_than_what_is_taken(stamps, wanted, tolerance):
    kept: ByStamp[float] = ByStamp(len(stamps))
    for stamp in stamps:
        kept.put(stamp, stamp)
    least = min(abs(stamp - wanted) for stamp in stamps)
    taken = kept.take(wanted, tolerance)
    if least > tolerance:
        assert taken is None
    else:
        assert abs(taken - wanted) == pytest.approx(least, abs=0)


def test_one_thread_puts_while_another_takes():
    kept: ByStamp[int] = ByStamp(16)
    last, taken = 20000, [-1]

    def take() -> None:
        while taken[-1] != last:
            item = kept.take(1e9, float('inf'))  # ever the newest
            if item is not None:
                taken.append(item)

    taker = threading.Thread(target=take, daemon=True)
    taker.start()
    for number in range(last + 1):
        kept.put(float(number), number)
    taker.join(60)
    assert not taker.is_alive()
    assert taken == sorted(set(taken))


def test_what_comes_a_little_later_is_waited_for():
    kept: ByStamp[str] = ByStamp(3)
    kept.put(0.0, 'before')
    later = threading.Timer(0.05, kept.put, [0.1, 'now'])
    later.start()
    assert kept.take(0.1, 0.02, timeout=TIMEOUT) == 'now'
    later.join()
    # What is newer than wanted has come: nothing is to be waited for.
    kept.put(0.3, 'after')
    start = time.monotonic()
    assert kept.take(0.2, 0.02, timeout=TIMEOUT) is None
    assert time.monotonic() - start < TIMEOUT / 2


def test_nothing_is_waited_for_that_never_came():
    start = time.monotonic()
    assert ByStamp(3).take(0.1, 0.02, timeout=TIMEOUT) is None
    assert time.monotonic() - start < TIMEOUT / 2
