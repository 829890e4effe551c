"""Checks of single values in genops.yaml."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from genops_events.config_problems import wrong_value
from genops_events.pricing import load_prices
from genops_events.record import ROOT

_RESOURCE = re.compile(r"projects/[^/]+/locations/[^/]+/models/[^/]+")
_GS = "gs://"
_Item = TypeVar("_Item")


def refuse_bool(value: Any) -> Any:
    """Refuse true and false where a number is expected: YAML reads `yes` as true, and Python counts true as 1."""
    if isinstance(value, bool):
        raise wrong_value("Input should be a number")
    return value


def unique_items(values: tuple[_Item, ...]) -> tuple[_Item, ...]:
    """Refuse an empty list and one that repeats itself."""
    if not values:
        raise wrong_value("Input should have at least one item")
    if len(set(values)) < len(values):
        raise wrong_value("Input should name each item once")
    return values


def object_name(value: str) -> str:
    """Accept the name of an object that this project may read as input."""
    if value.startswith(_GS):
        raise wrong_value("Input should be an object in the bucket of this configuration")
    if not value or value.startswith("/") or value.endswith("/"):
        raise wrong_value("Input should be the name of an object in the bucket, or its gs:// address")
    if value.startswith(ROOT):
        raise wrong_value(f"Input should not be below `{ROOT}`: records are kept there")
    return value


def watched_prefix(value: str) -> str:
    """Accept a folder of the bucket that does not hold this project's own records."""
    if not value or value.startswith((_GS, "/")):
        raise wrong_value("Input should be a prefix inside the bucket, e.g. `training/mine/`")
    if not value.endswith("/"):
        raise wrong_value("Input should end with `/`, e.g. `training/mine/`")
    if value.startswith(ROOT):
        raise wrong_value(f"Input should not be below `{ROOT}`: records are kept there")
    return value


def source_model(value: str) -> str:
    """Accept a model that has a price, or the resource of an earlier tuned model."""
    known = tuple(sorted(load_prices().models))
    if value not in known and not is_model_resource(value):
        text = f"Input should be one of {', '.join(known)}, or projects/…/locations/…/models/… of a tuned model"
        raise wrong_value(text, known)
    return value


def is_model_resource(value: str) -> bool:
    """Tell whether this names a model in a registry and not a published model."""
    return _RESOURCE.fullmatch(value) is not None


def without_bucket(data: Any) -> Any:
    """Return a copy in which gs:// addresses of the configured bucket are plain object names.

    It runs before validation: whatever is not of the expected shape is left for the validation to refuse.
    """
    if not (isinstance(data, dict) and isinstance(data.get("bucket"), str) and isinstance(data.get("datasets"), dict)):
        return data
    own = f"{_GS}{data['bucket']}/"

    def shorten(part: Any, key: str) -> Any:
        if isinstance(part, dict) and isinstance(value := part.get(key), str) and value.startswith(own):
            return {**part, key: value[len(own) :]}
        return part

    inputs = (("evaluation", "file"), ("inference", "prompts"), ("tuning", "validation_file"))
    datasets = {
        name: {**dataset, **{part: shorten(dataset[part], key) for part, key in inputs if part in dataset}}
        if isinstance(dataset, dict)
        else dataset
        for name, dataset in data["datasets"].items()
    }
    return {**data, "datasets": datasets}
