"""Count the tokens and billable characters of prompts, without asking a model.

https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/count-tokens; the billable characters are in its answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from genops_events.gcp.errors import CloudRefused, CloudUnavailable
from genops_events.gemini.calls import Connection, Retries
from genops_events.gemini.requests import cache_contents

if TYPE_CHECKING:
    from genops_events.config import Config, Dataset

COUNTED_PROMPTS_PER_CALL = 100
COUNTED_BYTES_PER_CALL = 8 * 1024 * 1024
"""Most characters of the prompts in one call; a longer prompt is counted alone. Vertex AI takes requests of at most 20 MB."""
_REFUSED_FOR_A_PROMPT = (400, 403, 404, 413)

Turns = Sequence[Mapping[str, Any]]
"""Contents in the form of the REST API."""


@dataclass(frozen=True, slots=True)
class TokenCount:
    """Tokens and billable characters of a set of prompts."""

    tokens: int
    billable_characters: int


class _CountResponse(msgspec.Struct, rename="camel"):
    total_tokens: int
    """No default: a response without the field must not be read as 0 tokens."""
    total_billable_characters: int | None = None
    """Absent for newer models, which are not billed by characters."""


_decode = msgspec.json.Decoder(_CountResponse, strict=False).decode


def count_tokens(
    config: Config,
    *,
    model: str,
    prompts: Sequence[str | Turns],
    system_instruction: str | None,
    media_resolution: str | None = None,
) -> TokenCount:
    """Count `prompts` as `TokenCounter` does, for callers without an event loop."""

    async def count() -> TokenCount:
        async with Connection(config, at_once=1) as connection:
            counter = TokenCounter(
                connection, model=model, system_instruction=system_instruction, media_resolution=media_resolution
            )
            return await counter.count(prompts)

    return asyncio.run(count())


def files_before_tokens(config: Config, dataset: Dataset, model: str) -> int:
    """Return the tokens of the files that come before every prompt; 0 where there are none.

    Args:
        config: project and location.
        dataset: the dataset of the prompts.
        model: the published model whose tokens are counted.

    Raises:
        CloudRefused: a file cannot be counted.
        CloudUnavailable: Vertex AI does not answer.
    """
    cache = dataset.inference.cache
    if cache is None or not cache.files:
        return 0
    common = cache_contents(None, cache.files)
    resolution = dataset.inference.media_resolution
    return count_tokens(
        config, model=model, prompts=[common], system_instruction=None, media_resolution=resolution
    ).tokens


class TokenCounter:
    """Counts prompts for one model and one set of settings; counting is free.

    Args:
        connection: to Vertex AI.
        model: a publisher's model id; for a tuned model, the one that it was tuned from.
        system_instruction: sent, and billed, with every prompt.
        media_resolution: `low`, `medium` or `high`, the resolution at which files are read; None for the model's default.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        model: str,
        system_instruction: str | None,
        media_resolution: str | None,
    ) -> None:
        self._connection = connection
        self._url = connection.url_of(model, "countTokens")
        self._instruction = _turns(system_instruction or "")
        self._settings: dict[str, Any] = {}
        if media_resolution is not None:
            resolution = f"MEDIA_RESOLUTION_{media_resolution.upper()}"
            self._settings = {"generationConfig": {"mediaResolution": resolution}}

    async def count(self, prompts: Sequence[str | Turns]) -> TokenCount:
        """Return the tokens and billable characters of `prompts`.

        Prompts that Vertex AI cannot count (a missing file, a field of a wrong type) count as 0, and the others are counted
        all the same: the model would refuse such a prompt, too, and that prompt alone.

        Args:
            prompts: texts, one user turn each, or contents.

        Raises:
            CloudRefused: no prompt can be counted, or a text cannot.
            CloudUnavailable: Vertex AI does not answer.
        """
        tokens = characters = 0
        for some in _calls(prompts):
            refused: list[CloudRefused] = []
            found = await self._countable(some, refused)
            if not found and not tokens:  # the model is the cause, and no prompt
                raise refused[0]
            tokens += sum(one.total_tokens for one in found)
            characters += sum(one.total_billable_characters or 0 for one in found)
        return TokenCount(tokens, characters)

    async def _countable(self, some: Sequence[str | Turns], refused: list[CloudRefused]) -> list[_CountResponse]:
        try:
            return [await self._count(some)]
        except CloudRefused as error:
            if error.status not in _REFUSED_FOR_A_PROMPT or all(map(_is_text, some)):
                raise
            refused.append(error)
        if len(some) == 1:
            return []
        middle = len(some) // 2
        return await self._countable(some[:middle], refused) + await self._countable(some[middle:], refused)

    async def _count(self, some: Sequence[str | Turns]) -> _CountResponse:
        contents = [turn for prompt in some for turn in (*self._instruction, *_turns(prompt))]
        body = msgspec.json.encode({"contents": contents, **self._settings})
        what = "count tokens"

        async def at_once() -> None:  # counting has a quota of its own, far above what is used here
            return

        content = await Retries().call(lambda: self._connection.post(self._url, body, what=what), before_again=at_once)
        try:
            return _decode(content)
        except msgspec.DecodeError as error:  # such as a proxy's page with status 200
            raise CloudUnavailable(f"Could not {what}: the answer cannot be read: {error}.", "Try again.") from error


def _turns(prompt: str | Turns) -> Turns:
    if not isinstance(prompt, str):
        return prompt
    return [{"role": "user", "parts": [{"text": prompt}]}] if prompt else []


def _is_text(prompt: str | Turns) -> bool:
    return isinstance(prompt, str) or all(set(part) == {"text"} for turn in prompt for part in turn["parts"])


def _calls(prompts: Sequence[str | Turns]) -> Iterator[list[str | Turns]]:
    """Yield the prompts of one call after the other."""
    some: list[str | Turns] = []
    held = 0
    for prompt in prompts:
        size = len(prompt) if isinstance(prompt, str) else sum(len(json.dumps(turn)) for turn in prompt)
        if some and (len(some) == COUNTED_PROMPTS_PER_CALL or held + size > COUNTED_BYTES_PER_CALL):
            yield some
            some, held = [], 0
        some.append(prompt)
        held += size
    if some:
        yield some
