"""The tuning stage around its one paid call: what is paid for is kept, and one job is enough."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn

import pytest
from airflow.sdk import RetryAction
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred
from cloud import DATASET, PREFIX, StandIns, until
from made_up import arrived, context
from tuned import EXAMPLES, work
from waiting import FOREVER_SECONDS

from genops_events.airflow.retries import INTAKE_RETRIES, STAGE_RETRIES
from genops_events.airflow.tuning import TuneModel
from genops_events.cascade.paid_jobs import UNANSWERED
from genops_events.cascade.stage_run import StageRun
from genops_events.config import Config
from genops_events.errors import ConfigError, StepAside
from genops_events.gcp.record_store import RecordStore
from genops_events.record import paths as record_paths
from genops_events.record.stages import Stage
from genops_events.record.tuning import Attempt, Submission
from genops_events.tuning import jobs as tuning_jobs
from genops_events.tuning.jobs import TUNING_JOBS

pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")


@pytest.fixture
def candidate(config: Config, store: RecordStore) -> str:
    blob = store.bucket.blob(f"{PREFIX}{uuid.uuid4().hex}.jsonl")
    blob.upload_from_string(EXAMPLES)
    return arrived(config, store, name=blob.name, generation=int(blob.generation)).candidate


def submitted(config: Config, store: RecordStore, candidate: str) -> str:
    store.bucket.blob("copy.jsonl").upload_from_string(EXAMPLES)
    uri = f"gs://{config.bucket}/copy.jsonl"
    job = tuning_jobs.submit(config, config.dataset(DATASET), candidate=candidate, training_uri=uri)
    assert job.name is not None
    return job.name


def run_of(candidate: str, *, tuning_usd: str | None = None) -> StageRun:
    run = StageRun(Stage.TUNING, candidate, "run-1")
    if tuning_usd is not None:
        dataset = run.config.dataset(DATASET)
        budget = dataset.budget.model_copy(update={"tuning_usd": Decimal(tuning_usd)})
        changed = {DATASET: dataset.model_copy(update={"budget": budget})}
        run.__dict__["config"] = run.config.model_copy(update={"datasets": changed})
    return run


def jobs(config: Config, candidate: str) -> dict[str, str]:
    found = tuning_jobs.find_all(config, candidate)
    return {str(job.name): str(job.state.value if job.state else "") for job in found}


def test_a_budget_that_was_lowered_meanwhile_does_not_refuse_a_job_that_is_paid_for(
    config: Config, store: RecordStore, candidate: str
) -> None:
    job = work(run_of(candidate))
    assert work(run_of(candidate, tuning_usd="0")) == job
    assert store.verdict(candidate, Stage.TUNING) is None


def test_a_budget_that_is_too_low_from_the_beginning_holds_before_anything_is_submitted(
    config: Config, store: RecordStore, candidate: str
) -> None:
    with pytest.raises(StepAside, match="held: Tuning would cost about"):
        TuneModel(task_id="tune").work(run_of(candidate, tuning_usd="0"), context(candidate))
    assert store.verdict(candidate, Stage.TUNING) is None
    assert jobs(config, candidate) == {}


def deferred(run: StageRun) -> TaskDeferred:
    """Return how the stage defers."""
    with pytest.raises(TaskDeferred) as raised:
        TuneModel(task_id="tune").work(run, context(run.candidate))
    return raised.value


def test_a_submission_without_an_answer_is_looked_for_before_another_is_made(
    config: Config, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(error_code="503", error_share=1.0, error_methods=["tuningJobs.create"])
    now = datetime.now(UTC)
    first = deferred(run_of(candidate))
    assert first.method_name == "go_on"
    assert first.trigger.serialize()[1]["moment"] >= now + UNANSWERED
    cloud.vertex.faults()
    # Whoever comes sooner, for instance the retry of a task whose worker was killed, must not submit either.
    again = deferred(run_of(candidate))
    assert again.method_name == "go_on"
    assert jobs(config, candidate) == {}
    # The job appears after all: it is adopted.
    job = submitted(config, store, candidate)
    assert deferred(run_of(candidate)).kwargs == {"job": job}


def test_a_job_whose_answer_was_lost_and_that_no_listing_shows_yet_is_not_paid_for_twice(
    config: Config, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(lose_answers=1.0, error_methods=["tuningJobs.create"], listed_after_seconds=3600)
    assert deferred(run_of(candidate)).method_name == "go_on"
    cloud.vertex.faults(listed_after_seconds=3600)
    assert jobs(config, candidate) == {}
    assert deferred(run_of(candidate)).method_name == "go_on"
    cloud.vertex.faults()
    noted_long_ago(store, candidate)
    (job,) = jobs(config, candidate)
    assert deferred(run_of(candidate)).kwargs == {"job": job}


def test_a_listing_from_before_the_time_in_which_a_job_is_listed_decides_nothing(
    config: Config, store: RecordStore, candidate: str
) -> None:
    noted_long_ago(store, candidate)
    job = submitted(config, store, candidate)  # listed just after this try has looked for it

    def submit_another() -> NoReturn:
        raise AssertionError("that would be paid for twice")

    submission = TUNING_JOBS.submit(run_of(candidate), submit_another)
    assert submission is not None
    assert submission.job == job
    assert TUNING_JOBS.recorded(store, candidate) == submission


def noted_long_ago(store: RecordStore, candidate: str) -> None:
    store.put(
        record_paths.attempt_path(candidate), Attempt(candidate=candidate, written_at=datetime.now(UTC) - UNANSWERED)
    )


def test_a_project_without_room_for_another_job_is_asked_again_for_as_long_as_it_takes(
    cloud: StandIns, candidate: str
) -> None:
    cloud.vertex.faults(error_code="429", error_share=1.0, error_methods=["tuningJobs.create"])
    assert deferred(run_of(candidate)).method_name == "go_on"


def test_of_two_jobs_that_met_the_recorded_one_stays_and_the_other_is_cancelled(
    config: Config, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(job_seconds=600)
    first = work(run_of(candidate))
    second = submitted(config, store, candidate)
    assert set(jobs(config, candidate)) == {first, second}
    with pytest.raises(TaskDeferred) as waits:  # it is asked to end, and says itself how it did
        TuneModel(task_id="tune").resume(context(candidate), {"job": first, "end": "timed_out"}, first)
    assert waits.value.kwargs == {"job": first}
    until(lambda: set(jobs(config, candidate).values()) == {"JOB_STATE_CANCELLED"})
    with pytest.raises(AirflowFailException, match="timeout_hours"):
        TuneModel(task_id="tune").resume(context(candidate), {"job": first, "end": "cancelled"}, first)
    verdict = store.verdict(candidate, Stage.TUNING)
    assert verdict is not None
    assert verdict.figures()["end"] == "timed_out"


def recorded_by_another(cloud: StandIns, store: RecordStore, candidate: str, job: str) -> Submission:
    """Look for the candidate's job while another process records `job`; return what is then the candidate's."""
    cloud.vertex.faults(delay_methods_seconds={"tuningJobs.list": FOREVER_SECONDS}, job_seconds=600)
    with ThreadPoolExecutor(1) as pool:
        finding = pool.submit(TUNING_JOBS.known, run_of(candidate))
        until(lambda: cloud.vertex.delayed() == {"tuningJobs.list": 1})
        # Between the look into the record and the listing's answer.
        mine = Submission(candidate=candidate, written_at=datetime.now(UTC), job=job)
        store.create(record_paths.submission_path(candidate), mine)
        cloud.vertex.faults(job_seconds=600)
        cloud.vertex.let_go()
        found = finding.result()
    assert found is not None
    return found


def test_of_two_jobs_found_at_once_only_the_recorded_one_goes_on(
    config: Config, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(job_seconds=600)
    made = {submitted(config, store, candidate) for _ in range(2)}
    found = tuning_jobs.find(config, candidate)
    assert found is not None
    (other,) = made - {str(found.name)}
    assert recorded_by_another(cloud, store, candidate, other).job == other
    until(lambda: jobs(config, candidate)[str(found.name)] == "JOB_STATE_CANCELLED")
    assert jobs(config, candidate)[other] not in {"JOB_STATE_CANCELLED", "JOB_STATE_CANCELLING"}


def test_a_second_job_that_has_ended_meanwhile_does_not_fail_the_task_that_finds_it(
    config: Config, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    second = submitted(config, store, candidate)
    until(lambda: jobs(config, candidate)[second] == "JOB_STATE_SUCCEEDED")
    first = f"{second}1"
    assert recorded_by_another(cloud, store, candidate, first).job == first


def test_a_mistake_in_genops_yaml_is_waited_for_by_stages_and_not_by_intake() -> None:
    error = ConfigError("genops.yaml has 1 problem")
    waiting = STAGE_RETRIES.evaluate(error, try_number=1, max_tries=6)
    assert waiting.action is RetryAction.RETRY
    assert waiting.retry_delay is not None
    assert waiting.retry_delay.total_seconds() * 6 >= 3600
    assert INTAKE_RETRIES.evaluate(error, try_number=1, max_tries=6).action is RetryAction.FAIL


def test_a_note_of_an_attempt_whose_answer_was_lost_is_ones_own_and_keeps_nobody_waiting(
    config: Config, candidate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = RecordStore.update

    def twice(self: RecordStore, name: str, *given: Any, **more: Any) -> Any:
        first = update(self, name, *given, **more)
        # Cloud Storage wrote it, and its answer was lost: the library finds the precondition failed, and we read again.
        return update(self, name, *given, **more) if name == record_paths.attempt_path(candidate) else first

    monkeypatch.setattr(RecordStore, "update", twice)
    assert work(run_of(candidate)) in jobs(config, candidate)


def test_a_stage_that_has_nothing_to_do_when_its_job_has_ended_shows_as_skipped(
    candidate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = work(run_of(candidate))

    def aside(*_: object) -> None:
        raise StepAside("another Dag run does it")

    monkeypatch.setattr(TuneModel, "conclude", aside)
    with pytest.raises(AirflowSkipException, match="another Dag run does it"):
        TuneModel(task_id="tune").resume(context(candidate), {"job": job, "end": "succeeded"}, job)
