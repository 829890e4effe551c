"""Inference by a batch prediction job: one job whoever dies, answers in the order of the prompts, every end told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from cloud import DATASET, Reader, StandIns, until
from made_up import arrived, context, tuned
from waiting import HANG_SECONDS

from genops_events.airflow.budget import CheckBudget
from genops_events.airflow.inference import AnswerPrompts
from genops_events.airflow.stage import record_failure
from genops_events.cascade.candidate_reader import read_candidate
from genops_events.cascade.paid_jobs import UNANSWERED
from genops_events.cascade.stage_end import settle_and_announce
from genops_events.cascade.stage_run import StageRun
from genops_events.config import Config, load_config
from genops_events.errors import PermanentError
from genops_events.gcp import ledger_store
from genops_events.gcp.errors import CloudUnavailable
from genops_events.gcp.record_store import RecordStore
from genops_events.gemini.results import PromptsMissing
from genops_events.inference import batch_jobs
from genops_events.inference.end import INFERENCE_END
from genops_events.inference.stop import stop_answering
from genops_events.record import inference as places
from genops_events.record.inference import BatchAttempt, BatchCancellation, InferencePlan, InferenceProgress
from genops_events.record.paths import answers_path
from genops_events.record.stages import Outcome, Stage
from genops_events.record.verdicts import InferenceVerdict
from triggers.batch_job import BatchJobTrigger
from triggers.vertex_job import WAITING_TRY

MODEL = "gemini-2.5-flash"
ROWS: list[dict[str, Any]] = [{"id": f"row {number}", "prompt": f"question {number}"} for number in range(12)]


@pytest.fixture(autouse=True)
def batch_mode(config: Config, tmp_path: Path) -> None:
    file = tmp_path / "genops.yaml"
    found = yaml.safe_load(file.read_text(encoding="utf-8"))
    found["datasets"][DATASET]["inference"] |= {"mode": "batch", "batch": {"poll_seconds": 0.1, "timeout_hours": 1}}
    file.write_text(yaml.safe_dump(found), encoding="utf-8")


@pytest.fixture
def candidate(config: Config, store: RecordStore) -> str:
    made = arrived(config, store).candidate
    endpoint = f"projects/{config.project}/locations/{config.location}/publishers/google/models/{MODEL}"
    tuned(store, made, endpoint=endpoint)
    prompts(store, *ROWS)
    return made


def prompts(store: RecordStore, *rows: Any) -> None:
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    store.bucket.blob(f"prompts/{DATASET}.jsonl").upload_from_string(b"\n".join(lines))


def deferred(candidate: str) -> tuple[TaskDeferred, Any]:
    """Return how the stage defers, and the context that it did so in."""
    made = context(candidate)
    with pytest.raises(TaskDeferred) as raised:
        AnswerPrompts(task_id="answer").execute(made)
    return raised.value, made


def submitted(candidate: str) -> str:
    """Return the job that the stage defers on."""
    how, made = deferred(candidate)
    assert how.method_name == "resume"
    assert isinstance(how.trigger, BatchJobTrigger)
    assert getattr(made["ti"], WAITING_TRY) == 1
    return str((how.kwargs or {})["job"])


def waited(candidate: str, job: str) -> dict[str, Any]:
    """Wait for the job as the triggerer does, and return what the stage makes of its end."""
    how, _ = deferred(candidate)
    assert how.kwargs == {"job": job}

    async def event() -> dict[str, Any]:
        async with asyncio.timeout(HANG_SECONDS):
            (fired,) = [one.payload async for one in how.trigger.run()]
        return dict(fired)

    return AnswerPrompts(task_id="answer").resume(context(candidate), asyncio.run(event()), job)


def jobs(config: Config, candidate: str) -> dict[str, str]:
    found = batch_jobs.find_all(config, candidate)
    return {str(job.name): str(job.state.value if job.state else "") for job in found}


def answers(store: RecordStore, candidate: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in store.bucket.blob(answers_path(candidate)).download_as_bytes().splitlines()]


def test_a_batch_job_answers_in_the_order_of_the_prompts_at_half_the_price(
    config: Config, store: RecordStore, candidate: str, completions: Reader
) -> None:
    prompts(
        store,
        ROWS[0],
        b"{nonsense",
        *ROWS[1:],
        {"prompt": "x", "grounding": "google_search", "functions": [{"name": "f", "description": "d"}]},
        {"prompt": "cut me", "max_output_tokens": 1},
    )
    job = submitted(candidate)
    done = waited(candidate, job)
    assert jobs(config, candidate) == {job: "JOB_STATE_SUCCEEDED"}
    kept = answers(store, candidate)
    assert [row["id"] for row in kept] == [one["id"] for one in ROWS] + ["line-15"]
    assert [row["answer"] for row in kept] == [one["prompt"] for one in ROWS] + ["cut"]
    assert kept[-1]["state"] == "cut"
    failed = store.bucket.blob(places.failures_path(candidate)).download_as_text().splitlines()
    assert [json.loads(line)["line"] for line in failed] == [2, 14]
    assert (done["way"], done["job"], done["end"]) == ("batch", job, "succeeded")
    assert (done["prompts"], done["answered"], done["failed"], done["cut"]) == (15, 13, 2, 1)
    verdict = store.verdict(candidate, Stage.INFERENCE)
    assert isinstance(verdict, InferenceVerdict)
    rates = config.rates(MODEL)
    tokens = verdict.input_tokens or 0, verdict.output_tokens or 0
    assert verdict.cost_usd == rates.generation_cost(*tokens, batch=True) < rates.generation_cost(*tokens)
    assert completions.read_some()[0].attributes["ce-type"] == "genops.inference.completed.v1"


def test_predictions_in_any_order_find_their_rows(config: Config, store: RecordStore, candidate: str) -> None:
    from genops_events.inference.batch_work import conclude
    from genops_events.inference.work import CandidateInference
    from genops_events.waiting.polling import JobEnd

    job = submitted(candidate)
    until(lambda: "SUCCEEDED" in jobs(config, candidate)[job])
    (name,) = [one for one in store.names(places.batch_output_prefix(candidate)) if one.endswith("predictions.jsonl")]
    blob = store.bucket.blob(name)
    predicted = blob.download_as_bytes().splitlines()
    half = len(predicted) // 2
    blob.upload_from_string(b"\n".join([*predicted[:half:-1], b"{nonsense"]))
    store.bucket.blob(name.replace("predictions", "predictions-2")).upload_from_string(
        b"\n".join(predicted[1 : half + 1])
    )
    assert (
        conclude(CandidateInference(StageRun(Stage.INFERENCE, candidate, "run-1")), job, JobEnd.SUCCEEDED) is not None
    )
    assert [row["answer"] for row in answers(store, candidate)] == [one["prompt"] for one in ROWS[1:]]
    (failed,) = store.bucket.blob(places.failures_path(candidate)).download_as_text().splitlines()
    assert json.loads(failed)["reason"] == "Line 1: the batch job ended without answering it."


def rewritten(
    store: RecordStore, candidate: str, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
) -> None:
    """Change the predictions that the job has written."""
    (name,) = [one for one in store.names(places.batch_output_prefix(candidate)) if one.endswith("predictions.jsonl")]
    blob = store.bucket.blob(name)
    predicted = [json.loads(line) for line in blob.download_as_bytes().splitlines()]
    blob.upload_from_string("".join(json.dumps(one) + "\n" for one in change(predicted)))


def test_predictions_as_the_importer_makes_them_find_their_rows_by_label_or_by_request(
    config: Config, store: RecordStore, candidate: str
) -> None:
    asked = ["7", "007.50", "true", "where", "where", "3e2", "x", "y", "z"]
    prompts(store, *({"prompt": text, "temperature": number / 10} for number, text in enumerate(asked)))
    job = submitted(candidate)
    until(lambda: "SUCCEEDED" in jobs(config, candidate)[job])

    def imported(predicted: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Lose three rows, every other label, and the kind of each text that looks like a number; turn the order round."""
        kept = [one for one in predicted if one["request"]["contents"][0]["parts"][0]["text"] not in "xyz"]
        for number, one in enumerate(kept):
            part = one["request"]["contents"][0]["parts"][0]
            one["status"] = None
            one["request"] |= {"cachedContent": None, "tools": []}
            if part["text"] in {"7", "007.50", "3e2"}:
                part["text"] = float(part["text"])
            if number % 2:
                one["request"]["labels"] = {}
        return kept[::-1]

    rewritten(store, candidate, imported)
    done = waited(candidate, job)
    assert (done["answered"], done["failed"]) == (6, 3)
    assert [row["answer"] for row in answers(store, candidate)] == asked[:6]
    failed = store.bucket.blob(places.failures_path(candidate)).download_as_text().splitlines()
    assert [json.loads(line)["line"] for line in failed] == [7, 8, 9]
    verdict = store.verdict(candidate, Stage.INFERENCE)
    assert verdict is not None
    counts = [(row["input_tokens"], row["output_tokens"]) for row in answers(store, candidate)]
    asked_tokens, answered_tokens = map(sum, zip(*counts, strict=True))
    assert asked_tokens > 0 < answered_tokens
    rates = config.rates_for(config.dataset(DATASET))
    assert verdict.cost_usd == rates.generation_cost(asked_tokens, answered_tokens, batch=True), "each row once"


def test_a_label_is_none_that_comes_back_as_a_number_and_one_of_a_job_from_before_is_read_as_such(
    config: Config, store: RecordStore, candidate: str
) -> None:
    job = submitted(candidate)
    (source,) = store.names(places.batch_input_path(candidate))
    labels = [
        json.loads(line)["request"]["labels"]["genops-row"]
        for line in store.bucket.blob(source).download_as_text().splitlines()
    ]
    assert labels == [f"line-{number}" for number in range(1, 13)]
    until(lambda: "SUCCEEDED" in jobs(config, candidate)[job])

    def from_before(predicted: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for one in predicted:
            number = int(one["request"]["labels"]["genops-row"].removeprefix("line-"))
            one["request"] = {"labels": {"genops-row": number if number % 2 else str(number)}}
        return predicted

    rewritten(store, candidate, from_before)
    waited(candidate, job)
    assert [row["answer"] for row in answers(store, candidate)] == [one["prompt"] for one in ROWS]


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [("expired", Outcome.COMPLETED), ("failed", Outcome.COMPLETED), ("cancelled", Outcome.FAILED)],
)
def test_what_a_job_has_answered_before_it_ended_badly_is_kept_and_paid(  # noqa: PLR0917
    config: Config, cloud: StandIns, store: RecordStore, candidate: str, outcome: str, verdict: Outcome
) -> None:
    cloud.vertex.faults(job_seconds=0.2, job_outcome=outcome)
    job = submitted(candidate)
    done = {
        "status": None,
        "request": {"labels": {"genops-row": "line-3"}},
        "response": {
            "candidates": [{"content": {"role": "model", "parts": [{"text": "yes"}]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 1000, "candidatesTokenCount": 10, "totalTokenCount": 1010},
        },
    }
    part = store.bucket.blob(f"{places.batch_output_prefix(candidate)}/prediction-model-1/predictions.jsonl")
    part.upload_from_string(json.dumps(done))
    with suppress(AirflowFailException):
        waited(candidate, job)
    found = store.verdict(candidate, Stage.INFERENCE)
    assert isinstance(found, InferenceVerdict)
    assert (found.outcome, found.end, found.answered, found.failed) == (verdict, outcome, 1, 11)
    assert found.cost_usd == config.rates(MODEL).generation_cost(1000, 10, batch=True)
    assert "Answered 1 of 12 prompts." in found.reason
    assert f"Batch job {job} " in found.reason
    assert [row["answer"] for row in answers(store, candidate)] == ["yes"]


def test_a_job_whose_answers_are_not_found_may_have_cost_all_that_was_reserved(
    config: Config, store: RecordStore, candidate: str
) -> None:
    CheckBudget(task_id="check").execute(context(candidate))
    job = submitted(candidate)
    until(lambda: "SUCCEEDED" in jobs(config, candidate)[job])
    for name in store.names(places.batch_output_prefix(candidate)):
        store.bucket.blob(name).delete()
    with pytest.raises(AirflowFailException, match="its answers were not found below gs://"):
        waited(candidate, job)
    run = StageRun(Stage.INFERENCE, candidate, "run-1")
    assert ledger_store.committed(store, dataset=DATASET, at=run.month) > 0


def test_a_submission_without_an_answer_is_looked_for_and_adopted(
    config: Config, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(lose_answers=1.0, error_methods=["batchPredictionJobs.create"], job_seconds=600)
    now = datetime.now(UTC)
    how, _ = deferred(candidate)
    assert how.method_name == "go_on"
    assert how.trigger.serialize()[1]["moment"] >= now + UNANSWERED
    progress = store.read(places.progress_path(candidate), InferenceProgress)
    assert progress is not None
    assert "waits to submit the batch job" in progress.summary
    (there,) = jobs(config, candidate)
    cloud.vertex.faults(refuse_filters=True)  # then all jobs are looked through
    assert submitted(candidate) == there
    assert list(jobs(config, candidate)) == [there]


def test_a_noted_attempt_keeps_everybody_from_submitting_for_a_while(
    config: Config, cloud: StandIns, candidate: str
) -> None:
    cloud.vertex.faults(error_code="503", error_share=1.0, error_methods=["batchPredictionJobs.create"])
    assert deferred(candidate)[0].method_name == "go_on"
    cloud.vertex.faults()
    assert deferred(candidate)[0].method_name == "go_on"
    assert jobs(config, candidate) == {}


def test_a_try_that_another_has_overtaken_while_it_wrote_the_input_submits_nothing(
    config: Config, store: RecordStore, candidate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_input = batch_jobs.write_input

    def slowly(*given: Any) -> None:
        write_input(*given)
        store.put(places.attempt_path(candidate), BatchAttempt(candidate=candidate, written_at=datetime.now(UTC)))

    monkeypatch.setattr(batch_jobs, "write_input", slowly)
    assert deferred(candidate)[0].method_name == "go_on"
    assert jobs(config, candidate) == {}


def test_a_note_whose_answer_was_lost_is_ones_own_and_keeps_nobody_waiting(
    config: Config, candidate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = RecordStore.update

    def twice(self: RecordStore, name: str, *given: Any, **more: Any) -> Any:
        first = update(self, name, *given, **more)
        # Cloud Storage wrote it, and its answer was lost: the library finds the precondition failed, and we read again.
        return update(self, name, *given, **more) if name == places.attempt_path(candidate) else first

    monkeypatch.setattr(RecordStore, "update", twice)
    assert list(jobs(config, candidate)) == []
    assert submitted(candidate) in jobs(config, candidate)


def test_of_two_jobs_that_met_the_recorded_one_stays(config: Config, cloud: StandIns, candidate: str) -> None:
    cloud.vertex.faults(job_seconds=600)
    job = submitted(candidate)
    run = StageRun(Stage.INFERENCE, candidate, "run-1")
    second = batch_jobs.submit(
        config,
        candidate=candidate,
        model=MODEL,
        source=config.uri(places.batch_input_path(candidate)),
        target=config.uri(places.batch_output_prefix(candidate)),
    )
    assert batch_jobs.BATCH_JOBS.record(run, second).job == job
    until(lambda: jobs(config, candidate)[str(second.name)] == "JOB_STATE_CANCELLED")
    assert jobs(config, candidate)[job] != "JOB_STATE_CANCELLED"


@pytest.mark.parametrize(
    ("outcome", "end", "told"),
    [
        ("failed", "failed", "ended as failed. INTERNAL: Internal error occurred while predicting"),
        ("cancelled", "cancelled", "was cancelled in Vertex AI, not by genops."),
        ("expired", "expired", "ended as expired. It did not finish within the time"),
    ],
)
def test_a_job_that_ends_badly_is_a_failed_verdict_with_its_reason(  # noqa: PLR0917
    cloud: StandIns, store: RecordStore, candidate: str, outcome: str, end: str, told: str
) -> None:
    cloud.vertex.faults(job_seconds=0.2, job_outcome=outcome)
    job = submitted(candidate)
    with pytest.raises(AirflowFailException):
        waited(candidate, job)
    verdict = store.verdict(candidate, Stage.INFERENCE)
    assert isinstance(verdict, InferenceVerdict)
    assert (verdict.outcome, verdict.end, verdict.job) == (Outcome.FAILED, end, job)
    assert told in verdict.reason
    assert "Upload the training file again" in verdict.reason_and_help


def test_half_a_batch_is_half_the_answers(cloud: StandIns, store: RecordStore, candidate: str) -> None:
    cloud.vertex.faults(job_seconds=0.2, job_outcome="partially_succeeded")
    done = waited(candidate, submitted(candidate))
    assert (done["answered"], done["failed"], done["end"]) == (6, 6, "partially_succeeded")
    assert [row["number"] for row in answers(store, candidate)] == [0, 2, 4, 6, 8, 10]


def test_a_job_that_outlives_its_deadline_is_cancelled(
    config: Config, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(job_hangs=True)
    job = submitted(candidate)
    event = {"job": job, "end": "timed_out"}
    with pytest.raises(TaskDeferred):  # it is asked to end, and says itself how it did
        AnswerPrompts(task_id="answer").resume(context(candidate), event, job)
    until(lambda: jobs(config, candidate)[job] == "JOB_STATE_CANCELLED")
    with pytest.raises(AirflowFailException, match=r"took longer than `inference.batch.timeout_hours`"):
        AnswerPrompts(task_id="answer").resume(context(candidate), {"job": job, "end": "cancelled"}, job)


# What Airflow says of the task is not what became of the job.


def own_failure(candidate: str, **more: Any) -> None:
    task = AnswerPrompts(task_id="answer")
    record_failure(context(candidate, task=task, exception=RuntimeError("no disk"), **more))


def test_a_failure_beside_a_job_that_has_answered_is_no_failure(
    config: Config, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    job = submitted(candidate)
    until(lambda: jobs(config, candidate)[job] == "JOB_STATE_SUCCEEDED")
    own_failure(candidate)
    verdict = store.verdict(candidate, Stage.INFERENCE)
    assert isinstance(verdict, InferenceVerdict)
    assert (verdict.outcome, verdict.job, verdict.answered) == (Outcome.COMPLETED, job, 12)
    assert verdict.cost_usd > 0
    assert len(answers(store, candidate)) == 12


def test_a_failure_beside_a_job_that_runs_is_no_verdict_and_the_next_run_waits_for_it(
    config: Config, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(job_seconds=600)
    job = submitted(candidate)
    own_failure(candidate)
    assert store.verdict(candidate, Stage.INFERENCE) is None
    assert jobs(config, candidate)[job] != "JOB_STATE_CANCELLED"
    assert deferred(candidate)[0].kwargs == {"job": job}


def test_answers_of_a_job_that_cannot_be_read_fail_with_the_command_that_reads_them_again(
    config: Config, cloud: StandIns, store: RecordStore, candidate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submitted(candidate)
    until(lambda: jobs(config, candidate)[job] == "JOB_STATE_SUCCEEDED")

    def broken(*_: object, **__: object) -> None:
        raise PermanentError("the output makes no sense.", "Look at it.")

    monkeypatch.setattr("genops_events.inference.batch_work._write_answers", broken)
    own_failure(candidate)
    verdict = store.verdict(candidate, Stage.INFERENCE)
    assert isinstance(verdict, InferenceVerdict)
    assert (verdict.outcome, verdict.job, verdict.end) == (Outcome.FAILED, job, "succeeded")
    assert verdict.reason_and_help.endswith(f"Look at it. Then `genops retry {candidate}` reads them again.")


def test_nothing_is_recorded_while_the_batch_job_cannot_be_asked(
    config: Config, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    submitted(candidate)
    cloud.vertex.faults(error_code="503", error_share=1.0)
    with pytest.raises(CloudUnavailable):
        own_failure(candidate)
    assert store.verdict(candidate, Stage.INFERENCE) is None


def test_a_job_that_has_answered_is_not_cancelled_by_whoever_is_told_that_the_task_is_over(
    config: Config, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    job = submitted(candidate)
    until(lambda: jobs(config, candidate)[job] == "JOB_STATE_SUCCEEDED")
    assert stop_answering(candidate, run_id="run-1", ended=True) == []
    assert store.read(places.cancellation_path(candidate), BatchCancellation) is None
    assert store.verdict(candidate, Stage.INFERENCE) is None, "a sweep lets the stage go on, which reads the answers"
    assert waited(candidate, job)["answered"] == 12


def test_a_job_that_has_not_ended_after_all_is_waited_for_again(cloud: StandIns, candidate: str) -> None:
    cloud.vertex.faults(job_seconds=600)
    job = submitted(candidate)
    with pytest.raises(TaskDeferred) as again:
        AnswerPrompts(task_id="answer").resume(context(candidate), {"job": job, "end": "succeeded"}, job)
    assert again.value.kwargs == {"job": job}


def test_a_stage_that_the_sweep_closes_cancels_its_job(
    config: Config, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(job_seconds=600)
    job = submitted(candidate)
    run = StageRun(Stage.INFERENCE, candidate, "run-1")
    settle_and_announce(
        run, run.conclude(InferenceVerdict, Outcome.FAILED, "Dag run run-1 ended without a verdict."), INFERENCE_END
    )
    until(lambda: jobs(config, candidate)[job] == "JOB_STATE_CANCELLED")


@pytest.mark.parametrize("submitted_before", [False, True])
def test_money_is_released_only_where_no_job_was_ever_submitted(
    *, cloud: StandIns, store: RecordStore, candidate: str, submitted_before: bool
) -> None:
    CheckBudget(task_id="check").execute(context(candidate))
    cloud.vertex.faults(job_seconds=600)
    if submitted_before:
        cloud.vertex.faults(lose_answers=1.0, error_methods=["batchPredictionJobs.create"], job_seconds=600)
        assert deferred(candidate)[0].method_name == "go_on"  # there is a job that nothing but its name tells of
    run = StageRun(Stage.INFERENCE, candidate, "run-1")
    verdict = INFERENCE_END.failed(run, "Dag run run-1 ended without a verdict.")
    assert (verdict is None) is submitted_before, "a job that is under way says later what it cost"
    if verdict is not None:
        settle_and_announce(run, verdict, INFERENCE_END)
    reserved = ledger_store.committed(store, dataset=DATASET, at=run.month)
    assert (reserved > 0) is submitted_before


@dataclass
class Waiting:
    """As much of a task instance as a trigger asks for."""

    run_id: str = "run-1"
    dag_id: str = "genops_inference"
    task_id: str = "answer"
    map_index: int = -1
    try_number: int = 1


def ended_by_a_person(patch: pytest.MonkeyPatch, candidate: str, *, state: Any, waiting_try: int = 1) -> None:
    """Let Airflow call `on_kill` of the wait, and answer what has become of its task."""
    states = {"run-1": {"answer": state}}
    patch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(lambda **_: states))
    patch.setattr(BaseXCom, "get_one", classmethod(lambda *_, **__: waiting_try))
    trigger = deferred(candidate)[0].trigger
    trigger.task_instance = Waiting()  # type: ignore[assignment]
    asyncio.run(trigger.on_kill())


def test_a_task_that_is_marked_failed_ends_its_candidate_at_once(
    monkeypatch: pytest.MonkeyPatch, config: Config, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(job_seconds=600)
    job = submitted(candidate)
    ended_by_a_person(monkeypatch, candidate, state="failed")
    verdict = store.verdict(candidate, Stage.INFERENCE)
    assert isinstance(verdict, InferenceVerdict)
    assert (
        verdict.reason
        == f"Batch job {job} was cancelled by Airflow. Its task in Airflow was marked as failed, or removed."
    )
    until(lambda: jobs(config, candidate)[job] == "JOB_STATE_CANCELLED")


def test_a_task_that_is_cleared_cancels_its_job_and_records_that(
    monkeypatch: pytest.MonkeyPatch, config: Config, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(job_seconds=600)
    job = submitted(candidate)
    ended_by_a_person(monkeypatch, candidate, state="deferred", waiting_try=2)
    assert store.verdict(candidate, Stage.INFERENCE) is None
    with pytest.raises(AirflowFailException, match=r"was cancelled by Airflow. Its task in Airflow was cleared"):
        waited(candidate, job)
    assert list(jobs(config, candidate)) == [job]


def test_a_wait_that_another_triggerer_takes_over_goes_on(
    monkeypatch: pytest.MonkeyPatch, config: Config, cloud: StandIns, candidate: str
) -> None:
    cloud.vertex.faults(job_seconds=600)
    job = submitted(candidate)
    ended_by_a_person(monkeypatch, candidate, state="deferred")
    assert jobs(config, candidate)[job] in {"JOB_STATE_PENDING", "JOB_STATE_RUNNING"}


def test_how_far_the_job_is_stands_in_the_record(cloud: StandIns, store: RecordStore, candidate: str) -> None:
    cloud.vertex.faults(job_seconds=600)
    trigger = deferred(candidate)[0].trigger

    async def look() -> None:
        waiting = asyncio.create_task(anext(aiter(trigger.run())))  # type: ignore[arg-type]
        await asyncio.to_thread(until, lambda: store.read(places.progress_path(candidate), InferenceProgress))
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    asyncio.run(look())
    found = read_candidate(store, candidate)
    assert found is not None
    assert found.explained(Stage.INFERENCE).startswith("batch job ")
    assert found.stage_json(Stage.INFERENCE)["progress"]["job"] == trigger.job


def test_an_empty_file_submits_nothing(config: Config, store: RecordStore, candidate: str) -> None:
    prompts(store, b"")
    with pytest.raises(PromptsMissing, match="is empty"):
        AnswerPrompts(task_id="answer").execute(context(candidate))
    assert jobs(config, candidate) == {}


def test_what_is_many_or_dear_goes_to_a_batch_job_by_itself(
    config: Config, tmp_path: Path, store: RecordStore, candidate: str
) -> None:
    file = tmp_path / "genops.yaml"
    found = yaml.safe_load(file.read_text(encoding="utf-8"))
    found["datasets"][DATASET]["inference"] |= {"mode": "auto", "batch": {"poll_seconds": 0.1, "from_rows": 12}}
    file.write_text(yaml.safe_dump(found), encoding="utf-8")
    assert load_config().dataset(DATASET).inference.mode == "auto"
    submitted(candidate)
    plan = store.read(places.plan_path(candidate), InferencePlan)
    assert plan is not None
    assert (plan.way, plan.why) == ("batch", "12 prompts are at least `inference.batch.from_rows` (12)")


def test_whoever_cancels_while_the_input_is_written_is_heard_before_anything_is_submitted(
    config: Config, store: RecordStore, candidate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_input = batch_jobs.write_input

    def cancelled_meanwhile(*given: Any) -> None:
        write_input(*given)
        asked = batch_jobs.BATCH_JOBS.ask_to_cancel(config, store, candidate, by="ada", reason="Wrong file.")
        assert asked == []

    monkeypatch.setattr(batch_jobs, "write_input", cancelled_meanwhile)
    with pytest.raises(AirflowFailException, match=r"Cancelled by ada before a batch job was submitted\. Wrong file\."):
        AnswerPrompts(task_id="answer").execute(context(candidate))
    assert jobs(config, candidate) == {}


def test_a_second_job_that_no_listing_shows_yet_is_cancelled(
    config: Config, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(job_seconds=600)
    job = submitted(candidate)
    # Its name is another's: to a listing, it is as invisible as one that was made a moment ago.
    other = arrived(config, store).candidate
    second = batch_jobs.submit(
        config,
        candidate=other,
        model=MODEL,
        source=config.uri(places.batch_input_path(candidate)),
        target=config.uri(places.batch_output_prefix(candidate)),
    )
    assert batch_jobs.BATCH_JOBS.record(StageRun(Stage.INFERENCE, candidate, "run-1"), second).job == job
    until(lambda: jobs(config, other)[str(second.name)] == "JOB_STATE_CANCELLED")
    assert jobs(config, candidate)[job] != "JOB_STATE_CANCELLED"
