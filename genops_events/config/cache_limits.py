"""When a context cache cannot be made: for a tuned model that keeps none, or of fewer tokens than a cache must have. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic_core import InitErrorDetails

from genops_events.catalogue.facts import Model
from genops_events.catalogue.tokens import estimated_tokens
from genops_events.config.tools import tools_json
from genops_events.errors import PermanentError
from genops_events.reading.problems import wrong

if TYPE_CHECKING:
    from genops_events.config.inference import Inference

_INSTEAD = "put it into `system_instruction`, or into each prompt: what prompts have in common is cached unasked, too"


class CacheTooSmall(PermanentError):
    """What the prompts have in common has fewer tokens than a context cache must have."""


def wrong_cache(
    inference: Inference, model: Model, name: str, system_instruction: str | None
) -> Iterator[InitErrorDetails]:
    """Yield why `inference.cache` cannot be made, as far as the file alone tells.

    Args:
        inference: of a dataset.
        model: that its models are tuned from.
        name: id of that model.
        system_instruction: becomes a part of the cache, as do functions and grounding.
    """
    cache = inference.cache
    if cache is None:
        return
    if model.cache.of_tuned_models is False:
        text = f"Input should be left out: Vertex AI keeps no cache for what is tuned from {name}; {_INSTEAD}"
        yield wrong((), cache, text)
        return
    least = model.cache.least_tokens
    if (
        least is None or cache.files is not None
    ):  # how many tokens files have, Vertex AI counts before the money is reserved
        return
    texts = (cache.text or "", system_instruction or "", json.dumps(tools_json(inference), ensure_ascii=False))
    tokens = sum(map(estimated_tokens, texts))
    if tokens < least:
        text = (
            f"Input should have at least {least:,} tokens for {name}, the system instruction included; it has about "
            f"{tokens:,}. Leave the cache out: {_INSTEAD}"
        )
        yield wrong(("text",), cache.text, text)


def refuse_small(tokens: int, model: Model, name: str) -> None:
    """Raise CacheTooSmall unless a cache of so many tokens, as Vertex AI counts them, can be made."""
    least = model.cache.least_tokens
    if least is not None and tokens < least:
        raise CacheTooSmall(
            f"`inference.cache` has {tokens:,} tokens, and a context cache for {name} at least {least:,}: it would be "
            "refused when the prompts are answered.",
            f"Leave `inference.cache` out of genops.yaml: {_INSTEAD}.",
        )
