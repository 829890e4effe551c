"""What people see on a terminal: a console that nobody else can speak through, and the look of every table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from genops_events.reading.printable import printable


class PeopleConsole(Console):
    """A console that lets nothing through which a terminal would obey, whoever wrote it: names, reasons, answers, exceptions.

    A string that is printed is one line, and so is a cell of a table: text of others cannot pretend to be a line of ours. What has
    several lines on purpose is printed by `lines`, or as a renderable of its own.
    """

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does; line feeds within a string are shown as escapes."""
        super().print(*(printable(one) if isinstance(one, str) else one for one in objects), **options)

    def lines(self, text: str) -> None:
        """Print a text that may have several lines."""
        super().print(Text(printable(text, lines=True)))

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does, without what a terminal would obey."""
        if isinstance(renderable, Table):
            for column in renderable.columns:
                column._cells = [_one_line(cell) for cell in column._cells]  # noqa: SLF001 - there is no other way in
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text, lines=True))


def _one_line(cell: RenderableType) -> RenderableType:
    """Return a cell of a table as plain text: neither lines nor markup are taken from what it holds."""
    if isinstance(cell, Text):
        line = printable(cell.plain)
        return cell if line == cell.plain else Text(line, style=cell.style)
    return Text(printable(cell)) if isinstance(cell, str) else cell


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    title: str = "",
    numbers: Collection[str] = (),
    wraps: Collection[str] = (),
) -> Table:
    """Return a table as every command prints it: no frame, bold headings, and of what others wrote neither lines nor markup.

    Args:
        headings: one for each column.
        rows: a cell for each column. A cell is a text, or one that has a style.
        title: a line above it.
        numbers: headings of the columns that stand at the right.
        wraps: headings of the columns that may take several lines: where the terminal is narrow, the others stay whole.
    """
    shown = Table(box=None, pad_edge=False, header_style="bold", title_justify="left", caption_justify="left")
    if title:
        shown.title = Text(printable(title), style="table.title")
    for name in headings:
        justify: JustifyMethod = "right" if name in numbers else "left"
        shown.add_column(Text(printable(name)), justify=justify, no_wrap=name not in wraps, overflow="fold")
    for row in rows:
        shown.add_row(*(_one_line(cell) for cell in row))
    return shown
