"""Find the prompts that hold more than one call may: every one of them, with its line."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from genops_events.catalogue.tokens import most_tokens
from genops_events.gcp.errors import first_error
from genops_events.gemini.calls import Connection
from genops_events.gemini.prompt_limits import PromptLimits, PromptOver
from genops_events.gemini.prompts import PromptRow
from genops_events.gemini.token_counts import TokenCounter

if TYPE_CHECKING:
    from genops_events.config import Config

CONCURRENT_CALLS = 8
"""Calls under way at once; the throttle bounds how many start per minute."""


def prompts_over(
    config: Config,
    *,
    model: str,
    prompts: Sequence[PromptRow],
    system_instruction: str | None,
    media_resolution: str | None,
    limits: PromptLimits,
) -> list[PromptOver]:
    """Return every prompt that is over a limit, in the order of the file.

    Characters are counted here. Tokens are asked of Vertex AI, which costs nothing, but only for prompts that are long
    enough to be over, or show files: nearly none.

    Args:
        config: project, location and `requests_per_minute`, the throttle.
        model: a published model.
        prompts: rows of the prompt file.
        system_instruction: sent, and billed, with every prompt.
        media_resolution: in which files are read, as `TokenCounter` has it.
        limits: of one prompt.

    Raises:
        CloudUnavailable: the tokens could not be counted.
    """
    system = system_instruction or ""
    long = [
        one for one in prompts if one.has_files or most_tokens(system) + most_tokens(one.sent) > limits.fewest_tokens
    ]
    tokens = asyncio.run(_count(config, model, long, system_instruction, media_resolution)) if long else {}
    return [
        over for one in prompts for over in limits.over(one.line, one.id, system + one.text, tokens.get(one.line, 0))
    ]


async def _count(
    config: Config,
    model: str,
    prompts: Sequence[PromptRow],
    system_instruction: str | None,
    media_resolution: str | None,
) -> dict[int, int]:
    from asyncio_throttle import Throttler

    throttler = Throttler(rate_limit=config.requests_per_minute, period=60.0)
    slots = asyncio.Semaphore(CONCURRENT_CALLS)
    counted: dict[int, int] = {}

    async def count(one: PromptRow) -> None:
        async with slots, throttler:
            counted[one.line] = (await counter.count([one.contents])).tokens

    async with Connection(config, at_once=CONCURRENT_CALLS) as connection:
        counter = TokenCounter(
            connection, model=model, system_instruction=system_instruction, media_resolution=media_resolution
        )
        with first_error():
            async with asyncio.TaskGroup() as group:
                for one in prompts:
                    group.create_task(count(one))
    return counted
