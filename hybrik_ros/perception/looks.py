"""When the detector looks at a frame, and at which sizes."""

from collections.abc import Sequence
from dataclasses import dataclass

# Maximum time in seconds between two looks while a track is lost, or a person is in doubt.
_SEARCH_INTERVAL = 0.15
# Time in seconds after which the next size has its turn. No frame rate is a multiple of it.
_TURN = 0.0618

NEVER = float('-inf')


@dataclass(frozen=True)
class Situation:
    """What a frame shows before the detector looks at it.

    Attributes
    ----------
    stamp : float
        Time of the frame in seconds.
    elapsed : float
        Seconds since the last frame; infinite for the first.
    followed : int
        Number of people seen in the last frame.
    seen : int
        Number of people seen in this frame where they were expected.
    is_searching : bool
        Whether a track is lost, or a person is in doubt.
    """

    stamp: float
    elapsed: float
    followed: int
    seen: int
    is_searching: bool


def choose_looks(
    now: Situation, last: float, interval: float, sizes: Sequence[int]
) -> Sequence[int]:
    """Return the sizes at which the detector looks at a frame; none if it need not.

    A look takes as long as a person, so the sizes take turns. All of them have the first frame, and
    one in which none of the people is where they were expected, as after a cut. Without any track
    the choice depends on the stamp alone, so that all is as in a new pipeline.

    Parameters
    ----------
    now : Situation
        What the frame shows.
    last : float
        Stamp in seconds of the last frame with a look; NEVER before the first.
    interval : float
        Maximum time in seconds between two looks. The next frame is expected as long after this one
        as this one came after the last one.
    sizes : sequence of int
        The detector's sizes.
    """
    if last == NEVER or now.seen == 0 < now.followed:
        return sizes
    if now.is_searching:
        interval = min(interval, _SEARCH_INTERVAL)
    are_all_seen = 0 < now.followed <= now.seen
    if are_all_seen and now.stamp + now.elapsed - last <= interval:
        return ()
    return (sizes[int(now.stamp / _TURN) % len(sizes)],)
