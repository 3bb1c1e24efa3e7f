"""Columns of progress bars for tasks with an unknown total.

rich before 12.3, as in Ubuntu 22.04, accepts only numbers as a total; UNKNOWN is infinity.
"""

import math

from rich.progress import BarColumn, ProgressColumn, Task, TimeRemainingColumn
from rich.progress_bar import ProgressBar
from rich.text import Text

UNKNOWN = math.inf  # total of a task with an unknown number of steps


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
