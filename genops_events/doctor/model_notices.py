"""Which models a configuration uses, in which roles, and which of them end soon. No I/O.

A warning, never a refusal: Google may put an end off, and only Google can refuse.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from genops_events.catalogue.retirement import notice
from genops_events.config.evaluation import priced_as

if TYPE_CHECKING:
    from genops_events.config import Config


@dataclass(frozen=True, slots=True)
class ModelNotice:
    """What is to be said of one model."""

    model: str
    roles: tuple[str, ...]
    """Keys of genops.yaml that name it."""
    text: str

    def __str__(self) -> str:
        return f"{self.text} ({', '.join(self.roles)})"


def model_notices(config: Config, today: date, *, dataset: str | None = None) -> tuple[ModelNotice, ...]:
    """Return what is to be said of the models of a configuration, each once.

    Args:
        config: names the models.
        today: the day.
        dataset: only those of this dataset.
    """
    roles: dict[str, list[str]] = {}
    for role, name in _named(config, dataset):
        roles.setdefault(name, []).append(role)
    found = []
    for name, keys in roles.items():
        model = config.catalogue.find(name)
        if model is not None and (text := notice(name, model, today)) is not None:
            found.append(ModelNotice(name, tuple(dict.fromkeys(keys)), text))
    return tuple(found)


def _named(config: Config, only: str | None) -> Iterator[tuple[str, str]]:
    for dataset, entry in config.datasets.items():
        if only not in (None, dataset):
            continue
        yield f"{dataset}: source_model", entry.billed_model
        if entry.tuning.teacher_model is not None:
            yield f"{dataset}: tuning.teacher_model", entry.tuning.teacher_model
        if entry.evaluation.judge.model is not None and any(one.judged for one in entry.evaluation.measured()):
            yield f"{dataset}: evaluation.judge.model", priced_as(entry.evaluation)
        for one in entry.comparison.contestants:
            if one.kind == "published" or one.base_model is not None:
                yield f"{dataset}: comparison.contestants", one.base_model or one.model
