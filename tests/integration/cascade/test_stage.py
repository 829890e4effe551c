"""What all stages share: one Dag run owns a stage, its verdict is written once, and the ledger comes out even."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from cloud import DATASET, Reader, StandIns, at_once
from made_up import arrived, context, ended, now, taken_on, tuned, verdict

from genops_events.airflow.budget import CheckBudget
from genops_events.airflow.evaluation import EvaluateModel
from genops_events.airflow.inference import AnswerPrompts
from genops_events.airflow.promotion import PromoteModel
from genops_events.airflow.stage import StageOperator, record_failure
from genops_events.airflow.stage_ends import STAGE_ENDS
from genops_events.airflow.tuning import TuneModel, ValidateTrainingData
from genops_events.cascade.paid_jobs import UNANSWERED
from genops_events.cascade.stage_end import account, settle_and_announce
from genops_events.cascade.stage_run import CandidateUnknown, StageRun
from genops_events.config import Config, Intake
from genops_events.errors import StepAside
from genops_events.gcp.errors import CloudUnavailable
from genops_events.gcp.ledger_store import account as ledger_account
from genops_events.gcp.ledger_store import reserve
from genops_events.gcp.record_store import RecordStore
from genops_events.money.ledger import Ledger, Posting, Purpose, month_of
from genops_events.record.paths import attempt_path, ledger_path, verdict_path
from genops_events.record.stages import STAGES, Outcome, Stage
from genops_events.record.tuning import Attempt
from genops_events.record.verdicts import VERDICTS, EvaluationVerdict
from genops_events.tuning import end as tuning_end
from genops_events.waiting.polling import JobEnd

PATIENCE = Intake().patience
OPERATORS: dict[Stage, type[StageOperator]] = {
    Stage.TUNING: TuneModel,
    Stage.EVALUATION: EvaluateModel,
    Stage.BUDGET: CheckBudget,
    Stage.PROMOTION: PromoteModel,
    Stage.INFERENCE: AnswerPrompts,
}


def operator(stage: Stage) -> StageOperator:
    return OPERATORS[stage](task_id=str(stage))


@pytest.fixture
def candidate(config: Config, store: RecordStore) -> str:
    return arrived(config, store).candidate


# Who works on what


def test_a_stage_works_on_the_partition_key_of_its_dag_run(candidate: str) -> None:
    run = CheckBudget(task_id="check").run_of(context(candidate, run_id="run-7"))
    assert (run.stage, run.candidate, run.run_id) == (Stage.BUDGET, candidate, "run-7")
    assert CheckBudget(task_id="check").run_of(context("other", partition_key=candidate)).candidate == candidate


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (None, "no partition key"),
        ("../x", "is no candidate id"),
        ("\x1b[2J", "is no candidate id"),
        (f"{DATASET}-0123456789abcdef", "knows no candidate"),
    ],
)
def test_a_run_of_a_stage_that_is_for_no_candidate_fails_once_and_leaves_nothing(
    store: RecordStore, stage: Stage, key: str | None, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    here = context(key)
    before = set(store.names(""))
    with pytest.raises(CandidateUnknown, match=reason) as failed:
        operator(stage).execute(here)
    assert "\x1b" not in str(failed.value)
    caplog.clear()
    record_failure(here | {"task": operator(stage), "exception": failed.value})
    record_failure(here | {"task": operator(stage), "exception": None})  # as the Dag processor calls it
    assert caplog.messages == []
    assert set(store.names("")) == before


def test_a_dag_run_without_a_key_and_a_key_without_an_arrival_are_told_apart(config: Config) -> None:
    with pytest.raises(CandidateUnknown, match="no partition key"):
        CheckBudget(task_id="check").run_of(context(None))
    with pytest.raises(CandidateUnknown, match=f"gs://{config.bucket} knows no candidate"):
        _ = StageRun(Stage.BUDGET, "banking77-0000000000000000", "run-1").arrival


def test_validation_in_a_second_dag_run_shows_as_skipped(candidate: str, store: RecordStore) -> None:
    taken_on(store, Stage.TUNING, candidate)
    with pytest.raises(AirflowSkipException, match="under way in Dag run run-1"):
        ValidateTrainingData(task_id="validate").execute(context(candidate, run_id="run-2"))


def test_the_second_dag_run_of_a_stage_skips_and_the_first_may_come_back(candidate: str, store: RecordStore) -> None:
    first = StageRun(Stage.TUNING, candidate, "run-1").take_on()
    with pytest.raises(StepAside, match="run-1"):
        StageRun(Stage.TUNING, candidate, "run-2").take_on()
    assert StageRun(Stage.TUNING, candidate, "run-1").take_on() == first
    assert StageRun(Stage.TUNING, candidate, "run-2").started_at() == first.started_at
    assert StageRun(Stage.EVALUATION, candidate, "run-2").take_on().run_id == "run-2"


def test_of_dag_runs_that_take_a_stage_on_at_once_one_gets_it(candidate: str) -> None:
    def take_on(run_id: str) -> str | None:
        try:
            return StageRun(Stage.TUNING, candidate, run_id).take_on().run_id
        except StepAside:
            return None

    names = [f"run-{number}" for number in range(6)]
    (winner,) = [one for one in at_once(*(lambda name=name: take_on(name) for name in names)) if one]
    assert winner in names


# One verdict


def test_a_verdict_is_written_once_and_whoever_comes_later_gets_it(candidate: str, store: RecordStore) -> None:
    first = StageRun(Stage.EVALUATION, candidate, "run-1").conclude(
        EvaluationVerdict, Outcome.PASSED, "good", scores={"exact_match": 0.5}
    )
    second = StageRun(Stage.EVALUATION, candidate, "run-2").conclude(EvaluationVerdict, Outcome.FAILED, "bad")
    assert second == first == store.verdict(candidate, Stage.EVALUATION)
    assert first.dataset == DATASET


def test_a_verdict_tells_when_its_stage_began(candidate: str, store: RecordStore) -> None:
    begun = taken_on(store, Stage.EVALUATION, candidate).started_at
    made = StageRun(Stage.EVALUATION, candidate, "run-1").conclude(EvaluationVerdict, Outcome.PASSED, "good")
    assert made.started_at == begun <= made.ended_at


# Operators that find the work done


def test_a_finished_stage_is_announced_and_emitted_again_without_working(
    candidate: str, store: RecordStore, completions: Reader
) -> None:
    tuned(store, candidate)
    taken_on(store, Stage.EVALUATION, candidate)
    scores = {"exact_match": 0.5}
    ended(store, Stage.EVALUATION, Outcome.PASSED, candidate, scores=scores)
    told = operator(Stage.EVALUATION).execute(context(candidate))
    assert told == {"outcome": "passed", "reason": "evaluation says so", "scores": scores}
    (received,) = completions.read_some()
    assert received.attributes["ce-type"] == "genops.evaluation.passed.v1"


def test_another_dag_runs_fresh_verdict_is_left_to_it_and_an_old_one_is_emitted_again(
    candidate: str, store: RecordStore
) -> None:
    tuned(store, candidate)
    taken_on(store, Stage.BUDGET, candidate, run_id="run-1")
    fresh = ended(store, Stage.BUDGET, Outcome.APPROVED, candidate)
    with pytest.raises(AirflowSkipException, match="just done by Dag run run-1"):
        operator(Stage.BUDGET).execute(context(candidate, run_id="run-2"))
    assert operator(Stage.BUDGET).execute(context(candidate, run_id="run-1"))["outcome"] == "approved"
    old = fresh.model_copy(update={"written_at": now() - PATIENCE})
    store.bucket.blob(verdict_path(candidate, Stage.BUDGET)).upload_from_string(old.to_json())
    assert operator(Stage.BUDGET).execute(context(candidate, run_id="run-2"))["outcome"] == "approved"


def test_a_failure_ends_as_failed_and_what_stops_the_cascade_as_skipped(candidate: str, store: RecordStore) -> None:
    tuned(store, candidate)
    ended(store, Stage.EVALUATION, Outcome.FAILED, candidate)
    with pytest.raises(AirflowFailException, match="evaluation says so"):
        operator(Stage.EVALUATION).execute(context(candidate))
    ended(store, Stage.PROMOTION, Outcome.HELD, candidate)
    with pytest.raises(AirflowSkipException, match="held"):
        operator(Stage.PROMOTION).execute(context(candidate))
    ended(store, Stage.BUDGET, Outcome.APPROVED, candidate)
    assert operator(Stage.BUDGET).execute(context(candidate))["outcome"] == "approved"


# Retries used up


@pytest.mark.parametrize("stage", list(Stage))
def test_a_stage_whose_retries_are_used_up_has_failed_and_says_why(
    candidate: str, store: RecordStore, completions: Reader, stage: Stage
) -> None:
    if stage is not Stage.TUNING:
        tuned(store, candidate)
    begun = taken_on(store, stage, candidate)
    record_failure(context(candidate, task=operator(stage), exception=ValueError("one thing too many")))
    made = store.verdict(candidate, stage)
    assert made is not None
    assert (made.outcome, made.reason) == (Outcome.FAILED, "ValueError: one thing too many")
    assert made.started_at == begun.started_at
    (received,) = completions.read_some()
    assert received.attributes["ce-type"] == f"genops.{stage}.failed.v1"


@pytest.mark.parametrize("owner", ["run-1", None])
def test_a_dag_run_that_does_not_own_the_stage_fails_alone(
    candidate: str, store: RecordStore, completions: Reader, owner: str | None
) -> None:
    tuned(store, candidate)
    if owner is not None:
        taken_on(store, Stage.EVALUATION, candidate, run_id=owner)
    before = store.names("")
    record_failure(context(candidate, run_id="run-2", task=operator(Stage.EVALUATION), exception=ValueError("mine")))
    assert store.names("") == before
    assert completions.read() == []


def test_a_failure_after_the_verdict_announces_the_verdict(
    candidate: str, store: RecordStore, completions: Reader
) -> None:
    tuned(store, candidate)
    taken_on(store, Stage.EVALUATION, candidate)
    ended(store, Stage.EVALUATION, Outcome.PASSED, candidate)
    record_failure(context(candidate, task=operator(Stage.EVALUATION), exception=ValueError("too late")))
    made = store.verdict(candidate, Stage.EVALUATION)
    assert made is not None
    assert made.outcome is Outcome.PASSED
    (received,) = completions.read_some()
    assert received.attributes["ce-type"] == "genops.evaluation.passed.v1"


# The ledger

RESERVED: Mapping[Purpose, Decimal] = {
    "tuning": Decimal(10),
    "evaluation": Decimal(2),
    "inference": Decimal(3),
}


def reserved(
    store: RecordStore, candidate: str, *, at: datetime, purposes: Mapping[Purpose, Decimal] = RESERVED
) -> None:
    for purpose, amount in purposes.items():
        refusal = reserve(
            store, candidate=candidate, dataset=DATASET, purpose=purpose, amount=amount, limit=Decimal(200), at=at
        )
        assert refusal is None


def postings(store: RecordStore, candidate: str, *, at: datetime) -> dict[str, tuple[str, str]]:
    """Return what is reserved and what was spent, by purpose; what is settled has nothing reserved."""
    entry = ledger_account(store, month_of(at), candidate)
    assert entry is not None

    def figures(posting: Posting) -> tuple[str, str]:
        assert posting.settled == (posting.reserved_usd == 0)
        return str(posting.reserved_usd), str(posting.spent_usd)

    return {purpose: figures(posting) for purpose, posting in entry.purposes.items()}


UNTOUCHED = {"tuning": ("10", "0"), "evaluation": ("2", "0"), "inference": ("3", "0")}


@pytest.mark.parametrize(
    ("stage", "outcome", "cost", "changed"),
    [
        (Stage.TUNING, Outcome.SUCCEEDED, "7.5", {"tuning": ("0", "7.5")}),
        (Stage.TUNING, Outcome.REJECTED, "0", {"tuning": ("0", "0")}),
        (Stage.EVALUATION, Outcome.PASSED, "1.5", {"evaluation": ("0", "1.5")}),
        (Stage.EVALUATION, Outcome.REFUSED, "1.5", {"evaluation": ("0", "1.5")}),
        (Stage.BUDGET, Outcome.APPROVED, "0", {}),
        (Stage.PROMOTION, Outcome.PROMOTED, "0", {}),
        (Stage.PROMOTION, Outcome.HELD, "0", {"inference": ("0", "0")}),
        (Stage.INFERENCE, Outcome.COMPLETED, "2.25", {"inference": ("0", "2.25")}),
        # Nothing is kept that a failed stage has bought, so it is released; what comes after it is not bought any more.
        (Stage.EVALUATION, Outcome.FAILED, "0", {"evaluation": ("0", "0"), "inference": ("0", "0")}),
        (Stage.EVALUATION, Outcome.FAILED, "0.5", {"evaluation": ("0", "0.5"), "inference": ("0", "0")}),
        (Stage.BUDGET, Outcome.FAILED, "0", {"inference": ("0", "0")}),
        (Stage.PROMOTION, Outcome.FAILED, "0", {"inference": ("0", "0")}),
        (Stage.INFERENCE, Outcome.FAILED, "0", {"inference": ("0", "0")}),
        # No job was submitted: nothing was bought.
        (Stage.TUNING, Outcome.FAILED, "0", {"tuning": ("0", "0"), "inference": ("0", "0")}),
        (Stage.TUNING, Outcome.FAILED, "4", {"tuning": ("0", "4"), "inference": ("0", "0")}),
    ],
)
def test_each_end_of_a_stage_settles_what_was_bought_and_releases_what_will_not_be(
    *,
    candidate: str,
    store: RecordStore,
    stage: Stage,
    outcome: Outcome,
    cost: str,
    changed: dict[str, tuple[str, str]],
) -> None:
    begun = taken_on(store, Stage.TUNING, candidate).started_at
    if stage is not Stage.TUNING:
        tuned(store, candidate, started_at=begun)
    reserved(store, candidate, at=begun)
    made = verdict(stage, outcome, candidate, cost_usd=Decimal(cost))
    account(StageRun(stage, candidate, "run-1"), made)
    assert postings(store, candidate, at=begun) == UNTOUCHED | changed
    account(StageRun(stage, candidate, "run-2"), made)
    assert postings(store, candidate, at=begun) == UNTOUCHED | changed


@pytest.mark.parametrize(
    ("stage", "kept"),
    [
        (Stage.EVALUATION, "answers/evaluation.parts/0.jsonl"),
        (Stage.EVALUATION, "answers/evaluation-champion.jsonl"),
        (Stage.EVALUATION, "evaluation-parts/0.jsonl"),
        (Stage.INFERENCE, "answers/answers.parts/0.jsonl"),
        (Stage.INFERENCE, "answers/answers.jsonl"),
    ],
)
def test_what_a_failed_stage_has_bought_in_part_stays_reserved_since_its_cost_is_unknown(
    candidate: str, store: RecordStore, stage: Stage, kept: str
) -> None:
    begun = taken_on(store, Stage.TUNING, candidate).started_at
    tuned(store, candidate, started_at=begun)
    reserved(store, candidate, at=begun)
    store.bucket.blob(f"genops/candidates/{candidate}/{kept}").upload_from_string("{}")
    run = StageRun(stage, candidate, "run-1")
    made = STAGE_ENDS[stage].failed(run, "It broke.")
    assert made is not None
    assert made.cost_usd is None
    account(run, made)
    assert postings(store, candidate, at=begun)[str(stage)] == UNTOUCHED[str(stage)]


def test_a_failed_tuning_whose_job_was_submitted_stays_reserved(candidate: str, store: RecordStore) -> None:
    begun = taken_on(store, Stage.TUNING, candidate).started_at
    reserved(store, candidate, at=begun, purposes={"tuning": Decimal(10)})
    run = StageRun(Stage.TUNING, candidate, "run-1")
    made = tuning_end.conclude(run, "a job", JobEnd.VANISHED)
    assert made is not None
    assert made.cost_usd is None
    account(run, made)
    assert postings(store, candidate, at=begun)["tuning"] == ("10", "0")


@pytest.mark.parametrize("stage", Stage)
def test_a_failed_stage_whose_end_does_not_say_what_it_cost_has_cost_nobody_knows_how_much(
    candidate: str, store: RecordStore, stage: Stage
) -> None:
    begun = taken_on(store, Stage.TUNING, candidate).started_at
    if stage is not Stage.TUNING:
        tuned(store, candidate, started_at=begun)
    made = StageRun(stage, candidate, "run-1").conclude(VERDICTS[stage], Outcome.FAILED, "It broke.")
    assert made.cost_usd == (0 if STAGES[stage].spends is None else None)


@pytest.mark.parametrize("stage", Stage)
def test_a_failed_stage_that_has_bought_nothing_has_cost_nothing_and_that_is_known(
    candidate: str, store: RecordStore, stage: Stage
) -> None:
    begun = taken_on(store, Stage.TUNING, candidate).started_at
    if stage is not Stage.TUNING:
        tuned(store, candidate, started_at=begun)
    made = STAGE_ENDS[stage].failed(StageRun(stage, candidate, "run-1"), "It broke.")
    assert made is not None
    assert (made.outcome, made.cost_usd) == (Outcome.FAILED, 0)


def test_nothing_is_recorded_where_the_job_cannot_be_asked_and_money_is_released_once_it_can(
    candidate: str, cloud: StandIns, store: RecordStore
) -> None:
    begun = taken_on(store, Stage.TUNING, candidate).started_at
    reserved(store, candidate, at=begun, purposes={"tuning": Decimal(10)})
    store.create(attempt_path(candidate), Attempt(candidate=candidate, written_at=now() - UNANSWERED))
    cloud.vertex.faults(error_code="503", error_share=1.0, error_methods=["tuningJobs.list"])
    with pytest.raises(CloudUnavailable):  # what was submitted cannot be asked, and a failure callback runs once
        record_failure(context(candidate, task=operator(Stage.TUNING), exception=ValueError("away")))
    assert store.verdict(candidate, Stage.TUNING) is None
    assert postings(store, candidate, at=begun)["tuning"] == ("10", "0")
    cloud.vertex.faults()
    run = StageRun(Stage.TUNING, candidate, "sweep")
    made = STAGE_ENDS[Stage.TUNING].failed(
        run, "Dag run run-1 ended without a verdict."
    )  # as a sweep does that has let it go on often enough
    assert made is not None
    settle_and_announce(run, made, STAGE_ENDS[Stage.TUNING])
    assert postings(store, candidate, at=begun)["tuning"] == ("0", "0")


def test_all_costs_go_to_the_month_in_which_tuning_began(candidate: str, store: RecordStore) -> None:
    last_month = now().replace(day=1) - timedelta(days=1)
    tuned(store, candidate, started_at=last_month)
    reserved(store, candidate, at=last_month)
    made = verdict(Stage.EVALUATION, Outcome.PASSED, candidate, cost_usd=Decimal(1))
    account(StageRun(Stage.EVALUATION, candidate, "run-1"), made)
    assert postings(store, candidate, at=last_month)["evaluation"] == ("0", "1")
    assert store.read(ledger_path(month_of(now())), Ledger) is None


def test_a_candidate_that_reserved_nothing_leaves_no_ledger(candidate: str, store: RecordStore) -> None:
    taken_on(store, Stage.TUNING, candidate)
    account(StageRun(Stage.TUNING, candidate, "run-1"), verdict(Stage.TUNING, Outcome.REJECTED, candidate))
    assert store.names("genops/ledger/") == []
