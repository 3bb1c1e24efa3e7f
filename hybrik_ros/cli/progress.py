"""Columns of progress bars whose total may be unknown.

rich before 12.3, which Ubuntu 22.04 has, takes numbers only as a total: UNKNOWN is one.
"""

import math

from rich.progress import BarColumn, ProgressColumn, Task, TimeRemainingColumn
from rich.progress_bar import ProgressBar
from rich.text import Text

UNKNOWN = math.inf  # Total of a task whose number of steps is not known.


class Bar(BarColumn):
    """A bar that pulses while the total is unknown."""

    def render(self, task: Task) -> ProgressBar:
        """Return the bar of a task."""
        bar = super().render(task)
        bar.pulse = bar.pulse or task.total == UNKNOWN
        return bar


class Count(ProgressColumn):
    """The completed steps and the total, as '12/145' or '12/?'."""

    def render(self, task: Task) -> Text:
        """Return the count of a task."""
        total = '?' if task.total == UNKNOWN else f'{task.total:.0f}'
        return Text(f'{task.completed:.0f}/{total}', style='progress.download')


class TimeRemaining(TimeRemainingColumn):
    """The estimated time to the end; none while the total is unknown."""

    def render(self, task: Task) -> Text:
        """Return the time of a task."""
        if task.total == UNKNOWN:
            return Text('-:--:--', style='progress.remaining')
        return super().render(task)
