"""Progress bars, whose total may be unknown, as a terminal shows them."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from hybrik_ros.cli.progress import UNKNOWN, Bar, Count, TimeRemaining


@pytest.fixture
def progress() -> Progress:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    return Progress(Bar(bar_width=10), Count(), TimeRemaining(), console=console)


def shown(progress: Progress) -> str:
    """The line that a terminal shows."""
    console = progress.console
    with console.capture() as capture:
        console.print(progress.get_renderable())
    return capture.get().strip()


def test_unknown_total_is_a_question_mark_until_it_is_known(progress: Progress) -> None:
    task = progress.add_task('', total=UNKNOWN)
    progress.update(task, completed=12, total=UNKNOWN)
    assert shown(progress).split()[1:] == ['12/?', '-:--:--']
    progress.update(task, completed=29, total=145)
    assert shown(progress).split()[:2] == ['━━', '29/145']
    progress.update(task, completed=145, total=145)
    assert shown(progress).split() == ['━' * 10, '145/145', '0:00:00']


def test_bar_pulses_while_the_total_is_unknown(progress: Progress) -> None:
    number = progress.add_task('', total=UNKNOWN)
    [task] = progress.tasks
    assert Bar().render(task).pulse
    progress.update(number, total=145)
    assert not Bar().render(task).pulse
