"""Where the command writes: human text to standard error, one JSON document to standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console

from genops_events.errors import GenopsError
from genops_events.local.stack_errors import StackError

_FILE_WIDTH = 240


def human() -> Console:
    """Return a console on standard error; without colour where NO_COLOR is set or nobody watches."""
    # Where nobody watches, a line is a line: a table must not be folded to a width that nobody has.
    return Console(stderr=True, highlight=False, soft_wrap=True, width=None if sys.stderr.isatty() else _FILE_WIDTH)


def print_json(document: Any) -> None:
    """Print one JSON document to standard output, and nothing else."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


@contextmanager
def errors_reported() -> Iterator[None]:
    """Turn an error that has words for people into these words and exit code 1."""
    try:
        yield
    except (GenopsError, StackError) as error:
        console = human()
        console.print("error:", style="bold red", end=" ")
        console.print(error.message, markup=False)
        if error.hint:
            console.print(error.hint, markup=False)
        raise typer.Exit(1) from error
