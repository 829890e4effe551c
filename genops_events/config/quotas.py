"""Which quota of Vertex AI a call uses, and how much of it there is by genops.yaml. All that use it share it.

A quota belongs to a project, a location and a base model with all its versions and all that was tuned from it: "Tuned model
inference shares the same quota as the base model." Sources: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/quotas
and https://firebase.google.com/docs/vertex-ai/quotas (read 2026-11-30).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from genops_events.config.inference import Inference
from genops_events.config.locations import Places, ServedDataset

_VERSION = re.compile(r"-\d{3}$")
_KEYS = ("requests_per_minute", "tokens_per_minute")


@dataclass(frozen=True, slots=True)
class Quota:
    """What all calls of a base model in one location may use together."""

    project: str
    location: str
    model: str
    """A base model, without a version."""
    requests_per_minute: int
    tokens_per_minute: int | None = None


class QuotaDataset(ServedDataset, Protocol):
    """What a dataset says of a quota."""

    @property
    def inference(self) -> Inference:
        """What its champion may use each minute."""


class QuotaSettings(Protocol):
    """What of genops.yaml a quota follows from."""

    project: str
    requests_per_minute: int

    @property
    def datasets(self) -> Mapping[str, QuotaDataset]:
        """By name."""

    @property
    def places(self) -> Places:
        """Where models answer."""


def quota_for(config: QuotaSettings, location: str, base_model: str) -> Quota:
    """Return the quota of a base model in a location.

    Datasets say it of the model that they tune, where it is served. Where they say different numbers, the lowest holds for all.

    Args:
        config: genops.yaml.
        location: where the call is answered.
        base_model: a published model, or that which a tuned one was tuned from.
    """
    model = _without_version(base_model)
    said = {key: [number for _, number in _said(config, key, location, model)] for key in _KEYS}
    return Quota(
        project=config.project,
        location=location,
        model=model,
        requests_per_minute=min(said["requests_per_minute"], default=config.requests_per_minute),
        tokens_per_minute=min(said["tokens_per_minute"], default=None),
    )


def disagreements(config: QuotaSettings) -> Iterator[str]:
    """Yield each quota that datasets say different numbers of, in words: who says what, and what holds."""
    seen = {(config.places.serving(one), _without_version(one.billed_model)) for one in config.datasets.values()}
    for location, model in sorted(seen):
        for key in _KEYS:
            said = list(_said(config, key, location, model))
            if len({number for _, number in said}) > 1:
                who = ", ".join(f"{name} says {number:,}" for name, number in said)
                yield (
                    f"inference.{key} of {model} in {location}: {who}. It is one quota, which they share: "
                    f"{min(number for _, number in said):,} holds for all"
                )


def _said(config: QuotaSettings, key: str, location: str, model: str) -> Iterator[tuple[str, int]]:
    """Yield each dataset that says a number of a quota, and the number."""
    for name, dataset in config.datasets.items():
        number: int | None = getattr(dataset.inference, key)
        if number is not None and _is_of(config, dataset, location, model):
            yield name, number


def _is_of(config: QuotaSettings, dataset: QuotaDataset, location: str, model: str) -> bool:
    return _without_version(dataset.billed_model) == model and config.places.serving(dataset) == location


def _without_version(model: str) -> str:
    """Return a base model's id without the version: the quota counts all versions together."""
    return _VERSION.sub("", model.rpartition("/")[2])
