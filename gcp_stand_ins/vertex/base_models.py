"""The base models of this stand-in: where each is asked, tuned and served, by Google's pages as read on 2026-11-30.

https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/tuning/supervised-tuning
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from gcp_stand_ins.vertex.errors import invalid, not_found

MULTI_REGIONS = ("us", "eu")
_GLOBAL = "global"
_EVERY_ADAPTER = (1, 2, 4, 8, 16)
_LOCATION = re.compile(r"projects/[^/]+/locations/(?P<location>[^/]+)(/.*)?")


@dataclass(frozen=True, slots=True)
class BaseModel:
    """Where one model is asked, tuned and served.

    Args:
        in_regions: whether single regions answer for it.
        in_multi_regions: whether `us` and `eu` do.
        tuned_in: the only regions that tune it; None for any, empty for none.
        adapters: ranks of the adapter that it can be tuned with.
        own_keys: whether what is tuned from it can be encrypted with a key of Cloud KMS.
        least_cached_tokens: a context cache of fewer is refused:
            https://docs.cloud.google.com/vertex-ai/generative-ai/docs/context-cache/context-cache-overview
    """

    in_regions: bool
    in_multi_regions: bool
    tuned_in: tuple[str, ...] | None
    adapters: tuple[int, ...] = _EVERY_ADAPTER
    own_keys: bool = True
    least_cached_tokens: int = 2_048


_LITE = BaseModel(in_regions=False, in_multi_regions=True, tuned_in=("us-central1", "europe-west4"), own_keys=False)
_THREE = replace(_LITE, least_cached_tokens=4_096)
_ASKED_ONLY = replace(_THREE, tuned_in=(), own_keys=True)
_TWO = BaseModel(in_regions=True, in_multi_regions=False, tuned_in=None)
_TWO_EIGHT = BaseModel(in_regions=True, in_multi_regions=False, tuned_in=None, adapters=(1, 2, 4, 8))
BASE_MODELS = {
    "gemini-3.5-flash": _THREE,
    "gemini-3.5-flash-lite": _LITE,
    "gemini-3.1-flash-lite": _LITE,
    "gemini-3.8-flash": _ASKED_ONLY,
    "gemini-3.7-flash": _ASKED_ONLY,
    "gemini-3.6-flash": _ASKED_ONLY,
    "gemini-2.5-pro": _TWO_EIGHT,
    "gemini-2.5-flash": _TWO,
    "gemini-2.5-flash-lite": _TWO,
    "gemini-2.0-flash": _TWO_EIGHT,
    "gemini-2.0-flash-001": _TWO_EIGHT,
    "gemini-2.0-flash-lite": _TWO_EIGHT,
    "gemini-2.0-flash-lite-001": _TWO_EIGHT,
}
"""Those that answer here, by id."""


def publisher_model(name: str) -> str:
    """Return the short name of a publisher model, however it is written."""
    return name.rpartition("publishers/google/models/")[2]


def location_of(name: str) -> str | None:
    """Return the location in a resource's name or a parent; None where there is none."""
    match = _LOCATION.fullmatch(name)
    return None if match is None else match["location"]


def check_publisher_model(name: str) -> str:
    """Return the short name of a publisher model that answers in the location of its name.

    Raises:
        ApiError: there is no such model, or not there.
    """
    model = name.rpartition("/")[2]
    if "publishers/google/" not in name or model not in BASE_MODELS:
        raise not_found(f"Publisher Model `{name}` was not found. Known here: {', '.join(BASE_MODELS)}.")
    if (location := location_of(name)) is not None and not _is_asked_in(BASE_MODELS[model], location):
        raise not_found(f"Publisher Model `{name}` was not found or your project does not have access to it.")
    return model


def _is_asked_in(model: BaseModel, location: str) -> bool:
    if location == _GLOBAL:
        return True
    return model.in_multi_regions if location in MULTI_REGIONS else model.in_regions


def check_tuning(model: str, parent: str, *, adapter: int | None, own_key: bool) -> None:
    """Raise unless a base model can be tuned in a location, with this adapter and with a key of Cloud KMS.

    Args:
        model: short name.
        parent: `projects/P/locations/L` of the job.
        adapter: its rank, where the request names one.
        own_key: whether the request names a key.
    """
    found = BASE_MODELS.get(model)
    if found is None or found.tuned_in == ():
        tunable = (name for name, one in BASE_MODELS.items() if one.tuned_in != ())
        raise invalid(f"Base model {model} is not supported for tuning. Supported: {', '.join(tunable)}.")
    location = location_of(parent) or ""
    if location in (_GLOBAL, *MULTI_REGIONS) or (found.tuned_in is not None and location not in found.tuned_in):
        where = ", ".join(found.tuned_in) if found.tuned_in else "single regions"
        raise invalid(f"Base model {model} is not supported for tuning in {location}; it is tuned in {where}.")
    if adapter is not None and adapter not in found.adapters:
        raise invalid(f"Adapter size {adapter} is not supported for {model}; supported: {found.adapters}.")
    if own_key and not found.own_keys:
        raise invalid(f"CMEK is not supported for tuning {model}.")


def check_batch(model: str, parent: str, *, is_tuned: bool) -> None:
    """Raise unless a batch job may run in a location: where its model, or what was tuned from it, answers.

    Args:
        model: short name of the base model.
        parent: `projects/P/locations/L` of the job.
        is_tuned: whether a tuned model is to answer.
    """
    found, location = BASE_MODELS.get(model), location_of(parent) or ""
    allowed = found is None or (_is_asked_in(found, location) and not (is_tuned and location == _GLOBAL))
    if not allowed:
        raise invalid(f"The model {model} does not support batch prediction in {location}.")


def check_cache(model: str, *, is_tuned: bool, tokens: int) -> None:
    """Raise unless a context cache can be made: not one that is too small, nor for what single regions do not serve.

    Of Vertex AI's answer to a small one a user has told the words: https://discuss.ai.google.dev/t/134499 (read 2026-11-30).

    Args:
        model: short name of the base model.
        is_tuned: whether a tuned model is to use it.
        tokens: that it would hold.
    """
    found = BASE_MODELS.get(model)
    if found is None:
        return
    if is_tuned and not found.in_regions:
        raise invalid(f"Explicit caching is not supported for models that were tuned from {model}.")
    if tokens < found.least_cached_tokens:
        least = found.least_cached_tokens
        raise invalid(f"The cached content is of {tokens} tokens. The minimum token count to start caching is {least}.")


def served_parent(model: str, parent: str) -> str:
    """Return where a model that was tuned from a base model in `parent` answers: there, or in the multi-region around it."""
    found, location = BASE_MODELS.get(model), location_of(parent)
    if found is None or found.in_regions or location is None:
        return parent
    return parent.removesuffix(location) + ("eu" if location.startswith("europe-") else "us")


def other_places(parent: str) -> tuple[str, ...]:
    """Return the other multi-regions in which what is served in this one is served, too."""
    location = location_of(parent)
    if location not in MULTI_REGIONS:
        return ()
    return tuple(parent.removesuffix(location) + other for other in MULTI_REGIONS if other != location)
