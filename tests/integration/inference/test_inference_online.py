"""Inference online: every row once, in order, whatever is wrong with the others and whoever dies."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import RetryAction
from airflow.sdk.exceptions import AirflowFailException
from answered_online import MODEL, Settings, answer, answers, failures, posting, prompts
from asked import AT_ONCE, FOLDERS, answered_then_silent
from cloud import DATASET, StandIns, until
from made_up import arrived, tuned
from waiting import HANG_SECONDS

from genops_events.airflow.retries import STAGE_RETRIES
from genops_events.cascade.candidate_reader import read_candidate
from genops_events.config import Config
from genops_events.gcp.errors import CloudBusy, CloudRefused, CloudUnavailable
from genops_events.gcp.record_store import RecordStore
from genops_events.gemini import calls, online
from genops_events.gemini.kept import KeptRows
from genops_events.gemini.results import PromptsMissing
from genops_events.inference import work as answering
from genops_events.record import inference as places
from genops_events.record.inference import InferencePlan, InferenceProgress
from genops_events.record.stages import Stage
from genops_events.record.verdicts import InferenceVerdict


def test_rows_are_answered_in_their_order_and_what_is_wrong_fails_alone(
    settings: Settings, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(context_window_tokens=100, refused_text="unlucky", error_methods=["generateContent"])
    before = cloud.vertex_calls("generateContent")
    prompts(
        store,
        {"id": "first", "prompt": "where is my card"},
        b"{nonsense",
        {"prompt": "look", "files": ["gs://bucket/page.docx"]},
        b"",
        {"contents": [{"role": "user", "parts": [{"text": "a chat"}]}, {"role": "model", "parts": [{"text": "yes?"}]}]},
        b"\xff\xfe",
        {"prompt": "x" * 1000},
        {"prompt": "the unlucky one"},
        {"prompt": "warmer", "temprature": 1},
        {"id": "last", "contents": [{"role": "user", "parts": [{"text": "one"}]}] * 2},
    )
    done = answer(candidate)
    assert [(row["line"], row["id"], row["answer"]) for row in answers(store, candidate)] == [
        (1, "first", "where is my card"),
        (10, "last", "one"),
    ]
    failed = failures(store, candidate)
    assert [row["line"] for row in failed] == [2, 3, 5, 6, 7, 8, 9]
    reasons = [row["reason"] for row in failed]
    assert reasons[0].startswith("Line 2: it is not JSON")
    assert "models do not take page.docx; they take 3gp" in reasons[1]
    assert "the last turn of `contents` must be the user's" in reasons[2]
    assert "not UTF-8" in reasons[3] or "not JSON" in reasons[3]
    assert "exceeds the maximum number of tokens allowed (100)" in reasons[4]
    assert "Injected fault: the request holds 'unlucky'" in reasons[5]
    assert "the key `temprature` is not known" in reasons[6]
    assert failed[0]["found"] == "{nonsense"
    assert (done["prompts"], done["answered"], done["failed"]) == (9, 2, 7)
    assert done["reason"].startswith("Answered 2 of 9 prompts. Most often: ")
    assert done["failures_uri"] == f"gs://{store.bucket.name}/{places.failures_path(candidate)}"
    # Only what could be asked was: two answers and two refusals.
    assert cloud.vertex_calls("generateContent") == before + 4


def test_the_verdict_has_what_the_answers_cost_and_the_parts_are_gone(
    settings: Settings, store: RecordStore, candidate: str
) -> None:
    prompts(store, *({"prompt": f"prompt number {number}"} for number in range(30)))
    done = answer(candidate)
    verdict = store.verdict(candidate, Stage.INFERENCE)
    assert isinstance(verdict, InferenceVerdict)
    kept = answers(store, candidate)
    assert [row["number"] for row in kept] == list(range(30))
    assert [row["prompt"] for row in kept] == [row["answer"] for row in kept]
    assert verdict.input_tokens == sum(row["input_tokens"] for row in kept) > 0
    assert verdict.cost_usd > 0
    assert (done["way"], done["answered"], done["failed"]) == ("online", 30, 0)
    assert "failures_uri" not in done
    assert store.names(places.parts_prefix(candidate)) == []


@pytest.mark.parametrize("code", ["429", "503"])
async def test_how_long_the_service_asks_to_wait_is_read_and_kept_to(
    cloud: StandIns, config: Config, code: str
) -> None:
    cloud.vertex.faults(error_code=code, error_share=1.0, error_methods=["generateContent"], retry_after_seconds=2.0)
    async with calls.Connection(config, at_once=1) as connection:
        url = connection.url_of(MODEL, "generateContent")
        with pytest.raises(CloudUnavailable) as refused:
            await connection.post(url, b'{"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}', what="ask")
    assert (refused.value.status, refused.value.retry_after_seconds) == (int(code), 2.0)
    held_back: list[float] = []
    retries = calls.Retries(held_back.append)
    refused.value.retry_after_seconds = 0.2
    left = [refused.value, refused.value]

    async def make() -> bytes:
        if left:
            raise left.pop()
        return b"answered"

    async def before_again() -> None:
        """Nothing is in the way."""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "FIRST_PAUSE_SECONDS", 0.0)
        begun = time.monotonic()
        assert await retries.call(make, before_again=before_again) == b"answered"
    assert time.monotonic() - begun >= 0.4
    assert retries.again == 2
    assert held_back == ([0.2, 0.2] if code == "429" else [])


async def test_a_pause_of_hours_is_left_to_the_next_try_of_the_task_and_holds_no_worker() -> None:
    retries = calls.Retries()
    tries = 0

    async def make() -> bytes:
        nonlocal tries
        tries += 1
        refused = CloudUnavailable("Could not ask: the quota of the day is used up.", "Wait.")
        refused.retry_after_seconds = 3600.0
        raise refused

    async def before_again() -> None:
        """Nothing is in the way."""

    with pytest.raises(CloudBusy) as caught:
        await asyncio.wait_for(retries.call(make, before_again=before_again), HANG_SECONDS)
    assert (tries, retries.again) == (1, 0)
    decided = STAGE_RETRIES.evaluate(caught.value, 1, 6)
    assert (decided.action, decided.retry_delay) == (RetryAction.RETRY, timedelta(minutes=10))


def test_answers_are_right_and_in_order_when_four_calls_in_ten_fail(
    settings: Settings, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(error_code="503", error_share=0.4, error_methods=["generateContent"], retry_after_seconds=0.3)
    prompts(store, *({"prompt": f"prompt {number}"} for number in range(20)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "FIRST_PAUSE_SECONDS", 0.01)
        patch.setattr(calls, "TRIES", 30)
        answer(candidate)
    assert [row["answer"] for row in answers(store, candidate)] == [f"prompt {number}" for number in range(20)]


def test_a_call_that_can_never_succeed_ends_the_run_and_what_was_answered_is_kept(
    settings: Settings, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    prompts(store, *({"prompt": f"prompt {number}"} for number in range(60)))
    cloud.vertex.faults(error_code="403", error_share=0.1, error_methods=["generateContent"])
    before = cloud.vertex_calls("generateContent")
    with pytest.raises(CloudRefused, match=f"ask .*{MODEL}"):
        answer(candidate)
    kept = list(KeptRows(store.bucket, places.parts_prefix(candidate)).in_order())
    asked = cloud.vertex_calls("generateContent") - before
    assert 0 < len(kept) < asked
    cloud.vertex.faults()
    before = cloud.vertex_calls("generateContent")
    answer(candidate)
    assert cloud.vertex_calls("generateContent") - before == 60 - len(kept)
    assert len(answers(store, candidate)) == 60


def test_a_file_that_is_not_there_fails_its_row_alone_and_a_model_that_is_not_there_the_run(
    settings: Settings, cloud: StandIns, config: Config, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(missing_text="gone.pdf")
    rows = [{"prompt": "look", "files": [f"gs://bucket/{name}.pdf"]} for name in ("one", "gone", "two")]
    prompts(store, *rows, {"prompt": "a text"})
    done = answer(candidate)
    assert (done["answered"], done["failed"]) == (3, 1)
    (failed,) = failures(store, candidate)
    assert failed["line"] == 2
    assert "no such object: gone.pdf" in failed["reason"]
    prefix = f"projects/{config.project}/locations/{config.location}"
    other = arrived(config, store, generation=2).candidate
    tuned(store, other, endpoint=f"{prefix}/endpoints/77")
    with pytest.raises(CloudRefused, match="endpoints/77"):
        answer(other)


def test_a_row_that_the_service_breaks_on_fails_alone_while_others_are_answered(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    monkeypatch.setattr(calls, "FIRST_PAUSE_SECONDS", 0.01)
    cloud.vertex.faults(breaking_text="riddle", error_methods=["generateContent"])
    settings(requests_per_minute=1200)
    prompts(store, *({"prompt": f"prompt {number}" if number % 25 else "a riddle"} for number in range(75)))
    done = answer(candidate)
    assert (done["answered"], done["failed"]) == (72, 3)
    assert all("500 INTERNAL" in row["reason"] for row in failures(store, candidate))


def test_a_service_that_breaks_on_all_rows_ends_the_try_and_fails_none_of_them(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    monkeypatch.setattr(calls, "FIRST_PAUSE_SECONDS", 0.01)
    cloud.vertex.faults(error_code="500", error_share=1.0, pass_calls=10, error_methods=["generateContent"])
    prompts(store, *({"prompt": f"prompt {number}"} for number in range(40)))
    with pytest.raises(CloudUnavailable):
        answer(candidate)
    cloud.vertex.faults()
    done = answer(candidate)
    assert (done["answered"], done["failed"]) == (40, 0)


def test_a_try_that_was_taken_for_dead_leaves_the_answers_of_the_next_one_alone(
    settings: Settings, store: RecordStore, candidate: str
) -> None:
    prompts(store, *({"prompt": f"prompt {number}"} for number in range(5)))

    def overtaken(*args: Any, **given: Any) -> online.CallCounts:
        patch.undo()
        call_counts = online.answer_online(*args, **given)
        answer(candidate)
        return call_counts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answering, "answer_online", overtaken)
        assert answer(candidate)["answered"] == 5
    assert len(answers(store, candidate)) == 5


def test_a_setting_that_no_row_can_be_asked_with_fails_the_run_early(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(context_window_tokens=1)
    prompts(store, *({"prompt": f"prompt number {number}"} for number in range(3000)))
    monkeypatch.setattr(online, "ALL_REFUSED", 50)
    before = cloud.vertex_calls("generateContent")
    all_refused = r"Vertex AI refused the first 50 prompts, all of them.*exceeds the maximum.*Check `inference`"
    with pytest.raises(AirflowFailException, match=all_refused):
        answer(candidate)
    assert cloud.vertex_calls("generateContent") - before < 2000
    # Refusals cost nothing, and nothing stays reserved.
    assert posting(store, candidate).settled
    assert posting(store, candidate).spent_usd == 0


def test_few_rows_of_which_none_is_answered_are_a_failed_verdict(
    settings: Settings, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(context_window_tokens=1)
    prompts(store, {"prompt": "one two three"}, {"prompt": "four five six"})
    with pytest.raises(AirflowFailException, match=r"Answered 0 of 2 prompts. Most often: .*exceeds the maximum"):
        answer(candidate)
    assert answers(store, candidate) == []
    # Nothing was bought, and nothing stays reserved.
    assert posting(store, candidate).settled
    assert posting(store, candidate).spent_usd == 0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "is empty"),
        ([b"{nonsense"], "has no row that can be asked. Line 1: it is not JSON"),
    ],
)
def test_a_file_without_a_prompt_is_told_as_such(
    settings: Settings, store: RecordStore, candidate: str, rows: list[bytes], message: str
) -> None:
    prompts(store, *rows)
    with pytest.raises(PromptsMissing, match=message):
        answer(candidate)


def test_a_file_that_is_not_there_is_told_as_such(settings: Settings, store: RecordStore, candidate: str) -> None:
    store.bucket.blob(f"prompts/{DATASET}.jsonl").delete()
    with pytest.raises(PromptsMissing, match=r"is not there, but genops.yaml names it"):
        answer(candidate)


def test_what_is_answered_stays_the_same_when_the_file_is_replaced_before_a_retry(
    settings: Settings, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    prompts(store, {"prompt": "the first file"})
    cloud.vertex.faults(error_code="403", error_share=1.0, error_methods=["generateContent"])
    with pytest.raises(CloudRefused):
        answer(candidate)
    cloud.vertex.faults()
    prompts(store, {"prompt": "another file"}, {"prompt": "with more"})
    answer(candidate)
    assert [row["answer"] for row in answers(store, candidate)] == ["the first file"]


_ANSWER = """
import sys
sys.path[:0] = sys.argv[2].split(':')
from asked import few_at_once
from made_up import context
from genops_events.airflow.inference import AnswerPrompts
few_at_once()
from genops_events.cascade.stage_run import StageRun
AnswerPrompts(task_id="answer").execute(context(sys.argv[1]))
"""


def test_a_killed_run_goes_on_at_the_first_row_that_is_not_kept(
    settings: Settings, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    settings(requests_per_minute=6000)
    rows = 400
    prompts(store, *({"prompt": f"prompt number {number}"} for number in range(rows)))
    answered_then_silent(cloud, rows // 2)
    before = cloud.vertex_calls("generateContent")

    def kept() -> int:
        return sum(1 for _ in KeptRows(store.bucket, places.parts_prefix(candidate)).in_order())

    command = [sys.executable, "-c", _ANSWER, candidate, FOLDERS]
    with subprocess.Popen(command) as process:
        until(lambda: cloud.vertex.delayed() == {"generateContent": AT_ONCE})
        until(lambda: kept() == rows // 2, what="what is answered is kept")
        process.send_signal(signal.SIGKILL)
    progress = store.read(places.progress_path(candidate), InferenceProgress)
    assert progress is not None
    assert progress.rows_total == rows
    cloud.vertex.faults()
    answer(candidate)
    # What was sent and not answered when it died, and nothing else, is asked again.
    assert cloud.vertex_calls("generateContent") - before - rows == AT_ONCE
    assert [row["number"] for row in answers(store, candidate)] == list(range(rows))


def test_parts_of_several_runs_are_read_back_in_order_and_each_row_once(store: RecordStore) -> None:
    first, second = (KeptRows(store.bucket, "parts/") for _ in range(2))

    def row(number: int, by: str) -> tuple[int, bytes]:
        return number, json.dumps({"number": number, "by": by}).encode()

    first.write([row(7, "first"), row(0, "first"), row(2, "first")])
    first.write([row(3, "first"), row(40, "first")])
    second.write([row(1, "second"), row(5, "second"), row(4, "second")])
    second.write([row(6, "second"), row(7, "second"), row(8, "second")])
    read = list(second.in_order())
    assert [number for number, _ in read] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 40]
    assert [json.loads(content)["number"] for _, content in read] == [number for number, _ in read]


def test_tokens_a_minute_are_kept_to(settings: Settings, cloud: StandIns, store: RecordStore, candidate: str) -> None:
    # 20 tokens for each row, asked and answered: 90,000 a minute are 75 rows a second.
    settings(requests_per_minute=60_000, tokens_per_minute=90_000)
    prompts(store, *({"prompt": f"{number:040}"} for number in range(150)))
    cloud.vertex.faults(quota_tokens_per_minute=90_000)
    refused = cloud.vertex.admin("GET", "/quota")["refused"]
    answer(candidate)
    plan = store.read(places.plan_path(candidate), InferencePlan)
    verdict = store.verdict(candidate, Stage.INFERENCE)
    assert plan is not None
    assert verdict is not None
    assert (verdict.ended_at - plan.written_at).total_seconds() > 1.5
    assert cloud.vertex.admin("GET", "/quota")["refused"] == refused


def test_where_inference_stands_is_in_the_record_while_it_works(
    settings: Settings, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    prompts(store, *({"prompt": f"prompt {number}"} for number in range(40)))
    cloud.vertex.faults(error_code="403", error_share=0.2, error_methods=["generateContent"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(online, "PROGRESS_SECONDS", 0.0)
        with pytest.raises(CloudRefused):
            answer(candidate)
    found = read_candidate(store, candidate)
    assert found is not None
    row = found.stage_json(Stage.INFERENCE)
    assert row["state"] == "running"
    assert "of 40 prompts" in found.explained(Stage.INFERENCE)
    assert row["progress"]["rows_total"] == 40
    assert 0 <= row["progress"]["rows"] <= 40
