# ruff: noqa: F401, F811 - fixtures are imported by name, and come back as arguments
"""Answers, token counts and scores: many calls at once, in order, through passing faults."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

import pytest
from cloud import StandIns, cloud, config, connections_closed, stand_ins, store

from genops_events.config import Config
from genops_events.config.answers import AnswerSettings
from genops_events.gcp.errors import CloudRefused, CloudUnavailable
from genops_events.gcp.record_store import RecordStore
from genops_events.gemini import generation
from genops_events.gemini.generation import Answer, asking, count_tokens, first_error
from genops_events.gemini.kept_answers import KeptAnswers
from genops_events.gemini.prompts import Prompt
from genops_events.gemini.requests import Requests

MODEL = "gemini-2.5-flash"
PROMPTS = [f"question number {number} about my card" for number in range(24)]


def answers_to(
    config: Config, prompts: list[str], *, longest: int = 64, instruction: str | None = None
) -> list[Answer]:
    """Return the answers in the order of their prompts, all asked at once."""

    off = {"budget_tokens": 0}
    settings = AnswerSettings.model_validate({"temperature": 0, "max_output_tokens": longest, "thinking": off})
    requests = Requests(settings, system_instruction=instruction)

    async def run() -> list[Answer]:
        async with (
            asking(config, model=MODEL, requests=requests) as ask,
            asyncio.TaskGroup() as group,
        ):
            asked = [group.create_task(ask(prompt)) for prompt in prompts]
        return [one.result() for one in asked]

    with first_error():
        return asyncio.run(run())


def test_each_prompt_has_its_own_answer_and_is_asked_for_once(cloud: StandIns, config: Config) -> None:
    before = cloud.vertex_calls("generateContent")
    # A model that is not tuned repeats what it was asked.
    assert [answer.text for answer in answers_to(config, PROMPTS)] == PROMPTS
    assert cloud.vertex_calls("generateContent") == before + len(PROMPTS)


def test_an_answer_tells_its_tokens_and_why_it_ended(config: Config) -> None:
    (whole,) = answers_to(config, PROMPTS[:1])
    (instructed,) = answers_to(config, PROMPTS[:1], instruction="Answer with the name of the intent.")
    (cut,) = answers_to(config, PROMPTS[:1], longest=2)
    assert (whole.finish_reason, cut.finish_reason) == ("STOP", "MAX_TOKENS")
    assert (whole.output_tokens, cut.output_tokens) == (whole.input_tokens, 2)
    assert PROMPTS[0].startswith(cut.text)
    assert len(cut.text) < len(PROMPTS[0])
    assert instructed.input_tokens > whole.input_tokens


def test_no_prompts_have_no_answers(config: Config) -> None:
    assert answers_to(config, []) == []


def test_a_moment_without_the_service_passes_unnoticed(cloud: StandIns, config: Config) -> None:
    cloud.vertex.faults(unavailable_seconds=0.7)
    assert [answer.text for answer in answers_to(config, PROMPTS)] == PROMPTS


def test_answers_are_right_and_in_order_when_three_calls_in_ten_fail(cloud: StandIns, config: Config) -> None:
    cloud.vertex.faults(error_code="503", error_share=0.3, error_methods=["generateContent"])
    for _ in range(7):  # as often as Airflow tries a stage: a call fails four times in a row now and then
        try:
            answers = answers_to(config, PROMPTS[:10])
        except CloudUnavailable:
            continue
        assert [answer.text for answer in answers] == PROMPTS[:10]
        return
    pytest.fail("no answers in seven tries")


def test_a_permanent_error_is_told_as_itself_and_not_as_a_group(cloud: StandIns, config: Config) -> None:
    # Of 24 calls some succeed: the chance of anything else is one in ten million.
    cloud.vertex.faults(error_code="403", error_share=0.5, error_methods=["generateContent"])
    with pytest.raises(CloudRefused, match=f"ask {MODEL}"):
        answers_to(config, PROMPTS)


def test_kept_answers_keep_cached_and_thinking_tokens_and_those_of_before_are_read_without(store: RecordStore) -> None:
    prompts = [Prompt("1", "one"), Prompt("2", "two")]
    given = {
        0: Answer("a", 9, 7, "STOP", cached_tokens=4, thinking_tokens=3, state="complete"),
        1: Answer("b", 5, 2, "MAX_TOKENS", state="cut", reason="the answer reached max_output_tokens"),
    }
    with KeptAnswers(store.bucket, "answers.jsonl", prompts, model="m", settings="s") as kept:
        kept.adopt(given)
    assert KeptAnswers(store.bucket, "answers.jsonl", prompts, model="m", settings="s").answers == given
    blob = store.bucket.blob("answers.jsonl")
    rows = [json.loads(line) for line in blob.download_as_text().splitlines()]
    new = {"cached_tokens", "thinking_tokens", "state", "reason"}
    older = [{key: value for key, value in row.items() if key not in new} for row in rows]
    assert older != rows
    blob.upload_from_string("".join(json.dumps(row) + "\n" for row in older))
    again = KeptAnswers(store.bucket, "answers.jsonl", prompts, model="m", settings="s").answers
    assert again == {0: Answer("a", 9, 7, "STOP", state="complete"), 1: given[1]}


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
    monkeypatch.setattr(generation, "COUNTED_BYTES_PER_CALL", 4 * len(PROMPTS[-1]))
    before = cloud.vertex_calls("countTokens")
    assert count_tokens(config, model=MODEL, prompts=PROMPTS, system_instruction=None) == expected
    assert cloud.vertex_calls("countTokens") == before + len(PROMPTS) // 4
