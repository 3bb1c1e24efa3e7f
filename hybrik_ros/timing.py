"""How long the stages of a frame take."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class StageTimer:
    """Adds up the durations of stages.

    Attributes
    ----------
    seconds : dict
        Duration of each stage by name, since the last `restart`.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def restart(self) -> None:
        """Start a new frame."""
        self.seconds = {}

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the duration of the enclosed code to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - start
            self.seconds[stage] = self.seconds.get(stage, 0.0) + elapsed
