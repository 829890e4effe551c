"""From a place in the queue to the verdict: one job whatever was asked meanwhile, and every end with its reason and its help."""

from __future__ import annotations

import json
import os
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred
from cloud import DATASET, PREFIX, StandIns, until
from made_up import DagRun, Task, TaskState, arrived
from tuned import EXAMPLES

from genops_events.airflow.stage import record_failure
from genops_events.airflow.tuning import TuneModel, ValidateTrainingData
from genops_events.cascade.paid_jobs import UNANSWERED
from genops_events.cascade.stage_run import StageRun
from genops_events.config import Config
from genops_events.gcp.record_store import RecordStore
from genops_events.record import paths as record_paths
from genops_events.record.promotion import Champion
from genops_events.record.stages import Outcome, Stage
from genops_events.record.tuning import Attempt, Submission, TuningProgress
from genops_events.record.verdicts import TuningVerdict
from genops_events.tuning import jobs as tuning_jobs
from genops_events.tuning.jobs import TUNING_JOBS
from genops_events.waiting import queue

pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")

EXAMPLE = {"contents": [{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": [{"text": "b"}]}]}


@pytest.fixture
def candidate(config: Config, store: RecordStore) -> str:
    return uploaded(config, store)


def uploaded(config: Config, store: RecordStore) -> str:
    blob = store.bucket.blob(f"{PREFIX}{uuid.uuid4().hex}.jsonl")
    blob.upload_from_string("\n".join([json.dumps(EXAMPLE)] * 40))
    return arrived(config, store, name=blob.name, generation=int(blob.generation)).candidate


def context(candidate: str, *, minute: int = 0) -> Any:
    run = DagRun("run-1", candidate, run_after=datetime(2026, 11, 23, 10, minute, tzinfo=UTC))
    return {"dag_run": run, "ti": Task(), "task_state_store": TaskState()}


def tune(candidate: str, **more: int) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as raised:
        TuneModel(task_id="tune").execute(context(candidate, **more))
    return raised.value


def resumed(candidate: str, deferral: TaskDeferred, end: str) -> TuningVerdict:
    """Let the task resume as after the trigger's event; return the verdict, which is told as the task's failure."""
    job = (deferral.kwargs or {})["job"]
    with pytest.raises(AirflowFailException) as raised:
        TuneModel(task_id="tune").resume(context(candidate), {"job": job, "end": end}, job)
    verdict = StageRun(Stage.TUNING, candidate, "run-1").store.verdict(candidate, Stage.TUNING)
    assert isinstance(verdict, TuningVerdict)
    assert str(raised.value) == f"{verdict.reason} {verdict.help}"  # what Airflow shows
    return verdict


def jobs(config: Config, candidate: str) -> list[str]:
    return [str(job.name) for job in tuning_jobs.find_all(config, candidate)]


# The queue.


def test_candidates_wait_in_the_order_of_their_runs_until_each_has_a_place(config: Config, store: RecordStore) -> None:
    waiting = [uploaded(config, store) for _ in range(3)]
    for minute, one in reversed(list(enumerate(waiting))):  # whichever is validated first
        ValidateTrainingData(task_id="validate").execute(context(one, minute=minute))
    assert queue.waiting(store) == waiting
    tune(waiting[0], minute=0)
    assert queue.waiting(store) == waiting[1:]


def test_a_candidate_whose_tuning_has_failed_leaves_the_queue(
    config: Config, store: RecordStore, candidate: str
) -> None:
    ValidateTrainingData(task_id="validate").execute(context(candidate))
    record_failure({**context(candidate), "task": TuneModel(task_id="tune"), "exception": RuntimeError("no")})
    assert queue.waiting(store) == []


def test_a_candidate_that_was_put_into_the_queue_again_is_gone_from_it_once_it_is_tuned(
    config: Config, store: RecordStore, candidate: str
) -> None:
    deferral = tune(candidate)
    (job,) = jobs(config, candidate)
    ValidateTrainingData(task_id="validate").execute(context(candidate))  # cleared in Airflow, with the job at work
    assert queue.waiting(store) == [candidate]
    until(lambda: str(tuning_jobs.get(config, job).state) == "JobState.JOB_STATE_SUCCEEDED")
    assert deferral.kwargs == {"job": job}
    TuneModel(task_id="tune").resume(context(candidate), {"job": job, "end": "succeeded"}, job)
    assert queue.waiting(store) == []


# Submission and cancellation.


def test_an_attempt_that_nobody_knows_the_end_of_keeps_others_from_submitting_until_its_job_would_be_listed(
    config: Config, store: RecordStore, candidate: str
) -> None:
    noted = Attempt(candidate=candidate, written_at=datetime.now(UTC) - UNANSWERED + timedelta(seconds=20))
    store.create(record_paths.attempt_path(candidate), noted)
    deferral = tune(candidate)
    assert deferral.method_name == "go_on"
    assert deferral.trigger.serialize()[1]["moment"] == noted.written_at + UNANSWERED
    progress = store.read(record_paths.progress_path(candidate), TuningProgress)
    assert progress is not None
    assert "waits to be submitted" in progress.summary
    assert jobs(config, candidate) == []
    store.put(
        record_paths.attempt_path(candidate), noted.model_copy(update={"written_at": noted.written_at - UNANSWERED})
    )
    assert tune(candidate).method_name == "resume"
    assert len(jobs(config, candidate)) == 1


def test_a_candidate_that_was_cancelled_before_its_submission_costs_nothing(
    config: Config, store: RecordStore, candidate: str
) -> None:
    assert TUNING_JOBS.ask_to_cancel(config, store, candidate, by="ada@laptop", reason="Wrong file.") == []
    with pytest.raises(AirflowSkipException, match="ada@laptop"):
        TuneModel(task_id="tune").execute(context(candidate))
    verdict = store.verdict(candidate, Stage.TUNING)
    assert verdict is not None
    assert (verdict.outcome, verdict.reason) == (
        Outcome.REJECTED,
        "Cancelled by ada@laptop before a tuning job was submitted. Wrong file.",
    )
    assert jobs(config, candidate) == []


def test_whoever_cancels_just_before_the_attempt_is_noted_is_heard_before_anything_is_submitted(
    config: Config, store: RecordStore, candidate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = RecordStore.update

    def cancelled_first(self: RecordStore, path: str, *args: Any, **given: Any) -> Any:
        if path == record_paths.attempt_path(candidate):
            TUNING_JOBS.ask_to_cancel(config, store, candidate, by="ada", reason="Wrong file.")
        return update(self, path, *args, **given)

    monkeypatch.setattr(RecordStore, "update", cancelled_first)
    with pytest.raises(AirflowSkipException, match="Cancelled by ada"):
        TuneModel(task_id="tune").execute(context(candidate))
    assert jobs(config, candidate) == []


def test_whoever_cancels_while_the_job_is_being_submitted_is_heard(
    cloud: StandIns, config: Config, store: RecordStore, candidate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.vertex.faults(job_seconds=600)
    submit = tuning_jobs.submit

    def cancelled_meanwhile(*args: Any, **given: Any) -> Any:
        assert TUNING_JOBS.ask_to_cancel(config, store, candidate, by="ada", reason="Wrong file.") == []
        return submit(*args, **given)

    monkeypatch.setattr(tuning_jobs, "submit", cancelled_meanwhile)
    deferral = tune(candidate)
    (job,) = jobs(config, candidate)
    until(lambda: str(tuning_jobs.get(config, job).state) == "JobState.JOB_STATE_CANCELLED")
    verdict = resumed(candidate, deferral, "cancelled")
    assert (verdict.end, verdict.reason) == ("cancelled", f"Tuning job {job} was cancelled by ada. Wrong file.")


def test_a_job_that_no_listing_showed_to_who_cancelled_is_cancelled_once_it_is_found(
    cloud: StandIns, config: Config, store: RecordStore, candidate: str
) -> None:
    lost = {"lose_answers": 1.0, "error_methods": ["tuningJobs.create"]}
    cancels = cloud.vertex_calls("tuningJobs.cancel")
    cloud.vertex.faults(job_seconds=600, listed_after_seconds=3600, **lost)
    assert tune(candidate).method_name == "go_on"
    assert TUNING_JOBS.ask_to_cancel(config, store, candidate, by="ada", reason="Wrong file.") == []
    assert tune(candidate).method_name == "go_on"
    assert store.verdict(candidate, Stage.TUNING) is None, "it has a job, which is paid for"
    cloud.vertex.faults()
    store.put(
        record_paths.attempt_path(candidate), Attempt(candidate=candidate, written_at=datetime.now(UTC) - UNANSWERED)
    )
    deferral = tune(candidate)
    (job,) = jobs(config, candidate)
    assert cloud.vertex_calls("tuningJobs.cancel") == cancels + 1
    until(lambda: str(tuning_jobs.get(config, job).state) == "JobState.JOB_STATE_CANCELLED")
    verdict = resumed(candidate, deferral, "cancelled")
    assert (verdict.end, verdict.reason) == ("cancelled", f"Tuning job {job} was cancelled by ada. Wrong file.")


def test_a_candidate_whose_job_is_listed_by_now_is_not_one_that_was_cancelled_without_a_job(
    config: Config, store: RecordStore, candidate: str
) -> None:
    run = StageRun(Stage.TUNING, candidate, "run-1")
    assert not TUNING_JOBS.is_cancelled_without_job(run)
    TUNING_JOBS.ask_to_cancel(config, store, candidate, by="ada", reason="Wrong file.")
    assert TUNING_JOBS.is_cancelled_without_job(run)
    store.put(
        record_paths.attempt_path(candidate), Attempt(candidate=candidate, written_at=datetime.now(UTC) - UNANSWERED)
    )
    assert TUNING_JOBS.is_cancelled_without_job(run)
    store.bucket.blob("copy.jsonl").upload_from_string(EXAMPLES)
    tuning_jobs.submit(
        config, config.dataset(DATASET), candidate=candidate, training_uri=f"gs://{config.bucket}/copy.jsonl"
    )
    assert not TUNING_JOBS.is_cancelled_without_job(run)


def test_a_job_that_was_cancelled_elsewhere_says_so(cloud: StandIns, config: Config, candidate: str) -> None:
    cloud.vertex.faults(job_outcome="cancelled", job_seconds=0.2)
    deferral = tune(candidate)
    (job,) = jobs(config, candidate)
    until(lambda: str(tuning_jobs.get(config, job).state) == "JobState.JOB_STATE_CANCELLED")
    assert "in Vertex AI, not by genops" in resumed(candidate, deferral, "cancelled").reason


# Ends.


@pytest.mark.parametrize(
    ("faults", "end", "said"),
    [
        (
            {"job_outcome": "failed", "job_error_code": 8, "job_error_message": "Quota is used up."},
            "failed",
            "RESOURCE_EXHAUSTED: Quota is used up.",
        ),
        ({"job_outcome": "expired"}, "expired", "ended as expired. It did not finish within the time"),
        (
            {"job_outcome": "partially_succeeded"},
            "partially_succeeded",
            "ended as partially succeeded. Vertex AI finished a part of it",
        ),
    ],
)
def test_a_job_that_did_not_succeed_says_why_and_what_to_do(  # noqa: PLR0917
    cloud: StandIns, config: Config, candidate: str, faults: dict[str, Any], end: str, said: str
) -> None:
    cloud.vertex.faults(job_seconds=0.2, **faults)
    deferral = tune(candidate)
    (job,) = jobs(config, candidate)
    until(lambda: (state := tuning_jobs.get(config, job).state) is not None and end.upper() in state.value)
    verdict = resumed(candidate, deferral, end)
    assert verdict.outcome is Outcome.FAILED
    assert (verdict.end, verdict.job) == (end, job)
    assert said in verdict.reason
    assert verdict.help
    if "job_error_code" in faults:
        assert verdict.error_code == "RESOURCE_EXHAUSTED"
        assert "quota" in verdict.help


def test_a_job_that_vanished_says_where_to_look(cloud: StandIns, candidate: str) -> None:
    cloud.vertex.faults(job_vanishes=True)
    verdict = resumed(candidate, tune(candidate), "vanished")
    assert (verdict.end, "does not know" in verdict.reason, "console" in str(verdict.help)) == ("vanished", True, True)


def test_a_job_that_has_not_ended_after_all_is_waited_for_on(cloud: StandIns, config: Config, candidate: str) -> None:
    cloud.vertex.faults(job_outcome="paused", job_seconds=0.2)
    deferral = tune(candidate)
    (job,) = jobs(config, candidate)
    until(lambda: str(tuning_jobs.get(config, job).state) == "JobState.JOB_STATE_PAUSED")
    with pytest.raises(TaskDeferred) as again:
        TuneModel(task_id="tune").resume(context(candidate), {"job": job, "end": "failed"}, job)
    assert again.value.trigger.serialize() == deferral.trigger.serialize()


def test_the_deadline_counts_from_the_submission_and_survives_whatever_restarts(
    cloud: StandIns, config: Config, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(job_seconds=600)
    first = tune(candidate).trigger.serialize()[1]
    recorded = store.read(record_paths.submission_path(candidate), Submission)
    assert recorded is not None
    hours = config.dataset(DATASET).tuning.timeout_hours
    assert datetime.fromisoformat(first["deadline"]) == recorded.written_at + timedelta(hours=hours)
    assert tune(candidate).trigger.serialize()[1] == first


# Tuning the champion further.


def test_tuning_the_champion_further_starts_from_the_checkpoint_that_it_serves(
    config: Config, store: RecordStore, candidate: str
) -> None:
    tune(candidate)
    (first,) = tuning_jobs.find_all(config, candidate)
    tuned = until(lambda: tuning_jobs.get(config, str(first.name)).tuned_model)
    assert tuned.checkpoints
    champion = Champion(
        candidate=candidate,
        written_at=datetime.now(UTC),
        dataset=DATASET,
        model=str(tuned.model),
        endpoint=str(tuned.checkpoints[0].endpoint),
        checkpoint=tuned.checkpoints[0].checkpoint_id,
        metric="exact_match",
        score=0.5,
        scores={},
        promoted_at=datetime.now(UTC),
    )
    store.create(record_paths.champion_path(DATASET), champion)
    file = Path(os.environ["GENOPS_CONFIG"])
    settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    settings["datasets"][DATASET]["tuning"]["start_from"] = "champion"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    challenger = uploaded(config, store)
    tune(challenger)
    (second,) = tuning_jobs.find_all(config, challenger)
    assert second.pre_tuned_model is not None
    assert second.pre_tuned_model.tuned_model_name == champion.model
    assert second.pre_tuned_model.checkpoint_id == champion.checkpoint
