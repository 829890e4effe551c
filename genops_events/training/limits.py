"""What Vertex AI accepts as training or validation file of a source model, read from data/models.yaml."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
import yaml

from genops_events.errors import PermanentError


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
    adapter_sizes: tuple[int, ...]
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


@cache
def _limits_table() -> dict[str, ModelLimits]:
    text = files("genops_events").joinpath("data", "models.yaml").read_text(encoding="utf-8")
    rows: dict[str, dict[str, Any]] = yaml.safe_load(text)["models"]
    return {model: msgspec.convert({"model": model, **row}, ModelLimits) for model, row in rows.items()}
