"""Notices about the announced end of a model, and the figures that were not checked for long. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from genops_events.catalogue.facts import GROUPS, Model, Sourced
from genops_events.catalogue.models import Catalogue

NOTICE = timedelta(days=90)
"""Time before its end from which there is a notice about a model."""
_BLOCKED = timedelta(days=30)
"""New use, tuning included, is blocked about a month before (the page on model versions, read 2026-11-30)."""


def notice(name: str, model: Model, today: date) -> str | None:
    """Return a notice that a model is retired, or retires within 90 days, with its replacement; None where there is no need."""
    life = model.life
    sentences: list[str] = []
    if life.retires is not None and life.retires <= today:
        sentences.append(
            f"{name} is retired since {life.retires}: it cannot be tuned or asked, nor can a model that was tuned from it."
        )
    elif life.retires is not None and life.retires - today <= NOTICE:
        days = (life.retires - today).days
        sentences.append(
            f"{name} retires on {life.retires}, in {days} {'day' if days == 1 else 'days'}; what was tuned from it ends with it. "
            f"Google blocks new use, tuning included, about a month before ({life.retires - _BLOCKED})."
        )
    elif life.retires is None and life.not_before is not None and life.not_before - today <= NOTICE:
        sentences.append(
            f"{name} may retire from {life.not_before} on: Google has promised it until then, and no longer."
        )
    if not sentences and life.closed_since is not None and life.closed_since <= today:
        end = "" if life.retires is None else f", and it ends on {life.retires}"
        sentences.append(f"{name} is closed to projects that did not use it before {life.closed_since}{end}.")
    if not sentences:
        return None
    if life.replaced_by:
        sentences.append(f"Google names {' or '.join(life.replaced_by)} in its place.")
    return " ".join(sentences)


def not_looked_at(catalogue: Catalogue, today: date, *, days: int) -> Iterator[tuple[str, str, date, str]]:
    """Yield each group of figures whose source was read more than `days` days ago: model, group, day, source.

    Args:
        catalogue: of models.
        today: the present day.
        days: greatest age in days.
    """
    oldest = today - timedelta(days=days)
    groups: list[tuple[str, str, Sourced]] = [("all models", "billing", catalogue.billing)]
    for name, model in catalogue.models.items():
        groups += [(name, group, getattr(model, group)) for group in GROUPS]
        groups.append((name, "tuning.files", model.tuning.files))
    for name, group, facts in groups:
        read = facts.as_of or catalogue.as_of
        if facts.model_fields_set - {"source", "as_of"} and read < oldest:
            yield name, group, read, facts.source or catalogue.source
