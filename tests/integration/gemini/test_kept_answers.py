"""Answers that are held in memory: each prompt is asked once, and what is kept is read back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cloud import StandIns

from genops_events.config import Config
from genops_events.config.answers import AnswerSettings
from genops_events.evaluation.examples import EvaluationExample
from genops_events.evaluation.pipeline import Pipeline
from genops_events.gcp.errors import CloudRefused
from genops_events.gcp.parts import read_parts
from genops_events.gcp.record_store import RecordStore
from genops_events.gemini.kept_answers import KeptAnswers
from genops_events.gemini.online import Respondent
from genops_events.gemini.prompts import PromptRow
from genops_events.gemini.replies import Reply
from genops_events.gemini.requests import Requests

MODEL = "gemini-2.5-flash"
PROMPTS = [f"question number {number} about my card" for number in range(24)]
NAME = "answers/made.jsonl"


def asked(
    config: Config, store: RecordStore, prompts: list[str], *, longest: int = 64, instruction: str | None = None
) -> KeptAnswers:
    """Ask what is not kept yet, and return the answers."""
    off = {"budget_tokens": 0}
    settings = AnswerSettings.model_validate({"temperature": 0, "max_output_tokens": longest, "thinking": off})
    requests = Requests(settings, system_instruction=instruction)
    respondent = Respondent(MODEL, requests, name="the model", settings=requests.asked_as)
    rows = [PromptRow.of_text(number, one, line=number + 1, name=str(number)) for number, one in enumerate(prompts)]
    kept = KeptAnswers(store.bucket, NAME, rows, respondent)
    examples = [EvaluationExample(one) for one in prompts]
    Pipeline(config, store.bucket, examples, [], functions={}, kept={}, parts=kept.parts).run(kept)
    return kept


def texts(kept: KeptAnswers) -> list[str]:
    return [kept.answers[number].text for number in sorted(kept.answers)]


def lines(store: RecordStore) -> list[dict[str, Any]]:
    return [json.loads(line) for line in store.bucket.blob(NAME).download_as_text().splitlines()]


def test_each_prompt_has_its_own_answer_and_is_asked_for_once(
    cloud: StandIns, config: Config, store: RecordStore
) -> None:
    before = cloud.vertex_calls("generateContent")
    # A model that is not tuned repeats what it was asked.
    assert texts(asked(config, store, PROMPTS)) == PROMPTS
    assert cloud.vertex_calls("generateContent") == before + len(PROMPTS)
    assert texts(asked(config, store, PROMPTS)) == PROMPTS
    assert cloud.vertex_calls("generateContent") == before + len(PROMPTS)


def test_an_answer_tells_its_tokens_its_time_and_why_it_ended(config: Config, store: RecordStore) -> None:
    whole = asked(config, store, PROMPTS[:1]).answers[0]
    store.bucket.blob(NAME).delete()
    instructed = asked(config, store, PROMPTS[:1], instruction="Answer with the name of the intent.").answers[0]
    store.bucket.blob(NAME).delete()
    cut = asked(config, store, PROMPTS[:1], longest=2).answers[0]
    assert (whole.finish_reason, cut.finish_reason) == ("STOP", "MAX_TOKENS")
    assert (whole.output_tokens, cut.output_tokens) == (whole.input_tokens, 2)
    assert PROMPTS[0].startswith(cut.text)
    assert len(cut.text) < len(PROMPTS[0])
    assert instructed.input_tokens > whole.input_tokens
    assert whole.seconds is not None
    assert lines(store)[0]["seconds"] == cut.seconds


def test_no_prompts_have_no_answers(config: Config, store: RecordStore) -> None:
    assert asked(config, store, []).answers == {}


def test_a_moment_without_the_service_passes_unnoticed(cloud: StandIns, config: Config, store: RecordStore) -> None:
    cloud.vertex.faults(unavailable_seconds=0.7)
    assert texts(asked(config, store, PROMPTS)) == PROMPTS


def test_a_permanent_error_is_told_as_itself_and_not_as_a_group(
    cloud: StandIns, config: Config, store: RecordStore
) -> None:
    cloud.vertex.faults(error_code="403", error_share=1.0, pass_calls=8, error_methods=["generateContent"])
    before = cloud.vertex_calls("generateContent")
    with pytest.raises(CloudRefused, match=f"ask {MODEL}"):
        asked(config, store, PROMPTS)
    assert not store.bucket.blob(NAME).exists()
    kept = read_parts(store.bucket, "answers/made.parts/")
    assert len(kept) == 8 < cloud.vertex_calls("generateContent") - before
    cloud.vertex.faults()
    before = cloud.vertex_calls("generateContent")
    assert texts(asked(config, store, PROMPTS)) == PROMPTS
    assert cloud.vertex_calls("generateContent") - before == len(PROMPTS) - len(kept), "what came before was kept"
    assert read_parts(store.bucket, "answers/made.parts/") == []


def test_answers_of_an_older_version_are_read_and_none_of_them_is_asked_for_again(
    cloud: StandIns, config: Config, store: RecordStore
) -> None:
    now = asked(config, store, PROMPTS[:4])
    new = {"line", "cached_tokens", "thinking_tokens", "state", "seconds"}
    older = [{key: value for key, value in row.items() if key not in new} for row in lines(store)]
    calls = {"content": "", "tool_calls": [{"name": "f", "arguments": {}}]}
    older[0]["answer"] = json.dumps(calls)  # a call of a function was kept as the text that is scored
    parts = [json.dumps(row) + "\n" for row in older]
    store.bucket.blob(NAME).delete()
    # Named by their writer, and not by their rows: two of one try, one of another.
    for name, content in {"f00-00000": parts[2], "f00-00001": parts[0] + parts[3], "a1-00000": parts[1]}.items():
        store.bucket.blob(f"answers/made.parts/{name}.jsonl").upload_from_string(content)
    before = cloud.vertex_calls("generateContent")
    again = asked(config, store, PROMPTS[:4])
    assert cloud.vertex_calls("generateContent") == before
    assert texts(again)[1:] == PROMPTS[1:4]
    assert again.answers[0].scored_text == older[0]["answer"]
    assert all(one.state == "complete" for one in again.answers.values())
    assert [one.input_tokens for one in again.answers.values()] == [one.input_tokens for one in now.answers.values()]
    assert [row["number"] for row in lines(store)] == [0, 1, 2, 3]


def test_what_an_answer_tells_is_kept_whole_and_read_back(config: Config, store: RecordStore) -> None:
    row = PromptRow.of_text(0, "one", line=1, name="1")
    called = ({"name": "f", "arguments": {"a": 1}},)
    used = {"input_tokens": 9, "output_tokens": 7, "cached_tokens": 4, "thinking_tokens": 3}
    told = {
        "sources": ({"uri": "u"},),
        "citations": ({"uri": "c"},),
        "thoughts": "hm",
        "others": ("b",),
        "seconds": 0.5,
    }
    given = Reply("a", "cut", "MAX_TOKENS", "it was cut", called, **told, **used)
    respondent = Respondent(MODEL, Requests(AnswerSettings()), name="m", settings="s")
    kept = KeptAnswers(store.bucket, NAME, [row], respondent)
    kept.adopt({0: given})
    kept.finish()
    assert KeptAnswers(store.bucket, NAME, [row], respondent).answers == {0: given}
    assert json.loads(given.scored_text) == {"content": "a", "tool_calls": list(called)}
