"""Limits on the size of one prompt: the model's context window and the dataset's own; the prompts over them, by line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from genops_events.catalogue.windows import CONTEXT_WINDOW


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
        """Whether a person can approve it; a prompt over the context window can only be shortened."""
        return self.limit_key != CONTEXT_WINDOW


@dataclass(frozen=True, slots=True)
class PromptLimits:
    """Limits on the size of one prompt, system instruction included."""

    context_window_tokens: int
    tokens: int | None = None
    """`budget.prompt_tokens`."""
    characters: int | None = None
    """`budget.prompt_characters`."""

    @property
    def fewest_tokens(self) -> int:
        """The lowest limit on tokens: a prompt that cannot have more need not be counted."""
        return min(self.context_window_tokens, self.tokens or self.context_window_tokens)

    def over(self, line: int, name: str, text: str, tokens: int) -> Iterator[PromptOver]:
        """Yield the limits that this prompt is over; of two limits on its tokens, only the context window.

        Args:
            line: 1-based line in the prompt file.
            name: id of the prompt.
            text: system instruction and prompt.
            tokens: as counted; any number up to `fewest_tokens` where the prompt was not counted.
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
