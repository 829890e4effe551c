"""Which models a configuration or a command names, in which roles, and which of them end soon. No I/O.

A warning, never a refusal: Google may put an end off, and only Google can refuse.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from genops_events.catalogue.retirement import notice
from genops_events.config.evaluation import priced_as

if TYPE_CHECKING:
    from genops_events.catalogue.models import Catalogue
    from genops_events.config import Config
    from genops_events.config.contestants import Contestant


@dataclass(frozen=True, slots=True)
class ModelNotice:
    """What is to be said of one model."""

    model: str
    roles: tuple[str, ...]
    """Keys of genops.yaml, or options of a command, that name it."""
    text: str

    def __str__(self) -> str:
        return f"{self.text} ({', '.join(self.roles)})"


def model_notices(catalogue: Catalogue, named: Iterable[tuple[str, str]], today: date) -> tuple[ModelNotice, ...]:
    """Return what is to be said of models, each once.

    Args:
        catalogue: what is known of them.
        named: who names them, and which: of a configuration `models_of`, of a command its option.
        today: the day.
    """
    roles: dict[str, list[str]] = {}
    for role, name in named:
        roles.setdefault(name, []).append(role)
    found = []
    for name, keys in roles.items():
        model = catalogue.find(name)
        if model is not None and (text := notice(name, model, today)) is not None:
            found.append(ModelNotice(name, tuple(dict.fromkeys(keys)), text))
    return tuple(found)


def models_of(config: Config, *, dataset: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield the models that a configuration names, or one of its datasets: the key, and the published model."""
    for name, entry in config.datasets.items():
        if dataset not in (None, name):
            continue
        yield f"{name}: source_model", entry.billed_model
        if entry.tuning.teacher_model is not None:
            yield f"{name}: tuning.teacher_model", entry.tuning.teacher_model
        if entry.evaluation.judge.model is not None and any(one.judged for one in entry.evaluation.measured()):
            yield f"{name}: evaluation.judge.model", priced_as(entry.evaluation)
        yield from contestants_models(f"{name}: comparison.contestants", entry.comparison.contestants)


def contestants_models(role: str, contestants: Iterable[Contestant]) -> Iterator[tuple[str, str]]:
    """Yield the published models that contestants name; those of champions and candidates are their dataset's."""
    for one in contestants:
        if one.kind == "published" or one.base_model is not None:
            yield role, one.base_model or one.model
