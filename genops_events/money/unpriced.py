"""What is billed and in no figure, since the catalogue of models has no price for it: said wherever a figure is shown."""

from __future__ import annotations

from genops_events.config.answers import AnswerSettings

GROUNDING = (
    "The figures leave out what grounding costs per request: the catalogue of models has prices of tokens alone."
)


def unpriced(settings: AnswerSettings) -> tuple[str, ...]:
    """Return what of answers with these settings has no price, in sentences; empty where all of it has one."""
    return () if settings.grounding is None else (GROUNDING,)
