"""`genops retry`: a failed candidate goes on from where it stood, pays for nothing twice, and its history stays."""

from __future__ import annotations

import json
import uuid
from decimal import Decimal
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred
from airflow_context import Airflow
from cloud import DATASET, PREFIX, Reader, StandIns
from made_up import arrived, context, ended, now, taken_on, tuned
from sweeps import swept
from typer.testing import CliRunner
from waiting import until

from genops_events.airflow.budget import CheckBudget
from genops_events.airflow.evaluation import EvaluateModel
from genops_events.airflow.inference import AnswerPrompts
from genops_events.airflow.promotion import PromoteModel
from genops_events.airflow.stage import record_failure
from genops_events.airflow.stage_ends import STAGE_ENDS
from genops_events.airflow.tuning import TuneModel, ValidateTrainingData
from genops_events.cascade.candidate_reader import read_candidate
from genops_events.cascade.stage_end import settle_and_announce
from genops_events.cascade.stage_run import StageRun
from genops_events.cli import app
from genops_events.cli.caller import me
from genops_events.config import Config
from genops_events.gcp import ledger_store
from genops_events.gcp.outbox import announce
from genops_events.gcp.record_store import RecordStore
from genops_events.intake.open_candidates import mint
from genops_events.money.ledger import Posting, Purpose, month_of
from genops_events.record.paths import cancellation_path, open_path, retry_path, verdict_path
from genops_events.record.promotion import Pruned, pruned_path
from genops_events.record.retries import Retry
from genops_events.record.stages import CandidateState, Outcome, Stage
from genops_events.record.tuning import Cancellation
from genops_events.record.verdicts import EvaluationVerdict, TuningVerdict
from genops_events.tuning import jobs as tuning_jobs

pytestmark = [
    pytest.mark.little_patience,
    pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental"),
]

EXAMPLE = {"contents": [{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": [{"text": "b"}]}]}


@pytest.fixture
def candidate(config: Config, store: RecordStore) -> str:
    """A candidate whose file is in the bucket."""
    blob = store.bucket.blob(f"{PREFIX}{uuid.uuid4().hex}.jsonl")
    blob.upload_from_string("\n".join([json.dumps(EXAMPLE)] * 40))
    made = arrived(config, store, name=blob.name, generation=int(blob.generation))
    mint(store, [made])
    return made.candidate


def retry(candidate: str, *words: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(app, ["retry", candidate, "--json", *words])
    return done.exit_code, json.loads(done.stdout)


def failed(config: Config, store: RecordStore, stage: Stage, candidate: str, **figures: Any) -> None:
    """Record and announce that a stage failed, as the Dag run did that had taken it on."""
    taken_on(store, stage, candidate)
    run = StageRun(stage, candidate, "run-1")
    settle_and_announce(run, ended(store, stage, Outcome.FAILED, candidate, **figures), STAGE_ENDS[stage])


def succeeded(config: Config, candidate: str) -> str:
    """Return the candidate's job, which has succeeded before anybody noticed."""
    ValidateTrainingData(task_id="validate").execute(context(candidate))
    with pytest.raises(TaskDeferred) as deferred:
        TuneModel(task_id="tune").execute(context(candidate))
    job = str((deferred.value.kwargs or {})["job"])
    until(lambda: str(tuning_jobs.get(config, job).state) == "JobState.JOB_STATE_SUCCEEDED")
    return job


def posting(store: RecordStore, candidate: str, purpose: Purpose) -> Posting:
    entry = ledger_store.account(store, month_of(now()), candidate)
    assert entry is not None
    return entry.purposes[purpose]


def reserve(store: RecordStore, candidate: str, purpose: Purpose, usd: int) -> None:
    refused = ledger_store.reserve(
        store,
        candidate=candidate,
        dataset=DATASET,
        purpose=purpose,
        amount=Decimal(usd),
        limit=Decimal(100),
        at=now(),
    )
    assert refused is None


def types(events: list[Any]) -> list[tuple[str, str]]:
    return [(one.attributes["ce-type"], one.attributes["ce-id"]) for one in events]


# A tuning whose job had succeeded


def test_a_tuning_that_failed_beside_its_job_goes_on_and_adopts_it(
    airflow: Airflow, config: Config, store: RecordStore, candidate: str, completions: Reader
) -> None:
    job = succeeded(config, candidate)
    # As a version before recorded it: whatever Airflow said, and no word of the job.
    run = StageRun(Stage.TUNING, candidate, "run-1")
    settle_and_announce(run, ended(store, Stage.TUNING, Outcome.FAILED, candidate), STAGE_ENDS[Stage.TUNING])
    code, answer = retry(candidate, "--reason", "The machine\nwas too busy")
    assert (code, answer["goes_on"]) == (0, True)
    assert "what was paid for is kept" in answer["text"]
    assert "It goes on with the next sweep" in answer["text"]
    [kept] = answer["retries"]
    assert (kept["stage"], kept["by"], kept["reason"]) == ("tuning", me().by, "The machine was too busy.")
    found = read_candidate(store, candidate)
    assert found is not None
    assert (found.state, found.stage_json(Stage.TUNING)["state"]) == (CandidateState.UNDER_WAY, "queued")
    assert "asked to try it again: The machine was too busy." in found.explained(Stage.TUNING)
    assert swept(airflow, config, store, impatient=True)[0] == {candidate}, "at once"
    second = context(candidate, run_id="run-2")
    ValidateTrainingData(task_id="validate").execute(second)
    with pytest.raises(TaskDeferred) as deferred:
        TuneModel(task_id="tune").execute(second)
    assert deferred.value.kwargs == {"job": job}
    TuneModel(task_id="tune").resume(second, {"job": job, "end": "succeeded"}, job)
    made = store.verdict(candidate, Stage.TUNING)
    assert isinstance(made, TuningVerdict)
    assert (made.outcome, made.job, made.retries, made.cost_usd > 0) == (Outcome.SUCCEEDED, job, 1, True)
    assert len(tuning_jobs.find_all(config, candidate)) == 1
    assert posting(store, candidate, "tuning").spent_usd == made.cost_usd
    # The first verdict and its event stay, and stay true.
    before = store.read(verdict_path(candidate, Stage.TUNING), TuningVerdict)
    assert before is not None
    assert before.outcome is Outcome.FAILED
    told = types(completions.read_some())
    while len(told) < 2:
        told += types(completions.read_some())
    assert told == [
        ("genops.tuning.failed.v1", f"{candidate}/genops.tuning.failed.v1"),
        ("genops.tuning.succeeded.v1", f"{candidate}/genops.tuning.succeeded.v1/1"),
    ]


def test_a_tuning_that_failed_before_there_was_a_job_submits_one_and_reserves_again(
    airflow: Airflow, config: Config, store: RecordStore, candidate: str
) -> None:
    reserve(store, candidate, "tuning", 1)
    failed(config, store, Stage.TUNING, candidate)
    assert posting(store, candidate, "tuning").settled
    assert retry(candidate)[0] == 0
    second = context(candidate, run_id="run-2")
    ValidateTrainingData(task_id="validate").execute(second)
    with pytest.raises(TaskDeferred):
        TuneModel(task_id="tune").execute(second)
    assert len(tuning_jobs.find_all(config, candidate)) == 1
    again = posting(store, candidate, "tuning")
    assert (again.settled, again.reserved_usd > 0) == (False, True)


# Every other stage


@pytest.fixture
def with_model(config: Config, store: RecordStore, candidate: str) -> str:
    """The candidate, with a model that answers."""
    endpoint = f"projects/{config.project}/locations/{config.location}/publishers/google/models/gemini-2.5-flash"
    announce(
        config, store, tuned(store, candidate, endpoint=endpoint, started_at=now(), source_model="gemini-2.5-flash")
    )
    return candidate


def test_an_evaluation_that_failed_goes_on_and_the_budget_it_released_is_reserved_again(
    airflow: Airflow, cloud: StandIns, config: Config, store: RecordStore, with_model: str
) -> None:
    candidate = with_model
    CheckBudget(task_id="check").execute(context(candidate))
    reserved = posting(store, candidate, "inference").reserved_usd
    failed(config, store, Stage.EVALUATION, candidate)
    released = posting(store, candidate, "inference")
    assert (released.settled, released.reserved_usd) == (True, 0)
    with pytest.raises(AirflowSkipException, match="has failed, so there is nothing to promote"):
        PromoteModel(task_id="promote").execute(context(candidate))
    assert retry(candidate)[0] == 0
    woken, _ = swept(airflow, config, store, impatient=True)
    assert woken == {candidate}
    # Every stage that is done passes it on, though it was done a moment ago.
    assert CheckBudget(task_id="check").execute(context(candidate, run_id="run-2"))["outcome"] == "approved"
    told = EvaluateModel(task_id="evaluate").execute(context(candidate, run_id="run-2"))
    assert (told["outcome"], told["retries"]) in {("passed", 1), ("refused", 1)}
    assert store.read(verdict_path(candidate, Stage.EVALUATION, 1), EvaluationVerdict) is not None
    StageRun(Stage.INFERENCE, candidate, "run-2").take_on()
    assert reserved > 0
    from genops_events.inference.work import CandidateInference

    CandidateInference(StageRun(Stage.INFERENCE, candidate, "run-2")).pay()
    again = posting(store, candidate, "inference")
    assert (again.settled, again.reserved_usd) == (False, reserved)


def test_answers_and_scores_of_an_evaluation_that_failed_are_not_paid_for_again(
    cloud: StandIns, config: Config, store: RecordStore, with_model: str
) -> None:
    taken_on(store, Stage.EVALUATION, with_model)
    task = EvaluateModel(task_id="evaluate")
    with pytest.MonkeyPatch.context() as patch:

        def die(*_: object, **__: object) -> None:
            raise RuntimeError("no disk")

        patch.setattr("genops_events.evaluation.work.EvaluationRun._conclude", die)
        with pytest.raises(RuntimeError) as caught:
            task.execute(context(with_model))
    asked = cloud.vertex_calls("generateContent")
    record_failure(context(with_model, task=task, exception=caught.value))
    assert retry(with_model)[0] == 0
    assert task.execute(context(with_model, run_id="run-2"))["retries"] == 1
    assert cloud.vertex_calls("generateContent") == asked


@pytest.mark.parametrize("stage", [Stage.BUDGET, Stage.PROMOTION, Stage.INFERENCE])
def test_any_other_stage_that_failed_begins_anew_in_another_dag_run(
    airflow: Airflow, config: Config, store: RecordStore, with_model: str, stage: Stage
) -> None:
    candidate = with_model
    if stage is not Stage.BUDGET:
        announce(config, store, ended(store, Stage.BUDGET, Outcome.APPROVED, candidate))
        scores = {"exact_match": 1.0, "rouge_l_sum": 1.0}
        announce(config, store, ended(store, Stage.EVALUATION, Outcome.PASSED, candidate, scores=scores))
    if stage is Stage.INFERENCE:
        announce(config, store, ended(store, Stage.PROMOTION, Outcome.PROMOTED, candidate))
    failed(config, store, stage, candidate)
    assert retry(candidate)[0] == 0
    assert swept(airflow, config, store, impatient=True)[0] == {candidate}
    task = {
        Stage.BUDGET: CheckBudget(task_id="check"),
        Stage.PROMOTION: PromoteModel(task_id="promote"),
        Stage.INFERENCE: AnswerPrompts(task_id="answer"),
    }[stage]
    told = task.execute(context(candidate, run_id="run-2"))
    assert told["retries"] == 1
    assert told["outcome"] in {"approved", "promoted", "completed"}


def test_a_second_failure_is_announced_beside_the_first_and_can_be_tried_again(
    airflow: Airflow, config: Config, store: RecordStore, with_model: str, completions: Reader
) -> None:
    failed(config, store, Stage.BUDGET, with_model)
    assert retry(with_model)[0] == 0
    run = StageRun(Stage.BUDGET, with_model, "run-2")
    run.take_on()
    task = CheckBudget(task_id="check")
    record_failure(context(with_model, run_id="run-2", task=task, exception=ValueError("again")))
    found = read_candidate(store, with_model)
    assert found is not None
    assert (found.state, "again" in found.explained(Stage.BUDGET)) == (CandidateState.FAILED, True)
    code, answer = retry(with_model)
    assert (code, answer["retries"][0]["number"]) == (0, 2)
    assert task.execute(context(with_model, run_id="run-3"))["retries"] == 2


# Crashes between any two lines of a retry


@pytest.mark.parametrize("died_after", ["the marker", "the retry", "the note on the marker"])
def test_whoever_dies_in_a_retry_leaves_what_a_sweep_or_the_next_one_goes_on_from(
    airflow: Airflow, config: Config, store: RecordStore, with_model: str, died_after: str
) -> None:
    candidate = with_model
    failed(config, store, Stage.BUDGET, candidate)
    store.bucket.blob(open_path(candidate)).delete()  # settled long ago
    steps = {"the marker": "_set_aside", "the retry": "note_release", "the note on the marker": "sweep_now"}
    with pytest.MonkeyPatch.context() as patch:

        def die(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        if died_after == "the retry":
            from genops_events.doctor import retrying

            real, calls = retrying.note_release, []

            def second(*given: Any) -> Any:
                calls.append(given)
                return real(*given) if len(calls) == 1 else die()

            patch.setattr(retrying, "note_release", second)
        elif died_after == "the marker":
            patch.setattr("genops_events.doctor.retrying._set_aside", die)
        else:
            patch.setattr("genops_events.cli.retry.sweep_now", die)
        done = CliRunner().invoke(app, ["retry", candidate])
        assert done.exit_code != 0, steps
    woken, _ = swept(airflow, config, store)
    if died_after == "the marker":
        assert woken == set()
        assert retry(candidate)[0] == 0
        assert swept(airflow, config, store)[0] == {candidate}
    else:
        assert woken == {candidate}
        code, answer = retry(candidate)
        assert (code, "has asked for budget to be tried again" in answer["text"]) == (0, True)
    assert store.read(retry_path(candidate, Stage.BUDGET, 2), Retry) is None


def test_a_failure_that_is_set_aside_in_one_month_is_paid_for_in_the_month_in_which_its_tuning_began(
    config: Config, store: RecordStore, candidate: str
) -> None:
    begun = taken_on(store, Stage.TUNING, candidate).started_at
    announce(config, store, ended(store, Stage.TUNING, Outcome.FAILED, candidate, started_at=begun))
    assert retry(candidate)[0] == 0
    assert StageRun(Stage.TUNING, candidate, "run-2").take_on().started_at == begun


# What is not tried again


def test_a_job_that_failed_by_itself_is_not_tried_again(
    cloud: StandIns, config: Config, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(job_seconds=0.2, job_outcome="failed")
    ValidateTrainingData(task_id="validate").execute(context(candidate))
    with pytest.raises(TaskDeferred) as deferred:
        TuneModel(task_id="tune").execute(context(candidate))
    job = str((deferred.value.kwargs or {})["job"])
    until(lambda: str(tuning_jobs.get(config, job).state) == "JobState.JOB_STATE_FAILED")
    with pytest.raises(AirflowFailException):
        TuneModel(task_id="tune").resume(context(candidate), {"job": job, "end": "failed"}, job)
    code, answer = retry(candidate)
    assert (code, answer["goes_on"], answer["retries"]) == (2, False, [])
    assert f"Tuning job {job} of {candidate} has ended as failed." in answer["text"]
    assert "Upload the file again" in answer["text"]
    assert store.read(retry_path(candidate, Stage.TUNING, 1), Retry) is None


def test_a_candidate_that_a_person_cancelled_is_not_tried_again(
    config: Config, store: RecordStore, candidate: str
) -> None:
    job = succeeded(config, candidate)
    wish = Cancellation(candidate=candidate, written_at=now(), by="ada@laptop", reason="Wrong file.")
    store.create(cancellation_path(candidate), wish)
    announce(config, store, ended(store, Stage.TUNING, Outcome.FAILED, candidate, job=job, end="cancelled"))
    code, answer = retry(candidate)
    assert (code, "was cancelled by ada@laptop: Wrong file." in answer["text"]) == (2, True)


def test_a_candidate_whose_model_was_taken_away_is_not_tried_again(
    config: Config, store: RecordStore, with_model: str
) -> None:
    failed(config, store, Stage.BUDGET, with_model)
    pruned = Pruned(candidate=with_model, written_at=now(), by="ada@laptop", model="m", endpoints=("e",), done_at=now())
    store.create(pruned_path(with_model), pruned)
    code, answer = retry(with_model)
    assert (code, "ada@laptop has taken the model" in answer["text"]) == (2, True)


def test_a_failure_that_is_not_announced_yet_waits_for_that(
    airflow: Airflow, config: Config, store: RecordStore, with_model: str
) -> None:
    taken_on(store, Stage.BUDGET, with_model)
    ended(store, Stage.BUDGET, Outcome.FAILED, with_model)
    code, answer = retry(with_model)
    assert (code, "is not announced yet" in answer["text"]) == (2, True)
    swept(airflow, config, store)
    assert retry(with_model)[0] == 0


def test_nothing_is_changed_while_the_job_cannot_be_asked(
    cloud: StandIns, config: Config, store: RecordStore, candidate: str
) -> None:
    job = succeeded(config, candidate)
    announce(config, store, ended(store, Stage.TUNING, Outcome.FAILED, candidate, job=job))
    cloud.vertex.faults(error_code="503", error_share=1.0)
    done = CliRunner().invoke(app, ["retry", candidate])
    assert (done.exit_code, "read tuning job" in " ".join(done.stderr.split())) == (1, True)
    assert store.read(retry_path(candidate, Stage.TUNING, 1), Retry) is None


@pytest.mark.parametrize(
    ("stage", "outcome", "said"),
    [
        (Stage.TUNING, Outcome.REJECTED, "was rejected, so nothing was changed. tuning says so"),
        (Stage.PROMOTION, Outcome.HELD, "has not failed, it did not become champion: promotion says so"),
        (Stage.INFERENCE, Outcome.COMPLETED, "has ended well"),
        (Stage.TUNING, Outcome.SUCCEEDED, "is under way, so nothing was changed"),
    ],
)
def test_who_has_not_failed_is_told_what_to_do_instead(  # noqa: PLR0917
    config: Config, store: RecordStore, candidate: str, stage: Stage, outcome: Outcome, said: str
) -> None:
    ended(store, stage, outcome, candidate)
    code, answer = retry(candidate)
    assert (code, answer["goes_on"]) == (2, False)
    assert said in answer["text"]
    assert store.names(f"genops/candidates/{candidate}/holds/") == []


def test_a_candidate_that_nobody_knows_is_an_error(store: RecordStore) -> None:
    done = CliRunner().invoke(app, ["retry", f"{DATASET}-0123456789abcdef"])
    assert (done.exit_code, "so nothing was changed" in " ".join(done.stderr.split())) == (1, True)
