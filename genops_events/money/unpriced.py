"""What is billed and in no figure, since the catalogue of models has no price for it: said wherever a figure is shown."""

from __future__ import annotations

from genops_events.config.answers import AnswerSettings

CACHE = "What it costs to keep the context cache while it is there is in no figure: its price is not in the catalogue of models."
GROUNDING = (
    "The figures leave out what grounding costs per request: the catalogue of models has prices of tokens alone."
)


def unpriced(settings: AnswerSettings, *, has_cache: bool = False) -> tuple[str, ...]:
    """Return what of these answers has no price, in sentences; empty where all of it has one.

    Args:
        settings: how the model is to answer.
        has_cache: whether a context cache is made and kept for it.
    """
    found = [GROUNDING] if settings.grounding is not None else []
    return (*found, *([CACHE] if has_cache else []))
