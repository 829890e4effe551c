"""The page about the `genops` command: each command with its arguments and options, as its own `--help` has them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import typer

from docs.writing.markdown import code, page, table
from genops_events.cli import app

INTRODUCTION = """
Every command prints text for people on standard error (`genops doctor` on standard output), and with `--json` one JSON document on standard output.
`genops COMMAND --help` says the same as this page. Where no exit code is named, 0 is success and 1 an error, with what to do about it.

The configuration is `GENOPS_CONFIG`, else `genops.yaml` here; the local stack is the one in `GENOPS_HOME`, else in `.genops` here.
"""

VALUES = {
    "list[str]": "TEXT",
    "str": "TEXT",
    "path": "PATH",
    "float range": "NUMBER",
    "float": "NUMBER",
    "int range": "NUMBER",
    "int": "NUMBER",
}
"""What typer writes for the value of an option, and the word for it here."""


def commands(group: Any, context: Any, name: str = "genops") -> Iterator[tuple[str, Any, Any]]:
    """Yield the words, the command and its context for each command, those of groups with the group's word before them."""
    for word in group.list_commands(context):
        command = group.get_command(context, word)
        own = command.make_context(word, [], parent=context, resilient_parsing=True)
        words = f"{name} {word}"
        if hasattr(command, "list_commands"):
            yield from commands(command, own, words)
        else:
            yield words, command, own


def the_command() -> tuple[Any, Any]:
    """Return the `genops` command and a context for it."""
    group = typer.main.get_command(app)
    return group, group.make_context("genops", [], resilient_parsing=True)


def _section(words: str, command: Any, context: Any) -> str:
    shown = [one for one in command.get_params(context) if not getattr(one, "hidden", False)]
    arguments = [one.name.upper() if one.required else f"[{one.name.upper()}]" for one in shown if _is_argument(one)]
    records = [one.get_help_record(context) for one in shown if "--help" not in one.opts]
    names = [one.name.upper() if _is_argument(one) else None for one in shown if "--help" not in one.opts]
    rows = [
        [code(name or _value(option)), _plain(meaning)]
        for name, (option, meaning) in zip(names, filter(None, records), strict=True)
    ]
    usage = " ".join([words, *arguments, "[OPTIONS]" if len(rows) > len(arguments) else ""]).strip()
    parts = [f"## {words}", inspect.cleandoc(command.help or ""), f"```text\n{usage}\n```"]
    return "\n\n".join([*parts, *([table(["argument or option", "what"], rows)] if rows else [])])


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _value(option: str) -> str:
    """Return the name of an option with its value in words."""
    for written, word in VALUES.items():
        option = option.replace(f"<{written}>", word)
    return option


def _plain(meaning: str) -> str:
    """Return the help of an option with its default and bounds as words of a sentence's end."""
    return re.sub(r"\s+\[([^\[\]]*)\]$", r" (\1)", meaning)


def commands_page() -> str:
    """Return the page about every command."""
    group, context = the_command()
    options = [one for one in group.get_params(context) if "--help" not in one.opts]
    rows = [[code(option), meaning] for option, meaning in (one.get_help_record(context) for one in options)]
    whole = f"## genops\n\n{inspect.cleandoc(group.help or '')}\n\n{table(['option', 'what'], rows)}"
    found = sorted(commands(group, context), key=lambda one: one[0])
    return page("Commands", INTRODUCTION, whole, *(_section(*one) for one in found))
