"""Thinking as Google's models do it: by default, by budget or by level, and within the limit of output tokens. No I/O.

Which model takes what, and the words of the errors, are those of https://cloud.google.com/vertex-ai/generative-ai/docs/thinking
and of public reports (earendil-works/pi 3460, RooCodeInc/Roo-Code 4399), read on 2026-11-30. How much is thought is made up
from the question: the same for the same question.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gcp_stand_ins.vertex.errors import as_object, invalid
from gcp_stand_ins.vertex.tokens import count_tokens

_FEWEST, _SPREAD = 40, 160
_SHARES = {"MINIMAL": 0.05, "LOW": 0.5, "MEDIUM": 1.0, "HIGH": 3.0}
"""What a level makes of what a model thinks when it thinks as much as it likes."""
_LIKES = -1


@dataclass(frozen=True, slots=True)
class Mind:
    """How one model thinks."""

    by: str = ""
    """`budget` or `level`; empty for a model that does not think."""
    fewest: int = 0
    """Least budget but 0."""
    most: int = 0
    """Largest budget."""
    default: int | str = 0
    """Budget (-1 for as much as it likes) or level where a request says nothing."""
    can_be_off: bool = True
    levels: tuple[str, ...] = ()


_ALL_LEVELS = ("MINIMAL", "LOW", "MEDIUM", "HIGH")
_MINDS = (
    ("gemini-2.5-pro", Mind("budget", 128, 32_768, _LIKES, can_be_off=False)),
    ("gemini-2.5-flash-lite", Mind("budget", 512, 24_576, 0)),
    ("gemini-2.5-flash", Mind("budget", 1, 24_576, _LIKES)),
    ("gemini-3.1-pro", Mind("level", default="HIGH", levels=("LOW", "MEDIUM", "HIGH"))),
    ("gemini-3.1-flash-lite", Mind("level", default="MINIMAL", levels=_ALL_LEVELS)),
    ("gemini-3.5-flash-lite", Mind("level", default="MINIMAL", levels=_ALL_LEVELS)),
    ("gemini-3.8-flash", Mind("level", default="MEDIUM", levels=("LOW", "MEDIUM", "HIGH"))),
    ("gemini-3.7-flash", Mind("level", default="MEDIUM", levels=("LOW", "MEDIUM", "HIGH"))),
    ("gemini-3", Mind("level", default="MEDIUM", levels=_ALL_LEVELS)),
)
"""By the beginning of the model's name; the first that fits."""


@dataclass(frozen=True, slots=True)
class Thoughts:
    """What a model thinks of one request."""

    tokens: int = 0
    is_shown: bool = False
    """Whether a summary of the thoughts is part of the answer."""


def mind_of(model: str) -> Mind:
    """Return how the model of this name thinks; older ones do not."""
    return next((mind for begin, mind in _MINDS if model.startswith(begin)), Mind())


def thoughts(config: Mapping[str, Any], question: str, *, model: str) -> Thoughts:
    """Return what a model thinks of a question.

    Args:
        config: the request's generation config.
        question: the last text of the user.
        model: the published model, or the one beneath a tuned one.

    Raises:
        ApiError: the thinking config is not for this model.
    """
    told = as_object(config.get("thinkingConfig"), "thinkingConfig")
    budget, level = told.get("thinkingBudget"), told.get("thinkingLevel")
    mind = mind_of(model)
    if not mind.by:
        if told:
            raise invalid("Unable to submit request because thinking is not supported by this model.")
        return Thoughts()
    if budget is not None and level is not None:
        raise invalid("Unable to submit request because only one of thinking_budget and thinking_level may be set.")
    much = _as_much(question)
    if mind.by == "level":
        if budget is not None:
            raise invalid(
                "Unable to submit request because thinking_budget is not supported by this model; use thinking_level."
            )
        tokens = int(much * _SHARES[_level(level, mind, model)])
    else:
        if level is not None:
            raise invalid("Unable to submit request because thinking_level is not supported by this model.")
        allowed = _budget(budget, mind)
        tokens = much if allowed == _LIKES else min(much, allowed)
    return Thoughts(tokens, told.get("includeThoughts") is True and tokens > 0)


def _level(level: Any, mind: Mind, model: str) -> str:
    found = mind.default if level in (None, "THINKING_LEVEL_UNSPECIFIED") else str(level).upper()
    if found not in mind.levels:
        raise invalid(f"Unable to submit request because thinking_level {level} is not supported by {model}.")
    return str(found)


def _budget(budget: Any, mind: Mind) -> int:
    if budget is None:
        return int(mind.default)
    if isinstance(budget, bool) or not isinstance(budget, int):
        raise invalid(f"Invalid value at 'generation_config.thinking_config.thinking_budget': {budget!r}.")
    if budget == 0 and not mind.can_be_off:
        raise invalid("Unable to submit request because The model does not support setting thinking_budget to 0.")
    if budget not in (0, _LIKES) and not mind.fewest <= budget <= mind.most:
        raise invalid(
            f"The thinking budget ({budget}) is invalid. Please choose a value between {mind.fewest} and {mind.most}."
        )
    return budget


def _as_much(question: str) -> int:
    return _FEWEST + zlib.crc32(question.encode()) % _SPREAD + count_tokens(question)
