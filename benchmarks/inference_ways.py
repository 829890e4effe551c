"""The ways of answering that the benchmark of inference compares; each runs in a process of its own."""

from __future__ import annotations

import asyncio
import json
import resource
import time
from collections.abc import Callable
from typing import Any

from benchmarks.inference_stack import BUCKET, MODEL, config, prompt

UNBOUNDED = 100_000_000
WARM = 50
"""Prompts that are answered before anything is measured."""
SETTINGS = {"temperature": 0.0, "maxOutputTokens": 64, "thinkingConfig": {"thinkingBudget": 0}}


def measured(way: str, *, rows: int, at_once: int, prefix: str, requests_per_minute: int) -> dict[str, float]:
    """Return seconds, core-seconds and peak memory of one way; what is imported and connected first is not counted."""
    WAYS[way](rows=WARM, at_once=at_once, prefix=f"warm-{prefix}", requests_per_minute=0)()
    prepared = WAYS[way](rows=rows, at_once=at_once, prefix=prefix, requests_per_minute=requests_per_minute)
    cpu, wall = time.process_time(), time.perf_counter()
    told = prepared()
    return {
        "seconds": time.perf_counter() - wall,
        "core_seconds": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        "rows": rows,
        **(told or {}),
    }


def _bare(*, rows: int, at_once: int, **_: Any) -> Callable[[], Any]:
    """As little as a loop over aiohttp can do: build the request, send it, read the answer as JSON."""
    import os

    import aiohttp

    settings = config()
    where = f"projects/{settings.project}/locations/{settings.location}/publishers/google/models/{MODEL}"
    url = f"{os.environ['GOOGLE_VERTEX_BASE_URL']}/v1beta1/{where}:generateContent"

    async def run() -> None:
        numbers = iter(range(rows))
        connector = aiohttp.TCPConnector(limit=at_once)
        async with aiohttp.ClientSession(connector=connector, headers={"Authorization": "Bearer local"}) as session:

            async def ask_on() -> None:
                for number in numbers:
                    contents = [{"role": "user", "parts": [{"text": prompt(number)}]}]
                    body = {"contents": contents, "generationConfig": SETTINGS}
                    async with session.post(url, json=body) as answer:
                        found = await answer.json()
                    assert found["candidates"][0]["content"]["parts"][0]["text"] == prompt(number)[: 64 * 4]

            await asyncio.gather(*(ask_on() for _ in range(at_once)))

    return lambda: asyncio.run(run())


def _genai(*, rows: int, at_once: int, **_: Any) -> Callable[[], Any]:
    """google-genai's asynchronous client, over aiohttp where that is installed."""
    import warnings

    from google.genai import types

    from genops_events.gcp.clients import genai_client

    warnings.simplefilter("ignore", DeprecationWarning)
    settings = config()
    asked = types.GenerateContentConfig(
        temperature=0.0,
        max_output_tokens=64,
        thinking_config=types.ThinkingConfig(thinking_budget=0),
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )

    async def run() -> None:
        numbers = iter(range(rows))
        client = genai_client(settings.project, settings.location)

        async def ask_on() -> None:
            for number in numbers:
                found = await client.aio.models.generate_content(model=MODEL, contents=prompt(number), config=asked)
                assert found.text == prompt(number)[: 64 * 4]

        await asyncio.gather(*(ask_on() for _ in range(at_once)))
        await client.aio.aclose()

    return lambda: asyncio.run(run())


def _genops(*, rows: int, at_once: int, prefix: str, requests_per_minute: int) -> Callable[[], Any]:
    """Ours: the file read from the bucket, each row asked once under the quota, and every answer kept in the bucket."""
    import aiohttp  # noqa: F401 - imports are not what is measured

    from genops_events.config.answers import AnswerSettings, Thinking
    from genops_events.gcp.clients import storage_client
    from genops_events.gemini.kept import KeptRows
    from genops_events.gemini.online import answer_online
    from genops_events.gemini.pace import Pace
    from genops_events.gemini.requests import Requests
    from genops_events.gemini.results import rows_of

    settings = config()
    bucket = storage_client(settings).bucket(BUCKET)
    requests = Requests(AnswerSettings(temperature=0.0, max_output_tokens=64, thinking=Thinking(budget_tokens=0)))

    def run() -> dict[str, float]:
        tally = answer_online(
            settings,
            model=MODEL,
            rows=rows_of(bucket, f"prompts-{rows}.jsonl", readable=settings.addresses),
            requests=requests,
            kept=KeptRows(bucket, prefix),
            pace=Pace(requests_per_minute=requests_per_minute or UNBOUNDED),
            at_once=at_once or None,
        )
        return {"asked": tally.asked, "refused": tally.refused_for_quota, "most_under_way": tally.at_once}

    return run


WAYS: dict[str, Callable[..., Callable[[], Any]]] = {"bare": _bare, "genai": _genai, "genops": _genops}


def main(given: Any) -> None:
    """Print the figures of one way as JSON; called in a process of its own."""
    found = measured(
        given.way,
        rows=given.rows,
        at_once=given.at_once,
        prefix=given.prefix,
        requests_per_minute=given.requests_per_minute,
    )
    print(json.dumps(found))
