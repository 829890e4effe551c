"""How much a model thinks before it answers, and how many tokens it may then write: `max_output_tokens` is for the answer.

Google's `maxOutputTokens` counts thoughts and answer together: with thinking on, a limit of 64 ends in thoughts, and there is
no answer. So a request's limit is that of the answer and room for the thoughts. Whatever asks, pays or reserves asks here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from genops_events.catalogue.facts import Level, ThinkingFacts
from genops_events.config.answers import AnswerSettings, Thinking

if TYPE_CHECKING:
    from genops_events.catalogue.models import Catalogue

MOST_OUTPUT_TOKENS = 65_535
"""As many may an answer have where neither genops.yaml nor the catalogue has a bound."""
ROOM_FOR_LEVEL: Mapping[Level, int] = {"minimal": 1_024, "low": 4_096, "medium": 16_384, "high": 32_768}
"""Tokens that are allowed for thoughts at a level. Google publishes no figures: these are this project's own."""
_AS_MUCH_AS_IT_LIKES = -1


@dataclass(frozen=True, slots=True)
class ThinkingModel:
    """A model, as far as its thinking goes."""

    facts: ThinkingFacts = field(default_factory=ThinkingFacts)
    """Of the published model, or of the one that it was tuned from."""
    longest: int | None = None
    """Most tokens that the model writes in one call, thoughts included; None where that is not known."""
    is_tuned: bool = False
    """A tuned model thinks as little as it can unless it is told to: Google's page on tuning asks for that."""

    def settled(self, settings: AnswerSettings) -> AnswerSettings:
        """Return the settings with as little thinking as there is, where the model is tuned and they say nothing of it."""
        if not self.is_tuned or settings.thinking is not None or not self.facts.least:
            return settings
        return settings.model_copy(update={"thinking": Thinking.model_validate(self.facts.least)})

    def takes(self, thinking: Thinking) -> bool:
        """Return whether the model would not answer this with 400: a budget where it wants a level, or the other way round."""
        if thinking.level is not None:
            return thinking.level in self.facts.levels
        if thinking.budget_tokens is None:
            return True
        if self.facts.by != "budget":
            return False
        if thinking.budget_tokens == 0:
            return bool(self.facts.can_be_off)
        most = self.facts.max_tokens
        return most is None or thinking.budget_tokens <= most

    def room(self, thinking: Thinking | None) -> int:
        """Return how many tokens are allowed for thoughts: those of the budget, or what is stated for the level."""
        facts = self.facts
        if thinking is not None and thinking.level is not None:
            return ROOM_FOR_LEVEL[thinking.level]
        if thinking is not None and thinking.budget_tokens is not None:
            if thinking.budget_tokens == _AS_MUCH_AS_IT_LIKES:
                return facts.max_tokens or 0
            return thinking.budget_tokens
        if not facts.on_by_default:
            return 0
        if facts.by == "level":
            return 0 if facts.default_level is None else ROOM_FOR_LEVEL[facts.default_level]
        return facts.default_tokens or facts.max_tokens or 0

    def output_tokens(self, settings: AnswerSettings) -> int | None:
        """Return what a request has as `maxOutputTokens`; None where the settings have no bound."""
        answer = settings.max_output_tokens
        if answer is None:
            return None
        both = answer + self.room(self.settled(settings).thinking)
        return both if self.longest is None else max(answer, min(both, self.longest))

    def most_output(self, settings: AnswerSettings) -> int:
        """Return the most tokens that one answer and its thoughts can be billed: what is reserved for them."""
        return self.output_tokens(settings) or self.longest or MOST_OUTPUT_TOKENS


NOT_KNOWN = ThinkingModel()
"""A model of which nothing is known: it is asked as the settings say."""


def thinker_of(catalogue: Catalogue, model: str, *, is_tuned: bool) -> ThinkingModel:
    """Return how a model thinks by the catalogue; a model that it does not have is asked as the settings say.

    Args:
        catalogue: what is known of models.
        model: the published one, or the one that it was tuned from.
        is_tuned: whether it is a tuned one.
    """
    found = catalogue.find(model)
    if found is None:
        return NOT_KNOWN
    return ThinkingModel(found.thinking, found.calls.max_output_tokens, is_tuned)
