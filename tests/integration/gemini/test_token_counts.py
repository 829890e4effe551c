"""Token counts: of all prompts that can be counted, in few calls, through passing faults."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from cloud import StandIns

from genops_events.config import Config
from genops_events.gcp.errors import CloudRefused
from genops_events.gemini import token_counts
from genops_events.gemini.token_counts import count_tokens

MODEL = "gemini-2.5-flash"
PROMPTS = [f"question number {number} about my card" for number in range(24)]


def test_tokens_and_characters_are_those_of_all_prompts_and_of_the_instruction_with_each(
    cloud: StandIns, config: Config
) -> None:
    count = partial(count_tokens, config, model=MODEL)
    one = count(prompts=["where is my card"], system_instruction=None)
    instruction = count(prompts=["Answer in one word."], system_instruction=None)
    assert one.tokens > 0
    assert one.billable_characters == len("whereismycard")
    before = cloud.vertex_calls("countTokens")
    many = count(prompts=["where is my card"] * 250, system_instruction="Answer in one word.")
    assert cloud.vertex_calls("countTokens") == before + 3
    assert many.tokens == 250 * (one.tokens + instruction.tokens)
    assert many.billable_characters == 250 * (one.billable_characters + instruction.billable_characters)


def test_counting_goes_on_after_a_moment_without_the_service(cloud: StandIns, config: Config) -> None:
    expected = count_tokens(config, model=MODEL, prompts=PROMPTS, system_instruction=None)
    cloud.vertex.faults(unavailable_seconds=0.4)
    assert count_tokens(config, model=MODEL, prompts=PROMPTS, system_instruction=None) == expected


def test_turns_that_nobody_can_count_count_nothing_and_hide_none_of_the_others(cloud: StandIns, config: Config) -> None:
    cloud.vertex.faults(missing_text="gone.pdf")

    def turn(part: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"role": "user", "parts": [part, {"text": "what is this"}]}]

    def file(name: str) -> dict[str, Any]:
        return {"fileData": {"fileUri": f"gs://bucket/{name}", "mimeType": "application/pdf"}}

    good: list[Any] = [*PROMPTS, turn(file("a.pdf")), turn(file("b.pdf"))]
    bad = [
        turn(file("gone.pdf")),
        turn({"inlineData": {"mimeType": "image/png", "data": "a"}}),
        turn({"functionCall": {"name": "f", "args": 5}}),
        turn({"text": "x", "thought": "yes"}),
    ]
    expected = count_tokens(config, model=MODEL, prompts=good, system_instruction="Be kind.")
    assert count_tokens(config, model=MODEL, prompts=[*bad, *good, *bad], system_instruction="Be kind.") == expected
    with pytest.raises(CloudRefused, match=r"no such object: gone.pdf"):
        count_tokens(config, model=MODEL, prompts=bad[:1], system_instruction=None)
    before = cloud.vertex_calls("countTokens")
    with pytest.raises(CloudRefused, match="gemini-none"):
        count_tokens(config, model="gemini-none", prompts=PROMPTS, system_instruction=None)
    assert cloud.vertex_calls("countTokens") == before + 1


def test_no_call_that_counts_holds_more_than_vertex_ai_takes(
    monkeypatch: pytest.MonkeyPatch, cloud: StandIns, config: Config
) -> None:
    expected = count_tokens(config, model=MODEL, prompts=PROMPTS, system_instruction=None)
    monkeypatch.setattr(token_counts, "COUNTED_BYTES_PER_CALL", 4 * len(PROMPTS[-1]))
    before = cloud.vertex_calls("countTokens")
    assert count_tokens(config, model=MODEL, prompts=PROMPTS, system_instruction=None) == expected
    assert cloud.vertex_calls("countTokens") == before + len(PROMPTS) // 4
