# ruff: noqa: F401, F811 - fixtures are imported by name, and come back as arguments
"""Inference online: every row once, in order, whatever is wrong with the others and whoever dies."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk.exceptions import AirflowFailException
from cloud import DATASET, StandIns, cloud, config, connections_closed, stand_ins, store, until
from made_up import arrived, context, now, tuned

from genops_events.airflow.inference import AnswerPrompts
from genops_events.airflow.stage import StageRun
from genops_events.config import Config, load_config
from genops_events.gcp import ledger_store
from genops_events.gcp.errors import CloudRefused, CloudUnavailable
from genops_events.gcp.inference import cache, calls, online
from genops_events.gcp.inference.cache import cached, find_all
from genops_events.gcp.inference.calls import AllRefused
from genops_events.gcp.inference.kept import KeptRows
from genops_events.gcp.inference.results import PromptsMissing
from genops_events.gcp.record_store import RecordStore
from genops_events.inference import record as places
from genops_events.inference.record import InferencePlan, InferenceProgress
from genops_events.ledger import Posting, month_of
from genops_events.record_paths import answers_path
from genops_events.stages import Stage
from genops_events.verdicts import InferenceVerdict

MODEL = "gemini-2.5-flash"
Settings = Callable[..., None]


@pytest.fixture
def settings(config: Config, tmp_path: Path) -> Settings:
    """Change `inference` in genops.yaml, and what stands beside it in the dataset."""

    def change(*, dataset: dict[str, Any] | None = None, **inference: Any) -> None:
        file = tmp_path / "genops.yaml"
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
        found["datasets"][DATASET]["inference"] |= inference
        found["datasets"][DATASET] |= dataset or {}
        file.write_text(yaml.safe_dump(found), encoding="utf-8")

    change(mode="online", dataset={"system_instruction": None})
    return change


@pytest.fixture
def candidate(config: Config, store: RecordStore) -> str:
    """A candidate whose model repeats what it is asked."""
    made = arrived(config, store).candidate
    endpoint = f"projects/{config.project}/locations/{config.location}/publishers/google/models/{MODEL}"
    tuned(store, made, endpoint=endpoint)
    return made


def prompts(store: RecordStore, *rows: Any) -> None:
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    store.bucket.blob(f"prompts/{DATASET}.jsonl").upload_from_string(b"\n".join(lines))


def answer(candidate: str, run_id: str = "run-1") -> dict[str, Any]:
    return AnswerPrompts(task_id="answer").execute(context(candidate, run_id=run_id))


def lines(store: RecordStore, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in store.bucket.blob(name).download_as_bytes().splitlines()]


def answers(store: RecordStore, candidate: str) -> list[dict[str, Any]]:
    return lines(store, answers_path(candidate))


def failures(store: RecordStore, candidate: str) -> list[dict[str, Any]]:
    return lines(store, places.failures_path(candidate))


def posting(store: RecordStore, candidate: str) -> Posting:
    ledger = ledger_store.read(store, month_of(now()))
    assert ledger is not None
    return ledger.entries[candidate].purposes["inference"]


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


def test_a_row_says_how_it_is_answered_in_place_of_the_dataset(
    settings: Settings, store: RecordStore, candidate: str
) -> None:
    settings(stop_sequences=["stop"], dataset={"system_instruction": "Be kind."})
    prompts(
        store,
        {"prompt": "go and stop here"},
        {"prompt": "go and stop here", "stop_sequences": ["here"]},
        {"prompt": "go and stop here", "stop_sequences": None, "system_instruction": ""},
        {"prompt": "many words are cut", "max_output_tokens": 2},
        {"prompt": "a form", "response_json_schema": {"type": "object", "properties": {"intent": {"type": "string"}}}},
    )
    answer(candidate)
    plain, own, without, cut, formed = answers(store, candidate)
    assert [row["answer"] for row in (plain, own, without)] == ["go and ", "go and stop ", "go and stop here"]
    assert without["input_tokens"] < plain["input_tokens"]
    assert (cut["state"], cut["reason"]) == ("cut", "the answer reached max_output_tokens")
    assert json.loads(formed["answer"]) == {"intent": "a form"}


def test_what_is_blocked_is_marked_with_its_reason(
    settings: Settings, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(blocked_text="bomb", harmful_text="knife")
    prompts(
        store,
        {"prompt": "a bomb"},
        {"prompt": "a knife"},
        {"prompt": "a knife, please", "safety": {"dangerous_content": "block_none"}},
    )
    done = answer(candidate)
    prompt, stopped, passed = answers(store, candidate)
    assert (prompt["state"], prompt["answer"]) == ("blocked", "")
    assert prompt["reason"] == "the prompt was blocked: SAFETY (DANGEROUS_CONTENT HIGH)"
    assert stopped["reason"] == "the answer was stopped: SAFETY (DANGEROUS_CONTENT HIGH)"
    assert (passed["state"], passed["answer"]) == ("complete", "a knife, please")
    assert (done["answered"], done["blocked"]) == (3, 2)
    assert done["reason"] == "Answered 3 prompts. Of the answers, 2 blocked."


def test_functions_grounding_and_files_reach_the_model_and_come_back(
    settings: Settings, store: RecordStore, candidate: str
) -> None:
    function = {
        "name": "block_card",
        "description": "Blocks a card.",
        "parameters": {"properties": {"why": {"type": "string"}}},
    }
    settings(functions=[function])
    prompts(
        store,
        {"prompt": "please block it"},
        {"prompt": "what is new", "functions": None, "grounding": "google_search"},
        {"prompt": "what is here", "files": ["gs://bucket/a.pdf", "gs://bucket/b.png"]},
        {"prompt": "and this", "grounding": "google_search"},
    )
    answer(candidate)
    called, found, seen = answers(store, candidate)
    assert called["function_calls"] == [{"name": "block_card", "arguments": {"why": "please block it"}}]
    assert found["sources"][0]["uri"].startswith("https://")
    assert seen["input_tokens"] > 2 * 258
    assert "contents" in seen
    (failed,) = failures(store, candidate)
    assert "`grounding`, with the dataset's settings" in failed["reason"]


def test_the_cache_is_made_once_used_by_every_call_and_removed(
    settings: Settings, cloud: StandIns, config: Config, store: RecordStore, candidate: str
) -> None:
    settings(cache={"text": "A long book. " * 50}, dataset={"system_instruction": "Be kind."})
    prompts(store, *({"prompt": f"page {number}"} for number in range(5)), {"prompt": "x", "system_instruction": "y"})
    cloud.vertex.faults(error_code="503", error_share=1.0, error_methods=["generateContent"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "TRIES", 1)
        with pytest.raises(CloudUnavailable):
            answer(candidate)
    assert find_all(config, candidate) == []
    cloud.vertex.faults()
    before = cloud.vertex_calls("cachedContents.create")
    answer(candidate)
    assert cloud.vertex_calls("cachedContents.create") == before + 1
    assert find_all(config, candidate) == []
    kept = answers(store, candidate)
    assert len(kept) == 5
    assert {row["cached_tokens"] for row in kept} == {-(-len("A long book. " * 50) // 4) + 2}
    (failed,) = failures(store, candidate)
    assert "`system_instruction` cannot be a row's own where the dataset has a cache" in failed["reason"]


def test_the_cache_of_a_try_that_died_is_found_again_unless_its_time_is_nearly_over(
    settings: Settings, cloud: StandIns, candidate: str
) -> None:
    settings(cache={"text": "A long book.", "ttl_minutes": 5}, dataset={"system_instruction": "Be kind."})
    config = load_config()
    inference = config.dataset(DATASET).inference
    given: dict[str, Any] = {"model": MODEL, "candidate": candidate, "system_instruction": "Be kind."}
    dying = cached(config, inference, **given)
    died = dying.__enter__()  # and never left
    assert died is not None
    before = cloud.vertex_calls("cachedContents.create")
    with cached(config, inference, **given) as again:
        assert again is not None
        assert again.name == died.name
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cache, "_LEAST_LEFT_SECONDS", 301.0)
            with cached(config, inference, **given) as new:
                assert new is not None
                assert new.name != died.name
        again.extend()
    assert cloud.vertex_calls("cachedContents.create") == before + 1
    assert find_all(config, candidate) == []


@pytest.mark.parametrize("code", ["429", "503"])
async def test_how_long_the_service_asks_to_wait_is_read_and_kept_to(
    cloud: StandIns, config: Config, code: str
) -> None:
    cloud.vertex.faults(error_code=code, error_share=1.0, error_methods=["generateContent"], retry_after_seconds=2.0)
    async with calls.Connection(config, at_once=1) as connection:
        url = connection.url_of(MODEL, "generateContent")
        with pytest.raises(CloudUnavailable) as refused:
            await connection.post(url, b"{}", what="ask")
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
    assert 0.4 <= time.monotonic() - begun < 5
    assert retries.again == 2
    assert held_back == ([0.2, 0.2] if code == "429" else [])


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
sys.path.insert(0, sys.argv[2])
from made_up import context
from genops_events.airflow.inference import AnswerPrompts
from genops_events.airflow.stage import StageRun
AnswerPrompts(task_id="answer").execute(context(sys.argv[1]))
"""


def test_a_killed_run_goes_on_at_the_first_row_that_is_not_kept(
    settings: Settings, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    settings(requests_per_minute=6000)
    rows = 400
    prompts(store, *({"prompt": f"prompt number {number}"} for number in range(rows)))
    cloud.vertex.faults(delay_seconds=0.3, error_methods=["generateContent"])
    before = cloud.vertex_calls("generateContent")
    command = [sys.executable, "-c", _ANSWER, candidate, str(Path(__file__).parent)]
    with subprocess.Popen(command) as process:
        until(lambda: cloud.vertex_calls("generateContent") - before > rows // 2, seconds=60)
        process.send_signal(signal.SIGKILL)
    asked = cloud.vertex_calls("generateContent") - before
    kept = sum(1 for _ in KeptRows(store.bucket, places.parts_prefix(candidate)).in_order())
    assert 0 < kept < asked < rows
    progress = store.read(places.progress_path(candidate), InferenceProgress)
    assert progress is not None
    assert progress.rows_total == rows
    cloud.vertex.faults()
    answer(candidate)
    twice = cloud.vertex_calls("generateContent") - before - rows
    # What was sent and not kept when it died, and nothing else, is asked again.
    assert twice == asked - kept
    # A second's worth of answers and calls: 100 a second, for 0.3 s at the model and 0.25 s between two parts.
    assert twice < 150
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
    found = store.candidate(candidate)
    assert found is not None
    row = found.stage_json(Stage.INFERENCE)
    assert row["state"] == "running"
    assert "of 40 prompts" in found.explained(Stage.INFERENCE)
    assert row["progress"]["rows_total"] == 40
    assert 0 <= row["progress"]["rows"] <= 40
