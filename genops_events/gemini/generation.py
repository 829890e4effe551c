"""Ask a model many prompts at once, under a throttle."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS, genai_client, idempotent_retry, llm_utility_client
from genops_events.gcp.errors import CloudRefused, CloudUnavailable, google_call
from genops_events.gemini.replies import Reply, UnreadableReply, read_reply
from genops_events.record.endings import State

if TYPE_CHECKING:
    from genops_events.catalogue.prices import Rates
    from genops_events.config import Config
    from genops_events.gemini.requests import Requests

CONCURRENT_CALLS = 8
"""Calls under way at once; the throttle bounds how many start per minute."""

COUNTED_PROMPTS_PER_CALL = 100
COUNTED_BYTES_PER_CALL = 8 * 1024 * 1024
"""Of prompts in one call, by their characters; a longer one goes alone. Vertex AI takes requests of at most 20 MB."""
_REFUSED_FOR_A_PROMPT = (400, 403, 404, 413)


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer to one prompt, with the tokens that it is billed by."""

    text: str
    input_tokens: int
    output_tokens: int
    """With the tokens of thinking."""
    finish_reason: str
    cached_tokens: int = 0
    """How many of the input tokens came from a cache."""
    thinking_tokens: int = 0
    """How many of the output tokens are thinking."""
    seconds: float | None = None
    """From the request to its answer, the client's own retries included; None where nobody measured it."""
    state: State = field(kw_only=True)
    """Whether it is an answer at all: only a complete one is scored."""
    reason: str | None = field(default=None, kw_only=True)
    """Why it is not complete, in words."""


def answers_cost(rates: Rates, answers: Sequence[Answer]) -> Decimal:
    """Return what these answers cost in US dollars, by what the service says was used."""
    thinking = sum(answer.thinking_tokens for answer in answers)
    return rates.generation_cost(
        sum(answer.input_tokens for answer in answers),
        sum(answer.output_tokens for answer in answers) - thinking,
        cached_tokens=sum(answer.cached_tokens for answer in answers),
        thinking_tokens=thinking,
    )


@dataclass(frozen=True, slots=True)
class TokenCount:
    """What a set of prompts would be billed by."""

    tokens: int
    billable_characters: int


@contextmanager
def first_error() -> Iterator[None]:
    """Raise the first error of a group instead of the group: the others are its siblings, or were cancelled by it."""
    try:
        yield
    except ExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from group


@asynccontextmanager
async def asking(
    config: Config, *, model: str, requests: Requests
) -> AsyncIterator[Callable[[str], Awaitable[Answer]]]:
    """Yield what asks `model` one prompt, as often as one throttle for this model allows.

    Args:
        config: project, location and throttle.
        model: a publisher's model, or the endpoint of a tuned one.
        requests: make what it is sent: settings, system instruction, and the room to think.

    What is yielded raises CloudUnavailable after the client's own retries, and CloudRefused for what can never succeed.
    """
    from asyncio_throttle import Throttler
    from google.genai import types

    body = requests.common()
    # The REST request has these two levels, google-genai one; its names are accepted as they are there.
    how = types.GenerateContentConfig.model_validate(body.pop("generationConfig", {}) | body)
    # There is nobody to call functions; left on, the client writes a line about it into the task's log for each prompt.
    how.automatic_function_calling = types.AutomaticFunctionCallingConfig(disable=True)
    # The answer is read as it came, by what reads those of inference: one reading, also of what is newer than the client.
    how.should_return_http_response = True
    throttler = Throttler(rate_limit=config.requests_per_minute, period=60.0)
    slots = asyncio.Semaphore(CONCURRENT_CALLS)
    owner = genai_client(config.project, config.places.of(model))  # closes its connections when it is collected
    client = owner.aio

    async def ask(prompt: str) -> Answer:
        async with slots, throttler:
            with google_call(f"ask {model}"):
                began = time.monotonic()
                async with asyncio.timeout(4 * CALL_TIMEOUT_SECONDS):
                    response = await client.models.generate_content(model=model, contents=prompt, config=how)
                seconds = round(time.monotonic() - began, 3)
        came = response.sdk_http_response
        try:
            return _answer(read_reply(((came and came.body) or "").encode()), seconds)
        except UnreadableReply as error:  # as of a proxy that answers 200 with a page of its own
            raise CloudUnavailable(f"Could not ask {model}: {error}.", "The next try asks again.") from error

    try:
        yield ask
    finally:
        await client.aclose()
        owner.close()


def _answer(reply: Reply, seconds: float) -> Answer:
    return Answer(
        text=_text(reply),
        input_tokens=reply.input_tokens,
        output_tokens=reply.output_tokens,
        finish_reason=reply.finish_reason,
        cached_tokens=reply.cached_tokens,
        thinking_tokens=reply.thinking_tokens,
        seconds=seconds,
        state=reply.state,
        reason=reply.reason,
    )


def _text(reply: Reply) -> str:
    """Return what was said; where functions are called, as the JSON that Vertex AI's tool metrics read."""
    if not reply.function_calls:
        return reply.text
    return json.dumps({"content": reply.text, "tool_calls": list(reply.function_calls)}, ensure_ascii=False)


def _contents(prompt: str | Sequence[Mapping[str, Any]]) -> list[Any]:
    from google.cloud import aiplatform_v1

    if isinstance(prompt, str):
        return [aiplatform_v1.Content(role="user", parts=[aiplatform_v1.Part(text=prompt)])] if prompt else []
    return [aiplatform_v1.Content.from_json(json.dumps(turn), ignore_unknown_fields=True) for turn in prompt]


def count_tokens(
    config: Config,
    *,
    model: str,
    prompts: Sequence[str | Sequence[Mapping[str, Any]]],
    system_instruction: str | None,
    media_resolution: str | None = None,
) -> TokenCount:
    """Count what `prompts` would be billed by, without asking the model; counting costs nothing.

    What Vertex AI cannot count it does not answer, either: such turns (a file that is not there, a field of a wrong type)
    count nothing, and hide none of the others. Whoever asks the model gets the same refusal, for that prompt alone.

    Args:
        config: project and location.
        model: a publisher's model id: tokens are those of the source model.
        prompts: texts, one user turn each, or contents as the REST API takes them.
        system_instruction: sent, and billed, with every prompt.
        media_resolution: `low`, `medium` or `high`, by which files are read; the model's own choice for None.

    Raises:
        CloudRefused: no prompt can be counted, or a text cannot.
        CloudUnavailable: Vertex AI does not answer.
    """
    from google.cloud import aiplatform_v1

    place = config.places.of(model)
    client = llm_utility_client(config, place)
    name = f"projects/{config.project}/locations/{place}/publishers/google/models/{model}"
    endpoint = model if model.startswith("projects/") else name
    instruction = _contents(system_instruction or "")
    resolutions = aiplatform_v1.GenerationConfig.MediaResolution

    def count(some: Sequence[_Counted]) -> TokenCount:
        contents = [content for one in some for both in (instruction, one.contents) for content in both]
        request = aiplatform_v1.CountTokensRequest(endpoint=endpoint, model=endpoint, contents=contents)
        if media_resolution is not None:
            request.generation_config.media_resolution = resolutions[f"MEDIA_RESOLUTION_{media_resolution.upper()}"]
        with google_call("count tokens"):
            response = client.count_tokens(request=request, timeout=CALL_TIMEOUT_SECONDS, retry=idempotent_retry())
        return TokenCount(tokens=response.total_tokens, billable_characters=response.total_billable_characters)

    def count_what_can_be(some: Sequence[_Counted]) -> list[TokenCount]:
        try:
            return [count(some)]
        except CloudRefused as error:
            if error.status not in _REFUSED_FOR_A_PROMPT or all(one.is_text for one in some):
                raise
            refused.append(error)
        if len(some) == 1:
            return []
        middle = len(some) // 2
        return count_what_can_be(some[:middle]) + count_what_can_be(some[middle:])

    tokens = characters = 0
    for some in _calls(prompts):
        refused: list[CloudRefused] = []
        found = count_what_can_be(some)
        if not found and not tokens:  # the model is to blame, and no prompt
            raise refused[0]
        tokens += sum(one.tokens for one in found)
        characters += sum(one.billable_characters for one in found)
    return TokenCount(tokens=tokens, billable_characters=characters)


@dataclass(frozen=True, slots=True)
class _Counted:
    """A prompt as it is counted."""

    contents: list[Any]
    is_text: bool


def _calls(prompts: Sequence[str | Sequence[Mapping[str, Any]]]) -> Iterator[list[_Counted]]:
    """Yield the prompts of one call after the other; turns that cannot be sent are left out."""
    from google.protobuf.json_format import ParseError

    some: list[_Counted] = []
    held = 0
    for prompt in prompts:
        encoded = [prompt] if isinstance(prompt, str) else [json.dumps(turn) for turn in prompt]
        size = sum(map(len, encoded))
        if some and (len(some) == COUNTED_PROMPTS_PER_CALL or held + size > COUNTED_BYTES_PER_CALL):
            yield some
            some, held = [], 0
        try:
            contents = _contents(prompt)
        except ParseError:
            continue
        texts = isinstance(prompt, str) or all("text" in part for turn in prompt for part in turn["parts"])
        some.append(_Counted(contents, texts))
        held += size
    if some:
        yield some
