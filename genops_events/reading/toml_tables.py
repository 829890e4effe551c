"""Read a table from TOML, and say of each key that is wrong what is allowed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from genops_events.errors import ConfigError, ConfigProblem
from genops_events.reading.problems import describe_problems
from genops_events.reading.yaml_lines import MOST_DIGITS, YamlDocument

# In texts, too: no figure, name or address that belongs into a table has so many digits in a row.
_LONG_NUMBER = re.compile(rf"[0-9A-Fa-f_]{{{MOST_DIGITS + 1}}}")
TableT = TypeVar("TableT", bound=BaseModel)


def parse_toml(text: str, *, name: str) -> dict[str, Any]:
    """Return what a TOML file says; raise ConfigError that says where it is none. `name` is for messages."""
    try:
        # Money must not go through a float: 0.1 is not one.
        return tomllib.loads(_with_short_numbers(text.removeprefix("\ufeff")), parse_float=Decimal)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is the former
        why = "it is nested too deeply" if isinstance(error, RecursionError) else error
        problem = ConfigProblem("", None, f"not TOML: {why}", "", "")
        raise ConfigError(f"{name} is not TOML: {why}.", "Fix the file there.", (problem,)) from error


def _with_short_numbers(text: str) -> str:
    """Return the text; raise ValueError where it has a number that nothing could be done with, not even show it."""
    if (found := _LONG_NUMBER.search(text)) is not None:
        line = text.count("\n", 0, found.start()) + 1
        raise ValueError(f"a number of over {MOST_DIGITS} digits (at line {line})")
    return text


def check_table(value: Mapping[str, Any], kind: type[TableT], *, name: str) -> TableT:
    """Check what a TOML file says against its model; raise ConfigError that names each key that is wrong.

    Args:
        value: of `parse_toml`.
        kind: the model that it must fit.
        name: of the file, for messages.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        problems = describe_problems(error, kind, YamlDocument(value=value, lines={}))
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    raise ConfigError(
        f"{name} has {count}:\n" + "\n".join(map(str, problems)),
        f"Fix {name} and check it with `genops config check`. Nothing is spent by a file that cannot be read.",
        problems,
    )
