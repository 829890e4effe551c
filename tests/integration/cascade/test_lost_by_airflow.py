"""What Airflow says of a task is not what became of the job: the three losses of a machine that was far too busy."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRuntimeError,
    AirflowTaskTerminated,
    ErrorType,
    TaskDeferralError,
    TaskDeferred,
)
from airflow.sdk.execution_time.comms import ErrorResponse
from airflow_context import Airflow
from cloud import DATASET, PREFIX, Reader, StandIns
from made_up import arrived, context, ended, now, taken_on, tuned
from sweeps import swept
from waiting import until

from genops_events.airflow.evaluation import EvaluateModel
from genops_events.airflow.stage import record_failure
from genops_events.airflow.tuning import TuneModel, ValidateTrainingData
from genops_events.config import Config
from genops_events.errors import PermanentError
from genops_events.gcp.errors import CloudUnavailable
from genops_events.gcp.record_store import RecordStore
from genops_events.intake.open_candidates import mint
from genops_events.promotion.pruning import survey
from genops_events.record.paths import attempt_path, cancellation_path
from genops_events.record.stages import Outcome, Stage
from genops_events.record.tuning import Attempt, Cancellation
from genops_events.record.verdicts import TuningVerdict
from genops_events.tuning import jobs as tuning_jobs
from genops_events.tuning.stop import stop_tuning

pytestmark = [
    pytest.mark.little_patience,
    pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental"),
]

EXAMPLE = {"contents": [{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": [{"text": "b"}]}]}
NOT_FOUND = AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 404}))
AIRFLOWS_OWN = [None, NOT_FOUND, AirflowTaskTerminated("Task received SIGTERM signal"), TaskDeferralError("no trigger")]


@pytest.fixture
def candidate(config: Config, store: RecordStore) -> str:
    """A candidate whose file is in the bucket."""
    blob = store.bucket.blob(f"{PREFIX}{uuid.uuid4().hex}.jsonl")
    blob.upload_from_string("\n".join([json.dumps(EXAMPLE)] * 40))
    made = arrived(config, store, name=blob.name, generation=int(blob.generation))
    mint(store, [made])
    return made.candidate


def submitted(candidate: str) -> str:
    """Return the job that the candidate's first Dag run waits for."""
    ValidateTrainingData(task_id="validate").execute(context(candidate))
    with pytest.raises(TaskDeferred) as deferred:
        TuneModel(task_id="tune").execute(context(candidate))
    return str((deferred.value.kwargs or {})["job"])


def state(config: Config, job: str) -> str:
    found = tuning_jobs.get(config, job).state
    assert found is not None
    return str(found.value)


def succeeded(config: Config, candidate: str) -> str:
    """Return the candidate's job, which has succeeded before anybody noticed."""
    job = submitted(candidate)
    until(lambda: state(config, job) == "JOB_STATE_SUCCEEDED")
    return job


def verdict(store: RecordStore, candidate: str) -> TuningVerdict:
    found = store.verdict(candidate, Stage.TUNING)
    assert isinstance(found, TuningVerdict)
    return found


def tune_failed(candidate: str, **more: Any) -> None:
    record_failure(context(candidate, task=TuneModel(task_id="tune"), **more))


# Retries that Airflow used up, while the record names a job that has succeeded.


@pytest.mark.parametrize("error", AIRFLOWS_OWN, ids=lambda one: type(one).__name__)
def test_retries_that_airflow_used_up_end_no_stage_and_the_next_run_adopts_the_job(
    airflow: Airflow, config: Config, store: RecordStore, candidate: str, error: BaseException | None
) -> None:
    job = succeeded(config, candidate)
    before = store.names("genops/")
    tune_failed(candidate, try_number=8, exception=error)
    assert store.names("genops/") == before, "nothing is recorded"
    airflow.task_states["run-1"] = {"validate": "success", "tune": "failed"}
    woken, _ = swept(airflow, config, store)
    assert woken == {candidate}
    with pytest.raises(TaskDeferred) as deferred:
        TuneModel(task_id="tune").execute(context(candidate, run_id="run-2"))
    assert deferred.value.kwargs == {"job": job}
    event = {"job": job, "end": "succeeded"}
    TuneModel(task_id="tune").resume(context(candidate, run_id="run-2"), event, job)
    made = verdict(store, candidate)
    assert (made.outcome, made.job, made.cost_usd > 0) == (Outcome.SUCCEEDED, job, True)
    assert len(tuning_jobs.find_all(config, candidate)) == 1


def test_a_failure_of_its_own_is_held_against_the_job_which_has_succeeded(
    config: Config, store: RecordStore, candidate: str, completions: Reader
) -> None:
    job = succeeded(config, candidate)
    tune_failed(candidate, exception=RuntimeError("the disk is full"))
    made = verdict(store, candidate)
    assert (made.outcome, made.job, made.cost_usd > 0) == (Outcome.SUCCEEDED, job, True)
    assert made.model
    assert made.endpoint
    assert [one.attributes["ce-type"] for one in completions.read_some()] == ["genops.tuning.succeeded.v1"]


def test_a_failure_of_its_own_is_no_verdict_while_the_job_runs_and_it_runs_on(
    cloud: StandIns, config: Config, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(job_seconds=600)
    job = submitted(candidate)
    tune_failed(candidate, exception=RuntimeError("the disk is full"))
    assert store.verdict(candidate, Stage.TUNING) is None
    assert store.read(cancellation_path(candidate), Cancellation) is None
    assert state(config, job) not in {"JOB_STATE_CANCELLING", "JOB_STATE_CANCELLED"}


def test_nothing_is_recorded_while_the_job_cannot_be_asked(
    cloud: StandIns, config: Config, store: RecordStore, candidate: str
) -> None:
    succeeded(config, candidate)
    cloud.vertex.faults(error_code="503", error_share=1.0)
    with pytest.raises(CloudUnavailable):
        tune_failed(candidate, exception=RuntimeError("the disk is full"))
    assert store.verdict(candidate, Stage.TUNING) is None


def test_a_job_that_was_submitted_a_moment_ago_and_is_not_listed_keeps_the_verdict_back(
    store: RecordStore, candidate: str
) -> None:
    taken_on(store, Stage.TUNING, candidate)
    store.create(attempt_path(candidate), Attempt(candidate=candidate, written_at=now()))
    tune_failed(candidate, exception=RuntimeError("the worker died"))
    assert store.verdict(candidate, Stage.TUNING) is None


def test_a_job_that_has_failed_is_recorded_as_it_says_itself_with_its_cost(
    cloud: StandIns, config: Config, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(job_seconds=0.2, job_outcome="failed")
    job = submitted(candidate)
    until(lambda: state(config, job) == "JOB_STATE_FAILED")
    tune_failed(candidate, exception=RuntimeError("the disk is full"))
    made = verdict(store, candidate)
    assert (made.outcome, made.end, made.job) == (Outcome.FAILED, "failed", job)
    assert "INTERNAL" in made.reason


# A try that is superseded.


@pytest.mark.parametrize("error", [NOT_FOUND, PermanentError("The file is gone.")], ids=["404", "own"])
def test_a_superseded_try_records_nothing_and_the_current_one_finds_its_stage_unended(
    config: Config, store: RecordStore, candidate: str, completions: Reader, error: Exception
) -> None:
    tuned(store, candidate)
    taken_on(store, Stage.EVALUATION, candidate)
    task = EvaluateModel(task_id="evaluate")
    record_failure(context(candidate, task=task, try_number=8, is_current=False, exception=error))
    assert store.verdict(candidate, Stage.EVALUATION) is None
    assert completions.read() == []


def test_without_a_word_from_airflow_nobody_takes_a_try_for_the_current_one(store: RecordStore, candidate: str) -> None:
    tuned(store, candidate)
    taken_on(store, Stage.EVALUATION, candidate)
    task = EvaluateModel(task_id="evaluate")
    record_failure(context(candidate, task=task, exception=RuntimeError("no"), task_state_store=None))
    assert store.verdict(candidate, Stage.EVALUATION) is None


# A triggerer that is told that its task is over.


def test_a_job_that_had_succeeded_is_adopted_by_whoever_is_told_that_the_task_is_over(
    config: Config, store: RecordStore, candidate: str, completions: Reader
) -> None:
    job = succeeded(config, candidate)
    assert stop_tuning(candidate, run_id="run-1", ended=True) == []
    made = verdict(store, candidate)
    assert (made.outcome, made.job, made.cost_usd > 0) == (Outcome.SUCCEEDED, job, True)
    assert store.read(cancellation_path(candidate), Cancellation) is None
    [model] = survey(config, store, DATASET)
    assert (model.candidate, model.model, model.kept) == (candidate, made.model, "under way")
    assert [one.attributes["ce-type"] for one in completions.read_some()] == ["genops.tuning.succeeded.v1"]


def test_a_job_that_had_succeeded_is_left_to_a_task_that_runs_again(
    config: Config, store: RecordStore, candidate: str
) -> None:
    job = succeeded(config, candidate)
    assert stop_tuning(candidate, run_id="run-1", ended=False) == []
    assert store.read(cancellation_path(candidate), Cancellation) is None
    assert TuneModel(task_id="tune").resume(context(candidate), {"job": job, "end": "succeeded"}, job)["job"] == job


def test_a_task_that_a_person_ended_cancels_its_job_and_the_verdict_is_what_the_job_says(
    cloud: StandIns, config: Config, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(job_seconds=600)
    job = submitted(candidate)
    assert stop_tuning(candidate, run_id="run-1", ended=True) == [job]
    assert state(config, job) == "JOB_STATE_CANCELLED"
    made = verdict(store, candidate)
    assert (made.outcome, made.end, made.job) == (Outcome.FAILED, "cancelled", job)
    assert "was cancelled by Airflow. Its task in Airflow was marked as failed, or removed." in made.reason


def test_a_task_that_a_person_ended_while_vertex_is_away_is_ended_by_a_sweep(
    airflow: Airflow, cloud: StandIns, config: Config, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(job_seconds=600)
    job = submitted(candidate)
    cloud.vertex.faults(error_code="503", error_share=1.0)
    with pytest.raises(CloudUnavailable):
        stop_tuning(candidate, run_id="run-1", ended=True)
    airflow.task_states["run-1"] = {"validate": "success", "tune": "failed"}
    _, figures = swept(airflow, config, store)
    assert (figures.closed_stages, figures.returned_stages) == (0, 0)
    assert store.verdict(candidate, Stage.TUNING) is None
    cloud.vertex.faults()
    _, figures = swept(airflow, config, store)
    assert figures.left_alone == {"being_cancelled": 1}
    until(lambda: state(config, job) == "JOB_STATE_CANCELLED")
    _, figures = swept(airflow, config, store)
    assert (figures.closed_stages, figures.returned_stages) == (1, 0)
    assert (verdict(store, candidate).end, verdict(store, candidate).job) == ("cancelled", job)


# A person who wanted it cancelled, and a job that succeeded all the same.


def test_a_cancelled_candidate_whose_job_succeeded_all_the_same_leaves_its_model_to_prune(
    config: Config, store: RecordStore, candidate: str
) -> None:
    job = submitted(candidate)
    # Written while the job ran; it ended before Vertex AI had heard of it.
    wish = Cancellation(candidate=candidate, written_at=now(), by="ada@laptop", reason="Wrong file.")
    store.create(cancellation_path(candidate), wish)
    until(lambda: state(config, job) == "JOB_STATE_SUCCEEDED")
    with pytest.raises(AirflowFailException, match=r"cancelled by ada@laptop\. Wrong file\."):
        TuneModel(task_id="tune").resume(context(candidate), {"job": job, "end": "succeeded"}, job)
    made = verdict(store, candidate)
    assert (made.outcome, made.end, made.cost_usd > 0) == (Outcome.FAILED, "cancelled", True)
    [model] = survey(config, store, DATASET)
    assert (model.candidate, model.model, model.endpoint, model.kept) == (candidate, made.model, made.endpoint, None)


def test_a_model_that_no_verdict_names_is_listed_by_prune(config: Config, store: RecordStore, candidate: str) -> None:
    job = succeeded(config, candidate)
    # As versions before wrote it, and as a job ends that was being cancelled for longer than anybody waited.
    ended(store, Stage.TUNING, Outcome.FAILED, candidate, end="cancelled")
    [model] = survey(config, store, DATASET)
    tuned_model = tuning_jobs.get(config, job).tuned_model
    assert tuned_model is not None
    assert (model.model, model.endpoint, model.kept) == (tuned_model.model, tuned_model.endpoint, None)


def test_a_job_that_the_clock_cancelled_too_late_is_adopted(
    cloud: StandIns, config: Config, store: RecordStore, candidate: str
) -> None:
    job = submitted(candidate)
    until(lambda: state(config, job) == "JOB_STATE_SUCCEEDED")
    told = TuneModel(task_id="tune").resume(context(candidate), {"job": job, "end": "timed_out"}, job)
    assert (told["outcome"], told["job"]) == ("succeeded", job)
