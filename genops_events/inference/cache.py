"""The context cache of a run: what all prompts share is sent once, kept by Vertex AI during the run, and then removed."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from genops_events.config.tools import tools_json
from genops_events.errors import GenopsError, PermanentError, TransientError
from genops_events.gcp.clients import genai_client
from genops_events.gcp.errors import CloudRefused, google_call
from genops_events.gemini.requests import cache_contents

if TYPE_CHECKING:
    from google import genai
    from google.genai.types import CachedContent

    from genops_events.config import Config
    from genops_events.config.inference import Inference

NAME_PREFIX = "genops-"


class CacheRefused(PermanentError):
    """Vertex AI refuses to make the context cache."""


class ContextCache:
    """The cache of one run; call `extend` regularly while it is used.

    Args:
        config: project and location.
        name: resource name.
        ttl_seconds: time after the last extension after which Vertex AI removes it.
        tokens: of its contents; making it is billed by them.
        is_new: whether it was made just now. A cache that was found may expire soon.
    """

    def __init__(self, config: Config, name: str, ttl_seconds: int, *, tokens: int, is_new: bool) -> None:
        self._config = config
        self.name = name
        self.tokens = tokens
        self._ttl_seconds = ttl_seconds
        self._extended_at = time.monotonic() if is_new else -math.inf

    def extend(self) -> None:
        """Extend it by another `ttl_minutes`, once half of them are over."""
        from google.genai import types

        if time.monotonic() - self._extended_at < self._ttl_seconds / 2:
            return
        with google_call(f"extend {self.name}"), _client(self._config, self.name) as client:
            client.caches.update(name=self.name, config=types.UpdateCachedContentConfig(ttl=f"{self._ttl_seconds}s"))
        self._extended_at = time.monotonic()


@contextmanager
def cached(
    config: Config, inference: Inference, *, model: str, candidate: str, system_instruction: str | None
) -> Iterator[ContextCache | None]:
    """Make the cache that `inference.cache` asks for, or find that of an earlier try; remove it at the end.

    A task that dies, or that is retried, leaves the cache: the next try finds it by its display name, since a new one would
    be billed again. Vertex AI removes it when it expires.

    Args:
        config: project and location.
        inference: the dataset's entry in genops.yaml.
        model: the model that is asked; a cache belongs to one model.
        candidate: id of the run's candidate.
        system_instruction: becomes a part of the cache, as do functions and grounding.

    Raises:
        CacheRefused: Vertex AI refuses the cache; the prompts can be asked without it.
    """
    if inference.cache is None:
        yield None
        return
    found = _find(config, candidate)
    made = found or _create(config, inference, model, candidate, system_instruction)
    assert made.name is not None
    tokens = (made.usage_metadata and made.usage_metadata.total_token_count) or 0
    cache = ContextCache(config, made.name, 60 * inference.cache.ttl_minutes, tokens=tokens, is_new=found is None)
    is_over = True
    try:
        yield cache
    except TransientError:
        is_over = False
        raise
    finally:
        if is_over:
            _remove(config, made.name)


def remove_all(config: Config, candidate: str) -> None:
    """Remove the caches of a candidate that is not retried; any that cannot be removed expire by themselves."""
    with suppress(GenopsError):
        for one in find_all(config, candidate):
            assert one.name is not None
            _remove(config, one.name)


def _remove(config: Config, name: str) -> None:
    with suppress(GenopsError), google_call(f"remove {name}"), _client(config, name) as client:
        client.caches.delete(name=name)


def find_all(config: Config, candidate: str) -> list[CachedContent]:
    """Return the existing caches of a candidate."""
    where = config.serving_location_of(candidate)
    with google_call("list the caches"), genai_client(config.project, where) as client:
        return [one for one in client.caches.list() if one.display_name == f"{NAME_PREFIX}{candidate}"]


def _find(config: Config, candidate: str) -> CachedContent | None:
    for one in find_all(config, candidate):
        if one.expire_time is None or (one.expire_time - datetime.now(UTC)).total_seconds() > _LEAST_LEFT_SECONDS:
            return one
    return None


_LEAST_LEFT_SECONDS = 30.0


def _create(
    config: Config, inference: Inference, model: str, candidate: str, system_instruction: str | None
) -> CachedContent:
    from google.genai import types

    assert inference.cache is not None
    tools = tools_json(inference)
    settings = types.CreateCachedContentConfig.model_validate(
        {
            "display_name": f"{NAME_PREFIX}{candidate}",
            "ttl": f"{60 * inference.cache.ttl_minutes}s",
            "contents": cache_contents(inference.cache.text, inference.cache.files),
            "system_instruction": system_instruction,
            "tools": tools.get("tools"),
            "tool_config": tools.get("toolConfig"),
        }
    )
    # One attempt: two caches of one run would both be billed. A cache whose answer was lost is found by its display name.
    try:
        with google_call("create the cache"), _client(config, model, attempts=1) as client:
            return client.caches.create(model=model, config=settings)
    except CloudRefused as error:
        raise CacheRefused(error.message, error.hint) from error


def _client(config: Config, name: str, *, attempts: int = 4) -> genai.Client:
    """Return a client for the location of a model or a cache."""
    return genai_client(config.project, config.places.of(name), attempts=attempts)
