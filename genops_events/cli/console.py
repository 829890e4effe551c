"""Where the command writes: human text to standard error, one JSON document to standard output."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from genops_events.errors import GenopsError
from genops_events.reading.printable import printable, printable_json
from genops_events.stack.stack_errors import StackError

if TYPE_CHECKING:
    from genops_events.config import Config

_FILE_WIDTH = 240


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


def human() -> PeopleConsole:
    """Return a console on standard error; without colour where NO_COLOR is set or nobody watches."""
    # Where nobody watches, a line is a line: a table must not be folded to a width that nobody has.
    width = None if sys.stderr.isatty() else _FILE_WIDTH
    return PeopleConsole(stderr=True, highlight=False, soft_wrap=True, width=width)


def print_json(document: Any) -> None:
    """Print one JSON document to standard output, and nothing else."""
    sys.stdout.write(printable_json(json.dumps(document, indent=2, ensure_ascii=False, default=str)) + "\n")
    sys.stdout.flush()


def interrupt_on_signals() -> None:
    """Let a closed terminal and a polite kill end a command as Ctrl-C does."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def warn_of_models(config: Config, *, dataset: str | None = None) -> list[str]:
    """Say on standard error which models of a configuration, or of one of its datasets, are retired or retire soon; return it."""
    from genops_events.doctor.model_notices import model_notices

    found = [str(one) for one in model_notices(config, datetime.now(UTC).date(), dataset=dataset)]
    for text in found:
        human().print(f"warning: {text}", markup=False)
    return found


@contextmanager
def errors_reported() -> Iterator[None]:
    """Turn an error that has words for people into these words and exit code 1."""
    try:
        yield
    except (GenopsError, StackError) as error:
        console = human()
        console.print("error:", style="bold red", end=" ")
        console.lines(error.message)
        if error.hint:
            console.lines(error.hint)
        raise typer.Exit(1) from error
