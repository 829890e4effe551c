"""Ask a model many prompts at once, under a throttle."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS, genai_client, idempotent_retry, llm_utility_client
from genops_events.gcp.errors import google_call
from genops_events.inference.requests import request_json

if TYPE_CHECKING:
    from google.genai import types

    from genops_events.config import Config
    from genops_events.inference.settings import AnswerSettings
    from genops_events.pricing import Rates

CONCURRENT_CALLS = 8
"""Calls under way at once; the throttle bounds how many start per minute."""

COUNTED_PROMPTS_PER_CALL = 100


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
    config: Config, *, model: str, settings: AnswerSettings, system_instruction: str | None
) -> AsyncIterator[Callable[[str], Awaitable[Answer]]]:
    """Yield what asks `model` one prompt, as often as one throttle for this model allows.

    Args:
        config: project, location and throttle.
        model: a publisher's model, or the endpoint of a tuned one.
        settings: how it is to answer.
        system_instruction: sent with every prompt.

    What is yielded raises CloudUnavailable after the client's own retries, and CloudRefused for what can never succeed.
    """
    from asyncio_throttle import Throttler
    from google.genai import types

    body = request_json(settings, system_instruction=system_instruction)
    # The REST request has these two levels, google-genai one; its names are accepted as they are there.
    how = types.GenerateContentConfig.model_validate(body.pop("generationConfig", {}) | body)
    # There is nobody to call functions; left on, the client writes a line about it into the task's log for each prompt.
    how.automatic_function_calling = types.AutomaticFunctionCallingConfig(disable=True)
    throttler = Throttler(rate_limit=config.requests_per_minute, period=60.0)
    slots = asyncio.Semaphore(CONCURRENT_CALLS)
    owner = genai_client(config.project, config.location)  # closes its connections when it is collected
    client = owner.aio

    async def ask(prompt: str) -> Answer:
        async with slots, throttler:
            with google_call(f"ask {model}"):
                began = time.monotonic()
                async with asyncio.timeout(4 * CALL_TIMEOUT_SECONDS):
                    response = await client.models.generate_content(model=model, contents=prompt, config=how)
                seconds = round(time.monotonic() - began, 3)
        return _answer(response, seconds)

    try:
        yield ask
    finally:
        await client.aclose()
        owner.close()


def _answer(response: types.GenerateContentResponse, seconds: float) -> Answer:
    usage = response.usage_metadata
    candidate = response.candidates[0] if response.candidates else None
    thoughts = (usage.thoughts_token_count or 0) if usage else 0
    return Answer(
        text=_text(candidate),
        # What tools brought in is billed as input, and is not part of the prompt's own count.
        input_tokens=((usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0)) if usage else 0,
        output_tokens=((usage.candidates_token_count or 0) if usage else 0) + thoughts,
        finish_reason=str(candidate.finish_reason.value) if candidate and candidate.finish_reason else "NO_CANDIDATE",
        cached_tokens=(usage.cached_content_token_count or 0) if usage else 0,
        thinking_tokens=thoughts,
        seconds=seconds,
    )


def _text(candidate: types.Candidate | None) -> str:
    """Return what was said; where functions are called, as the JSON that Vertex AI's tool metrics read."""
    parts = (candidate.content.parts if candidate and candidate.content else None) or []
    text = "".join(part.text for part in parts if part.text and not part.thought)
    calls = [
        {"name": part.function_call.name, "arguments": part.function_call.args or {}}
        for part in parts
        if part.function_call
    ]
    return json.dumps({"content": text, "tool_calls": calls}, ensure_ascii=False) if calls else text


def count_tokens(
    config: Config,
    *,
    model: str,
    prompts: Sequence[str | Sequence[Mapping[str, Any]]],
    system_instruction: str | None,
) -> TokenCount:
    """Count what `prompts` would be billed by, without asking the model; counting costs nothing.

    Args:
        config: project and location.
        model: a publisher's model id: tokens are those of the source model.
        prompts: texts, one user turn each, or contents as the REST API takes them.
        system_instruction: sent, and billed, with every prompt.
    """
    from google.cloud import aiplatform_v1

    def contents_of(prompt: str | Sequence[Mapping[str, Any]]) -> list[aiplatform_v1.Content]:
        if isinstance(prompt, str):
            return [aiplatform_v1.Content(role="user", parts=[aiplatform_v1.Part(text=prompt)])] if prompt else []
        return [aiplatform_v1.Content.from_json(json.dumps(turn), ignore_unknown_fields=True) for turn in prompt]

    client = llm_utility_client(config)
    name = f"projects/{config.project}/locations/{config.location}/publishers/google/models/{model}"
    endpoint = model if model.startswith("projects/") else name
    tokens = characters = 0
    for start in range(0, len(prompts), COUNTED_PROMPTS_PER_CALL):
        contents = [
            content
            for prompt in prompts[start : start + COUNTED_PROMPTS_PER_CALL]
            for both in (system_instruction or "", prompt)
            for content in contents_of(both)
        ]
        request = aiplatform_v1.CountTokensRequest(endpoint=endpoint, model=endpoint, contents=contents)
        with google_call("count tokens"):
            response = client.count_tokens(request=request, timeout=CALL_TIMEOUT_SECONDS, retry=idempotent_retry())
        tokens += response.total_tokens
        characters += response.total_billable_characters
    return TokenCount(tokens=tokens, billable_characters=characters)
