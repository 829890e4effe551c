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

from genops_events.errors import GenopsError
from genops_events.reading.printable import printable_json
from genops_events.stack.stack_errors import StackError

if TYPE_CHECKING:
    from genops_events.catalogue.models import Catalogue
    from genops_events.cli.terminal import PeopleConsole

_FILE_WIDTH = 240


def human() -> PeopleConsole:
    """Return a console on standard error; without colour where NO_COLOR is set or nobody watches."""
    from genops_events.cli.terminal import PeopleConsole

    # Where nobody watches, a line is a line: a table must not be folded to a width that nobody has.
    width = None if sys.stderr.isatty() else _FILE_WIDTH
    return PeopleConsole(stderr=True, highlight=False, soft_wrap=True, width=width)


def print_json(document: Any) -> None:
    """Print one JSON document to standard output, and nothing else."""
    sys.stdout.write(printable_json(json.dumps(document, indent=2, ensure_ascii=False, default=str)) + "\n")
    sys.stdout.flush()


def interrupt_on_signals() -> None:
    """Let a closed terminal and a polite kill end a command as Ctrl-C does; under `nohup`, a closed terminal ends nothing."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)


def warn_of_models(catalogue: Catalogue, named: Iterable[tuple[str, str]]) -> list[str]:
    """Say on standard error which of these models are retired or retire soon, and return it; arguments as `model_notices`."""
    from genops_events.doctor.model_notices import model_notices

    found = [str(one) for one in model_notices(catalogue, named, datetime.now(UTC).date())]
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
