"""How much one prompt may hold: the model's context window, and what a dataset allows; who is over, by line."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from genops_events.config_parts.toml_tables import parse_table
from genops_events.errors import PermanentError

CONTEXT_WINDOW = "context window"

Tokens = Annotated[int, Field(strict=True, ge=1)]


class UnknownWindowError(PermanentError):
    """The table of limits has no row for this model."""


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class CallLimits(_Row):
    """How much one call of a model takes and gives."""

    context_window_tokens: Tokens
    """Most input tokens of one call, system instruction included."""
    max_output_tokens: Tokens
    """Most tokens of one answer."""


class LimitTable(_Row):
    """The limits of calls as they were published on a day."""

    as_of: date
    """Day on which the limits held, as 2026-11-23."""
    source: Annotated[str, Field(min_length=1)]
    """Where the limits were read."""
    models: dict[str, CallLimits]
    """Limits by published model."""

    def of(self, model: str) -> CallLimits:
        """Return the limits of a published model; raise UnknownWindowError that names the known models."""
        if (found := self.models.get(model)) is not None:
            return found
        close = difflib.get_close_matches(model, self.models, n=1)
        raise UnknownWindowError(
            f"The context window of the model {model!r} is not known (limits as of {self.as_of}).",
            (f"Did you mean `{close[0]}`? " if close else "")
            + f"Known models: {', '.join(sorted(self.models))}. Add it to the file that `limits` in genops.yaml names.",
        )

    def overridden_by(self, own: LimitTable) -> LimitTable:
        """Return this table with the rows of `own` in place of its own."""
        return own.model_copy(update={"models": {**self.models, **own.models}})


@cache
def load_call_limits() -> LimitTable:
    """Return the limits that ship with this package, read once per process."""
    text = files("genops_events").joinpath("data", "limits.toml").read_text(encoding="utf-8")
    return parse_limits(text, name="limits.toml")


def parse_limits(text: str, *, name: str) -> LimitTable:
    """Check the text of a file of limits; raise ConfigError that names each key that is wrong. `name` is for messages."""
    return parse_table(text, LimitTable, name=name)


@dataclass(frozen=True, slots=True)
class PromptOver:
    """One prompt that is over a limit."""

    line: int
    """1-based line of the prompt file."""
    id: str
    unit: str
    """`tokens` or `billable characters`."""
    found: int
    limit: int
    limit_key: str
    """As in genops.yaml, or `context window`."""

    def __str__(self) -> str:
        return f"line {self.line} ({self.id}) has {self.found:,} {self.unit}, at most {self.limit:,} are allowed"

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return asdict(self)

    @property
    def is_approvable(self) -> bool:
        """Whether somebody can let it pass; what is too long for the model can only be shortened."""
        return self.limit_key != CONTEXT_WINDOW


@dataclass(frozen=True, slots=True)
class PromptLimits:
    """How much one prompt may hold, system instruction included."""

    context_window_tokens: int
    tokens: int | None = None
    """`budget.prompt_tokens`."""
    characters: int | None = None
    """`budget.prompt_characters`."""

    @property
    def fewest_tokens(self) -> int:
        """The lowest limit on tokens: what cannot have more need not be counted."""
        return min(self.context_window_tokens, self.tokens or self.context_window_tokens)

    def over(self, line: int, name: str, text: str, tokens: int) -> Iterator[PromptOver]:
        """Yield the limit that this prompt is over: of two on its tokens the context window.

        Args:
            line: 1-based line in the prompt file.
            name: id of the prompt.
            text: system instruction and prompt.
            tokens: counted; any number up to `fewest_tokens` where they were not.
        """
        if tokens > self.context_window_tokens:
            yield PromptOver(line, name, "tokens", tokens, self.context_window_tokens, CONTEXT_WINDOW)
        elif self.tokens is not None and tokens > self.tokens:
            yield PromptOver(line, name, "tokens", tokens, self.tokens, "budget.prompt_tokens")
        if self.characters is not None and (found := billable_characters(text)) > self.characters:
            yield PromptOver(line, name, "billable characters", found, self.characters, "budget.prompt_characters")


def billable_characters(text: str) -> int:
    """Return how many characters are billed: all but white space."""
    return sum(not character.isspace() for character in text)


def most_tokens(text: str) -> int:
    """Return a number of tokens that a text cannot have more of: a token holds at least one byte of its UTF-8."""
    return len(text.encode())
