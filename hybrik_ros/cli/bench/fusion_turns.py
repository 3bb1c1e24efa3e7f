"""Cameras that are not synchronised: each takes an image when the others do not."""

from collections.abc import Callable, Iterator, Sequence

from hybrik_ros.cli.bench.fused_runs import FusedRun, fuse
from hybrik_ros.cli.bench.runs import Run


def take_turns(runs: Sequence[Run], period: int) -> list[Run]:
    """Return runs in which each camera has every so many frames, with phases spread evenly."""
    return [
        run.renumber({number: number for number in run.frames if (number - phase) % period == 0})
        for run, phase in _phases(runs, period)
    ]


def take_together(runs: Sequence[Run], period: int) -> list[Run]:
    """Return runs in which all cameras have the frames that one has if they take turns."""
    return [run.renumber({number: number for number in _numbers(runs, period)}) for run in runs]


def hold_newest(runs: Sequence[Run], period: int) -> list[Run]:
    """Return runs as `take_together`, with the newest image that each camera has by then."""
    return [
        run.renumber(
            {number: number - (number - phase) % period for number in _numbers(runs, period)}
        )
        for run, phase in _phases(runs, period)
    ]


def _phases(runs: Sequence[Run], period: int) -> Iterator[tuple[Run, int]]:
    """Yield each run and the number of its first frame."""
    for camera, run in enumerate(runs):
        yield run, camera * period // len(runs)


def _numbers(runs: Sequence[Run], period: int) -> list[int]:
    """Return the frames of which any camera has an image, from when all have had one."""
    taken = {number for run in take_turns(runs, period) for number in run.frames}
    return sorted(number for number in taken if number >= period)


def _between(runs: Sequence[Run], period: int) -> FusedRun:
    """Fuse at a time before which and after which each camera has an image."""
    return fuse(take_turns(runs, period), lag=period - period // len(runs))


# How the images come to one time, by the name of the fusion's method, and two for comparison: the
# ideal, and the worst.
TIMINGS: dict[str, Callable[[Sequence[Run], int], FusedRun]] = {
    'synchronous': lambda runs, period: fuse(take_together(runs, period)),
    'between': _between,
    'extrapolate': lambda runs, period: fuse(take_turns(runs, period)),
    'newest of each': lambda runs, period: fuse(hold_newest(runs, period)),
}
