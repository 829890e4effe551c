# ruff: noqa: F401, F811 - fixtures are imported by name, and come back as arguments
"""Answers, token counts and scores: many calls at once, in order, through passing faults."""

from __future__ import annotations

import json
from functools import partial

import pytest
from cloud import DATASET, StandIns, cloud, config, connections_closed, stand_ins, store
from made_up import arrived, tuned

from genops_events.airflow.asking import ask
from genops_events.airflow.stage import StageRun
from genops_events.config import Config
from genops_events.evaluation_data import Prompt
from genops_events.gcp import clients, generation
from genops_events.gcp.errors import CloudRefused, CloudUnavailable
from genops_events.gcp.generation import Answer, answer_all, count_tokens
from genops_events.gcp.inputs import answer_rows, answers_of
from genops_events.gcp.kept_answers import KeptAnswers
from genops_events.gcp.record_store import RecordStore
from genops_events.stages import Stage

MODEL = "gemini-2.5-flash"
PROMPTS = [f"question number {number} about my card" for number in range(24)]


def answers_to(
    config: Config, prompts: list[str], *, longest: int = 64, instruction: str | None = None
) -> list[Answer]:
    return answer_all(config, model=MODEL, prompts=prompts, max_output_tokens=longest, system_instruction=instruction)


def with_model(config: Config, store: RecordStore) -> str:
    """Return a candidate whose model answers."""
    candidate = arrived(config, store).candidate
    endpoint = f"projects/{config.project}/locations/{config.location}/publishers/google/models/{MODEL}"
    tuned(store, candidate, endpoint=endpoint)
    return candidate


def test_answers_come_in_the_order_of_their_prompts_and_each_is_asked_for_once(cloud: StandIns, config: Config) -> None:
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


def test_answers_that_are_paid_for_are_kept_when_another_call_fails(
    cloud: StandIns, config: Config, store: RecordStore
) -> None:
    def asked() -> list[str]:
        run = StageRun(Stage.INFERENCE, candidate, "run-1")
        return [answer.text for answer in ask(run, prompts, name=name, max_output_tokens=64).answers]

    candidate, name = with_model(config, store), "answers.jsonl"
    prompts = [Prompt(id=str(number), prompt=prompt) for number, prompt in enumerate(PROMPTS)]
    answered = 0
    with pytest.MonkeyPatch.context() as patch:
        # One call after the other and without the client's own tries: all before the one that fails were paid for.
        patch.setattr(generation, "genai_client", partial(clients.genai_client, attempts=1))
        patch.setattr(generation, "CONCURRENT_CALLS", 1)
        cloud.vertex.faults(error_code="503", error_share=0.15, error_methods=["generateContent"])
        while answered == 0:
            before = cloud.vertex_calls("generateContent")
            try:
                asked()
            except CloudUnavailable:
                answered = cloud.vertex_calls("generateContent") - before - 1
            else:
                store.bucket.blob(name).delete()
    cloud.vertex.faults()
    before = cloud.vertex_calls("generateContent")
    assert asked() == PROMPTS
    assert cloud.vertex_calls("generateContent") - before == len(prompts) - answered


def test_answers_that_were_written_are_read_and_not_asked_for_again(
    cloud: StandIns, config: Config, store: RecordStore
) -> None:
    candidate = with_model(config, store)
    prompts = [Prompt(id=str(number), prompt=prompt) for number, prompt in enumerate(PROMPTS)]
    first = ask(StageRun(Stage.INFERENCE, candidate, "run-1"), prompts, name="answers.jsonl", max_output_tokens=64)
    cloud.vertex.faults(error_code="403", error_share=1.0)
    again = ask(StageRun(Stage.INFERENCE, candidate, "run-1"), prompts, name="answers.jsonl", max_output_tokens=64)
    assert again == first
    assert answers_of(answer_rows(store.bucket, "answers.jsonl"), prompts) == dict(enumerate(first.answers))
    assert first.uri == f"gs://{config.bucket}/answers.jsonl"
    assert first.cost_usd > 0


def test_kept_answers_keep_cached_and_thinking_tokens_and_those_of_before_are_read_without(store: RecordStore) -> None:
    prompts = [Prompt("1", "one"), Prompt("2", "two")]
    given = {0: Answer("a", 9, 7, "STOP", cached_tokens=4, thinking_tokens=3), 1: Answer("b", 5, 2, "STOP")}
    with KeptAnswers(store.bucket, "answers.jsonl", prompts, model="m", settings="s") as kept:
        kept.adopt(given)
    assert KeptAnswers(store.bucket, "answers.jsonl", prompts, model="m", settings="s").answers == given
    blob = store.bucket.blob("answers.jsonl")
    rows = [json.loads(line) for line in blob.download_as_text().splitlines()]
    new = {"cached_tokens", "thinking_tokens"}
    older = [{key: value for key, value in row.items() if key not in new} for row in rows]
    assert older != rows
    blob.upload_from_string("".join(json.dumps(row) + "\n" for row in older))
    again = KeptAnswers(store.bucket, "answers.jsonl", prompts, model="m", settings="s").answers
    assert again == {0: Answer("a", 9, 7, "STOP"), 1: given[1]}


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
