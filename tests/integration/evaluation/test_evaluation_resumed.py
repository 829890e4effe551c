"""An evaluation that is killed, refused or left alone by the service goes on where it stopped."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from asked import answered_then_silent
from cloud import StandIns, until
from evaluations import FILE, die, evaluated, pairs, rows_of, write
from made_up import arrived, tuned
from waiting import FOREVER_SECONDS

from genops_events.config import Config
from genops_events.evaluation import pipeline
from genops_events.gcp.errors import CloudRefused, CloudUnavailable
from genops_events.gcp.parts import read_parts
from genops_events.gcp.record_store import RecordStore
from genops_events.gemini import calls, online
from genops_events.gemini.calls import AllRefused
from genops_events.gemini.kept import KeptRows, RowWriter
from genops_events.record.evaluation import judgements_prefix
from genops_events.record.stages import Stage


def answer_parts(candidate: str) -> str:
    return f"genops/candidates/{candidate}/answers/evaluation.parts/"


@contextmanager
def evaluating(candidate: str) -> Iterator[subprocess.Popen[bytes]]:
    """Evaluate in a process of its own, which the test kills."""
    work = (
        "from made_up import context; from genops_events.airflow.evaluation import EvaluateModel; "
        f"EvaluateModel(task_id='evaluate').execute(context({candidate!r}))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    with subprocess.Popen([sys.executable, "-c", work], env=environment, stderr=subprocess.PIPE) as task:
        yield task


def test_an_evaluation_goes_on_where_it_stopped(
    *,
    cloud: StandIns,
    config: Config,
    settings: Callable[..., None],
    store: RecordStore,
    endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings(metrics=["fluency"], judge={"samples": 1})
    write(store, FILE, *pairs(12))
    monkeypatch.setattr(pipeline, "calls_at_once", lambda _: 1)
    for _ in range(20):  # until a call fails after some rows were judged: in three of four tries
        candidate = arrived(config, store).candidate
        tuned(store, candidate, endpoint=endpoint)
        cloud.vertex.faults(error_code="403", error_share=0.15, error_methods=["evaluateInstances"])
        before = cloud.vertex_calls("evaluateInstances"), cloud.vertex_calls("generateContent")
        try:
            evaluated(candidate)
        except CloudRefused:
            judged = cloud.vertex_calls("evaluateInstances") - before[0] - 1
            if judged:
                break
    else:
        pytest.fail("no call failed in 20 tries")
    cloud.vertex.faults()
    # What was under way when a call failed came to its end, and is kept: it is paid for.
    kept = len(read_parts(store.bucket, judgements_prefix(candidate)))
    assert kept == judged
    answered = len(read_parts(store.bucket, answer_parts(candidate)))
    assert answered == cloud.vertex_calls("generateContent") - before[1]
    before = cloud.vertex_calls("evaluateInstances"), cloud.vertex_calls("generateContent")
    _, told = evaluated(candidate)
    assert told["metrics"]["fluency"]["count"] == 12
    assert cloud.vertex_calls("evaluateInstances") - before[0] == 12 - kept
    assert cloud.vertex_calls("generateContent") - before[1] == 12 - answered


def test_what_a_killed_try_had_written_is_used_and_belongs_to_the_same_metric_and_answer_only(
    cloud: StandIns, settings: Callable[..., None], store: RecordStore, candidate: str
) -> None:
    settings(metrics=["fluency"])
    write(store, FILE, *pairs(3))
    prefix = judgements_prefix(candidate)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genops_events.cascade.stage_run.StageRun.conclude", die)
        with pytest.raises(KeyboardInterrupt):
            evaluated(candidate)
    assert len(read_parts(store.bucket, prefix)) == 3
    before = cloud.vertex_calls("evaluateInstances"), cloud.vertex_calls("generateContent")
    settings(metrics=["fluency", "coherence"])
    _, told = evaluated(candidate)
    assert cloud.vertex_calls("generateContent") == before[1]
    assert cloud.vertex_calls("evaluateInstances") == before[0] + 3, "coherence only"
    assert set(told["scores"]) == {"fluency", "coherence"}


def test_a_task_that_is_killed_loses_only_what_was_in_flight(
    cloud: StandIns, settings: Callable[..., None], store: RecordStore, candidate: str
) -> None:
    settings(metrics=["fluency"])
    write(store, FILE, *pairs(60))
    # So many are judged; then the judge is silent.
    cloud.vertex.faults(delay_seconds=FOREVER_SECONDS, pass_calls=20, error_methods=["evaluateInstances"])
    prefix = judgements_prefix(candidate)
    with evaluating(candidate) as task:
        until(lambda: len(read_parts(store.bucket, prefix)) == 20, what="scores in the record")
        until(lambda: len(read_parts(store.bucket, answer_parts(candidate))) == 60, what="answers in the record")
        task.kill()
    cloud.vertex.faults()
    before = cloud.vertex_calls("evaluateInstances"), cloud.vertex_calls("generateContent")
    _, told = evaluated(candidate)
    assert told["metrics"]["fluency"]["count"] == 60
    assert cloud.vertex_calls("evaluateInstances") - before[0] == 60 - 20
    assert cloud.vertex_calls("generateContent") == before[1], "answers were kept, too"


def test_a_task_that_is_killed_while_its_model_answers_asks_for_no_answer_twice(
    cloud: StandIns, settings: Callable[..., None], store: RecordStore, candidate: str
) -> None:
    settings(metrics=["exact_match", "fluency"], judge={"samples": 1})
    write(store, FILE, *pairs(60))
    answered_then_silent(cloud, 25)
    with evaluating(candidate) as task:
        until(lambda: cloud.vertex.delayed() == {"generateContent": 35})
        until(lambda: len(read_parts(store.bucket, answer_parts(candidate))) == 25, what="answers in the record")
        task.kill()
    cloud.vertex.faults()
    before = cloud.vertex_calls("generateContent")
    _, told = evaluated(candidate)
    assert told["metrics"]["exact_match"]["count"] == 60
    assert cloud.vertex_calls("generateContent") - before == 60 - 25


def test_refusals_end_an_evaluation_early_where_there_is_no_answer_and_not_where_an_earlier_try_has_one(
    cloud: StandIns, settings: Callable[..., None], store: RecordStore, candidate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(online, "ALL_REFUSED", 3)
    cloud.vertex.faults(refused_text="poison", error_methods=["generateContent"])
    settings(metrics=["exact_match"])
    refused = [{"prompt": f"poison {number}", "reference": "x"} for number in range(5)]
    write(store, FILE, *refused)
    with pytest.raises(AllRefused, match="refused the first 3 prompts, all of them"):
        evaluated(candidate)
    write(store, FILE, *pairs(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genops_events.cascade.stage_run.StageRun.conclude", die)
        with pytest.raises(KeyboardInterrupt):
            evaluated(candidate)
    write(store, FILE, *pairs(2), *refused)
    _, told = evaluated(candidate)
    assert (told["answers"]["answered"], told["failed_rows"]) == (2, 5)


def test_a_row_that_the_service_breaks_on_has_no_answer_and_ends_no_try(
    cloud: StandIns,
    settings: Callable[..., None],
    store: RecordStore,
    candidate: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "FIRST_PAUSE_SECONDS", 0.01)
    cloud.vertex.faults(breaking_text="riddle", error_methods=["generateContent"])
    settings(metrics=["exact_match"], gate={"exact_match": 1.0}, failed_rows=1)
    write(store, FILE, {"prompt": "a riddle", "reference": "x"}, *pairs(60))
    monkeypatch.setattr(pipeline, "calls_at_once", lambda _: 4)
    _, told = evaluated(candidate)
    assert (told["outcome"], told["answers"]["answered"], told["failed_rows"]) == ("passed", 60, 1)
    (row,) = [one for one in rows_of(store, candidate) if "failures" in one]
    assert row["failures"]["exact_match"].startswith("no answer: Could not ask ")
    assert "500 INTERNAL" in row["failures"]["exact_match"]


@pytest.mark.parametrize("error", [None, ValueError("later"), CloudRefused("No.", "")])
async def test_parts_hold_every_row_also_when_the_work_ends_in_an_error(
    store: RecordStore, error: Exception | None
) -> None:
    rows = KeptRows(store.bucket, "parts/")

    async def work() -> None:
        async with RowWriter(rows, on_failure=pytest.fail) as writer:
            for number in range(50):
                writer.put(number, json.dumps({"number": number}).encode())
                await asyncio.sleep(0)
            if error is not None:
                raise error

    with nullcontext() if error is None else pytest.raises(type(error)):
        await work()
    assert [number for number, _ in rows.in_order()] == list(range(50))


def test_scores_survive_a_moment_without_the_service(
    cloud: StandIns, settings: Callable[..., None], store: RecordStore, candidate: str
) -> None:
    settings(metrics=["exact_match", "fluency"])
    write(store, FILE, *pairs(3))
    cloud.vertex.faults(unavailable_seconds=0.4)
    assert evaluated(candidate)[1]["scores"]["exact_match"] == 1.0


def test_an_evaluation_without_a_service_is_unavailable_in_the_end(
    cloud: StandIns, settings: Callable[..., None], store: RecordStore, candidate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings(metrics=["exact_match"])
    write(store, FILE, *pairs(2))
    cloud.vertex.faults(error_code="429", error_share=1.0, error_methods=["evaluateInstances"])
    monkeypatch.setattr(calls, "FIRST_PAUSE_SECONDS", 0.01)
    with pytest.raises(CloudUnavailable, match="score answers by exact_match"):
        evaluated(candidate)
    assert store.verdict(candidate, Stage.EVALUATION) is None
