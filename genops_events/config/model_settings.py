"""What a model would answer with 400: settings that it does not take, by the catalogue of models. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic_core import InitErrorDetails

from genops_events.catalogue.facts import Model, ThinkingFacts
from genops_events.reading.problems import wrong

if TYPE_CHECKING:
    from genops_events.config.answers import AnswerSettings, Thinking


def wrong_for(settings: AnswerSettings, model: Model, name: str) -> Iterator[InitErrorDetails]:
    """Yield the settings that a model refuses.

    Args:
        settings: of an answer; what is not given is the model's own default.
        model: that is asked, or that the asked one was tuned from.
        name: its id, for the words.
    """
    for key in model.requests.refused:
        if (value := getattr(settings, key, None)) is not None:
            yield wrong((key,), value, f"Input should be left out: {name} refuses it")
    if settings.thinking is not None:
        yield from _wrong_thinking(settings.thinking, model.thinking, name)


def without_effect(settings: AnswerSettings, model: Model) -> tuple[str, ...]:
    """Return the keys that were given and that the model takes without heeding them."""
    return tuple(key for key in model.requests.ignored if key in settings.model_fields_set)


def _wrong_thinking(given: Thinking, known: ThinkingFacts, name: str) -> Iterator[InitErrorDetails]:
    budget, level = given.budget_tokens, given.level
    if known.by == "level":
        levels = ", ".join(known.levels)
        if budget is not None:
            text = f"Input should be left out: {name} refuses a budget and takes `thinking.level` ({levels})"
            yield wrong(("thinking", "budget_tokens"), budget, text)
        if level is not None and known.levels and level not in known.levels:
            yield wrong(("thinking", "level"), level, f"Input should be one of {levels} for {name}", known.levels)
    if known.by == "budget":
        if level is not None:
            text = f"Input should be left out: {name} refuses a level and takes `thinking.budget_tokens`{_range(known)}"
            yield wrong(("thinking", "level"), level, text)
        if budget is not None and not _is_taken(budget, known):
            text = f"Input should be{_range(known).replace(' (', ' ', 1).rstrip(')')}, for {name}"
            yield wrong(("thinking", "budget_tokens"), budget, text)


def _is_taken(budget: int, known: ThinkingFacts) -> bool:
    if budget == -1:
        return True
    if budget == 0:
        return known.can_be_off is not False
    return (known.min_tokens or 1) <= budget and (known.max_tokens is None or budget <= known.max_tokens)


def _range(known: ThinkingFacts) -> str:
    if known.min_tokens is None or known.max_tokens is None:
        return ""
    off = "0 for none, " if known.can_be_off else ""
    never = "" if known.can_be_off else " and never 0"
    return f" ({off}-1 for as many as it likes, or from {known.min_tokens:,} to {known.max_tokens:,}{never})"
