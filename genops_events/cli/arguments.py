"""What a command is called with: text in UTF-8, or an error that says so, before any command sees it."""

from __future__ import annotations

import os
from typing import Any

import typer
from typer.core import TyperGroup

from genops_events.cli.console import human


class Utf8Commands(TyperGroup):
    """The commands, for arguments in UTF-8.

    A name of a file may have any bytes; Python hands them on as halves of surrogate pairs, which no object's name, no JSON
    and no terminal takes: each command would end in an error of its own, somewhere on its way.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Return the arguments that are left for the command; end with exit code 1 where one is not UTF-8."""
        for one in args:
            try:
                one.encode()
            except UnicodeEncodeError:
                _refuse(one)
        return super().parse_args(ctx, args)


def _refuse(argument: str) -> None:
    shown = os.fsencode(argument).decode("latin-1")
    console = human()
    console.print("error:", style="bold red", end=" ")
    console.print(f"The argument {shown!a} is not UTF-8, so it can be no name of an object, nor stand in a record.")
    console.print("Rename the file, for instance to train.jsonl, and do it again.")
    raise typer.Exit(1)
