"""The console of all commands: what rich prints goes through `printable`."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from hybrik_ros.printable import printable


class Terminal(Console):
    """A console that prints text as it is: no markup, no emoji codes, no escape sequences.

    Parameters
    ----------
    **options
        As of rich's Console.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{'markup': False, 'emoji': False, 'highlight': False} | options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a string, which has one line, as styled text."""
        return super().render_str(printable(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield the segments of anything; rich makes the line breaks in them."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                lines = [printable(line) for line in segment.text.split('\n')]
                yield Segment('\n'.join(lines), segment.style)
