"""What Vertex AI accepts as training or validation file of a source model, read from data/models.yaml."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import msgspec
import yaml

from genops_events.errors import PermanentError

Method = Literal["supervised", "preference", "distillation"]
"""How a model is tuned: on examples, on pairs of answers of which one is preferred, on a teacher's answers to prompts."""
METHODS: Mapping[Method, str] = {
    "supervised": "supervised tuning",
    "preference": "preference tuning",
    "distillation": "distillation",
}
"""The methods as a sentence names them."""


@dataclass(frozen=True, slots=True)
class MethodLimits:
    """What one source model takes when it is tuned by one method."""

    adapter_sizes: tuple[int, ...]
    teacher_models: tuple[str, ...] = ()
    """Published models that it can be distilled from."""
    locations: tuple[str, ...] = ()
    """The only regions where that is done; empty: no restriction known."""


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What Vertex AI accepts as training file of one source model; data/models.yaml has the sources."""

    model: str
    min_examples: int
    max_examples: int
    max_media_examples: int
    """Examples with a file or inline data, of which fewer are allowed."""
    max_file_bytes: int
    max_tokens_per_example: int
    max_images_per_example: int
    max_documents_per_example: int
    max_validation_examples: int
    max_line_bytes: int
    methods: Mapping[Method, MethodLimits]
    for_validation: bool = False
    """True in the limits of a validation file; never in data/models.yaml."""

    def of_validation_file(self) -> ModelLimits:
        """Return the limits of a validation file: the same for each example, others for their number."""
        return dataclasses.replace(
            self,
            min_examples=1,
            max_examples=self.max_validation_examples,
            max_media_examples=self.max_validation_examples,
            for_validation=True,
        )


class UnknownLimitsError(PermanentError):
    """data/models.yaml has no row for this model."""


def load_limits(model: str) -> ModelLimits:
    """Return the limits of a published model; raise UnknownLimitsError that names the known models."""
    table = _limits_table()
    if (limits := table.get(model)) is None:
        raise UnknownLimitsError(
            f"The limits of the model {model!r} are not known.", f"Known models: {', '.join(sorted(table))}."
        )
    return limits


def models_that_take(method: Method) -> tuple[str, ...]:
    """Return the published models that can be tuned by this method."""
    return tuple(sorted(model for model, limits in _limits_table().items() if method in limits.methods))


@cache
def _limits_table() -> dict[str, ModelLimits]:
    text = files("genops_events").joinpath("data", "models.yaml").read_text(encoding="utf-8")
    rows: dict[str, dict[str, Any]] = yaml.safe_load(text)["models"]
    return {model: msgspec.convert({"model": model, **row}, ModelLimits) for model, row in rows.items()}
