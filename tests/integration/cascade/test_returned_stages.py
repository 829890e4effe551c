"""A stage whose Dag run is over without a verdict goes on, for as long as that may help; retries of Airflow's are not its own."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta

import pytest
from airflow.sdk.exceptions import AirflowSkipException, AirflowTaskTerminated, TaskDeferred
from airflow_context import Airflow
from cloud import PREFIX, StandIns
from made_up import arrived, context, taken_on, tuned
from sweeps import swept
from waiting import until

from genops_events.airflow.budget import CheckBudget
from genops_events.airflow.evaluation import EvaluateModel
from genops_events.airflow.stage import note_failed_try, record_failure
from genops_events.airflow.tuning import TuneModel, ValidateTrainingData
from genops_events.cascade.candidate_reader import read_candidate
from genops_events.cascade.stage_run import StageRun
from genops_events.config import Config
from genops_events.errors import TransientError
from genops_events.gcp.outbox import announce
from genops_events.gcp.record_store import RecordStore
from genops_events.intake.open_candidates import mint
from genops_events.intake.traces import MOST_RETURNS
from genops_events.record.holds import Intent
from genops_events.record.paths import intent_path, return_path
from genops_events.record.retries import Return
from genops_events.record.stages import CandidateState, Outcome, Stage
from genops_events.tuning import jobs as tuning_jobs

pytestmark = [
    pytest.mark.little_patience,
    pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental"),
]

EXAMPLE = {"contents": [{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": [{"text": "b"}]}]}


@pytest.fixture(autouse=True)
def no_longer_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage rests for patience before each return; that it rests longer each time is a test's own matter."""
    monkeypatch.setattr("genops_events.airflow.returning.rest_after", lambda _, *, patience: patience)


@pytest.fixture
def candidate(config: Config, store: RecordStore) -> str:
    """A candidate whose file is in the bucket."""
    blob = store.bucket.blob(f"{PREFIX}{uuid.uuid4().hex}.jsonl")
    blob.upload_from_string("\n".join([json.dumps(EXAMPLE)] * 40))
    made = arrived(config, store, name=blob.name, generation=int(blob.generation))
    mint(store, [made])
    return made.candidate


def waits(candidate: str, run_id: str) -> str:
    """Return the job that this Dag run waits for."""
    ValidateTrainingData(task_id="validate").execute(context(candidate, run_id=run_id))
    with pytest.raises(TaskDeferred) as deferred:
        TuneModel(task_id="tune").execute(context(candidate, run_id=run_id))
    return str((deferred.value.kwargs or {})["job"])


def lost(airflow: Airflow, run_id: str) -> None:
    """Let Airflow have given a Dag run up."""
    airflow.task_states[run_id] = {"validate": "success", "tune": "failed"}


def test_a_stage_that_goes_on_belongs_to_the_dag_run_that_was_woken_for_it(
    airflow: Airflow, config: Config, store: RecordStore, candidate: str
) -> None:
    job = waits(candidate, "run-1")
    first = store.read(intent_path(candidate, Stage.TUNING), Intent)
    assert first is not None
    lost(airflow, "run-1")
    assert swept(airflow, config, store)[0] == {candidate}
    assert waits(candidate, "run-2") == job
    with pytest.raises(AirflowSkipException, match="under way in Dag run run-2"):
        TuneModel(task_id="tune").execute(context(candidate, run_id="run-1"))
    second = store.read(intent_path(candidate, Stage.TUNING, 1), Intent)
    assert second is not None
    assert (second.run_id, second.started_at) == ("run-2", first.started_at), "its costs stay in the month it began"


def test_a_return_whose_wake_up_was_lost_is_woken_again(
    airflow: Airflow, config: Config, store: RecordStore, candidate: str
) -> None:
    waits(candidate, "run-1")
    lost(airflow, "run-1")
    assert swept(airflow, config, store)[0] == {candidate}
    _, figures = swept(airflow, config, store)
    assert (figures.returned_stages, figures.woken_stages) == (0, 1)


def test_of_two_sweeps_that_see_the_same_one_return_is_made(
    airflow: Airflow, config: Config, store: RecordStore, candidate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits(candidate, "run-1")
    lost(airflow, "run-1")
    create = RecordStore.create

    def beaten(self: RecordStore, path: str, document: Return) -> bool:
        if path == return_path(candidate, Stage.TUNING, 1):
            create(self, path, document)  # the other one was a moment faster
        return create(self, path, document)

    monkeypatch.setattr(RecordStore, "create", beaten)
    swept(airflow, config, store)
    assert store.names(f"genops/candidates/{candidate}/holds/") == [return_path(candidate, Stage.TUNING, 1)]


def test_each_return_rests_by_how_often_the_stage_went_on_before(
    airflow: Airflow, config: Config, store: RecordStore, candidate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "genops_events.airflow.returning.rest_after",
        lambda returns, *, patience: timedelta(days=1) if returns == 2 else patience,
    )
    for number in range(3):
        waits(candidate, f"run-{number}")
        lost(airflow, f"run-{number}")
        _, figures = swept(airflow, config, store)
        assert (figures.returned_stages, figures.left_alone) == ((1, {}) if number < 2 else (0, {"resting": 1}))


def test_what_nothing_that_airflow_begins_can_end_is_ended_by_the_sweep(
    airflow: Airflow, config: Config, store: RecordStore, candidate: str
) -> None:
    announce(config, store, tuned(store, candidate))
    for number in range(MOST_RETURNS + 1):
        run = StageRun(Stage.EVALUATION, candidate, f"run-{number}")
        run.take_on()
        airflow.task_states[run.run_id] = {"evaluate": "failed"}
        _, figures = swept(airflow, config, store)
        assert (figures.returned_stages, figures.closed_stages) == ((1, 0) if number < MOST_RETURNS else (0, 1))
    found = read_candidate(store, candidate)
    assert found is not None
    assert found.state is CandidateState.FAILED
    assert found.verdicts[Stage.EVALUATION].reason == (
        f"Dag run run-{MOST_RETURNS} ended without a verdict, as {MOST_RETURNS} before it: nothing that Airflow began has "
        "ended it."
    )


@pytest.mark.parametrize("running", [False, True])
def test_a_tuning_that_nothing_ends_is_ended_by_its_job_and_waits_as_long_as_that_runs(
    *, airflow: Airflow, cloud: StandIns, config: Config, store: RecordStore, candidate: str, running: bool
) -> None:
    cloud.vertex.faults(job_seconds=600 if running else 0.2)
    job = waits(candidate, "run-0")
    for number in range(MOST_RETURNS):
        lost(airflow, f"run-{number}")
        swept(airflow, config, store)
        StageRun(Stage.TUNING, candidate, f"run-{number + 1}").take_on()
    until(lambda: running or str(tuning_jobs.get(config, job).state) == "JobState.JOB_STATE_SUCCEEDED")
    lost(airflow, f"run-{MOST_RETURNS}")
    _, figures = swept(airflow, config, store)
    verdict = store.verdict(candidate, Stage.TUNING)
    if running:
        assert verdict is None
        assert (figures.returned_stages, figures.closed_stages) == (1, 0)
    else:
        assert verdict is not None
        assert (verdict.outcome, verdict.figures()["job"]) == (Outcome.SUCCEEDED, job)
        assert (figures.returned_stages, figures.closed_stages) == (0, 1)


def test_a_stage_that_goes_on_is_reached_past_stages_that_were_done_a_moment_ago(
    airflow: Airflow, config: Config, store: RecordStore, candidate: str
) -> None:
    taken_on(store, Stage.TUNING, candidate)
    announce(config, store, tuned(store, candidate))
    taken_on(store, Stage.BUDGET, candidate)
    with pytest.raises(AirflowSkipException, match="just done"):
        TuneModel(task_id="tune").execute(context(candidate, run_id="run-2"))
    airflow.task_states["run-1"] = {"check": "failed"}
    assert swept(airflow, config, store)[0] == {candidate}
    told = TuneModel(task_id="tune").execute(context(candidate, run_id="run-2"))
    assert told["outcome"] == "succeeded"
    assert CheckBudget(task_id="check").execute(context(candidate, run_id="run-2"))["outcome"] == "approved"


# Whose retries were used up


class Passing(TransientError):
    """Something that passes by itself."""


@pytest.mark.parametrize(("own", "ends"), [(6, True), (5, False), (0, False)])
def test_only_the_stages_own_failures_use_its_retries_up(
    *, store: RecordStore, candidate: str, own: int, ends: bool
) -> None:
    tuned(store, candidate)
    taken_on(store, Stage.EVALUATION, candidate)
    task = EvaluateModel(task_id="evaluate")
    for number in range(1, 7):  # of seven tries, the last is the one whose callback follows
        error = Passing("away") if number <= own else AirflowTaskTerminated("SIGTERM")
        note_failed_try(context(candidate, task=task, try_number=number, exception=error))
    record_failure(context(candidate, task=task, try_number=7, exception=Passing("away")))
    assert (store.verdict(candidate, Stage.EVALUATION) is not None) is ends


def test_a_failure_that_no_try_can_help_ends_the_stage_whatever_airflow_did_before(
    store: RecordStore, candidate: str
) -> None:
    from genops_events.evaluation.examples import InputMissing

    tuned(store, candidate)
    taken_on(store, Stage.EVALUATION, candidate)
    task = EvaluateModel(task_id="evaluate")
    record_failure(context(candidate, task=task, try_number=5, exception=InputMissing("no file", "Upload it.")))
    verdict = store.verdict(candidate, Stage.EVALUATION)
    assert verdict is not None
    assert (verdict.outcome, "no file" in verdict.reason) == (Outcome.FAILED, True)
