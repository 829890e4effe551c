"""The most tokens of a call and of its answer, by the catalogue of models."""

from __future__ import annotations

from dataclasses import dataclass

from genops_events.catalogue.models import Catalogue, UnknownFigureError, how_to_add

CONTEXT_WINDOW = "context window"


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Limits of one call of a model."""

    context_window_tokens: int
    """Most input tokens of one call, system instruction included."""
    max_output_tokens: int
    """Most tokens of one answer."""


def call_limits_of(catalogue: Catalogue, model: str) -> CallLimits:
    """Return the limits of a call of a published model, or of one that was tuned from it.

    Raises:
        UnknownModelError: the catalogue does not have the model.
        UnknownFigureError: the catalogue does not have these limits.
    """
    calls = catalogue.named(model).calls
    if calls.context_window_tokens is None or calls.max_output_tokens is None:
        raise UnknownFigureError(
            f"The catalogue of models does not say how much one call of {model} takes and gives.",
            how_to_add(model, calls="context_window_tokens = …\n  max_output_tokens = …"),
        )
    return CallLimits(calls.context_window_tokens, calls.max_output_tokens)
